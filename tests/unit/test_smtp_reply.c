#include "formats/smtp_reply.h"

#include <check.h>

static const struct {
	const char *line;
	int code; /* 0: no reply */
	bool last;
	const char *text;
} lines[] = {
	{ "250 ok", 250, true, "ok" },
	{ "250 ok\r\n", 250, true, "ok" },
	{ "250-SIZE 1000\n", 250, false, "SIZE 1000" },
	{ "250", 250, true, "" },
	{ "250\r\n", 250, true, "" },
	{ "250-", 250, false, "" },
	{ "550 5.1.1 who?", 550, true, "5.1.1 who?" },
	{ "220   many blanks  ", 220, true, "many blanks" },
	{ "", 0, false, "" },
	{ "25", 0, false, "" },
	{ "2500 x", 0, false, "" },
	{ "25x ok", 0, false, "" },
	{ "250_ok", 0, false, "" },
	{ "\r\n", 0, false, "" },
	{ " 250 ok", 0, false, "" },
};

START_TEST(a_line_of_a_reply_is_a_code_and_words)
{
	struct slice text = SLICE_LIT("");
	int code = 0;
	bool last = false;
	bool ok =
	    smtp_reply_line(slice_str(lines[_i].line), &code, &last, &text);

	ck_assert_msg(ok == (lines[_i].code != 0), "%s", lines[_i].line);
	ck_assert_int_eq(code, lines[_i].code);
	ck_assert_int_eq(last, lines[_i].last);
	ck_assert(slice_eq_str(text, lines[_i].text));
}
END_TEST

static const struct {
	const char *text;
	unsigned class, subject, detail;
	const char *rest;
} codes[] = {
	{ "5.1.1 who?", 5, 1, 1, "who?" },
	{ "4.7.28 slow", 4, 7, 28, "slow" },
	{ "2.0.0", 2, 0, 0, "" },
	{ "2.0.0  ok", 2, 0, 0, "ok" },
	{ "5.1 who?", 0, 0, 0, "5.1 who?" },
	{ "3.1.1 x", 0, 0, 0, "3.1.1 x" },
	{ "5.1.1x", 0, 0, 0, "5.1.1x" },
	{ "5.1.", 0, 0, 0, "5.1." },
	{ "5..1 x", 0, 0, 0, "5..1 x" },
	{ "5.1.1111 x", 0, 0, 0, "5.1.1111 x" },
	{ "", 0, 0, 0, "" },
	{ "who 5.1.1", 0, 0, 0, "who 5.1.1" },
};

START_TEST(an_enhanced_code_is_three_numbers)
{
	struct slice rest;
	struct smtp_enhanced e =
	    smtp_reply_enhanced(slice_str(codes[_i].text), &rest);

	ck_assert_uint_eq(e.class, codes[_i].class);
	ck_assert_uint_eq(e.subject, codes[_i].subject);
	ck_assert_uint_eq(e.detail, codes[_i].detail);
	ck_assert_msg(slice_eq_str(rest, codes[_i].rest), "%s", codes[_i].text);
}
END_TEST

static const struct {
	enum smtp_stage stage;
	int code;
	const char *text;
	enum smtp_verdict verdict;
	bool limited;
} verdicts[] = {
	{ SMTP_AT_GREETING, 220, "hello", SMTP_ACCEPTED, false },
	{ SMTP_AT_GREETING, 421, "too many connections", SMTP_AWAY, true },
	{ SMTP_AT_GREETING, 554, "no", SMTP_AWAY, false },
	{ SMTP_AT_EHLO, 421, "busy", SMTP_AWAY, false },
	{ SMTP_AT_EHLO, 501, "bad name", SMTP_CONFIG, false },
	{ SMTP_AT_EHLO, 554, "no", SMTP_AWAY, false },
	{ SMTP_AT_TLS, 454, "not now", SMTP_AWAY, false },
	{ SMTP_AT_TLS, 502, "what?", SMTP_CONFIG, false },
	{ SMTP_AT_AUTH, 454, "4.7.0 later", SMTP_AWAY, false },
	{ SMTP_AT_AUTH, 535, "5.7.8 no", SMTP_CONFIG, false },
	{ SMTP_AT_AUTH, 535, "too many logins, try again", SMTP_AWAY, false },
	{ SMTP_AT_AUTH, 334, "", SMTP_AWAY, false },
	{ SMTP_AT_MAIL, 421, "closing", SMTP_TRANSIENT, false },
	{ SMTP_AT_MAIL, 454, "Throttling failure", SMTP_AWAY, true },
	{ SMTP_AT_MAIL, 530, "5.7.0 auth", SMTP_CONFIG, false },
	{ SMTP_AT_MAIL, 550, "sender", SMTP_PERMANENT, false },
	{ SMTP_AT_MAIL, 550, "Your IP is blocked", SMTP_AWAY, false },
	{ SMTP_AT_MAIL, 552, "5.3.4 too big", SMTP_PERMANENT, false },
	{ SMTP_AT_MAIL, 554,
	    "5.7.1 Service unavailable; Client host [x] "
	    "blocked using bl.test",
	    SMTP_AWAY, false },
	{ SMTP_AT_RCPT, 250, "ok", SMTP_ACCEPTED, false },
	{ SMTP_AT_RCPT, 251, "will forward", SMTP_ACCEPTED, false },
	{ SMTP_AT_RCPT, 450, "4.2.0 Greylisted", SMTP_TRANSIENT, false },
	{ SMTP_AT_RCPT, 450, "4.2.1 rate limit", SMTP_TRANSIENT, true },
	{ SMTP_AT_RCPT, 452, "4.5.3 too many recipients", SMTP_TRANSIENT,
	    false },
	{ SMTP_AT_RCPT, 550, "5.1.1 unknown", SMTP_PERMANENT, false },
	{ SMTP_AT_RCPT, 550, "5.4.1 generated", SMTP_PERMANENT, false },
	{ SMTP_AT_RCPT, 552, "5.2.2 over quota", SMTP_TRANSIENT, false },
	{ SMTP_AT_RCPT, 552, "Too Many Recipients", SMTP_TRANSIENT, false },
	{ SMTP_AT_RCPT, 550, "5.5.3 x", SMTP_TRANSIENT, false },
	{ SMTP_AT_RCPT, 550, "Please try again later", SMTP_TRANSIENT, false },
	{ SMTP_AT_RCPT, 535, "auth", SMTP_CONFIG, false },
	{ SMTP_AT_DATA, 451, "later", SMTP_TRANSIENT, false },
	{ SMTP_AT_DATA, 554, "no", SMTP_PERMANENT, false },
	{ SMTP_AT_DATA, 250, "ok?", SMTP_ACCEPTED, false },
	{ SMTP_AT_END, 250, "queued", SMTP_ACCEPTED, false },
	{ SMTP_AT_END, 452, "full", SMTP_TRANSIENT, false },
	{ SMTP_AT_END, 454, "Daily message quota exceeded", SMTP_TRANSIENT,
	    true },
	{ SMTP_AT_END, 550, "spam", SMTP_PERMANENT, false },
	{ SMTP_AT_END, 550, "rated as spam", SMTP_PERMANENT, false },
	{ SMTP_AT_END, 550, "5.7.1 unusual rate of mail", SMTP_TRANSIENT,
	    true },
	{ SMTP_AT_END, 552, "5.3.4 size", SMTP_PERMANENT, false },
	{ SMTP_AT_END, 354, "more?", SMTP_UNKNOWN, false },
	{ SMTP_AT_MAIL, 334, "more?", SMTP_AWAY, false },
	{ SMTP_AT_END, 600, "more?", SMTP_UNKNOWN, false },
};

START_TEST(code_stage_and_words_decide)
{
	bool limited = false;
	enum smtp_verdict v = smtp_reply_verdict(verdicts[_i].stage,
	    verdicts[_i].code, slice_str(verdicts[_i].text), &limited);

	ck_assert_msg(v == verdicts[_i].verdict, "%s %d %s: %s",
	    smtp_stage_name(verdicts[_i].stage), verdicts[_i].code,
	    verdicts[_i].text, smtp_verdict_name(v));
	ck_assert_msg(limited == verdicts[_i].limited, "%s", verdicts[_i].text);
}
END_TEST

Suite *smtp_reply_suite(void);
Suite *
smtp_reply_suite(void)
{
	Suite *s = suite_create("smtp_reply");
	TCase *tc = tcase_create("smtp_reply");

	tcase_add_loop_test(
	    tc, a_line_of_a_reply_is_a_code_and_words, 0, NELEMS(lines));
	tcase_add_loop_test(
	    tc, an_enhanced_code_is_three_numbers, 0, NELEMS(codes));
	tcase_add_loop_test(
	    tc, code_stage_and_words_decide, 0, NELEMS(verdicts));
	suite_add_tcase(s, tc);
	return s;
}
