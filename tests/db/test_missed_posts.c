/* Scheduled posts whose event is lost get one of ours, once an hour. */
#include <string.h>

#include "db_test.h"
#include "queues/missed_posts.h"
#include "sql/schema.h"

Suite *missed_posts_suite(void);

#define V "s:7:\"version\";i:2;"
#define KEY_42 "9faa5555021560fb2a78d8c9f3513bc5"
#define TEXT_KEY_42 "e5061d7e497b6ff66d3e0795e73bc410"

static void
make_tables(const char *prefix)
{
	db_test_sql("CREATE TABLE %soptions (option_id BIGINT UNSIGNED NOT NULL"
		    " AUTO_INCREMENT PRIMARY KEY,"
		    " option_name VARCHAR(191) NOT NULL UNIQUE,"
		    " option_value LONGTEXT NOT NULL)",
	    prefix);
	db_test_sql("CREATE TABLE %sposts (ID BIGINT UNSIGNED NOT NULL"
		    " AUTO_INCREMENT PRIMARY KEY, post_date DATETIME NOT NULL,"
		    " post_date_gmt DATETIME NOT NULL,"
		    " post_status VARCHAR(20) NOT NULL DEFAULT 'publish',"
		    " post_type VARCHAR(20) NOT NULL DEFAULT 'post',"
		    " KEY type_status_date"
		    " (post_type, post_status, post_date, ID))",
	    prefix);
	db_test_sql(
	    "INSERT INTO %soptions VALUES (1, 'cron', 'a:1:{" V "}')", prefix);
}

static void
open_site(void)
{
	db_test_open();
	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	make_tables("wp_");
}

/* `late` seconds ago, in a site `hours` ahead of UTC. */
static void
add_post(
    unsigned id, const char *type, const char *status, long late, long hours)
{
	db_test_sql("INSERT INTO wp_posts VALUES (%u,"
		    " UTC_TIMESTAMP() - INTERVAL %ld SECOND"
		    "   + INTERVAL %ld HOUR,"
		    " UTC_TIMESTAMP() - INTERVAL %ld SECOND, '%s', '%s')",
	    id, late, hours, late, status, type);
}

static unsigned
found(void)
{
	unsigned n = 77;

	CK_RC(RC_OK, missed_posts_find(t.db, &t.scope, 1, &n, &t.err));
	return n;
}

static uint64_t
events(const char *where)
{
	return db_test_u64(
	    "SELECT COUNT(*) FROM wp_wpcron_events WHERE %s", where);
}

START_TEST(a_late_post_without_an_event_gets_one)
{
	add_post(42, "post", "future", 600, 2);
	ck_assert_uint_eq(found(), 1);
	ck_assert_uint_eq(
	    events("state = 'taken' AND claim_id = 0 AND blog_id = 1"
		   " AND hook = 'publish_future_post' AND try = 1"
		   " AND event_key = '" KEY_42 "' AND recurrence = ''"
		   " AND event = 'a:2:{s:8:\"schedule\";b:0;s:4:\"args\";"
		   "a:1:{i:0;i:42;}}' AND woken_by = 'missed'"
		   " AND next_at = 0 AND ended_at IS NULL"
		   " AND not_before <= UTC_TIMESTAMP(6)"
		   " AND taken_at > UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE"
		   " AND scheduled_at = (SELECT TIMESTAMPDIFF(SECOND,"
		   " '1970-01-01', post_date_gmt) FROM wp_posts)"
		   " AND slot = UNHEX(MD5(CONCAT(scheduled_at, CHAR(0), hook,"
		   " CHAR(0), event_key)))"),
	    1);
}
END_TEST

static const struct {
	const char *what, *type, *status;
	long late, hours;
	unsigned want;
} posts[] = {
	{ "just late", "post", "future", 121, 0, 1 },
	{ "not late enough", "post", "future", 100, 0, 0 },
	{ "not due", "post", "future", -600, 0, 0 },
	{ "a month late", "post", "future", 2592000, 0, 1 },
	{ "east of UTC", "post", "future", 180, 14, 1 },
	{ "west of UTC", "post", "future", 180, -12, 1 },
	{ "of another type", "an-unusual-type-name", "future", 600, 0, 1 },
	{ "published", "post", "publish", 600, 0, 0 },
	{ "a draft", "post", "draft", 600, 0, 0 },
	{ "without a date", "post", "future", 1795000000, 0, 0 },
};

START_TEST(which_posts_are_missed)
{
	add_post(42, posts[_i].type, posts[_i].status, posts[_i].late,
	    posts[_i].hours);
	if (posts[_i].late == 1795000000)
		db_test_sql("UPDATE wp_posts SET"
			    " post_date_gmt = '0000-00-00'");
	ck_assert_msg(
	    found() == posts[_i].want, "a post that is %s", posts[_i].what);
}
END_TEST

/* An option in which one event publishes a post. */
#define OPTION(hook_len, hook, key, value)                                     \
	"a:2:{i:1900000000;a:1:{s:" hook_len ":\"" hook "\";a:1:{s:32:\"" key  \
	"\";a:2:{s:8:\"schedule\";b:0;s:4:\"args\";a:1:{i:0;" value "}}}}" V   \
	"}"

static const struct {
	const char *what, *option;
	unsigned want;
} options[] = {
	{ "its event", OPTION("19", "publish_future_post", KEY_42, "i:42;"),
	    0 },
	{ "its event, by an id that is text",
	    OPTION("19", "publish_future_post", TEXT_KEY_42, "s:2:\"42\";"),
	    0 },
	{ "another post's event",
	    OPTION("19", "publish_future_post",
		"00000000000000000000000000000000", "i:43;"),
	    1 },
	{ "another hook", OPTION("4", "else", KEY_42, "i:42;"), 1 },
	{ "no events", "a:1:{" V "}", 1 },
	{ "no array", "", 1 },
};

START_TEST(an_event_in_the_option_is_waited_for)
{
	add_post(42, "post", "future", 600, 0);
	db_test_sql(
	    "UPDATE wp_options SET option_value = '%s'", options[_i].option);
	ck_assert_msg(found() == options[_i].want, "with %s", options[_i].what);
}
END_TEST

START_TEST(without_an_option_posts_are_repaired_too)
{
	add_post(42, "post", "future", 600, 0);
	db_test_sql("DELETE FROM wp_options");
	ck_assert_uint_eq(found(), 1);
}
END_TEST

static const char *const unreadable[] = {
	"a:2:{",
	"a:1:{i:5;a:1:{s:1:\"h\";a:2:{s:8:\"schedule\";b:0;s:4:\"args\";"
	"a:0:{}}}}",
};

START_TEST(an_option_that_cannot_be_read_ends_it)
{
	unsigned n = 77;

	add_post(42, "post", "future", 600, 0);
	db_test_sql(
	    "UPDATE wp_options SET option_value = '%s'", unreadable[_i]);
	CK_RC(RC_REJECT, missed_posts_find(t.db, &t.scope, 1, &n, &t.err));
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_eq(events("1"), 0);
}
END_TEST

/* What became of the event that was put for it. */
static const struct {
	const char *what, *set;
	unsigned want;
} pasts[] = {
	{ "waits", "try = 1", 0 },
	{ "waits for its next try", "try = 2", 0 },
	{ "is claimed", "claim_id = 5", 0 },
	{ "runs", "state = 'running', claim_id = 5", 0 },
	{ "waits under another date", "scheduled_at = 5, slot = 'x'", 0 },
	{ "failed a minute ago",
	    "state = 'failed', ended_at = UTC_TIMESTAMP(6) - INTERVAL 60"
	    " SECOND",
	    0 },
	{ "is done since 59 minutes",
	    "state = 'done', ended_at = UTC_TIMESTAMP(6) - INTERVAL 59 MINUTE",
	    0 },
	{ "failed an hour ago",
	    "state = 'failed', ended_at = UTC_TIMESTAMP(6) - INTERVAL 61"
	    " MINUTE",
	    1 },
	{ "is another blog's", "blog_id = 2", 1 },
};

START_TEST(a_post_is_repaired_once_an_hour)
{
	add_post(42, "post", "future", 7200, 0);
	ck_assert_uint_eq(found(), 1);
	db_test_sql("UPDATE wp_wpcron_events SET %s", pasts[_i].set);
	ck_assert_msg(
	    found() == pasts[_i].want, "its event %s", pasts[_i].what);
}
END_TEST

START_TEST(posts_that_stay_do_not_hide_others)
{
	db_test_sql("INSERT INTO wp_posts SELECT seq, '2020-01-01',"
		    " '2020-01-01', 'future', 'post' FROM seq_1_to_250");
	ck_assert_uint_eq(found(), 200);
	ck_assert_uint_eq(found(), 50);
	db_test_sql("UPDATE wp_wpcron_events SET state = 'failed',"
		    " ended_at = UTC_TIMESTAMP(6)");
	add_post(1000, "post", "future", 600, 0);
	add_post(1001, "zebra", "future", 600, 0);
	add_post(1002, "attachment", "future", 600, 0);
	ck_assert_uint_eq(found(), 3);
	ck_assert_uint_eq(events("state = 'taken'"), 3);
}
END_TEST

START_TEST(each_blog_has_its_own_posts)
{
	struct sql_scope two = t.scope;
	unsigned n = 0;

	two.prefix = "wp_2_";
	make_tables("wp_2_");
	add_post(42, "post", "future", 600, 0);
	db_test_sql("INSERT INTO wp_2_posts SELECT * FROM wp_posts");
	ck_assert_uint_eq(found(), 1);
	CK_RC(RC_OK, missed_posts_find(t.db, &two, 2, &n, &t.err));
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(events("blog_id = 2"), 1);
}
END_TEST

struct racer {
	struct db *db;
	unsigned n;
	enum rc rc;
	struct err err;
};

static void *
race(void *arg)
{
	struct racer *r = arg;

	db_thread_begin();
	r->rc = missed_posts_find(r->db, &t.scope, 1, &r->n, &r->err);
	db_thread_end();
	return NULL;
}

START_TEST(nodes_that_look_at_once_repair_a_post_once)
{
	enum {
		RACERS = 4
	};
	struct racer r[RACERS] = { 0 };
	pthread_t threads[RACERS];
	unsigned sum = 0;

	db_test_sql("INSERT INTO wp_posts SELECT seq, '2020-01-01',"
		    " '2020-01-01', 'future', 'post' FROM seq_1_to_150");
	for (size_t i = 0; i < RACERS; i++) {
		r[i].db = db_test_connect();
		ck_assert_int_eq(
		    pthread_create(&threads[i], NULL, race, &r[i]), 0);
	}
	for (size_t i = 0; i < RACERS; i++) {
		pthread_join(threads[i], NULL);
		ck_assert_msg(r[i].rc == RC_OK, "%s", r[i].err.text);
		sum += r[i].n;
		db_close(r[i].db);
	}
	ck_assert_uint_eq(sum, 150);
	ck_assert_uint_eq(events("1"), 150);
}
END_TEST

Suite *
missed_posts_suite(void)
{
	Suite *s = suite_create("missed_posts");
	TCase *tc = tcase_create("missed_posts");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, open_site, db_test_close);
	tcase_add_test(tc, a_late_post_without_an_event_gets_one);
	tcase_add_loop_test(tc, which_posts_are_missed, 0, NELEMS(posts));
	tcase_add_loop_test(
	    tc, an_event_in_the_option_is_waited_for, 0, NELEMS(options));
	tcase_add_test(tc, without_an_option_posts_are_repaired_too);
	tcase_add_loop_test(
	    tc, an_option_that_cannot_be_read_ends_it, 0, NELEMS(unreadable));
	tcase_add_loop_test(
	    tc, a_post_is_repaired_once_an_hour, 0, NELEMS(pasts));
	tcase_add_test(tc, posts_that_stay_do_not_hide_others);
	tcase_add_test(tc, each_blog_has_its_own_posts);
	tcase_add_test(tc, nodes_that_look_at_once_repair_a_post_once);
	suite_add_tcase(s, tc);
	return s;
}
