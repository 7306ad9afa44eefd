# SPDX-License-Identifier: Apache-2.0
"""Gateway: espalier-agent and espalier-ike in a namespace, with their own run folder and bpffs. An end of a Tunnel."""

import json
import signal
import socket

from .shell import BUILD, SANITIZED, Failed, run, wait_until

READY_SECONDS = 20.0
UP_SECONDS = 15.0


def yaml(value, indent=0):
    """Mappings, lists, texts, numbers and truth values as block YAML."""
    pad = "  " * indent
    if isinstance(value, dict):
        return "".join(f"{pad}{k}:{_entry(v, indent)}" for k, v in value.items())
    return "".join(f"{pad}-{_entry(v, indent)}" if not isinstance(v, dict) else
                   f"{pad}- {yaml(v, indent + 1).lstrip()}" for v in value)


def _entry(value, indent):
    if isinstance(value, bool):
        return f" {'true' if value else 'false'}\n"
    if isinstance(value, (dict, list)) and value:
        return "\n" + yaml(value, indent + 1)
    return f" {json.dumps(value)}\n"


class Notify:
    """The socket of sd_notify(3): ready() turns true when the program has said READY=1."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(str(self.path))
        self.env = {"NOTIFY_SOCKET": str(self.path)}
        return self

    def __exit__(self, *_):
        self.socket.close()

    def ready(self):
        try:
            return b"READY=1" in self.socket.recv(4096).split(b"\n")
        except BlockingIOError:
            return False


class Gateway:
    """
    `agent` and `ike` are more keys of these sections of the configuration. The files of the run stand in `dir`:
    espalier.yaml, agent.log, ike.log, the sockets, and bpf/, a bpffs with the pinned maps in bpf/espalier.
    """

    kind = "espalier"
    agent_program = BUILD / "espalier-agent"
    ike_program = BUILD / "espalier-ike"
    env = {}

    def __init__(self, ns, tunnels, interfaces=("lan0", "wan0"), agent=None, ike=None):
        self.ns = ns
        self.lab = ns.lab
        self.tunnels = list(tunnels) if isinstance(tunnels, (list, tuple)) else [tunnels]
        self.dir = self.lab.dir / f"gw-{ns.short}"
        self.pins = self.lab.mount("bpf", self.dir / "bpf") / "espalier"
        self.config = self.dir / "espalier.yaml"
        self.api = self.dir / "api.sock"
        self.agent_options = {"interfaces": list(interfaces), "pin_dir": str(self.pins),
                              "socket": str(self.dir / "agent.sock"), **(agent or {})}
        self.ike_options = {"socket": str(self.api), "log_level": "debug", **(ike or {})}
        self.agent = self.ike = None
        self.write()

    # ---- configuration
    def document(self):
        return {"agent": self.agent_options, "ike": self.ike_options,
                "connections": [self._connection(t) for t in self.tunnels],
                "secrets": [{"name": t.name, "ids": [t.local_id, t.remote_id], "secret": t.psk} for t in self.tunnels]}

    @staticmethod
    def _connection(t):
        child = {"name": t.child, "local_ts": t.local_ts, "remote_ts": t.remote_ts,
                 "ah_proposals" if t.ah else "esp_proposals": [t.ah or t.esp], "mode": t.mode, "start_action": t.start_action, **t.child_options}
        return {"name": t.name, "local_addrs": [t.local], "remote_addrs": [t.remote], "proposals": [t.ike],
                "local": {"auth": "psk", "id": t.local_id}, "remote": {"auth": "psk", "id": t.remote_id},
                "encap": t.encap, "children": [child, *t.more_children], **t.options}

    def write(self, text=None):
        """Write the configuration file: `text`, or what the tunnels say now."""
        self.config.touch(mode=0o600)
        self.config.write_text(yaml(self.document()) if text is None else text)

    # ---- life
    def start(self):
        self.start_agent()
        self.start_ike()

    def spawn_agent(self, *options, env=None):
        return self.ns.spawn(self.agent_program, "-c", self.config, *options, log=self.dir / "agent.log", env={**self.env, **(env or {})})

    def start_agent(self):
        with Notify(self.dir / "agent.notify") as notify:
            self.agent = self.spawn_agent(env=notify.env)
            self._wait("espalier-agent is ready", self.agent, notify.ready)

    def start_ike(self):
        self.ike = self.ns.spawn(self.ike_program, "-c", self.config, log=self.dir / "ike.log", env=self.env)
        self._wait("espalier-ike is ready", self.ike, self._serving)

    def _wait(self, what, process, condition):
        def check():
            if not process.alive():
                raise Failed(f"{what}: it ended with {process.popen.returncode}\n{process.tail()}")
            return condition()
        try:
            wait_until(what, check, READY_SECONDS)
        except Failed as error:
            raise Failed(f"{error}\n{process.tail()}") from error

    def _serving(self):
        if not self.api.exists():
            return False
        done = self.command("status", "--json", check=False)
        return done.returncode == 0 and json.loads(done.stdout)["agent"]["connected"]

    def kill_agent(self):
        """As by a crash: no warning, no clean-up of its own."""
        self.agent.stop(signal.SIGKILL)

    def stop(self):
        for process in (self.ike, self.agent):
            if process:
                process.stop()

    def logs(self):
        return "\n".join(f"--- {self.ns.short} {p.log.name}\n{p.tail(30)}" for p in (self.agent, self.ike) if p)

    # ---- operator's view
    def command(self, *argv, **options):
        return run([BUILD / "espalier", "--socket", self.api, *argv], **options)

    def cli(self, *argv):
        """`espalier ... --json` as a value."""
        return json.loads(self.command(*argv, "--json").stdout)

    def status(self, name=None, child=None):
        """The tunnel of connection `name` (the first one's by default) as `espalier status` has it: its first child's, or `child`'s."""
        name = name or self.tunnels[0].name
        child = child or next((t.child for t in self.tunnels if t.name == name), None)
        return next(t for t in self.cli("status")["tunnels"] if t["connection"] == name and child in (None, t["child"]))

    def drops(self, reason=None):
        """Dropped packets: {reason: count}, or the count of one."""
        counts = {d["reason"]: d["count"] for d in self.cli("drops")["drops"]}
        return counts if reason is None else counts.get(reason, 0)

    def ike_counters(self):
        return {c["counter"]: c["count"] for c in self.cli("drops")["ike"]}

    def sas(self, direction=None):
        return [s for s in self.cli("sas")["sas"] if direction in (None, s["direction"])]

    # ---- an end of a tunnel
    def is_up(self, name=None):
        return self.status(name)["state"] == "up"

    def up(self, name=None, seconds=UP_SECONDS):
        try:
            self.command("up", name or self.tunnels[0].name, "--timeout", str(int(seconds)))
        except Failed as error:
            raise Failed(f"{error}\n{self.logs()}") from error

    def wait_up(self, name=None, seconds=UP_SECONDS):
        try:
            wait_until("the tunnel is up", lambda: self.is_up(name), seconds)
        except Failed as error:
            raise Failed(f"{error}; last error: {self.status(name)['last_error']}\n{self.logs()}") from error

    def down(self, name=None):
        self.command("down", name or self.tunnels[0].name)

    def rekey(self, what):
        counter = {"child": "rekeys", "ike": "ike_rekeys"}[what]
        before = self.status()[counter]
        self.command("rekey", self.tunnels[0].name, *(["--ike"] if what == "ike" else [self.tunnels[0].child]))
        try:
            wait_until(f"{what} rekey", lambda: self.status()[counter] > before, UP_SECONDS)
        except Failed as error:
            raise Failed(f"{error}\n{self.logs()}") from error

    def rekeys(self):
        """(CHILD SA rekeys, IKE SA rekeys) so far."""
        status = self.status()
        return status["rekeys"], status["ike_rekeys"]

    def spis(self):
        """(inbound, outbound) SPI of the tunnel in use, as texts."""
        esp = self.status()["esp"]
        return esp["spi_in"], esp["spi_out"]

    def traffic(self):
        status = self.status()
        return {key: status[key] for key in ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")}

    def doctor(self):
        """The doctor's report, whatever it found."""
        return json.loads(self.ns.run(BUILD / "espalier", "--json", "--config", self.config, "doctor", check=False).stdout)

    def report(self):
        return self.command("status").stdout.rstrip()


class SanitizedGateway(Gateway):
    """
    A gateway whose programs are built with ASan and UBSan (make SAN=1 programs), or as usual where these are not there. A report
    ends the program that it is about; `end` tells.
    """

    built = all((SANITIZED / name).exists() for name in ("espalier-agent", "espalier-ike"))
    agent_program = SANITIZED / "espalier-agent" if built else Gateway.agent_program
    ike_program = SANITIZED / "espalier-ike" if built else Gateway.ike_program
    # What was freed is kept from use for as many bytes only, so that the growth of a program is its own.
    env = {"ASAN_OPTIONS": "quarantine_size_mb=4", "UBSAN_OPTIONS": "print_stacktrace=1"}
    _REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:")

    def end(self):
        """Let both programs end. Failed if a sanitizer had something to say, or if one did not end as it should."""
        processes = [self.ike, self.agent]
        codes = [process.stop(seconds=15) for process in processes]
        found = [line for process in processes for line in process.text().splitlines() if any(r in line for r in self._REPORTS)]
        if any(codes) or found:
            raise Failed(f"{self.ns.short}: exit codes {codes}\n" + "\n".join(found) + "\n" + self.logs())
