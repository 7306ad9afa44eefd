# SPDX-License-Identifier: Apache-2.0
"""
The lab: network namespaces, gateways, peers and captures for tests, demo and benchmarks (root is needed).

    shell.py     run commands, background processes, wait for a condition
    net.py       Lab (everything a run makes, and its removal), Namespace
    topology.py  Site: client - gateway A - router (NAT) - gateway B - server
    star.py      Star: a hub, its spokes, and remote clients
    tunnel.py    Tunnel: one tunnel described once, for whichever program serves an end of it
    gateway.py   Gateway: espalier-agent and espalier-ike in a namespace
    charon.py    Charon: strongSwan in a namespace or in a Uml
    xfrm.py      the same SAs by hand for an agent (sa_put) and for a Linux kernel (ip xfrm)
    uml.py       Uml: another Linux kernel (User Mode Linux) on a namespace's interface
    capture.py   Capture: what was on a wire, and whether anything of it was readable
    traffic.py   pings, iperf3, a marker that must never be seen in clear
    scene.py     Scene: a Site with both ends running, for tests
    need.py      what a test needs; what is missing is said by name
    impair.c     loss, delay, duplication and reordering between two interfaces

A test makes a Lab, a Site in it and an end for each gateway; leaving the Lab removes all of it, after an interrupt too.
"""
