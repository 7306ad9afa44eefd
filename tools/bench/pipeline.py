# SPDX-License-Identifier: Apache-2.0
"""pipeline: what the C programs of this folder measure, each beside the raw cost of the ciphers in the same run."""

import json

from lab.shell import BUILD, Failed, run as command
from row import row

SECONDS_MAX = 300


def programs():
    folder = BUILD / "tools" / "bench"
    return sorted(p for p in folder.glob("*") if p.is_file() and not p.suffix) if folder.is_dir() else []


def lines_of(path):
    """The rows that a program prints, a JSON object a line with the arguments of row()."""
    try:
        return [row(**json.loads(line)) for line in command([path], timeout=SECONDS_MAX).stdout.splitlines()]
    except (json.JSONDecodeError, TypeError) as error:
        raise Failed(f"{path} did not print JSON lines: {error}") from error


def run():
    if not programs():
        raise Failed("no program is built (make benches)")
    return [line for path in programs() for line in lines_of(path)]
