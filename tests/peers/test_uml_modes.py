# SPDX-License-Identifier: Apache-2.0
"""charon on the Linux kernel's ESP and AH: transport mode, AH and extended sequence numbers as IKE agrees on them."""

import pytest

from lab import need, topology as at, traffic
from lab.scene import scene, uml
from lab.shell import wait_until

pytestmark = pytest.mark.needs(*need.GATEWAY, *need.UML)

FORMS = {
    "esp-transport-esn": dict(mode="transport", esp="aes256gcm16-x25519-esn"),
    "ah-transport": dict(mode="transport", ah="sha256-x25519"),
    "ah-tunnel-esn": dict(ah="sha256-x25519-esn"),
    "esp-tunnel-ctr-esn": dict(esp="aes256ctr-sha256-x25519-esn"),
}
ANSWER = {"transport": "TRANSPORT", "tunnel": "TUNNEL"}


def endpoints(s, form):
    """Who talks to whom: the hosts themselves in transport mode, those behind them in tunnel mode."""
    if form.get("mode") == "transport":
        return s.site.a, at.WAN_B[4]
    return s.client, at.SERVER[4]


def describe(s, form):
    """Hosts that talk for themselves have no networks."""
    for end in (s.a.tunnels[0], s.b.tunnel):
        if form.get("mode") == "transport":
            end.local_ts, end.remote_ts = ["dynamic"], ["dynamic"]
    s.a.write()
    s.b.rewrite()


@pytest.mark.parametrize("name,dials", [(name, "we") for name in FORMS]
                         + [("esp-transport-esn", "charon"), ("ah-tunnel-esn", "charon")])
def test_agreed(name, dials):
    form = FORMS[name]
    with scene(far=uml, nat=False, start=False, **form) as s:
        describe(s, form)
        s.b.start()
        s.a.start()
        s.site.warm()
        (s.a if dials == "we" else s.b).up()
        wait_until("both ends are up", lambda: s.a.is_up() and s.b.is_up(), 10)
        source, target = endpoints(s, form)
        wait_until("a packet goes through", lambda: traffic.ping(source, target, 1).received, 10)
        child = s.b.children()[0]
        assert child["mode"] == ANSWER[form.get("mode", "tunnel")]
        assert child["protocol"] == ("AH" if "ah" in form else "ESP")
        assert ("esn" in child) == ("-esn" in (form.get("ah") or form["esp"])), child
        assert s.a.status()["mode"] == form.get("mode", "tunnel")
        assert s.a.status()["protocol"] == ("ah" if "ah" in form else "esp")
        for end in (s.a, s.b):
            pings = traffic.Pinger(source, target, 300, 3.0, (56, 1000))
            wait_until("pings run", pings.running)
            end.rekey("child")
            done = pings.finish()
            assert done.lost == 0 and not done.errors, str(done)
        counts = s.b.traffic()
        assert counts["rx_packets"] and counts["tx_packets"]
