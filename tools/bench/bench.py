#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
bench.py [pipeline|wire|host|scale|memory ...]: run the benchmarks, print a table, write build/bench.json: an array of
{bench, case, value, unit, baseline, base_value, ratio, difference}: the baseline's value is of the same run, ratio and
difference are to it; where runs alternate between subjects, values are medians. Quote the ratios: absolute values move with the machine.
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "tests")]

import host  # noqa: E402
import memory  # noqa: E402
import pipeline  # noqa: E402
import scale  # noqa: E402
import wire  # noqa: E402

from lab.shell import Failed  # noqa: E402

BENCHES = {"pipeline": pipeline.run, "wire": wire.run, "host": host.run, "scale": scale.run, "memory": memory.run}
COLUMNS = ("bench", "case", "value", "unit", "baseline", "base_value", "ratio", "difference")


def text(value):
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)


def table(rows):
    cells = [COLUMNS] + [tuple(text(row[c]) for c in COLUMNS) for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(COLUMNS))]
    number = (False, False, True, False, False, True, True, True)
    return "\n".join("  ".join(f"{cell:>{w}}" if right else f"{cell:<{w}}" for cell, w, right in
                               zip(line, widths, number)).rstrip() for line in cells)


def main(names):
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"bench: no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    rows, failed = [], False
    for name in names or BENCHES:
        try:
            rows += BENCHES[name]()
        except Failed as error:
            print(f"bench: {name}: {error}", file=sys.stderr)
            failed = True
    print(table(rows))
    out = ROOT / "build" / "bench.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(rows, indent=1) + "\n")
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
