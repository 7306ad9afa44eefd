# SPDX-License-Identifier: Apache-2.0
"""Scene: a Site with both ends running, as most tests want it. When a test fails inside, the ends' logs are printed."""

import time
from contextlib import contextmanager

from . import topology as at, traffic
from .charon import Charon, NamespaceHost
from .gateway import Gateway
from .net import Lab
from .shell import Failed, run, wait_until
from .topology import Site
from .tunnel import pair
from .uml import Uml

STRETCH = 8  # a busy machine may be so much slower than expected

UML_ADDRESSES = [f"{address}/{at.LENGTH['wan'][version]}" for version, address in at.WAN_B.items()]


class Scene:
    def __init__(self, site, a, b):
        self.site = site
        self.lab = site.lab
        self.a = a
        self.b = b
        self.client = site.client
        self.server = getattr(site, "server", None)

    def start(self, up=True):
        for end in (self.b, self.a):
            end.start()
        self.site.warm()
        if up:
            self.a.up()
            wait_until("the other end has the tunnel", self.b.is_up)
            wait_until("a packet goes through the tunnel", lambda: self.ping(1).received)

    def ping(self, count=5, version=4, **options):
        return traffic.ping(self.client, at.SERVER[version], count, **options)

    def losses(self, end):
        """Where packets were lost, for who reads a failure: by the agent and by the kernel's devices."""
        try:
            drops = {reason: n for reason, n in end.drops().items() if n} if hasattr(end, "drops") else {}
        except (Failed, OSError, ValueError) as error:
            drops = str(error)
        ns = getattr(end, "ns", None) or end.host.ns
        return f"--- {ns.short} drops {drops}\n" + run(["ip", "-n", ns.name, "-s", "link"], check=False).stdout

    def under_traffic(self, count, seconds, *steps, sizes=traffic.SIZES, early=False):
        """
        Call `steps` while pings of mixed sizes run, `count` of them in `seconds`, and as many more as the steps take
        time. The Pings. `early`: none are sent after the last step.
        """
        pinger = traffic.Pinger(self.client, at.SERVER[4], count * STRETCH, seconds * STRETCH, sizes)
        enough = time.monotonic() + seconds
        for step in steps:
            wait_until("pings run", pinger.running)
            step()
            assert pinger.running(), f"the pings were over before {step} was"
        if not early:
            wait_until("there were enough pings", lambda: time.monotonic() >= enough, seconds + 10)
        return pinger.end()


@contextmanager
def scene(near=None, far=None, up=True, outer=4, inner=(4,), nat=True, site=None, start=True, **tunnel):
    """
    Both ends of a tunnel, running and up unless told otherwise. `near` and `far` make gateway A and B of (Namespace,
    Tunnel); by default both are a Gateway. `site` are more options of the Site, all others those of the Tunnel.
    """
    with Lab() as lab:
        place = Site(lab, nat=nat, b_is_machine=far is uml, **(site or {}))
        a, b = pair(place, outer, inner, **tunnel)
        made = Scene(place, (near or Gateway)(place.a, a), (far or Gateway)(place.b, b))
        try:
            if start:
                made.start(up)
            yield made
        except BaseException:
            print(made.a.logs(), made.b.logs(), *(made.losses(end) for end in (made.a, made.b)), sep="\n")
            raise


def charon(ns, tunnel):
    """strongSwan with its own ESP in user space."""
    return Charon(NamespaceHost(ns), tunnel)


def uml(ns, tunnel):
    """strongSwan on a Linux kernel's ESP; the server's address is its own."""
    machine = Uml(ns, "wan0", UML_ADDRESSES, at.ROUTER_B.values())
    machine.start()
    machine.sh(f"ip addr add {at.SERVER[4]}/32 dev lo; ip addr add {at.SERVER[6]}/128 dev lo")
    return Charon(machine, tunnel)
