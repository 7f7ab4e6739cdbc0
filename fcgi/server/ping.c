#include "server/ping.h"

#include <stdbool.h>
#include <string.h>

static const struct slice script = { "/wp-cron.php", 12 };

/* 0 to 15, or -1. */
static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The first character of a query's value, decoded; how long it was. */
static char
query_char(struct slice s, size_t *n)
{
	int high, low;

	*n = 1;
	if (s.p[0] != '%' || s.n < 3)
		return s.p[0];
	high = hex_value(s.p[1]);
	low = hex_value(s.p[2]);
	if (high < 0 || low < 0)
		return s.p[0];
	*n = 3;
	return (char)(high * 16 + low);
}

/* Decode a key into `out`; its length, or 0 for what is none. */
static size_t
key_decode(struct slice s, char out[PING_KEY_MAX])
{
	size_t n = 0, dots = 0, step;
	char c;

	for (; s.n > 0; s = slice_from(s, step)) {
		c = query_char(s, &step);
		dots += c == '.';
		if (((c < '0' || c > '9') && c != '.') || dots > 1 ||
		    n == PING_KEY_MAX)
			return 0;
		out[n++] = c;
	}
	/* PHP's empty(): wp-cron.php makes a key of its own then. */
	return n == 1 && out[0] == '0' ? 0 : n;
}

/* As PHP has it, the last of several holds. */
static struct slice
query_value(struct slice query, struct slice name)
{
	struct slice part, found = SLICE_NONE;
	size_t end;

	for (; query.n > 0; query = slice_from(query, end + 1)) {
		end = slice_find(query, '&');
		part = slice_mem(query.p, end);
		if (slice_starts(part, name) &&
		    (part.n == name.n || part.p[name.n] == '='))
			found = slice_from(part, name.n + 1);
	}
	return found;
}

struct slice
ping_host(struct slice http_host, struct slice server_name)
{
	struct slice s = http_host.n > 0 ? http_host : server_name;
	size_t end;

	/* An IPv6 address is full of colons: "[::1]:8080". */
	end = s.n > 0 && s.p[0] == '[' ? slice_find(s, ']') : 0;
	return slice_mem(s.p, end + slice_find(slice_from(s, end), ':'));
}

/* What stands before the script; false: the path does not end with it. */
static bool
path_before(struct slice path, struct slice *out)
{
	if (path.n < script.n ||
	    !slice_eq(slice_from(path, path.n - script.n), script))
		return false;
	*out = slice_mem(path.p, path.n - script.n);
	return true;
}

static struct slice
path_of(const struct ping_params *p)
{
	struct slice s = SLICE_NONE;

	if (!path_before(slice_mem(p->uri.p, slice_find(p->uri, '?')), &s))
		(void)path_before(p->script, &s);
	while (s.n > 0 && s.p[s.n - 1] == '/')
		s.n--;
	return s;
}

void
ping_parse(const struct ping_params *p, struct ping *out)
{
	struct slice value = query_value(p->query, SLICE_LIT("doing_wp_cron"));

	out->text = (struct engine_ping){
		.key = slice_mem(out->key, key_decode(value, out->key)),
		.host = ping_host(p->host, p->server_name),
		.path = path_of(p),
	};
}

void
ping_read(const struct request *r, struct ping *out)
{
	const struct ping_params p = {
		.query = request_param(r, "QUERY_STRING"),
		.host = request_param(r, "HTTP_HOST"),
		.server_name = request_param(r, "SERVER_NAME"),
		.uri = request_param(r, "REQUEST_URI"),
		.script = request_param(r, "SCRIPT_NAME"),
	};

	ping_parse(&p, out);
}
