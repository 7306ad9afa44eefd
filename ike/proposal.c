/* SPDX-License-Identifier: Apache-2.0 */
/* The notation of proposals, and the choice among them. Why a choice fails is told by proposal_mismatch.c. */
#include "ike/proposal.h"

#include "agent/base/own.h"
#include "ike/transform.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NOTATION_MAX 256u

static const uint8_t types[] = {TRANSFORM_ENCR, TRANSFORM_PRF, TRANSFORM_INTEG, TRANSFORM_KE, TRANSFORM_ESN};

bool proposal_has(const struct proposal *proposal, uint8_t type)
{
	for (unsigned i = 0; i < proposal->count; i++)
		if (proposal->transforms[i].type == type)
			return true;
	return false;
}

static void proposal_add(struct proposal *proposal, uint8_t type, uint16_t id, uint16_t key_bits)
{
	struct transform transform = {.type = type, .id = id, .key_bits = key_bits};

	for (unsigned i = 0; i < proposal->count; i++)
		if (transform_equal(&proposal->transforms[i], &transform))
			return;
	if (proposal->count < IKE_TRANSFORMS_MAX)
		proposal->transforms[proposal->count++] = transform;
}

/* ---- notation ------------------------------------------------------------------------------------------------- */

static unsigned uses_of(enum ike_protocol protocol)
{
	return protocol == PROTOCOL_IKE ? FOR_IKE : protocol == PROTOCOL_AH ? FOR_AH : FOR_ESP;
}

static const char *protocol_name(enum ike_protocol protocol)
{
	return protocol == PROTOCOL_IKE ? "IKE" : protocol == PROTOCOL_AH ? "AH" : "ESP";
}

/* The words that may stand in a proposal for `protocol`, for an error message. */
static void words_list(enum ike_protocol protocol, char *out, size_t size)
{
	const struct transform_info *info;
	size_t len = 0;

	for (unsigned n = 0; (info = transform_at(n)) && len < size; n++) {
		if (!(info->uses & uses_of(protocol)) || info->uses & FOR_VARIANT)
			continue;
		int more = snprintf(out + len, size - len, "%s%s", len ? ", " : "", info->word);

		len += more > 0 ? (size_t)more : 0;
	}
}

static bool word_add(const char *word, enum ike_protocol protocol, struct proposal *out, char *error, size_t error_size)
{
	const struct transform_info *info = transform_find_word(word, uses_of(protocol));
	char known[NOTATION_MAX];

	words_list(protocol, known, sizeof(known));
	if (!info) {
		snprintf(error, error_size, "\"%.40s\" is %s; expected some of: %s", word,
			transform_foreign_word(word) ? "an algorithm that is not done here" : "no algorithm", known);
		return false;
	}
	if (!(info->uses & uses_of(protocol))) {
		snprintf(error, error_size, "\"%.40s\" has no place in %s proposals; expected some of: %s", word,
			protocol_name(protocol), known);
		return false;
	}
	proposal_add(out, info->type, info->id, info->key_bits);
	return true;
}

/* RFC 7296 2.13 leaves the PRF to negotiation; without one named it is the hash of the integrity algorithm, as in
 * strongSwan. */
static void prf_complete(struct proposal *out)
{
	unsigned count = out->count;

	if (proposal_has(out, TRANSFORM_PRF))
		return;
	for (unsigned i = 0; i < count; i++) {
		if (out->transforms[i].type != TRANSFORM_INTEG)
			continue;
		uint16_t integ = out->transforms[i].id;

		proposal_add(out, TRANSFORM_PRF,
			integ == INTEG_HMAC_SHA2_256_128   ? PRF_HMAC_SHA2_256
			: integ == INTEG_HMAC_SHA2_384_192 ? PRF_HMAC_SHA2_384
							   : PRF_HMAC_SHA2_512,
			0);
	}
}

/* AEAD and other ciphers do not go into one proposal (RFC 5282 8, RFC 7296 3.3). */
static bool ciphers_check(struct proposal *out, char *error, size_t error_size)
{
	bool aead = false, plain = false;

	for (unsigned i = 0; i < out->count; i++) {
		const struct transform_info *info = transform_find(&out->transforms[i]);

		if (info->type == TRANSFORM_ENCR && info->aead)
			aead = true;
		else if (info->type == TRANSFORM_ENCR)
			plain = true;
	}
	if (!aead && !plain)
		snprintf(error, error_size, "no cipher; expected one such as aes256gcm16 or aes256");
	else if (aead && plain)
		snprintf(error, error_size,
			"mixes ciphers that bring their own integrity, such as AES-GCM, with others, such as AES-CBC; "
			"expected two proposals");
	else if (plain && !proposal_has(out, TRANSFORM_INTEG))
		snprintf(error, error_size,
			"a cipher without integrity, which an attacker can change unseen; expected sha256, sha384 or "
			"sha512 with it");
	else if (aead && proposal_has(out, TRANSFORM_INTEG) && out->protocol == PROTOCOL_ESP)
		snprintf(error, error_size,
			"the cipher brings its own integrity; leave sha256, sha384, sha512 and the like out");
	else
		return true;
	return false;
}

/* With AEAD "sha384" can only mean the PRF. */
static void aead_integrity_drop(struct proposal *out)
{
	const struct transform_info *info = transform_find(&out->transforms[0]);
	unsigned kept = 0;

	if (!info || !info->aead)
		return;
	for (unsigned i = 0; i < out->count; i++)
		if (out->transforms[i].type != TRANSFORM_INTEG)
			out->transforms[kept++] = out->transforms[i];
	out->count = (uint8_t)kept;
}

/* In the order of types, each type in the order of preference. */
static void transforms_sort(struct proposal *out)
{
	struct proposal sorted = *out;

	sorted.count = 0;
	for (size_t t = 0; t < ARRAY_LEN(types); t++)
		for (unsigned i = 0; i < out->count; i++)
			if (out->transforms[i].type == types[t])
				sorted.transforms[sorted.count++] = out->transforms[i];
	*out = sorted;
}

static bool proposal_complete(struct proposal *out, char *error, size_t error_size)
{
	transforms_sort(out);
	if (out->protocol == PROTOCOL_AH && !proposal_has(out, TRANSFORM_INTEG)) {
		snprintf(error, error_size, "no integrity; expected one such as sha256 or aes256gmac");
		return false;
	}
	if (out->protocol != PROTOCOL_AH && !ciphers_check(out, error, error_size))
		return false;
	if (out->protocol != PROTOCOL_IKE) {
		if (!proposal_has(out, TRANSFORM_ESN))
			proposal_add(out, TRANSFORM_ESN, ESN_NO, 0);
		return true;
	}
	prf_complete(out);
	aead_integrity_drop(out);
	transforms_sort(out);
	if (!proposal_has(out, TRANSFORM_PRF))
		snprintf(error, error_size, "AES-GCM names no PRF; expected prfsha256, prfsha384 or prfsha512 with it");
	else if (!proposal_has(out, TRANSFORM_KE))
		snprintf(error, error_size, "no key exchange; expected one such as x25519, ecp256, ecp384 or modp2048");
	else
		return true;
	return false;
}

bool proposal_parse(const char *text, enum ike_protocol protocol, struct proposal *out, char *error, size_t error_size)
{
	char copy[NOTATION_MAX];
	char *rest = copy, *word;

	*out = (struct proposal){.protocol = (uint8_t)protocol};
	if (strlen(text) >= sizeof(copy)) {
		snprintf(error, error_size, "longer than %u characters", NOTATION_MAX - 1);
		return false;
	}
	memcpy(copy, text, strlen(text) + 1);
	while ((word = strsep(&rest, "-")))
		if (!word_add(word, protocol, out, error, error_size))
			return false;
	return proposal_complete(out, error, error_size);
}

void proposal_defaults(enum ike_protocol protocol, struct proposal_list *out)
{
	static const char *const ike[] = {"aes256gcm16-prfsha384-ecp384-x25519",
		"aes256gcm16-aes128gcm16-prfsha256-prfsha384-prfsha512-x25519-ecp256-ecp384-modp2048",
		"aes256-aes128-sha256-sha384-sha512-x25519-ecp256-ecp384-modp2048", NULL};
	/* Each with PFS first, then without: Apple's and Windows' clients rekey without it. */
	static const char *const esp[] = {"aes256gcm16-aes128gcm16-x25519-ecp256-ecp384-modp2048-esn-noesn",
		"aes256gcm16-aes128gcm16-esn-noesn", "aes256-aes128-sha256-x25519-ecp256-ecp384-modp2048-esn-noesn",
		"aes256-aes128-sha256-esn-noesn", NULL};
	static const char *const ah[] = {
		"sha256-sha384-sha512-x25519-ecp256-ecp384-modp2048-esn-noesn", "sha256-sha384-sha512-esn-noesn", NULL};
	char error[NOTATION_MAX];

	out->count = 0;
	for (const char *const *text = protocol == PROTOCOL_IKE	 ? ike
				       : protocol == PROTOCOL_AH ? ah
								 : esp;
		*text; text++)
		if (proposal_parse(*text, protocol, &out->items[out->count], error, sizeof(error)))
			out->count++;
}

/* Append to a text that is cut short where it does not fit. */
__attribute__((format(printf, 4, 5))) static void text_add(char *out, size_t size, size_t *len, const char *format, ...)
{
	va_list args;
	int more;

	if (*len >= size)
		return;
	va_start(args, format);
	more = vsnprintf(out + *len, size - *len, format, args);
	va_end(args);
	*len += more > 0 ? (size_t)more : 0;
}

static bool has_esn(const struct proposal *proposal)
{
	for (unsigned i = 0; i < proposal->count; i++)
		if (proposal->transforms[i].type == TRANSFORM_ESN && proposal->transforms[i].id == ESN_YES)
			return true;
	return false;
}

const char *proposal_format(const struct proposal *proposal, char *out, size_t size)
{
	bool esn = has_esn(proposal);
	size_t len = 0;
	char word[48];

	if (size)
		out[0] = '\0';
	for (unsigned i = 0; i < proposal->count; i++) {
		const struct transform *transform = &proposal->transforms[i];

		if (transform->type == TRANSFORM_ESN && transform->id == ESN_NO && !esn)
			continue; /* what is meant when nothing is said */
		text_add(out, size, &len, "%s%s", len ? "-" : "", transform_format(transform, word, sizeof(word)));
	}
	return out;
}

const char *suite_format(const struct suite *suite, char *out, size_t size)
{
	const struct transform *all[] = {&suite->encr, &suite->integ, &suite->prf, &suite->ke, &suite->esn};
	struct proposal proposal = {.protocol = suite->protocol};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (all[i]->type)
			proposal.transforms[proposal.count++] = *all[i];
	return proposal_format(&proposal, out, size);
}

/* ---- choice --------------------------------------------------------------------------------------------------- */

/* Does a proposal leave `type` out, or allow to ("none")? */
static bool type_optional(const struct proposal *proposal, uint8_t type)
{
	for (unsigned i = 0; i < proposal->count; i++) {
		const struct transform *transform = &proposal->transforms[i];

		/* Id 0 is NONE for integrity and key exchange, and "no ESN". */
		if (transform->type == type && !(transform->id == 0 && type != TRANSFORM_ENCR && type != TRANSFORM_PRF))
			continue;
		if (transform->type == type)
			return true;
	}
	return !proposal_has(proposal, type);
}

/* Our preferred transform of `type` that theirs has; .type 0 if both do without. */
static bool type_choose(const struct proposal *ours, const struct proposal *theirs, uint8_t type, struct transform *out)
{
	static const struct transform esn_no = {.type = TRANSFORM_ESN, .id = ESN_NO};

	*out = (struct transform){0};
	for (unsigned i = 0; i < ours->count; i++) {
		if (ours->transforms[i].type != type)
			continue;
		for (unsigned j = 0; j < theirs->count; j++) {
			if (transform_equal(&ours->transforms[i], &theirs->transforms[j])) {
				*out = ours->transforms[i];
				return true;
			}
		}
	}
	if (!type_optional(ours, type) || !type_optional(theirs, type))
		return false;
	if (type == TRANSFORM_ESN && ours->protocol != PROTOCOL_IKE)
		*out = esn_no;
	return true;
}

/* RFC 7296 3.3.6: a proposal with a type that is not understood is not acceptable (RFC 9370's additional key exchanges,
 * for one). */
bool proposal_types_known(const struct proposal *proposal)
{
	for (unsigned i = 0; i < proposal->count; i++)
		if (proposal->transforms[i].type < TRANSFORM_ENCR || proposal->transforms[i].type > TRANSFORM_ESN)
			return false;
	return true;
}

/* RFC 4303 3.2: encryption without integrity is never agreed to, whatever stands in the proposals. */
static bool suite_protects(const struct suite *suite)
{
	const struct transform_info *encr = suite->encr.type ? transform_find(&suite->encr) : NULL;
	bool integ = suite->integ.type && suite->integ.id != INTEG_NONE;

	return suite->protocol == PROTOCOL_AH ? !suite->encr.type && integ : encr && (encr->aead || integ);
}

static bool suite_choose(const struct proposal *ours, const struct proposal *theirs, bool without_ke, struct suite *out)
{
	struct transform *const into[] = {&out->encr, &out->prf, &out->integ, &out->ke, &out->esn};

	*out = (struct suite){
		.protocol = ours->protocol, .proposal_number = theirs->number, .spi_len = theirs->spi_len};
	memcpy(out->spi, theirs->spi, sizeof(out->spi));
	if (ours->protocol != theirs->protocol || !proposal_types_known(theirs))
		return false;
	for (size_t t = 0; t < ARRAY_LEN(types); t++) {
		if (types[t] == TRANSFORM_KE && without_ke)
			continue;
		if (!type_choose(ours, theirs, types[t], into[t]))
			return false;
	}
	return suite_protects(out);
}

bool proposal_choose(
	const struct proposal_list *ours, const struct proposal_list *theirs, bool without_ke, struct suite *out)
{
	for (unsigned i = 0; i < ours->count; i++)
		for (unsigned j = 0; j < theirs->count; j++)
			if (suite_choose(&ours->items[i], &theirs->items[j], without_ke, out))
				return true;
	return false;
}

/* RFC 7296 3.3: the answer has exactly one transform of each type. */
static bool types_once(const struct proposal *proposal)
{
	for (unsigned i = 0; i < proposal->count; i++)
		for (unsigned j = i + 1; j < proposal->count; j++)
			if (proposal->transforms[i].type == proposal->transforms[j].type)
				return false;
	return true;
}

bool proposal_accept(
	const struct proposal_list *ours, const struct proposal_list *theirs, bool without_ke, struct suite *out)
{
	if (theirs->count != 1 || !types_once(&theirs->items[0]))
		return false;
	for (unsigned i = 0; i < ours->count; i++) {
		unsigned number = ours->items[i].number ? ours->items[i].number : i + 1;

		if (number == theirs->items[0].number &&
			suite_choose(&ours->items[i], &theirs->items[0], without_ke, out))
			return true;
	}
	return false;
}
