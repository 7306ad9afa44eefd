/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/neighbor_news.h"

#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

struct reading {
	struct neighbor_record record;
	bool has_mac;
};

static int reading_attr(const struct nlattr *attr, void *context)
{
	struct reading *reading = context;
	struct neighbor_record *record = &reading->record;
	size_t len = mnl_attr_get_payload_len(attr);
	const void *payload = mnl_attr_get_payload(attr);

	if (mnl_attr_get_type(attr) == NDA_DST && len == (record->family == AF_INET ? 4u : 16u))
		memcpy(record->address, payload, len);
	if (mnl_attr_get_type(attr) == NDA_LLADDR && len == sizeof(record->mac)) {
		memcpy(record->mac, payload, len);
		reading->has_mac = true;
	}
	return MNL_CB_OK;
}

/* False: no neighbour of IP (a bridge announces the link addresses behind its ports in the same way). */
static bool reading_take(const struct nlmsghdr *message, struct neighbor_record *record)
{
	const struct ndmsg *body = mnl_nlmsg_get_payload(message);
	struct reading reading = {{0}, false};

	if (body->ndm_family != AF_INET && body->ndm_family != AF_INET6)
		return false;
	reading.record.family = body->ndm_family;
	reading.record.ifindex = (uint32_t)body->ndm_ifindex;
	mnl_attr_parse(message, sizeof(*body), reading_attr, &reading);
	reading.record.usable =
		message->nlmsg_type == RTM_NEWNEIGH && body->ndm_state & NEIGHBOR_USABLE && reading.has_mac;
	if (!reading.record.usable)
		memset(reading.record.mac, 0, sizeof(reading.record.mac));
	*record = reading.record;
	return true;
}

uint16_t neighbor_group(uint8_t family, uint32_t ifindex, const uint8_t address[static 16])
{
	uint64_t words[2], hash;

	memcpy(words, address, sizeof(words));
	hash = (words[0] ^ ((uint64_t)family << 32 | ifindex)) * UINT64_C(0x9e3779b97f4a7c15) ^ words[1];
	hash *= UINT64_C(0x9e3779b97f4a7c15);
	return (uint16_t)(1 + (hash >> 40) % (FIB_NEIGHBORS - 1));
}

uint16_t neighbor_news(struct neighbor_records *records, const struct nlmsghdr *message)
{
	struct neighbor_record now, *known;
	uint16_t group;
	bool same;

	if (!reading_take(message, &now))
		return 0;
	group = neighbor_group(now.family, now.ifindex, now.address);
	known = &records->records[group];
	same = known->ifindex == now.ifindex && known->family == now.family &&
	       memcmp(known->address, now.address, sizeof(now.address)) == 0;
	if (!same && !now.usable)
		return 0;
	if (same && known->usable == now.usable && memcmp(known->mac, now.mac, sizeof(now.mac)) == 0)
		return 0;
	*known = now;
	return group;
}
