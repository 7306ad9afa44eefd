/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/config_build.h"
#include "ike/ts.h"

#include <stdio.h>
#include <string.h>

static uint8_t action_of(const char *text)
{
	if (!text)
		return CHILD_NONE;
	if (strcmp(text, "start") == 0 || strcmp(text, "restart") == 0)
		return CHILD_START;
	return strcmp(text, "trap") == 0 ? CHILD_TRAP : CHILD_NONE;
}

/* No selectors, or "dynamic" alone: the side's own address, known when the tunnel comes up. */
static bool selectors_build(const struct config_build *build, const char *key, char *const *texts, unsigned count,
	struct selector *out, uint8_t *out_count)
{
	char item[64], reason[256];

	if (count == 1 && strcmp(texts[0], "dynamic") == 0)
		return true;
	if (count > SELECTORS_MAX)
		return build_fail(build, key, "at most %u selectors were expected, not %u", SELECTORS_MAX, count);
	for (unsigned i = 0; i < count; i++) {
		snprintf(item, sizeof(item), "%s[%u]", key, i);
		if (strcmp(texts[i], "dynamic") == 0)
			return build_fail(build, item, "'dynamic' stands alone");
		if (!ts_parse(texts[i], &out[i], reason, sizeof(reason)))
			return build_fail(build, item, "%s", reason);
	}
	*out_count = (uint8_t)count;
	return true;
}

/* Some selector of one side needs a partner of its family on the other. */
static bool families_check(const struct config_build *build, const struct child_config *child)
{
	if (!child->local_count || !child->remote_count)
		return true;
	for (unsigned i = 0; i < child->local_count; i++)
		for (unsigned j = 0; j < child->remote_count; j++)
			if (child->local[i].family == child->remote[j].family)
				return true;
	return build_fail(build, "remote_ts", "selectors of the same address family as local_ts were expected");
}

static bool lifetimes_build(const struct config_build *build, const struct config_child *from, struct child_config *to)
{
	to->rekey_ns = build_duration(from->rekey_time, CONFIG_CHILD_REKEY_NS);
	to->life_ns = build_duration(from->life_time, to->rekey_ns + to->rekey_ns / 100 * CONFIG_LIFE_PERCENT);
	to->rekey_bytes = from->rekey_bytes;
	to->life_bytes = from->life_bytes;
	to->rekey_packets = from->rekey_packets;
	to->life_packets = from->life_packets;
	if (to->life_ns && to->rekey_ns && to->life_ns <= to->rekey_ns)
		return build_fail(build, "life_time", "more than rekey_time was expected");
	if (to->life_bytes && to->rekey_bytes && to->life_bytes <= to->rekey_bytes)
		return build_fail(build, "life_bytes", "more than rekey_bytes was expected");
	if (to->life_packets && to->rekey_packets && to->life_packets <= to->rekey_packets)
		return build_fail(build, "life_packets", "more than rekey_packets was expected");
	return true;
}

/* RFC 4303 3.4.3: without a window nothing tells the high half of an extended sequence number. */
static bool window_check(const struct config_build *build, const struct child_config *child)
{
	if (child->replay_bits)
		return true;
	for (unsigned i = 0; i < child->proposals.count; i++)
		for (unsigned t = 0; t < child->proposals.items[i].count; t++) {
			const struct transform *transform = &child->proposals.items[i].transforms[t];

			if (transform->type == TRANSFORM_ESN && transform->id == ESN_YES)
				return build_fail(build, "replay_window",
					"a window was expected, not 0: esp_proposals have esn, which needs one");
		}
	return true;
}

bool build_child(const struct config_build *build, const struct config_child *from, struct child_config *to)
{
	snprintf(to->name, sizeof(to->name), "%s", from->name);
	to->mode = SA_TUNNEL;
	to->start_action = action_of(from->start_action);
	to->close_action = action_of(from->close_action);
	to->dpd_action = action_of(from->dpd_action);
	to->replay_bits = from->replay_window ? *from->replay_window : CONFIG_REPLAY_BITS;
	return selectors_build(build, "local_ts", from->local_ts, from->local_ts_count, to->local, &to->local_count) &&
	       selectors_build(
		       build, "remote_ts", from->remote_ts, from->remote_ts_count, to->remote, &to->remote_count) &&
	       families_check(build, to) && lifetimes_build(build, from, to) &&
	       build_proposals(build, "esp_proposals", from->esp_proposals, from->esp_proposals_count, PROTOCOL_ESP,
		       &to->proposals) &&
	       window_check(build, to);
}
