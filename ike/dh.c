/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/dh.h"

#include "agent/base/own.h"
#include "agent/base/secret.h"
#include "ike/proposal.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/dh.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>

enum dh_kind { DH_MODP, DH_ECP, DH_X25519 };

static const struct dh_group_info {
	uint16_t id;
	uint8_t kind;
	const char *name; /* OpenSSL's */
	uint16_t public_len;
	uint16_t shared_len;
} groups[] = {
	{KE_MODP_2048, DH_MODP, "modp_2048", 256, 256},
	{KE_ECP_256, DH_ECP, "P-256", 64, 32},
	{KE_ECP_384, DH_ECP, "P-384", 96, 48},
	{KE_X25519, DH_X25519, "X25519", 32, 32},
};

struct dh {
	const struct dh_group_info *group;
	EVP_PKEY *key;
	uint8_t public_value[DH_PUBLIC_MAX];
};

static void pkey_free(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}
static void pkey_ctx_free(EVP_PKEY_CTX **context)
{
	EVP_PKEY_CTX_free(*context);
}
static void bn_free(BIGNUM **bn)
{
	BN_clear_free(*bn);
}
static void params_free(OSSL_PARAM **params)
{
	OSSL_PARAM_free(*params);
}
static void builder_free(OSSL_PARAM_BLD **builder)
{
	OSSL_PARAM_BLD_free(*builder);
}
static void ec_group_free(EC_GROUP **group)
{
	EC_GROUP_free(*group);
}
static void ec_point_free(EC_POINT **point)
{
	EC_POINT_clear_free(*point);
}
#define OWN(free_function) __attribute__((cleanup(free_function)))

static const struct dh_group_info *group_find(uint16_t id)
{
	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		if (groups[i].id == id)
			return &groups[i];
	return NULL;
}

bool dh_known(uint16_t group)
{
	return group_find(group) != NULL;
}

size_t dh_public_len(uint16_t group)
{
	const struct dh_group_info *info = group_find(group);

	return info ? info->public_len : 0;
}

static const char *key_type(const struct dh_group_info *group)
{
	return group->kind == DH_MODP ? "DH" : group->kind == DH_ECP ? "EC" : "X25519";
}

/* Fill in the public value as it goes on the wire: MODP padded to the prime's length, ECP as x | y (RFC 5903 7). */
static bool public_value_set(struct dh *dh)
{
	uint8_t point[1 + DH_PUBLIC_MAX];
	OWN(bn_free) BIGNUM *y = NULL;
	size_t len;

	switch (dh->group->kind) {
	case DH_MODP:
		return EVP_PKEY_get_bn_param(dh->key, OSSL_PKEY_PARAM_PUB_KEY, &y) == 1 &&
		       BN_bn2binpad(y, dh->public_value, dh->group->public_len) == dh->group->public_len;
	case DH_ECP:
		if (EVP_PKEY_get_octet_string_param(dh->key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &len) !=
				1 ||
			len != dh->group->public_len + 1u || point[0] != POINT_CONVERSION_UNCOMPRESSED)
			return false;
		memcpy(dh->public_value, point + 1, dh->group->public_len);
		return true;
	default:
		len = sizeof(dh->public_value);
		return EVP_PKEY_get_raw_public_key(dh->key, dh->public_value, &len) == 1 &&
		       len == dh->group->public_len;
	}
}

static EVP_PKEY *key_generate(const struct dh_group_info *group)
{
	OWN(pkey_ctx_free) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, key_type(group), NULL);
	EVP_PKEY *key = NULL;

	if (!context || EVP_PKEY_keygen_init(context) != 1)
		return NULL;
	if (group->kind != DH_X25519 && EVP_PKEY_CTX_set_group_name(context, group->name) != 1)
		return NULL;
	return EVP_PKEY_keygen(context, &key) == 1 ? key : NULL;
}

static struct dh *dh_wrap(const struct dh_group_info *group, EVP_PKEY *key)
{
	struct dh *dh = key ? calloc(1, sizeof(*dh)) : NULL;

	if (!dh) {
		EVP_PKEY_free(key);
		return NULL;
	}
	dh->group = group;
	dh->key = key;
	if (!public_value_set(dh)) {
		dh_free(dh);
		return NULL;
	}
	return dh;
}

struct dh *dh_new(uint16_t group)
{
	const struct dh_group_info *info = group_find(group);

	return info ? dh_wrap(info, key_generate(info)) : NULL;
}

/* A key from parameters; `selection` as for EVP_PKEY_fromdata. */
static EVP_PKEY *key_build(const struct dh_group_info *group, OSSL_PARAM_BLD *builder, int selection)
{
	OWN(params_free) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
	OWN(pkey_ctx_free) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, key_type(group), NULL);
	EVP_PKEY *key = NULL;

	if (!params || !context || EVP_PKEY_fromdata_init(context) != 1)
		return NULL;
	return EVP_PKEY_fromdata(context, &key, selection, params) == 1 ? key : NULL;
}

static EVP_PKEY *ecp_private_key(const struct dh_group_info *info, struct bytes value)
{
	OWN(builder_free) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	OWN(bn_free) BIGNUM *d = BN_bin2bn(value.data, (int)value.len, NULL);
	OWN(ec_group_free)
	EC_GROUP *group = EC_GROUP_new_by_curve_name(info->id == KE_ECP_256 ? NID_X9_62_prime256v1 : NID_secp384r1);
	OWN(ec_point_free) EC_POINT *q = group ? EC_POINT_new(group) : NULL;
	uint8_t point[1 + DH_PUBLIC_MAX];
	size_t len;

	if (!builder || !d || !q || EC_POINT_mul(group, q, d, NULL, NULL, NULL) != 1)
		return NULL;
	len = EC_POINT_point2oct(group, q, POINT_CONVERSION_UNCOMPRESSED, point, sizeof(point), NULL);
	if (OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, info->name, 0) != 1 ||
		OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, len) != 1 ||
		OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, d) != 1)
		return NULL;
	return key_build(info, builder, EVP_PKEY_KEYPAIR);
}

struct dh *dh_from_private(uint16_t group, struct bytes private_value)
{
	const struct dh_group_info *info = group_find(group);

	if (!info || info->kind == DH_MODP)
		return NULL;
	if (info->kind == DH_X25519)
		return dh_wrap(info,
			EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_value.data, private_value.len));
	return dh_wrap(info, ecp_private_key(info, private_value));
}

uint16_t dh_group(const struct dh *dh)
{
	return dh->group->id;
}

struct bytes dh_public(const struct dh *dh)
{
	return (struct bytes){dh->public_value, dh->group->public_len};
}

static EVP_PKEY *modp_peer_key(const struct dh_group_info *info, struct bytes value)
{
	OWN(builder_free) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	OWN(bn_free) BIGNUM *y = BN_bin2bn(value.data, (int)value.len, NULL);

	if (!builder || !y ||
		OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, info->name, 0) != 1 ||
		OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PUB_KEY, y) != 1)
		return NULL;
	return key_build(info, builder, EVP_PKEY_PUBLIC_KEY);
}

static EVP_PKEY *ecp_peer_key(const struct dh_group_info *info, struct bytes value)
{
	OWN(builder_free) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	uint8_t point[1 + DH_PUBLIC_MAX] = {POINT_CONVERSION_UNCOMPRESSED};

	memcpy(point + 1, value.data, value.len);
	if (!builder || OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, info->name, 0) != 1 ||
		OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + value.len) != 1)
		return NULL;
	return key_build(info, builder, EVP_PKEY_PUBLIC_KEY);
}

static EVP_PKEY *peer_key(const struct dh_group_info *info, struct bytes value)
{
	if (info->kind == DH_X25519)
		return EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, value.data, value.len);
	return info->kind == DH_MODP ? modp_peer_key(info, value) : ecp_peer_key(info, value);
}

/* RFC 6989 2.1, 2.3: a MODP value in 2..p-2, an ECP point on its curve. X25519's all-zero result is refused by the
 * derivation. */
static bool peer_valid(EVP_PKEY *key, const struct dh_group_info *info)
{
	OWN(pkey_ctx_free) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);

	return info->kind == DH_X25519 || (context && EVP_PKEY_public_check_quick(context) == 1);
}

size_t dh_compute(const struct dh *dh, struct bytes peer, uint8_t out[static DH_SHARED_MAX])
{
	size_t len = DH_SHARED_MAX;

	if (peer.len != dh->group->public_len)
		return 0;
	OWN(pkey_free) EVP_PKEY *theirs = peer_key(dh->group, peer);
	OWN(pkey_ctx_free) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, dh->key, NULL);

	if (!theirs || !context || !peer_valid(theirs, dh->group) || EVP_PKEY_derive_init(context) != 1)
		return 0;
	/* RFC 7296 2.14: a MODP secret is padded with zeroes to the length of the prime. */
	if (dh->group->kind == DH_MODP && EVP_PKEY_CTX_set_dh_pad(context, 1) != 1)
		return 0;
	if (EVP_PKEY_derive_set_peer(context, theirs) != 1 || EVP_PKEY_derive(context, out, &len) != 1 ||
		len != dh->group->shared_len) {
		secret_wipe(out, DH_SHARED_MAX);
		return 0;
	}
	return len;
}

void dh_free(struct dh *dh)
{
	if (!dh)
		return;
	EVP_PKEY_free(dh->key);
	free(dh);
}
