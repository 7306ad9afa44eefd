# SPDX-License-Identifier: Apache-2.0
"""
Site: the topology of tests, demo and benchmarks. Both address families stand everywhere, side by side.

    client            gateway A                router                  gateway B           server
    10.1.0.2 ─── 10.1.0.1 │ 192.168.7.2 ─── 192.168.7.1 │ 198.51.100.1 ─── 198.51.100.2 │ 10.2.0.1 ─── 10.2.0.2
    fd01::2      fd01::1  │ 2001:db8:7::2   2001:db8:7::1 │ 2001:db8:b::1  2001:db8:b::2 │ fd02::1     fd02::2
    eth0         lan0       wan0            a0              b0             wan0            lan0         eth0

With NAT the router translates IPv4 that leaves by b0. It knows ways to the inner networks, so that plaintext that
escapes from a gateway arrives, and is seen.
"""

from .capture import Capture
from .shell import BUILD, run, wait_until

INNER_A4, INNER_B4 = "10.1.0.0/16", "10.2.0.0/16"
INNER_A6, INNER_B6 = "fd01::/64", "fd02::/64"
INNER = (INNER_A4, INNER_B4, INNER_A6, INNER_B6)
CLIENT = {4: "10.1.0.2", 6: "fd01::2"}
SERVER = {4: "10.2.0.2", 6: "fd02::2"}
LAN_A = {4: "10.1.0.1", 6: "fd01::1"}
LAN_B = {4: "10.2.0.1", 6: "fd02::1"}
WAN_A = {4: "192.168.7.2", 6: "2001:db8:7::2"}
WAN_B = {4: "198.51.100.2", 6: "2001:db8:b::2"}
ROUTER_A = {4: "192.168.7.1", 6: "2001:db8:7::1"}
ROUTER_B = {4: "198.51.100.1", 6: "2001:db8:b::1"}
LENGTH = {"lan": {4: 16, 6: 64}, "wan": {4: 24, 6: 64}}

NAT_RULES = f"""\
table ip lab {{
    chain out {{
        type nat hook postrouting priority 100
        ip saddr {WAN_A[4]} oifname "b0" masquerade
    }}
}}
"""

PICTURE = """\
   client            gateway A                    internet                    gateway B            server
  ┌────────┐     ┌─────────────────┐     ┌───────────────────────┐     ┌──────────────────┐     ┌────────┐
  │        │     │ {a:^15} │     │{nat:^23}│     │ {b:^16} │     │        │
  │10.1.0.2├─────┤.1    192.168.7.2├─────┤.1         198.51.100.1├─────┤.2             .1├─────┤10.2.0.2│
  └────────┘     └────────╥────────┘     └───────────────────────┘     └────────╥─────────┘     └────────┘
                          ╚══════════{tunnel:═^33}══════════╝"""


def _addresses(kind, table):
    return [f"{address}/{LENGTH[kind][version]}" for version, address in table.items()]


class Site:
    """
    The namespaces client, a, router, b, server and their links. `nat`: the router translates A's address. `queues`: of
    the gateways' interfaces. `b_is_machine`: B is a machine of its own (Uml) on the far end of the router's link;
    there is no server then, and wan0 of b has no address.
    """

    def __init__(self, lab, nat=True, queues=1, impair=None, b_is_machine=False):
        self.lab = lab
        self.nat = nat
        names = ["client", "a", "router", "b"] + ([] if b_is_machine else ["server"])
        self.client, self.a, self.router, self.b = (lab.namespace(n) for n in names[:4])
        lab.link((self.client, "eth0", _addresses("lan", CLIENT)), (self.a, "lan0", _addresses("lan", LAN_A)), queues)
        near = (self.a, "wan0", _addresses("wan", WAN_A))
        far = (self.router, "a0", _addresses("wan", ROUTER_A))
        if impair is None:
            lab.link(near, far, queues)
        else:
            self._impaired(near, far, queues, impair)
        lab.link((self.router, "b0", _addresses("wan", ROUTER_B)),
                 (self.b, "wan0", [] if b_is_machine else _addresses("wan", WAN_B)), queues, offload=not b_is_machine)
        self._route(self.client, LAN_A)
        self._route(self.a, ROUTER_A)
        if not b_is_machine:
            self.server = lab.namespace("server")
            lab.link((self.b, "lan0", _addresses("lan", LAN_B)), (self.server, "eth0", _addresses("lan", SERVER)),
                     queues)
            self._route(self.server, LAN_B)
            self._route(self.b, ROUTER_B)
        self._router()

    def _impaired(self, near, far, queues, options):
        wire = self.lab.namespace("wire")
        wire.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
        self.lab.link(near, (wire, "w0", []), queues)
        self.lab.link((wire, "w1", []), far)
        self.impair = wire.spawn(BUILD / "tests/lab/impair", *options, "w0", "w1", log=self.lab.dir / "impair.log")
        wait_until("impair forwards", lambda: "ready" in self.impair.text())

    @staticmethod
    def _route(ns, gateway):
        ns.ip(*(f"route add default via {address}" for address in gateway.values()))

    def _router(self):
        self.router.ip(f"route add {INNER_A4} via {WAN_A[4]}", f"route add {INNER_B4} via {WAN_B[4]}",
                       f"route add {INNER_A6} via {WAN_A[6]}", f"route add {INNER_B6} via {WAN_B[6]}")
        if self.nat:
            self.router.run("nft", "-f", "-", stdin=NAT_RULES)

    def outer_a(self, version=4):
        """The address under which B sees A."""
        return ROUTER_B[4] if self.nat and version == 4 else WAN_A[version]

    def capture(self, end="b0", **options):
        """Capture on the router's link to B ("b0": the internet) or to A ("a0")."""
        return Capture(self.router, end, self.lab.dir / f"{end}.{len(self.lab.processes)}.pcap", inner=INNER, **options)

    def warm(self):
        """Resolve the neighbours of all links, so that the first packet of a test waits for nobody."""
        pairs = [(self.client, LAN_A), (self.a, ROUTER_A)]
        pairs += [(self.server, LAN_B), (self.b, ROUTER_B)] if hasattr(self, "server") else []
        for ns, address in ((ns, table[version]) for ns, table in pairs for version in (4, 6)):
            run(ns.argv(["ping", "-q", "-c", "1", "-W", "2", address]), check=False)

    def picture(self, a, b, tunnel):
        """The drawing of the demo: `a` and `b` name the programs, `tunnel` the protocol."""
        return PICTURE.format(a=a, b=b, nat="NAT" if self.nat else "", tunnel=f" {tunnel} ")
