# SPDX-License-Identifier: Apache-2.0
"""Charon: strongSwan's IKE daemon as an end of a Tunnel, with its own configuration and vici socket."""

import re

from .shell import Failed, run, wait_until

DAEMON = "/usr/sbin/charon-systemd"
SWANCTL = "/usr/sbin/swanctl"
FOLDERS = ("conf.d x509 x509ca x509crl x509aa x509ac x509ocsp private rsa ecdsa pkcs8 pkcs12 pubkey bliss").split()
# kernel-libipsec has to come before kernel-netlink to be asked for ESP.
PLUGINS = "random nonce openssl pem pkcs1 pkcs8 pubkey x509 sha1 sha2 curve25519 gmp hmac kdf aes gcm drbg ctr {esp} " \
          "kernel-netlink socket-default vici counters"

STRONGSWAN_CONF = """\
charon-systemd {{
    load = {plugins}
    load_modular = no
    threads = 16
    make_before_break = yes
    retransmit_timeout = 1.0
    journal {{ default = -1 }}
    filelog {{ log {{
        path = {dir}/charon.log
        flush_line = yes
        default = 1
    }} }}
    plugins {{
        vici {{ socket = unix://{vici} }}
        kernel-libipsec {{ raw_esp = {raw_esp} }}
    }}
}}
swanctl {{ load = random openssl pem pkcs1 pkcs8 x509 pubkey sha1 sha2 }}
"""

CONNECTION_CONF = """\
connections {{ {name} {{
    version = 2
    local_addrs = {local}
    remote_addrs = {remote}
    proposals = {ike}
    encap = {encap}
    mobike = no
    rekey_time = 0
    dpd_delay = 30s
    local {{
        auth = psk
        id = {local_id}
    }}
    remote {{
        auth = psk
        id = {remote_id}
    }}
    children {{ {child} {{
        local_ts = {local_ts}
        remote_ts = {remote_ts}
        {protocol}_proposals = {esp}
        mode = {mode}
        rekey_time = 0
        start_action = none
    }} }}
}} }}
secrets {{ ike-{name} {{
    id-1 = {local_id}
    id-2 = {remote_id}
    secret = "{psk}"
}} }}
"""


class NamespaceHost:
    """Runs the daemon on this machine, in a namespace. Uml is the other host."""

    kernel_esp = False

    def __init__(self, ns):
        self.ns = ns
        self.name = ns.short
        self.folder = ns.lab.dir / f"charon-{ns.short}"

    def path(self, path):
        """How the daemon names a file that is `path` here."""
        return path

    def spawn(self, argv, env, log):
        return self.ns.spawn(*argv, log=log, env=env)

    def run(self, argv, env, **options):
        return run(argv, env=env, **options)


class Charon:
    """
    `host`: a NamespaceHost or a Uml. ESP is strongSwan's own (kernel-libipsec), in a Uml that kernel's. `tunnels`: one
    Tunnel or several; the methods of an end are about the first.
    """

    kind = "strongSwan"

    def __init__(self, host, tunnels, raw_esp=False):
        self.host = host
        self.tunnels = list(tunnels) if isinstance(tunnels, (list, tuple)) else [tunnels]
        self.tunnel = self.tunnels[0]
        self.dir = host.folder
        self.vici = f"/run/charon-{host.name}.vici" if host.kernel_esp else f"{host.path(self.dir)}/vici"
        self.process = None
        for folder in FOLDERS:
            (self.dir / "swanctl" / folder).mkdir(parents=True)
        self._write(raw_esp)

    def _write(self, raw_esp):
        esp = "" if self.host.kernel_esp else "kernel-libipsec"
        (self.dir / "strongswan.conf").write_text(STRONGSWAN_CONF.format(
            plugins=PLUGINS.format(esp=esp), dir=self.host.path(self.dir), vici=self.vici,
            raw_esp="yes" if raw_esp else "no"))
        self.rewrite()

    def rewrite(self):
        """Write the connections: what the tunnels say now."""
        conf = self.dir / "swanctl" / "swanctl.conf"
        conf.touch(mode=0o600)
        conf.write_text("".join(self._connection(t) for t in self.tunnels))

    @staticmethod
    def _connection(t):
        return CONNECTION_CONF.format(
            name=t.name, child=t.child, local=t.local, remote=t.remote, ike=t.ike, esp=t.ah or t.esp,
            protocol="ah" if t.ah else "esp", mode=t.mode, psk=t.psk,
            encap="yes" if t.encap else "no", local_id=t.local_id, remote_id=t.remote_id,
            local_ts=",".join(t.local_ts), remote_ts=",".join(t.remote_ts))

    def _env(self):
        where = self.host.path(self.dir)
        return {"STRONGSWAN_CONF": f"{where}/strongswan.conf", "SWANCTL_DIR": f"{where}/swanctl"}

    def swanctl(self, *argv, check=True, timeout=30):
        return self.host.run([SWANCTL, *argv, "--uri", f"unix://{self.vici}"], self._env(), check=check,
                             timeout=timeout)

    def start(self):
        self.process = self.host.spawn([DAEMON], self._env(), self.dir / "stdout")
        try:
            wait_until("charon is ready", lambda: self.swanctl("--stats", check=False).returncode == 0, 15)
            self.swanctl("--load-all", "--noprompt")
        except Failed as error:
            raise Failed(f"{error}\n{self.logs()}") from error

    def stop(self):
        if self.process:
            self.process.stop()

    def logs(self):
        log = self.dir / "charon.log"
        text = log.read_text(errors="replace") if log.exists() else ""
        return f"--- {self.host.name} charon.log\n" + "\n".join(text.splitlines()[-30:])

    # ---- an end of a tunnel
    def up(self, name=None):
        try:
            self.swanctl("--initiate", "--child", self.tunnel.child, "--ike", name or self.tunnel.name, "--timeout", "10")
        except Failed as error:
            raise Failed(f"{error}\n{self.logs()}") from error

    def down(self):
        self.swanctl("--terminate", "--ike", self.tunnel.name, "--timeout", "5")

    def is_up(self):
        return any(c["state"] == "INSTALLED" for c in self.children())

    def wait_up(self, seconds=10.0):
        wait_until("charon's CHILD SA is installed", self.is_up, seconds)

    def rekey(self, what):
        old = self._generation(what)
        self.swanctl("--rekey", f"--{what}", self.tunnel.child if what == "child" else self.tunnel.name)
        wait_until(f"charon's {what} rekey", lambda: self._generation(what) not in (old, None), 15)

    def _generation(self, what):
        """What changes when the SA in use is another: the CHILD SA's SPI, or the IKE SA's unique id. None while there are two."""
        if what == "child":
            now = [c["spi-in"] for c in self.children() if c["state"] == "INSTALLED"]
        else:
            now = [i["uniqueid"] for i in self.ikes() if i["state"] == "ESTABLISHED"]
        return now[0] if len(now) == 1 else None

    def ikes(self):
        """The IKE SAs as charon lists them: texts by key, CHILD SAs in "child-sas"."""
        text = self.swanctl("--list-sas", "--raw", check=False).stdout
        events = (parse_raw(line.split("event", 1)[1]) for line in text.splitlines() if line.startswith("list-sa event"))
        return [ike for event in events for ike in event.values()]

    def children(self):
        return [child for ike in self.ikes() for child in ike.get("child-sas", {}).values()]

    def traffic(self):
        sums = {"rx_packets": "packets-in", "rx_bytes": "bytes-in", "tx_packets": "packets-out", "tx_bytes": "bytes-out"}
        children = self.children()
        return {key: sum(int(c.get(name, 0)) for c in children) for key, name in sums.items()}

    def report(self):
        return self.swanctl("--list-sas").stdout.rstrip()

    def version(self):
        return self.swanctl("--version", check=False).stdout.strip()


def parse_raw(text):
    """`swanctl --raw`: {a=1 b {c=[x y]}} as nested dicts and lists. A value may hold blanks: it ends at the next key."""
    tokens = re.findall(r"[{}\[\]]|[^\s{}\[\]=]+=\[?|[^\s{}\[\]]+", text)
    return _section(tokens, 1)[0]


def _section(tokens, at):
    section, key = {}, None
    while at < len(tokens) and tokens[at] != "}":
        token = tokens[at]
        at += 1
        if token == "{":
            section[key], at = _section(tokens, at)
            at += 1
        elif token.endswith("=["):
            end = tokens.index("]", at)
            section[token[:-2]] = tokens[at:end]
            at = end + 1
        elif token.endswith("=") and (at >= len(tokens) or tokens[at].endswith("=") or tokens[at] == "}"):
            section[token[:-1]] = ""
        elif token.endswith("="):
            section[token[:-1]] = tokens[at]
            at += 1
        else:
            key = token
    return section, at


__all__ = ["Charon", "NamespaceHost", "parse_raw"]
