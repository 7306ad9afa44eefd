# SPDX-License-Identifier: Apache-2.0
"""The same SAs twice: as arguments of sa_put for an agent, and as `ip xfrm` lines for a Linux kernel at the other end."""

from dataclasses import dataclass

_INTEGRITY = {  # the kernel's name, key length in bytes, ICV in bits
    "sha1": ("hmac(sha1)", 20, 96), "sha256": ("hmac(sha256)", 32, 128), "sha384": ("hmac(sha384)", 48, 192),
    "sha512": ("hmac(sha512)", 64, 256), "aesxcbc": ("xcbc(aes)", 16, 96), "aescmac": ("cmac(aes)", 16, 96)}
_AEAD = {"gcm": ("rfc4106(gcm(aes))", 4), "ccm": ("rfc4309(ccm(aes))", 3), "gmac": ("rfc4543(gcm(aes))", 4)}
_PLAIN = {"": ("cbc(aes)", 0), "ctr": ("rfc3686(ctr(aes))", 4)}


def _hex(byte, length):
    return "0x" + f"{byte:02x}" * length if length else '""'


def _algorithms(suite, key):
    """The words of `ip xfrm state add` for a suite in the agent's notation, every byte of its keys being `key`."""
    name, _, integ = suite.partition("-")
    if name == "chacha20poly1305":
        return f"aead rfc7539esp(chacha20,poly1305) {_hex(key, 36)} 128"
    if name in _INTEGRITY:  # AH
        name, integ = "", name
    words = ""
    if integ:
        kernel, length, bits = _INTEGRITY[integ]
        words = f"auth-trunc {kernel} {_hex(key, length)} {bits}"
    if not name:
        return words
    if name == "null":
        return f"enc ecb(cipher_null) {_hex(key, 0)} {words}"
    length, kind = int(name[3:6]) // 8, name[6:]
    letters = kind.rstrip("0123456789")
    if letters in _AEAD:
        kernel, salt = _AEAD[letters]
        return f"aead {kernel} {_hex(key, length + salt)} {8 * int(kind[len(letters):] or 16)}"
    kernel, nonce = _PLAIN[letters]
    return f"enc {kernel} {_hex(key, length + nonce)} {words}"


@dataclass(frozen=True)
class Pair:
    """
    A pair of SAs between `near` (the agent) and `far` (the kernel), and the policy for `near_ts` and `far_ts`. `spi` is
    that of the packets from near to far; the other way it is one more.
    """
    near: str
    far: str
    near_ts: str
    far_ts: str
    spi: int
    suite: str
    protocol: str = "esp"
    mode: str = "tunnel"
    esn: bool = False
    udp: int = 0
    window: int = 1024
    key_out: int = 0x5a
    key_in: int = 0xc3

    def agent(self):
        """Arguments of sa_put."""
        return [f"local={self.near}", f"remote={self.far}", f"local_ts={self.near_ts}", f"remote_ts={self.far_ts}",
                f"spi_out={self.spi}", f"spi_in={self.spi + 1}", f"suite={self.suite}", f"protocol={self.protocol}",
                f"mode={self.mode}", f"esn={int(self.esn)}", f"udp={self.udp}", f"replay={self.window}",
                f"key_out={self.key_out}", f"key_in={self.key_in}"]

    def kernel(self):
        """Lines for `ip -batch` at the far end."""
        encap = f" encap espinudp {self.udp} {self.udp} {'::' if ':' in self.near else '0.0.0.0'}" if self.udp else ""
        flags = ["esn"] * self.esn + ["af-unspec"] * (self.mode == "tunnel")
        flags += ["align4"] * (self.protocol == "ah" and ":" not in self.near)  # as RFC 4302 2.2 has it, not Linux of old
        rest = f"mode {self.mode} replay-window {self.window}{' flag ' if flags else ''}{' '.join(flags)}"
        lines = []
        for source, target, spi, key in ((self.near, self.far, self.spi, self.key_out),
                                         (self.far, self.near, self.spi + 1, self.key_in)):
            lines.append(f"xfrm state add src {source} dst {target} proto {self.protocol} spi {spi:#x} "
                         f"reqid {self.spi} {rest} "
                         f"{_algorithms(self.suite, key)}{encap}")
        for way, source, target, ends in (("in", self.near_ts, self.far_ts, (self.near, self.far)),
                                          ("out", self.far_ts, self.near_ts, (self.far, self.near))):
            outer = f"src {ends[0]} dst {ends[1]} " if self.mode == "tunnel" else ""
            lines.append(f"xfrm policy add src {source} dst {target} dir {way} priority 2 tmpl {outer}proto {self.protocol} "
                         f"reqid {self.spi} mode {self.mode}")
        if self.udp and self.mode == "transport":  # ESP's own datagrams have these addresses, too
            lines.append(f"xfrm policy add src {self.near_ts} dst {self.far_ts} proto udp sport {self.udp} "
                         f"dport {self.udp} dir in priority 1 action allow")
        return lines
