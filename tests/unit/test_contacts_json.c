/*
 * JSON as the rows of the contacts queue have it.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/ceilings.h"
#include "base/macros.h"
#include "queues/contacts_internal.h"

Suite *contacts_json_suite(void);

static struct arena arena = ARENA_INIT((size_t)64 << 20);
static struct err err;

static void
forget(void)
{
	arena_clear(&arena);
}

/* ---- names ---- */

START_TEST(hooks_flags_and_delays_are_newspacks)
{
	static const int64_t delays[] = { 30, 120, 480, 1800, 7200 };

	ck_assert_str_eq(contact_direction_name(CONTACT_PULL), "pull");
	ck_assert_str_eq(contact_direction_name(CONTACT_PUSH), "push");
	ck_assert_int_eq(
	    contact_retry_direction(SLICE_LIT("newspack_contact_pull_retry")),
	    CONTACT_PULL);
	ck_assert_int_eq(
	    contact_retry_direction(SLICE_LIT("newspack_contact_sync_retry")),
	    CONTACT_PUSH);
	ck_assert_int_eq(
	    contact_retry_direction(SLICE_LIT("newspack_contact_sync_retr")),
	    -1);
	ck_assert(slice_eq_str(contact_flag_key(CONTACT_PULL),
	    "newspack_contact_cron_pull_pending"));
	ck_assert(slice_eq_str(contact_flag_key(CONTACT_PUSH),
	    "newspack_contact_cron_push_pending"));
	for (unsigned n = 1; n <= NELEMS(delays); n++)
		ck_assert_int_eq(contact_retry_delay_s(n), delays[n - 1]);
	ck_assert_int_eq(contact_retry_delay_s(0), 30);
	ck_assert_int_eq(contact_retry_delay_s(77), 7200);
}
END_TEST

/* ---- as PHP writes it ---- */

/* What json_encode() of PHP 8.2 makes of them. */
static const struct {
	const char *text, *json;
} php_strings[] = {
	{ "", "\"\"" },
	{ "plain", "\"plain\"" },
	{ "a/b", "\"a\\/b\"" },
	{ "\"\\", "\"\\\"\\\\\"" },
	{ "\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"" },
	{ "\x01\x1F", "\"\\u0001\\u001f\"" },
	{ "\x7F", "\"\x7F\"" },
	{ "\xC3\xA9", "\"\\u00e9\"" },
	{ "\xE2\x82\xAC", "\"\\u20ac\"" },
	{ "\xEF\xBF\xBF", "\"\\uffff\"" },
	{ "\xF0\x9F\x98\x80", "\"\\ud83d\\ude00\"" },
	{ "\xF4\x8F\xBF\xBF", "\"\\udbff\\udfff\"" },
	{ "<b>&'", "\"<b>&'\"" },
	/* Not UTF-8: json_encode() alone refuses it. */
	{ "a\xFFz", "\"a\\ufffdz\"" },
	{ "\xED\xA0\x80", "\"\\ufffd\\ufffd\\ufffd\"" },
};

START_TEST(a_string_is_escaped_as_php_does)
{
	struct buf out = BUF_INIT(1024);

	contact_json_put_php(&out, slice_str(php_strings[_i].text));
	ck_assert_str_eq(buf_str(&out), php_strings[_i].json);
	buf_clear(&out);
}
END_TEST

static const struct {
	struct contact_retry r;
	const char *json;
} rows[] = {
	{ { .direction = CONTACT_PULL,
	      .user_id = 123,
	      .integration = { "esp", 3 },
	      .count = 1 },
	    "[{\"integration_id\":\"esp\",\"user_id\":123,\"retry_count\":1,"
	    "\"max_retries\":5,\"reason\":\"\"}]" },
	{ { .direction = CONTACT_PUSH,
	      .user_id = 123,
	      .integration = { "esp", 3 },
	      .context = { "Recurring sync routine", 22 },
	      .count = 1 },
	    "[{\"integration_id\":\"esp\",\"user_id\":123,\"context\":"
	    "\"Recurring sync routine\",\"retry_count\":1,\"max_retries\":5,"
	    "\"reason\":\"\",\"previous_email\":\"\"}]" },
	{ { .direction = CONTACT_PUSH,
	      .user_id = UINT64_MAX,
	      .integration = { "a/b", 3 },
	      .context = { "\xC3\xA9", 2 },
	      .count = 5,
	      .reason = { "it said \"no\"", 12 },
	      .previous_email = { "o@x.test", 8 } },
	    "[{\"integration_id\":\"a\\/b\",\"user_id\":18446744073709551615,"
	    "\"context\":\"\\u00e9\",\"retry_count\":5,\"max_retries\":5,"
	    "\"reason\":\"it said \\\"no\\\"\","
	    "\"previous_email\":\"o@x.test\"}]" },
};

START_TEST(a_retry_has_newspacks_keys_in_their_order)
{
	struct buf out = BUF_INIT(CONTACT_ARGS_MAX);

	contact_json_put_retry(&out, &rows[_i].r);
	ck_assert_str_eq(buf_str(&out), rows[_i].json);
	/* The lengths that Newspack's own have. */
	if (_i == 0)
		ck_assert_uint_eq(out.n, 84);
	if (_i == 1)
		ck_assert_uint_eq(out.n, 139);
	buf_clear(&out);
}
END_TEST

START_TEST(a_reason_is_cut_between_characters)
{
	struct contact_retry r = rows[0].r, back;
	struct buf text = BUF_INIT(4096), out = BUF_INIT(CONTACT_ARGS_MAX);

	buf_put_char(&text, 'x');
	for (int i = 0; i < 400; i++)
		buf_put_str(&text, "\xC3\xA9");
	r.reason = buf_slice(&text);
	contact_json_put_retry(&out, &r);
	ck_assert_int_eq(contact_retry_parse(CONTACT_PULL, buf_slice(&out),
			     &arena, &back, &err),
	    RC_OK);
	/* 500 bytes would end in the middle of one. */
	ck_assert_uint_eq(back.reason.n, 499);
	ck_assert(slice_starts(r.reason, back.reason));
	buf_clear(&text);
	buf_clear(&out);
}
END_TEST

START_TEST(the_longest_reason_is_under_the_plugins_limit)
{
	char worst[2000];
	struct contact_retry r = rows[1].r;
	struct buf out = BUF_INIT(CONTACT_ARGS_MAX);

	memset(worst, '\x01', sizeof worst);
	r.reason = slice_mem(worst, sizeof worst);
	contact_json_put_retry(&out, &r);
	ck_assert(!out.failed);
	buf_clear(&out);
}
END_TEST

/* ---- reading a retry ---- */

static const struct {
	const char *what, *args;
	enum rc rc;
	uint64_t user;
	unsigned count;
} parses[] = {
	{ "Newspack's",
	    "[{\"integration_id\":\"esp\",\"user_id\":7,\"retry_count\":3}]",
	    RC_OK, 7, 3 },
	{ "no count", "[{\"integration_id\":\"esp\",\"user_id\":7}]", RC_OK, 7,
	    1 },
	{ "numbers as text",
	    "[{\"integration_id\":\"esp\",\"user_id\":\"7\","
	    "\"retry_count\":\"2\"}]",
	    RC_OK, 7, 2 },
	{ "a real", "[{\"integration_id\":\"esp\",\"user_id\":7.0}]", RC_OK, 7,
	    1 },
	{ "a count past the last",
	    "[{\"integration_id\":\"esp\",\"user_id\":7,\"retry_count\":9}]",
	    RC_OK, 7, 5 },
	{ "a count below the first",
	    "[{\"integration_id\":\"esp\",\"user_id\":7,\"retry_count\":-1}]",
	    RC_OK, 7, 1 },
	{ "named arguments",
	    "{\"data\":{\"integration_id\":\"esp\",\"user_id\":7}}", RC_OK, 7,
	    1 },
	{ "an old one, with the contact itself",
	    "[{\"integration_id\":\"esp\",\"contact\":{\"email\":\"a@b.c\"}}]",
	    RC_REJECT, 0, 0 },
	{ "no integration", "[{\"user_id\":7}]", RC_REJECT, 0, 0 },
	{ "an integration that is no text",
	    "[{\"integration_id\":5,\"user_id\":7}]", RC_REJECT, 0, 0 },
	{ "user 0", "[{\"integration_id\":\"esp\",\"user_id\":0}]", RC_REJECT,
	    0, 0 },
	{ "a negative user", "[{\"integration_id\":\"esp\",\"user_id\":-7}]",
	    RC_REJECT, 0, 0 },
	{ "an empty list", "[]", RC_REJECT, 0, 0 },
	{ "a number", "[7]", RC_REJECT, 0, 0 },
	{ "null", "[null]", RC_REJECT, 0, 0 },
	{ "no list", "7", RC_REJECT, 0, 0 },
	{ "nothing", "", RC_REJECT, 0, 0 },
	{ "a hash without its text", "d41d8cd98f00b204e9800998ecf8427e",
	    RC_REJECT, 0, 0 },
	{ "half of it", "[{\"integration_id\":\"esp\",\"user", RC_REJECT, 0,
	    0 },
};

START_TEST(a_retry_is_read_as_php_reads_it)
{
	struct contact_retry r;
	struct err why = ERR_INIT;

	ck_assert_msg(
	    contact_retry_parse(CONTACT_PUSH, slice_str(parses[_i].args),
		&arena, &r, &why) == parses[_i].rc,
	    "%s: %s", parses[_i].what, why.text);
	if (parses[_i].rc != RC_OK) {
		ck_assert_msg(why.text[0], "%s", parses[_i].what);
		return;
	}
	ck_assert_uint_eq(r.user_id, parses[_i].user);
	ck_assert_uint_eq(r.count, parses[_i].count);
	ck_assert(slice_eq_str(r.integration, "esp"));
}
END_TEST

START_TEST(what_is_written_is_read_back)
{
	for (size_t i = 0; i < 2; i++) {
		struct contact_retry r = rows[2].r, back;
		struct buf out = BUF_INIT(CONTACT_ARGS_MAX);

		r.direction = (enum contact_direction)i;
		r.user_id = INT64_MAX;
		contact_json_put_retry(&out, &r);
		ck_assert_int_eq(contact_retry_parse(r.direction,
				     buf_slice(&out), &arena, &back, &err),
		    RC_OK);
		ck_assert_uint_eq(back.user_id, r.user_id);
		ck_assert(slice_eq(back.integration, r.integration));
		ck_assert(slice_eq(back.reason, r.reason));
		ck_assert_uint_eq(back.count, r.count);
		ck_assert(slice_eq(back.context,
		    i == CONTACT_PUSH ? r.context : SLICE_LIT("")));
		buf_clear(&out);
	}
}
END_TEST

/* ---- members ---- */

START_TEST(members_come_back_as_they_were)
{
	struct contact_flag flags[3] = {
		{ 1, 10, { "1700000000", 10 } },
		{ UINT64_C(1) << 62, 10, { "", 0 } },
		{ 3, 12, { NULL, 0 } },
	};
	struct contact_member m[3] = {
		{ .user_id = 10, .flags = flags, .nflags = 2 },
		{ .user_id = 11, .retry = 5 },
		{ .user_id = 12, .flags = &flags[2], .nflags = 1 },
	};
	struct buf out = BUF_INIT(1 << 20);
	struct contact_member *back;
	char all[256];
	size_t n;

	for (int i = 0; i < 256; i++)
		all[i] = (char)i;
	flags[2].value = slice_mem(all, sizeof all);
	for (size_t i = 0; i < CONTACT_FINGERPRINT_LEN; i++)
		m[1].payload[i] = (unsigned char)(i * 8 + 7);
	contact_json_put_members(&out, m, 3);
	for (size_t i = 0; i < out.n; i++)
		ck_assert(out.p[i] >= ' ' && out.p[i] <= '~');
	ck_assert_int_eq(
	    contact_json_members(buf_slice(&out), &arena, &back, &n, &err),
	    RC_OK);
	ck_assert_uint_eq(n, 3);
	for (size_t i = 0; i < n; i++) {
		ck_assert_uint_eq(back[i].user_id, m[i].user_id);
		ck_assert_uint_eq(back[i].retry, m[i].retry);
		ck_assert_uint_eq(back[i].nflags, m[i].nflags);
		ck_assert_mem_eq(back[i].payload, m[i].payload, 32);
		ck_assert_mem_eq(back[i].address, m[i].address, 32);
		for (size_t k = 0; k < n && k < back[i].nflags; k++) {
			ck_assert_uint_eq(
			    back[i].flags[k].umeta_id, m[i].flags[k].umeta_id);
			ck_assert_uint_eq(
			    back[i].flags[k].user_id, m[i].user_id);
			ck_assert(slice_eq(
			    back[i].flags[k].value, m[i].flags[k].value));
		}
	}
	buf_clear(&out);
}
END_TEST

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HASHES "\"payload\":\"" HASH "\",\"address\":\"" HASH "\""

static const char *const broken[] = {
	"",
	"null",
	"{}",
	"[",
	"[1]",
	"[{}]",
	"[{\"user\":1,\"flags\":[],\"retry\":0}]",
	"[{\"user\":-1,\"flags\":[],\"retry\":0," HASHES "}]",
	"[{\"user\":\"1\",\"flags\":[],\"retry\":0," HASHES "}]",
	"[{\"user\":1,\"flags\":{},\"retry\":0," HASHES "}]",
	"[{\"user\":1,\"flags\":[1],\"retry\":0," HASHES "}]",
	"[{\"user\":1,\"flags\":[[1]],\"retry\":0," HASHES "}]",
	"[{\"user\":1,\"flags\":[[0,\"\"]],\"retry\":0," HASHES "}]",
	"[{\"user\":1,\"flags\":[[1,2]],\"retry\":0," HASHES "}]",
	"[{\"user\":1,\"flags\":[[1,\"\\u0100\"]],\"retry\":0," HASHES "}]",
	"[{\"user\":1,\"flags\":[],\"retry\":6," HASHES "}]",
	"[{\"user\":1,\"flags\":[],\"retry\":0,\"payload\":\"12\","
	"\"address\":\"" HASH "\"}]",
	"[{\"user\":1,\"flags\":[],\"retry\":0," HASHES "}] x",
};

START_TEST(what_are_no_members_is_refused)
{
	struct contact_member *m;
	struct err why = ERR_INIT;
	size_t n;

	ck_assert_int_eq(
	    contact_json_members(slice_str(broken[_i]), &arena, &m, &n, &why),
	    RC_REJECT);
	ck_assert(why.text[0] != '\0');
}
END_TEST

START_TEST(members_need_their_memory)
{
	struct arena small = ARENA_INIT(64);
	struct contact_member *m;
	size_t n;

	ck_assert_int_eq(
	    contact_json_members(
		SLICE_LIT("[{\"user\":1,\"flags\":[],\"retry\":0," HASHES "}]"),
		&small, &m, &n, &err),
	    RC_RETRY);
	arena_clear(&small);
}
END_TEST

/* ---- values as they are stored ---- */

static const struct {
	const char *json, *stored; /* NULL: refused */
} values[] = {
	{ "\"blue\"", "\"blue\"" },
	{ " \"blue\"\n", "\"blue\"" },
	{ "12", "12" },
	{ "-1.5e3", "-1.5e3" },
	{ "0.1", "0.1" },
	{ "123456789012345678901234567890", "123456789012345678901234567890" },
	{ "true", "true" },
	{ "null", "null" },
	{ "[1,{\"a\":[]}]", "[1,{\"a\":[]}]" },
	{ "\"a\\/b\"", "\"a/b\"" },
	{ "\"caf\\u00e9\"", "\"caf\xC3\xA9\"" },
	{ "\"caf\\u00E9\"", "\"caf\xC3\xA9\"" },
	{ "\"\\u20ac\"", "\"\xE2\x82\xAC\"" },
	{ "\"\\ud83d\\ude00\"", "\"\xF0\x9F\x98\x80\"" },
	{ "\"\\u0041\"", "\"A\"" },
	{ "\"\\u007f\"", "\"\x7F\"" },
	{ "\"\\u2028\"", "\"\xE2\x80\xA8\"" },
	{ "{\"\\u00e9\":1}", "{\"\xC3\xA9\":1}" },
	{ "\"\xC3\xA9\"", "\"\xC3\xA9\"" },
	/* What would end the string, or has no other form. */
	{ "\"\\u0022\"", "\"\\u0022\"" },
	{ "\"\\u005c\"", "\"\\u005c\"" },
	{ "\"\\u005cn\"", "\"\\u005cn\"" },
	{ "\"\\u0000\"", "\"\\u0000\"" },
	{ "\"\\u001f\"", "\"\\u001f\"" },
	{ "\"\\\"\\\\\\b\\f\\n\\r\\t\"", "\"\\\"\\\\\\b\\f\\n\\r\\t\"" },
	/* An escaped backslash and then letters. */
	{ "\"\\\\u00e9\"", "\"\\\\u00e9\"" },
	{ "\"\\\\\\/\"", "\"\\\\/\"" },
	{ "", NULL },
	{ "blue", NULL },
	{ "\"blue", NULL },
	{ "\"\\ud83d\"", NULL },
	{ "\"\\x\"", NULL },
	{ "[1,]", NULL },
	{ "1 2", NULL },
	{ "\"\xFF\"", NULL },
};

START_TEST(a_value_is_stored_without_needless_backslashes)
{
	struct slice out;
	struct err why = ERR_INIT;
	enum rc rc =
	    contact_data_json(slice_str(values[_i].json), &arena, &out, &why);

	ck_assert_msg(rc == (values[_i].stored ? RC_OK : RC_REJECT), "%s",
	    values[_i].json);
	if (values[_i].stored)
		ck_assert_str_eq(out.p, values[_i].stored);
	else
		ck_assert(why.text[0] != '\0');
}
END_TEST

START_TEST(a_stored_value_stays_as_it_is)
{
	struct slice once, twice;

	if (!values[_i].stored)
		return;
	ck_assert_int_eq(
	    contact_data_json(slice_str(values[_i].json), &arena, &once, &err),
	    RC_OK);
	ck_assert_int_eq(contact_data_json(once, &arena, &twice, &err), RC_OK);
	ck_assert(slice_eq(once, twice));
}
END_TEST

START_TEST(a_value_over_the_ceiling_is_refused)
{
	struct buf text = BUF_INIT(CEILING_CONTACT_VALUE_BYTES + 1);
	struct slice out;

	buf_put_char(&text, '"');
	while (text.n < CEILING_CONTACT_VALUE_BYTES - 1)
		buf_put_char(&text, 'x');
	buf_put_char(&text, '"');
	ck_assert_int_eq(
	    contact_data_json(buf_slice(&text), &arena, &out, &err), RC_OK);
	ck_assert_uint_eq(out.n, CEILING_CONTACT_VALUE_BYTES);
	text.p[0] = ' ';
	text.p[1] = '"';
	buf_put_char(&text, ' ');
	ck_assert_int_eq(
	    contact_data_json(buf_slice(&text), &arena, &out, &err), RC_OK);
	text.p[0] = text.p[text.n - 1] = '1';
	ck_assert_int_eq(
	    contact_data_json(buf_slice(&text), &arena, &out, &err), RC_REJECT);
	buf_clear(&text);
}
END_TEST

START_TEST(a_nul_behind_a_number_is_refused)
{
	struct slice out;

	ck_assert_int_eq(
	    contact_data_json(slice_mem("12\0", 3), &arena, &out, &err),
	    RC_REJECT);
}
END_TEST

START_TEST(json_can_be_said_in_ascii)
{
	struct buf out = BUF_INIT(1024);

	contact_json_put_ascii(&out,
	    SLICE_LIT("{\"caf\xC3\xA9\":\"\xF0\x9F\x98\x80 \\n\\\" /\"}"));
	ck_assert_str_eq(
	    buf_str(&out), "{\"caf\\u00e9\":\"\\ud83d\\ude00 \\n\\\" /\"}");
	buf_clear(&out);
}
END_TEST

Suite *
contacts_json_suite(void)
{
	Suite *s = suite_create("contacts_json");
	TCase *tc = tcase_create("rows");

	tcase_add_checked_fixture(tc, NULL, forget);
	tcase_add_test(tc, hooks_flags_and_delays_are_newspacks);
	tcase_add_loop_test(
	    tc, a_string_is_escaped_as_php_does, 0, NELEMS(php_strings));
	tcase_add_loop_test(
	    tc, a_retry_has_newspacks_keys_in_their_order, 0, NELEMS(rows));
	tcase_add_test(tc, a_reason_is_cut_between_characters);
	tcase_add_test(tc, the_longest_reason_is_under_the_plugins_limit);
	tcase_add_loop_test(
	    tc, a_retry_is_read_as_php_reads_it, 0, NELEMS(parses));
	tcase_add_test(tc, what_is_written_is_read_back);
	tcase_add_test(tc, members_come_back_as_they_were);
	tcase_add_loop_test(
	    tc, what_are_no_members_is_refused, 0, NELEMS(broken));
	tcase_add_test(tc, members_need_their_memory);
	tcase_add_loop_test(tc, a_value_is_stored_without_needless_backslashes,
	    0, NELEMS(values));
	tcase_add_loop_test(
	    tc, a_stored_value_stays_as_it_is, 0, NELEMS(values));
	tcase_add_test(tc, a_value_over_the_ceiling_is_refused);
	tcase_add_test(tc, a_nul_behind_a_number_is_refused);
	tcase_add_test(tc, json_can_be_said_in_ascii);
	suite_add_tcase(s, tc);
	return s;
}
