#ifndef FORMATS_PHP_SERIALIZE_H
#define FORMATS_PHP_SERIALIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/ceilings.h"
#include "base/err.h"
#include "base/slice.h"

/*
 * PHP's serialize() format as a tree. Every value knows the bytes it came
 * from (`span`), so that a writer can splice whole values unchanged.
 *
 * Accepted is what PHP 8.2's unserialize() accepts, with these differences:
 * - bytes after the value are an error (PHP 8.2 ignores them, 8.3 warns);
 * - a length or count that does not fit 64 bits is an error (PHP wraps
 *   lengths around, and so reads "O:18446744073709551617" as "O:1");
 * - limits on bytes, members and depth are the caller's;
 * - classes and enums are not looked up: an E: of an enum that PHP does not
 *   know, or an object that its own class refuses, is well-formed here;
 * - what a C: holds is opaque, and so are the numbers of values inside it;
 * - `r:n` is checked against the type slot n was read with, PHP looks at what
 *   a duplicate key may have put there since.
 */
enum php_serialize_type {
	PHP_SERIALIZE_NULL,
	PHP_SERIALIZE_BOOL,
	PHP_SERIALIZE_INT,
	PHP_SERIALIZE_FLOAT,
	PHP_SERIALIZE_STRING,
	PHP_SERIALIZE_ARRAY,
	PHP_SERIALIZE_OBJECT,
	PHP_SERIALIZE_CUSTOM,       /* C: (Serializable) */
	PHP_SERIALIZE_ENUM,         /* E: */
	PHP_SERIALIZE_OBJECT_AGAIN, /* r:n, the same object */
	PHP_SERIALIZE_REFERENCE,    /* R:n, a PHP reference (&) */
};

struct php_serialize_member;

struct php_serialize_value {
	enum php_serialize_type type;
	bool boolean;
	/* INT: the value (out of range: the nearest, as PHP). r, R: n. */
	int64_t integer;
	/* FLOAT: its digits as given. STRING: its bytes. CUSTOM: the payload.
	 * ENUM: "Class:Case". */
	struct slice text;
	struct slice class_name;              /* OBJECT, CUSTOM */
	struct php_serialize_member *members; /* ARRAY, OBJECT, as stored */
	size_t nmembers;
	/* r, R: the value it stands for. Only set by parse. */
	const struct php_serialize_value *target;
	struct slice span; /* bytes in the input; empty when built by hand */
};

struct php_serialize_member {
	bool int_key;
	int64_t index;    /* int_key */
	struct slice key; /* otherwise; a property's with its NUL bytes */
	struct slice key_span;
	struct php_serialize_value value;
};

struct php_serialize_limits {
	size_t bytes;
	size_t elements; /* members of all arrays and objects together */
	unsigned depth;  /* arrays and objects within each other */
};
#define PHP_SERIALIZE_LIMITS                                                   \
	((struct php_serialize_limits){ CEILING_SERIALIZED_BYTES,              \
	    CEILING_SERIALIZED_ELEMENTS, CEILING_SERIALIZED_DEPTH })

/*
 * php_serialize_parse - the tree of exactly the bytes of `in`.
 *
 * Nodes live in `a`; texts point into `in` (strings of the escaped form S:
 * into `a`), so both must outlive `out`, and a reference to the whole leads to
 * `out` where it stands now. RC_REJECT: not the format, or over a
 * limit; the words name the offset. RC_RETRY: no memory.
 */
MUSTUSE enum rc php_serialize_parse(struct slice in,
    const struct php_serialize_limits *limits, struct arena *a,
    struct php_serialize_value *out, struct err *err);

/*
 * A walk over a value whose outer levels the caller knows, for what is too
 * large to be kept as a tree: only what the caller steps into or over is
 * looked at, with the same rules, and nothing is stored.
 *
 *	enter, count times (key, then enter ... leave or value), leave
 *
 * References are counted, not followed: whether `r:n` names an object is not
 * checked. Each step returns RC_OK or as php_serialize_parse(); after another
 * answer than RC_OK the walk is over.
 */
struct php_serialize_walk {
	struct slice in;
	size_t pos; /* the next byte */
	/* Values numbered so far, as r and R count them; the caller may set it
	 * before it begins amid a document. */
	size_t nslots;
	size_t nreferences; /* r and R met, and the lowest number in one */
	uint64_t lowest_reference;
	/* C: met: what they hold may be numbered, too. One that seems to hold
	 * references counts as a reference to 0. */
	size_t ncustom;
	/* Called for each r and R: its number is in.p[from..to). May be NULL.
	 */
	void (*on_reference)(
	    void *ctx, size_t from, size_t to, uint64_t number);
	void *ctx;

	/* The parser's own. */
	bool tree;
	size_t elements_left;
	unsigned depth_left;
	struct arena *arena; /* the bytes of strings in the form S: */
	const struct php_serialize_value **slots;
	size_t slots_cap;
	struct err *err;
};

/* All arguments are lent until the walk is over. */
void php_serialize_walk_init(struct php_serialize_walk *w, struct slice in,
    const struct php_serialize_limits *limits, struct arena *a,
    struct err *err);
/* Does an array come next? */
bool php_serialize_walk_at_array(const struct php_serialize_walk *w);
MUSTUSE enum rc php_serialize_walk_enter(
    struct php_serialize_walk *w, uint64_t *count);
MUSTUSE enum rc php_serialize_walk_leave(struct php_serialize_walk *w);
/* The key of an array's member, into m's key fields. */
MUSTUSE enum rc php_serialize_walk_key(
    struct php_serialize_walk *w, struct php_serialize_member *m);
/* Over one value of any type; arrays and objects come without members. */
MUSTUSE enum rc php_serialize_walk_value(
    struct php_serialize_walk *w, struct php_serialize_value *v);

/*
 * php_serialize_write - append the value as PHP writes it; spans are not
 * looked at, so changed and hand-made trees are fine. write(parse(x)) is x for
 * every x that serialize() wrote; other accepted spellings ("i:+5;",
 * "s:03:", "S:", "a:00:") come out in the normal form. Look at out->failed.
 */
void php_serialize_write(const struct php_serialize_value *v, struct buf *out);

/* Pieces for building text directly. */
void php_serialize_put_int(struct buf *out, int64_t v);
void php_serialize_put_string(struct buf *out, struct slice s);

/*
 * php_serialize_find - the member of an array (or the raw-named one of an
 * object) with that key; the last when it is stored twice, as in PHP. NULL:
 * not there, or `v` has no members. "5" and 5 are one key in an array.
 */
const struct php_serialize_member *php_serialize_find(
    const struct php_serialize_value *v, struct slice key);
const struct php_serialize_member *php_serialize_find_int(
    const struct php_serialize_value *v, int64_t index);
/* What `$v[key] ?? null` is: that member's value, references followed; NULL: it
 * is not there, or null. */
const struct php_serialize_value *php_serialize_at(
    const struct php_serialize_value *v, const char *key);
/* Whether an array takes this text for a number: a decimal in its shortest
 * form. `*out` is untouched if not. */
MUSTUSE bool php_serialize_index(struct slice key, int64_t *out);

/*
 * php_serialize_property - the property `name` of an object, whether it is
 * stored public, protected ("\0*\0name") or private of the object's own class
 * ("\0Class\0name", in any case): unserialize() lets the class decide which it
 * is. A parent's private property is another one. NULL: not there.
 */
const struct php_serialize_value *php_serialize_property(
    const struct php_serialize_value *object, struct slice name);

/* r and R followed to what they stand for; any other value is itself. */
const struct php_serialize_value *php_serialize_deref(
    const struct php_serialize_value *v);

#endif
