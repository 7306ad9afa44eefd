/* SPDX-License-Identifier: Apache-2.0 */
/* NAT detection (RFC 7296 2.23). */
#include "ike/core.h"
#include "ike/exchange.h"

#include <openssl/evp.h>

#define NAT_HASH_LEN 20u

/* SHA-1 of the SPIs as in the header, address and port. */
static bool nat_hash(uint64_t spi_i, uint64_t spi_r, const struct endpoint *endpoint, uint8_t out[static NAT_HASH_LEN])
{
	uint8_t buffer[8 + 8 + 16 + 2];
	struct writer w = writer_of(buffer, sizeof(buffer));

	write_u64(&w, spi_i);
	write_u64(&w, spi_r);
	write_bytes(&w, endpoint->addr.bytes, addr_len(&endpoint->addr));
	write_u16(&w, endpoint->port);
	return EVP_Digest(buffer, writer_len(&w), out, NULL, EVP_sha1(), NULL) == 1;
}

void nat_write_detection(struct message_writer *m, const struct ike_sa *sa, uint64_t spi_i, uint64_t spi_r)
{
	uint8_t hash[NAT_HASH_LEN];

	if (!nat_hash(spi_i, spi_r, &sa->local, hash))
		return;
	/* Forced encapsulation: with a hash that fits no address the peer, too, sees a NAT. */
	if (sa->encap)
		memset(hash, 0, sizeof(hash));
	payload_notify_write_data(m, NAT_DETECTION_SOURCE_IP, hash, sizeof(hash));
	if (nat_hash(spi_i, spi_r, &sa->remote, hash))
		payload_notify_write_data(m, NAT_DETECTION_DESTINATION_IP, hash, sizeof(hash));
}

/* Are there notifies of `type`, and does none of them have the hash of `endpoint`? */
static bool nat_between(const struct ike_message *message, uint16_t type, const struct endpoint *endpoint)
{
	uint8_t hash[NAT_HASH_LEN];
	bool any = false;

	if (!nat_hash(message->header.spi_i, message->header.spi_r, endpoint, hash))
		return false;
	for (unsigned i = 0; i < message->count; i++) {
		struct payload_notify notify;

		if (message->payloads[i].type != PAYLOAD_NOTIFY ||
			!payload_notify_read(message->payloads[i].body, &notify) || notify.type != type)
			continue;
		any = true;
		if (notify.data.len == sizeof(hash) && memcmp(notify.data.data, hash, sizeof(hash)) == 0)
			return false;
	}
	return any;
}

void nat_read_detection(struct ike_sa *sa, const struct ike_message *message)
{
	sa->nat_remote = nat_between(message, NAT_DETECTION_SOURCE_IP, &sa->remote);
	sa->nat_local = nat_between(message, NAT_DETECTION_DESTINATION_IP, &sa->local);
}
