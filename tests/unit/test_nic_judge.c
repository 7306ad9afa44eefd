/* SPDX-License-Identifier: Apache-2.0 */
/* What the doctor says of an interface's MTU and channels, for the drivers whose native XDP has limits. */
#include "agent/base/own.h"
#include "tools/nic_judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

static struct nic_numbers numbers_of(const char *driver)
{
	return (struct nic_numbers){
		.name = "eth0", .driver = driver, .limits = nic_limits_find(driver), .mode = "", .cpus = 4};
}

static const char *text_of(const json_t *made, const char *key)
{
	return json_string_value(json_object_get(made, key));
}

/* The one finding that `judge` makes: its state and sentence. What is wrong says why and what to do. */
static void finding_expect(void (*judge)(struct doctor *, const struct nic_numbers *), const struct nic_numbers *nic,
	const char *state, const char *sentence)
{
	struct doctor doctor = {.findings = json_array()};
	const json_t *made;

	judge(&doctor, nic);
	assert_int_equal(json_array_size(doctor.findings), 1);
	made = json_array_get(doctor.findings, 0);
	assert_string_equal(text_of(made, "area"), "eth0");
	assert_string_equal(text_of(made, "state"), state);
	assert_string_equal(text_of(made, "what"), sentence);
	assert_int_equal(!text_of(made, "why"), strcmp(state, "good") == 0);
	assert_int_equal(!text_of(made, "do"), strcmp(state, "good") == 0);
	assert_int_equal(doctor.wrong, strcmp(state, "wrong") == 0);
	json_decref(doctor.findings);
}

static void mtu_against_the_driver(void **state)
{
	static const struct {
		const char *driver;
		const char *mode;
		uint32_t mtu;
		const char *state;
		const char *sentence;
	} rows[] = {
		/* ENA_XDP_MAX_MTU: a page less headroom, headers with a tag, and the shared info of an skb */
		{"ena", "", 3498, "good", "the MTU is 3498"},
		{"ena", "native", 3498, "good", "the MTU is 3498"},
		{"ena", "", 3499, "wrong", "the MTU is 3499, native XDP of ena allows 3498"},
		{"ena", "generic", 9001, "wrong", "the MTU is 9001, native XDP of ena allows 3498"},
		{"gve", "", 2032, "good", "the MTU is 2032"},
		{"gve", "generic", 2033, "wrong", "the MTU is 2033, native XDP of gve allows 2032"},
		{"hv_netvsc", "", 3506, "good", "the MTU is 3506"},
		{"hv_netvsc", "", 3507, "wrong", "the MTU is 3507, native XDP of hv_netvsc allows 3506"},
		{"virtio_net", "", 3506, "good", "the MTU is 3506"},
		{"virtio_net", "native", 9001, "good", "the MTU is 9001: larger packets come in several buffers"},
		{"virtio_net", "generic", 3507, "note",
			"the MTU is 3507, native XDP of virtio_net with one buffer a packet allows 3506"},
		{"veth", "native", 9001, "good", "the MTU is 9001: larger packets come in several buffers"},
		{"veth", "", 9001, "note", "the MTU is 9001, native XDP of veth with one buffer a packet allows 3504"},
		{"vmxnet3", "", 9000, "good", "the MTU is 9000"},
		{"bonding", "generic", 9000, "good", "the MTU is 9000"},
		{"never heard of", "", 9000, "good", "the MTU is 9000"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct nic_numbers nic = numbers_of(rows[i].driver);

		nic.mode = rows[i].mode;
		nic.mtu = rows[i].mtu;
		finding_expect(nic_judge_mtu, &nic, rows[i].state, rows[i].sentence);
	}
}

static void channels_against_the_driver(void **state)
{
	static const struct {
		const char *driver;
		uint32_t queues, most;
		const char *state;
		const char *sentence;
	} rows[] = {
		{"ena", 4, 8, "good", "4 queues, 4 processors"},
		{"ena", 5, 8, "wrong", "5 of 8 channels are in use, ena allows native XDP on at most half"},
		{"ena", 8, 8, "wrong", "8 of 8 channels are in use, ena allows native XDP on at most half"},
		{"ena", 4, 7, "wrong", "4 of 7 channels are in use, ena allows native XDP on at most half"},
		{"ena", 1, 1, "wrong", "1 of 1 channels are in use, ena allows native XDP on at most half"},
		{"ena", 2, 8, "note", "2 of 8 queues in use, 4 processors"},
		{"gve", 9, 16, "wrong", "9 of 16 channels are in use, gve allows native XDP on at most half"},
		{"gve", 8, 16, "good", "8 queues, 4 processors"},
		{"virtio_net", 8, 8, "good", "8 queues, 4 processors"},
		{"virtio_net", 1, 4, "note", "1 of 4 queues in use, 4 processors"},
		{"veth", 1, 1, "good", "1 queue, 4 processors"},
		{"mlx5_core", 64, 128, "good", "64 queues, 4 processors"},
		{"mlx5_core", 65, 128, "wrong", "65 queues in use, at most 64 can be served"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct nic_numbers nic = numbers_of(rows[i].driver);

		nic.queues = rows[i].queues;
		nic.queues_most = rows[i].most;
		finding_expect(nic_judge_queues, &nic, rows[i].state, rows[i].sentence);
	}
}

/* What a driver's note says is worth a sentence of its own; a driver that nobody has looked at has none. */
static void limits_are_known(void **state)
{
	static const char *const noted[] = {"ena", "virtio_net", "veth", "hv_netvsc", "vmxnet3", "bonding"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(noted); i++)
		assert_non_null(nic_limits_find(noted[i])->note);
	assert_true(nic_limits_find("ena")->half_the_channels && nic_limits_find("gve")->half_the_channels);
	assert_null(nic_limits_find("mlx5_core"));
	assert_null(nic_limits_find(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mtu_against_the_driver),
		cmocka_unit_test(channels_against_the_driver),
		cmocka_unit_test(limits_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
