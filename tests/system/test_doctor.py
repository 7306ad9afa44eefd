# SPDX-License-Identifier: Apache-2.0
"""`espalier doctor`: a sound gateway is sound, and each fault is found, named, and told what to do about."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from lab import need
from lab.gateway import Gateway
from lab.net import Lab
from lab.scene import scene
from lab.shell import BUILD, run, wait_until
from lab.topology import Site
from lab.tunnel import pair

OTHER_PROGRAM = """\
__attribute__((section("xdp"), used)) int other(void *ctx) { return 2; }
__attribute__((section("license"), used)) char gpl[] = "GPL";
"""
DROPPING = """\
table inet guard {
    chain inbound { type filter hook input priority 0; policy drop; ct state established accept; icmp type echo-request accept; }
}
"""
STATES = {"good", "note", "wrong", "unseen"}


def doctor(gateway):
    """(exit status, report) of the doctor in the gateway's namespace."""
    done = gateway.ns.run(BUILD / "espalier", "--json", "--config", gateway.config, "doctor", check=False)
    report = json.loads(done.stdout)
    assert done.returncode == (1 if report["wrong"] else 0)
    assert report["wrong"] == sum(f["state"] == "wrong" for f in report["findings"])
    for finding in report["findings"]:
        assert finding["state"] in STATES and finding["what"].strip() and "(null)" not in finding["what"]
        assert finding["state"] != "wrong" or (finding["why"] and finding["do"]), finding
    return report


def finding(report, area, check):
    found = [f for f in report["findings"] if (f["area"], f["check"]) == (area, check)]
    assert len(found) == 1, found
    return found[0]


def wrong(report):
    return {(f["area"], f["check"]) for f in report["findings"] if f["state"] == "wrong"}


@pytest.mark.needs(*need.GATEWAY)
def test_sound_gateway():
    with scene(nat=False) as s:
        report = doctor(s.a)
        assert not wrong(report), wrong(report)
        for name in ("lan0", "wan0"):
            assert finding(report, name, "link")["state"] == "good"
            assert "veth" in finding(report, name, "driver")["what"]
            assert "native" in finding(report, name, "mode")["what"]
            assert "copy mode" in finding(report, name, "af_xdp")["what"]
            assert "2048" in finding(report, name, "af_xdp")["what"]
            assert finding(report, name, "wakeup")["state"] == "good"
            assert "off" in finding(report, name, "busy_poll")["what"]
            assert finding(report, name, "queues")["what"].startswith("1 queue")
            assert finding(report, name, "mtu")["what"] == "the MTU is 1500"
            assert "Espalier" in finding(report, name, "xdp")["what"]
        assert finding(report, "daemons", "versions")["state"] == "good"
        text = s.a.ns.run(BUILD / "espalier", "--config", s.a.config, "doctor").stdout
        assert "about: wan0" in text and text.rstrip().endswith("0 things wrong")


TRANSMIT = {
    "xsk": (1, "AF_XDP sends: tx_engine is xsk"),
    "live": (1, "AF_XDP sends, and XDP live frames under load: live frames from 100000 packets a second on"),
    "auto": (os.cpu_count(), "AF_XDP sends: {} CPU"),  # none is spare
}


@pytest.mark.needs(*need.GATEWAY)
@pytest.mark.parametrize("engine", TRANSMIT)
def test_how_it_is_served(engine):
    """What the configuration asks for is what the doctor sees: the engine and its reason, rings, busy polling, generic mode."""
    workers, said = TRANSMIT[engine]
    agent = {"tx_engine": engine, "workers": workers, "ring_size": 512, "busy_poll": True, "xdp_mode": "generic" if engine == "xsk" else "auto"}
    with Lab() as lab:
        site = Site(lab)
        gateway = Gateway(site.a, pair(site)[0], agent=agent)
        gateway.start()
        site.router.run("ethtool", "-K", "a0", "gro", "on")  # with which its driver takes redirected frames
        report = doctor(gateway)
        served = {i["name"]: i for i in gateway.cli("status")["interfaces"]}["wan0"]
        if engine == "live" and served["tx_engine"] == "xsk":
            wait_until("the engine may send", lambda: finding(doctor(gateway), "wan0", "transmit")["what"] == said, 10)
            report = doctor(gateway)
        assert finding(report, "wan0", "transmit")["what"].startswith(said.format(os.cpu_count())), finding(report, "wan0", "transmit")
        assert "rings of 512 packets" in finding(report, "wan0", "af_xdp")["what"]
        polls = {"on": "busy polling is on", "refused": "busy polling was asked for, and the kernel refuses it"}
        assert finding(report, "wan0", "busy_poll")["what"].startswith(polls[served["busy_poll"]])
        mode = finding(report, "wan0", "mode")
        assert mode["state"] == ("note" if engine == "xsk" else "good") and served["mode"] in mode["what"]


@pytest.mark.needs(*need.GATEWAY, "clang")
def test_faults_are_found(tmp_path):
    """Another's program, a link that is down, a missing interface, a firewall, no forwarding, an open file, no agent."""
    source, program = tmp_path / "other.c", tmp_path / "other.o"
    source.write_text(OTHER_PROGRAM)
    run(["clang", "-O2", "-target", "bpf", "-c", source, "-o", program])
    with Lab() as lab:
        site = Site(lab)
        gateway = Gateway(site.a, pair(site)[0], interfaces=("lan0", "wan0", "nosuch0"))
        if site.a.run("ip", "link", "set", "dev", "wan0", "xdp", "obj", program, "sec", "xdp", check=False).returncode:
            pytest.skip("ip cannot load an XDP program here")
        gateway.start()
        site.a.run("nft", "-f", "-", stdin=DROPPING)
        site.a.sysctl("net.ipv4.ip_forward", 0)
        site.router.ip("link set a0 down")
        gateway.config.chmod(0o644)
        report = doctor(gateway)
        assert {("wan0", "xdp"), ("wan0", "mode"), ("wan0", "link"), ("nosuch0", "exists"), ("firewall", "udp500"),
                ("firewall", "udp4500"), ("configuration", "file")} <= wrong(report), wrong(report)
        assert '"other"' in finding(report, "wan0", "xdp")["what"]
        assert finding(report, "lan0", "mode")["state"] == "good"
        assert finding(report, "host", "forwarding4")["state"] == "note"
        gateway.agent.stop()
        site.a.run("nft", "add rule inet guard inbound udp dport { 500, 4500 } accept")
        gateway.config.chmod(0o600)
        report = doctor(gateway)
        assert ("daemons", "agent") in wrong(report)
        assert not {("firewall", "udp500"), ("firewall", "udp4500"), ("configuration", "file")} & wrong(report)
        gateway.ike.stop()
        assert ("daemons", "ike") in wrong(doctor(gateway))
        gateway.write("agent: 5\n")
        report = doctor(gateway)
        assert "espalier.yaml:1" in finding(report, "configuration", "file")["what"]


@pytest.mark.needs(*need.GATEWAY)
@pytest.mark.parametrize("mode", ["native", "generic"])
def test_mtu(mode):
    """An MTU above one buffer of the driver's native mode, and what came of it."""
    with Lab() as lab:
        site = Site(lab)
        for ns, name in ((site.a, "wan0"), (site.router, "a0")):
            ns.ip(f"link set {name} mtu 9000")
        gateway = Gateway(site.a, pair(site)[0], agent={"xdp_mode": mode})
        gateway.start()
        report = doctor(gateway)
        mtu = finding(report, "wan0", "mtu")
        assert mtu["state"] == ("good" if mode == "native" else "note") and mtu["what"].startswith("the MTU is 9000"), mtu
        assert f"served in {mode} mode" in finding(report, "wan0", "mode")["what"]
        assert "Espalier" in finding(report, "wan0", "xdp")["what"]
        assert finding(report, "lan0", "mtu")["state"] == "good"


@pytest.mark.needs("espalier")
def test_without_root():
    """It runs, looks at what it may, and says what it could not see."""
    user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # open to all, as pytest's folders are not
        folder = Path(folder)
        folder.chmod(0o755)
        shutil.copy(BUILD / "espalier", folder)
        config = folder / "espalier.yaml"
        config.write_text("agent: {interfaces: [lo]}\n")
        argv = [folder / "espalier", "--json", "--config", config, "--socket", folder / "none.sock", "doctor"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False, **user)
    report = json.loads(done.stdout)
    assert done.returncode == 1  # no daemon
    assert finding(report, "kernel", "af_xdp")["state"] == "unseen"
    assert finding(report, "kernel", "release")["state"] == "good"
    assert finding(report, "lo", "link")["state"] == "good"
    assert ("daemons", "ike") in wrong(report)
