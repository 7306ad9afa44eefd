/* SPDX-License-Identifier: Apache-2.0 */
/* What the IKE daemon may agree on is what the agent can do, and the other way round. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ike/proposal.h"
#include "ike/transform.h"

/* agent/suite.h, which has names of its own for the same numbers. */
struct esp_suite;
extern const struct esp_suite *esp_suite_find(uint16_t encr, uint16_t encr_key_bits, uint16_t integ);
extern const struct esp_suite *esp_suite_at(unsigned index);
extern const struct esp_suite *ah_suite_find(uint16_t integ);
extern const struct esp_suite *ah_suite_at(unsigned index);

static unsigned counted(const struct esp_suite *(*at)(unsigned index))
{
	unsigned count = 0;

	while (at(count))
		count++;
	return count;
}

/* How many integrity algorithms stand beside `cipher` in ESP; each must be known to the agent. */
static unsigned pairs_of(const struct transform_info *cipher)
{
	const struct transform_info *integ;
	unsigned count = 0;

	for (unsigned n = 0; (integ = transform_at(n)); n++) {
		if (integ->type != TRANSFORM_INTEG || !(integ->uses & FOR_ESP))
			continue;
		if (!esp_suite_find(cipher->id, cipher->key_bits, integ->id))
			fail_msg("the agent lacks %s-%s", cipher->word, integ->word);
		count++;
	}
	return count;
}

static void esp_words(void **state)
{
	const struct transform_info *info;
	unsigned count = 0;

	(void)state;
	for (unsigned n = 0; (info = transform_at(n)); n++) {
		if (info->type != TRANSFORM_ENCR || !(info->uses & FOR_ESP))
			continue;
		if (!info->aead) {
			count += pairs_of(info);
			assert_null(esp_suite_find(info->id, info->key_bits, INTEG_NONE));
			continue;
		}
		if (!esp_suite_find(info->id, info->key_bits, INTEG_NONE))
			fail_msg("the agent lacks %s", info->word);
		count++;
	}
	assert_int_equal(count, counted(esp_suite_at));
}

static void ah_words(void **state)
{
	const struct transform_info *info;
	unsigned count = 0;

	(void)state;
	for (unsigned n = 0; (info = transform_at(n)); n++) {
		if (info->type != TRANSFORM_INTEG || !(info->uses & FOR_AH))
			continue;
		if (!ah_suite_find(info->id))
			fail_msg("the agent lacks AH with %s", info->word);
		count++;
	}
	assert_int_equal(count, counted(ah_suite_at));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(esp_words),
		cmocka_unit_test(ah_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
