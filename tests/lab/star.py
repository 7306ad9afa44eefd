# SPDX-License-Identifier: Apache-2.0
"""
Star: a hub and what leans on it; and OneArmed: a gateway whose two sides are one interface.

    client K            spoke K              net               hub            server
    10.1.K.2 ─── 10.1.K.1 │ 192.168.K.2 ─── .1 │ .1 ─── 198.51.100.2 │ 10.2.0.1 ─── 10.2.0.2
    fd01:K::2    fd01:K::1  2001:db8:K::2   ::1  ::1    2001:db8:b::2  fd02::1      fd02::2

A single (a remote client) has one inner address of its own, 10.9.0.K and fd09::K, and no network behind it. The net knows
ways to all inner networks, so that plaintext that escapes arrives, and is seen.
"""

from .capture import Capture
from .gateway import Gateway
from .shell import wait_until
from .tunnel import Tunnel

SERVER = {4: "10.2.0.2", 6: "fd02::2"}
HUB_LAN = {4: "10.2.0.1", 6: "fd02::1"}
HUB = {4: "198.51.100.2", 6: "2001:db8:b::2"}
HUB_NET = {4: "10.2.0.0/16", 6: "fd02::/64"}
LENGTH = {"lan": {4: 24, 6: 64}, "wan": {4: 24, 6: 64}}


def spoke_wan(k):
    return {4: f"192.168.{k}.2", 6: f"2001:db8:{k}::2"}


def spoke_net(k):
    return {4: f"10.1.{k}.0/24", 6: f"fd01:{k}::/64"}


def client(k):
    return {4: f"10.1.{k}.2", 6: f"fd01:{k}::2"}


def single(k):
    return {4: f"10.9.0.{k}", 6: f"fd09::{k}"}


def single_net(k):
    return {4: f"10.9.0.{k}/32", 6: f"fd09::{k}/128"}


def _with(table, kind, host=None):
    """Addresses with their prefix lengths; `host`: another last part."""
    texts = table if host is None else {v: a[:a.rindex("." if v == 4 else ":") + 1] + str(host) for v, a in table.items()}
    return [f"{a}/{LENGTH[kind][v]}" for v, a in texts.items()]


def _default(ns, table):
    ns.ip(*(f"route add default via {a[:a.rindex('.' if v == 4 else ':') + 1]}1" for v, a in table.items()))


class Star:
    """
    `spokes` gateways 1.. with a client each, then `singles`; started by start(), all tunnels up. Without `hub_net` the
    hub's own network is in no tunnel.
    """

    def __init__(self, lab, spokes=2, singles=0, hub_net=True):
        self.lab = lab
        self.hub_nets = list(HUB_NET.values()) if hub_net else []
        self.net = lab.namespace("net")
        self.server = lab.namespace("server")
        self.hub_ns = lab.namespace("hub")
        lab.link((self.hub_ns, "wan0", _with(HUB, "wan")), (self.net, "hub0", _with(HUB, "wan", 1)))
        lab.link((self.hub_ns, "lan0", _with(HUB_LAN, "lan")), (self.server, "eth0", _with(SERVER, "lan")))
        _default(self.hub_ns, HUB)
        _default(self.server, HUB_LAN)
        self.net.ip(*(f"route add {HUB_NET[v]} via {HUB[v]}" for v in (4, 6)))
        self.kinds = {k: k <= spokes for k in range(1, spokes + singles + 1)}  # number: is a spoke, not a single
        self.clients, self.namespaces = {}, {}
        for k, spoke in self.kinds.items():
            self._place(k, spoke)
        self.hub = Gateway(self.hub_ns, [self._tunnel(k, True) for k in self.kinds])
        self.ends = {k: Gateway(self.namespaces[k], self._tunnel(k, False),
                                interfaces=("lan0", "wan0") if spoke else ("wan0",)) for k, spoke in self.kinds.items()}

    def _place(self, k, spoke):
        ns = self.namespaces[k] = self.lab.namespace(f"s{k}")
        self.lab.link((ns, "wan0", _with(spoke_wan(k), "wan")), (self.net, f"s{k}", _with(spoke_wan(k), "wan", 1)))
        _default(ns, spoke_wan(k))
        self.net.ip(*(f"route add {self.network(k)[v]} via {spoke_wan(k)[v]}" for v in (4, 6)))
        if not spoke:
            ns.ip(*(f"addr add {a} dev lo" for a in single_net(k).values()))
            self.clients[k] = ns
            return
        self.clients[k] = self.lab.namespace(f"c{k}")
        lan = {v: a[:-1] + "1" for v, a in client(k).items()}
        self.lab.link((ns, "lan0", _with(lan, "lan")), (self.clients[k], "eth0", _with(client(k), "lan")))
        _default(self.clients[k], client(k))

    def network(self, k):
        return spoke_net(k) if self.kinds[k] else single_net(k)

    def address(self, k, version):
        """The inner address of client or single `k`."""
        return (client(k) if self.kinds[k] else single(k))[version]

    def _tunnel(self, k, hub):
        """Between the hub with all that lies behind it, the others included, and number `k`."""
        far = self.hub_nets + [self.network(o)[v] for o in self.kinds if o != k for v in (4, 6)]
        near = [self.network(k)[v] for v in (4, 6)]
        mine = Tunnel(spoke_wan(k)[4], HUB[4], f"s{k}.lab.test", "hub.lab.test", near, far, name=f"s{k}")
        return mine if not hub else mine.but(local=mine.remote, remote=mine.local, local_id=mine.remote_id,
                                             remote_id=mine.local_id, local_ts=far, remote_ts=near)

    def start(self):
        self.hub.start()
        for k, end in self.ends.items():
            end.start()
            end.up()
            wait_until("the hub has the tunnel", lambda k=k: self.hub.is_up(f"s{k}"))

    def capture(self, interface):
        """What passes the net on its link to "hub0" or "s1" ...; any inner address in it is a leak."""
        inner = [n for k in self.kinds for n in self.network(k).values()] + list(HUB_NET.values())
        return Capture(self.net, interface, self.lab.dir / f"{interface}.pcap", inner=inner)

    def logs(self):
        return "\n".join(end.logs() for end in (self.hub, *self.ends.values()))
