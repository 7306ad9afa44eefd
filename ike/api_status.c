/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/status */
#include "bpf/dataplane.h"
#include "ike/api_json.h"
#include "ike/config.h"
#include "ike/daemon.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* What the engine says, by name, while an answer is made: IKE SAs by connection, CHILD SAs by id. */
struct view {
	const struct tunnel_table *tunnels;
	json_t *conns;
	json_t *children;
	uint64_t now;
};

/* ---- from the engine ------------------------------------------------------------------------------------------- */
static json_t *rekey_in(uint64_t at, uint64_t now)
{
	return at ? json_real(at > now ? (double)((at - now) / NS_PER_MS) / 1000 : 0) : json_null();
}

static json_t *ike_json(const struct ike_info *info, uint64_t now)
{
	json_t *ike = json_object();

	json_set_text(ike, "state", info->state);
	json_set_spi64(ike, "spi_i", info->spi_i);
	json_set_spi64(ike, "spi_r", info->spi_r);
	json_set_suite(ike, "suite", &info->suite);
	json_set_seconds(ike, "since", info->since_ns, now);
	json_object_set_new(ike, "rekey_in", rekey_in(info->rekey_at_ns, now));
	return ike;
}

static void set_id(json_t *object, const char *key, const struct ike_id *id)
{
	char text[IKE_ID_TEXT_LEN];

	json_set_text(object, key, ike_id_format(id, text));
}

/* The part of a TUNNEL that its IKE SA tells. */
static json_t *conn_view(const struct ike_info *info, uint64_t now)
{
	json_t *view = json_object();

	json_object_set_new(view, "initiator", json_boolean(info->initiator));
	json_set_endpoint(view, "local", &info->local);
	json_set_endpoint(view, "remote", &info->remote);
	set_id(view, "local_id", &info->local_id);
	if (info->remote_id.type != IKE_ID_ANY)
		set_id(view, "remote_id", &info->remote_id);
	json_object_set_new(view, "nat", json_boolean(info->nat_local || info->nat_remote));
	json_object_set_new(view, "ike", ike_json(info, now));
	return view;
}

static json_t *child_view(const struct child_info *child, uint64_t now)
{
	json_t *view = json_object(), *esp = json_object();

	json_set_spi32(esp, "spi_in", child->spi_in);
	json_set_spi32(esp, "spi_out", child->spi_out);
	json_set_suite(esp, "suite", &child->suite);
	json_set_seconds(esp, "since", child->since_ns, now);
	json_object_set_new(esp, "rekey_in", rekey_in(child->rekey_at_ns, now));
	json_object_set_new(view, "esp", esp);
	json_object_set_new(view, "encap", json_boolean(child->udp_encap));
	json_set_text(view, "protocol", child->suite.protocol == PROTOCOL_AH ? "ah" : "esp");
	json_set_text(view, "mode", child->mode == SA_TRANSPORT ? "transport" : "tunnel");
	json_set_selectors(view, "local_ts", child->local_ts, child->local_count);
	json_set_selectors(view, "remote_ts", child->remote_ts, child->remote_count);
	return view;
}

static void child_key(uint32_t child_id, char key[static 16])
{
	snprintf(key, 16, "%u", child_id);
}

static void view_one(const struct ike_info *info, void *context)
{
	struct view *view = context;
	json_t *conn = conn_view(info, view->now);

	for (uint32_t i = 0; i < info->child_count; i++) {
		char key[16];
		json_t *child;

		/* One that is still being negotiated has no SAs. */
		if (!tunnel_find_child(view->tunnels, info->children[i].child_id, NULL))
			continue;
		child = child_view(&info->children[i], view->now);
		json_object_update(child, conn);
		child_key(info->children[i].child_id, key);
		json_object_set_new(view->children, key, child);
	}
	json_object_set_new(view->conns, info->conn, conn);
}

/* ---- tunnels --------------------------------------------------------------------------------------------------- */
static void set_config_ends(json_t *tunnel, const struct config *config, const char *name)
{
	const struct config_connection *conn = ike_config_connection(config, name);

	json_set_text(tunnel, "local", conn && conn->local_addrs_count ? conn->local_addrs[0] : "any");
	json_set_text(tunnel, "remote", conn && conn->remote_addrs_count ? conn->remote_addrs[0] : "any");
	json_set_text(tunnel, "local_id", conn && conn->local && conn->local->id ? conn->local->id : "");
	json_set_text(tunnel, "remote_id", conn && conn->remote && conn->remote->id ? conn->remote->id : "%any");
}

/* A TUNNEL of which nothing is known but its names and what the file says. */
static json_t *tunnel_blank(const struct config *config, const char *conn, const char *child)
{
	static const char *const zeroes[] = {"rx_bytes", "rx_packets", "tx_bytes", "tx_packets", "rx_bps", "tx_bps",
		"dropped", "rekeys", "ike_rekeys"};
	json_t *tunnel = json_object();

	json_set_text(tunnel, "connection", conn);
	json_set_text(tunnel, "child", child);
	json_set_text(tunnel, "state", "down");
	json_object_set_new(tunnel, "initiator", json_false());
	set_config_ends(tunnel, config, conn);
	json_object_set_new(tunnel, "nat", json_false());
	json_object_set_new(tunnel, "encap", json_false());
	json_set_text(tunnel, "protocol", "esp");
	json_set_text(tunnel, "mode", "tunnel");
	json_object_set_new(tunnel, "ike", json_null());
	json_object_set_new(tunnel, "esp", json_null());
	json_object_set_new(tunnel, "local_ts", json_array());
	json_object_set_new(tunnel, "remote_ts", json_array());
	json_object_set_new(tunnel, "tunnel_id", json_null());
	for (size_t i = 0; i < sizeof(zeroes) / sizeof(zeroes[0]); i++)
		json_set_count(tunnel, zeroes[i], 0);
	json_object_set_new(tunnel, "last_error", json_null());
	return tunnel;
}

static void set_traffic(json_t *tunnel, const struct tunnel_entry *entry, const struct sadb *db)
{
	struct tunnel_totals totals;

	tunnel_totals_read(entry, db, &totals);
	json_set_count(tunnel, "rx_bytes", totals.rx_bytes);
	json_set_count(tunnel, "rx_packets", totals.rx_packets);
	json_set_count(tunnel, "tx_bytes", totals.tx_bytes);
	json_set_count(tunnel, "tx_packets", totals.tx_packets);
	json_set_count(tunnel, "rx_bps", entry->rx_bps);
	json_set_count(tunnel, "tx_bps", entry->tx_bps);
	json_set_count(tunnel, "dropped", totals.dropped);
}

/* The newest CHILD SA that the engine still has. */
static const json_t *entry_child(const struct tunnel_entry *entry, const struct view *view)
{
	for (const struct sa_pair *pair = entry->pairs; pair; pair = pair->next) {
		char key[16];
		const json_t *child;

		child_key(pair->child_id, key);
		child = json_object_get(view->children, key);
		if (child)
			return child;
	}
	return NULL;
}

static const char *entry_mode(const struct tunnel_entry *entry)
{
	switch (entry->shunt) {
	case POLICY_BYPASS:
		return "pass";
	case POLICY_DISCARD:
		return "drop";
	default:
		return entry->mode == SA_TRANSPORT ? "transport" : "tunnel";
	}
}

static const char *entry_state(const struct tunnel_entry *entry, bool up, bool has_ike)
{
	if (entry->shunt)
		return entry->configured_for.on ? "policy" : "down";
	if (up)
		return "up";
	if (entry->start_action == CHILD_TRAP)
		return "trapped";
	return has_ike || entry->start_action == CHILD_START ? "connecting" : "down";
}

static json_t *tunnel_json(struct daemon *d, struct tunnel_entry *entry, const struct view *view)
{
	json_t *tunnel = tunnel_blank(d->config, entry->conn, entry->child);
	const json_t *child = entry_child(entry, view), *conn = json_object_get(view->conns, entry->conn);

	json_set_text(tunnel, "mode", entry_mode(entry));
	json_set_selectors(tunnel, "local_ts", entry->local, entry->local_count);
	json_set_selectors(tunnel, "remote_ts", entry->remote, entry->remote_count);
	if (child || conn)
		json_object_update(tunnel, (json_t *)(uintptr_t)(child ? child : conn));
	json_set_text(tunnel, "state", entry_state(entry, child != NULL, conn != NULL));
	json_set_seconds(tunnel, "since", entry->since_ns, view->now);
	if (entry->id != TUNNEL_NONE)
		json_set_count(tunnel, "tunnel_id", entry->id);
	tunnel_rates_sample(entry, d->db, view->now);
	set_traffic(tunnel, entry, d->db);
	json_set_count(tunnel, "rekeys", entry->rekeys);
	json_set_count(tunnel, "ike_rekeys", entry->ike_rekeys);
	if (entry->last_error[0])
		json_set_text(tunnel, "last_error", entry->last_error);
	return tunnel;
}

static json_t *tunnels_json(struct daemon *d, uint64_t now)
{
	struct view view = {.conns = json_object(), .children = json_object(), .now = now};
	json_t *list = json_array();

	view.tunnels = installer_tunnels(d->installer);
	engine_each(d->engine, view_one, &view);
	for (struct tunnel_entry *entry = view.tunnels->first; entry; entry = entry->next)
		if (entry->configured || entry->pairs)
			json_array_append_new(list, tunnel_json(d, entry, &view));
	json_decref(view.conns);
	json_decref(view.children);
	return list;
}

/* Before the agent's maps are there. */
static json_t *tunnels_waiting(const struct daemon *d, uint64_t now)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < d->config->connections_count; i++)
		for (unsigned j = 0; j < d->config->connections[i].children_count; j++) {
			const struct config_connection *conn = &d->config->connections[i];
			json_t *tunnel = tunnel_blank(d->config, conn->name, conn->children[j].name);

			json_set_seconds(tunnel, "since", d->since_ns, now);
			json_set_text(tunnel, "last_error", "waiting for espalier-agent, which makes the maps");
			json_array_append_new(list, tunnel);
		}
	return list;
}

/* ---- all ------------------------------------------------------------------------------------------------------- */
static json_t *interfaces_json(const struct agent_link *link)
{
	static const char *const modes[] = {
		[ATTACH_NONE] = "none", [ATTACH_NATIVE] = "native", [ATTACH_GENERIC] = "generic"};
	static const char *const engines[] = {
		[TX_ENGINE_XSK] = "xsk", [TX_ENGINE_LIVE_READY] = "xsk, live under load", [TX_ENGINE_LIVE] = "live"};
	static const char *const polls[] = {
		[BUSY_POLL_OFF] = "off", [BUSY_POLL_ON] = "on", [BUSY_POLL_REFUSED] = "refused"};
	json_t *list = json_array();
	unsigned count;
	const struct agent_message *ports = agent_link_ports(link, &count);

	for (unsigned i = 0; i < count; i++) {
		const char *mode = ports[i].port.mode <= ATTACH_GENERIC ? modes[ports[i].port.mode] : "none";
		json_t *port = json_object();

		json_set_text(port, "name", ports[i].port.ifname);
		json_set_text(port, "mode", ports[i].port.host && ports[i].port.ifindex ? "tun" : mode);
		json_object_set_new(port, "zero_copy", json_boolean(ports[i].port.zero_copy));
		json_set_count(port, "queues", ports[i].port.queues);
		json_object_set_new(port, "host", json_boolean(ports[i].port.host));
		json_set_text(port, "tx_engine",
			ports[i].port.tx_engine <= TX_ENGINE_LIVE ? engines[ports[i].port.tx_engine] : "xsk");
		json_set_text(port, "tx_reason", ports[i].port.tx_reason);
		json_set_count(port, "ring_size", ports[i].port.ring_size);
		json_set_text(port, "busy_poll",
			ports[i].port.busy_poll <= BUSY_POLL_REFUSED ? polls[ports[i].port.busy_poll] : "off");
		json_object_set_new(port, "need_wakeup", json_boolean(ports[i].port.need_wakeup));
		json_object_set_new(port, "multi_buffer", json_boolean(ports[i].port.multi_buffer));
		json_set_text(port, "reason", ports[i].port.reason);
		json_array_append_new(list, port);
	}
	return list;
}

static json_t *suites_json(const struct agent_link *link)
{
	json_t *list = json_array();
	unsigned count;
	const struct agent_message *suites = agent_link_suites(link, &count);

	for (unsigned i = 0; i < count; i++) {
		json_t *suite = json_object();

		json_set_text(suite, "name", suites[i].suite.name);
		json_set_text(suite, "protocol", suites[i].suite.protocol == IPPROTO_AH ? "ah" : "esp");
		json_set_text(suite, "engine", suites[i].suite.engine);
		json_set_count(suite, "ns_small", suites[i].suite.ns_small);
		json_set_count(suite, "ns_large", suites[i].suite.ns_large);
		json_array_append_new(list, suite);
	}
	return list;
}

/* Those that have ever run; their counters go on across restarts of the agent. */
static json_t *workers_json(const struct sadb *db)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < WORKERS_MAX; i++) {
		const struct worker_stat *stat = sadb_worker(db, i);
		json_t *worker;

		if (!stat || !stat->turns)
			continue;
		worker = json_object();
		json_set_count(worker, "worker", i);
		json_set_count(worker, "rx_packets", stat->rx_packets);
		json_set_count(worker, "tx_packets", stat->tx_packets);
		json_set_count(worker, "sealed", stat->sealed);
		json_set_count(worker, "opened", stat->opened);
		json_set_count(worker, "lent", stat->lent);
		json_set_count(worker, "borrowed", stat->borrowed);
		json_array_append_new(list, worker);
	}
	return list;
}

json_t *api_status(struct daemon *d)
{
	uint64_t now = clock_now_ns();
	json_t *status = json_object();

	json_object_set_new(status, "agent", json_pack("{s:b}", "connected", agent_link_connected(d->link)));
	json_set_seconds(status, "since", d->since_ns, now);
	json_object_set_new(status, "interfaces", interfaces_json(d->link));
	json_object_set_new(status, "suites", suites_json(d->link));
	json_object_set_new(status, "workers", d->db ? workers_json(d->db) : json_array());
	json_object_set_new(status, "tunnels", d->engine ? tunnels_json(d, now) : tunnels_waiting(d, now));
	agent_link_ports_query(d->link); /* for the next time */
	return status;
}
