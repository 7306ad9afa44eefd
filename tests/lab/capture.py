# SPDX-License-Identifier: Apache-2.0
"""
Capture: the packets of a wire, and the verdict on them. Allowed between gateways are IKE, ESP, ESP in UDP, NAT
keepalives, ARP, neighbour discovery, and ICMP of the outer addresses; all else is a leak, and so is the marker anywhere.
"""

import ipaddress
import signal
import struct
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from .shell import Failed, wait_until

MARKER = b"ESPALIER-PLAIN!!"  # 16 bytes: what `ping -p` takes
NON_ESP = b"\0\0\0\0"
UDP, TCP, ESP, ICMP, ICMP6, FRAGMENT = 17, 6, 50, 1, 58, 44
# tcpdump's words for what is not allowed, to watch a fast link without reading all of it.
LEAKS_ONLY = "not (arp or esp or udp port 500 or udp port 4500 or icmp or icmp6)"
SNAP = 400


@dataclass
class Packet:
    time: float
    kind: str  # "IKE", "ESP", "ESP-in-UDP", "keepalive", "ARP", "ND", "ICMP", or "leak"
    source: str = ""
    destination: str = ""
    spi: int = 0
    sequence: int = 0
    iv: bytes = b""  # of ESP: the first 8 bytes behind the header, the explicit IV of the AEAD suites
    text: str = ""


@dataclass
class Verdict:
    counts: Counter = field(default_factory=Counter)
    leaks: list = field(default_factory=list)
    lost: int = 0  # packets the capture itself missed

    @property
    def clean(self):
        return not self.leaks and not self.lost

    def __str__(self):
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(self.counts.items())) or "nothing"
        if self.leaks:
            return f"{kinds}; {len(self.leaks)} LEAKS, first: {self.leaks[0]}"
        return kinds + (f"; {self.lost} packets were missed by the capture" if self.lost else "")


class Capture:
    """Starts with its making. `inner`: networks that must not be seen as addresses."""

    def __init__(self, ns, interface, path, inner=(), filter="", snap=SNAP):
        self.path = path
        self.inner = [ipaddress.ip_network(n) for n in inner]
        self.process = ns.spawn("tcpdump", "-i", interface, "-U", "--immediate-mode", "-n", "-s", str(snap), "-B", "65536",
                                "-Z", "root", "-w", path, *([filter] if filter else []), log=f"{path}.log")
        wait_until("tcpdump listens", lambda: "listening on" in self.process.text())

    def stop(self):
        """End the capture; what was on the wire before is in the file."""
        if self.process.alive():
            time.sleep(0.2)  # tcpdump writes a packet some milliseconds after it passed
            self.process.stop(signal.SIGINT)
        return self

    def missed(self):
        for line in self.process.text().splitlines():
            if line.endswith("dropped by kernel"):
                return int(line.split()[0])
        raise Failed(f"tcpdump said nothing of its losses\n{self.process.tail()}")

    def frames(self):
        """(time, first bytes) of every frame."""
        data = memoryview(self.path.read_bytes())
        at = 24
        while at + 16 <= len(data):
            seconds, micros, kept, _ = struct.unpack_from("<IIII", data, at)
            yield seconds + micros / 1e6, data[at + 16:at + 16 + kept]
            at += 16 + kept

    def packets(self):
        return (classify(when, frame, self.inner) for when, frame in self.frames())

    def verdict(self, marker=MARKER):
        verdict = Verdict(lost=self.stop().missed())
        for when, frame in self.frames():
            packet = classify(when, frame, self.inner)
            verdict.counts[packet.kind] += 1
            if packet.kind == "leak":
                verdict.leaks.append(packet.text)
            elif marker in bytes(frame):
                verdict.leaks.append(f"marker in {packet.kind} {packet.source} > {packet.destination}")
        return verdict

    def sequences(self):
        """ESP sequence numbers in their order on the wire: {(destination, SPI): [numbers]}."""
        found = defaultdict(list)
        for packet in self.packets():
            if packet.kind.startswith("ESP"):
                found[packet.destination, packet.spi].append(packet.sequence)
        return dict(found)


def classify(when, frame, inner=()):
    """What a frame of the link between gateways is."""
    kind = struct.unpack_from(">H", frame, 12)[0]
    if kind == 0x0806:
        return Packet(when, "ARP")
    if kind == 0x0800:
        head, protocol, source, destination = 14 + (frame[14] & 15) * 4, frame[23], frame[26:30], frame[30:34]
        later_fragment = struct.unpack_from(">H", frame, 20)[0] & 0x1fff
    elif kind == 0x86dd:
        head, protocol, source, destination = 54, frame[20], frame[22:38], frame[38:54]
        later_fragment = 0
        if protocol == FRAGMENT:  # RFC 8200 4.5: every fragment names the protocol of the first
            protocol, later_fragment = frame[54], struct.unpack_from(">H", frame, 56)[0] & 0xfff8
            head += 8
    else:
        return Packet(when, "leak", text=f"ethertype {kind:#06x}")
    source, destination = (ipaddress.ip_address(bytes(a)) for a in (source, destination))
    packet = Packet(when, "leak", str(source), str(destination))
    packet.text = f"{source} > {destination} protocol {protocol}"
    if not any(a in network for a in (source, destination) for network in inner if network.version == a.version):
        _outer(packet, protocol, frame[head:], later_fragment)
    return packet


def _outer(packet, protocol, payload, later_fragment):
    if protocol == ESP and not later_fragment:
        packet.kind = "ESP"
        packet.spi, packet.sequence, packet.iv = _esp(payload)
    elif protocol == UDP and not later_fragment:
        _udp(packet, payload)
    elif protocol in (ESP, UDP):
        packet.kind = "fragment"
    elif protocol == ICMP:
        packet.kind = "ICMP"
    elif protocol == ICMP6:
        packet.kind = "ND" if 133 <= payload[0] <= 137 or payload[0] == 143 else "ICMP"
    elif protocol == 0 and packet.destination.startswith("ff02:"):
        packet.kind = "ND"  # MLD report behind a hop-by-hop header


def _esp(payload):
    return *struct.unpack_from(">II", payload), bytes(payload[8:16])


def _udp(packet, payload):
    source, destination = struct.unpack_from(">HH", payload)
    packet.text += f" ports {source} > {destination}"
    if 500 in (source, destination):
        packet.kind = "IKE"
    elif 4500 in (source, destination):
        body = payload[8:]
        if len(body) == 1 and body[0] == 0xff or struct.unpack_from(">H", payload, 4)[0] == 9:
            packet.kind = "keepalive"
        elif bytes(body[:4]) == NON_ESP:
            packet.kind = "IKE"
        else:
            packet.kind = "ESP-in-UDP"
            packet.spi, packet.sequence, packet.iv = _esp(body)


__all__ = ["Capture", "LEAKS_ONLY", "MARKER", "Packet", "Verdict", "classify"]
