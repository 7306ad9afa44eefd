# SPDX-License-Identifier: Apache-2.0
"""
AH behind IPv4 options and IPv6 extension headers (RFC 4302 3.3.3.1, appendix A). A packet travels before it is opened: routers count
down, write into timestamps and recorded routes, and follow source routes. The oracles open what we seal and seal what we open; then
every bit of the header in front of AH is turned: what may change on the way passes, all else dies.
"""
import struct
from ipaddress import ip_address

import own_esp
import pytest
from scapy.all import IP, IPv6, Raw, raw
from scapy.layers.ipsec import AH, SecurityAssociation

SPI = 0x1234ABCD
HERE, HOP, MIDDLE, THERE = ({4: f"192.0.2.{n}", 6: f"2001:db8::{n}"} for n in (1, 10, 11, 2))
UDP = struct.pack("!HHHH", 1000, 2000, 8 + 33, 0) + bytes(range(33))
INNER = raw(IP(src="10.1.0.5", dst="10.2.0.7", proto=17) / Raw(UDP))
SUITES = ("sha256", "aes256gmac")


def packed(address):
    return ip_address(address).packed


def route4(kind):
    """By HOP, where the header leads, and MIDDLE to THERE (RFC 791 3.1)."""
    return bytes([kind, 11, 4]) + packed(MIDDLE[4]) + packed(THERE[4]) + b"\0"


def options6(*options):
    body = b"".join(bytes([kind, len(data)]) + data for kind, data in options)
    pad = -(len(body) + 2) % 8
    body += b"\0" if pad == 1 else bytes([1, pad - 2]) + bytes(pad - 2) if pad else b""
    return bytes([0, len(body) // 8]) + body


def routing6(left):
    """Type 0 (RFC 2460 4.4) with two addresses: of `left` 2 the header leads to HOP."""
    addresses = (MIDDLE[6], THERE[6]) if left else (HOP[6], MIDDLE[6])
    return bytes([0, 4, 0, left]) + bytes(4) + b"".join(packed(a) for a in addresses)


ALERT, CHANGING, KEPT = (5, b"\0\0"), (0x3E, b"\1\2\3\4"), (0x1E, b"\5\6\7\10")
# Of IPv4 options in bytes. The security label is RFC 1108's, the timestamp has room for two, the last is of no known kind.
OPTIONS4 = {
    "none": b"",
    "no-operation and end": b"\1\1\1\0",
    "security": b"\x82\x0b\xab" + bytes(range(1, 9)) + b"\0",
    "extended security": b"\x85\4\1\2",
    "commercial security": b"\x86\6\0\0\0\1\0\0",
    "router alert": b"\x94\4\0\0",
    "sender directed": b"\x95\7\4" + packed("192.0.2.77") + b"\1",
    "timestamp": b"\x44\x0c\5\0" + bytes(8),
    "record route": b"\7\x0b\4" + bytes(8) + b"\0",
    "loose source route": route4(131),
    "strict source route": route4(137),
    "source route used up": b"\x83\x0b\x0c" + packed(HOP[4]) + packed(MIDDLE[4]) + b"\1",
    "stream": b"\x88\4\0\7",
    "unknown": b"\x5e\6\1\2\3\4\1\0",
    "many": b"\1\x94\4\0\0\7\7\4" + bytes(4) + b"\x82\x0b\xab" + bytes(range(1, 9)) + b"\0",
}
# Of extension headers: (type, bytes) in their order.
EXTENSIONS6 = {
    "none": (),
    "hop-by-hop, kept": ((0, options6(ALERT, KEPT)),),
    "hop-by-hop, changing": ((0, options6(CHANGING, ALERT)),),
    "destination options": ((60, options6(KEPT, CHANGING)), (43, routing6(2))),
    "routing": ((43, routing6(2)),),
    "routing, arrived": ((43, routing6(0)),),
    "all": ((0, options6(ALERT, CHANGING)), (60, options6(CHANGING, KEPT)), (43, routing6(2))),
}
# scapy 2.5 cannot parse the first, seals for the address that a route of IPv4 begins with, and turns a used-up one of IPv6 once more.
SCAPY_CANNOT_READ = {(4, "sender directed")}
SCAPY_CANNOT_SEAL = SCAPY_CANNOT_READ | {(4, "loose source route"), (4, "strict source route"), (6, "routing, arrived")}
CASES = [(4, name) for name in OPTIONS4] + [(6, name) for name in EXTENSIONS6]


def routed(family, name):
    return name in ("loose source route", "strict source route", "routing", "destination options", "all") and name in \
        (OPTIONS4 if family == 4 else EXTENSIONS6)


def header(family, name, protocol):
    """The header as it leaves, for `protocol` behind it; lengths are the sealer's affair."""
    to = (HOP if routed(family, name) else THERE)[family]
    if family == 4:
        options = OPTIONS4[name]
        return bytes([0x45 + len(options) // 4, 0]) + struct.pack("!HHHBBH", 20, 77, 0, 61, protocol, 0) + \
            packed(HERE[4]) + packed(to) + options
    parts = EXTENSIONS6[name]
    kinds = [kind for kind, _ in parts] + [protocol]
    chain = b"".join(bytes([following]) + part[1:] for (_, part), following in zip(parts, kinds[1:]))
    return struct.pack("!IHBB", 0x60000000, len(chain), kinds[0], 61) + packed(HERE[6]) + packed(to) + chain


def travel(packet):
    """What the routers on the way, and those that a source route names, do to it."""
    at = own_esp.ah_at(packet)
    ip, rest = bytearray(own_esp.arrived(packet[:at])), packet[at:]
    if ip[0] >> 4 == 4:
        ip[1], ip[8] = 0x2C, ip[8] - 4
        for kind, begin, end in list(own_esp.options4(ip)):
            if kind in (own_esp.LSRR, own_esp.SSRR) and ip[begin + 2] < end - begin:
                ip[begin + 3:end] = packed(HOP[4]) + packed(MIDDLE[4])
                ip[begin + 2] = end - begin + 1
            if kind in (0x44, 7):
                ip[begin + 2:end] = bytes([end - begin + 1]) + b"\x5a" * (end - begin - 3)
        return checked(bytes(ip)) + rest
    ip[0:4], ip[7] = b"\x6a\xcc\xde\xf0", ip[7] - 4
    for kind, begin, _ in own_esp.extensions(ip):
        for option, first, last in list(own_esp.options6(ip, begin)) if kind != own_esp.ROUTING else ():
            if option & 0x20:
                ip[first + 2:last] = b"\x5a" * (last - first - 2)
    return bytes(ip) + rest


def whole(packet):
    """With its length in the header."""
    if packet[0] >> 4 == 4:
        return checked(packet[:2] + struct.pack("!H", len(packet)) + packet[4:])
    return packet[:4] + struct.pack("!H", len(packet) - 40) + packet[6:]


def checked(packet):
    """With the checksum that an IPv4 header is to have; of IPv6 as it is."""
    if packet[0] >> 4 != 4:
        return packet
    end = (packet[0] & 15) * 4
    fixed = packet[:10] + b"\0\0" + packet[12:end]
    return fixed[:10] + struct.pack("!H", own_esp.checksum(fixed)) + packet[12:]


class Sa:
    def __init__(self, suite, family, mode):
        self.suite, self.family, self.mode = suite, family, mode
        self.key, self.salt = bytes(range(suite["integ_key_len"])), b"salt"
        self.own = own_esp.OwnSa(integ=suite["integ"], integ_key=self.key, salt=self.salt, spi=SPI)

    def request(self, op, packet, remote=None, **more):
        there, here = ("remote", "local") if op == "seal" else ("local", "remote")
        return {"op": op, "protocol": 51, "mode": self.mode, "encr": 0, "bits": 0, "integ": self.suite["integ"], "salt": self.salt.hex(),
                "integ_key": self.key.hex(), "spi": SPI, "replay_bits": 64, "seq": 8, here: HERE[self.family],
                there: remote or THERE[self.family], "packet": packet.hex(), **more}

    def scapy(self):
        if self.suite["name"] != "sha256":
            return None
        return SecurityAssociation(AH, spi=SPI, auth_algo="SHA2-256-128", auth_key=self.key)


@pytest.fixture(scope="module")
def suites(pipe):
    return {s["name"]: s for s in pipe.ask(op="suites")["ah_suites"]}


@pytest.fixture(params=SUITES)
def suite(request, suites):
    return suites[request.param]


@pytest.mark.parametrize("family, name", CASES)
def test_seal(pipe, suite, family, name):
    """
    In transport mode these headers are the packet's own, and AH goes behind them; not if they send the packet to another
    host than the policies have seen.
    """
    sa = Sa(suite, family, "transport")
    plain = whole(header(family, name, 17) + UDP)
    answer = pipe.ask(**sa.request("seal", plain, remote=(HOP if routed(family, name) else THERE)[family]))
    if routed(family, name):
        assert answer["reason"] == "SOURCE_ROUTE"
        return
    assert answer["reason"] == "NONE"
    sealed = bytes.fromhex(answer["packet"])
    there = travel(sealed)
    assert sa.own.ah_open(there, 9)[1:] == (UDP, 17)
    if not suite["iv_len"]:
        assert sealed == sa.own.ah(header(family, name, 17), UDP, 17, 9)
    if sa.scapy() and (family, name) not in SCAPY_CANNOT_READ:
        opened = raw(sa.scapy().decrypt((IP if family == 4 else IPv6)(there)))
        assert opened.endswith(UDP)


def sealers(sa, name, outer, payload, next_header):
    yield "own", sa.own.ah(outer, payload, next_header, 9)
    if sa.scapy() and sa.mode == "transport" and (sa.family, name) not in SCAPY_CANNOT_SEAL:
        yield "scapy", raw(sa.scapy().encrypt((IP if sa.family == 4 else IPv6)(whole(outer + payload)), seq_num=9))


@pytest.mark.parametrize("mode", ["transport", "tunnel"])
@pytest.mark.parametrize("family, name", CASES)
def test_open(pipe, suite, family, name, mode):
    """In tunnel mode they are the outer header's, which another gateway may have given it."""
    sa = Sa(suite, family, mode)
    payload, next_header = (INNER, 4) if mode == "tunnel" else (UDP, 17)
    outer = header(family, name, next_header)
    for who, sealed in sealers(sa, name, outer, payload, next_header):
        there = travel(sealed)
        answer = pipe.ask(**sa.request("open", there))
        assert answer["reason"] == "NONE", f"sealed by {who}"
        opened = bytes.fromhex(answer["packet"])
        assert opened == INNER if mode == "tunnel" else opened.endswith(UDP) and len(opened) == own_esp.ah_at(there) + len(UDP)


@pytest.mark.parametrize("family, name", CASES)
def test_every_bit(pipe, suite, family, name):
    """Of the header in front of AH, one bit after the other: by the second implementation it is told which ones may change."""
    sa = Sa(suite, family, "tunnel")
    there = travel(sa.own.ah(header(family, name, 4), INNER, 4, 9))
    at = own_esp.ah_at(there)
    fates = {"passed": 0, "died": 0}
    flips, seen = [], own_esp.mutable_zeroed(there[:at])
    for bit in range(at * 8):
        changed = bytearray(there)
        changed[bit // 8] ^= 1 << bit % 8
        flips.append((bit // 8, checked(bytes(changed)) if (changed[0] & 15) * 4 <= len(changed) else bytes(changed)))
    answers = pipe.ask_all([sa.request("open", packet) for _, packet in flips])
    for (place, packet), answer in zip(flips, answers):
        may = unread(packet, there, at) is None and own_esp.mutable_zeroed(packet[:at]) == seen
        assert (answer["reason"] == "NONE") == may, f"byte {place} of {there[:at].hex(' ')}: {answer['reason']}"
        if place in data_bytes(family, there, at) and not may:
            assert answer["reason"] == "ICV_BAD", f"byte {place}: {answer['reason']}"
        fates["passed" if may else "died"] += 1
    assert fates["passed"] and fates["died"]


def unread(packet, there, at):
    """Why the headers cannot be read as they were, or None: another form of options dies whatever the ICV says."""
    try:
        if own_esp.ah_at(packet) != at:
            return "AH is elsewhere"
        if packet[0] >> 4 == 4 and (packet[6] & 0x3F or packet[7]):
            return "a fragment, that has to wait for others"
        kinds = own_esp.options4 if there[0] >> 4 == 4 else own_esp.extensions
        for kind, begin, end in kinds(packet[:at]):
            if not begin + 2 <= end <= at:
                return "an option that does not fit"
            if there[0] >> 4 == 6 and kind != own_esp.ROUTING and \
                    any(last > end for *_, last in own_esp.options6(packet[:at], begin)):
                return "an option that does not fit"
    except (own_esp.Refused, IndexError) as error:
        return str(error) or "cut short"
    return None


def data_bytes(family, there, at):
    """Places that say nothing about the form of the header: addresses, and the data of options."""
    if family == 4:
        return {*range(12, 20), *(i for _, begin, end in own_esp.options4(there[:at]) for i in range(begin + 3, end))}
    return {*range(8, 40), *(i for kind, begin, _ in own_esp.extensions(there[:at]) if kind != own_esp.ROUTING
                             for _, first, last in own_esp.options6(there[:at], begin) for i in range(first + 2, last))}


@pytest.mark.parametrize("mode", ["transport", "tunnel"])
def test_fragment_header(pipe, suite, mode):
    """One of a packet that is whole (RFC 6946) is not seen by AH: on arrival it is skipped, and before sealing it is taken out."""
    sa = Sa(suite, 6, mode)
    payload, next_header = (INNER, 4) if mode == "tunnel" else (UDP, 17)
    ip = header(6, "hop-by-hop, changing", next_header)
    sealed = travel(sa.own.ah(ip, payload, next_header, 9))
    at = own_esp.ah_at(sealed)
    atomic = struct.pack("!HHI", 51 << 8, 0, 7)
    answer = pipe.ask(**sa.request("open", whole(sealed[:40] + b"\x2c" + sealed[41:at] + atomic + sealed[at:])))
    assert answer["reason"] == "NONE"
    assert bytes.fromhex(answer["packet"]).endswith(payload)
    if mode == "transport":
        atomic = struct.pack("!HHI", 17 << 8, 0, 7)
        answer = pipe.ask(**sa.request("seal", whole(ip[:40] + b"\x2c" + ip[41:] + atomic + UDP)))
        assert answer["reason"] == "NONE"
        assert sa.own.ah_open(travel(bytes.fromhex(answer["packet"])), 9)[1:] == (UDP, 17)
