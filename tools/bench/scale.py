# SPDX-License-Identifier: Apache-2.0
"""scale: what the classifier and the writer cost with few and with very many SAs and policies."""

import pipeline
from lab.shell import BUILD, Failed


def run():
    program = BUILD / "tools" / "bench" / "scale"
    if not program.exists():
        raise Failed("no program is built (make benches)")
    return pipeline.lines_of(program)
