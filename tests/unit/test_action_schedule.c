#include "formats/action_schedule.h"

#include <check.h>

#define SUITE(name) Suite *name##_suite(void);
#include "suites.h"
#undef SUITE

#define ROW(s)                                                                 \
	{                                                                      \
		"" s, sizeof(s) - 1                                            \
	}
#define LIT(s)                                                                 \
	{                                                                      \
		"" s, sizeof(s) - 1                                            \
	}
#define BYTES_MAX ((size_t)8192)

static struct arena arena = ARENA_INIT((size_t)1 << 20);

static void
teardown(void)
{
	arena_clear(&arena);
}

static struct action_schedule
parsed(struct slice text)
{
	struct action_schedule s;
	struct err err = ERR_INIT;

	ck_assert_msg(
	    action_schedule_parse(text, &arena, &s, NULL, &err) == RC_OK,
	    "%s: %.*s", err.text, SLICE_FMT(text));
	return s;
}

/* Canonical texts of version 3 and later; T and F are times of ten digits. */
#define SIMPLE(T)                                                              \
	"O:30:\"ActionScheduler_SimpleSchedule\":2:{"                          \
	"s:22:\"\0*\0scheduled_timestamp\";i:" T ";"                           \
	"s:41:\"\0ActionScheduler_SimpleSchedule\0timestamp\";i:" T ";}"
#define CANCELED(T)                                                            \
	"O:32:\"ActionScheduler_CanceledSchedule\":2:{"                        \
	"s:22:\"\0*\0scheduled_timestamp\";i:" T ";"                           \
	"s:43:\"\0ActionScheduler_CanceledSchedule\0timestamp\";N;}"
#define INTERVAL(T, F, N)                                                      \
	"O:32:\"ActionScheduler_IntervalSchedule\":5:{"                        \
	"s:22:\"\0*\0scheduled_timestamp\";i:" T ";"                           \
	"s:18:\"\0*\0first_timestamp\";i:" F ";"                               \
	"s:13:\"\0*\0recurrence\";" N                                          \
	"s:49:\"\0ActionScheduler_IntervalSchedule\0start_timestamp\";i:" T    \
	";s:53:\"\0ActionScheduler_IntervalSchedule\0interval_in_seconds\";" N \
	"}"
#define CRON_OBJECT(COUNT, PARTS, FIELDS)                                      \
	"O:14:\"CronExpression\":2:{"                                          \
	"s:25:\"\0CronExpression\0cronParts\";a:" COUNT ":{" PARTS "}"         \
	"s:28:\"\0CronExpression\0fieldFactory\";"                             \
	"O:27:\"CronExpression_FieldFactory\":1:{"                             \
	"s:35:\"\0CronExpression_FieldFactory\0fields\";a:" COUNT ":{" FIELDS  \
	"}}}"
#define CRON(T, F, OBJECT)                                                     \
	"O:28:\"ActionScheduler_CronSchedule\":5:{"                            \
	"s:22:\"\0*\0scheduled_timestamp\";i:" T ";"                           \
	"s:18:\"\0*\0first_timestamp\";i:" F ";"                               \
	"s:13:\"\0*\0recurrence\";" OBJECT                                     \
	"s:45:\"\0ActionScheduler_CronSchedule\0start_timestamp\";i:" T ";"    \
	"s:34:\"\0ActionScheduler_CronSchedule\0cron\";r:4;}"
#define FIELDS_5                                                               \
	"i:0;O:27:\"CronExpression_MinutesField\":0:{}"                        \
	"i:1;O:25:\"CronExpression_HoursField\":0:{}"                          \
	"i:2;O:30:\"CronExpression_DayOfMonthField\":0:{}"                     \
	"i:3;O:25:\"CronExpression_MonthField\":0:{}"                          \
	"i:4;O:29:\"CronExpression_DayOfWeekField\":0:{}"
#define FIELDS_6 FIELDS_5 "i:5;O:24:\"CronExpression_YearField\":0:{}"
#define PARTS_WORKDAYS                                                         \
	"i:0;s:2:\"30\";i:1;s:1:\"2\";i:2;s:1:\"*\";i:3;s:1:\"*\";"            \
	"i:4;s:3:\"1-5\";"
#define WORKDAYS CRON_OBJECT("5", PARTS_WORKDAYS, FIELDS_5)
#define EVERY_5                                                                \
	CRON_OBJECT("5",                                                       \
	    "i:0;s:3:\"*/5\";i:1;s:1:\"*\";i:2;s:1:\"*\";i:3;s:1:\"*\";"       \
	    "i:4;s:1:\"*\";",                                                  \
	    FIELDS_5)
#define MONTHLY                                                                \
	CRON_OBJECT("5",                                                       \
	    "i:0;s:1:\"0\";i:1;s:1:\"0\";i:2;s:1:\"1\";i:3;s:1:\"*\";"         \
	    "i:4;s:1:\"*\";",                                                  \
	    FIELDS_5)
#define YEAR_2028                                                              \
	CRON_OBJECT("6",                                                       \
	    "i:0;s:1:\"0\";i:1;s:1:\"0\";i:2;s:1:\"1\";i:3;s:1:\"*\";"         \
	    "i:4;s:1:\"*\";i:5;s:4:\"2028\";",                                 \
	    FIELDS_6)
/* "5 4 * * *" without cached fields. */
#define EMPTY_FACTORY                                                          \
	"O:14:\"CronExpression\":2:{"                                          \
	"s:25:\"\0CronExpression\0cronParts\";a:5:{i:0;s:1:\"5\";"             \
	"i:1;s:1:\"4\";i:2;s:1:\"*\";i:3;s:1:\"*\";i:4;s:1:\"*\";}"            \
	"s:28:\"\0CronExpression\0fieldFactory\";"                             \
	"O:27:\"CronExpression_FieldFactory\":0:{}}"
#define NULL_SCHEDULE "O:28:\"ActionScheduler_NullSchedule\":0:{}"

static const struct {
	struct slice text;
	enum action_schedule_kind kind;
	int64_t scheduled, first, interval;
} canonical[] = {
	{ LIT(NULL_SCHEDULE), ACTION_SCHEDULE_NULL, 0, 0, 0 },
	{ LIT(SIMPLE("1800000000")), ACTION_SCHEDULE_SIMPLE, 1800000000, 0, 0 },
	{ LIT(CANCELED("1800000000")), ACTION_SCHEDULE_CANCELED, 1800000000, 0,
	    0 },
	{ LIT(INTERVAL("1800000000", "1799990000", "i:900;")),
	    ACTION_SCHEDULE_INTERVAL, 1800000000, 1799990000, 900 },
	{ LIT(INTERVAL("1800000000", "1799990000", "s:3:\"900\";")),
	    ACTION_SCHEDULE_INTERVAL, 1800000000, 1799990000, 900 },
	{ LIT(INTERVAL("1800000000", "1799990000", "d:900;")),
	    ACTION_SCHEDULE_INTERVAL, 1800000000, 1799990000, 900 },
	{ LIT(CRON("1800239400", "1800000000", WORKDAYS)), ACTION_SCHEDULE_CRON,
	    1800239400, 1800000000, 0 },
	{ LIT(CRON("1832976000", "1800000000", YEAR_2028)),
	    ACTION_SCHEDULE_CRON, 1832976000, 1800000000, 0 },
};

START_TEST(what_php_writes_is_read_and_rendered_byte_for_byte)
{
	struct action_schedule s = parsed(canonical[_i].text);
	struct buf out = BUF_INIT(BYTES_MAX);

	ck_assert_int_eq(s.kind, canonical[_i].kind);
	ck_assert_int_eq(s.scheduled, canonical[_i].scheduled);
	ck_assert_int_eq(s.first, canonical[_i].first);
	ck_assert_int_eq(s.interval, canonical[_i].interval);
	action_schedule_render(&s, s.scheduled, &out);
	ck_assert_msg(
	    slice_eq(buf_slice(&out), canonical[_i].text), "%s", buf_str(&out));
	buf_clear(&out);
}
END_TEST

/* Rows of before 3.0, or with other names missing; read as the canonical. */
static const struct {
	struct slice text, canonical;
} variants[] = {
	{ ROW("O:30:\"ActionScheduler_SimpleSchedule\":1:{s:41:"
	      "\"\0ActionScheduler_SimpleSchedule\0timestamp\";i:1800000000;}"),
	    LIT(SIMPLE("1800000000")) },
	{ ROW("O:30:\"ActionScheduler_SimpleSchedule\":1:{s:22:"
	      "\"\0*\0scheduled_timestamp\";i:1800000000;}"),
	    LIT(SIMPLE("1800000000")) },
	{ ROW("O:30:\"actionscheduler_simpleschedule\":2:{s:1:\"x\";a:1:{i:0;"
	      "i:1;}s:22:\"\0*\0scheduled_timestamp\";s:10:\"1800000000\";}"),
	    LIT(SIMPLE("1800000000")) },
	/* the protected one wins, wherever it stands */
	{ ROW("O:30:\"ActionScheduler_SimpleSchedule\":2:{s:41:"
	      "\"\0ActionScheduler_SimpleSchedule\0timestamp\";i:5;"
	      "s:22:\"\0*\0scheduled_timestamp\";i:1800000000;}"),
	    LIT(SIMPLE("1800000000")) },
	/* unless it is null */
	{ ROW("O:30:\"ActionScheduler_SimpleSchedule\":2:{"
	      "s:22:\"\0*\0scheduled_timestamp\";N;s:41:"
	      "\"\0ActionScheduler_SimpleSchedule\0timestamp\";i:1800000000;}"),
	    LIT(SIMPLE("1800000000")) },
	/* and but for the canceled class */
	{ ROW("O:32:\"ActionScheduler_CanceledSchedule\":2:{"
	      "s:22:\"\0*\0scheduled_timestamp\";i:5;s:43:"
	      "\"\0ActionScheduler_CanceledSchedule\0timestamp\";"
	      "i:1800000000;}"),
	    LIT(CANCELED("1800000000")) },
	{ ROW("O:28:\"ActionScheduler_NullSchedule\":1:{s:1:\"x\";N;}"),
	    LIT(NULL_SCHEDULE) },
	{ ROW("O:32:\"ActionScheduler_IntervalSchedule\":2:{"
	      "s:49:\"\0ActionScheduler_IntervalSchedule\0start_timestamp\";"
	      "i:1800000000;s:53:"
	      "\"\0ActionScheduler_IntervalSchedule\0interval_in_seconds\";"
	      "i:900;}"),
	    LIT(INTERVAL("1800000000", "1800000000", "i:900;")) },
	{ ROW("O:32:\"ActionScheduler_IntervalSchedule\":3:{"
	      "s:22:\"\0*\0scheduled_timestamp\";i:1800000000;"
	      "s:18:\"\0*\0first_timestamp\";i:1799990000;"
	      "s:13:\"\0*\0recurrence\";i:900;}"),
	    LIT(INTERVAL("1800000000", "1799990000", "i:900;")) },
	/* a first time that is not above 0 does not count */
	{ ROW("O:32:\"ActionScheduler_IntervalSchedule\":3:{"
	      "s:22:\"\0*\0scheduled_timestamp\";i:1800000000;"
	      "s:18:\"\0*\0first_timestamp\";i:0;"
	      "s:13:\"\0*\0recurrence\";i:900;}"),
	    LIT(INTERVAL("1800000000", "1800000000", "i:900;")) },
	{ ROW("O:28:\"ActionScheduler_CronSchedule\":2:{"
	      "s:45:\"\0ActionScheduler_CronSchedule\0start_timestamp\";"
	      "i:1800239400;s:34:\"\0ActionScheduler_"
	      "CronSchedule\0cron\";" WORKDAYS "}"),
	    LIT(CRON("1800239400", "1800239400", WORKDAYS)) },
	/* the expression stands at the other name, the reference here */
	{ ROW("O:28:\"ActionScheduler_CronSchedule\":3:{"
	      "s:22:\"\0*\0scheduled_timestamp\";i:1800239400;"
	      "s:34:\"\0ActionScheduler_CronSchedule\0cron\";" WORKDAYS
	      "s:13:\"\0*\0recurrence\";r:3;}"),
	    LIT(CRON("1800239400", "1800239400", WORKDAYS)) },
};

START_TEST(older_rows_are_read_and_written_as_new_ones)
{
	struct action_schedule s = parsed(variants[_i].text);
	struct buf out = BUF_INIT(BYTES_MAX);

	action_schedule_render(&s, s.scheduled, &out);
	ck_assert_msg(slice_eq(buf_slice(&out), variants[_i].canonical), "%s",
	    buf_str(&out));
	buf_clear(&out);
}
END_TEST

START_TEST(an_empty_field_factory_is_accepted)
{
	struct action_schedule s = parsed(
	    (struct slice)LIT(CRON("1800000300", "1800000300", EMPTY_FACTORY)));

	ck_assert_uint_eq(s.cron.nparts, 5);
	ck_assert(slice_eq_str(s.cron.parts[0], "5"));
	ck_assert(slice_eq_str(s.cron.parts[1], "4"));
}
END_TEST

static const struct {
	struct slice text;
	const char *class_name;
} unknown[] = {
	{ ROW("O:11:\"My_Schedule\":0:{}"), "My_Schedule" },
	{ ROW("C:11:\"My_Schedule\":2:{ab}"), "My_Schedule" },
	{ ROW("O:8:\"stdClass\":1:{s:1:\"a\";i:1;}"), "stdClass" },
	{ ROW("O:28:\"ActionScheduler_CronSchedule\":2:{"
	      "s:22:\"\0*\0scheduled_timestamp\";i:1800239400;"
	      "s:13:\"\0*\0recurrence\";O:19:\"Cron\\CronExpression\":0:{}}"),
	    "Cron\\CronExpression" },
};

START_TEST(another_class_is_named_not_refused)
{
	struct action_schedule s;
	struct slice name;
	struct err err = ERR_INIT;

	ck_assert_int_eq(
	    action_schedule_parse(unknown[_i].text, &arena, &s, &name, &err),
	    RC_NONE);
	ck_assert(slice_eq_str(name, unknown[_i].class_name));
	ck_assert_ptr_nonnull(strstr(err.text, unknown[_i].class_name));
}
END_TEST

static const struct slice broken[] = {
	ROW(""),
	ROW("b:0;"),
	ROW("N;"),
	ROW("i:1800000000;"),
	ROW("a:0:{}"),
	ROW("E:3:\"A:B\";"),
	ROW("O:30:\"ActionScheduler_SimpleSchedule\":1:{}"),
	ROW("O:30:\"ActionScheduler_SimpleSchedule\":0:{}"),
	ROW("O:11:\"My_Schedule\":0:{"),
	ROW("O:30:\"ActionScheduler_SimpleSchedule\":1:{"
	    "s:22:\"\0*\0scheduled_timestamp\";s:8:\"tomorrow\";}"),
	ROW("O:30:\"ActionScheduler_SimpleSchedule\":1:{"
	    "s:22:\"\0*\0scheduled_timestamp\";b:1;}"),
	/* NUL bytes lost on the way */
	ROW("O:30:\"ActionScheduler_SimpleSchedule\":1:{"
	    "s:22:\"*scheduled_timestamp\";i:1800000000;}"),
	ROW("O:32:\"ActionScheduler_IntervalSchedule\":1:{"
	    "s:22:\"\0*\0scheduled_timestamp\";i:1800000000;}"),
	ROW("O:32:\"ActionScheduler_IntervalSchedule\":2:{"
	    "s:22:\"\0*\0scheduled_timestamp\";i:1800000000;"
	    "s:13:\"\0*\0recurrence\";s:6:\"hourly\";}"),
	ROW("O:28:\"ActionScheduler_CronSchedule\":1:{"
	    "s:22:\"\0*\0scheduled_timestamp\";i:1800239400;}"),
	ROW("O:28:\"ActionScheduler_CronSchedule\":2:{"
	    "s:22:\"\0*\0scheduled_timestamp\";i:1800239400;"
	    "s:13:\"\0*\0recurrence\";s:9:\"* * * * *\";}"),
	ROW("O:28:\"ActionScheduler_CronSchedule\":2:{"
	    "s:22:\"\0*\0scheduled_timestamp\";i:1800239400;"
	    "s:13:\"\0*\0recurrence\";O:14:\"CronExpression\":0:{}}"),
	ROW("O:28:\"ActionScheduler_CronSchedule\":2:{"
	    "s:22:\"\0*\0scheduled_timestamp\";i:1800239400;"
	    "s:13:\"\0*\0recurrence\";O:14:\"CronExpression\":1:{"
	    "s:25:\"\0CronExpression\0cronParts\";a:4:{i:0;s:1:\"*\";"
	    "i:1;s:1:\"*\";i:2;s:1:\"*\";i:3;s:1:\"*\";}}}"),
};

START_TEST(a_broken_schedule_is_rejected_with_words)
{
	struct action_schedule s;
	struct err err = ERR_INIT;

	ck_assert_msg(action_schedule_parse(
			  broken[_i], &arena, &s, NULL, &err) == RC_REJECT,
	    "%.*s: %s", SLICE_FMT(broken[_i]), err.text);
	ck_assert_str_ne(err.text, "");
}
END_TEST

/*
 * Rows that PHP's runner finished at 1795281711 (2026-11-21 17:21:51) and the
 * schedule it wrote for the next instance.
 */
static const struct {
	struct slice text, next;
} chains[] = {
	{ LIT(INTERVAL("1795278116", "1795278116", "i:3600;")),
	    LIT(INTERVAL("1795285311", "1795278116", "i:3600;")) },
	{ LIT(INTERVAL("1795018911", "1795018911", "i:86400;")),
	    LIT(INTERVAL("1795368111", "1795018911", "i:86400;")) },
	{ LIT(INTERVAL("1795278117", "1795278117", "i:60;")),
	    LIT(INTERVAL("1795281771", "1795278117", "i:60;")) },
	{ LIT(CRON("1795278000", "1795278000", EVERY_5)),
	    LIT(CRON("1795281900", "1795278000", EVERY_5)) },
	{ LIT(CRON("1793491200", "1791822060", MONTHLY)),
	    LIT(CRON("1796083200", "1791822060", MONTHLY)) },
};

START_TEST(the_next_instance_is_the_one_php_wrote)
{
	struct action_schedule s = parsed(chains[_i].text);
	struct buf out = BUF_INIT(BYTES_MAX);
	int64_t next;

	ck_assert(action_schedule_recurs(&s));
	ck_assert_int_eq(
	    action_schedule_next(&s, INT64_C(1795281711654321), &next, NULL),
	    RC_OK);
	action_schedule_render(&s, next, &out);
	ck_assert_msg(
	    slice_eq(buf_slice(&out), chains[_i].next), "%s", buf_str(&out));
	buf_clear(&out);
}
END_TEST

#define S INT64_C(1800000000) /* 2027-01-15 08:00:00 */

static const struct {
	struct slice text;
	wall_us now;
	enum rc rc;
	int64_t next;
} nexts[] = {
	/* run early by hand: the same time again */
	{ LIT(INTERVAL("1800000000", "1799990000", "i:900;")),
	    (S - 500) * 1000000, RC_OK, S },
	{ LIT(INTERVAL("1800000000", "1799990000", "i:900;")), S * 1000000,
	    RC_OK, S },
	/* one microsecond decides */
	{ LIT(INTERVAL("1800000000", "1799990000", "i:900;")), S * 1000000 + 1,
	    RC_OK, S + 900 },
	{ LIT(INTERVAL("1800000000", "1799990000", "i:900;")),
	    S * 1000000 + 999999, RC_OK, S + 900 },
	{ LIT(INTERVAL("1800000000", "1799990000", "i:0;")), (S + 7) * 1000000,
	    RC_OK, S + 7 },
	{ LIT(INTERVAL("1800000000", "1799990000", "i:9223372036854775807;")),
	    (S + 7) * 1000000, RC_REJECT, 0 },
	{ LIT(INTERVAL("1800000000", "1799990000", "i:252000000000;")),
	    (S + 7) * 1000000, RC_REJECT, 0 },
	{ LIT(CRON("1800239400", "1800000000", WORKDAYS)),
	    INT64_C(1800239400) * 1000000, RC_OK, 1800239400 },
	{ LIT(CRON("1800239400", "1800000000", WORKDAYS)),
	    INT64_C(1800239400) * 1000000 + 1, RC_OK, 1800325800 },
	/* a scheduled time that is no match: the next one */
	{ LIT(CRON("1800239461", "1800000000", WORKDAYS)),
	    INT64_C(1800000000) * 1000000, RC_OK, 1800325800 },
	{ LIT(CRON("1800239459", "1800000000", WORKDAYS)),
	    INT64_C(1800000000) * 1000000, RC_OK, 1800239400 },
	{ LIT(CRON("1832976000", "1800000000", YEAR_2028)),
	    INT64_C(1861920001) * 1000000, RC_REJECT, 0 },
	{ LIT(SIMPLE("1800000000")), (S + 7) * 1000000, RC_NONE, 0 },
	{ LIT(CANCELED("1800000000")), (S + 7) * 1000000, RC_NONE, 0 },
	{ LIT(NULL_SCHEDULE), (S + 7) * 1000000, RC_NONE, 0 },
};

START_TEST(the_next_time_follows_now_not_the_schedule)
{
	struct action_schedule s = parsed(nexts[_i].text);
	int64_t next = 0;

	ck_assert_int_eq(
	    action_schedule_next(&s, nexts[_i].now, &next, NULL), nexts[_i].rc);
	ck_assert_int_eq(next, nexts[_i].next);
}
END_TEST

START_TEST(a_fresh_simple_schedule_is_phps)
{
	struct buf out = BUF_INIT(BYTES_MAX);

	action_schedule_render_simple(1800000000, &out);
	ck_assert_uint_eq(out.n, 147);
	ck_assert(
	    slice_eq(buf_slice(&out), (struct slice)LIT(SIMPLE("1800000000"))));
	buf_clear(&out);
}
END_TEST

#define ROWS(tc, table, test)                                                  \
	tcase_add_loop_test((tc), (test), 0, (int)NELEMS(table))

Suite *
action_schedule_suite(void)
{
	Suite *s = suite_create("action_schedule");
	TCase *tc = tcase_create("parse, next, render");

	tcase_add_checked_fixture(tc, NULL, teardown);
	ROWS(tc, canonical, what_php_writes_is_read_and_rendered_byte_for_byte);
	ROWS(tc, variants, older_rows_are_read_and_written_as_new_ones);
	ROWS(tc, unknown, another_class_is_named_not_refused);
	ROWS(tc, broken, a_broken_schedule_is_rejected_with_words);
	ROWS(tc, chains, the_next_instance_is_the_one_php_wrote);
	ROWS(tc, nexts, the_next_time_follows_now_not_the_schedule);
	tcase_add_test(tc, an_empty_field_factory_is_accepted);
	tcase_add_test(tc, a_fresh_simple_schedule_is_phps);
	suite_add_tcase(s, tc);
	return s;
}
