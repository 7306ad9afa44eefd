/* SPDX-License-Identifier: Apache-2.0 */
/* Each payload: what is written is read back; every cut is refused; malformed ones are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/base/own.h"
#include "ike/payload/auth.h"
#include "ike/payload/delete.h"
#include "ike/payload/id.h"
#include "ike/payload/ke.h"
#include "ike/payload/nonce.h"
#include "ike/payload/notify.h"
#include "ike/payload/sa.h"
#include "ike/payload/ts.h"
#include "ike/transform.h"

#include <string.h>

static uint8_t buffer[2048];
static struct message_writer m;
static struct ike_message message;

static void start(void)
{
	static const struct ike_header header = {.exchange = IKE_SA_INIT};

	message_begin(&m, buffer, sizeof(buffer), &header);
}

static struct bytes body(void)
{
	size_t len = message_finish(&m);

	assert_true(len > 0);
	assert_int_equal(message_read((struct bytes){buffer, len}, &message), PARSE_OK);
	assert_int_equal(message.count, 1);
	return message.payloads[0].body;
}

static bool sa_read(struct bytes bytes)
{
	struct proposal_list list;

	return payload_sa_read(bytes, &list);
}
static bool ke_read(struct bytes bytes)
{
	struct payload_ke ke;

	return payload_ke_read(bytes, &ke);
}
static bool ts_read(struct bytes bytes)
{
	struct ts_list list;

	return payload_ts_read(bytes, &list);
}
static bool delete_read(struct bytes bytes)
{
	struct payload_delete delete_;

	return payload_delete_read(bytes, &delete_);
}

/* No proper prefix of `whole` may be taken, from `least` on those that look whole are not counted. */
static void cuts_refused(bool (*read)(struct bytes), struct bytes whole, size_t longest)
{
	for (size_t len = 0; len <= longest; len++) {
		OWN_PTR uint8_t *copy = malloc(len ? len : 1);

		memcpy(copy, whole.data, len);
		assert_false(read((struct bytes){copy, len}));
	}
}

static void sa(void **state)
{
	struct proposal_list list = {0}, back;
	char error[256];

	(void)state;
	assert_true(proposal_parse(
		"aes256gcm16-aes128gcm16-prfsha384-x25519-ecp256", PROTOCOL_IKE, &list.items[0], error, sizeof(error)));
	assert_true(proposal_parse("aes256-sha256-modp2048", PROTOCOL_IKE, &list.items[1], error, sizeof(error)));
	list.count = 2;
	start();
	payload_sa_write(&m, &list, "12345678", 8);
	struct bytes bytes = body();

	assert_true(payload_sa_read(bytes, &back));
	assert_int_equal(back.count, 2);
	assert_int_equal(back.items[0].number, 1);
	assert_int_equal(back.items[1].number, 2);
	assert_int_equal(back.items[0].count, list.items[0].count);
	assert_memory_equal(back.items[0].spi, "12345678", 8);
	for (unsigned i = 0; i < back.items[0].count; i++)
		assert_true(transform_equal(&back.items[0].transforms[i], &list.items[0].transforms[i]));
	cuts_refused(sa_read, bytes, bytes.len - 1);
}

static void ke(void **state)
{
	struct payload_ke back;

	(void)state;
	start();
	payload_ke_write(&m, 31, (struct bytes){(const uint8_t *)"0123456789abcdef0123456789abcdef", 32});
	struct bytes bytes = body();

	assert_true(payload_ke_read(bytes, &back));
	assert_int_equal(back.group, 31);
	assert_int_equal(back.value.len, 32);
	cuts_refused(ke_read, bytes, 4);
}

static void id(void **state)
{
	static const char *const texts[] = {"192.0.2.1", "2001:db8::1", "gw.example.com", "user@example.com"};
	struct ike_id in, back;
	char text[IKE_ID_TEXT_LEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_true(ike_id_parse(texts[i], &in));
		start();
		payload_id_write(&m, PAYLOAD_IDI, &in);
		assert_true(payload_id_read(body(), &back));
		assert_true(ike_id_equal(&in, &back));
		assert_string_equal(ike_id_format(&back, text), texts[i]);
	}
	assert_false(
		payload_id_read((struct bytes){(const uint8_t *)"\1\0\0\0abc", 7}, &back)); /* IPv4 of three bytes */
	assert_false(payload_id_read((struct bytes){(const uint8_t *)"\2\0\0\0", 4}, &back));
}

static void auth_and_nonce(void **state)
{
	struct payload_auth auth;
	struct bytes nonce;
	uint8_t long_nonce[IKE_NONCE_MAX + 1] = {0};

	(void)state;
	start();
	payload_auth_write(&m, 2, (struct bytes){(const uint8_t *)"0123", 4});
	assert_true(payload_auth_read(body(), &auth));
	assert_int_equal(auth.method, 2);
	assert_memory_equal(auth.data.data, "0123", 4);
	assert_false(payload_nonce_read((struct bytes){long_nonce, IKE_NONCE_MIN - 1}, &nonce));
	assert_true(payload_nonce_read((struct bytes){long_nonce, IKE_NONCE_MIN}, &nonce));
	assert_true(payload_nonce_read((struct bytes){long_nonce, IKE_NONCE_MAX}, &nonce));
	assert_false(payload_nonce_read((struct bytes){long_nonce, IKE_NONCE_MAX + 1}, &nonce));
}

static void notify(void **state)
{
	struct payload_notify in = {.protocol = PROTOCOL_ESP, .type = REKEY_SA, .spi = {(const uint8_t *)"spi!", 4}},
			      back;

	(void)state;
	start();
	payload_notify_write(&m, &in);
	assert_true(payload_notify_read(body(), &back));
	assert_int_equal(back.type, REKEY_SA);
	assert_memory_equal(back.spi.data, "spi!", 4);
	assert_string_equal(notify_name(REKEY_SA), "REKEY_SA");
	assert_false(payload_notify_read((struct bytes){(const uint8_t *)"\3\4\0\1abc", 7}, &back)); /* SPI cut short */
}

static void delete_(void **state)
{
	static const uint32_t spis[] = {0x01020304, 0xfffefdfc};
	struct payload_delete back;

	(void)state;
	start();
	payload_delete_write_esp(&m, spis, 2);
	struct bytes bytes = body();

	assert_true(payload_delete_read(bytes, &back));
	assert_int_equal(back.count, 2);
	assert_int_equal(payload_delete_spi(&back, 0), spis[0]);
	assert_int_equal(payload_delete_spi(&back, 1), spis[1]);
	cuts_refused(delete_read, bytes, bytes.len - 1);
	assert_false(delete_read((struct bytes){(const uint8_t *)"\1\4\0\1abcd", 8})); /* IKE has no SPIs */
	assert_false(delete_read((struct bytes){(const uint8_t *)"\3\4\xff\xff"
								 "abcd",
		8})); /* a count that lies */
}

static void ts(void **state)
{
	struct selector in[2];
	struct ts_list back;
	char error[256];

	(void)state;
	assert_true(ts_parse("10.1.0.0/16[tcp/443]", &in[0], error, sizeof(error)));
	assert_true(ts_parse("2001:db8::/32", &in[1], error, sizeof(error)));
	start();
	payload_ts_write(&m, PAYLOAD_TSI, in, 2);
	struct bytes bytes = body();

	assert_true(payload_ts_read(bytes, &back));
	assert_int_equal(back.count, 2);
	assert_memory_equal(&back.items[0], &in[0], sizeof(in[0]));
	assert_memory_equal(&back.items[1], &in[1], sizeof(in[1]));
	cuts_refused(ts_read, bytes, bytes.len - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sa),
		cmocka_unit_test(ke),
		cmocka_unit_test(id),
		cmocka_unit_test(auth_and_nonce),
		cmocka_unit_test(notify),
		cmocka_unit_test(delete_),
		cmocka_unit_test(ts),
	};

	return cmocka_run_group_tests_name("payloads", tests, NULL, NULL);
}
