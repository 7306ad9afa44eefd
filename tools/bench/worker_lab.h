/* SPDX-License-Identifier: Apache-2.0 */
/* A gateway in memory: a worker over memory ports, an SADB in plain memory and a resolver that answers what it is told.
 */
#ifndef ESPALIER_TOOLS_BENCH_WORKER_LAB_H
#define ESPALIER_TOOLS_BENCH_WORKER_LAB_H

#include "agent/base/addr.h"
#include "agent/memory_port.h"
#include "agent/turn.h"
#include "agent/worker.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define GATEWAY_CHUNKS 2048u
#define GATEWAY_SAS    8u
#define GATEWAY_NOW_NS (100 * UINT64_C(1000000000))

enum { SLOT_HOST = 0, SLOT_LAN = 1, SLOT_WAN = 2 };

struct gateway_resolver {
	struct resolver resolver; /* first */
	enum hop_kind inner_kind;
	enum hop_kind outer_kind;
	uint32_t mtu;
	uint16_t vlan_id; /* of the way out */
	unsigned asked;
};

struct gateway {
	struct sa sas[GATEWAY_SAS];
	struct sa_run runs[GATEWAY_SAS];
	struct tunnel tunnels[2];
	struct worker_stat stat;
	_Atomic uint64_t told[2];
	atomic_flag locks[GATEWAY_SAS];
	struct umem umem;
	struct mailbox mailbox;
	struct sent sent;
	struct worker_shared shared;
	struct worker worker;
	struct gateway_resolver resolver;
	struct chunk_cache cache; /* the test's own hands */
};

static const uint8_t gateway_mac[6] = {2, 0, 0, 0, 0, 1};
static const uint8_t neighbor_mac[6] = {2, 0, 0, 0, 0, 9};

static inline void gateway_resolve(
	struct resolver *base, const struct addr16 *destination, const struct addr16 *source, struct next_hop *hop)
{
	struct gateway_resolver *resolver = (struct gateway_resolver *)base;
	bool outer = source != NULL;

	(void)destination;
	resolver->asked++;
	hop->kind = (uint8_t)(outer ? resolver->outer_kind : resolver->inner_kind);
	hop->slot = outer ? SLOT_WAN : SLOT_LAN;
	hop->mtu = resolver->mtu;
	hop->vlan_id = outer ? resolver->vlan_id : 0;
	memcpy(hop->destination_mac, neighbor_mac, 6);
	memcpy(hop->source_mac, gateway_mac, 6);
}

static inline struct addr16 gateway_addr(const char *text)
{
	struct addr16 mapped;
	struct ip_addr addr;

	addr_parse(text, &addr);
	addr_to_mapped(&addr, mapped.bytes);
	return mapped;
}

static inline void gateway_selector(struct selector *selector, const uint8_t net[2])
{
	memset(selector, 0, sizeof(*selector));
	selector->family = 4;
	selector->port_last = UINT16_MAX;
	memcpy(selector->first, net, 2);
	memcpy(selector->last, (uint8_t[]){net[0], net[1], 255, 255}, 4);
}

/* SA `index` of side 0 (192.0.2.1, 10.1/16) or 1 (192.0.2.2, 10.2/16): what one side sends by is what the other
 * receives by. */
static inline void gateway_sa(struct gateway *gateway, uint32_t index, unsigned side, enum sa_direction direction,
	const struct esp_suite *suite)
{
	struct sa *sa = &gateway->sas[index];
	bool first = (side == 0) == (direction == SA_OUT); /* the SA from side 0 to side 1 */

	memset(sa, 0, sizeof(*sa));
	sa->generation = 2;
	sa->state = SA_LIVE;
	sa->direction = (uint8_t)direction;
	sa->protocol = 50;
	sa->mode = SA_TUNNEL;
	sa->spi = htonl(first ? 0x1111 : 0x2222);
	sa->encr = suite->encr;
	sa->encr_key_bits = suite->encr_key_bits;
	sa->integ = suite->integ;
	sa->local = gateway_addr(side == 0 ? "192.0.2.1" : "192.0.2.2");
	sa->remote = gateway_addr(side == 0 ? "192.0.2.2" : "192.0.2.1");
	sa->replay_bits = 1024;
	memset(sa->encr_key, first ? 1 : 2, sizeof(sa->encr_key));
	memset(sa->integ_key, first ? 3 : 4, suite->integ_key_len);
	memset(sa->salt, first ? 5 : 6, sizeof(sa->salt));
}

/* SA 0 is inbound, SA 1 outbound, both of tunnel 0. */
static inline int gateway_init(struct gateway *gateway, unsigned side, const struct esp_suite *suite)
{
	static const uint8_t nets[2][2] = {{10, 1}, {10, 2}};
	int err;

	memset(gateway, 0, sizeof(*gateway));
	gateway_sa(gateway, 0, side, SA_IN, suite);
	gateway_sa(gateway, 1, side, SA_OUT, suite);
	for (unsigned i = 0; i < 2; i++)
		gateway->tunnels[i] = (struct tunnel){.out_sa = SA_NONE,
			.state = TUNNEL_LIVE,
			.mode = SA_TUNNEL,
			.flags = TUNNEL_MSS_CLAMP,
			.local_count = 1,
			.remote_count = 1};
	gateway->tunnels[0].out_sa = 1;
	for (unsigned i = 0; i < 2; i++) {
		gateway_selector(&gateway->tunnels[i].local[0], nets[side]);
		gateway_selector(&gateway->tunnels[i].remote[0], nets[!side]);
	}
	err = umem_init(&gateway->umem, GATEWAY_CHUNKS);
	err = err ? err : mailbox_init(&gateway->mailbox);
	err = err ? err : sent_init(&gateway->sent, GATEWAY_SAS);
	if (err)
		return err;
	chunk_cache_init(&gateway->cache, &gateway->umem);
	gateway->resolver = (struct gateway_resolver){
		.resolver.resolve = gateway_resolve, .inner_kind = HOP_PORT, .outer_kind = HOP_PORT, .mtu = 1500};
	gateway->shared.maps = (struct sa_maps){.sa = gateway->sas,
		.run = gateway->runs,
		.tunnel = gateway->tunnels,
		.sa_count = GATEWAY_SAS,
		.tunnel_count = 2};
	gateway->shared.stats = &gateway->stat;
	gateway->shared.worker_count = 1;
	gateway->shared.umem = &gateway->umem;
	gateway->shared.mailbox = &gateway->mailbox;
	gateway->shared.sent = &gateway->sent;
	gateway->shared.replay_locks = gateway->locks;
	gateway->shared.acquire_told_ns = gateway->told;
	gateway->shared.own_v4[0] = gateway_addr("10.1.0.1");
	for (uint32_t slot = SLOT_HOST; slot <= SLOT_WAN; slot++) {
		struct port *port = memory_port_new(slot, 1, gateway_mac);

		if (!port)
			return -1;
		port->host = slot == SLOT_HOST;
		atomic_store(&gateway->shared.ports.ports[slot], port);
	}
	return worker_init(&gateway->worker, &gateway->shared, 0, &gateway->resolver.resolver);
}

static inline void gateway_clear(struct gateway *gateway)
{
	worker_clear(&gateway->worker);
	for (uint32_t slot = SLOT_HOST; slot <= SLOT_WAN; slot++)
		port_free(gateway->shared.ports.ports[slot]);
	mailbox_clear(&gateway->mailbox);
	sent_clear(&gateway->sent);
	umem_clear(&gateway->umem);
}

static inline struct port *gateway_port(struct gateway *gateway, uint32_t slot)
{
	return gateway->shared.ports.ports[slot];
}

/* A frame of the test's with `len` bytes of packet behind an Ethernet header. The chunk is NULL when none is left. */
static inline struct frame gateway_frame(struct gateway *gateway, const void *packet, uint32_t len)
{
	struct frame frame = {.chunk = chunk_take(&gateway->cache), .size = FRAME_SIZE, .len = 14 + len};

	if (!frame.chunk)
		return frame;
	frame.data = frame.chunk + FRAME_HEADROOM + sizeof(struct packet_meta);
	memset(frame.data, 0, 14);
	memcpy(frame.data + 14, packet, len);
	return frame;
}

/* Plaintext for tunnel `tunnel`, as XDP hands it over. */
static inline bool gateway_push_plain(
	struct gateway *gateway, uint32_t slot, uint32_t tunnel, const void *packet, uint32_t len)
{
	struct frame frame = gateway_frame(gateway, packet, len);

	frame.meta = (struct packet_meta){.kind = META_PLAIN_OUT,
		.flags = slot == SLOT_HOST ? META_FROM_HOST : 0,
		.family = 4,
		.protocol = 17,
		.l3_off = 14,
		.payload_off = 34,
		.index = tunnel};
	return frame.chunk && memory_port_push(gateway_port(gateway, slot), 0, &frame);
}

/* A sealed frame of the other gateway, for SA `index` here. */
static inline bool gateway_push_esp(struct gateway *gateway, uint32_t index, const struct frame *sealed)
{
	struct frame frame = gateway_frame(gateway, sealed->data + 14, sealed->len - 14);
	bool udp = sealed->data[14 + 9] == 17;

	frame.meta = (struct packet_meta){.kind = META_ESP_IN,
		.flags = udp ? META_UDP_ENCAP : 0,
		.family = 4,
		.protocol = udp ? 17 : 50,
		.l3_off = 14,
		.payload_off = udp ? 42 : 34,
		.index = index};
	return frame.chunk && memory_port_push(gateway_port(gateway, SLOT_WAN), 0, &frame);
}

/* A UDP packet 10.1.0.5 -> 10.2.0.7 of `len` bytes, or back. */
static inline void gateway_packet(uint8_t *packet, uint32_t len, unsigned side, bool dont_fragment)
{
	uint32_t sum = 0;

	memset(packet, 0, len);
	packet[0] = 0x45;
	packet[2] = (uint8_t)(len >> 8);
	packet[3] = (uint8_t)len;
	packet[6] = dont_fragment ? 0x40 : 0;
	packet[8] = 64;
	packet[9] = 17;
	memcpy(packet + 12, side == 0 ? (uint8_t[]){10, 1, 0, 5} : (uint8_t[]){10, 2, 0, 7}, 4);
	memcpy(packet + 16, side == 0 ? (uint8_t[]){10, 2, 0, 7} : (uint8_t[]){10, 1, 0, 5}, 4);
	packet[21] = packet[23] = 99;
	packet[24] = (uint8_t)((len - 20) >> 8);
	packet[25] = (uint8_t)(len - 20);
	for (unsigned i = 0; i < 20; i += 2)
		sum += (uint32_t)packet[i] << 8 | packet[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~(sum + (sum >> 16));
	packet[10] = (uint8_t)(sum >> 8);
	packet[11] = (uint8_t)sum;
}

#endif
