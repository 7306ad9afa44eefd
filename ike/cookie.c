/* SPDX-License-Identifier: Apache-2.0 */
/* Stateless cookies (RFC 7296 2.6): HMAC(secret, Ni | IPi | SPIi) behind the version of the secret, which changes
 * often. */
#include "agent/base/own.h"
#include "agent/base/secret.h"
#include "ike/core.h"
#include "ike/exchange.h"

static void rotate(struct ike_engine *engine, uint64_t now)
{
	struct cookie_secret fresh = {.version = (uint8_t)(engine->cookie[0].version + 1), .set = true};

	if (engine->cookie[0].set && now - engine->cookie_since < IKE_COOKIE_SECRET_LIFE_NS)
		return;
	core_random(engine, fresh.bytes, sizeof(fresh.bytes));
	engine->cookie[1] = engine->cookie[0];
	/* The last secret may be used for as long again; one from before a long silence may not. */
	if (now - engine->cookie_since > 2 * IKE_COOKIE_SECRET_LIFE_NS)
		engine->cookie[1].set = false;
	engine->cookie[0] = fresh;
	engine->cookie_since = now;
}

static bool compute(const struct cookie_secret *secret, const struct endpoint *remote, uint64_t spi_i, struct bytes ni,
	uint8_t out[static COOKIE_LEN])
{
	struct bytes parts[3] = {
		ni, {remote->addr.bytes, addr_len(&remote->addr)}, {(const uint8_t *)&spi_i, sizeof(spi_i)}};

	out[0] = secret->version;
	return prf_of(PRF_HMAC_SHA2_256, (struct bytes){secret->bytes, sizeof(secret->bytes)}, parts, ARRAY_LEN(parts),
		out + 1);
}

bool cookie_make(struct ike_engine *engine, const struct endpoint *remote, uint64_t spi_i, struct bytes ni,
	uint64_t now, uint8_t out[static COOKIE_LEN])
{
	rotate(engine, now);
	return compute(&engine->cookie[0], remote, spi_i, ni, out);
}

bool cookie_valid(struct ike_engine *engine, const struct endpoint *remote, uint64_t spi_i, struct bytes ni,
	struct bytes cookie, uint64_t now)
{
	uint8_t expected[COOKIE_LEN];

	rotate(engine, now);
	if (cookie.len != COOKIE_LEN)
		return false;
	for (unsigned i = 0; i < 2; i++)
		if (engine->cookie[i].set && engine->cookie[i].version == cookie.data[0])
			return compute(&engine->cookie[i], remote, spi_i, ni, expected) &&
			       secret_equal(expected, cookie.data, COOKIE_LEN);
	return false;
}
