#ifndef BASE_ERRNO_TEXT_H
#define BASE_ERRNO_TEXT_H

#include <stddef.h>

/* glibc's longest message is 50 bytes. */
#define ERRNO_TEXT_LEN 128

/*
 * errno_text - the system's words for an error number, in `buf`: strerror()
 * without the buffer that threads share. Never NULL; an unknown number is
 * "Unknown error N"; what is over `n` (at least 1) bytes is cut. Keeps errno.
 */
const char *errno_text(int code, char *buf, size_t n);

/* The same in a buffer that lives as long as the block around the call. */
#define ERRNO_TEXT(code)                                                       \
	errno_text((code), (char[ERRNO_TEXT_LEN]){ 0 }, ERRNO_TEXT_LEN)

#endif
