# SPDX-License-Identifier: Apache-2.0
"""
scapy's IPsec against ours in depth, for the suites of every day: lengths, headers, padding, every way to die (test_matrix.py has all suites).
The agent's code runs in a pipe (tests/lab/esp_tool.c); no root is needed.
"""
import random

import pytest
from scapy.all import ICMP, IP, TCP, UDP, IPv6, Raw, raw
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6ExtHdrFragment
from scapy.layers.ipsec import ESP, SecurityAssociation

SPI = 0x1234ABCD
HERE = {4: "192.0.2.1", 6: "2001:db8::1"}
THERE = {4: "198.51.100.2", 6: "2001:db8::2"}
PORT_HERE, PORT_THERE = 4500, 14500

SCAPY_AUTH = {0: "NULL", 12: "SHA2-256-128", 13: "SHA2-384-192", 14: "SHA2-512-256"}
SUITES = [("aes%dgcm16" % bits, 20, bits, 0) for bits in (128, 192, 256)] + \
         [("aes%d-sha%d" % (bits, sha), 12, bits, integ) for sha, integ in ((256, 12), (384, 13), (512, 14)) for bits in (128, 192, 256)]
FORMS = [(family, udp) for family in (4, 6) for udp in (False, True)]


@pytest.fixture
def tool(pipe):
    return pipe


@pytest.fixture(params=SUITES, ids=[suite[0] for suite in SUITES])
def suite(request):
    return request.param


@pytest.fixture(params=FORMS, ids=["ipv%d-%s" % (family, "udp" if udp else "esp") for family, udp in FORMS])
def form(request):
    return request.param


class Sa:
    """One SA from HERE to THERE: arguments for our tool at either end, and scapy's object."""

    def __init__(self, suite, form, esn=False):
        _, self.encr, self.bits, self.integ = suite
        self.family, self.udp = form
        self.esn = esn
        rng = random.Random(str((suite, form)))
        self.key = rng.randbytes(self.bits // 8)
        self.salt = rng.randbytes(4)
        self.integ_key = rng.randbytes({0: 0, 12: 32, 13: 48, 14: 64}[self.integ])

    def common(self, packet):
        return {"encr": self.encr, "bits": self.bits, "integ": self.integ, "key": self.key.hex(), "salt": self.salt.hex(),
                "integ_key": self.integ_key.hex(), "spi": SPI, "udp": self.udp, "esn": self.esn, "packet": raw(packet).hex()}

    def seal(self, tool, packet, seq=0):
        """Our sealed packet as scapy reads it."""
        answer = tool.ask(op="seal", local=HERE[self.family], remote=THERE[self.family], local_port=PORT_HERE,
                          remote_port=PORT_THERE, seq=seq, **self.common(packet))
        assert answer["reason"] == "NONE"
        return outer_class(self.family)(bytes.fromhex(answer["packet"]))

    def open(self, tool, packet, **more):
        return tool.ask(op="open", local=THERE[self.family], remote=HERE[self.family], local_port=PORT_THERE, remote_port=PORT_HERE,
                        **{"replay_bits": 1024, **self.common(packet), **more})

    def scapy(self):
        auth = {} if self.encr == 20 else {"auth_algo": SCAPY_AUTH[self.integ], "auth_key": self.integ_key}
        header = outer_class(self.family)(src=HERE[self.family], dst=THERE[self.family])
        nat = {"nat_t_header": UDP(sport=PORT_HERE, dport=PORT_THERE)} if self.udp else {}
        algorithm, key = ("AES-GCM", self.key + self.salt) if self.encr == 20 else ("AES-CBC", self.key)
        return SecurityAssociation(ESP, spi=SPI, crypt_algo=algorithm, crypt_key=key, tunnel_header=header, **auth, **nat)


def outer_class(family):
    return IP if family == 4 else IPv6


def scapy_open(sa, packet, **esn):
    """scapy looks for ESP behind port 4500 only; the port of the other side is free (RFC 3948 2.1)."""
    if sa.udp:
        body = raw(packet[UDP].payload)
        packet[UDP].remove_payload()
        packet = packet / ESP(body)
    return sa.scapy().decrypt(packet, **esn)


def scapy_seal(sa, packet, seq_num, **esn):
    """Over IPv4 scapy 2.5 writes the length of an empty UDP datagram before it puts ESP behind."""
    sealed = sa.scapy().encrypt(packet, seq_num=seq_num, **esn)
    if sa.udp and sa.family == 4:
        sealed[UDP].len = len(raw(sealed)) - 20
    return sealed


def inner_packets():
    for size in (0, 1, 2, 3, 13, 14, 15, 16, 17, 100, 575, 1300):
        data = Raw(bytes(i * 5 & 255 for i in range(size)))
        yield IP(src="10.1.0.5", dst="10.2.0.7", ttl=61, id=77) / UDP(sport=1000, dport=2000) / data
        yield IPv6(src="fd01::5", dst="fd02::7", hlim=61) / TCP(sport=1000, dport=2000, flags="S") / data
    yield IP(src="10.1.0.5", dst="10.2.0.7") / ICMP() / b"ping"
    yield IPv6(src="fd01::5", dst="fd02::7") / ICMPv6EchoRequest(data=b"ping")
    yield IPv6(src="fd01::5", dst="fd02::7") / IPv6ExtHdrFragment(offset=0, m=1, id=9) / UDP(sport=1, dport=2) / bytes(24)


def test_scapy_opens_what_we_seal(tool, suite, form):
    sa = Sa(suite, form)
    for seq, packet in enumerate(inner_packets()):
        sealed = sa.seal(tool, packet, seq)
        assert sealed.src == HERE[sa.family] and sealed.dst == THERE[sa.family]
        if sa.family == 4:
            checksum = sealed.chksum
            del sealed.chksum
            assert IP(raw(sealed)).chksum == checksum
        if sa.udp:
            assert (sealed[UDP].sport, sealed[UDP].dport) == (PORT_HERE, PORT_THERE)
            checksum = sealed[UDP].chksum
            if sa.family == 4:
                assert checksum == 0
            else:
                del sealed[UDP].chksum
                assert IPv6(raw(sealed))[UDP].chksum == checksum
        assert raw(scapy_open(sa, sealed)) == raw(packet)


def test_we_open_what_scapy_seals(tool, suite, form):
    sa = Sa(suite, form)
    for seq, packet in enumerate(inner_packets(), 1):
        answer = sa.open(tool, scapy_seal(sa, packet, seq))
        assert answer["reason"] == "NONE"
        assert bytes.fromhex(answer["packet"]) == raw(packet)
        assert answer["seq"] == seq
        assert answer["seen_remote_port"] == 0


@pytest.mark.parametrize("bits", (128, 192, 256))
def test_esn_with_gcm(tool, bits):
    """scapy leaves the high half out of a separate ICV, so only the AEAD is compared."""
    sa = Sa(("", 20, bits, 0), (4, False), esn=True)
    packet = next(inner_packets())
    sealed = sa.seal(tool, packet, seq=(7 << 32) + 5)
    assert sealed[ESP].seq == 6
    assert raw(scapy_open(sa, sealed, esn_en=True, esn=7)) == raw(packet)
    answer = sa.open(tool, scapy_seal(sa, packet, 6, esn_en=True, esn=7), seq=(7 << 32) - 3)
    assert (answer["reason"], answer["seq"]) == ("NONE", (7 << 32) + 6)
    answer = sa.open(tool, scapy_seal(sa, packet, 6, esn_en=True, esn=8), seq=(7 << 32) - 3)
    assert answer["reason"] == "ICV_BAD"


# ---- the right reason for every death ------------------------------------------------------------------------------


def sealed_bytes(sa, packet=None, seq=1):
    return bytearray(raw(scapy_seal(sa, packet or next(inner_packets()), seq)))


def esp_offset(sa):
    return (20 if sa.family == 4 else 40) + (8 if sa.udp else 0)


def test_tampered(tool, suite, form):
    sa = Sa(suite, form)
    whole = sealed_bytes(sa)
    at_esp = esp_offset(sa)
    for at in [at_esp + 4, at_esp + 7, at_esp + 8, at_esp + 20, len(whole) - 17, len(whole) - 1]:
        packet = bytearray(whole)
        packet[at] ^= 0x10
        assert sa.open(tool, bytes(packet))["reason"] == "ICV_BAD"
    whole[at_esp] ^= 1
    assert sa.open(tool, bytes(whole))["reason"] == "SPI_UNKNOWN"


def test_replayed(tool, suite):
    sa = Sa(suite, (4, False))
    assert sa.open(tool, bytes(sealed_bytes(sa, seq=100)), seq=1123)["reason"] == "NONE"
    assert sa.open(tool, bytes(sealed_bytes(sa, seq=100)), seq=1124)["reason"] == "REPLAY_OLD"
    packet = sealed_bytes(sa, seq=100)
    packet[24:28] = bytes(4)
    assert sa.open(tool, bytes(packet))["reason"] == "SEQ_ZERO"


def test_short(tool, suite, form):
    sa = Sa(suite, form)
    whole = sealed_bytes(sa)
    at_esp = esp_offset(sa)
    for length in range(at_esp, at_esp + 40):
        packet = whole[:length]
        if sa.family == 4:
            packet[2:4] = length.to_bytes(2, "big")
        else:
            packet[4:6] = (length - 40).to_bytes(2, "big")
        if sa.udp:
            packet[at_esp - 4:at_esp - 2] = (length - at_esp + 8).to_bytes(2, "big")
        assert sa.open(tool, bytes(packet))["reason"] in ("ESP_SHORT",) if length < at_esp + 8 else ("ESP_SHORT", "ICV_BAD")
    assert sa.open(tool, bytes(whole[:-1]))["reason"] == "PACKET_MALFORMED"


def test_wrong_key(tool, suite):
    sa, other = Sa(suite, (4, False)), Sa(suite, (6, False))
    other.family = 4
    assert sa.open(tool, bytes(sealed_bytes(other)))["reason"] == "ICV_BAD"


def test_wrong_form(tool):
    for udp in (False, True):
        sa, other = Sa(SUITES[0], (4, udp)), Sa(SUITES[0], (4, udp))
        other.udp = not udp
        assert sa.open(tool, bytes(sealed_bytes(other)))["reason"] == "OUTER_MISMATCH"


def test_selectors(tool, suite):
    sa = Sa(suite, (4, False))
    good = {"local_ts": "10.2.0.7", "remote_ts": "10.1.0.5"}
    assert sa.open(tool, bytes(sealed_bytes(sa)), **good)["reason"] == "NONE"
    assert sa.open(tool, bytes(sealed_bytes(sa)), **{**good, "local_ts": "10.2.0.8"})["reason"] == "SELECTOR_MISMATCH"
    assert sa.open(tool, bytes(sealed_bytes(sa)), **{**good, "remote_ts": "10.1.0.4"})["reason"] == "SELECTOR_MISMATCH"
    assert sa.open(tool, bytes(sealed_bytes(sa)), **{**good, "remote_ts": "fd01::5"})["reason"] == "SELECTOR_MISMATCH"


def test_peer_moved(tool):
    sa = Sa(SUITES[2], (4, True))
    packet = IP(bytes(sealed_bytes(sa)))
    packet[UDP].sport = 40000
    assert sa.open(tool, packet)["seen_remote_port"] == 40000


def test_inner_not_ip(tool, suite):
    """A transport-mode packet on a tunnel-mode SA."""
    sa = Sa(suite, (4, False))
    scapy = sa.scapy()
    scapy.tunnel_header = None
    sealed = scapy.encrypt(IP(src=HERE[4], dst=THERE[4]) / UDP(sport=1, dport=2) / b"bare", seq_num=1)
    assert sa.open(tool, sealed)["reason"] == "NEXT_HEADER_BAD"
