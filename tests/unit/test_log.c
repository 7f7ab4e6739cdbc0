#include "base/log.h"

#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char out[1 << 20];
static int pipe_fd[2];

static void
open_output(void)
{
	ck_assert_int_eq(pipe(pipe_fd), 0);
	log_set_output(pipe_fd[1], false);
	log_set_level(LOG_INFO);
}

static void
close_output(void)
{
	log_set_output(STDERR_FILENO, false);
	log_set_level(LOG_INFO);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
}

static const char *
read_output(void)
{
	ssize_t n = 0;

	ck_assert_int_eq(fcntl(pipe_fd[0], F_SETFL, O_NONBLOCK), 0);
	n = read(pipe_fd[0], out, sizeof out - 1);
	out[n > 0 ? n : 0] = '\0';
	return out;
}

static const struct {
	const char *value, *written;
} rows[] = {
	{ "plain", "plain" },
	{ "a:b/c-d_e.f,g", "a:b/c-d_e.f,g" },
	{ "", "\"\"" },
	{ "two words", "\"two words\"" },
	{ "a=b", "\"a=b\"" },
	{ "say \"hi\"", "\"say \\\"hi\\\"\"" },
	{ "back\\slash", "back\\slash" },
	{ "back \\slash", "\"back \\\\slash\"" },
	{ "line\nbreak", "\"line\\nbreak\"" },
	{ "tab\there", "\"tab\\there\"" },
	{ "cr\r", "\"cr\\x0d\"" },
	{ "esc\033[31m", "\"esc\\x1b[31m\"" },
	{ "del\x7f", "\"del\\x7f\"" },
	{ "gr\xC3\xBC\xC3\x9F", "gr\xC3\xBC\xC3\x9F" },
	{ "c1\xC2\x9B", "\"c1\\xc2\\x9b\"" },
};

START_TEST(a_value_is_quoted_where_it_must_be)
{
	char expected[256];

	log_event(LOG_INFO, "test.row", LOG_S("k", rows[_i].value));
	snprintf(expected, sizeof expected, "info test.row k=%s\n",
	    rows[_i].written);
	ck_assert_str_eq(read_output(), expected);
}
END_TEST

START_TEST(numbers_and_slices_are_written_in_order)
{
	log_event(LOG_ERR, "job.done", LOG_S("queue", "actions"),
	    LOG_U("job", UINT64_MAX), LOG_I("ms", -5),
	    LOG_SLICE("hook", slice_mem("abcdef", 3)), LOG_S("none", NULL));
	ck_assert_str_eq(read_output(),
	    "err job.done queue=actions job=18446744073709551615 ms=-5 "
	    "hook=abc none=\"\"\n");
}
END_TEST

START_TEST(lines_above_the_level_are_dropped)
{
	log_event(LOG_DEBUG, "x", LOG_I("a", 1));
	ck_assert_str_eq(read_output(), "");
	log_set_level(LOG_DEBUG);
	log_event(LOG_DEBUG, "x", LOG_I("a", 1));
	ck_assert_str_eq(read_output(), "debug x a=1\n");
	log_set_level(LOG_ERR);
	log_event(LOG_WARN, "x", LOG_I("a", 1));
	ck_assert_str_eq(read_output(), "");
	ck_assert(log_enabled(LOG_ERR));
	ck_assert(!log_enabled(LOG_WARN));
}
END_TEST

START_TEST(a_stamp_is_utc_with_milliseconds)
{
	const char *line;

	log_set_output(pipe_fd[1], true);
	log_event(LOG_WARN, "x", LOG_I("a", 1));
	line = read_output();
	ck_assert_str_eq(line + 24, " warn x a=1\n");
	ck_assert(line[4] == '-' && line[10] == 'T' && line[13] == ':' &&
		  line[19] == '.' && line[23] == 'Z');
}
END_TEST

START_TEST(a_long_value_is_cut_and_the_next_field_is_there)
{
	static char text[100000];
	const char *line;

	memset(text, '\n', sizeof text - 1);
	log_event(LOG_INFO, "x", LOG_S("long", text), LOG_I("next", 7));
	line = read_output();
	ck_assert_uint_le(strlen(line), 4096);
	ck_assert_ptr_nonnull(strstr(line, "\"... next=7\n"));
	log_event(LOG_INFO, "x", LOG_S("a", text), LOG_S("b", text),
	    LOG_S("c", text), LOG_S("d", text));
	line = read_output();
	ck_assert_uint_eq(strlen(line), 4096);
	ck_assert_int_eq(line[4095], '\n');
	ck_assert_ptr_eq(strchr(line, '\n'), line + 4095);
}
END_TEST

static void *
write_lines(void *arg)
{
	for (int i = 0; i < 200; i++)
		log_event(LOG_INFO, "thread", LOG_S("who", arg),
		    LOG_S("pad", "................................"));
	return NULL;
}

START_TEST(lines_of_several_threads_stay_whole)
{
	static const char line_a[] =
	    "info thread who=a pad=................................\n";
	static const char line_b[] =
	    "info thread who=b pad=................................\n";
	char a[] = "a", b[] = "b", path[] = "/tmp/test_log.XXXXXX";
	int fd = mkstemp(path);
	pthread_t one, two;
	FILE *f;
	char line[256];
	int n = 0;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_ne(fcntl(fd, F_SETFL, O_APPEND), -1);
	log_set_output(fd, false);
	ck_assert_int_eq(pthread_create(&one, NULL, write_lines, a), 0);
	ck_assert_int_eq(pthread_create(&two, NULL, write_lines, b), 0);
	pthread_join(one, NULL);
	pthread_join(two, NULL);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	f = fdopen(fd, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof line, f)) {
		ck_assert(
		    strcmp(line, line_a) == 0 || strcmp(line, line_b) == 0);
		n++;
	}
	ck_assert_int_eq(n, 400);
	fclose(f);
	unlink(path);
}
END_TEST

START_TEST(a_level_is_read_from_its_name)
{
	enum log_level level = LOG_DEBUG;

	ck_assert(log_level_parse(SLICE_LIT("err"), &level));
	ck_assert_int_eq(level, LOG_ERR);
	ck_assert(log_level_parse(SLICE_LIT("debug"), &level));
	ck_assert_int_eq(level, LOG_DEBUG);
	ck_assert(!log_level_parse(SLICE_LIT("error"), &level));
	ck_assert(!log_level_parse(SLICE_NONE, &level));
}
END_TEST

Suite *log_suite(void);
Suite *
log_suite(void)
{
	Suite *s = suite_create("log");
	TCase *tc = tcase_create("log");

	tcase_add_checked_fixture(tc, open_output, close_output);
	tcase_add_loop_test(
	    tc, a_value_is_quoted_where_it_must_be, 0, NELEMS(rows));
	tcase_add_test(tc, numbers_and_slices_are_written_in_order);
	tcase_add_test(tc, lines_above_the_level_are_dropped);
	tcase_add_test(tc, a_stamp_is_utc_with_milliseconds);
	tcase_add_test(tc, a_long_value_is_cut_and_the_next_field_is_there);
	tcase_add_test(tc, lines_of_several_threads_stay_whole);
	tcase_add_test(tc, a_level_is_read_from_its_name);
	suite_add_tcase(s, tc);
	return s;
}
