/* SPDX-License-Identifier: Apache-2.0 */
/* PRF, prf+, key exchange and derivation against published vectors and against a second computation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/base/own.h"
#include "ike/dh.h"
#include "ike/engine.h"
#include "ike/keys.h"
#include "ike/prf.h"

#include <openssl/bn.h>
#include <stdio.h>
#include <string.h>

static size_t unhex(const char *text, uint8_t *out)
{
	size_t len = 0;
	unsigned value;

	for (; *text; text += 2) {
		assert_int_equal(sscanf(text, "%2x", &value), 1);
		out[len++] = (uint8_t)value;
	}
	return len;
}

/* RFC 4231 4.3 (key "Jefe") */
static void prf_vectors(void **state)
{
	static const struct {
		uint16_t prf;
		const char *mac;
	} rows[] = {
		{PRF_HMAC_SHA2_256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{PRF_HMAC_SHA2_384, "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b"
				    "3239ecfab21649"},
		{PRF_HMAC_SHA2_512, "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d"
				    "034f65f8f0e6fdcaeab1a34d4a6b4b636"
				    "e070a38bce737"},
	};
	struct bytes parts[2] = {{(const uint8_t *)"what do ya want ", 16}, {(const uint8_t *)"for nothing?", 12}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t want[64], got[PRF_LEN_MAX];
		size_t len = unhex(rows[i].mac, want);

		assert_int_equal(prf_len(rows[i].prf), len);
		assert_true(prf_of(rows[i].prf, (struct bytes){(const uint8_t *)"Jefe", 4}, parts, 2, got));
		assert_memory_equal(got, want, len);
	}
	assert_false(prf_of(2, parts[0], parts, 1, (uint8_t[64]){0}));
}

/* prf+ by its definition, written out again. */
static void prf_plus_chains(void **state)
{
	struct bytes key = {(const uint8_t *)"key", 3}, seed = {(const uint8_t *)"seed", 4};
	uint8_t got[100], t1[32], t2[32];
	uint8_t one = 1, two = 2;
	struct bytes first[] = {seed, {&one, 1}}, second[] = {{t1, 32}, seed, {&two, 1}};

	(void)state;
	assert_true(prf_plus(PRF_HMAC_SHA2_256, key, seed, got, sizeof(got)));
	assert_true(prf_of(PRF_HMAC_SHA2_256, key, first, 2, t1));
	assert_true(prf_of(PRF_HMAC_SHA2_256, key, second, 3, t2));
	assert_memory_equal(got, t1, 32);
	assert_memory_equal(got + 32, t2, 32);
	OWN_PTR uint8_t *large = malloc(255 * 32 + 1);

	assert_true(prf_plus(PRF_HMAC_SHA2_256, key, seed, large, 255 * 32));
	assert_false(prf_plus(PRF_HMAC_SHA2_256, key, seed, large, 255 * 32 + 1)); /* RFC 7296 2.13 */
}

/* RFC 5903 8.1, 8.2: private i, public i, public r, shared */
static const struct {
	uint16_t group;
	const char *private_i, *public_i, *public_r, *shared;
} ecp_rows[] = {
	{KE_ECP_256, "C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433",
		"DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C37725811805271A0461CDB8252D61F1C456FA3E59A"
		"B1F45B33ACCF5F58389E0577B8990BB3",
		"D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF6356FBF3CA366CC23E8157854C13C58D6A"
		"AC23F046ADA30F8353E74F33039872AB",
		"D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE"},
	{KE_ECP_384, "099F3C7034D4A2C699884D73A375A67F7624EF7C6B3C0F160647B67414DCE655E35B538041E649EE3FAEF896783AB194",
		"667842D7D180AC2CDE6F74F37551F55755C7645C20EF73E31634FE72B4C55EE6DE3AC808ACB4BDB4C88732AEE95F41AA"
		"9482ED1FC0EEB9CAFC4984625CCFC23F65032149E0E144ADA024181535A0F38EEB9FCFF3C2C947DAE69B4C634573A81C",
		"E558DBEF53EECDE3D3FCCFC1AEA08A89A987475D12FD950D83CFA41732BC509D0D1AC43A0336DEF96FDA41D0774A3571"
		"DCFBEC7AACF3196472169E838430367F66EEBE3C6E70C416DD5F0C68759DD1FFF83FA40142209DFF5EAAD96DB9E6386C",
		"11187331C279962D93D604243FD592CB9D0A926F422E47187521287E7156C5C4D603135569B9E9D09CF5D4A270F59746"},
};

static void ecp_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ecp_rows); i++) {
		uint8_t private_i[64], public_i[128], public_r[128], shared[64], got[DH_SHARED_MAX];
		size_t private_len = unhex(ecp_rows[i].private_i, private_i),
		       public_len = unhex(ecp_rows[i].public_i, public_i);
		size_t shared_len = unhex(ecp_rows[i].shared, shared);
		struct dh *dh = dh_from_private(ecp_rows[i].group, (struct bytes){private_i, private_len});

		assert_non_null(dh);
		unhex(ecp_rows[i].public_r, public_r);
		assert_int_equal(dh_public(dh).len, public_len);
		assert_memory_equal(dh_public(dh).data, public_i, public_len);
		assert_int_equal(dh_compute(dh, (struct bytes){public_r, public_len}, got), shared_len);
		assert_memory_equal(got, shared, shared_len);
		public_r[5] ^= 1; /* no point of the curve any more (RFC 6989 2.3) */
		assert_int_equal(dh_compute(dh, (struct bytes){public_r, public_len}, got), 0);
		dh_free(dh);
	}
}

static const uint16_t all_groups[] = {KE_MODP_2048, KE_ECP_256, KE_ECP_384, KE_X25519};

static void both_sides_agree(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all_groups); i++) {
		struct dh *a = dh_new(all_groups[i]), *b = dh_new(all_groups[i]);
		uint8_t from_a[DH_SHARED_MAX], from_b[DH_SHARED_MAX];
		size_t len;

		assert_non_null(a);
		assert_non_null(b);
		assert_int_equal(dh_public(a).len, dh_public_len(all_groups[i]));
		len = dh_compute(a, dh_public(b), from_a);
		assert_true(len >= 32);
		assert_int_equal(dh_compute(b, dh_public(a), from_b), len);
		assert_memory_equal(from_a, from_b, len);
		assert_int_equal(dh_compute(a, (struct bytes){dh_public(b).data, dh_public(b).len - 1}, from_a), 0);
		dh_free(a);
		dh_free(b);
	}
	assert_null(dh_new(2));
}

/* Values that would give away the secret: 0, 1, p-1 and p for MODP (RFC 6989 2.1), the all-zero point for X25519 (RFC
 * 8031 3.2). */
static void trivial_values_are_refused(void **state)
{
	struct dh *modp = dh_new(KE_MODP_2048), *x25519 = dh_new(KE_X25519);
	uint8_t value[256] = {0}, out[DH_SHARED_MAX];
	BIGNUM *p = BN_get_rfc3526_prime_2048(NULL);

	(void)state;
	assert_int_equal(dh_compute(x25519, (struct bytes){value, 32}, out), 0);
	assert_int_equal(dh_compute(modp, (struct bytes){value, 256}, out), 0);
	value[255] = 1;
	assert_int_equal(dh_compute(modp, (struct bytes){value, 256}, out), 0);
	memset(value, 0xff, sizeof(value)); /* larger than p */
	assert_int_equal(dh_compute(modp, (struct bytes){value, 256}, out), 0);
	assert_non_null(p);
	BN_bn2binpad(p, value, sizeof(value));
	assert_int_equal(dh_compute(modp, (struct bytes){value, 256}, out), 0);
	value[255] ^= 1; /* p - 1: p is odd */
	assert_int_equal(dh_compute(modp, (struct bytes){value, 256}, out), 0);
	BN_free(p);
	dh_free(modp);
	dh_free(x25519);
}

static const struct suite gcm_suite = {.protocol = PROTOCOL_IKE,
	.encr = {TRANSFORM_ENCR, ENCR_AES_GCM_16, 256},
	.prf = {TRANSFORM_PRF, PRF_HMAC_SHA2_384, 0},
	.ke = {TRANSFORM_KE, KE_X25519, 0}};
static const struct suite cbc_suite = {.protocol = PROTOCOL_IKE,
	.encr = {TRANSFORM_ENCR, ENCR_AES_CBC, 256},
	.prf = {TRANSFORM_PRF, PRF_HMAC_SHA2_256, 0},
	.integ = {TRANSFORM_INTEG, INTEG_HMAC_SHA2_256_128, 0},
	.ke = {TRANSFORM_KE, KE_X25519, 0}};

/* SKEYSEED and the order of SK_* by the text of RFC 7296 2.14, computed a second time from prf_of and prf_plus. */
static void ike_keys_order(void **state)
{
	struct bytes shared = {(const uint8_t *)"0123456789abcdef0123456789abcdef", 32},
		     ni = {(const uint8_t *)"initiator-nonce-", 16}, nr = {(const uint8_t *)"responder-nonce-", 16};
	uint8_t nonces[32], seed[48], skeyseed[64], stream[400];
	struct ike_keys keys, again;

	(void)state;
	memcpy(nonces, ni.data, 16);
	memcpy(nonces + 16, nr.data, 16);
	memcpy(seed, nonces, 32);
	memset(seed + 32, 0x11, 8);
	memset(seed + 40, 0x22, 8);
	assert_true(ike_keys_derive(&keys, &cbc_suite, shared, ni, nr, 0x1111111111111111, 0x2222222222222222, NULL));
	assert_true(prf_of(PRF_HMAC_SHA2_256, (struct bytes){nonces, 32}, &shared, 1, skeyseed));
	assert_true(
		prf_plus(PRF_HMAC_SHA2_256, (struct bytes){skeyseed, 32}, (struct bytes){seed, 48}, stream, 7 * 32));
	assert_memory_equal(keys.d, stream, 32);
	assert_memory_equal(keys.i.integ_key, stream + 32, 32);
	assert_memory_equal(keys.r.integ_key, stream + 64, 32);
	assert_memory_equal(keys.i.encr_key, stream + 96, 32);
	assert_memory_equal(keys.r.encr_key, stream + 128, 32);
	assert_memory_equal(keys.pi, stream + 160, 32);
	assert_memory_equal(keys.pr, stream + 192, 32);
	/* rekey (2.18): by the old PRF, seeded with g^ir | Ni | Nr */
	struct bytes parts[] = {shared, ni, nr};

	assert_true(ike_keys_derive(&again, &gcm_suite, shared, ni, nr, 0x1111111111111111, 0x2222222222222222, &keys));
	assert_true(prf_of(PRF_HMAC_SHA2_256, (struct bytes){keys.d, 32}, parts, 3, skeyseed));
	assert_true(prf_plus(
		PRF_HMAC_SHA2_384, (struct bytes){skeyseed, 32}, (struct bytes){seed, 48}, stream, 3 * 48 + 2 * 36));
	assert_memory_equal(again.d, stream, 48);
	assert_memory_equal(again.i.encr_key, stream + 48, 32);
	assert_memory_equal(again.i.salt, stream + 80, 4);
	assert_memory_equal(again.r.encr_key, stream + 84, 32);
	assert_memory_equal(again.r.salt, stream + 116, 4);
}

/* Whole derivations against the same ones computed by Python's hmac module. */
static void derivation_vectors(void **state)
{
	static const char *const gcm_want =
		"c5915c6ff1c167c9017c20fa71d145f3e9697709eafafc68a74ac182d1593debe88b742f48b49ef11e6b2b2383ee534a" /* d
														    */
		"6d9e6e00fcb168388d54b6e255a9539ed70a162de90a76a4297f4021a7808e09728549c9" /* ei */
		"1d6094923ed366d43702cea4515ee102df2c51fb2dd70de8bde5515a036f82f1517285ef" /* er */
		"7a7a83ed5dfab6556cb402b4b5c31d84718084cd6318fe28437f4abe1ceb1f70611fe72330fc10ce9b92a66e3aa94b1d"
		"dd60847d0febad14f9defd7bdb7f92bafec86984011430361168e711765208815aa98e85e5801a6c719ef7dd619b4f2f";
	static const char *const gcm_child =
		"13a937863c17fe07dda4ae3722604198181b882f" /* initiator to responder: key, salt */
		"c841078ea6bef8f391809986d1799ab19508439b";
	static const char *const cbc_child = "491a383d9a0387c22b85b691e5471a7f67a3b05e83a27f115d57aa54e4a3708d"
					     "00013ee373dc913a7380c1f67fb2aa22a7fd6f439201826fc6709a4ff1182098"
					     "ebc2f45b7ecc20cba8bb4582598d90a29578d9162b1b7b20f8702d17e10f6fc3"
					     "8df6588c36995baf2722be889a5e28e9d0c67f5ffca34707100abc3a38f43baf";
	struct suite esp_gcm = {.encr = {TRANSFORM_ENCR, ENCR_AES_GCM_16, 128}};
	struct suite esp_cbc = {
		.encr = {TRANSFORM_ENCR, ENCR_AES_CBC, 256}, .integ = {TRANSFORM_INTEG, INTEG_HMAC_SHA2_256_128, 0}};
	uint8_t nonces[64], secret[32], want[256];
	struct bytes ni = {nonces, 32}, nr = {nonces + 32, 32}, shared = {secret, 32};
	struct child_keys in, out;
	struct ike_keys keys, again;

	(void)state;
	for (unsigned i = 0; i < 32; i++) {
		nonces[i] = (uint8_t)i;
		nonces[32 + i] = (uint8_t)(64 + i);
	}
	memset(secret, 0x5a, sizeof(secret));
	assert_true(ike_keys_derive(&keys, &gcm_suite, shared, ni, nr, 0x0102030405060708, 0x1112131415161718, NULL));
	unhex(gcm_want, want);
	assert_memory_equal(keys.d, want, 48);
	assert_memory_equal(keys.i.encr_key, want + 48, 32);
	assert_memory_equal(keys.i.salt, want + 80, 4);
	assert_memory_equal(keys.r.encr_key, want + 84, 32);
	assert_memory_equal(keys.r.salt, want + 116, 4);
	assert_memory_equal(keys.pi, want + 120, 48);
	assert_memory_equal(keys.pr, want + 168, 48);
	assert_true(ike_keys_derive(&again, &cbc_suite, shared, ni, nr, 0x0102030405060708, 0x1112131415161718, &keys));
	unhex("4b01d0e9d0c56461a0b96c9035ca98b8b85dae9f61a0cd8ffa96eb00e06dc3e1", want);
	assert_memory_equal(again.d, want, 32);
	unhex("54c07bf48595f907ff23f5149314113d58069ecad6994a47a24eb51e460d399f", want);
	assert_memory_equal(again.pr, want, 32);
	unhex(gcm_child, want); /* with PFS */
	assert_true(child_keys_derive(&keys, &esp_gcm, shared, ni, nr, true, &in, &out));
	assert_memory_equal(out.encr, want, 16);
	assert_memory_equal(out.salt, want + 16, 4);
	assert_memory_equal(in.encr, want + 20, 16);
	assert_memory_equal(in.salt, want + 36, 4);
	unhex(cbc_child, want); /* without */
	assert_true(child_keys_derive(&keys, &esp_cbc, (struct bytes){0}, ni, nr, false, &in, &out));
	assert_memory_equal(in.encr, want, 32);
	assert_memory_equal(in.integ, want + 32, 32);
	assert_memory_equal(out.encr, want + 64, 32);
	assert_memory_equal(out.integ, want + 96, 32);
}

/* RFC 8031 Appendix A: random octets before their bits are fixed, public values, secret. */
static void x25519_vector(void **state)
{
	uint8_t random_i[32], public_i[32], public_r[32], shared[32], got[DH_SHARED_MAX];
	struct dh *dh;

	(void)state;
	unhex("751fb4308655b476b6789b7325f9ea8cddd16a58533ff6d9e60009464a5f9d94", random_i);
	unhex("48d5ddd4061257ba166fa3f9bbdb74f1a4e81c089384fa77f790709f0dfbc766", public_i);
	unhex("0be7c1f5aad87d7e448662673298a443478b859745179eaf564c79c0ef6eee25", public_r);
	unhex("c74950607a12327f3204d94b6825bfb068b7f8319a9e3708ed3d43ce8130c950", shared);
	dh = dh_from_private(KE_X25519, (struct bytes){random_i, 32});
	assert_non_null(dh);
	assert_memory_equal(dh_public(dh).data, public_i, 32);
	assert_int_equal(dh_compute(dh, (struct bytes){public_r, 32}, got), 32);
	assert_memory_equal(got, shared, 32);
	dh_free(dh);
}

static void child_keys_cross(void **state)
{
	struct bytes shared = {(const uint8_t *)"0123456789abcdef0123456789abcdef", 32},
		     ni = {(const uint8_t *)"initiator-nonce-", 16}, nr = {(const uint8_t *)"responder-nonce-", 16};
	struct suite esp = {.protocol = PROTOCOL_ESP, .encr = {TRANSFORM_ENCR, ENCR_AES_GCM_16, 128}};
	struct child_keys i_in, i_out, r_in, r_out;
	struct ike_keys keys;

	(void)state;
	assert_true(ike_keys_derive(&keys, &gcm_suite, shared, ni, nr, 1, 2, NULL));
	assert_true(child_keys_derive(&keys, &esp, (struct bytes){0}, ni, nr, true, &i_in, &i_out));
	assert_true(child_keys_derive(&keys, &esp, (struct bytes){0}, ni, nr, false, &r_in, &r_out));
	assert_memory_equal(&i_in, &r_out, sizeof(i_in));
	assert_memory_equal(&i_out, &r_in, sizeof(i_in));
	assert_memory_not_equal(&i_out, &i_in, sizeof(i_in));
}

/* RFC 7296 2.17, RFC 4106 8.1, RFC 4309 7.1, RFC 3686 5.1, RFC 4543 5: what each suite takes of KEYMAT, in its order.
 */
static const struct {
	enum ike_protocol protocol;
	const char *notation;
	uint8_t encr_len, salt_len, integ_len;
	bool integ_first; /* the salt ends the integrity key */
} child_shapes[] = {
	{PROTOCOL_ESP, "aes128gcm16", 16, 4, 0, false},
	{PROTOCOL_ESP, "aes192gcm12", 24, 4, 0, false},
	{PROTOCOL_ESP, "aes256gcm8", 32, 4, 0, false},
	{PROTOCOL_ESP, "chacha20poly1305", 32, 4, 0, false},
	{PROTOCOL_ESP, "aes256ccm16", 32, 3, 0, false},
	{PROTOCOL_ESP, "aes256gcm16iiv", 32, 4, 0, false},
	{PROTOCOL_ESP, "aes128ccm8iiv", 16, 3, 0, false},
	{PROTOCOL_ESP, "aes192gmac", 24, 4, 0, false},
	{PROTOCOL_ESP, "aes128ctr-sha512", 16, 4, 64, false},
	{PROTOCOL_ESP, "aes256-sha1", 32, 0, 20, false},
	{PROTOCOL_ESP, "aes192-aesxcbc", 24, 0, 16, false},
	{PROTOCOL_ESP, "null-aescmac", 0, 0, 16, false},
	{PROTOCOL_AH, "sha384", 0, 0, 48, false},
	{PROTOCOL_AH, "aes256gmac", 0, 4, 32, true},
};

static void child_keys_of(const uint8_t *material, size_t row, struct child_keys *out)
{
	memset(out, 0, sizeof(*out));
	memcpy(out->encr, material, child_shapes[row].encr_len);
	material += child_shapes[row].encr_len;
	if (child_shapes[row].integ_first) {
		memcpy(out->integ, material, child_shapes[row].integ_len);
		memcpy(out->salt, material + child_shapes[row].integ_len, child_shapes[row].salt_len);
	} else {
		memcpy(out->salt, material, child_shapes[row].salt_len);
		memcpy(out->integ, material + child_shapes[row].salt_len, child_shapes[row].integ_len);
	}
}

static void child_keys_layout(void **state)
{
	struct bytes shared = {(const uint8_t *)"0123456789abcdef0123456789abcdef", 32},
		     ni = {(const uint8_t *)"initiator-nonce-", 16}, nr = {(const uint8_t *)"responder-nonce-", 16},
		     seed = {(const uint8_t *)"initiator-nonce-responder-nonce-", 32};
	struct ike_keys keys;

	(void)state;
	assert_true(ike_keys_derive(&keys, &gcm_suite, shared, ni, nr, 1, 2, NULL));
	for (size_t i = 0; i < ARRAY_LEN(child_shapes); i++) {
		size_t len = (size_t)child_shapes[i].encr_len + child_shapes[i].salt_len + child_shapes[i].integ_len;
		struct child_keys in, out, want;
		struct proposal_list list = {.count = 1};
		uint8_t material[256];
		struct suite suite;
		char error[512];

		assert_true(proposal_parse(
			child_shapes[i].notation, child_shapes[i].protocol, &list.items[0], error, sizeof(error)));
		assert_true(proposal_choose(&list, &list, false, &suite));
		assert_true(child_keys_derive(&keys, &suite, (struct bytes){0}, ni, nr, true, &in, &out));
		assert_true(prf_plus(keys.prf, (struct bytes){keys.d, keys.prf_len}, seed, material, 2 * len));
		child_keys_of(material, i, &want);
		assert_memory_equal(&out, &want, sizeof(want));
		child_keys_of(material + len, i, &want);
		assert_memory_equal(&in, &want, sizeof(want));
	}
}

/* RFC 7296 2.15 */
static void psk_auth(void **state)
{
	struct bytes secret = {(const uint8_t *)"secret", 6}, pad = {(const uint8_t *)"Key Pad for IKEv2", 17},
		     octets = {(const uint8_t *)"octets", 6};
	uint8_t inner[32], want[32], got[32];

	(void)state;
	assert_true(prf_of(PRF_HMAC_SHA2_256, secret, &pad, 1, inner));
	assert_true(prf_of(PRF_HMAC_SHA2_256, (struct bytes){inner, 32}, &octets, 1, want));
	assert_true(prf_psk_auth(PRF_HMAC_SHA2_256, secret, octets, got));
	assert_memory_equal(got, want, 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prf_vectors),
		cmocka_unit_test(prf_plus_chains),
		cmocka_unit_test(ecp_vectors),
		cmocka_unit_test(both_sides_agree),
		cmocka_unit_test(trivial_values_are_refused),
		cmocka_unit_test(ike_keys_order),
		cmocka_unit_test(derivation_vectors),
		cmocka_unit_test(x25519_vector),
		cmocka_unit_test(child_keys_cross),
		cmocka_unit_test(child_keys_layout),
		cmocka_unit_test(psk_auth),
	};

	return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
