/* SPDX-License-Identifier: Apache-2.0 */
/* The exchanges (RFC 7296 1.2 to 1.4): handlers of the transition table, and what they share. */
#ifndef ESPALIER_IKE_EXCHANGE_H
#define ESPALIER_IKE_EXCHANGE_H

#include "ike/child_sa.h"
#include "ike/ike_sa.h"
#include "ike/message.h"
#include "ike/payload/notify.h"
#include "ike/transition.h"

struct conn;

/* A message that is being written. */
struct outbox {
	struct message_writer m;
	bool response;
	uint8_t exchange;
	uint8_t buffer[IKE_MESSAGE_MAX];
};

/* retransmit.c: begin an encrypted message; write payloads to box->m; send it. Requests are sent again until answered;
 * responses are kept. */
void request_begin(struct ike_sa *sa, struct outbox *box, uint8_t exchange);
void request_send(struct ike_sa *sa, struct outbox *box, uint64_t now);
void response_begin(struct ike_sa *sa, struct outbox *box, uint8_t exchange);
void response_send(struct ike_sa *sa, struct outbox *box);
/* A response with this one notify. */
void response_notify(struct ike_sa *sa, uint8_t exchange, enum notify notify, const void *data, size_t len);
/* Clear requests: IKE_SA_INIT. */
void request_send_clear(struct ike_sa *sa, struct bytes message, uint64_t now);
void request_clear(struct ike_sa *sa);
/* The retransmission timer fired: again, or (false) the peer is dead. */
bool request_again(struct ike_sa *sa, uint64_t now);
/* Start the next exchange that is wanted, if none is in flight. */
void exchange_next(struct ike_sa *sa, uint64_t now);
/* Close without waiting for what is in flight: DELETE goes out at once if there is a peer to tell, else the SA is over.
 */
void exchange_close_now(struct ike_sa *sa, uint64_t now);

/* exchange_init.c */
void exchange_dial(struct conn *conn, uint64_t now);
void exchange_init_request(struct ike_engine *engine, const struct endpoint *local, const struct endpoint *remote,
	const struct ike_message *message, uint64_t now);
/* An unprotected answer of one notify: IKE_SA_INIT errors, INVALID_MAJOR_VERSION. */
void exchange_refuse(struct ike_engine *engine, const struct endpoint *local, const struct endpoint *remote,
	const struct ike_header *header, enum notify notify, const void *data, size_t len);
enum verdict init_dial(struct ike_sa *sa, const struct input_data *in);
enum verdict init_request(struct ike_sa *sa, const struct input_data *in);
enum verdict init_response(struct ike_sa *sa, const struct input_data *in);

/* exchange_auth.c */
enum verdict auth_ask_own(struct ike_sa *sa);
enum verdict auth_send(struct ike_sa *sa, const struct input_data *in);
enum verdict auth_request(struct ike_sa *sa, const struct input_data *in);
enum verdict auth_check_request(struct ike_sa *sa, const struct input_data *in);
enum verdict auth_answer(struct ike_sa *sa, const struct input_data *in);
enum verdict auth_response(struct ike_sa *sa, const struct input_data *in);
enum verdict auth_check_response(struct ike_sa *sa, const struct input_data *in);

/* exchange_child.c */
void child_request_create(struct ike_sa *sa, uint32_t index, uint64_t now);
void child_request_rekey(struct ike_sa *sa, struct child_sa *old, uint64_t now);
enum verdict child_request(struct ike_sa *sa, const struct input_data *in);
enum verdict child_response(struct ike_sa *sa, const struct input_data *in);

/* exchange_rekey.c: the IKE SA */
void rekey_request_send(struct ike_sa *sa, uint64_t now);
void rekey_request(struct ike_sa *sa, const struct input_data *in);
enum verdict rekey_response(struct ike_sa *sa, const struct input_data *in);
enum verdict rekey_inherit(struct ike_sa *sa, const struct input_data *in);
enum verdict rekey_replace(struct ike_sa *sa, const struct input_data *in);

/* exchange_info.c */
void info_send_child_delete(struct ike_sa *sa, struct child_sa *child, uint64_t now);
void info_send_probe(struct ike_sa *sa, uint64_t now);
enum verdict info_send_ike_delete(struct ike_sa *sa, const struct input_data *in);
enum verdict info_request(struct ike_sa *sa, const struct input_data *in);
enum verdict info_response(struct ike_sa *sa, const struct input_data *in);

/* nat.c (RFC 7296 2.23) */
void nat_write_detection(struct message_writer *m, const struct ike_sa *sa, uint64_t spi_i, uint64_t spi_r);
void nat_read_detection(struct ike_sa *sa, const struct ike_message *message);

/* cookie.c (RFC 7296 2.6) */
#define COOKIE_LEN 33u /* version of the secret, then 32 bytes of HMAC */
bool cookie_make(struct ike_engine *engine, const struct endpoint *remote, uint64_t spi_i, struct bytes ni,
	uint64_t now, uint8_t out[static COOKIE_LEN]);
bool cookie_valid(struct ike_engine *engine, const struct endpoint *remote, uint64_t spi_i, struct bytes ni,
	struct bytes cookie, uint64_t now);

/* negotiate.c: what a CHILD SA's payloads say */
/* Our offer: SA (KE only if `group`), and with `nonce` Ni and KE; TSi and TSr. */
void child_write_offer(
	struct message_writer *m, const struct child_sa *child, const struct dh *dh, const uint8_t *nonce);
/* AH and a NAT between: reported, not to be offered or taken. */
bool child_is_barred(struct ike_sa *sa, uint32_t index);
/* Responder: config, suite and selectors for the peer's offer. NOTIFY_NONE: `child` was made. */
enum notify child_choose(struct ike_sa *sa, const struct ike_message *message, const struct child_sa *old, bool in_auth,
	struct child_sa **out);
void child_write_answer(
	struct message_writer *m, const struct child_sa *child, const struct dh *dh, const uint8_t *nonce);
/* Initiator: the peer's answer. False: it is not what we offered. */
bool child_accept(struct child_sa *child, const struct ike_message *message, bool in_auth);
/* Keys; `shared` empty without PFS. */
bool child_derive(struct child_sa *child, struct bytes shared, struct bytes ni, struct bytes nr, bool initiator);
struct proposal_list proposals_without_ke(const struct proposal_list *list);
/* The KE group of our most preferred proposal; KE_NONE: it has none. */
uint16_t proposals_first_ke(const struct proposal_list *list);
bool proposals_have_ke(const struct proposal_list *list, uint16_t group);
/* The list with `group` as the first choice, so that a retry after INVALID_KE_PAYLOAD is consistent. */

#endif
