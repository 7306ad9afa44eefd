# SPDX-License-Identifier: Apache-2.0
"""A rekey every second for a minute, the tunnel fully loaded, one packet in a hundred reordered on the way: nothing is lost."""

import pytest

from lab import flow, need, topology as at
from lab.scene import scene
from lab.shell import wait_until

pytestmark = pytest.mark.needs(*need.GATEWAY)

SECONDS = 60
REKEYS_MIN = 55  # the second in which the first is due, and seconds that a busy machine makes longer
REORDERED = 10  # per mille
WINDOW = 128  # of 8 flows: 1024 datagrams on the way, as many as fit every ring on it


def test_every_second_under_load():
    with scene(nat=False, site={"impair": ["-r", str(REORDERED)]},
               child_options={"rekey_time": "1s", "life_time": "60s"}) as s, flow.echo(s.server, at.SERVER[4]):
        load = flow.load(s.client, at.SERVER[4], SECONDS, window=WINDOW)
        pairs = set()

        def over():
            pairs.add(s.a.spis())
            return not load.running()
        # Each pair of SPIs is one rekey, whoever began it, and both ends count it.
        wait_until("the load is over", over, SECONDS + 30, interval=0.2)
        done = load.result()
        s.site.impair.stop()
        link = s.site.impair.text().splitlines()[-1]
        print(f"{done['pps']} datagrams/s and as many answers for {SECONDS} s, {len(pairs) - 1} rekeys under them; "
              f"on the link {link}; {done}")
        assert len(pairs) - 1 >= REKEYS_MIN
        assert "reordered" in link and " overflowed 0" in link, "the link lost what it should have reordered"
        assert done["late_there"] > 0 and done["late_back"] > 0, "the link did not reorder"
        assert done["lost"] == 0 and done["duplicates"] == 0, f"{done}\n{s.a.drops()}\n{s.b.drops()}"
