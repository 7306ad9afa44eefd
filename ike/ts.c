/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/ts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static size_t family_len(uint8_t family)
{
	return family == IP_V4 ? 4 : 16;
}

/* Ports that cannot be seen (RFC 7296 3.13.1, RFC 4301 4.4.1.1): part of ANY, but of no range. */
static bool ports_opaque(const struct selector *selector)
{
	return selector->port_first == UINT16_MAX && selector->port_last == 0;
}

void ts_of_addr(const struct ip_addr *addr, struct selector *out)
{
	*out = (struct selector){.family = addr->family, .port_last = UINT16_MAX};
	memcpy(out->first, addr->bytes, addr_len(addr));
	memcpy(out->last, addr->bytes, addr_len(addr));
}

static void range_of_prefix(const struct ip_prefix *prefix, struct selector *out)
{
	ts_of_addr(&prefix->addr, out);
	for (unsigned bit = prefix->len; bit < family_len(out->family) * 8; bit++)
		out->last[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
}

/* "A-B" or a prefix. */
static bool range_parse(char *text, struct selector *out)
{
	char *dash = strchr(text, '-');
	struct ip_prefix prefix;
	struct ip_addr first, last;

	if (!dash) {
		if (!prefix_parse(text, &prefix))
			return false;
		range_of_prefix(&prefix, out);
		return true;
	}
	*dash = '\0';
	if (!addr_parse(text, &first) || !addr_parse(dash + 1, &last) || first.family != last.family ||
		memcmp(first.bytes, last.bytes, addr_len(&first)) > 0)
		return false;
	ts_of_addr(&first, out);
	memcpy(out->last, last.bytes, addr_len(&last));
	return true;
}

static bool number_parse(const char *text, unsigned long max, unsigned long *out)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	*out = strtoul(text, &end, 10);
	return *end == '\0' && *out <= max;
}

static bool protocol_parse(const char *text, uint8_t *out)
{
	static const struct {
		const char *name;
		uint8_t protocol;
	} names[] = {{"any", 0}, {"icmp", 1}, {"tcp", 6}, {"udp", 17}, {"gre", 47}, {"icmpv6", 58}, {"ipv6-icmp", 58},
		{"ospf", 89}, {"sctp", 132}};
	unsigned long number;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcasecmp(names[i].name, text) == 0) {
			*out = names[i].protocol;
			return true;
		}
	}
	if (!number_parse(text, UINT8_MAX, &number))
		return false;
	*out = (uint8_t)number;
	return true;
}

static bool ports_parse(char *text, struct selector *out)
{
	char *dash = strchr(text, '-');
	unsigned long first, last;

	if (strcasecmp(text, "any") == 0)
		return true;
	if (strcasecmp(text, "opaque") == 0) {
		out->port_first = UINT16_MAX;
		out->port_last = 0;
		return true;
	}
	if (dash)
		*dash = '\0';
	if (!number_parse(text, UINT16_MAX, &first) || !number_parse(dash ? dash + 1 : text, UINT16_MAX, &last) ||
		first > last)
		return false;
	out->port_first = (uint16_t)first;
	out->port_last = (uint16_t)last;
	return true;
}

static bool is_icmp(uint8_t protocol)
{
	return protocol == 1 || protocol == 58;
}

/* "8" (a type, any code), "3/4" (type and code), or strongSwan's type * 256 + code. They stand where ports do (RFC
 * 7296 3.13.1). */
static bool icmp_parse(char *text, struct selector *out)
{
	char *slash = strchr(text, '/');
	unsigned long type, code;

	if (slash) {
		*slash = '\0';
		if (!number_parse(text, UINT8_MAX, &type) || !number_parse(slash + 1, UINT8_MAX, &code))
			return false;
		out->port_first = out->port_last = (uint16_t)(type << 8 | code);
		return true;
	}
	if (!number_parse(text, UINT8_MAX, &type))
		return ports_parse(text, out);
	out->port_first = (uint16_t)(type << 8);
	out->port_last = (uint16_t)(type << 8 | UINT8_MAX);
	return true;
}

static bool suffix_parse(char *protocol, char *rest, struct selector *out)
{
	if (!protocol_parse(protocol, &out->protocol))
		return false;
	return !rest || (is_icmp(out->protocol) ? icmp_parse(rest, out) : ports_parse(rest, out));
}

bool ts_parse(const char *text, struct selector *out, char *error, size_t error_size)
{
	char copy[TS_TEXT_LEN];
	char *bracket, *slash, *end;

	if (strlen(text) >= sizeof(copy)) {
		snprintf(error, error_size, "too long for a traffic selector");
		return false;
	}
	memcpy(copy, text, strlen(text) + 1);
	bracket = strchr(copy, '[');
	if (bracket)
		*bracket++ = '\0';
	if (!range_parse(copy, out)) {
		snprintf(error, error_size,
			"\"%.80s\" is no traffic selector; expected a prefix (10.1.0.0/16, host bits zero), an address "
			"or a range (10.1.0.1-10.1.0.9), "
			"with [tcp/443] behind it if need be",
			text);
		return false;
	}
	if (!bracket)
		return true;
	end = strchr(bracket, ']');
	slash = strchr(bracket, '/');
	if (end)
		*end = '\0';
	if (slash)
		*slash++ = '\0';
	if (!end || end[1] || !suffix_parse(bracket, slash, out)) {
		snprintf(error, error_size,
			"\"%.80s\": expected [protocol] or [protocol/port] or [protocol/first-last], such as "
			"[tcp/443], "
			"or [icmp/type] or [icmp/type/code]",
			text);
		return false;
	}
	return true;
}

/* Length of the prefix that the range is, or -1. */
static int prefix_len_of(const struct selector *selector)
{
	int len = 0;
	int bits = (int)family_len(selector->family) * 8;

	while (len < bits && !((selector->first[len / 8] ^ selector->last[len / 8]) & (0x80 >> len % 8)))
		len++;
	for (int bit = len; bit < bits; bit++)
		if (selector->first[bit / 8] & (0x80 >> bit % 8) || !(selector->last[bit / 8] & (0x80 >> bit % 8)))
			return -1;
	return len;
}

static void protocol_format(const struct selector *selector, char *out, size_t size)
{
	const char *name = selector->protocol == 6    ? "tcp"
			   : selector->protocol == 17 ? "udp"
			   : selector->protocol == 1  ? "icmp"
			   : selector->protocol == 58 ? "icmpv6"
						      : NULL;
	char number[8], ports[32] = "";

	out[0] = '\0';
	if (ports_opaque(selector))
		snprintf(ports, sizeof(ports), "/opaque");
	else if (is_icmp(selector->protocol) && selector->port_first == selector->port_last)
		snprintf(ports, sizeof(ports), "/%u/%u", selector->port_first >> 8, selector->port_first & 0xff);
	else if (is_icmp(selector->protocol) && !(selector->port_first & 0xff) &&
		 selector->port_last == (selector->port_first | 0xff))
		snprintf(ports, sizeof(ports), "/%u", selector->port_first >> 8);
	else if (selector->port_first == selector->port_last)
		snprintf(ports, sizeof(ports), "/%u", selector->port_first);
	else if (selector->port_first != 0 || selector->port_last != UINT16_MAX)
		snprintf(ports, sizeof(ports), "/%u-%u", selector->port_first, selector->port_last);
	if (!selector->protocol && !ports[0])
		return;
	snprintf(number, sizeof(number), "%u", selector->protocol);
	snprintf(out, size, "[%s%s]", selector->protocol == 0 ? "any" : name ? name : number, ports);
}

const char *ts_format(const struct selector *selector, char out[static TS_TEXT_LEN])
{
	struct ip_addr first = {.family = selector->family}, last = {.family = selector->family};
	char first_text[ADDR_TEXT_LEN], last_text[ADDR_TEXT_LEN], suffix[48];
	int len = prefix_len_of(selector);

	memcpy(first.bytes, selector->first, 16);
	memcpy(last.bytes, selector->last, 16);
	addr_format(&first, first_text);
	addr_format(&last, last_text);
	protocol_format(selector, suffix, sizeof(suffix));
	if (len >= 0)
		snprintf(out, TS_TEXT_LEN, "%.46s/%d%s", first_text, len, suffix);
	else
		snprintf(out, TS_TEXT_LEN, "%.46s-%.46s%s", first_text, last_text, suffix);
	return out;
}

const char *ts_list_format(const struct selector *items, unsigned count, char *out, size_t size)
{
	size_t len = 0;

	if (size)
		out[0] = '\0';
	for (unsigned i = 0; i < count && len < size; i++) {
		char text[TS_TEXT_LEN];
		int more = snprintf(out + len, size - len, "%s%s", i ? ", " : "", ts_format(&items[i], text));

		len += more > 0 ? (size_t)more : 0;
	}
	return out;
}

bool ts_equal(const struct selector *a, const struct selector *b)
{
	return ts_contains(a, b) && ts_contains(b, a);
}

static bool ports_contain(const struct selector *outer, const struct selector *inner)
{
	if (outer->port_first == 0 && outer->port_last == UINT16_MAX)
		return true;
	if (ports_opaque(outer) || ports_opaque(inner))
		return ports_opaque(outer) && ports_opaque(inner);
	return outer->port_first <= inner->port_first && inner->port_last <= outer->port_last &&
	       inner->port_first <= inner->port_last;
}

bool ts_contains(const struct selector *outer, const struct selector *inner)
{
	size_t len = family_len(outer->family);

	return outer->family == inner->family && (!outer->protocol || outer->protocol == inner->protocol) &&
	       ports_contain(outer, inner) && memcmp(outer->first, inner->first, len) <= 0 &&
	       memcmp(inner->last, outer->last, len) <= 0;
}

static bool ports_intersect(const struct selector *a, const struct selector *b, struct selector *out)
{
	const struct selector *narrow = ports_contain(a, b) ? b : a;

	if (ports_opaque(a) || ports_opaque(b)) {
		out->port_first = narrow->port_first;
		out->port_last = narrow->port_last;
		return ports_contain(a, b) || ports_contain(b, a);
	}
	out->port_first = a->port_first > b->port_first ? a->port_first : b->port_first;
	out->port_last = a->port_last < b->port_last ? a->port_last : b->port_last;
	return out->port_first <= out->port_last;
}

bool ts_intersect(const struct selector *a, const struct selector *b, struct selector *out)
{
	size_t len = family_len(a->family);

	if (a->family != b->family || (a->protocol && b->protocol && a->protocol != b->protocol))
		return false;
	*out = (struct selector){.family = a->family, .protocol = a->protocol ? a->protocol : b->protocol};
	memcpy(out->first, memcmp(a->first, b->first, len) > 0 ? a->first : b->first, len);
	memcpy(out->last, memcmp(a->last, b->last, len) < 0 ? a->last : b->last, len);
	return memcmp(out->first, out->last, len) <= 0 && ports_intersect(a, b, out);
}

bool ts_list_contains(
	const struct selector *outer, unsigned outer_count, const struct selector *inner, unsigned inner_count)
{
	for (unsigned i = 0; i < inner_count; i++) {
		bool found = false;

		for (unsigned j = 0; j < outer_count && !found; j++)
			found = ts_contains(&outer[j], &inner[i]);
		if (!found)
			return false;
	}
	return inner_count > 0;
}

/* Add `one` unless a present one contains it; present ones that it contains go. */
static unsigned narrowed_add(struct selector *items, unsigned count, const struct selector *one)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < count; i++)
		if (ts_contains(&items[i], one))
			return count;
	for (unsigned i = 0; i < count; i++)
		if (!ts_contains(one, &items[i]))
			items[kept++] = items[i];
	if (kept < SELECTORS_MAX)
		items[kept++] = *one;
	return kept;
}

unsigned ts_narrow(const struct selector *offered, unsigned offered_count, const struct selector *configured,
	unsigned configured_count, struct selector out[static SELECTORS_MAX])
{
	unsigned count = 0;

	for (unsigned i = 0; i < offered_count; i++) {
		for (unsigned j = 0; j < configured_count; j++) {
			struct selector common;

			if (ts_intersect(&offered[i], &configured[j], &common))
				count = narrowed_add(out, count, &common);
		}
	}
	return count;
}
