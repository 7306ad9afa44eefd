/* SPDX-License-Identifier: Apache-2.0 */
/* Suites whose packets ipsec-mb does several at once, each in a lane of the widest registers, whichever SA they are of.
 */
#if __has_include(<intel-ipsec-mb.h>)
#include "agent/base/own.h"
#include "agent/suite_mb_keys.h"
#include "agent/suite_nonce.h"

#include <errno.h>

/* What one packet needs beside itself while it is at work. */
struct aside {
	uint8_t nonce[AES_BLOCK];
	uint8_t aad[AES_BLOCK];
	uint8_t tag[ESP_ICV_MAX];
	uint8_t received[ESP_ICV_MAX]; /* ICV of a packet to be opened */
};

static bool is_aead(const struct esp_suite *suite)
{
	return suite->mode == SUITE_CHACHA20_POLY1305 || suite->mode == SUITE_CCM;
}

/* ---- one packet ---------------------------------------------------------------------------------------------- */

static void cbc_iv(struct mb_keys *keys, uint8_t iv[AES_BLOCK])
{
	static const uint8_t zero[AES_BLOCK];
	uint64_t count[2] = {__atomic_fetch_add(&keys->iv_count, 1, __ATOMIC_RELAXED), 0};

	/* Feedback mode over one block of zeroes is the block cipher itself. */
	mb_functions()->aes128_cfb_one(iv, zero, (const uint8_t *)count, keys->iv_key, AES_BLOCK);
}

static void set_iv(IMB_JOB *job, struct esp_job *packet, struct aside *aside, bool seal)
{
	struct esp_cipher *cipher = packet->cipher;
	uint8_t *iv = packet->esp + ESP_HEADER_LEN;

	switch (cipher->suite->mode) {
	case SUITE_NULL:
		return;
	case SUITE_CBC:
		if (seal)
			cbc_iv(cipher->state, iv);
		job->iv = iv;
		return;
	default:
		if (seal)
			esp_nonce_new(aside->nonce, cipher, packet->esp, packet->seq);
		else
			esp_nonce(aside->nonce, cipher, packet->esp, packet->seq);
		job->iv = aside->nonce;
	}
}

static void set_aad(IMB_JOB *job, const struct esp_job *packet, struct aside *aside)
{
	uint32_t len = esp_aad(aside->aad, packet->cipher, packet->esp, packet->seq);

	if (packet->cipher->suite->mode == SUITE_CCM) {
		job->u.CCM.aad = aside->aad;
		job->u.CCM.aad_len_in_bytes = len;
	} else {
		job->u.CHACHA20_POLY1305.aad = aside->aad;
		job->u.CHACHA20_POLY1305.aad_len_in_bytes = len;
	}
	job->msg_len_to_hash_in_bytes = packet->text_len;
}

/* The ICV covers ESP header, IV and ciphertext, and with ESN the high half of the sequence number behind them (RFC
 * 4303 2.2.1): it stands there, in the place of the ICV, while the packet is at work. */
static void set_covered(IMB_JOB *job, const struct esp_job *packet)
{
	const struct esp_cipher *cipher = packet->cipher;
	uint32_t high = htobe32((uint32_t)(packet->seq >> 32));

	job->msg_len_to_hash_in_bytes = ESP_HEADER_LEN + cipher->suite->iv_len + packet->text_len;
	if (!cipher->esn)
		return;
	memcpy(esp_text(cipher, packet->esp) + packet->text_len, &high, sizeof(high));
	job->msg_len_to_hash_in_bytes += sizeof(high);
}

static void job_fill(IMB_JOB *job, struct esp_job *packet, struct aside *aside, bool seal)
{
	struct esp_cipher *cipher = packet->cipher;
	const struct mb_keys *keys = cipher->state;
	uint8_t *text = esp_text(cipher, packet->esp);

	*job = keys->job;
	job->src = packet->esp;
	job->dst = text;
	job->msg_len_to_cipher_in_bytes = packet->text_len;
	job->auth_tag_output = aside->tag;
	job->user_data = packet;
	job->user_data2 = aside;
	set_iv(job, packet, aside, seal);
	if (!seal)
		memcpy(aside->received, text + packet->text_len, cipher->suite->icv_len);
	if (is_aead(cipher->suite))
		set_aad(job, packet, aside);
	else
		set_covered(job, packet);
}

static void job_finish(const IMB_JOB *job, bool seal)
{
	struct esp_job *packet = job->user_data;
	const struct aside *aside = job->user_data2;
	uint32_t icv_len = packet->cipher->suite->icv_len;

	if (job->status != IMB_STATUS_COMPLETED)
		return;
	if (seal) {
		memcpy(esp_text(packet->cipher, packet->esp) + packet->text_len, aside->tag, icv_len);
		packet->good = true;
	} else {
		packet->good = mb_icv_equal(aside->tag, aside->received, icv_len);
	}
}

/* ---- bursts -------------------------------------------------------------------------------------------------- */

/* The manager is empty before and after. */
static void burst(struct esp_job *const *packets, uint32_t count, bool seal)
{
	struct aside asides[SUITE_BURST_MAX];
	IMB_JOB *jobs[SUITE_BURST_MAX];
	IMB_MGR *mb = mb_manager();
	uint32_t done;

	for (uint32_t i = 0; i < count; i++)
		packets[i]->good = false;
	if (!mb || IMB_GET_NEXT_BURST(mb, count, jobs) != count)
		return;
	for (uint32_t i = 0; i < count; i++)
		job_fill(jobs[i], packets[i], &asides[i], seal);
	done = IMB_SUBMIT_BURST_NOCHECK(mb, count, jobs);
	for (uint32_t i = 0; i < done; i++)
		job_finish(jobs[i], seal);
	while ((done = IMB_FLUSH_BURST(mb, SUITE_BURST_MAX, jobs))) {
		for (uint32_t i = 0; i < done; i++)
			job_finish(jobs[i], seal);
	}
}

static void burst_seal(struct esp_job *const *packets, uint32_t count)
{
	burst(packets, count, true);
}

static void burst_open(struct esp_job *const *packets, uint32_t count)
{
	burst(packets, count, false);
}

/* ---- AH: one at a time --------------------------------------------------------------------------------------- */

static bool burst_mac(struct esp_cipher *cipher, const uint8_t *data, uint32_t len, const uint8_t *iv, uint8_t *icv)
{
	const struct mb_keys *keys = cipher->state;
	IMB_MGR *mb = mb_manager();
	uint8_t tag[ESP_ICV_MAX];
	IMB_JOB *job = mb ? IMB_GET_NEXT_JOB(mb) : NULL;

	(void)iv;
	if (!job)
		return false;
	*job = keys->job;
	job->src = data;
	job->msg_len_to_hash_in_bytes = len;
	job->auth_tag_output = tag;
	job = IMB_SUBMIT_JOB_NOCHECK(mb);
	if (!job)
		job = IMB_FLUSH_JOB(mb);
	if (!job || job->status != IMB_STATUS_COMPLETED)
		return false;
	memcpy(icv, tag, cipher->suite->icv_len);
	return true;
}

/* ---- key schedules ------------------------------------------------------------------------------------------- */

int mb_burst_init(struct esp_cipher *cipher, const struct sa *sa)
{
	static const struct suite_work esp = {.seal_burst = burst_seal, .open_burst = burst_open};
	static const struct suite_work ah = {.mac = burst_mac};
	struct mb_keys *keys = mb_alloc(sizeof(*keys));

	if (!keys)
		return -ENOMEM;
	if (!mb_keys_init(keys, cipher->suite, sa)) {
		mb_free(keys);
		return -EIO;
	}
	cipher->state = keys;
	cipher->work = cipher->suite->mode == SUITE_AH ? &ah : &esp;
	cipher->concurrent = true;
	return 0;
}

#endif
