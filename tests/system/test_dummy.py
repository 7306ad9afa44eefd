# SPDX-License-Identifier: Apache-2.0
"""Dummy packets on request (RFC 4303 2.6): on the wire like others, counted and thrown away by the other end."""

import pytest

from lab import need, topology as at
from lab.scene import scene
from lab.shell import wait_until

pytestmark = pytest.mark.needs(*need.GATEWAY)


def lengths(wire):
    """Of the ESP packets from A on a link."""
    return [len(frame) for _, frame in wire.stop().frames() if bytes(frame)[23:24] == b"\x32"]


@pytest.mark.parametrize("queues", [1, 2])
def test_dummies(queues):
    """With several workers, the one that numbers the SA's packets gets the dummies from the one that makes them."""
    with scene(nat=False, site={"queues": queues}) as s:
        wire = s.site.capture("b0", snap=2000)
        before, sent, received = s.b.drops(), s.a.traffic()["tx_packets"], s.b.traffic()["rx_packets"]
        assert "asked for: 300 each by net" in s.a.command("dummy", "home", "net", "-n", "300", "-b", "900").stdout
        assert s.a.cli("dummy", "home", "--count", "1", "--size", "9000") == {"children": ["net"]}
        wait_until("all are counted", lambda: s.b.drops("DUMMY") - before["DUMMY"] == 301, 10)
        after = s.b.drops()
        assert {r for r in after if after[r] != before[r]} <= {"DUMMY", "POLICY_NONE"}
        assert s.a.traffic()["tx_packets"] - sent == 301 and s.b.traffic()["rx_packets"] == received
        assert s.b.status()["dropped"] == 0
        seen = lengths(wire)
        assert len([n for n in seen if 940 < n < 990]) == 300 and 1490 < max(seen) <= 1514
        assert s.ping(5).lost == 0


def test_refused():
    with scene(nat=False, ah="sha256") as s:
        for args, reason in ((("home",), "home has no ESP SA to send by"), (("home", "none"), "there is no home/none"),
                             (("home", "-n", "0"), "from 1 to 10000"), (("home", "-b", "9001"), "from 0 to 9000"),
                             (("home", "-n", "x"), "takes a number")):
            done = s.a.command("dummy", *args, check=False)
            assert done.returncode in (1, 2) and reason in done.stderr, done.stderr
