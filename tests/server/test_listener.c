#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "server/listener.h"

#define SUITE(name) Suite *name##_suite(void);
#include "suites.h"
#undef SUITE

static char dir[64], path[80], spec[96];
static const struct listener_opts plain;

static void
setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/wpcron-listen-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(spec, sizeof(spec), "unix:%s", path);
}

static void
teardown(void)
{
	(void)unlink(path);
	(void)rmdir(dir);
}

static void
open_ok(const struct listener_opts *opts, struct listener *l)
{
	struct err err = ERR_INIT;

	ck_assert_msg(
	    listener_open(spec, opts, l, &err) == RC_OK, "%s", err.text);
}

START_TEST(a_socket_is_made_with_its_mode_and_removed_at_close)
{
	struct listener l;
	struct stat st;

	open_ok(&plain, &l);
	ck_assert(listener_is_socket(l.fd));
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0660);
	listener_close(&l);
	ck_assert_int_ne(stat(path, &st), 0);
	open_ok(&(struct listener_opts){ .mode = "0606" }, &l);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0606);
	listener_close(&l);
}
END_TEST

START_TEST(a_stale_socket_is_replaced)
{
	struct listener l, l2;

	open_ok(&plain, &l);
	/* As after kill -9: closed, and still there. */
	close(l.fd);
	open_ok(&plain, &l2);
	close(client_connect(path));
	l.fd = -1;
	/* Not ours any more, so it stays. */
	listener_close(&l);
	close(client_connect(path));
	listener_close(&l2);
}
END_TEST

START_TEST(a_socket_that_answers_is_left_alone)
{
	struct listener l, l2;
	struct err err = ERR_INIT;

	open_ok(&plain, &l);
	ck_assert_int_eq(listener_open(spec, &plain, &l2, &err), RC_REJECT);
	ck_assert_ptr_nonnull(strstr(err.text, "another process listens"));
	close(client_connect(path));
	listener_close(&l);
}
END_TEST

START_TEST(a_file_in_the_way_is_left_alone)
{
	struct listener l;
	struct err err = ERR_INIT;

	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	ck_assert_int_eq(listener_open(spec, &plain, &l, &err), RC_REJECT);
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

static const struct {
	const char *spec;
	struct listener_opts opts;
} wrong[] = {
	{ "", { 0 } },
	{ "unix:", { 0 } },
	{ "9000", { 0 } },
	{ "127.0.0.1:", { 0 } },
	{ "127.0.0.1:http", { 0 } },
	{ "127.0.0.1:70000", { 0 } },
	{ "::1:9000", { 0 } },
	{ "unix:/nowhere/at/all/s", { 0 } },
	{ NULL, { .mode = "0999" } },
	{ NULL, { .mode = "rw" } },
	{ NULL, { .owner = "no-such-user-here" } },
	{ NULL, { .owner = ":no-such-group-here" } },
};

START_TEST(a_wrong_address_is_refused_and_leaves_nothing)
{
	struct listener l = LISTENER_INIT;
	struct err err = ERR_INIT;

	ck_assert_int_eq(listener_open(wrong[_i].spec ? wrong[_i].spec : spec,
			     &wrong[_i].opts, &l, &err),
	    RC_REJECT);
	ck_assert_int_ne(err.text[0], '\0');
	ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

static const char *const tcp[] = { "127.0.0.1:0", ":0", "localhost:0" };

START_TEST(tcp_addresses_are_listened_on)
{
	struct listener l;
	struct err err = ERR_INIT;

	ck_assert_msg(
	    listener_open(tcp[_i], &plain, &l, &err) == RC_OK, "%s", err.text);
	ck_assert(listener_is_socket(l.fd));
	listener_close(&l);
}
END_TEST

/* Low descriptors are the test runner's, so what moves them is a child. */
static bool
holds_in_child(bool (*claim)(void))
{
	pid_t pid = fork();
	int status = 1;

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(claim() ? 0 : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool
inherits(int fd)
{
	struct listener got = LISTENER_INIT;
	struct err err = ERR_INIT;

	return listener_inherit(&got, &err) == (fd < 0 ? RC_NONE : RC_OK) &&
	       got.fd == fd && (fd < 0 || (fcntl(fd, F_GETFL) & O_NONBLOCK));
}

static bool
takes_descriptor_0(void)
{
	struct listener l;
	struct err err = ERR_INIT;

	(void)unsetenv("LISTEN_FDS");
	close(0);
	return open("/dev/null", O_RDONLY | O_CLOEXEC) == 0 && inherits(-1) &&
	       listener_open(spec, &plain, &l, &err) == RC_OK &&
	       dup2(l.fd, 0) == 0 && inherits(0);
}

START_TEST(a_socket_on_descriptor_0_is_inherited)
{
	ck_assert(holds_in_child(takes_descriptor_0));
}
END_TEST

static bool
takes_descriptor_3(void)
{
	struct listener l;
	struct err err = ERR_INIT;
	char pid[32];

	close(0);
	close(3);
	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	return open("/dev/null", O_RDONLY | O_CLOEXEC) == 0 &&
	       listener_open(spec, &plain, &l, &err) == RC_OK &&
	       (l.fd == 3 || dup2(l.fd, 3) == 3) &&
	       setenv("LISTEN_FDS", "1", 1) == 0 &&
	       setenv("LISTEN_PID", pid, 1) == 0 && inherits(3) &&
	       /* Meant for another process. */
	       setenv("LISTEN_PID", "1", 1) == 0 && inherits(-1);
}

START_TEST(a_socket_from_systemd_is_inherited)
{
	ck_assert(holds_in_child(takes_descriptor_3));
}
END_TEST

Suite *
listener_suite(void)
{
	Suite *s = suite_create("listener");
	TCase *t = tcase_create("listener");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_socket_is_made_with_its_mode_and_removed_at_close);
	tcase_add_test(t, a_stale_socket_is_replaced);
	tcase_add_test(t, a_socket_that_answers_is_left_alone);
	tcase_add_test(t, a_file_in_the_way_is_left_alone);
	tcase_add_loop_test(t, a_wrong_address_is_refused_and_leaves_nothing, 0,
	    (int)NELEMS(wrong));
	tcase_add_loop_test(
	    t, tcp_addresses_are_listened_on, 0, (int)NELEMS(tcp));
	tcase_add_test(t, a_socket_on_descriptor_0_is_inherited);
	tcase_add_test(t, a_socket_from_systemd_is_inherited);
	suite_add_tcase(s, t);
	return s;
}
