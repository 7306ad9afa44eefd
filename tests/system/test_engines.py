# SPDX-License-Identifier: Apache-2.0
"""
A gateway that changes its transmit engine with the load, and every packet accounted for by its sequence number.

    load: out0 ─── lan0 gateway wan0 ─── in0: load          (lab/through.c)
"""

import json
import os
import time
from pathlib import Path

import pytest

from lab import need
from lab.gateway import Gateway
from lab.net import Lab
from lab.shell import BUILD, run, wait_until

pytestmark = pytest.mark.needs(*need.GATEWAY)

LAN, WAN, PEER = "10.1.0.1", "192.0.2.1", "192.0.2.2"
WINDOW = 1024  # less than either engine's ring and the receive ring hold
SECONDS = 3
ROUNDS = 3
START_RATE = 100000  # agent/live_engine.h
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def live_ticks(pid):
    """CPU time of the live engine's thread: it burns its CPU while it runs."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == "live":
            fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])
    pytest.skip("the agent has no live engine: the kernel lacks live frames")


def at_rest(pid):
    """Does the engine sleep for half a second?"""
    before = live_ticks(pid)
    time.sleep(0.5)
    return live_ticks(pid) == before


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="at least 2 CPUs are needed: for the worker and the live engine")
def test_no_packet_is_lost_when_the_engine_changes():
    with Lab() as lab:
        load, ns = lab.namespace("load"), lab.namespace("gw")
        lab.link((load, "out0", []), (ns, "lan0", [f"{LAN}/16"]))
        lab.link((ns, "wan0", [f"{WAN}/24"]), (load, "in0", []))
        for name in ("out0", "in0"):
            load.run("ethtool", "-K", name, "gro", "on")  # with which its driver takes redirected frames
        ns.ip(f"neigh add {PEER} lladdr {load.mac('in0')} dev wan0 nud permanent", f"route add default via {PEER}")
        gateway = Gateway(ns, [], agent={"tx_engine": "live", "workers": 1})
        gateway.start_agent()
        run([BUILD / "tests/lab/sa_put", gateway.pins, f"local={WAN}", f"remote={PEER}", "local_ts=10.1.0.0/16",
             "remote_ts=10.2.0.0/16", "spi_in=0x1001", "spi_out=0x1002", "suite=aes256gcm16"])
        pid, last = gateway.agent.popen.pid, 0
        for _ in range(ROUNDS):
            before = live_ticks(pid)
            seen = json.loads(load.run(BUILD / "tests/lab/through", "out0", "in0", ns.mac("lan0"), str(WINDOW), str(SECONDS)).stdout)
            went_live = live_ticks(pid) - before > TICKS_PER_S // 10
            assert seen["arrived"] == seen["sent"] and not seen["late"], seen
            assert (seen["first"], seen["last"]) == (last + 1, last + seen["sent"]), seen
            last = seen["last"]
            if not went_live:
                assert seen["pps"] < 2 * START_RATE, seen
                pytest.skip(f"this machine carries {seen['pps']} packets a second in this test, the engine begins at {START_RATE}")
            wait_until("AF_XDP sends again", lambda: at_rest(pid), 15)
