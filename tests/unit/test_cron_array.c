#include "formats/cron_array.h"

#include <check.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <time.h>

#include "base/ceilings.h"

#define SUITE(name) Suite *name##_suite(void);
#include "suites.h"
#undef SUITE

#define ROW(s)                                                                 \
	{                                                                      \
		"" s, sizeof(s) - 1                                            \
	}
#define V "s:7:\"version\";i:2;"
#define NO_ARGS "40cd750bba9870f18aada2478b24840a"
#define K(k) "s:32:\"" k "\";"
#define ONCE "a:2:{s:8:\"schedule\";b:0;s:4:\"args\";a:0:{}}"
#define SLOT K(NO_ARGS) ONCE

/* Three timestamps and four events, byte for byte as WordPress wrote them. */
static const char sample[] =
    "a:4:{i:1700000005;a:1:{s:22:\"myplugin_process_queue\";a:1:{" SLOT "}}"
    "i:1700000060;a:1:{s:26:\"action_scheduler_run_queue\";a:1:{s:32:"
    "\"0d04ed39571b55704c122d726248bbac\";a:3:{s:8:\"schedule\";s:12:"
    "\"every_minute\";s:4:\"args\";a:1:{i:0;s:7:\"WP Cron\";}s:8:\"interval\";"
    "i:60;}}}"
    "i:1700003600;a:2:{s:19:\"publish_future_post\";a:1:{s:32:"
    "\"9faa5555021560fb2a78d8c9f3513bc5\";a:2:{s:8:\"schedule\";b:0;s:4:"
    "\"args\";a:1:{i:0;i:42;}}}s:34:\"wp_privacy_delete_old_export_files\";"
    "a:1:{" K(NO_ARGS) "a:3:{s:8:\"schedule\";s:6:\"hourly\";s:4:\"args\";"
		       "a:0:{}s:8:\"interval\";i:3600;}}}" V "}";
static const char sample_sha256[] =
    "499a94e29fe7621e9e62f84e06e4377e0b14d57f43886f214fc02d37766af9a4";

static struct arena arena = ARENA_INIT(CEILING_CRON_ARENA);

static void
teardown(void)
{
	arena_clear(&arena);
}

static struct cron_array
parsed(struct slice in)
{
	struct cron_array c;
	struct err err = ERR_INIT;
	enum rc rc = cron_array_parse(in, &arena, &c, &err);

	ck_assert_msg(rc == RC_OK, "%s: %.*s", err.text, SLICE_FMT(in));
	return c;
}

static void
assert_text(struct slice got, struct slice want)
{
	ck_assert_msg(slice_eq(got, want), "got  %.*s\nwant %.*s",
	    SLICE_FMT(got), SLICE_FMT(want));
}

/* The array after the edits is `want`; the same, twice edited, is nothing. */
static void
assert_spliced(
    struct slice in, const struct cron_edit *edits, size_t n, struct slice want)
{
	struct cron_array c = parsed(in);
	struct buf out = BUF_INIT(CEILING_SERIALIZED_BYTES);
	struct err err = ERR_INIT;
	enum rc rc = cron_array_splice(&c, edits, n, &out, &err);

	ck_assert_msg(rc == (slice_eq(in, want) ? RC_NONE : RC_OK), "%s: %s",
	    rc_name(rc), err.text);
	if (rc == RC_OK)
		assert_text(buf_slice(&out), want);
	else
		ck_assert_uint_eq(out.n, 0);
	c = parsed(want);
	buf_clear(&out);
}

static struct cron_edit
removal(int64_t timestamp, const char *hook, const char *key)
{
	return (struct cron_edit){ CRON_REMOVE, timestamp, slice_str(hook),
		slice_str(key), SLICE_NONE };
}

static struct cron_edit
addition(
    int64_t timestamp, const char *hook, const char *key, const char *event)
{
	return (struct cron_edit){ CRON_ADD, timestamp, slice_str(hook),
		slice_str(key), slice_str(event) };
}

/* ---- parsing ----------------------------------------------------------- */

START_TEST(the_sample_is_the_bytes_that_wordpress_wrote)
{
	unsigned char sum[SHA256_DIGEST_LENGTH];
	struct buf hex = BUF_INIT(128);

	ck_assert_uint_eq(sizeof sample - 1, 660);
	SHA256((const unsigned char *)sample, sizeof sample - 1, sum);
	buf_put_hex(&hex, sum, sizeof sum);
	ck_assert_str_eq(buf_str(&hex), sample_sha256);
	buf_clear(&hex);
}
END_TEST

static const struct {
	int64_t timestamp;
	const char *hook, *key, *args, *recurrence;
	int64_t interval;
} sample_events[] = {
	{ 1700000005, "myplugin_process_queue", NO_ARGS, "a:0:{}", "", 0 },
	{ 1700000060, "action_scheduler_run_queue",
	    "0d04ed39571b55704c122d726248bbac", "a:1:{i:0;s:7:\"WP Cron\";}",
	    "every_minute", 60 },
	{ 1700003600, "publish_future_post", "9faa5555021560fb2a78d8c9f3513bc5",
	    "a:1:{i:0;i:42;}", "", 0 },
	{ 1700003600, "wp_privacy_delete_old_export_files", NO_ARGS, "a:0:{}",
	    "hourly", 3600 },
};

START_TEST(an_event_has_all_its_parts)
{
	struct cron_array c = parsed(slice_str(sample));
	const struct cron_event *e = &c.events[_i];

	ck_assert_uint_eq(c.n, NELEMS(sample_events));
	ck_assert_uint_eq(c.odd, 0);
	ck_assert(!c.ancient && !c.no_array && !c.bound);
	ck_assert_int_eq(e->timestamp, sample_events[_i].timestamp);
	assert_text(e->hook, slice_str(sample_events[_i].hook));
	assert_text(e->key, slice_str(sample_events[_i].key));
	assert_text(e->args, slice_str(sample_events[_i].args));
	assert_text(e->recurrence, slice_str(sample_events[_i].recurrence));
	ck_assert_int_eq(e->interval, sample_events[_i].interval);
	ck_assert_ptr_eq(cron_array_find(&c, e->timestamp, e->hook, e->key), e);
	ck_assert(e->span.p > c.text.p &&
		  e->span.p + e->span.n < c.text.p + c.text.n);
}
END_TEST

#define AT(ts, hook) "i:" ts ";a:1:{" hook "a:1:{" SLOT "}}"
#define HOOK "s:1:\"h\";"

/* What stands in the option, and what becomes of it. */
static const struct {
	const char *what;
	struct slice in;
	size_t n, odd;
	bool ancient, no_array;
} shapes[] = {
	{ "the empty list", ROW("a:1:{" V "}"), 0, 0, false, false },
	{ "an empty array", ROW("a:0:{}"), 0, 0, false, false },
	{ "no row", ROW(""), 0, 0, false, true },
	{ "false", ROW("b:0;"), 0, 0, false, true },
	{ "any text", ROW("cron"), 0, 0, false, true },
	{ "an object", ROW("O:8:\"stdClass\":0:{}"), 0, 0, false, true },
	{ "blanks around it", ROW(" \na:2:{" AT("5", HOOK) V "}\0\t "), 1, 0,
	    false, false },
	{ "the ancient form",
	    ROW("a:1:{i:5;a:1:{" HOOK "a:2:{s:8:\"schedule\";b:0;s:4:\"args\";"
		"a:0:{}}}}"),
	    0, 0, true, false },
	{ "no version", ROW("a:1:{" AT("5", HOOK) "}"), 0, 0, true, false },
	{ "a version that is null",
	    ROW("a:2:{" AT("5", HOOK) "s:7:\"version\";N;}"), 0, 0, true,
	    false },
	{ "another version", ROW("a:2:{" AT("5", HOOK) "s:7:\"version\";i:1;}"),
	    1, 0, false, false },
	{ "the version first", ROW("a:2:{" V AT("5", HOOK) "}"), 1, 0, false,
	    false },
	{ "a key of words",
	    ROW("a:2:{s:3:\"abc\";a:1:{" HOOK "a:1:{" SLOT "}}" V "}"), 0, 1,
	    false, false },
	{ "a timestamp that holds no array", ROW("a:2:{i:5;i:7;" V "}"), 0, 1,
	    false, false },
	{ "a hook that holds no array", ROW("a:2:{i:5;a:1:{" HOOK "N;}" V "}"),
	    0, 1, false, false },
	{ "an event that is no array",
	    ROW("a:2:{i:5;a:1:{" HOOK "a:1:{" K(NO_ARGS) "b:1;}}" V "}"), 0, 1,
	    false, false },
	{ "empty maps", ROW("a:3:{i:5;a:0:{}i:6;a:1:{" HOOK "a:0:{}}" V "}"), 0,
	    0, false, false },
	{ "a timestamp twice, the last counts",
	    ROW("a:3:{" AT("5", HOOK) AT("5", "s:1:\"g\";") V "}"), 1, 1, false,
	    false },
	{ "a hook twice",
	    ROW("a:2:{i:5;a:2:{" HOOK "a:1:{" SLOT "}" HOOK "a:2:{" SLOT
		"i:0;" ONCE "}}" V "}"),
	    2, 1, false, false },
	{ "a key twice",
	    ROW("a:2:{i:5;a:1:{" HOOK "a:2:{" SLOT SLOT "}}" V "}"), 1, 1,
	    false, false },
};

START_TEST(what_is_stored_is_told_apart)
{
	struct cron_array c = parsed(shapes[_i].in);

	ck_assert_msg(c.n == shapes[_i].n && c.odd == shapes[_i].odd &&
			  c.ancient == shapes[_i].ancient &&
			  c.no_array == shapes[_i].no_array,
	    "%s: n %zu, odd %zu, ancient %d, no array %d", shapes[_i].what, c.n,
	    c.odd, c.ancient, c.no_array);
}
END_TEST

static const struct slice broken[] = {
	ROW("a:"),
	ROW("a:1:{i:5;"),
	ROW("a:1:{" V "}}"),
	ROW("a:2:{" V "}"),
	ROW("a:1:{s:8:\"version\";i:2;}"),
	ROW("a:2:{i:5;a:1:{" HOOK "a:1:{s:1:\"k\";a:1:{i:0;s:9:\"x\";}}}" V
	    "}"),
	ROW("a:2:{i:5;a:1:{" HOOK "a:1:{s:1:\"k\";a:1:{i:0;R:99;}}}" V "}"),
};

START_TEST(what_is_not_phps_format_is_refused_with_its_place)
{
	struct cron_array c;
	struct err err = ERR_INIT;

	ck_assert_int_eq(
	    cron_array_parse(broken[_i], &arena, &c, &err), RC_REJECT);
	ck_assert_ptr_nonnull(strstr(err.text, "at byte"));
}
END_TEST

/* A key of the array, and the time it stands for; -1: none. */
static const struct {
	struct slice key;
	int64_t when;
} times[] = {
	{ ROW("i:1700000005;"), 1700000005 },
	{ ROW("i:+0005;"), 5 },
	{ ROW("i:-5;"), -5 },
	{ ROW("s:10:\"1700000005\";"), 1700000005 },
	{ ROW("s:12:\"1700000005.5\";"), 1700000006 },
	{ ROW("s:12:\"1700000005.0\";"), 1700000005 },
	{ ROW("s:11:\" 1700000005\";"), 1700000005 },
	{ ROW("s:11:\"1700000005\n\";"), 1700000005 },
	{ ROW("s:11:\"01700000005\";"), 1700000005 },
	{ ROW("s:5:\"1.7e9\";"), 1700000000 },
	{ ROW("s:13:\"17000000055E-1\";"), -1 },
	{ ROW("s:14:\"17000000055E-1\";"), 1700000006 },
	{ ROW("s:4:\"-1.5\";"), -1 },
	{ ROW("s:2:\".5\";"), 1 },
	{ ROW("s:2:\"5.\";"), 5 },
	{ ROW("s:1:\".\";"), -1 },
	{ ROW("s:0:\"\";"), -1 },
	{ ROW("s:2:\"5x\";"), -1 },
	{ ROW("s:2:\"1e\";"), -1 },
	{ ROW("s:3:\"1 2\";"), -1 },
	{ ROW("s:20:\"99999999999999999999\";"), INT64_MAX },
	{ ROW("s:4:\"1e99\";"), INT64_MAX },
	{ ROW("s:5:\"1e-99\";"), 1 },
	{ ROW("s:5:\"0e999\";"), 0 },
};

START_TEST(a_timestamp_is_an_int_or_a_numeric_string_cut_upwards)
{
	struct buf text = BUF_INIT(1024);
	struct cron_array c;
	struct err err = ERR_INIT;
	enum rc rc;

	buf_printf(&text, "a:2:{%.*sa:1:{" HOOK "a:1:{" SLOT "}}" V "}",
	    SLICE_FMT(times[_i].key));
	rc = cron_array_parse(buf_slice(&text), &arena, &c, &err);
	if (rc == RC_REJECT) {
		ck_assert_int_eq(times[_i].when, -1);
	} else if (c.n == 0) {
		ck_assert_int_eq(times[_i].when, -1);
		ck_assert_uint_eq(c.odd, 1);
	} else {
		ck_assert_int_eq(c.events[0].timestamp, times[_i].when);
		ck_assert_ptr_nonnull(cron_array_find(
		    &c, times[_i].when, SLICE_LIT("h"), SLICE_LIT(NO_ARGS)));
	}
	buf_clear(&text);
}
END_TEST

/* The member `schedule`, and the recurrence's name. */
static const struct {
	struct slice schedule, want;
} schedules[] = {
	{ ROW("b:0;"), ROW("") },
	{ ROW("s:0:\"\";"), ROW("") },
	{ ROW("s:1:\"0\";"), ROW("") },
	{ ROW("N;"), ROW("") },
	{ ROW("i:0;"), ROW("") },
	{ ROW("d:0;"), ROW("") },
	{ ROW("d:-0.0e5;"), ROW("") },
	{ ROW("a:0:{}"), ROW("") },
	{ ROW("s:6:\"hourly\";"), ROW("hourly") },
	{ ROW("s:2:\"00\";"), ROW("00") },
	{ ROW("s:1:\" \";"), ROW(" ") },
	{ ROW("b:1;"), ROW("b:1;") },
	{ ROW("d:0.5;"), ROW("d:0.5;") },
	{ ROW("d:NAN;"), ROW("d:NAN;") },
	{ ROW("i:7;"), ROW("i:7;") },
};

START_TEST(an_event_is_one_shot_by_phps_truth_of_its_schedule)
{
	struct buf text = BUF_INIT(1024);
	struct cron_event e;
	struct err err = ERR_INIT;

	buf_printf(&text, "a:2:{s:8:\"schedule\";%.*ss:4:\"args\";a:0:{}}",
	    SLICE_FMT(schedules[_i].schedule));
	ck_assert_int_eq(
	    cron_event_parse(buf_slice(&text), &arena, &e, &err), RC_OK);
	assert_text(e.recurrence, schedules[_i].want);
	buf_clear(&text);
}
END_TEST

static const struct {
	struct slice event;
	const char *args;
	int64_t interval;
} odd_events[] = {
	{ ROW("a:0:{}"), "", 0 },
	{ ROW("a:1:{s:4:\"args\";N;}"), "", 0 },
	{ ROW("a:1:{s:4:\"args\";s:6:\"a:0:{}\";}"), "", 0 },
	{ ROW("a:2:{s:4:\"args\";a:0:{}s:8:\"interval\";s:4:\"3600\";}"),
	    "a:0:{}", 3600 },
	{ ROW("a:1:{s:8:\"interval\";d:300;}"), "", 300 },
	{ ROW("a:1:{s:8:\"interval\";i:-300;}"), "", 0 },
	{ ROW("a:1:{s:8:\"interval\";b:1;}"), "", 0 },
	{ ROW("a:2:{s:4:\"args\";a:1:{i:0;i:1;}s:4:\"args\";a:0:{}}"), "a:0:{}",
	    0 },
};

START_TEST(an_events_members_are_read_as_php_would)
{
	struct cron_event e;
	struct err err = ERR_INIT;

	ck_assert_int_eq(
	    cron_event_parse(odd_events[_i].event, &arena, &e, &err), RC_OK);
	assert_text(e.args, slice_str(odd_events[_i].args));
	ck_assert_int_eq(e.interval, odd_events[_i].interval);
	assert_text(e.span, odd_events[_i].event);
}
END_TEST

START_TEST(texts_with_nul_quotes_and_unicode_are_compared_byte_by_byte)
{
	static const struct slice in =
	    ROW("a:2:{i:5;a:3:{s:4:\"a\0\";\";a:1:{" SLOT "}s:2:\"\xc3\xa9\";"
		"a:1:{" SLOT "}s:1:\"H\";a:1:{" SLOT "}}" V "}");
	struct cron_array c = parsed(in);

	ck_assert_uint_eq(c.n, 3);
	assert_text(c.events[0].hook, slice_mem("a\0\";", 4));
	ck_assert_ptr_eq(
	    cron_array_find(&c, 5, slice_mem("a\0\";", 4), SLICE_LIT(NO_ARGS)),
	    &c.events[0]);
	ck_assert_ptr_nonnull(
	    cron_array_find(&c, 5, SLICE_LIT("\xc3\xa9"), SLICE_LIT(NO_ARGS)));
	ck_assert_ptr_null(
	    cron_array_find(&c, 5, SLICE_LIT("e"), SLICE_LIT(NO_ARGS)));
	ck_assert_ptr_null(
	    cron_array_find(&c, 5, SLICE_LIT("h"), SLICE_LIT(NO_ARGS)));
	ck_assert_ptr_null(
	    cron_array_find(&c, 6, SLICE_LIT("H"), SLICE_LIT(NO_ARGS)));
}
END_TEST

START_TEST(a_hook_that_is_a_number_is_found_by_its_decimal)
{
	struct cron_array c =
	    parsed(slice_str("a:2:{i:5;a:2:{i:+007;a:1:{" SLOT "}s:2:\"08\";"
			     "a:1:{" SLOT "}}" V "}"));

	ck_assert_ptr_nonnull(
	    cron_array_find(&c, 5, SLICE_LIT("7"), SLICE_LIT(NO_ARGS)));
	ck_assert_ptr_nonnull(
	    cron_array_find(&c, 5, SLICE_LIT("08"), SLICE_LIT(NO_ARGS)));
}
END_TEST

START_TEST(an_int_key_comes_before_a_text_of_the_same_second)
{
	struct cron_array c =
	    parsed(slice_str("a:3:{s:3:\"4.5\";a:1:{" HOOK "a:1:{" SLOT
			     "}}" AT("5", HOOK) V "}"));

	ck_assert_ptr_eq(
	    cron_array_find(&c, 5, SLICE_LIT("h"), SLICE_LIT(NO_ARGS)),
	    &c.events[1]);
}
END_TEST

START_TEST(a_later_event_of_the_hook_and_key_is_seen)
{
	struct cron_array c = parsed(slice_str(sample));
	struct slice hook = c.events[2].hook, key = c.events[2].key;

	ck_assert(cron_array_has_after(&c, hook, key, 1700003599));
	ck_assert(!cron_array_has_after(&c, hook, key, 1700003600));
	ck_assert(!cron_array_has_after(&c, hook, SLICE_LIT(NO_ARGS), 0));
	ck_assert(!cron_array_has_after(&c, SLICE_LIT("x"), key, 0));
}
END_TEST

static const struct {
	struct slice head;
	bool events;
	int64_t when;
} heads[] = {
	{ ROW("a:4:{i:1700000005;a:1:{s:22:\"myplugin_proce"), true,
	    1700000005 },
	{ ROW("a:104:{i:-5;a:1:{"), true, -5 },
	{ ROW(" a:4:{i:5;"), true, 5 },
	{ ROW("a:1:{" V "}"), false, 0 },
	{ ROW("a:0:{}"), false, 0 },
	{ ROW(""), false, 0 },
	{ ROW("b:0;"), false, 0 },
	{ ROW("a:3:{" V "i:5;"), true, 0 },
	{ ROW("a:3:{s:12:\"1700000005.5\";a:1:{"), true, 0 },
	{ ROW("a:3:{i:17000"), true, 0 },
	{ ROW("a:3:{i:99999999999999999999;"), true, 0 },
	{ ROW("a:"), true, 0 },
};

START_TEST(the_first_bytes_tell_the_earliest_timestamp)
{
	int64_t when = 7;

	ck_assert_int_eq(
	    cron_array_first(heads[_i].head, &when), heads[_i].events);
	ck_assert_int_eq(when, heads[_i].when);
}
END_TEST

/* ---- arithmetic -------------------------------------------------------- */

#define NOW 1700000000
static const struct {
	int64_t timestamp, interval, want;
} next_runs[] = {
	{ NOW, 300, NOW + 300 },
	{ NOW - 1, 300, NOW + 299 },
	{ NOW - 100, 300, NOW + 200 },
	{ NOW - 299, 300, NOW + 1 },
	{ NOW - 300, 300, NOW + 300 },
	{ NOW - 301, 300, NOW + 299 },
	{ NOW - 86400 * 30, 300, NOW + 300 },
	{ NOW + 50, 300, NOW + 300 },
	{ NOW - 7, 1, NOW + 1 },
	{ 0, 3600, NOW + 3600 - NOW % 3600 },
	{ -10, 7, NOW + 7 - (NOW + 10) % 7 },
	{ INT64_MIN, 1, NOW + 1 },
	{ NOW, INT64_MAX, INT64_MAX },
	{ NOW - 5, INT64_MAX, INT64_MAX },
};

START_TEST(a_next_run_keeps_the_phase_and_collapses_what_was_missed)
{
	ck_assert_int_eq(
	    cron_next_run(next_runs[_i].timestamp, next_runs[_i].interval, NOW),
	    next_runs[_i].want);
}
END_TEST

START_TEST(a_next_run_is_always_within_one_interval)
{
	for (int64_t late = -3; late < 400; late++)
		for (int64_t step = 1; step < 130; step++) {
			int64_t next = cron_next_run(NOW - late, step, NOW);

			ck_assert(next > NOW && next <= NOW + step);
			if (late > 0)
				ck_assert_int_eq(
				    (next - (NOW - late)) % step, 0);
		}
}
END_TEST

/* ---- splicing ---------------------------------------------------------- */

START_TEST(removing_every_event_leaves_the_empty_list)
{
	struct cron_array c = parsed(slice_str(sample));
	struct cron_edit edits[NELEMS(sample_events)];

	for (size_t i = 0; i < c.n; i++)
		edits[i] =
		    (struct cron_edit){ CRON_REMOVE, c.events[i].timestamp,
			    c.events[i].hook, c.events[i].key, SLICE_NONE };
	assert_spliced(slice_str(sample), edits, c.n, SLICE_LIT("a:1:{" V "}"));
}
END_TEST

START_TEST(the_sample_is_built_from_nothing)
{
	struct cron_array c = parsed(slice_str(sample));
	struct cron_edit edits[NELEMS(sample_events)];

	/* Hooks of one timestamp come as they were added. */
	for (size_t i = 0; i < c.n; i++)
		edits[(i + 2) % c.n] = (struct cron_edit){ CRON_ADD,
			c.events[i].timestamp, c.events[i].hook,
			c.events[i].key, c.events[i].span };
	assert_spliced(SLICE_LIT("a:1:{" V "}"), edits, c.n, slice_str(sample));
	assert_spliced(SLICE_LIT("a:0:{}"), edits, c.n, slice_str(sample));
	assert_spliced(SLICE_LIT("b:0;"), edits, c.n, slice_str(sample));
	assert_spliced(SLICE_NONE, edits, c.n, slice_str(sample));
}
END_TEST

#define EV(n) "a:1:{s:4:\"args\";a:1:{i:0;i:" n ";}}"

/* One edit each: what, where, before, after. */
static const struct {
	const char *what;
	struct cron_edit edit;
	const char *in, *want;
} splices[] = {
	{ "a slot that is not there",
	    { CRON_REMOVE, 5, ROW("h"), ROW("k"), ROW("") },
	    "a:2:{" AT("5", HOOK) V "}", "a:2:{" AT("5", HOOK) V "}" },
	{ "a hook that differs in case",
	    { CRON_REMOVE, 5, ROW("H"), ROW(NO_ARGS), ROW("") },
	    "a:2:{" AT("5", HOOK) V "}", "a:2:{" AT("5", HOOK) V "}" },
	{ "one key of two", { CRON_REMOVE, 5, ROW("h"), ROW("k"), ROW("") },
	    "a:2:{i:5;a:1:{" HOOK "a:2:{s:1:\"k\";" EV("1") SLOT "}}" V "}",
	    "a:2:{" AT("5", HOOK) V "}" },
	{ "the last key of a hook",
	    { CRON_REMOVE, 5, ROW("g"), ROW("k"), ROW("") },
	    "a:2:{i:5;a:2:{s:1:\"g\";a:1:{s:1:\"k\";" EV(
		"1") "}" HOOK "a:1:{" SLOT "}}" V "}",
	    "a:2:{" AT("5", HOOK) V "}" },
	{ "the last hook of a timestamp",
	    { CRON_REMOVE, 5, ROW("h"), ROW(NO_ARGS), ROW("") },
	    "a:3:{" AT("5", HOOK) AT("6", HOOK) V "}",
	    "a:2:{" AT("6", HOOK) V "}" },
	{ "what is odd stays",
	    { CRON_REMOVE, 5, ROW("h"), ROW(NO_ARGS), ROW("") },
	    "a:4:{" AT("5", HOOK) "i:6;N;s:3:\"abc\";i:1;" V "}",
	    "a:3:{i:6;N;s:3:\"abc\";i:1;" V "}" },
	{ "an odd neighbour keeps its map",
	    { CRON_REMOVE, 5, ROW("h"), ROW(NO_ARGS), ROW("") },
	    "a:2:{i:5;a:1:{" HOOK "a:2:{" SLOT "i:0;N;}}" V "}",
	    "a:2:{i:5;a:1:{" HOOK "a:1:{i:0;N;}}" V "}" },
	{ "by a text key", { CRON_REMOVE, 5, ROW("h"), ROW(NO_ARGS), ROW("") },
	    "a:3:{s:3:\"4.5\";a:1:{" HOOK "a:1:{" SLOT "}}" AT("6", HOOK) V "}",
	    "a:2:{" AT("6", HOOK) V "}" },
	{ "the version goes last and becomes 2",
	    { CRON_REMOVE, 5, ROW("h"), ROW(NO_ARGS), ROW("") },
	    "a:3:{s:7:\"version\";s:1:\"2\";" AT("5", HOOK) AT("6", HOOK) "}",
	    "a:2:{" AT("6", HOOK) V "}" },
	{ "a removal sorts nothing",
	    { CRON_REMOVE, 5, ROW("h"), ROW(NO_ARGS), ROW("") },
	    "a:4:{" AT("9", HOOK) AT("5", HOOK) AT("7", HOOK) V "}",
	    "a:3:{" AT("9", HOOK) AT("7", HOOK) V "}" },
	{ "an addition sorts all",
	    { CRON_ADD, 8, ROW("h"), ROW(NO_ARGS), ROW(ONCE) },
	    "a:4:{" AT("9", HOOK) AT("5", HOOK) AT("10", HOOK) V "}",
	    "a:5:{" AT("5", HOOK) AT("8", HOOK) AT("9", HOOK) AT("10", HOOK) V
	    "}" },
	{ "in front", { CRON_ADD, 4, ROW("h"), ROW(NO_ARGS), ROW(ONCE) },
	    "a:2:{" AT("5", HOOK) V "}",
	    "a:3:{" AT("4", HOOK) AT("5", HOOK) V "}" },
	{ "at the end", { CRON_ADD, 10, ROW("h"), ROW(NO_ARGS), ROW(ONCE) },
	    "a:2:{" AT("5", HOOK) V "}",
	    "a:3:{" AT("5", HOOK) AT("10", HOOK) V "}" },
	{ "a hook comes last", { CRON_ADD, 5, ROW("a"), ROW("k"), ROW(ONCE) },
	    "a:2:{" AT("5", HOOK) V "}",
	    "a:2:{i:5;a:2:{" HOOK "a:1:{" SLOT "}s:1:\"a\";a:1:{s:1:\"k\";" ONCE
	    "}}" V "}" },
	{ "a key comes last", { CRON_ADD, 5, ROW("h"), ROW("0"), ROW(ONCE) },
	    "a:2:{" AT("5", HOOK) V "}",
	    "a:2:{i:5;a:1:{" HOOK "a:2:{" SLOT "i:0;" ONCE "}}" V "}" },
	{ "a slot that is taken",
	    { CRON_ADD, 5, ROW("h"), ROW("k"), ROW(EV("2")) },
	    "a:2:{i:5;a:1:{" HOOK "a:2:{s:1:\"k\";" EV("1") SLOT "}}" V "}",
	    "a:2:{i:5;a:1:{" HOOK "a:2:{s:1:\"k\";" EV("2") SLOT "}}" V "}" },
	{ "the same again is nothing",
	    { CRON_ADD, 5, ROW("h"), ROW(NO_ARGS), ROW(ONCE) },
	    "a:2:{" AT("5", HOOK) V "}", "a:2:{" AT("5", HOOK) V "}" },
	{ "beside a text key of the same second",
	    { CRON_ADD, 5, ROW("h"), ROW(NO_ARGS), ROW(ONCE) },
	    "a:2:{s:3:\"4.5\";a:1:{" HOOK "a:1:{" SLOT "}}" V "}",
	    "a:3:{s:3:\"4.5\";a:1:{" HOOK "a:1:{" SLOT "}}" AT("5", HOOK) V
	    "}" },
	{ "where no array was",
	    { CRON_ADD, 5, ROW("h"), ROW(NO_ARGS), ROW(ONCE) },
	    "a:2:{i:5;b:0;" V "}", "a:2:{" AT("5", HOOK) V "}" },
	{ "what was there twice is there once",
	    { CRON_REMOVE, 6, ROW("h"), ROW(NO_ARGS), ROW("") },
	    "a:4:{" AT("5", "s:1:\"g\";") AT("6", HOOK) AT("5", HOOK) V "}",
	    "a:2:{" AT("5", HOOK) V "}" },
	{ "leading zeros and blanks do not count, later zeros do",
	    { CRON_ADD, 5, ROW("h"), ROW(NO_ARGS), ROW(ONCE) },
	    "a:6:{s:2:\"07\";N;s:2:\" 6\";N;s:2:\"x1\";N;s:3:\"x01\";N;"
	    "s:2:\"X2\";N;" V "}",
	    "a:7:{" AT("5", HOOK) "s:2:\" 6\";N;s:2:\"07\";N;s:3:\"x01\";N;"
				  "s:2:\"x1\";N;s:2:\"X2\";N;" V "}" },
	{ "words sort after numbers",
	    { CRON_ADD, 5, ROW("h"), ROW(NO_ARGS), ROW(ONCE) },
	    "a:3:{s:3:\"abc\";N;s:1:\"B\";N;" V "}",
	    "a:4:{" AT("5", HOOK) "s:3:\"abc\";N;s:1:\"B\";N;" V "}" },
};

START_TEST(one_edit_leaves_what_wordpress_would_leave)
{
	assert_spliced(slice_str(splices[_i].in), &splices[_i].edit, 1,
	    slice_str(splices[_i].want));
}
END_TEST

START_TEST(edits_are_made_in_their_order)
{
	const struct cron_edit edits[] = {
		addition(6, "h", NO_ARGS, EV("1")),
		addition(6, "h", NO_ARGS, ONCE),
		removal(5, "h", NO_ARGS),
		addition(7, "h", "x", ONCE),
		removal(7, "h", "x"),
		addition(5, "h", NO_ARGS, EV("3")),
		removal(5, "h", NO_ARGS),
	};

	assert_spliced(SLICE_LIT("a:2:{" AT("5", HOOK) V "}"), edits,
	    NELEMS(edits), SLICE_LIT("a:2:{" AT("6", HOOK) V "}"));
}
END_TEST

START_TEST(a_key_that_is_removed_and_added_again_comes_last)
{
	const struct cron_edit edits[] = {
		removal(5, "h", "k"),
		addition(5, "h", "k", ONCE),
	};

	assert_spliced(SLICE_LIT("a:2:{i:5;a:1:{" HOOK
				 "a:2:{s:1:\"k\";" ONCE SLOT "}}" V "}"),
	    edits, 2,
	    SLICE_LIT("a:2:{i:5;a:1:{" HOOK "a:2:{" SLOT "s:1:\"k\";" ONCE
		      "}}" V "}"));
}
END_TEST

START_TEST(both_events_of_one_second_can_be_removed)
{
	const struct cron_edit edits[] = {
		removal(5, "h", NO_ARGS),
		removal(5, "h", NO_ARGS),
	};

	assert_spliced(SLICE_LIT("a:3:{s:3:\"4.5\";a:1:{" HOOK "a:1:{" SLOT
				 "}}" AT("5", HOOK) V "}"),
	    edits, 2, SLICE_LIT("a:1:{" V "}"));
}
END_TEST

static void
assert_refused(const char *in, struct cron_edit edit, size_t room)
{
	struct cron_array c = parsed(slice_str(in));
	struct buf out = BUF_INIT(room);
	struct err err = ERR_INIT;

	buf_put_str(&out, "x");
	ck_assert_int_eq(
	    cron_array_splice(&c, &edit, 1, &out, &err), RC_REJECT);
	ck_assert(err.text[0] != '\0');
	ck_assert_str_eq(buf_str(&out), "x");
	buf_clear(&out);
}

START_TEST(what_cannot_be_written_is_refused)
{
	const struct cron_edit add = addition(5, "h", "k", ONCE);

	assert_refused("a:1:{" AT("5", HOOK) "}", add, 1000);
	assert_refused("a:2:{" AT("5", HOOK) V "}", add, 100);
	assert_refused("a:1:{" V "}", addition(5, "h", "k", "a:1:{"), 1000);
	assert_refused("a:1:{" V "}", addition(5, "h", "k", "i:5;"), 1000);
	assert_refused("a:1:{" V "}", addition(5, "h", "k", ONCE "x"), 1000);
}
END_TEST

/* ---- references -------------------------------------------------------- */

/* Numbers within the array: 1 it, 2 the timestamp, 3 the hook, 4 the event,
 * 5 its schedule, 6 its args, 7 the object, 8 the object again. */
#define TWICE(n) "a:2:{i:0;O:8:\"stdClass\":0:{}i:1;r:" n ";}"
#define REF_EVENT(n) "a:2:{s:8:\"schedule\";b:0;s:4:\"args\";" TWICE(n) "}"
#define REF_AT(ts, n) "i:" ts ";a:1:{" HOOK "a:1:{s:1:\"k\";" REF_EVENT(n) "}}"

START_TEST(an_event_with_references_is_numbered_to_stand_alone)
{
	struct cron_array c =
	    parsed(slice_str("a:3:{" REF_AT("5", "7") REF_AT("6", "14") V "}"));
	struct cron_event e;
	struct err err = ERR_INIT;

	ck_assert_uint_eq(c.n, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_text(c.events[i].span, slice_str(REF_EVENT("4")));
		assert_text(c.events[i].args, slice_str(TWICE("2")));
	}
	ck_assert_int_eq(
	    cron_event_parse(c.events[0].span, &arena, &e, &err), RC_OK);
	assert_text(e.span, slice_str(REF_EVENT("4")));
	assert_text(e.args, slice_str(TWICE("2")));
}
END_TEST

START_TEST(references_follow_what_moves)
{
	static const char first[] =
	    "a:3:{" REF_AT("5", "7") REF_AT("6", "14") V "}";
	const struct cron_edit gone = removal(5, "h", "k");
	const struct cron_edit back = addition(5, "h", "k", REF_EVENT("4"));
	const struct cron_edit between = addition(5, "a", "k", ONCE);

	assert_spliced(slice_str(first), &gone, 1,
	    SLICE_LIT("a:2:{" REF_AT("6", "7") V "}"));
	assert_spliced(SLICE_LIT("a:2:{" REF_AT("6", "7") V "}"), &back, 1,
	    slice_str(first));
	/* Five more values: the hook, the event and its three. */
	assert_spliced(slice_str(first), &between, 1,
	    SLICE_LIT("a:3:{i:5;a:2:{" HOOK "a:1:{s:1:\"k\";" REF_EVENT(
		"7") "}s:1:\"a\";a:1:{s:1:\"k\";" ONCE "}}" REF_AT("6", "18") V
		"}"));
}
END_TEST

START_TEST(a_reference_into_another_event_leaves_the_array_to_php)
{
	static const char in[] =
	    "a:3:{" REF_AT("5", "7") REF_AT("6", "7") V "}";
	struct cron_array c = parsed(slice_str(in));

	ck_assert(c.bound);
	ck_assert_uint_eq(c.n, 1);
	ck_assert_uint_eq(c.odd, 1);
	assert_refused(in, removal(5, "h", "k"), 1000);
}
END_TEST

#define CUSTOM(payload)                                                        \
	"i:4;a:1:{" HOOK                                                       \
	"a:1:{i:0;a:1:{s:4:\"args\";a:1:{i:0;C:1:\"A\":" payload "}}}}"

START_TEST(a_custom_object_is_moved_whole)
{
	const struct cron_edit gone = removal(5, "h", NO_ARGS);

	assert_spliced(SLICE_LIT("a:3:{" CUSTOM("3:{x;}}") AT("5", HOOK) V "}"),
	    &gone, 1, SLICE_LIT("a:2:{" CUSTOM("3:{x;}}") V "}"));
}
END_TEST

START_TEST(references_beside_a_custom_object_are_left_to_php)
{
	static const char beside[] =
	    "a:3:{" CUSTOM("3:{x;}}") REF_AT("5", "12") V "}";
	static const char inside[] =
	    "a:3:{" CUSTOM("4:{R:1;}") AT("5", HOOK) V "}";
	static const char alone[] =
	    "a:3:{" CUSTOM("3:{x;}}") AT("5", HOOK) V "}";

	ck_assert(parsed(slice_str(beside)).bound);
	ck_assert_uint_eq(parsed(slice_str(beside)).n, 1);
	assert_refused(beside, removal(5, "h", "k"), 1000);
	assert_refused(inside, removal(5, "h", NO_ARGS), 1000);
	assert_refused(alone, addition(6, "h", "k", REF_EVENT("4")), 1000);
}
END_TEST

/* ---- rendering --------------------------------------------------------- */

START_TEST(events_are_rendered_as_wordpress_writes_them)
{
	struct cron_array c = parsed(slice_str(sample));
	const struct cron_event *e = &c.events[_i];
	struct buf out = BUF_INIT(1024);

	cron_event_render(&out, e->recurrence, e->args, e->interval);
	ck_assert(!out.failed);
	assert_text(buf_slice(&out), e->span);
	buf_clear(&out);
}
END_TEST

START_TEST(rendered_arguments_keep_their_references)
{
	struct buf out = BUF_INIT(1024);

	cron_event_render(&out, SLICE_NONE, slice_str(TWICE("2")), 0);
	assert_text(buf_slice(&out), slice_str(REF_EVENT("4")));
	buf_clear(&out);
	cron_event_render(&out, SLICE_NONE, slice_str("a:1:{i:0;i:5}"), 0);
	ck_assert(out.failed);
	buf_clear(&out);
}
END_TEST

/* ---- size -------------------------------------------------------------- */

static void
put_many(struct buf *text, int n)
{
	buf_printf(text, "a:%d:{", n + 1);
	for (int i = 0; i < n; i++)
		buf_printf(text,
		    "i:%d;a:1:{s:21:\"newspack_sync_contact\";a:1:{s:32:\"%"
		    "032x\""
		    ";a:2:{s:8:\"schedule\";b:0;s:4:\"args\";a:2:{i:0;i:%08d;"
		    "i:1;s:40:\"somebody-with-a-long-name@somewhere.test\";}}}"
		    "}",
		    1700000000 + i, (unsigned)i, 10000000 + i);
	buf_put_str(text, V "}");
}

START_TEST(fifty_thousand_events_are_parsed_and_spliced)
{
	enum {
		MANY = 50000,
		TAKEN = 1000
	};
	struct buf text = BUF_INIT(CEILING_SERIALIZED_BYTES);
	struct buf out = BUF_INIT(CEILING_SERIALIZED_BYTES);
	static struct cron_edit edits[2 * TAKEN];
	struct cron_array c;
	struct err err = ERR_INIT;
	clock_t begun, read, done;

	put_many(&text, MANY);
	begun = clock();
	c = parsed(buf_slice(&text));
	read = clock();
	ck_assert_uint_eq(c.n, MANY);
	for (size_t i = 0; i < TAKEN; i++) {
		edits[2 * i] =
		    (struct cron_edit){ CRON_REMOVE, c.events[i].timestamp,
			    c.events[i].hook, c.events[i].key, SLICE_NONE };
		edits[2 * i + 1] = edits[2 * i];
		edits[2 * i + 1].what = CRON_ADD;
		edits[2 * i + 1].timestamp += 100000;
		edits[2 * i + 1].event = c.events[i].span;
	}
	ck_assert_int_eq(
	    cron_array_splice(&c, edits, NELEMS(edits), &out, &err), RC_OK);
	done = clock();
	ck_assert_uint_eq(parsed(buf_slice(&out)).n, MANY);
	printf("cron_array: %d events, %zu bytes: parse %ld ms, splice %ld ms, "
	       "%zu bytes of memory\n",
	    MANY, text.n, (long)(read - begun) * 1000 / CLOCKS_PER_SEC,
	    (long)(done - read) * 1000 / CLOCKS_PER_SEC, arena.used / 2);
	buf_clear(&text);
	buf_clear(&out);
}
END_TEST

START_TEST(a_full_arena_is_no_memory)
{
	struct arena small = ARENA_INIT(1000);
	struct cron_array c;
	struct err err = ERR_INIT;

	ck_assert_int_eq(
	    cron_array_parse(slice_str(sample), &small, &c, &err), RC_RETRY);
	arena_clear(&small);
}
END_TEST

#define LOOP(tc, test, rows) tcase_add_loop_test(tc, test, 0, NELEMS(rows))

Suite *
cron_array_suite(void)
{
	Suite *s = suite_create("cron_array");
	TCase *tc = tcase_create("cron_array");

	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, the_sample_is_the_bytes_that_wordpress_wrote);
	LOOP(tc, an_event_has_all_its_parts, sample_events);
	LOOP(tc, what_is_stored_is_told_apart, shapes);
	LOOP(tc, what_is_not_phps_format_is_refused_with_its_place, broken);
	LOOP(tc, a_timestamp_is_an_int_or_a_numeric_string_cut_upwards, times);
	LOOP(tc, an_event_is_one_shot_by_phps_truth_of_its_schedule, schedules);
	LOOP(tc, an_events_members_are_read_as_php_would, odd_events);
	tcase_add_test(
	    tc, texts_with_nul_quotes_and_unicode_are_compared_byte_by_byte);
	tcase_add_test(tc, a_hook_that_is_a_number_is_found_by_its_decimal);
	tcase_add_test(tc, an_int_key_comes_before_a_text_of_the_same_second);
	tcase_add_test(tc, a_later_event_of_the_hook_and_key_is_seen);
	LOOP(tc, the_first_bytes_tell_the_earliest_timestamp, heads);
	LOOP(tc, a_next_run_keeps_the_phase_and_collapses_what_was_missed,
	    next_runs);
	tcase_add_test(tc, a_next_run_is_always_within_one_interval);
	tcase_add_test(tc, removing_every_event_leaves_the_empty_list);
	tcase_add_test(tc, the_sample_is_built_from_nothing);
	LOOP(tc, one_edit_leaves_what_wordpress_would_leave, splices);
	tcase_add_test(tc, edits_are_made_in_their_order);
	tcase_add_test(tc, a_key_that_is_removed_and_added_again_comes_last);
	tcase_add_test(tc, both_events_of_one_second_can_be_removed);
	tcase_add_test(tc, what_cannot_be_written_is_refused);
	tcase_add_test(tc, an_event_with_references_is_numbered_to_stand_alone);
	tcase_add_test(tc, references_follow_what_moves);
	tcase_add_test(
	    tc, a_reference_into_another_event_leaves_the_array_to_php);
	tcase_add_test(tc, a_custom_object_is_moved_whole);
	tcase_add_test(tc, references_beside_a_custom_object_are_left_to_php);
	LOOP(tc, events_are_rendered_as_wordpress_writes_them, sample_events);
	tcase_add_test(tc, rendered_arguments_keep_their_references);
	tcase_add_test(tc, fifty_thousand_events_are_parsed_and_spliced);
	tcase_add_test(tc, a_full_arena_is_no_memory);
	suite_add_tcase(s, tc);
	return s;
}
