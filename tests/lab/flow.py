# SPDX-License-Identifier: Apache-2.0
"""Flow: numbered datagrams between two namespaces, every one accounted for (flow.c)."""

import json
import signal
from contextlib import contextmanager

from .shell import BUILD, wait_until

PROGRAM = BUILD / "tests/lab/flow"
PORT = 7010


class Load:
    """A running load; result() waits for its end and gives {"sent", "answered", "lost", "duplicates", "late_there", "late_back", "pps"}."""

    def __init__(self, ns, address, flows, window, seconds, size, port, rate):
        self.seconds = seconds
        self.process = ns.spawn(PROGRAM, "load", address, str(port), str(flows), str(window), str(int(seconds)), str(size), str(rate),
                                log=ns.lab.dir / f"flow.{len(ns.lab.processes)}")

    def running(self):
        return self.process.alive()

    def result(self):
        self.process.wait(self.seconds + 60)
        return json.loads(self.process.text().splitlines()[-1])

    def end(self):
        """Enough: the result of what was sent until now."""
        self.process.popen.send_signal(signal.SIGTERM)
        return self.result()


@contextmanager
def echo(ns, address, port=PORT):
    """The far end of loads, while the context lasts."""
    process = ns.spawn(PROGRAM, "echo", address, str(port), log=ns.lab.dir / f"echo.{len(ns.lab.processes)}")
    try:
        wait_until("the echo listens", lambda: "ready" in process.text())
        yield
    finally:
        process.stop()


def load(ns, address, seconds, flows=8, window=32, size=200, port=PORT, rate=0):
    """Keep flows * window datagrams on the way for `seconds`, but send no more than `rate` a second (0: no bound)."""
    return Load(ns, address, flows, window, seconds, size, port, rate)
