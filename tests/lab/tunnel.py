# SPDX-License-Identifier: Apache-2.0
"""
Tunnel: one end of a tunnel, described once; Gateway, Charon and Uml each write it in their own language. What they have
in common for tests is an end's interface:

    start()  stop()         the program
    up()                    negotiate, return when the tunnel is up
    is_up()                 whether a CHILD SA is established
    rekey(what)             "child" or "ike"; returns when the new SA took over
    traffic()               {"rx_packets", "rx_bytes", "tx_packets", "tx_bytes"} of the ESP SAs
    report()                what a person reads
"""

from dataclasses import dataclass, field, replace

from . import topology as at

IKE_DEFAULT = "aes256gcm16-prfsha384-x25519"
ESP_DEFAULT = "aes256gcm16"
ESP_CBC = "aes256-sha256"
IKE_CBC = "aes256-sha256-ecp256"


@dataclass
class Tunnel:
    local: str
    remote: str  # "%any": this end only answers
    local_id: str
    remote_id: str
    local_ts: list
    remote_ts: list
    ike: str = IKE_DEFAULT
    esp: str = ESP_DEFAULT
    ah: str = ""  # AH instead of ESP
    mode: str = "tunnel"
    psk: str = "a secret of the lab, not of the world"
    encap: bool = False
    name: str = "home"
    child: str = "net"
    start_action: str = "none"
    child_options: dict = field(default_factory=dict)
    more_children: list = field(default_factory=list)  # of a Gateway: as in its configuration, name and selectors at least
    options: dict = field(default_factory=dict)

    def but(self, **changes):
        return replace(self, **changes)


def pair(site, outer=4, inner=(4,), **both):
    """
    The two ends' descriptions of a tunnel between the Site's networks: IPv`outer` outside, families `inner` inside. A
    starts by itself never, and B, behind which there is no NAT, answers whoever knows the secret if A is translated.
    """
    networks_a = [{4: at.INNER_A4, 6: at.INNER_A6}[v] for v in inner]
    networks_b = [{4: at.INNER_B4, 6: at.INNER_B6}[v] for v in inner]
    a = Tunnel(at.WAN_A[outer], at.WAN_B[outer], "a.lab.test", "b.lab.test", networks_a, networks_b, **both)
    peer = "%any" if site.nat and outer == 4 else at.WAN_A[outer]
    b = Tunnel(at.WAN_B[outer], peer, "b.lab.test", "a.lab.test", networks_b, networks_a, **both)
    return a, b
