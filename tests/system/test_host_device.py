# SPDX-License-Identifier: Apache-2.0
"""ipsec0: large packets both ways, and that it stays, closed, when the agent does not run."""

import json
import os
import socket

import pytest

from lab import need, topology as at, traffic
from lab.capture import MARKER
from lab.gateway import Gateway
from lab.net import Lab
from lab.scene import scene
from lab.shell import Failed, run, wait_until
from lab.topology import Site
from lab.tunnel import pair

pytestmark = pytest.mark.needs(*need.GATEWAY)

UDP_SEGMENT = 103  # linux/udp.h


def link(ns, name="ipsec0"):
    """The interface as `ip -json -d link` has it, or None."""
    done = run(["ip", "-n", ns.name, "-json", "-d", "link", "show", name], check=False)
    return json.loads(done.stdout)[0] if done.returncode == 0 else None


def routes(ns):
    text = "".join(run(["ip", "-n", ns.name, v, "route", "show", "table", "4500"], check=False).stdout for v in ("-4", "-6"))
    return sorted(line.split()[0] for line in text.splitlines() if "dev ipsec0" in line)


def answered(ns, address):
    """Whether anything comes back from `address`; a host that has no way there may say so at once."""
    try:
        return bool(traffic.ping(ns, address, 3, wait=1).received) or traffic.udp_echo(ns, address, MARKER, seconds=0.2)
    except (Failed, OSError):
        return False


def closed(s, *stops):
    """While ipsec0 leads nowhere, for whichever reason, nothing takes another way."""
    seen = s.site.capture("a0")
    for stop in stops:
        stop()
        for version in (4, 6):
            assert not answered(s.site.a, at.SERVER[version])
    verdict = seen.verdict()
    assert verdict.clean, str(verdict)


def mean_sizes(ns):
    """Mean bytes of the packets (sent by the host, received by it) through ipsec0."""
    c = ns.counters("ipsec0")
    return c["tx_bytes"] / max(1, c["tx_packets"]), c["rx_bytes"] / max(1, c["rx_packets"])


@pytest.mark.parametrize("queues", [1, 2])
def test_tcp_in_large_packets(queues):
    """What the hosts' TCP writes enters and leaves ipsec0 in packets much larger than the tunnel carries, and whole."""
    with scene(nat=False, inner=(4, 6), site={"queues": queues}) as s:
        data = os.urandom(8000000)
        for version in (4, 6):
            with traffic.Echo(s.site.b, at.LAN_B[version]):
                assert traffic.tcp_echo(s.site.a, at.LAN_B[version], data) == data
        sent, _ = mean_sizes(s.site.a)
        _, received = mean_sizes(s.site.b)
        assert sent > 6000 and received > 4000, f"{sent:.0f} {received:.0f}"
        bad = {r: n for end in (s.a, s.b) for r, n in end.drops().items() if n and r not in ("POLICY_NONE", "TX_FULL")}
        assert not bad, bad


@pytest.mark.parametrize("version", [4, 6])
def test_udp_in_large_packets(version):
    """One send of many datagrams (UDP_SEGMENT): each arrives, as large as it was meant."""
    with scene(nat=False, inner=(4, 6)) as s:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        with s.site.b.socket(family, socket.SOCK_DGRAM) as to, s.site.a.socket(family, socket.SOCK_DGRAM) as sender:
            to.bind((at.LAN_B[version], 9000))
            to.settimeout(5)
            sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1200)
            data = os.urandom(1200 * 20 + 100)
            sender.sendto(data, (at.LAN_B[version], 9000))
            got = [to.recv(65536) for _ in range(21)]
            assert b"".join(got) == data and [len(g) for g in got] == [1200] * 20 + [100]


def test_sources_need_no_way_back_by_ipsec0():
    """Strict reverse path filtering elsewhere does not hold for what comes out of a tunnel."""
    with scene(nat=False, start=False) as s:
        for end in (s.site.a, s.site.b):
            end.sysctl("net.ipv4.conf.all.rp_filter", 1)
            end.sysctl("net.ipv4.conf.default.rp_filter", 1)
        s.start()
        assert traffic.ping(s.server, at.LAN_A[4], 5).lost == 0
        assert traffic.ping(s.site.a, at.LAN_B[4], 5).lost == 0


def test_stays_when_the_agent_dies():
    """Killed: device, address and routes stay and nothing leaves in clear, whatever is done with routes without carrier."""
    with scene(nat=False, inner=(4, 6), start=False) as s:
        for family in ("ipv4", "ipv6"):
            for which in ("all", "default"):
                s.site.a.sysctl(f"net.{family}.conf.{which}.ignore_routes_with_linkdown", 1)
        s.start()
        s.site.a.ip("addr add 10.1.99.1/32 dev ipsec0")
        before, index = routes(s.site.a), link(s.site.a)["ifindex"]
        assert before == [at.INNER_B4, at.INNER_B6]
        for stop in (s.a.kill_agent, lambda: s.a.agent.stop()):
            closed(s, stop)
            assert routes(s.site.a) == before and link(s.site.a)["ifindex"] == index
            s.a.start_agent()
            wait_until("a packet goes through the tunnel",
                       lambda: answered(s.site.a, at.SERVER[4]))
            assert traffic.ping(s.site.a, at.SERVER[6], 3).lost == 0
        assert "10.1.99.1" in run(["ip", "-n", s.site.a.name, "addr", "show", "ipsec0"]).stdout


def test_stays_closed_without_the_device():
    """Set down and deleted, with the agent running and after it was started again."""
    with scene(nat=False, inner=(4, 6)) as s:
        closed(s, lambda: s.site.a.ip("link set ipsec0 down"), lambda: s.site.a.ip("link del ipsec0"))
        assert traffic.ping(s.client, at.SERVER[4], 5).lost == 0
        s.a.agent.stop()
        s.a.start_agent()
        wait_until("a packet goes through the tunnel", lambda: answered(s.site.a, at.SERVER[4]))
        assert traffic.ping(s.site.a, at.SERVER[6], 3).lost == 0


def test_in_place_of_an_older_one():
    """The veth pair of earlier agents goes; the ways into it lead into the new device."""
    with Lab() as lab:
        site = Site(lab)
        site.a.ip("link add ipsec0 type veth peer name ipsec0p", "link set ipsec0 up", "link set ipsec0p up",
                  f"route add {at.INNER_B4} dev ipsec0 table 4500 proto 145",
                  f"route add {at.INNER_B6} dev ipsec0 table 4500 proto 145")
        gateway = Gateway(site.a, pair(site)[0])
        gateway.start_agent()
        assert link(site.a)["linkinfo"]["info_kind"] == "tun" and link(site.a, "ipsec0p") is None
        assert routes(site.a) == [at.INNER_B4, at.INNER_B6]


def test_name_is_taken():
    """Another program's ipsec0 is left alone, and the message says what to do."""
    with Lab() as lab:
        site = Site(lab)
        site.a.ip("link add ipsec0 type veth peer name other0")
        gateway = Gateway(site.a, pair(site)[0])
        agent = gateway.spawn_agent()
        assert agent.wait(10) != 0
        assert "ipsec0 exists that is not ours" in agent.text()
        site.a.run(gateway.agent_program, "-c", gateway.config, "--detach")
        assert link(site.a)["linkinfo"]["info_kind"] == "veth"


def test_detach():
    with scene() as s:
        s.a.stop()
        assert link(s.site.a)
        s.site.a.run(s.a.agent_program, "-c", s.a.config, "--detach")
        assert link(s.site.a) is None and routes(s.site.a) == []
