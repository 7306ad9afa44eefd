# SPDX-License-Identifier: Apache-2.0
"""pipeline: the worker's turn beside the raw cost of the ciphers in the same run; and what more workers make of it."""

import json

from lab.shell import BUILD, Failed, run as command
from row import row

SECONDS_MAX = 300


def lines_of(path):
    """The rows that a program prints, a JSON object a line with the arguments of row()."""
    try:
        return [row(**json.loads(line)) for line in command([path], timeout=SECONDS_MAX).stdout.splitlines()]
    except (json.JSONDecodeError, TypeError) as error:
        raise Failed(f"{path} did not print JSON lines: {error}") from error


def run():
    rows = []
    for name in ("pipeline", "lend"):
        program = BUILD / "tools" / "bench" / name
        if not program.exists():
            raise Failed(f"{name} is not built (make benches)")
        rows += lines_of(program)
    return rows
