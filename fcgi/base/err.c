#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/slice.h"

static void err_text(struct err *err, const char *fmt, va_list ap)
    PRINTF_LIKE(2, 0);

static void
err_text(struct err *err, const char *fmt, va_list ap)
{
	int n = vsnprintf(err->text, sizeof err->text, fmt, ap);

	if (n >= (int)sizeof err->text)
		err->text[slice_utf8_cut(
		    slice_str(err->text), sizeof err->text - 1)] = '\0';
}

enum rc
err_set(struct err *err, enum rc rc, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return rc;
	va_start(ap, fmt);
	err_text(err, fmt, ap);
	va_end(ap);
	err->rc = rc;
	err->code = 0;
	return rc;
}

enum rc
err_set_code(struct err *err, enum rc rc, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return rc;
	va_start(ap, fmt);
	err_text(err, fmt, ap);
	va_end(ap);
	err->rc = rc;
	err->code = code;
	return rc;
}

enum rc
err_wrap(struct err *err, const char *fmt, ...)
{
	char old[ERR_TEXT_MAX];
	va_list ap;
	size_t n;

	if (!err)
		return RC_RETRY;
	memcpy(old, err->text, sizeof old);
	va_start(ap, fmt);
	err_text(err, fmt, ap);
	va_end(ap);
	n = strlen(err->text);
	(void)snprintf(err->text + n, sizeof err->text - n, ": %.*s",
	    (int)(sizeof err->text - 1), old);
	err->text[slice_utf8_cut(slice_str(err->text), sizeof err->text - 1)] =
	    '\0';
	return err->rc;
}

const char *
rc_name(enum rc rc)
{
	switch (rc) {
	case RC_OK:
		return "ok";
	case RC_AGAIN:
		return "again";
	case RC_NONE:
		return "none";
	case RC_RETRY:
		return "retry";
	case RC_REJECT:
		return "reject";
	case RC_FATAL:
		return "fatal";
	}
	return "unknown";
}
