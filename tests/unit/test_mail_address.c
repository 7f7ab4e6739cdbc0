#include "formats/mail_address.h"

#include <check.h>

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define L63 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static const struct {
	const char *address;
	const char *written; /* NULL: it is none */
} rows[] = {
	{ "a@b.test", "a@b.test" },
	{ "Anna.Lee+tag@Example.ORG", "Anna.Lee+tag@Example.ORG" },
	{ "o'neil!#$%&*+-/=?^_`{|}~@b.test",
	    "o'neil!#$%&*+-/=?^_`{|}~@b.test" },
	{ "root@localhost", "root@localhost" },
	{ "a..b.@b.test", "a..b.@b.test" },
	{ "a@b\xc3\xbc"
	  "cher.example",
	    "a@xn--bcher-kva.example" },
	{ "a@\xe4\xbe\x8b\xe3\x81\x88.test", "a@xn--r8jz45g.test" },
	{ "j\xc3\xb6rg@b.test", "j\xc3\xb6rg@b.test" },
	{ "a@xn--bcher-kva.example", "a@xn--bcher-kva.example" },
	{ A64 "@b.test", A64 "@b.test" },
	{ A64 "a@b.test", NULL },
	{ "a@" L63 ".test", "a@" L63 ".test" },
	{ "a@b" L63 ".test", NULL },
	{ A64 "@" L63 "." L63 "." L63 ".test", NULL },
	{ "", NULL },
	{ "a", NULL },
	{ "@", NULL },
	{ "a@", NULL },
	{ "@b.test", NULL },
	{ "a@b@c.test", NULL },
	{ "a b@c.test", NULL },
	{ " a@c.test", NULL },
	{ "a@c.test ", NULL },
	{ "a@c..test", NULL },
	{ "a@.c.test", NULL },
	{ "a@c.test.", NULL },
	{ "a@-c.test", NULL },
	{ "a@c-.test", NULL },
	{ "a@c_d.test", NULL },
	{ "a@[127.0.0.1]", NULL },
	{ "<a@b.test>", NULL },
	{ "a,b@c.test", NULL },
	{ "a;b@c.test", NULL },
	{ "a:b@c.test", NULL },
	{ "a\\b@c.test", NULL },
	{ "a(b)@c.test", NULL },
	{ "\"a\"@c.test", NULL },
	{ "a@b.test\r\nRCPT TO:<x@y.test>", NULL },
	{ "a\r@b.test", NULL },
	{ "a\t@b.test", NULL },
	{ "a\x7f@b.test", NULL },
	{ "a\xc2\x85@b.test", NULL },
	{ "a\xff@b.test", NULL },
	{ "a@b\xff.test", NULL },
	{ "a@b\xe2\x80\xa8.test", NULL },
};

START_TEST(an_address_is_written_or_refused)
{
	struct buf out = BUF_INIT(1024);
	bool ok = mail_address_put(&out, slice_str(rows[_i].address));

	ck_assert_msg(ok == (rows[_i].written != NULL), "%s", rows[_i].address);
	ck_assert_str_eq(
	    buf_str(&out), rows[_i].written ? rows[_i].written : "");
	buf_clear(&out);
}
END_TEST

START_TEST(a_nul_is_never_part_of_an_address)
{
	static const char *const bad[] = { "a\0@b.test", "a@b\0.test",
		"a@b.test\0", "a@b\xc3\xbc\0.test" };
	static const size_t sizes[] = { 9, 9, 9, 11 };
	struct buf out = BUF_INIT(1024);

	for (size_t i = 0; i < NELEMS(bad); i++)
		ck_assert(!mail_address_put(&out, slice_mem(bad[i], sizes[i])));
	ck_assert_uint_eq(out.n, 0);
	buf_clear(&out);
}
END_TEST

START_TEST(a_domain_is_what_follows_the_last_at)
{
	ck_assert(
	    slice_eq_str(mail_address_domain(SLICE_LIT("a@B.test")), "B.test"));
	ck_assert(slice_eq_str(
	    mail_address_domain(SLICE_LIT("a@b@c.test")), "c.test"));
	ck_assert(slice_eq_str(mail_address_domain(SLICE_LIT("a@")), ""));
	ck_assert(slice_eq_str(mail_address_domain(SLICE_LIT("a")), ""));
	ck_assert(slice_eq_str(mail_address_domain(SLICE_LIT("")), ""));
}
END_TEST

static const struct {
	const char *text, *masked;
} masks[] = {
	{ "anna@site.test", "a***@site.test" },
	{ "550 <anna.lee@site.test>: who is anna.lee@site.test?",
	    "550 <a***@site.test>: who is a***@site.test?" },
	{ "a@b@c", "a***@b***@c" },
	{ "@site.test and a@", "@site.test and a***@" },
	{ "\"anna lee\"@site.test", "\"***@site.test" },
	{ "to=<bounce+anna=else.test@site.test>", "to=<b***@site.test>" },
	{ "\xc3\xb6rg@site.test", "\xc3\xb6***@site.test" },
	{ "mailto:x@y,z@y", "mailto:x***@y,z***@y" },
	{ "nothing here", "nothing here" },
	{ "", "" },
	{ "@", "@" },
	{ "\"@x", "\"@x" },
};

START_TEST(every_address_in_a_text_is_masked)
{
	struct buf out = BUF_INIT(1024);

	mail_text_put_masked(&out, slice_str(masks[_i].text));
	ck_assert_str_eq(buf_str(&out), masks[_i].masked);
	buf_clear(&out);
}
END_TEST

START_TEST(an_address_is_masked)
{
	struct buf out = BUF_INIT(1024);

	mail_address_put_masked(&out, SLICE_LIT("anna@site.test"));
	ck_assert_str_eq(buf_str(&out), "a***@site.test");
	buf_reset(&out);
	mail_address_put_masked(&out, SLICE_LIT("anna"));
	ck_assert_str_eq(buf_str(&out), "a***");
	buf_reset(&out);
	mail_address_put_masked(&out, SLICE_LIT("\xff@x.test"));
	ck_assert_str_eq(buf_str(&out), "***@x.test");
	buf_clear(&out);
}
END_TEST

Suite *mail_address_suite(void);
Suite *
mail_address_suite(void)
{
	Suite *s = suite_create("mail_address");
	TCase *tc = tcase_create("mail_address");

	tcase_add_loop_test(
	    tc, an_address_is_written_or_refused, 0, NELEMS(rows));
	tcase_add_test(tc, a_nul_is_never_part_of_an_address);
	tcase_add_test(tc, a_domain_is_what_follows_the_last_at);
	tcase_add_loop_test(
	    tc, every_address_in_a_text_is_masked, 0, NELEMS(masks));
	tcase_add_test(tc, an_address_is_masked);
	suite_add_tcase(s, tc);
	return s;
}
