/*
 * The one list of what failed for good.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "db_test.h"
#include "queues/dead_letters.h"
#include "sql/schema.h"

Suite *dead_letters_suite(void);

static struct arena arena = ARENA_INIT((size_t)16 << 20);

static void
open_tables(void)
{
	db_test_open();
	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
}

static void
close_tables(void)
{
	arena_clear(&arena);
	db_test_close();
}

static void
add(enum dead_kind kind, uint32_t blog, const char *queue, uint64_t source,
    const char *reason)
{
	CK_RC(RC_OK, dead_letter_add(t.db, &t.scope,
			 &(const struct dead_letter){ .blog_id = blog,
			     .kind = kind,
			     .queue = slice_str(queue),
			     .source = source,
			     .title = SLICE_LIT("send_email"),
			     .reason = slice_str(reason),
			     .attempts = 3,
			     .payload = SLICE_LIT("a:0:{}") },
			 &t.err));
}

static size_t
list(const struct dead_filter *f, struct dead_letter **out)
{
	size_t n;

	CK_RC(RC_OK,
	    dead_letters_list(t.db, &t.scope, f, &arena, out, &n, &t.err));
	return n;
}

START_TEST(letter_is_read_back_whole)
{
	struct dead_letter *found, whole;
	int64_t now = clock_unix(&clock_system);

	add(DEAD_TASK, 2, "crm", 77, "HTTP 500");
	ck_assert_uint_eq(
	    list(&(const struct dead_filter){ .kind = -1, .max = 9 }, &found),
	    1);
	ck_assert_uint_eq(found->blog_id, 2);
	ck_assert_int_eq(found->kind, DEAD_TASK);
	ck_assert(slice_eq_str(found->queue, "crm"));
	ck_assert(slice_eq_str(found->title, "send_email"));
	ck_assert(slice_eq_str(found->reason, "HTTP 500"));
	ck_assert_uint_eq(found->source, 77);
	ck_assert_uint_eq(found->attempts, 3);
	ck_assert_int_le(llabs(found->died_at - now), 60);
	ck_assert_int_le(llabs(found->created_at - now), 60);
	ck_assert_uint_eq(found->payload.n, 0);
	CK_RC(RC_OK, dead_letter_get(t.db, &t.scope, found->letter_id, &arena,
			 &whole, &t.err));
	ck_assert(slice_eq_str(whole.payload, "a:0:{}"));
	CK_RC(RC_NONE, dead_letter_get(t.db, &t.scope, found->letter_id + 1,
			   &arena, &whole, &t.err));
}
END_TEST

START_TEST(the_same_source_replaces_its_letter)
{
	struct dead_letter *found;
	uint64_t id;

	add(DEAD_MAIL, 1, "action:9", 5, "550 no such user");
	(void)list(&(const struct dead_filter){ .kind = -1, .max = 9 }, &found);
	id = found->letter_id;
	add(DEAD_MAIL, 1, "action:9", 5, "552 mailbox full");
	ck_assert_uint_eq(
	    list(&(const struct dead_filter){ .kind = -1, .max = 9 }, &found),
	    1);
	ck_assert_uint_eq(found->letter_id, id);
	ck_assert(slice_eq_str(found->reason, "552 mailbox full"));
	/* Another blog's, kind's or queue's is another. */
	add(DEAD_MAIL, 2, "action:9", 5, "x");
	add(DEAD_TASK, 1, "action:9", 5, "x");
	add(DEAD_MAIL, 1, "action:8", 5, "x");
	ck_assert_uint_eq(
	    list(&(const struct dead_filter){ .kind = -1, .max = 9 }, &found),
	    4);
}
END_TEST

static const struct {
	struct dead_filter f;
	size_t n;
} filters[] = {
	{ { .kind = -1, .max = 100 }, 12 },
	{ { .kind = -1, .max = 5 }, 5 },
	{ { .kind = DEAD_EVENT, .max = 100 }, 2 },
	{ { .kind = -1, .blog_id = 2, .max = 100 }, 6 },
	{ { .kind = DEAD_CONTACT, .blog_id = 2, .max = 100 }, 1 },
	{ { .kind = -1, .queue = { "q3", 2 }, .max = 100 }, 2 },
	{ { .kind = DEAD_MAIL, .queue = { "q3", 2 }, .max = 100 }, 0 },
	{ { .kind = -1, .blog_id = 3, .max = 100 }, 0 },
};

START_TEST(list_is_filtered_and_newest_first)
{
	struct dead_letter *found;
	size_t n;

	for (uint32_t blog = 1; blog <= 2; blog++)
		for (int k = DEAD_MAIL; k <= DEAD_CONTACT; k++)
			add((enum dead_kind)k, blog,
			    (const char *[]){
				"q0", "q1", "q2", "q3", "q4", "q5" }[k],
			    1, "why");
	n = list(&filters[_i].f, &found);
	ck_assert_uint_eq(n, filters[_i].n);
	for (size_t i = 1; i < n; i++)
		ck_assert_uint_lt(found[i].letter_id, found[i - 1].letter_id);
}
END_TEST

START_TEST(pages_follow_each_other)
{
	struct dead_filter f = { .kind = -1, .max = 7 };
	struct dead_letter *found;
	size_t n, all = 0;

	for (uint64_t i = 1; i <= 30; i++)
		add(DEAD_TASK, 1, "q", i, "why");
	while ((n = list(&f, &found)) > 0) {
		all += n;
		f.before_id = found[n - 1].letter_id;
	}
	ck_assert_uint_eq(all, 30);
}
END_TEST

START_TEST(letter_is_deleted_once)
{
	struct dead_letter *found;

	add(DEAD_TASK, 1, "q", 1, "why");
	(void)list(&(const struct dead_filter){ .kind = -1, .max = 9 }, &found);
	CK_RC(RC_OK,
	    dead_letter_delete(t.db, &t.scope, found->letter_id, &t.err));
	CK_RC(RC_NONE,
	    dead_letter_delete(t.db, &t.scope, found->letter_id, &t.err));
}
END_TEST

START_TEST(old_letters_end)
{
	struct dead_letter *found;

	add(DEAD_TASK, 1, "q", 1, "why");
	add(DEAD_TASK, 1, "q", 2, "why");
	db_test_sql("UPDATE wp_wpcron_dead_letters SET died_at ="
		    " UTC_TIMESTAMP(6) - INTERVAL 91 DAY WHERE source = 1");
	CK_RC(RC_OK, dead_letters_expire(t.db, &t.scope, 90, &t.err));
	ck_assert_uint_eq(
	    list(&(const struct dead_filter){ .kind = -1, .max = 9 }, &found),
	    1);
	ck_assert_uint_eq(found->source, 2);
}
END_TEST

START_TEST(long_texts_are_cut_between_characters)
{
	struct dead_letter *found;
	char reason[700];

	memset(reason, 'x', sizeof reason);
	memcpy(reason + 499, "\xC3\xA4", 2);
	reason[sizeof reason - 1] = '\0';
	add(DEAD_TASK, 1, "q", 1, reason);
	(void)list(&(const struct dead_filter){ .kind = -1, .max = 9 }, &found);
	ck_assert_uint_eq(found->reason.n, 499);
}
END_TEST

START_TEST(kinds_have_names)
{
	for (int k = DEAD_MAIL; k <= DEAD_CONTACT; k++)
		ck_assert_int_eq(
		    dead_kind_of(slice_str(dead_kind_name((enum dead_kind)k))),
		    k);
	ck_assert_int_eq(dead_kind_of(SLICE_LIT("letter")), -1);
	ck_assert_int_eq(dead_kind_of(SLICE_LIT("")), -1);
}
END_TEST

Suite *
dead_letters_suite(void)
{
	Suite *s = suite_create("dead_letters");
	TCase *tc = tcase_create("dead_letters");

	tcase_add_checked_fixture(tc, open_tables, close_tables);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, letter_is_read_back_whole);
	tcase_add_test(tc, the_same_source_replaces_its_letter);
	tcase_add_loop_test(
	    tc, list_is_filtered_and_newest_first, 0, NELEMS(filters));
	tcase_add_test(tc, pages_follow_each_other);
	tcase_add_test(tc, letter_is_deleted_once);
	tcase_add_test(tc, old_letters_end);
	tcase_add_test(tc, long_texts_are_cut_between_characters);
	tcase_add_test(tc, kinds_have_names);
	suite_add_tcase(s, tc);
	return s;
}
