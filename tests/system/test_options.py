# SPDX-License-Identifier: Apache-2.0
"""
A child's options for the outer header, seen on the wire: as configured, and as a reload changes them under living SAs.
What the network marks reaches the inner packet (RFC 6040).
"""

import ipaddress
import itertools
import socket
import struct
from collections import namedtuple

import pytest

from lab import need, topology as at, traffic
from lab.scene import scene
from lab.shell import wait_until

pytestmark = pytest.mark.needs(*need.GATEWAY)

EF = 46
ECT0, CE = 2, 3
PORT = 9009
LABELS = itertools.count(0x12345)
RECVTOS = {4: (socket.IPPROTO_IP, socket.IP_RECVTOS), 6: (socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS)}
TOS = {4: (socket.IPPROTO_IP, socket.IP_TOS), 6: (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}

Outer = namedtuple("Outer", "dscp ecn ttl df label length")


def outer_of(frame):
    """The outer header of a frame that is ESP, and its source; None of any other."""
    kind, ip = struct.unpack_from(">H", frame, 12)[0], bytes(frame[14:])
    if kind == 0x0800 and ip[9] == 50:
        length, _, flags = struct.unpack_from(">HHH", ip, 2)
        return str(ipaddress.ip_address(ip[12:16])), Outer(ip[1] >> 2, ip[1] & 3, ip[8], bool(flags & 0x4000), 0, length)
    if kind == 0x86dd and ip[6] == 50:
        word, length = struct.unpack_from(">IH", ip)
        tos = word >> 20 & 0xff
        return str(ipaddress.ip_address(ip[8:24])), Outer(tos >> 2, tos & 3, ip[7], True, word & 0xfffff, 40 + length)
    return None


def outers(capture, source):
    """The outer headers of the ESP that `source` sent."""
    capture.stop()
    found = [outer_of(frame) for _, frame in capture.frames()]
    return [f[1] for f in found if f and f[0] == source]


def options_set(gateway, options):
    """Into the configuration, and in force."""
    gateway.tunnels = [gateway.tunnels[0].but(child_options=options)]
    gateway.write()
    gateway.command("reload")


@pytest.fixture(scope="module", params=[4, 6], ids=["outer4", "outer6"])
def up(request):
    """A tunnel of this outer family, with an option from its start."""
    with scene(outer=request.param, inner=(4, 6), nat=False, child_options={"ttl": 33}) as s:
        s.outer = request.param
        yield s


def send(s, version):
    """
    Pings of two sizes from the client: EF and ECT(0); of IPv6 with flow labels, which the kernel lends once in a while
    and `s.labels` tells, and of IPv4 without don't-fragment.
    """
    s.labels = set()
    for size in ("56", "300"):
        label = next(LABELS)
        s.labels.add(label)
        more = ["-M", "dont"] if version == 4 else ["-F", hex(label)]
        argv = ["ping", f"-{version}", "-n", "-q", "-c", "2", "-i", "0.1", "-s", size, "-Q", hex(EF << 2 | ECT0), *more]
        assert traffic.parse_ping(s.client.run(*argv, at.SERVER[version]).stdout).received


def padded(low, high):
    """The same length for all, from `low` to `high`."""
    return lambda seen, s, version: len({o.length for o in seen}) == 1 and low <= seen[0].length <= high


def every(**fields):
    return lambda seen, s, version: all(getattr(o, name) == value for o in seen for name, value in fields.items())


def label(copied):
    return lambda seen, s, version: {o.label for o in seen} == (s.labels if copied and s.outer == version == 6 else {0})


def dont_fragment(ipv4):
    """IPv6 is not fragmented on its way, whatever the option says; of an IPv6 packet in IPv4 only `clear` lets it be."""
    return lambda seen, s, version: s.outer == 6 or all(o.df == ipv4[version] for o in seen)


ROWS = [
    ({}, every(dscp=EF, ecn=ECT0, ttl=64)),
    ({"dscp": 10}, every(dscp=10, ecn=ECT0, ttl=64)),
    ({"dscp": 0}, every(dscp=0, ecn=ECT0)),
    ({"dscp": "copy"}, every(dscp=EF, ecn=ECT0)),
    ({"copy_ecn": False}, every(dscp=EF, ecn=0)),
    ({"dscp": 63, "copy_ecn": False}, every(dscp=63, ecn=0)),
    ({"ttl": 17}, every(ttl=17)),
    ({"flow_label": "copy"}, label(True)),
    ({"flow_label": "zero"}, label(False)),
    ({"df": "copy"}, dont_fragment({4: False, 6: True})),
    ({"df": "set"}, dont_fragment({4: True, 6: True})),
    ({"df": "clear"}, dont_fragment({4: False, 6: False})),
    ({"tfc_padding": 700}, padded(700, 800)),
    ({"tfc_padding": "mtu"}, padded(1480, 1500)),
    ({}, lambda seen, s, version: len({o.length for o in seen}) == 2),
]


def test_from_the_start(up):
    """The first SAs have what the file said then. Stands first in this file: others change it."""
    wire = up.site.capture("a0")
    send(up, 4)
    seen = outers(wire, at.WAN_A[up.outer])
    assert len(seen) == 4 and every(ttl=33, dscp=EF)(seen, up, 4), seen


@pytest.mark.parametrize("options, holds", ROWS, ids=[str(i) + "".join(f"-{k}-{v}" for k, v in o.items())
                                                       for i, (o, _) in enumerate(ROWS)])
@pytest.mark.parametrize("version", [4, 6], ids=["inner4", "inner6"])
def test_seen_on_the_wire(up, version, options, holds):
    """By a reload: the SAs are those from before."""
    before = up.a.spis()
    options_set(up.a, options)
    wire = up.site.capture("a0")
    send(up, version)
    seen = outers(wire, at.WAN_A[up.outer])
    assert len(seen) == 4 and holds(seen, up, version), seen
    assert up.a.spis() == before


def test_reload_under_traffic(up):
    """No packet is lost while options change, and each of them is seen."""
    options_set(up.a, {"dscp": 1})
    before, rekeys = up.a.spis(), up.a.rekeys()
    wire = up.site.capture("a0", snap=100)
    steps = [lambda n=n: options_set(up.a, {"dscp": n, "df": ("set", "clear")[n % 2], "ttl": 64 + n}) for n in range(2, 7)]
    pings = up.under_traffic(1500, 6, *steps, sizes=(56, 300, 1000))
    assert pings.lost == 0, str(pings)
    seen = {(o.dscp, o.ttl) for o in outers(wire, at.WAN_A[up.outer])}
    assert seen == {(1, 64)} | {(n, 64 + n) for n in range(2, 7)}
    assert up.a.spis() == before and up.a.rekeys() == rekeys


# ---- marks of the network ----------------------------------------------------------------------------------------

MARKING = """\
table inet marks {{
    chain forward {{
        type filter hook forward priority 0
        oifname "b0" meta l4proto esp {ip} ecn set ce
    }}
}}
"""


@pytest.fixture
def marked(up):
    """The router marks congestion in all ESP to B."""
    up.site.router.run("nft", "-f", "-", stdin=MARKING.format(ip="ip" if up.outer == 4 else "ip6"))
    yield up
    up.site.router.run("nft", "delete", "table", "inet", "marks")


def ecn_at_server(s, version, ecn):
    """The ECN field with which a datagram of the client arrives; None: it does not."""
    taker = s.server.socket(FAMILY[version], socket.SOCK_DGRAM)
    sender = s.client.socket(FAMILY[version], socket.SOCK_DGRAM)
    with taker, sender:
        taker.setsockopt(*RECVTOS[version], 1)
        taker.bind((at.SERVER[version], PORT))
        taker.settimeout(2 if ecn else 0.3)
        sender.setsockopt(*TOS[version], ecn)
        sender.sendto(b"marked?", (at.SERVER[version], PORT))
        try:
            _, control, _, _ = taker.recvmsg(100, 100)
        except TimeoutError:
            return None
    return control[0][2][0] & 3


@pytest.mark.parametrize("version", [4, 6], ids=["inner4", "inner6"])
def test_congestion_reaches_the_inner_packet(marked, version):
    """Of a flow that does ECN; of one that does not, the packet dies, counted (RFC 6040 4.2)."""
    options_set(marked.a, {})
    options_set(marked.b, {})
    assert [ecn_at_server(marked, version, ecn) for ecn in (1, 2, 3)] == [CE, CE, CE]
    before = marked.b.drops("ECN_MISMATCH")
    assert ecn_at_server(marked, version, 0) is None
    wait_until("the drop is counted", lambda: marked.b.drops("ECN_MISMATCH") == before + 1)


@pytest.mark.parametrize("version", [4, 6], ids=["inner4", "inner6"])
def test_ecn_off_on_the_way_in(marked, version):
    """B takes no part: what the path did is not looked at (RFC 6040 4.3)."""
    options_set(marked.b, {"copy_ecn": False})
    try:
        assert [ecn_at_server(marked, version, ecn) for ecn in (0, 1, 2, 3)] == [0, 1, 2, 3]
    finally:
        options_set(marked.b, {})
