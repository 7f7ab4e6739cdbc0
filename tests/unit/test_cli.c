#include <check.h>
#include <stdbool.h>
#include <string.h>

#include "base/cli.h"

Suite *cli_suite(void);

struct line {
	const char *text;
	bool flag;
};

static const struct cli_option rows[] = {
	{ "--text", "TEXT", offsetof(struct line, text), "first\nsecond", 0 },
	{ "-t", "TEXT", offsetof(struct line, text), "short", 0 },
	{ "--flag", NULL, offsetof(struct line, flag), "a flag", 7 },
};

#define ARGS_MAX 4

static enum rc
take(const char *const *argv, int *i, struct line *to, struct err *err)
{
	const struct cli_option *row = NULL;
	int argc = 0;
	enum rc rc;

	while (argc < ARGS_MAX && argv[argc])
		argc++;
	rc = cli_option_take(rows, NELEMS(rows), argc, argv, i, to, &row, err);
	ck_assert((rc == RC_OK) <= (row != NULL));
	return rc;
}

static const struct {
	const char *argv[ARGS_MAX];
	const char *text;
	bool flag;
	int last; /* index of the last argument taken */
} good[] = {
	{ { "--text", "x" }, "x", false, 1 },
	{ { "--text=x" }, "x", false, 0 },
	{ { "--text=a=b" }, "a=b", false, 0 },
	{ { "--text=" }, "", false, 0 },
	{ { "--text", "--flag" }, "--flag", false, 1 },
	{ { "-t", "x" }, "x", false, 1 },
	{ { "--flag", "x" }, NULL, true, 0 },
};

START_TEST(a_value_follows_its_name_or_an_equals_sign)
{
	struct line l = { NULL, false };
	struct err err = ERR_INIT;
	int i = 0;

	ck_assert_int_eq(take(good[_i].argv, &i, &l, &err), RC_OK);
	ck_assert_int_eq(i, good[_i].last);
	ck_assert(l.flag == good[_i].flag);
	if (good[_i].text)
		ck_assert_str_eq(l.text, good[_i].text);
	else
		ck_assert_ptr_null(l.text);
}
END_TEST

static const char *const wrong[][ARGS_MAX] = { { "--txt" }, { "--text" },
	{ "--flag=1" }, { "-t=x" }, { "-" }, { "" }, { "--" }, { "text" } };

START_TEST(anything_else_is_refused_with_words)
{
	struct line l = { NULL, false };
	struct err err = ERR_INIT;
	int i = 0;

	ck_assert_int_eq(take(wrong[_i], &i, &l, &err), RC_REJECT);
	ck_assert_int_ne(err.text[0], '\0');
	ck_assert(!l.text && !l.flag);
}
END_TEST

START_TEST(help_lines_stand_in_a_column)
{
	struct buf b = BUF_INIT(1024);

	cli_option_help(&b, &rows[0], 16);
	cli_option_help(&b, &rows[2], 16);
	cli_help_line(&b, "a name that is long", "text", 16);
	ck_assert_str_eq(buf_str(&b), "  --text TEXT   first\n"
				      "                second\n"
				      "  --flag        a flag\n"
				      "  a name that is long\n"
				      "                text\n");
	buf_clear(&b);
}
END_TEST

Suite *
cli_suite(void)
{
	Suite *s = suite_create("cli");
	TCase *tc = tcase_create("options");

	tcase_add_loop_test(
	    tc, a_value_follows_its_name_or_an_equals_sign, 0, NELEMS(good));
	tcase_add_loop_test(
	    tc, anything_else_is_refused_with_words, 0, NELEMS(wrong));
	tcase_add_test(tc, help_lines_stand_in_a_column);
	suite_add_tcase(s, tc);
	return s;
}
