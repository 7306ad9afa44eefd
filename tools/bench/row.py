# SPDX-License-Identifier: Apache-2.0
"""One line of the benchmarks' result."""


def row(bench, case, value, unit, baseline=None, base_value=None):
    """`baseline` names what the value is compared with, `base_value` is that one's value in the same run."""
    ratio = round(value / base_value, 3) if base_value else None
    return {"bench": bench, "case": case, "value": round(value, 3), "unit": unit, "baseline": baseline, "ratio": ratio}
