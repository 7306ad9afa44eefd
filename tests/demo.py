#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
The main job with real traffic: client - gateway A - internet (NAT on A's side) - gateway B - server. Two gateways
negotiate by IKEv2, hosts behind them talk, and a capture on the internet link is judged. Exit code 0: all of it worked.
"""

import argparse
import sys
import time

from lab import capture, need, topology as at, traffic
from lab.charon import Charon, NamespaceHost
from lab.gateway import Gateway
from lab.net import STATE, Lab, labs, remove
from lab.shell import Failed, wait_until
from lab.topology import Site
from lab.tunnel import pair

TCP_SECONDS = 4
PINGS = 400
PINGS_PER_SECOND = 1500  # all sizes together: what two cores carry with room to spare


def main():
    options = arguments()
    if options.stop:
        return stop()
    needs = need.GATEWAY + (need.CHARON if "strongswan" in (options.peer, options.near) else ())
    if options.near == "strongswan" == options.peer:
        needs = need.CHARON
    lacking = need.missing(*needs, "iperf3")
    if lacking:
        print(f"demo: {lacking}", file=sys.stderr)
        return 1
    demo = None
    try:
        with Lab("demo") as lab:
            demo = Demo(lab, options)
            demo.show()
            lab.keep = options.keep
        if options.keep:
            tell_kept(demo)
        return 0 if demo.good else 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted; everything was removed", file=sys.stderr)
        return 130
    except Failed as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.strip().split(". ")[0])
    parser.add_argument("--peer", choices=("espalier", "strongswan"), default="espalier", help="what gateway B runs")
    parser.add_argument("--near", choices=("espalier", "strongswan"), default="espalier", help="what gateway A runs")
    parser.add_argument("--pings", type=int, default=PINGS, metavar="N", help="pings of mixed sizes around the rekeys")
    parser.add_argument("--keep", action="store_true", help="leave it running")
    parser.add_argument("--stop", action="store_true", help="remove what --keep left")
    return parser.parse_args()


class Demo:
    def __init__(self, lab, options):
        self.lab = lab
        self.options = options
        self.site = Site(lab, nat=True)
        a, b = pair(self.site)
        self.a = self._end(options.near, self.site.a, a)
        self.b = self._end(options.peer, self.site.b, b)
        self.good = True

    @staticmethod
    def _end(program, ns, tunnel):
        return Gateway(ns, tunnel) if program == "espalier" else Charon(NamespaceHost(ns), tunnel)

    def check(self, good, text):
        self.good = self.good and bool(good)
        print(f"  {'ok  ' if good else 'FAIL'}  {text}", flush=True)

    def show(self):
        print(self.site.picture(self.a.kind, self.b.kind, "ESP in UDP 4500"), flush=True)
        title("Tunnel")
        self.start()
        watch = [self.site.capture(end, filter=capture.LEAKS_ONLY) for end in ("a0", "b0")]
        wire = [self.site.capture(end) for end in ("a0", "b0")]
        self.negotiate()
        self.pings()
        self.marker()
        self.wire = [c.stop() for c in wire]
        self.throughput()
        self.reports()
        self.verdict(watch)

    def start(self):
        for end in (self.b, self.a):
            end.start()
        self.site.warm()

    def negotiate(self):
        begin = time.monotonic()
        self.a.up()
        wait_until("gateway B has the tunnel", self.b.is_up)
        self.check(True, f"A and B negotiated by IKEv2 in {1000 * (time.monotonic() - begin):.0f} ms")
        first = traffic.ping(self.site.client, at.SERVER[4], 1)
        self.check(first.received, f"client reaches server: {first}")

    def pings(self):
        seconds = max(3.0, self.options.pings / PINGS_PER_SECOND)
        pinger = traffic.Pinger(self.site.client, at.SERVER[4], self.options.pings, seconds)
        for what in ("child", "ike"):
            time.sleep(seconds / 3)
            during = pinger.running()
            self.a.rekey(what)
            self.check(during, f"{'CHILD' if what == 'child' else 'IKE'} SA rekeyed under traffic")
        sizes = pinger.by_size()
        total = sum(sizes.values(), traffic.Pings())
        text = ", ".join(f"{size}: {p.lost} lost" for size, p in sizes.items() if p.lost or p.errors)
        self.check(total.lost == 0 and not total.errors,
                   f"{total}, sizes {min(sizes)} to {max(sizes)} bytes{'; ' + text if text else ''}")

    def marker(self):
        data = capture.MARKER * 4096
        with traffic.Echo(self.site.server, at.SERVER[4]):
            self.check(traffic.tcp_echo(self.site.client, at.SERVER[4], data) == data,
                       f"TCP: {len(data)} bytes of the marker there and back")
            self.check(traffic.udp_echo(self.site.client, at.SERVER[4], capture.MARKER * 20) == capture.MARKER * 20,
                       "UDP: a datagram of the marker there and back")

    def throughput(self):
        title("Throughput")
        up = traffic.iperf3(self.site.server, self.site.client, at.SERVER[4], TCP_SECONDS)
        down = traffic.iperf3(self.site.server, self.site.client, at.SERVER[4], TCP_SECONDS, extra=("-R",))
        for text, end in (("client to server", up), ("server to client", down)):
            self.check(traffic.tcp_bits(end) > 0, f"TCP {text}: {traffic.tcp_bits(end) / 1e9:.2f} Gbit/s")

    def reports(self):
        for letter, end in (("A", self.a), ("B", self.b)):
            title(f"Gateway {letter}: {'espalier status' if end.kind == 'espalier' else 'swanctl --list-sas'}")
            print(end.report())
        title("ESP counters")
        for letter, end in (("A", self.a), ("B", self.b)):
            n = end.traffic()
            self.check(n["rx_packets"] and n["tx_packets"],
                       f"{letter} ({end.kind}): opened {n['rx_packets']} packets, {n['rx_bytes']} bytes; "
                       f"sealed {n['tx_packets']} packets, {n['tx_bytes']} bytes")

    def verdict(self, watch):
        title("Verdict of the captures")
        for link, seen in (("A to router", self.wire[0]), ("internet", self.wire[1])):
            verdict = seen.verdict()
            esp = verdict.counts["ESP"] + verdict.counts["ESP-in-UDP"]
            self.check(verdict.clean and esp, f"{link}: {verdict}")
        leaks = [text for seen in watch for text in seen.verdict().leaks]
        self.check(not leaks, "nothing but IKE and ESP on either link for the whole run" +
                   (f"; first leak: {leaks[0]}" if leaks else ""))
        print("\nPASSED: only ciphertext between the gateways, every ping answered" if self.good else
              "\nFAILED: see the lines above")


def title(text):
    print(f"\n{text}")


def tell_kept(demo):
    print("\nIt goes on running. To enter:")
    for ns in demo.lab.namespaces.values():
        print(f"  ip netns exec {ns.name} bash")
    for letter, end in (("A", demo.a), ("B", demo.b)):
        if end.kind == "espalier":
            print(f"  {letter}: build/release/espalier --socket {end.api} status")
        else:
            print(f"  {letter}: swanctl --list-sas --uri unix://{end.vici}")
    print("To stop: tests/demo.py --stop")


def stop():
    """Remove every kept run."""
    for lab_id in labs():
        if (STATE / lab_id / "keep").exists():
            remove(lab_id)
            print(f"demo: removed {lab_id}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
