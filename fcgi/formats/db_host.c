#include "formats/db_host.h"

#include <stdbool.h>
#include <string.h>

static bool
is_v6_byte(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
	       (c >= 'A' && c <= 'F') || c == ':';
}

static bool
keep(char *to, size_t size, struct slice s)
{
	if (s.n >= size || slice_find(s, '\0') < s.n)
		return false;
	if (s.n > 0)
		memcpy(to, s.p, s.n);
	to[s.n] = '\0';
	return true;
}

/* strpos( $host, ':/' ) */
static size_t
find_socket(struct slice s)
{
	for (size_t i = 0; i + 1 < s.n; i++)
		if (s.p[i] == ':' && s.p[i + 1] == '/')
			return i;
	return s.n;
}

/* The digits at the front; what follows is ignored, as by the pattern. */
static bool
leading_port(struct slice s, uint16_t *out)
{
	uint64_t v;
	size_t n = 0;

	while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	if (n == 0)
		return true;
	if (!slice_u64(slice_mem(s.p, n), &v) || v > UINT16_MAX)
		return false;
	*out = (uint16_t)v;
	return true;
}

enum rc
db_host_parse(struct slice text, struct db_host *out, struct err *err)
{
	size_t at = find_socket(text), n = 0, colons = 0;
	struct slice host = slice_mem(text.p, at), rest;
	bool good = true;

	*out = (struct db_host){ .port = 0 };
	if (at < text.n)
		good = keep(
		    out->socket, sizeof out->socket, slice_from(text, at + 1));
	for (size_t i = 0; i < host.n; i++)
		colons += host.p[i] == ':';
	if (colons > 1) {
		if (host.p[0] == '[')
			host = slice_from(host, 1);
		while (n < host.n && is_v6_byte(host.p[n]))
			n++;
		good = good && n > 0;
		rest = slice_from(host, n);
		if (good && slice_starts(rest, SLICE_LIT("]:")))
			good = leading_port(slice_from(rest, 2), &out->port);
	} else {
		while (n < host.n && host.p[n] != ':' && host.p[n] != '/')
			n++;
		rest = slice_from(host, n);
		if (slice_starts(rest, SLICE_LIT(":")))
			good = good &&
			       leading_port(slice_from(rest, 1), &out->port);
	}
	/* PHP's empty(): a host "0" is none. */
	if (n == 1 && host.p[0] == '0')
		n = 0;
	if (!good || !keep(out->host, sizeof out->host, slice_mem(host.p, n)))
		return err_set(err, RC_REJECT,
		    "DB_HOST \"%.*s\" is no host, host:port or host:/socket",
		    SLICE_FMT(text));
	return RC_OK;
}
