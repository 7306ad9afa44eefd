# SPDX-License-Identifier: Apache-2.0
"""Where gateways stand: a hub between its spokes, remote clients with one address each, a gateway with one arm."""

import json
import os
from contextlib import contextmanager

import pytest

from lab import need, star, topology as at, traffic
from lab.capture import MARKER
from lab.gateway import Gateway
from lab.net import Lab
from lab.scene import scene
from lab.shell import run, wait_until
from lab.topology import Site
from lab.tunnel import pair

pytestmark = pytest.mark.needs(*need.GATEWAY)


def carries(from_ns, to_ns, to):
    """Pings and TCP that arrive whole, from one namespace to an address of another."""
    wait_until("a first packet", lambda: traffic.ping(from_ns, to, 1, wait=1).received)
    for size in (56, 1000, 1300):
        assert traffic.ping(from_ns, to, 5, size=size).lost == 0, f"{size} bytes"
    data = MARKER + os.urandom(300000)
    with traffic.Echo(to_ns, to):
        assert traffic.tcp_echo(from_ns, to, data) == data


@contextmanager
def running(**options):
    with Lab() as lab:
        made = star.Star(lab, **options)
        try:
            made.start()
            yield made
        except BaseException:
            print(made.logs())
            raise


def test_hub_and_spokes():
    """To the hub's network, to the hub itself, and from spoke to spoke through two tunnels; the hub counts one hop."""
    with running(spokes=2) as s:
        seen = [s.capture(name) for name in ("hub0", "s1", "s2")]
        for version in (4, 6):
            carries(s.clients[1], s.server, star.SERVER[version])
            carries(s.clients[2], s.hub_ns, star.HUB_LAN[version])
            carries(s.clients[1], s.clients[2], s.address(2, version))
            carries(s.clients[2], s.clients[1], s.address(1, version))
            carries(s.namespaces[1], s.clients[2], s.address(2, version))
        hops = s.clients[1].run("ping", "-n", "-c", "1", "-W", "2", s.address(2, 4)).stdout
        assert "ttl=61" in hops  # spoke, hub, spoke
        for capture in seen:
            verdict = capture.verdict()
            assert verdict.clean and verdict.counts["ESP"] > 100, str(verdict)
        bad = {r: n for r, n in s.hub.drops().items() if n and r not in ("POLICY_NONE", "TX_FULL", "NEIGHBOR_PENDING")}
        assert not bad, bad


def test_one_spoke_is_down():
    """What is for it dies at the hub, counted, and in clear nowhere; the others go on."""
    with running(spokes=2) as s:
        carries(s.clients[1], s.clients[2], s.address(2, 4))
        s.ends[2].stop()
        s.hub.down("s2")
        seen = [s.capture(name) for name in ("hub0", "s2")]
        assert traffic.ping(s.clients[1], s.address(2, 4), 5, wait=1).received == 0
        assert traffic.ping(s.clients[1], star.SERVER[4], 5).lost == 0
        for capture in seen:
            verdict = capture.verdict()
            assert verdict.clean, str(verdict)


def test_remote_clients():
    """Hosts with one inner address: to the network behind the gateway, from it, and to each other."""
    with running(spokes=0, singles=2) as s:
        seen = s.capture("hub0")
        for version in (4, 6):
            for k in (1, 2):
                carries(s.clients[k], s.server, star.SERVER[version])
                carries(s.server, s.clients[k], s.address(k, version))
            carries(s.clients[1], s.clients[2], s.address(2, version))
        verdict = seen.verdict()
        assert verdict.clean and verdict.counts["ESP"] > 100, str(verdict)


NARROW = 1320  # bytes, of the hub's way to spoke 2; of all others 1500
LARGE = 1340  # bytes of payload: sealed more than NARROW, and less than 1500
HEADERS = {4: 28, 6: 48}  # IP and ICMP echo


def told(ns, address):
    """The size that `ns` knows for its way there, or 0."""
    routes = json.loads(run(["ip", "-n", ns.name, "-json", "route", "get", address]).stdout)
    return next((m["mtu"] for r in routes for m in r.get("metrics", []) if "mtu" in m), 0)


@pytest.mark.parametrize("hub_net", [True, False], ids=["hub-has-an-address", "hub-has-none"])
@pytest.mark.parametrize("version", [4, 6])
def test_narrow_path_behind_the_hub(version, hub_net):
    """The hub's word to a client behind another tunnel passes that tunnel, whether or not an address of the hub fits it."""
    with running(spokes=2, hub_net=hub_net) as s:
        s.net.ip(f"link set s2 mtu {NARROW}")
        s.namespaces[2].ip(f"link set wan0 mtu {NARROW}")
        client, there = s.clients[1], s.address(2, version)

        def one(size):
            return traffic.ping(client, there, 1, size=size, pmtu="do", wait=0.3).received

        wait_until("a first packet", lambda: one(56))
        heard = client.spawn("tcpdump", "-i", "eth0", "-l", "-n", "--immediate-mode",
                             "icmp[0] == 3" if version == 4 else "icmp6 and ip6[40] == 2", log=s.lab.dir / "heard.log")
        wait_until("tcpdump listens", lambda: "listening" in heard.text())
        wait_until("the client is told", lambda: (one(LARGE), 0 < told(client, there) < NARROW)[1], 10)
        source = star.HUB_LAN[version] if hub_net else there
        wait_until("whose word it is", lambda: f"{source} > {s.address(1, version)}: ICMP" in heard.text())
        size = told(client, there) - HEADERS[version]
        assert size > NARROW - 110 - HEADERS[version] and one(size) and not one(size + 1)
        with traffic.Echo(s.clients[2], there):
            data = MARKER + os.urandom(300000)
            assert traffic.tcp_echo(client, there, data) == data


def test_one_arm():
    """
    A stands beside the router, on one link: plaintext comes and goes by the interface by which ESP goes and comes.
    """
    with Lab() as lab:
        site = Site(lab, nat=False)
        # The client hangs on the router, which sends to A what is for B's networks.
        site.client.ip("link del eth0")
        lab.link((site.client, "eth0", ["10.1.0.2/16", "fd01::2/64"]), (site.router, "c0", ["10.1.0.1/16", "fd01::1/64"]))
        site.client.ip("route add default via 10.1.0.1", "route add default via fd01::1")
        site.router.ip(f"route del {at.INNER_A4} via {at.WAN_A[4]}", f"route del {at.INNER_A6} via {at.WAN_A[6]}",
                       f"route replace {at.INNER_B4} via {at.WAN_A[4]}", f"route replace {at.INNER_B6} via {at.WAN_A[6]}")
        a, b = pair(site, 4, (4, 6))
        gateways = [Gateway(site.b, b), Gateway(site.a, a, interfaces=("wan0",))]
        for gateway in gateways:
            gateway.start()
        gateways[1].up()
        seen = site.capture("b0")
        for version in (4, 6):
            carries(site.client, site.server, at.SERVER[version])
            carries(site.server, site.client, at.CLIENT[version])
        verdict = seen.verdict()
        assert verdict.clean and verdict.counts["ESP"] > 100, str(verdict)
        gateways[1].kill_agent()  # closed, and the router has no other way
        assert traffic.ping(site.client, at.SERVER[4], 3, wait=1).received == 0


def test_written_neighbors_stay():
    """A neighbour that an administrator wrote is used and not changed: using an entry of the kernel's makes it one that expires."""
    with scene(start=False) as s:
        written = ((s.a.ns, at.ROUTER_A[4], "wan0", s.site.router.mac("a0")),
                   (s.b.ns, at.SERVER[4], "lan0", s.site.server.mac("eth0")))
        for ns, address, interface, mac in written:
            ns.ip(f"neigh replace {address} lladdr {mac} dev {interface} nud permanent")
        s.start()
        assert s.ping(5).lost == 0
        for ns, address, interface, mac in written:
            shown = run(["ip", "-n", ns.name, "neigh", "show", address, "dev", interface]).stdout
            assert shown.split() == [address, "lladdr", mac, "PERMANENT"]
