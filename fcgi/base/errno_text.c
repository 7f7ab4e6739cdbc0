#include "base/errno_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *
errno_text(int code, char *buf, size_t n)
{
	int saved = errno;

	buf[0] = '\0';
	if (strerror_r(code, buf, n) != 0 && !buf[0])
		(void)snprintf(buf, n, "Unknown error %d", code);
	errno = saved;
	return buf;
}
