/* The pure parts of the provider: bodies and what answers mean. */
#include "executors/esp/mailchimp_private.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct mailchimp m;
static struct arena arena = ARENA_INIT((size_t)1 << 20);

static void
add(const char *name, const char *tag, const char *kind)
{
	esp_fields_put(&m.fields, slice_str(name), slice_str(tag),
	    slice_str(kind), SLICE_LIT(""));
}

static void
set_up(void)
{
	memset(&m, 0, sizeof m);
	m.account.status_if_new = "transactional";
	add("First Name", "FNAME", "text");
	add("Last Name", "LNAME", "text");
	add("NP_Account", "ACCOUNT", "text");
	add("NP_Total", "TOTAL", "number");
	add("NP_Date", "DATE", "date");
	add("NP_Address", "ADDRESS", "address");
	add("NP_Refused", "", "");
	m.fields.read = true;
}

static void
tear_down(void)
{
	esp_fields_clear(&m.fields);
	arena_clear(&arena);
}

/* ---- bodies ----------------------------------------------------------- */

#define HEAD                                                                   \
	"{\"email_address\":\"a@b.org\",\"status_if_new\":\"transactional\""

static const struct {
	const char *name; /* of the contact */
	const char *label, *value;
	const char *body;
} bodies[] = {
	{ "", "", "", HEAD "}" },
	{ "Ann", "", "", HEAD ",\"merge_fields\":{\"FNAME\":\"Ann\"}}" },
	{ "Ann van Dyk", "", "",
	    HEAD
	    ",\"merge_fields\":{\"FNAME\":\"Ann\",\"LNAME\":\"van Dyk\"}}" },
	{ "  Ann   Dyk ", "", "",
	    HEAD ",\"merge_fields\":{\"FNAME\":\"Ann\",\"LNAME\":\"Dyk\"}}" },
	{ "", "NP_Account", "7\"",
	    HEAD ",\"merge_fields\":{\"ACCOUNT\":\"7\\\"\"}}" },
	{ "", "NP_Account", "", HEAD ",\"merge_fields\":{\"ACCOUNT\":\"\"}}" },
	{ "", "NP_Unknown", "7", HEAD "}" },
	{ "", "NP_Refused", "7", HEAD "}" },
	{ "", "NP_Address", "Street 1", HEAD "}" },
	{ "Ann Dyk", "First Name", "Anna",
	    HEAD ",\"merge_fields\":{\"FNAME\":\"Anna\",\"LNAME\":\"Dyk\"}}" },
	{ "", "NP_Total", "12", HEAD ",\"merge_fields\":{\"TOTAL\":12}}" },
	{ "", "NP_Total", "-0.5", HEAD ",\"merge_fields\":{\"TOTAL\":-0.5}}" },
	{ "", "NP_Total", "007",
	    HEAD ",\"merge_fields\":{\"TOTAL\":\"007\"}}" },
	{ "", "NP_Total", "1.", HEAD ",\"merge_fields\":{\"TOTAL\":\"1.\"}}" },
	{ "", "NP_Total", ".5", HEAD ",\"merge_fields\":{\"TOTAL\":\".5\"}}" },
	{ "", "NP_Total", "1.2.3",
	    HEAD ",\"merge_fields\":{\"TOTAL\":\"1.2.3\"}}" },
	{ "", "NP_Total", "1e5",
	    HEAD ",\"merge_fields\":{\"TOTAL\":\"1e5\"}}" },
	{ "", "NP_Total", "-", HEAD ",\"merge_fields\":{\"TOTAL\":\"-\"}}" },
	{ "", "NP_Total", "", HEAD ",\"merge_fields\":{\"TOTAL\":\"\"}}" },
	{ "", "NP_Date", "2026-01-02 03:04:05",
	    HEAD ",\"merge_fields\":{\"DATE\":\"2026-01-02\"}}" },
	{ "", "NP_Date", "soon",
	    HEAD ",\"merge_fields\":{\"DATE\":\"soon\"}}" },
};

START_TEST(a_body_holds_what_the_audience_has_fields_for)
{
	struct esp_field field = { .name = slice_str(bodies[_i].label),
		.value = slice_str(bodies[_i].value) };
	struct esp_contact c = { .email = SLICE_LIT("a@b.org"),
		.name = slice_str(bodies[_i].name),
		.fields = &field,
		.nfields = bodies[_i].label[0] != '\0' };
	struct buf out = BUF_INIT(10000);

	mailchimp_put_member(&m, &c, NULL, &out);
	ck_assert_str_eq(buf_str(&out), bodies[_i].body);
	buf_clear(&out);
}
END_TEST

START_TEST(no_body_ever_holds_a_status)
{
	static const char *const statuses[] = { "", "subscribed", "pending",
		"unsubscribed", "cleaned", "archived", "\"status\":1" };
	struct buf out = BUF_INIT(10000);

	for (size_t i = 0; i < NELEMS(statuses); i++) {
		struct esp_contact c = { .email = SLICE_LIT("a@b.org"),
			.status_if_new = slice_str(statuses[i]) };

		buf_reset(&out);
		mailchimp_put_member(&m, &c, NULL, &out);
		ck_assert_ptr_null(strstr(buf_str(&out), "\"status\""));
		ck_assert_ptr_nonnull(
		    strstr(buf_str(&out), "\"status_if_new\":\""));
	}
	buf_clear(&out);
}
END_TEST

START_TEST(of_two_fields_with_one_label_the_last_counts)
{
	struct esp_field fields[] = {
		{ .name = SLICE_LIT("NP_Account"), .value = SLICE_LIT("1") },
		{ .name = SLICE_LIT("NP_Account"), .value = SLICE_LIT("2") },
	};
	struct esp_contact c = {
		.email = SLICE_LIT("a@b.org"), .fields = fields, .nfields = 2
	};
	struct buf out = BUF_INIT(10000);

	mailchimp_put_member(&m, &c, NULL, &out);
	ck_assert_str_eq(
	    buf_str(&out), HEAD ",\"merge_fields\":{\"ACCOUNT\":\"2\"}}");
	buf_clear(&out);
}
END_TEST

START_TEST(a_refused_field_is_left_out)
{
	struct mailchimp_without without = { .tags = { SLICE_LIT("TOTAL") },
		.n = 1 };
	struct esp_field fields[] = {
		{ .name = SLICE_LIT("NP_Total"), .value = SLICE_LIT("x") },
		{ .name = SLICE_LIT("NP_Account"), .value = SLICE_LIT("2") },
	};
	struct esp_contact c = {
		.email = SLICE_LIT("a@b.org"), .fields = fields, .nfields = 2
	};
	struct buf out = BUF_INIT(10000);

	mailchimp_put_member(&m, &c, &without, &out);
	ck_assert_str_eq(
	    buf_str(&out), HEAD ",\"merge_fields\":{\"ACCOUNT\":\"2\"}}");
	buf_clear(&out);
}
END_TEST

START_TEST(text_is_cut_to_255_bytes_between_characters)
{
	struct buf text = BUF_INIT(1000), out = BUF_INIT(10000);
	struct esp_field field = { .name = SLICE_LIT("NP_Account") };
	struct esp_contact c = {
		.email = SLICE_LIT("a@b.org"), .fields = &field, .nfields = 1
	};

	for (int i = 0; i < 100; i++)
		buf_put_str(&text, "\xE2\x82\xAC");
	field.value = buf_slice(&text);
	mailchimp_put_member(&m, &c, NULL, &out);
	ck_assert_uint_eq(
	    out.n, strlen(HEAD ",\"merge_fields\":{\"ACCOUNT\":\"\"}}") + 255);
	buf_clear(&text);
	buf_clear(&out);
}
END_TEST

START_TEST(the_hash_is_of_the_address_in_lower_case)
{
	char hash[MAILCHIMP_HASH_LEN + 1];

	mailchimp_hash(SLICE_LIT("Urist.McVankab@freddiesjokes.com"), hash);
	ck_assert_str_eq(hash, "62eeb292278cc15f5817cb78f7790b08");
}
END_TEST

/* ---- answers ---------------------------------------------------------- */

#define PROBLEM(title, detail)                                                 \
	"{\"title\":\"" title "\",\"detail\":\"" detail "\"}"
#define BAD_FIELD(field)                                                       \
	"{\"title\":\"Invalid Resource\",\"detail\":\"Your merge fields "      \
	"were invalid.\",\"errors\":[{\"field\":\"" field                      \
	"\",\"message\":\"no\"}]}"

static const struct {
	int status;
	const char *body;
	enum esp_outcome outcome;
	bool config, known;
	const char *refused; /* tag, or NULL */
} answers[] = {
	{ 200, "{}", ESP_DONE, false, false, NULL },
	{ 204, "", ESP_DONE, false, false, NULL },
	{ 400,
	    PROBLEM("Member In Compliance State",
		"x@y.org is in a compliance state due to unsubscribe"),
	    ESP_BARRED, false, false, NULL },
	{ 400, PROBLEM("Forgotten Email Not Subscribed", "x"), ESP_BARRED,
	    false, false, NULL },
	{ 400,
	    PROBLEM("Invalid Resource",
		"x@y.org was permanently deleted and cannot be re-imported."),
	    ESP_BARRED, false, false, NULL },
	{ 400, PROBLEM("Invalid Resource", "x looks fake or invalid"),
	    ESP_REFUSED, false, false, NULL },
	{ 400,
	    PROBLEM("Invalid Resource",
		"x has signed up to a lot of lists very recently"),
	    ESP_RETRY, false, false, NULL },
	{ 400, PROBLEM("Member Exists", "x is already a list member"),
	    ESP_REFUSED, false, true, NULL },
	{ 400, PROBLEM("JSON Parse Error", "x"), ESP_REFUSED, false, false,
	    NULL },
	{ 400, BAD_FIELD("TOTAL"), ESP_REFUSED, false, false, "TOTAL" },
	{ 400, BAD_FIELD("merge_fields.TOTAL"), ESP_REFUSED, false, false,
	    "TOTAL" },
	{ 400, BAD_FIELD("email_address"), ESP_REFUSED, false, false, NULL },
	{ 400, BAD_FIELD("NOSUCH"), ESP_REFUSED, false, false, NULL },
	{ 400, BAD_FIELD(""), ESP_REFUSED, false, false, NULL },
	{ 400, "<html>", ESP_REFUSED, false, false, NULL },
	{ 401, PROBLEM("API Key Invalid", "x"), ESP_RETRY, true, false, NULL },
	{ 403, PROBLEM("User Disabled", "x"), ESP_RETRY, true, false, NULL },
	{ 404, PROBLEM("Resource Not Found", "x"), ESP_RETRY, true, false,
	    NULL },
	{ 405, "", ESP_REFUSED, false, false, NULL },
	{ 408, "", ESP_RETRY, false, false, NULL },
	{ 414, "", ESP_REFUSED, false, false, NULL },
	{ 422, "", ESP_REFUSED, false, false, NULL },
	{ 429, PROBLEM("Too Many Requests", "x"), ESP_RETRY, false, false,
	    NULL },
	{ 500, "", ESP_RETRY, false, false, NULL },
	{ 502, "<html>", ESP_RETRY, false, false, NULL },
	{ 503, PROBLEM("Compliance Related", "for compliance reasons"),
	    ESP_RETRY, true, false, NULL },
	{ 503, PROBLEM("Service Unavailable", "x"), ESP_RETRY, false, false,
	    NULL },
	{ 504, "", ESP_RETRY, false, false, NULL },
	{ 0, "", ESP_RETRY, false, false, NULL },
};

START_TEST(an_answer_means_what_the_documentation_says)
{
	struct mailchimp_verdict v;

	mailchimp_judge(answers[_i].status, slice_str(answers[_i].body),
	    &m.fields, &arena, &v);
	ck_assert_int_eq(v.outcome, answers[_i].outcome);
	ck_assert_int_eq(v.config, answers[_i].config);
	ck_assert_int_eq(v.known_already, answers[_i].known);
	ck_assert_uint_eq(v.refused.n, answers[_i].refused != NULL);
	if (answers[_i].refused)
		ck_assert(slice_eq_str(v.refused.tags[0], answers[_i].refused));
	if (v.outcome != ESP_DONE)
		ck_assert_uint_gt(v.words.n, 0);
	ck_assert_ptr_null(strstr(v.words.n ? v.words.p : "", "x@y.org"));
}
END_TEST

START_TEST(a_busy_address_waits_for_long)
{
	struct mailchimp_verdict v;

	mailchimp_judge(400,
	    slice_str(PROBLEM("x", "signed up to a lot of lists")), &m.fields,
	    &arena, &v);
	ck_assert_int_eq(v.retry_after_s, MAILCHIMP_BUSY_S);
}
END_TEST

START_TEST(before_the_fields_are_read_any_name_may_be_one)
{
	struct esp_fields none = { 0 };
	struct mailchimp_verdict v;

	mailchimp_judge(400, slice_str(BAD_FIELD("TOTAL")), &none, &arena, &v);
	ck_assert_uint_eq(v.refused.n, 1);
	mailchimp_judge(
	    400, slice_str(BAD_FIELD("email_address")), &none, &arena, &v);
	ck_assert_uint_eq(v.refused.n, 0);
}
END_TEST

Suite *mailchimp_suite(void);

Suite *
mailchimp_suite(void)
{
	Suite *s = suite_create("mailchimp");
	TCase *tc = tcase_create("bodies");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, a_body_holds_what_the_audience_has_fields_for,
	    0, NELEMS(bodies));
	tcase_add_test(tc, no_body_ever_holds_a_status);
	tcase_add_test(tc, of_two_fields_with_one_label_the_last_counts);
	tcase_add_test(tc, a_refused_field_is_left_out);
	tcase_add_test(tc, text_is_cut_to_255_bytes_between_characters);
	tcase_add_test(tc, the_hash_is_of_the_address_in_lower_case);
	suite_add_tcase(s, tc);
	tc = tcase_create("answers");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, an_answer_means_what_the_documentation_says, 0,
	    NELEMS(answers));
	tcase_add_test(tc, a_busy_address_waits_for_long);
	tcase_add_test(tc, before_the_fields_are_read_any_name_may_be_one);
	suite_add_tcase(s, tc);
	return s;
}
