# SPDX-License-Identifier: Apache-2.0
"""The Linux kernel's own ESP, in User Mode Linux under charon: plain ESP and ESP in UDP, IPv4 and IPv6."""

import pytest

from lab import need, topology as at, traffic
from lab.scene import scene, uml
from lab.shell import wait_until
from lab.tunnel import ESP_CBC, IKE_CBC

pytestmark = pytest.mark.needs(*need.GATEWAY, *need.UML)

FORMS = {
    "plain-gcm": dict(nat=False),
    "plain-cbc": dict(nat=False, ike=IKE_CBC, esp=ESP_CBC),
    "ipv6-gcm": dict(nat=False, outer=6, inner=(4, 6)),
    "nat-gcm": dict(nat=True),
}


def exercise(s, form):
    wire = s.site.capture()
    steps = [lambda e=end, w=what: e.rekey(w) for what in ("child", "ike") for end in (s.a, s.b)]
    pings = s.under_traffic(2000, 8.0, *steps, sizes=traffic.SIZES)
    assert pings.lost == 0 and not pings.errors, str(pings)
    for version in FORMS[form].get("inner", (4,)):
        for size in (56, 1372):
            if version == 6:  # nobody on the way fragments IPv6: both hosts learn the path's MTU first
                s.ping(3, version, size=size)
            assert s.ping(5, version, size=size).lost == 0
    verdict = wire.verdict()
    assert verdict.clean and verdict.counts["ESP-in-UDP" if FORMS[form]["nat"] else "ESP"] > 2000, str(verdict)
    counts = s.b.traffic()
    assert counts["rx_packets"] and counts["tx_packets"]


@pytest.mark.parametrize("form", FORMS)
def test_we_start(form):
    with scene(far=uml, **FORMS[form]) as s:
        exercise(s, form)


def test_kernel_peer_starts():
    with scene(far=uml, nat=False, up=False) as s:
        s.b.up()
        wait_until("the tunnel is up here", s.a.is_up)
        exercise(s, "plain-gcm")


def test_big_datagrams():
    """Datagrams above the MTU: the kernel fragments after encapsulation, and we put its fragments together."""
    with scene(far=uml, nat=False) as s:
        before = int(received(s))
        assert s.ping(5, size=3000).lost == 0
        assert int(received(s)) >= before + 5
        assert s.a.drops("ESP_FRAGMENT") == 0
        assert s.ping(5, size=1372).lost == 0


def received(s):
    """ICMP echo requests that the guest has reassembled."""
    return s.b.host.sh("awk '/^Icmp:/ && !/In/ { print $10 }' /proc/net/snmp").stdout.strip()
