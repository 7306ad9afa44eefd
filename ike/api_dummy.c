/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/dummy: dummy packets on request (RFC 4303 2.6). */
#include "ike/agent_link.h"
#include "ike/api_json.h"
#include "ike/daemon.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define DUMMY_COUNT_DEFAULT 1
#define DUMMY_BYTES_DEFAULT 64

enum { HTTP_ACCEPTED = 202, HTTP_BAD_REQUEST = 400, HTTP_NOT_FOUND = 404, HTTP_CONFLICT = 409, HTTP_UNAVAILABLE = 503 };

struct dummy_order {
	const char *conn;
	const char *child; /* "": all */
	json_int_t count;
	json_int_t bytes;
};

static const char *order_text(const json_t *body, const char *key, const char *fallback)
{
	const json_t *value = json_object_get(body, key);

	return !value || json_is_null(value) ? fallback : json_string_value(value);
}

/* A number of the body, `fallback` without one; -1: it is none. */
static json_int_t order_number(const json_t *body, const char *key, json_int_t fallback)
{
	const json_t *value = json_object_get(body, key);

	if (!value || json_is_null(value))
		return fallback;
	return json_is_integer(value) ? json_integer_value(value) : -1;
}

/* NULL: it makes sense. */
static json_t *order_read(const json_t *body, struct dummy_order *order)
{
	order->conn = order_text(body, "connection", NULL);
	order->child = order_text(body, "child", "");
	order->count = order_number(body, "count", DUMMY_COUNT_DEFAULT);
	order->bytes = order_number(body, "size", DUMMY_BYTES_DEFAULT);
	if (!order->conn || !order->child)
		return api_error("\"connection\" (a text) was expected, and \"child\" (a text) may follow");
	if (order->count < 1 || order->count > (json_int_t)AGENT_DUMMY_COUNT_MAX)
		return api_error("\"count\" must be a number from 1 to %u", AGENT_DUMMY_COUNT_MAX);
	if (order->bytes < 0 || order->bytes > (json_int_t)AGENT_DUMMY_BYTES_MAX)
		return api_error("\"size\" must be a number of bytes from 0 to %u", AGENT_DUMMY_BYTES_MAX);
	return NULL;
}

static bool order_concerns(const struct dummy_order *order, const struct tunnel_entry *entry)
{
	return strcmp(entry->conn, order->conn) == 0 && (!order->child[0] || strcmp(entry->child, order->child) == 0);
}

/* Has it an outbound SA of ESP? AH has no dummy packets. */
static bool entry_sends_esp(const struct daemon *d, const struct tunnel_entry *entry)
{
	for (const struct sa_pair *pair = entry->pairs; pair; pair = pair->next)
		if (pair->sa_out != SA_NONE && sadb_slot(d->db, pair->sa_out)->protocol == IPPROTO_ESP)
			return true;
	return false;
}

/* The names of the children that were told to; 0 or agent_link_dummy's error. */
static int order_send(struct daemon *d, const struct dummy_order *order, json_t *names, bool *known)
{
	int rc = 0;

	for (const struct tunnel_entry *entry = installer_tunnels(d->installer)->first; entry && !rc;
		entry = entry->next) {
		if (!order_concerns(order, entry))
			continue;
		*known = true;
		if (!entry_sends_esp(d, entry))
			continue;
		rc = agent_link_dummy(d->link, entry->id, (uint32_t)order->count, (uint32_t)order->bytes);
		if (!rc)
			json_array_append_new(names, json_string(entry->child));
	}
	return rc;
}

json_t *api_dummy(struct daemon *d, const json_t *body, unsigned *status)
{
	struct dummy_order order;
	json_t *error = order_read(body, &order), *names, *answer;
	bool known = false;
	int rc;

	*status = HTTP_BAD_REQUEST;
	if (error)
		return error;
	*status = HTTP_UNAVAILABLE;
	if (!d->engine || d->stopping)
		return api_error(
			d->stopping ? "espalier-ike is ending" : "waiting for espalier-agent, which makes the maps");
	names = json_array();
	rc = order_send(d, &order, names, &known);
	if (!rc && json_array_size(names)) {
		*status = HTTP_ACCEPTED;
		answer = json_object();
		json_object_set_new(answer, "children", names);
		return answer;
	}
	json_decref(names);
	if (rc)
		return api_error(rc == -ENOTCONN ? "espalier-agent is not connected"
						 : "the line to espalier-agent is full; try again");
	*status = known ? HTTP_CONFLICT : HTTP_NOT_FOUND;
	return api_error(known ? "%s%s%s has no ESP SA to send by; is it up?" : "there is no %s%s%s", order.conn,
		order.child[0] ? "/" : "", order.child);
}
