/* SPDX-License-Identifier: Apache-2.0 */
/* IKE messages: round trips in clear and sealed, cuts at every length, lengths that lie, altered bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/base/own.h"
#include "ike/message.h"
#include "ike/payload/nonce.h"
#include "ike/payload/notify.h"

#include <string.h>

static const struct ike_header header = {.spi_i = 0x1122334455667788,
	.spi_r = 0x99aabbccddeeff00,
	.exchange = IKE_AUTH,
	.flags = IKE_FLAG_INITIATOR,
	.message_id = 7};

static const uint8_t nonce_bytes[32] = {1, 2, 3, 4};

static struct sk_key key_of(uint16_t encr, uint16_t integ)
{
	struct sk_key key = {.encr = encr, .integ = integ, .encr_len = 32};

	memset(key.encr_key, 0x5a, sizeof(key.encr_key));
	memset(key.integ_key, 0xa5, sizeof(key.integ_key));
	if (encr == ENCR_AES_GCM_16) {
		key.salt_len = 4;
		key.iv_len = 8;
		key.icv_len = 16;
		key.block = 1;
		return key;
	}
	key.iv_len = 16;
	key.block = 16;
	key.integ_len = integ == INTEG_HMAC_SHA2_256_128 ? 32 : integ == INTEG_HMAC_SHA2_384_192 ? 48 : 64;
	key.icv_len = key.integ_len / 2;
	return key;
}

static const struct {
	uint16_t encr, integ;
} suites[] = {{ENCR_AES_GCM_16, INTEG_NONE}, {ENCR_AES_CBC, INTEG_HMAC_SHA2_256_128},
	{ENCR_AES_CBC, INTEG_HMAC_SHA2_384_192}, {ENCR_AES_CBC, INTEG_HMAC_SHA2_512_256}};

static size_t clear_message(uint8_t *out, size_t size)
{
	struct message_writer m;

	message_begin(&m, out, size, &header);
	payload_nonce_write(&m, (struct bytes){nonce_bytes, sizeof(nonce_bytes)});
	payload_notify_write_data(&m, COOKIE, "abcd", 4);
	return message_finish(&m);
}

static size_t sealed_message(const struct sk_key *key, uint8_t *out, size_t size)
{
	static const uint8_t iv[16] = {9, 8, 7};
	struct message_writer m;

	message_begin(&m, out, size, &header);
	message_begin_sk(&m, key);
	payload_nonce_write(&m, (struct bytes){nonce_bytes, sizeof(nonce_bytes)});
	payload_notify_write_data(&m, INITIAL_CONTACT, NULL, 0);
	return message_seal(&m, key, iv);
}

static void clear_round_trip(void **state)
{
	uint8_t bytes[256];
	size_t len = clear_message(bytes, sizeof(bytes));
	struct ike_message message;
	struct payload_notify notify;

	(void)state;
	assert_int_equal(message_read((struct bytes){bytes, len}, &message), PARSE_OK);
	assert_int_equal(message.header.spi_i, header.spi_i);
	assert_int_equal(message.header.spi_r, header.spi_r);
	assert_int_equal(message.header.message_id, 7);
	assert_int_equal(message.count, 2);
	assert_memory_equal(message_find(&message, PAYLOAD_NONCE)->body.data, nonce_bytes, 32);
	assert_true(message_find_notify(&message, COOKIE, &notify));
	assert_int_equal(notify.data.len, 4);
	assert_null(message_find(&message, PAYLOAD_SK));
}

static void every_cut_is_refused(void **state)
{
	uint8_t bytes[256];
	size_t len = clear_message(bytes, sizeof(bytes));
	struct ike_message message;

	(void)state;
	for (size_t cut = 0; cut < len; cut++) {
		OWN_PTR uint8_t *copy = malloc(cut ? cut : 1);

		memcpy(copy, bytes, cut);
		assert_int_not_equal(message_read((struct bytes){copy, cut}, &message), PARSE_OK);
		if (cut >= IKE_HEADER_LEN) { /* the same with a header that agrees */
			copy[27] = (uint8_t)cut;
			copy[26] = 0;
			/* cut exactly between payloads is still not whole: "next payload" promises another */
			assert_int_not_equal(message_read((struct bytes){copy, cut}, &message), PARSE_OK);
		}
	}
}

static void lengths_that_lie(void **state)
{
	uint8_t bytes[256];
	size_t len = clear_message(bytes, sizeof(bytes));
	struct ike_message message;

	(void)state;
	for (unsigned value = 0; value < 256; value++) {
		uint8_t original = bytes[IKE_HEADER_LEN + 3];

		bytes[IKE_HEADER_LEN + 3] = (uint8_t)value;
		if (value != original)
			assert_int_not_equal(message_read((struct bytes){bytes, len}, &message), PARSE_OK);
		bytes[IKE_HEADER_LEN + 3] = original;
	}
	bytes[17] = 0x10; /* IKEv1 */
	assert_int_equal(message_read((struct bytes){bytes, len}, &message), PARSE_VERSION);
}

static void sealed_round_trip(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(suites); i++) {
		struct sk_key key = key_of(suites[i].encr, suites[i].integ);
		uint8_t bytes[512], plain[IKE_MESSAGE_MAX];
		size_t len = sealed_message(&key, bytes, sizeof(bytes));
		struct ike_message message;
		bool authentic;

		assert_true(len > 0);
		assert_int_equal(message_read((struct bytes){bytes, len}, &message), PARSE_OK);
		assert_int_equal(message.inner_first, PAYLOAD_NONCE);
		assert_int_equal(message_open(&message, &key, plain, &authentic), PARSE_OK);
		assert_true(authentic);
		assert_int_equal(message.count, 2);
		assert_memory_equal(message_find(&message, PAYLOAD_NONCE)->body.data, nonce_bytes, 32);
	}
}

/* Every byte of a sealed message is covered: header, IV, ciphertext, ICV. */
static void altered_byte_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(suites); i++) {
		struct sk_key key = key_of(suites[i].encr, suites[i].integ);
		uint8_t bytes[512], plain[IKE_MESSAGE_MAX];
		size_t len = sealed_message(&key, bytes, sizeof(bytes));

		for (size_t at = 0; at < len; at++) {
			struct ike_message message;
			bool authentic = false;

			bytes[at] ^= 0x40;
			if (message_read((struct bytes){bytes, len}, &message) == PARSE_OK)
				assert_int_not_equal(message_open(&message, &key, plain, &authentic), PARSE_OK);
			assert_false(authentic);
			bytes[at] ^= 0x40;
		}
	}
}

static void too_small_a_buffer(void **state)
{
	struct sk_key key = key_of(ENCR_AES_GCM_16, INTEG_NONE);
	uint8_t bytes[512];
	size_t len = sealed_message(&key, bytes, sizeof(bytes));

	(void)state;
	for (size_t size = 0; size < len; size++)
		assert_int_equal(sealed_message(&key, bytes, size), 0);
}

static void unknown_critical(void **state)
{
	uint8_t bytes[256];
	struct message_writer m;
	struct ike_message message;

	(void)state;
	message_begin(&m, bytes, sizeof(bytes), &header);
	payload_begin(&m, 200);
	payload_end(&m);
	size_t len = message_finish(&m);

	assert_int_equal(message_read((struct bytes){bytes, len}, &message), PARSE_OK);
	assert_null(message_unknown_critical(&message));
	bytes[IKE_HEADER_LEN + 1] = 0x80;
	assert_int_equal(message_read((struct bytes){bytes, len}, &message), PARSE_OK);
	assert_int_equal(message_unknown_critical(&message)->type, 200);
}

/* Sealed by a peer with keys, and still nonsense: authentic, but refused. */
static void sealed_nonsense(void **state)
{
	struct sk_key key = key_of(ENCR_AES_GCM_16, INTEG_NONE);
	static const uint8_t iv[8] = {1};
	static const struct {
		uint8_t first;
		const char *inner;
		size_t len;
		enum parse_error error;
	} rows[] = {
		{PAYLOAD_NONE, "", 0, PARSE_OK}, {PAYLOAD_NONE, "junk", 4, PARSE_CHAIN},
		{PAYLOAD_NOTIFY, "", 0, PARSE_CHAIN}, {PAYLOAD_NOTIFY, "\0\0\0\x03", 4, PARSE_CHAIN},
		{PAYLOAD_NOTIFY, "\0\0\0\x05", 4, PARSE_CHAIN},
		{PAYLOAD_SK, "\0\0\0\x04", 4, PARSE_CHAIN}, /* SK in SK */
		{PAYLOAD_VENDOR, "\0\0\0\x04", 4, PARSE_OK},
		{PAYLOAD_VENDOR, "\x2b\0\0\x04", 4, PARSE_CHAIN}, /* another one is promised */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t bytes[512], plain[IKE_MESSAGE_MAX];
		struct message_writer m;
		struct ike_message message;
		bool authentic;

		message_begin(&m, bytes, sizeof(bytes), &header);
		message_begin_sk(&m, &key);
		bytes[m.sk_at] = rows[i].first;
		write_bytes(&m.w, rows[i].inner, rows[i].len);
		size_t len = message_seal(&m, &key, iv);

		assert_int_equal(message_read((struct bytes){bytes, len}, &message), PARSE_OK);
		if (message_open(&message, &key, plain, &authentic) != rows[i].error)
			fail_msg("row %zu", i);
		assert_true(authentic);
	}
}

static void too_many_payloads(void **state)
{
	uint8_t bytes[1024];
	struct message_writer m;
	struct ike_message message;

	(void)state;
	message_begin(&m, bytes, sizeof(bytes), &header);
	for (unsigned i = 0; i <= IKE_PAYLOADS_MAX; i++)
		payload_notify_write_data(&m, INITIAL_CONTACT, NULL, 0);
	assert_int_equal(message_read((struct bytes){bytes, message_finish(&m)}, &message), PARSE_TOO_MANY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clear_round_trip),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(lengths_that_lie),
		cmocka_unit_test(sealed_round_trip),
		cmocka_unit_test(altered_byte_is_refused),
		cmocka_unit_test(too_small_a_buffer),
		cmocka_unit_test(unknown_critical),
		cmocka_unit_test(sealed_nonsense),
		cmocka_unit_test(too_many_payloads),
	};

	return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
