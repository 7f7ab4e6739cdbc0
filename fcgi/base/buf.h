#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "base/slice.h"

/*
 * A growing run of bytes with a ceiling. A put that would pass the ceiling, or
 * finds no memory, sets `failed` and changes nothing; later puts do nothing.
 * Build straight through and check `failed` once. `p` is NUL-terminated
 * whenever it is not NULL (the NUL is not counted in `n`).
 */
struct buf {
	char *p;
	size_t n;
	size_t cap;
	size_t max;
	bool failed;
};
#define BUF_INIT(ceiling)                                                      \
	{                                                                      \
		.max = (ceiling)                                               \
	}

/* buf_clear - free the bytes; the ceiling stays, `failed` is reset. */
void buf_clear(struct buf *b);
/* buf_reset - forget the bytes, keep the memory. */
void buf_reset(struct buf *b);
void buf_put(struct buf *b, const void *p, size_t n);
void buf_put_slice(struct buf *b, struct slice s);
void buf_put_str(struct buf *b, const char *s);
void buf_put_char(struct buf *b, char c);
void buf_put_u64(struct buf *b, uint64_t v);
void buf_put_i64(struct buf *b, int64_t v);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
/* Lower-case hexadecimal of `n` bytes. */
void buf_put_hex(struct buf *b, const void *p, size_t n);
/* buf_drop - remove `n` bytes at the front (n <= b->n). */
void buf_drop(struct buf *b, size_t n);
/* Make room for `n` more bytes; false and `failed` when over the ceiling. */
bool buf_reserve(struct buf *b, size_t n);
struct slice buf_slice(const struct buf *b);
/* The text, never NULL ("" when empty). */
const char *buf_str(const struct buf *b);
/* Hand the bytes to the caller (free()), NULL when empty; `b` is empty then. */
char *buf_take(struct buf *b);

#endif
