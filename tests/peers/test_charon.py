# SPDX-License-Identifier: Apache-2.0
"""strongSwan's charon with its own ESP in user space (ESP in UDP), as initiator and as responder, behind NAT and not."""

import pytest

from lab import need, topology as at, traffic
from lab.capture import MARKER
from lab.scene import charon, scene
from lab.shell import wait_until
from lab.tunnel import ESP_CBC, IKE_CBC

pytestmark = pytest.mark.needs(*need.GATEWAY, *need.CHARON)

SUITES = {
    "gcm": {},
    "gcm-pfs": {"esp": "aes256gcm16-x25519"},
    "cbc": {"ike": IKE_CBC, "esp": ESP_CBC},
    "gcm128-modp2048": {"ike": "aes128gcm16-prfsha256-modp2048", "esp": "aes128gcm16"},
}


def exercise(s):
    """Each end rekeys the CHILD and the IKE SA once under traffic; no ping is lost, the wire shows ciphertext."""
    wire = s.site.capture()
    steps = [lambda e=end, w=what: e.rekey(w) for what in ("child", "ike") for end in (s.a, s.b)]
    pings = s.under_traffic(3000, 6.0, *steps)
    assert pings.lost == 0 and not pings.errors, str(pings)
    with traffic.Echo(s.server, at.SERVER[4]):
        data = MARKER * 20000
        assert traffic.tcp_echo(s.client, at.SERVER[4], data) == data
    verdict = wire.verdict()
    assert verdict.clean and verdict.counts["ESP-in-UDP"] > 3000, str(verdict)
    for end in (s.a, s.b):
        counts = end.traffic()
        assert counts["rx_packets"] and counts["tx_packets"]


@pytest.mark.parametrize("suite", SUITES)
def test_charon_answers(suite):
    """We are behind NAT and start."""
    with scene(far=charon, **SUITES[suite]) as s:
        exercise(s)


@pytest.mark.parametrize("suite", ["gcm-pfs", "cbc"])
def test_charon_starts(suite):
    """charon is behind NAT and starts."""
    with scene(near=charon, **SUITES[suite]) as s:
        exercise(s)


def test_charon_deletes():
    """charon takes the tunnel down; we know, and it comes up again."""
    with scene(far=charon) as s:
        s.b.down()
        wait_until("the tunnel is down here", lambda: not s.a.is_up())
        assert not s.a.sas()
        s.a.up()
        assert s.ping(5).lost == 0


def test_proposals_do_not_fit():
    """Refused, and the report names both sides' transforms."""
    def other(ns, tunnel):
        return charon(ns, tunnel.but(ike="aes128-sha256-modp2048"))
    with scene(far=other, up=False) as s:
        done = s.a.command("up", "home", "--timeout", "5", check=False)
        assert done.returncode != 0
        assert "NO_PROPOSAL_CHOSEN" in (s.a.status()["last_error"] or "")


def test_charons_proposals_do_not_fit():
    """The same as responder: what was offered, what is configured, what to change."""
    def other(ns, tunnel):
        return charon(ns, tunnel.but(ike="aes128-sha256-modp2048"))
    with scene(near=other, up=False) as s:
        assert s.a.swanctl("--initiate", "--child", "net", "--timeout", "5", check=False).returncode != 0
        events = " ".join(e["text"] for e in s.b.cli("events")["events"])
        assert "modp2048" in events and "x25519" in events


def test_wrong_secret():
    def other(ns, tunnel):
        return charon(ns, tunnel.but(psk="another secret"))
    with scene(far=other, up=False) as s:
        assert s.a.command("up", "home", "--timeout", "5", check=False).returncode != 0
        assert "AUTHENTICATION_FAILED" in (s.a.status()["last_error"] or "")
        assert not s.a.sas()
