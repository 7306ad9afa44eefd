# SPDX-License-Identifier: Apache-2.0
"""A tunnel between two gateways of ours: families, NAT, suites, and every way a packet may take through one."""

import os
import re

import pytest

from lab import need, topology as at, traffic
from lab.capture import MARKER
from lab.gateway import Gateway
from lab.scene import scene
from lab.shell import run, wait_until
from lab.tunnel import ESP_CBC, ESP_DEFAULT, IKE_CBC, IKE_DEFAULT

pytestmark = pytest.mark.needs(*need.GATEWAY)

GCM = {"ike": IKE_DEFAULT, "esp": ESP_DEFAULT}
CBC = {"ike": IKE_CBC, "esp": ESP_CBC}
TUNNELS = {
    "nat-gcm": dict(nat=True, outer=4, inner=(4, 6), **GCM),
    "nat-cbc": dict(nat=True, outer=4, inner=(4,), **CBC),
    "plain-gcm": dict(nat=False, outer=4, inner=(4, 6), **GCM),
    "plain-cbc": dict(nat=False, outer=4, inner=(4, 6), **CBC),
    "plain-gcm128": dict(nat=False, outer=4, inner=(4,), ike="aes128gcm16-prfsha256-ecp384", esp="aes128gcm16-ecp384"),
    "encap-forced": dict(nat=False, outer=4, inner=(4,), encap=True, ike="aes128-sha256-modp2048", esp="aes128gcm16"),
    "ipv6-gcm": dict(nat=False, outer=6, inner=(4, 6), **GCM),
    "ipv6-cbc": dict(nat=False, outer=6, inner=(4, 6), **CBC),
}


@pytest.mark.parametrize("name", TUNNELS)
def test_traffic(name):
    """Pings small and large, TCP and UDP in both families arrive whole; only ESP is on the wire; the counters have it."""
    options = TUNNELS[name]
    with scene(**options) as s:
        wire = [s.site.capture(end) for end in ("a0", "b0")]
        for version in options["inner"]:
            for size in (8, 56, 1000, 1372, 2000, 6000):
                if version == 6:  # nobody on the way fragments IPv6: both hosts learn the path's MTU first
                    s.ping(3, version, size=size)
                assert s.ping(5, version, size=size).lost == 0, f"IPv{version}, {size} bytes"
            data = MARKER + os.urandom(500000)
            with traffic.Echo(s.server, at.SERVER[version]):
                assert traffic.tcp_echo(s.client, at.SERVER[version], data) == data
                for size in (1, 16, 1200, 4000):
                    text = (MARKER * 256)[:size]
                    assert traffic.udp_echo(s.client, at.SERVER[version], text) == text, f"UDP, {size} bytes"
        for verdict in (capture.verdict() for capture in wire):
            assert verdict.clean, str(verdict)
            expected = "ESP-in-UDP" if options["nat"] or options.get("encap") else "ESP"
            assert verdict.counts[expected] > 100 and verdict.counts["IKE"] == 0
        # UDP is forced by pretending that a NAT was seen, so both ends report one.
        assert s.a.status()["nat"] == (options["nat"] or options.get("encap", False))
        for end in (s.a, s.b):
            counts = wait_until("counters", lambda e=end: (t := e.traffic())["rx_packets"] > 100 and t)
            assert counts["tx_packets"] > 100 and counts["rx_bytes"] > 500000


@pytest.fixture(scope="module")
def up():
    with scene(nat=False, inner=(4, 6)) as s:
        yield s


def test_traffic_of_the_gateway_itself(up):
    """What the gateways' own hosts send goes through ipsec0, from an address of the inner network."""
    seen = up.site.capture()
    for version in (4, 6):
        assert traffic.ping(up.site.a, at.SERVER[version], 5).lost == 0
        assert traffic.ping(up.server, at.LAN_A[version], 5).lost == 0
        assert traffic.ping(up.site.a, at.LAN_B[version], 5).lost == 0
        with traffic.Echo(up.site.b, at.LAN_B[version]):
            data = MARKER * 10000
            assert traffic.tcp_echo(up.site.a, at.LAN_B[version], data) == data
            assert traffic.tcp_echo(up.client, at.LAN_B[version], data) == data
    verdict = seen.verdict()
    assert verdict.clean and verdict.counts["ESP"] > 50, str(verdict)


def test_status_names_the_engines(up):
    """Every suite of the agent, measured at its start, and which engine serves it."""
    suites = up.a.cli("status")["suites"]
    assert {"aes256gcm16", "chacha20poly1305", "aes128ctr-sha1", "null-sha256"} <= {s["name"] for s in suites if s["protocol"] == "esp"}
    assert {"sha256", "aes128gmac"} <= {s["name"] for s in suites if s["protocol"] == "ah"}
    assert {s["engine"] for s in suites} <= {"ipsec-mb", "openssl"}
    assert all(0 < s["ns_small"] <= s["ns_large"] for s in suites if s["ns_small"])
    assert any(s["ns_small"] for s in suites)


def test_other_traffic_passes(up):
    """The outer network goes on working as if no gateway were there."""
    assert traffic.ping(up.site.a, at.WAN_B[4], 3).lost == 0
    assert traffic.ping(up.client, at.LAN_A[4], 3).lost == 0
    assert traffic.ping(up.client, at.ROUTER_A[4], 3).received in (0, 3)


@pytest.mark.parametrize("version", [4, 6])
def test_too_big_is_told(up, version):
    """With don't-fragment set the sender learns the tunnel's MTU; a packet of that size passes, one byte more does not."""
    header = 28 if version == 4 else 48

    def df(size):
        argv = up.client.argv(["ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", "-M", "do", "-s", str(size),
                               at.SERVER[version]])
        return run(argv, check=False).stdout

    first = df(1500 - header)
    mtu = int(re.search(r"mtu[ =:]+(\d+)", first)[1])
    assert 1280 <= mtu < 1500
    up.client.run("ip", f"-{version}", "route", "flush", "cache")
    assert " 2 received" in df(mtu - header)
    assert " 0 received" in df(mtu - header + 1)
    up.client.run("ip", f"-{version}", "route", "flush", "cache")


def mss_at_server(s):
    """The segment size that a SYN of the client announces when it arrives."""
    log = s.lab.dir / f"syn.{len(s.lab.processes)}.log"
    sniffer = s.server.spawn("tcpdump", "-i", "eth0", "-l", "-n", "-v", "--immediate-mode", "tcp[tcpflags] & tcp-syn != 0",
                             log=log)
    wait_until("tcpdump listens", lambda: "listening" in sniffer.text())
    with traffic.Echo(s.server, at.SERVER[4]):
        assert traffic.tcp_echo(s.client, at.SERVER[4], b"x") == b"x"
    return int(wait_until("a SYN", lambda: re.findall(r"mss (\d+)", sniffer.text()))[0])


def test_mss_is_clamped(up):
    """The server sees a SYN whose segments fit the tunnel."""
    assert 1200 <= mss_at_server(up) <= 1410


def test_mss_is_left_alone():
    """With agent.mss_clamp false at both ends the SYN arrives as it was sent. A reload changes it under living SAs."""
    def end(ns, tunnel):
        return Gateway(ns, tunnel, agent={"mss_clamp": False})

    with scene(near=end, far=end, nat=False) as s:
        assert mss_at_server(s) == 1460
        before = s.a.spis()
        for gateway in (s.a, s.b):
            gateway.agent_options["mss_clamp"] = True
            gateway.write()
            gateway.command("reload")
        wait_until("the tunnel clamps", lambda: mss_at_server(s) < 1460)
        assert s.a.spis() == before


def test_two_queues():
    """Interfaces of two queues: one worker each, the packets of one SA arrive on either."""
    with scene(nat=False, site={"queues": 2}) as s:
        assert s.ping(200, interval=0.005).lost == 0
        with traffic.Echo(s.server, at.SERVER[4]):
            data = os.urandom(2000000)
            assert traffic.tcp_echo(s.client, at.SERVER[4], data) == data
        assert {i["queues"] for i in s.a.cli("status")["interfaces"] if not i["host"]} == {2}


@pytest.mark.parametrize("version", (4, 6))
def test_no_way_behind(version):
    """For a destination that B has no route to, the sender is told so through the tunnel, and B counts the packets."""
    nowhere = {4: "10.2.99.1", 6: "fd02::99:1"}[version]
    with scene(inner=(4, 6)) as s:
        s.site.b.ip(f"route add unreachable {nowhere}")
        pings = traffic.ping(s.client, nowhere, 5)
        assert not pings.received and pings.errors, str(pings)
        assert s.b.drops("ROUTE_NONE") >= 5
        assert s.ping(5, version).lost == 0


def test_bad_link():
    """IKE and TCP come through loss, duplication and reordering."""
    impair = ["-s", "3", "-l", "50", "-d", "50", "-r", "100", "-w", "2000"]
    with scene(site={"impair": impair}, up=False) as s:
        s.a.up(seconds=60)
        wait_until("B is up", s.b.is_up, 60)
        with traffic.Echo(s.server, at.SERVER[4]):
            data = os.urandom(100000)
            assert traffic.tcp_echo(s.client, at.SERVER[4], data, seconds=60) == data
        assert s.b.drops("ICV_BAD") == 0 and s.a.drops("ICV_BAD") == 0
        assert s.a.drops("REPLAY") + s.b.drops("REPLAY") > 0
