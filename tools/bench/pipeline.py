# SPDX-License-Identifier: Apache-2.0
"""pipeline: what the C programs of this folder measure. Each prints the rows as a JSON array."""

import json

from lab.shell import BUILD, Failed, run

SECONDS_MAX = 300


def run_program(path):
    try:
        return json.loads(run([path, "--json"], timeout=SECONDS_MAX).stdout)
    except json.JSONDecodeError as error:
        raise Failed(f"{path} did not print a JSON array: {error}") from error


def programs():
    folder = BUILD / "tools" / "bench"
    return sorted(p for p in folder.glob("*") if p.is_file() and not p.suffix) if folder.is_dir() else []


def run_all():
    if not programs():
        raise Failed("no program is built (make benches)")
    return [line for path in programs() for line in run_program(path)]
