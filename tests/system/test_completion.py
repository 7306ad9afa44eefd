# SPDX-License-Identifier: Apache-2.0
"""Completion and manual page against the program's own tables. No root."""
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fake_api import FakeApi  # noqa: E402
from lab.shell import BUILD, ROOT  # noqa: E402

SCRIPT = ROOT / "tools" / "completion" / "espalier.bash"
PAGE = ROOT / "tools" / "man" / "espalier.8.scd"

pytestmark = pytest.mark.needs("espalier")


@pytest.fixture(scope="module")
def tables():
    done = subprocess.run([BUILD / "espalier", "help", "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def complete(*words, cwd=None):
    """What bash would offer for the last of `words`."""
    script = f'source "{SCRIPT}"; shift 0; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _espalier; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", script, "bash", "espalier", *words], capture_output=True, text=True, check=True, cwd=cwd,
                          timeout=60, env={"PATH": f"{BUILD}:/usr/bin:/bin"})
    assert done.stderr == ""
    return done.stdout.split()


def test_every_command_is_offered(tables):
    names = {command["name"] for command in tables["commands"]}
    assert set(complete("")) == names
    assert set(complete("help", "")) == names
    assert complete("re") == ["rekey", "reload"]


def test_every_option_is_offered(tables):
    assert set(complete("-")) == {f"--{option['name']}" for option in tables["options"]}
    assert complete("status", "--j") == ["--json"]


def test_options_with_values_are_known(tables):
    text = SCRIPT.read_text()
    for option in tables["options"]:
        if option["value"]:
            assert re.search(rf"-{option['letter']} \| --{option['name']}\b", text), option["name"]


def test_connections_and_children_of_the_daemon(tmp_path):
    api = FakeApi(tmp_path / "api.sock")
    try:
        for command in ("status", "up", "down", "rekey", "dummy"):
            assert complete("--socket", api.path, command, "") == ["branch", "home"]
        assert complete("-s", api.path, "up", "h") == ["home"]
        assert complete("-s", api.path, "up", "home", "") == ["net"]
        assert complete("-s", api.path, "up", "-t", "5", "branch", "") == ["lan"]
        assert complete("-s", api.path, "up", "home", "net", "") == []
    finally:
        api.close()


def test_no_daemon_no_names(tmp_path):
    assert complete("--socket", str(tmp_path / "none"), "up", "") == []


def test_files_where_files_stand(tmp_path):
    (tmp_path / "gateway.yaml").touch()
    assert complete("config", "") == ["check"]
    assert complete("config", "check", "gate", cwd=tmp_path) == ["gateway.yaml"]
    assert complete("--config", "gate", cwd=tmp_path) == ["gateway.yaml"]


def test_manual_page_names_everything(tables):
    page = PAGE.read_text()
    for command in tables["commands"]:
        assert f"\n*{command['name']}" in page, command["name"]
    for option in tables["options"]:
        assert f"*--{option['name']}*" in page, option["name"]
        assert not option["letter"] or f"*-{option['letter']}*" in page, option["name"]
