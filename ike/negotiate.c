/* SPDX-License-Identifier: Apache-2.0 */
/* What the payloads of a CHILD SA say: proposals, mode, traffic selectors, keys (RFC 7296 2.7, 2.9, 2.17, 3.3). */
#include "ike/core.h"
#include "ike/exchange.h"
#include "ike/payload/ke.h"
#include "ike/payload/nonce.h"
#include "ike/payload/sa.h"
#include "ike/payload/ts.h"

#include <stdio.h>

#define REPORT_MAX    3072u
#define CHILD_SPI_LEN 4u

struct proposal_list proposals_without_ke(const struct proposal_list *list)
{
	struct proposal_list out = *list;

	for (unsigned i = 0; i < out.count; i++) {
		struct proposal *proposal = &out.items[i];
		uint8_t kept = 0;

		for (unsigned t = 0; t < proposal->count; t++)
			if (proposal->transforms[t].type != TRANSFORM_KE)
				proposal->transforms[kept++] = proposal->transforms[t];
		proposal->count = kept;
	}
	return out;
}

uint16_t proposals_first_ke(const struct proposal_list *list)
{
	for (unsigned t = 0; list->count && t < list->items[0].count; t++)
		if (list->items[0].transforms[t].type == TRANSFORM_KE)
			return list->items[0].transforms[t].id;
	return KE_NONE;
}

bool proposals_have_ke(const struct proposal_list *list, uint16_t group)
{
	for (unsigned i = 0; i < list->count; i++)
		for (unsigned t = 0; t < list->items[i].count; t++)
			if (list->items[i].transforms[t].type == TRANSFORM_KE &&
				list->items[i].transforms[t].id == group)
				return true;
	return false;
}

/* The configured selectors of one side; none means "dynamic": the address itself. */
static unsigned selectors(const struct selector *configured, unsigned count, const struct ip_addr *address,
	struct selector out[static SELECTORS_MAX])
{
	if (!count) {
		ts_of_addr(address, &out[0]);
		return 1;
	}
	memcpy(out, configured, count * sizeof(*out));
	return count;
}

static unsigned local_selectors(
	const struct ike_sa *sa, const struct child_config *config, struct selector out[static SELECTORS_MAX])
{
	return selectors(config->local, config->local_count, &sa->local.addr, out);
}

static unsigned remote_selectors(
	const struct ike_sa *sa, const struct child_config *config, struct selector out[static SELECTORS_MAX])
{
	return selectors(config->remote, config->remote_count, &sa->remote.addr, out);
}

static void spi_bytes(uint32_t spi, uint8_t out[static CHILD_SPI_LEN])
{
	for (unsigned i = 0; i < CHILD_SPI_LEN; i++)
		out[i] = (uint8_t)(spi >> (24 - 8 * i));
}

/* RFC 7296 1.3.1: transport mode is asked for, and agreed to, by a notify. */
static void write_mode(struct message_writer *m, uint8_t mode)
{
	if (mode == SA_TRANSPORT)
		payload_notify_write_data(m, USE_TRANSPORT_MODE, NULL, 0);
}

/* RFC 7296 2.9: the packet that waits comes first, as a selector of its own, if it is part of what may be asked for. */
static unsigned packet_first(const struct selector *packet, struct selector *ts, unsigned count)
{
	if (!packet->family || !ts_list_contains(ts, count, packet, 1))
		return count;
	memmove(ts + 1, ts, count * sizeof(*ts));
	ts[0] = *packet;
	return count + 1;
}

static void write_nonce_and_ke(struct message_writer *m, const struct dh *dh, const uint8_t *nonce)
{
	if (nonce)
		payload_nonce_write(m, (struct bytes){nonce, IKE_NONCE_LEN});
	if (dh)
		payload_ke_write(m, dh_group(dh), dh_public(dh));
}

void child_write_offer(
	struct message_writer *m, const struct child_sa *child, const struct dh *dh, const uint8_t *nonce)
{
	struct proposal_list offer = nonce ? child->config->proposals : proposals_without_ke(&child->config->proposals);
	struct selector ts[SELECTORS_MAX + 1];
	uint8_t spi[CHILD_SPI_LEN];
	unsigned count;

	spi_bytes(child->spi_in, spi);
	write_mode(m, child->config->mode);
	payload_sa_write(m, &offer, spi, sizeof(spi));
	write_nonce_and_ke(m, dh, nonce);
	count = packet_first(&child->packet_local, ts, local_selectors(child->sa, child->config, ts));
	payload_ts_write(m, PAYLOAD_TSI, ts, count);
	count = packet_first(&child->packet_remote, ts, remote_selectors(child->sa, child->config, ts));
	payload_ts_write(m, PAYLOAD_TSR, ts, count);
}

void child_write_answer(
	struct message_writer *m, const struct child_sa *child, const struct dh *dh, const uint8_t *nonce)
{
	uint8_t spi[CHILD_SPI_LEN];

	spi_bytes(child->spi_in, spi);
	write_mode(m, child->mode);
	payload_sa_write_chosen(m, &child->suite, spi, sizeof(spi));
	write_nonce_and_ke(m, dh, nonce);
	/* The peer initiated: TSi is its side. */
	payload_ts_write(m, PAYLOAD_TSI, child->remote_ts, child->remote_count);
	payload_ts_write(m, PAYLOAD_TSR, child->local_ts, child->local_count);
}

struct offer {
	struct proposal_list proposals;
	struct ts_list tsi, tsr;
	bool transport;
	bool tfc_plain;
};

static bool read_offer(const struct ike_message *message, struct offer *out)
{
	const struct payload *sa = message_find(message, PAYLOAD_SA);
	const struct payload *tsi = message_find(message, PAYLOAD_TSI);
	const struct payload *tsr = message_find(message, PAYLOAD_TSR);
	struct payload_notify ignored;

	if (!sa || !tsi || !tsr)
		return false;
	out->transport = message_find_notify(message, USE_TRANSPORT_MODE, &ignored);
	out->tfc_plain = message_find_notify(message, ESP_TFC_PADDING_NOT_SUPPORTED, &ignored);
	return payload_sa_read(sa->body, &out->proposals) && payload_ts_read(tsi->body, &out->tsi) &&
	       payload_ts_read(tsr->body, &out->tsr);
}

struct choice {
	uint8_t mode; /* enum sa_mode */
	uint8_t local_count, remote_count;
	struct selector local[SELECTORS_MAX], remote[SELECTORS_MAX];
};

static bool narrow(
	const struct ike_sa *sa, const struct child_config *config, const struct offer *offer, struct choice *out)
{
	struct selector ours[SELECTORS_MAX];
	unsigned count;

	count = local_selectors(sa, config, ours);
	out->local_count = (uint8_t)ts_narrow(offer->tsr.items, offer->tsr.count, ours, count, out->local);
	count = remote_selectors(sa, config, ours);
	out->remote_count = (uint8_t)ts_narrow(offer->tsi.items, offer->tsi.count, ours, count, out->remote);
	return out->local_count && out->remote_count;
}

/* Did narrowing leave the offer as it was? Such a child fits better than one that takes only a part of it. */
static bool whole(const struct offer *offer, const struct choice *choice)
{
	return ts_list_contains(choice->local, choice->local_count, offer->tsr.items, offer->tsr.count) &&
	       ts_list_contains(choice->remote, choice->remote_count, offer->tsi.items, offer->tsi.count);
}

static bool hosts_alone(const struct selector *items, unsigned count, const struct ip_addr *host)
{
	for (unsigned i = 0; i < count; i++)
		if (items[i].family != host->family || memcmp(items[i].first, host->bytes, addr_len(host)) != 0 ||
			memcmp(items[i].last, host->bytes, addr_len(host)) != 0)
			return false;
	return count != 0;
}

/* RFC 7296 2.23.1: transport mode is between the two ends' own addresses, as this host sees them. */
static bool host_to_host(const struct ike_sa *sa, const struct choice *choice)
{
	return hosts_alone(choice->local, choice->local_count, &sa->local.addr) &&
	       hosts_alone(choice->remote, choice->remote_count, &sa->remote.addr);
}

/* RFC 7296 2.23.1: a side that a NAT hides named itself by an address that means nothing here; its IKE packets tell the
 * one that does. Only single addresses are replaced. */
static void substitute(struct ts_list *list, const struct ip_addr *address)
{
	for (unsigned i = 0; i < list->count; i++) {
		struct selector *item = &list->items[i];

		if (item->family != address->family || memcmp(item->first, item->last, addr_len(address)) != 0)
			continue;
		memcpy(item->first, address->bytes, addr_len(address));
		memcpy(item->last, address->bytes, addr_len(address));
	}
}

/* `tsi_is_ours`: this side began the exchange. */
static void substitute_sides(const struct ike_sa *sa, struct offer *offer, bool tsi_is_ours)
{
	if (sa->nat_local)
		substitute(tsi_is_ours ? &offer->tsi : &offer->tsr, &sa->local.addr);
	if (sa->nat_remote)
		substitute(tsi_is_ours ? &offer->tsr : &offer->tsi, &sa->remote.addr);
}

/* Are all selectors of one child within those of another, and not the other way round? */
static bool tighter(const struct ike_sa *sa, const struct child_config *inner, const struct child_config *outer)
{
	struct selector in[2][SELECTORS_MAX], out[2][SELECTORS_MAX];
	unsigned in_count[2] = {local_selectors(sa, inner, in[0]), remote_selectors(sa, inner, in[1])};
	unsigned out_count[2] = {local_selectors(sa, outer, out[0]), remote_selectors(sa, outer, out[1])};
	bool within = true, equal = true;

	for (unsigned i = 0; i < 2; i++) {
		within = within && ts_list_contains(out[i], out_count[i], in[i], in_count[i]);
		equal = equal && ts_list_contains(in[i], in_count[i], out[i], out_count[i]);
	}
	return within && !equal;
}

/*
 * The child of the configuration, in transport mode or in any, that takes most of what is offered (RFC 7296 2.9); -1:
 * none. Of several that take all of it the tightest: a wide child, whichever stands first, leaves to a narrow one what
 * was made for that.
 */
static int choose_config(const struct ike_sa *sa, const struct offer *offer, const struct child_sa *old, uint8_t mode,
	struct choice *out)
{
	const struct conn_config *config = sa->conn->config;
	struct choice choice;
	bool found_whole = false;
	int found = -1;

	for (uint32_t i = 0; i < config->child_count; i++) {
		/* RFC 7296 2.9.2: a rekey stays with its child. */
		if ((old && old->index != i) || config->children[i].shunt ||
			!narrow(sa, &config->children[i], offer, &choice))
			continue;
		choice.mode = mode;
		if (mode == SA_TRANSPORT && (config->children[i].mode != SA_TRANSPORT || !host_to_host(sa, &choice)))
			continue;
		if (found >= 0 && !whole(offer, &choice))
			continue;
		if (found_whole && !tighter(sa, &config->children[i], &config->children[found]))
			continue;
		*out = choice;
		found = (int)i;
		found_whole = whole(offer, &choice);
	}
	return found;
}

/* RFC 7296 2.23.1, the responder's rules: first as transport mode with the addresses that are seen here, if the peer
 * asks for it; else in tunnel mode with the selectors as they came. */
static int choose_mode(
	const struct ike_sa *sa, const struct offer *offer, const struct child_sa *old, struct choice *out)
{
	struct offer seen = *offer;
	int index = -1;

	if (offer->transport) {
		substitute_sides(sa, &seen, false);
		index = choose_config(sa, &seen, old, SA_TRANSPORT, out);
	}
	return index >= 0 ? index : choose_config(sa, offer, old, SA_TUNNEL, out);
}

static void report_ts(struct ike_sa *sa, const struct offer *offer)
{
	char tsi[TS_TEXT_LEN * 3], tsr[TS_TEXT_LEN * 3];

	ts_list_format(offer->tsi.items, offer->tsi.count, tsi, sizeof(tsi));
	ts_list_format(offer->tsr.items, offer->tsr.count, tsr, sizeof(tsr));
	core_count(sa->engine, IKE_COUNTER_TS_UNACCEPTABLE);
	effects_event(&sa->engine->effects, EVENT_TS_MISMATCH, ike_sa_conn_name(sa), "", &sa->remote,
		"The peer asked for its %s to our %s; no child of connections.%s has remote_ts and local_ts that "
		"overlap with them",
		tsi, tsr, ike_sa_conn_name(sa));
}

static void report_proposals(struct ike_sa *sa, const struct child_config *config, const struct offer *offer)
{
	char report[REPORT_MAX], where[2 * IKE_NAME_MAX + 64];

	snprintf(where, sizeof(where), "connections.%s.children.%s.%s_proposals", ike_sa_conn_name(sa), config->name,
		config->proposals.items[0].protocol == PROTOCOL_AH ? "ah" : "esp");
	proposal_mismatch(&config->proposals, &offer->proposals, where, report, sizeof(report));
	core_count(sa->engine, IKE_COUNTER_NO_PROPOSAL);
	effects_event(&sa->engine->effects, EVENT_PROPOSAL_MISMATCH, ike_sa_conn_name(sa), config->name, &sa->remote,
		"%s", report);
}

static uint32_t suite_spi(const struct suite *suite)
{
	struct reader r = reader_of(suite->spi, suite->spi_len);

	return read_u32(&r);
}

static void take(struct child_sa *child, const struct suite *suite, const struct choice *choice)
{
	child->suite = *suite;
	child->mode = choice->mode;
	child->spi_out = suite_spi(suite);
	child->local_count = choice->local_count;
	child->remote_count = choice->remote_count;
	memcpy(child->local_ts, choice->local, sizeof(child->local_ts));
	memcpy(child->remote_ts, choice->remote, sizeof(child->remote_ts));
}

static unsigned count_children(const struct ike_sa *sa)
{
	unsigned count = 0;

	for (const struct child_sa *child = sa->children; child; child = child->next)
		count++;
	return count;
}

bool child_is_barred(struct ike_sa *sa, uint32_t index)
{
	const struct child_config *config = &sa->conn->config->children[index];

	if (!ike_sa_encap(sa) || !config->proposals.count || config->proposals.items[0].protocol != PROTOCOL_AH)
		return false;
	effects_event(&sa->engine->effects, EVENT_PROPOSAL_MISMATCH, ike_sa_conn_name(sa), config->name, &sa->remote,
		"CHILD SA not made: there is a NAT between the two ends, and AH, which protects the addresses, cannot "
		"cross it; use esp_proposals (null-sha256 protects without encrypting)");
	return true;
}

enum notify child_choose(struct ike_sa *sa, const struct ike_message *message, const struct child_sa *old, bool in_auth,
	struct child_sa **out)
{
	const struct child_config *config;
	struct offer offer;
	struct choice choice;
	struct suite suite;
	int index;

	if (!read_offer(message, &offer))
		return INVALID_SYNTAX;
	if (count_children(sa) >= IKE_CHILDREN_MAX)
		return NO_ADDITIONAL_SAS;
	index = choose_mode(sa, &offer, old, &choice);
	if (index < 0) {
		report_ts(sa, &offer);
		return TS_UNACCEPTABLE;
	}
	config = &sa->conn->config->children[index];
	if (child_is_barred(sa, (uint32_t)index))
		return NO_PROPOSAL_CHOSEN;
	if (!proposal_choose(&config->proposals, &offer.proposals, in_auth, &suite) || suite.spi_len != CHILD_SPI_LEN ||
		!suite_spi(&suite)) {
		report_proposals(sa, config, &offer);
		return NO_PROPOSAL_CHOSEN;
	}
	*out = child_new(sa, (uint32_t)index);
	take(*out, &suite, &choice);
	(*out)->tfc_plain = offer.tfc_plain;
	return child_admit(*out, old);
}

bool child_accept(struct child_sa *child, const struct ike_message *message, bool in_auth)
{
	struct selector local[SELECTORS_MAX], remote[SELECTORS_MAX];
	unsigned local_count = local_selectors(child->sa, child->config, local);
	unsigned remote_count = remote_selectors(child->sa, child->config, remote);
	struct choice choice = {0};
	struct offer answer;
	struct suite suite;

	if (!read_offer(message, &answer) || !answer.tsi.count || !answer.tsr.count)
		return false;
	if (!proposal_accept(&child->config->proposals, &answer.proposals, in_auth, &suite) ||
		suite.spi_len != CHILD_SPI_LEN || !suite_spi(&suite))
		return false;
	child->spi_out = suite_spi(&suite);
	/* RFC 7296 1.3.1: a peer that leaves the notify out declines; the SA is then in tunnel mode. */
	if (answer.transport && child->config->mode != SA_TRANSPORT)
		return false;
	if (answer.transport)
		substitute_sides(child->sa, &answer, true);
	/* RFC 7296 2.9: what comes back is a subset of what was offered. */
	if (!ts_list_contains(local, local_count, answer.tsi.items, answer.tsi.count) ||
		!ts_list_contains(remote, remote_count, answer.tsr.items, answer.tsr.count))
		return false;
	choice.mode = answer.transport ? SA_TRANSPORT : SA_TUNNEL;
	choice.local_count = (uint8_t)ts_narrow(answer.tsi.items, answer.tsi.count, local, local_count, choice.local);
	choice.remote_count =
		(uint8_t)ts_narrow(answer.tsr.items, answer.tsr.count, remote, remote_count, choice.remote);
	if (choice.mode == SA_TRANSPORT && !host_to_host(child->sa, &choice))
		return false;
	take(child, &suite, &choice);
	child->tfc_plain = answer.tfc_plain;
	return true;
}

bool child_derive(struct child_sa *child, struct bytes shared, struct bytes ni, struct bytes nr, bool initiator)
{
	struct bytes low = nonce_lower(ni, nr);

	memcpy(child->low_nonce, low.data, low.len);
	child->low_nonce_len = low.len;
	return child_keys_derive(&child->sa->keys, &child->suite, shared, ni, nr, initiator, &child->in, &child->out);
}
