# SPDX-License-Identifier: Apache-2.0
"""Commands, background processes, and waiting for a condition with a bound."""

import os
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("ESPALIER_BUILD", ROOT / "build" / "release")).resolve()
SANITIZED = ROOT / "build" / "san"


class Failed(Exception):
    """A step of the lab did not work; the text says which, and what was printed."""


def run(argv, check=True, timeout=60, stdin=None, env=None):
    """Run to the end and return the CompletedProcess (texts). Failed if it returns non-zero and `check` is set."""
    argv = [str(a) for a in argv]
    try:
        done = subprocess.run(argv, input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                              capture_output=True, text=True, errors="replace", timeout=timeout,
                              env={**os.environ, **(env or {})})
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{' '.join(argv)}: no end after {timeout} s") from error
    if check and done.returncode:
        raise Failed(f"{' '.join(argv)}: exit code {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
    return done


def wait_until(what, condition, seconds=10.0, interval=0.05):
    """Ask `condition` until it returns something true, and return that. Failed after `seconds`; `what` names it."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds:g} s")
        time.sleep(interval)


class Process:
    """A background process whose output goes to a file."""

    def __init__(self, argv, log, env=None):
        self.argv = [str(a) for a in argv]
        self.log = Path(log)
        with open(self.log, "ab") as out:
            self.popen = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                          env={**os.environ, **(env or {})}, start_new_session=True)

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def text(self):
        return self.log.read_text(errors="replace")

    def tail(self, lines=15):
        return "\n".join(self.text().splitlines()[-lines:])

    def wait(self, seconds):
        """The exit code; Failed if it still runs after `seconds`."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{' '.join(self.argv)}: no end after {seconds:g} s\n{self.tail()}") from error

    def stop(self, how=signal.SIGTERM, seconds=5.0):
        """Ask it to end by signal `how`, make it end after `seconds`; the exit code."""
        if self.alive():
            self.popen.send_signal(how)
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.popen.kill()
        return self.popen.wait()
