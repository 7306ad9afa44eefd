# SPDX-License-Identifier: Apache-2.0
"""Tunnels whose remote network contains the local one: everything else goes in, what is on this side stays on it."""

import json

import pytest

from lab import need, topology as at, traffic
from lab.capture import MARKER
from lab.gateway import Gateway
from lab.scene import scene
from lab.shell import run, wait_until

pytestmark = pytest.mark.needs(*need.GATEWAY)

FULL = ["0.0.0.0/0", "::/0"]
WIDE = ["10.0.0.0/8", "fd00::/8"]


def ends(networks):
    return dict(near=lambda ns, t: Gateway(ns, t.but(remote_ts=networks)),
                far=lambda ns, t: Gateway(ns, t.but(local_ts=networks)), nat=False, inner=(4, 6))


def echoes(ns, to, address):
    """TCP from `ns` to `address`, an address of `to`."""
    with traffic.Echo(to, address):
        assert traffic.tcp_echo(ns, address, MARKER * 1000) == MARKER * 1000


def local_and_tunnel(s):
    """What must work whatever contains what; nothing of it may be seen on the way."""
    seen = s.site.capture()
    for version in (4, 6):
        echoes(s.client, s.site.a, at.LAN_A[version])
        echoes(s.site.a, s.client, at.CLIENT[version])
        echoes(s.client, s.server, at.SERVER[version])
        echoes(s.site.a, s.server, at.SERVER[version])
        echoes(s.server, s.client, at.CLIENT[version])
    verdict = seen.verdict()
    assert verdict.clean and verdict.counts["ESP"] > 50, str(verdict)


def rules(ns):
    found = [json.loads(run(["ip", "-n", ns.name, "-json", family, "rule"]).stdout) for family in ("-4", "-6")]
    return sorted(r["priority"] for family in found for r in family if 4500 <= r["priority"] < 4600)


def tables(ns):
    routes = [run(["ip", "-n", ns.name, family, "route", "show", "table", "all"]).stdout for family in ("-4", "-6")]
    return [line for line in "".join(routes).splitlines() if "table 450" in line]


def detached(s):
    s.a.stop()
    s.a.ns.run(s.a.agent.popen.args[4], "-c", str(s.a.config), "--detach")
    assert rules(s.site.a) == [] and tables(s.site.a) == []


def test_everything_by_the_tunnel():
    """The local network reaches this gateway, and by the tunnel all else; the gateway's outer address stays reachable."""
    with scene(**ends(FULL)) as s:
        local_and_tunnel(s)
        for version in (4, 6):  # 198.51.100.1 is not on a network of A: the reply takes the default route
            echoes(s.site.b, s.site.a, at.WAN_A[version])
            assert traffic.ping(s.site.router, at.WAN_A[version], 3).lost == 0
            assert traffic.ping(s.client, at.WAN_A[version], 3).lost == 0
        s.a.rekey("ike")
        s.a.rekey("child")
        local_and_tunnel(s)
        full = rules(s.site.a)
        s.a.kill_agent()
        s.a.start_agent()
        wait_until("a packet goes through the tunnel", lambda: s.ping(1).received)
        local_and_tunnel(s)
        assert rules(s.site.a) == full
        s.a.write(s.a.config.read_text().replace('"0.0.0.0/0"', '"10.2.0.0/16"').replace('"::/0"', '"fd02::/64"'))
        s.a.command("reload")
        wait_until("the rules of the full tunnel are gone", lambda: set(rules(s.site.a)) == {4500})
        detached(s)


def test_wider_network_by_the_tunnel():
    """A branch of 10.0.0.0/8: the narrower network that is its own stays reachable."""
    with scene(**ends(WIDE)) as s:
        local_and_tunnel(s)
        assert set(rules(s.site.a)) == {4500}
        detached(s)
