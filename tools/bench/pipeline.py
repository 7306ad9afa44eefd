# SPDX-License-Identifier: Apache-2.0
"""
pipeline: the worker's turn beside the raw cost of the ciphers in the same run; and what more workers make of it. What is
held against the library's direct API is run several times: a neighbour on the same core may be busy for seconds. Of each
size the run counts in which raw alone was quickest.
"""

import json

from lab.shell import BUILD, Failed, run as command
from row import row

SECONDS_MAX = 300
RUNS = 8


def lines_of(path, *arguments):
    """The rows that a program prints, a JSON object a line with the arguments of row()."""
    try:
        output = command([path, *arguments], timeout=SECONDS_MAX).stdout
        return [row(**json.loads(line)) for line in output.splitlines()]
    except (json.JSONDecodeError, TypeError) as error:
        raise Failed(f"{path} did not print JSON lines: {error}") from error


def quietest(runs):
    """Of several runs with the same rows, for each size those of the run in which raw was quickest."""
    def size(one):
        return one["case"].split()[-1]

    def raw(rows, wanted):
        return sum(r["base_value"] for r in rows if size(r) == wanted and r["unit"] == "ns")

    best = {wanted: min(runs, key=lambda rows: raw(rows, wanted)) for wanted in {size(r) for r in runs[0]}}
    return [best[size(r)][i] for i, r in enumerate(runs[0])]


def run():
    rows = []
    for name in ("pipeline", "lend"):
        program = BUILD / "tools" / "bench" / name
        if not program.exists():
            raise Failed(f"{name} is not built (make benches)")
        lines = lines_of(program)
        if name == "pipeline":
            compared = quietest([lines_of(program, "gcm") for _ in range(RUNS)])
            lines = compared + lines[len(compared):]
        rows += lines
    return rows
