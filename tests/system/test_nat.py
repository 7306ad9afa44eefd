# SPDX-License-Identifier: Apache-2.0
"""
Several gateways behind one address translator. Each is told from the others by its SPIs alone, and keeps its tunnel when
the translator gives it another port. What leads to one of them never leads to another: where their traffic cannot be told
apart, the second is refused (RFC 3948 5.1, 5.2).

    g1 192.168.7.11 ──┐
                      ├── router (NAT) 198.51.100.1 ──── 198.51.100.2 hub ── 10.2.0.1
    g2 192.168.8.12 ──┘
"""

from contextlib import contextmanager

import pytest

from lab import need, topology as at, traffic
from lab.gateway import Gateway
from lab.net import Lab
from lab.shell import wait_until
from lab.tunnel import Tunnel

pytestmark = pytest.mark.needs(*need.GATEWAY)

HUB, HUB_INNER = at.WAN_B[4], "10.2.0.1"
SPOKES = {"g1": ("192.168.7.11", "192.168.7.1", "10.1.1.1"), "g2": ("192.168.8.12", "192.168.8.1", "10.1.2.1")}
# Ports of the translator's own choice: both spokes send from 4500.
NAT = """\
table ip lab {{
    chain out {{
        type nat hook postrouting priority 100
        oifname "b0" udp sport {{ 500, 4500 }} masquerade to :{first}-{last}
        oifname "b0" masquerade
    }}
}}
"""


def translate(router, first, last):
    router.run("nft", "-f", "-", stdin="table ip lab\ndelete table ip lab\n" + NAT.format(first=first, last=last))


def tunnel(name, spoke):
    address, _, inner = SPOKES[name]
    mine, theirs = [f"{inner}/32"], ["10.2.0.0/16"]
    near, far = f"{name}.lab.test", "hub.lab.test"
    if spoke:
        return Tunnel(address, HUB, near, far, mine, theirs, psk=f"the secret of {name}")
    return Tunnel(HUB, "%any", far, near, theirs, mine, psk=f"the secret of {name}", name=name)


@contextmanager
def behind_one(tunnels, spoke_tunnel):
    """The network with the hub's `tunnels` and each spoke's, all running, nothing up."""
    with Lab() as lab:
        router, hub = lab.namespace("router"), lab.namespace("hub")
        lab.link((router, "b0", [f"{at.ROUTER_B[4]}/24"]), (hub, "wan0", [f"{HUB}/24"]))
        hub.ip(f"addr add {HUB_INNER}/32 dev lo", f"route add default via {at.ROUTER_B[4]}")
        spokes = {}
        for name, (address, way, inner) in SPOKES.items():
            ns = lab.namespace(name)
            lab.link((ns, "wan0", [f"{address}/24"]), (router, name, [f"{way}/24"]))
            ns.ip(f"addr add {inner}/32 dev lo", f"route add default via {way}")
            spokes[name] = ns
        translate(router, 20000, 20999)
        center = Gateway(hub, tunnels, interfaces=("wan0",))
        ends = {name: Gateway(ns, spoke_tunnel(name), interfaces=("wan0",)) for name, ns in spokes.items()}
        try:
            for end in (center, *ends.values()):
                end.start()
            yield router, center, ends
        except BaseException:
            print(center.logs(), *(end.logs() for end in ends.values()), sep="\n")
            raise


@pytest.fixture
def place():
    with behind_one([tunnel(name, False) for name in SPOKES], lambda name: tunnel(name, True)) as made:
        for end in made[2].values():
            end.up()
        yield made


def pings(end, count=20, **options):
    return traffic.ping(end.ns, HUB_INNER, count, interval=0.02, **options)


def test_two_behind_one(place):
    _, center, ends = place
    both = {name: center.status(name)["remote"] for name in ends}
    assert both["g1"] != both["g2"], f"the translator did not translate: {both}"
    for end in ends.values():
        wait_until("a packet goes through the tunnel", lambda e=end: pings(e, 1, wait=1).received)
        assert pings(end).lost == 0
    # Both at once, and what one carries is not counted for the other.
    before = {name: center.status(name)["rx_packets"] for name in ends}
    assert pings(ends["g1"], 50).lost == 0
    wait_until("the hub has counted", lambda: center.status("g1")["rx_packets"] >= before["g1"] + 50)
    assert center.status("g2")["rx_packets"] < before["g2"] + 10


def test_translator_forgets(place):
    """New ports for both: the hub follows the newest authenticated packet; no SA is made anew."""
    router, center, ends = place
    for end in ends.values():
        wait_until("a packet goes through the tunnel", lambda e=end: pings(e, 1, wait=1).received)
    spis = {name: end.spis() for name, end in ends.items()}
    before = {name: center.status(name)["remote"] for name in ends}
    translate(router, 30000, 30999)
    router.ip("link set b0 down", "link set b0 up")  # masquerading forgets what went through the link
    for name, end in ends.items():
        wait_until("the tunnel carries on", lambda e=end: pings(e, 2, wait=1).received == 2, 15)
        wait_until("the hub tells the new port", lambda n=name: center.status(n)["remote"] != before[n], 15)
        assert pings(end).lost == 0
        assert end.spis() == spis[name]


# ---- what cannot be told apart -------------------------------------------------------------------------------------
ALL = "%any"


def transport(name, protocol=""):
    """A spoke that talks for itself, all or one protocol; at the hub both have the translator's address."""
    address, part = SPOKES[name][0], f"[{protocol}]" if protocol else ""
    return Tunnel(address, HUB, f"{name}.lab.test", "hub.lab.test", [f"{address}/32{part}"], [f"{HUB}/32{part}"],
                  psk=f"the secret of {name}", mode="transport")


def transport_hub():
    return [Tunnel(HUB, ALL, "hub.lab.test", f"{name}.lab.test", ["dynamic"], ["dynamic"], psk=f"the secret of {name}",
                   mode="transport", name=name) for name in SPOKES]


HOME = "192.168.1.10"  # of every road warrior


def warrior(name):
    return tunnel(name, True).but(local_ts=[f"{HOME}/32"], psk="the secret of all")


def warriors_hub():
    return [Tunnel(HUB, ALL, "hub.lab.test", "*.lab.test", ["10.2.0.0/16"], ["192.168.1.0/24"], psk="the secret of all",
                   name="any")]


def echoes(end, protocol, port=7007):
    ask = traffic.tcp_echo if protocol == "tcp" else traffic.udp_echo
    return ask(end.ns, HUB, b"through its own SA", port)


def test_transport_told_apart():
    """One has TCP, the other UDP: each goes its own way, though the hub sees one address."""
    protocols = {"g1": "tcp", "g2": "udp"}
    with behind_one(transport_hub(), lambda name: transport(name, protocols[name])) as (_, center, ends), \
            traffic.Echo(center.ns, HUB):
        for end in ends.values():
            end.up()
        for name, protocol in protocols.items():
            before = center.status(name)["tx_packets"]
            assert echoes(ends[name], protocol) == b"through its own SA"
            assert center.status(name)["tx_packets"] > before
        assert all(center.is_up(name) for name in protocols)


CLASHES = {
    "transport": (transport_hub, transport, lambda end: echoes(end, "udp") == b"through its own SA"),
    "tunnel": (warriors_hub, warrior,
               lambda end: traffic.ping(end.ns, HUB_INNER, 1, wait=1).received),
}


@pytest.mark.parametrize("kind", CLASHES)
def test_second_is_refused(kind):
    """Both have the same traffic: the first keeps it, the second is told, and so is the operator, by both names."""
    hub_tunnels, spoke_tunnel, reaches = CLASHES[kind]
    with behind_one(hub_tunnels(), spoke_tunnel) as (_, center, ends), traffic.Echo(center.ns, HUB):
        first, second = ends.values()
        for end in ends.values():
            end.ns.ip(f"addr add {HOME}/32 dev lo")
        first.up()
        wait_until("the first gets through", lambda: reaches(first))
        spis = center.spis()
        second.command("up", second.tunnels[0].name, "--timeout", "5", check=False)
        wait_until("the hub has refused", lambda: any(e["kind"] == "child-refused" for e in center.cli("events")["events"]))
        event = next(e for e in center.cli("events")["events"] if e["kind"] == "child-refused")
        assert "g1.lab.test" in event["text"] and "g2.lab.test" in event["text"], event
        assert not second.is_up()
        wait_until("the second is told", lambda: "TS_UNACCEPTABLE" in second.status()["last_error"])
        assert reaches(first), "the first has lost its traffic"
        assert center.spis() == spis
        first.rekey("child")
        assert reaches(first)
