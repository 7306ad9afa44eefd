# SPDX-License-Identifier: Apache-2.0
"""
tshark as a third opinion: it is given the keys and a capture of what each of our engines seals, both modes, outer IPv4 and IPv6, plain and in
UDP, and has to find the inner packets, and the ICVs good; of a copy whose ICV was altered it has to say so. Suites that this version of
tshark does not know are skipped by name; so are sequence numbers of 64 bits, which the tshark of Debian 12 does not know.
"""
import os
import re
import shutil
import struct
import subprocess
from collections import namedtuple

import pytest
import test_matrix as matrix_rows
from test_matrix import HERE, SPI, THERE, Row, Sa

CIPHERS = {11: "NULL", 12: "AES-CBC [RFC3602]", 13: "AES-CTR [RFC3686]", 18: "AES-GCM with 8 octet ICV [RFC4106]",
           19: "AES-GCM with 12 octet ICV [RFC4106]", 20: "AES-GCM with 16 octet ICV [RFC4106]"}
MACS = {0: "NULL", 2: "HMAC-SHA-1-96 [RFC2404]", 12: "HMAC-SHA-256-128 [RFC4868]", 13: "HMAC-SHA-384-192 [RFC4868]",
        14: "HMAC-SHA-512-256 [RFC4868]"}
UNCHECKED = {5: "ANY 96 bit authentication [no checking]", 8: "ANY 96 bit authentication [no checking]"}
FIELDS = ("frame.number", "esp.spi", "esp.sequence", "esp.protocol", "esp.icv_good", "esp.icv_bad", "esp.decrypted_data")
NUMBERS = ("", ',"32-bit","0"')  # of 32 bits: the record of tshark before 4.2, and the two columns that came then
SEQ = 5
LINKTYPE_RAW = 101

# A packet of the capture. `text` is what is encrypted: payload, padding, its length, next header; None: an altered copy.
Sealed = namedtuple("Sealed", "name packet text checked")
Found = namedtuple("Found", "spi sequence protocol good bad text")

pytestmark = pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed (make deps)")


def known(suite):
    return suite["encr"] in CIPHERS and (suite["integ"] in MACS or suite["integ"] in UNCHECKED)


def rows(name):
    return [Row("esp", name, mode, family, udp, False) for mode in ("tunnel", "transport") for family in (4, 6) for udp in (False, True)]


def sa_line(sa, spi):
    """A record of tshark's table esp_sa; the salt stands behind the key."""
    suite, family = sa.suite, sa.row.family

    def key(data):
        return f"0x{data.hex()}" if data else ""
    mac = {**MACS, **UNCHECKED}[suite["integ"]]
    words = (f"IPv{family}", HERE[family], THERE[family], f"0x{spi:08x}", CIPHERS[suite["encr"]],
             key(sa.key + sa.salt[:suite["salt_len"]]), mac, key(sa.integ_key if suite["integ"] in MACS else b""))
    return ",".join(f'"{word}"' for word in words)


def esp_text(suite, payload, next_header):
    """RFC 4303 2.4: to the cipher's block, and to 4 bytes."""
    pad = -(len(payload) + 2) % (16 if suite["encr"] == 12 else 4)
    return payload + bytes(range(1, pad + 1)) + bytes([pad, next_header])


def sealed_rows(pipe, suites):
    """({SPI: record}, [Sealed]) of all suites that tshark knows."""
    lines, requests, expected = {}, [], []
    for name in (name for name in matrix_rows.NAMES if name in suites and known(suites[name])):
        for row in rows(name):
            sa = Sa(row, suites[name])
            spi = SPI + len(lines)
            lines[spi] = sa_line(sa, spi)
            for plain in matrix_rows.plain_packets(row):
                _, payload, next_header = sa.split(plain)
                for engine in suites[name]["engines"]:
                    requests.append({**sa.request("seal", plain, SEQ, engine), "spi": spi})
                    expected.append((name, esp_text(sa.suite, payload, next_header), sa.suite["integ"] in MACS))
    sealed = []
    for (name, text, checked), answer in zip(expected, pipe.ask_all(requests)):
        assert answer["reason"] == "NONE", f"{name}: {answer['reason']}"
        packet = bytes.fromhex(answer["packet"])
        sealed.append(Sealed(name, packet, text, checked))
        changed = bytearray(packet)
        changed[-1] ^= 0x04  # of the ICV: what a broken text decrypts to is not to mislead tshark
        sealed.append(Sealed(name, bytes(changed), None, checked))
    return lines, sealed


def write_capture(path, packets):
    with open(path, "wb") as out:
        out.write(struct.pack("<LHHlLLL", 0xa1b2c3d4, 2, 4, 0, 0, 65535, LINKTYPE_RAW))
        for number, packet in enumerate(packets):
            out.write(struct.pack("<LLLL", 1, number, len(packet), len(packet)) + packet)


def dissect(capture, lines, home):
    """By the first form of records that this tshark takes."""
    tries = (dissect_by(capture, [line + more for line in lines.values()], home) for more in NUMBERS)
    return next((done for done in tries if not done.returncode or "invalid value" in done.stderr), None)


def dissect_by(capture, lines, home):
    argv = ["tshark", "-n", "-r", str(capture), "-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE",
            *(word for line in lines for word in ("-o", f"uat:esp_sa:{line}")), "-T", "fields", "-E", "separator=|", "-E", "occurrence=f",
            *(word for field in FIELDS for word in ("-e", field))]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home)})


def flag(text):
    """As versions write it: 1 and 0, or True and False."""
    return text in ("1", "True")


def found_of(output):
    """{frame number: Found}"""
    table = {}
    for line in output.splitlines():
        number, spi, sequence, protocol, good, bad, text = line.split("|")
        table[int(number)] = Found(int(spi or "0", 0), int(sequence or "0"), int(protocol or "-1", 0), flag(good), flag(bad), bytes.fromhex(text))
    return table


@pytest.fixture(scope="module")
def verdicts(pipe, tmp_path_factory):
    """{suite: [(Sealed, Found)]}, and {suite: name that this tshark does not know}."""
    folder = tmp_path_factory.mktemp("tshark")
    suites = {suite["name"]: suite for suite in pipe.ask(op="suites")["suites"]}
    lines, sealed = sealed_rows(pipe, suites)
    write_capture(folder / "sealed.pcap", [one.packet for one in sealed])
    foreign = {name: "its cipher is none of tshark's" for name, suite in suites.items() if not known(suite)}
    while (done := dissect(folder / "sealed.pcap", lines, folder)) and done.returncode:
        words = re.search(r"invalid value: ([^\"\n]+\])", done.stderr)
        assert words and lines, done.stderr[-2000:]
        lines = {spi: line for spi, line in lines.items() if f'"{words.group(1)}"' not in line}
        foreign.update({name: f"this tshark has no {words.group(1)}" for name, suite in suites.items()
                        if words.group(1) in (CIPHERS.get(suite["encr"]), {**MACS, **UNCHECKED}.get(suite["integ"]))})
    assert done, "tshark takes no records of ours"
    found = found_of(done.stdout)
    assert len(found) == len(sealed), done.stderr[-2000:]
    table = {name: [] for name in suites}
    for number, one in enumerate(sealed, 1):
        table[one.name].append((one, found[number]))
    return table, foreign


def test_another_key(pipe, tmp_path):
    """The opinion is tshark's own: with another key it finds nothing right."""
    lines, sealed = sealed_rows(pipe, {s["name"]: s for s in pipe.ask(op="suites")["suites"] if s["name"] == "aes256gcm16"})
    one = next(one for one in sealed if one.text is not None)
    write_capture(tmp_path / "one.pcap", [one.packet])
    assert found_of(dissect(tmp_path / "one.pcap", lines, tmp_path).stdout)[1].good
    other = {spi: re.sub(r"0x([0-9a-f]{72})", lambda m: f"0x{int(m.group(1), 16) ^ 1 << 200:072x}", line) for spi, line in lines.items()}
    assert other != lines
    found = found_of(dissect(tmp_path / "one.pcap", other, tmp_path).stdout)[1]
    assert found.bad and found.text != one.text


@pytest.mark.parametrize("name", matrix_rows.NAMES)
def test_suite(verdicts, name):
    table, foreign = verdicts
    if name in foreign:
        pytest.skip(f"{name}: {foreign[name]}")
    assert len(table[name]) >= 2 * len(rows(name))
    for sealed, found in table[name]:
        assert found.sequence == SEQ + 1
        if sealed.checked:
            assert (found.good, found.bad) == (sealed.text is not None, sealed.text is None)
        if sealed.text is not None:
            assert found.text == sealed.text and found.protocol == sealed.text[-1]
