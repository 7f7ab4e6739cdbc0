/* What the comparison with PHPMailer (tests/compare/mime_mail.php) does not
 * look at: refusals, limits, bytes. */
#include "formats/mime_header.h"
#include "formats/mime_mail.h"

#include <check.h>
#include <string.h>

#define DATE INT64_C(1795324986)

static struct mime_input
input(void)
{
	return (struct mime_input){ .to = SLICE_LIT("anna@to.test"),
		.subject = SLICE_LIT("Hello"),
		.body = SLICE_LIT("Body\n"),
		.default_from_name = SLICE_LIT("Shop"),
		.default_from = SLICE_LIT("shop@site.test"),
		.date = DATE,
		.message_id = SLICE_LIT("<1@site.test>") };
}

static bool
contains(const struct buf *b, const char *what)
{
	size_t n = strlen(what);

	for (size_t i = 0; i + n <= b->n; i++)
		if (memcmp(b->p + i, what, n) == 0)
			return true;
	return false;
}

START_TEST(a_plain_mail_is_these_bytes)
{
	struct mime_input in = input();
	struct mime_mail m;

	ck_assert_int_eq(mime_mail_build(&in, &m, NULL), RC_OK);
	ck_assert_str_eq(buf_str(&m.bytes),
	    "Date: Sun, 22 Nov 2026 05:23:06 +0000\r\n"
	    "From: Shop <shop@site.test>\r\n"
	    "To: anna@to.test\r\n"
	    "Subject: Hello\r\n"
	    "Message-ID: <1@site.test>\r\n"
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: text/plain; charset=UTF-8\r\n"
	    "Content-Transfer-Encoding: 7bit\r\n"
	    "\r\n"
	    "Body\r\n");
	ck_assert_str_eq(buf_str(&m.sender), "shop@site.test");
	ck_assert_uint_eq(m.nrecipients, 1);
	ck_assert(slice_eq_str(m.recipients[0], "anna@to.test"));
	ck_assert_str_eq(buf_str(&m.subject), "Hello");
	mime_mail_clear(&m);
	mime_mail_clear(&m);
}
END_TEST

static const struct {
	const char *to, *subject, *header, *words;
} refused[] = {
	{ "", "x", "X-A: b", "no recipient" },
	{ "nobody", "x", "X-A: b", "no recipient" },
	{ "j\xc3\xb6rg@b.test", "x", "X-A: b", "no recipient" },
	{ "a@b.test\r\nBcc: x@y.test", "x", "X-A: b", "address" },
	{ "A\nB <a@b.test>", "x", "X-A: b", "address" },
	{ "a@b.test", "x", "X-A: b\r\nBcc: x@y.test", "header" },
	{ "a@b.test", "x", "X-A: b\nBcc: x@y.test", "header" },
	{ "a@b.test", "x", "X-A: b\rBcc: x@y.test", "header" },
	{ "a@b.test", "x", "X A: b", "name" },
	{ "a@b.test", "x", "X-\xc3\xa4: b", "name" },
	{ "a@b.test", "x", ": b", "name" },
	{ "a@b.test", "x", "From: nobody", "sender" },
	{ "a@b.test", "x", "From: a@b.test\r\nBcc: x@y.test", "header" },
	{ "a@b.test", "x", "Content-Type: text", "type" },
	{ "a@b.test", "x", "Content-Type: text/\"x\"", "type" },
	{ "a@b.test", "x", "Content-Type: multipart/mixed", "boundary" },
	{ "a@b.test", "x", "Content-Type: message/rfc822", "boundary" },
};

START_TEST(what_would_be_forged_or_broken_is_refused)
{
	struct mime_input in = input();
	struct slice header = slice_str(refused[_i].header);
	struct err err = ERR_INIT;
	struct mime_mail m;

	in.to = slice_str(refused[_i].to);
	in.subject = slice_str(refused[_i].subject);
	in.headers = &header;
	in.nheaders = 1;
	ck_assert_int_eq(mime_mail_build(&in, &m, &err), RC_REJECT);
	ck_assert_msg(strstr(err.text, refused[_i].words), "%s: %s",
	    refused[_i].header, err.text);
	ck_assert_ptr_null(strchr(err.text, '@'));
	ck_assert_uint_eq(m.nrecipients, 0);
	mime_mail_clear(&m);
}
END_TEST

START_TEST(limits_hold)
{
	static struct slice headers[MIME_MAIL_HEADERS + 1];
	static char large[(26 << 20) + 1];
	struct mime_input in = input();
	struct buf to = BUF_INIT(65536);
	struct mime_mail m;

	memset(large, 'x', sizeof large - 1);
	for (size_t i = 0; i < NELEMS(headers); i++)
		headers[i] = SLICE_LIT("X-A: b");
	in.headers = headers;
	in.nheaders = MIME_MAIL_HEADERS;
	ck_assert_int_eq(mime_mail_build(&in, &m, NULL), RC_OK);
	mime_mail_clear(&m);
	in.nheaders++;
	ck_assert_int_eq(mime_mail_build(&in, &m, NULL), RC_REJECT);
	mime_mail_clear(&m);
	in = input();
	for (int i = 0; i < 100; i++)
		buf_printf(&to, "r%d@to.test, R%d@TO.test,", i, i);
	in.to = buf_slice(&to);
	ck_assert_int_eq(mime_mail_build(&in, &m, NULL), RC_OK);
	ck_assert_uint_eq(m.nrecipients, 100);
	mime_mail_clear(&m);
	buf_put_str(&to, "one@more.test");
	in.to = buf_slice(&to);
	ck_assert_int_eq(mime_mail_build(&in, &m, NULL), RC_REJECT);
	mime_mail_clear(&m);
	in = input();
	in.subject = slice_mem(large, 2049);
	ck_assert_int_eq(mime_mail_build(&in, &m, NULL), RC_REJECT);
	mime_mail_clear(&m);
	in = input();
	in.body = slice_mem(large, 26 << 20);
	ck_assert_int_eq(mime_mail_build(&in, &m, NULL), RC_REJECT);
	mime_mail_clear(&m);
	buf_clear(&to);
}
END_TEST

START_TEST(a_word_that_cannot_be_folded_is_refused)
{
	static char value[2000] = "X-A: ";
	struct slice header = slice_mem(value, 1500);
	struct mime_input in = input();
	struct mime_mail m;

	memset(value + 5, 'x', 1495);
	in.headers = &header;
	in.nheaders = 1;
	ck_assert_int_eq(mime_mail_build(&in, &m, NULL), RC_REJECT);
	mime_mail_clear(&m);
}
END_TEST

START_TEST(bcc_is_in_the_envelope_alone)
{
	static const struct slice headers[] = { { "Bcc: B <b@hidden.test>",
						    22 },
		{ "bcc: c@hidden.test, bad", 23 } };
	struct mime_input in = input();
	struct mime_mail m;

	in.headers = headers;
	in.nheaders = 2;
	ck_assert_int_eq(mime_mail_build(&in, &m, NULL), RC_OK);
	ck_assert_uint_eq(m.nrecipients, 3);
	ck_assert(slice_eq_str(m.recipients[1], "b@hidden.test"));
	ck_assert(slice_eq_str(m.recipients[2], "c@hidden.test"));
	ck_assert(!contains(&m.bytes, "hidden"));
	mime_mail_clear(&m);
	in.to = SLICE_LIT("");
	ck_assert_int_eq(mime_mail_build(&in, &m, NULL), RC_OK);
	ck_assert(contains(&m.bytes, "To: undisclosed-recipients:;\r\n"));
	mime_mail_clear(&m);
}
END_TEST

START_TEST(what_is_ours_to_say_is_not_said_twice)
{
	static const struct slice headers[] = { { "To: x@y.test", 12 },
		{ "Subject: other", 14 }, { "Message-ID: <2@x>", 17 },
		{ "Date: today", 11 }, { "Content-Length: 3", 17 },
		{ "Received: x", 11 }, { "Return-Path: <x>", 16 },
		{ "X-Kept: first", 13 }, { "x-kept: last", 12 } };
	struct mime_input in = input();
	struct mime_mail m;

	in.headers = headers;
	in.nheaders = NELEMS(headers);
	ck_assert_int_eq(mime_mail_build(&in, &m, NULL), RC_OK);
	ck_assert(!contains(&m.bytes, "y.test"));
	ck_assert(!contains(&m.bytes, "other"));
	ck_assert(!contains(&m.bytes, "<2@x>"));
	ck_assert(!contains(&m.bytes, "today"));
	ck_assert(!contains(&m.bytes, "Length"));
	ck_assert(!contains(&m.bytes, "Received"));
	ck_assert(!contains(&m.bytes, "Return-Path"));
	ck_assert(!contains(&m.bytes, "first"));
	ck_assert(contains(&m.bytes, "x-kept: last\r\n"));
	mime_mail_clear(&m);
}
END_TEST

START_TEST(a_domain_in_utf8_is_written_in_a_labels)
{
	struct mime_input in = input();
	struct mime_mail m;

	in.to = SLICE_LIT("A <a@b\xc3\xbc"
			  "cher.example>");
	ck_assert_int_eq(mime_mail_build(&in, &m, NULL), RC_OK);
	ck_assert(slice_eq_str(m.recipients[0], "a@xn--bcher-kva.example"));
	ck_assert(contains(&m.bytes, "To: A <a@xn--bcher-kva.example>\r\n"));
	mime_mail_clear(&m);
}
END_TEST

START_TEST(the_same_input_gives_the_same_bytes)
{
	struct mime_attachment a = { .name = SLICE_LIT("../../a.pdf"),
		.bytes = SLICE_LIT("abc") };
	struct mime_input in = input();
	struct mime_mail one, two;

	in.attachments = &a;
	in.nattachments = 1;
	ck_assert_int_eq(mime_mail_build(&in, &one, NULL), RC_OK);
	ck_assert_int_eq(mime_mail_build(&in, &two, NULL), RC_OK);
	ck_assert(slice_eq(buf_slice(&one.bytes), buf_slice(&two.bytes)));
	ck_assert(contains(&one.bytes, "filename=a.pdf"));
	ck_assert(contains(&one.bytes, "Content-Type: application/pdf"));
	mime_mail_clear(&one);
	mime_mail_clear(&two);
}
END_TEST

START_TEST(a_body_made_by_the_caller_keeps_its_boundary)
{
	static const struct slice header = {
		"Content-Type: multipart/alternative; boundary=\"abc\"", 51
	};
	struct mime_input in = input();
	struct mime_mail m;

	in.headers = &header;
	in.nheaders = 1;
	in.body = SLICE_LIT("--abc\n\nHi\n--abc--\n");
	ck_assert_int_eq(mime_mail_build(&in, &m, NULL), RC_OK);
	ck_assert(
	    contains(&m.bytes, "multipart/alternative; boundary=\"abc\"") ||
	    contains(&m.bytes, "multipart/alternative; boundary=abc"));
	ck_assert(contains(&m.bytes, "\r\n\r\n--abc\r\n\r\nHi\r\n--abc--\r\n"));
	mime_mail_clear(&m);
}
END_TEST

/* ---- header fields ------------------------------------------------------ */

static const struct {
	const char *text, *clean;
} lines[] = {
	{ " a\r\nb ", "a b" },
	{ "a\r\n\r\n\tb", "a b" },
	{ "a  b", "a  b" },
	{ "a\x01\x7f"
	  "b",
	    "ab" },
	{ "a\xff"
	  "b",
	    "a\xef\xbf\xbd"
	    "b" },
	{ "", "" },
};

START_TEST(text_of_a_header_is_one_line)
{
	struct buf out = BUF_INIT(1024);

	mime_header_put_clean(&out, slice_str(lines[_i].text));
	ck_assert_str_eq(buf_str(&out), lines[_i].clean);
	buf_clear(&out);
}
END_TEST

START_TEST(encoded_words_fit_their_lines_and_keep_characters_whole)
{
	struct buf text = BUF_INIT(4096), out = BUF_INIT(16384);

	for (size_t n = 1; n < 200; n++) {
		size_t line = 0;

		buf_put_str(
		    &text, n % 3 == 0 ? "\xf0\x9f\x8e\x89" : "a\xc3\xa4");
		buf_reset(&out);
		mime_header_put_text(&out,
		    n % 2 == 0 ? "Subject"
			       : "X-A-Header-With-A-Name-That-Is-Rather-Long-"
				 "For-A-Line",
		    buf_slice(&text));
		for (size_t i = 0; i < out.n; i++) {
			line = out.p[i] == '\n' ? 0 : line + 1;
			ck_assert_uint_le(line, 77); /* with the CR */
		}
	}
	buf_clear(&text);
	buf_clear(&out);
}
END_TEST

static const struct {
	const char *name, *written;
} names[] = {
	{ "", "To: a@b.test\r\n" },
	{ "Ann", "To: Ann <a@b.test>\r\n" },
	{ "Lee, Ann", "To: \"Lee, Ann\" <a@b.test>\r\n" },
	{ "A \"B\" \\", "To: \"A \\\"B\\\" \\\\\" <a@b.test>\r\n" },
	{ "a@b", "To: \"a@b\" <a@b.test>\r\n" },
	{ "J\xc3\xb6rg", "To: =?UTF-8?B?SsO2cmc=?= <a@b.test>\r\n" },
};

START_TEST(a_name_is_quoted_or_encoded_where_it_must)
{
	struct buf out = BUF_INIT(1024);
	struct mime_header_list l;

	mime_header_begin_list(&l, &out, "To");
	mime_header_put_mailbox(
	    &l, slice_str(names[_i].name), SLICE_LIT("a@b.test"));
	mime_header_end_list(&l);
	ck_assert_str_eq(buf_str(&out), names[_i].written);
	buf_clear(&out);
}
END_TEST

Suite *mime_mail_suite(void);
Suite *
mime_mail_suite(void)
{
	Suite *s = suite_create("mime_mail");
	TCase *tc = tcase_create("mime_mail");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_plain_mail_is_these_bytes);
	tcase_add_loop_test(
	    tc, what_would_be_forged_or_broken_is_refused, 0, NELEMS(refused));
	tcase_add_test(tc, limits_hold);
	tcase_add_test(tc, a_word_that_cannot_be_folded_is_refused);
	tcase_add_test(tc, bcc_is_in_the_envelope_alone);
	tcase_add_test(tc, what_is_ours_to_say_is_not_said_twice);
	tcase_add_test(tc, a_domain_in_utf8_is_written_in_a_labels);
	tcase_add_test(tc, the_same_input_gives_the_same_bytes);
	tcase_add_test(tc, a_body_made_by_the_caller_keeps_its_boundary);
	tcase_add_loop_test(tc, text_of_a_header_is_one_line, 0, NELEMS(lines));
	tcase_add_test(
	    tc, encoded_words_fit_their_lines_and_keep_characters_whole);
	tcase_add_loop_test(
	    tc, a_name_is_quoted_or_encoded_where_it_must, 0, NELEMS(names));
	suite_add_tcase(s, tc);
	return s;
}
