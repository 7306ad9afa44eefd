/* SPDX-License-Identifier: Apache-2.0 */
/* What AH sees of the headers in front of it: vectors by hand, after RFC 4302 appendix A. */
#include "agent/ah_mutable.h"
#include "tests/unit/esp_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define BASE4	   "b9 0060 1234 4000 40 33 abcd c0000201 c6336402" /* behind version and header length */
#define BASE4_SEEN "00 0060 1234 0000 00 33 0000 c0000201 c6336402"

struct vector {
	const char *what;
	bool outbound;
	const char *header;
	const char *seen; /* NULL: cannot be read */
};

static const struct vector vectors[] = {
	{"the base header", true, "45" BASE4, "45" BASE4_SEEN},
	{"no operation and end of list stay", true, "46" BASE4 "01010100", "46" BASE4_SEEN "01010100"},
	{"what follows the end of the list stays", true, "46" BASE4 "00830403", "46" BASE4_SEEN "00830403"},
	{"router alert stays", true, "46" BASE4 "94040000", "46" BASE4_SEEN "94040000"},
	{"security and commercial security stay", true, "47" BASE4 "8203aa 8604bbcc 00",
		"47" BASE4_SEEN "8203aa 8604bbcc 00"},
	{"extended security and sender directed delivery stay", true, "47" BASE4 "8503aa 9504bbcc 01",
		"47" BASE4_SEEN "8503aa 9504bbcc 01"},
	{"record route is zero as a whole", true, "47" BASE4 "07070401020304 00", "47" BASE4_SEEN "00000000000000 00"},
	{"time stamp and what stays behind it", true, "48" BASE4 "44080500 01020304 94040000",
		"48" BASE4_SEEN "00000000 00000000 94040000"},
	{"traceroute, stream id and unknown options are zero", true, "49" BASE4 "52040102 88040304 de080506 0708090a",
		"49" BASE4_SEEN "00000000 00000000 00000000 00000000"},
	{"a loose source route that is sent: the last address is where it arrives", true,
		"48" BASE4 "830b04 0a000001 0a000002 00",
		"48 00 0060 1234 0000 00 33 0000 c0000201 0a000002"
		"000000 00000000 00000000 00"},
	{"a strict one", true, "47" BASE4 "890704 0a000003 00",
		"47 00 0060 1234 0000 00 33 0000 c0000201 0a000003 000000 00000000 00"},
	{"one that is used up: it has arrived", true, "47" BASE4 "830708 0a000003 00",
		"47" BASE4_SEEN "000000 00000000 00"},
	{"received: the destination is what it is", false, "47" BASE4 "830704 0a000003 00",
		"47" BASE4_SEEN "000000 00000000 00"},
	{"an option longer than the header", true, "46" BASE4 "94050000", NULL},
	{"an option of length 0", true, "46" BASE4 "94000000", NULL},
	{"an option of length 1", true, "46" BASE4 "94010000", NULL},
	{"an option without a length", true, "46" BASE4 "01010194", NULL},
	{"a header length that is not the header's", true, "46" BASE4, NULL},
	{"neither IPv4 nor IPv6", true, "55" BASE4, NULL},
#define BASE6(next)	 "6b912345 0010 " next " 40 20010db8000000000000000000000001 20010db8000000000000000000000002"
#define BASE6_SEEN(next) "60000000 0010 " next " 00 20010db8000000000000000000000001 20010db8000000000000000000000002"
	{"IPv6", true, BASE6("33"), BASE6_SEEN("33")},
	{"router alert of hop-by-hop stays", true, BASE6("00") "33 00 0502 0000 0100",
		BASE6_SEEN("00") "33 00 0502 0000 0100"},
	{"an option that may change: its data is zero", true, BASE6("00") "33 00 3e04 aabbccdd",
		BASE6_SEEN("00") "33 00 3e04 00000000"},
	{"the same among destination options, with Pad1 before it", true, BASE6("3c") "33 00 00 3e03 aabbcc",
		BASE6_SEEN("3c") "33 00 00 3e03 000000"},
	{"two headers", false, BASE6("00") "3c 00 3e04 aabbccdd 33 00 1e04 aabbccdd",
		BASE6_SEEN("00") "3c 00 3e04 00000000 33 00 1e04 aabbccdd"},
	{"an option that ends behind its header", true, BASE6("00") "33 00 1e05 aabbccdd", NULL},
	{"an option without a length", true, BASE6("00") "33 00 0103 000000 1e", NULL},
	{"a header that ends behind AH", true, BASE6("00") "33 01 0104 00000000", NULL},
	{"a fragment header", true, BASE6("2c") "33 00 0000 00000001", NULL},
	{"a header that is none", true, BASE6("11") "33 00 0000 00000001", NULL},
	{"half a header", true, BASE6("00") "33 00 0102", NULL},
	{"a routing header that is sent: as it arrives", true,
		BASE6("2b") "33 04 00 02 00000000 200100000000000000000000000000aa 200100000000000000000000000000bb",
		"60000000 0010 2b 00 20010db8000000000000000000000001 200100000000000000000000000000bb"
		"33 04 00 00 00000000 20010db8000000000000000000000002 200100000000000000000000000000aa"},
	{"one that was visited in part", true,
		BASE6("2b") "33 04 00 01 00000000 200100000000000000000000000000aa 200100000000000000000000000000bb",
		"60000000 0010 2b 00 20010db8000000000000000000000001 200100000000000000000000000000bb"
		"33 04 00 00 00000000 200100000000000000000000000000aa 20010db8000000000000000000000002"},
	{"received: it has arrived", false, BASE6("2b") "33 02 00 00 00000000 200100000000000000000000000000aa",
		BASE6_SEEN("2b") "33 02 00 00 00000000 200100000000000000000000000000aa"},
	{"more segments left than addresses", true, BASE6("2b") "33 02 00 02 00000000 200100000000000000000000000000aa",
		NULL},
	{"half an address", true, BASE6("2b") "33 01 00 01 00000000 2001000000000000", NULL},
	{"a routing header of another type stays", true, BASE6("2b") "33 00 03 01 00000000",
		BASE6_SEEN("2b") "33 00 03 01 00000000"},
};

static void test_vectors(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		uint8_t bytes[128], seen[128], *header;
		size_t len = lab_hex(vectors[i].header, bytes);
		bool read;

		header = malloc(len); /* so that nothing behind it is read unseen */
		memcpy(header, bytes, len);
		read = ah_zero_mutable(header, (uint32_t)len, vectors[i].outbound);
		if (read != (vectors[i].seen != NULL))
			fail_msg("%s: %s", vectors[i].what, read ? "read" : "not read");
		if (vectors[i].seen && (lab_hex(vectors[i].seen, seen) != len || memcmp(header, seen, len) != 0))
			fail_msg("%s: seen otherwise", vectors[i].what);
		free(header);
	}
}

/* Cut anywhere, nothing is read beyond the end. */
static void test_cut(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		uint8_t bytes[128];
		size_t len = lab_hex(vectors[i].header, bytes);

		for (size_t cut = 0; cut < len; cut++) {
			uint8_t *header = malloc(cut ? cut : 1);

			memcpy(header, bytes, cut);
			if (ah_zero_mutable(header, (uint32_t)cut, vectors[i].outbound))
				assert_true(bytes[0] >> 4 == 6 && cut >= 40 && (cut - 40) % 8 == 0);
			free(header);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
