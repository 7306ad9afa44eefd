/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of effects: what handlers want done, in order. Each entry owns copies of all that it names. */
#ifndef ESPALIER_IKE_EFFECTS_H
#define ESPALIER_IKE_EFFECTS_H

#include "ike/engine.h"

struct effect_item {
	struct effect_item *next;
	struct effect effect;
	void *owned; /* bytes or text */
	size_t owned_len;
	char conn[IKE_NAME_MAX];
	char child[IKE_NAME_MAX];
	struct ike_id local_id, remote_id;
};

struct effects {
	struct effect_item *first;
	struct effect_item **last; /* where the next one is linked; NULL: `first` */
	struct effect_item *given; /* what engine_next gave out last; wiped by the next call */
};

struct child_sa;
struct conn;

void effects_send(
	struct effects *effects, const struct endpoint *local, const struct endpoint *remote, struct bytes bytes);
void effects_keepalive(struct effects *effects, const struct endpoint *local, const struct endpoint *remote);
void effects_auth(struct effects *effects, uint64_t request, uint16_t prf, const struct ike_id *local,
	const struct ike_id *remote, struct bytes octets);
/* `kind`: EFFECT_INSTALL_IN or EFFECT_INSTALL_OUT. */
void effects_install(struct effects *effects, enum effect_kind kind, const struct child_install *install);
/* `kind`: EFFECT_REMOVE_OUT or EFFECT_REMOVE_IN. */
void effects_remove(struct effects *effects, enum effect_kind kind, uint32_t child_id, bool keep_policy);
void effects_move(struct effects *effects, uint32_t child_id, const struct endpoint *local,
	const struct endpoint *remote, bool udp_encap);
void effects_resolve(struct effects *effects, const char *conn);
/* `conn` and `child` may be "". */
void effects_event(struct effects *effects, enum ike_event_kind kind, const char *conn, const char *child,
	const struct endpoint *remote, const char *format, ...) __attribute__((format(printf, 6, 7)));

/* The next one, which stays valid until the following call of effects_next or effects_forget. */
bool effects_next(struct effects *effects, struct effect *out);
/* Wipe what was given out last. */
void effects_forget(struct effects *effects);
void effects_clear(struct effects *effects);

#endif
