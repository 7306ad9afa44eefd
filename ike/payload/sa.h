/* SPDX-License-Identifier: Apache-2.0 */
/* Security Association payload (RFC 7296 3.3). */
#ifndef ESPALIER_IKE_PAYLOAD_SA_H
#define ESPALIER_IKE_PAYLOAD_SA_H

#include "agent/base/bytes.h"
#include "ike/message.h"
#include "ike/proposal.h"

/*
 * False if malformed. Proposals past IKE_PROPOSALS_MAX and transforms past IKE_TRANSFORMS_MAX are left out; a proposal
 * that would lose a whole type by that gets protocol PROTOCOL_NONE.
 */
bool payload_sa_read(struct bytes body, struct proposal_list *out);
/* The whole payload. Numbers are given from 1 unless the proposal has one; `spi` (spi_len bytes) goes into each. */
void payload_sa_write(struct message_writer *m, const struct proposal_list *list, const void *spi, uint8_t spi_len);
/* The answer: the one chosen proposal. Transforms of type 0 are left out. */
void payload_sa_write_chosen(struct message_writer *m, const struct suite *suite, const void *spi, uint8_t spi_len);

#endif
