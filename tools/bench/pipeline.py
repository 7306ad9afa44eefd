# SPDX-License-Identifier: Apache-2.0
"""pipeline: what the C programs of this folder measure, each beside the raw cost of the same crypto library."""

import json

from lab.shell import BUILD, Failed, run as command

SECONDS_MAX = 300
BASELINE = "raw AEAD of the library"


def programs():
    folder = BUILD / "tools" / "bench"
    return sorted(p for p in folder.glob("*") if p.is_file() and not p.suffix) if folder.is_dir() else []


def lines_of(path):
    """The rows that a program prints, a JSON object a line, the baseline as its value."""
    try:
        return [json.loads(line) for line in command([path], timeout=SECONDS_MAX).stdout.splitlines()]
    except json.JSONDecodeError as error:
        raise Failed(f"{path} did not print JSON lines: {error}") from error


def run():
    if not programs():
        raise Failed("no program is built (make benches)")
    return [{**line, "baseline": BASELINE if line.get("baseline") else None}
            for path in programs() for line in lines_of(path)]
