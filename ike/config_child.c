/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/own.h"
#include "ike/config_build.h"
#include "ike/ts.h"

#include <stdio.h>
#include <stdlib.h>
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
	to->life_ns = build_duration(from->life_time, to->rekey_ns + build_overtime(to->rekey_ns));
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

/* ---- proposals ------------------------------------------------------------------------------------------------- */
static bool is_esn(const struct transform *transform)
{
	return transform->type == TRANSFORM_ESN && transform->id == ESN_YES;
}

static void esn_drop(struct proposal_list *list)
{
	for (unsigned i = 0; i < list->count; i++) {
		struct proposal *proposal = &list->items[i];
		uint8_t kept = 0;

		for (unsigned t = 0; t < proposal->count; t++)
			if (!is_esn(&proposal->transforms[t]))
				proposal->transforms[kept++] = proposal->transforms[t];
		proposal->count = kept;
	}
}

/* RFC 4303 3.4.3: without a window nothing tells the high half of an extended sequence number. The defaults then do
 * without. */
static bool window_check(const struct config_build *build, const char *key, bool defaults, struct child_config *child)
{
	if (child->replay_bits)
		return true;
	if (defaults)
		esn_drop(&child->proposals);
	for (unsigned i = 0; i < child->proposals.count; i++)
		for (unsigned t = 0; t < child->proposals.items[i].count; t++)
			if (is_esn(&child->proposals.items[i].transforms[t]))
				return build_fail(build, "replay_window",
					"a window was expected, not 0: %s have esn, which needs one", key);
	return true;
}

static bool proposals_build(const struct config_build *build, const struct config_child *from, struct child_config *to)
{
	bool ah = from->ah_proposals_count;
	const char *key = ah ? "ah_proposals" : "esp_proposals";
	char *const *texts = ah ? from->ah_proposals : from->esp_proposals;
	unsigned count = ah ? from->ah_proposals_count : from->esp_proposals_count;

	if (ah && from->esp_proposals_count)
		return build_fail(build, "ah_proposals",
			"a child is protected by ESP or by AH; esp_proposals or ah_proposals were expected, not both");
	return build_proposals(build, key, texts, count, ah ? PROTOCOL_AH : PROTOCOL_ESP, &to->proposals) &&
	       window_check(build, key, !count || strcmp(texts[0], "default") == 0, to);
}

/* ---- mode and outer header ------------------------------------------------------------------------------------- */
static void mode_build(const struct config_child *from, struct child_config *to)
{
	const char *mode = from->mode ? from->mode : "tunnel";

	to->mode = strcmp(mode, "transport") == 0 ? SA_TRANSPORT : SA_TUNNEL;
	to->shunt = strcmp(mode, "pass") == 0 ? POLICY_BYPASS : strcmp(mode, "drop") == 0 ? POLICY_DISCARD : 0;
}

static void options_build(const struct config_child *from, struct child_config *to)
{
	struct tunnel_options *options = &to->options;

	if (from->df)
		options->df = strcmp(from->df, "set") == 0     ? DF_SET
			      : strcmp(from->df, "clear") == 0 ? DF_CLEAR
							       : DF_COPY;
	if (from->dscp && strcmp(from->dscp, "copy") != 0) {
		options->dscp = DSCP_SET;
		options->dscp_value = (uint8_t)strtoul(from->dscp, NULL, 10);
	}
	if (from->copy_ecn && !*from->copy_ecn)
		options->ecn = ECN_OFF;
	if (from->ttl)
		options->ttl = (uint8_t)*from->ttl;
	if (from->flow_label && strcmp(from->flow_label, "copy") == 0)
		options->flow_label = FLOW_LABEL_COPY;
	if (from->tfc_padding)
		options->tfc_pad = strcmp(from->tfc_padding, "mtu") == 0
					   ? TFC_PAD_MTU
					   : (uint16_t)strtoul(from->tfc_padding, NULL, 10);
	if (from->mss_clamp)
		to->clamp = *from->mss_clamp ? MSS_CLAMP : MSS_KEEP;
}

/* RFC 4301 4.1: AH pads nothing, and in transport mode there is no outer header to choose. */
static bool options_check(
	const struct config_build *build, const struct config_child *from, const struct child_config *to)
{
	const struct {
		const char *key;
		bool given;
	} outer[] = {{"df", from->df}, {"dscp", from->dscp}, {"copy_ecn", from->copy_ecn}, {"ttl", from->ttl},
		{"flow_label", from->flow_label}};

	for (size_t i = 0; to->mode == SA_TRANSPORT && i < ARRAY_LEN(outer); i++)
		if (outer[i].given)
			return build_fail(build, outer[i].key,
				"only with mode tunnel: in transport mode packets keep the header they have");
	if (from->ah_proposals_count && to->options.tfc_pad)
		return build_fail(build, "tfc_padding", "0 was expected: AH has no padding (RFC 4302), only ESP has");
	return true;
}

/* RFC 7296 2.23.1: hosts talk for themselves. */
static bool transport_check(const struct config_build *build, const struct child_config *child)
{
	const struct selector *sides[] = {child->local, child->remote};
	const uint8_t counts[] = {child->local_count, child->remote_count};

	for (unsigned side = 0; child->mode == SA_TRANSPORT && side < 2; side++)
		for (unsigned i = 0; i < counts[side]; i++)
			if (memcmp(sides[side][i].first, sides[side][i].last, sizeof(sides[side][i].first)) != 0 ||
				memcmp(sides[side][i].first, sides[side][0].first, sizeof(sides[side][i].first)) != 0)
				return build_fail(build, side ? "remote_ts" : "local_ts",
					"the %s host's own address was expected (or 'dynamic'): in transport mode "
					"nothing is behind the two ends",
					side ? "other" : "local");
	return true;
}

/* ---- policies without a peer ----------------------------------------------------------------------------------- */
/* No local side: any address of the families of the remote one. */
static void shunt_local_any(struct child_config *to)
{
	bool seen[2] = {false, false};

	for (unsigned i = 0; i < to->remote_count && !to->local_count; i++)
		seen[to->remote[i].family == IP_V6] = true;
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct selector *any = &to->local[to->local_count];

		if (!seen[v6])
			continue;
		*any = (struct selector){.family = v6 ? IP_V6 : IP_V4, .port_last = UINT16_MAX};
		memset(any->last, 0xff, v6 ? 16 : 4);
		to->local_count++;
	}
}

static bool shunt_check(const struct config_build *build, const struct config_child *from, struct child_config *to)
{
	const struct {
		const char *key;
		bool given;
	} foreign[] = {{"esp_proposals", from->esp_proposals_count}, {"ah_proposals", from->ah_proposals_count},
		{"rekey_time", from->rekey_time}, {"life_time", from->life_time}, {"df", from->df},
		{"dscp", from->dscp}, {"copy_ecn", from->copy_ecn}, {"ttl", from->ttl},
		{"flow_label", from->flow_label}, {"tfc_padding", from->tfc_padding}, {"mss_clamp", from->mss_clamp},
		{"replay_window", from->replay_window}};

	for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
		if (foreign[i].given)
			return build_fail(build, foreign[i].key, "not with mode %s, which has no SAs", from->mode);
	if (to->start_action == CHILD_START)
		return build_fail(build, "start_action",
			"none or trap was expected: the policies of mode %s stand from the start on", from->mode);
	if (!to->remote_count)
		return build_fail(build, "remote_ts",
			"selectors were expected, such as 10.2.0.0/16: mode %s has no peer "
			"whose address could be meant",
			from->mode);
	shunt_local_any(to);
	to->start_action = CHILD_NONE;
	return true;
}

bool build_child(const struct config_build *build, const struct config_child *from, struct child_config *to)
{
	snprintf(to->name, sizeof(to->name), "%s", from->name);
	mode_build(from, to);
	to->priority = from->priority ? *from->priority : 0;
	to->start_action = action_of(from->start_action);
	to->close_action = action_of(from->close_action);
	to->dpd_action = action_of(from->dpd_action);
	to->replay_bits = from->replay_window ? *from->replay_window : CONFIG_REPLAY_BITS;
	options_build(from, to);
	if (!selectors_build(build, "local_ts", from->local_ts, from->local_ts_count, to->local, &to->local_count) ||
		!selectors_build(
			build, "remote_ts", from->remote_ts, from->remote_ts_count, to->remote, &to->remote_count))
		return false;
	if (to->shunt && !shunt_check(build, from, to))
		return false;
	if (!families_check(build, to))
		return false;
	return to->shunt || (transport_check(build, to) && options_check(build, from, to) &&
				    lifetimes_build(build, from, to) && proposals_build(build, from, to));
}
