# SPDX-License-Identifier: Apache-2.0
"""
Transport mode from host to host, by two gateways of ours that talk for themselves. Most children here protect TCP and
UDP of one port and nothing else: no route can tell that, so a tc filter captures it.
"""

import errno
import os
import socket
import struct
from collections import Counter

import pytest

from lab import need, topology as at, traffic
from lab.capture import MARKER, Capture
from lab.scene import scene
from lab.shell import Failed, run, wait_until

pytestmark = pytest.mark.needs(*need.GATEWAY)

PORT, OTHER = 7007, 7008  # protected, and not
CLEAR = b"in clear, as it should be"
TCP, UDP, AH, ESP, ICMP, ICMP6 = 6, 17, 51, 50, 1, 58
BITS = {4: 32, 6: 128}
FORMS = {"esp": dict(esp="aes256gcm16"), "esp-cbc": dict(esp="aes128-sha256"), "ah": dict(ah="sha256")}


# Lets everything go, and so ends the chain.
OTHER_FILTER = """\
__attribute__((section("other"), used)) int pass(void *ctx) { return 0; }
__attribute__((section("license"), used)) char gpl[] = "GPL";
"""


def part(local, remote, version):
    """Traffic selectors (local, remote) of a client of the service at the other end."""
    return ([f"{local}/{BITS[version]}[{p}]" for p in ("tcp", "udp")],
            [f"{remote}/{BITS[version]}[{p}/{PORT}]" for p in ("tcp", "udp")])


def hosts(version=4, selectors=part, up=True, nat=False, **form):
    """A Scene of two hosts, A the client of B's service; `selectors` None: all between them."""
    made = scene(outer=version, inner=(version,), mode="transport", nat=nat, start=False, **form)
    return Hosts(made, version, selectors, up)


class Hosts:
    def __init__(self, made, version, selectors, up):
        self.made, self.version, self.selectors, self.start = made, version, selectors, up
        self.address_a, self.address_b = at.WAN_A[version], at.WAN_B[version]

    def __enter__(self):
        s = self.s = self.made.__enter__()
        try:
            self._describe(s)
            s.b.start()
            s.a.start()
            s.site.warm()
            if self.start:
                s.a.up()
                wait_until("both ends are up", lambda: s.a.is_up() and s.b.is_up(), 10)
        except BaseException as error:
            self.made.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, *error):
        return self.made.__exit__(*error)

    def _describe(self, s):
        a, b = s.a.tunnels[0], s.b.tunnels[0]
        for end, address_a in ((a, self.address_a), (b, s.site.outer_a(self.version))):
            near = end is a
            ends = self.selectors(address_a, self.address_b, self.version) if self.selectors else (["dynamic"],) * 2
            end.local_ts, end.remote_ts = ends if near else ends[::-1]
        s.a.write()
        s.b.write()

    @property
    def a(self):
        return self.s.a

    @property
    def b(self):
        return self.s.b

    def echo(self, port=PORT):
        return traffic.Echo(self.s.site.b, self.address_b, port)

    def tcp(self, data, port=PORT, **options):
        return traffic.tcp_echo(self.s.site.a, self.address_b, data, port, **options)

    def udp(self, data, port=PORT, **options):
        return traffic.udp_echo(self.s.site.a, self.address_b, data, port, **options)

    def ping(self, count=3, **options):
        return traffic.ping(self.s.site.a, self.address_b, count, **options)

    def capture(self, end="b0"):
        site = self.s.site
        return Capture(site.router, end, site.lab.dir / f"{end}.{len(site.lab.processes)}.pcap", snap=2000)

    def drops(self):
        """Both ends' drops but of what is nobody's."""
        return {f"{end.ns.short} {r}": n for end in (self.a, self.b) for r, n in end.drops().items() if n}


class Wire:
    """What a capture saw: the packets by protocol number, and TCP and UDP in clear by the port that is a service's."""

    def __init__(self, capture):
        assert capture.stop().missed() == 0
        self.protocols, self.ports = Counter(), Counter()
        self.fragments = 0
        self.clear = []  # what stood in clear with the protected port
        self.frames = []  # but for pings, which are in clear here and bring their own marker
        for _, frame in capture.frames():
            self._see(bytes(frame))

    def _see(self, frame):
        kind = struct.unpack_from(">H", frame, 12)[0]
        if kind == 0x0800:
            protocol, payload = frame[23], 14 + (frame[14] & 15) * 4
            later = struct.unpack_from(">H", frame, 20)[0] & 0x1fff
            self.fragments += bool(struct.unpack_from(">H", frame, 20)[0] & 0x3fff)
        elif kind == 0x86dd:
            protocol, payload, later = frame[20], 54, 0
            if protocol == 44:
                protocol, later = frame[54], struct.unpack_from(">H", frame, 56)[0] & 0xfff8
                payload += 8
                self.fragments += 1
        else:
            return
        self.protocols[protocol] += 1
        if protocol not in (ICMP, ICMP6):
            self.frames.append(frame)
        if protocol in (TCP, UDP) and not later:
            ports = struct.unpack_from(">HH", frame, payload)
            self.ports.update(set(ports))
            if PORT in ports:
                self.clear.append(frame[:payload + 8].hex())

    def has(self, text):
        return any(text in frame for frame in self.frames)


def no_loss(h, *more):
    allowed = ("POLICY_NONE", "TX_FULL", *more)
    bad = {reason: n for reason, n in h.drops().items() if reason.split()[1] not in allowed}
    assert not bad, bad


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("name", FORMS)
def test_part_is_protected(name, version):
    """The selectors' traffic is on the wire under ESP or AH alone; all else between the two goes as if no one were there."""
    form = FORMS[name]
    with hosts(version, **form) as h:
        seen = h.capture()
        with h.echo(), h.echo(OTHER):
            data = MARKER + os.urandom(2000000)
            assert h.tcp(data) == data
            for size in (1, 16, 1200):
                text = (MARKER * 256)[:size]
                assert h.udp(text) == text, f"UDP, {size} bytes"
            assert h.tcp(CLEAR, OTHER) == CLEAR
            assert h.udp(CLEAR, OTHER) == CLEAR
        assert h.ping().lost == 0
        wire = Wire(seen)
        assert wire.clear == []
        assert wire.protocols[AH if "ah" in form else ESP] > 100
        assert wire.has(MARKER) == ("ah" in form)  # AH hides nothing
        assert wire.ports[OTHER] and wire.has(CLEAR) and wire.protocols[ICMP if version == 4 else ICMP6]
        assert h.a.status()["mode"] == "transport" and h.a.status()["protocol"] == ("ah" if "ah" in form else "esp")
        no_loss(h)


def test_all_is_protected():
    """Without protocol and ports all that the two hosts exchange is protected, but for IKE, and routes tell it."""
    with hosts(4, None) as h:
        seen = h.capture()
        with h.echo(), h.echo(OTHER):
            data = MARKER + os.urandom(500000)
            for port in (PORT, OTHER):
                assert h.tcp(data, port) == data
                assert h.udp(MARKER, port) == MARKER
        assert h.ping().lost == 0
        wire = Wire(seen)
        assert not wire.protocols.keys() & {TCP, UDP, ICMP} and wire.protocols[ESP] > 100 and not wire.has(MARKER)
        no_loss(h)


@pytest.mark.parametrize("name,version", [("esp", 4), ("esp-cbc", 6), ("ah", 4), ("ah", 6)])
def test_segments_fit(name, version):
    """A large TCP transfer goes out in large packets and not in fragments: the segment size is the SA's."""
    with hosts(version, **FORMS[name]) as h:
        seen = h.capture()
        with h.echo():
            data = os.urandom(8000000)
            assert h.tcp(data) == data
        wire = Wire(seen)
        assert wire.clear == []
        sizes = [len(frame) - 14 for frame in wire.frames]
        assert 1480 <= max(sizes) <= 1500 and wire.fragments == 0
        count = h.s.site.a.counters("ipsec0")
        assert count["tx_bytes"] / count["tx_packets"] > 4000
        no_loss(h)


def df_sizes(h, version):
    """(largest datagram that is sent with don't-fragment, path MTU that the socket has then)."""
    level, discover, do, mtu = ((socket.IPPROTO_IP, 10, 2, 14) if version == 4 else (socket.IPPROTO_IPV6, 23, 2, 24))
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with h.s.site.a.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(level, discover, do)
        sock.settimeout(1)
        sock.connect((h.address_b, PORT))
        size = 1500 - (28 if version == 4 else 48)

        def learned():
            try:
                sock.send(bytes(size))
            except OSError as error:
                assert error.errno == errno.EMSGSIZE
            return sock.getsockopt(level, mtu) < 1500
        wait_until("the host knows the path MTU", learned)
        mtu = sock.getsockopt(level, mtu)
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # that of the ICMP error
        largest = bytes(mtu - (28 if version == 4 else 48))
        sock.send(largest)
        assert sock.recv(2000) == largest
        with pytest.raises(OSError) as error:
            sock.send(largest + b"x")
        assert error.value.errno == errno.EMSGSIZE
    return mtu


@pytest.mark.parametrize("version", [4, 6])
def test_too_big_is_told(version):
    """With don't-fragment set the host's own sockets learn what fits under the SA, and not less than that."""
    with hosts(version) as h, h.echo():
        assert 1400 < df_sizes(h, version) <= 1500 - 8 - 8 - 16 - 2


@pytest.mark.parametrize("version", [4, 6])
def test_plaintext_from_outside(version):
    """What the selectors mean reaches nobody in clear, and is counted; what they leave out is let in."""
    with hosts(version) as h:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        router = h.s.site.router
        router.ip(f"addr add {h.address_b}/{BITS[version]} dev lo" + (" nodad" if version == 6 else ""))
        with h.s.site.a.socket(family, socket.SOCK_DGRAM) as target:
            target.bind((h.address_a, 9999))
            target.settimeout(2)
            for port in (PORT, OTHER):
                with router.socket(family, socket.SOCK_DGRAM) as forger:
                    forger.bind((h.address_b, port))
                    for _ in range(5):
                        forger.sendto(str(port).encode(), (h.address_a, 9999))
            assert {target.recv(100) for _ in range(5)} == {str(OTHER).encode()}
            target.settimeout(0.2)
            with pytest.raises(TimeoutError):
                target.recv(100)
        assert h.a.drops("PLAINTEXT_IN") == 5


def attempt(what):
    """What `what` returns, or None if the network does not let it."""
    try:
        return what()
    except (OSError, Failed):
        return None


@pytest.mark.parametrize("selectors", [part, None], ids=["part", "all"])
def test_closed_without_an_agent(selectors):
    """Killed or stopped: what is to be protected dies; what is not goes on. Detached: the host is as before."""
    with hosts(4, selectors) as h, h.echo(), h.echo(OTHER):
        for end in (h.a.kill_agent, lambda: h.a.agent.stop()):
            seen = h.capture("a0")
            end()
            assert attempt(lambda: h.tcp(MARKER, seconds=1.5)) is None
            assert attempt(lambda: h.udp(MARKER, seconds=0.5)) is None
            assert (attempt(lambda: h.tcp(CLEAR, OTHER, seconds=3)) == CLEAR) == (selectors is part)
            assert traffic.ping(h.s.site.a, at.ROUTER_B[4], 3).lost == 0
            wire = Wire(seen)
            assert wire.clear == [] and not wire.has(MARKER)
            h.a.start_agent()
            assert wait_until("protected again", lambda: attempt(lambda: h.udp(MARKER, seconds=0.5))) == MARKER
        h.a.stop()
        h.b.stop()
        for end in (h.a, h.b):
            detached = end.spawn_agent("--detach")
            assert detached.wait(10) == 0, detached.text()
        seen = h.capture()
        assert h.tcp(CLEAR) == CLEAR and h.udp(CLEAR) == CLEAR and h.ping().lost == 0
        assert Wire(seen).ports[PORT]
        filters = run(["tc", "-n", h.s.site.a.name, "filter", "show", "dev", "wan0", "egress"]).stdout
        assert "bpf" not in filters


def test_no_filter_no_leak(tmp_path):
    """Where another's filter has the place, routes tell what is to be protected: too much rather than too little."""
    with hosts(4, up=False) as h, h.echo(), h.echo(OTHER):
        h.a.agent.stop()
        source, program = tmp_path / "other.c", tmp_path / "other.o"
        source.write_text(OTHER_FILTER)
        run(["clang", "-O2", "-target", "bpf", "-c", source, "-o", program])
        place = ["dev", "wan0", "egress", "pref", "1", "handle", "0x4553", "bpf"]
        h.s.site.a.run("tc", "filter", "del", *place)
        h.s.site.a.run("tc", "filter", "add", *place, "direct-action", "object-file", program, "section", "other")
        h.a.start_agent()
        wait_until("the IKE daemon sees it", lambda: h.a.cli("status")["agent"]["connected"])
        wan = next(i for i in h.a.cli("status")["interfaces"] if i["name"] == "wan0")
        assert "tc filter" in wan["reason"], wan
        seen = h.capture()
        h.a.up()
        assert h.tcp(MARKER) == MARKER
        assert attempt(lambda: h.udp(CLEAR, OTHER, seconds=0.5)) is None
        assert not Wire(seen).has(MARKER)
        h.a.agent.stop()
        h.s.site.a.run("tc", "filter", "del", *place)
        h.a.start_agent()
        assert wait_until("only what is meant", lambda: attempt(lambda: h.udp(CLEAR, OTHER, seconds=0.5))) == CLEAR
        assert h.tcp(MARKER) == MARKER


@pytest.mark.parametrize("selectors", [part, None], ids=["part", "all"])
def test_behind_nat(selectors):
    """ESP in UDP; checksums hold though the NAT changes addresses (RFC 3948 3.1.2), in both directions and in large packets."""
    with hosts(4, selectors, nat=True) as h:
        assert h.a.status()["mode"] == "transport" and h.a.status()["nat"]
        seen = h.capture()
        with h.echo(), h.echo(OTHER):
            data = MARKER + os.urandom(2000000)
            assert h.tcp(data) == data
            assert h.udp(MARKER * 70) == MARKER * 70
            assert h.udp(CLEAR, OTHER) == CLEAR
        wire = Wire(seen)
        assert wire.clear == [] and not wire.has(MARKER)
        assert wire.ports[4500] > 100 and bool(wire.ports[OTHER]) == (selectors is part)
        no_loss(h)


def test_ah_is_refused_behind_nat():
    """Said at once, and nothing leaves in clear."""
    with hosts(4, nat=True, up=False, ah="sha256") as h:
        seen = h.capture()
        with pytest.raises(Failed) as error:
            h.a.up(seconds=5)
        assert "NAT" in str(error.value) and "esp_proposals" in str(error.value)
        with h.echo():
            assert attempt(lambda: h.udp(MARKER, seconds=0.5)) is None
        assert Wire(seen).clear == []


def tcp_counter(ns, name):
    """A counter of the namespace's TCP, by its name in /proc/net/netstat."""
    names, values = (line.split() for line in ns.run("cat", "/proc/net/netstat").stdout.splitlines()
                     if line.startswith("TcpExt:"))
    return int(values[names.index(name)])


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_first_packet(kind, version):
    """The first packet brings the SA up and is not lost: a datagram is sent once, a connection is there before a second SYN."""
    with hosts(version, up=False, start_action="trap") as h, h.echo():
        seen = h.capture()
        if kind == "udp":
            assert h.udp(MARKER, seconds=10) == MARKER
        else:
            assert h.tcp(MARKER) == MARKER
        assert h.a.is_up() and Wire(seen).clear == []
        assert tcp_counter(h.s.site.a, "TCPSynRetrans") == 0
        no_loss(h)


@pytest.mark.parametrize("name,version", [("esp", 4), ("esp", 6), ("esp-cbc", 4), ("ah", 4), ("ah", 6)])
def test_datagrams_larger_than_the_path(name, version):
    """What the host cuts is protected whole (RFC 4303 3.3.4) and cut anew; of what is not protected every fragment passes."""
    with hosts(version, **FORMS[name]) as h:
        seen = h.capture()
        with h.echo(), h.echo(OTHER):
            for size in (1400, 1452, 1472, 1473, 2000, 4000, 9000, 15000):
                text = os.urandom(size)
                # The first that does not fit is lost, and teaches both hosts the path MTU.
                assert h.udp(text, tries=10, seconds=0.3) == text, f"{size} bytes"
                assert h.udp(text, OTHER) == text, f"{size} bytes in clear"
        wire = Wire(seen)
        assert wire.clear == [] and wire.fragments > 40
        assert max(len(frame) - 14 for frame in wire.frames) <= 1500
        no_loss(h, "TOO_BIG")


@pytest.mark.parametrize("version", [4, 6])
def test_all_large_datagrams(version):
    """The same by a route."""
    with hosts(version, None) as h, h.echo():
        for size in (1300, 1472, 4000, 15000):
            text = os.urandom(size)
            assert h.udp(text) == text, f"{size} bytes"
        assert h.ping(size=4000).lost == 0
        no_loss(h)
