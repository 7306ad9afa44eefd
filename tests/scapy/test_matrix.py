# SPDX-License-Identifier: Apache-2.0
"""
The matrix: every suite of ESP and AH x tunnel and transport mode x outer IPv4 and IPv6 x plain and in UDP x sequence numbers of 32 and 64
bits. A row is passed when the oracles open what each of our engines seals, we open by each engine what they seal, and what was altered
dies for the right reason. The oracles: tests/scapy/own_esp.py for all, and scapy beside it wherever scapy has the suite.
"""
import random
from collections import namedtuple

import own_esp
import pytest
from scapy.all import IP, TCP, UDP, IPv6, Raw, raw
from scapy.layers.ipsec import AH, ESP, SecurityAssociation

SPI = 0x1234ABCD
HERE = {4: "192.0.2.1", 6: "2001:db8::1"}
THERE = {4: "198.51.100.2", 6: "2001:db8::2"}
PORT_HERE, PORT_THERE = 4500, 14500
HIGH = 7  # the high half of a number of 64 bits

SCAPY_CRYPT = {11: "NULL", 12: "AES-CBC", 13: "AES-CTR", 14: "AES-CCM", 15: "AES-CCM", 16: "AES-CCM", 20: "AES-GCM", 28: "CHACHA20-POLY1305"}
SCAPY_AUTH = {2: "HMAC-SHA1-96", 8: "AES-CMAC-96", 12: "SHA2-256-128", 13: "SHA2-384-192", 14: "SHA2-512-256"}

Row = namedtuple("Row", "protocol suite mode family udp esn")
NAMES = [f"aes{bits}{aead}" for aead in ("gcm16", "gcm12", "gcm8", "ccm16", "ccm12", "ccm8", "gmac", "gcm16iiv", "ccm8iiv")
         for bits in (128, 192, 256)] + ["chacha20poly1305", "chacha20poly1305iiv"] + \
        [f"{cipher}-{integ}" for cipher in ("null", *(f"aes{bits}{mode}" for mode in ("", "ctr") for bits in (128, 192, 256)))
         for integ in ("sha1", "aesxcbc", "aescmac", "sha256", "sha384", "sha512")]
AH_NAMES = ["sha1", "aesxcbc", "aescmac", "sha256", "sha384", "sha512", "aes128gmac", "aes192gmac", "aes256gmac"]


@pytest.fixture(scope="module")
def suites(pipe):
    answer = pipe.ask(op="suites")
    return {**{("esp", s["name"]): s for s in answer["suites"]}, **{("ah", s["name"]): s for s in answer["ah_suites"]}}


def test_every_suite_is_in_the_matrix(suites):
    assert set(suites) == {("esp", name) for name in NAMES} | {("ah", name) for name in AH_NAMES}


def ip_class(family):
    return IP if family == 4 else IPv6


class Sa:
    """One SA from HERE to THERE, as a row asks for."""

    def __init__(self, row, suite):
        self.row, self.suite = row, suite
        rng = random.Random(str(row))
        self.key = rng.randbytes(suite["key_len"])
        self.salt = rng.randbytes(4)
        self.integ_key = rng.randbytes(suite["integ_key_len"])
        self.own = own_esp.OwnSa(suite["encr"], suite["integ"], self.key, self.salt, self.integ_key, SPI, row.esn)
        self.base = (HIGH << 32 if row.esn else 0) + 1000

    # ---- ours
    def request(self, op, packet, seq, engine):
        there, here = ("remote", "local") if op == "seal" else ("local", "remote")
        row = self.row
        return {"op": op, "protocol": 51 if row.protocol == "ah" else 50, "mode": row.mode, "encr": self.suite["encr"],
                "bits": self.suite["bits"], "integ": self.suite["integ"], "key": self.key.hex(), "salt": self.salt.hex(),
                "integ_key": self.integ_key.hex(), "spi": SPI, "udp": row.udp, "esn": row.esn, "replay_bits": 1024, "seq": seq,
                here: HERE[row.family], there: THERE[row.family], "packet": packet.hex(), "engine": engine,
                **({f"{here}_port": PORT_HERE, f"{there}_port": PORT_THERE} if row.udp else {})}

    # ---- own oracle
    def own_seal(self, packet, seq):
        ip, payload, next_header = self.split(packet)
        if self.row.protocol == "ah":
            return self.own.ah(ip, payload, next_header, seq)
        body = self.own.seal(payload, next_header, seq)
        if self.row.udp:
            body = raw(UDP(sport=PORT_HERE, dport=PORT_THERE, len=len(body) + 8, chksum=0))[:8] + body
        return rebuilt(ip, body, 17 if self.row.udp else 50)

    def own_open(self, packet, seq):
        if self.row.protocol == "ah":
            ip, payload, next_header = self.own.ah_open(packet, seq)
        else:
            at = 20 if self.row.family == 4 else 40
            ip = packet[:at]
            payload, next_header = self.own.open(packet[at + (8 if self.row.udp else 0):], seq)
        return payload if self.row.mode == "tunnel" else rebuilt(ip, payload, next_header)

    def split(self, packet):
        """(IP header that stands outside, what is protected, its next header)."""
        if self.row.mode == "tunnel":
            return raw(ip_class(self.row.family)(src=HERE[self.row.family], dst=THERE[self.row.family])), packet, 4 if packet[0] >> 4 == 4 else 41
        at = 20 if self.row.family == 4 else 40
        return packet[:at], packet[at:], packet[9 if at == 20 else 6]

    # ---- scapy
    def scapy_has(self):
        """scapy knows no implicit IV, XCBC, GMAC, nor short ICVs of GCM, and leaves the high half out of a separate ICV of ESP."""
        if self.row.protocol == "ah":
            return self.suite["integ"] in SCAPY_AUTH
        pair = self.suite["encr"] in (11, 12, 13)
        return self.suite["encr"] in SCAPY_CRYPT and (not pair or self.suite["integ"] in SCAPY_AUTH and not self.row.esn)

    def scapy(self):
        row = self.row
        arguments = {"esn_en": row.esn, "esn": HIGH} if row.esn else {}
        if self.suite["integ"]:
            arguments.update(auth_algo=SCAPY_AUTH[self.suite["integ"]], auth_key=self.integ_key)
        if row.protocol == "esp":
            salt = self.salt[:self.suite["salt_len"]]
            arguments.update(crypt_algo=SCAPY_CRYPT[self.suite["encr"]], crypt_key=self.key + salt or None)
            if not self.suite["integ"]:
                arguments.update(crypt_icv_size=self.suite["icv_len"])
        if row.mode == "tunnel":
            arguments.update(tunnel_header=ip_class(row.family)(src=HERE[row.family], dst=THERE[row.family]))
        return SecurityAssociation(AH if row.protocol == "ah" else ESP, spi=SPI, **arguments)

    def scapy_seal(self, packet, seq):
        sealed = raw(self.scapy().encrypt(ip_class(packet[0] >> 4)(packet), seq_num=seq & 0xffffffff))
        if not self.row.udp:
            return sealed
        at = 20 if self.row.family == 4 else 40
        body = sealed[at:]
        return rebuilt(sealed[:at], raw(UDP(sport=PORT_HERE, dport=PORT_THERE, len=len(body) + 8, chksum=0))[:8] + body, 17)

    def scapy_open(self, packet, _seq):
        if self.row.udp:
            at = 20 if self.row.family == 4 else 40
            packet = rebuilt(packet[:at], packet[at + 8:], 50)
        return raw(self.scapy().decrypt(ip_class(self.row.family)(packet)))

    def oracles(self):
        yield "own", self.own_seal, self.own_open
        if self.scapy_has():
            yield "scapy", self.scapy_seal, self.scapy_open


def rebuilt(ip, body, protocol):
    """The header put right for what now follows."""
    ip = bytearray(ip)
    if ip[0] >> 4 == 4:
        ip[2:4], ip[9], ip[10:12] = (len(ip) + len(body)).to_bytes(2, "big"), protocol, bytes(2)
        ip[10:12] = own_esp.checksum(ip).to_bytes(2, "big")
    else:
        ip[4:6], ip[6] = len(body).to_bytes(2, "big"), protocol
    return bytes(ip) + body


def plain_packets(row):
    """Of both families in a tunnel; from end to end in transport mode."""
    data = bytes(range(256)) * 5
    for family in (4, 6) if row.mode == "tunnel" else (row.family,):
        source, target = (("10.1.0.5", "10.2.0.7") if family == 4 else ("fd01::5", "fd02::7")) if row.mode == "tunnel" else \
            (HERE[family], THERE[family])
        header = IP(src=source, dst=target, ttl=61, id=77, tos=0) if family == 4 else IPv6(src=source, dst=target, hlim=61)
        yield raw(header / UDP(sport=1000, dport=2000) / Raw(data[:33 + family]))
        yield raw(header / TCP(sport=1000, dport=2000, flags="PA", seq=7) / Raw(data[:1200]))


def altered(sa, packet):
    """(what, packet, reason) for one altered packet each."""
    row, at = sa.row, (20 if sa.row.family == 4 else 40) + (8 if sa.row.udp else 0)
    icv_len, iv_len = sa.suite["icv_len"], sa.suite["iv_len"]
    spi = at + (4 if row.protocol == "ah" else 0)
    end = at + 12 + iv_len + icv_len if row.protocol == "ah" else len(packet)
    places = [("SPI", spi + 3, "SPI_UNKNOWN"), ("sequence number", spi + 7, "ICV_BAD"), ("ICV's first", end - icv_len, "ICV_BAD"),
              ("ICV's last", end - 1, "ICV_BAD")]
    if row.protocol == "ah":
        places += [("payload", len(packet) - 9, "ICV_BAD"), ("source address", 15 if row.family == 4 else 23, "ICV_BAD")]
    else:
        places += [("text", at + 8 + iv_len + 5, "ICV_BAD"), ("text's last", end - icv_len - 1, "ICV_BAD")]
    if iv_len:
        places.append(("IV", at + (12 if row.protocol == "ah" else 8) + 2, "ICV_BAD"))
    for what, place, reason in places:
        changed = bytearray(packet)
        changed[place] ^= 0x10
        if what == "source address" and row.family == 4:  # the header's checksum may be right
            changed[10:12] = bytes(2)
            changed[10:12] = own_esp.checksum(changed[:20]).to_bytes(2, "big")
        yield what, bytes(changed), reason


def check_row(pipe, row, suite):
    sa = Sa(row, suite)
    packets = list(plain_packets(row))
    engines = suite["engines"]
    jobs = []  # (request, what is to come of it)
    for engine in engines:
        for i, packet in enumerate(packets):
            def sealed_right(answer, seq=sa.base + i + 1, packet=packet):
                assert answer["reason"] == "NONE" and answer["seq"] == seq, answer["reason"]
                for name, _, unseal in sa.oracles():
                    assert unseal(bytes.fromhex(answer["packet"]), seq) == packet, f"{name} opens something else"
            jobs.append((sa.request("seal", packet, sa.base + i, engine), sealed_right))
        for name, seal, _ in sa.oracles():
            for i, packet in enumerate(packets):
                def opened_right(answer, seq=sa.base + i + 1, packet=packet, name=name):
                    assert answer["reason"] == "NONE", f"{answer['reason']} for what {name} sealed"
                    assert answer["seq"] == seq and bytes.fromhex(answer["packet"]) == packet
                jobs.append((sa.request("open", seal(packet, sa.base + i + 1), sa.base - 5, engine), opened_right))
        victim = sa.own_seal(packets[-1], sa.base + 9)

        def dies(why, reason):
            def check(answer):
                assert answer["reason"] == reason, f"{why} altered: {answer['reason']}, not {reason}"
            return check
        for what, packet, reason in altered(sa, victim):
            jobs.append((sa.request("open", packet, sa.base, engine), dies(what, reason)))
        jobs.append((sa.request("open", victim, sa.base + 9 + 1024, engine), dies("the window", "ICV_BAD" if row.esn else "REPLAY_OLD")))
        if row.esn:
            other = sa.own_seal(packets[-1], sa.base + 9 + (1 << 32))
            jobs.append((sa.request("open", other, sa.base, engine), dies("the high half", "ICV_BAD")))
    for (_, check), answer in zip(jobs, pipe.ask_all([request for request, _ in jobs])):
        check(answer)
    return "  ".join((f"{row.protocol:3} {row.suite:20} {row.mode:9} IPv{row.family}", "UDP  " if row.udp else "plain",
                      "64 bit" if row.esn else "32 bit", "by " + "+".join(engines).ljust(16), "against " + "+".join(name for name, *_ in sa.oracles())))


def rows(protocol, suite):
    return [Row(protocol, suite, mode, family, udp, esn) for mode in ("tunnel", "transport") for family in (4, 6)
            for udp in ((False, True) if protocol == "esp" else (False,)) for esn in (False, True)]


@pytest.mark.parametrize("name", NAMES)
def test_esp(pipe, suites, matrix, name):
    for row in rows("esp", name):
        matrix.append(check_row(pipe, row, suites["esp", name]))


@pytest.mark.parametrize("name", AH_NAMES)
def test_ah(pipe, suites, matrix, name):
    for row in rows("ah", name):
        matrix.append(check_row(pipe, row, suites["ah", name]))
