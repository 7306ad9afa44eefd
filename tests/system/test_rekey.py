# SPDX-License-Identifier: Apache-2.0
"""Rekeys under traffic lose nothing, whoever starts them."""

import pytest

from lab import need
from lab.scene import scene
from lab.shell import wait_until

pytestmark = pytest.mark.needs(*need.GATEWAY)


def test_ten_thousand_pings():
    """Some 10,000 pings of mixed sizes; each gateway rekeys the CHILD and the IKE SA meanwhile."""
    with scene(esp="aes256gcm16-x25519") as s:
        wire = s.site.capture()
        before = s.a.spis()
        pings = s.under_traffic(10000, 9.0, *(lambda e=end, w=what: e.rekey(w) for end in (s.a, s.b)
                                              for what in ("child", "ike")))
        assert pings.sent > 9000 and pings.lost == 0 and not pings.errors, str(pings)
        assert set(before).isdisjoint(s.a.spis())
        assert s.a.rekeys() == s.b.rekeys() == (2, 2)
        assert len(s.a.sas()) == len(s.b.sas()) == 2
        verdict = wire.verdict()
        assert verdict.clean, str(verdict)
        assert all(len(numbers) == len(set(numbers)) for numbers in wire.sequences().values())


@pytest.mark.parametrize("what", ["child", "ike"])
def test_by_lifetime(what):
    """The configured time alone brings the rekey about, again and again."""
    options = {"child_options": {"rekey_time": "2s", "life_time": "20s"}} if what == "child" else \
        {"options": {"rekey_time": "2s", "over_time": "20s"}}
    counter = {"child": "rekeys", "ike": "ike_rekeys"}[what]
    with scene(**options) as s:
        pings = s.under_traffic(2000, 8.0, lambda: wait_until(
            "three rekeys", lambda: s.a.status()[counter] + s.b.status()[counter] >= 3, 10), early=True)
        assert pings.lost == 0, str(pings)


def test_both_at_once():
    """Both ends rekey the same CHILD SA at the same time (RFC 7296 2.8.1): one pair is left, nothing is lost."""
    with scene(nat=False, site={"impair": ["-w", "100000"]}) as s:
        def collide():
            for end in (s.a, s.b):  # the link is slower than the two calls are apart
                end.command("rekey", "home", "net")
            wait_until("both have taken part", lambda: s.a.rekeys()[0] and s.b.rekeys()[0])
            wait_until("one pair is left", lambda: len(s.a.sas()) == len(s.b.sas()) == 2, 15)
        # The old inbound SA goes 5 s after its delete (IKE_GRACE_NS).
        pings = s.under_traffic(4000, 12.0, collide, early=True)
        assert pings.lost == 0, str(pings)
        assert s.a.spis() == tuple(reversed(s.b.spis()))
