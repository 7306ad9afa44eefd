# SPDX-License-Identifier: Apache-2.0
"""A narrow link between the gateways: the sender learns of it, and what was cut for it is put together again."""

import json

import pytest

from lab import need, topology as at, traffic
from lab.capture import MARKER
from lab.scene import charon, scene
from lab.shell import run, wait_until

pytestmark = pytest.mark.needs(*need.GATEWAY)

NARROW = 1320  # IPv6 allows no less than 1280
LARGE = 1340  # bytes of payload: sealed more than NARROW, and less than the 1500 of all other links
HEADERS = {4: 28, 6: 48}  # IP and ICMP echo
FORMS = {
    "esp-ipv4": dict(outer=4, inner=(4,), nat=False),
    "esp-ipv6": dict(outer=6, inner=(4,), nat=False),
    "nat-ipv4": dict(outer=4, inner=(4,), nat=True),
    "udp-ipv6": dict(outer=6, inner=(4,), nat=False, encap=True),
}


def narrow(s, side):
    """The link between the router and gateway `side` ("a" or "b") takes only small packets."""
    router, gateway = ("a0", s.site.a) if side == "a" else ("b0", s.site.b)
    s.site.router.ip(f"link set {router} mtu {NARROW}")
    gateway.ip(f"link set wan0 mtu {NARROW}")


def large(s, version):
    return traffic.ping(s.client, at.SERVER[version], 1, size=LARGE, pmtu="do", wait=0.3)


def told(s, version):
    """The size that the client knows for its way to the server, or 0."""
    routes = json.loads(run(["ip", "-n", s.client.name, "-json", "route", "get", at.SERVER[version]]).stdout)
    return next((m["mtu"] for r in routes for m in r.get("metrics", []) if "mtu" in m), 0)


def fragments_lost(end):
    return {r: n for r, n in end.drops().items() if n and r.startswith(("ESP_", "REASSEMBLY_", "ICV_"))}


@pytest.mark.parametrize("form", FORMS)
def test_the_sender_is_told(form):
    """A knows nothing of the link behind the router, whose word it believes and passes on."""
    options = FORMS[form]
    version = options["inner"][0]
    with scene(start=False, **options) as s:
        narrow(s, "b")
        for end in (s.b, s.a):
            end.start()
        s.site.warm()
        s.a.up()
        wait_until("a packet goes through the tunnel", lambda: s.ping(1, version=version).received)

        def one(size):
            return traffic.ping(s.client, at.SERVER[version], 1, size=size, pmtu="do", wait=0.3)

        wire = s.site.capture("b0", snap=100)
        wait_until("the client is told", lambda: (large(s, version), 0 < told(s, version) < NARROW)[1], 10)
        mtu = told(s, version)
        assert NARROW - 110 < mtu
        assert s.a.drops("ICMP_UNBELIEVED") == 0
        assert one(mtu - HEADERS[version]).received == 1
        assert one(mtu - HEADERS[version] + 1).received == 0
        with traffic.Echo(s.server, at.SERVER[version]):
            data = MARKER * 10000
            assert traffic.tcp_echo(s.client, at.SERVER[version], data) == data
        assert wire.verdict().clean


@pytest.mark.needs(*need.CHARON)
@pytest.mark.parametrize("outer", [4, 6])
def test_fragments_of_another_host(outer):
    """charon's packets do not fit its own link: its kernel sends them in fragments."""
    with scene(far=charon, outer=outer, nat=False) as s:
        narrow(s, "b")
        wire = s.site.capture("b0", snap=100)
        # A learns of the link by its first packet; what it sends then is cut inside the tunnel.
        wait_until("the way there is known",
                   lambda: traffic.ping(s.client, at.SERVER[4], 1, size=LARGE, wait=0.3).received)
        assert traffic.ping(s.client, at.SERVER[4], 5, size=LARGE).lost == 0
        verdict = wire.verdict()
        assert verdict.counts["fragment"] > 5 and not verdict.leaks, str(verdict)
        assert not fragments_lost(s.a)


@pytest.mark.parametrize("outer", [4, 6])
def test_the_least_ipv6_packet_goes_whole(outer):
    """No IPv6 sender goes below 1280 bytes: A cuts the outer packet, and B puts it together."""
    with scene(outer=outer, inner=(6,), nat=False) as s:
        narrow(s, "b")
        wait_until("the client is told", lambda: (large(s, 6), told(s, 6))[1] == 1280)
        wire = s.site.capture("b0", snap=100)
        assert traffic.ping(s.client, at.SERVER[6], 5, size=1280 - HEADERS[6], pmtu="do").lost == 0
        verdict = wire.verdict()
        assert verdict.counts["fragment"] >= 10 and not verdict.leaks, str(verdict)
        assert not fragments_lost(s.a) and not fragments_lost(s.b)


def test_fragments_made_by_a_router():
    """B clears don't-fragment: the router cuts what A's link does not take."""
    with scene(nat=False, start=False, child_options={"df": "clear"}) as s:
        narrow(s, "a")
        s.start()
        wire = s.site.capture("a0", snap=100)
        with traffic.Echo(s.client, at.CLIENT[4]):
            assert traffic.udp_echo(s.server, at.CLIENT[4], bytes(1360), tries=3)
        verdict = wire.verdict()
        assert verdict.counts["fragment"] > 0 and not verdict.leaks, str(verdict)
        assert not fragments_lost(s.a)
