# SPDX-License-Identifier: Apache-2.0
"""Interfaces with four queues: packets of one inner flow stay in order, however many workers carry the SA."""

import pytest

from lab import flow, need, topology as at
from lab.scene import scene

pytestmark = pytest.mark.needs(*need.GATEWAY)

FLOWS, WINDOW, SECONDS = 16, 64, 6


@pytest.mark.parametrize("size", [64, 1200])
def test_order_within_a_flow(size):
    with scene(nat=False, site={"queues": 4}) as s, flow.echo(s.server, at.SERVER[4]):
        done = flow.load(s.client, at.SERVER[4], SECONDS, FLOWS, WINDOW, size).result()
        print(done, s.a.cli("status")["agent"])
        assert done["lost"] == 0 and done["duplicates"] == 0, f"{done}\n{s.a.drops()}\n{s.b.drops()}"
        assert done["late_there"] == 0 and done["late_back"] == 0, str(done)
