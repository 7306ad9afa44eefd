# SPDX-License-Identifier: Apache-2.0
"""Starts that cannot go as wished: each is told in a sentence, and the best that is left is done."""

import ctypes
import errno
import mmap
import os
import socket
import struct

import pytest

from lab import need, topology as at, traffic
from lab.gateway import Gateway, SanitizedGateway
from lab.net import Lab, offload_off
from lab.scene import scene
from lab.shell import run, wait_until
from lab.topology import Site
from lab.tunnel import pair

pytestmark = pytest.mark.needs(*need.GATEWAY)

AF_XDP, SOL_XDP = 44, 283
CPUS = len(os.sched_getaffinity(0))

OTHER_PROGRAM = """\
__attribute__((section("xdp"), used)) int other(void *ctx) { return 2; }
__attribute__((section("license"), used)) char gpl[] = "GPL";
"""


def interfaces(gateway):
    return {i["name"]: i for i in gateway.cli("status")["interfaces"]}


def test_second_start_is_refused():
    """The second says why and ends; the first carries on."""
    with scene() as s:
        second = s.a.spawn_agent()
        assert second.wait(10) != 0
        assert "running" in second.text() or "in use" in second.text()
        assert s.a.agent.alive() and s.ping(20, interval=0.01).lost == 0


@pytest.mark.parametrize("engine", ["xsk", "live"])
def test_end_by_signal(engine):
    """SIGTERM ends the agent in order, whichever threads it has: it says so, and its exit code is 0."""
    with scene(nat=False, near=lambda ns, t: SanitizedGateway(ns, t, agent={"tx_engine": engine})) as s:
        assert s.ping(20, interval=0.01).lost == 0
        s.a.end()
        assert "stopped by signal" in s.a.agent.text()


def test_generic_mode():
    with scene(nat=False, near=lambda ns, t: Gateway(ns, t, agent={"xdp_mode": "generic"})) as s:
        found = interfaces(s.a)
        assert found["wan0"]["mode"] == found["lan0"]["mode"] == "generic" and found["wan0"]["reason"]
        for name in ("wan0", "lan0"):
            assert "generic-receive-offload: off" in s.site.a.run("ethtool", "-k", name).stdout
        offload_off(s.client, "eth0")  # generic mode takes no segments larger than a frame
        for size in (56, 1000, 1372, 2000):
            assert s.ping(20, size=size, interval=0.01).lost == 0
        # Generic XDP sees what segmentation offload made, up to 64 KB; what no frame holds is dropped as TOO_BIG or NO_FRAME.
        offload_off(s.client, "eth0")
        with traffic.Echo(s.server, at.SERVER[4]):
            data = bytes(300000)
            assert traffic.tcp_echo(s.client, at.SERVER[4], data) == data


def test_more_workers_than_cpus():
    """One for each CPU is made, and the log says so."""
    with scene(nat=False, near=lambda ns, t: Gateway(ns, t, agent={"workers": 64 + CPUS})) as s:
        wait_until("every worker has run", lambda: len(s.a.cli("status")["workers"]) == min(CPUS, 64))
        assert f"agent.workers is {64 + CPUS}" in s.a.agent.text()
        assert s.ping(20, interval=0.01).lost == 0


def test_interface_is_missing():
    """The other interfaces serve; the missing one is named."""
    with scene(near=lambda ns, t: Gateway(ns, t, interfaces=("lan0", "wan0", "nosuch0"))) as s:
        assert "nosuch0" in s.a.agent.text()
        assert s.ping(5).lost == 0


def test_interface_has_another_program(tmp_path):
    """It stays on the interface, which is not served; the message says so."""
    source, program = tmp_path / "other.c", tmp_path / "other.o"
    source.write_text(OTHER_PROGRAM)
    run(["clang", "-O2", "-target", "bpf", "-c", source, "-o", program])
    with Lab() as lab:
        site = Site(lab)
        if site.a.run("ip", "link", "set", "dev", "wan0", "xdp", "obj", program, "sec", "xdp", check=False).returncode:
            pytest.skip("ip cannot load an XDP program here")
        gateway = Gateway(site.a, pair(site)[0])
        gateway.start()
        wan = interfaces(gateway)["wan0"]
        assert wan["mode"] == "none" and "XDP" in wan["reason"]
        assert "wan0" in gateway.agent.text()
        assert "xdp" in run(site.a.argv(["ip", "link", "show", "wan0"])).stdout


class TakenQueue:
    """Context in which the AF_XDP socket of queue 0 of an interface is ours."""

    AREA = 16 * 4096

    def __init__(self, ns, interface):
        self.ns, self.interface = ns, interface

    def __enter__(self):
        self.area = mmap.mmap(-1, self.AREA)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.area))
        with self.ns.entered():
            self.socket = socket.socket(AF_XDP, socket.SOCK_RAW)
            index = socket.if_nametoindex(self.interface)
        self.socket.setsockopt(SOL_XDP, 4, struct.pack("=QQIII4x", address, self.AREA, 4096, 0, 0))  # XDP_UMEM_REG
        for ring in (5, 6, 2):  # XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING
            self.socket.setsockopt(SOL_XDP, ring, 64)
        to = struct.pack("=HHIII", AF_XDP, 2, index, 0, 0)  # XDP_COPY
        # The kernel takes its time to let go of the queue of a process that has ended.
        wait_until("the queue is free", lambda: self._bind(to))
        return self

    def _bind(self, to):
        failed = ctypes.CDLL(None, use_errno=True).bind(self.socket.fileno(), to, len(to))
        if failed and ctypes.get_errno() != errno.EBUSY:
            raise OSError(ctypes.get_errno(), "bind")
        return not failed

    def __exit__(self, *_):
        self.socket.close()


def test_queue_is_taken():
    """An interface that an earlier agent served and that this one cannot serve stays shut: in either direction nothing protected in clear."""
    with scene(nat=False) as s:
        s.a.kill_agent()
        with TakenQueue(s.site.a, "wan0"):
            s.a.start_agent()
            assert "wan0 is not served: wan0: no AF_XDP socket on queue 0" in s.a.agent.text()
            assert "xdp" in run(s.site.a.argv(["ip", "link", "show", "wan0"])).stdout
            assert "capture" in run(s.site.a.argv(["tc", "filter", "show", "dev", "wan0", "egress"])).stdout
            before = s.a.drops("PLAINTEXT_IN")
            s.site.router.ip(f"addr add {at.SERVER[4]}/32 dev lo")
            with s.site.router.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger:
                forger.bind((at.SERVER[4], 9998))
                forger.sendto(b"forged", (at.CLIENT[4], 9999))
            s.site.router.ip(f"addr del {at.SERVER[4]}/32 dev lo")
            wait_until("the forgery is counted", lambda: s.a.drops("PLAINTEXT_IN") == before + 1)
            assert s.ping(3, wait=1).received == 0
        s.a.kill_agent()
        s.a.start_agent()
        wait_until("a packet goes through the tunnel", lambda: s.ping(1, wait=1).received)


def test_interface_vanishes():
    """Said, and survived."""
    with scene() as s:
        s.site.router.ip("link del a0")
        wait_until("the agent has seen it", lambda: "wan0 is not there" in s.a.agent.text())
        assert s.a.agent.alive()
        assert traffic.ping(s.client, at.LAN_A[4], 3).lost == 0


def test_bad_configuration():
    """Both programs end with the file's name and the line."""
    with Lab() as lab:
        site = Site(lab)
        gateway = Gateway(site.a, pair(site)[0])
        gateway.write(gateway.config.read_text().replace("interfaces:", "interface:", 1))
        agent = gateway.spawn_agent()
        assert agent.wait(10) != 0
        assert "espalier.yaml:2: " in agent.text()
