/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/selector.h"

#include <endian.h>
#include <string.h>

#define PORT_ANY_LAST 0xffffu

static bool ports_fit(const struct selector *selector, const struct inner *inner, uint16_t port)
{
	if (selector->port_first == 0 && selector->port_last == PORT_ANY_LAST)
		return true;
	if (!inner->ports_known) /* fits OPAQUE alone (RFC 7296 3.13.1) */
		return selector->port_first > selector->port_last;
	return port >= selector->port_first && port <= selector->port_last;
}

/* Between first and last, all in network byte order. */
static bool within(const struct selector *selector, const struct inner *inner, const uint8_t *address)
{
	uint32_t first, last, middle;

	if (inner->family == 6)
		return memcmp(address, selector->first, 16) >= 0 && memcmp(address, selector->last, 16) <= 0;
	memcpy(&first, selector->first, 4);
	memcpy(&last, selector->last, 4);
	memcpy(&middle, address, 4);
	return be32toh(middle) >= be32toh(first) && be32toh(middle) <= be32toh(last);
}

static bool fits(const struct selector *selector, const struct inner *inner, const uint8_t *address, uint16_t port)
{
	return selector->family == inner->family && (!selector->protocol || selector->protocol == inner->protocol) &&
	       within(selector, inner, address) && ports_fit(selector, inner, port);
}

static bool fits_any(const struct selector *selectors, uint8_t count, const struct inner *inner, const uint8_t *address,
	uint16_t port)
{
	for (unsigned i = 0; i < count && i < SELECTORS_MAX; i++) {
		if (fits(&selectors[i], inner, address, port))
			return true;
	}
	return false;
}

bool selector_match_in(const struct tunnel *tunnel, const struct inner *inner)
{
	return fits_any(tunnel->local, tunnel->local_count, inner, inner->destination, inner->destination_port) &&
	       fits_any(tunnel->remote, tunnel->remote_count, inner, inner->source, inner->source_port);
}

bool selector_match_out(const struct tunnel *tunnel, const struct inner *inner)
{
	return fits_any(tunnel->local, tunnel->local_count, inner, inner->source, inner->source_port) &&
	       fits_any(tunnel->remote, tunnel->remote_count, inner, inner->destination, inner->destination_port);
}

static bool any_ipv4(const struct selector *selector)
{
	return selector->family == 4 && !selector->protocol && selector->port_first == 0 &&
	       selector->port_last == PORT_ANY_LAST && wire_get32(selector->first) <= wire_get32(selector->last);
}

void selector_pair_init(struct selector_pair *pair, const struct tunnel *tunnel)
{
	const struct selector *local = &tunnel->local[0], *remote = &tunnel->remote[0];

	memset(pair, 0, sizeof(*pair));
	if (!tunnel->local_count || !tunnel->remote_count || !any_ipv4(local) || !any_ipv4(remote))
		return;
	pair->family = 4;
	pair->local_first = wire_get32(local->first);
	pair->local_span = wire_get32(local->last) - pair->local_first;
	pair->remote_first = wire_get32(remote->first);
	pair->remote_span = wire_get32(remote->last) - pair->remote_first;
}
