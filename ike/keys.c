/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/keys.h"

#include "agent/base/secret.h"
#include "ike/dh.h"
#include "ike/engine.h"
#include "ike/transform.h"

#define KEY_STREAM_MAX (3 * PRF_LEN_MAX + 2 * (64 + 32 + 4))
#define SEED_MAX       (DH_SHARED_MAX + 2 * IKE_NONCE_MAX + 16)

/* Lengths of one direction's protection from the suite; false if an algorithm is not known. */
static bool sk_key_shape(const struct suite *suite, struct sk_key *key)
{
	const struct transform_info *encr = transform_find(&suite->encr);
	const struct transform_info *integ = suite->integ.type ? transform_find(&suite->integ) : NULL;

	if (!encr || (!encr->aead && !integ))
		return false;
	key->encr = encr->id;
	key->encr_len = encr->key_len;
	key->salt_len = encr->salt_len;
	key->iv_len = encr->iv_len;
	key->block = encr->block;
	key->icv_len = encr->aead ? encr->icv_len : integ->icv_len;
	key->integ = encr->aead ? INTEG_NONE : integ->id;
	key->integ_len = encr->aead ? 0 : integ->key_len;
	return true;
}

static bool skeyseed(const struct ike_keys *out, struct bytes shared, struct bytes ni, struct bytes nr,
	const struct ike_keys *old, uint8_t *seed)
{
	uint8_t key[2 * IKE_NONCE_MAX];
	struct writer w = writer_of(key, sizeof(key));

	if (old) { /* RFC 7296 2.18: by the old SA's PRF */
		struct bytes parts[3] = {shared, ni, nr};

		return prf_of(old->prf, (struct bytes){old->d, old->prf_len}, parts, 3, seed);
	}
	write_bytes(&w, ni.data, ni.len);
	write_bytes(&w, nr.data, nr.len);
	return !w.error && prf_of(out->prf, (struct bytes){key, writer_len(&w)}, &shared, 1, seed);
}

/* SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr, in this order (RFC 7296 2.14); an AEAD's salt ends its SK_e
 * (RFC 5282 7.1). */
static void keys_split(struct ike_keys *out, struct reader *r)
{
	read_copy(r, out->d, out->prf_len);
	read_copy(r, out->i.integ_key, out->i.integ_len);
	read_copy(r, out->r.integ_key, out->r.integ_len);
	read_copy(r, out->i.encr_key, out->i.encr_len);
	read_copy(r, out->i.salt, out->i.salt_len);
	read_copy(r, out->r.encr_key, out->r.encr_len);
	read_copy(r, out->r.salt, out->r.salt_len);
	read_copy(r, out->pi, out->prf_len);
	read_copy(r, out->pr, out->prf_len);
}

bool ike_keys_derive(struct ike_keys *out, const struct suite *suite, struct bytes shared, struct bytes ni,
	struct bytes nr, uint64_t spi_i, uint64_t spi_r, const struct ike_keys *old)
{
	uint8_t seed[SEED_MAX], stream[KEY_STREAM_MAX], seed_key[PRF_LEN_MAX];
	struct writer w = writer_of(seed, sizeof(seed));
	struct reader r;
	size_t len, seed_key_len;
	bool ok;

	memset(out, 0, sizeof(*out));
	out->prf = suite->prf.id;
	out->prf_len = (uint8_t)prf_len(suite->prf.id);
	if (!out->prf_len || !sk_key_shape(suite, &out->i))
		return false;
	out->r = out->i;
	write_bytes(&w, ni.data, ni.len);
	write_bytes(&w, nr.data, nr.len);
	write_u64(&w, spi_i);
	write_u64(&w, spi_r);
	len = 3u * (size_t)out->prf_len + 2u * ((size_t)out->i.integ_len + out->i.encr_len + out->i.salt_len);
	/* SKEYSEED has the length of the PRF that made it, which at a rekey is the old SA's. */
	seed_key_len = old ? old->prf_len : out->prf_len;
	ok = !w.error && skeyseed(out, shared, ni, nr, old, seed_key) &&
	     prf_plus(out->prf, (struct bytes){seed_key, seed_key_len}, (struct bytes){seed, writer_len(&w)}, stream,
		     len);
	if (ok) {
		r = reader_of(stream, len);
		keys_split(out, &r);
	}
	secret_wipe(seed_key, sizeof(seed_key));
	secret_wipe(stream, sizeof(stream));
	return ok;
}

/* Lengths of one direction of a CHILD SA. */
struct child_shape {
	uint8_t encr_len, integ_len, salt_len;
};

/* RFC 7296 2.17: encryption key, then integrity key; a salt ends the key that it belongs to (RFC 4106 8.1, RFC
 * 4543 5). False if an algorithm is not known, or the packets would not be authenticated. */
static bool child_shape_of(const struct suite *suite, struct child_shape *out)
{
	const struct transform_info *encr = suite->encr.type ? transform_find(&suite->encr) : NULL;
	const struct transform_info *integ = suite->integ.type ? transform_find(&suite->integ) : NULL;

	if ((suite->encr.type && !encr) || (suite->integ.type && !integ))
		return false;
	if (suite->protocol == PROTOCOL_AH ? encr || !integ : !encr || encr->aead == (integ != NULL))
		return false;
	*out = (struct child_shape){
		.encr_len = encr ? encr->key_len : 0,
		.integ_len = integ ? integ->key_len : 0,
		.salt_len = encr ? encr->salt_len : integ->salt_len,
	};
	return true;
}

static void child_keys_take(struct reader *r, bool salt_first, const struct child_shape *shape, struct child_keys *out)
{
	memset(out, 0, sizeof(*out));
	read_copy(r, out->encr, shape->encr_len);
	if (salt_first)
		read_copy(r, out->salt, shape->salt_len);
	read_copy(r, out->integ, shape->integ_len);
	if (!salt_first)
		read_copy(r, out->salt, shape->salt_len);
}

bool child_keys_derive(const struct ike_keys *keys, const struct suite *suite, struct bytes shared, struct bytes ni,
	struct bytes nr, bool initiator, struct child_keys *in, struct child_keys *out)
{
	uint8_t seed[SEED_MAX], stream[KEY_STREAM_MAX];
	struct writer w = writer_of(seed, sizeof(seed));
	bool salt_of_cipher = suite->encr.type != 0;
	struct child_shape shape;
	struct reader r;
	size_t len;
	bool ok;

	if (!child_shape_of(suite, &shape))
		return false;
	write_bytes(&w, shared.data, shared.len);
	write_bytes(&w, ni.data, ni.len);
	write_bytes(&w, nr.data, nr.len);
	len = 2u * ((size_t)shape.encr_len + shape.salt_len + shape.integ_len);
	ok = !w.error && prf_plus(keys->prf, (struct bytes){keys->d, keys->prf_len},
				 (struct bytes){seed, writer_len(&w)}, stream, len);
	if (ok) { /* the SA from initiator to responder comes first */
		r = reader_of(stream, len);
		child_keys_take(&r, salt_of_cipher, &shape, initiator ? out : in);
		child_keys_take(&r, salt_of_cipher, &shape, initiator ? in : out);
	}
	secret_wipe(seed, sizeof(seed));
	secret_wipe(stream, sizeof(stream));
	return ok;
}
