/* SPDX-License-Identifier: Apache-2.0 */
/* Published answers, asked of every engine: the RFCs' own. NIST's are asked by tests/scapy/test_vectors.py. */
#include "agent/suite_engine.h"
#include "tests/unit/esp_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* ---- AES-CTR: RFC 3686 6 ------------------------------------------------------------------------------------- */

struct counter {
	uint16_t bits;
	const char *key, *nonce;
	uint64_t iv; /* which our sender takes from the sequence number */
	const char *plain, *sealed;
};

static const struct counter counters[] = {
	{128, "ae6852f8121067cc4bf7a5765577f39e", "00000030", UINT64_C(0x0000000000000000),
		"53696e676c6520626c6f636b206d7367", "e4095d4fb7a7b3792d6175a3261311b8"},
	{128, "7e24067817fae0d743d6ce1f32539163", "006cb6db", UINT64_C(0xc0543b59da48d90b),
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		"5104a106168a72d9790d41ee8edad388eb2e1efc46da57c8fce630df9141be28"},
	{128, "7691be035e5020a8ac6e618529f9a0dc", "00e0017b", UINT64_C(0x27777f3f4a1786f0),
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223",
		"c1cf48a89f2ffdd9cf4652e9efdb72d74540a42bde6d7836d59a5ceaaef3105325b2072f"},
	{192, "16af5b145fc9f579c175f93e3bfb0eed863d06ccfdb78515", "00000048", UINT64_C(0x36733c147d6d93cb),
		"53696e676c6520626c6f636b206d7367", "4b55384fe259c9c84e7935a003cbe928"},
	{192, "7c5cb2401b3dc33c19e7340819e0f69c678c3db8e6f6a91a", "0096b03b", UINT64_C(0x020c6eadc2cb500d),
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		"453243fc609b23327edfaafa7131cd9f8490701c5ad4a79cfc1fe0ff42f4fb00"},
	{192, "02bf391ee8ecb159b959617b0965279bf59b60a786d3e0fe", "0007bdfd", UINT64_C(0x5cbd60278dcc0912),
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223",
		"96893fc55e5c722f540b7dd1ddf7e758d288bc95c69165884536c811662f2188abee0935"},
	{256, "776beff2851db06f4c8a0542c8696f6c6a81af1eec96b4d37fc1d689e6c1c104", "00000060",
		UINT64_C(0xdb5672c97aa8f0b2), "53696e676c6520626c6f636b206d7367", "145ad01dbf824ec7560863dc71e3e0c0"},
	{256, "f6d66d6bd52d59bb0796365879eff886c66dd51a5b6a99744b50590c87a23884", "00faac24",
		UINT64_C(0xc1585ef15a43d875), "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		"f05e231b3894612c49ee000b804eb2a9b8306b508f839d6a5530831d9344af1c"},
	{256, "ff7a617ce69148e4f1726e2f43581de2aa62d9f805532edff1eed687fb54153d", "001cc5b7",
		UINT64_C(0x51a51d70a1c11148),
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223",
		"eb6c52821d0bbbf7ce7594462aca4faab407df866569fd07f48cc0b583d6071f1ec0e6b8"},
};

static void ask_counter(const struct counter *known, const struct suite_engine *engine)
{
	const struct esp_suite *suite = esp_suite_find(ENCR_AES_CTR, known->bits, AUTH_SHA256_128);
	struct sa sa = lab_sa_out(suite, 4, SA_ESN);
	uint8_t packet[128], sealed[64];
	uint32_t len = (uint32_t)lab_hex(known->plain, packet + ESP_HEADER_LEN + suite->iv_len);
	struct esp_cipher cipher;
	struct esp_job job = {.cipher = &cipher, .esp = packet, .seq = known->iv, .text_len = len};

	memset(packet, 0, ESP_HEADER_LEN);
	lab_hex(known->key, sa.encr_key);
	lab_hex(known->nonce, sa.salt);
	assert_int_equal(esp_cipher_init_by(&cipher, &sa, engine), 0);
	esp_jobs_seal(&job, 1);
	assert_true(job.good);
	assert_int_equal(lab_hex(known->sealed, sealed), len);
	assert_memory_equal(packet + ESP_HEADER_LEN + suite->iv_len, sealed, len);
	esp_cipher_clear(&cipher);
}

static void test_counters(void **state)
{
	const struct suite_engine *engine;

	(void)state;
	for (unsigned i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		for (unsigned j = 0; (engine = suite_engine_at(j)); j++) {
			if (engine->serves(esp_suite_find(ENCR_AES_CTR, 128, AUTH_SHA256_128)))
				ask_counter(&counters[i], engine);
		}
	}
}

/* ---- integrity algorithms ------------------------------------------------------------------------------------ */

struct mac {
	const char *what;
	uint16_t integ;
	const char *key, *data, *icv;
};

static const struct mac macs[] = {
	{"RFC 3566 4.6, case 2", AUTH_AES_XCBC_96, "000102030405060708090a0b0c0d0e0f", "000102",
		"5b376580ae2f19afe7219cee"},
	{"RFC 3566 4.6, case 3", AUTH_AES_XCBC_96, "000102030405060708090a0b0c0d0e0f",
		"000102030405060708090a0b0c0d0e0f", "d2a246fa349b68a79998a439"},
	{"RFC 3566 4.6, case 4", AUTH_AES_XCBC_96, "000102030405060708090a0b0c0d0e0f",
		"000102030405060708090a0b0c0d0e0f10111213", "47f51b4564966215b8985c63"},
	{"RFC 3566 4.6, case 5", AUTH_AES_XCBC_96, "000102030405060708090a0b0c0d0e0f",
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "f54f0ec8d2b9f3d36807734b"},
	{"RFC 3566 4.6, case 6", AUTH_AES_XCBC_96, "000102030405060708090a0b0c0d0e0f",
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2021", "becbb3bccdb518a30677d548"},
	{"RFC 4868, AUTH256-1", AUTH_SHA256_128, "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
		"4869205468657265", "198a607eb44bfbc69903a0f1cf2bbdc5"},
	{"RFC 4868, AUTH256-2", AUTH_SHA256_128, "4a6566654a6566654a6566654a6566654a6566654a6566654a6566654a656665",
		"7768617420646f2079612077616e7420666f72206e6f7468696e673f", "167f928588c5cc2eef8e3093caa0e87c"},
	{"RFC 4868, AUTH256-3", AUTH_SHA256_128, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
		"dddd",
		"cdcb1220d1ecccea91e53aba3092f962"},
	{"RFC 4868, AUTH256-4", AUTH_SHA256_128, "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
		"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
		"cdcd",
		"372efcf9b40b35c2115b1346903d2ef4"},
	{"RFC 4868, AUTH384-1", AUTH_SHA384_192,
		"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
		"4869205468657265", "b6a8d5636f5c6a7224f9977dcf7ee6c7fb6d0c48cbdee973"},
	{"RFC 4868, AUTH384-2", AUTH_SHA384_192,
		"4a6566654a6566654a6566654a6566654a6566654a6566654a6566654a6566654a6566654a6566654a6566654a656665",
		"7768617420646f2079612077616e7420666f72206e6f7468696e673f",
		"2c7353974f1842fd66d53c452ca42122b28c0b594cfb184d"},
	{"RFC 4868, AUTH384-3", AUTH_SHA384_192,
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
		"dddd",
		"809f439be00274321d4a538652164b53554a508184a0c316"},
	{"RFC 4868, AUTH384-4", AUTH_SHA384_192,
		"0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f200a0b0c0d0e0f10111213141516171819",
		"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
		"cdcd",
		"5b540085c6e6358096532b2493609ed1cb298f774f87bb5c"},
	{"RFC 4868, AUTH512-1", AUTH_SHA512_256,
		"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
		"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
		"4869205468657265", "637edc6e01dce7e6742a99451aae82df23da3e92439e590e43e761b33e910fb8"},
	{"RFC 4868, AUTH512-2", AUTH_SHA512_256,
		"4a6566654a6566654a6566654a6566654a6566654a6566654a6566654a6566654a6566654a6566654a6566654a656665"
		"4a6566654a6566654a6566654a656665",
		"7768617420646f2079612077616e7420666f72206e6f7468696e673f",
		"cb370917ae8a7ce28cfd1d8f4705d6141c173b2a9362c15df235dfb251b15454"},
	{"RFC 4868, AUTH512-3", AUTH_SHA512_256,
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
		"dddd",
		"2ee7acd783624ca9398710f3ee05ae41b9f9b0510c87e49e586cc9bf961733d8"},
	{"RFC 4868, AUTH512-4, its key without the 16 bytes too many", AUTH_SHA512_256,
		"0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
		"2122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f40",
		"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
		"cdcd",
		"5e6688e5a3daec826ca32eaea224eff5e700628947470e13ad01302561bab108"},
};

static void ask_mac(const struct mac *known, const struct suite_engine *engine)
{
	const struct esp_suite *suite = ah_suite_find(known->integ);
	struct sa sa = {.protocol = IPPROTO_AH, .direction = SA_OUT, .integ = known->integ};
	uint8_t data[64], icv[ESP_ICV_MAX], right[ESP_ICV_MAX];
	uint32_t len = (uint32_t)lab_hex(known->data, data);
	struct esp_cipher cipher;

	assert_int_equal(lab_hex(known->key, sa.integ_key), suite->integ_key_len);
	assert_int_equal(lab_hex(known->icv, right), suite->icv_len);
	assert_int_equal(esp_cipher_init_by(&cipher, &sa, engine), 0);
	assert_true(esp_cipher_mac(&cipher, data, len, NULL, icv));
	if (memcmp(icv, right, suite->icv_len) != 0)
		fail_msg("%s by %s", known->what, engine->name);
	esp_cipher_clear(&cipher);
}

static void test_macs(void **state)
{
	const struct suite_engine *engine;

	(void)state;
	for (unsigned i = 0; i < sizeof(macs) / sizeof(macs[0]); i++) {
		for (unsigned j = 0; (engine = suite_engine_at(j)); j++) {
			if (engine->serves(ah_suite_find(macs[i].integ)))
				ask_mac(&macs[i], engine);
		}
	}
}

/* ---- ChaCha20-Poly1305: RFC 7634 appendix A ------------------------------------------------------------------ */

static const char chacha_key[] = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f";
static const char chacha_packet[] =
	"0102030400000005101112131415161724039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c6"
	"14ee8099d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9befe2facc638e8f3cbec163fac469b502773f6fb94e664da"
	"9165b82829f641e076aaa8266b7fb0f7b11b369907e1ad43";
static const char chacha_plain[] =
	"45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d0e0f10111213"
	"1415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363701020204";

static void test_chacha20(void **state)
{
	const struct esp_suite *suite = esp_suite_find(ENCR_CHACHA20_POLY1305, 256, AUTH_NONE);
	const struct suite_engine *engine;
	struct sa sa = {
		.protocol = IPPROTO_ESP, .direction = SA_IN, .encr = ENCR_CHACHA20_POLY1305, .encr_key_bits = 256};

	(void)state;
	lab_hex(chacha_key, sa.encr_key);
	lab_hex("a0a1a2a3", sa.salt);
	for (unsigned i = 0; (engine = suite_engine_at(i)); i++) {
		uint8_t packet[160], plain[128];
		uint32_t len = (uint32_t)lab_hex(chacha_packet, packet),
			 text_len = (uint32_t)lab_hex(chacha_plain, plain);
		struct esp_cipher cipher;
		struct esp_job job = {.cipher = &cipher, .esp = packet, .seq = 5, .text_len = text_len};

		if (!engine->serves(suite))
			continue;
		assert_int_equal(len, ESP_HEADER_LEN + suite->iv_len + text_len + suite->icv_len);
		assert_int_equal(esp_cipher_init_by(&cipher, &sa, engine), 0);
		esp_jobs_open(&job, 1);
		assert_true(job.good);
		assert_memory_equal(packet + ESP_HEADER_LEN + suite->iv_len, plain, text_len);
		esp_cipher_clear(&cipher);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_macs),
		cmocka_unit_test(test_chacha20),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
