# SPDX-License-Identifier: Apache-2.0
"""One line of the benchmarks' result."""


def row(bench, case, value, unit, baseline=None, base_value=None):
    """
    `baseline` names what the value is compared with, `base_value` is that one's value in the same run; the row holds
    both, their ratio and their difference.
    """
    found = {"bench": bench, "case": case, "value": round(value, 3), "unit": unit, "baseline": baseline,
             "base_value": None, "ratio": None, "difference": None}
    if base_value:
        found |= {"base_value": round(base_value, 3), "ratio": round(value / base_value, 3),
                  "difference": round(value - base_value, 3)}
    return found
