# SPDX-License-Identifier: Apache-2.0
"""
Uml: a machine with a Linux kernel of its own (User Mode Linux) on an interface of a namespace. Its ESP is the Linux
kernel's, which the kernel around may lack. Its files are this machine's, through an overlay whose changes live in memory.
"""

import shlex
import shutil
import subprocess
from pathlib import Path

from .net import offload_off
from .shell import Failed, wait_until

KERNEL = "/usr/bin/linux.uml"
MODULES = Path("/usr/lib/uml/modules")
MEMORY = "512M"
BOOT_SECONDS = 60.0
DEVICE = "vec0"

# In a mount namespace of its own: UML wants /proc and a shared memory folder, hostfs must see nothing but the overlay.
ENTER = 'R=$1; shift; mount --rbind /proc "$R/proc"; mount --rbind /dev "$R/dev"; exec chroot "$R" env TMPDIR=/dev/shm "$@"'


class Uml:
    """
    Boots in start(). `addresses` with prefix length and `routers` are those of its one interface, which takes the place
    of `interface` of the namespace (whose far end's offloads are the caller's to switch off).
    """

    kernel_esp = True

    def __init__(self, ns, interface, addresses, routers=()):
        self.ns = ns
        self.interface = interface
        self.name = ns.short
        self.addresses = list(addresses)
        self.routers = list(routers)
        self.base = ns.lab.dir / f"uml-{ns.short}"
        self.root = self.base / "root"
        self.ctl = self.root / "lab-ctl"
        self.folder = self.root / "lab-charon"
        self.asked = 0
        self.process = None

    def path(self, path):
        """How the guest names a file of its root."""
        return "/" + str(Path(path).relative_to(self.root))

    def start(self):
        memory = self.ns.lab.mount("tmpfs", self.base)
        for folder in ("upper", "work", "root"):
            (memory / folder).mkdir()
        self.ns.lab.mount("overlay", self.root, f"lowerdir=/,upperdir={memory}/upper,workdir={memory}/work")
        self.ctl.mkdir()
        shutil.copy(Path(__file__).with_name("uml-init"), self.root / "lab-init")
        for modules in MODULES.iterdir():
            target = self.root / "lib" / "modules" / modules.name
            if not target.exists():
                shutil.copytree(modules, target)
        self.ns.ip(f"link set {self.interface} up")
        offload_off(self.ns, self.interface)
        self.process = self.ns.spawn("unshare", "-m", "--propagation", "private", "bash", "-c", ENTER, "_", self.root,
                                     *self._kernel(), log=self.base / "console")
        wait_until("User Mode Linux is up", self._ready, BOOT_SECONDS)

    def _kernel(self):
        return [KERNEL, f"mem={MEMORY}", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", "init=/lab-init",
                "con=null", "con0=null,fd:1", "quiet", f"{DEVICE}:transport=raw,ifname={self.interface},depth=128,gro=0",
                "LAB_CTL=/lab-ctl", f"LAB_IF={DEVICE}", f"LAB_ADDRESSES={'+'.join(self.addresses)}",
                f"LAB_ROUTES={'+'.join(self.routers)}"]

    def _ready(self):
        if not self.process.alive():
            raise Failed(f"User Mode Linux ended\n{self.process.tail()}")
        return (self.ctl / "ready").exists()

    def sh(self, text, check=True, timeout=60.0):
        """Run a shell text in the guest; a CompletedProcess with its output."""
        self.asked += 1
        n = self.asked
        draft = self.ctl / "cmd.tmp"
        draft.write_text(text + "\n")
        draft.rename(self.ctl / f"cmd.{n}")
        answer = self.ctl / f"rc.{n}"
        wait_until(f"guest: {text}", answer.exists, timeout, 0.02)
        output = (self.ctl / f"out.{n}").read_text(errors="replace")
        done = subprocess.CompletedProcess(text, int(answer.read_text()), output, "")
        if check and done.returncode:
            raise Failed(f"guest: {text}: exit code {done.returncode}\n{output}".rstrip())
        return done

    def stop(self):
        if self.process:
            self.process.stop(seconds=1.0)

    # ---- a host of Charon
    def spawn(self, argv, env, log):
        text = " ".join(shlex.quote(str(a)) for a in argv)
        settings = " ".join(f"{k}={shlex.quote(v)}" for k, v in env.items())
        self.sh(f"env {settings} {text} >{shlex.quote(self.path(log))} 2>&1 &")
        return self.process

    def run(self, argv, env, check=True, timeout=60.0):
        settings = " ".join(f"{k}={shlex.quote(v)}" for k, v in env.items())
        text = " ".join(shlex.quote(str(a)) for a in argv)
        return self.sh(f"env {settings} {text}", check, timeout)
