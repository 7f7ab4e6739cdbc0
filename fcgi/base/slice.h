#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

/* Bytes that belong to somebody else; need not end in NUL. p may be NULL when
 * n is 0. */
struct slice {
	const char *p;
	size_t n;
};

/* printf("%.*s", SLICE_FMT(s)) */
#define SLICE_FMT(s) (int)(s).n, (s).p ? (s).p : ""
#define SLICE_LIT(lit) ((struct slice){ "" lit, sizeof(lit) - 1 })
#define SLICE_NONE ((struct slice){ NULL, 0 })

/* The bytes of a NUL-terminated string, without the NUL; NULL is empty. */
struct slice slice_str(const char *s);
/* The `n` bytes from `p`. */
struct slice slice_mem(const char *p, size_t n);
bool slice_eq(struct slice a, struct slice b);
bool slice_eq_str(struct slice a, const char *s);
/* ASCII case is ignored. */
bool slice_eq_nocase(struct slice a, struct slice b);
bool slice_starts(struct slice s, struct slice prefix);
/* The bytes from `from` on; empty when `from` is past the end. */
struct slice slice_from(struct slice s, size_t from);
/* Without ASCII blanks (space, \t, \r, \n) at either end. */
struct slice slice_trim(struct slice s);
/* No byte has its highest bit set. */
bool slice_is_ascii(struct slice s);
/* Index of the first `c`, or s.n. */
size_t slice_find(struct slice s, char c);

/*
 * slice_u64, slice_i64 - the whole slice as a decimal number (a sign only for
 * i64). False, and `*out` untouched, when it is empty, has any other byte or
 * does not fit.
 */
MUSTUSE bool slice_u64(struct slice s, uint64_t *out);
MUSTUSE bool slice_i64(struct slice s, int64_t *out);

/* The value of a hexadecimal digit, small or capital; -1: it is none. */
int slice_hex_digit(char c);

/* The greatest length <= max that cuts `s` without splitting UTF-8. */
size_t slice_utf8_cut(struct slice s, size_t max);

/*
 * slice_glob - match against a pattern in which `*` stands for any run of
 * bytes; everything else is literal.
 */
bool slice_glob(struct slice s, struct slice pattern);
/* Likewise; ASCII letters match in either case. */
bool slice_glob_nocase(struct slice s, struct slice pattern);

#endif
