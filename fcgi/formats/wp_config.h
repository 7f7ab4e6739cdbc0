#ifndef FORMATS_WP_CONFIG_H
#define FORMATS_WP_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/*
 * What a wp-config.php defines, found out without running it: define(),
 * const, and plain variables such as $table_prefix. Literals, concatenation,
 * arithmetic on integers, array literals, getenv(), $_ENV['X'] ?? 'y',
 * dirname(), __DIR__, constants defined before, and conditions made of those
 * are worked out; everything else is "dynamic": PHP alone knows it.
 * The first define of a name wins, as in PHP.
 */
enum wp_config_type {
	WP_CONFIG_NULL,
	WP_CONFIG_BOOL, /* i64 is 0 or 1 */
	WP_CONFIG_INT,
	WP_CONFIG_FLOAT,
	WP_CONFIG_STRING,
	WP_CONFIG_ARRAY,
	WP_CONFIG_DYNAMIC,
};

struct wp_config_item;
struct wp_config_value {
	enum wp_config_type type;
	unsigned line; /* of the definition */
	int64_t i64;
	double f64;
	struct slice text;                  /* NUL-terminated */
	const struct wp_config_item *items; /* in order; NULL: empty */
};

struct wp_config_item {
	struct wp_config_value key;   /* INT or STRING, no key twice */
	struct wp_config_value value; /* may be DYNAMIC */
	struct wp_config_item *next;
};

/* What the reader may ask about the world; every call may be NULL. */
struct wp_config_env {
	void *arg;
	/* The variable, lent; NULL: not set. */
	const char *(*getenv)(void *arg, const char *name);
	/*
	 * The bytes of a file that is included by a literal path, lent until
	 * the read is over. False: it cannot be read; then it is not known
	 * whether it defines a name.
	 */
	bool (*include)(void *arg, const char *path, struct slice *out);
	/* Files that are included by a computed path define nothing new. */
	bool ignore_unknown_includes;
};

struct wp_config;

struct wp_config *wp_config_new(void);
void wp_config_free(struct wp_config *c); /* NULL is fine */

/* Define a constant before reading, as wp-load.php does with ABSPATH. */
void wp_config_define(struct wp_config *c, const char *name, const char *text);

/*
 * wp_config_read - take in the definitions of one file; a further call adds a
 * further file. `path` is what PHP calls __FILE__. RC_REJECT: a string or
 * comment that does not end, nesting too deep, or too large; with the line.
 */
MUSTUSE enum rc wp_config_read(struct wp_config *c, struct slice php,
    const char *path, const struct wp_config_env *env, struct err *err);

/* A constant "DB_NAME" or variable "$table_prefix"; NULL: not defined. */
const struct wp_config_value *wp_config_find(
    const struct wp_config *c, const char *name);

/* The first file included by a path that could not be worked out or read, for
 * messages; NULL: none. *line is its line. */
const char *wp_config_unknown_include(
    const struct wp_config *c, unsigned *line);

/* As PHP converts to string; false for arrays and dynamic values. */
MUSTUSE bool wp_config_text(const struct wp_config_value *v, struct buf *out);
/* As PHP converts to bool; a dynamic value is false. */
bool wp_config_true(const struct wp_config_value *v);

#endif
