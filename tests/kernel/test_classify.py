# SPDX-License-Identifier: Apache-2.0
"""
The classifier, one packet after the other (BPF_PROG_TEST_RUN): each line of a table is a packet and its fate.

The gateway is 192.0.2.1 and 2001:db8::1; the peer 192.0.2.2 and 2001:db8::2. Behind the gateway is 10.1.0.0/16 (fd01::/16), behind the
peer 10.2.0.0/16 (fd02::/16, tunnel 7). In it 10.2.9.0/24 is for HTTPS from 10.1.9.0/24 alone (tunnel 8), 10.2.8.0/24 bypasses,
10.2.7.0/24 is discarded, and 10.3.0.5-10.3.0.9 is a range for UDP (tunnel 9).
"""
import ipaddress
import json
import os
import random
import subprocess

import pytest

scapy = pytest.importorskip("scapy.all", reason="needs scapy")
from scapy.all import (AH, ARP, ESP, ICMP, IP, TCP, UDP, Dot1AD, Dot1Q, Ether, ICMPv6EchoRequest, ICMPv6ND_NS, ICMPv6PacketTooBig, IPOption_Router_Alert,
                       IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, Raw, SCTP)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROG_RUN = os.path.join(ROOT, "build/release/tests/lab/prog_run")
MAC, OTHER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
SLOT = 3
PROTECT, BYPASS, DISCARD = 1, 2, 3
ESP_IN, PLAIN_OUT, AH_IN, FRAGMENT_IN, ICMP_IN = 1, 2, 3, 4, 5
SA_NONE = -1
ESN = 2  # SA_ESN
UDP_ENCAP, FRAGMENT = 1, 4
TCP_, UDP_, ESP_, AH_, ICMP_, ICMP6_, MH_ = 6, 17, 50, 51, 1, 58, 135
SPI, SPI_ENCAP, SPI_6, SPI_AH, SPI_WINDOW, SPI_ESN = 0x11223344, 0x55667788, 0x99aabbcc, 0x1a2b3c4d, 0x22222222, 0x33333333


def mapped(text):
    address = ipaddress.ip_address(text)
    return (b"\0" * 10 + b"\xff\xff" + address.packed if address.version == 4 else address.packed).hex()


def selector(text, protocol=0, ports=(0, 65535)):
    """"10.1.0.0/16" or "10.3.0.5-10.3.0.9"."""
    if "-" in text:
        first, last = map(ipaddress.ip_address, text.split("-"))
    else:
        net = ipaddress.ip_network(text)
        first, last = net[0], net[-1]
    return {"family": first.version, "first": first.packed.ljust(16, b"\0").hex(), "last": last.packed.ljust(16, b"\0").hex(),
            "protocol": protocol, "ports": list(ports)}


class Classifier:
    """prog_run with the world of the module's text in its maps."""

    def __init__(self):
        self.process = subprocess.Popen([PROG_RUN, f"/sys/fs/bpf/espalier_test_classify_{os.getpid()}"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        ready = self.process.stdout.readline()
        assert ready, "prog_run did not start"
        self.sa = {}

    def ask(self, op, **members):
        self.process.stdin.write(json.dumps({"op": op, **members}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer
        return answer

    def port(self):
        self.ask("port", slot=SLOT, mac=MAC.replace(":", ""))

    def policy(self, action, local, remote, tunnel=0, priority=100):
        return self.ask("policy", action=action, tunnel=tunnel, priority=priority, local=[local], remote=[remote])["id"]

    def frame(self, packet):
        data = bytes(packet)
        answer = self.ask("frame", data=data.hex())
        if answer["verdict"] != "redirect":
            assert answer["meta"] is None
        assert answer["data"] == data.hex(), "the frame itself is never changed"
        return answer

    def fate(self, packet):
        """"pass", "redirect" or the reason of the drop; a drop is counted once, anything else not at all."""
        answer = self.frame(packet)
        assert (answer["verdict"] == "drop") == (answer["reason"] is not None), answer
        return answer["reason"] if answer["verdict"] == "drop" else answer["verdict"]

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)


@pytest.fixture(scope="module")
def world():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if not os.path.exists(PROG_RUN):
        pytest.skip("needs build/release/tests/lab/prog_run (make helpers)")
    c = Classifier()
    for address in ("192.0.2.1", "10.1.0.1", "2001:db8::1", "fd01::1"):
        c.ask("local", address=mapped(address))
    for spi, destination in ((SPI, "192.0.2.1"), (SPI_ENCAP, "192.0.2.1"), (SPI_6, "2001:db8::1")):
        c.sa[spi] = c.ask("sa", spi=spi, destination=mapped(destination))["index"]
    c.sa[SPI_AH] = c.ask("sa", spi=SPI_AH, destination=mapped("192.0.2.1"), protocol=AH_, replay_bits=64)["index"]
    c.sa[(SPI_AH, 6)] = c.ask("sa", spi=SPI_AH, destination=mapped("2001:db8::1"), protocol=AH_)["index"]
    c.sa[SPI_WINDOW] = c.ask("sa", spi=SPI_WINDOW, destination=mapped("192.0.2.1"), replay_bits=128)["index"]
    c.sa[SPI_ESN] = c.ask("sa", spi=SPI_ESN, destination=mapped("192.0.2.1"), replay_bits=64, flags=ESN)["index"]
    c.policy(PROTECT, selector("10.1.0.0/16"), selector("10.2.0.0/16"), 7)
    c.policy(PROTECT, selector("10.1.9.0/24", TCP_), selector("10.2.9.0/24", TCP_, (443, 443)), 8, 50)
    c.policy(DISCARD, selector("0.0.0.0/0"), selector("10.2.9.0/24"), priority=60)
    c.policy(BYPASS, selector("0.0.0.0/0"), selector("10.2.8.0/24"), priority=10)
    c.policy(DISCARD, selector("0.0.0.0/0"), selector("10.2.7.0/24"), priority=10)
    c.policy(PROTECT, selector("10.1.0.0/16"), selector("10.3.0.5-10.3.0.9", UDP_), 9)
    c.policy(PROTECT, selector("10.1.0.0/16", TCP_), selector("10.4.0.0/16", TCP_, (80, 90)), 10)
    c.policy(PROTECT, selector("10.1.0.0/16", ICMP_), selector("10.5.0.0/16", ICMP_, (8 << 8, 8 << 8 | 255)), 11)
    c.policy(PROTECT, selector("10.1.0.0/16", UDP_), selector("10.6.0.0/16", UDP_, (53, 53)), 14)
    c.policy(PROTECT, selector("10.1.0.0/16", UDP_), selector("10.6.0.0/16", UDP_, (65535, 0)), 15)  # OPAQUE
    c.policy(PROTECT, selector("10.1.0.0/16", MH_), selector("10.5.0.0/16", MH_, (5 << 8, 5 << 8 | 255)), 16)
    c.policy(PROTECT, selector("fd01::/16"), selector("fd02::/16"), 12)
    c.policy(PROTECT, selector("fd01::/16", TCP_), selector("fd03::5-fd03::ffff:1", TCP_, (443, 443)), 13)
    for remote, tunnel in (("10.16.0.0/16", 17), ("10.17.0.0/16", 18)):
        c.policy(PROTECT, selector("10.16.0.0/14"), selector(remote), tunnel)
    c.policy(BYPASS, selector("10.16.0.0/14"), selector("10.19.0.0/16"))
    c.policy(PROTECT, selector("10.32.0.0/16"), selector("10.32.0.0/16"), 20)
    c.policy(PROTECT, selector("10.40.0.0/16"), selector("10.41.0.0/16"), 21)
    c.policy(DISCARD, selector("10.40.0.0/15"), selector("10.40.0.0/15"), priority=900)
    yield c
    c.close()


@pytest.fixture
def nic(world):
    world.port()
    world.ask("socket", slot=SLOT)
    return world


def eth(*layers, dst=MAC):
    packet = Ether(src=OTHER_MAC, dst=dst)
    for layer in layers:
        packet = packet / layer
    return packet


def from_peer(**fields):
    return IP(src="192.0.2.2", dst="192.0.2.1", **fields)


def from_peer6(**fields):
    return IPv6(src="2001:db8::2", dst="2001:db8::1", **fields)


def esp(spi=SPI):
    return ESP(spi=spi, seq=1, data=b"x" * 40)


def encap(payload, **fields):
    return UDP(sport=4500, dport=4500, chksum=0, **fields) / payload


def inner(src, dst, **fields):
    return IP(src=src, dst=dst, **fields)


def inner6(src, dst, **fields):
    return IPv6(src=src, dst=dst, **fields)


TO_PEER = inner("10.1.0.5", "10.2.0.5")
TO_PEER6 = inner6("fd01::5", "fd02::5")
PLAIN = Raw(b"hello, world")


# ---- inbound ESP ----
@pytest.mark.parametrize("packet, spi, flags, l3, payload", [
    (eth(from_peer(), esp()), SPI, 0, 14, 34),
    (eth(Dot1Q(vlan=5), from_peer(), esp()), SPI, 0, 18, 38),
    (eth(Dot1AD(vlan=5), Dot1Q(vlan=6), from_peer(), esp()), SPI, 0, 22, 42),
    (eth(from_peer(options=[IPOption_Router_Alert()]), esp()), SPI, 0, 14, 38),
    (eth(from_peer(options=[IPOption_Router_Alert()] * 10), esp()), SPI, 0, 14, 74),
    (eth(from_peer(), encap(esp(SPI_ENCAP))), SPI_ENCAP, UDP_ENCAP, 14, 42),
    (eth(Dot1Q(vlan=5), from_peer(options=[IPOption_Router_Alert()]), encap(esp(SPI_ENCAP))), SPI_ENCAP, UDP_ENCAP, 18, 50),
    (eth(from_peer(ttl=1), esp()), SPI, 0, 14, 34),
    (eth(from_peer6(), esp(SPI_6)), SPI_6, 0, 14, 54),
    (eth(from_peer6(), IPv6ExtHdrHopByHop(), esp(SPI_6)), SPI_6, 0, 14, 62),
    (eth(from_peer6(), IPv6ExtHdrDestOpt(), IPv6ExtHdrRouting(), esp(SPI_6)), SPI_6, 0, 14, 70),
    (eth(from_peer6(), encap(esp(SPI_6))), SPI_6, UDP_ENCAP, 14, 62),
])
def test_esp_in(nic, packet, spi, flags, l3, payload):
    answer = nic.frame(packet)
    assert (answer["verdict"], answer["reason"]) == ("redirect", None)
    assert answer["meta"] == {"kind": ESP_IN, "flags": flags, "family": 6 if spi == SPI_6 else 4,
                              "protocol": UDP_ if flags & UDP_ENCAP else ESP_, "l3_off": l3, "payload_off": payload,
                              "index": nic.sa[spi]}


def test_every_reserved_spi(nic):
    """RFC 4303 2.1; 0 in UDP is the mark of IKE (RFC 3948 2.2)."""
    for spi in range(256):
        assert nic.fate(eth(from_peer(), esp(spi))) == "SPI_RESERVED", spi
        assert nic.fate(eth(from_peer6(), esp(spi))) == "SPI_RESERVED", spi
        assert nic.fate(eth(from_peer(), encap(esp(spi)))) == ("SPI_RESERVED" if spi else "pass"), spi


@pytest.mark.parametrize("packet, family, payload", [
    (eth(from_peer(), AH(spi=SPI_AH, seq=1, icv=b"i" * 16, nh=4)), 4, 34),
    (eth(from_peer(options=[IPOption_Router_Alert()]), AH(spi=SPI_AH, seq=1, icv=b"i" * 16, nh=4)), 4, 38),
    (eth(Dot1Q(vlan=5), from_peer(), AH(spi=SPI_AH, seq=1, icv=b"i" * 16, nh=17)), 4, 38),
    (eth(from_peer6(), AH(spi=SPI_AH, seq=1, icv=b"i" * 16, nh=41)), 6, 54),
    (eth(from_peer6(), IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt(), AH(spi=SPI_AH, seq=1, icv=b"i" * 16, nh=41)), 6, 70),
])
def test_ah_in(nic, packet, family, payload):
    answer = nic.frame(packet)
    assert (answer["verdict"], answer["reason"]) == ("redirect", None)
    assert (answer["meta"]["kind"], answer["meta"]["protocol"], answer["meta"]["payload_off"]) == (AH_IN, AH_, payload)
    assert answer["meta"]["index"] == nic.sa[SPI_AH if family == 4 else (SPI_AH, 6)]


def ipv4_fragments(packet, size=24):
    return [eth(part) for part in scapy.fragment(packet, size)]


# ---- the fate of what arrives at a NIC, for this host ----
@pytest.mark.parametrize("fate, packet", [
    ("SPI_UNKNOWN", eth(from_peer(), esp(0x01020304))),
    ("SPI_UNKNOWN", eth(IP(src="192.0.2.2", dst="10.1.0.1"), esp())),  # the SPI is known at another address
    ("SPI_UNKNOWN", eth(from_peer6(), esp(SPI))),
    ("SPI_UNKNOWN", eth(from_peer(), encap(esp(0x01020304)))),
    ("SPI_RESERVED", eth(from_peer(), esp(0))),
    ("SPI_RESERVED", eth(from_peer(), esp(1))),
    ("SPI_RESERVED", eth(from_peer(), esp(255))),
    ("SPI_UNKNOWN", eth(from_peer(), esp(256))),
    ("SPI_RESERVED", eth(from_peer(), encap(esp(255)))),
    ("ESP_SHORT", eth(from_peer(proto=ESP_), Raw(b"\x11\x22\x33\x44\0\0\0"))),
    ("ESP_SHORT", eth(from_peer(proto=ESP_))),
    ("ESP_SHORT", eth(from_peer(), encap(Raw(b"\x55\x66\x77\x88\0\0\0")))),
    ("ESP_SHORT", eth(from_peer(), encap(Raw(b"\x55\x66\x77\x88\0")))),
    # behind the fragment header stands another one, which later fragments do not have
    ("ESP_FRAGMENT", eth(from_peer6(), IPv6ExtHdrFragment(m=1, nh=60), IPv6ExtHdrDestOpt(nh=ESP_), esp(SPI_6))),
    ("redirect", eth(from_peer6(), IPv6ExtHdrFragment(nh=ESP_), esp(SPI_6))),  # an atomic fragment is whole (RFC 6946)
    # IKE and keepalives are the daemon's
    ("pass", eth(from_peer(), UDP(sport=500, dport=500), Raw(b"I" * 60))),
    ("pass", eth(from_peer(), encap(Raw(b"\0\0\0\0" + b"I" * 60)))),
    ("pass", eth(from_peer(), encap(Raw(b"\xff")))),
    ("pass", eth(from_peer(), encap(Raw(b"\xff\xff\xff\xff")))),
    ("pass", eth(from_peer(), encap(Raw(b"")))),
    ("pass", ipv4_fragments(from_peer() / encap(Raw(b"\0\0\0\0" + b"I" * 60)))[0]),
    ("pass", ipv4_fragments(from_peer() / encap(Raw(b"\0\0\0\0" + b"I" * 60)))[1]),
    ("pass", eth(from_peer6(), UDP(sport=500, dport=500), Raw(b"I" * 60))),
    ("PACKET_MALFORMED", eth(from_peer(), encap(Raw(b"\x55\x66\x77\x88" * 4), len=4))),
    ("PACKET_MALFORMED", eth(from_peer(), encap(Raw(b"\x55\x66\x77\x88" * 4), len=25))),
    # everything else for this host
    ("pass", eth(from_peer(), TCP(dport=22))),
    ("pass", eth(from_peer(), ICMP())),
    ("SPI_RESERVED", eth(from_peer(), AH(spi=1, icv=b"i" * 12))),
    ("SPI_UNKNOWN", eth(from_peer(), AH(spi=SPI, icv=b"i" * 12))),  # an SA of ESP is none of AH
    ("SPI_UNKNOWN", eth(from_peer(), ESP(spi=SPI_AH, seq=1, data=b"x" * 40))),
    ("AH_MALFORMED", eth(from_peer(proto=AH_), Raw(b"\x04\x04\0\0\x1a\x2b\x3c\x4d\0\0\0"))),
    ("pass", eth(IP(src="198.51.100.9", dst="10.1.0.1"), TCP(dport=22))),
    ("PLAINTEXT_IN", eth(IP(src="10.2.0.5", dst="10.1.0.1"), TCP(dport=22))),
    ("PLAINTEXT_IN", eth(IPv6(src="fd02::5", dst="fd01::1"), TCP(dport=22))),
    ("pass", eth(IP(src="10.2.0.5", dst="192.0.2.1"), TCP(dport=22))),  # not one of the tunnel's local addresses
    ("pass", eth(IP(src="10.2.8.5", dst="10.1.0.1"), TCP(dport=22))),  # bypass works in both directions
    ("POLICY_DROP", eth(IP(src="10.2.7.5", dst="10.1.0.1"), TCP(dport=22))),
    ("pass", eth(IP(src="10.4.0.5", dst="10.1.0.1"), TCP(sport=79))),
    ("PLAINTEXT_IN", eth(IP(src="10.4.0.5", dst="10.1.0.1"), TCP(sport=80))),
    ("pass", eth(IP(src="10.4.0.5", dst="10.1.0.1"), TCP(sport=1000, dport=80))),
])
def test_for_this_host(nic, fate, packet):
    assert nic.fate(packet) == fate


# ---- fragments of what is for the agent ----
def fragments6(packet, size=24, ident=7):
    """Of an IPv6 packet without extension headers; scapy's fragment6 wants a fragment header to split at."""
    payload, protocol, base = bytes(packet.payload), packet.nh, packet.copy()
    base.remove_payload()
    base.plen, base.nh = None, 44
    parts = [payload[i:i + size] for i in range(0, len(payload), size)]
    return [eth(base, IPv6ExtHdrFragment(nh=protocol, offset=i * size // 8, m=i + 1 < len(parts), id=ident), Raw(part))
            for i, part in enumerate(parts)]


def ah():
    return AH(spi=SPI_AH, seq=1, icv=b"i" * 12, nh=4) / Raw(b"x" * 60)


@pytest.mark.parametrize("packet, protocol, payload", [
    (from_peer() / esp(), ESP_, 34), (from_peer() / ah(), AH_, 34), (from_peer(id=11) / encap(esp(SPI_ENCAP)), UDP_, 34),
    (from_peer() / esp(0x01020304), ESP_, 34),  # whose SA it is the agent asks when it is whole
    (IPv6(bytes(from_peer6() / esp(SPI_6))), ESP_, 62), (IPv6(bytes(from_peer6() / ah())), AH_, 62),
    (IPv6(bytes(from_peer6() / encap(esp(SPI_6)))), UDP_, 62),
])
def test_fragment_in(nic, packet, protocol, payload):
    parts = ipv4_fragments(packet) if packet.version == 4 else fragments6(packet)
    assert len(parts) > 1
    for part in parts:
        answer = nic.frame(part)
        assert (answer["verdict"], answer["reason"]) == ("redirect", None)
        assert answer["meta"] == {"kind": FRAGMENT_IN, "flags": FRAGMENT, "family": packet.version, "protocol": protocol, "l3_off": 14,
                                  "payload_off": payload, "index": SA_NONE}


@pytest.mark.parametrize("split, ident, base", [(ipv4_fragments, 0x4444, from_peer), (fragments6, 0x44444444, from_peer6)])
def test_fragments_of_ike_are_the_kernels(nic, split, ident, base):
    """Also where the same identification stood for a protected packet before."""
    packet = base()
    more = {"ident": ident} if packet.version == 6 else {}
    if packet.version == 4:
        packet.id = ident
    kind = type(packet)
    ours, ike = (split(kind(bytes(packet / encap(Raw(marker + b"I" * 60)))), **more) for marker in (b"\1\2\3\4", b"\0\0\0\0"))
    assert [nic.fate(part) for part in ike] == ["pass"] * len(ike)
    assert [nic.fate(part) for part in ours] == ["redirect"] * len(ours)
    assert [nic.fate(part) for part in ike] == ["pass"] * len(ike)
    other = ours[1].copy()
    other[1].src = "192.0.2.3" if packet.version == 4 else "2001:db8::3"
    nic.fate(ours[0])
    assert nic.fate(other) == "pass"


# ---- ICMP errors about protected packets ----
def ours(**fields):
    return IP(src="192.0.2.1", dst="192.0.2.2", **fields)


def ours6(**fields):
    return IPv6(src="2001:db8::1", dst="2001:db8::2", **fields)


ROUTER = IP(src="198.51.100.1", dst="192.0.2.1")
ROUTER6 = IPv6(src="2001:db8:9::1", dst="2001:db8::1")
TOO_BIG = ICMP(type=3, code=4, nexthopmtu=1400)


@pytest.mark.parametrize("told, packet", [
    (True, eth(ROUTER, TOO_BIG, ours(), esp())),
    (True, eth(ROUTER, TOO_BIG, ours(options=[IPOption_Router_Alert()]), esp())),
    (True, eth(ROUTER, TOO_BIG, Raw(bytes(ours() / esp())[:28]))),  # RFC 792: the header and 8 bytes
    (True, eth(ROUTER, TOO_BIG, ours(), ah())),
    (True, eth(ROUTER, TOO_BIG, ours(), encap(esp()))),
    (True, eth(ROUTER, TOO_BIG, Raw(bytes(ours() / encap(esp()))[:28]))),
    (True, eth(ROUTER, TOO_BIG, ours(flags="MF"), esp())),
    (True, eth(ROUTER6, ICMPv6PacketTooBig(mtu=1400), ours6(), esp())),
    (True, eth(ROUTER6, ICMPv6PacketTooBig(mtu=1400), ours6(), ah())),
    (True, eth(ROUTER6, ICMPv6PacketTooBig(mtu=1400), ours6(), encap(esp()))),
    (True, eth(ROUTER6, ICMPv6PacketTooBig(mtu=1400), ours6(), IPv6ExtHdrFragment(m=1), esp())),
    (False, eth(ROUTER, TOO_BIG, ours(), encap(Raw(b"\0\0\0\0" + b"I" * 60)))),  # about IKE
    (False, eth(ROUTER, TOO_BIG, ours(), UDP(sport=500, dport=500), Raw(b"I" * 60))),
    (False, eth(ROUTER, TOO_BIG, ours(), TCP(sport=4500))),
    (False, eth(ROUTER, TOO_BIG, ours(frag=2), esp())),
    (False, eth(ROUTER, TOO_BIG, IP(src="192.0.2.77", dst="192.0.2.2"), esp())),  # not from us
    (False, eth(ROUTER, TOO_BIG, Raw(bytes(ours() / esp())[:19]))),
    (False, eth(ROUTER, TOO_BIG)),
    (False, eth(ROUTER, ICMP(type=3, code=3), ours(), esp())),
    (False, eth(ROUTER, ICMP(type=11), ours(), esp())),
    (False, eth(ROUTER6, ICMPv6PacketTooBig(mtu=1400), ours6(), TCP())),
    (False, eth(ROUTER6, ICMPv6PacketTooBig(mtu=1400), ours6(), IPv6ExtHdrFragment(offset=8), esp())),
    (False, eth(ROUTER6, ICMPv6EchoRequest(), ours6(), esp())),
    (False, eth(ROUTER, TOO_BIG, IPv6(bytes(ours6() / esp())))),
])
def test_icmp_in(nic, told, packet):
    answer = nic.frame(packet)
    assert (answer["verdict"], answer["reason"]) == ("redirect" if told else "pass", None)
    if told:
        assert (answer["meta"]["kind"], answer["meta"]["index"]) == (ICMP_IN, SA_NONE)
        assert answer["meta"]["payload_off"] == (34 if answer["meta"]["family"] == 4 else 54)


# ---- certain replays ----
def fate_of(nic, spi, seq):
    return nic.fate(eth(from_peer(), ESP(spi=spi, seq=seq, data=b"x" * 40)))


def test_replays_die_early(nic):
    index = nic.sa[SPI_WINDOW]
    before = nic.ask("seen", index=index, top=1000, numbers=[1000, 999, 900, 873])["dropped"]
    fates = {seq: fate_of(nic, SPI_WINDOW, seq) for seq in (0, 1, 872, 873, 874, 900, 998, 999, 1000, 1001, 5000, 2**32 - 1)}
    assert fates == {0: "SEQ_ZERO", 1: "REPLAY_OLD", 872: "REPLAY_OLD", 873: "REPLAY", 874: "redirect", 900: "REPLAY", 998: "redirect",
                     999: "REPLAY", 1000: "REPLAY", 1001: "redirect", 5000: "redirect", 2**32 - 1: "redirect"}
    assert nic.ask("seen", index=index, top=0, numbers=[])["dropped"] == before + 7
    assert fate_of(nic, SPI_WINDOW, 1) == "redirect"


def test_replays_of_ah(nic):
    nic.ask("seen", index=nic.sa[SPI_AH], top=5, numbers=[5])
    packet = AH(spi=SPI_AH, icv=b"i" * 12, nh=4)
    assert [nic.fate(eth(from_peer(), AH(bytes(packet)[:8] + seq.to_bytes(4, "big") + b"i" * 12))) for seq in (0, 4, 5, 6)] == [
        "SEQ_ZERO", "redirect", "REPLAY", "redirect"]


def test_replays_with_extended_numbers(nic):
    """The low half 0 is a number like any other once the high half is not 0 (RFC 4304)."""
    top = (3 << 32) + 5
    nic.ask("seen", index=nic.sa[SPI_ESN], top=top, numbers=[top, 3 << 32, (3 << 32) - 2])
    fates = [fate_of(nic, SPI_ESN, seq) for seq in (5, 4, 0, 2**32 - 1, 2**32 - 2, 2**31, 6)]
    assert fates == ["REPLAY", "redirect", "REPLAY", "redirect", "REPLAY", "redirect", "redirect"]
    nic.ask("seen", index=nic.sa[SPI_ESN], top=5, numbers=[5])
    assert [fate_of(nic, SPI_ESN, seq) for seq in (0, 5, 2**32 - 1)] == ["SEQ_ZERO", "REPLAY", "REPLAY_OLD"]


def test_no_window_no_early_drop(nic):
    assert [fate_of(nic, SPI, seq) for seq in (0, 1, 1)] == ["redirect"] * 3


# ---- the fate of what a NIC should not look into, or the kernel must have ----
@pytest.mark.parametrize("fate, packet", [
    ("pass", eth(ARP(pdst="192.0.2.1"))),
    ("pass", eth(ARP(pdst="192.0.2.1"), dst="ff:ff:ff:ff:ff:ff")),
    ("pass", eth(TO_PEER, PLAIN, dst=OTHER_MAC)),
    ("pass", eth(inner("10.1.0.5", "10.2.255.255"), PLAIN, dst="ff:ff:ff:ff:ff:ff")),
    ("pass", eth(inner("10.1.0.5", "224.0.0.5"), PLAIN)),
    ("pass", eth(inner("10.2.0.5", "255.255.255.255"), UDP(sport=68, dport=67))),
    ("pass", eth(inner6("fd02::5", "ff02::1"), PLAIN)),
    ("pass", eth(inner6("fd02::5", "fe80::1"), PLAIN)),
    ("pass", eth(IPv6(src="fd02::5", dst="fd01::1"), ICMPv6ND_NS(tgt="fd01::1"))),
    ("PLAINTEXT_IN", eth(IPv6(src="fd02::5", dst="fd01::1"), ICMPv6EchoRequest())),
    ("PLAINTEXT_IN", eth(IPv6(src="fd02::5", dst="fd01::1", hlim=254), ICMPv6ND_NS(tgt="fd01::1"))),  # from no neighbour
    # unicast inside a broadcast frame is delivered by the kernel, so it is looked at
    ("PLAINTEXT_IN", eth(inner("10.2.0.5", "10.1.0.1"), TCP(dport=22), dst="ff:ff:ff:ff:ff:ff")),
    ("pass", Ether(src=OTHER_MAC, dst=MAC, type=0x88cc) / Raw(b"x" * 40)),
    # four tags: not IP for us
    ("PLAINTEXT_IN", eth(Dot1Q(vlan=1), Dot1Q(vlan=2), Dot1Q(vlan=3), inner("10.2.0.5", "10.1.0.1"), PLAIN)),
    ("pass", eth(Dot1Q(vlan=1), Dot1Q(vlan=2), Dot1Q(vlan=3), Dot1Q(vlan=4), inner("10.2.0.5", "10.1.0.1"), PLAIN)),
    ("PACKET_MALFORMED", eth(IP(version=5, src="10.1.0.5", dst="10.2.0.5"), PLAIN)),
    ("PACKET_MALFORMED", eth(IP(ihl=4, src="10.1.0.5", dst="10.2.0.5"), PLAIN)),
    ("PACKET_MALFORMED", eth(IP(ihl=15, src="10.1.0.5", dst="10.2.0.5"), PLAIN)),
    ("PACKET_MALFORMED", eth(IP(len=19, src="10.1.0.5", dst="10.2.0.5"), PLAIN)),
    ("PACKET_MALFORMED", eth(IP(len=400, src="10.1.0.5", dst="10.2.0.5"), PLAIN)),
    ("PACKET_MALFORMED", eth(IPv6(plen=400, src="fd01::5", dst="fd02::5"), PLAIN)),
    ("PACKET_MALFORMED", eth(IPv6(version=4, src="fd01::5", dst="fd02::5"), PLAIN)),
    ("PACKET_MALFORMED", eth(TO_PEER6, *[IPv6ExtHdrDestOpt()] * 7, TCP())),
    ("PACKET_MALFORMED", eth(TO_PEER6, IPv6ExtHdrDestOpt(len=9), TCP())),
])
def test_not_ours(nic, fate, packet):
    assert nic.fate(packet) == fate


# ---- transit: the longest prefix, then the first selector that matches ----
@pytest.mark.parametrize("fate, packet", [
    (7, eth(TO_PEER, TCP())),
    (7, eth(TO_PEER, UDP())),
    (7, eth(TO_PEER, ICMP())),
    (7, eth(TO_PEER, SCTP())),
    (7, eth(inner("10.1.0.5", "10.2.0.5", proto=47), PLAIN)),
    (7, eth(inner("10.1.0.5", "10.2.0.5"), esp())),  # ESP of others is ordinary traffic
    (7, eth(inner("10.1.0.5", "10.2.0.5"), UDP(sport=500, dport=500))),
    (7, eth(inner("10.1.0.5", "10.2.0.5", ttl=1), UDP())),  # the agent answers
    (7, eth(inner("10.1.0.0", "10.2.0.0"), UDP())),
    (7, eth(inner("10.1.255.255", "10.2.255.255"), UDP())),
    ("pass", eth(inner("10.0.255.255", "10.2.0.0"), UDP())),
    ("pass", eth(inner("10.1.0.5", "10.1.255.255"), UDP())),
    ("pass", eth(inner("10.1.0.5", "8.8.8.8"), UDP())),
    (8, eth(inner("10.1.9.5", "10.2.9.5"), TCP(dport=443))),
    ("POLICY_DROP", eth(inner("10.1.9.5", "10.2.9.5"), TCP(dport=80))),
    ("POLICY_DROP", eth(inner("10.1.8.5", "10.2.9.5"), TCP(dport=443))),
    ("POLICY_DROP", eth(inner("10.1.9.5", "10.2.9.5"), UDP(dport=443))),
    ("pass", eth(inner("10.1.0.5", "10.2.8.5"), UDP())),
    ("POLICY_DROP", eth(inner("10.1.0.5", "10.2.7.5"), UDP())),
    ("pass", eth(inner("10.1.0.5", "10.3.0.4"), UDP())),
    (9, eth(inner("10.1.0.5", "10.3.0.5"), UDP())),
    (9, eth(inner("10.1.0.5", "10.3.0.9"), UDP())),
    ("pass", eth(inner("10.1.0.5", "10.3.0.10"), UDP())),
    ("pass", eth(inner("10.1.0.5", "10.3.0.7"), TCP())),
    ("pass", eth(inner("10.1.0.5", "10.4.0.7"), TCP(dport=79))),
    (10, eth(inner("10.1.0.5", "10.4.0.7"), TCP(dport=80))),
    (10, eth(inner("10.1.0.5", "10.4.0.7"), TCP(dport=90))),
    ("pass", eth(inner("10.1.0.5", "10.4.0.7"), TCP(dport=91))),
    (11, eth(inner("10.1.0.5", "10.5.0.7"), ICMP(type=8))),
    ("pass", eth(inner("10.1.0.5", "10.5.0.7"), ICMP(type=0))),
    (16, eth(inner("10.1.0.5", "10.5.0.7", proto=MH_), b"\x3b\x01\x05\0\0\0\0\0")),
    ("pass", eth(inner("10.1.0.5", "10.5.0.7", proto=MH_), b"\x3b\x01\x06\0\0\0\0\0")),
    ("PACKET_MALFORMED", eth(inner("10.1.0.5", "10.5.0.7", proto=MH_), b"\x3b\x01")),
    (12, eth(TO_PEER6, TCP())),
    (12, eth(TO_PEER6, IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt(), TCP())),
    (12, eth(TO_PEER6, *[IPv6ExtHdrDestOpt()] * 6, TCP())),
    (12, eth(inner6("fd01::5", "fd02:ffff::"), ICMPv6EchoRequest())),
    ("pass", eth(inner6("fd01::5", "fd04::5"), TCP())),
    ("pass", eth(inner6("fd05::5", "fd02::5"), TCP())),
    ("pass", eth(inner6("fd01::5", "fd03::4"), TCP(dport=443))),
    (13, eth(inner6("fd01::5", "fd03::5"), TCP(dport=443))),
    (13, eth(inner6("fd01::5", "fd03::ffff:1"), TCP(dport=443))),
    ("pass", eth(inner6("fd01::5", "fd03::ffff:2"), TCP(dport=443))),
    ("pass", eth(inner6("fd01::5", "fd03::5"), TCP(dport=80))),
    (12, eth(inner6("fd01::5", "fd02::5", hlim=64), ICMPv6ND_NS())),  # no neighbour discovery
    # plaintext from outside that claims to come from behind the peer
    ("PLAINTEXT_IN", eth(inner("10.2.0.5", "10.1.0.5"), TCP())),
    ("PLAINTEXT_IN", eth(inner6("fd02::5", "fd01::5"), TCP())),
    ("PLAINTEXT_IN", eth(inner("10.2.0.5", "10.1.0.5"), UDP(sport=500, dport=500))),
    ("PLAINTEXT_IN", eth(inner("10.2.0.5", "10.1.0.5"), esp())),
    ("pass", eth(inner("10.2.0.5", "172.16.0.1"), TCP())),
    # a hub's: the same where another tunnel would take it on, or a policy lets its destination pass
    (18, eth(inner("10.18.0.5", "10.17.0.5"), TCP())),
    ("pass", eth(inner("10.18.0.5", "10.19.0.5"), TCP())),
    ("PLAINTEXT_IN", eth(inner("10.16.0.5", "10.17.0.5"), TCP())),
    ("PLAINTEXT_IN", eth(inner("10.17.0.5", "10.16.0.5"), UDP())),
    ("PLAINTEXT_IN", eth(inner("10.16.0.5", "10.19.0.5"), TCP())),
    # one tunnel for all ways: which side a packet comes from nobody can tell
    (20, eth(inner("10.32.0.5", "10.32.1.5"), TCP())),
    # all else is forbidden, both ways, and yet what is protected goes out
    (21, eth(inner("10.40.0.5", "10.41.0.5"), TCP())),
    ("POLICY_DROP", eth(inner("10.40.0.5", "10.40.1.5"), TCP())),
])
def test_transit(nic, fate, packet):
    answer = nic.frame(packet)
    assert (answer["meta"]["index"] if answer["meta"] else answer["reason"] or answer["verdict"]) == fate


@pytest.mark.parametrize("packet, protocol, flags, family, l3, payload", [
    (eth(TO_PEER, TCP()), TCP_, 0, 4, 14, 34),
    (eth(Dot1Q(vlan=9), TO_PEER, TCP()), TCP_, 0, 4, 18, 38),
    (eth(inner("10.1.0.5", "10.2.0.5", options=[IPOption_Router_Alert()]), UDP()), UDP_, 0, 4, 14, 38),
    (eth(TO_PEER6, IPv6ExtHdrHopByHop(), UDP()), UDP_, 0, 6, 14, 62),
    (eth(TO_PEER6, IPv6ExtHdrFragment(m=1), UDP()), UDP_, FRAGMENT, 6, 14, 62),
    (eth(TO_PEER6, IPv6ExtHdrFragment(offset=3, nh=UDP_), Raw(b"x" * 8)), UDP_, FRAGMENT, 6, 14, 62),
    (ipv4_fragments(TO_PEER / UDP() / Raw(b"x" * 100))[0], UDP_, FRAGMENT, 4, 14, 34),
    (ipv4_fragments(TO_PEER / UDP() / Raw(b"x" * 100))[1], UDP_, FRAGMENT, 4, 14, 34),
])
def test_plain_out_meta(nic, packet, protocol, flags, family, l3, payload):
    assert nic.frame(packet)["meta"] == {"kind": PLAIN_OUT, "flags": flags, "family": family, "protocol": protocol, "l3_off": l3,
                                         "payload_off": payload, "index": 7 if family == 4 else 12}


# ---- fragments under policies with ports: the first has them, the later ones must not slip out in clear ----
@pytest.mark.parametrize("first, later, src, dst, dport", [
    (8, "FRAGMENT_PORTS", "10.1.9.5", "10.2.9.5", 443),
    (10, "FRAGMENT_PORTS", "10.1.0.5", "10.4.0.5", 80),
    ("pass", "FRAGMENT_PORTS", "10.1.0.5", "10.4.0.5", 8080),
    ("pass", "pass", "10.1.0.5", "10.3.0.5", 53),  # TCP, and the selectors are for UDP
    (7, 7, "10.1.0.5", "10.2.0.5", 53),
    (14, 15, "10.1.0.5", "10.6.0.5", 53),  # OPAQUE takes what has no ports
    ("pass", 15, "10.1.0.5", "10.6.0.5", 54),
    ("PLAINTEXT_IN", "pass", "10.4.0.5", "10.1.0.5", None),  # inbound: later fragments are harmless without the first
])
def test_fragments_and_ports(nic, first, later, src, dst, dport):
    transport = UDP if dst.startswith("10.6.") else TCP
    parts = ipv4_fragments(inner(src, dst) / transport(sport=80, dport=dport or 1000) / Raw(b"x" * 100))
    fates = []
    for part in parts[:2]:
        answer = nic.frame(part)
        fates.append(answer["meta"]["index"] if answer["meta"] else answer["reason"] or answer["verdict"])
    assert fates == [first, later]


# ---- no port, no socket ----
def test_unattached_interface_passes(world):
    world.ask("no_port")
    assert world.fate(eth(from_peer(), esp())) == "pass"
    assert world.fate(eth(TO_PEER, TCP())) == "pass"


def test_fails_closed_without_agent(nic):
    nic.ask("no_socket")
    assert nic.fate(eth(from_peer(), esp())) == "AGENT_DOWN"
    assert nic.fate(eth(TO_PEER, TCP())) == "AGENT_DOWN"
    assert nic.fate(eth(inner("10.2.0.5", "10.1.0.5"), TCP())) == "PLAINTEXT_IN"
    assert nic.fate(eth(from_peer(), TCP(dport=22))) == "pass"
    assert nic.fate(eth(from_peer(), ah())) == "AGENT_DOWN"
    assert [nic.fate(part) for part in ipv4_fragments(from_peer() / esp())] == ["AGENT_DOWN"] * 2
    # a fragment to a port of this host is in nobody's clear
    assert {nic.fate(part) for part in ipv4_fragments(from_peer() / encap(esp(SPI_ENCAP)))} == {"pass"}


# ---- truncation at every length: never a fate that only a whole packet may have ----
@pytest.mark.parametrize("packet, whole", [
    (eth(from_peer(), esp()), "redirect"),
    (eth(Dot1AD(vlan=1), Dot1Q(vlan=2), from_peer(options=[IPOption_Router_Alert()]), encap(esp(SPI_ENCAP))), "redirect"),
    (eth(from_peer6(), IPv6ExtHdrHopByHop(), esp(SPI_6)), "redirect"),
    (eth(TO_PEER, TCP()), "redirect"),
    (eth(TO_PEER6, IPv6ExtHdrDestOpt(), IPv6ExtHdrFragment(), UDP(), PLAIN), "redirect"),
    (eth(inner("10.2.0.5", "10.1.0.5"), TCP()), "PLAINTEXT_IN"),
])
def test_truncated(nic, packet, whole):
    data = bytes(packet)
    assert nic.fate(data) == whole
    headers = 14 + 4 * sum(packet.haslayer(tag) for tag in (Dot1Q, Dot1AD))
    for length in range(14, len(data)):  # the kernel gives no test run less than a link header
        assert nic.fate(data[:length]) == ("PACKET_MALFORMED" if length >= headers else "pass"), length


@pytest.mark.parametrize("packet", [
    eth(TO_PEER, TCP()),
    eth(from_peer(), encap(esp(SPI_ENCAP))),
    eth(from_peer(), esp()),
])
def test_short_ip_length(nic, packet):
    """The IP length counts, not the frame's: what lies behind it is padding."""
    for total in range(20, len(packet) - 14):
        short = packet.copy()
        short[IP].len = total
        del short[IP].chksum
        ports = total >= 24
        protocol = packet[IP].proto
        if protocol == ESP_:
            want = "redirect" if total >= 28 else "ESP_SHORT"
        elif protocol == TCP_:
            want = "redirect" if ports else "PACKET_MALFORMED"
        else:
            want = "PACKET_MALFORMED"  # UDP's own length is longer
        assert nic.fate(short) == want, total
    assert nic.fate(bytes(packet) + b"\0" * 20) == "redirect"


def test_mutated(nic):
    """Bytes changed at random (the same ones in every run): each frame has one fate, a drop is counted once, metadata stays inside."""
    dice = random.Random(4303)
    seeds = [bytes(packet) for packet in (
        eth(from_peer(options=[IPOption_Router_Alert()]), encap(esp(SPI_ENCAP))), eth(from_peer6(), IPv6ExtHdrHopByHop(), esp(SPI_6)),
        eth(Dot1Q(vlan=5), TO_PEER, TCP()), eth(TO_PEER6, IPv6ExtHdrDestOpt(), IPv6ExtHdrFragment(m=1), UDP(), PLAIN))]
    for _ in range(4000):
        data = bytearray(dice.choice(seeds))
        for _ in range(dice.randint(1, 4)):
            data[dice.randrange(12, len(data))] = dice.choice((0, 1, 255, dice.randrange(256)))
        answer = nic.frame(bytes(data))
        assert answer["verdict"] in ("pass", "drop", "redirect")
        assert (answer["verdict"] == "drop") == (answer["reason"] is not None and answer["reason"] != "?"), data.hex()
        if answer["meta"]:
            assert 14 <= answer["meta"]["l3_off"] < answer["meta"]["payload_off"] <= len(data), data.hex()


# ---- events ----
def test_event_of_unknown_spi(nic):
    nic.ask("events")
    for spi in range(0x10000, 0x10000 + 100):
        assert nic.fate(eth(from_peer(), esp(spi))) == "SPI_UNKNOWN"
    events = nic.ask("events")["events"]
    cpus = os.cpu_count()
    assert len(events) <= 30 * cpus, "rate-limited per CPU and second"
    for event in events:
        assert event["kind"] == 1 and 0x10000 <= event["spi"] < 0x10000 + 100
        assert event["source"] == mapped("192.0.2.2") and event["destination"] == mapped("192.0.2.1")


# ---- changes while traffic runs ----
@pytest.mark.parametrize("local, remote, neighbour, mine, far, packet", [
    ("10.1.0.0/16", "0.0.0.0/0", "10.1.0.5", "10.1.0.1", "8.8.8.8", IP),
    ("fd01::/16", "::/0", "fd01::5", "fd01::1", "2001:db8:8::8", IPv6),
])
def test_neighbours_in_a_full_tunnel(nic, local, remote, neighbour, mine, far, packet):
    """All traffic of a site goes through the tunnel, but its hosts still reach this gateway and each other."""
    policy = nic.policy(PROTECT, selector(local), selector(remote), 30, priority=200)
    assert nic.frame(eth(packet(src=neighbour, dst=far), TCP()))["meta"]["index"] == 30
    assert nic.fate(eth(packet(src=far, dst=neighbour), TCP())) == "PLAINTEXT_IN"
    assert nic.fate(eth(packet(src=far, dst=mine), TCP())) == "PLAINTEXT_IN"
    assert nic.fate(eth(packet(src=neighbour, dst=mine), TCP(dport=22))) == "pass"
    other = str(ipaddress.ip_network(local)[0x717])
    assert nic.fate(eth(packet(src=neighbour, dst=other), TCP())) == "pass"
    nic.ask("policy_remove", id=policy)


def test_policy_comes_and_goes(nic):
    packet = eth(inner("10.1.0.5", "10.99.0.5"), UDP())
    narrow = eth(inner("10.1.0.5", "10.99.1.5"), UDP())
    assert nic.fate(packet) == "pass"
    wide_id = nic.policy(PROTECT, selector("10.1.0.0/16"), selector("10.99.0.0/16"), 20)
    assert nic.frame(packet)["meta"]["index"] == 20
    narrow_id = nic.policy(PROTECT, selector("10.1.0.0/16"), selector("10.99.1.0/24"), 21)
    assert (nic.frame(packet)["meta"]["index"], nic.frame(narrow)["meta"]["index"]) == (20, 21)
    strong_id = nic.policy(PROTECT, selector("10.1.0.0/16"), selector("10.96.0.0/11"), 22, priority=1)
    assert (nic.frame(packet)["meta"]["index"], nic.frame(narrow)["meta"]["index"]) == (22, 22)
    nic.ask("policy_remove", id=strong_id)
    nic.ask("policy_remove", id=narrow_id)
    assert nic.frame(narrow)["meta"]["index"] == 20
    nic.ask("policy_remove", id=wide_id)
    assert (nic.fate(packet), nic.fate(narrow)) == ("pass", "pass")
