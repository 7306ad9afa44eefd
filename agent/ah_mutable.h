/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What AH's integrity check sees of the headers in front of it (RFC 4302 3.3.3.1, appendix A): fields that routers
 * change are zero, fields that they change in a known way stand as they arrive. Bounds-safe for any bytes.
 */
#ifndef ESPALIER_AGENT_AH_MUTABLE_H
#define ESPALIER_AGENT_AH_MUTABLE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * `header` is the IP header with its options or extension headers, `len` bytes that end where AH begins; it is changed
 * in place, so the caller keeps a copy of what goes on. No fragment header may be among it. With `outbound`, source
 * routes are turned into what the destination will see: its own address, and the addresses that were passed; ah_seal
 * takes none that are not used up (DROP_SOURCE_ROUTE). False: it cannot be read; the bytes are undefined then.
 */
bool ah_zero_mutable(uint8_t *header, uint32_t len, bool outbound);

#endif
