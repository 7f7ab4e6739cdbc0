#include "executors/php_contacts.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"

Suite *php_contacts_suite(void);

/*
 * The calls against a peer of another process that says, connection by
 * connection, what a row tells it to, and notes which entries it was asked
 * for. The real peer is in the integration tests.
 */

enum {
	NCONTACTS = 3,
	TIMEOUT_MS = 3000,
	SHORT_MS = 300,
	REQUEST_MAX = 1 << 16,
};

struct scene {
	char dir[32], path[64], address[80];
	int listener, asked; /* what the peer notes can be read there */
	pid_t peer;
	struct arena a;
	struct err err;
	struct php_executor_opts opts;
	struct php_contact contacts[NCONTACTS];
	struct buf seen;
};

/* ---- the peer ----------------------------------------------------------- */

static void
peer_say(int fd, struct slice body)
{
	const unsigned char head[8] = { 1, 6, 0, 1,
		(unsigned char)(body.n >> 8), (unsigned char)(body.n & 0xff) };

	if (write(fd, head, 8) != 8 ||
	    write(fd, body.p, body.n) != (ssize_t)body.n)
		_exit(1);
}

/* All of a request: it ends with an empty record of type STDIN. */
static size_t
peer_read(int fd, char *text)
{
	size_t n = 0;

	while (n < REQUEST_MAX) {
		ssize_t got = read(fd, text + n, REQUEST_MAX - n);

		if (got <= 0)
			break;
		n += (size_t)got;
		if (n >= 8 && memcmp(text + n - 8, "\1\5\0\1\0\0", 6) == 0)
			break;
	}
	return n;
}

static struct slice
after(struct slice text, const char *key)
{
	struct slice k = slice_str(key);

	while (text.n > 0 && !slice_starts(text, k))
		text = slice_from(text, 1);
	return slice_from(text, k.n);
}

/* The numbers of the entries: "0,1,2;" */
static void
peer_note(int notes, struct slice request)
{
	struct buf out = BUF_INIT(1000);
	const char *comma = "";

	for (;;) {
		request = after(request, "{\"i\":");
		if (request.n == 0)
			break;
		buf_printf(&out, "%s%c", comma, request.p[0]);
		comma = ",";
	}
	buf_put_char(&out, ';');
	if (write(notes, out.p, out.n) != (ssize_t)out.n)
		_exit(1);
	buf_clear(&out);
}

/* Lines: '>' begins a frame, 'E' is END_REQUEST, 'Z' waits for ever. */
static void
peer_play(int fd, struct slice script, const char *token)
{
	static const char end[16] = "\1\3\0\1\0\10\0\0";
	struct buf out = BUF_INIT(REQUEST_MAX);

	peer_say(fd, SLICE_LIT("\r\n"));
	while (script.n > 0) {
		struct slice line =
		    slice_mem(script.p, slice_find(script, '\n'));

		script = slice_from(script, line.n + 1);
		buf_reset(&out);
		if (line.n > 0 && line.p[0] == 'E' && write(fd, end, 16) != 16)
			_exit(1);
		if (line.n > 0 && line.p[0] == 'Z')
			for (;;)
				(void)poll(NULL, 0, 1000);
		if (line.n == 0 || line.p[0] != '>')
			continue;
		buf_printf(&out, "\n%s%.*s\n", token, SLICE_FMT(line));
		/* Over the '>' that was copied too. */
		memmove(out.p + 33, out.p + 34, out.n - 34);
		out.n--;
		peer_say(fd, buf_slice(&out));
	}
	buf_clear(&out);
}

/* One connection after the other, each with its script; "\f" parts them. */
static void
peer_run(int listener, int notes, struct slice scripts)
{
	static char text[REQUEST_MAX];
	char token[33] = "";

	while (scripts.n > 0) {
		struct slice script =
		    slice_mem(scripts.p, slice_find(scripts, '\f'));
		int fd = accept(listener, NULL, NULL);
		size_t n = peer_read(fd, text);
		struct slice at = after(slice_mem(text, n), "\"token\":\"");

		scripts = slice_from(scripts, script.n + 1);
		if (fd < 0 || at.n < 32)
			_exit(1);
		memcpy(token, at.p, 32);
		peer_note(notes, at);
		peer_play(fd, script, token);
		(void)close(fd);
	}
	_exit(0);
}

/* ---- scenes ------------------------------------------------------------- */

static void
scene_open(struct scene *s, const char *scripts)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int notes[2];

	*s =
	    (struct scene){ .a = ARENA_INIT(1 << 20), .seen = BUF_INIT(10000) };
	log_set_level(LOG_ERR);
	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/php-ask-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(s->dir));
	(void)snprintf(s->path, sizeof(s->path), "%s/s", s->dir);
	(void)snprintf(s->address, sizeof(s->address), "unix:%s", s->path);
	memcpy(sun.sun_path, s->path, sizeof(s->path));
	s->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(
	    bind(s->listener, (const struct sockaddr *)&sun, sizeof(sun)), 0);
	ck_assert_int_eq(listen(s->listener, 8), 0);
	ck_assert_int_eq(pipe(notes), 0);
	s->peer = fork();
	ck_assert_int_ge(s->peer, 0);
	if (s->peer == 0)
		peer_run(s->listener, notes[1], slice_str(scripts));
	(void)close(notes[1]);
	(void)close(s->listener);
	s->asked = notes[0];
	s->opts = (struct php_executor_opts){ .address = s->address,
		.worker_script = "/w.php",
		.root = "/r",
		.salts = "salts" };
	for (size_t i = 0; i < NCONTACTS; i++)
		s->contacts[i] = (struct php_contact){ .user_id = i + 7,
			.integration = SLICE_LIT("esp"),
			.context = SLICE_LIT("Test") };
}

/* What the peer was asked for, over all its connections. */
static const char *
scene_asked(struct scene *s)
{
	static char text[1000];
	size_t n = 0;
	ssize_t got;

	/* Not SIGTERM: the peer has Check's handler, which ends the group. */
	(void)kill(s->peer, SIGKILL);
	(void)waitpid(s->peer, NULL, 0);
	while (n < sizeof(text) - 1 &&
	       (got = read(s->asked, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	return text;
}

static void
scene_close(struct scene *s)
{
	(void)close(s->asked);
	(void)unlink(s->path);
	(void)rmdir(s->dir);
	arena_clear(&s->a);
	buf_clear(&s->seen);
}

/* "ok" or its code and message, "-" for one that was not answered. */
static const char *
scene_answers(struct scene *s)
{
	for (size_t i = 0; i < NCONTACTS; i++) {
		const struct php_contact *c = &s->contacts[i];

		if (!c->answered)
			buf_put_str(&s->seen, "- ");
		else if (c->ok)
			buf_printf(&s->seen, "ok:%.*s ", SLICE_FMT(c->email));
		else
			buf_printf(&s->seen, "%.*s:%.*s ", SLICE_FMT(c->code),
			    SLICE_FMT(c->message));
	}
	return buf_str(&s->seen);
}

#define HELLO ">{\"frame\":\"hello\",\"mode\":\"hook\"}\n"
#define BEGIN(i) ">{\"frame\":\"begin\",\"i\":" i "}\n"
#define OK(i, email)                                                           \
	">{\"frame\":\"answer\",\"i\":" i ",\"ok\":true,\"email\":\"" email    \
	"\"}\n"
#define DONE(i) BEGIN(i) OK(i, "a" i)
#define BROKE(i)                                                               \
	BEGIN(i)                                                               \
	">{\"frame\":\"broke\",\"i\":" i ",\"msg\":\"PHP Fatal error x\"}\n"
#define END ">{\"frame\":\"end\"}\nE\n"

static const struct {
	const char *what, *scripts;
	enum rc rc;
	const char *error, *answers, *asked;
} rows[] = {
	{ "all are answered", HELLO DONE("0") DONE("1") DONE("2") END, RC_OK,
	    "", "ok:a0 ok:a1 ok:a2 ", "0,1,2;" },
	{ "the plugin is not there",
	    HELLO ">{\"frame\":\"refused\",\"why\":\"no class X\"}\n" END,
	    RC_REJECT, "no class X", "- - - ", "0,1,2;" },
	{ "the site does not boot", "E\n", RC_RETRY,
	    "PHP answered 200 before WordPress was up", "- - - ", "0,1,2;" },
	{ "gone before anything was said", "\n", RC_RETRY,
	    "php-fpm closed the connection", "- - - ", "0,1,2;" },
	{ "a fatal error is that one's alone",
	    HELLO DONE("0") BROKE("1") END "\f" HELLO DONE("2") END, RC_OK, "",
	    "ok:a0 php_fatal:PHP Fatal error x ok:a2 ", "0,1,2;2;" },
	{ "PHP dies in one, who then succeeds alone",
	    HELLO DONE("0") BEGIN("1") "\f" HELLO DONE("2") END
	    "\f" HELLO DONE("1") END,
	    RC_OK, "", "ok:a0 ok:a1 ok:a2 ", "0,1,2;2;1;" },
	{ "PHP dies in one twice",
	    HELLO BEGIN("0") "\f" HELLO DONE("1") DONE("2") END
	    "\f" HELLO BEGIN("0"),
	    RC_OK, "", "php_died:PHP ended without an answer ok:a1 ok:a2 ",
	    "0,1,2;1,2;0;" },
	{ "PHP's own time was over",
	    HELLO DONE("0") END "\f" HELLO DONE("1") DONE("2") END, RC_OK, "",
	    "ok:a0 ok:a1 ok:a2 ", "0,1,2;1,2;" },
	{ "gone between two, then not there",
	    HELLO DONE("0") "\f" HELLO DONE("1") "\f\n", RC_RETRY,
	    "php-fpm closed the connection", "ok:a0 ok:a1 - ", "0,1,2;1,2;2;" },
	{ "one is held back",
	    HELLO DONE("0") BEGIN(
		"1") ">{\"frame\":\"answer\",\"i\":1,\"ok\":false,"
		     "\"code\":\"held\",\"msg\":\"a copy\"}\n" DONE("2") END,
	    RC_RETRY, "a copy", "ok:a0 - ok:a2 ", "0,1,2;" },
	{ "PHP answers nothing", HELLO END, RC_RETRY,
	    "PHP ended 0 times before its time, with 3 of 3 left", "- - - ",
	    "0,1,2;" },
	{ "numbers that were not asked for, and second answers",
	    HELLO OK("3", "x") OK("-1", "x") OK("\"1\"", "a0") OK("0", "y")
		OK("18446744073709551615", "x") DONE("1") BEGIN("99") DONE("2")
		    END,
	    RC_OK, "", "ok:a0 ok:a1 ok:a2 ", "0,1,2;" },
};

START_TEST(a_page_is_asked_for_until_all_have_their_answer)
{
	struct scene s;
	enum rc rc;

	scene_open(&s, rows[_i].scripts);
	rc = php_contacts_prepare(
	    &s.opts, s.contacts, NCONTACTS, TIMEOUT_MS, &s.a, &s.err);
	ck_assert_msg(rc == rows[_i].rc, "%s: %s %s", rows[_i].what,
	    rc_name(rc), s.err.text);
	ck_assert_msg(strcmp(s.err.text, rows[_i].error) == 0, "%s: %s",
	    rows[_i].what, s.err.text);
	ck_assert_str_eq(scene_answers(&s), rows[_i].answers);
	ck_assert_str_eq(scene_asked(&s), rows[_i].asked);
	scene_close(&s);
}
END_TEST

START_TEST(time_that_is_over_ends_the_call_and_keeps_what_was_said)
{
	struct scene s;

	scene_open(&s, HELLO DONE("0") BEGIN("1") "Z\n");
	ck_assert_int_eq(php_contacts_push(&s.opts, s.contacts, NCONTACTS,
			     SHORT_MS, &s.a, &s.err),
	    RC_RETRY);
	ck_assert_str_eq(s.err.text, "PHP's time was over with 2 of 3 left");
	ck_assert_str_eq(scene_answers(&s), "ok:a0 - - ");
	ck_assert_str_eq(scene_asked(&s), "0,1,2;");
	scene_close(&s);
}
END_TEST

START_TEST(a_contact_arrives_whole)
{
	struct scene s;
	const struct php_contact *c = &s.contacts[0];

	scene_open(&s,
	    HELLO BEGIN("0") ">{\"frame\":\"answer\",\"i\":0,\"ok\":true,"
			     "\"email\":\"e@x\",\"name\":\"N \\\"\\u00e9\","
			     "\"status\":\"transactional\",\"fields\":"
			     "[[\"NP_A\",\"7\",true],[\"\",\"\",false],"
			     "[1,null],{}]}\n" END);
	ck_assert_int_eq(php_contacts_prepare(
			     &s.opts, s.contacts, 1, TIMEOUT_MS, &s.a, &s.err),
	    RC_OK);
	ck_assert(c->answered && c->ok && !c->gone);
	ck_assert(slice_eq_str(c->email, "e@x"));
	ck_assert(slice_eq_str(c->name, "N \"\xc3\xa9"));
	ck_assert(slice_eq_str(c->status_if_new, "transactional"));
	ck_assert_uint_eq(c->nfields, 4);
	ck_assert(slice_eq_str(c->fields[0].name, "NP_A"));
	ck_assert(slice_eq_str(c->fields[0].value, "7"));
	ck_assert(c->fields[0].number && !c->fields[1].number);
	ck_assert_uint_eq(c->fields[2].name.n, 0);
	(void)scene_asked(&s);
	scene_close(&s);
}
END_TEST

START_TEST(what_has_no_room_is_not_answered)
{
	struct scene s;

	scene_open(&s, HELLO DONE("0") DONE("1") DONE("2") END);
	s.a.max = 1;
	ck_assert_int_eq(php_contacts_pull(&s.opts, s.contacts, NCONTACTS,
			     TIMEOUT_MS, &s.a, &s.err),
	    RC_RETRY);
	ck_assert_str_eq(s.err.text, "PHP's answers do not fit into memory");
	ck_assert_str_eq(scene_answers(&s), "- - - ");
	(void)scene_asked(&s);
	scene_close(&s);
}
END_TEST

START_TEST(an_alert_is_fired_once)
{
	const struct php_contact_alert alerts[] = {
		{ .action = SLICE_LIT("a"), .user_id = 1 },
		{ .action = SLICE_LIT("b"), .user_id = 2 },
	};
	struct scene s;

	scene_open(&s, HELLO BEGIN("0") "\f" HELLO DONE("1") END);
	ck_assert_int_eq(
	    php_contacts_alert(&s.opts, alerts, 2, TIMEOUT_MS, &s.err),
	    RC_REJECT);
	ck_assert_str_eq(s.err.text, "PHP ended without an answer");
	/* Its death settled the first; what is wrong is said at once. */
	ck_assert_str_eq(scene_asked(&s), "0,1;");
	scene_close(&s);
}
END_TEST

START_TEST(an_option_that_was_not_written_is_no_success)
{
	const struct php_option options[] = {
		{ SLICE_LIT("a"), SLICE_LIT("1") },
		{ SLICE_LIT("b"), SLICE_LIT("2") },
	};
	struct scene s;

	scene_open(&s,
	    HELLO BEGIN("0") ">{\"frame\":\"answer\",\"i\":0,\"ok\":false,"
			     "\"msg\":\"no\"}\n" DONE("1") END);
	ck_assert_int_eq(
	    php_contacts_options(&s.opts, options, 2, TIMEOUT_MS, &s.err),
	    RC_RETRY);
	ck_assert_str_eq(s.err.text, "no");
	(void)scene_asked(&s);
	scene_close(&s);
}
END_TEST

START_TEST(readers_and_descriptions_are_answered_too)
{
	const struct esp_field items[] = {
		{ .name = SLICE_LIT("k"), .value = SLICE_LIT("\"v\"") },
		{ .name = SLICE_LIT("l"), .value = SLICE_LIT("2") },
	};
	struct php_reader_data r = {
		.user_id = 7, .items = items, .nitems = 2
	};
	struct scene s;
	char *json = NULL;

	scene_open(&s,
	    HELLO BEGIN("0") ">{\"frame\":\"answer\",\"i\":0,\"ok\":true,"
			     "\"refused\":1,\"msg\":\"full\"}\n" END
			     "\f" HELLO BEGIN(
				 "0") ">{\"frame\":\"answer\",\"i\":0,"
				      "\"ok\":true,\"told\":{\"a\":[]}}\n" END);
	ck_assert_int_eq(
	    php_contacts_store(&s.opts, &r, 1, TIMEOUT_MS, &s.a, &s.err),
	    RC_OK);
	ck_assert(r.ok && r.refused == 1);
	ck_assert(slice_eq_str(r.message, "full"));
	ck_assert_int_eq(
	    php_contacts_describe(&s.opts, TIMEOUT_MS, &json, &s.err), RC_OK);
	ck_assert_str_eq(json, "{\"a\":[]}");
	free(json);
	(void)scene_asked(&s);
	scene_close(&s);
}
END_TEST

START_TEST(nothing_to_ask_asks_nobody)
{
	struct php_executor_opts opts = { .address = NULL };
	struct err err = ERR_INIT;
	struct arena a = ARENA_INIT(1000);

	ck_assert_int_eq(
	    php_contacts_prepare(&opts, NULL, 0, 1000, &a, &err), RC_OK);
	ck_assert_int_eq(
	    php_contacts_options(&opts, NULL, 0, 1000, &err), RC_OK);
}
END_TEST

Suite *
php_contacts_suite(void)
{
	Suite *s = suite_create("php_contacts");
	TCase *t = tcase_create("php_contacts");

	tcase_set_timeout(t, 20);
	tcase_add_loop_test(t, a_page_is_asked_for_until_all_have_their_answer,
	    0, (int)NELEMS(rows));
	tcase_add_test(
	    t, time_that_is_over_ends_the_call_and_keeps_what_was_said);
	tcase_add_test(t, a_contact_arrives_whole);
	tcase_add_test(t, what_has_no_room_is_not_answered);
	tcase_add_test(t, an_alert_is_fired_once);
	tcase_add_test(t, an_option_that_was_not_written_is_no_success);
	tcase_add_test(t, readers_and_descriptions_are_answered_too);
	tcase_add_test(t, nothing_to_ask_asks_nobody);
	suite_add_tcase(s, t);
	return s;
}
