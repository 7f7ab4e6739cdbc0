#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/roots.h"

#define SUITE(name) Suite *name##_suite(void);
#include "suites.h"
#undef SUITE

/* TOP/a and TOP/a/blog, a site each; TOP/b, none. */
static char top[64], a[80], blog[96], b[80], moving[80];
static struct site sites[2];
static struct site *const site_list[] = { &sites[0], &sites[1] };
static struct roots *roots;
static struct roots_cache cache;

static void
make_site(struct site *s, const char *name, char *root)
{
	struct stat st;

	ck_assert_int_eq(mkdir(root, 0755), 0);
	ck_assert_int_eq(stat(root, &st), 0);
	*s = (struct site){ .name = name,
		.root = root,
		.root_dev = st.st_dev,
		.root_ino = st.st_ino };
}

static void
setup(void)
{
	snprintf(top, sizeof(top), "/tmp/wpcron-roots-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(a, sizeof(a), "%s/a", top);
	snprintf(blog, sizeof(blog), "%s/a/blog", top);
	snprintf(b, sizeof(b), "%s/b", top);
	snprintf(moving, sizeof(moving), "%s/current", top);
	make_site(&sites[0], "main", a);
	make_site(&sites[1], "blog", blog);
	ck_assert_int_eq(mkdir(b, 0755), 0);
	roots = roots_new(site_list, 2);
	cache = (struct roots_cache){ .next = 0 };
}

static void
teardown(void)
{
	roots_free(roots);
	(void)unlink(moving);
	(void)rmdir(blog);
	(void)rmdir(a);
	(void)rmdir(b);
	(void)rmdir(top);
}

static const char *
find(mono_ms now, const char *root, const char *path)
{
	const struct site *s = roots_find(
	    roots, &cache, now, SLICE_NONE, slice_str(root), slice_str(path));

	return s ? s->name : "none";
}

START_TEST(the_deepest_site_on_the_path_answers)
{
	ck_assert_str_eq(find(0, a, ""), "main");
	ck_assert_str_eq(find(0, a, "/two"), "main");
	ck_assert_str_eq(find(0, a, "/blog"), "blog");
	ck_assert_str_eq(find(0, a, "/blog/two"), "blog");
	ck_assert_str_eq(find(0, a, "/blogs"), "main");
	ck_assert_str_eq(find(0, blog, ""), "blog");
	ck_assert_str_eq(find(0, top, "/a/blog"), "blog");
	ck_assert_str_eq(find(0, top, "/a"), "main");
	ck_assert_str_eq(find(0, top, ""), "none");
	ck_assert_str_eq(find(0, b, ""), "none");
	ck_assert_str_eq(find(0, "", ""), "none");
	ck_assert_str_eq(find(0, "/", ""), "none");
}
END_TEST

START_TEST(a_link_that_moves_is_seen_within_a_second)
{
	ck_assert_int_eq(symlink(b, moving), 0);
	ck_assert_str_eq(find(0, moving, ""), "none");
	ck_assert_int_eq(unlink(moving), 0);
	ck_assert_int_eq(symlink(a, moving), 0);
	ck_assert_str_eq(find(999, moving, ""), "none");
	ck_assert_str_eq(find(1000, moving, ""), "main");
	ck_assert_int_eq(unlink(moving), 0);
	ck_assert_str_eq(find(1999, moving, ""), "main");
	ck_assert_str_eq(find(2000, moving, ""), "none");
}
END_TEST

START_TEST(more_roots_than_are_remembered_are_still_right)
{
	char path[128];

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 3 * ROOTS_CACHE_N; i++) {
			snprintf(path, sizeof(path), "%s/%d", top, i);
			ck_assert_str_eq(find(0, path, ""), "none");
			ck_assert_str_eq(find(0, a, ""), "main");
		}
	}
}
END_TEST

Suite *
roots_suite(void)
{
	Suite *s = suite_create("roots");
	TCase *t = tcase_create("roots");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_deepest_site_on_the_path_answers);
	tcase_add_test(t, a_link_that_moves_is_seen_within_a_second);
	tcase_add_test(t, more_roots_than_are_remembered_are_still_right);
	suite_add_tcase(s, t);
	return s;
}
