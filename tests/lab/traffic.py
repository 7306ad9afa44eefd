# SPDX-License-Identifier: Apache-2.0
"""Traffic through the tunnel: pings, a marker in TCP and UDP, iperf3."""

import json
import re
import signal
import socket
import threading
from dataclasses import dataclass

from .shell import BUILD, Failed, run, wait_until

SIZES = (56, 64, 120, 256, 512, 777, 1000, 1280, 1372, 2000)


@dataclass
class Pings:
    sent: int = 0
    received: int = 0
    errors: int = 0
    duplicates: int = 0

    def __add__(self, other):
        return Pings(self.sent + other.sent, self.received + other.received, self.errors + other.errors,
                     self.duplicates + other.duplicates)

    @property
    def lost(self):
        return self.sent - self.received

    def __str__(self):
        more = "".join(f", {n} {what}" for n, what in ((self.errors, "errors"), (self.duplicates, "duplicates")) if n)
        return f"{self.received} of {self.sent} pings answered{more}"


def parse_ping(text):
    found = re.search(r"(\d+) packets transmitted, (\d+) received", text)
    if not found:
        raise Failed(f"ping: {text.strip()}")
    count = {what: int(n) for n, what in re.findall(r"\+(\d+) (errors|duplicates)", text)}
    return Pings(int(found[1]), int(found[2]), count.get("errors", 0), count.get("duplicates", 0))


def _ping_argv(destination, count, size, interval, wait, pmtu):
    # dont: packets above the path's MTU travel in fragments, as this is about the tunnel and not about path MTU discovery.
    return [BUILD / "tests/lab/pings", str(count), str(size), f"{interval * 1000:g}", f"{wait * 1000:g}", pmtu, destination]


def ping(ns, destination, count=3, size=56, interval=0.05, wait=2, pmtu="dont"):
    """Ping and return the Pings; loss is for the caller to judge."""
    argv = ns.argv(_ping_argv(destination, count, size, interval, wait, pmtu))
    return parse_ping(run(argv, check=False, timeout=count * interval + wait + 30).stdout)


class Pinger:
    """
    `count` pings in the background, spread over `sizes`, one ping process each; all end after about `seconds`.
    """

    def __init__(self, ns, destination, count, seconds, sizes=SIZES, wait=3):
        each = max(1, -(-count // len(sizes)))
        interval = max(0.002, round(seconds / each, 4))
        self.seconds = each * interval
        self.wait = wait
        self.processes = []
        for size in sizes:
            log = ns.lab.dir / f"ping.{len(ns.lab.processes)}"
            argv = _ping_argv(destination, each, size, interval, wait, "dont")
            self.processes.append((size, ns.spawn(*argv, log=log)))

    def running(self):
        return all(p.alive() for _, p in self.processes)

    def by_size(self):
        """Wait for the end; {size: Pings}."""
        for _, process in self.processes:
            process.wait(self.seconds * 3 + 60)
        return {size: parse_ping(process.text()) for size, process in self.processes}

    def finish(self):
        return sum(self.by_size().values(), Pings())

    def end(self):
        """Enough; what was sent until now, and answered."""
        for _, process in self.processes:
            if process.alive():
                process.popen.send_signal(signal.SIGINT)
        for _, process in self.processes:
            process.wait(self.wait + 10)
        return sum((parse_ping(process.text()) for _, process in self.processes), Pings())


class Echo:
    """A TCP and a UDP echo server on `port` of a namespace, until closed."""

    def __init__(self, ns, address, port=7007):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.tcp = ns.socket(family, socket.SOCK_STREAM)
        self.udp = ns.socket(family, socket.SOCK_DGRAM)
        for sock in (self.tcp, self.udp):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, port))
        self.tcp.listen(8)
        self.threads = [threading.Thread(target=f, daemon=True) for f in (self._serve_tcp, self._serve_udp)]
        for thread in self.threads:
            thread.start()

    def _serve_tcp(self):
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    @staticmethod
    def _answer(connection):
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)

    def _serve_udp(self):
        while True:
            try:
                data, peer = self.udp.recvfrom(65536)
            except OSError:
                return
            if not peer:  # closed
                return
            self.udp.sendto(data, peer)

    def close(self):
        for sock in (self.tcp, self.udp):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def tcp_echo(ns, address, data, port=7007, seconds=15.0):
    """Send `data` over TCP to an Echo, and return what came back."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with ns.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(seconds)
        sock.connect((address, port))
        sender = threading.Thread(target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)), daemon=True)
        sender.start()
        parts = []
        while part := sock.recv(65536):
            parts.append(part)
        sender.join(seconds)
        return b"".join(parts)


def udp_echo(ns, address, data, port=7007, seconds=3.0, tries=1):
    """Send a datagram to an Echo, and return the answer, or None."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with ns.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(seconds)
        for _ in range(tries):
            sock.sendto(data, (address, port))
            try:
                return sock.recv(65536)
            except TimeoutError:
                continue
    return None


def iperf3(server, client, address, seconds=3, warm=0, extra=()):
    """iperf3 from namespace `client` to `address` in namespace `server`: the JSON's "end"."""
    log = server.lab.dir / f"iperf.{len(server.lab.processes)}"
    daemon = server.spawn("iperf3", "-s", "-1", "--forceflush", "-B", address, log=log)
    try:
        wait_until("iperf3 listens", lambda: "listening" in daemon.text() or not daemon.alive())
        argv = ["iperf3", "-J", "-c", address, "-t", str(seconds), *(["-O", str(warm)] if warm else []), *extra]
        done = client.run(*argv, check=False, timeout=seconds + warm + 30)
        result = json.loads(done.stdout or "{}")
        if done.returncode or "error" in result:
            raise Failed(f"iperf3: {result.get('error', done.stderr)}")
        return result["end"]
    finally:
        daemon.stop()


def tcp_bits(end):
    """Received bits per second of a TCP run."""
    return end["sum_received"]["bits_per_second"]


def udp_packets(end):
    """(received packets per second, lost share) of a UDP run."""
    total = end["sum"]
    received = total["packets"] - total["lost_packets"]
    return received / total["seconds"], total["lost_packets"] / max(1, total["packets"])
