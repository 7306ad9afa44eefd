# SPDX-License-Identifier: Apache-2.0
"""
memory: what a tunnel costs. TUNNELS tunnels are negotiated between two gateways, and the memory of the answering one is
taken before and after: the proportional set size of its processes, and the memory of its pinned maps, which is that of
all slots from the start. The baseline is strongSwan's charon with the same tunnels.
"""

import json
import os
import re
from contextlib import contextmanager
from pathlib import Path

from lab import need
from lab.charon import Charon, NamespaceHost
from lab.gateway import Gateway
from lab.net import Lab
from lab.shell import Failed, run as command, wait_until
from lab.topology import Site
from lab.tunnel import pair
from row import row

TUNNELS = int(os.environ.get("BENCH_TUNNELS", 100))
UP_SECONDS = 120
BASELINE = "strongSwan charon"
KIB = 1024


def hosts(i, side):
    """The one address that tunnel `i` protects on a side. strongSwan wants it to be an address of the gateway itself."""
    return f"10.{101 if side == 'a' else 102}.{i // 250}.{i % 250 + 1}/32"


def many(tunnel, side):
    """TUNNELS tunnels like `tunnel`, each with identities and single addresses of its own."""
    other = "b" if side == "a" else "a"
    return [tunnel.but(name=f"t{i}", local_id=f"{side}{i}.lab.test", remote_id=f"{other}{i}.lab.test",
                       local_ts=[hosts(i, side)], remote_ts=[hosts(i, other)]) for i in range(TUNNELS)]


def pss(pids):
    """Proportional set size in bytes: shared pages count once."""
    total = 0
    for pid in pids:
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
        total += int(found[1]) * KIB
    return total


def processes(ns, *names):
    pids = command(["ip", "netns", "pids", ns.name]).stdout.split()
    return [pid for pid in pids if Path(f"/proc/{pid}/exe").resolve().name in names]


@contextmanager
def gateways(kind):
    with Lab() as lab:
        site = Site(lab, nat=False)
        for ns, side in ((site.a, "a"), (site.b, "b")):
            ns.ip(*(f"addr add {hosts(i, side)} dev lo" for i in range(TUNNELS)))
        a, b = pair(site, encap=True)
        ends = [kind(site.b, many(b, "b")), kind(site.a, many(a, "a"))]
        for end in ends:
            end.start()
        site.warm()
        yield site, *ends


def espalier():
    """(bytes of the processes per tunnel, {process: bytes without tunnels}, Gateway's map sizes)."""
    with gateways(Gateway) as (site, b, a):
        def taken():
            return {name: pss(processes(site.b, name)) for name in ("espalier-agent", "espalier-ike")}
        idle = taken()
        for tunnel in a.tunnels:
            a.command("up", tunnel.name, "--timeout", "0")
        wait_until(f"{TUNNELS} tunnels", lambda: len(b.sas()) == 2 * TUNNELS, UP_SECONDS, 0.5)
        full = taken()
        return {name: (full[name] - idle[name]) / TUNNELS for name in idle}, idle, maps(b)


def maps(gateway):
    """{map: (bytes, slots)} of the pinned maps."""
    found = {}
    for pin in gateway.pins.iterdir():
        done = command(["bpftool", "-j", "map", "show", "pinned", pin], check=False)
        shown = json.loads(done.stdout or "{}") if done.returncode == 0 else {}
        if "max_entries" in shown:
            found[pin.name] = (int(shown["bytes_memlock"]), int(shown["max_entries"]))
    return found


def charon():
    """(bytes per tunnel, bytes without tunnels)."""
    with gateways(lambda ns, tunnels: Charon(NamespaceHost(ns), tunnels)) as (site, b, a):
        idle = pss(processes(site.b, "charon-systemd"))
        for tunnel in a.tunnels:
            a.up(tunnel.name)
        wait_until(f"{TUNNELS} tunnels", lambda: len(b.children()) == TUNNELS, UP_SECONDS, 0.5)
        return (pss(processes(site.b, "charon-systemd")) - idle) / TUNNELS, idle


def run():
    lacking = need.missing(*need.GATEWAY, *need.CHARON, "bpftool")
    if lacking:
        raise Failed(lacking)
    theirs, their_idle = charon()
    ours, idle, sizes = espalier()
    rows = [row("memory", f"established tunnel (of {TUNNELS}), {BASELINE}", theirs / KIB, "KiB"),
            row("memory", f"established tunnel (of {TUNNELS}), Espalier's processes", sum(ours.values()) / KIB, "KiB",
                BASELINE, theirs / KIB),
            row("memory", f"no tunnel up, {BASELINE}", their_idle / KIB, "KiB")]
    rows += [row("memory", f"no tunnel up, {name}", size / KIB, "KiB", BASELINE, their_idle / KIB)
             for name, size in idle.items()]
    per_slot = sum(sizes[name][0] / sizes[name][1] for name in ("sa", "sa_run", "spi_in") if name in sizes)
    rows.append(row("memory", "SA, all its maps", per_slot, "bytes"))
    rows.append(row("memory", "all maps", sum(size for size, _ in sizes.values()) / KIB, "KiB"))
    return rows
