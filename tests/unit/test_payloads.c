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

/* One proposal of one AES-GCM-16 transform with the given SPI length and attributes. */
static size_t sa_by_hand(uint8_t *out, uint8_t protocol, uint8_t spi_len, const char *attributes, size_t attributes_len)
{
	struct writer w = writer_of(out, 256);
	size_t transform_len = 8 + attributes_len;

	write_u16(&w, 0);
	write_u16(&w, (uint16_t)(8 + spi_len + transform_len));
	write_u8(&w, 1);
	write_u8(&w, protocol);
	write_u8(&w, spi_len);
	write_u8(&w, 1);
	write_space(&w, spi_len);
	write_u16(&w, 0);
	write_u16(&w, (uint16_t)transform_len);
	write_u16(&w, TRANSFORM_ENCR << 8);
	write_u16(&w, ENCR_AES_GCM_16);
	write_bytes(&w, attributes, attributes_len);
	assert_false(w.error);
	return writer_len(&w);
}

/* RFC 7296 3.3.5, 3.3.6: an attribute that is not known spoils its transform and nothing else, wherever it stands. */
static void sa_attributes(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool readable, usable;
	} rows[] = {
		{"\x80\x0e\x01\x00", 4, true, true},		      /* key length 256 */
		{"\x80\x0e\x01\x00\x80\x11\x00\x01", 8, true, false}, /* one not known behind it */
		{"\x80\x11\x00\x01\x80\x0e\x01\x00", 8, true, false}, /* and before it */
		{"\x00\x0e\x00\x02\x01\x00", 6, true, false},	      /* key length in the long form */
		{"\x80\x0e\x01\x00\x80\x0e\x00\x80", 8, true, false}, /* twice */
		{"\x00\x11\x00\x00", 4, true, false},		      /* empty */
		{"\x00\x11\x00\x05\x01", 5, false, false},	      /* runs past the end */
		{"\x80\x0e\x01", 3, false, false},
	};
	struct transform want = {.type = TRANSFORM_ENCR, .id = ENCR_AES_GCM_16, .key_bits = 256};
	struct proposal_list list;
	uint8_t bytes[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = sa_by_hand(bytes, PROTOCOL_IKE, 0, rows[i].bytes, rows[i].len);

		if (payload_sa_read((struct bytes){bytes, len}, &list) != rows[i].readable)
			fail_msg("row %zu", i);
		if (rows[i].readable && transform_equal(&list.items[0].transforms[0], &want) != rows[i].usable)
			fail_msg("row %zu: usable", i);
	}
}

static void sa_spi_sizes(void **state)
{
	static const struct {
		uint8_t protocol, spi_len;
		bool readable;
	} rows[] = {{PROTOCOL_IKE, 0, true}, {PROTOCOL_IKE, 8, true}, {PROTOCOL_IKE, 4, false}, {PROTOCOL_ESP, 4, true},
		{PROTOCOL_ESP, 0, false}, {PROTOCOL_ESP, 8, false}, {PROTOCOL_AH, 4, true}, {200, 8, true},
		{200, 9, false}, {200, 200, false}};
	static uint8_t bytes[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t spi_len = rows[i].spi_len;
		size_t len = sa_by_hand(bytes, rows[i].protocol, (uint8_t)spi_len, NULL, 0);

		if (sa_read((struct bytes){bytes, len}) != rows[i].readable)
			fail_msg("row %zu", i);
	}
}

/* More transforms than are looked at: those of types seen before are left out, a hidden type makes the proposal
 * unusable. */
static void sa_overflow(void **state)
{
	struct proposal_list list;
	uint8_t bytes[1024];

	(void)state;
	for (unsigned hidden = 0; hidden < 2; hidden++) {
		struct writer w = writer_of(bytes, sizeof(bytes));
		unsigned count = IKE_TRANSFORMS_MAX + 5;

		write_u16(&w, 0);
		write_u16(&w, (uint16_t)(8 + 8 * count));
		write_u32(&w, 1u << 24 | PROTOCOL_IKE << 16 | 0 << 8 | count);
		for (unsigned i = 0; i < count; i++) {
			write_u16(&w, i + 1 == count ? 0 : 0x0300);
			write_u16(&w, 8);
			write_u16(&w, (uint16_t)((hidden && i + 1 == count ? TRANSFORM_PRF : TRANSFORM_ENCR) << 8));
			write_u16(&w, (uint16_t)i);
		}
		assert_true(payload_sa_read((struct bytes){bytes, writer_len(&w)}, &list));
		assert_int_equal(list.items[0].count, IKE_TRANSFORMS_MAX);
		assert_int_equal(list.items[0].protocol, hidden ? PROTOCOL_NONE : PROTOCOL_IKE);
	}
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
	payload_delete_write(&m, PROTOCOL_ESP, spis, 2);
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

/* Raw TS payloads (3.13.1): opaque ports stay, types that are not known are left out, what runs backwards is malformed.
 */
static void ts_by_hand(void **state)
{
	static const char opaque[] = "\x01\0\0\0\x07\x06\x00\x10\xff\xff\x00\x00\x0a\x00\x00\x00\x0a\x00\x00\xff";
	static const char unknown[] =
		"\x02\0\0\0\x09\x00\x00\x08zzzz\x07\x00\x00\x10\x00\x00\xff\xff\x0a\x00\x00\x00\x0a\x00\x00\xff";
	static const char backwards[] = "\x01\0\0\0\x07\x06\x00\x10\x00\x00\xff\xff\x0a\x00\x00\xff\x0a\x00\x00\x00";
	static const char short_v6[] = "\x01\0\0\0\x08\x06\x00\x10\x00\x00\xff\xff\x0a\x00\x00\x00\x0a\x00\x00\xff";
	struct ts_list list;
	char text[TS_TEXT_LEN];

	(void)state;
	assert_true(payload_ts_read((struct bytes){(const uint8_t *)opaque, sizeof(opaque) - 1}, &list));
	assert_string_equal(ts_format(&list.items[0], text), "10.0.0.0/24[tcp/opaque]");
	assert_true(payload_ts_read((struct bytes){(const uint8_t *)unknown, sizeof(unknown) - 1}, &list));
	assert_int_equal(list.count, 1);
	assert_false(ts_read((struct bytes){(const uint8_t *)backwards, sizeof(backwards) - 1}));
	assert_false(ts_read((struct bytes){(const uint8_t *)short_v6, sizeof(short_v6) - 1}));
	assert_false(ts_read((struct bytes){(const uint8_t *)"\0\0\0\0", 4}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sa),
		cmocka_unit_test(sa_attributes),
		cmocka_unit_test(sa_spi_sizes),
		cmocka_unit_test(sa_overflow),
		cmocka_unit_test(ke),
		cmocka_unit_test(id),
		cmocka_unit_test(auth_and_nonce),
		cmocka_unit_test(notify),
		cmocka_unit_test(delete_),
		cmocka_unit_test(ts),
		cmocka_unit_test(ts_by_hand),
	};

	return cmocka_run_group_tests_name("payloads", tests, NULL, NULL);
}
