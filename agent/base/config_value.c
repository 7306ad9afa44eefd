/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for single values that need nothing but the value: words, durations, names, addresses. */
#include "agent/base/addr.h"
#include "agent/base/config.h"
#include "agent/base/config_source.h"
#include "agent/base/own.h"

#include <ctype.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#define NAME_MAX_LEN 63u /* IKE_NAME_MAX - 1 */
#define HOST_MAX_LEN 253u
#define PADDING_MAX  9000u /* no frame carries more */

enum value_kind {
	KIND_WORD,
	KIND_DURATION,
	KIND_NAME,
	KIND_LOCAL,
	KIND_REMOTE,
	KIND_INTERFACE,
	KIND_SOCKET,
	KIND_PATH,
	KIND_WINDOW,
	KIND_DSCP,
	KIND_TTL,
	KIND_PADDING,
	KIND_SECRET
};

struct value_rule {
	const char *key;
	enum value_kind kind;
	const char *words; /* KIND_WORD: separated by '|' */
};

static const struct value_rule rules[] = {
	{"auth", KIND_WORD, "psk"},
	{"mode", KIND_WORD, "tunnel|transport|pass|drop"},
	{"df", KIND_WORD, "copy|set|clear"},
	{"flow_label", KIND_WORD, "zero|copy"},
	{"start_action", KIND_WORD, "none|trap|start"},
	{"close_action", KIND_WORD, "none|trap|start"},
	{"dpd_action", KIND_WORD, "clear|trap|restart"},
	{"unique", KIND_WORD, "replace|keep|never"},
	{"tx_engine", KIND_WORD, "auto|xsk|live"},
	{"lend", KIND_WORD, "auto|off"},
	{"xdp_mode", KIND_WORD, "auto|native|generic"},
	{"dispatcher", KIND_WORD, "auto|on|off"},
	{"log_level", KIND_WORD, "error|warn|info|debug"},
	{"rekey_time", KIND_DURATION, NULL},
	{"life_time", KIND_DURATION, NULL},
	{"over_time", KIND_DURATION, NULL},
	{"dpd_delay", KIND_DURATION, NULL},
	{"nat_keepalive", KIND_DURATION, NULL},
	{"name", KIND_NAME, NULL},
	{"local_addrs", KIND_LOCAL, NULL},
	{"remote_addrs", KIND_REMOTE, NULL},
	{"interfaces", KIND_INTERFACE, NULL},
	{"socket", KIND_SOCKET, NULL},
	{"pin_dir", KIND_PATH, NULL},
	{"replay_window", KIND_WINDOW, NULL},
	{"dscp", KIND_DSCP, NULL},
	{"ttl", KIND_TTL, NULL},
	{"tfc_padding", KIND_PADDING, NULL},
	{"secret", KIND_SECRET, NULL},
};

static bool word_in_list(const char *word, const char *list)
{
	size_t len = strlen(word);

	while (len) {
		size_t next = strcspn(list, "|");

		if (next == len && strncmp(list, word, len) == 0)
			return true;
		if (!list[next])
			return false;
		list += next + 1;
	}
	return false;
}

/* "none|trap|start" as "none, trap or start" */
static const char *words_expected(const char *list, char *buffer, size_t size)
{
	size_t at = 0;

	for (const char *word = list; at < size;) {
		size_t len = strcspn(word, "|");
		bool last = !word[len];
		const char *join = word == list ? "" : last ? " or " : ", ";

		at += (size_t)snprintf(buffer + at, size - at, "%s%.*s", join, (int)len, word);
		if (last)
			break;
		word += len + 1;
	}
	return buffer;
}

static bool all_chars(const char *text, const char *besides)
{
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr(besides, *text))
			return false;
	return true;
}

static bool name_is_good(const char *text)
{
	return strlen(text) <= NAME_MAX_LEN && isalnum((unsigned char)text[0]) && all_chars(text, "-_.");
}

static bool host_is_good(const char *text)
{
	return strlen(text) <= HOST_MAX_LEN && isalnum((unsigned char)text[0]) && all_chars(text, "-._") &&
	       strspn(text, "0123456789.") != strlen(text);
}

static bool window_is_good(const char *text)
{
	unsigned long bits = strtoul(text, NULL, 0);

	return bits == 0 || (bits >= 32 && bits <= 8192 && (bits & (bits - 1)) == 0);
}

static bool number_is_within(const char *text, unsigned long min, unsigned long max)
{
	unsigned long number = strtoul(text, NULL, 10);

	return *text && strlen(text) <= 5 && strspn(text, "0123456789") == strlen(text) && number >= min &&
	       number <= max;
}

static bool local_is_good(const char *text)
{
	struct ip_addr addr;

	return strcmp(text, "%any") == 0 || addr_parse(text, &addr);
}

/* "0x" hex and "0s" base64 must be what they say; everything else is the secret itself. */
static bool secret_is_good(const char *text)
{
	size_t len = strlen(text);

	if (strncasecmp(text, "0x", 2) == 0)
		return len > 2 && len % 2 == 0 && strspn(text + 2, "0123456789abcdefABCDEF") == len - 2;
	if (strncasecmp(text, "0s", 2) == 0)
		return len > 2 && (len - 2) % 4 == 0 && all_chars(text, "+/=");
	return true;
}

static bool value_is_good(const struct value_rule *rule, const char *text)
{
	uint64_t ns;

	switch (rule->kind) {
	case KIND_WORD:
		return word_in_list(text, rule->words);
	case KIND_DURATION:
		return config_duration(text, &ns);
	case KIND_NAME:
		return name_is_good(text);
	case KIND_LOCAL:
		return local_is_good(text);
	case KIND_REMOTE:
		return local_is_good(text) || host_is_good(text);
	case KIND_INTERFACE:
		return strlen(text) < IFNAMSIZ && !strpbrk(text, "/ \t:");
	case KIND_SOCKET:
		return text[0] == '/' && strlen(text) < sizeof(((struct sockaddr_un *)NULL)->sun_path);
	case KIND_PATH:
		return text[0] == '/';
	case KIND_WINDOW:
		return window_is_good(text);
	case KIND_DSCP:
		return strcmp(text, "copy") == 0 || number_is_within(text, 0, 63);
	case KIND_TTL:
		return number_is_within(text, 1, 255);
	case KIND_PADDING:
		return strcmp(text, "mtu") == 0 || number_is_within(text, 0, PADDING_MAX);
	case KIND_SECRET:
		return secret_is_good(text);
	}
	return false;
}

static const char *const expected[] = {
	[KIND_DURATION] = "a duration such as 90s, 5m, 1h, 1d or plain seconds",
	[KIND_NAME] = "a name of at most 63 letters, digits, '-', '_' and '.', starting with a letter or digit",
	[KIND_LOCAL] = "an IPv4 or IPv6 address, or %any",
	[KIND_REMOTE] = "an IPv4 or IPv6 address, a host name, or %any",
	[KIND_INTERFACE] = "the name of a network interface",
	[KIND_SOCKET] = "an absolute path of at most 107 characters",
	[KIND_PATH] = "an absolute path",
	[KIND_WINDOW] = "0 (anti-replay off) or a power of two from 32 to 8192",
	[KIND_DSCP] = "copy or a number from 0 to 63",
	[KIND_TTL] = "a number from 1 to 255",
	[KIND_PADDING] = "0 (none), mtu or a number of bytes up to 9000",
	[KIND_SECRET] = "a text, 0x and an even number of hex digits, or 0s and base64",
};

const char *config_value_expected(const char *key, const char *text, char *buffer, size_t size)
{
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		if (strcmp(rules[i].key, key) != 0)
			continue;
		if (value_is_good(&rules[i], text))
			return NULL;
		return rules[i].kind == KIND_WORD ? words_expected(rules[i].words, buffer, size)
						  : expected[rules[i].kind];
	}
	return NULL;
}
