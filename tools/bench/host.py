# SPDX-License-Identifier: Apache-2.0
"""
host: TCP of the gateways' own addresses, through ipsec0 at both ends, against what passes the same gateways on its way
from client to server, and against strongSwan kernel-libipsec, whose host path is a TUN device too. The runs alternate.
"""

import os
from contextlib import ExitStack
from statistics import median

from lab import need, topology as at, traffic
from lab.scene import charon
from lab.shell import Failed
from row import row
from packets import favour
from wire import BASELINE, RUNS, SECONDS, WARM, ends

PASSING = "Espalier, client to server"
HOST = "Espalier, gateway to gateway"


def passing(site):
    return traffic.tcp_bits(traffic.iperf3(site.server, site.client, at.SERVER[4], SECONDS, WARM)) / 1e9


def own(site):
    bound = ("-B", at.LAN_A[4])
    return traffic.tcp_bits(traffic.iperf3(site.b, site.a, at.LAN_B[4], SECONDS, WARM, extra=bound)) / 1e9


def measure(runs):
    values = {}
    with ExitStack() as stack:
        ours = stack.enter_context(ends(nat=False))
        theirs = stack.enter_context(ends(near=charon, far=charon))
        for _ in range(runs):
            for name, function, site in ((PASSING, passing, ours), (HOST, own, ours), (BASELINE, own, theirs)):
                values.setdefault(name, []).append(function(site))
    return {name: median(found) for name, found in values.items()}


def run():
    lacking = need.missing(*need.GATEWAY, *need.CHARON, "iperf3")
    if lacking:
        raise Failed(lacking)
    favour("self")
    found = measure(int(os.environ.get("BENCH_RUNS", RUNS)))
    rows = [row("host", f"TCP, {name}", found[name], "Gbit/s") for name in (PASSING, BASELINE)]
    return rows + [row("host", f"TCP, {HOST}", found[HOST], "Gbit/s", name, found[name]) for name in (PASSING, BASELINE)]
