# SPDX-License-Identifier: Apache-2.0
"""
The fault script: one tunnel under load, and everything around it breaks in turn. It carries on each time; what was on the
wires is searched for plaintext, and for a sequence number or an IV (the nonce of AES-GCM, as one key has one salt) that was
used twice.
"""

import time
from collections import defaultdict

import pytest

from lab import flow, need, topology as at
from lab.gateway import Gateway
from lab.scene import scene
from lab.shell import wait_until

pytestmark = pytest.mark.needs(*need.GATEWAY)

KILLS = 20
LOAD_SECONDS = 300  # more than the faults take; it is ended with them
LOAD_SIZES = (200, 1300)
LOAD_RATE = 2500  # a second and size, and as many answers
LOAD_WAY = {"flows": 8, "window": 1024}  # more than a fault loses before a number is given up
BETWEEN = 2000  # packets that A sends between two faults
ANSWERED_MIN = (KILLS + 5) * BETWEEN
SECOND = {"a": "192.168.8.2", "router": "192.168.8.1"}
NEW_MAC = "02:00:5e:00:53:77"
# Ports of the translator's own choice, so that another set of them is another mapping.
NAT = """\
table ip lab
delete table ip lab
table ip lab {{
    chain out {{
        type nat hook postrouting priority 100
        ip saddr {address} oifname "b0" udp sport {{ 500, 4500 }} masquerade to :{first}-{last}
        ip saddr {address} oifname "b0" masquerade
    }}
}}
"""


class Faults:
    """
    The steps. Each is one fault; `carries_on` bounds how long the tunnel may need after it, and lets the load come back before
    the next one.
    """

    def __init__(self, s):
        self.s = s
        self.a, self.router = s.site.a, s.site.router

    def carries_on(self, what, seconds=15):
        start = time.monotonic()
        wait_until(f"the tunnel carries on after {what}", lambda: self.s.ping(1, wait=1).received, seconds)
        print(f"{what}: {time.monotonic() - start:.2f} s")
        sent = self.s.a.traffic()["tx_packets"]
        wait_until("the load goes on", lambda: self.s.a.traffic()["tx_packets"] >= sent + BETWEEN, 30)

    def second_path(self):
        """Another link between A and the router; the router answers by the first one whatever comes: asymmetric."""
        self.a.ip(f"link add wan1 type veth peer name a1 netns {self.router.name}", "link set wan1 up",
                  f"addr add {SECOND['a']}/24 dev wan1")
        self.router.ip("link set a1 up", f"addr add {SECOND['router']}/24 dev a1")

    def agent_dies(self):
        for i in range(KILLS):
            self.s.a.kill_agent()
            self.s.a.start_agent()
            self.carries_on(f"kill {i + 1}")

    def interface_goes(self):
        self.a.ip("link set wan0 down")
        assert self.s.ping(2, wait=1).received == 0
        self.a.ip("link set wan0 up", f"route replace default via {at.ROUTER_A[4]}")
        self.carries_on("interface down and up")

    def neighbour_changes(self):
        self.router.sysctl("net.ipv4.conf.a0.arp_notify", 1)
        self.router.ip(f"link set a0 address {NEW_MAC}")
        self.carries_on("the neighbour's new link address")

    def route_changes(self):
        before = self.router.counters("a1")["rx_packets"]
        self.a.ip(f"route replace default via {SECOND['router']}")
        self.carries_on("route to the second path")
        assert self.s.ping(20, interval=0.01).lost == 0
        assert self.router.counters("a1")["rx_packets"] - before >= 20, "the second path carries nothing"
        self.a.ip(f"route replace default via {at.ROUTER_A[4]}")
        self.carries_on("route back")

    def translate(self, first, last):
        self.router.run("nft", "-f", "-", stdin=NAT.format(address=at.WAN_A[4], first=first, last=last))

    def mapping_changes(self):
        """The router forgets A's port and gives it another; B follows the authenticated packets."""
        before = self.s.b.status()["remote"]
        self.translate(30000, 30999)
        # Masquerading forgets what it translated to an address that goes. The link stays up, and the capture on it goes on.
        self.router.ip(f"addr del {at.ROUTER_B[4]}/24 dev b0", f"addr add {at.ROUTER_B[4]}/24 dev b0",
                       f"route replace {at.INNER_B4} via {at.WAN_B[4]}")
        self.carries_on("the peer's new port")
        wait_until("the peer's port is another", lambda: self.s.b.status()["remote"] != before)


def judge(*captures, at_least):
    """
    On the wires of one side, of which a packet takes one: nothing in clear, nothing missed, and under no SPI a sequence number
    or an IV twice.
    """
    numbers, ivs = defaultdict(list), defaultdict(list)
    carried = 0
    for capture in captures:
        verdict = capture.verdict()
        assert verdict.clean, str(verdict)
        carried += verdict.counts["ESP-in-UDP"]
        for packet in capture.packets():
            if packet.kind == "ESP-in-UDP":
                numbers[packet.destination, packet.spi].append(packet.sequence)
                ivs[packet.destination, packet.spi].append(packet.iv)
    assert carried >= at_least, f"the captures hold {carried} packets only"
    for what, seen in (("sequence numbers", numbers), ("IVs", ivs)):
        for (destination, spi), values in seen.items():
            assert len(values) == len(set(values)), f"{what} repeat in {spi:#x} to {destination}"
    return carried


def test_faults():
    """20 kills, a lost interface, another neighbour, another route, another port of the translator."""
    with scene(start=False, near=lambda ns, t: Gateway(ns, t, interfaces=("lan0", "wan0", "wan1"))) as s:
        faults = Faults(s)
        faults.second_path()
        faults.translate(20000, 20999)
        s.start()
        spis = s.a.spis()
        near, second, far = (s.site.capture(end) for end in ("a0", "a1", "b0"))
        with flow.echo(s.server, at.SERVER[4]):
            loads = [flow.load(s.client, at.SERVER[4], LOAD_SECONDS, size=size, rate=LOAD_RATE, **LOAD_WAY)
                     for size in LOAD_SIZES]
            faults.agent_dies()
            faults.interface_goes()
            faults.neighbour_changes()
            faults.route_changes()
            faults.mapping_changes()
            assert all(load.running() for load in loads), "the load was over before the faults were"
            assert s.ping(50, interval=0.01).lost == 0
            done = [load.end() for load in loads]
        print(*done, sep="\n")
        # What was on the way at a fault is lost; all else was answered.
        assert all(0 < load["answered"] < load["sent"] and not load["duplicates"] for load in done), done
        assert s.a.spis() == spis, "the tunnel was made anew"
        assert s.b.rekeys() == (0, 0)
        answered = sum(load["answered"] for load in done)
        assert answered > ANSWERED_MIN, "that was no load"
        # Each datagram and its answer passed both sides.
        print("A's side, B's side:", judge(near, second, at_least=2 * answered), judge(far, at_least=2 * answered))
