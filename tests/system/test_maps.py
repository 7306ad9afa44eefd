# SPDX-License-Identifier: Apache-2.0
"""What the maps hold is what `espalier sas` says: read by bpftool, which knows nothing of us."""

import ipaddress
import json

import pytest

from lab import need
from lab.scene import scene
from lab.shell import run

pytestmark = pytest.mark.needs(*need.GATEWAY, "bpftool")


def dump(gateway, name):
    """[(key, value)] as bytes."""
    entries = json.loads(run(["bpftool", "-j", "map", "dump", "pinned", gateway.pins / name]).stdout)
    raw = [(e["key"], e["value"]) for e in entries]
    return [tuple(bytes(int(b, 16) for b in part) for part in pair) for pair in raw]


@pytest.fixture(scope="module")
def up():
    with scene(inner=(4, 6)) as s:
        yield s


def address(mapped):
    found = ipaddress.IPv6Address(mapped)
    return str(found.ipv4_mapped or found)


@pytest.mark.parametrize("side", ["a", "b"])
def test_spi_map(up, side):
    gateway = getattr(up, side)
    in_map = {("0x" + key[:4].hex(), address(key[4:20]), key[20], int.from_bytes(value[:4], "little"))
              for key, value in dump(gateway, "spi_in")}
    told = {(s["spi"], s["local"].rsplit(":", 1)[0].strip("[]") if s["encap"] else s["local"], 50, s["index"])
            for s in gateway.sas("in")}
    assert in_map == told and len(told) == 1


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize("version", [4, 6])
def test_policy_map(up, side, version):
    gateway = getattr(up, side)
    width = 4 if version == 4 else 16
    in_map = set()
    for key, value in dump(gateway, f"policy{version}"):
        prefix = f"{ipaddress.ip_address(key[4:4 + width])}/{int.from_bytes(key[:4], 'little')}"
        assert int.from_bytes(value[:4], "little") == 1
        tunnel_at = 16 + 28 if version == 4 else 28 + 76
        in_map.add((prefix, int.from_bytes(value[tunnel_at:tunnel_at + 4], "little")))
    told = {(p["prefix"], p["tunnel"]) for p in gateway.cli("sas")["policies"]
            if ipaddress.ip_network(p["prefix"]).version == version}
    assert in_map == told and len(told) == 1
    assert {tunnel for _, tunnel in told} == {gateway.status()["tunnel_id"]}
