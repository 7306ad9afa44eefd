# SPDX-License-Identifier: Apache-2.0
"""The agent dies and comes again under traffic; so does the IKE daemon."""

import time

import pytest

from lab import need, topology as at, traffic
from lab.scene import scene
from lab.shell import wait_until

pytestmark = pytest.mark.needs(*need.GATEWAY)


@pytest.mark.parametrize("nat", [True, False], ids=["nat", "plain"])
def test_agent_is_killed(nat):
    """Same SAs, no sequence number twice, no plaintext at any time, traffic goes on. Three times over."""
    with scene(nat=nat) as s:
        wire = [s.site.capture(end) for end in ("a0", "b0")]
        before = s.a.spis()
        pinger = traffic.Pinger(s.client, at.SERVER[4], 4000, 8.0, wait=1)
        for _ in range(3):
            time.sleep(0.5)
            s.a.kill_agent()
            time.sleep(0.3)  # traffic meets the gap
            s.a.start_agent()
            wait_until("a packet goes through the tunnel", lambda: s.ping(1, wait=1).received)
        assert pinger.running(), "the pings were over before the last restart was"
        pings = pinger.end()
        assert 0 < pings.lost < pings.sent, str(pings)
        assert s.ping(50, interval=0.01).lost == 0
        assert s.a.spis() == before
        assert s.b.rekeys() == (0, 0)
        for capture in wire:
            verdict = capture.verdict()
            assert verdict.clean, str(verdict)
            for (destination, spi), numbers in capture.sequences().items():
                assert len(numbers) == len(set(numbers)), f"sequence numbers repeat in {spi:#x} to {destination}"


def test_agent_is_killed_host_traffic():
    """Of the gateway's own host nothing leaves in clear while no agent runs."""
    with scene(nat=False) as s:
        seen = s.site.capture("a0")
        s.a.kill_agent()
        assert traffic.ping(s.site.a, at.SERVER[4], 5, wait=1).received == 0
        s.a.start_agent()
        wait_until("the host's packet goes through the tunnel", lambda: traffic.ping(s.site.a, at.SERVER[4], 1, wait=1).received)
        assert seen.verdict().clean, str(seen.verdict())


def test_ike_daemon_restarts():
    """A new daemon negotiates anew; what the old one left neither leaks nor stays."""
    with scene() as s:
        seen = s.site.capture("a0")
        s.a.ike.stop()
        s.a.start_ike()
        s.a.up()
        wait_until("a packet goes through the tunnel", lambda: s.ping(1).received)
        assert s.ping(20, interval=0.01).lost == 0
        assert len(s.a.sas()) == 2
        assert seen.verdict().clean, str(seen.verdict())
