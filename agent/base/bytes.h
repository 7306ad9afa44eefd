/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte cursors: the one way this project reads and writes network bytes.
 *
 * A reader never runs past its end: the first read that would sets a sticky error, and from then on every read
 * gives zeroes. The caller reads a whole structure, then asks once (`reader_done`). A writer behaves alike: bytes that
 * do not fit are not written and the error sticks; lengths that are only known later are reserved and filled in. All
 * integers are big endian on the wire, host order in the API.
 */
#ifndef ESPALIER_BASE_BYTES_H
#define ESPALIER_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A borrowed run of bytes. Never owns; `data` may be NULL only if `len` is 0. */
struct bytes {
	const uint8_t *data;
	size_t len;
};

struct reader {
	const uint8_t *pos;
	const uint8_t *end;
	bool error; /* sticky: a read ran past the end */
};

struct writer {
	uint8_t *start;
	uint8_t *pos;
	uint8_t *end;
	bool error; /* sticky: a write did not fit */
};

static inline struct reader reader_of(const void *data, size_t len)
{
	const uint8_t *bytes = data;

	return (struct reader){.pos = bytes, .end = len ? bytes + len : bytes, .error = false};
}

static inline size_t reader_left(const struct reader *r)
{
	return r->error ? 0 : (size_t)(r->end - r->pos);
}

/* Borrow the next `len` bytes; NULL (and the sticky error) if they are not there. */
static inline const uint8_t *read_bytes(struct reader *r, size_t len)
{
	const uint8_t *at = r->pos;

	if (r->error || len > (size_t)(r->end - r->pos)) {
		r->error = true;
		return NULL;
	}
	if (len)
		r->pos += len;
	return at;
}

/* All that is left, as a borrowed run; the reader is then at its end. */
static inline struct bytes read_rest(struct reader *r)
{
	size_t len = reader_left(r);
	const uint8_t *data = read_bytes(r, len);

	return (struct bytes){.data = data, .len = data ? len : 0};
}

static inline uint8_t read_u8(struct reader *r)
{
	const uint8_t *p = read_bytes(r, 1);

	return p ? p[0] : 0;
}

static inline uint16_t read_u16(struct reader *r)
{
	const uint8_t *p = read_bytes(r, 2);

	return (uint16_t)(p ? p[0] << 8 | p[1] : 0);
}

static inline uint32_t read_u32(struct reader *r)
{
	const uint8_t *p = read_bytes(r, 4);

	return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

static inline uint64_t read_u64(struct reader *r)
{
	uint64_t high = read_u32(r);

	return high << 32 | read_u32(r);
}

/* Copy the next `len` bytes to `out`; zeroes if they are not there. */
static inline void read_copy(struct reader *r, void *out, size_t len)
{
	const uint8_t *p = read_bytes(r, len);

	if (!len)
		return;
	if (p)
		memcpy(out, p, len);
	else
		memset(out, 0, len);
}

/* A reader over the next `len` bytes, which this reader skips. An error here is an error there. */
static inline struct reader read_sub(struct reader *r, size_t len)
{
	const uint8_t *p = read_bytes(r, len);

	return (struct reader){.pos = p, .end = p && len ? p + len : p, .error = !p && r->error};
}

/* The mandatory end check: everything was read, and nothing was missing. */
static inline bool reader_done(const struct reader *r)
{
	return !r->error && r->pos == r->end;
}

static inline struct writer writer_of(void *buffer, size_t size)
{
	uint8_t *bytes = buffer;

	return (struct writer){.start = bytes, .pos = bytes, .end = bytes + size, .error = false};
}

static inline size_t writer_len(const struct writer *w)
{
	return (size_t)(w->pos - w->start);
}

/* Room for `len` bytes, to be filled by the caller at once; NULL (and the sticky error) if they do not fit. */
static inline uint8_t *write_space(struct writer *w, size_t len)
{
	uint8_t *at = w->pos;

	if (w->error || len > (size_t)(w->end - w->pos)) {
		w->error = true;
		return NULL;
	}
	w->pos += len;
	return at;
}

static inline void write_bytes(struct writer *w, const void *data, size_t len)
{
	uint8_t *p = len ? write_space(w, len) : NULL;

	if (p)
		memcpy(p, data, len);
}

static inline void write_u8(struct writer *w, uint8_t value)
{
	write_bytes(w, &value, 1);
}

static inline void write_u16(struct writer *w, uint16_t value)
{
	uint8_t b[2] = {(uint8_t)(value >> 8), (uint8_t)value};

	write_bytes(w, b, sizeof(b));
}

static inline void write_u32(struct writer *w, uint32_t value)
{
	write_u16(w, (uint16_t)(value >> 16));
	write_u16(w, (uint16_t)value);
}

static inline void write_u64(struct writer *w, uint64_t value)
{
	write_u32(w, (uint32_t)(value >> 32));
	write_u32(w, (uint32_t)value);
}

/* Reserve a 16-bit length field; `write_length_here` fills it with the distance from `from` to now. */
static inline size_t write_reserve_u16(struct writer *w)
{
	size_t at = writer_len(w);

	write_u16(w, 0);
	return at;
}

static inline void write_length_here(struct writer *w, size_t at, size_t from)
{
	size_t len = writer_len(w) - from;

	if (w->error || len > UINT16_MAX) {
		w->error = true;
		return;
	}
	w->start[at] = (uint8_t)(len >> 8);
	w->start[at + 1] = (uint8_t)len;
}

#endif
