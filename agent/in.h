/* SPDX-License-Identifier: Apache-2.0 */
/* One ESP packet, from the network to the host behind us. */
#ifndef ESPALIER_AGENT_IN_H
#define ESPALIER_AGENT_IN_H

#include "agent/worker.h"

/* META_ESP_IN: frame->data is the link header. Fate as in worker.h. */
enum drop_reason in_packet(struct worker *worker, struct frame *frame);

#endif
