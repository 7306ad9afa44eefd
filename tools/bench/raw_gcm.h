/* SPDX-License-Identifier: Apache-2.0 */
/* AES-256-GCM by intel-ipsec-mb alone: what ESP needs of the library, nothing else. Each burst seals or opens
 * RAW_BURST buffers of a UMEM chunk's size that stay warm in the cache like a worker's, with text and tag where a
 * worker has them: the library's loads cross cache lines there, which costs 4 ns of 1400 bytes. */
#ifndef ESPALIER_TOOLS_BENCH_RAW_GCM_H
#define ESPALIER_TOOLS_BENCH_RAW_GCM_H

#include "agent/port.h"
#include "agent/suite_mb.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define RAW_BURST  PORT_BATCH
#define RAW_KEY	   32
#define RAW_IV	   12u
#define RAW_AAD	   8u
#define RAW_TAG	   16u
#define RAW_OFFSET (FRAME_HEADROOM + sizeof(struct packet_meta) + 14u) /* of the text in its chunk: behind Ethernet */

struct raw_gcm {
	const IMB_MGR *library;
	struct gcm_key_data *key;
	uint8_t *area; /* RAW_BURST chunks */
	uint64_t counter;
	uint8_t ivs[RAW_BURST][16];
};

/* False: no memory, or the library does not run on this processor. */
static inline bool raw_gcm_init(struct raw_gcm *raw)
{
	static const uint8_t key[RAW_KEY] = {7};

	memset(raw, 0, sizeof(*raw));
	raw->library = mb_functions();
	raw->key = aligned_alloc(64, (sizeof(*raw->key) + 63) & ~(size_t)63);
	raw->area = aligned_alloc(FRAME_SIZE, RAW_BURST * (size_t)FRAME_SIZE);
	if (!raw->library || !raw->key || !raw->area)
		return false;
	IMB_AES256_GCM_PRE(raw->library, key, raw->key);
	memset(raw->area, 1, RAW_BURST * (size_t)FRAME_SIZE);
	return true;
}

static inline void raw_gcm_clear(struct raw_gcm *raw)
{
	free(raw->key);
	free(raw->area);
}

static inline uint8_t *raw_gcm_text(struct raw_gcm *raw, unsigned i)
{
	return raw->area + i * (size_t)FRAME_SIZE + RAW_OFFSET;
}

/* Fresh IVs for a burst; the first bytes of a buffer stand for the ESP header. Not timed. */
static inline void raw_gcm_prepare(struct raw_gcm *raw)
{
	for (unsigned i = 0; i < RAW_BURST; i++) {
		raw->counter++;
		memcpy(raw->ivs[i] + 4, &raw->counter, sizeof(raw->counter));
	}
}

/* The direct API, a packet at a time. */
static inline void raw_gcm_seal(struct raw_gcm *raw, uint32_t len)
{
	struct gcm_context_data context;

	for (unsigned i = 0; i < RAW_BURST; i++) {
		uint8_t *text = raw_gcm_text(raw, i);

		IMB_AES256_GCM_ENC(raw->library, raw->key, &context, text, text, len, raw->ivs[i], text - RAW_AAD,
			RAW_AAD, text + len, RAW_TAG);
	}
}

/* What raw_gcm_seal made with the same IVs. False: a tag differs. */
static inline bool raw_gcm_open(struct raw_gcm *raw, uint32_t len)
{
	struct gcm_context_data context;
	uint8_t tag[RAW_TAG];
	bool good = true;

	for (unsigned i = 0; i < RAW_BURST; i++) {
		uint8_t *text = raw_gcm_text(raw, i);

		IMB_AES256_GCM_DEC(raw->library, raw->key, &context, text, text, len, raw->ivs[i], text - RAW_AAD,
			RAW_AAD, tag, RAW_TAG);
		good &= memcmp(tag, text + len, RAW_TAG) == 0;
	}
	return good;
}

#endif
