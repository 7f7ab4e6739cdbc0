/*
 * Cookies that are almost right: a valid one with a few bytes changed is
 * refused, unless what changed is only how its four parts are encoded.
 * WPCRON_MUTATIONS says how many (10,000).
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "formats/auth_cookie.h"

Suite *auth_cookie_mutations_suite(void);

#define NOW 1700000000
#define MUTATIONS 10000
#define CHANGES_MAX 3
#define PHPASS "$P$B3OhrXGpDVvlGIZn0SCIAWnI4wS3bA."
#define SALT "logged-in-key-0123456789logged-in-salt-abcdefghij"
#define MIDDLE "%7C1700172800%7CabcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ%7C"
#define SESSIONS                                                               \
	"a:1:{s:64:\"46a2199782c8827f0ac56f503be9d39e"                         \
	"fee97f40a736b92cc7d7c5f825cfd851\";"                                  \
	"a:1:{s:10:\"expiration\";i:1700172800;}}"

static const char *const good[] = {
	"admin" MIDDLE
	"c93145d2275ad2a4a6cb468bd512389040869bbd6c90592866b91c3fbd02ff4f",
	"jane.doe%40example.test" MIDDLE
	"3931bd642ed6789c6a8b127e3b74ab2c55153d092db69cf7ef02566897c2676a",
};

/* xorshift64: the same cookies in every run. */
static uint64_t state = 88172645463325252;

static size_t
below(size_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (size_t)(state % n);
}

/* ---- one change ------------------------------------------------------- */

static void
insert(struct buf *b, size_t at, const char *p, size_t n)
{
	struct buf tail = BUF_INIT(2 * AUTH_COOKIE_MAX);

	buf_put(&tail, b->p + at, b->n - at);
	b->n = at;
	buf_put(b, p, n);
	buf_put_slice(b, buf_slice(&tail));
	buf_clear(&tail);
}

static void delete (struct buf *b, size_t at, size_t n)
{
	if (n > b->n - at)
		n = b->n - at;
	memmove(b->p + at, b->p + at + n, b->n - at - n);
	b->n -= n;
}

static void
flip_bit(struct buf *b, size_t at)
{
	b->p[at] = (char)(b->p[at] ^ 1 << below(8));
}

static void
put_byte(struct buf *b, size_t at)
{
	char c = (char)below(256);

	insert(b, at, &c, 1);
}

static void
put_mark(struct buf *b, size_t at)
{
	static const char *const marks[] = { "|", "%7C", "%", ";", "=", "+",
		"%20", "'", "\\", "\"", "0", "%00", "-", " ", "%FF", "%" };
	const char *mark = marks[below(NELEMS(marks))];

	insert(b, at, mark, strlen(mark));
}

static void
remove_bytes(struct buf *b, size_t at)
{
	delete (b, at, 1 + below(4));
}

static void
swap_bytes(struct buf *b, size_t at)
{
	size_t with = below(b->n);
	char c = b->p[at];

	b->p[at] = b->p[with];
	b->p[with] = c;
}

static void
cut(struct buf *b, size_t at)
{
	b->n = at;
}

static void
change_case(struct buf *b, size_t at)
{
	for (size_t i = at; i < b->n; i++)
		if ((b->p[i] | 0x20) >= 'a' && (b->p[i] | 0x20) <= 'z') {
			b->p[i] ^= 0x20;
			break;
		}
}

static void
encode(struct buf *b, size_t at)
{
	char text[4];

	(void)snprintf(text, sizeof text, "%%%02x", (unsigned char)b->p[at]);
	delete (b, at, 1);
	insert(b, at, text, 3);
}

static void
repeat(struct buf *b, size_t at)
{
	char text[16];
	size_t n = 1 + below(sizeof text);

	if (n > b->n - at)
		n = b->n - at;
	memcpy(text, b->p + at, n);
	insert(b, below(b->n + 1), text, n);
}

static void (*const changes[])(struct buf *b, size_t at) = { flip_bit, put_byte,
	put_mark, remove_bytes, swap_bytes, cut, change_case, encode, repeat };

/* ---- judgement -------------------------------------------------------- */

/* A copy without a byte behind it, so that a read past the end is seen. */
static enum rc
parse_exactly(const struct buf *text, struct auth_cookie *c)
{
	char *copy = malloc(text->n ? text->n : 1);
	enum rc rc;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text->p, text->n);
	rc = auth_cookie_parse(slice_mem(copy, text->n), c);
	free(copy);
	return rc;
}

static bool
same_parts(const struct auth_cookie *a, const struct auth_cookie *b)
{
	return slice_eq(a->login, b->login) &&
	       slice_eq(a->expiration, b->expiration) &&
	       slice_eq(a->token, b->token) && slice_eq(a->hmac, b->hmac);
}

static bool
accepted(const struct auth_cookie *c)
{
	int64_t expires;
	bool genuine =
	    auth_cookie_verify(c, SLICE_LIT(PHPASS), SLICE_LIT(SALT));
	bool alive = auth_session_alive(c, SLICE_LIT(SESSIONS), NOW, &expires);

	return genuine && alive;
}

static void
mutate(struct buf *text)
{
	size_t n = 1 + below(CHANGES_MAX);

	for (size_t i = 0; i < n && text->n > 0; i++)
		changes[below(NELEMS(changes))](text, below(text->n));
}

START_TEST(mutated_cookies_are_refused)
{
	const char *wanted = getenv("WPCRON_MUTATIONS");
	struct buf text = BUF_INIT(AUTH_COOKIE_MAX);
	struct auth_cookie first, c;
	uint64_t left = MUTATIONS, parsed = 0, same = 0;

	if (wanted)
		ck_assert(slice_u64(slice_str(wanted), &left));
	while (left > 0) {
		const char *from = good[below(NELEMS(good))];
		enum rc rc;

		ck_assert_int_eq(
		    auth_cookie_parse(slice_str(from), &first), RC_OK);
		ck_assert(accepted(&first));
		buf_reset(&text);
		buf_put_str(&text, from);
		mutate(&text);
		rc = parse_exactly(&text, &c);
		if (rc == RC_OK && same_parts(&first, &c)) {
			same++;
			continue;
		}
		left--;
		if (rc != RC_OK)
			continue;
		parsed++;
		ck_assert_msg(
		    !accepted(&c), "%.*s", SLICE_FMT(buf_slice(&text)));
	}
	/* The generator is worth something: not all fail at the first look. */
	ck_assert_uint_gt(parsed, 1000);
	ck_assert_uint_gt(same, 100);
	buf_clear(&text);
}
END_TEST

Suite *
auth_cookie_mutations_suite(void)
{
	Suite *s = suite_create("auth_cookie_mutations");
	TCase *tc = tcase_create("auth_cookie_mutations");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, mutated_cookies_are_refused);
	suite_add_tcase(s, tc);
	return s;
}
