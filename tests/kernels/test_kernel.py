# SPDX-License-Identifier: Apache-2.0
"""
What the data plane needs of a kernel, tried on the one that runs: in a guest of `make check-kernels`, or here by
`PYTHONPATH=. pytest tests/kernels`, where what the kernel lacks is skipped.
"""

import os
import signal

import nics
import pytest

from lab import need, topology as at, traffic
from lab.gateway import Gateway
from lab.net import Lab
from lab.scene import scene
from lab.shell import BUILD, ROOT, Failed, run, wait_until

pytestmark = pytest.mark.needs(*need.GATEWAY)

OBJECTS = sorted(p.name for p in (ROOT / "build/gen/bpf").glob("*.bpf.o"))
RELEASE = tuple(int(n) for n in os.uname().release.split(".")[:2])
VIRTIO_ZERO_COPY = (6, 13)
SEVERAL_BUFFERS = (6, 6)
BYTES = 100000  # of a TCP echo: some hundred packets, in seconds even without KVM


@pytest.mark.parametrize("name", OBJECTS)
def test_verifies(name):
    """The verifier takes every program of the object."""
    folder = f"/sys/fs/bpf/verify_{name.split('.')[0]}"
    run(["bpftool", "prog", "loadall", ROOT / "build/gen/bpf" / name, folder], timeout=120)
    run(["rm", "-r", folder])


@pytest.mark.parametrize("name", ["attach", "dataplane", "policy_set", "sadb", "transmit"])
def test_room(name):
    """
    The rooms' own tests: native, generic, restart, occupied interfaces, the dispatcher; the maps; sending by live frames,
    switched on and off under traffic.
    """
    print(run([BUILD / "tests/kernel" / f"test_{name}"], timeout=180).stdout)


def passes(*tests, seconds=400):
    """Tests of the other rungs pass; skips, for their reason, where all of them are skipped."""
    said = run(["/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "-q", "-x", "-rs", *tests], timeout=seconds,
               env={"PYTHONPATH": str(ROOT)}).stdout
    if " passed" not in said:
        pytest.skip(next((line.split(": ", 1)[-1] for line in said.splitlines() if line.startswith("SKIPPED")), said))


@pytest.mark.parametrize("table", ["classify", "capture"])
def test_packets(table):
    """The whole table of packets and fates."""
    passes(f"tests/kernel/test_{table}.py")


def works(s):
    """Pings of several sizes and a TCP connection through the tunnel."""
    for size in (56, 1000, 1372, 2000):
        assert s.ping(5, size=size, interval=0.02).lost == 0, f"{size} bytes"
    with traffic.Echo(s.server, at.SERVER[4]):
        data = bytes(range(250)) * (BYTES // 250)
        assert traffic.tcp_echo(s.client, at.SERVER[4], data, seconds=60) == data


@pytest.mark.parametrize("mode, engine", [("native", "live"), ("generic", "auto")])
def test_tunnel(mode, engine):
    """
    Two gateways, IKE with a secret, traffic: nothing in clear between them. `live` is taken at its word on each of these
    kernels: the engine stands ready (it runs only under a load that no emulated machine makes).
    """
    def gateway(ns, tunnel):
        return Gateway(ns, tunnel, agent={"xdp_mode": mode, "tx_engine": engine})

    with scene(nat=False, near=gateway, far=gateway) as s:
        capture = s.site.capture("b0")
        served = {i["name"]: i for i in s.a.cli("status")["interfaces"] if i["name"] in ("lan0", "wan0")}
        assert {i["mode"] for i in served.values()} == {mode}
        works(s)
        assert capture.verdict().clean
        assert "AF_XDP sends:" not in s.a.agent.text(), s.a.agent.text()


def test_big_datagrams():
    """What is above the path's MTU comes in fragments of ESP, and is put together again."""
    with scene(nat=False) as s:
        assert s.ping(5, size=3000).lost == 0
        assert s.b.drops("ESP_FRAGMENT") == 0


@pytest.mark.parametrize("test", ["test_part_is_protected[esp-4]", "test_first_packet[udp-4]"])
def test_transport(test):
    """Host to host: the tc program catches what the hosts themselves send."""
    passes(f"tests/system/test_transport.py::{test}", seconds=300)


def test_jumbo_frames():
    """Links of 9001 bytes in native mode, whose frames come in several buffers."""
    if RELEASE < SEVERAL_BUFFERS:
        pytest.skip("AF_XDP takes frames of several buffers since Linux {}.{}".format(*SEVERAL_BUFFERS))
    passes("tests/system/test_jumbo.py::test_jumbo_frames[xsk-native]")


def test_policy_routing():
    """A rule about the source leads a tunnel out of its own uplink."""
    passes("tests/system/test_policy_routing.py::test_the_address_chooses_the_uplink[4]")


def test_engine_changes():
    """Under a load that makes the transmit engine change, where the machine can make one, no packet is lost."""
    passes("tests/system/test_engines.py")


def link_kind(kind):
    """Skips where the kernel has no such device."""
    with Lab() as lab:
        ns = lab.namespace("kind")
        ns.ip("link add v0 type veth peer name v1")
        more = {"vlan": ["link", "v0", "name", "kind0", "type", "vlan", "id", "5"]}.get(kind, ["kind0", "type", kind])
        if ns.run("ip", "link", "add", *more, check=False).returncode:
            pytest.skip(f"this kernel has no {kind} device")


def tagged(ns, interface, vlan, addresses):
    """Move `addresses` from the interface to its VLAN device; the kernel's own routes go with them."""
    ns.ip(f"link add link {interface} name {interface}.{vlan} type vlan id {vlan}",
          *(f"addr del {a} dev {interface}" for a in addresses), f"link set {interface}.{vlan} up",
          *(f"addr add {a} dev {interface}.{vlan}{' nodad' if ':' in a else ''}" for a in addresses))


def ends(site, table):
    """Both addresses of a link's end, with prefix length."""
    return [f"{a}/{at.LENGTH[site][v]}" for v, a in table.items()]


class Counted:
    """What the port `wan0` of a gateway sends by itself, as seen by the far end of the link."""

    def __init__(self, ns, interface):
        self.process = ns.spawn("tcpdump", "-i", interface, "-U", "--immediate-mode", "-n", "-e", "-c", "400", "esp or (vlan and esp)",
                                log=ns.lab.dir / f"esp-{interface}.{len(ns.lab.processes)}.log")
        wait_until("tcpdump listens", lambda: "listening on" in self.process.text())

    def lines(self):
        return [line for line in self.process.text().splitlines() if "ESP(" in line]

    def total(self, destination):
        """End the capture; how many packets went to `destination`."""
        self.process.stop(signal.SIGINT)
        return sum(f"> {destination}: " in line for line in self.lines())


def test_vlan_next_hop():
    """
    The way to the peer leaves by a VLAN device over a served interface, and so does the one to the hosts behind A: what
    the agent sends there goes by the interface's own port, with the tag, and what comes in tagged is taken.
    """
    link_kind("vlan")
    with scene(nat=False, start=False) as s:
        tagged(s.site.a, "wan0", 7, ends("wan", at.WAN_A))
        tagged(s.site.router, "a0", 7, ends("wan", at.ROUTER_A))
        tagged(s.site.a, "lan0", 9, ends("lan", at.LAN_A))
        tagged(s.client, "eth0", 9, ends("lan", at.CLIENT))
        s.site.a.ip(f"route add default via {at.ROUTER_A[4]}")
        s.client.ip(f"route add default via {at.LAN_A[4]}")
        s.site.router.ip(f"route replace {at.INNER_A4} via {at.WAN_A[4]}")
        s.start()
        seen = Counted(s.site.router, "a0")
        before = s.site.a.counters("wan0.7")["tx_packets"]
        works(s)
        wait_until("ESP is seen", lambda: len(seen.lines()) > 20)
        assert all("vlan 7" in line for line in seen.lines()), seen.lines()[0]
        assert s.site.a.counters("wan0.7")["tx_packets"] - before < 20, "the VLAN device itself carried the packets"


def test_vlan_of_the_kernels():
    """A VLAN in a VLAN is not the agent's to tag: the kernel carries it."""
    link_kind("vlan")
    with scene(nat=False, start=False) as s:
        for ns, name, table in ((s.site.a, "wan0", at.WAN_A), (s.site.router, "a0", at.ROUTER_A)):
            ns.ip(f"link add link {name} name {name}.7 type vlan id 7", f"link set {name}.7 up",
                  f"link add link {name}.7 name q0 type vlan id 8",
                  *(f"addr del {a} dev {name}" for a in ends("wan", table)), "link set q0 up",
                  *(f"addr add {a} dev q0{' nodad' if ':' in a else ''}" for a in ends("wan", table)))
        s.site.a.ip(f"route add default via {at.ROUTER_A[4]}")
        s.site.router.ip(f"route replace {at.INNER_A4} via {at.WAN_A[4]}")
        s.start()
        works(s)


def test_bond():
    """A bond of two links to the router is a served interface, in generic mode; a member that dies is left at once."""
    link_kind("bond")
    with scene(nat=False, start=False, near=lambda ns, t: Gateway(ns, t, interfaces=("lan0", "bond0"))) as s:
        a, router = s.site.a, s.site.router
        a.ip("link add wan1 type veth peer name a1 netns " + router.name)
        for ns, names, table in ((a, ("wan0", "wan1"), at.WAN_A), (router, ("a0", "a1"), at.ROUTER_A)):
            ns.ip("link add bond0 type bond mode active-backup miimon 50",
                  *(f"addr del {x} dev {names[0]}" for x in ends("wan", table)),
                  *(f"link set {n} down" for n in names), *(f"link set {n} master bond0" for n in names), "link set bond0 up",
                  *(f"link set {n} up" for n in names), *(f"addr add {x} dev bond0{' nodad' if ':' in x else ''}" for x in ends("wan", table)))
        a.ip(f"route add default via {at.ROUTER_A[4]}")
        router.ip(f"route replace {at.INNER_A4} via {at.WAN_A[4]}")
        s.start()
        bond = next(i for i in s.a.cli("status")["interfaces"] if i["name"] == "bond0")
        assert bond["mode"] == "generic" and "bond" in bond["reason"]
        works(s)
        router.ip("link set a0 down")
        wait_until("the tunnel goes by the other member", lambda: s.ping(1, wait=1).received, 20)
        works(s)


def test_equal_paths():
    """Two ways of equal cost to the peer: all ESP of an SA takes one, and the other as soon as that one goes."""
    with scene(nat=False, start=False, near=lambda ns, t: Gateway(ns, t, interfaces=("lan0", "wan0", "wan1"))) as s:
        a, router = s.site.a, s.site.router
        a.ip("link add wan1 type veth peer name a1 netns " + router.name, "link set wan1 up", "addr add 192.168.8.2/24 dev wan1")
        router.ip("link set a1 up", "addr add 192.168.8.1/24 dev a1")
        if run(a.argv(["ip", "route", "replace", "default", "nexthop", "via", at.ROUTER_A[4], "nexthop", "via", "192.168.8.1"]),
               check=False).returncode:
            pytest.skip("this kernel has no multipath routes")
        s.start()
        seen = {name: Counted(router, name) for name in ("a0", "a1")}
        works(s)
        count = {name: c.total(at.WAN_B[4]) for name, c in seen.items()}
        used = [name for name, n in count.items() if n]
        assert len(used) == 1, count
        ways = {"a0": at.ROUTER_A[4], "a1": "192.168.8.1"}
        left = ({"a0", "a1"} - set(used)).pop()
        a.ip(f"route replace default via {ways[left]}")
        assert s.ping(20, interval=0.02).lost == 0
        seen = {name: Counted(router, name) for name in ("a0", "a1")}
        works(s)
        count = {name: c.total(at.WAN_B[4]) for name, c in seen.items()}
        assert count[left] and not count[used[0]], count


def on_nics(s):
    """Both interfaces of A, the client's and the router's, become virtio NICs."""
    site, pairs = s.site, nics.pairs()
    nics.replace(pairs[0], (site.a, "lan0", ends("lan", at.LAN_A)), (s.client, "eth0", ends("lan", at.CLIENT)))
    nics.replace(pairs[1], (site.a, "wan0", ends("wan", at.WAN_A)), (site.router, "a0", ends("wan", at.ROUTER_A)))
    for v in (4, 6):
        s.client.ip(f"route add default via {at.LAN_A[v]}")
        site.a.ip(f"route add default via {at.ROUTER_A[v]}")
    site.router.ip(f"route add {at.INNER_A4} via {at.WAN_A[4]}", f"route add {at.INNER_A6} via {at.WAN_A[6]}")


def assert_zero_copy(end):
    """Both interfaces are served without a copy, and every program says so."""
    served = {i["name"]: i for i in end.cli("status")["interfaces"] if i["name"] in ("lan0", "wan0")}
    if RELEASE < VIRTIO_ZERO_COPY:
        assert not any(i["zero_copy"] for i in served.values()), served
        pytest.skip("virtio_net has zero-copy, for both directions, since Linux {}.{}; the tunnel is carried in copy mode here".format(
            *VIRTIO_ZERO_COPY))
    for name, interface in served.items():
        assert interface["mode"] == "native" and interface["zero_copy"] and interface["need_wakeup"], interface
        assert interface["tx_engine"] == "xsk" and "zero-copy costs less" in interface["tx_reason"], interface
        assert f"{name}: served in native mode, zero-copy" in end.agent.text()
    said = [f["what"] for f in end.doctor()["findings"] if f["area"] in served and f["check"] == "af_xdp"]
    assert len(said) == 2 and all("without a copy (zero-copy)" in what for what in said), said


def other_mac(s):
    """wan0 of A gets another link address: another port in the old one's place, and nobody has to tell its neighbours."""
    mac = "52:54:00:65:fe:fe"
    s.site.a.ip(f"link set wan0 address {mac}")
    for v in (4, 6):
        s.site.router.ip(f"neigh replace {at.WAN_A[v]} lladdr {mac} dev a0 nud permanent")
    wait_until("the tunnel carries on", lambda: s.ping(1, wait=1).received, 20)


def test_zero_copy():
    """
    A gateway between two virtio NICs in zero-copy mode, its rings so small that they go round; the other has veths, in
    copy mode. An interface whose address changes is served as before, and by a new agent at once; between them the host
    is reachable, and behind the last one its driver is as it was.
    """
    def gateway(ns, tunnel):
        return Gateway(ns, tunnel, agent={"ring_size": 256})

    with scene(nat=False, start=False, near=gateway) as s:
        on_nics(s)
        s.start()
        capture = s.site.capture("b0")
        works(s)
        assert_zero_copy(s.a)
        for size in (56, 1372):
            assert traffic.ping(s.server, at.CLIENT[4], 300, size=size, interval=0.01, wait=20).lost == 0
        drops = s.a.drops()
        assert not any(drops[reason] for reason in ("TX_FULL", "RX_FULL", "NO_FRAME") if reason in drops), drops
        other_mac(s)
        assert_zero_copy(s.a)
        works(s)
        s.a.kill_agent()
        s.a.start_agent()
        wait_until("the tunnel carries on", lambda: s.ping(1, wait=1).received, 20)
        assert_zero_copy(s.a)
        works(s)
        assert capture.verdict().clean
        s.a.ike.stop()
        assert s.a.agent.stop() == 0, s.a.agent.tail()
        assert traffic.ping(s.site.router, at.WAN_A[4], 3).lost == 0, "the host is not reachable behind the programs"
        assert s.a.spawn_agent("--detach").wait(30) == 0, s.a.agent.tail()
        for size in (56, 1372, 3000):
            assert traffic.ping(s.site.router, at.WAN_A[4], 3, size=size).lost == 0, "the host's driver is not as before"


OTHER_PROGRAM = """\
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int other(struct xdp_md *ctx) { return XDP_PASS; }
char gpl[] SEC("license") = "GPL";
"""


@pytest.mark.needs("xdp-loader", "clang")
def test_dispatcher(tmp_path, monkeypatch):
    """
    A program of others runs under libxdp's dispatcher on both interfaces: the agent joins it, comes again after a kill
    without anything in clear, and leaves it behind alone when it is detached.
    """
    (tmp_path / "other.c").write_text(OTHER_PROGRAM)
    run(["clang", "-O2", "-g", "-target", "bpf", "-I/usr/include/x86_64-linux-gnu", "-c", tmp_path / "other.c", "-o", tmp_path / "other.o"])
    with scene(nat=False, start=False) as s:
        monkeypatch.setenv("LIBXDP_BPFFS", str(s.a.pins.parent))  # `ip netns exec` hides the one below /sys

        def loader(*argv, **options):
            return s.site.a.run("xdp-loader", *argv, **options)

        for name in ("lan0", "wan0"):
            done = loader("load", "-m", "native", name, tmp_path / "other.o", check=False)
            if done.returncode or "xdp_dispatcher" not in loader("status", name).stdout:
                pytest.skip(f"no dispatcher here: {done.stderr.strip()[-200:]}")
        try:
            s.start()
        except Failed as error:
            if "needs the dispatcher of a newer libxdp" in str(error):  # said clearly: all that this libxdp allows here
                pytest.skip("the dispatcher of this machine's libxdp takes no program that changes packets on this kernel; "
                            "the interfaces are refused with a sentence that says so")
            raise
        served = {i["name"]: i for i in s.a.cli("status")["interfaces"]}
        assert served["wan0"]["mode"] == "native" and "shares wan0" in served["wan0"]["reason"], served["wan0"]
        said = [f["what"] for f in s.a.doctor()["findings"] if (f["area"], f["check"]) == ("wan0", "xdp")]
        assert len(said) == 1 and "dispatcher" in said[0] and "classify" in said[0] and "other" in said[0], said
        works(s)
        capture = s.site.capture("b0")
        for _ in range(2):
            s.a.kill_agent()
            assert s.ping(3, wait=1).received == 0
            s.a.start_agent()
            wait_until("the tunnel carries on", lambda: s.ping(1, wait=1).received, 20)
        works(s)
        assert capture.verdict().clean
        status = loader("status", "wan0").stdout
        assert status.count("classify") == 1 and "other" in status, status
        s.a.ike.stop()
        s.a.agent.stop()
        assert s.a.spawn_agent("--detach").wait(30) == 0, s.a.agent.tail()
        status = loader("status", "wan0").stdout
        assert "classify" not in status and "other" in status, status
        assert traffic.ping(s.site.a, at.ROUTER_A[4], 3).lost == 0
