# SPDX-License-Identifier: Apache-2.0
"""
packets: IP packets of 64 bytes through one gateway with one worker and one SA, AES-256-GCM, counted where they arrive.

    load: out0 ═══ gateway: lan0   wan0 ═══ load: in0        (wire/load.c sends, counts and takes times)

`xsk` is wire/forward.c: the same frames by the same port code, without a cipher: the limit of what AF_XDP carries here.
Every subject stands in namespaces of its own, the runs alternate, and those that do not run are stopped. The worker has
one CPU for itself, on which AF_XDP's transmission and the far end's reception run too; the load has another one, with
the reception of the gateway's port and the classifier. The live engine, with the far end's reception, has a third one; of
two it shares the worker's, where that work is without it. Both spin then and take short turns.
"""

import ctypes
import json
import os
import signal
import struct
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from lab import need
from lab.gateway import Gateway
from lab.net import Lab
from lab.shell import BUILD, Failed, run as command, wait_until
from row import row

RUNS = 3
SECONDS = 1.0
RATES = (0, 2.5e6, 1.5e6)  # offered packets a second, 0: as many as the sender can
LATENCY_SECONDS = 2.5
PROBES_MIN = 1000
LATENCY_SHARES = (0.1, 0.8)
XSK = "xsk"
ENGINES = ("xsk", "live")
PLAIN_FRAME = 78
ESP_FRAME = 134  # link 14, IPv4 20, ESP 8, IV 8, packet 64, padding and trailer 4, ICV 16
SLICE_NS = 250000
SCHED_ATTR = 48  # its size
SYS_SCHED_SETATTR = 314
LAN, WAN, PEER = "10.1.0.1", "192.0.2.1", "192.0.2.2"
SPI_IN, SPI_OUT = "0x1001", "0x1002"


def cpus():
    """(of the worker, of the load, of the live engine)."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise Failed("at least 2 CPUs are needed: one for the worker, one for the load")
    return allowed[0], allowed[1], allowed[2] if len(allowed) > 2 else allowed[0]


def favour(pid):
    """With autogroups `nice` does nothing between sessions: its session's share of the CPUs is raised, where that is allowed."""
    try:
        Path(f"/proc/{pid}/autogroup").write_text("-20")
    except OSError:
        pass


def slice_short(tid):
    """Short turns on a shared CPU (sched_setattr(2)), as wire/load.c takes them; kernels before 6.12 do not know of it."""
    attributes = struct.pack("IIQiIQQQ", SCHED_ATTR, 0, 0, 0, 0, SLICE_NS, 0, 0)
    ctypes.CDLL(None).syscall(SYS_SCHED_SETATTR, tid, attributes, 0)


class Subject:
    """A gateway between two links of the load's."""

    sink_len = ESP_FRAME

    def __init__(self, name, lab, engine=None):
        self.name = name
        self.load, self.gateway = lab.namespace(f"load-{name}"), lab.namespace(f"gw-{name}")
        lab.link((self.load, "out0", []), (self.gateway, "lan0", [f"{LAN}/16"]))
        lab.link((self.gateway, "wan0", [f"{WAN}/24"]), (self.load, "in0", []))
        self.gateway.ip(f"neigh add {PEER} lladdr {self.load.mac('in0')} dev wan0 nud permanent",
                        f"route add default via {PEER}")
        self.engine = engine
        self.process = None

    def start(self):
        self.end = Gateway(self.gateway, [], agent={"tx_engine": self.engine})
        self.end.start_agent()
        self.process = self.end.agent
        command([BUILD / "tests/lab/sa_put", self.end.pins, f"local={WAN}", f"remote={PEER}", "local_ts=10.1.0.0/16",
                 "remote_ts=10.2.0.0/16", f"spi_in={SPI_IN}", f"spi_out={SPI_OUT}", "suite=aes256gcm16"])
        self.place()

    def pid(self):
        return self.process.pid

    def place(self):
        """Its threads on their CPUs."""
        worker, load, live = cpus()
        for task in Path(f"/proc/{self.pid()}/task").iterdir():
            name = (task / "comm").read_text().strip()
            if name in ("live", "worker/0"):
                slice_short(int(task.name))
            os.sched_setaffinity(int(task.name), {worker if name == "worker/0" else live if name == "live" else load})
        favour(self.pid())

    @contextmanager
    def running(self):
        os.kill(self.pid(), signal.SIGCONT)
        try:
            yield
        finally:
            os.kill(self.pid(), signal.SIGSTOP)

    def stop(self):
        if self.process:
            os.kill(self.pid(), signal.SIGCONT)
            self.process.stop()

    def measure(self, rate, seconds, *probe):
        """What wire/load prints, for so many packets a second."""
        worker, load, live = cpus()
        shared = live if self.engine == "live" and live == worker else -1
        argv = [BUILD / "tools/bench/wire/load", "out0", "in0", load, shared, self.gateway.mac("lan0"), self.sink_len,
                int(rate), seconds, *probe]
        with self.running():
            return json.loads(self.load.run(*map(str, argv), timeout=60).stdout)


class Forward(Subject):
    sink_len = PLAIN_FRAME

    def start(self):
        self.process = self.gateway.spawn(BUILD / "tools/bench/wire/forward", "lan0", "wan0", str(cpus()[0]),
                                          self.load.mac("in0"), log=self.gateway.lab.dir / "forward.log")
        wait_until("wire/forward is ready", self.ready)
        favour(self.pid())

    def ready(self):
        if not self.process.alive():
            raise Failed(f"wire/forward ended\n{self.process.tail()}")
        return "ready" in self.process.text()


@contextmanager
def subjects():
    with Lab() as lab:
        made = [Forward(XSK, lab), *(Subject(f"wire-{engine}", lab, engine) for engine in ENGINES)]
        try:
            for subject in made:
                subject.start()
                os.kill(subject.pid(), signal.SIGSTOP)
            yield made
        finally:
            for subject in made:
                subject.stop()


def plateaus(made, runs):
    """{subject: packets a second that arrive at the offered rate at which most do}, medians."""
    found = {(s.name, rate): [] for s in made for rate in RATES}
    for _ in range(runs):
        for rate in RATES:
            for subject in made:
                seen = subject.measure(rate, SECONDS)
                found[subject.name, rate].append(seen["arrived"] / seen["seconds"])
    return {s.name: max(median(found[s.name, rate]) for rate in RATES) for s in made}


def latencies(made, full):
    """{(subject, share): what wire/load prints} at shares of `full` packets a second."""
    found = {(s.name, share): s.measure(share * full, LATENCY_SECONDS, "probe") for share in LATENCY_SHARES for s in made}
    for (name, share), seen in found.items():
        if seen["probes"] < PROBES_MIN:
            raise Failed(f"{name} at {share:.0%} load: {seen['probes']} probes of {seen['sent']} packets came back")
    return found


def run():
    lacking = need.missing(*need.GATEWAY)
    if lacking:
        raise Failed(lacking)
    favour("self")
    with subjects() as made:
        rates = plateaus(made, int(os.environ.get("BENCH_RUNS", RUNS)))
        times = latencies(made, rates["wire-xsk"])
    rows = [row("wire", "IP packets of 64 B, xsk: no cipher", rates[XSK] / 1e6, "Mpps")]
    rows += [row("wire", f"IP packets of 64 B, Espalier, tx_engine {engine}", rates[f"wire-{engine}"] / 1e6, "Mpps", XSK,
                 rates[XSK] / 1e6) for engine in ENGINES]
    for share in LATENCY_SHARES:
        for key, name in (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9")):
            base = times[XSK, share][key]
            rows += [row("wire", f"latency {name} at {share:.0%} load, tx_engine {engine}",
                         times[f"wire-{engine}", share][key], "us", XSK, base) for engine in ENGINES]
    return rows
