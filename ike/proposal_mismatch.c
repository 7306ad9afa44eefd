/* SPDX-License-Identifier: Apache-2.0 */
/* Why two lists of proposals have nothing in common, in words that say what to change. */
#include "agent/base/own.h"
#include "ike/proposal.h"
#include "ike/transform.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WORDS_MAX 512u

struct text {
	char *out;
	size_t size;
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void text_add(struct text *text, const char *format, ...)
{
	va_list args;
	int more;

	if (text->len >= text->size)
		return;
	va_start(args, format);
	more = vsnprintf(text->out + text->len, text->size - text->len, format, args);
	va_end(args);
	text->len += more > 0 ? (size_t)more : 0;
	if (text->len >= text->size)
		text->len = text->size ? text->size - 1 : 0;
}

static bool list_has(const struct proposal_list *list, const struct transform *transform)
{
	for (unsigned i = 0; i < list->count; i++)
		for (unsigned j = 0; j < list->items[i].count; j++)
			if (transform_equal(&list->items[i].transforms[j], transform))
				return true;
	return false;
}

/* The words of one type in a list, each once. */
static const char *type_words(const struct proposal_list *list, uint8_t type, char *out, size_t size)
{
	struct proposal_list seen = {.count = 1};
	struct text text = {out, size, 0};
	char word[48];

	out[0] = '\0';
	for (unsigned i = 0; i < list->count; i++) {
		for (unsigned j = 0; j < list->items[i].count; j++) {
			const struct transform *transform = &list->items[i].transforms[j];

			if (transform->type != type || list_has(&seen, transform) ||
				seen.items[0].count == IKE_TRANSFORMS_MAX)
				continue;
			seen.items[0].transforms[seen.items[0].count++] = *transform;
			text_add(&text, "%s%s", text.len ? ", " : "", transform_format(transform, word, sizeof(word)));
		}
	}
	return text.len ? out : "none";
}

static bool type_missing(const struct proposal_list *list, uint8_t type)
{
	for (unsigned i = 0; i < list->count; i++)
		if (!proposal_has(&list->items[i], type))
			return true;
	return false;
}

/* Has a proposal of `ours` a transform of that type which `theirs` has as well? True, too, if ours asks for none. */
static bool type_common(const struct proposal_list *ours, const struct proposal_list *theirs, uint8_t type)
{
	bool any = false;

	for (unsigned i = 0; i < ours->count; i++) {
		for (unsigned j = 0; j < ours->items[i].count; j++) {
			const struct transform *transform = &ours->items[i].transforms[j];

			if (transform->type != type)
				continue;
			/* Without an ESN transform a peer means none (RFC 7296 3.3.3); without integrity or key
			 * exchange none as well. */
			if (transform->id == 0 && type != TRANSFORM_ENCR && type != TRANSFORM_PRF &&
				type_missing(theirs, type))
				return true;
			any = true;
			if (list_has(theirs, transform))
				return true;
		}
	}
	return !any;
}

/* The first transform of `type` in a list that is done here for `uses`; NULL if there is none. */
static const struct transform *type_first_done(const struct proposal_list *list, uint8_t type, unsigned uses)
{
	for (unsigned i = 0; i < list->count; i++)
		for (unsigned j = 0; j < list->items[i].count; j++) {
			const struct transform *transform = &list->items[i].transforms[j];
			const struct transform_info *info = transform_find(transform);

			if (transform->type == type && info && info->uses & uses)
				return transform;
		}
	return NULL;
}

/* What was offered, what is configured, and what to change on which side. */
static void type_report(
	const struct proposal_list *ours, const struct proposal_list *theirs, uint8_t type, struct text *text)
{
	uint8_t protocol = ours->count ? ours->items[0].protocol : PROTOCOL_ESP;
	const char *key = protocol == PROTOCOL_IKE  ? "proposals"
			  : protocol == PROTOCOL_AH ? "ah_proposals"
						    : "esp_proposals";
	unsigned uses = protocol == PROTOCOL_IKE ? FOR_IKE : protocol == PROTOCOL_AH ? FOR_AH : FOR_ESP;
	const struct transform *our_first = type_first_done(ours, type, uses);
	const struct transform *their_first = type_first_done(theirs, type, uses);
	char offered[WORDS_MAX], configured[WORDS_MAX], word[48];

	text_add(text, "  %s: the peer offers %s, configured here is %s; ", transform_type_name(type),
		type_words(theirs, type, offered, sizeof(offered)),
		type_words(ours, type, configured, sizeof(configured)));
	if (our_first)
		text_add(text, "add %s at the peer", transform_format(our_first, word, sizeof(word)));
	else
		text_add(text, "leave it out at the peer");
	if (their_first)
		text_add(text, ", or %s to \"%s\" here\n", transform_format(their_first, word, sizeof(word)), key);
	else if (offered[0])
		text_add(text, " (nothing of what it offers can be done here)\n");
	else
		text_add(text, ", or leave it out of \"%s\" here\n", key);
}

/* One line for each type without anything in common; their number. */
static unsigned types_report(const struct proposal_list *ours, const struct proposal_list *theirs, struct text *text)
{
	unsigned count = 0;

	for (uint8_t type = TRANSFORM_ENCR; type <= TRANSFORM_ESN; type++) {
		if (type_common(ours, theirs, type))
			continue;
		count++;
		type_report(ours, theirs, type, text);
	}
	return count;
}

/* Types in which one of our proposals and one of theirs have nothing in common, as a bit set. */
static unsigned pair_differs(const struct proposal *ours, const struct proposal *theirs)
{
	struct proposal_list our_list = {.count = 1, .items = {*ours}}, their_list = {.count = 1, .items = {*theirs}};
	unsigned bits = 0;

	for (uint8_t type = TRANSFORM_ENCR; type <= TRANSFORM_ESN; type++)
		if (!type_common(&our_list, &their_list, type) || !type_common(&their_list, &our_list, type))
			bits |= 1u << type;
	return bits;
}

/* Each type has something in common, but no two proposals have all: name the closest pair. */
static void closest_report(const struct proposal_list *ours, const struct proposal_list *theirs, struct text *text)
{
	unsigned best = ~0u, best_ours = 0, best_theirs = 0;
	char our_text[WORDS_MAX], their_text[WORDS_MAX];

	for (unsigned i = 0; i < ours->count; i++) {
		for (unsigned j = 0; j < theirs->count; j++) {
			unsigned differs = pair_differs(&ours->items[i], &theirs->items[j]);

			if (__builtin_popcount(differs) < __builtin_popcount(best)) {
				best = differs;
				best_ours = i;
				best_theirs = j;
			}
		}
	}
	proposal_format(&ours->items[best_ours], our_text, sizeof(our_text));
	proposal_format(&theirs->items[best_theirs], their_text, sizeof(their_text));
	text_add(text, "  each kind of algorithm has one in common, but no two proposals have them together\n");
	text_add(text, "  closest are the peer's proposal #%u (%s) and #%u here (%s), which differ in:\n",
		best_theirs + 1, their_text, best_ours + 1, our_text);
	for (uint8_t type = TRANSFORM_ENCR; type <= TRANSFORM_ESN; type++)
		if (best & 1u << type)
			type_report(&(struct proposal_list){.count = 1, .items = {ours->items[best_ours]}},
				&(struct proposal_list){.count = 1, .items = {theirs->items[best_theirs]}}, type, text);
	if (!proposal_types_known(&theirs->items[best_theirs]))
		text_add(text, "  the peer's has a kind of algorithm that is not known here (additional key "
			       "exchanges?); offer one without it, too\n");
}

static const char *protocol_name(uint8_t protocol)
{
	return protocol == PROTOCOL_IKE	  ? "IKE"
	       : protocol == PROTOCOL_AH  ? "AH"
	       : protocol == PROTOCOL_ESP ? "ESP"
					  : "another protocol";
}

/* AH against ESP: no algorithm is to blame. True: so it is. */
static bool protocol_report(const struct proposal_list *ours, const struct proposal_list *theirs, struct text *text)
{
	for (unsigned i = 0; i < ours->count; i++)
		for (unsigned j = 0; j < theirs->count; j++)
			if (ours->items[i].protocol == theirs->items[j].protocol)
				return false;
	text_add(text, "  the peer offers %s, configured here is %s (%s)\n", protocol_name(theirs->items[0].protocol),
		protocol_name(ours->items[0].protocol),
		ours->items[0].protocol == PROTOCOL_AH ? "ah_proposals" : "esp_proposals");
	return true;
}

/* A cipher whose packets anyone could change: never agreed to, also if it is the peer's only wish. */
static void unprotected_report(const struct proposal_list *theirs, struct text *text)
{
	char proposal[WORDS_MAX];

	for (unsigned i = 0; i < theirs->count; i++) {
		const struct proposal_list one = {.count = 1, .items = {theirs->items[i]}};
		const struct transform *cipher = type_first_done(&one, TRANSFORM_ENCR, FOR_ESP);

		if (theirs->items[i].protocol != PROTOCOL_ESP || !cipher || transform_find(cipher)->aead ||
			proposal_has(&theirs->items[i], TRANSFORM_INTEG))
			continue;
		text_add(text,
			"  the peer's proposal #%u (%s) encrypts without integrity protection, which is refused; add "
			"one such as sha256 at the peer\n",
			i + 1, proposal_format(&theirs->items[i], proposal, sizeof(proposal)));
	}
}

size_t proposal_mismatch(
	const struct proposal_list *ours, const struct proposal_list *theirs, const char *where, char *out, size_t size)
{
	struct text text = {out, size, 0};

	if (size)
		out[0] = '\0';
	text_add(&text, "%s: no proposal in common\n", where);
	if (theirs->count == 0 || ours->count == 0)
		text_add(&text, "  %s\n", theirs->count ? "nothing is configured here" : "the peer offers nothing");
	else if (!protocol_report(ours, theirs, &text) && types_report(ours, theirs, &text) == 0)
		closest_report(ours, theirs, &text);
	unprotected_report(theirs, &text);
	return text.len;
}
