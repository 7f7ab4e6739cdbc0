/* What providers share, without a network; with one:
 * tests/integration/test_esp_mailchimp.py. */
#include "executors/esp/esp_http.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct arena arena = ARENA_INIT((size_t)1 << 20);

static void
tear_down(void)
{
	arena_clear(&arena);
}

/* ---- addresses -------------------------------------------------------- */

static const struct {
	const char *email, *masked;
} masks[] = {
	{ "ann@example.org", "a***@example.org" },
	{ "a@b.c", "a***@b.c" },
	{ "\xC3\xA4nn@example.org", "\xC3\xA4***@example.org" },
	{ "\xC3@example.org", "***@example.org" },
	{ "@example.org", "***@example.org" },
	{ "ann", "***" },
	{ "", "***" },
	{ "a@xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx."
	  "com",
	    "a***@xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" },
};

START_TEST(a_masked_address_tells_little)
{
	char out[64];

	esp_mask(slice_str(masks[_i].email), out);
	ck_assert_str_eq(out, masks[_i].masked);
}
END_TEST

static const struct {
	const char *email;
	bool ok;
} emails[] = {
	{ "a@b.cd", true },
	{ "a.b+c_d-e@sub.example.org", true },
	{ "o'brien@example.org", true },
	{ "\xC3\xA4@example.org", true },
	{ "a/b@example.org", true },
	{ "", false },
	{ "a", false },
	{ "a@b", false },
	{ "@b.cd", false },
	{ "a@.cd", false },
	{ "a@b.", false },
	{ "a@b@c.de", false },
	{ "a b@c.de", false },
	{ " a@c.de", false },
	{ "a@c.de\n", false },
	{ "a@c.de\"", false },
	{ "<a@c.de>", false },
	{ "a,b@c.de", false },
	{ "a@c.de;x@y.zz", false },
	{ "a\\@c.de", false },
};

START_TEST(an_address_or_none)
{
	ck_assert_msg(
	    esp_email_ok(slice_str(emails[_i].email)) == emails[_i].ok, "%s",
	    emails[_i].email);
}
END_TEST

START_TEST(an_address_with_a_nul_or_too_long_is_none)
{
	char text[300];

	ck_assert(!esp_email_ok(slice_mem("a\0b@c.de", 8)));
	memset(text, 'a', sizeof text);
	memcpy(text + 254 - 7, "@exa.de", 7);
	ck_assert(esp_email_ok(slice_mem(text, 254)));
	memcpy(text + 255 - 7, "a@exa.de", 7);
	ck_assert(!esp_email_ok(slice_mem(text, 255)));
}
END_TEST

static const struct {
	const char *words, *message;
} messages[] = {
	{ "", "" },
	{ "plain", "plain" },
	{ "ann@example.org is bad", "a***@example.org is bad" },
	{ "<ann@example.org>, bob@b.org.", "<a***@example.org>, b***@b.org." },
	{ "email:ann@b.org", "email:a***@b.org" },
	{ "a @ b", "a @ b" },
	{ "x@y@z.de", "x***@y@z.de" },
	{ "two\r\n lines\t\x01", "two lines" },
	{ "bad \xFF byte", "bad \xEF\xBF\xBD byte" },
};

START_TEST(words_are_one_line_without_addresses)
{
	struct slice s = esp_words(slice_str(messages[_i].words), &arena);

	ck_assert_msg(
	    slice_eq_str(s, messages[_i].message), "%.*s", SLICE_FMT(s));
}
END_TEST

START_TEST(words_are_cut_to_500_bytes)
{
	char text[4000];

	for (size_t i = 0; i + 2 <= sizeof text; i += 2)
		memcpy(text + i, i % 40 ? "a@" : "\xC3\xA4", 2);
	ck_assert_uint_le(
	    esp_words(slice_mem(text, sizeof text), &arena).n, 500);
	memset(text, 'x', sizeof text);
	ck_assert_uint_eq(
	    esp_words(slice_mem(text, sizeof text), &arena).n, 500);
}
END_TEST

/* ---- texts ------------------------------------------------------------ */

static const struct {
	const char *plain, *coded;
} codings[] = {
	{ "", "" },
	{ "aZ09-._~", "aZ09-._~" },
	{ "a+b@c.de", "a%2Bb%40c.de" },
	{ "a b/c?d&e=f%", "a%20b%2Fc%3Fd%26e%3Df%25" },
	{ "\xC3\xA4", "%C3%A4" },
};

START_TEST(what_is_special_in_urls_is_encoded)
{
	struct slice s = esp_urlencode(slice_str(codings[_i].plain), &arena);

	ck_assert(slice_eq_str(s, codings[_i].coded));
}
END_TEST

START_TEST(basic_authorization)
{
	char *line = esp_basic_auth("Aladdin", "open sesame");

	ck_assert_str_eq(
	    line, "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
	free(line);
	line = esp_basic_auth("a", "");
	ck_assert_str_eq(line, "Authorization: Basic YTo=");
	free(line);
}
END_TEST

START_TEST(providers_are_found_by_name)
{
	ck_assert(esp_provider("mailchimp") == esp_mailchimp_new);
	ck_assert(esp_provider("webhook") == esp_webhook_new);
	ck_assert(esp_provider("php") == NULL);
	ck_assert(esp_provider("") == NULL);
}
END_TEST

/* ---- outcomes --------------------------------------------------------- */

static const struct {
	enum esp_class class;
	enum esp_outcome outcome;
} settled[] = {
	{ ESP_CLASS_NONE, ESP_OPEN },
	{ ESP_CLASS_OK, ESP_DONE },
	{ ESP_CLASS_TRANSIENT, ESP_RETRY },
	{ ESP_CLASS_THROTTLED, ESP_OPEN },
	{ ESP_CLASS_CONFIG, ESP_OPEN },
	{ ESP_CLASS_PERMANENT, ESP_REFUSED },
};

START_TEST(an_outcome_by_class)
{
	struct esp_contact c = { .message = SLICE_LIT("") };
	struct esp_call call = { .class = settled[_i].class,
		.retry_after_s = 7,
		.message = SLICE_LIT("ours") };

	esp_http_settle(&c, &call, SLICE_LIT("ann@b.org: no"), &arena);
	ck_assert_int_eq(c.outcome, settled[_i].outcome);
	ck_assert_int_eq(c.retry_after_s, 7);
	ck_assert(
	    c.outcome == ESP_DONE || slice_eq_str(c.message, "a***@b.org: no"));
}
END_TEST

START_TEST(a_contact_begins_anew)
{
	struct esp_contact c[2] = {
		{ .email = SLICE_LIT("a@b.org"),
		    .outcome = ESP_DONE,
		    .strange = true,
		    .message = SLICE_LIT("old"),
		    .npulled = 3 },
		{ .email = SLICE_LIT("none") },
	};

	esp_contacts_begin(c, 2);
	ck_assert_int_eq(c[0].outcome, ESP_OPEN);
	ck_assert(!c[0].strange && c[0].message.n == 0 && c[0].npulled == 0);
	ck_assert_int_eq(c[0].retry_after_s, -1);
	ck_assert_int_eq(c[1].outcome, ESP_REFUSED);
	ck_assert_uint_gt(c[1].message.n, 0);
}
END_TEST

Suite *esp_http_suite(void);

Suite *
esp_http_suite(void)
{
	Suite *s = suite_create("esp_http");
	TCase *tc = tcase_create("esp_http");

	tcase_add_checked_fixture(tc, NULL, tear_down);
	tcase_add_loop_test(
	    tc, a_masked_address_tells_little, 0, NELEMS(masks));
	tcase_add_loop_test(tc, an_address_or_none, 0, NELEMS(emails));
	tcase_add_test(tc, an_address_with_a_nul_or_too_long_is_none);
	tcase_add_loop_test(
	    tc, words_are_one_line_without_addresses, 0, NELEMS(messages));
	tcase_add_test(tc, words_are_cut_to_500_bytes);
	tcase_add_loop_test(
	    tc, what_is_special_in_urls_is_encoded, 0, NELEMS(codings));
	tcase_add_test(tc, basic_authorization);
	tcase_add_test(tc, providers_are_found_by_name);
	tcase_add_loop_test(tc, an_outcome_by_class, 0, NELEMS(settled));
	tcase_add_test(tc, a_contact_begins_anew);
	suite_add_tcase(s, tc);
	return s;
}
