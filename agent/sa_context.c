/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/sa_context.h"

#include "agent/base/addr.h"
#include "agent/base/secret.h"
#include "agent/lifetime.h"
#include "agent/replay.h"
#include "agent/sum.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define FLAGS_KNOWN (SA_UDP_ENCAP | SA_ESN)
#define IPV4_LEN    20u
#define IPV6_LEN    40u
#define UDP_LEN	    8u
#define OUTER_TTL   64u
#define ECN_MASK    0x03u

static int check(const struct sa *sa, const struct ip_addr *local, const struct ip_addr *remote)
{
	if ((sa->protocol != IPPROTO_ESP && sa->protocol != IPPROTO_AH) || sa->flags & ~FLAGS_KNOWN)
		return -EOPNOTSUPP;
	/* AH covers the addresses that a NAT changes; nobody put it into UDP (RFC 3948 1). */
	if (sa->protocol == IPPROTO_AH && sa->flags & SA_UDP_ENCAP)
		return -EINVAL;
	if (sa->mode != SA_TUNNEL && sa->mode != SA_TRANSPORT)
		return -EINVAL;
	if (sa->direction != SA_IN && sa->direction != SA_OUT)
		return -EINVAL;
	if (local->family != remote->family)
		return -EINVAL;
	if (sa->flags & SA_UDP_ENCAP && (!sa->local_port || !sa->remote_port))
		return -EINVAL;
	if (!replay_bits_valid(sa->replay_bits))
		return -EINVAL;
	/* Without a window nothing tells the high half of the number (RFC 4303 3.4.3). */
	if (sa->flags & SA_ESN && sa->direction == SA_IN && !sa->replay_bits)
		return -EINVAL;
	return 0;
}

static void outer_ipv4(
	struct sa_context *ctx, const struct ip_addr *local, const struct ip_addr *remote, uint8_t protocol)
{
	uint8_t *ip = ctx->outer;

	ip[0] = 0x45;
	ip[9] = protocol;
	memcpy(ip + 12, local->bytes, 4);
	memcpy(ip + 16, remote->bytes, 4);
	ctx->outer_len = IPV4_LEN;
}

static void outer_ipv6(
	struct sa_context *ctx, const struct ip_addr *local, const struct ip_addr *remote, uint8_t protocol)
{
	uint8_t *ip = ctx->outer;

	ip[0] = 0x60;
	ip[6] = protocol;
	memcpy(ip + 8, local->bytes, 16);
	memcpy(ip + 24, remote->bytes, 16);
	ctx->outer_len = IPV6_LEN;
}

/* DSCP by RFC 4301 5.1.2, ECN by RFC 6040 4.1. */
static void outer_options(struct sa_context *ctx, const struct tunnel_options *options)
{
	ctx->class_keep = 0xff;
	ctx->class_set = 0;
	if (options->dscp == DSCP_SET) {
		ctx->class_keep = ECN_MASK;
		ctx->class_set = (uint8_t)(options->dscp_value << 2);
	}
	if (options->ecn == ECN_OFF)
		ctx->class_keep &= (uint8_t)~ECN_MASK;
	ctx->df_keep = options->df == DF_COPY;
	ctx->df_set = options->df == DF_SET;
	ctx->outer[ctx->outer_family == 4 ? 8 : 7] = options->ttl ? options->ttl : OUTER_TTL;
}

static void outer_udp(struct sa_context *ctx, const struct sa *sa)
{
	uint16_t ports[2] = {htons(sa->local_port), htons(sa->remote_port)};

	memcpy(ctx->outer + ctx->outer_len, ports, sizeof(ports));
	ctx->outer_len = (uint8_t)(ctx->outer_len + UDP_LEN);
}

void sa_context_derive(struct sa_context *ctx)
{
	const struct sa *sa = &ctx->sa;

	ctx->expires_ns = sa->hard_ns ? sa->hard_ns : UINT64_MAX;
	ctx->counted = sa->hard_packets || sa->hard_bytes;
	ctx->seq_last = sa->flags & SA_ESN ? UINT64_MAX : UINT32_MAX;
	ctx->plain = sa->protocol == IPPROTO_ESP && sa->mode == SA_TUNNEL && ctx->outer_family == 4 &&
		     !ctx->tunnel.options.tfc_pad;
	outer_options(ctx, &ctx->tunnel.options);
	ctx->outer_sum = checksum_fold(sum_around(sum_word64(ctx->outer + 12), sum_word32(ctx->outer + 8)));
	ctx->meta_flags = sa->flags & SA_UDP_ENCAP ? META_UDP_ENCAP : 0;
	ctx->front_len = (uint8_t)(ctx->outer_len + ESP_HEADER_LEN + ctx->suite->iv_len);
	selector_pair_init(&ctx->selectors, &ctx->tunnel);
}

int sa_context_init(struct sa_context *ctx, const struct sa *sa, const struct tunnel *tunnel, struct sa_run *run)
{
	struct ip_addr local, remote;
	uint8_t protocol = sa->flags & SA_UDP_ENCAP ? IPPROTO_UDP : sa->protocol;
	int error;

	memset(ctx, 0, sizeof(*ctx));
	addr_from_mapped(sa->local.bytes, &local);
	addr_from_mapped(sa->remote.bytes, &remote);
	error = check(sa, &local, &remote);
	if (error)
		return error;
	error = esp_cipher_init(&ctx->cipher, sa);
	if (error) {
		sa_context_clear(ctx);
		return error;
	}
	ctx->suite = ctx->cipher.suite;
	ctx->sa = *sa;
	secret_wipe(ctx->sa.encr_key, sizeof(ctx->sa.encr_key));
	secret_wipe(ctx->sa.integ_key, sizeof(ctx->sa.integ_key));
	secret_wipe(ctx->sa.salt, sizeof(ctx->sa.salt));
	ctx->tunnel = *tunnel;
	ctx->run = run;
	ctx->outer_family = local.family;
	if (local.family == IP_V4)
		outer_ipv4(ctx, &local, &remote, protocol);
	else
		outer_ipv6(ctx, &local, &remote, protocol);
	if (sa->flags & SA_UDP_ENCAP)
		outer_udp(ctx, sa);
	sa_context_derive(ctx);
	return 0;
}

void sa_context_clear(struct sa_context *ctx)
{
	esp_cipher_clear(&ctx->cipher);
	secret_wipe(ctx, sizeof(*ctx));
}

static void add(__u64 *shared, uint64_t *pending)
{
	if (*pending)
		__atomic_fetch_add(shared, *pending, __ATOMIC_RELAXED);
	*pending = 0;
}

unsigned sa_context_flush(struct sa_context *ctx)
{
	struct sa_run *run = ctx->run;

	add(&run->dropped_replay, &ctx->dropped_replay);
	add(&run->dropped_icv, &ctx->dropped_icv);
	add(&run->dropped_other, &ctx->dropped_other);
	if (!ctx->packets)
		return 0;
	add(&run->packets, &ctx->packets);
	add(&run->bytes, &ctx->bytes);
	__atomic_store_n(&run->last_use_ns, ctx->last_use_ns, __ATOMIC_RELAXED);
	return lifetime_tell(run, lifetime_reached(&ctx->sa, run, ctx->last_use_ns));
}

void sa_context_count_drop(struct sa_context *ctx, enum drop_reason reason)
{
	switch (reason) {
	case DROP_NONE:
	case DROP_DUMMY:
		break;
	case DROP_REPLAY:
	case DROP_REPLAY_OLD:
	case DROP_SEQ_ZERO:
		ctx->dropped_replay++;
		break;
	case DROP_ICV_BAD:
		ctx->dropped_icv++;
		break;
	default:
		ctx->dropped_other++;
	}
}

bool sa_context_reached(const struct sa_context *ctx, uint64_t now_ns)
{
	const struct sa *sa = &ctx->sa;
	const struct sa_run *run = ctx->run;

	return (sa->hard_ns && now_ns >= sa->hard_ns) ||
	       (sa->hard_packets && run->packets + ctx->packets >= sa->hard_packets) ||
	       (sa->hard_bytes && run->bytes + ctx->bytes >= sa->hard_bytes);
}

bool sa_context_is_peer(const struct sa_context *ctx, uint8_t family, const uint8_t *address)
{
	return family == ctx->outer_family &&
	       memcmp(address, ctx->sa.remote.bytes + (family == 4 ? 12 : 0), family == 4 ? 4 : 16) == 0;
}
