#ifndef BASE_CONFIG_INI_H
#define BASE_CONFIG_INI_H

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

/* `key = value` of an INI file, as written, in order. */
struct config_ini_entry {
	const char *key;
	const char *value;
	unsigned line;
	struct config_ini_entry *next;
};

/* `[kind name]`; each heading is a section of its own. */
struct config_ini_section {
	const char *kind;
	const char *name; /* "" where there is none */
	unsigned line;
	size_t nentries;
	struct config_ini_entry *first, *last;
	struct config_ini_section *next;
};

/*
 * config_ini_read - the sections of an INI text, in the arena. RC_REJECT:
 * `name`, line and what is wrong. A comment is `;` or `#` at the start of a
 * line, or `;` after a blank; a value in double quotes may hold one, with \"
 * and \\ for the two characters themselves.
 */
MUSTUSE enum rc config_ini_read(struct slice text, const char *name,
    struct arena *a, struct config_ini_section **out, struct err *err);

#endif
