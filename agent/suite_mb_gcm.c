/* SPDX-License-Identifier: Apache-2.0 */
/* AES-GCM (RFC 4106) and AES-GMAC (RFC 4543) by ipsec-mb's functions for one buffer: they keep nothing between calls
 * and need no job, which is dearer than a packet of 64 bytes. */
#if __has_include(<intel-ipsec-mb.h>)
#include "agent/base/own.h"
#include "agent/suite_mb.h"
#include "agent/suite_nonce.h"

#include <errno.h>

#define GCM_TAG_LEN 16u

struct mb_gcm {
	struct gcm_key_data keys;
	aes_gcm_enc_dec_t cipher; /* of the SA's key length and direction */
	aes_gmac_init_t gmac_init;
	aes_gmac_update_t gmac_update;
	aes_gmac_finalize_t gmac_end;
};

/* ---- AES-GCM ------------------------------------------------------------------------------------------------- */

/* Salt and IV, written in one store: the library loads them in one. */
typedef uint64_t nonce_words __attribute__((vector_size(16)));

static nonce_words gcm_nonce(uint32_t salt, uint64_t iv)
{
	return (nonce_words){salt | iv << 32, iv >> 32};
}

static uint32_t gcm_salt(const struct esp_cipher *cipher)
{
	uint32_t salt;

	memcpy(&salt, cipher->salt, sizeof(salt));
	return salt;
}

/* The additional data stand in the packet, but for the high half of an extended sequence number. */
static const uint8_t *gcm_aad(
	uint8_t aad[ESP_AAD_MAX], bool esn, const struct esp_cipher *cipher, const struct esp_job *job, uint32_t *len)
{
	*len = ESP_HEADER_LEN;
	if (!esn)
		return job->esp;
	*len = esp_aad(aad, cipher, job->esp, job->seq);
	return aad;
}

/* Constant time. An ICV has 8, 12 or 16 bytes: its first 8 and its last 8 are all of it. */
static bool gcm_icv_equal(const uint8_t *a, const uint8_t *b, uint32_t len)
{
	uint64_t left[2], right[2];

	memcpy(&left[0], a, 8);
	memcpy(&left[1], a + len - 8, 8);
	memcpy(&right[0], b, 8);
	memcpy(&right[1], b + len - 8, 8);
	return ((left[0] ^ right[0]) | (left[1] ^ right[1])) == 0;
}

/* How many jobs, the first one too, are of the same cipher. */
static uint32_t gcm_run(const struct esp_job *jobs, uint32_t count)
{
	uint32_t run = 1;

	while (run < count && jobs[run].cipher == jobs->cipher)
		run++;
	return run;
}

/* IVs are written some packets ahead: with the additional data the library loads bytes of the IV behind them, and would
 * wait for these to leave the processor's store buffer. */
#define IV_AHEAD 2u

/* What the loops below ask for every packet stands in variables of theirs: the packets' bytes could be anywhere. */
static uint32_t gcm_seal_run(struct esp_job *jobs, uint32_t count)
{
	const struct esp_cipher *cipher = jobs->cipher;
	const struct mb_gcm *gcm = cipher->state;
	const struct esp_suite *suite = cipher->suite;
	uint32_t salt = gcm_salt(cipher), iv_len = suite->iv_len, icv_len = suite->icv_len, aad_len,
		 run = gcm_run(jobs, count);
	struct gcm_context_data scratch;
	uint8_t extended[ESP_AAD_MAX];
	bool esn = cipher->esn;

	for (uint32_t i = 0; iv_len && i < run && i < IV_AHEAD; i++)
		esp_put_count(jobs[i].esp + ESP_HEADER_LEN, jobs[i].seq);
	for (struct esp_job *job = jobs, *end = jobs + run; job < end; job++) {
		uint8_t *text = job->esp + ESP_HEADER_LEN + iv_len;
		nonce_words nonce = gcm_nonce(salt, htobe64(job->seq));
		const uint8_t *aad = gcm_aad(extended, esn, cipher, job, &aad_len);

		if (iv_len && job + IV_AHEAD < end)
			esp_put_count(job[IV_AHEAD].esp + ESP_HEADER_LEN, job[IV_AHEAD].seq);
		gcm->cipher(&gcm->keys, &scratch, text, text, job->text_len, (const uint8_t *)&nonce, aad, aad_len,
			text + job->text_len, icv_len);
		job->good = true;
	}
	return run;
}

static uint32_t gcm_open_run(struct esp_job *jobs, uint32_t count)
{
	const struct esp_cipher *cipher = jobs->cipher;
	const struct mb_gcm *gcm = cipher->state;
	const struct esp_suite *suite = cipher->suite;
	uint32_t salt = gcm_salt(cipher), iv_len = suite->iv_len, icv_len = suite->icv_len, aad_len,
		 run = gcm_run(jobs, count);
	uint8_t extended[ESP_AAD_MAX], tag[GCM_TAG_LEN];
	struct gcm_context_data scratch;
	bool esn = cipher->esn;

	for (struct esp_job *job = jobs, *end = jobs + run; job < end; job++) {
		uint8_t *text = job->esp + ESP_HEADER_LEN + iv_len;
		uint64_t iv = htobe64(job->seq); /* implicit (RFC 8750 4) */
		const uint8_t *aad = gcm_aad(extended, esn, cipher, job, &aad_len);
		nonce_words nonce;

		if (iv_len)
			memcpy(&iv, job->esp + ESP_HEADER_LEN, sizeof(iv));
		nonce = gcm_nonce(salt, iv);
		gcm->cipher(&gcm->keys, &scratch, text, text, job->text_len, (const uint8_t *)&nonce, aad, aad_len, tag,
			icv_len);
		job->good = gcm_icv_equal(tag, text + job->text_len, icv_len);
	}
	return run;
}

/* ---- AES-GMAC: all is additional data, from the SPI to the trailer, the IV too (RFC 4543 3.3) ------------------ */

static void gmac(const struct mb_gcm *gcm, const uint8_t nonce[NONCE_MAX], const uint8_t *head, uint32_t head_len,
	const uint8_t *data, uint32_t len, uint8_t tag[GCM_TAG_LEN])
{
	struct gcm_context_data scratch;

	gcm->gmac_init(&gcm->keys, &scratch, nonce, NONCE_MAX);
	if (head_len)
		gcm->gmac_update(&gcm->keys, &scratch, head, head_len);
	gcm->gmac_update(&gcm->keys, &scratch, data, len);
	gcm->gmac_end(&gcm->keys, &scratch, tag, GCM_TAG_LEN);
}

static void gmac_esp(const struct esp_cipher *cipher, const uint8_t nonce[NONCE_MAX], const uint8_t *esp,
	uint32_t text_len, uint64_t seq, uint8_t tag[GCM_TAG_LEN])
{
	uint8_t aad[ESP_AAD_MAX];
	uint32_t aad_len = esp_aad(aad, cipher, esp, seq);

	gmac(cipher->state, nonce, aad, aad_len, esp + ESP_HEADER_LEN, cipher->suite->iv_len + text_len, tag);
}

static bool gmac_seal(struct esp_cipher *cipher, uint8_t *esp, uint32_t text_len, uint64_t seq)
{
	uint8_t nonce[NONCE_MAX];

	esp_nonce_new(nonce, cipher, esp, seq);
	gmac_esp(cipher, nonce, esp, text_len, seq, esp_text(cipher, esp) + text_len);
	return true;
}

static bool gmac_open(struct esp_cipher *cipher, uint8_t *esp, uint32_t text_len, uint64_t seq)
{
	uint8_t nonce[NONCE_MAX], tag[GCM_TAG_LEN];

	esp_nonce(nonce, cipher, esp, seq);
	gmac_esp(cipher, nonce, esp, text_len, seq, tag);
	return mb_icv_equal(tag, esp_text(cipher, esp) + text_len, cipher->suite->icv_len);
}

/* For AH (RFC 4543 4). */
static bool gmac_mac(struct esp_cipher *cipher, const uint8_t *data, uint32_t len, const uint8_t *iv, uint8_t *icv)
{
	uint8_t nonce[NONCE_MAX];

	memcpy(nonce, cipher->salt, sizeof(cipher->salt));
	memcpy(nonce + sizeof(cipher->salt), iv, NONCE_COUNT_LEN);
	gmac(cipher->state, nonce, NULL, 0, data, len, icv);
	return true;
}

/* ---- key schedules ------------------------------------------------------------------------------------------- */

static void functions_set(struct mb_gcm *gcm, uint32_t key_len, bool seal)
{
	const IMB_MGR *mb = mb_functions();

	switch (key_len) {
	case 16:
		gcm->cipher = seal ? mb->gcm128_enc : mb->gcm128_dec;
		gcm->gmac_init = mb->gmac128_init;
		gcm->gmac_update = mb->gmac128_update;
		gcm->gmac_end = mb->gmac128_finalize;
		break;
	case 24:
		gcm->cipher = seal ? mb->gcm192_enc : mb->gcm192_dec;
		gcm->gmac_init = mb->gmac192_init;
		gcm->gmac_update = mb->gmac192_update;
		gcm->gmac_end = mb->gmac192_finalize;
		break;
	default:
		gcm->cipher = seal ? mb->gcm256_enc : mb->gcm256_dec;
		gcm->gmac_init = mb->gmac256_init;
		gcm->gmac_update = mb->gmac256_update;
		gcm->gmac_end = mb->gmac256_finalize;
	}
}

static void keys_set(struct mb_gcm *gcm, const uint8_t *key, uint32_t key_len)
{
	const IMB_MGR *mb = mb_functions();
	aes_gcm_pre_t expand = key_len == 16 ? mb->gcm128_pre : key_len == 24 ? mb->gcm192_pre : mb->gcm256_pre;

	expand(key, &gcm->keys);
}

int mb_gcm_init(struct esp_cipher *cipher, const struct sa *sa)
{
	static const struct suite_work works[] = {
		[SUITE_GCM] = {.seal_run = gcm_seal_run, .open_run = gcm_open_run},
		[SUITE_GMAC] = {.seal = gmac_seal, .open = gmac_open},
		[SUITE_AH] = {.mac = gmac_mac},
	};
	const struct esp_suite *suite = cipher->suite;
	bool ah = suite->mode == SUITE_AH;
	uint32_t key_len = ah ? suite->integ_key_len : suite->encr_key_len;
	struct mb_gcm *gcm = mb_alloc(sizeof(*gcm));

	if (!gcm)
		return -ENOMEM;
	keys_set(gcm, ah ? sa->integ_key : sa->encr_key, key_len);
	functions_set(gcm, key_len, sa->direction == SA_OUT);
	cipher->state = gcm;
	cipher->work = &works[suite->mode];
	cipher->concurrent = true;
	return 0;
}

#endif
