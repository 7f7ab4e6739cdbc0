#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/macros.h"

/* What the caller may do next: "again or never", decided close to the cause. */
enum rc {
	RC_OK = 0,
	RC_AGAIN,  /* nothing wrong: needs more bytes or another event */
	RC_NONE,   /* nothing there */
	RC_RETRY,  /* this attempt failed, the same call may succeed later */
	RC_REJECT, /* this input never can; keep the reason */
	RC_FATAL,  /* this process must not go on */
};

#define ERR_TEXT_MAX 512

/* The words of an error. Owned by the caller; ERR_INIT is "no error". */
struct err {
	enum rc rc;
	int code; /* errno, MySQL or curl number; 0 when there is none */
	char text[ERR_TEXT_MAX];
};
#define ERR_INIT                                                               \
	{                                                                      \
		.rc = RC_OK                                                    \
	}

/*
 * err_set - record why, and return `rc` so that a caller can
 * `return err_set(err, RC_RETRY, "...")`. `err` may be NULL. The text is cut
 * at ERR_TEXT_MAX - 1 bytes, never inside a UTF-8 sequence.
 */
enum rc err_set(struct err *err, enum rc rc, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* err_set with a number (errno, MySQL error, CURLcode). */
enum rc err_set_code(struct err *err, enum rc rc, int code, const char *fmt,
    ...) PRINTF_LIKE(4, 5);

/* err_wrap - put "what: " before the text that is there; returns err->rc. */
enum rc err_wrap(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* "ok", "again", "none", "retry", "reject", "fatal"; for logs. */
const char *rc_name(enum rc rc);

#endif
