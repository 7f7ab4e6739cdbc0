#include <check.h>
#include <string.h>

#include "base/config.h"

#define SITE "[site a]\nroot = /tmp\n"
#define RELAY SITE "smtp = r\n[smtp r]\nhost = relay.test\n"
#define NO_ADDRESS "must be an address alone, such as shop@example.org"
#define TASKS SITE "[tasks a/q]\nhook = run_q\n"

static struct config *
parse(const char *text)
{
	struct config *c = NULL;
	struct err err = ERR_INIT;

	ck_assert_msg(
	    config_parse(slice_str(text), "f.conf", NULL, &c, &err) == RC_OK,
	    "%s", err.text);
	return c;
}

static const struct {
	const char *text, *words;
} bad_rows[] = {
	{ SITE "[smtp]\nhost = x\n",
	    "f.conf:3: [smtp NAME] needs a name of at most 64 bytes" },
	{ SITE "[smtp r]\nport = 25\n", "f.conf:3: [smtp r] needs a host" },
	{ SITE "[smtp r]\nhost = x\n[smtp r]\nhost = y\n",
	    "f.conf:5: a second [smtp r], the first is on line 3" },
	{ SITE "[smtp r]\nhost = x\nuser = me\n",
	    "f.conf:3: [smtp r] has a user and no password" },
	{ SITE "[smtp r]\nhost = x\nforeign_from = rewrite\n",
	    "f.conf:3: [smtp r] foreign_from = rewrite needs a from" },
	{ SITE "[smtp r]\nhost = x\nsecurity = ssl\n",
	    "f.conf:5: security must be starttls, tls or none" },
	{ SITE "[smtp r]\nhost = x\nport = 70000\n",
	    "f.conf:5: port must be from 1 to 65535" },
	{ RELAY "from = shop\n", "f.conf:6: from " NO_ADDRESS },
	{ RELAY "from = shop@\n", "f.conf:6: from " NO_ADDRESS },
	{ RELAY "redirect_to = <t@x.test>\n",
	    "f.conf:6: redirect_to " NO_ADDRESS },
	{ RELAY "redirect_to = a@x.test, b@x.test\n",
	    "f.conf:6: redirect_to " NO_ADDRESS },
	{ RELAY "envelope_from = Shop <b@x.test>\n",
	    "f.conf:6: envelope_from " NO_ADDRESS },
	{ RELAY "envelope_from = a@b@x.test\n",
	    "f.conf:6: envelope_from " NO_ADDRESS },
	{ SITE "smtp = other\n",
	    "f.conf: site a has smtp = other, and there is no [smtp other]" },
	{ SITE "[tasks q]\nhook = h\n",
	    "f.conf:3: [tasks SITE/NAME] names a site and a queue, for "
	    "instance [tasks a/myplugin_task_queue]" },
	{ SITE "[tasks a/q]\nbatch = 3\n",
	    "f.conf:3: [tasks a/q] needs the hook of the plugin's processor" },
	{ SITE "[tasks b/q]\nhook = h\n", "f.conf:3: there is no site \"b\"" },
	{ TASKS "[tasks a/other]\nqueue = q\nhook = h\n",
	    "f.conf:5: a second [tasks] of a/q, the first is on line 3" },
	{ TASKS "handler x = perl:y\n",
	    "f.conf:5: unknown handler \"perl:y\"; there are native, webhook "
	    "and php:FUNCTION" },
	{ TASKS "handler x = php:\n",
	    "f.conf:5: unknown handler \"php:\"; there are native, webhook "
	    "and php:FUNCTION" },
	{ TASKS "handler x = native\nhandler x = webhook\n",
	    "f.conf:6: handler x is set twice" },
	{ TASKS "expired = keep\n",
	    "f.conf:5: expired must be process or discard" },
	{ TASKS "stale = keep\n", "f.conf:5: stale must be drop or run" },
	{ TASKS "stale_for = 14m\n",
	    "f.conf:5: stale_for must be from 900000ms to 86400000ms" },
};

START_TEST(what_is_wrong_is_named_with_its_line)
{
	struct config *c = NULL;
	struct err err = ERR_INIT;

	ck_assert_int_eq(config_parse(slice_str(bad_rows[_i].text), "f.conf",
			     NULL, &c, &err),
	    RC_REJECT);
	ck_assert_str_eq(err.text, bad_rows[_i].words);
	ck_assert_ptr_null(c);
}
END_TEST

START_TEST(a_site_has_the_relay_that_it_names)
{
	struct config *c = parse(
	    RELAY "port = 25\nuser = u\npassword = p\nrate = 5/h\npace = 1/s\n"
		  "domain_rates = gmail.com 100/h, x.test 1/s\nmax_age = 1d\n"
		  "[site b]\nroot = /\n");
	const struct config_smtp *r = config_smtp(c, &c->sites[0]);

	ck_assert_ptr_nonnull(r);
	ck_assert_str_eq(r->host, "relay.test");
	ck_assert_uint_eq(r->port, 25);
	ck_assert_str_eq(r->security, "starttls");
	ck_assert_uint_eq(r->rate.count, 5);
	ck_assert_uint_eq(r->rate.per_s, 3600);
	ck_assert_uint_eq(r->pace.per_s, 1);
	ck_assert_uint_eq(r->domain_rates.n, 2);
	ck_assert_uint_eq(r->max_age_ms, 86400000);
	ck_assert_uint_eq(r->backoff_min_ms, 60000);
	ck_assert_int_eq(r->foreign_from, FOREIGN_FROM_PHP);
	ck_assert_ptr_null(config_smtp(c, &c->sites[1]));
	config_unref(c);
}
END_TEST

START_TEST(each_site_has_its_own_of_several_relays)
{
	struct config *c =
	    parse("[site a]\nroot = /tmp\nsmtp = two\n[site b]\nroot = /\n"
		  "smtp = one\n[smtp one]\nhost = one.test\n[smtp two]\n"
		  "host = two.test\n[smtp three]\nhost = three.test\n");

	ck_assert_str_eq(config_smtp(c, &c->sites[0])->host, "two.test");
	ck_assert_str_eq(config_smtp(c, &c->sites[1])->host, "one.test");
	config_unref(c);
}
END_TEST

#define SHOP_MAIL "woocommerce_send_queued_transactional_email"

static const struct {
	const char *text, *hook;
	bool held;
} on_a_copy[] = {
	{ SITE, "h", false },
	{ SITE "[route]\nh = webhook https://x.test/\n", "h", true },
	{ SITE "[policy h]\noutbound = yes\n", "h", true },
	{ SITE, SHOP_MAIL, true },
	{ RELAY, SHOP_MAIL, true },
	{ RELAY "allow_recipients = *@own.test\n", SHOP_MAIL, true },
	{ RELAY "redirect_to = t@own.test\n", SHOP_MAIL, false },
	{ RELAY "redirect_to = t@own.test\n[policy " SHOP_MAIL
		"]\noutbound = yes\n",
	    SHOP_MAIL, true },
	{ RELAY "redirect_to = t@own.test\n[site b]\nroot = /\n"
		"[policy h]\nmail = outbox\n",
	    "h", false },
	{ "[site b]\nroot = /\nsmtp = r\n" SITE
	  "[smtp r]\nhost = x\nredirect_to = t@own.test\n",
	    SHOP_MAIL, true },
};

START_TEST(what_mails_is_held_on_a_copy_unless_it_goes_to_one_address)
{
	struct config *c = parse(on_a_copy[_i].text);
	struct slice hook = slice_str(on_a_copy[_i].hook);
	const struct route *route = config_route(c, "a", hook);

	ck_assert_int_eq(config_is_outbound(
			     c, "a", route, config_policy(c, "a", hook, route)),
	    on_a_copy[_i].held);
	config_unref(c);
}
END_TEST

START_TEST(a_queue_of_tasks_has_its_handlers_and_its_hook_a_route)
{
	struct config *c = parse(
	    TASKS "batch = 3\nhandler send_email = php:my_send\n"
		  "handler http_request = webhook\nhandler other = native\n"
		  "[tasks a/p]\nqueue = p_tasks\nlock = p_lock\nhook = run_p\n"
		  "expired = discard\nstale = run\nstale_for = 1h\n"
		  "[route]\nrun_p = php\n");
	const struct config_tasks *t = config_tasks(c, "a", 0);
	const struct route *route = config_route(c, "a", SLICE_LIT("run_q"));

	ck_assert_str_eq(t->queue, "q");
	ck_assert_str_eq(t->lock, "q_lock");
	ck_assert_uint_eq(t->batch, 3);
	ck_assert_int_eq(t->stale, TASK_STALE_DROP);
	ck_assert_uint_eq(t->stale_for_ms, 900000);
	ck_assert_uint_eq(t->nhandlers, 3);
	ck_assert_str_eq(t->handlers[0].type, "send_email");
	ck_assert_int_eq(t->handlers[0].kind, HANDLER_PHP);
	ck_assert_str_eq(t->handlers[0].function, "my_send");
	ck_assert_int_eq(t->handlers[1].kind, HANDLER_WEBHOOK);
	ck_assert_int_eq(t->handlers[2].kind, HANDLER_NATIVE);
	ck_assert_int_eq(route->kind, EXECUTOR_QUEUE);
	ck_assert_str_eq(route->target, "tasks");
	ck_assert_int_eq(
	    config_route(c, "b", SLICE_LIT("run_q"))->kind, EXECUTOR_PHP);
	/* The file's own line comes first. */
	ck_assert_int_eq(
	    config_route(c, "a", SLICE_LIT("run_p"))->kind, EXECUTOR_PHP);
	t = config_tasks(c, "a", 1);
	ck_assert_str_eq(t->queue, "p_tasks");
	ck_assert_str_eq(t->lock, "p_lock");
	ck_assert_int_eq(t->expired, TASK_EXPIRED_DISCARD);
	ck_assert_int_eq(t->stale, TASK_STALE_RUN);
	ck_assert_uint_eq(t->stale_for_ms, 3600000);
	ck_assert_ptr_null(config_tasks(c, "a", 2));
	ck_assert_ptr_null(config_tasks(c, "b", 0));
	config_unref(c);
}
END_TEST

static const struct policy *
policy_of(const struct config *c, const char *hook)
{
	struct slice h = slice_str(hook);

	return config_policy(c, "a", h, config_route(c, "a", h));
}

#define SHOP "woocommerce_send_queued_transactional_email"

START_TEST(a_shops_mails_are_serial_and_go_to_the_outbox_unless_set)
{
	struct config *c = parse(SITE);

	ck_assert_uint_eq(policy_of(c, SHOP)->concurrency, 1);
	ck_assert_uint_eq(policy_of(c, SHOP)->retries, 0);
	ck_assert_int_eq(policy_of(c, SHOP)->mail, MAIL_BY_OUTBOX);
	ck_assert_uint_eq(policy_of(c, "x")->concurrency, 0);
	ck_assert_int_eq(policy_of(c, "x")->mail, MAIL_BY_PHP);
	config_unref(c);
	c = parse(SITE "[policy " SHOP "]\ntimeout = 60s\n");
	ck_assert_uint_eq(policy_of(c, SHOP)->concurrency, 1);
	ck_assert_uint_eq(policy_of(c, SHOP)->timeout_ms, 60000);
	config_unref(c);
	c = parse(SITE "[policy " SHOP "]\nconcurrency = 3\nmail = php\n"
		       "[policy *]\nmail = outbox\n");
	ck_assert_uint_eq(policy_of(c, SHOP)->concurrency, 3);
	ck_assert_int_eq(policy_of(c, SHOP)->mail, MAIL_BY_PHP);
	ck_assert_int_eq(policy_of(c, "x")->mail, MAIL_BY_OUTBOX);
	config_unref(c);
}
END_TEST

START_TEST(what_is_said_of_all_hooks_makes_no_shops_mail_twice)
{
	struct config *c = parse(SITE "[policy *]\nretries = 5\n"
				      "concurrency = 4\nidempotent = yes\n"
				      "timeout = 60s\n");

	ck_assert_uint_eq(policy_of(c, SHOP)->retries, 0);
	ck_assert_uint_eq(policy_of(c, SHOP)->concurrency, 1);
	ck_assert(!policy_of(c, SHOP)->idempotent);
	ck_assert_uint_eq(policy_of(c, SHOP)->timeout_ms, 60000);
	ck_assert_uint_eq(policy_of(c, "x")->retries, 5);
	ck_assert_uint_eq(policy_of(c, "x")->concurrency, 4);
	config_unref(c);
	c = parse(SITE "[policy " SHOP "]\nretries = 2\nidempotent = yes\n"
		       "[policy *]\nretries = 5\n");
	ck_assert_uint_eq(policy_of(c, SHOP)->retries, 2);
	ck_assert(policy_of(c, SHOP)->idempotent);
	config_unref(c);
}
END_TEST

START_TEST(the_schedule_of_messages_runs_their_queue_unless_switched_off)
{
	static const char *const hooks[] = {
		"AHEE__EE_Messages_Scheduler__generation",
		"AHEE__EE_Messages_Scheduler__sending"
	};
	struct config *c = parse(SITE);
	struct slice hook = slice_str(hooks[_i]);

	ck_assert_int_eq(config_route(c, "a", hook)->kind, EXECUTOR_QUEUE);
	ck_assert_str_eq(config_route(c, "a", hook)->target, "messages");
	config_unref(c);
	c = parse(SITE "messages = no\n");
	ck_assert_int_eq(config_route(c, "a", hook)->kind, EXECUTOR_PHP);
	config_unref(c);
}
END_TEST

Suite *config_mail_suite(void);

Suite *
config_mail_suite(void)
{
	Suite *s = suite_create("config_mail");
	TCase *tc = tcase_create("config_mail");

	tcase_add_loop_test(
	    tc, what_is_wrong_is_named_with_its_line, 0, (int)NELEMS(bad_rows));
	tcase_add_test(tc, a_site_has_the_relay_that_it_names);
	tcase_add_test(tc, each_site_has_its_own_of_several_relays);
	tcase_add_loop_test(tc,
	    what_mails_is_held_on_a_copy_unless_it_goes_to_one_address, 0,
	    (int)NELEMS(on_a_copy));
	tcase_add_test(
	    tc, a_queue_of_tasks_has_its_handlers_and_its_hook_a_route);
	tcase_add_test(tc, what_is_said_of_all_hooks_makes_no_shops_mail_twice);
	tcase_add_test(
	    tc, a_shops_mails_are_serial_and_go_to_the_outbox_unless_set);
	tcase_add_loop_test(tc,
	    the_schedule_of_messages_runs_their_queue_unless_switched_off, 0,
	    2);
	suite_add_tcase(s, tc);
	return s;
}
