# SPDX-License-Identifier: Apache-2.0
"""The command line against fixed answers of the operator API: every subcommand, --json, errors, exit status. No root."""
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fake_api import ANSWERS, FakeApi  # noqa: E402
from lab.shell import BUILD, ROOT  # noqa: E402

SANITIZED = ROOT / "build" / "san" / "espalier"
ESPALIER = SANITIZED if SANITIZED.exists() else BUILD / "espalier"

pytestmark = pytest.mark.needs("espalier")


@pytest.fixture
def api(tmp_path):
    server = FakeApi(tmp_path / "api.sock")
    yield server
    server.close()


def cli(*args, env=None, program=ESPALIER):
    clean = {k: v for k, v in os.environ.items() if k not in ("ESPALIER_SOCKET", "http_proxy")}
    return subprocess.run([program, *map(str, args)], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                          env={**clean, **(env or {})})


def ask(api, *args, **kwargs):
    return cli("--socket", api.path, *args, **kwargs)


def fields(block):
    """{"label": "value"} of the indented lines."""
    return dict(re.match(r"  ([\w -]+): +(.*)", line).groups() for line in block.splitlines()[1:])


def blocks(text):
    """{"kind: name": fields}"""
    return {block.splitlines()[0]: fields(block) for block in text.strip().split("\n\n")}


def succeeds(done):
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


# ---- status ------------------------------------------------------------------------------------------------------
def test_status_names_the_suites_of_each_engine(api):
    shown = blocks(succeeds(ask(api, "status", "--all")))["gateway: espalier"]
    assert shown["suites"] == "1 by ipsec-mb, 2 by openssl"
    assert shown["ESP by ipsec-mb"] == "aes256gcm16"
    assert shown["ESP by openssl"] == "aes192ccm16" and shown["AH by openssl"] == "sha256"
    assert "AH by ipsec-mb" not in shown


def test_status_reads_like_wg_show(api):
    shown = blocks(succeeds(ask(api, "status")))
    assert shown["gateway: espalier"] == {"agent": "connected", "running": "since 1 hour", "suites": "1 by ipsec-mb, 2 by openssl",
                                        "workers": "2; the ciphers of 123 packets were done by another than their own"}
    assert shown["interface: eth0"] == {"mode": "XDP native, copying, 4 queues"}
    assert shown["interface: eth1"] == {"mode": "not served", "reason": "the interface is gone"}
    assert shown["tunnel: home/net"] == {
        "state": "up since 2 minutes, 3 seconds",
        "local": "192.0.2.1:4500 (a.example.org)",
        "peer": "203.0.113.7:4500 (b.example.org)",
        "path": "NAT in between, ESP in UDP",
        "selectors": "10.1.0.0/16, 10.3.0.0/16 === 10.2.0.0/16",
        "IKE SA": "aes256gcm16-prfsha384-x25519, SPIs 0x0102030405060708 0x1112131415161718, 2 minutes, 3 seconds old, "
                  "rekey in 2 hours, 3 minutes",
        "ESP SA": "aes256gcm16, SPIs in 0x0a1b2c3d out 0x4e5f6071, 1 minute old, rekey in 50 minutes",
        "transfer": "1.25 KiB received (3 packets), 3.00 GiB sent (2500000 packets)",
        "rate": "1.25 Mbit/s in, 2.50 Gbit/s out",
        "dropped": "7 packets (see `espalier drops`)",
        "rekeys": "2 CHILD SA, 1 IKE SA",
    }
    assert shown["tunnel: branch/lan"]["last error"] == "no answer from 203.0.113.7:500"


def test_status_is_what_no_command_shows(api):
    assert succeeds(ask(api)) == succeeds(ask(api, "status"))


def test_status_of_one_connection(api):
    assert list(blocks(succeeds(ask(api, "status", "branch")))) == ["tunnel: branch/lan"]
    done = ask(api, "status", "nowhere")
    assert done.returncode == 1 and 'no connection "nowhere"' in done.stderr


def test_status_says_that_the_agent_is_away(api):
    api.answers["/v1/status"]["agent"]["connected"] = False
    assert "systemctl start espalier-agent" in succeeds(ask(api, "status"))


def test_no_colours_but_on_a_terminal(api):
    assert "\033" not in succeeds(ask(api, "status"))
    assert "\033[" in on_terminal(api, {"TERM": "xterm", "NO_COLOR": ""})
    assert "\033[" not in on_terminal(api, {"TERM": "xterm", "NO_COLOR": "1"})


def on_terminal(api, env):
    """What `status` writes if its standard output is a terminal."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen([ESPALIER, "--socket", api.path, "status"], stdout=terminal, stdin=subprocess.DEVNULL,
                               env={**os.environ, **env})
    os.close(terminal)
    text = b""
    try:
        while piece := os.read(controller, 65536):
            text += piece
    except OSError:  # the terminal's last writer is gone
        pass
    os.close(controller)
    assert process.wait(30) == 0
    return text.decode()


# ---- the other views ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("command", ["status", "sas", "drops", "events"])
def test_json_passes_through(api, command):
    assert json.loads(succeeds(ask(api, command, "--json"))) == ANSWERS[f"/v1/{command}"]


def test_json_of_one_connection(api):
    tunnels = json.loads(succeeds(ask(api, "--json", "status", "home")))["tunnels"]
    assert [t["connection"] for t in tunnels] == ["home"]


def test_sas_show_replay_and_policies(api):
    shown = blocks(succeeds(ask(api, "sas")))
    assert shown["sa: 3 in"]["replay"] == "highest 4711, window 1024"
    assert shown["sa: 3 in"]["dropped"] == "1 replayed, 2 with a bad ICV, 3 other"
    assert shown["sa: 3 in"]["outer"] == "192.0.2.1:4500 <- 203.0.113.7:4500"
    assert shown["sa: 4 out"]["sequence"] == "815 sent last"
    assert shown["policy: 10.2.0.0/16"]["action"] == "protect by tunnel 0"


def test_several_lines_stay_indented(api):
    api.tunnel("branch")["last_error"] = "no proposal in common\nencryption: x\x1b[2J"
    assert "  last error:  no proposal in common\n    encryption: x?[2J\n" in succeeds(ask(api, "status", "branch"))


def test_drops_show_what_happened(api):
    text = succeeds(ask(api, "drops"))
    assert re.search(r"^REPLAY +12  3 seconds +sequence number seen before$", text, re.M)
    assert re.search(r"^malformed +5 ", text, re.M)
    assert "ICV_BAD" not in text and "cookie_bad" not in text
    assert "ICV_BAD" in succeeds(ask(api, "drops", "--all"))


def test_drops_without_any(api):
    for row in api.answers["/v1/drops"]["drops"] + api.answers["/v1/drops"]["ike"]:
        row["count"] = 0
    assert succeeds(ask(api, "drops")) == "no packet was dropped\n"


def test_events_cannot_drive_the_terminal(api):
    lines = succeeds(ask(api, "events")).splitlines()
    assert lines[0].split() == "2026-01-02T03:04:05Z up home/net 203.0.113.7:4500 the tunnel stands".split()
    assert lines[1].endswith("evil ?[2Jname")


def test_version(api):
    assert succeeds(ask(api, "version")) == \
        "espalier 0.1.0\nespalier-ike 0.1.0, map layout 1, OpenSSL 3.0.0\n"
    assert json.loads(succeeds(ask(api, "version", "-j")))["daemon"] == ANSWERS["/v1/version"]


def test_version_without_a_daemon(tmp_path):
    assert "does not answer" in succeeds(cli("version", "--socket", tmp_path / "none"))
    assert json.loads(succeeds(cli("version", "--json", "--socket", tmp_path / "none")))["daemon"] is None
    assert succeeds(cli("--version")) == "espalier 0.1.0\n"


# ---- orders ------------------------------------------------------------------------------------------------------
def test_up_waits_until_it_stands(api):
    tunnel = api.tunnel("branch")

    def connect(_):
        tunnel.update(state="connecting", last_error=None)
        return 202, {}

    real_get, asked = api.get, []

    def get(path):
        asked.append(path)
        if len(asked) == 4:  # before, then three times after the request
            tunnel["state"] = "up"
        return real_get(path)

    api.on_post["/v1/up"], api.get = connect, get
    assert succeeds(ask(api, "up", "branch", "lan")) == "branch/lan is up\n"
    assert api.posts == [("/v1/up", {"connection": "branch", "child": "lan"})]
    assert len(asked) == 4


def test_up_prints_why_it_failed(api):
    report = "connection branch: no proposal in common\n  encryption: offered aes128, configured aes256gcm16"

    def refuse(_):
        api.tunnel("branch").update(state="down", last_error=report)
        return 202, {}

    api.on_post["/v1/up"] = refuse
    done = ask(api, "up", "branch")
    assert done.returncode == 1
    assert done.stderr == "espalier: branch/lan: connection branch: no proposal in common\n" \
                          "    encryption: offered aes128, configured aes256gcm16\n"
    assert done.stdout == "branch/lan is down\n"


def test_up_tells_a_new_error_while_the_daemon_goes_on(api):
    def refuse(_):
        api.tunnel("branch").update(state="connecting", last_error="the peer says: AUTHENTICATION_FAILED")
        return 202, {}

    api.on_post["/v1/up"] = refuse
    done = ask(api, "up", "branch", "--timeout", "600")
    assert (done.returncode, done.stderr) == (1, "espalier: branch/lan: the peer says: AUTHENTICATION_FAILED\n")


def test_up_fails_with_the_same_error_again(api):
    done = ask(api, "up", "branch")  # the double never changes: still down, the error of before
    assert done.returncode == 1
    assert done.stderr == "espalier: branch/lan: no answer from 203.0.113.7:500\n"


def test_up_gives_up_in_time(api):
    api.tunnel("branch").update(state="connecting", last_error=None)
    done = ask(api, "up", "branch", "--timeout", "1")
    assert done.returncode == 4
    assert "branch is not up after 1 seconds" in done.stderr


def test_up_without_waiting(api):
    assert succeeds(ask(api, "up", "branch", "-t", "0")) == ""
    assert api.posts == [("/v1/up", {"connection": "branch"})]


def test_up_json_prints_the_tunnels(api):
    assert json.loads(succeeds(ask(api, "up", "home", "--json"))) == {"tunnels": [ANSWERS["/v1/status"]["tunnels"][0]]}


@pytest.mark.parametrize("args", [("up", "nowhere"), ("up", "home", "nothing"), ("down", "nowhere")])
def test_orders_for_what_is_not_configured(api, args):
    done = ask(api, *args)
    assert done.returncode == 1 and "is configured" in done.stderr
    assert api.posts == []


def test_orders_that_the_daemon_refuses(api):
    api.on_post["/v1/up"] = lambda _: (409, {"error": "connection branch has no remote address: it only waits"})
    done = ask(api, "up", "branch")
    assert done.returncode == 1
    assert done.stderr == "espalier: connection branch has no remote address: it only waits\n"


def test_down_waits(api):
    def close(_):
        api.tunnel("home")["state"] = "trapped"
        return 202, {}

    api.on_post["/v1/down"] = close
    assert succeeds(ask(api, "down", "home")) == "home/net is trapped\n"


@pytest.mark.parametrize("args,body", [
    (("home",), {"connection": "home", "what": "child"}),
    (("home", "net"), {"connection": "home", "child": "net", "what": "child"}),
    (("home", "--ike"), {"connection": "home", "what": "ike"}),
])
def test_rekey(api, args, body):
    succeeds(ask(api, "rekey", *args))
    assert api.posts == [("/v1/rekey", body)]


@pytest.mark.parametrize("args,body", [
    (("home",), {"connection": "home", "count": 1, "size": 64}),
    (("home", "net", "-n", "20", "--size", "1000"), {"connection": "home", "child": "net", "count": 20, "size": 1000}),
])
def test_dummy(api, args, body):
    api.on_post["/v1/dummy"] = lambda _: (202, {"children": ["net", "voice"]})
    assert succeeds(ask(api, "dummy", *args)) == f"asked for: {body['count']} each by net, voice; the other end counts them as DUMMY\n"
    assert api.posts == [("/v1/dummy", body)]


def test_reload_says_what_changed(api):
    answer = {"changed": ["home"], "removed": [], "added": ["x", "y"]}
    api.on_post["/v1/reload"] = lambda body: (200, answer)
    assert succeeds(ask(api, "reload")) == "added    x, y\nchanged  home\n"
    assert json.loads(succeeds(ask(api, "reload", "--json"))) == answer
    answer.update(changed=[], added=[])
    assert succeeds(ask(api, "reload")) == "nothing has changed\n"


def test_reload_of_a_wrong_file(api):
    api.on_post["/v1/reload"] = lambda body: (422, {"error": "f.yaml:3: connections.home.proposals[0]: unknown word aes999"})
    done = ask(api, "reload")
    assert done.returncode == 1
    assert done.stderr == "espalier: f.yaml:3: connections.home.proposals[0]: unknown word aes999\n"


# ---- the daemon is not as it should be ---------------------------------------------------------------------------
@pytest.mark.parametrize("args", [("status",), ("up", "x"), ("down", "x"), ("rekey", "x"), ("reload",), ("sas",), ("drops",),
                                  ("events",)])
def test_daemon_not_running(tmp_path, args):
    done = cli("--socket", tmp_path / "none", *args)
    assert done.returncode == 3 and done.stdout == ""
    assert "espalier-ike is not running" in done.stderr and "systemctl start espalier-ike" in done.stderr
    assert done.stderr.count("\n") == 1


def test_socket_path_too_long():
    done = cli("--socket", "/" + "x" * 200, "status")
    assert done.returncode == 3 and "too long" in done.stderr


@pytest.mark.parametrize("answer", [b"", b"not json", b"[1, 2", b'{"tunnels": 3, "interfaces": "x", "agent": []}', b"[]", b"null"])
def test_answers_that_make_no_sense(api, answer):
    api.answers["/v1/status"] = answer
    done = ask(api, "status")
    assert done.returncode in (0, 1)
    assert "Sanitizer" not in done.stderr and (done.returncode == 0 or "espalier: " in done.stderr)


def test_failure_without_a_sentence(api):
    api.on_post["/v1/reload"] = lambda _: (500, b"oops")
    done = ask(api, "reload")
    assert done.returncode == 1 and "HTTP status 500" in done.stderr


# ---- command line ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("args", [("nonsense",), ("up",), ("up", "a", "b", "c"), ("sas", "x"), ("--nonsense",), ("up", "a", "-t", "x"),
                                  ("up", "a", "-t", "-1"), ("config",), ("config", "chekc"), ("help", "nonsense"), ("-t",)])
def test_usage_errors(args):
    done = cli(*args)
    assert done.returncode == 2 and done.stderr != ""


def test_help_lists_commands_and_options():
    text = succeeds(cli("help"))
    tables = json.loads(succeeds(cli("help", "--json")))
    for command in tables["commands"]:
        assert command["help"] in text
        assert command["help"] in succeeds(cli("help", command["name"]))
        assert command["help"] in succeeds(cli(command["name"], "--help"))
    for option in tables["options"]:
        assert f"--{option['name']}" in text


def test_socket_of_environment_and_configuration(api, tmp_path):
    assert succeeds(cli("status", env={"ESPALIER_SOCKET": api.path}))
    config = tmp_path / "espalier.yaml"
    config.write_text(f"ike: {{socket: {api.path}}}\n")
    assert succeeds(cli("status", "-c", config, env={"ESPALIER_SOCKET": "/none"}))


# ---- config check ------------------------------------------------------------------------------------------------
@pytest.fixture
def with_daemon(tmp_path):
    """The program, and beside it an espalier-ike that is a script of the test's: it judges by the file's first word."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "espalier").write_bytes(ESPALIER.read_bytes())
    (folder / "espalier-ike").write_text('#!/bin/sh\n[ "$1 $2" = "--check -c" ] || exit 9\n'
                                         'read -r word rest <"$3"\n[ "$word" = good ] && exit 0\n'
                                         'echo "$3:1: $word: good was expected" >&2\nexit 1\n')
    for name in ("espalier", "espalier-ike"):
        (folder / name).chmod(0o755)
    return folder / "espalier"


def test_config_check_asks_the_daemon(with_daemon, tmp_path):
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("good\n")
    bad.write_text("bad\n")
    assert succeeds(cli("config", "check", good, program=with_daemon)) == f"{good} is right\n"
    done = cli("config", "check", bad, program=with_daemon)
    assert (done.returncode, done.stderr) == (1, f"{bad}:1: bad: good was expected\n")
    done = cli("config", "check", "--json", "-c", bad, program=with_daemon)
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"file": str(bad), "ok": False, "error": f"{bad}:1: bad: good was expected"}
    assert json.loads(succeeds(cli("config", "check", good, "-j", program=with_daemon))) == {"file": str(good), "ok": True}


@pytest.mark.needs("espalier-ike")
def test_config_check_of_the_example():
    example = ROOT / "tools" / "espalier.yaml.example"
    assert str(example) in succeeds(cli("config", "check", example, program=BUILD / "espalier"))
