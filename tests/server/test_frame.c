#include <check.h>
#include <string.h>

#include "client.h"
#include "server/frame.h"

#define SUITE(name) Suite *name##_suite(void);
#include "suites.h"
#undef SUITE

#define ROOM ((size_t)1 << 20)

/* A ping whose params stream is `len` bytes of names and values together. */
static void
build_sized(struct buf *b, size_t len)
{
	struct buf pairs = BUF_INIT(ROOM);
	char value[1001];
	size_t n;

	for (; len > 0; len -= n) {
		n = len < 1001 ? len : 1001;
		memset(value, 'x', n);
		value[n - 1] = '\0';
		client_put_pair(&pairs, "N", value);
	}
	client_put_begin(b, 1);
	client_put_params(b, 1, &pairs, 60000);
	client_put_stdin(b, 1, "", 0, true);
	buf_clear(&pairs);
}

START_TEST(every_cut_of_a_request_asks_for_more)
{
	struct buf b = BUF_INIT(ROOM);
	struct frame f;

	client_build(&b, &(struct client_request){ .chunk = 7 });
	for (size_t n = 0; n < b.n; n++)
		ck_assert_int_eq(frame_scan(slice_mem(b.p, n), &f), FRAME_MORE);
	ck_assert_int_eq(frame_scan(buf_slice(&b), &f), FRAME_WHOLE);
	ck_assert_uint_eq(f.id, 1);
	ck_assert_uint_eq(f.n, b.n);
	ck_assert(!f.body_left);
	buf_clear(&b);
}
END_TEST

START_TEST(a_request_is_whole_when_its_body_begins)
{
	struct buf b = BUF_INIT(ROOM);
	struct frame f;

	client_build(
	    &b, &(struct client_request){ .method = "POST", .body = "a=b" });
	ck_assert_int_eq(frame_scan(slice_mem(b.p, b.n - 11), &f), FRAME_WHOLE);
	ck_assert(f.body_left);
	buf_clear(&b);
}
END_TEST

static const struct {
	size_t len;
	enum frame_verdict verdict;
} sizes[] = {
	{ 1, FRAME_WHOLE },
	{ 65535, FRAME_WHOLE },
	{ 65536, FRAME_WHOLE },
	{ 65537, FRAME_TOO_LARGE },
	{ 200000, FRAME_TOO_LARGE },
};

START_TEST(params_are_held_against_the_ceiling)
{
	struct buf b = BUF_INIT(ROOM);
	struct frame f;

	build_sized(&b, sizes[_i].len);
	ck_assert_int_eq(frame_scan(buf_slice(&b), &f), (int)sizes[_i].verdict);
	buf_clear(&b);
}
END_TEST

/* Records by hand: head, then what is there of the content. */
#define BEGIN                                                                  \
	"\1\1\0\1\0\10\0\0"                                                    \
	"\0\1\0\0\0\0\0\0"
#define ROW(bytes, verdict)                                                    \
	{                                                                      \
		{ bytes, sizeof(bytes) - 1 }, verdict                          \
	}
static const struct {
	struct slice bytes;
	enum frame_verdict verdict;
} oddities[] = {
	ROW("", FRAME_MORE),
	ROW("\1", FRAME_MORE),
	ROW("\2", FRAME_BAD),
	ROW("GET / HTTP/1.1\r\n\r\n", FRAME_BAD),
	/* BEGIN for id 0, of a wrong length, for an authorizer */
	ROW("\1\1\0\0\0\10\0\0"
	    "\0\1\0\0\0\0\0\0",
	    FRAME_BAD),
	ROW("\1\1\0\1\0\4\0\0"
	    "\0\1\0\0",
	    FRAME_BAD),
	ROW("\1\1\0\1\0\10\0\0"
	    "\0\2\0\0\0\0\0\0",
	    FRAME_BAD),
	/* padding, with which libfcgi loses its place */
	ROW("\1\1\0\1\0\10\2\0"
	    "\0\1\0\0\0\0\0\0"
	    "\0\0",
	    FRAME_BAD),
	/* a second BEGIN, another request's params, an abort, a query */
	ROW(BEGIN BEGIN, FRAME_BAD),
	ROW(BEGIN "\1\4\0\2\0\0\0\0", FRAME_BAD),
	ROW(BEGIN "\1\2\0\1\0\0\0\0", FRAME_BAD),
	ROW("\1\11\0\0\0\0\0\0", FRAME_BAD),
	/* lengths of 2 GiB in a few bytes; libfcgi would allocate them */
	ROW(BEGIN "\1\4\0\1\0\10\0\0"
		  "\377\377\377\376\377\377\377\376",
	    FRAME_TOO_LARGE),
	ROW(BEGIN "\1\4\0\1\0\5\0\0"
		  "\1\200\1\0\1",
	    FRAME_TOO_LARGE),
	/* the stream ends inside a length, and inside a value */
	ROW(BEGIN "\1\4\0\1\0\1\0\0"
		  "\1"
		  "\1\4\0\1\0\0\0\0",
	    FRAME_BAD),
	ROW(BEGIN "\1\4\0\1\0\3\0\0"
		  "\1\4N"
		  "\1\4\0\1\0\0\0\0",
	    FRAME_BAD),
	/* a body before the params have ended */
	ROW(BEGIN "\1\5\0\1\0\0\0\0", FRAME_BAD),
	/* no params at all */
	ROW(BEGIN "\1\4\0\1\0\0\0\0"
		  "\1\5\0\1\0\0\0\0",
	    FRAME_WHOLE),
	/* an empty pair, padding */
	ROW(BEGIN "\1\4\0\1\0\2\3\0"
		  "\0\0"
		  "zzz"
		  "\1\4\0\1\0\0\0\0"
		  "\1\5\0\1\0\0\0\0",
	    FRAME_WHOLE),
};

START_TEST(odd_bytes_get_the_right_verdict)
{
	struct frame f;

	ck_assert_int_eq(
	    frame_scan(oddities[_i].bytes, &f), (int)oddities[_i].verdict);
}
END_TEST

START_TEST(more_records_than_can_be_looked_at_are_too_large)
{
	struct buf b = BUF_INIT(ROOM), pairs = BUF_INIT(ROOM);
	struct frame f;

	for (int i = 0; i < 20000; i++)
		client_put_pair(&pairs, "a", "");
	client_put_begin(&b, 1);
	client_put_params(&b, 1, &pairs, 1);
	ck_assert_int_eq(
	    frame_scan(slice_mem(b.p, FRAME_LOOK_MAX), &f), FRAME_TOO_LARGE);
	buf_clear(&b);
	buf_clear(&pairs);
}
END_TEST

START_TEST(a_refusal_is_a_whole_answer)
{
	unsigned char out[FRAME_REFUSAL_MAX];
	size_t n = frame_refusal(0x1234, "431 Too Large", out);

	ck_assert_uint_le(n, sizeof(out));
	ck_assert_uint_eq(out[1], 6);
	ck_assert_uint_eq(out[2], 0x12);
	ck_assert_uint_eq(out[3], 0x34);
	ck_assert_uint_eq(out[n - 15], 3);
	ck_assert_mem_eq(out + 8, "Status: 431 Too Large\r\n", 23);
}
END_TEST

Suite *
frame_suite(void)
{
	Suite *s = suite_create("frame");
	TCase *t = tcase_create("frame");

	tcase_add_test(t, every_cut_of_a_request_asks_for_more);
	tcase_add_test(t, a_request_is_whole_when_its_body_begins);
	tcase_add_loop_test(
	    t, params_are_held_against_the_ceiling, 0, (int)NELEMS(sizes));
	tcase_add_loop_test(
	    t, odd_bytes_get_the_right_verdict, 0, (int)NELEMS(oddities));
	tcase_add_test(t, more_records_than_can_be_looked_at_are_too_large);
	tcase_add_test(t, a_refusal_is_a_whole_answer);
	suite_add_tcase(s, t);
	return s;
}
