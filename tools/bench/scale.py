# SPDX-License-Identifier: Apache-2.0
"""scale: what few and very many SAs, policies and destinations cost the classifier, the writer and a worker."""

import pipeline
from lab.shell import BUILD, Failed


def run():
    rows = []
    for name in ("scale", "hops"):
        program = BUILD / "tools" / "bench" / name
        if not program.exists():
            raise Failed("no program is built (make benches)")
        rows += pipeline.lines_of(program)
    return rows
