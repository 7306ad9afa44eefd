# SPDX-License-Identifier: Apache-2.0
"""
Rules of the host that look at more of a packet than its destination (ip rule).

    A has a second way to the router: a 192.168.8.2 wan1 ─── a1 192.168.8.1 router
"""

from contextlib import contextmanager

import pytest

from lab import need, topology as at, traffic
from lab.gateway import Gateway
from lab.net import Lab
from lab.shell import wait_until
from lab.topology import Site
from lab.tunnel import pair

pytestmark = pytest.mark.needs(*need.GATEWAY)

SECOND = {4: "192.168.8.2", 6: "2001:db8:8::2"}
ROUTER = {4: "192.168.8.1", 6: "2001:db8:8::1"}
LENGTH = {4: 24, 6: 64}


@contextmanager
def two_uplinks(version, interfaces):
    """
    A's tunnel is that of its second address; A's main routes lead out of wan0, and the router takes from each link only
    what it would send back there, as clouds do.
    """
    with Lab() as lab:
        site = Site(lab, nat=False)
        lab.link((site.a, "wan1", [f"{SECOND[v]}/{LENGTH[v]}" for v in (4, 6)]),
                 (site.router, "a1", [f"{ROUTER[v]}/{LENGTH[v]}" for v in (4, 6)]))
        for v in (4, 6):
            site.a.ip(f"route add default via {ROUTER[v]} dev wan1 table 2")
            site.a.run("ip", f"-{v}", "rule", "add", "from", SECOND[v], "lookup", "2", "priority", "10000")
        site.router.sysctl("net.ipv4.conf.all.rp_filter", 1)
        near, far = pair(site, version)
        a = Gateway(site.a, near.but(local=SECOND[version]), interfaces=interfaces)
        b = Gateway(site.b, far.but(remote=SECOND[version]))
        try:
            b.start()
            a.start()
            site.warm()
            a.up()
            yield site, a, b
        except BaseException:
            print(a.logs(), b.logs(), sep="\n")
            raise


def sent_by(capture, address):
    """ESP of this source on the wire."""
    return sum(p.kind == "ESP" and p.source == address for p in capture.stop().packets())


@pytest.mark.parametrize("version", [4, 6])
def test_the_address_chooses_the_uplink(version):
    with two_uplinks(version, ("lan0", "wan0", "wan1")) as (site, _, _):
        wires = {end: site.capture(end) for end in ("a0", "a1")}
        wait_until("a packet goes through", lambda: traffic.ping(site.client, at.SERVER[4], 1, wait=1).received)
        assert traffic.ping(site.client, at.SERVER[4], 20, interval=0.01).lost == 0
        assert sent_by(wires["a0"], SECOND[version]) == 0
        assert sent_by(wires["a1"], SECOND[version]) > 20


@pytest.mark.parametrize("version", [4, 6])
def test_the_address_chooses_an_interface_of_the_host(version):
    """The same where the agent does not serve the second uplink: the kernel sends, and hears what the source is."""
    with two_uplinks(version, ("lan0", "wan0")) as (site, _, b):
        wires = {end: site.capture(end) for end in ("a0", "a1")}
        traffic.ping(site.client, at.SERVER[4], 20, interval=0.01, wait=1)
        wait_until("B opens them", lambda: b.traffic()["rx_packets"] > 10)
        assert sent_by(wires["a0"], SECOND[version]) == 0
        assert sent_by(wires["a1"], SECOND[version]) > 10


def test_rules_about_inner_packets():
    """What comes out of the tunnel goes where the host's rules say by its source, from the moment they say so."""
    with Lab() as lab:
        site = Site(lab, nat=False)
        near, far = pair(site)
        a, b = Gateway(site.a, near), Gateway(site.b, far)
        b.start()
        a.start()
        site.warm()
        a.up()

        def passes():
            return traffic.ping(site.client, at.SERVER[4], 1, wait=1).received == 1

        wait_until("a packet goes through", passes)
        site.a.ip("route add blackhole default table 3", f"rule add from {at.INNER_B4} lookup 3 priority 10000")
        wait_until("the rule decides", lambda: not passes())
        assert traffic.ping(site.client, at.SERVER[4], 5, wait=1).received == 0
        site.a.ip(f"rule del from {at.INNER_B4} lookup 3 priority 10000")
        wait_until("nothing stands in the way", passes)
        assert traffic.ping(site.client, at.SERVER[4], 20, interval=0.01).lost == 0
