#include <check.h>
#include <stdio.h>
#include <string.h>

#include "queues/cron_hooks.h"

Suite *cron_hooks_suite(void);

START_TEST(a_hook_has_one_entry)
{
	struct arena arena = ARENA_INIT(1 << 20);
	struct cron_hooks h;
	struct cron_hook *a, *b;

	ck_assert(cron_hooks_init(&h, &arena, 10));
	a = cron_hooks_get(&h, SLICE_LIT("a"));
	b = cron_hooks_get(&h, SLICE_LIT("A"));
	a->waiting = 1;
	ck_assert(a != b);
	ck_assert(cron_hooks_get(&h, SLICE_LIT("a")) == a);
	ck_assert_uint_eq(cron_hooks_get(&h, SLICE_LIT("A"))->waiting, 0);
	ck_assert(cron_hooks_get(&h, SLICE_LIT("")) ==
		  cron_hooks_get(&h, SLICE_NONE));
	ck_assert_uint_eq(h.n, 3);
	arena_clear(&arena);
}
END_TEST

START_TEST(a_hook_is_kept_when_its_text_is_gone)
{
	struct arena arena = ARENA_INIT(1 << 20);
	char text[] = "hook";
	struct cron_hooks h;

	ck_assert(cron_hooks_init(&h, &arena, 10));
	cron_hooks_get(&h, slice_str(text))->waiting = 7;
	memset(text, 'x', sizeof text - 1);
	ck_assert_uint_eq(cron_hooks_get(&h, SLICE_LIT("hook"))->waiting, 7);
	arena_clear(&arena);
}
END_TEST

START_TEST(as_many_as_asked_for_have_room_and_then_no_more)
{
	struct arena arena = ARENA_INIT(1 << 20);
	struct cron_hooks h;
	char name[32];
	size_t n = 0;

	ck_assert(cron_hooks_init(&h, &arena, 1000));
	for (;; n++) {
		(void)snprintf(name, sizeof name, "hook%zu", n);
		if (!cron_hooks_get(&h, slice_str(name)))
			break;
	}
	ck_assert_uint_ge(n, 1000);
	ck_assert_uint_eq(h.n, n);
	/* Those that are there are found on. */
	ck_assert(cron_hooks_get(&h, SLICE_LIT("hook0")) != NULL);
	ck_assert(cron_hooks_get(&h, SLICE_LIT("hook999")) != NULL);
	arena_clear(&arena);
}
END_TEST

START_TEST(without_memory_there_is_no_table)
{
	struct arena arena = ARENA_INIT(100);
	struct cron_hooks h;

	ck_assert(!cron_hooks_init(&h, &arena, 1000));
	ck_assert(cron_hooks_get(&h, SLICE_LIT("a")) == NULL);
	arena_clear(&arena);
}
END_TEST

Suite *
cron_hooks_suite(void)
{
	Suite *s = suite_create("cron_hooks");
	TCase *tc = tcase_create("table");

	tcase_add_test(tc, a_hook_has_one_entry);
	tcase_add_test(tc, a_hook_is_kept_when_its_text_is_gone);
	tcase_add_test(tc, as_many_as_asked_for_have_room_and_then_no_more);
	tcase_add_test(tc, without_memory_there_is_no_table);
	suite_add_tcase(s, tc);
	return s;
}
