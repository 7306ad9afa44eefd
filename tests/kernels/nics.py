# SPDX-License-Identifier: Apache-2.0
"""The guest's pairs of virtio NICs (tests/check-kernels), in place of veths of the lab."""

import re
from pathlib import Path

import pytest

from lab.shell import run

ADDRESS = re.compile(r"52:54:00:65:([0-9a-f]{2}):([0-9a-f]{2})")


def pairs():
    """[(name, name)] of the NICs in this namespace; skips where there are none."""
    found = {}
    for address in Path("/sys/class/net").glob("*/address"):
        if at := ADDRESS.fullmatch(address.read_text().strip()):
            found.setdefault(at[1], {})[at[2]] = address.parent.name
    whole = [(ends["00"], ends["01"]) for _, ends in sorted(found.items()) if len(ends) == 2]
    if not whole:
        pytest.skip("this machine has no pair of virtio NICs: the guests of `make check-kernels` do")
    return whole


def replace(pair, *ends):
    """
    A pair of NICs in place of the veth between `ends`, each (Namespace, interface name, [addresses with prefix length]).
    Routes by the veth are gone. The NICs come back here with the end of their namespaces.
    """
    ends[0][0].ip(f"link del {ends[0][1]}")
    for nic, (ns, name, addresses) in zip(pair, ends):
        run(["ip", "link", "set", nic, "down"])
        run(["ip", "link", "set", nic, "netns", ns.name, "name", name])
        ns.ip(*(f"addr add {a} dev {name}{' nodad' if ':' in a else ''}" for a in addresses), f"link set {name} up")
