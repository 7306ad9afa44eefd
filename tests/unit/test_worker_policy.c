/* SPDX-License-Identifier: Apache-2.0 */
/* What the policies say about a packet that came out of a tunnel, and about the error that answers it. */
#include "agent/checksum.h"
#include "tests/unit/worker_scene.h"

struct asked_policy {
	struct host_policy base;
	uint64_t generation;
	bool covers;
	enum drop_reason reason;
	unsigned asked;
	unsigned asked_covers;
};

static enum drop_reason asked_ask(struct host_policy *base, const struct inner *inner, uint32_t *tunnel)
{
	struct asked_policy *policy = (struct asked_policy *)base;

	assert_int_equal(inner->destination[1], 2); /* the packet out of the tunnel, and not its outer header */
	policy->asked++;
	*tunnel = 1;
	return policy->reason;
}

static uint64_t asked_generation(struct host_policy *base)
{
	return ((struct asked_policy *)base)->generation;
}

static bool asked_covers(struct host_policy *base, const struct inner *inner)
{
	struct asked_policy *policy = (struct asked_policy *)base;

	(void)inner;
	policy->asked_covers++;
	return policy->covers;
}

/* What came out of one tunnel is outbound traffic if it leaves again: the policies have their say. */
static void policies_hold_behind_a_tunnel(void **state)
{
	static const struct {
		bool covers;
		enum drop_reason reason;
		int lan; /* packets that leave by the LAN's port */
		int host;
		enum drop_reason drop;
	} rows[] = {
		{false, DROP_NONE, 1, 0, DROP_NONE},
		{true, DROP_POLICY_NONE, 1, 0, DROP_NONE},
		{true, DROP_NONE, 0, 1, DROP_NONE}, /* another tunnel's */
		{true, DROP_POLICY_DROP, 0, 0, DROP_POLICY_DROP},
		{true, DROP_FRAGMENT_PORTS, 0, 0, DROP_FRAGMENT_PORTS},
		{true, DROP_XDP_ERROR, 0, 0, DROP_XDP_ERROR},
	};
	struct asked_policy policy = {
		.base = {.ask = asked_ask, .generation = asked_generation, .covers = asked_covers}, .generation = 1};
	struct lab *lab = *state;
	struct frame sealed[2], out;

	worker_clear(&lab->b.worker);
	lab->b.shared.policy = &policy.base;
	assert_int_equal(worker_init(&lab->b.worker, &lab->b.shared, 0, &lab->b.resolver.resolver), 0);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		policy.covers = rows[i].covers;
		policy.reason = rows[i].reason;
		policy.generation++;
		policy.asked = policy.asked_covers = 0;
		for (unsigned j = 0; j < 2; j++) {
			sealed[j] = seal_one(lab, 100);
			assert_true(gateway_push_esp(&lab->b, 0, &sealed[j]));
			worker_turn(&lab->b.worker, lab->now);
			chunk_give(&lab->a.cache, sealed[j].chunk);
			assert_int_equal(memory_port_pull(gateway_port(&lab->b, SLOT_LAN), 0, &out, 1), rows[i].lan);
			if (rows[i].lan)
				chunk_give(&lab->b.cache, out.chunk);
			assert_int_equal(memory_port_pull(gateway_port(&lab->b, SLOT_HOST), 0, &out, 1), rows[i].host);
			if (rows[i].host)
				chunk_give(&lab->b.cache, out.chunk);
		}
		if (rows[i].drop)
			assert_int_equal(dropped(&lab->b, rows[i].drop), 2);
		/* once for the destination and the flow, until a policy changes */
		assert_int_equal(policy.asked_covers, 1);
		assert_int_equal(policy.asked, rows[i].covers);
	}
	/* The host's own are the host's. */
	lab->b.resolver.inner_kind = HOP_HOST;
	lab->b.shared.news.all++;
	sealed[0] = seal_one(lab, 100);
	gateway_push_esp(&lab->b, 0, &sealed[0]);
	chunk_give(&lab->a.cache, sealed[0].chunk);
	worker_turn(&lab->b.worker, lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->b, SLOT_HOST), 0, &out, 1), 1);
	chunk_give(&lab->b.cache, out.chunk);
	assert_int_equal(chunks_free(&lab->b), GATEWAY_CHUNKS);
}

/* Policies that protect what goes from the networks `local` (by their second byte) to 10.1/16, a spoke. */
struct way_back {
	struct host_policy base;
	uint8_t local[2];
	bool covers;
};

static uint64_t way_back_generation(struct host_policy *base)
{
	(void)base;
	return 1;
}

static enum drop_reason way_back_ask(struct host_policy *base, const struct inner *inner, uint32_t *tunnel)
{
	const struct way_back *policy = (const struct way_back *)base;

	assert_int_equal(inner->protocol, 1);
	assert_int_equal(inner->source_port, 3 << 8 | 4);
	assert_int_equal(inner->destination[1], 1); /* to the sender */
	*tunnel = 1;
	for (unsigned i = 0; i < 2; i++)
		if (inner->source[0] == 10 && inner->source[1] == policy->local[i])
			return DROP_NONE;
	return DROP_POLICY_NONE;
}

static bool way_back_covers(struct host_policy *base, const struct inner *inner)
{
	(void)inner;
	return ((const struct way_back *)base)->covers;
}

/* A packet that came out of another tunnel is too big for this one: the error must fit the tunnel that leads back. Of
 * this gateway's addresses the first that does; if none does, the address that the packet was for; where no tunnel
 * leads back, or the packet came by a port, the gateway's first. */
static void error_fits_the_tunnel_that_leads_back(void **state)
{
	static const struct {
		uint8_t local[2];
		bool covers;
		uint32_t slot;
		uint8_t source[4];
	} rows[] = {
		{{5, 2}, true, SLOT_HOST, {10, 5, 0, 1}},
		{{2, 77}, true, SLOT_HOST, {10, 2, 0, 0}}, /* the packet's own */
		{{77, 78}, true, SLOT_HOST, {192, 0, 2, 1}},
		{{5, 2}, false, SLOT_HOST, {192, 0, 2, 1}},
		{{5, 2}, true, SLOT_LAN, {192, 0, 2, 1}},
	};
	struct way_back policy = {
		.base = {.ask = way_back_ask, .generation = way_back_generation, .covers = way_back_covers}};
	struct lab *lab = *state;
	struct frame answer;
	uint8_t packet[1400];

	gateway_packet(packet, sizeof(packet), 0, true);
	lab->a.resolver.mtu = 1300;
	lab->a.shared.own_v4[0] = gateway_addr("192.0.2.1");
	lab->a.shared.own_v4[1] = gateway_addr("10.5.0.1");
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memcpy(policy.local, rows[i].local, sizeof(policy.local));
		policy.covers = rows[i].covers;
		lab->a.shared.policy = &policy.base;
		gateway_push_plain(&lab->a, rows[i].slot, 0, packet, sizeof(packet));
		worker_turn(&lab->a.worker, lab->now);
		assert_int_equal(memory_port_pull(gateway_port(&lab->a, rows[i].slot), 0, &answer, 1), 1);
		if (rows[i].slot != SLOT_HOST)
			frame_pull(&answer, 14);
		assert_int_equal(answer.data[20], 3);
		assert_memory_equal(answer.data + 12, rows[i].source[1] == 2 ? packet + 16 : rows[i].source, 4);
		assert_memory_equal(answer.data + 16, packet + 12, 4);
		assert_int_equal(checksum_fold(checksum_add(0, answer.data, 20)), 0xffff);
		chunk_give(&lab->a.cache, answer.chunk);
	}
	lab->a.shared.policy = NULL;
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(policies_hold_behind_a_tunnel),
		TEST(error_fits_the_tunnel_that_leads_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
