# SPDX-License-Identifier: Apache-2.0
"""
Links of 9001 bytes: packets longer than a buffer go through the tunnel in one piece, whatever the transmit engine.

In native mode the frames come in several buffers, in generic mode the kernel has copied them into one.
"""

import pytest

from lab import need, topology as at, traffic
from lab.capture import MARKER
from lab.gateway import Gateway
from lab.scene import scene
from lab.shell import wait_until

pytestmark = pytest.mark.needs(*need.GATEWAY)

MTU = 9001
ICMP_HEADERS = 28  # IPv4 and ICMP
OVERHEAD_MAX = 80  # of ESP in UDP in tunnel mode over IPv4, padding included


def widen(site):
    for ns, names in ((site.client, ["eth0"]), (site.a, ["lan0", "wan0"]), (site.router, ["a0", "b0"]),
                      (site.b, ["lan0", "wan0"]), (site.server, ["eth0"])):
        ns.ip(*(f"link set {name} mtu {MTU}" for name in names))


def served(end):
    return [i for i in end.cli("status")["interfaces"] if i["name"] in ("lan0", "wan0")]


@pytest.mark.parametrize("mode", ["native", "generic"])
@pytest.mark.parametrize("engine", ["xsk", "live"])
def test_jumbo_frames(engine, mode):
    def gateway(ns, tunnel):
        return Gateway(ns, tunnel, agent={"tx_engine": engine, "xdp_mode": mode})

    with scene(near=gateway, far=gateway, nat=False, start=False) as s:
        widen(s.site)
        s.start()
        for end in (s.a, s.b):
            for interface in served(end):
                assert interface["multi_buffer"] and interface["mode"] == mode, interface
                assert interface["tx_engine"] == "xsk", "a frame of the live engine's is within one page"
        seen = s.site.capture(filter="ip or ip6")
        largest = MTU - ICMP_HEADERS - OVERHEAD_MAX
        for size in (56, 1400, 3500, 4100, 8000, largest):
            assert s.ping(5, size=size).lost == 0, f"{size} bytes"
        with traffic.Echo(s.server, at.SERVER[4]):
            data = MARKER * 40000
            assert traffic.tcp_echo(s.client, at.SERVER[4], data) == data
        verdict = seen.verdict()
        assert verdict.clean and not verdict.counts["fragment"], str(verdict)
        lengths = max(int(f"{frame[16]:02x}{frame[17]:02x}", 16) for _, frame in seen.frames() if frame[12:14] == b"\x08\x00")
        assert largest + ICMP_HEADERS < lengths <= MTU
        # Of a link's whole MTU a packet does not fit the tunnel: its sender is told, and learns the size.
        assert traffic.ping(s.client, at.SERVER[4], 1, size=MTU - ICMP_HEADERS, pmtu="do").received == 0
        wait_until("the client has learned the tunnel's size", lambda: "mtu" in s.client.run(
            "ip", "route", "get", at.SERVER[4]).stdout)


@pytest.mark.parametrize("padding", ["mtu", 8000])
def test_padding_of_a_wide_path(padding):
    """Small packets are padded as far as their buffers reach, and arrive; longer ones go as they are."""
    with scene(nat=False, start=False, child_options={"tfc_padding": padding}) as s:
        widen(s.site)
        s.start()
        seen = s.site.capture(filter="ip proto 50", snap=100)
        for size in (56, 1400, 3500, 4100, 8000):
            assert s.ping(5, size=size).lost == 0, f"{size} bytes"
        assert seen.verdict().clean
        lengths = sorted({int(f"{frame[16]:02x}{frame[17]:02x}", 16) for _, frame in seen.frames()})
        assert 3700 < lengths[0] and lengths[-1] > 8000, lengths
