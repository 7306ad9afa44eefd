/* SPDX-License-Identifier: Apache-2.0 */
/* The pair of selectors that is asked first decides as the tunnel's selectors do. */
#include "agent/selector.h"
#include "tests/unit/esp_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void random_range(uint64_t *random, struct selector *selector)
{
	uint32_t first = (uint32_t)lab_random(random) % 8, last = first + (uint32_t)lab_random(random) % 8;

	memset(selector, 0, sizeof(*selector));
	selector->family = lab_random(random) % 8 ? 4 : 6;
	selector->protocol = lab_random(random) % 8 ? 0 : 17;
	selector->port_last = UINT16_MAX;
	if (lab_random(random) % 8 == 0)
		selector->port_first = 50, selector->port_last = 60;
	if (lab_random(random) % 16 == 0) /* empty */
		last = first ? first - 1 : first;
	if (lab_random(random) % 16 == 0) /* all there is */
		first = 0, last = UINT32_MAX;
	wire_put32(selector->first, first);
	wire_put32(selector->last, last);
	if (selector->family == 6)
		memset(selector->last + 4, 0xff, 12);
}

static void random_tunnel(uint64_t *random, struct tunnel *tunnel)
{
	memset(tunnel, 0, sizeof(*tunnel));
	tunnel->local_count = (uint8_t)(lab_random(random) % 3);
	tunnel->remote_count = (uint8_t)(lab_random(random) % 3);
	for (unsigned i = 0; i < 2; i++) {
		random_range(random, &tunnel->local[i]);
		random_range(random, &tunnel->remote[i]);
	}
}

static void test_pair_is_the_tunnel(void **state)
{
	uint64_t random = 3;
	unsigned fits = 0, simple = 0;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		uint8_t packet[40] = {0}, *source = packet + 12, *destination = packet + 16;
		struct inner inner = {.family = lab_random(&random) % 8 ? 4 : 6,
			.protocol = lab_random(&random) % 2 ? 17 : 6,
			.ports_known = lab_random(&random) % 4,
			.source_port = (uint16_t)(40 + lab_random(&random) % 30),
			.destination_port = (uint16_t)(40 + lab_random(&random) % 30),
			.source = source,
			.destination = destination};
		struct selector_pair pair;
		struct tunnel tunnel;
		bool whole, pair_fits;

		random_tunnel(&random, &tunnel);
		wire_put32(source, (uint32_t)lab_random(&random) % 17);
		wire_put32(destination, (uint32_t)lab_random(&random) % 17);
		selector_pair_init(&pair, &tunnel);
		whole = selector_match_in(&tunnel, &inner);
		/* It never lets in what the tunnel does not, and without a second selector it is as good. */
		pair_fits = inner.family == 4 && selector_pair_match4(&pair, packet);
		assert_true(whole || !pair_fits);
		if (inner.family == 4 && pair.family && tunnel.local_count == 1 && tunnel.remote_count == 1)
			assert_int_equal(pair_fits, whole);
		fits += whole;
		simple += pair.family != 0;
	}
	assert_in_range(fits, 5000, 150000);
	assert_in_range(simple, 5000, 150000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_pair_is_the_tunnel)};

	return cmocka_run_group_tests_name("selector", tests, NULL, NULL);
}
