# SPDX-License-Identifier: Apache-2.0
"""A rekey every second for a minute, the tunnel fully loaded, one packet in a hundred reordered on the way: nothing is lost."""

import pytest

from lab import flow, need, topology as at
from lab.scene import scene

pytestmark = pytest.mark.needs(*need.GATEWAY)

SECONDS = 60
REKEYS_MIN = 40  # of the 60 that an idle machine does
REORDERED = 10  # per mille


def test_every_second_under_load():
    with scene(nat=False, site={"impair": ["-r", str(REORDERED)]},
               child_options={"rekey_time": "1s", "life_time": "60s"}) as s, flow.echo(s.server, at.SERVER[4]):
        load = flow.load(s.client, at.SERVER[4], SECONDS)
        done = load.result()
        rekeys = s.a.status()["rekeys"] + s.b.status()["rekeys"]
        s.site.impair.stop()
        link = s.site.impair.text()
        print(f"{done}; {rekeys} rekeys; {link.splitlines()[-1]}")
        assert rekeys >= REKEYS_MIN
        assert "reordered" in link
        assert done["late_there"] > 0, "the link did not reorder"
        assert done["lost"] == 0 and done["duplicates"] == 0, f"{done}\n{s.a.drops()}\n{s.b.drops()}"
