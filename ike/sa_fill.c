/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/sa_fill.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static void keys_fill(const struct child_keys *keys, struct sa *out)
{
	_Static_assert(
		sizeof(keys->encr) == SA_KEY_MAX && sizeof(keys->integ) == SA_INTEG_KEY_MAX, "both hold any key");
	memcpy(out->encr_key, keys->encr, sizeof(out->encr_key));
	memcpy(out->salt, keys->salt, sizeof(out->salt));
	memcpy(out->integ_key, keys->integ, sizeof(out->integ_key));
}

static void lifetimes_fill(const struct child_config *config, bool esn, uint64_t now, struct sa *out)
{
	out->soft_bytes = config->rekey_bytes;
	out->hard_bytes = config->life_bytes;
	out->soft_packets = config->rekey_packets;
	out->hard_packets = config->life_packets;
	if (!esn && (!out->soft_packets || out->soft_packets > SA_SOFT_PACKETS_MAX))
		out->soft_packets = SA_SOFT_PACKETS_MAX;
	out->created_ns = now;
	out->hard_ns = config->life_ns ? now + config->life_ns : 0;
}

void sa_fill(
	const struct child_install *install, enum sa_direction direction, uint32_t tunnel, uint64_t now, struct sa *out)
{
	bool esn = install->suite.esn.type == TRANSFORM_ESN && install->suite.esn.id == ESN_YES;

	memset(out, 0, sizeof(*out));
	out->direction = (uint8_t)direction;
	out->protocol = install->suite.protocol == PROTOCOL_AH ? IPPROTO_AH : IPPROTO_ESP;
	out->mode = install->mode;
	out->spi = htonl(direction == SA_IN ? install->spi_in : install->spi_out);
	out->tunnel = tunnel;
	out->encr = install->suite.encr.id;
	out->encr_key_bits = install->suite.encr.key_bits;
	out->integ = install->suite.integ.type == TRANSFORM_INTEG ? install->suite.integ.id : INTEG_NONE;
	out->flags = (uint16_t)((install->udp_encap ? SA_UDP_ENCAP : 0) | (esn ? SA_ESN : 0));
	addr_to_mapped(&install->local.addr, out->local.bytes);
	addr_to_mapped(&install->remote.addr, out->remote.bytes);
	out->local_port = install->udp_encap ? install->local.port : 0;
	out->remote_port = install->udp_encap ? install->remote.port : 0;
	out->replay_bits = install->config->replay_bits;
	keys_fill(direction == SA_IN ? &install->in : &install->out, out);
	lifetimes_fill(install->config, esn, now, out);
}
