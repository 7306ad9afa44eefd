/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/id.h"

#include <openssl/asn1.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool id_set(struct ike_id *out, uint8_t type, const void *data, size_t len)
{
	if (len == 0 || len > IKE_ID_MAX)
		return false;
	memset(out, 0, sizeof(*out));
	out->type = type;
	out->len = (uint16_t)len;
	memcpy(out->data, data, len);
	return true;
}

void ike_id_of_addr(const struct ip_addr *addr, struct ike_id *out)
{
	id_set(out, addr->family == IP_V4 ? IKE_ID_IPV4 : IKE_ID_IPV6, addr->bytes, addr_len(addr));
}

bool ike_id_parse(const char *text, struct ike_id *out)
{
	static const struct {
		const char *prefix;
		uint8_t type;
	} prefixes[] = {{"fqdn:", IKE_ID_FQDN}, {"dns:", IKE_ID_FQDN}, {"email:", IKE_ID_EMAIL},
		{"rfc822:", IKE_ID_EMAIL}, {"keyid:", IKE_ID_KEY_ID}};
	struct ip_addr addr;

	if (strcmp(text, "%any") == 0) {
		memset(out, 0, sizeof(*out));
		return true;
	}
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		size_t len = strlen(prefixes[i].prefix);

		if (strncasecmp(text, prefixes[i].prefix, len) == 0)
			return id_set(out, prefixes[i].type, text + len, strlen(text + len));
	}
	if (addr_parse(text, &addr)) {
		ike_id_of_addr(&addr, out);
		return true;
	}
	/* strongSwan's and libreswan's "@name": a name that is not looked up. */
	if (text[0] == '@' && text[1] == '@')
		return id_set(out, IKE_ID_EMAIL, text + 2, strlen(text + 2));
	if (text[0] == '@')
		return id_set(out, IKE_ID_FQDN, text + 1, strlen(text + 1));
	if (strchr(text, '=')) /* a distinguished name; taking it for an FQDN would never match */
		return false;
	return id_set(out, strchr(text, '@') ? IKE_ID_EMAIL : IKE_ID_FQDN, text, strlen(text));
}

static bool id_is_text(const struct ike_id *id)
{
	return id->type == IKE_ID_FQDN || id->type == IKE_ID_EMAIL;
}

bool ike_id_equal(const struct ike_id *a, const struct ike_id *b)
{
	if (a->type != b->type || a->len != b->len)
		return false;
	if (id_is_text(a))
		return strncasecmp((const char *)a->data, (const char *)b->data, a->len) == 0;
	return memcmp(a->data, b->data, a->len) == 0;
}

bool ike_id_matches(const struct ike_id *pattern, const struct ike_id *id)
{
	size_t suffix_len;

	if (pattern->type == IKE_ID_ANY)
		return true;
	if (!id_is_text(pattern) || pattern->type != id->type || pattern->len < 2 || pattern->data[0] != '*')
		return ike_id_equal(pattern, id);
	suffix_len = pattern->len - 1u;
	return id->len > suffix_len && strncasecmp((const char *)pattern->data + 1,
					       (const char *)id->data + id->len - suffix_len, suffix_len) == 0;
}

/* Whatever a peer sends must not write escape sequences into a log. */
static void text_escape(const struct ike_id *id, char *out)
{
	for (size_t i = 0; i < id->len; i++)
		out[i] = id->data[i] >= ' ' && id->data[i] <= '~' ? (char)id->data[i] : '?';
	out[id->len] = '\0';
}

/* "CN=gw,O=Example" (RFC 4514); what is no distinguished name stands as text. */
static const char *dn_format(const struct ike_id *id, char out[static IKE_ID_TEXT_LEN])
{
	const unsigned char *der = id->data;
	X509_NAME *name = d2i_X509_NAME(NULL, &der, id->len);
	BIO *text = name ? BIO_new(BIO_s_mem()) : NULL;
	int len = 0;

	if (text && X509_NAME_print_ex(text, name, 0, XN_FLAG_RFC2253) >= 0)
		len = BIO_read(text, out, IKE_ID_TEXT_LEN - 1);
	if (len > 0)
		out[len] = '\0';
	else
		text_escape(id, out);
	BIO_free(text);
	X509_NAME_free(name);
	return out;
}

const char *ike_id_format(const struct ike_id *id, char out[static IKE_ID_TEXT_LEN])
{
	struct ip_addr addr = {.family = id->type == IKE_ID_IPV4 ? IP_V4 : IP_V6};

	if (id->type == IKE_ID_ANY) {
		snprintf(out, IKE_ID_TEXT_LEN, "%%any");
		return out;
	}
	if ((id->type == IKE_ID_IPV4 && id->len == 4) || (id->type == IKE_ID_IPV6 && id->len == 16)) {
		memcpy(addr.bytes, id->data, id->len);
		return addr_format(&addr, out);
	}
	if (id->type == IKE_ID_DN)
		return dn_format(id, out);
	text_escape(id, out);
	return out;
}
