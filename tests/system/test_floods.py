# SPDX-License-Identifier: Apache-2.0
"""
Floods from the internet, by IPv4 and IPv6: every packet is counted, memory stays what it was, and the tunnel works as before.
The gateway is built with sanitizers, where these programs are there.
"""

import itertools
import json
import random
import re
import socket
import struct
from pathlib import Path

import pytest

from lab import need, topology as at, traffic
from lab.gateway import SanitizedGateway
from lab.scene import scene
from lab.shell import run, wait_until
from test_bad_input import esp_to_a

pytestmark = pytest.mark.needs(*need.GATEWAY)

COUNT = 20000
GROWTH_MAX = 24 << 20  # bytes; a flood of 20,000 packets kept whole would be 80 MB of frames
SECONDS = 30  # fragments without their rest are given up after 15
ESP, ICMP, ICMP6, FRAGMENT = 50, 1, 58, 44
MORE_FRAGMENTS, MORE_FRAGMENTS6 = 0x2000, 1


def ipv4(protocol, payload, source=at.WAN_B[4], destination=at.WAN_A[4], ident=0, fragment=0):
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), ident, fragment, 64, protocol, 0,
                       socket.inet_aton(source), socket.inet_aton(destination)) + payload


def ipv6(protocol, payload, source=at.WAN_B[6], destination=at.WAN_A[6], fragment=None):
    """`fragment`: (offset in bytes, more, identification)."""
    if fragment:
        offset, more, ident = fragment
        payload = struct.pack(">BBHI", protocol, 0, offset | more, ident) + payload
        protocol = FRAGMENT
    return struct.pack(">IHBB", 0x60000000, len(payload), protocol, 64) + socket.inet_pton(socket.AF_INET6, source) + \
        socket.inet_pton(socket.AF_INET6, destination) + payload


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def too_big(quoted, mtu, source=at.ROUTER_A[4]):
    """ICMP "fragmentation needed" about the packet that begins with `quoted`."""
    body = struct.pack(">BBHHH", 3, 4, 0, 0, mtu) + quoted
    return ipv4(ICMP, body[:2] + struct.pack(">H", checksum(body)) + body[4:], source)


def too_big6(quoted, mtu, source=at.ROUTER_A[6], destination=at.WAN_A[6]):
    """ICMPv6 "packet too big" about the packet that begins with `quoted` (RFC 4443 2.3, 3.2)."""
    addresses = b"".join(socket.inet_pton(socket.AF_INET6, a) for a in (source, destination))
    body = struct.pack(">BBHI", 2, 0, 0, mtu) + quoted
    pseudo = addresses + struct.pack(">II", len(body), ICMP6)
    return ipv6(ICMP6, body[:2] + struct.pack(">H", checksum(pseudo + body)) + body[4:], source, destination)


def flood(s, packets):
    family, to = (socket.AF_INET, (at.WAN_A[4], 0)) if packets[0][0] >> 4 == 4 else (socket.AF_INET6, (at.WAN_A[6], 0))
    with s.site.router.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 << 20)
        for packet in packets:
            raw.sendto(packet, to)


def refused(s):
    """Packets that the wire itself had no room for: they never came to A."""
    shown = run(["ip", "-n", s.site.router.name, "-json", "-s", "link", "show", "a0"]).stdout
    return json.loads(shown)[0]["stats64"]["tx"]["dropped"]


def resident(process):
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process.popen.pid}/status").read_text())[1]) << 10


def unknown_spis(_, dice):
    return ({"SPI_UNKNOWN"},
            (ipv4(ESP, struct.pack(">II", dice.randrange(256, 1 << 32), n) + bytes(60)) for n in range(COUNT)))


def fragments(_, dice):
    """Beginnings, middles and ends of packets whose other parts never come, from one source and from many."""
    def packet(n):
        source = at.WAN_B[4] if n % 2 else f"203.0.113.{dice.randrange(1, 255)}"
        offset = dice.choice((0, 64, 180))
        return ipv4(ESP, dice.randbytes(512), source, ident=dice.randrange(1, 1 << 16),
                    fragment=(MORE_FRAGMENTS if n % 3 else 0) | offset or MORE_FRAGMENTS)
    return ({"REASSEMBLY_FULL", "REASSEMBLY_TIMEOUT", "REASSEMBLY_BAD", "SPI_UNKNOWN"},
            (packet(n) for n in range(COUNT)))


def replays(esp, _):
    return {"REPLAY", "REPLAY_OLD"}, (ipv4(ESP, esp) for _ in range(COUNT))


def icmp_lies(_, dice):
    """About packets that were never sent, or not lately, and with sizes that no link has."""
    def packet(n):
        header = struct.pack(">II", dice.randrange(256, 1 << 32), dice.randrange(1 << 32))
        quoted = ipv4(ESP, header, at.WAN_A[4], at.WAN_B[4])
        return too_big(quoted, dice.choice((0, 67, 68, 296, 600, 1400)))
    return {"ICMP_UNBELIEVED"}, (packet(n) for n in range(COUNT))


def unknown_spis6(_, dice):
    return ({"SPI_UNKNOWN"},
            (ipv6(ESP, struct.pack(">II", dice.randrange(256, 1 << 32), n) + bytes(60)) for n in range(COUNT)))


def fragments6(_, dice):
    """As fragments(), behind a fragment header; the identification has 32 bits."""
    def packet(n):
        source = at.WAN_B[6] if n % 2 else f"2001:db8:ff::{dice.randrange(1, 1 << 16):x}"
        offset, more = dice.choice((0, 512, 1440)), MORE_FRAGMENTS6 if n % 3 else 0
        return ipv6(ESP, dice.randbytes(512), source, fragment=(offset, more if offset else MORE_FRAGMENTS6, dice.randrange(1 << 32)))
    return ({"REASSEMBLY_FULL", "REASSEMBLY_TIMEOUT", "REASSEMBLY_BAD", "SPI_UNKNOWN"},
            (packet(n) for n in range(COUNT)))


def icmp_lies6(_, dice):
    """As icmp_lies(), with sizes below and above what a link of IPv6 must carry."""
    def packet(n):
        header = struct.pack(">II", dice.randrange(256, 1 << 32), dice.randrange(1 << 32))
        quoted = ipv6(ESP, header, at.WAN_A[6], at.WAN_B[6])
        return too_big6(quoted, dice.choice((0, 68, 1279, 1280, 1400, 1 << 31)))
    return {"ICMP_UNBELIEVED"}, (packet(n) for n in range(COUNT))


@pytest.fixture(scope="module")
def stage():
    """(Scene, an ESP packet that A has accepted)."""
    with scene(nat=False, near=SanitizedGateway) as s:
        wire = s.site.capture("a0", snap=2000)
        assert s.ping(3).lost == 0
        yield s, list(esp_to_a(s.site, wire))[-1]
        s.a.end()


@pytest.mark.parametrize("make", [unknown_spis, fragments, replays, icmp_lies, unknown_spis6, fragments6, icmp_lies6], ids=lambda f: f.__name__)
def test_flood(make, stage):
    s, esp = stage
    reasons, packets = make(esp, random.Random(7))
    lost = {"RX_FULL", "NO_FRAME"}  # what the worker was too slow for is counted too
    packets = list(packets)
    before, missed, memory, spis = s.a.drops(), refused(s), resident(s.a.agent), s.a.spis()

    def counted():
        now = s.a.drops()
        return sum(now[r] - before[r] for r in reasons | lost) + refused(s) - missed

    flood(s, packets)
    wait_until(f"{COUNT} packets are counted", lambda: counted() >= COUNT, SECONDS)
    assert counted() == COUNT
    assert sum(s.a.drops()[r] - before[r] for r in reasons) > 0
    assert resident(s.a.agent) - memory < GROWTH_MAX
    assert s.a.spis() == spis and s.a.agent.alive() and s.a.ike.alive()
    assert s.ping(20, interval=0.01).lost == 0
    # The lies about the path's size were not believed: a full-sized packet goes through.
    assert traffic.ping(s.client, at.SERVER[4], 3, size=1372, pmtu="do").lost == 0


def test_a_true_word_about_the_size(stage):
    """What a router says about a packet that really was sent is believed, and the sender inside learns of it."""
    s, _ = stage
    wire = s.site.capture("a0", snap=200)
    assert s.ping(3).lost == 0
    sent = [bytes(frame) for _, frame in wire.stop().frames()]
    last = next(f[14:] for f in reversed(sent) if f[23] == ESP and f[26:30] == socket.inet_aton(at.WAN_A[4]))

    # Straight after the flood, and in the midst of more lies: they know no SPI, and take nothing from who does.
    _, lies = icmp_lies(None, random.Random(8))
    flood(s, [*itertools.islice(lies, 500), too_big(last[:28], 1300)])
    wait_until("a sender of a full-sized packet is told",
               lambda: traffic.ping(s.client, at.SERVER[4], 1, size=1372, pmtu="do", wait=1).received == 0)
    assert traffic.ping(s.client, at.SERVER[4], 3, size=1150, pmtu="do").lost == 0
    assert traffic.ping(s.client, at.SERVER[4], 3, size=1372, pmtu="dont").lost == 0
