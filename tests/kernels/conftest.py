# SPDX-License-Identifier: Apache-2.0
"""As for the system's tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab import need  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "needs(*names): skip unless these programs (and root) are here")


def pytest_runtest_setup(item):
    for mark in item.iter_markers("needs"):
        if lacking := need.missing(*mark.args):
            pytest.skip(lacking)
