#include "base/config.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config_options.h"

#define SITE "[site a]\nroot = /tmp\n"

static struct config *
parse(const char *text)
{
	struct config *c = NULL;
	struct err err = ERR_INIT;
	enum rc rc = config_parse(slice_str(text), "f.conf", NULL, &c, &err);

	ck_assert_msg(rc == RC_OK, "%s", err.text);
	return c;
}

static const struct {
	const char *text, *words;
} bad_rows[] = {
	{ "[daemon]\nworkerz = 3\n",
	    "f.conf:2: unknown key \"workerz\" in [daemon]; did you mean "
	    "workers?" },
	{ "[daemon]\nxyzzy = 3\n",
	    "f.conf:2: unknown key \"xyzzy\" in [daemon]" },
	{ "[daemon]\n\n; c\nworkers = many\n",
	    "f.conf:4: workers must be a whole number" },
	{ "[daemon]\nworkers = 1\n",
	    "f.conf:2: workers must be from 2 to 256" },
	{ "[daemon]\nworkers = -4\n",
	    "f.conf:2: workers must be from 2 to 256" },
	{ "[daemon]\nworkers =\n", "f.conf:2: workers must be a whole number" },
	{ "[daemon]\nworkers = 4\nworkers = 4\n",
	    "f.conf:3: workers is set twice" },
	{ "[daemon]\nheartbeat = 10\n",
	    "f.conf:2: heartbeat must be a duration with its unit, like 500ms, "
	    "30s, 1m, 2h or 1d" },
	{ "[daemon]\nlook_interval = 49ms\n",
	    "f.conf:2: look_interval must be from 50ms to 3600000ms" },
	{ "[daemon]\nheartbeat = 20s\n",
	    "f.conf:1: heartbeat must be half of node_expiry at most" },
	{ "[daemon]\nphp_children = 4\n",
	    "f.conf:1: php_children must be less than workers: one is kept for "
	    "native work" },
	{ "[daemon]\nlisten = /run/x.sock\n",
	    "f.conf:2: listen must be unix:PATH or HOST:PORT" },
	{ "[daemon]\nlisten = unix:x.sock\n",
	    "f.conf:2: listen must name an absolute path after unix:" },
	{ "[daemon]\nlisten = localhost:0\n",
	    "f.conf:2: listen must be unix:PATH or HOST:PORT" },
	{ "[daemon]\nlisten = localhost:70000\n",
	    "f.conf:2: listen must be unix:PATH or HOST:PORT" },
	{ "[daemon]\nlog_level = loud\n",
	    "f.conf:2: log_level must be err, warn, info or debug" },
	{ "[daemon]\n[daemon]\n",
	    "f.conf:2: a second [daemon], the first is on line 1" },
	{ "[demon]\n",
	    "f.conf:1: unknown section [demon]; did you mean [daemon]?" },
	{ SITE "[integration a]\n",
	    "f.conf:3: [integration SITE/ID] names a site and one of its "
	    "integrations, for instance [integration a/esp]" },
	{ SITE "[fields a/b/c]\n",
	    "f.conf:3: [fields SITE/ID] names a site and one of its "
	    "integrations, for instance [fields a/esp]" },
	{ SITE "[integration b/esp]\n", "f.conf:3: there is no site \"b\"" },
	{ SITE "[integration a/esp]\n[integration a/esp]\n",
	    "f.conf:4: a second [integration a/esp], the first is on line 3" },
	{ SITE "[integration a/esp]\nprovider = mailgun\n",
	    "f.conf:4: provider must be mailchimp, active_campaign, "
	    "constant_contact, brevo, webhook or php" },
	{ SITE "[integration a/esp]\nshare = 0\n",
	    "f.conf:4: share must be from 1 to 100" },
	{ SITE "[fields a/esp]\nX = user:id\n[fields a/esp]\nY = role\n",
	    "f.conf:5: a second [fields a/esp]" },
	{ SITE "[fields a/esp]\nX = user:pass\n",
	    "f.conf:4: unknown source \"user:pass\"; there are user:id, "
	    "user:email, user:login, user:name, user:registered, user:url, "
	    "role, meta:KEY and text:WORDS" },
	{ "workers = 4\n", "f.conf:1: a section heading must come first" },
	{ "[daemon\n",
	    "f.conf:1: a section is [daemon], [site NAME], [route], [policy "
	    "HOOK], [integration SITE/ID], [fields SITE/ID], [smtp NAME] or "
	    "[tasks SITE/NAME]" },
	{ "[daemon]\nworkers\n",
	    "f.conf:2: neither a section nor key = value" },
	{ "[daemon]\nlisten = \"unix:/x\n",
	    "f.conf:2: the value's quotes do not match" },
	{ SITE "[site a]\nroot = /\n", "f.conf:3: a second [site a]" },
	{ "[site]\n", "f.conf:1: [site NAME] needs a name of letters, digits, "
		      "_ . and -" },
	{ "[site a/b]\n", "f.conf:1: [site NAME] needs a name of letters, "
			  "digits, _ . and -" },
	{ "[site a]\nroot = www\n", "f.conf:2: root must be an absolute path" },
	{ "[site a]\ncleanup = true\n", "f.conf:2: cleanup must be yes or no" },
	{ "[site a]\ntable_prefix = wp-\n",
	    "f.conf:2: table_prefix may have letters, digits and _ only, 48 at "
	    "most" },
	{ "[site a]\nhooks = a,,b\n",
	    "f.conf:2: hooks must be a list with commas between, none empty" },
	{ "[site a]\nhome = example.org\n", "f.conf:2: home must be a URL that "
					    "begins with https:// or http://" },
	{ "[site a]\n",
	    "f.conf: site a has no root: set root = DIR in its [site] section, "
	    "or start with --root DIR" },
	{ SITE "[route]\nx = phq\n",
	    "f.conf:4: unknown executor \"phq\"; did you mean php?" },
	{ SITE "[route]\nx = smtp\n",
	    "f.conf:4: unknown executor \"smtp\"; there are php, webhook "
	    "URL, queue:NAME and contact-sync" },
	{ SITE "[route]\nx = queue:acions\n",
	    "f.conf:4: unknown queue \"acions\"; did you mean queue:actions" },
	{ SITE "[route]\nx = webhook\n",
	    "f.conf:4: webhook \"\" must be a URL that begins with https:// or "
	    "http://" },
	{ SITE "[route]\nx = php\nx = php\n",
	    "f.conf:5: a second route for x" },
	{ SITE "[route]\nsite = b\nx = php\n",
	    "f.conf:4: there is no site \"b\"" },
	{ "[site shop]\nroot = /tmp\n[route]\nsite = shpo\n",
	    "f.conf:4: there is no site \"shpo\"; did you mean shop?" },
	{ SITE "[route x]\n",
	    "f.conf:3: [route] has no name; limit it by site = x" },
	{ SITE "[policy]\n", "f.conf:3: the hook's name is missing" },
	{ SITE "[policy x]\ncolour = red\n",
	    "f.conf:4: unknown key \"colour\" in [policy]" },
	{ SITE "[policy x]\nretires = 1\n",
	    "f.conf:4: unknown key \"retires\" in [policy]; did you mean "
	    "retries?" },
	{ SITE "[policy x]\n[policy x]\n",
	    "f.conf:4: a second [policy x], the first is on line 3" },
	{ SITE "[policy x]\nsite = c\n", "f.conf:3: there is no site \"c\"" },
	{ SITE "[policy x]\nbackoff = 30s\n",
	    "f.conf:4: backoff must be MIN..MAX, like 30s..2h" },
	{ SITE "[policy x]\nbackoff = 2h..30s\n",
	    "f.conf:4: backoff must not shrink from MIN to MAX" },
	{ SITE "[policy x]\nrate = 200\n",
	    "f.conf:4: rate must be a number in a unit: /s, /min, /h or /d" },
	{ SITE "[policy x]\nrate = 0/s\n",
	    "f.conf:4: rate must be 1 to 1000000 in a unit, like 5/s, 10/min, "
	    "200/h" },
	{ "[site a]\nmode = off\n", "f.conf:2: mode must be observe or run" },
	{ SITE "[policy x]\ncatch_up = yes\n",
	    "f.conf:4: catch_up must be once, skip or all" },
	{ SITE "[policy x]\noverlap = 2\n",
	    "f.conf:4: overlap must be yes or no" },
	{ SITE "[policy x]\nmax_age = 8d\n",
	    "f.conf:4: max_age must be from 0ms to 604800000ms" },
	{ SITE "[policy x]\nseries_after_crash = yes\n",
	    "f.conf:4: series_after_crash must be insert or php" },
};

START_TEST(an_error_names_file_line_and_the_nearest_name)
{
	struct config *c = (struct config *)&c;
	struct err err = ERR_INIT;
	enum rc rc = config_parse(
	    slice_str(bad_rows[_i].text), "f.conf", NULL, &c, &err);

	ck_assert_int_eq(rc, RC_REJECT);
	ck_assert_str_eq(err.text, bad_rows[_i].words);
	ck_assert_ptr_null(c);
}
END_TEST

START_TEST(without_a_file_the_defaults_hold_for_one_site)
{
	struct config *c = NULL;
	struct err err = ERR_INIT;
	const struct config_daemon *d;

	ck_assert_int_eq(config_load(NULL, "/tmp/", &c, &err), RC_OK);
	d = &c->daemon;
	ck_assert_ptr_null(c->path);
	ck_assert_uint_eq(c->nsites, 1);
	ck_assert_str_eq(c->sites[0].name, "default");
	ck_assert_str_eq(c->sites[0].root, "/tmp");
	ck_assert(c->sites[0].cleanup && c->sites[0].series_after_crash);
	ck_assert(c->sites[0].cron && !c->sites[0].observe &&
		  c->sites[0].missed_posts);
	ck_assert(!d->listen && d->server_threads == 2 && d->workers == 4 &&
		  d->php_children == 2 && d->native_batch == 100 &&
		  d->php_batch == 100);
	ck_assert(d->shutdown_grace_ms == 20000 &&
		  d->look_interval_ms == 1000 && d->heartbeat_ms == 10000 &&
		  d->node_expiry_ms == 30000);
	ck_assert(d->max_waiters == 64 && d->request_timeout_ms == 10000 &&
		  d->host_concurrency == 32 && d->db_connections == 10 &&
		  d->log_level == LOG_INFO);
	config_unref(c);
	ck_assert_int_eq(config_load(NULL, NULL, &c, &err), RC_REJECT);
}
END_TEST

START_TEST(values_comments_quotes_and_indents_are_read)
{
	struct config *c = parse("\xEF\xBB\xBF[daemon] ; first\r\n"
				 "  workers = 8 ; eight\n"
				 "\tlog_level=debug\n"
				 "listen: unix:/run/a;b.sock\n"
				 "# comment\n"
				 "[site a]\n"
				 "root = /tmp//\n"
				 "db_password = \"a ; \\\"b\\\\\" ; secret\n"
				 "hooks = a_*, b ,c\n"
				 "home = https://example.org/x/\n"
				 "mode = observe\nmissed_posts = no\n"
				 "series_after_crash = php");
	const struct config_site *s = &c->sites[0];

	ck_assert_uint_eq(c->daemon.workers, 8);
	ck_assert_int_eq(c->daemon.log_level, LOG_DEBUG);
	ck_assert_str_eq(c->daemon.listen, "unix:/run/a;b.sock");
	ck_assert_str_eq(s->root, "/tmp");
	ck_assert_str_eq(s->db_password, "a ; \"b\\");
	ck_assert_uint_eq(s->hooks.n, 3);
	ck_assert_str_eq(s->hooks.items[1], "b");
	ck_assert_uint_eq(s->except.n, 0);
	ck_assert_str_eq(s->home, "https://example.org/x");
	ck_assert(!s->series_after_crash);
	ck_assert(s->observe && !s->missed_posts && s->cron);
	config_unref(c);
}
END_TEST

START_TEST(a_default_gives_way_to_what_is_set)
{
	struct config *c = parse(SITE "[daemon]\nnode_expiry = 1s\n"
				      "workers = 2\n");

	ck_assert_uint_eq(c->daemon.heartbeat_ms, 333);
	ck_assert_uint_eq(c->daemon.php_children, 1);
	config_unref(c);
}
END_TEST

#define LONG_HOOK "woocommerce_send_queued_transactional_email_of_the_shop"

static const char routes_text[] =
    "[site a]\nroot = /tmp\n[site b]\nroot = /usr\n"
    "[route]\nsite = b\nwc_* = webhook https://b.example/\n"
    "[route]\nwc_mail = php\n"
    "my_* = webhook http://example.com/hook?x=1 ; all of mine\n"
    "action_scheduler_run_queue = php\n"
    "[policy wc_mail]\nsite = b\nretries = 9\npaused = yes\n"
    "[policy " LONG_HOOK "]\ntimeout = 60s\nconcurrency = 1\n"
    "overlap = yes\ncatch_up = skip\nmax_age = 10m\n"
    "[policy my_*]\nbackoff = 1s..1m\nrate = 10/min\nidempotent = no\n"
    "outbound = no\nsecret = whsec_eA==\nseries_after_crash = php\n";

static const struct {
	const char *site, *hook;
	enum executor_kind kind;
	const char *target;
} route_rows[] = {
	{ "a", "wc_mail", EXECUTOR_PHP, NULL },
	{ "b", "wc_mail", EXECUTOR_WEBHOOK, "https://b.example" },
	{ NULL, "wc_mail", EXECUTOR_PHP, NULL },
	{ "a", "wc_other", EXECUTOR_PHP, NULL },
	{ "a", "my_x", EXECUTOR_WEBHOOK, "http://example.com/hook?x=1" },
	{ "a", "action_scheduler_run_queue", EXECUTOR_PHP, NULL },
	{ "a", "", EXECUTOR_PHP, NULL },
};

START_TEST(the_first_route_that_matches_holds)
{
	struct config *c = parse(routes_text);
	const struct route *r = config_route(
	    c, route_rows[_i].site, slice_str(route_rows[_i].hook));

	ck_assert_int_eq(r->kind, route_rows[_i].kind);
	if (route_rows[_i].target)
		ck_assert_str_eq(r->target, route_rows[_i].target);
	else
		ck_assert_ptr_null(r->target);
	config_unref(c);
}
END_TEST

START_TEST(the_built_in_routes_come_last)
{
	struct config *c = parse(SITE);
	const struct route *r =
	    config_route(c, "a", SLICE_LIT("action_scheduler_run_queue"));

	ck_assert_uint_eq(c->nroutes, 7);
	ck_assert_int_eq(r->kind, EXECUTOR_QUEUE);
	ck_assert_str_eq(r->target, "actions");
	ck_assert_str_eq(c->routes[6].pattern, "*");
	config_unref(c);
}
END_TEST

START_TEST(a_site_that_leaves_contacts_to_php_has_no_route_for_them)
{
	struct slice batch = SLICE_LIT("newspack_contact_cron_batch");
	struct slice retry = SLICE_LIT("newspack_contact_sync_retry");
	struct config *on = parse(SITE), *off = parse(SITE "contacts = no\n");

	ck_assert_int_eq(config_route(on, "a", batch)->kind, EXECUTOR_QUEUE);
	ck_assert_str_eq(config_route(on, "a", batch)->target, "contacts");
	ck_assert_int_eq(config_route(on, "a", retry)->kind, EXECUTOR_CONTACT);
	ck_assert_int_eq(config_route(off, "a", batch)->kind, EXECUTOR_PHP);
	ck_assert_int_eq(config_route(off, "a", retry)->kind, EXECUTOR_PHP);
	config_unref(on);
	config_unref(off);
}
END_TEST

START_TEST(an_integration_has_its_settings_and_its_field_map)
{
	struct config *c = parse(
	    SITE "[fields a/crm]\nNP_Account = user:id\nNP_Town = meta:town\n"
		 "[integration a/esp]\nprovider = brevo\nkey = k ; a key\n"
		 "pull = no\nincoming = A, B\n"
		 "[integration a/crm]\npayload = native\nshare = 10\n");
	const struct config_integration *esp =
	    config_integration(c, "a", SLICE_LIT("esp"));
	const struct config_integration *crm =
	    config_integration(c, "a", SLICE_LIT("crm"));

	ck_assert_uint_eq(config_integration(c, "a", SLICE_LIT("es"))->line, 0);
	ck_assert_uint_eq(
	    config_integration(c, "b", SLICE_LIT("esp"))->share, 60);
	ck_assert_str_eq(esp->provider, "brevo");
	ck_assert_str_eq(esp->key, "k");
	ck_assert(esp->push && !esp->pull && esp->fingerprints);
	ck_assert_uint_eq(esp->share, 60);
	ck_assert_uint_eq(esp->incoming.n, 2);
	ck_assert_int_eq(esp->payload, PAYLOAD_PHP);
	ck_assert_uint_eq(esp->nfields, 0);
	ck_assert_ptr_null(crm->provider);
	ck_assert_int_eq(crm->payload, PAYLOAD_NATIVE);
	ck_assert_uint_eq(crm->nfields, 2);
	ck_assert_str_eq(crm->fields[1].label, "NP_Town");
	ck_assert_str_eq(crm->fields[1].source, "meta:town");
	config_unref(c);
}
END_TEST

static const struct policy *
policy_of(const struct config *c, const char *site, const char *hook)
{
	return config_policy(
	    c, site, slice_str(hook), config_route(c, site, slice_str(hook)));
}

START_TEST(defaults_of_a_policy_are_its_executors)
{
	struct config *c = parse(routes_text);
	const struct policy *php = policy_of(c, "a", "other");
	const struct policy *web = policy_of(c, "b", "wc_x");

	ck_assert(php->timeout_ms == 300000 && php->retries == 0 &&
		  !php->idempotent && !php->outbound &&
		  php->series_after_crash);
	ck_assert(web->timeout_ms == 30000 && web->retries == 5 &&
		  web->backoff_min_ms == 30000 &&
		  web->backoff_max_ms == 7200000 && web->idempotent &&
		  web->outbound && !web->secret);
	ck_assert(web->rate.count == 0 && web->concurrency == 0);
	ck_assert(
	    !php->overlap && web->overlap &&
	    policy_of(c, "b", "action_scheduler_run_queue")->overlap == false);
	ck_assert(php->catch_up == CATCH_UP_ONCE && php->max_age_ms == 0);
	ck_assert_ptr_eq(php, policy_of(c, "a", "another"));
	config_unref(c);
}
END_TEST

START_TEST(a_policy_changes_only_what_it_sets)
{
	struct config *c = parse(routes_text);
	const struct policy *mail = policy_of(c, "b", "wc_mail");
	const struct policy *mine = policy_of(c, "a", "my_x");
	const struct policy *slow = policy_of(c, "a", LONG_HOOK);

	ck_assert(mail->retries == 9 && mail->paused && mail->idempotent);
	ck_assert(policy_of(c, "a", "wc_mail")->retries == 0);
	ck_assert(slow->timeout_ms == 60000 && slow->concurrency == 1);
	ck_assert(slow->overlap && slow->catch_up == CATCH_UP_SKIP &&
		  slow->max_age_ms == 600000);
	ck_assert(mine->backoff_min_ms == 1000 &&
		  mine->backoff_max_ms == 60000 && mine->rate.count == 10 &&
		  mine->rate.per_s == 60 && !mine->idempotent &&
		  !mine->outbound && !mine->series_after_crash &&
		  mine->retries == 5);
	ck_assert_str_eq(mine->secret, "whsec_eA==");
	config_unref(c);
}
END_TEST

START_TEST(the_site_says_what_a_crash_does_to_a_series)
{
	struct config *c = parse("[site a]\nroot = /tmp\n[site b]\nroot = /\n"
				 "series_after_crash = php\n"
				 "[policy x]\nseries_after_crash = insert\n");

	ck_assert(policy_of(c, "a", "y")->series_after_crash);
	ck_assert(!policy_of(c, "b", "y")->series_after_crash);
	ck_assert(policy_of(c, "b", "x")->series_after_crash);
	config_unref(c);
}
END_TEST

START_TEST(a_root_picks_its_site)
{
	static const char text[] = "[site a]\nroot = /usr\n"
				   "[site b]\nroot = /tmp\n";
	struct config *c = NULL;
	struct err err = ERR_INIT;

	ck_assert_int_eq(
	    config_parse(slice_str(text), "f", "/tmp/../tmp", &c, &err), RC_OK);
	ck_assert_uint_eq(c->nsites, 1);
	ck_assert_str_eq(c->sites[0].name, "b");
	config_unref(c);
	ck_assert_int_eq(
	    config_parse(slice_str(text), "f", "/var", &c, &err), RC_REJECT);
	ck_assert_str_eq(err.text, "f: no [site] has root = /var");
	ck_assert_int_eq(config_parse(SLICE_LIT("[site x]\ncron = no\n"), "f",
			     "/var", &c, &err),
	    RC_OK);
	ck_assert_str_eq(c->sites[0].root, "/var");
	ck_assert(!c->sites[0].cron);
	config_unref(c);
}
END_TEST

START_TEST(a_snapshot_lives_until_its_last_user_is_done)
{
	struct config *c = parse(SITE);

	ck_assert_ptr_eq(config_ref(c), c);
	config_unref(c);
	ck_assert_str_eq(c->sites[0].name, "a");
	config_unref(c);
	config_unref(NULL);
}
END_TEST

START_TEST(a_reload_is_told_what_needs_a_restart)
{
	struct config *a = parse(SITE), *b = parse(SITE "[daemon]\n"
							"log_level = err\n");
	struct config *w = parse(SITE "[daemon]\nworkers = 9\n");
	struct config *l = parse(SITE "[daemon]\nlisten = unix:/x\n");
	struct config *h = parse(SITE "home = https://example.org\n");
	struct config *p = parse(SITE "php_fpm = unix:/x\n");
	struct config *two = parse(SITE "[site b]\nroot = /usr\n");

	ck_assert_ptr_null(config_needs_restart(a, b));
	ck_assert_str_eq(config_needs_restart(a, w), "workers");
	ck_assert_str_eq(config_needs_restart(a, l), "listen");
	ck_assert_str_eq(config_needs_restart(a, h), "home");
	ck_assert_ptr_null(config_needs_restart(a, p));
	ck_assert_str_eq(config_needs_restart(a, two), "[site]");
	config_unref(h);
	config_unref(p);
	config_unref(two);
	config_unref(a);
	config_unref(b);
	config_unref(w);
	config_unref(l);
}
END_TEST

START_TEST(what_is_not_text_or_too_long_is_refused)
{
	static char big[300 * 1024];
	struct config *c;
	struct err err = ERR_INIT;

	ck_assert_int_eq(config_parse(slice_mem("[daemon]\na\0b = 1\n", 17),
			     "f", "/", &c, &err),
	    RC_REJECT);
	ck_assert_str_eq(err.text, "f:2: the line is not text");
	memset(big, 'x', 5000);
	ck_assert_int_eq(
	    config_parse(slice_mem(big, 5000), "f", "/", &c, &err), RC_REJECT);
	ck_assert_str_eq(err.text, "f:1: the line is too long");
	memset(big, '\n', sizeof big);
	memcpy(big, "[route]\n", 8);
	for (size_t i = 8; i + 8 < sizeof big; i += 8)
		memcpy(big + i, "ab = ph\n", 8);
	ck_assert_int_eq(
	    config_parse(slice_mem(big, sizeof big), "f", "/", &c, &err),
	    RC_REJECT);
	ck_assert_str_eq(err.text, "f:4098: the file is too large");
	ck_assert_int_eq(
	    config_load("/nonexistent/x.conf", "/", &c, &err), RC_REJECT);
	ck_assert_int_eq(config_load("/tmp", "/", &c, &err), RC_REJECT);
	ck_assert_ptr_null(c);
}
END_TEST

/* The example, with every commented option made one. */
static void
uncomment(const struct buf *from, struct buf *to)
{
	struct slice rest = buf_slice(from);

	while (rest.n > 0) {
		size_t eol = slice_find(rest, '\n');
		struct slice line = slice_mem(rest.p, eol);

		if (line.n > 1 && line.p[0] == ';' && line.p[1] != ' ')
			line = slice_from(line, 1);
		buf_put_slice(to, line);
		buf_put_char(to, '\n');
		rest = slice_from(rest, eol + 1);
	}
}

START_TEST(the_example_holds_the_defaults_and_every_option_works)
{
	struct buf text = BUF_INIT(1 << 20), all = BUF_INIT(1 << 20);
	struct config *c = NULL, *d = NULL;
	struct err err = ERR_INIT;

	config_example(&text);
	ck_assert(!text.failed);
	uncomment(&text, &all);
	ck_assert_msg(config_parse(buf_slice(&text), "example", "/tmp", &c,
			  &err) == RC_OK,
	    "%s", err.text);
	ck_assert_msg(
	    config_parse(buf_slice(&all), "example", NULL, &d, &err) == RC_OK,
	    "%s", err.text);
	/* All but `listen`, which has no default. */
	d->daemon.listen = NULL;
	ck_assert_int_eq(memcmp(&c->daemon, &d->daemon, sizeof c->daemon), 0);
	ck_assert_str_eq(d->sites[0].db_password, "a ; b");
	for (int s = 0; s < OPTION_NSECTIONS; s++) {
		size_t n;
		const struct option *rows =
		    config_options((enum option_section)s, &n);

		for (size_t i = 0; i < n; i++) {
			char line[64];

			snprintf(line, sizeof line, "\n%s = ", rows[i].name);
			ck_assert_msg(
			    strstr(buf_str(&all), line), "%s", rows[i].name);
		}
	}
	config_unref(c);
	config_unref(d);
	buf_clear(&text);
	buf_clear(&all);
}
END_TEST

START_TEST(the_example_file_is_the_one_that_is_printed)
{
	struct buf text = BUF_INIT(1 << 20), file = BUF_INIT(1 << 20);
	char chunk[4096];
	size_t n;
	FILE *f = fopen("conf/wp-cron-fcgi.conf", "r");

	ck_assert_ptr_nonnull(f);
	while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
		buf_put(&file, chunk, n);
	fclose(f);
	config_example(&text);
	ck_assert_str_eq(buf_str(&file), buf_str(&text));
	buf_clear(&text);
	buf_clear(&file);
}
END_TEST

static void
add_lookups(TCase *tc)
{
	tcase_add_loop_test(
	    tc, the_first_route_that_matches_holds, 0, NELEMS(route_rows));
	tcase_add_test(tc, the_built_in_routes_come_last);
	tcase_add_test(
	    tc, a_site_that_leaves_contacts_to_php_has_no_route_for_them);
	tcase_add_test(tc, an_integration_has_its_settings_and_its_field_map);
	tcase_add_test(tc, defaults_of_a_policy_are_its_executors);
	tcase_add_test(tc, a_policy_changes_only_what_it_sets);
	tcase_add_test(tc, the_site_says_what_a_crash_does_to_a_series);
	tcase_add_test(tc, a_root_picks_its_site);
}

Suite *config_suite(void);
Suite *
config_suite(void)
{
	Suite *s = suite_create("config");
	TCase *tc = tcase_create("config");

	tcase_add_loop_test(tc, an_error_names_file_line_and_the_nearest_name,
	    0, NELEMS(bad_rows));
	tcase_add_test(tc, without_a_file_the_defaults_hold_for_one_site);
	tcase_add_test(tc, values_comments_quotes_and_indents_are_read);
	tcase_add_test(tc, a_default_gives_way_to_what_is_set);
	add_lookups(tc);
	tcase_add_test(tc, a_snapshot_lives_until_its_last_user_is_done);
	tcase_add_test(tc, a_reload_is_told_what_needs_a_restart);
	tcase_add_test(tc, what_is_not_text_or_too_long_is_refused);
	tcase_add_test(
	    tc, the_example_holds_the_defaults_and_every_option_works);
	tcase_add_test(tc, the_example_file_is_the_one_that_is_printed);
	suite_add_tcase(s, tc);
	return s;
}
