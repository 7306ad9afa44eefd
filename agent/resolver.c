/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/resolver.h"

#include "agent/base/addr.h"
#include "agent/contract.h"
#include "agent/neighbor_news.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

struct route {
	uint8_t type; /* RTN_* */
	uint32_t ifindex;
	uint32_t mtu;
	struct ip_addr gateway; /* IP_NONE: on link */
};

struct neighbor {
	uint16_t state;
	bool has_mac;
	uint8_t mac[6];
};

static int metric_attr(const struct nlattr *attr, void *context)
{
	struct route *route = context;

	if (mnl_attr_get_type(attr) == RTAX_MTU)
		route->mtu = mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

static int route_attr(const struct nlattr *attr, void *context)
{
	struct route *route = context;
	size_t len = mnl_attr_get_payload_len(attr);
	const uint8_t *payload = mnl_attr_get_payload(attr);

	switch (mnl_attr_get_type(attr)) {
	case RTA_OIF:
		route->ifindex = mnl_attr_get_u32(attr);
		break;
	case RTA_GATEWAY:
		if (len == 4 || len == 16) {
			route->gateway.family = len == 4 ? IP_V4 : IP_V6;
			memcpy(route->gateway.bytes, payload, len);
		}
		break;
	case RTA_VIA: /* IPv4 over an IPv6 gateway: struct rtvia */
		if (len >= sizeof(struct rtvia) + 16) {
			route->gateway.family = IP_V6;
			memcpy(route->gateway.bytes, payload + sizeof(struct rtvia), 16);
		}
		break;
	case RTA_METRICS:
		return mnl_attr_parse_nested(attr, metric_attr, route);
	default:
		break;
	}
	return MNL_CB_OK;
}

static int route_message(const struct nlmsghdr *message, void *context)
{
	const struct rtmsg *body = mnl_nlmsg_get_payload(message);
	struct route *route = context;

	if (message->nlmsg_type != RTM_NEWROUTE)
		return MNL_CB_OK;
	route->type = body->rtm_type;
	mnl_attr_parse(message, sizeof(*body), route_attr, route);
	return MNL_CB_STOP;
}

static int neighbor_attr(const struct nlattr *attr, void *context)
{
	struct neighbor *neighbor = context;

	if (mnl_attr_get_type(attr) == NDA_LLADDR && mnl_attr_get_payload_len(attr) == sizeof(neighbor->mac)) {
		memcpy(neighbor->mac, mnl_attr_get_payload(attr), sizeof(neighbor->mac));
		neighbor->has_mac = true;
	}
	return MNL_CB_OK;
}

static int neighbor_message(const struct nlmsghdr *message, void *context)
{
	const struct ndmsg *body = mnl_nlmsg_get_payload(message);
	struct neighbor *neighbor = context;

	if (message->nlmsg_type != RTM_NEWNEIGH)
		return MNL_CB_OK;
	neighbor->state = body->ndm_state;
	mnl_attr_parse(message, sizeof(*body), neighbor_attr, neighbor);
	return MNL_CB_STOP;
}

static int resolver_route(struct route_resolver *resolver, const struct ip_addr *to, const struct ip_addr *from,
	bool marked, struct route *route)
{
	uint8_t buffer[256] __attribute__((aligned(8)));
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct rtmsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));

	request->nlmsg_type = RTM_GETROUTE;
	request->nlmsg_flags = NLM_F_REQUEST;
	body->rtm_family = to->family == IP_V4 ? AF_INET : AF_INET6;
	body->rtm_dst_len = (uint8_t)(addr_len(to) * 8);
	mnl_attr_put(request, RTA_DST, addr_len(to), to->bytes);
	if (from) {
		body->rtm_src_len = (uint8_t)(addr_len(from) * 8);
		mnl_attr_put(request, RTA_SRC, addr_len(from), from->bytes);
	}
	if (marked)
		mnl_attr_put_u32(request, RTA_MARK, AGENT_MARK);
	return netlink_ask(&resolver->netlink, request, route_message, route);
}

/* The kernel knows no way from an address that is not this host's (-EINVAL); one without will do then. */
static int resolver_route_sealed(
	struct route_resolver *resolver, const struct ip_addr *to, const struct addr16 *source, struct route *route)
{
	struct ip_addr from;
	int err;

	addr_from_mapped(source->bytes, &from);
	err = resolver_route(resolver, to, &from, true, route);
	return err == -EINVAL ? resolver_route(resolver, to, NULL, true, route) : err;
}

static struct nlmsghdr *neighbor_request(void *buffer, uint32_t ifindex, const struct ip_addr *addr, uint8_t flags)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct ndmsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));

	body->ndm_family = addr->family == IP_V4 ? AF_INET : AF_INET6;
	body->ndm_ifindex = (int)ifindex;
	body->ndm_flags = flags;
	mnl_attr_put(request, NDA_DST, addr_len(addr), addr->bytes);
	return request;
}

static int resolver_neighbor(
	struct route_resolver *resolver, uint32_t ifindex, const struct ip_addr *addr, struct neighbor *neighbor)
{
	uint8_t buffer[256] __attribute__((aligned(8)));
	struct nlmsghdr *request = neighbor_request(buffer, ifindex, addr, 0);

	request->nlmsg_type = RTM_GETNEIGH;
	request->nlmsg_flags = NLM_F_REQUEST;
	return netlink_ask(&resolver->netlink, request, neighbor_message, neighbor);
}

/* The neighbour is in use: the kernel resolves it, or keeps it fresh, as for its own packets. */
static void resolver_use(struct route_resolver *resolver, uint32_t ifindex, const struct ip_addr *addr)
{
	uint8_t buffer[256] __attribute__((aligned(8)));
	struct nlmsghdr *request = neighbor_request(buffer, ifindex, addr, NTF_USE);

	request->nlmsg_type = RTM_NEWNEIGH;
	request->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
	netlink_do(&resolver->netlink, request);
}

static enum hop_kind neighbor_kind(const struct neighbor *neighbor)
{
	if (neighbor->has_mac && neighbor->state & NEIGHBOR_USABLE)
		return HOP_PORT;
	return neighbor->state & NUD_FAILED ? HOP_FAILED : HOP_PENDING;
}

/*
 * The served port by which the route leaves, or NULL. A VLAN device over one leaves by it with the tag; what the agent
 * cannot tag (802.1ad, VLAN over VLAN) is the kernel's to carry.
 */
static struct port *resolver_port(struct route_resolver *resolver, struct route *route, struct next_hop *hop)
{
	struct port *port = port_table_by_ifindex(resolver->ports, route->ifindex);
	struct link_info link;

	if (port) {
		memcpy(hop->source_mac, port->mac, sizeof(hop->source_mac));
		hop->mtu = atomic_load_explicit(&port->mtu, memory_order_relaxed);
		return port;
	}
	if (netlink_link_by_index(&resolver->netlink, route->ifindex, &link) || strcmp(link.kind, "vlan") != 0 ||
		link.vlan_protocol != ETH_P_8021Q || !link.vlan_id)
		return NULL;
	port = port_table_by_ifindex(resolver->ports, link.lower);
	if (!port || port->host)
		return NULL;
	memcpy(hop->source_mac, link.mac, sizeof(hop->source_mac));
	hop->mtu = link.mtu;
	hop->vlan_id = link.vlan_id;
	return port;
}

/* Which news make the answer stale: counted before the neighbour is asked for. */
static void resolver_group(struct route_resolver *resolver, const struct route *route, struct next_hop *hop)
{
	const struct ip_addr *gateway = &route->gateway;
	uint8_t address[16] = {0};

	memcpy(address, gateway->bytes, addr_len(gateway));
	hop->neighbor = neighbor_group(gateway->family == IP_V4 ? AF_INET : AF_INET6, route->ifindex, address);
	hop->neighbor_news = atomic_load_explicit(&resolver->news->neighbors[hop->neighbor], memory_order_acquire);
}

static void route_resolve(
	struct resolver *base, const struct addr16 *destination, const struct addr16 *source, struct next_hop *hop)
{
	struct route_resolver *resolver = (struct route_resolver *)base;
	struct neighbor neighbor = {0};
	struct route route = {0};
	struct ip_addr to;
	struct port *port;

	addr_from_mapped(destination->bytes, &to);
	if (!source && atomic_load_explicit(&resolver->news->further[to.family == IP_V6], memory_order_acquire)) {
		hop->kind = HOP_HOST;
		return;
	}
	if (source ? resolver_route_sealed(resolver, &to, source, &route)
		   : resolver_route(resolver, &to, NULL, false, &route))
		return; /* HOP_NONE */
	if (route.type != RTN_UNICAST && route.type != RTN_LOCAL && route.type != RTN_BROADCAST &&
		route.type != RTN_MULTICAST)
		return;
	port = route.type == RTN_UNICAST ? resolver_port(resolver, &route, hop) : NULL;
	if (!port || port->host) {
		hop->kind = HOP_HOST;
		return;
	}
	hop->slot = (uint8_t)port->slot;
	if (route.mtu)
		hop->mtu = route.mtu;
	if (route.gateway.family == IP_NONE)
		route.gateway = to;
	resolver_group(resolver, &route, hop);
	resolver_neighbor(resolver, route.ifindex, &route.gateway, &neighbor);
	/* Using an entry would make it one that expires: what an administrator wrote stays. */
	if (!(neighbor.state & (NUD_PERMANENT | NUD_NOARP)))
		resolver_use(resolver, route.ifindex, &route.gateway);
	hop->kind = (uint8_t)neighbor_kind(&neighbor);
	memcpy(hop->destination_mac, neighbor.mac, sizeof(hop->destination_mac));
}

int route_resolver_init(struct route_resolver *resolver, struct port_table *ports, const struct fib_news *news)
{
	resolver->resolver.resolve = route_resolve;
	resolver->ports = ports;
	resolver->news = news;
	return netlink_init(&resolver->netlink);
}

void route_resolver_clear(struct route_resolver *resolver)
{
	netlink_clear(&resolver->netlink);
}
