#include "base/xalloc.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static void *
or_die(void *p)
{
	if (p)
		return p;
	(void)fputs("wp-cron-fcgi: out of memory\n", stderr);
	_Exit(EX_SOFTWARE);
}

void *
xcalloc(size_t count, size_t size)
{
	return or_die(calloc(count ? count : 1, size ? size : 1));
}

void *
xrealloc(void *p, size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / size)
		return or_die(NULL);
	return or_die(realloc(p, count && size ? count * size : 1));
}

char *
xstrdup(const char *s)
{
	return xstrndup(slice_str(s));
}

char *
xstrndup(struct slice s)
{
	char *p = xcalloc(s.n + 1, 1);

	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return p;
}
