/*
 * A Cookie header, a log-in cookie's value and stored sessions of any bytes.
 * Input: one byte of choice, then the bytes.
 *
 * A value that is accepted has four parts that encode to one with the same
 * parts; nothing but the right hmac verifies; what is found in a header is a
 * run of its bytes; sessions that are alive still are one second earlier.
 */
#include "formats/auth_cookie.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define NAME "wordpress_logged_in_ea5889fdb264b2a3524c2b184cf4e8ad"
#define PHPASS "$P$B3OhrXGpDVvlGIZn0SCIAWnI4wS3bA."
#define SALT "logged-in-key-0123456789logged-in-salt-abcdefghij"
#define GOOD                                                                   \
	"admin|1700172800|abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ|"        \
	"c93145d2275ad2a4a6cb468bd512389040869bbd6c90592866b91c3fbd02ff4f"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
same(struct slice a, struct slice b)
{
	if (!slice_eq(a, b))
		abort();
}

static void
put_encoded(struct buf *out, struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		buf_put_char(out, '%');
		buf_put_hex(out, s.p + i, 1);
	}
}

/* Written anew it is the same, or over the ceiling as it is written here. */
static void
round_trip(const struct auth_cookie *c)
{
	const struct slice parts[] = { c->login, c->expiration, c->token,
		c->hmac };
	struct buf text = BUF_INIT(3 * AUTH_COOKIE_MAX);
	struct auth_cookie again;

	for (size_t i = 0; i < NELEMS(parts); i++) {
		if (i > 0)
			buf_put_str(&text, "%7C");
		put_encoded(&text, parts[i]);
	}
	if (auth_cookie_parse(buf_slice(&text), &again) == RC_OK) {
		same(again.login, c->login);
		same(again.expiration, c->expiration);
		same(again.token, c->token);
		same(again.hmac, c->hmac);
		if (again.expires != c->expires)
			abort();
	} else if (text.n <= AUTH_COOKIE_MAX) {
		abort();
	}
	buf_clear(&text);
}

static void
try_value(struct slice in)
{
	struct auth_cookie c, good;
	bool accepted;

	if (auth_cookie_parse(in, &c) != RC_OK)
		return;
	round_trip(&c);
	accepted = auth_cookie_verify(&c, SLICE_LIT(PHPASS), SLICE_LIT(SALT));
	if (auth_cookie_parse(SLICE_LIT(GOOD), &good) != RC_OK)
		abort();
	if (accepted && (!slice_eq(c.login, good.login) ||
			    !slice_eq(c.expiration, good.expiration) ||
			    !slice_eq(c.token, good.token)))
		abort();
	if (auth_cookie_verify(&c, SLICE_LIT(""), SLICE_LIT(SALT)))
		abort();
}

static void
try_header(struct slice in)
{
	struct slice out;

	if (!auth_cookie_find(in, SLICE_LIT(NAME), &out))
		return;
	if (out.n > 0 && (out.p < in.p || out.p + out.n > in.p + in.n))
		abort();
	if (slice_find(out, ';') < out.n)
		abort();
	try_value(out);
}

static void
try_sessions(struct slice in)
{
	struct auth_cookie c;
	int64_t expires = 0, again = 0;

	if (auth_cookie_parse(SLICE_LIT(GOOD), &c) != RC_OK)
		abort();
	if (!auth_session_alive(&c, in, 1700000000, &expires))
		return;
	if (expires < 1700000000 ||
	    !auth_session_alive(&c, in, 1699999999, &again) ||
	    again != expires || !auth_session_alive(&c, in, expires, &again))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const tries[])(
	    struct slice) = { try_value, try_header, try_sessions };

	if (size > 0)
		tries[data[0] % NELEMS(tries)](
		    slice_mem((const char *)data + 1, size - 1));
	return 0;
}
