# SPDX-License-Identifier: Apache-2.0
"""
Published answers, asked of every engine: NIST CAVP and others of Debian's python3-cryptography-vectors, as far as they fit into an ESP or AH
packet. GCM's and CCM's additional data does not fit (ESP has 8 or 12 bytes of it), so of those the ciphertext alone is compared; GHASH is
compared by GMAC, which is AH's. The RFCs' own answers are in tests/unit/test_suite_vectors.c.
"""
import os
import re

import own_esp
import pytest

vectors = pytest.importorskip("cryptography_vectors", reason="python3-cryptography-vectors is absent")
FOLDER = os.path.dirname(vectors.__file__)
SPI, SEQ = bytes.fromhex("00004321"), bytes.fromhex("00000009")


def records(name):
    """The records of a CAVP file: the names and values of a record, and of the [sections] above it."""
    section, record = {}, {}
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        for line in [*file, ""]:
            if line.startswith("#"):
                continue
            line = line.strip()
            if record and not line:
                yield {**section, **record}
                record = {}
            head = re.fullmatch(r"\[(.*)\]", line)
            if head:
                for part in head.group(1).split(","):
                    key, _, value = part.partition("=")
                    section[key.strip().lower()] = value.strip()
            elif "=" in line or ":" in line:
                key, value = re.split(r"\s*[=:]\s*", line, maxsplit=1)
                record[key.lower()] = value.strip()
            elif line:
                record[line.lower()] = ""


def octets(value):
    """Hexadecimal, or a text in quotation marks."""
    return value[1:-1].encode() if value.startswith('"') else bytes.fromhex(value)


def fits(data):
    """ESP always has a trailer; that it comes in units of 4 bytes is nothing to a stream cipher."""
    return len(data) >= 4


@pytest.fixture(scope="module")
def suites(pipe):
    answer = pipe.ask(op="suites")
    return {suite["name"]: suite for suite in answer["suites"]}, {suite["name"]: suite for suite in answer["ah_suites"]}


def asked(pipe, jobs, least):
    """jobs: (request, member of the answer, its right value)."""
    assert len(jobs) >= least, "fewer vectors than the package had when this was written"
    for (request, member, right), answer in zip(jobs, pipe.ask_all([request for request, *_ in jobs])):
        assert answer["good"] is True, request
        assert answer[member] == right, request


def sealed(suite, key, salt, iv, plain, engine, **more):
    """Ask for the ciphertext under this IV, which our sender takes from the number."""
    return {"op": "cipher_seal", "encr": suite["encr"], "bits": suite["bits"], "integ": suite["integ"], "key": key.hex(), "salt": salt.hex(),
            "integ_key": "11" * suite["integ_key_len"], "seq": iv.hex(), "engine": engine, "packet": (SPI + SEQ + bytes(8) + plain).hex(), **more}


def text_jobs(suite, answers):
    """answers: (key, salt, iv, plain, ciphertext). The ICV is what own_esp.py says."""
    for key, salt, iv, plain, text in answers:
        own = own_esp.OwnSa(suite["encr"], suite["integ"], key, salt, b"\x11" * suite["integ_key_len"], int.from_bytes(SPI, "big"))
        number = int.from_bytes(iv, "big")
        own_text, icv = own.work(SPI + SEQ, iv, plain, number, decrypt=False)
        assert own_text == text
        for engine in suite["engines"]:
            yield sealed(suite, key, salt, iv, plain, engine), "packet", (SPI + SEQ + iv + text + icv).hex()


@pytest.mark.parametrize("bits", (128, 192, 256))
def test_gcm(pipe, suites, bits):
    suite = suites[0][f"aes{bits}gcm16"]
    answers = [(bytes.fromhex(r["key"]), iv[:4], iv[4:], plain, bytes.fromhex(r["ct"]))
               for r in records(f"ciphers/AES/GCM/gcmEncryptExtIV{bits}.rsp") if "ct" in r
               for iv, plain in [(bytes.fromhex(r["iv"]), bytes.fromhex(r["pt"]))] if len(iv) == 12 and fits(plain)]
    asked(pipe, list(text_jobs(suite, answers)), 1000)


@pytest.mark.parametrize("bits", (128, 192, 256))
def test_gmac(pipe, suites, bits):
    suite = suites[1][f"aes{bits}gmac"]
    jobs = [({"op": "mac", "integ": suite["integ"], "integ_key": r["key"], "salt": r["iv"][:8], "iv": r["iv"][8:], "data": r["aad"],
              "engine": engine}, "icv", r["tag"])
            for r in records(f"ciphers/AES/GCM/gcmEncryptExtIV{bits}.rsp")
            if "tag" in r and not r["pt"] and r["aad"] and len(r["iv"]) == 24 and len(r["tag"]) == 32 for engine in suite["engines"]]
    asked(pipe, jobs, 60)


@pytest.mark.parametrize("bits", (128, 192, 256))
def test_ccm(pipe, suites, bits):
    """NIST's variable nonce test: nonces of 11 bytes, tags of 16."""
    suite = suites[0][f"aes{bits}ccm16"]
    answers, key = [], None
    for r in records(f"ciphers/AES/CCM/VNT{bits}.rsp"):
        key = r.get("key", key)
        if len(r.get("nonce", "")) != 22:
            continue
        nonce, plain = bytes.fromhex(r["nonce"]), bytes.fromhex(r["payload"])
        answers.append((bytes.fromhex(key), nonce[:3] + b"\0", nonce[3:], plain, bytes.fromhex(r["ct"])[:len(plain)]))
    asked(pipe, list(text_jobs(suite, answers)), 5)


@pytest.mark.parametrize("bits", (128, 192, 256))
def test_ccm_tag(bits):
    """The CCM of own_esp.py, which the matrix holds against ours, whole: tag and additional data of NIST's answers."""
    key, count = None, 0
    for r in records(f"ciphers/AES/CCM/VNT{bits}.rsp"):
        key = r.get("key", key)
        if len(r.get("nonce", "")) != 22:
            continue
        plain = bytes.fromhex(r["payload"])
        text, tag = own_esp.ccm(bytes.fromhex(key), bytes.fromhex(r["nonce"]), bytes.fromhex(r["adata"]), plain, False, 16)
        assert (text + tag).hex() == r["ct"]
        count += 1
    assert count >= 5


@pytest.mark.parametrize("kind", ("GFSbox", "KeySbox", "VarKey", "VarTxt", "MMT"))
@pytest.mark.parametrize("bits", (128, 192, 256))
def test_cbc(pipe, suites, bits, kind):
    """Opened: the IV of what we seal cannot be told beforehand."""
    suite, jobs = suites[0][f"aes{bits}-sha256"], []
    integ_key = b"\x11" * 32
    for r in records(f"ciphers/AES/CBC/CBC{kind}{bits}.rsp"):
        if "ciphertext" not in r:
            continue
        packet = SPI + SEQ + bytes.fromhex(r["iv"]) + bytes.fromhex(r["ciphertext"])
        right = (packet[:24] + bytes.fromhex(r["plaintext"])).hex()
        packet += own_esp.mac(12, integ_key, packet)
        jobs += [({"op": "cipher_open", "encr": 12, "bits": bits, "integ": 12, "key": r["key"], "integ_key": integ_key.hex(), "seq": 9,
                   "packet": packet.hex(), "engine": engine}, "packet", right) for engine in suite["engines"]]
    asked(pipe, jobs, 6)


@pytest.mark.parametrize("name", ("boringssl", "openssl"))
def test_chacha20_poly1305(pipe, suites, name):
    """Those with as much additional data as ESP has, the tag too; with 12 bytes of it the number has 64 bits."""
    suite, jobs = suites[0]["chacha20poly1305"], []
    for r in records(f"ciphers/ChaCha20Poly1305/{name}.txt"):
        key, nonce, aad, plain, text, tag = (octets(r.get(a) or r.get(b) or "") for a, b in
                                             (("key", "key"), ("nonce", "iv"), ("ad", "aad"), ("in", "plaintext"), ("ct", "ciphertext"), ("tag", "tag")))
        if len(aad) not in (8, 12) or len(nonce) != 12 or not fits(plain) or r.get("result") == "CIPHERFINAL_ERROR":
            continue
        esn = len(aad) == 12
        header = aad[:4] + aad[-4:]
        packet = header + nonce[4:] + text + tag
        jobs += [({"op": "cipher_open", "encr": 28, "bits": 256, "integ": 0, "key": key.hex(), "salt": nonce[:4].hex(), "esn": esn,
                   "seq": aad[4:].hex(), "packet": packet.hex(), "engine": engine}, "packet", (header + nonce[4:] + plain).hex())
                 for engine in suite["engines"]]
    asked(pipe, jobs, 1)


def test_cmac(pipe, suites):
    """NIST SP 800-38B, of messages that are not empty, cut to 96 bits (RFC 4494)."""
    suite = suites[1]["aescmac"]
    jobs = [({"op": "mac", "integ": 8, "integ_key": r["key"], "data": r["message"], "engine": engine}, "icv", r["output"][:24])
            for r in records("CMAC/nist-800-38b-aes128.txt") if r.get("message", "").strip() for engine in suite["engines"]]
    asked(pipe, jobs, 3)


@pytest.mark.parametrize("name, suite, least", (("rfc-2202-sha1", "sha1", 4), ("rfc-4231-sha256", "sha256", 4),
                                               ("rfc-4231-sha384", "sha384", 4), ("rfc-4231-sha512", "sha512", 4)))
def test_hmac(pipe, suites, name, suite, least):
    """Keys up to the suite's length: HMAC fills shorter ones up with zeroes itself (RFC 2104 2)."""
    suite, jobs = suites[1][suite], []
    for r in records(f"HMAC/{name}.txt"):
        key = bytes.fromhex(r.get("key", ""))
        if not key or len(key) > suite["integ_key_len"] or len(r["md"]) < 2 * suite["icv_len"]:
            continue
        jobs += [({"op": "mac", "integ": suite["integ"], "integ_key": key.ljust(suite["integ_key_len"], b"\0").hex(), "data": r["msg"],
                   "engine": engine}, "icv", r["md"][:2 * suite["icv_len"]]) for engine in suite["engines"]]
    asked(pipe, jobs, least)
