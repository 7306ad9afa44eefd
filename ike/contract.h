/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
/*
 * The operator API: HTTP/1.1 with JSON bodies over a Unix socket, mode 0600 (default below). `espalier` and the console
 * are its clients. Durations are seconds (numbers), times of day are ISO 8601 UTC texts, addresses and SPIs are texts
 * ("192.0.2.1:4500", "0x0a1b2c3d"). Failure: status 4xx or 5xx and {"error": "sentence"}.
 *
 * GET /v1/version   {"version", "layout_version", "openssl"}
 * GET /v1/status    {"agent": {"connected": bool}, "since", "interfaces": [INTERFACE], "suites": [SUITE],
 *                    "workers": [WORKER], "tunnels": [TUNNEL]}     every configured child, up or not, and further peers'
 *                    of the same child
 *   INTERFACE       {"name", "mode": "native"|"generic"|"none", "zero_copy": bool, "queues", "host": bool,
 *                    "tx_engine": "xsk"|"xsk, live under load"|"live", "tx_reason", "ring_size",
 *                    "busy_poll": "off"|"on"|"refused", "need_wakeup": bool, "multi_buffer": bool, "reason"}
 *   SUITE           {"name", "protocol": "esp"|"ah", "engine": "ipsec-mb"|"openssl", "ns_small", "ns_large"}
 *                   what the agent has; nanoseconds a packet of 64 and of 1408 bytes, measured at its start; 0: not
 *   WORKER          {"worker", "rx_packets", "tx_packets", "sealed", "opened", "lent", "borrowed"}     packets; of so many
 *                   another worker did the ciphers (lent), of so many it did those for another one (borrowed)
 *   TUNNEL          {"connection", "child", "state": "up"|"connecting"|"trapped"|"down", "since" (seconds in this state),
 *                    "initiator": bool, "local", "remote", "local_id", "remote_id", "nat": bool, "encap": bool,
 *                    "ike": {"state", "spi_i", "spi_r", "suite", "since", "rekey_in"} or null,
 *                    "esp": {"spi_in", "spi_out", "suite", "since", "rekey_in"} or null,
 *                    "local_ts": [..], "remote_ts": [..], "tunnel_id" or null,
 *                    "rx_bytes", "rx_packets", "tx_bytes", "tx_packets" (continuous across rekeys), "rx_bps", "tx_bps",
 *                    "dropped", "rekeys" (of CHILD SAs), "ike_rekeys", "last_error": text or null}
 * GET /v1/sas       {"sas": [SA], "policies": [{"prefix", "action": "protect"|"bypass"|"drop", "tunnel" or null, "local",
 *                    "remote", "protocol"}]}
 *   SA              {"index", "direction": "in"|"out", "protocol": "esp", "mode": "tunnel", "spi", "tunnel", "connection",
 *                    "child", "suite", "local", "remote", "encap": bool, "replay_window", "seq", "replay_top", "packets",
 *                    "bytes", "dropped": {"replay", "icv", "other"}, "age"}
 * GET /v1/drops     {"drops": [{"reason", "severity", "sentence", "count", "last" (seconds ago) or null}],
 *                    "ike": [{"counter", "sentence", "count"}]}
 * GET /v1/events    {"events": [{"time", "kind", "connection", "child", "remote", "text"}]}    the last 256, oldest first
 * POST /v1/up       {"connection", "child" (optional)}     202: asked for; watch /v1/status
 * POST /v1/down     {"connection", "child" (optional)}     202
 * POST /v1/rekey    {"connection", "child" (optional), "what": "ike"|"child" (optional: "child")}     202
 * POST /v1/dummy    {"connection", "child" (optional), "count" (1 to 10000; optional: 1), "size" (bytes; optional: 64)}
 *                   202 {"children": [names]}: every ESP child that is up sends "count" dummy packets (RFC 4303 2.6)
 * POST /v1/reload   {}     200 {"changed": [connection names], "removed": [..], "added": [..]}
 *                          422 {"error": "FILE:LINE: ..."}: nothing changed
 */
/* clang-format on */
#ifndef ESPALIER_IKE_CONTRACT_H
#define ESPALIER_IKE_CONTRACT_H

#define IKE_API_SOCKET_DEFAULT "/run/espalier/api.sock"
#define IKE_API_EVENTS_KEPT    256

#endif
