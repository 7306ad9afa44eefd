# SPDX-License-Identifier: Apache-2.0
"""
Several children between two peers, several selectors in each, in their order: by addresses, protocol, ports, ICMP type and code;
protected, in clear, or dropped. Each packet takes the one child that speaks of it first, in both directions.
"""

import socket
from contextlib import ExitStack, contextmanager, suppress

import pytest

from lab import need, topology as at, traffic
from lab.capture import MARKER
from lab.gateway import Gateway
from lab.scene import scene
from lab.shell import wait_until

pytestmark = pytest.mark.needs(*need.GATEWAY)

DROPPED, OTHER, REFUSED = 7099, 7100, 7101
CLEAR = ("10.1.9.0/24", "10.2.9.0/24")  # of A's and B's network what needs no protection
CLEAR_CLIENT, CLEAR_SERVER = "10.1.9.2", "10.2.9.2"
REFUSAL = f"""\
table ip lab {{
    chain in {{
        type filter hook input priority 0
        udp dport {REFUSED} reject with icmp type admin-prohibited
    }}
}}
"""
# name: (more keys, selectors of A's side, selectors of B's side). Ports are the server's; pings of both sides are one child's.
CHILDREN = {
    "dropped": ({"priority": 1, "mode": "drop"}, ["[udp]"], [f"[udp/{DROPPED}]"]),
    "web": ({"priority": 3}, ["[tcp]"], ["[tcp/80]", "[tcp/443]"]),
    "names": ({"priority": 4}, ["[udp]", "[tcp]"], ["[udp/53]", "[tcp/53]"]),
    "pings": ({"priority": 5}, ["[icmp/8]", "[icmp/0]"], ["[icmp/8]", "[icmp/0]"]),
    "unreachable": ({"priority": 6}, ["[icmp/3/3]"], ["[icmp/3/3]"]),
}
PROTECTED = ("net", "web", "names", "pings", "unreachable")
PACKETS = 5
ICMP = 1


def child(name, local, remote):
    keys, *_ = CHILDREN[name]
    return {"name": name, "local_ts": local, "remote_ts": remote, **keys}


def with_children(here, there, side):
    """A gateway that has CHILDREN, and the other side's CLEAR network, before the child of the whole networks."""
    def make(ns, tunnel):
        mine, theirs = 1 + side, 2 - side
        children = [child(name, [here + s for s in row[mine]], [there + s for s in row[theirs]]) for name, row in CHILDREN.items()]
        clear = {"name": "clear", "mode": "pass", "priority": 2, "remote_ts": [CLEAR[1 - side]]}
        return Gateway(ns, tunnel.but(more_children=[*children, clear]))
    return make


@contextmanager
def several():
    with scene(near=with_children(at.INNER_A4, at.INNER_B4, 0), far=with_children(at.INNER_B4, at.INNER_A4, 1), nat=False,
               start=False) as s:
        s.start(up=False)
        for name in PROTECTED:
            s.a.command("up", "home", name, "--timeout", "15")
        for end in (s.a, s.b):
            wait_until("all children are up", lambda: all(end.status(child=name)["state"] == "up" for name in PROTECTED))
        yield s


def carried(s):
    """{child: (packets out of A and into B, out of B and into A)}; both ends have to say the same."""
    def counts(end):
        tunnels = {t["child"]: t for t in end.cli("status")["tunnels"]}
        return {name: (tunnels[name]["tx_packets"], tunnels[name]["rx_packets"]) for name in PROTECTED}

    near, far = counts(s.a), counts(s.b)
    return {name: near[name] for name in PROTECTED} if all(near[n] == far[n][::-1] for n in PROTECTED) else None


@contextmanager
def by(s, *names):
    """What goes through the tunnel inside is these children's, and of no other's."""
    before = wait_until("both ends have counted the same", lambda: carried(s))

    def moved():
        now = carried(s)
        return now and [name for name in PROTECTED if now[name] != before[name]]

    yield
    if names:
        wait_until(f"{names} have carried it", moved)
    assert wait_until("both ends have counted the same", lambda: carried(s)) and set(moved() or ()) == set(names)


def echoes(ns, port):
    data = [MARKER + bytes([n]) for n in range(PACKETS)]
    return [traffic.udp_echo(ns, at.SERVER[4], d, port, tries=3) for d in data] == data


def test_each_takes_its_child():
    with several() as s, ExitStack() as servers:
        for port in (80, 443, 53, OTHER):
            servers.enter_context(traffic.Echo(s.server, at.SERVER[4], port))
        servers.enter_context(traffic.Echo(s.client, at.CLIENT[4], 80))
        data = MARKER * 2000
        for port, name in ((80, "web"), (443, "web"), (53, "names"), (OTHER, "net")):
            with by(s, name):
                assert traffic.tcp_echo(s.client, at.SERVER[4], data, port) == data
        for port, name in ((53, "names"), (OTHER, "net"), (80, "net")):
            with by(s, name):
                assert echoes(s.client, port)
        # Begun by B's side the port is the client's, of which "web" does not speak.
        with by(s, "net"):
            assert traffic.tcp_echo(s.server, at.CLIENT[4], data, 80) == data
        for ns, to in ((s.client, at.SERVER[4]), (s.server, at.CLIENT[4])):
            with by(s, "pings"):
                assert traffic.ping(ns, to, PACKETS).lost == 0


def test_type_and_code():
    """Port unreachable has a child of its own; another code of the same type is the whole networks'."""
    with several() as s:
        s.server.run("nft", "-f", "-", stdin=REFUSAL)
        with by(s, "net", "unreachable"):
            send(s.client, at.SERVER[4], OTHER)
        with by(s, "net"):
            send(s.client, at.SERVER[4], REFUSED)


def send(ns, address, port, source=0):
    with ns.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", source))
        for _ in range(PACKETS):
            with suppress(ConnectionRefusedError):
                sock.sendto(MARKER, (address, port))


def test_clear_and_dropped():
    """In both directions: B's policies are the mirror of A's. What is dropped is dropped before the clear networks are asked for."""
    with several() as s:
        s.client.ip(f"addr add {CLEAR_CLIENT}/16 dev eth0")
        s.server.ip(f"addr add {CLEAR_SERVER}/16 dev eth0")
        wire = s.site.capture("a0", filter="udp or icmp")
        with by(s):
            for ns, source, to in ((s.client, CLEAR_CLIENT, CLEAR_SERVER), (s.server, CLEAR_SERVER, CLEAR_CLIENT)):
                said = ns.run("ping", "-n", "-c", str(PACKETS), "-i", "0.05", "-W", "2", "-I", source, to, check=False).stdout
                assert f"{PACKETS} received" in said, said
            for end, send_some in ((s.a, lambda: send(s.client, CLEAR_SERVER, DROPPED)),
                                   (s.b, lambda: send(s.server, at.CLIENT[4], OTHER, source=DROPPED))):
                before = end.drops("POLICY_DROP")
                send_some()
                wait_until("what is not to pass is counted", lambda: end.drops("POLICY_DROP") == before + PACKETS)
        frames = [bytes(frame) for _, frame in wire.stop().frames()]
        assert sum(frame[23] == ICMP for frame in frames) == 4 * PACKETS
        assert not any(MARKER in frame for frame in frames)
