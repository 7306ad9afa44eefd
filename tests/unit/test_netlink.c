/* SPDX-License-Identifier: Apache-2.0 */
/* What rtnetlink's announcements of links say, from messages made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/host_rules.h"
#include "agent/neighbor_news.h"
#include "agent/netlink.h"

#include <arpa/inet.h>
#include <linux/fib_rules.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <stdlib.h>
#include <string.h>

static uint8_t buffer[1024] __attribute__((aligned(8)));

static struct nlmsghdr *link_begin(uint32_t flags)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 7};
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *body = mnl_nlmsg_put_extra_header(message, sizeof(*body));

	message->nlmsg_type = RTM_NEWLINK;
	body->ifi_index = 12;
	body->ifi_flags = flags;
	mnl_attr_put_strz(message, IFLA_IFNAME, "wan0.7");
	mnl_attr_put_u32(message, IFLA_MTU, 1496);
	mnl_attr_put(message, IFLA_ADDRESS, sizeof(mac), mac);
	mnl_attr_put_u32(message, IFLA_LINK, 3);
	return message;
}

static void kind_put(struct nlmsghdr *message, const char *kind, uint16_t protocol, uint16_t id)
{
	struct nlattr *info = mnl_attr_nest_start(message, IFLA_LINKINFO);
	struct nlattr *data;

	mnl_attr_put_strz(message, IFLA_INFO_KIND, kind);
	data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
	mnl_attr_put_u16(message, IFLA_VLAN_ID, id);
	mnl_attr_put_u16(message, IFLA_VLAN_PROTOCOL, htons(protocol));
	mnl_attr_nest_end(message, data);
	mnl_attr_nest_end(message, info);
}

static void reads_a_vlan(void **state)
{
	struct nlmsghdr *message = link_begin(IFF_UP | IFF_RUNNING);
	struct link_info link;

	(void)state;
	kind_put(message, "vlan", ETH_P_8021Q, 7);
	assert_true(link_info_read(message, &link));
	assert_string_equal(link.name, "wan0.7");
	assert_string_equal(link.kind, "vlan");
	assert_int_equal(link.ifindex, 12);
	assert_int_equal(link.lower, 3);
	assert_int_equal(link.mtu, 1496);
	assert_int_equal(link.vlan_id, 7);
	assert_int_equal(link.vlan_protocol, ETH_P_8021Q);
	assert_int_equal(link.master, 0);
	assert_int_equal(link.mac[5], 7);
	assert_true(link.up);
}

/* Other kinds give the same numbers another meaning. */
static void reads_no_vlan_of_another_kind(void **state)
{
	struct nlmsghdr *message = link_begin(IFF_UP);
	struct link_info link;

	(void)state;
	mnl_attr_put_u32(message, IFLA_MASTER, 9);
	kind_put(message, "bond", ETH_P_8021Q, 7);
	assert_true(link_info_read(message, &link));
	assert_int_equal(link.vlan_id, 0);
	assert_int_equal(link.vlan_protocol, 0);
	assert_int_equal(link.master, 9);
	assert_false(link.up);
}

static uint16_t neighbor_says(
	struct neighbor_records *records, uint16_t type, uint8_t family, uint16_t state, uint8_t last, const char *mac)
{
	uint8_t address[16] = {192, 0, 2, last};
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct ndmsg *body = mnl_nlmsg_put_extra_header(message, sizeof(*body));

	message->nlmsg_type = type;
	body->ndm_family = family;
	body->ndm_ifindex = 3;
	body->ndm_state = state;
	mnl_attr_put(message, NDA_DST, family == AF_INET ? 4 : 16, address);
	if (mac)
		mnl_attr_put(message, NDA_LLADDR, 6, mac);
	return neighbor_news(records, message);
}

/* Another link address is news, at once; the steps of a state are not, nor is a search that was in vain. */
static void neighbors_that_are_news(void **state)
{
	static const struct {
		uint16_t type;
		uint8_t family;
		uint16_t state;
		uint8_t last;
		const char *mac;
		bool news;
	} rows[] = {
		{RTM_NEWNEIGH, AF_INET, NUD_REACHABLE, 1, "\2\0\0\0\0\1", true},
		{RTM_NEWNEIGH, AF_INET, NUD_STALE, 1, "\2\0\0\0\0\1", false},
		{RTM_NEWNEIGH, AF_INET, NUD_PROBE, 1, "\2\0\0\0\0\1", false},
		{RTM_NEWNEIGH, AF_INET, NUD_REACHABLE, 1, "\2\0\0\0\0\2", true},
		{RTM_NEWNEIGH, AF_INET, NUD_FAILED, 1, NULL, true},
		{RTM_NEWNEIGH, AF_INET, NUD_FAILED, 1, NULL, false},
		{RTM_DELNEIGH, AF_INET, NUD_FAILED, 1, NULL, false},
		{RTM_NEWNEIGH, AF_INET, NUD_REACHABLE, 1, "\2\0\0\0\0\2", true},
		{RTM_DELNEIGH, AF_INET, NUD_STALE, 1, "\2\0\0\0\0\2", true},
		{RTM_NEWNEIGH, AF_INET, NUD_PERMANENT, 1, "\2\0\0\0\0\2", true},
		{RTM_NEWNEIGH, AF_INET6, NUD_REACHABLE, 1, "\2\0\0\0\0\2", true},
		{RTM_NEWNEIGH, AF_INET6, NUD_STALE, 1, "\2\0\0\0\0\2", false},
		{RTM_NEWNEIGH, AF_BRIDGE, NUD_REACHABLE, 2, "\2\0\0\0\0\3", false},
	};
	struct neighbor_records *records = calloc(1, sizeof(*records));
	unsigned found = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(
			neighbor_says(records, rows[i].type, rows[i].family, rows[i].state, rows[i].last, rows[i].mac),
			rows[i].news ? neighbor_group(rows[i].family, 3, (uint8_t[16]){192, 0, 2, rows[i].last}) : 0);
	/* a network is searched through: nobody is there */
	for (unsigned last = 2; last < 256; last++)
		found += neighbor_says(records, RTM_NEWNEIGH, AF_INET, NUD_FAILED, (uint8_t)last, NULL);
	assert_int_equal(found, 0);
	assert_int_equal(0, neighbor_says(records, RTM_NEWNEIGH, AF_INET, NUD_STALE, 1, "\2\0\0\0\0\2"));
	free(records);
}

struct rule_row {
	uint8_t family;
	uint8_t source_len;
	uint8_t source; /* last byte of 192.0.2.x */
	uint8_t tos;
	uint16_t attr; /* FRA_*, with 4 bytes or as a device; 0: none */
	uint32_t priority;
	const char *device;
	bool matters;
};

static bool rule_row_matters(const struct rule_row *row, const struct local_addr *own)
{
	uint8_t source[4] = {192, 0, 2, row->source};
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct fib_rule_hdr *body = mnl_nlmsg_put_extra_header(message, sizeof(*body));

	message->nlmsg_type = RTM_NEWRULE;
	body->family = row->family;
	body->src_len = row->source_len;
	body->tos = row->tos;
	mnl_attr_put_u32(message, FRA_PRIORITY, row->priority);
	if (row->source_len)
		mnl_attr_put(message, FRA_SRC, sizeof(source), source);
	if (row->device)
		mnl_attr_put_strz(message, row->attr, row->device);
	else if (row->attr)
		mnl_attr_put_u32(message, row->attr, 7);
	return host_rule_matters(message, own, 1);
}

/* What a packet out of a tunnel has and a question without its source has not. */
static void rules_that_look_further(void **state)
{
	static const struct rule_row rows[] = {
		{AF_INET, 0, 0, 0, 0, 32766, NULL, false},	    /* main */
		{AF_INET, 32, 5, 0, FRA_TABLE, 10000, NULL, false}, /* from an own address */
		{AF_INET, 32, 6, 0, FRA_TABLE, 10000, NULL, true},
		{AF_INET, 24, 5, 0, FRA_TABLE, 10000, NULL, true},
		{AF_INET, 24, 0, 0, FRA_TABLE, 4503, NULL, false}, /* the agent's */
		{AF_INET, 0, 0, 0, FRA_FWMARK, 100, NULL, false},
		{AF_INET, 0, 0, 8, 0, 100, NULL, true},
		{AF_INET, 0, 0, 0, FRA_IP_PROTO, 100, NULL, true},
		{AF_INET, 0, 0, 0, FRA_DPORT_RANGE, 100, NULL, true},
		{AF_INET, 0, 0, 0, 99, 100, NULL, true}, /* of a kernel to come */
		{AF_INET, 0, 0, 0, FRA_IIFNAME, 100, "eth0", false},
		{AF_INET, 0, 0, 0, FRA_IIFNAME, 100, "ipsec0", true},
		{AF_INET, 0, 0, 0, FRA_IIFNAME, 100, "lo", true},
		{AF_INET, 0, 0, 0, FRA_OIFNAME, 100, "eth0", false},
		{AF_INET6, 0, 0, 0, 0, 32766, NULL, false},
	};
	struct local_addr own = {.addr = {.family = IP_V4, .bytes = {192, 0, 2, 5}}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(rule_row_matters(&rows[i], &own), rows[i].matters);
}

static void reads_no_other_message(void **state)
{
	struct nlmsghdr *message = link_begin(IFF_UP);
	struct link_info link;

	(void)state;
	message->nlmsg_type = RTM_DELLINK;
	assert_false(link_info_read(message, &link));
	assert_int_equal(link.ifindex, 0);
	message->nlmsg_type = RTM_NEWLINK;
	message->nlmsg_len = NLMSG_HDRLEN + 4;
	assert_false(link_info_read(message, &link));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_vlan),
		cmocka_unit_test(neighbors_that_are_news),
		cmocka_unit_test(reads_no_vlan_of_another_kind),
		cmocka_unit_test(rules_that_look_further),
		cmocka_unit_test(reads_no_other_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
