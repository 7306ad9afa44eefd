# SPDX-License-Identifier: Apache-2.0
"""
The Linux kernel's ESP and AH against ours: one guest, one agent, and every form side by side with keys put in by hand.
A form passes if pings and a TCP stream are answered, and both ends have counted as many packets as that takes.
"""

import json
import re
import socket
import struct
from types import SimpleNamespace

import pytest

from lab import need, topology as at, traffic
from lab.gateway import Gateway
from lab.net import Lab
from lab.shell import BUILD, run, wait_until
from lab.topology import Site
from lab.uml import Uml
from lab.xfrm import Pair

pytestmark = pytest.mark.needs(*need.GATEWAY, *need.UML, "bpftool")

PINGS = 3
STREAM = 50_000  # bytes each way
PORT = 7007
NATT = 4500

# What the guest runs: an echo of streams, and the socket that makes its kernel take ESP in UDP (RFC 3948).
GUEST = f"""
import socket, threading
for family, any in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    s = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((any, {NATT}))
    s.setsockopt(socket.IPPROTO_UDP, 100, 2)
    globals()["keep%d" % family] = s
def echo(c):
    while data := c.recv(65536):
        c.sendall(data)
    c.close()
s = socket.create_server(("::", {PORT}), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
while True:
    threading.Thread(target=echo, args=(s.accept()[0],), daemon=True).start()
"""

ESP = ["aes128gcm16", "aes192gcm16", "aes256gcm16", "aes256gcm12", "aes256gcm8", "chacha20poly1305", "aes128ccm16",
       "aes256ccm12", "aes256ccm8", "aes256gmac", "aes128-sha256", "aes192-sha384", "aes256-sha512", "aes128-sha1",
       "aes256-aesxcbc", "aes128-aescmac", "aes128ctr-sha256", "aes256ctr-sha1", "null-sha256", "null-aescmac"]
AH = ["sha256", "sha1", "sha384", "sha512", "aesxcbc", "aescmac"]

# suite, protocol, mode, outer family, inner family, ESN, UDP, window
FORMS = (
    [(s, "esp", "tunnel", 4, 4, esn, False, 1024) for s in ESP for esn in (False, True)]
    + [(s, "esp", "transport", v, v, False, False, 1024) for s in ("aes256gcm16", "aes128-sha256", "chacha20poly1305",
                                                                    "aes128ctr-sha256") for v in (4, 6)]
    + [("aes256gcm16", "esp", "tunnel", o, i, True, False, 1024) for o in (4, 6) for i in (4, 6) if (o, i) != (4, 4)]
    + [(s, "esp", "tunnel", v, 4, False, True, 1024) for s in ("aes256gcm16", "aes128-sha256") for v in (4, 6)]
    + [("aes256gcm16", "esp", "transport", 4, 4, True, True, 1024)]
    + [("aes256gcm16", "esp", "tunnel", 4, 4, esn, False, w) for w in (32, 64, 4096) for esn in (False, True)]
    + [(s, "ah", "tunnel", 4, 4, esn, False, 1024) for s in AH for esn in (False, True)]
    + [("sha256", "ah", "tunnel", 6, i, False, False, 1024) for i in (4, 6)]
    + [("sha256", "ah", "transport", v, v, esn, False, 1024) for v in (4, 6) for esn in (False, True)]
)


def name_of(form):
    suite, protocol, mode, outer, inner, esn, udp, window = form
    words = [protocol, suite, mode, f"v{inner}" if mode == "transport" else f"v{inner}-in-v{outer}"]
    words += ["esn"] * esn + ["udp"] * udp + [f"window{window}"] * (window != 1024)
    return " ".join(words)


def pair_of(number, form):
    suite, protocol, mode, outer, inner, esn, udp, window = form
    if mode == "transport":
        near, far = at.WAN_A[outer], f"198.51.100.{100 + number}" if outer == 4 else f"2001:db8:b::1{number:02x}"
        near_ts, far_ts = near, far
    else:
        near, far = at.WAN_A[outer], at.WAN_B[outer]
        near_ts = at.INNER_A4 if inner == 4 else at.INNER_A6
        far_ts = f"10.2.9.{number + 1}" if inner == 4 else f"fd02::9:{number + 1:x}"
    return Pair(near=near, far=far, near_ts=near_ts, far_ts=far_ts + ("/32" if inner == 4 else "/128"),
                spi=0x2000 + 2 * number, suite=suite, protocol=protocol, mode=mode, esn=esn, udp=NATT if udp else 0,
                window=window)


@pytest.fixture(scope="module")
def matrix(request):
    with Lab() as lab:
        site = Site(lab, nat=False, b_is_machine=True)
        guest = Uml(site.b, "wan0", [f"{a}/{at.LENGTH['wan'][v]}" for v, a in at.WAN_B.items()], at.ROUTER_B.values())
        guest.start()
        gateway = Gateway(site.a, [])
        gateway.start_agent()
        pairs = [pair_of(n, form) for n, form in enumerate(FORMS)]
        lines = [f"addr add {p.far_ts} dev {'vec0 nodad' if p.mode == 'transport' and ':' in p.far else 'lo'}"
                 for p in pairs]
        (guest.root / "lab-echo.py").write_text(GUEST)
        (guest.root / "lab-setup").write_text("\n".join(lines + [line for p in pairs for line in p.kernel()]) + "\n")
        guest.sh("for m in chacha20poly1305 chacha_generic poly1305_generic xcbc cmac ecb; do modprobe -q $m; done; "
                 "python3 /lab-echo.py >/lab-echo.log 2>&1 & ip -batch /lab-setup", timeout=30)
        indexes = [put(gateway, p) for p in pairs]
        site.warm()
        wait_until("the guest answers", lambda: traffic.ping(site.a, at.WAN_B[4], 1).received, 10)
        rows = [f"{'against the Linux kernel':60} {'out':>5} {'in':>5}  packets of either end"]
        yield SimpleNamespace(site=site, guest=guest, gateway=gateway, pairs=pairs, indexes=indexes, rows=rows)
        plugin = request.config.pluginmanager.getplugin
        with plugin("capturemanager").global_and_fixture_disabled():
            plugin("terminalreporter").write_line("\n" + "\n".join(rows))


def put(gateway, pair):
    out = run([BUILD / "tests/lab/sa_put", gateway.pins, *pair.agent(), f"agent={gateway.dir / 'agent.sock'}"]).stdout
    return tuple(int(n) for n in re.match(r"tunnel \d+ in (\d+) out (\d+)", out).groups())


def packets(gateway, index):
    """Of struct sa_run: what an SA has carried."""
    key = " ".join(f"{byte:#x}" for byte in struct.pack("<I", index))
    text = run(["bpftool", "-j", "map", "lookup", "pinned", gateway.pins / "sa_run", "key", *key.split()]).stdout
    return struct.unpack_from("<4Q", bytes(int(b, 16) for b in json.loads(text)["value"]))[1]


def kernel_packets(guest, pair):
    """Of the guest's two SAs: (out, in), as the agent's are (in, out)."""
    ends = ((pair.far, pair.near, pair.spi + 1), (pair.near, pair.far, pair.spi))
    text = guest.sh("; ".join(f"ip -s xfrm state get src {source} dst {target} proto {pair.protocol} spi {spi:#x}"
                              for source, target, spi in ends)).stdout
    return tuple(int(n) for n in re.findall(r"lifetime current:\s*\d+\(bytes\), (\d+)\(packets\)", text))


def stream(ns, version, address):
    """A TCP stream there and back; True if it came back whole."""
    data = bytes(range(250)) * (STREAM // 250)
    back = bytearray()
    with ns.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_STREAM) as s:
        s.settimeout(8)
        s.connect((address, PORT))
        s.sendall(data)
        while len(back) < len(data):
            piece = s.recv(65536)
            if not piece:
                break
            back += piece
    return bytes(back) == data


@pytest.mark.parametrize("number", range(len(FORMS)), ids=[name_of(f).replace(" ", "-") for f in FORMS])
def test_form(matrix, number):
    pair, form = matrix.pairs[number], FORMS[number]
    version = form[4]
    source = matrix.site.a if pair.mode == "transport" else matrix.site.client
    target = pair.far_ts.partition("/")[0]
    assert traffic.ping(source, target, PINGS).received == PINGS
    assert stream(source, version, target)
    counts = {}

    def equal():
        """The last packets of the stream may still be on their way."""
        counts["near"] = tuple(packets(matrix.gateway, index) for index in matrix.indexes[number])
        counts["far"] = kernel_packets(matrix.guest, pair)
        return counts["near"] == counts["far"]

    try:
        wait_until("both ends have counted the same", equal, 5)
    finally:
        print(counts)
    near_in, near_out = counts["near"]
    assert min(near_in, near_out) > PINGS
    matrix.rows.append(f"{name_of(form):60} {near_out:5} {near_in:5}  passed")


@pytest.mark.parametrize("option", ["-R", "-Ttsandaddr"])
def test_ah_behind_options(matrix, option):
    """The router between the two writes into the options of request and answer, and AH, which stands behind them, still fits."""
    number = FORMS.index(("sha256", "ah", "transport", 4, 4, False, False, 1024))
    pair = matrix.pairs[number]
    before = [packets(matrix.gateway, index) for index in matrix.indexes[number]]
    said = matrix.site.a.run("ping", "-n", option, "-c", str(PINGS), "-i", "0.2", "-W", "2", pair.far).stdout
    assert f"{PINGS} received" in said, said
    assert at.ROUTER_B[4] in said and pair.far in said, said
    after = [packets(matrix.gateway, index) for index in matrix.indexes[number]]
    assert [b - a for a, b in zip(before, after)] == [PINGS, PINGS]
    matrix.rows.append(f"{name_of(FORMS[number]) + f' ping {option}':60} {PINGS:5} {PINGS:5}  passed")
