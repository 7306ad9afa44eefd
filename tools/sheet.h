/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands print for people: headed blocks of aligned "label: value" lines on stdout; bold and coloured on a
 * terminal only. */
#ifndef ESPALIER_TOOLS_SHEET_H
#define ESPALIER_TOOLS_SHEET_H

enum sheet_colour { SHEET_PLAIN, SHEET_GOOD, SHEET_NOTE, SHEET_BAD, SHEET_FAINT };

/* Decide about colours: stdout is a terminal, and NO_COLOR (no-color.org) and TERM=dumb do not forbid. Call once,
 * first. */
void sheet_init(void);

/* "kind: name" that starts a block; an empty line stands between blocks. `name` is made safe for the terminal. */
void sheet_block(const char *kind, enum sheet_colour colour, const char *name);

/* "  label:     value" in the block. The value is made safe for the terminal. */
void sheet_field(const char *label, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sheet_field_coloured(const char *label, enum sheet_colour colour, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A bare piece of a line, for tables. */
void sheet_cell(enum sheet_colour colour, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sheet_end_row(void);

/* The next block is the first again: no empty line before it (a new picture of --watch). */
void sheet_restart(void);

/* Clear the terminal; nothing if stdout is none. */
void sheet_clear_screen(void);

#endif
