# SPDX-License-Identifier: Apache-2.0
"""`espalier reload` applies the difference; a bad file changes nothing."""

import pytest

from lab import need
from lab.scene import scene
from lab.shell import Failed

pytestmark = pytest.mark.needs(*need.GATEWAY)


@pytest.fixture(scope="module")
def up():
    with scene() as s:
        yield s


def second(tunnel):
    return tunnel.but(name="lab2", local_id="a2.lab.test", remote_id="b2.lab.test", local_ts=["10.5.0.0/16"],
                      remote_ts=["10.6.0.0/16"])


def test_difference(up):
    """Added, changed, removed: the tunnel beside them keeps its SAs and its traffic."""
    gateway, (home,) = up.a, up.a.tunnels
    before = gateway.spis()
    steps = [([home, second(home)], "added"), ([home, second(home).but(remote_ts=["10.7.0.0/16"])], "changed"),
             ([home], "removed")]
    for tunnels, key in steps:
        gateway.tunnels = tunnels
        gateway.write()
        answer = gateway.cli("reload")
        assert answer[key] == ["lab2"] and sum(len(v) for v in answer.values()) == 1, answer
        assert gateway.spis() == before and up.ping(5).lost == 0
        assert len(gateway.cli("status")["tunnels"]) == len(tunnels)
    gateway.write()
    assert not any(gateway.cli("reload").values())


@pytest.mark.parametrize("old,new,expected", [
    ("remote_ts:", "remote_tss:", r"espalier.yaml:\d+: .*remote_tss"),
    ("10.2.0.0/16", "10.2.0.0/160", r"espalier.yaml:\d+: .*10.2.0.0/160"),
    ("prfsha384", "prfmd4", r"espalier.yaml:\d+: .*prfmd4"),
    ("psk", "telepathy", r"espalier.yaml:\d+: .*telepathy"),
])
def test_bad_file(up, old, new, expected):
    """The message names file, line and what is wrong; the tunnel goes on."""
    before = up.a.spis()
    up.a.write()
    up.a.write(up.a.config.read_text().replace(old, new, 1))
    line = next(n for n, text in enumerate(up.a.config.read_text().splitlines(), 1) if new in text)
    with pytest.raises(Failed, match=expected) as error:
        up.a.cli("reload")
    assert f"espalier.yaml:{line}:" in str(error.value)
    assert up.a.spis() == before and up.ping(3).lost == 0
    up.a.write()


RAGGED = "11.0.0.1-11.255.255.254"  # 46 prefixes


def test_no_room():
    """What the file says is right, but the pinned maps are smaller: all of it or nothing, and the tunnel goes on."""
    with scene(start=False) as s:
        gateway, (home,) = s.a, s.a.tunnels
        gateway.agent_options["policy_count"] = 32
        gateway.write()
        s.b.start()
        gateway.start()
        s.site.warm()
        gateway.up()
        before = gateway.spis()
        gateway.agent_options["policy_count"] = 4096  # takes effect with new maps alone
        gateway.tunnels = [home.but(child_options={"priority": 7}), second(home), second(home).but(name="lab3", remote_ts=[RAGGED])]
        gateway.write()
        with pytest.raises(Failed, match=r"espalier.yaml:\d+: connections.lab3.children.net: .*agent.policy_count.*--detach"):
            gateway.cli("reload")
        assert [t["connection"] for t in gateway.cli("status")["tunnels"]] == ["home"]
        assert gateway.spis() == before and s.ping(5).lost == 0
        assert gateway.ike.alive()
