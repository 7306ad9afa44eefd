/* SPDX-License-Identifier: Apache-2.0 */
/* One SA's cipher, and the jobs of a turn handed to the engines. */
#include "agent/base/own.h"
#include "agent/base/secret.h"
#include "agent/suite_choice.h"
#include "agent/suite_engine.h"
#include "agent/suite_nonce.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

static const struct esp_suite *suite_of(const struct sa *sa)
{
	if (sa->protocol == IPPROTO_AH)
		return ah_suite_find(sa->integ);
	return esp_suite_find(sa->encr, sa->encr_key_bits, sa->integ);
}

int esp_cipher_init_by(struct esp_cipher *cipher, const struct sa *sa, const struct suite_engine *engine)
{
	const struct esp_suite *suite = suite_of(sa);
	int error;

	memset(cipher, 0, sizeof(*cipher));
	if (!suite || !engine->serves(suite))
		return -EOPNOTSUPP;
	cipher->suite = suite;
	cipher->engine = engine;
	cipher->esn = sa->flags & SA_ESN;
	memcpy(cipher->salt, sa->salt, sizeof(cipher->salt));
	error = engine->init(cipher, sa);
	if (error)
		esp_cipher_clear(cipher);
	return error;
}

int esp_cipher_init(struct esp_cipher *cipher, const struct sa *sa)
{
	const struct esp_suite *suite = suite_of(sa);

	if (!suite) {
		memset(cipher, 0, sizeof(*cipher));
		return -EOPNOTSUPP;
	}
	return esp_cipher_init_by(cipher, sa, suite_choice(suite));
}

void esp_cipher_clear(struct esp_cipher *cipher)
{
	if (cipher->state)
		cipher->engine->clear(cipher->state);
	secret_wipe(cipher, sizeof(*cipher));
}

bool esp_cipher_mac(struct esp_cipher *cipher, const uint8_t *data, uint32_t len, const uint8_t *iv, uint8_t *icv)
{
	return cipher->work->mac(cipher, data, len, iv, icv);
}

void esp_cipher_mac_iv(const struct esp_cipher *cipher, uint64_t seq, uint8_t *iv)
{
	if (cipher->suite->iv_len)
		esp_put_count(iv, seq);
}

/* ---- jobs ---------------------------------------------------------------------------------------------------- */

/* Jobs that wait until there are enough for a burst. All have the same work. */
struct burst {
	struct esp_job *jobs[SUITE_BURST_MAX];
	const struct suite_work *work;
	uint32_t count;
};

static void burst_add(struct burst *burst, struct esp_job *job, const struct suite_work *work)
{
	burst->work = work;
	burst->jobs[burst->count++] = job;
}

static void burst_seal(struct burst *burst)
{
	if (burst->count)
		burst->work->seal_burst(burst->jobs, burst->count);
	burst->count = 0;
}

static void burst_open(struct burst *burst)
{
	if (burst->count)
		burst->work->open_burst(burst->jobs, burst->count);
	burst->count = 0;
}

void esp_jobs_seal(struct esp_job *jobs, uint32_t count)
{
	struct burst burst;

	burst.count = 0;
	for (uint32_t i = 0, run = 1; i < count; i += run, run = 1) {
		struct esp_job *job = &jobs[i];
		const struct suite_work *work = job->cipher->work;

		if (work->seal_run) {
			run = work->seal_run(job, count - i);
			continue;
		}
		if (work->seal) {
			job->good = work->seal(job->cipher, job->esp, job->text_len, job->seq);
			continue;
		}
		if (burst.count == SUITE_BURST_MAX || (burst.count && burst.work != work))
			burst_seal(&burst);
		burst_add(&burst, job, work);
	}
	burst_seal(&burst);
}

void esp_jobs_open(struct esp_job *jobs, uint32_t count)
{
	struct burst burst;

	burst.count = 0;
	for (uint32_t i = 0, run = 1; i < count; i += run, run = 1) {
		struct esp_job *job = &jobs[i];
		const struct suite_work *work = job->cipher->work;

		if (work->open_run) {
			run = work->open_run(job, count - i);
			continue;
		}
		if (work->open) {
			job->good = work->open(job->cipher, job->esp, job->text_len, job->seq);
			continue;
		}
		if (burst.count == SUITE_BURST_MAX || (burst.count && burst.work != work))
			burst_open(&burst);
		burst_add(&burst, job, work);
	}
	burst_open(&burst);
}
