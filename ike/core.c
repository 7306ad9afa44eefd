/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/core.h"

#include "ike/memory.h"

void core_random(struct ike_engine *engine, void *out, size_t len)
{
	engine->random(engine->random_context, out, len);
}

uint64_t core_random_u64(struct ike_engine *engine)
{
	uint64_t value;

	core_random(engine, &value, sizeof(value));
	return value;
}

uint64_t core_jitter(struct ike_engine *engine, uint64_t ns)
{
	uint64_t range = ns / 100 * IKE_REKEY_JITTER_PERCENT;

	return range ? ns - core_random_u64(engine) % range : ns;
}

uint32_t core_bucket(const struct ike_engine *engine, uint64_t key)
{
	/* The peer chooses its SPI; it must not be able to choose the bucket. */
	return (uint32_t)((key ^ key >> 32) * engine->hash_seed >> 40) % CORE_BUCKETS;
}

bool core_may_answer_unprotected(struct ike_engine *engine, uint64_t now)
{
	if (now - engine->unprotected_since >= NS_PER_S) {
		engine->unprotected_since = now;
		engine->unprotected_sent = 0;
	}
	return engine->unprotected_sent++ < IKE_UNPROTECTED_PER_S;
}

void core_bury(struct ike_engine *engine, uint32_t child_id, bool keep_policy, uint64_t at)
{
	struct grave *grave = memory_new(1, sizeof(*grave));

	grave->child_id = child_id;
	grave->keep_policy = keep_policy;
	grave->timer = (struct timer){.kind = TIMER_GRAVE, .owner = grave};
	grave->next = engine->graves;
	engine->graves = grave;
	schedule_set(&engine->schedule, &grave->timer, at);
}

struct ike_sa *core_find_spi(const struct ike_engine *engine, uint64_t spi)
{
	struct ike_sa *sa = engine->by_spi[core_bucket(engine, spi)];

	while (sa && ike_sa_spi(sa) != spi)
		sa = sa->next_spi;
	return sa;
}

struct ike_sa *core_find_init(const struct ike_engine *engine, uint64_t spi_i, const struct endpoint *remote)
{
	struct ike_sa *sa = engine->by_init[core_bucket(engine, spi_i)];

	while (sa && (sa->spi_i != spi_i || !addr_equal(&sa->remote.addr, &remote->addr)))
		sa = sa->next_init;
	return sa;
}

uint64_t engine_counter(const struct ike_engine *engine, enum ike_counter counter)
{
	return counter < IKE_COUNTER_COUNT ? engine->counters[counter] : 0;
}

const char *ike_counter_name(enum ike_counter counter)
{
	static const char *const names[] = {
#define IKE_COUNTER_NAME(name, sentence) [IKE_COUNTER_##name] = #name,
		IKE_COUNTERS(IKE_COUNTER_NAME)
#undef IKE_COUNTER_NAME
	};

	return counter < IKE_COUNTER_COUNT ? names[counter] : NULL;
}

const char *ike_counter_sentence(enum ike_counter counter)
{
	static const char *const sentences[] = {
#define IKE_COUNTER_SENTENCE(name, sentence) [IKE_COUNTER_##name] = sentence,
		IKE_COUNTERS(IKE_COUNTER_SENTENCE)
#undef IKE_COUNTER_SENTENCE
	};

	return counter < IKE_COUNTER_COUNT ? sentences[counter] : NULL;
}

static uint64_t or_never(uint64_t at)
{
	return at == TIME_NEVER ? 0 : at;
}

static struct child_info child_info_of(const struct child_sa *child)
{
	return (struct child_info){
		.child_id = child->child_id,
		.name = child->config->name,
		.state = child_state_name(child->state),
		.spi_in = child->spi_in,
		.spi_out = child->spi_out,
		.suite = child->suite,
		.since_ns = child->since,
		.rekey_at_ns = or_never(child->rekey_at),
		.udp_encap = child_encap(child),
		.mode = child->mode,
		.local_count = child->local_count,
		.remote_count = child->remote_count,
		.local_ts = child->local_ts,
		.remote_ts = child->remote_ts,
	};
}

void engine_each(const struct ike_engine *engine, void (*fn)(const struct ike_info *info, void *context), void *context)
{
	for (const struct ike_sa *sa = engine->sas; sa; sa = sa->next) {
		struct child_info children[IKE_CHILDREN_MAX];
		struct ike_info info = {
			.conn = ike_sa_conn_name(sa),
			.state = ike_state_name(sa->state),
			.initiator = sa->initiator,
			.spi_i = sa->spi_i,
			.spi_r = sa->spi_r,
			.local = sa->local,
			.remote = sa->remote,
			.local_id = sa->local_id,
			.remote_id = sa->remote_id,
			.suite = sa->suite,
			.nat_local = sa->nat_local,
			.nat_remote = sa->nat_remote,
			.since_ns = sa->since,
			.rekey_at_ns = or_never(sa->rekey_at),
			.children = children,
		};

		for (const struct child_sa *child = sa->children; child && info.child_count < IKE_CHILDREN_MAX;
			child = child->next)
			children[info.child_count++] = child_info_of(child);
		fn(&info, context);
	}
}
