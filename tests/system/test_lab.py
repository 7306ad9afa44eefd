# SPDX-License-Identifier: Apache-2.0
"""The lab itself: what it removes, what its captures see, what its bad link does."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab import capture, need, net, topology as at, traffic
from lab.charon import parse_raw
from lab.gateway import yaml
from lab.shell import BUILD, Failed, wait_until
from lab.topology import Site

pytestmark = pytest.mark.needs(*need.LAB)
TESTS = Path(__file__).resolve().parents[1]


def test_yaml_is_block_style():
    value = {"agent": {"interfaces": ["a", "b"], "on": True}, "connections": [{"name": "x", "ids": ["1"], "none": []}]}
    assert yaml(value) == ('agent:\n  interfaces:\n    - "a"\n    - "b"\n  on: true\nconnections:\n'
                           '  - name: "x"\n    ids:\n      - "1"\n    none: []\n')


def test_raw_listing_is_read():
    text = "{home {uniqueid=2 initiator=yes remote-id=b child-sas {net-1 {spi-in=0a local-ts=[10.1.0.0/16 fd01::/64]}}}}"
    assert parse_raw(text)["home"]["child-sas"]["net-1"] == {"spi-in": "0a", "local-ts": ["10.1.0.0/16", "fd01::/64"]}


def test_removes_everything():
    with net.Lab() as lab:
        Site(lab)
        lab.mount("tmpfs", lab.dir / "mounted")
        sleeper = lab.namespaces["a"].spawn("sleep", "1000", log=lab.dir / "log")
        assert lab.id in net.labs()
    assert lab.id not in net.labs()
    assert not sleeper.alive()
    assert str(lab.dir) not in Path("/proc/self/mounts").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_removes_everything_after_a_signal(number):
    """After SIGKILL nobody is there to do it: the next run does."""
    text = "import time\nfrom lab.net import Lab\nwith Lab() as l:\n l.namespace('x')\n print(l.id, flush=True)\n time.sleep(99)"
    child = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "PYTHONPATH": str(TESTS)}, stderr=subprocess.DEVNULL)
    lab_id = child.stdout.readline().strip()
    assert lab_id in net.labs()
    child.send_signal(number)
    child.wait(20)
    if number == signal.SIGKILL:
        net.sweep()
    assert lab_id not in net.labs()


@pytest.fixture(scope="module")
def plain():
    with net.Lab() as lab:
        site = Site(lab, nat=False)
        site.warm()
        yield site


def test_capture_sees_plaintext(plain):
    """Without gateways at work everything is readable, and the verdict says so."""
    seen = plain.capture()
    leaks_only = plain.capture(filter=capture.LEAKS_ONLY)
    assert traffic.ping(plain.client, at.SERVER[4], 3).lost == 0
    with traffic.Echo(plain.server, at.SERVER[4]):
        assert traffic.tcp_echo(plain.client, at.SERVER[4], capture.MARKER) == capture.MARKER
    verdict = seen.verdict()
    assert not verdict.clean
    assert verdict.counts["leak"] >= 6
    assert any("protocol 6" in text for text in leaks_only.verdict().leaks)


def test_capture_finds_the_marker_in_allowed_packets(plain):
    seen = plain.capture()
    with plain.a.socket(2, 2) as sock:
        sock.sendto(bytes(12) + capture.MARKER, (at.WAN_B[4], 4500))
    verdict = seen.verdict()
    assert verdict.counts["IKE"] == 1 and verdict.leaks[0].startswith("marker in IKE")


def test_offload_is_as_the_driver_has_it(plain):
    """Checksum offload is on, so that gateways meet packets with partial checksums."""
    assert "tx-checksumming: on" in plain.client.run("ethtool", "-k", "eth0").stdout


def test_failures_are_told(plain):
    with pytest.raises(Failed, match="no-such-program|exit code"):
        plain.a.run("ip", "link", "show", "nosuch0")
    with pytest.raises(Failed, match="never: not within"):
        wait_until("never", lambda: False, 0.1)


@pytest.mark.skipif(not (BUILD / "tests/lab/impair").exists(), reason="impair is not built (make helpers)")
def test_impaired_link():
    """Loss, duplication and delay come about; a TCP stream survives them whole."""
    with net.Lab() as lab:
        site = Site(lab, nat=False, impair=["-s", "7", "-l", "100", "-d", "50", "-r", "100", "-w", "5000"])
        begin = time.monotonic()
        pings = traffic.ping(site.client, at.SERVER[4], 300, interval=0.01)
        assert time.monotonic() - begin > 3.0
        assert 20 < pings.lost < 110 and pings.duplicates > 5
        with traffic.Echo(site.server, at.SERVER[4]):
            data = os.urandom(100000)
            assert traffic.tcp_echo(site.client, at.SERVER[4], data, seconds=60) == data
        site.impair.stop()
        assert "arrived" in site.impair.tail(1)


@pytest.mark.parametrize("version", [4, 6])
def test_late_answers_are_no_loss(version):
    """A path that stands still for a while, as under load on a small machine: what arrives afterwards has arrived."""
    with net.Lab() as lab:
        site = Site(lab, nat=False, impair=["-s", "1"])
        site.warm()
        pings = traffic.Pinger(site.a, at.WAN_B[version], 10, 0.5, sizes=(56,), wait=10)
        wait_until("some are answered", lambda: site.a.counters("wan0")["rx_packets"] > 6)
        site.impair.popen.send_signal(signal.SIGSTOP)
        time.sleep(0.7)  # longer than ping(8) waits
        site.impair.popen.send_signal(signal.SIGCONT)
        assert str(pings.finish()) == "10 of 10 pings answered"


def test_pings_count_losses_and_errors():
    with net.Lab() as lab:
        site = Site(lab, nat=False)
        site.warm()
        assert traffic.ping(site.a, at.WAN_B[4], 5, size=20000).received == 5
        site.b.run("nft", "add table ip lose; add chain ip lose in { type filter hook input priority 0; };"
                   "add rule ip lose in meta length 500 drop")
        assert traffic.ping(site.a, at.WAN_B[4], 3, size=472, wait=0.5).lost == 3
        assert traffic.ping(site.a, at.WAN_B[4], 3, size=471).lost == 0
        site.router.ip("route add prohibit 203.0.113.7")
        refused = traffic.ping(site.a, "203.0.113.7", 3, wait=0.5)
        assert refused.received == 0 and refused.errors >= 1  # the router may say it less often
