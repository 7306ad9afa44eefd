# SPDX-License-Identifier: Apache-2.0
"""
Lab: what one run makes (namespaces, processes, mounts, files), and its removal.

Everything is named after the run, so that removal needs no memory of it: the same code cleans up at the end, after an
interrupt, after `--stop`, and what a killed run left behind.
"""

import atexit
import contextlib
import ctypes
import ipaddress
import json
import os
import re
import shutil
import signal
import socket
import threading
import time
from pathlib import Path

from .shell import Failed, Process, run

STATE = Path("/run/espalier-lab")
PREFIX = "esp"
NETNS = Path("/run/netns")
CLONE_NEWNET = 0x40000000
INTERRUPTS = (signal.SIGTERM, signal.SIGHUP)

_libc = ctypes.CDLL(None, use_errno=True)


def _setns(path):
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {path}")
    finally:
        os.close(fd)


class Namespace:
    """A network namespace of a Lab."""

    def __init__(self, lab, name):
        self.lab = lab
        self.short = name
        self.name = f"{lab.id}-{name}"
        run(["ip", "netns", "add", self.name])
        self.ip("link set lo up")
        self.sysctl("net.ipv4.ip_forward", 1)
        self.sysctl("net.ipv6.conf.all.forwarding", 1)
        # No duplicate address detection and no autoconfiguration: addresses are usable at once, captures are quiet.
        for key in ("accept_dad", "accept_ra", "router_solicitations"):
            self.sysctl(f"net.ipv6.conf.default.{key}", 0)
        for scope in ("all", "default"):
            self.sysctl(f"net.ipv4.conf.{scope}.rp_filter", 0)

    def argv(self, argv):
        """The command line that runs `argv` in here."""
        return ["ip", "netns", "exec", self.name, *argv]

    def run(self, *argv, **options):
        return run(self.argv(argv), **options)

    def spawn(self, *argv, log, env=None):
        return self.lab.spawn(self.argv(argv), log, env)

    def ip(self, *commands):
        """`ip` commands, one text each, in one batch."""
        run(["ip", "-n", self.name, "-batch", "-"], stdin="\n".join(commands) + "\n")

    @contextlib.contextmanager
    def entered(self):
        """This thread's network is the namespace's. Sockets made inside stay in the namespace."""
        home = f"/proc/self/task/{threading.get_native_id()}/ns/net"
        back = os.open(home, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(NETNS / self.name)
            try:
                yield
            finally:
                if _libc.setns(back, CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns back")
        finally:
            os.close(back)

    def socket(self, family, kind, protocol=0):
        with self.entered():
            return socket.socket(family, kind, protocol)

    def sysctl(self, key, value):
        with self.entered():
            Path("/proc/sys", key.replace(".", "/")).write_text(str(value))

    def counters(self, interface):
        """Received and sent bytes and packets of an interface: {"rx_bytes", "rx_packets", "tx_bytes", "tx_packets"}."""
        links = json.loads(run(["ip", "-n", self.name, "-json", "-s", "link", "show", interface]).stdout)
        stats = links[0]["stats64"]
        return {f"{way}_{unit}": stats[way][unit] for way in ("rx", "tx") for unit in ("bytes", "packets")}

    def mac(self, interface):
        return re.search(r"link/ether ([0-9a-f:]+)", run(["ip", "-n", self.name, "link", "show", interface]).stdout)[1]


class Lab:
    """
    Context of a run. Leaving it removes everything, unless `keep` was set. SIGTERM and SIGHUP become KeyboardInterrupt
    while it is open, so that they leave it in order.
    """

    _made = 0

    def __init__(self, name="t"):
        self.name = name
        self.keep = False
        Lab._made += 1
        self.id = f"{PREFIX}{os.getpid()}{chr(ord('a') + Lab._made % 26)}"
        self.dir = STATE / self.id
        self.namespaces = {}
        self.processes = []
        self._handlers = {}

    def __enter__(self):
        sweep()
        remove(self.id)
        self.dir.mkdir(parents=True)
        atexit.register(self.close)
        if threading.current_thread() is threading.main_thread():
            self._handlers = {s: signal.signal(s, _interrupt) for s in INTERRUPTS}
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        atexit.unregister(self.close)
        if self.keep:
            (self.dir / "keep").touch()
        else:
            with _uninterrupted():
                remove(self.id)
        for process in self.processes:
            if not self.keep:
                process.popen.wait()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def namespace(self, name):
        ns = Namespace(self, name)
        self.namespaces[name] = ns
        return ns

    def link(self, a, b, queues=1, offload=True, mtu=1500):
        """
        A veth between `a` and `b`, each (Namespace, interface name, [addresses with prefix length]). Checksum and
        segmentation offload are the driver's defaults; without `offload` packets leave with whole checksums and at most
        as large as the MTU, as some peers need it.
        """
        count = f"numtxqueues {queues} numrxqueues {queues}"
        a[0].ip(f"link add {a[1]} mtu {mtu} {count} type veth peer name {b[1]} netns {b[0].name} mtu {mtu} {count}")
        for ns, name, addresses in (a, b):
            if not offload:
                offload_off(ns, name)
            ns.ip(*(f"addr add {x} dev {name}{' nodad' if ':' in x else ''}" for x in addresses), f"link set {name} up")

    def spawn(self, argv, log, env=None):
        process = Process(argv, log, env)
        self.processes.append(process)
        return process

    def mount(self, kind, path, options=None, source=None):
        """Mount below the run's folder; unmounted with the run. Namespaces' commands inherit it."""
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        run(["mount", "-t", kind, *(["-o", options] if options else []), source or kind, path])
        return path


def offload_off(ns, interface):
    ns.run("ethtool", "-K", interface, "tx", "off", "rx", "off", "tso", "off", "gso", "off", "gro", "off", check=False)


def _interrupt(number, _frame):
    raise KeyboardInterrupt(signal.Signals(number).name)


@contextlib.contextmanager
def _uninterrupted():
    """Removal is not to be interrupted half way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, *INTERRUPTS)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _namespaces(lab_id):
    return [n.name for n in NETNS.glob(f"{lab_id}-*")] if NETNS.is_dir() else []


def _pids(namespace):
    return [int(p) for p in run(["ip", "netns", "pids", namespace], check=False).stdout.split()]


def _end(pids):
    """SIGTERM, then SIGKILL to what is still there after two seconds."""
    for number, seconds in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0)):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        end = time.monotonic() + seconds
        while pids and time.monotonic() < end:
            pids = [p for p in pids if _running(p)]
            time.sleep(0.02)


def _running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _mounts(below):
    paths = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return sorted((p for p in paths if p == str(below) or p.startswith(f"{below}/")), reverse=True)


def remove(lab_id):
    """End a run's processes (those inside its namespaces), remove its namespaces, mounts and files. Idempotent."""
    names = _namespaces(lab_id)
    _end([pid for name in names for pid in _pids(name)])
    for name in names:
        run(["ip", "netns", "del", name], check=False)
    for path in _mounts(STATE / lab_id):
        run(["umount", "-l", path], check=False)
    shutil.rmtree(STATE / lab_id, ignore_errors=True)


def labs():
    """Ids of all runs that left something here."""
    found = {p.name for p in STATE.glob(f"{PREFIX}*")}
    found |= {n.name.split("-")[0] for n in NETNS.glob(f"{PREFIX}*-*")}
    return sorted(i for i in found if re.fullmatch(PREFIX + r"\d+[a-z]", i))


def sweep():
    """Remove what killed runs left behind; runs that still live or were kept on purpose stay."""
    for lab_id in labs():
        if not _running(int(lab_id[len(PREFIX):-1])) and not (STATE / lab_id / "keep").exists():
            remove(lab_id)


def family(address):
    """4 or 6, of an address or prefix."""
    return ipaddress.ip_interface(address).version


__all__ = ["Failed", "Lab", "Namespace", "family", "labs", "offload_off", "remove", "sweep"]
