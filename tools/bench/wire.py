# SPDX-License-Identifier: Apache-2.0
"""
wire: the demo's topology end to end, NAT included: iperf3 TCP and small UDP datagrams, for no VPN at all, strongSwan
kernel-libipsec and Espalier at both ends. All three stand side by side, each in its own namespaces; the runs alternate.

Before them stand the rows of packets.py: packets of 64 bytes through one gateway, against plain AF_XDP forwarding.

No VPN runs without segmentation offload: packets are at most as large as the MTU, as they are for the others.
"""

import os
from contextlib import ExitStack, contextmanager
from statistics import median

from lab import need, topology as at, traffic
from lab.net import Lab, offload_off
from lab.scene import charon, scene
from lab.shell import Failed
from lab.topology import Site
from row import row

import packets

RUNS = 3
SECONDS = 4
WARM = 1
SMALL = 64  # bytes of UDP payload
SUITE = {"ike": "aes256gcm16-prfsha384-x25519", "esp": "aes256gcm16"}
BASELINE = "strongSwan kernel-libipsec"
SUBJECTS = ("no VPN", BASELINE, "Espalier")


@contextmanager
def no_vpn():
    with Lab() as lab:
        site = Site(lab, nat=False)
        for ns, names in ((site.client, ["eth0"]), (site.a, ["lan0", "wan0"]), (site.router, ["a0", "b0"]),
                          (site.b, ["lan0", "wan0"]), (site.server, ["eth0"])):
            for name in names:
                offload_off(ns, name)
        site.warm()
        yield site


@contextmanager
def ends(**options):
    with scene(**SUITE, **options) as s:
        yield s.site


def subjects():
    return {"no VPN": no_vpn, BASELINE: lambda: ends(near=charon, far=charon), "Espalier": ends}


def tcp(site):
    return traffic.tcp_bits(traffic.iperf3(site.server, site.client, at.SERVER[4], SECONDS, WARM)) / 1e9


def udp(site):
    """Thousands of small datagrams a second that arrive when more are sent than any subject carries."""
    end = traffic.iperf3(site.server, site.client, at.SERVER[4], SECONDS, extra=("-u", "-b", "0", "-l", str(SMALL)))
    return traffic.udp_packets(end)[0] / 1e3


CASES = {"TCP": (tcp, "Gbit/s"), f"UDP {SMALL} B": (udp, "kpps")}


def measure(runs=RUNS):
    """{(subject, case): [values]}, in alternation."""
    values = {(subject, case): [] for subject in SUBJECTS for case in CASES}
    with ExitStack() as stack:
        sites = {name: stack.enter_context(make()) for name, make in subjects().items()}
        for _ in range(runs):
            for subject, site in sites.items():
                for case, (function, _unit) in CASES.items():
                    values[subject, case].append(function(site))
    return values


def run():
    lacking = need.missing(*need.GATEWAY, *need.CHARON, "iperf3")
    if lacking:
        raise Failed(lacking)
    packets.favour("self")
    rows = packets.run()
    values = measure(int(os.environ.get("BENCH_RUNS", RUNS)))
    for case, (_function, unit) in CASES.items():
        middle = {subject: median(values[subject, case]) for subject in SUBJECTS}
        rows.append(row("wire", f"{case}, no VPN", middle["no VPN"], unit))
        rows.append(row("wire", f"{case}, {BASELINE}", middle[BASELINE], unit, "no VPN", middle["no VPN"]))
        for baseline in ("no VPN", BASELINE):
            rows.append(row("wire", f"{case}, Espalier", middle["Espalier"], unit, baseline, middle[baseline]))
    return rows
