# SPDX-License-Identifier: Apache-2.0
"""
What the data plane needs of a kernel, tried on the one that runs: in a guest of `make check-kernels`, or here by
`PYTHONPATH=. pytest tests/kernels`, where what the kernel lacks is skipped.
"""

import pytest

from lab import need, topology as at, traffic
from lab.gateway import Gateway
from lab.scene import scene
from lab.shell import BUILD, ROOT, run

pytestmark = pytest.mark.needs(*need.GATEWAY)

OBJECTS = sorted(p.name for p in (ROOT / "build/gen/bpf").glob("*.bpf.o"))
BYTES = 100000  # of a TCP echo: some hundred packets, in seconds even without KVM


@pytest.mark.parametrize("name", OBJECTS)
def test_verifies(name):
    """The verifier takes every program of the object."""
    folder = f"/sys/fs/bpf/verify_{name.split('.')[0]}"
    run(["bpftool", "prog", "loadall", ROOT / "build/gen/bpf" / name, folder], timeout=120)
    run(["rm", "-r", folder])


def test_attaches():
    """Native, generic, restart, occupied interfaces, the dispatcher: the room's own tests."""
    print(run([BUILD / "tests/kernel/test_attach"], timeout=180).stdout)


def test_packets():
    """The whole table of packets and fates."""
    run(["/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "-q", "-x", "tests/kernel/test_classify.py"], timeout=400,
        env={"PYTHONPATH": str(ROOT)})


def works(s):
    """Pings of several sizes and a TCP connection through the tunnel."""
    for size in (56, 1000, 1372, 2000):
        assert s.ping(5, size=size, interval=0.02).lost == 0, f"{size} bytes"
    with traffic.Echo(s.server, at.SERVER[4]):
        data = bytes(range(250)) * (BYTES // 250)
        assert traffic.tcp_echo(s.client, at.SERVER[4], data, seconds=60) == data


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_tunnel(mode):
    """Two gateways, IKE with a secret, traffic: nothing in clear between them."""
    def gateway(ns, tunnel):
        return Gateway(ns, tunnel, agent={"xdp_mode": mode})

    with scene(nat=False, near=gateway, far=gateway) as s:
        capture = s.site.capture("b0")
        assert {i["mode"] for i in s.a.cli("status")["interfaces"] if i["name"] in ("lan0", "wan0")} == {mode}
        works(s)
        assert capture.verdict().clean
