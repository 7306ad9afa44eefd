# SPDX-License-Identifier: Apache-2.0
"""What the tc program does with each packet that leaves this host (BPF_PROG_TEST_RUN), in the world of test_classify."""
import pytest

scapy = pytest.importorskip("scapy.all", reason="needs scapy")
from scapy.all import AH, ARP, ESP, ICMP, IP, TCP, UDP, Ether, ICMPv6ND_NS, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, Raw
from test_classify import (MAC, OTHER_MAC, PLAIN, PROTECT, TCP_, UDP_, encap, esp, eth, inner, inner6, selector, world)

__all__ = ["world"]  # pytest's way to share a fixture
AGENT_MARK = 0x45535000
SELF, PEER, SELF6, PEER6 = "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"


@pytest.fixture(scope="module")
def egress(world):
    """Between the two gateways themselves everything is protected, as in transport mode."""
    world.policy(PROTECT, selector(f"{SELF}/32"), selector(f"{PEER}/32"), 40, 5)
    world.policy(PROTECT, selector(f"{SELF6}/128"), selector(f"{PEER6}/128"), 41, 5)
    world.ask("capture_to", ifindex=1)
    return world


def fate(egress, packet, mark=0):
    data = bytes(packet)
    answer = egress.ask("egress", data=data.hex(), mark=mark)
    assert answer["data"] == data.hex(), "the packet itself is never changed"
    assert (answer["verdict"] == "drop") == (answer["reason"] is not None), answer
    return answer["reason"] or answer["verdict"]


@pytest.mark.parametrize("expected, packet", [
    ("redirect", eth(IP(src=SELF, dst=PEER), TCP())),
    ("redirect", eth(IP(src=SELF, dst=PEER), UDP(sport=53, dport=4500))),
    ("redirect", eth(IP(src=SELF, dst=PEER), ICMP())),
    ("redirect", eth(IP(src=SELF, dst=PEER, frag=3), PLAIN)),
    ("redirect", eth(IPv6(src=SELF6, dst=PEER6), TCP())),
    ("redirect", eth(IPv6(src=SELF6, dst=PEER6), IPv6ExtHdrDestOpt(), TCP())),
    ("redirect", eth(IPv6(src=SELF6, dst=PEER6), IPv6ExtHdrFragment(offset=9), Raw(b"x" * 40))),
    ("redirect", eth(inner("10.1.0.5", "10.2.0.5"), TCP())),
    ("redirect", eth(inner6("fd01::5", "fd02::5"), TCP())),
    ("redirect", eth(inner("10.1.0.5", "10.2.0.5"), esp())),  # ESP of others is traffic
    ("redirect", eth(inner("10.1.0.5", "10.2.0.5"), UDP(sport=500, dport=500))),
    # what carries the tunnels
    ("pass", eth(IP(src=SELF, dst=PEER), esp())),
    ("pass", eth(IP(src=SELF, dst=PEER), AH(spi=300, seq=1, icv=b"i" * 12))),
    ("pass", eth(IP(src=SELF, dst=PEER), UDP(sport=500, dport=500), Raw(b"I" * 60))),
    ("pass", eth(IP(src=SELF, dst=PEER), encap(esp()))),
    ("pass", eth(IP(src=SELF, dst=PEER), UDP(sport=4500, dport=61000), Raw(b"I" * 60))),
    ("pass", eth(IPv6(src=SELF6, dst=PEER6), ESP(spi=300, seq=1, data=b"x" * 40))),
    # what no policy covers, or one lets go
    ("pass", eth(IP(src=SELF, dst="198.51.100.9"), TCP())),
    ("pass", eth(inner("10.1.0.5", "10.2.8.5"), UDP())),
    ("pass", eth(IP(src=SELF, dst="224.0.0.5"), UDP())),
    ("pass", eth(IPv6(src=SELF6, dst=PEER6), ICMPv6ND_NS(tgt=PEER6))),
    ("redirect", eth(IPv6(src=SELF6, dst=PEER6, hlim=64), ICMPv6ND_NS(tgt=PEER6))),  # forwarded: no neighbour discovery
    ("pass", Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(pdst=PEER)),
    ("pass", Ether(src=MAC, dst=OTHER_MAC, type=0x88cc) / Raw(b"x" * 40)),
    # what may not leave
    ("POLICY_DROP", eth(inner("10.1.0.5", "10.2.7.5"), UDP())),
    ("FRAGMENT_PORTS", eth(inner("10.1.0.5", "10.4.0.5", frag=3, proto=TCP_), PLAIN)),
    ("PACKET_MALFORMED", eth(IP(src=SELF, dst=PEER, proto=UDP_), Raw(b"\0\x35"))),
    ("PACKET_MALFORMED", eth(IPv6(src=SELF6, dst=PEER6), *[IPv6ExtHdrDestOpt()] * 7, TCP())),
])
def test_fates(egress, expected, packet):
    assert fate(egress, packet) == expected


def test_marked_packets_pass(egress):
    assert fate(egress, eth(IP(src=SELF, dst=PEER), TCP()), AGENT_MARK) == "pass"
    assert fate(egress, eth(IP(src=SELF, dst=PEER), TCP()), AGENT_MARK + 1) == "redirect"


def test_large_packets_stay_whole(egress):
    assert fate(egress, eth(IP(src=SELF, dst=PEER), TCP(), Raw(b"x" * 2900))) == "redirect"


def test_nowhere_to_go(egress):
    egress.ask("capture_to", ifindex=0)
    assert fate(egress, eth(IP(src=SELF, dst=PEER), TCP())) == "AGENT_DOWN"
    assert fate(egress, eth(IP(src=SELF, dst="198.51.100.9"), TCP())) == "pass"
    egress.ask("capture_to", ifindex=1)


def test_every_truncation_is_judged(egress):
    data = bytes(eth(IPv6(src=SELF6, dst=PEER6), IPv6ExtHdrDestOpt(), TCP()))
    for cut in range(14 + 40, len(data)):
        assert fate(egress, data[:cut]) in ("redirect", "PACKET_MALFORMED")


def fragments(number, port):
    """First and second fragment of packet `number` to a TCP port; 80 to 90 are protected."""
    return [eth(inner("10.1.0.5", "10.4.0.5", id=number, flags="MF"), TCP(dport=port), Raw(b"x" * 4)),
            eth(inner("10.1.0.5", "10.4.0.5", id=number, frag=3, proto=TCP_), PLAIN)]


def test_fragments_follow_the_first(egress):
    """Where ports decide, the first fragment does so for all of its packet, and for no other packet's."""
    for number, port, expected in ((700, 80, "redirect"), (701, 91, "pass")):
        first, second = fragments(number, port)
        assert fate(egress, second) == "FRAGMENT_PORTS"
        assert fate(egress, first) == fate(egress, second) == fate(egress, second) == expected
    assert fate(egress, fragments(702, 80)[1]) == "FRAGMENT_PORTS"


def test_fragments_of_another_protocol(egress):
    """They count their packets by themselves (RFC 791 3.2): the same number is another packet."""
    first, second = fragments(710, 80)
    other = eth(inner("10.1.0.5", "10.4.0.5", id=710, flags="MF"), UDP(dport=80), Raw(b"x" * 8))
    assert [fate(egress, packet) for packet in (first, other, second)] == ["redirect", "pass", "redirect"]


def test_fragments_follow_the_first_in_ipv6(egress):
    def fragment(number, offset, payload):
        return eth(IPv6(src=SELF6, dst=PEER6), IPv6ExtHdrFragment(id=number, offset=offset, m=not offset), payload)
    assert fate(egress, fragment(5, 0, TCP(dport=80))) == fate(egress, fragment(5, 4, PLAIN)) == "redirect"
