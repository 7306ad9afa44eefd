/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/selector.h"

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

static bool fits(const struct selector *selector, const struct inner *inner, const uint8_t *address, uint16_t port)
{
	uint32_t len = inner_addr_len(inner);

	return selector->family == inner->family && (!selector->protocol || selector->protocol == inner->protocol) &&
	       memcmp(address, selector->first, len) >= 0 && memcmp(address, selector->last, len) <= 0 &&
	       ports_fit(selector, inner, port);
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
