/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/routes.h"

#include "agent/base/log.h"

#include <stdlib.h>
#include <string.h>

#define ROUTES_ROOM_FIRST 64u

static struct route_want *routes_find(struct routes *routes, const struct ip_prefix *prefix, enum agent_route_use use)
{
	for (uint32_t i = 0; i < routes->count; i++) {
		struct route_want *want = &routes->items[i];

		if (want->use == use && want->prefix.len == prefix->len &&
			addr_equal(&want->prefix.addr, &prefix->addr))
			return want;
	}
	return NULL;
}

static struct route_want *routes_make(struct routes *routes, const struct ip_prefix *prefix, enum agent_route_use use)
{
	struct route_want *want = routes_find(routes, prefix, use);

	if (want)
		return want;
	if (routes->count == ROUTES_MAX)
		return NULL;
	if (routes->count == routes->room) {
		uint32_t room = routes->room ? 2 * routes->room : ROUTES_ROOM_FIRST;
		struct route_want *items = realloc(routes->items, room * sizeof(*items));

		if (!items)
			return NULL;
		routes->items = items;
		routes->room = room;
	}
	want = &routes->items[routes->count++];
	memset(want, 0, sizeof(*want));
	want->prefix = *prefix;
	want->use = use;
	return want;
}

static void routes_adopt(const struct ip_prefix *prefix, enum agent_route_use use, void *context)
{
	struct route_want *want = routes_make(context, prefix, use);

	if (want)
		want->in_kernel = true;
}

void routes_init(struct routes *routes, struct netlink *netlink, uint32_t ifindex)
{
	memset(routes, 0, sizeof(*routes));
	routes->netlink = netlink;
	routes->ifindex = ifindex;
	hostdev_routes_each(netlink, routes_adopt, routes);
	hostdev_sources_each(netlink, routes_adopt, routes);
	routes->full_v4 = routes->full_v6 = true; /* perhaps; what is not wanted goes at the first occasion */
}

void routes_clear(struct routes *routes)
{
	free(routes->addresses);
	free(routes->items);
	memset(routes, 0, sizeof(*routes));
}

/* A local address inside the wished range, else IP_NONE. */
static struct ip_addr routes_source(const struct routes *routes, const struct route_want *want)
{
	size_t len = addr_len(&want->source_first);

	for (uint32_t i = 0; len && i < routes->address_count; i++) {
		const struct ip_addr *addr = &routes->addresses[i].addr;

		if (addr->family == want->source_first.family &&
			memcmp(addr->bytes, want->source_first.bytes, len) >= 0 &&
			memcmp(addr->bytes, want->source_last.bytes, len) <= 0)
			return *addr;
	}
	return (struct ip_addr){.family = IP_NONE};
}

static bool *routes_full(struct routes *routes, const struct ip_prefix *prefix)
{
	return prefix->addr.family == IP_V4 ? &routes->full_v4 : &routes->full_v6;
}

static int routes_put_tunnel(struct routes *routes, const struct route_want *want)
{
	struct hostdev_route route = {.prefix = want->prefix, .source = routes_source(routes, want)};
	int err = hostdev_route_add(routes->netlink, routes->ifindex, &route);

	if (err || want->prefix.len)
		return err;
	*routes_full(routes, &want->prefix) = true;
	return hostdev_full_add(routes->netlink, want->prefix.addr.family, route.source.family != IP_NONE);
}

static bool route_is_tunnel(const struct route_want *want)
{
	return want->use == ROUTE_TUNNEL || want->use == ROUTE_CAPTURED;
}

static void routes_put(struct routes *routes, struct route_want *want)
{
	char text[ADDR_TEXT_LEN];
	int err;

	if (want->use == ROUTE_CAPTURED && routes->captures)
		return;
	if (route_is_tunnel(want))
		err = routes_put_tunnel(routes, want);
	else if (want->use == ROUTE_LOCAL)
		err = hostdev_throw_add(routes->netlink, &want->prefix);
	else
		err = hostdev_source_add(routes->netlink, &want->prefix);
	want->in_kernel = !err;
	if (err)
		log_error("the route to %s/%u by %s cannot be set: %s", addr_format(&want->prefix.addr, text),
			want->prefix.len, HOST_DEVICE, strerror(-err));
}

/* In the kernel both uses of a prefix are one route. */
static bool routes_share(struct routes *routes, const struct route_want *want)
{
	const struct route_want *other =
		routes_find(routes, &want->prefix, want->use == ROUTE_TUNNEL ? ROUTE_CAPTURED : ROUTE_TUNNEL);

	return other && other->wanted && other->in_kernel;
}

static void routes_drop(struct routes *routes, struct route_want *want)
{
	want->in_kernel = false;
	if (route_is_tunnel(want) && routes_share(routes, want))
		return;
	if (route_is_tunnel(want))
		hostdev_route_delete(routes->netlink, &want->prefix);
	else if (want->use == ROUTE_LOCAL)
		hostdev_throw_delete(routes->netlink, &want->prefix);
	else
		hostdev_source_delete(routes->netlink, &want->prefix);
}

/* The rules around a full tunnel's route stand as long as there is one in the family. */
static void routes_drop_full(struct routes *routes, uint8_t family)
{
	struct ip_prefix all = {.addr = {.family = family}};

	if (!*routes_full(routes, &all) || routes_find(routes, &all, ROUTE_TUNNEL))
		return;
	hostdev_full_remove(routes->netlink, family);
	*routes_full(routes, &all) = false;
}

/* Take the routes that nobody wants out of the kernel and the list. */
static void routes_drop_unwanted(struct routes *routes)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < routes->count; i++)
		if (!routes->items[i].wanted && routes->items[i].in_kernel)
			routes_drop(routes, &routes->items[i]);
	for (uint32_t i = 0; i < routes->count; i++)
		if (routes->items[i].wanted)
			routes->items[kept++] = routes->items[i];
	routes->count = kept;
	routes_drop_full(routes, IP_V4);
	routes_drop_full(routes, IP_V6);
}

static bool route_read(const struct agent_message *message, struct route_want *want)
{
	static const struct addr16 none;

	memset(want, 0, sizeof(*want));
	addr_from_mapped(message->route.prefix.bytes, &want->prefix.addr);
	/* "::" and IPv6 ranges have no mapped form to tell the family by. */
	if (want->prefix.addr.family != message->route.family)
		return false;
	want->prefix.len = message->route.len;
	want->use = message->route.use;
	if (want->use > ROUTE_CAPTURED)
		return false;
	if (want->prefix.len > addr_len(&want->prefix.addr) * 8)
		return false;
	if (memcmp(&message->route.source_last, &none, sizeof(none)) != 0) {
		addr_from_mapped(message->route.source_first.bytes, &want->source_first);
		addr_from_mapped(message->route.source_last.bytes, &want->source_last);
	}
	return true;
}

void routes_message(struct routes *routes, const struct agent_message *message)
{
	struct route_want wish, *want;

	switch (message->kind) {
	case AGENT_ROUTES_RESET:
		routes->resetting = true;
		for (uint32_t i = 0; i < routes->count; i++)
			routes->items[i].wanted = 0;
		return;
	case AGENT_ROUTES_DONE:
		routes->resetting = false;
		routes_drop_unwanted(routes);
		return;
	default:
		break;
	}
	if (!route_read(message, &wish)) {
		log_warn("a route message with a prefix that is none was ignored");
		return;
	}
	if (message->kind == AGENT_ROUTE_DELETE) {
		want = routes_find(routes, &wish.prefix, wish.use);
		if (want && want->wanted && !--want->wanted && !routes->resetting)
			routes_drop_unwanted(routes);
		return;
	}
	want = routes_make(routes, &wish.prefix, wish.use);
	if (!want) {
		log_error("no room for more than %u routes", ROUTES_MAX);
		return;
	}
	want->wanted++;
	want->source_first = wish.source_first;
	want->source_last = wish.source_last;
	routes_put(routes, want);
}

void routes_capture(struct routes *routes, bool captures)
{
	if (routes->captures == captures)
		return;
	routes->captures = captures;
	for (uint32_t i = 0; i < routes->count; i++) {
		struct route_want *want = &routes->items[i];

		if (want->use != ROUTE_CAPTURED || !want->wanted)
			continue;
		if (!captures)
			routes_put(routes, want);
		else if (want->in_kernel)
			routes_drop(routes, want);
	}
}

void routes_addresses(struct routes *routes, struct local_addr *addresses, uint32_t count)
{
	free(routes->addresses);
	routes->addresses = addresses;
	routes->address_count = count;
	for (uint32_t i = 0; i < routes->count; i++)
		if (routes->items[i].wanted && route_is_tunnel(&routes->items[i]))
			routes_put(routes, &routes->items[i]);
}
