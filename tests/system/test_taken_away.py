# SPDX-License-Identifier: Apache-2.0
"""
An interface goes, an SA is deleted, while packets for them are on their way through the agent: what cannot go on is counted,
nothing crashes, and the tunnel beside them, by another interface, loses nothing.
"""

import pytest

from lab import flow, need, topology as at
from lab.gateway import Gateway, SanitizedGateway
from lab.scene import scene
from lab.shell import wait_until

pytestmark = pytest.mark.needs(*need.GATEWAY)

SECONDS = 120  # more than it takes; the loads are ended
RATE = 2500  # datagrams a second in each tunnel, and as many answers
COUNTED = 500  # packets of the load that die for a reason before it goes on
NEAR, ROUTER, FAR = "192.168.8.2", "192.168.8.1", "198.51.100.3"
CLIENT, LAN_A, LAN_B, SERVER = "10.5.0.2", "10.5.0.1", "10.6.0.1", "10.6.0.2"


def beside(tunnel, local, remote, networks):
    here, there = networks
    return tunnel.but(name="beside", local_id=f"2.{tunnel.local_id}", remote_id=f"2.{tunnel.remote_id}", local=local, remote=remote,
                      local_ts=[here], remote_ts=[there])


def second_way(site):
    """wan1 of A, another address of B, and networks of their own behind both."""
    site.a.ip(f"link add wan1 type veth peer name a1 netns {site.router.name}", "link set wan1 up", f"addr add {NEAR}/24 dev wan1",
              f"route add {FAR} via {ROUTER}", f"addr add {LAN_A}/16 dev lan0")
    site.router.ip("link set a1 up", f"addr add {ROUTER}/24 dev a1")
    site.b.ip(f"addr add {FAR}/24 dev wan0", f"addr add {LAN_B}/16 dev lan0")
    site.client.ip(f"addr add {CLIENT}/16 dev eth0", f"route add 10.6.0.0/16 via {LAN_A} src {CLIENT}")
    site.server.ip(f"addr add {SERVER}/16 dev eth0", f"route add 10.5.0.0/16 via {LAN_B} src {SERVER}")


def dies_for(gateway, *reasons):
    """Wait until so many packets more have died for these reasons."""
    before = gateway.drops()
    wait_until(f"packets die for one of {reasons}", lambda: sum(gateway.drops()[r] - before[r] for r in reasons) >= COUNTED, 15)


def carries_on(s):
    wait_until("the tunnel carries on", lambda: s.ping(1, wait=1).received, 15)


@pytest.mark.parametrize("engine", ["xsk", "live"])
def test_under_load(engine):
    networks = ("10.5.0.0/16", "10.6.0.0/16")
    with scene(near=lambda ns, t: SanitizedGateway(ns, [t, beside(t, NEAR, FAR, networks)], interfaces=("lan0", "wan0", "wan1"),
                                                   agent={"tx_engine": engine}),
               far=lambda ns, t: Gateway(ns, [t, beside(t, FAR, NEAR, networks[::-1])]), nat=False, start=False) as s:
        second_way(s.site)
        s.start()
        s.a.up("beside")
        with flow.echo(s.server, at.SERVER[4]), flow.echo(s.server, SERVER):
            load = flow.load(s.client, at.SERVER[4], SECONDS, window=1024, rate=RATE)
            other = flow.load(s.client, SERVER, SECONDS, window=1024, rate=RATE)

            s.a.down()
            dies_for(s.a, "SA_MISSING", "HELD_OVERFLOW")
            s.a.up()
            carries_on(s)

            s.site.a.ip("link set wan0 down")
            dies_for(s.a, "PORT_DOWN", "ROUTE_NONE")
            s.site.a.ip("link set wan0 up", f"route replace default via {at.ROUTER_A[4]}")
            carries_on(s)

            s.site.a.ip("link del wan0")
            dies_for(s.a, "PORT_DOWN", "ROUTE_NONE")
            s.a.command("down", "home", "--timeout", "0")
            dies_for(s.a, "SA_MISSING", "HELD_OVERFLOW", "PORT_DOWN", "ROUTE_NONE")

            assert load.running() and other.running()
            load, other = load.end(), other.end()
        print(load, other, sep="\n")
        assert other["answered"] > 4 * COUNTED and other["lost"] == other["duplicates"] == 0, other
        assert load["answered"] and load["lost"] > 4 * COUNTED, load
        s.a.end()
