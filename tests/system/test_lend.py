# SPDX-License-Identifier: Apache-2.0
"""One flow in one SA at one queue of four: the worker that has it all lets the others do ciphers, and order stays."""

from contextlib import contextmanager

import pytest

from lab import flow, need, topology as at
from lab.scene import scene

pytestmark = pytest.mark.needs(*need.GATEWAY)

WINDOW, SECONDS, SIZE, LOADS_MAX = 1024, 4, 1300, 5


def counters(end):
    """The sums over the workers of (lent, borrowed)."""
    workers = end.cli("status")["workers"]
    return sum(w["lent"] for w in workers), sum(w["borrowed"] for w in workers)


def load(s):
    done = flow.load(s.client, at.SERVER[4], SECONDS, 1, WINDOW, SIZE).result()
    print(done, *(end.cli("status")["workers"] for end in (s.a, s.b)), sep="\n")
    assert done["answered"] and done["lost"] == 0 and done["duplicates"] == 0, f"{done}\n{s.a.drops()}\n{s.b.drops()}"
    assert done["late_there"] == 0 and done["late_back"] == 0, str(done)


@contextmanager
def gateways(queues, esp, **agent):
    with scene(nat=False, site={"queues": queues}, esp=esp, start=False) as s:
        for end in (s.a, s.b):
            end.agent_options.update(agent)
            end.write()
        s.start()
        if len(s.a.cli("status")["workers"]) < 2:
            pytest.skip("one CPU: one worker")
        yield s


# The second: all that a card with one queue has.
@pytest.mark.parametrize("queues, esp", [(4, "aes256gcm16"), (1, "aes256-sha256")])
def test_one_sa_over_workers(queues, esp):
    with gateways(queues, esp, workers=2) as s, flow.echo(s.server, at.SERVER[4]):
        # Help is asked for under pressure and given by CPUs that are free: on a busy machine not at once.
        for _ in range(LOADS_MAX):
            load(s)
            if counters(s.a)[0] and counters(s.b)[0]:
                break
        for end in (s.a, s.b):
            lent, borrowed = counters(end)
            assert lent and lent == borrowed


def test_off_by_configuration():
    with gateways(4, "aes256-sha256", lend="off") as s, flow.echo(s.server, at.SERVER[4]):
        load(s)
        assert counters(s.a) == counters(s.b) == (0, 0)
