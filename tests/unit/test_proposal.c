/* SPDX-License-Identifier: Apache-2.0 */
/* Proposals: notation, choice, acceptance and the report of a mismatch, as tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/base/own.h"
#include "ike/proposal.h"

#include <string.h>

static const struct {
	enum ike_protocol protocol;
	const char *text;
	const char *normal; /* NULL: refused, with this in the message: */
	const char *error;
} notation[] = {
	{PROTOCOL_IKE, "aes256gcm16-prfsha384-x25519", "aes256gcm16-prfsha384-x25519", NULL},
	{PROTOCOL_IKE, "aes256gcm16-sha384-curve25519", "aes256gcm16-prfsha384-x25519", NULL},
	{PROTOCOL_IKE, "aes256-sha256-modp2048", "aes256-prfsha256-sha256-modp2048", NULL},
	{PROTOCOL_IKE, "AES128-SHA512-ECP256-ECP384", "aes128-prfsha512-sha512-ecp256-ecp384", NULL},
	{PROTOCOL_ESP, "aes256gcm16", "aes256gcm16", NULL},
	{PROTOCOL_ESP, "aes256gcm16-esn", "aes256gcm16-esn", NULL},
	{PROTOCOL_ESP, "aes256-sha256-ecp256", "aes256-sha256-ecp256", NULL},
	{PROTOCOL_ESP, "aes128gcm8-aes192gcm12-aes256gcm128", "aes128gcm8-aes192gcm12-aes256gcm16", NULL},
	{PROTOCOL_ESP, "AES192GCM", "aes192gcm16", NULL},
	{PROTOCOL_ESP, "aes128ccm64-aes256ccm96-aes192ccm", "aes128ccm8-aes256ccm12-aes192ccm16", NULL},
	{PROTOCOL_ESP, "chacha20poly1305-esn-noesn", "chacha20poly1305-esn-noesn", NULL},
	{PROTOCOL_ESP, "aes256gcm16iiv-aes128ccm8iiv-chacha20poly1305iiv",
		"aes256gcm16iiv-aes128ccm8iiv-chacha20poly1305iiv", NULL},
	{PROTOCOL_ESP, "aes-aes192-aes256ctr-sha-aesxcbc-aescmac-sha2_512",
		"aes128-aes192-aes256ctr-sha1-aesxcbc-aescmac-sha512", NULL},
	{PROTOCOL_ESP, "null-sha256", "null-sha256", NULL},
	{PROTOCOL_ESP, "aes192gmac", "aes192gmac", NULL},
	{PROTOCOL_AH, "sha256-x25519", "sha256-x25519", NULL},
	{PROTOCOL_AH, "aes128gmac-aes256gmac-sha1-esn", "aes128gmac-aes256gmac-sha1-esn", NULL},
	{PROTOCOL_IKE, "aes192gcm16-aes256gcm16-prfsha384-ecp384", "aes192gcm16-aes256gcm16-prfsha384-ecp384", NULL},
	{PROTOCOL_IKE, "aes192-sha256-x25519", "aes192-prfsha256-sha256-x25519", NULL},
	{PROTOCOL_ESP, "null", NULL, "without integrity"},
	{PROTOCOL_ESP, "aes256ctr-x25519", NULL, "without integrity"},
	{PROTOCOL_ESP, "aes256", NULL, "without integrity"},
	{PROTOCOL_ESP, "aes256gmac-sha256", NULL, "its own integrity"},
	{PROTOCOL_ESP, "sha256", NULL, "no cipher"},
	{PROTOCOL_ESP, "aes256gcm16-aes256-sha256", NULL, "mixes"},
	{PROTOCOL_ESP, "aes128gcm24", NULL, "no algorithm"},
	{PROTOCOL_AH, "aes256-sha256", NULL, "no place in AH"},
	{PROTOCOL_AH, "x25519", NULL, "no integrity"},
	{PROTOCOL_IKE, "chacha20poly1305-prfsha256-x25519", NULL, "no place in IKE"},
	{PROTOCOL_IKE, "aes256gcm16iiv-prfsha256-x25519", NULL, "no place in IKE"},
	{PROTOCOL_IKE, "aes256-sha1-x25519", NULL, "no place in IKE"},
	{PROTOCOL_IKE, "aes256gcm16-x25519", NULL, "PRF"},
	{PROTOCOL_IKE, "aes256gcm16-prfsha256", NULL, "key exchange"},
	{PROTOCOL_IKE, "aes256-x25519", NULL, "integrity"},
	{PROTOCOL_IKE, "aes256-aes128gcm16-sha256-x25519", NULL, "mixes"},
	{PROTOCOL_IKE, "aes256gcm16-prfsha256-x25519-esn", NULL, "no place"},
	{PROTOCOL_ESP, "aes256gcm16-prfsha256", NULL, "no place"},
	{PROTOCOL_ESP, "aes256gcm16-sha256", NULL, "its own integrity"},
	{PROTOCOL_ESP, "3des-sha1", NULL, "\"3des\" is an algorithm that is not done here"},
	{PROTOCOL_ESP, "", NULL, "no algorithm"},
	{PROTOCOL_IKE, "aes256-sha265-x25519", NULL, "\"sha265\" is no algorithm; expected some of: aes128gcm16"},
	{PROTOCOL_IKE, "aes256-sha256-modp1024", NULL, "\"modp1024\" is an algorithm that is not done here"},
};

static void parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(notation); i++) {
		struct proposal proposal;
		char error[512] = "", text[256];
		bool ok = proposal_parse(notation[i].text, notation[i].protocol, &proposal, error, sizeof(error));

		assert_int_equal(ok, notation[i].normal != NULL);
		if (ok)
			assert_string_equal(proposal_format(&proposal, text, sizeof(text)), notation[i].normal);
		else if (!strstr(error, notation[i].error))
			fail_msg("%s: \"%s\" lacks \"%s\"", notation[i].text, error, notation[i].error);
	}
}

static void list_of(const char *texts, enum ike_protocol protocol, struct proposal_list *out)
{
	char copy[256], error[512];
	char *rest = copy, *word;

	out->count = 0;
	memcpy(copy, texts, strlen(texts) + 1);
	while ((word = strsep(&rest, " "))) {
		if (!proposal_parse(word, protocol, &out->items[out->count], error, sizeof(error)))
			fail_msg("%s: %s", word, error);
		out->items[out->count].number = (uint8_t)(out->count + 1);
		out->count++;
	}
}

static const struct {
	enum ike_protocol protocol;
	const char *ours, *theirs;
	bool without_ke;
	const char *chosen; /* NULL: none */
	unsigned number;
} choices[] = {
	{PROTOCOL_IKE, "aes256gcm16-prfsha384-x25519", "aes256gcm16-prfsha384-x25519", false,
		"aes256gcm16-prfsha384-x25519", 1},
	/* ours decides the order, whatever theirs is */
	{PROTOCOL_IKE, "aes256gcm16-aes128gcm16-prfsha256-x25519-ecp256",
		"aes128gcm16-aes256gcm16-prfsha256-ecp256-x25519", false, "aes256gcm16-prfsha256-x25519", 1},
	{PROTOCOL_IKE, "aes256gcm16-prfsha256-x25519 aes256-sha256-x25519", "aes128-sha256-x25519 aes256-sha256-x25519",
		false, "aes256-sha256-prfsha256-x25519", 2},
	{PROTOCOL_IKE, "aes256gcm16-prfsha256-x25519", "aes256gcm16-prfsha256-ecp256", false, NULL, 0},
	{PROTOCOL_IKE, "aes256-sha256-x25519", "aes256gcm16-prfsha256-x25519", false, NULL, 0},
	{PROTOCOL_ESP, "aes256gcm16", "aes256gcm16", false, "aes256gcm16", 1},
	{PROTOCOL_ESP, "aes256gcm16-x25519", "aes256gcm16", false, NULL, 0},
	{PROTOCOL_ESP, "aes256gcm16-x25519", "aes256gcm16", true, "aes256gcm16", 1},
	{PROTOCOL_ESP, "aes256gcm16", "aes256gcm16-x25519", false, NULL, 0},
	{PROTOCOL_ESP, "aes256gcm16-x25519 aes256gcm16", "aes128gcm16 aes256gcm16", false, "aes256gcm16", 2},
	{PROTOCOL_ESP, "aes256gcm16", "aes256gcm16-esn", false, NULL, 0},
	{PROTOCOL_ESP, "aes256gcm16-noesn", "aes256gcm16-esn-noesn", false, "aes256gcm16", 1},
	{PROTOCOL_ESP, "aes128gcm16", "aes256gcm16", false, NULL, 0},
	{PROTOCOL_ESP, "aes256gcm16-esn-noesn", "aes256gcm16", false, "aes256gcm16", 1},
	{PROTOCOL_ESP, "aes256gcm16-esn-noesn", "aes256gcm16-noesn-esn", false, "aes256gcm16-esn", 1},
	{PROTOCOL_ESP, "aes256gcm16iiv aes256gcm16", "aes256gcm16", false, "aes256gcm16", 1},
	{PROTOCOL_ESP, "aes256gcm16", "aes256gcm16iiv", false, NULL, 0},
	{PROTOCOL_ESP, "aes256gcm8", "aes256gcm16", false, NULL, 0},
	{PROTOCOL_ESP, "null-sha256", "null-sha256-sha1", false, "null-sha256", 1},
	{PROTOCOL_AH, "sha256-sha1-esn-noesn", "sha1-esn", false, "sha1-esn", 1},
	{PROTOCOL_AH, "aes256gmac", "aes256gmac", false, "aes256gmac", 1},
	{PROTOCOL_AH, "aes256gmac", "aes128gmac", false, NULL, 0},
};

static void choose(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
		struct proposal_list ours, theirs;
		struct suite suite;
		char text[256];
		bool found;

		list_of(choices[i].ours, choices[i].protocol, &ours);
		list_of(choices[i].theirs, choices[i].protocol, &theirs);
		found = proposal_choose(&ours, &theirs, choices[i].without_ke, &suite);
		if (found != (choices[i].chosen != NULL))
			fail_msg("row %zu", i);
		if (!found)
			continue;
		assert_string_equal(suite_format(&suite, text, sizeof(text)), choices[i].chosen);
		assert_int_equal(suite.proposal_number, choices[i].number);
	}
}

/* A responder must not slip in what was not offered, or another proposal's number. */
static void accept_only_what_was_offered(void **state)
{
	struct proposal_list ours, answer;
	struct suite suite;

	(void)state;
	list_of("aes256gcm16-prfsha256-x25519 aes256-sha256-modp2048", PROTOCOL_IKE, &ours);
	list_of("aes256-sha256-modp2048", PROTOCOL_IKE, &answer);
	assert_false(proposal_accept(&ours, &answer, false, &suite)); /* number 1 is the other one */
	answer.items[0].number = 2;
	assert_true(proposal_accept(&ours, &answer, false, &suite));
	list_of("aes128-sha256-modp2048", PROTOCOL_IKE, &answer);
	answer.items[0].number = 2;
	assert_false(proposal_accept(&ours, &answer, false, &suite));
	list_of("aes256-sha256-modp2048-ecp256", PROTOCOL_IKE, &answer); /* two of one type */
	answer.items[0].number = 2;
	assert_false(proposal_accept(&ours, &answer, false, &suite));
	list_of("aes256-sha256-modp2048 aes256-sha256-modp2048", PROTOCOL_IKE, &answer);
	assert_false(proposal_accept(&ours, &answer, false, &suite));
}

/* RFC 4303 3.2: a cipher without integrity is refused though the peer offers nothing else, and also if it stood in our
 * own list. AH and ESP have nothing in common. */
static void encryption_alone_is_refused(void **state)
{
	struct proposal_list ours, theirs;
	struct suite suite;
	char text[2048];

	(void)state;
	list_of("aes256-sha256", PROTOCOL_ESP, &ours);
	list_of("aes256-sha256", PROTOCOL_ESP, &theirs);
	theirs.items[0].transforms[1] = theirs.items[0].transforms[2]; /* ESN; integrity is left out */
	theirs.items[0].count = 2;
	assert_false(proposal_choose(&ours, &theirs, false, &suite));
	assert_true(proposal_mismatch(&ours, &theirs, "child", text, sizeof(text)) > 0);
	assert_non_null(strstr(text, "(aes256) encrypts without integrity protection, which is refused"));
	assert_false(proposal_choose(&theirs, &theirs, false, &suite));
	theirs.items[0].transforms[1] = (struct transform){TRANSFORM_INTEG, INTEG_NONE, 0};
	assert_false(proposal_choose(&theirs, &theirs, false, &suite));
	list_of("null-sha256", PROTOCOL_ESP, &theirs);
	theirs.items[0].transforms[1] = theirs.items[0].transforms[2];
	theirs.items[0].count = 2;
	assert_false(proposal_choose(&theirs, &theirs, false, &suite));
}

static void ah_is_not_esp(void **state)
{
	struct proposal_list ours, theirs;
	struct suite suite;
	char text[2048];

	(void)state;
	list_of("null-sha256", PROTOCOL_ESP, &ours);
	list_of("sha256", PROTOCOL_AH, &theirs);
	assert_false(proposal_choose(&ours, &theirs, false, &suite));
	proposal_mismatch(&ours, &theirs, "child", text, sizeof(text));
	assert_non_null(strstr(text, "the peer offers AH, configured here is ESP (esp_proposals)"));
	/* An AH proposal has no cipher, whatever a peer puts in. */
	theirs.items[0].transforms[theirs.items[0].count++] = (struct transform){TRANSFORM_ENCR, ENCR_NULL, 0};
	assert_false(proposal_choose(&theirs, &theirs, false, &suite));
}

static void mismatch_says_what_to_change(void **state)
{
	struct proposal_list ours, theirs;
	char text[2048];

	(void)state;
	list_of("aes256gcm16-prfsha256-x25519-ecp256", PROTOCOL_IKE, &ours);
	list_of("aes256gcm16-prfsha256-ecp384", PROTOCOL_IKE, &theirs);
	theirs.items[0].transforms[theirs.items[0].count - 1].id = 2; /* modp1024 */
	assert_true(proposal_mismatch(&ours, &theirs, "connection home", text, sizeof(text)) > 0);
	assert_non_null(strstr(text, "connection home: no proposal in common"));
	assert_non_null(strstr(text,
		"  key exchange: the peer offers modp1024, configured here is x25519, ecp256; add x25519 at the peer "
		"(nothing of what it offers can be done here)\n"));
	assert_null(strstr(text, "encryption"));
	list_of("aes256-sha256-x25519 aes128-sha384-x25519", PROTOCOL_IKE, &ours);
	list_of("aes256-sha384-x25519", PROTOCOL_IKE, &theirs);
	proposal_mismatch(&ours, &theirs, "connection home", text, sizeof(text));
	assert_non_null(strstr(text, "closest are the peer's proposal #1 (aes256-prfsha384-sha384-x25519) and #"));
	list_of("aes256gcm16-x25519", PROTOCOL_ESP, &ours);
	list_of("aes128gcm16", PROTOCOL_ESP, &theirs);
	proposal_mismatch(&ours, &theirs, "child net", text, sizeof(text));
	assert_non_null(strstr(text,
		"encryption: the peer offers aes128gcm16, configured here is aes256gcm16; add aes256gcm16 at "
		"the peer, or aes128gcm16 to \"esp_proposals\" here\n"));
	assert_non_null(strstr(text,
		"key exchange: the peer offers none, configured here is x25519; add x25519 at the peer, or leave "
		"it out of \"esp_proposals\" here\n"));
	list_of("aes256gcm16", PROTOCOL_ESP, &ours);
	list_of("aes256gcm16-x25519", PROTOCOL_ESP, &theirs);
	proposal_mismatch(&ours, &theirs, "child net", text, sizeof(text));
	assert_non_null(strstr(text,
		"key exchange: the peer offers x25519, configured here is none; leave it out at the peer, or x25519"));
	list_of("aes256gcm16-esn", PROTOCOL_ESP, &ours);
	list_of("aes256gcm16", PROTOCOL_ESP, &theirs);
	proposal_mismatch(&ours, &theirs, "child net", text, sizeof(text));
	assert_non_null(strstr(text, "extended sequence numbers: the peer offers noesn, configured here is esn"));
	list_of("aes256-sha256-x25519 aes128-sha384-x25519", PROTOCOL_IKE, &ours);
	list_of("aes256-sha384-x25519", PROTOCOL_IKE, &theirs);
	for (size_t size = 0; size < 64; size++) /* cut short, never past the end */
		assert_true(proposal_mismatch(&ours, &theirs, "connection home", text, size) <= size);
}

/* RFC 7296 3.3.6: a type that is not understood makes the proposal unacceptable, and the report says so. */
static void unknown_types_are_not_chosen(void **state)
{
	struct proposal_list ours, theirs;
	struct suite suite;
	char text[2048];

	(void)state;
	list_of("aes256gcm16-prfsha256-x25519", PROTOCOL_IKE, &ours);
	theirs = ours;
	assert_true(proposal_choose(&ours, &theirs, false, &suite));
	theirs.items[0].transforms[theirs.items[0].count++] =
		(struct transform){.type = 6, .id = 36}; /* ADDKE1: ML-KEM-768 */
	assert_false(proposal_choose(&ours, &theirs, false, &suite));
	assert_false(proposal_accept(&ours, &theirs, false, &suite));
	proposal_mismatch(&ours, &theirs, "home", text, sizeof(text));
	assert_non_null(strstr(text, "additional key exchanges"));
}

/* The padding inside struct transform must not count. */
static void padding_does_not_count(void **state)
{
	struct proposal_list ours, theirs;
	struct suite suite;

	(void)state;
	list_of("aes256gcm16-prfsha256-x25519", PROTOCOL_IKE, &ours);
	memset(&theirs, 0xaa, sizeof(theirs));
	theirs.count = 1;
	theirs.items[0].number = 1;
	theirs.items[0].protocol = PROTOCOL_IKE;
	theirs.items[0].spi_len = 0;
	theirs.items[0].count = ours.items[0].count;
	for (unsigned i = 0; i < ours.items[0].count; i++) {
		theirs.items[0].transforms[i].type = ours.items[0].transforms[i].type;
		theirs.items[0].transforms[i].id = ours.items[0].transforms[i].id;
		theirs.items[0].transforms[i].key_bits = ours.items[0].transforms[i].key_bits;
	}
	assert_true(proposal_choose(&ours, &theirs, false, &suite));
}

static void defaults_are_whole(void **state)
{
	struct proposal_list list;

	(void)state;
	proposal_defaults(PROTOCOL_IKE, &list);
	assert_int_equal(list.count, 3);
	proposal_defaults(PROTOCOL_ESP, &list);
	assert_int_equal(list.count, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse),
		cmocka_unit_test(choose),
		cmocka_unit_test(accept_only_what_was_offered),
		cmocka_unit_test(mismatch_says_what_to_change),
		cmocka_unit_test(encryption_alone_is_refused),
		cmocka_unit_test(ah_is_not_esp),
		cmocka_unit_test(unknown_types_are_not_chosen),
		cmocka_unit_test(padding_does_not_count),
		cmocka_unit_test(defaults_are_whole),
	};

	return cmocka_run_group_tests_name("proposal", tests, NULL, NULL);
}
