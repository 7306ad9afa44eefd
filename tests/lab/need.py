# SPDX-License-Identifier: Apache-2.0
"""What a test needs; a test that cannot run is skipped, and says what is missing."""

import os
import shutil

from .shell import BUILD

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
LAB = ("root", "ip", "nft", "ping", "tcpdump", "ethtool")
GATEWAY = (*LAB, "espalier-agent", "espalier-ike", "espalier")
CHARON = (*LAB, "charon-systemd", "swanctl")
UML = (*CHARON, "linux.uml")


def missing(*needs):
    """A sentence on the first of `needs` (programs, ours or the system's; "root") that is not here, or None."""
    for need in needs:
        if need == "root":
            if os.geteuid():
                return "root is needed for network namespaces and BPF"
        elif need.startswith("espalier"):
            if not (BUILD / need).exists():
                return f"{BUILD / need} is not built (make programs)"
        elif not shutil.which(need, path=PATH):
            return f"{need} is not installed (make deps)"
    return None
