# SPDX-License-Identifier: Apache-2.0
"""Without an SA nothing of a protected network leaves in clear, and nothing comes in."""

import socket

import pytest

from lab import need, topology as at, traffic
from lab.capture import MARKER
from lab.gateway import Gateway
from lab.scene import scene
from lab.shell import wait_until

HOLD_KEY_MAX = 16  # agent/hold.h
TRAP = {"start_action": "trap", "far": lambda ns, tunnel: Gateway(ns, tunnel.but(start_action="none"))}

pytestmark = pytest.mark.needs(*need.GATEWAY)


def udp_socket(ns, version):
    return ns.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)


def test_peer_is_silent():
    """The peer does not answer: the packets wait or die, the wire shows IKE and nothing else."""
    with scene(up=False, start=False, **TRAP) as s:
        s.a.start()
        s.site.warm()
        seen = s.site.capture("a0")
        assert s.ping(20, size=1000, interval=0.05, wait=1).received == 0
        assert traffic.ping(s.site.a, at.SERVER[4], 3, wait=1).received == 0
        assert traffic.udp_echo(s.client, at.SERVER[4], b"x", seconds=0.5) is None
        verdict = seen.verdict()
        assert verdict.clean and verdict.counts["IKE"] > 0, str(verdict)
        assert s.a.drops("SA_MISSING") + s.a.drops("HELD_OVERFLOW") > 0


def test_trap_brings_the_tunnel_up():
    """With a peer the first packet is what brings the tunnel up, and it is not lost."""
    with scene(up=False, **TRAP) as s:
        assert s.a.status()["state"] == "trapped"
        assert s.ping(1, wait=10).received == 1
        assert s.a.is_up()


@pytest.mark.parametrize("version", [4, 6])
def test_first_packets_wait(version):
    """All that came before the tunnel was up, as far as there was room (hold.h), arrives, in order; from transit and host alike."""
    for sender in ("client", "a"):
        with scene(up=False, inner=(4, 6), **TRAP) as s, udp_socket(s.server, version) as target:
            target.bind((at.SERVER[version], 9999))
            target.settimeout(10)
            with udp_socket(s.client if sender == "client" else s.site.a, version) as out:
                for number in range(HOLD_KEY_MAX):
                    out.sendto(bytes([number]), (at.SERVER[version], 9999))
            assert [target.recv(10)[0] for _ in range(HOLD_KEY_MAX)] == list(range(HOLD_KEY_MAX)), sender
            assert s.a.drops("HELD_OVERFLOW") == s.a.drops("SA_MISSING") == 0


def test_waiting_is_bounded():
    """The peer is silent: of a burst a few packets wait, for a short while; each of the others dies at once, and all are counted."""
    with scene(up=False, start=False, **TRAP) as s, udp_socket(s.client, 4) as out:
        s.a.start()
        s.site.warm()
        seen = s.site.capture("a0")
        for _ in range(100):
            out.sendto(MARKER, (at.SERVER[4], 9999))
        wait_until("most die at once", lambda: s.a.drops("HELD_OVERFLOW") == 100 - HOLD_KEY_MAX)
        wait_until("those that waited die, too", lambda: s.a.drops("SA_MISSING") == HOLD_KEY_MAX)
        verdict = seen.verdict()
        assert verdict.clean and verdict.counts["IKE"] > 0, str(verdict)


def test_after_down():
    """After `down` of a trapped tunnel with a dead peer: nothing in clear."""
    with scene(**TRAP) as s:
        s.b.ike.stop()
        s.a.down()
        seen = s.site.capture("a0")
        assert s.ping(10, wait=1).received == 0
        assert seen.verdict().clean, str(seen.verdict())


@pytest.mark.parametrize("version", [4, 6])
def test_plaintext_from_outside(version):
    """A packet that claims an inner source but came in clear reaches nobody, and is counted."""
    with scene(nat=False, inner=(4, 6)) as s:
        target = s.client.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
        target.bind((at.CLIENT[version], 9999))
        target.settimeout(0.5)
        before = s.a.drops("PLAINTEXT_IN")
        # The router owns the server's address for the moment of the forgery.
        length = 32 if version == 4 else 128
        s.site.router.ip(f"addr add {at.SERVER[version]}/{length} dev lo nodad" if version == 6 else
                         f"addr add {at.SERVER[version]}/{length} dev lo")
        forger = s.site.router.socket(target.family, socket.SOCK_DGRAM)
        forger.bind((at.SERVER[version], 9998))
        for _ in range(5):
            forger.sendto(b"forged", (at.CLIENT[version], 9999))
        with pytest.raises(TimeoutError):
            target.recv(100)
        wait_until("the drops are counted", lambda: s.a.drops("PLAINTEXT_IN") == before + 5)
        target.close()
        forger.close()
