#include "executors/php_mail.h"

#include <check.h>
#include <jansson.h>
#include <string.h>

Suite *php_mail_suite(void);

static const struct sql_scope scope = { .prefix = "wp_2_", .base = "wp_" };

static json_t *
render(const struct config_site *site, const struct config_smtp *smtp)
{
	struct buf out = BUF_INIT(65536);
	json_t *v;

	php_mail_render(&out, &scope, 2, site, smtp);
	ck_assert(!out.failed);
	v = json_loadb(out.p, out.n, 0, NULL);
	ck_assert_ptr_nonnull(v);
	buf_clear(&out);
	return v;
}

static const char *
text(const json_t *v, const char *key)
{
	return json_string_value(json_object_get(v, key));
}

static const struct {
	const char *name, *start;
	size_t values;
} statements[] = {
	{ "insert", "INSERT INTO wp_wpcron_outbox (", 10 },
	{ "find", "SELECT ", 4 },
	{ "insert_chunk", "INSERT INTO wp_wpcron_outbox_chunks (", 4 },
	{ "ready", "UPDATE wp_wpcron_outbox", 3 },
	{ "forget", "DELETE ", 2 },
	{ "count", "INSERT INTO wp_wpcron_meta (", 2 },
};

/* php/mail.php binds so many. */
START_TEST(statements_keep_their_question_marks)
{
	const struct config_site site = { .outbox_max_mib = 25 };
	const struct config_smtp smtp = { .name = "relay" };
	json_t *v = render(&site, &smtp);
	const char *sql =
	    text(json_object_get(v, "store"), statements[_i].name);
	size_t n = 0;

	ck_assert_ptr_nonnull(sql);
	ck_assert(
	    slice_starts(slice_str(sql), slice_str(statements[_i].start)));
	ck_assert_ptr_null(strchr(sql, '{'));
	for (const char *p = sql; *p; p++)
		n += *p == '?';
	ck_assert_uint_eq(n, statements[_i].values);
	json_decref(v);
}
END_TEST

START_TEST(the_rules_of_site_and_relay_are_told)
{
	const char *domains[] = { "example.org", "*.\"x\"" };
	const struct config_site site = { .outbox_max_mib = 2,
		.plugin_smtp = PLUGIN_SMTP_TAKE_OVER,
		.outbox_key_file = "/etc/key" };
	const struct config_smtp smtp = { .from = "shop@example.org",
		.from_domains = { domains, 2 },
		.foreign_from = FOREIGN_FROM_REWRITE,
		.password = "secret" };
	json_t *v = render(&site, &smtp), *list;

	ck_assert_int_eq(json_integer_value(json_object_get(v, "blog_id")), 2);
	ck_assert_int_eq(
	    json_integer_value(json_object_get(v, "max_size")), 2097152);
	ck_assert_int_eq(
	    json_integer_value(json_object_get(v, "chunk")), 524288);
	ck_assert_int_eq(
	    json_integer_value(json_object_get(v, "priority")), 20);
	ck_assert_str_eq(text(v, "plugin_smtp"), "take-over");
	ck_assert_str_eq(text(v, "key_file"), "/etc/key");
	ck_assert_str_eq(text(v, "from"), "shop@example.org");
	ck_assert_str_eq(text(v, "foreign_from"), "rewrite");
	ck_assert(json_is_null(json_object_get(v, "envelope_from")));
	list = json_object_get(v, "from_domains");
	ck_assert_uint_eq(json_array_size(list), 2);
	ck_assert_str_eq(json_string_value(json_array_get(list, 1)), "*.\"x\"");
	json_decref(v);
}
END_TEST

/* Else PHP or a plugin would send it to those who are not to get it. */
START_TEST(a_relay_for_some_alone_leaves_little_to_php)
{
	const char *allowed[] = { "*@own.test" };
	const struct config_site site = { .outbox_max_mib = 2 };
	const struct config_smtp smtps[] = {
		{ .redirect_to = NULL },
		{ .redirect_to = "test@own.test" },
		{ .allow_recipients = { allowed, 1 } },
	};
	json_t *v = render(&site, &smtps[_i]);

	ck_assert_int_eq(json_is_true(json_object_get(v, "confines")), _i > 0);
	ck_assert_str_eq(text(v, "foreign_from"), _i > 0 ? "send" : "php");
	ck_assert_str_eq(
	    text(v, "plugin_smtp"), _i > 0 ? "take-over" : "leave");
	json_decref(v);
}
END_TEST

START_TEST(how_to_reach_the_relay_is_not)
{
	const struct config_site site = { .outbox_max_mib = 25 };
	const struct config_smtp smtp = { .host = "relay.host",
		.user = "relay.user",
		.password = "relay.password" };
	struct buf out = BUF_INIT(65536);

	php_mail_render(&out, &scope, 1, &site, &smtp);
	ck_assert_ptr_null(strstr(buf_str(&out), "relay."));
	buf_clear(&out);
}
END_TEST

static const struct {
	enum job_kind kind;
	uint64_t id, origin;
	enum mail_by by;
	const char *hook, *want;
} jobs[] = {
	{ JOB_ACTION, 12, 0, MAIL_BY_OUTBOX, "h",
	    ",\"mail\":\"action:12\",\"mail_priority\":20" },
	{ JOB_ACTION, 12, 9, MAIL_BY_OUTBOX, "h",
	    ",\"mail\":\"action:9\",\"mail_priority\":20" },
	{ JOB_EVENT, 12, 9, MAIL_BY_OUTBOX, "h",
	    ",\"mail\":\"event:12\",\"mail_priority\":20" },
	{ JOB_ACTION, 12, 12, MAIL_BY_OUTBOX,
	    "woocommerce_send_queued_transactional_email",
	    ",\"mail\":\"action:12\",\"mail_priority\":10" },
	{ JOB_ACTION, 12, 12, MAIL_BY_PHP, "h", "" },
};

START_TEST(a_job_is_named_by_its_first_try)
{
	const struct policy policy = { .mail = jobs[_i].by };
	const struct job job = { .kind = jobs[_i].kind,
		.id = jobs[_i].id,
		.origin_id = jobs[_i].origin,
		.hook = slice_str(jobs[_i].hook),
		.policy = &policy };
	struct buf out = BUF_INIT(1000);

	php_mail_put_job(&out, &job);
	ck_assert_str_eq(buf_str(&out), jobs[_i].want);
	buf_clear(&out);
}
END_TEST

START_TEST(a_job_without_a_policy_is_left_to_php)
{
	const struct job job = { .id = 1 };
	struct buf out = BUF_INIT(1000);

	php_mail_put_job(&out, &job);
	ck_assert_uint_eq(out.n, 0);
	buf_clear(&out);
}
END_TEST

START_TEST(a_prefix_that_is_none_is_noticed)
{
	const struct sql_scope wrong = { .prefix = "wp_", .base = "a b" };
	const struct config_site site = { .outbox_max_mib = 25 };
	const struct config_smtp smtp = { .name = "relay" };
	struct buf out = BUF_INIT(65536);

	php_mail_render(&out, &wrong, 1, &site, &smtp);
	ck_assert(out.failed);
	buf_clear(&out);
}
END_TEST

Suite *
php_mail_suite(void)
{
	Suite *s = suite_create("php_mail");
	TCase *tc = tcase_create("mail");

	tcase_add_loop_test(tc, statements_keep_their_question_marks, 0,
	    (int)NELEMS(statements));
	tcase_add_test(tc, the_rules_of_site_and_relay_are_told);
	tcase_add_loop_test(
	    tc, a_relay_for_some_alone_leaves_little_to_php, 0, 3);
	tcase_add_test(tc, how_to_reach_the_relay_is_not);
	tcase_add_loop_test(
	    tc, a_job_is_named_by_its_first_try, 0, (int)NELEMS(jobs));
	tcase_add_test(tc, a_job_without_a_policy_is_left_to_php);
	tcase_add_test(tc, a_prefix_that_is_none_is_noticed);
	suite_add_tcase(s, tc);
	return s;
}
