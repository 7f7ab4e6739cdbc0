#include <check.h>
#include <string.h>

#include "server/options.h"

#define SUITE(name) Suite *name##_suite(void);
#include "suites.h"
#undef SUITE

#define ARGS_MAX 8

static enum rc
parse(const char *const *argv, struct options *o, struct err *err)
{
	int argc = 0;

	while (argc < ARGS_MAX && argv[argc])
		argc++;
	return options_parse(argc, argv, o, err);
}

START_TEST(values_and_flags_are_read)
{
	static const char *const argv[] = { "p", "--root", "/srv/www", "-c",
		"/etc/x", "--listen=unix:/a=b", "--foreground", NULL };
	struct options o;
	struct err err = ERR_INIT;

	ck_assert_int_eq(parse(argv, &o, &err), RC_OK);
	ck_assert_str_eq(o.root, "/srv/www");
	ck_assert_str_eq(o.config, "/etc/x");
	ck_assert_str_eq(o.listen, "unix:/a=b");
	ck_assert(o.foreground && !o.check && !o.help && !o.version);
	ck_assert_ptr_null(o.log_level_name);
}
END_TEST

START_TEST(a_log_level_is_known_or_refused)
{
	static const char *const good[] = { "p", "--log-level", "debug", NULL };
	static const char *const bad[] = { "p", "--log-level", "loud", NULL };
	struct options o;
	struct err err = ERR_INIT;

	ck_assert_int_eq(parse(good, &o, &err), RC_OK);
	ck_assert_int_eq(o.log_level, LOG_DEBUG);
	ck_assert_int_eq(parse(bad, &o, &err), RC_REJECT);
}
END_TEST

static const char *const wrong[][ARGS_MAX] = {
	{ "p", "--rooot", "x", NULL },
	{ "p", "--root", NULL },
	{ "p", "--check=1", NULL },
	{ "p", "site", NULL },
	{ "p", "-c=x", NULL },
	{ "p", "-", NULL },
	{ "p", "", NULL },
	{ "p", "--", NULL },
};

START_TEST(a_wrong_command_line_is_refused_with_words)
{
	struct options o;
	struct err err = ERR_INIT;

	ck_assert_int_eq(parse(wrong[_i], &o, &err), RC_REJECT);
	ck_assert_int_ne(err.text[0], '\0');
}
END_TEST

Suite *
options_suite(void)
{
	Suite *s = suite_create("options");
	TCase *t = tcase_create("options");

	tcase_add_test(t, values_and_flags_are_read);
	tcase_add_test(t, a_log_level_is_known_or_refused);
	tcase_add_loop_test(t, a_wrong_command_line_is_refused_with_words, 0,
	    (int)NELEMS(wrong));
	suite_add_tcase(s, t);
	return s;
}
