# SPDX-License-Identifier: Apache-2.0
import esp_pipe
import pytest

MATRIX = []  # rows as text, by test_matrix.py


@pytest.fixture(scope="session")
def pipe():
    if not esp_pipe.path():
        pytest.skip("tests/lab/esp_tool is not built: make helpers")
    pipe = esp_pipe.Pipe()
    yield pipe
    pipe.close()


@pytest.fixture(scope="session")
def matrix():
    return MATRIX


def pytest_terminal_summary(terminalreporter):
    if not MATRIX:
        return
    terminalreporter.section("suite x mode x family x encapsulation x sequence number: both directions passed, altered packets dropped")
    for row in MATRIX:
        terminalreporter.write_line(row)
    terminalreporter.write_line(f"{len(MATRIX)} rows, {sum('scapy' in row for row in MATRIX)} of them with scapy")
