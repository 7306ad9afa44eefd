# SPDX-License-Identifier: Apache-2.0
"""A test double of the operator API (ike/contract.h): fixed answers over HTTP on a Unix socket. No daemon is behind it."""
import copy
import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler

TUNNEL = {
    "connection": "home", "child": "net", "state": "up", "since": 123, "initiator": True,
    "local": "192.0.2.1:4500", "remote": "203.0.113.7:4500", "local_id": "a.example.org", "remote_id": "b.example.org",
    "nat": True, "encap": True,
    "ike": {"state": "ESTABLISHED", "spi_i": "0x0102030405060708", "spi_r": "0x1112131415161718",
            "suite": "aes256gcm16-prfsha384-x25519", "since": 123, "rekey_in": 7384},
    "esp": {"spi_in": "0x0a1b2c3d", "spi_out": "0x4e5f6071", "suite": "aes256gcm16", "since": 60, "rekey_in": 3000},
    "local_ts": ["10.1.0.0/16", "10.3.0.0/16"], "remote_ts": ["10.2.0.0/16"], "tunnel_id": 0,
    "rx_bytes": 1280, "rx_packets": 3, "tx_bytes": 3221225472, "tx_packets": 2500000, "rx_bps": 1250000, "tx_bps": 2.5e9,
    "dropped": 7, "rekeys": 2, "ike_rekeys": 1, "last_error": None,
}
OTHER = {**TUNNEL, "connection": "branch", "child": "lan", "state": "down", "ike": None, "esp": None, "tunnel_id": None,
         "rx_bytes": 0, "tx_bytes": 0, "dropped": 0, "rekeys": 0, "ike_rekeys": 0, "nat": False, "encap": False,
         "last_error": "no answer from 203.0.113.7:500"}

ANSWERS = {
    "/v1/version": {"version": "0.1.0", "layout_version": 1, "openssl": "OpenSSL 3.0.0"},
    "/v1/status": {
        "agent": {"connected": True}, "since": 3601,
        "interfaces": [
            {"name": "eth0", "mode": "native", "zero_copy": False, "queues": 4, "host": False, "reason": ""},
            {"name": "eth1", "mode": "none", "zero_copy": False, "queues": 0, "host": False, "reason": "the interface is gone"},
        ],
        "suites": [
            {"name": "aes256gcm16", "protocol": "esp", "engine": "ipsec-mb", "ns_small": 48, "ns_large": 168},
            {"name": "aes192ccm16", "protocol": "esp", "engine": "openssl", "ns_small": 258, "ns_large": 1373},
            {"name": "sha256", "protocol": "ah", "engine": "openssl", "ns_small": 241, "ns_large": 974},
        ],
        "workers": [
            {"worker": 0, "rx_packets": 900, "tx_packets": 800, "sealed": 400, "opened": 300, "lent": 120, "borrowed": 0},
            {"worker": 1, "rx_packets": 2, "tx_packets": 2, "sealed": 1, "opened": 1, "lent": 3, "borrowed": 120},
        ],
        "tunnels": [TUNNEL, OTHER],
    },
    "/v1/sas": {
        "sas": [{"index": 3, "direction": "in", "protocol": "esp", "mode": "tunnel", "spi": "0x0a1b2c3d", "tunnel": 0,
                 "connection": "home", "child": "net", "suite": "aes256gcm16", "local": "192.0.2.1:4500",
                 "remote": "203.0.113.7:4500", "encap": True, "replay_window": 1024, "seq": 0, "replay_top": 4711,
                 "packets": 4700, "bytes": 1048576, "dropped": {"replay": 1, "icv": 2, "other": 3}, "age": 61},
                {"index": 4, "direction": "out", "protocol": "esp", "mode": "tunnel", "spi": "0x4e5f6071", "tunnel": 0,
                 "connection": "home", "child": "net", "suite": "aes256gcm16", "local": "192.0.2.1:4500",
                 "remote": "203.0.113.7:4500", "encap": True, "replay_window": 0, "seq": 815, "replay_top": 0,
                 "packets": 815, "bytes": 1000, "dropped": {"replay": 0, "icv": 0, "other": 0}, "age": 61}],
        "policies": [{"prefix": "10.2.0.0/16", "action": "protect", "tunnel": 0, "local": "10.1.0.0/16",
                      "remote": "10.2.0.0/16", "protocol": 0}],
    },
    "/v1/drops": {
        "drops": [{"reason": "REPLAY", "severity": "warn", "sentence": "sequence number seen before", "count": 12, "last": 3},
                  {"reason": "ICV_BAD", "severity": "alert", "sentence": "the integrity check failed", "count": 0, "last": None}],
        "ike": [{"counter": "malformed", "sentence": "a message that could not be read", "count": 5},
                {"counter": "cookie_bad", "sentence": "a wrong cookie", "count": 0}],
    },
    "/v1/events": {"events": [
        {"time": "2026-01-02T03:04:05Z", "kind": "up", "connection": "home", "child": "net", "remote": "203.0.113.7:4500",
         "text": "the tunnel stands"},
        {"time": "2026-01-02T03:04:06Z", "kind": "refused", "connection": "", "child": "", "remote": "198.51.100.1:500",
         "text": "evil \u001b[2Jname"}]},
}


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class FakeApi:
    """`answers` may be changed while it runs; `on_post` maps a path to a function(body) -> (HTTP status, answer)."""

    def __init__(self, path):
        self.path = str(path)
        self.answers = copy.deepcopy(ANSWERS)
        self.on_post = {}
        self.posts = []  # (path, body)
        self._server = _Server(self.path, self._handler())
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def tunnel(self, connection):
        return next(t for t in self.answers["/v1/status"]["tunnels"] if t["connection"] == connection)

    def get(self, path):
        return (200, self.answers[path]) if path in self.answers else (404, {"error": f"no such path: {path}"})

    def post(self, path, body):
        self.posts.append((path, body))
        return self.on_post[path](body) if path in self.on_post else (202, {})

    def _handler(api):
        class Handler(BaseHTTPRequestHandler):
            def answer(self, status, value):
                data = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self):
                self.answer(*api.get(self.path))

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.answer(*api.post(self.path, json.loads(body)))

            def address_string(self):
                return "unix"

            def log_message(self, *_):
                pass

        return Handler
