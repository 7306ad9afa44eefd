# SPDX-License-Identifier: Apache-2.0
"""Lifetimes of SAs: the IKE daemon hears of them, traffic or not, and nothing passes behind a hard one."""

import socket
import struct

import pytest

from lab import need, topology as at, traffic
from lab.gateway import Gateway
from lab.net import Lab
from lab.scene import scene
from lab.shell import BUILD, run, wait_until
from lab.topology import Site
from lab.tunnel import pair

pytestmark = pytest.mark.needs(*need.GATEWAY)

VERSION, ROUTES_RESET, EXPIRE = 1, 3, 8
SOFT, HARD = 1, 2


class Listener:
    """Stands for an IKE daemon at the agent's socket."""

    def __init__(self, gateway, size=None):
        """`size`: of struct agent_message, to greet with; without it the daemon only listens."""
        self.size = size
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.connect(str(gateway.dir / "agent.sock"))
        self.sock.settimeout(0.1)
        self.told = []
        if size:
            self.sock.send(struct.pack("=II", VERSION, ROUTES_RESET).ljust(size, b"\0"))

    def heard(self):
        """(SPI, kind) of all lifetimes told so far."""
        try:
            while True:
                message = self.sock.recv(4096)
                version, kind, _ = struct.unpack_from("=III", message)
                assert version == VERSION
                self.size = len(message)
                if kind == EXPIRE:
                    (spi,), (what,) = struct.unpack_from(">I", message, 12), struct.unpack_from("=I", message, 16)
                    self.told.append((spi, what))
        except TimeoutError:
            return sorted(self.told)


def test_idle_sas():
    """Nobody sends anything: soft and hard lifetimes by time are told once each, and once more to another daemon."""
    with Lab() as lab:
        gateway = Gateway((site := Site(lab, nat=False)).a, pair(site)[0])
        gateway.start_agent()
        daemon = Listener(gateway)
        run([BUILD / "tests/lab/sa_put", gateway.pins, f"local={at.WAN_A[4]}", f"remote={at.WAN_B[4]}",
             f"local_ts={at.INNER_A4}", f"remote_ts={at.INNER_B4}", "spi_in=0x1001", "spi_out=0x2002",
             "suite=aes256gcm16", "soft_seconds=1", "hard_seconds=4"])
        soft, hard = [(0x1001, SOFT), (0x2002, SOFT)], [(0x1001, HARD), (0x2002, HARD)]
        wait_until("soft lifetimes are told", lambda: set(soft) <= set(daemon.heard()), 10)
        wait_until("hard lifetimes are told", lambda: daemon.heard() == sorted(soft + hard), 10)
        daemon.sock.close()
        daemon = Listener(gateway, daemon.size)
        wait_until("the next daemon is told", lambda: daemon.heard() == hard, 10)
        assert daemon.heard() == hard  # and no more


def test_packets_run_out():
    """A's SA ends with its hundredth packet; the daemon takes it down, and what comes behind is not sent in clear."""
    with scene(nat=False, child_options={"rekey_packets": 0, "life_packets": 100, "rekey_time": 0}) as s:
        wire = s.site.capture("b0")
        spis = s.a.spis()
        traffic.ping(s.client, at.SERVER[4], 150, interval=0.005, wait=0.5)
        wait_until("the daemon has heard of it", lambda: not s.a.is_up() or s.a.spis() != spis, 10)
        numbers = [n for key, n in wire.stop().sequences().items() if key[1] == int(spis[1], 16)]
        assert numbers and max(numbers[0]) == 100
        assert wire.verdict().clean
