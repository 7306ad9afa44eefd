/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/effects.h"

#include "agent/base/secret.h"
#include "ike/memory.h"

#include <stdarg.h>
#include <stdio.h>

#define EVENT_TEXT_MAX 4096u

static struct effect_item *append(struct effects *effects, enum effect_kind kind)
{
	struct effect_item *item = memory_new(1, sizeof(*item));

	if (!effects->last)
		effects->last = &effects->first;
	item->effect.kind = kind;
	*effects->last = item;
	effects->last = &item->next;
	return item;
}

static struct bytes own(struct effect_item *item, const void *data, size_t len)
{
	item->owned = memory_copy(data, len);
	item->owned_len = len;
	return (struct bytes){.data = item->owned, .len = len};
}

static const char *keep_name(char kept[static IKE_NAME_MAX], const char *name)
{
	snprintf(kept, IKE_NAME_MAX, "%s", name);
	return kept;
}

void effects_send(
	struct effects *effects, const struct endpoint *local, const struct endpoint *remote, struct bytes bytes)
{
	struct effect_item *item = append(effects, EFFECT_SEND);

	item->effect.send.local = *local;
	item->effect.send.remote = *remote;
	item->effect.send.bytes = own(item, bytes.data, bytes.len);
}

void effects_keepalive(struct effects *effects, const struct endpoint *local, const struct endpoint *remote)
{
	struct effect_item *item = append(effects, EFFECT_KEEPALIVE);

	item->effect.send.local = *local;
	item->effect.send.remote = *remote;
}

void effects_auth(struct effects *effects, uint64_t request, uint16_t prf, const struct ike_id *local,
	const struct ike_id *remote, struct bytes octets)
{
	struct effect_item *item = append(effects, EFFECT_AUTH);

	item->local_id = *local;
	item->remote_id = *remote;
	item->effect.auth.request = request;
	item->effect.auth.method = AUTH_PSK;
	item->effect.auth.prf = prf;
	item->effect.auth.local_id = &item->local_id;
	item->effect.auth.remote_id = &item->remote_id;
	item->effect.auth.octets = own(item, octets.data, octets.len);
}

void effects_install(struct effects *effects, enum effect_kind kind, const struct child_install *install)
{
	struct effect_item *item = append(effects, kind);

	item->effect.install = *install;
	item->effect.install.conn = keep_name(item->conn, install->conn);
	item->effect.install.child = keep_name(item->child, install->child);
	item->remote_id = *install->peer;
	item->effect.install.peer = &item->remote_id;
}

void effects_remove(struct effects *effects, enum effect_kind kind, uint32_t child_id, bool keep_policy)
{
	struct effect_item *item = append(effects, kind);

	item->effect.remove.child_id = child_id;
	item->effect.remove.keep_policy = keep_policy;
}

void effects_move(struct effects *effects, uint32_t child_id, const struct endpoint *local,
	const struct endpoint *remote, bool udp_encap)
{
	struct effect_item *item = append(effects, EFFECT_MOVE);

	item->effect.move.child_id = child_id;
	item->effect.move.local = *local;
	item->effect.move.remote = *remote;
	item->effect.move.udp_encap = udp_encap;
}

void effects_resolve(struct effects *effects, const char *conn)
{
	struct effect_item *item = append(effects, EFFECT_RESOLVE);

	item->effect.resolve.conn = keep_name(item->conn, conn);
}

void effects_event(struct effects *effects, enum ike_event_kind kind, const char *conn, const char *child,
	const struct endpoint *remote, const char *format, ...)
{
	struct effect_item *item = append(effects, EFFECT_EVENT);
	char text[EVENT_TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	item->effect.event.kind = kind;
	item->effect.event.conn = keep_name(item->conn, conn);
	item->effect.event.child = keep_name(item->child, child);
	item->effect.event.remote = *remote;
	item->effect.event.text = (const char *)own(item, text, strlen(text) + 1).data;
}

static void item_free(struct effect_item *item)
{
	if (item->owned) {
		secret_wipe(item->owned, item->owned_len);
		free(item->owned);
	}
	secret_wipe(item, sizeof(*item));
	free(item);
}

void effects_forget(struct effects *effects)
{
	if (effects->given)
		item_free(effects->given);
	effects->given = NULL;
}

bool effects_next(struct effects *effects, struct effect *out)
{
	struct effect_item *item = effects->first;

	effects_forget(effects);
	if (!item)
		return false;
	effects->first = item->next;
	if (!effects->first)
		effects->last = &effects->first;
	effects->given = item;
	*out = item->effect;
	return true;
}

void effects_clear(struct effects *effects)
{
	struct effect discarded;

	while (effects_next(effects, &discarded))
		;
	secret_wipe(&discarded, sizeof(discarded));
	effects_forget(effects);
}
