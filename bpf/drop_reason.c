/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/own.h"
#include "bpf/sadb.h"

#include <stddef.h>

struct drop_text {
	const char *name;
	const char *severity;
	const char *sentence;
};

static const struct drop_text drop_texts[] = {
#define DROP_TEXT(name, severity, sentence) {#name, #severity, sentence},
	DROP_REASONS(DROP_TEXT)
#undef DROP_TEXT
};

const char *drop_reason_name(enum drop_reason reason)
{
	return (size_t)reason < ARRAY_LEN(drop_texts) ? drop_texts[reason].name : NULL;
}

const char *drop_reason_severity(enum drop_reason reason)
{
	return (size_t)reason < ARRAY_LEN(drop_texts) ? drop_texts[reason].severity : NULL;
}

const char *drop_reason_sentence(enum drop_reason reason)
{
	return (size_t)reason < ARRAY_LEN(drop_texts) ? drop_texts[reason].sentence : NULL;
}
