/* smtp_talk and smtp_body; the dialogue itself is in test_smtp.py. */
#include "wire/smtp_body.h"
#include "wire/smtp_talk.h"

#include <check.h>

/* ---- what was said ------------------------------------------------------ */

/* "C:" what we say, "S:" what the relay says. */
static bool
play(struct smtp_talk *t, const char *const *script, size_t n)
{
	bool ok = true;

	for (size_t i = 0; ok && i < n; i++)
		if (script[i][0] == 'C')
			smtp_talk_command(t, slice_str(script[i] + 2));
		else
			ok = smtp_talk_line(t, slice_str(script[i] + 2));
	return ok;
}

static const size_t order[] = { 0, 2, 1 };

START_TEST(each_recipient_has_its_reply)
{
	static const char *const script[] = { "S:220 hi", "C:EHLO me\r\n",
		"S:250-relay\r\n", "S:250-AUTH PLAIN\r\n", "S:250 SMTPUTF8",
		"C:MAIL FROM:<a@b>\r\n", "S:250 ok", "C:RCPT TO:<x@y>\r\n",
		"S:250 ok", "C:RCPT TO:<x@y>\r\n", "S:550-5.1.1 who\r\n",
		"S:550 5.1.1 is x@y?", "C:RCPT TO:<x@y>\r\n", "S:450 later",
		"C:DATA\r\n", "S:354 go", "S:250 2.0.0 queued", "C:QUIT\r\n",
		"S:500 whatever" };
	struct smtp_answer each[3];
	struct smtp_talk t;

	smtp_talk_init(&t);
	smtp_talk_begin(&t, each, order, 3);
	ck_assert(play(&t, script, NELEMS(script)));
	ck_assert_int_eq(t.stage, SMTP_AT_END);
	ck_assert(t.answered && t.over && t.offers_auth && t.offers_utf8);
	ck_assert_int_eq(t.code, 250);
	ck_assert_int_eq(each[0].verdict, SMTP_ACCEPTED);
	ck_assert_int_eq(each[1].verdict, SMTP_TRANSIENT);
	ck_assert_int_eq(each[1].code, 450);
	ck_assert_int_eq(each[2].verdict, SMTP_PERMANENT);
	ck_assert_str_eq(each[2].words, "5.1.1 who is x***@y?");
	ck_assert_ptr_eq(smtp_answer_worst(each, 3), &each[1]);
	smtp_talk_clear(&t);
}
END_TEST

START_TEST(an_answer_to_the_command_before_is_not_this_ones)
{
	static const char *const script[] = { "S:220 hi", "C:EHLO me\r\n",
		"S:250 ok", "C:MAIL FROM:<a@b>\r\n" };
	struct smtp_answer each[3];
	struct smtp_talk t;

	smtp_talk_init(&t);
	smtp_talk_begin(&t, each, order, 3);
	ck_assert(play(&t, script, NELEMS(script)));
	ck_assert_int_eq(t.stage, SMTP_AT_MAIL);
	ck_assert(!t.answered);
	smtp_talk_clear(&t);
}
END_TEST

static const struct {
	bool starttls, auth, utf8;
	const char *lines[6];
	bool goes_on;
	enum smtp_verdict verdict; /* if not */
} offers[] = {
	{ false, true, false, { "S:220 hi", "C:EHLO me", "S:250 AUTH LOGIN" },
	    true, 0 },
	{ false, true, false, { "S:220 hi", "C:EHLO me", "S:250 relay" }, false,
	    SMTP_CONFIG },
	{ false, false, true, { "S:220 hi", "C:EHLO me", "S:250 relay" }, false,
	    SMTP_PERMANENT },
	{ false, false, true,
	    { "S:220 hi", "C:EHLO me", "S:250-smtputf8", "S:250 x" }, true, 0 },
	/* AUTH may be offered inside TLS alone. */
	{ true, true, false, { "S:220 hi", "C:EHLO me", "S:250 STARTTLS" },
	    true, 0 },
	{ true, true, false,
	    { "S:220 hi", "C:EHLO me", "S:250 AUTH", "C:STARTTLS", "S:220 go",
		"C:EHLO me" },
	    true, 0 },
	{ false, false, false,
	    { "S:220 hi", "C:EHLO me", "S:502 what?", "C:HELO me", "S:250 ok" },
	    true, 0 },
	{ false, true, false,
	    { "S:220 hi", "C:EHLO me", "S:502 what?", "C:HELO me", "S:250 ok" },
	    false, SMTP_CONFIG },
};

START_TEST(what_is_needed_must_be_offered)
{
	struct smtp_answer each[3];
	struct smtp_talk t;
	size_t n = 0;

	smtp_talk_init(&t);
	t.wants_starttls = offers[_i].starttls;
	t.wants_auth = offers[_i].auth;
	t.wants_utf8 = offers[_i].utf8;
	smtp_talk_begin(&t, each, order, 3);
	while (n < 6 && offers[_i].lines[n])
		n++;
	ck_assert_int_eq(play(&t, offers[_i].lines, n), offers[_i].goes_on);
	if (!offers[_i].goes_on) {
		ck_assert_ptr_nonnull(t.refused);
		ck_assert_int_eq(t.refused_as, offers[_i].verdict);
	}
	smtp_talk_clear(&t);
}
END_TEST

START_TEST(offers_made_before_tls_are_forgotten)
{
	static const char *const script[] = { "S:220 hi", "C:EHLO me",
		"S:250-AUTH PLAIN", "S:250 STARTTLS", "C:STARTTLS", "S:220 go",
		"C:EHLO me" };
	struct smtp_answer each[3];
	struct smtp_talk t;

	smtp_talk_init(&t);
	t.wants_starttls = t.wants_auth = true;
	smtp_talk_begin(&t, each, order, 3);
	ck_assert(play(&t, script, NELEMS(script)));
	ck_assert(!smtp_talk_line(&t, SLICE_LIT("250 relay")));
	smtp_talk_clear(&t);
}
END_TEST

START_TEST(lines_of_auth_are_no_commands)
{
	static const char *const script[] = { "S:220 hi", "C:EHLO me",
		"S:250 AUTH LOGIN", "C:AUTH LOGIN",
		"S:334 VXNlcg==", "C:DATA\r\n",
		"S:334 UGFzcw==", "C:RCPT TO:", "S:535 no" };
	struct smtp_answer each[3];
	struct smtp_talk t;

	smtp_talk_init(&t);
	t.wants_auth = true;
	smtp_talk_begin(&t, each, order, 3);
	ck_assert(play(&t, script, NELEMS(script)));
	ck_assert_int_eq(t.stage, SMTP_AT_AUTH);
	ck_assert_uint_eq(t.nrcpt, 0);
	smtp_talk_clear(&t);
}
END_TEST

START_TEST(a_reply_without_an_end_does_not_grow)
{
	struct smtp_answer each[3];
	struct smtp_talk t;

	smtp_talk_init(&t);
	smtp_talk_begin(&t, each, order, 3);
	for (int i = 0; i < 10000; i++)
		ck_assert(smtp_talk_line(
		    &t, SLICE_LIT("220-a line that says nothing at all")));
	ck_assert(smtp_talk_line(&t, SLICE_LIT("220 end")));
	ck_assert_uint_le(t.text.n, 4096);
	ck_assert(t.answered && !t.text.failed);
	smtp_talk_clear(&t);
}
END_TEST

START_TEST(words_are_one_printable_line_within_their_room)
{
	struct smtp_answer a;
	char words[2000];

	smtp_answer_put(&a, SMTP_PERMANENT, 550, SLICE_LIT(" a\r\n\tb\x1b c "));
	ck_assert_str_eq(a.words, "a b c");
	memset(words, 'x', sizeof words);
	memcpy(words + 505, "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", 9);
	smtp_answer_put(
	    &a, SMTP_PERMANENT, 550, slice_mem(words, sizeof words));
	ck_assert_uint_eq(strlen(a.words), 511);
	words[0] = '@';
	smtp_answer_put(&a, SMTP_PERMANENT, 0, SLICE_LIT(""));
	ck_assert_str_eq(a.words, "");
}
END_TEST

START_TEST(nobody_refused_is_nothing_to_tell)
{
	struct smtp_answer each[2] = { { .verdict = SMTP_ACCEPTED },
		{ .verdict = SMTP_ACCEPTED } };

	ck_assert_ptr_null(smtp_answer_worst(each, 2));
	ck_assert_ptr_null(smtp_answer_worst(each, 0));
	each[1].verdict = SMTP_PERMANENT;
	ck_assert_ptr_eq(smtp_answer_worst(each, 2), &each[1]);
	each[0].verdict = SMTP_CONFIG;
	ck_assert_ptr_eq(smtp_answer_worst(each, 2), &each[0]);
}
END_TEST

/* ---- the bytes ---------------------------------------------------------- */

struct source {
	struct slice left;
	size_t piece;
	bool breaks;
};

static enum rc
source_read(void *arg, char *p, size_t n, size_t *done)
{
	struct source *s = arg;

	if (s->breaks && s->left.n == 0)
		return RC_RETRY;
	*done = s->left.n < n ? s->left.n : n;
	if (*done > s->piece)
		*done = s->piece;
	if (*done > 0)
		memcpy(p, s->left.p, *done);
	s->left = slice_from(s->left, *done);
	return RC_OK;
}

/* libcurl 7.88's upload: it doubles dots and stops when as many bytes as were
 * said are written, whatever is left to read. */
static bool
upload(struct slice text, size_t piece, uint64_t said, size_t room, size_t send,
    struct buf *out)
{
	static struct smtp_body b;
	struct source source = { .left = text, .piece = piece };
	struct smtp_mail m = {
		.size = said, .read = source_read, .arg = &source
	};
	struct buf wire = BUF_INIT(1 << 24);
	char *p = malloc(room);
	uint64_t written = 0;
	bool in_line = false;
	bool done = false;
	size_t n = 0;

	ck_assert_ptr_nonnull(p);
	smtp_body_begin(&b, &m);
	while (
	    !done && (n = smtp_body_read(&b, p, room)) != 0 && n != SIZE_MAX) {
		buf_reset(&wire);
		for (size_t i = 0; i < n; i++) {
			if (p[i] == '.' && !in_line)
				buf_put_char(&wire, '.');
			in_line = p[i] != '\n';
			buf_put_char(&wire, p[i]);
		}
		buf_put(out, p, n);
		while (wire.n > 0) {
			n = wire.n < send ? wire.n : send;
			written += n;
			buf_drop(&wire, n);
			done |= said > 0 && written == said;
		}
	}
	free(p);
	buf_clear(&wire);
	return n != SIZE_MAX && !b.broken && b.ended;
}

static const struct {
	const char *text, *wire;
} bodies[] = {
	{ "", "" },
	{ "a", "a" },
	{ "a\r\n", "a\r\n" },
	{ "a\n", "a\r\n" },
	{ "a\r", "a\r\n" },
	{ "\n\r", "\r\n\r\n" },
	{ "\r\r\n", "\r\n\r\n" },
	{ "\r\n\n", "\r\n\r\n" },
	{ ".\n.\n.", ".\r\n.\r\n." },
	{ "a\r.b\n.c", "a\r\n.b\r\n.c" },
	{ "....\n....\n", "....\r\n....\r\n" },
	{ "\n.\n\n.\n\n\n", "\r\n.\r\n\r\n.\r\n\r\n\r\n" },
};

START_TEST(line_ends_become_crlf_however_the_bytes_come)
{
	struct slice text = slice_str(bodies[_i].text);
	struct buf out = BUF_INIT(1024);

	for (size_t piece = 1; piece < 6; piece++)
		for (size_t said = 0; said < 4; said++)
			for (size_t send = 1; send < 5; send++) {
				uint64_t n = said == 0 ? 0 : text.n + said - 1;

				buf_reset(&out);
				ck_assert_msg(
				    upload(text, piece, n, 40, send, &out),
				    "%d %zu %zu", _i, piece, said);
				ck_assert_str_eq(
				    buf_str(&out), bodies[_i].wire);
			}
	buf_clear(&out);
}
END_TEST

START_TEST(no_mail_is_cut_where_its_doubled_dots_reach_its_size)
{
	struct buf text = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);

	for (int dots = 0; dots < 60; dots++) {
		buf_reset(&text);
		for (int i = 0; i < 3000; i++)
			buf_printf(&text, "%sline %d\r\n",
			    i < dots || i > 3000 - dots ? "." : "", i);
		for (size_t send = 1; send < 4000; send = send * 3 + 1) {
			buf_reset(&out);
			ck_assert(upload(
			    buf_slice(&text), 5000, text.n, 8192, send, &out));
			ck_assert(slice_eq(buf_slice(&text), buf_slice(&out)));
		}
	}
	buf_clear(&text);
	buf_clear(&out);
}
END_TEST

START_TEST(a_mail_of_dots_is_sent_whole_or_not_at_all)
{
	struct buf text = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);

	for (int i = 0; i < 20000; i++)
		buf_put_str(&text, ".\n");
	ck_assert(
	    !upload(buf_slice(&text), SIZE_MAX, text.n, 8192, 8192, &out));
	buf_reset(&out);
	ck_assert(upload(buf_slice(&text), SIZE_MAX, 0, 8192, 8192, &out));
	ck_assert_uint_eq(out.n, 60000);
	buf_clear(&text);
	buf_clear(&out);
}
END_TEST

START_TEST(a_source_that_breaks_off_is_told)
{
	static struct smtp_body b;
	struct source source = {
		.left = SLICE_LIT("abc"), .piece = 2, .breaks = true
	};
	struct smtp_mail m = { .read = source_read, .arg = &source };
	char p[16];

	smtp_body_begin(&b, &m);
	ck_assert(smtp_body_read(&b, p, sizeof p) == SIZE_MAX);
	ck_assert(b.broken && !b.ended);
	ck_assert_int_eq(b.rc, RC_RETRY);
}
END_TEST

Suite *smtp_suite(void);
Suite *
smtp_suite(void)
{
	Suite *s = suite_create("smtp");
	TCase *tc = tcase_create("talk");

	tcase_add_test(tc, each_recipient_has_its_reply);
	tcase_add_test(tc, an_answer_to_the_command_before_is_not_this_ones);
	tcase_add_loop_test(
	    tc, what_is_needed_must_be_offered, 0, NELEMS(offers));
	tcase_add_test(tc, offers_made_before_tls_are_forgotten);
	tcase_add_test(tc, lines_of_auth_are_no_commands);
	tcase_add_test(tc, a_reply_without_an_end_does_not_grow);
	tcase_add_test(tc, words_are_one_printable_line_within_their_room);
	tcase_add_test(tc, nobody_refused_is_nothing_to_tell);
	suite_add_tcase(s, tc);
	tc = tcase_create("body");
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, line_ends_become_crlf_however_the_bytes_come, 0,
	    NELEMS(bodies));
	tcase_add_test(
	    tc, no_mail_is_cut_where_its_doubled_dots_reach_its_size);
	tcase_add_test(tc, a_mail_of_dots_is_sent_whole_or_not_at_all);
	tcase_add_test(tc, a_source_that_breaks_off_is_told);
	suite_add_tcase(s, tc);
	return s;
}
