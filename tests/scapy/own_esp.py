# SPDX-License-Identifier: Apache-2.0
"""
ESP (RFC 4303) and AH (RFC 4302) once more, in as few lines as they take, from the primitives of `cryptography`: the oracle where scapy
lacks a suite, and a second opinion where it does not. AES-CCM and AES-XCBC-MAC are built here from the bare block cipher.
"""
import hmac as std_hmac
import struct

from cryptography.hazmat.primitives import cmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

NULL, CBC, CTR, GMAC, CHACHA, CHACHA_IIV, CCM_IIV, GCM_IIV = 11, 12, 13, 21, 28, 31, 29, 30
GCM_ICV = {18: 8, 19: 12, 20: 16, GCM_IIV: 16}
CCM_ICV = {14: 8, 15: 12, 16: 16, CCM_IIV: 8}
IMPLICIT = (CCM_IIV, GCM_IIV, CHACHA_IIV)
HMAC = {2: ("sha1", 12), 12: ("sha256", 16), 13: ("sha384", 24), 14: ("sha512", 32)}
XCBC, CMAC = 5, 8
AH_GMAC = (9, 10, 11)


class Refused(Exception):
    """The integrity check failed."""


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def aes(key, mode, data):
    encryptor = Cipher(algorithms.AES(key), mode).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def block(key, data):
    return aes(key, modes.ECB(), data)


def blocks(data):
    return [data[at:at + 16] for at in range(0, len(data), 16)]


# ---- integrity ---------------------------------------------------------------------------------------------------
def xcbc(key, data):
    """RFC 3566 4."""
    k1, k2, k3 = (block(key, bytes([n]) * 16) for n in (1, 2, 3))
    parts = blocks(data) or [b""]
    last = xor(parts[-1], k2) if len(parts[-1]) == 16 else xor((parts[-1] + b"\x80").ljust(16, b"\0"), k3)
    chain = bytes(16)
    for part in parts[:-1] + [last]:
        chain = block(k1, xor(chain, part))
    return chain[:12]


def mac(integ, key, data):
    if integ == XCBC:
        return xcbc(key, data)
    if integ == CMAC:
        context = cmac.CMAC(algorithms.AES(key))
        context.update(data)
        return context.finalize()[:12]
    name, length = HMAC[integ]
    return std_hmac.digest(key, data, name)[:length]


# ---- AEAD: (key, nonce, aad, data) -> (data, tag) ----------------------------------------------------------------
def gcm(key, nonce, aad, data, decrypt):
    cipher = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
    cipher.authenticate_additional_data(aad)
    if not decrypt:
        sealed = cipher.update(data) + cipher.finalize()
        return sealed, cipher.tag
    # The tag is over ciphertext, which a counter mode turns into plaintext and back.
    plain = cipher.update(data) + cipher.finalize()
    again = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
    again.authenticate_additional_data(aad)
    again.update(plain)
    again.finalize()
    return plain, again.tag


def ccm(key, nonce, aad, data, decrypt, icv_len):
    """NIST SP 800-38C with a nonce of 11 bytes (RFC 4309 4), so 4 bytes count the data."""
    stream = aes(key, modes.CTR(b"\x03" + nonce + bytes(4)), bytes(16) + data)
    out, plain = stream[16:], stream[16:] if decrypt else data
    first = bytes([0x40 | (icv_len - 2) // 2 << 3 | 3]) + nonce + struct.pack("!L", len(data))
    authentic = struct.pack("!H", len(aad)) + aad
    authentic += bytes(-len(authentic) % 16) + plain
    authentic += bytes(-len(authentic) % 16)
    chain = block(key, first)
    for part in blocks(authentic):
        chain = block(key, xor(chain, part))
    return out, xor(chain, stream)[:icv_len]


# ---- one SA ------------------------------------------------------------------------------------------------------
class OwnSa:
    def __init__(self, encr=0, integ=0, key=b"", salt=b"", integ_key=b"", spi=0, esn=False):
        self.encr, self.integ, self.key, self.salt, self.integ_key = encr, integ, key, salt, integ_key
        self.spi, self.esn = struct.pack("!L", spi), esn

    # ---- ESP
    @property
    def iv_len(self):
        return 16 if self.encr == CBC else 0 if self.encr in IMPLICIT + (NULL,) else 8

    @property
    def icv_len(self):
        if self.encr in GCM_ICV:
            return GCM_ICV[self.encr]
        if self.encr in CCM_ICV:
            return CCM_ICV[self.encr]
        if self.encr in (GMAC, CHACHA, CHACHA_IIV):
            return 16
        return len(mac(self.integ, self.integ_key, b""))

    def seal(self, payload, next_header, seq, iv=None):
        """The ESP packet from SPI to ICV."""
        align = 16 if self.encr == CBC else 4
        pad = -(len(payload) + 2) % align
        plain = payload + bytes(range(1, pad + 1)) + bytes([pad, next_header])
        header = self.spi + struct.pack("!L", seq & 0xffffffff)
        # Of another form than ours on purpose: any IV will do that is not used twice (RFC 4106 3.1).
        iv = iv or (struct.pack("!Q", seq ^ 0xa5a5a5a5a5a5a5a5) * 2)[:self.iv_len]
        text, icv = self.work(header, iv, plain, seq, decrypt=False)
        return header + iv + text + icv

    def open(self, esp, seq):
        """Payload and next header. `seq` has the high half."""
        at, end = 8 + self.iv_len, len(esp) - self.icv_len
        if end < at or esp[:4] != self.spi or struct.unpack("!L", esp[4:8])[0] != seq & 0xffffffff:
            raise Refused("length, SPI or sequence number")
        plain, icv = self.work(esp[:8], esp[8:at], esp[at:end], seq, decrypt=True)
        if icv != esp[end:]:
            raise Refused("ICV")
        pad, next_header = plain[-2:]
        if plain[len(plain) - 2 - pad:-2] != bytes(range(1, pad + 1)):
            raise Refused("padding")
        return plain[:len(plain) - 2 - pad], next_header

    def work(self, header, iv, data, seq, decrypt):
        """(text, ICV): encrypted or decrypted; the ICV is the right one of this packet in either case."""
        high = struct.pack("!L", seq >> 32) if self.esn else b""
        aad = header[:4] + high + header[4:]
        nonce = self.salt[:3 if self.encr in CCM_ICV else 4] + (struct.pack("!Q", seq) if self.encr in IMPLICIT else iv)
        if self.encr in GCM_ICV:
            text, tag = gcm(self.key, nonce, aad, data, decrypt)
            return text, tag[:self.icv_len]
        if self.encr in CCM_ICV:
            return ccm(self.key, nonce, aad, data, decrypt, self.icv_len)
        if self.encr == GMAC:
            return data, gcm(self.key, nonce, aad + iv + data, b"", False)[1]
        if self.encr in (CHACHA, CHACHA_IIV):
            return self.chacha(nonce, aad, data, decrypt)
        if decrypt:
            return self.cipher(iv, data, decrypt), mac(self.integ, self.integ_key, header + iv + data + high)
        text = self.cipher(iv, data, decrypt)
        return text, mac(self.integ, self.integ_key, header + iv + text + high)

    def chacha(self, nonce, aad, data, decrypt):
        if decrypt:  # the stream turns it into plaintext; sealed again it has the right tag
            data = xor(ChaCha20Poly1305(self.key).encrypt(nonce, bytes(len(data)), None), data)
        sealed = ChaCha20Poly1305(self.key).encrypt(nonce, data, aad)
        return data if decrypt else sealed[:-16], sealed[-16:]

    def cipher(self, iv, data, decrypt):
        if self.encr == NULL:
            return data
        mode = modes.CBC(iv) if self.encr == CBC else modes.CTR(self.salt + iv + b"\0\0\0\1")
        cipher = Cipher(algorithms.AES(self.key), mode)
        context = cipher.decryptor() if decrypt else cipher.encryptor()
        return context.update(data) + context.finalize()

    # ---- AH
    def ah(self, ip, payload, next_header, seq):
        """`ip` is the header with its options or extension headers, as it leaves; the whole packet with AH behind it."""
        iv = struct.pack("!Q", seq ^ 0xa5a5a5a5a5a5a5a5) if self.integ in AH_GMAC else b""
        return self.ah_finish(ip, payload, next_header, seq, iv)

    def ah_finish(self, ip, payload, next_header, seq, iv):
        version = ip[0] >> 4
        icv_len = len(iv) + len(self.ah_icv(b"", iv))
        pad = bytes(-(12 + icv_len) % (4 if version == 4 else 8))
        length = (12 + icv_len + len(pad)) // 4 - 2
        head = struct.pack("!BBH", next_header, length, 0) + self.spi + struct.pack("!L", seq & 0xffffffff)
        size = len(head) + icv_len + len(pad) + len(payload)
        ip = bytearray(ip)
        if version == 4:
            ip[2:4], ip[9] = struct.pack("!H", len(ip) + size), 51
            ip[10:12] = bytes(2)
            ip[10:12] = struct.pack("!H", checksum(ip))
        else:
            ip[4:6], ip[next_header_at(ip)] = struct.pack("!H", len(ip) - 40 + size), 51
        high = struct.pack("!L", seq >> 32) if self.esn else b""
        icv = iv + self.ah_icv(mutable_zeroed(arrived(ip)) + head + bytes(icv_len) + pad + payload + high, iv)
        return bytes(ip) + head + icv + pad + payload

    def ah_icv(self, data, iv):
        if self.integ in AH_GMAC:
            return gcm(self.integ_key, self.salt + iv, data, b"", False)[1]
        return mac(self.integ, self.integ_key, data)

    def ah_open(self, packet, seq):
        """(IP header, payload, next header); the packet made anew with the same IV is the same packet, or was altered."""
        at = ah_at(packet)
        length = (packet[at + 1] + 2) * 4
        payload = packet[at + length:]
        iv = packet[at + 12:at + 20] if self.integ in AH_GMAC else b""
        if self.ah_finish(packet[:at], payload, packet[at], seq, iv) != packet:
            raise Refused("ICV")
        return packet[:at], payload, packet[at]


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), bytes(data)))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff


# ---- headers in front of AH --------------------------------------------------------------------------------------
HOP_BY_HOP, ROUTING, DESTINATION, AH = 0, 43, 60, 51
# RFC 4302 A1, copy bit and class included; all others are zeroed.
IMMUTABLE4 = {130: "security", 133: "extended security", 134: "commercial security", 148: "router alert", 149: "sender directed"}
LSRR, SSRR = 131, 137


def extensions(ip):
    """(type, where it begins, where it ends) of each IPv6 extension header that may stand before AH."""
    kind, at = ip[6], 40
    while kind in (HOP_BY_HOP, ROUTING, DESTINATION) and at < len(ip):
        end = at + (ip[at + 1] + 1) * 8
        yield kind, at, end
        kind, at = ip[at], end


def ah_at(packet):
    at = (packet[0] & 15) * 4 if packet[0] >> 4 == 4 else max((end for *_, end in extensions(packet)), default=40)
    if packet[9 if packet[0] >> 4 == 4 else next_header_at(packet[:at])] != AH:
        raise Refused("no AH")
    return at


def next_header_at(ip):
    """Where the last header before AH, or before what AH will stand before, names its next one."""
    return ([at for _, at, _ in extensions(ip)] or [6])[-1]


def options4(ip):
    """(type, where it begins, where it ends) of the IPv4 options that have a length."""
    at = 20
    while at < len(ip) and ip[at] != 0:
        if ip[at] == 1:
            at += 1
            continue
        yield ip[at], at, at + ip[at + 1]
        at += ip[at + 1]


def options6(header, at):
    """The same of a hop-by-hop or destination options header that begins at `at`."""
    end, at = at + (header[at + 1] + 1) * 8, at + 2
    while at < end:
        if header[at] == 0:
            at += 1
            continue
        yield header[at], at, at + 2 + header[at + 1]
        at += 2 + header[at + 1]


def arrived(ip):
    """The header as its last destination sees it: a source route used up (RFC 791 3.1, RFC 2460 4.4)."""
    ip = bytearray(ip)
    if ip[0] >> 4 == 4:
        for kind, at, end in options4(ip):
            if kind in (LSRR, SSRR) and ip[at + 2] < end - at:
                ip[16:20] = ip[end - 4:end]
        return bytes(ip)
    for kind, at, _ in extensions(ip):
        while kind == ROUTING and ip[at + 2] == 0 and ip[at + 3]:
            hop = at + 8 + (ip[at + 1] // 2 - ip[at + 3]) * 16
            ip[24:40], ip[hop:hop + 16] = ip[hop:hop + 16], ip[24:40]
            ip[at + 3] -= 1
    return bytes(ip)


def mutable_zeroed(ip):
    """RFC 4302 3.3.3.1 and appendix A, of a header that has arrived."""
    ip = bytearray(ip)
    if ip[0] >> 4 == 4:
        ip[1], ip[6:9], ip[10:12] = 0, bytes(3), bytes(2)
        for kind, at, end in list(options4(ip)):
            if kind not in IMMUTABLE4:
                ip[at:end] = bytes(end - at)
        return bytes(ip)
    ip[0:4], ip[7] = bytes([ip[0] & 0xF0, 0, 0, 0]), 0
    for kind, at, _ in extensions(ip):
        for option, begin, end in list(options6(ip, at)) if kind != ROUTING else ():
            if option & 0x20:  # may change en route (RFC 8200 4.2)
                ip[begin + 2:end] = bytes(end - begin - 2)
    return bytes(ip)
