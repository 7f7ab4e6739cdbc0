#include "base/arena.h"

#include <check.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>

START_TEST(memory_is_zeroed_and_aligned_for_any_type)
{
	struct arena a = ARENA_INIT(1 << 20);

	for (size_t n = 1; n < 100; n++) {
		unsigned char *p = arena_alloc(&a, n);

		ck_assert_ptr_nonnull(p);
		ck_assert_uint_eq((uintptr_t)p % alignof(max_align_t), 0);
		for (size_t i = 0; i < n; i++)
			ck_assert_uint_eq(p[i], 0);
		memset(p, 0xAA, n);
	}
	arena_clear(&a);
}
END_TEST

START_TEST(past_the_ceiling_there_is_nothing)
{
	struct arena a = ARENA_INIT(64);

	ck_assert_ptr_nonnull(arena_alloc(&a, 32));
	ck_assert_ptr_null(arena_alloc(&a, 33));
	ck_assert_ptr_nonnull(arena_alloc(&a, 32));
	ck_assert_ptr_null(arena_alloc(&a, 1));
	arena_clear(&a);
	ck_assert_ptr_nonnull(arena_alloc(&a, 64));
	arena_clear(&a);
}
END_TEST

START_TEST(sizes_that_overflow_give_nothing)
{
	struct arena a = ARENA_INIT(SIZE_MAX);

	ck_assert_ptr_null(arena_alloc(&a, SIZE_MAX));
	ck_assert_ptr_null(arena_array(&a, SIZE_MAX / 2, 3));
	ck_assert_ptr_null(arena_strdup(&a, slice_mem("", SIZE_MAX)));
	arena_clear(&a);
}
END_TEST

START_TEST(a_copy_ends_in_nul_and_outlives_other_pieces)
{
	struct arena a = ARENA_INIT(1 << 20);
	char *copy = arena_strdup(&a, slice_mem("abcd", 3));
	char *none = arena_strdup(&a, SLICE_NONE);

	for (int i = 0; i < 1000; i++)
		ck_assert_ptr_nonnull(arena_alloc(&a, 100));
	ck_assert_str_eq(copy, "abc");
	ck_assert_str_eq(none, "");
	arena_clear(&a);
	arena_clear(&a);
	ck_assert_uint_eq(a.used, 0);
}
END_TEST

START_TEST(a_piece_larger_than_a_chunk_has_its_own)
{
	struct arena a = ARENA_INIT(1 << 20);
	char *p = arena_array(&a, 1000, 100);

	ck_assert_ptr_nonnull(p);
	memset(p, 1, 100000);
	ck_assert_ptr_nonnull(arena_alloc(&a, 8));
	arena_clear(&a);
}
END_TEST

Suite *arena_suite(void);
Suite *
arena_suite(void)
{
	Suite *s = suite_create("arena");
	TCase *tc = tcase_create("arena");

	tcase_add_test(tc, memory_is_zeroed_and_aligned_for_any_type);
	tcase_add_test(tc, past_the_ceiling_there_is_nothing);
	tcase_add_test(tc, sizes_that_overflow_give_nothing);
	tcase_add_test(tc, a_copy_ends_in_nul_and_outlives_other_pieces);
	tcase_add_test(tc, a_piece_larger_than_a_chunk_has_its_own);
	suite_add_tcase(s, tc);
	return s;
}
