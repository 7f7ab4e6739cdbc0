/*
 * The webhook executor against the receiver of tests/drivers, over loopback.
 */
#include "executors/webhook.h"

#include "base/xalloc.h"

#include <arpa/inet.h>
#include <check.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define NJOBS 400
#define PATIENCE_MS 20000

/* ---- the receiver ----------------------------------------------------- */

static pid_t receiver_pid;
static unsigned receiver_port;

/* Beside the test program; WPCRON_BUILD names another build's folder. */
static void
receiver_path(char *out, size_t size)
{
	const char *build = getenv("WPCRON_BUILD");
	char self[3000] = "";
	char *slash;

	if (!build) {
		if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
			ck_abort_msg("no /proc");
		slash = strrchr(self, '/');
		if (slash)
			*slash = '\0';
		build = self;
	}
	(void)snprintf(out, size, "%s/drivers/receiver", build);
}

static void
start_receiver(void)
{
	char path[4096], line[32] = "";
	int ends[2];
	FILE *f;

	signal(SIGPIPE, SIG_IGN);
	receiver_path(path, sizeof path);
	ck_assert_int_eq(pipe(ends), 0);
	receiver_pid = fork();
	if (receiver_pid == 0) {
		/* A test that fails does not reach its teardown. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		execl(path, path, "--secret", SECRET, (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	f = fdopen(ends[0], "r");
	ck_assert_msg(f && fgets(line, sizeof line, f), "no %s", path);
	fclose(f);
	ck_assert_int_eq(sscanf(line, "%u", &receiver_port), 1);
}

static void
stop_receiver(void)
{
	if (receiver_pid <= 0)
		return;
	kill(receiver_pid, SIGKILL);
	waitpid(receiver_pid, NULL, 0);
	receiver_pid = 0;
}

/* A number of the receiver's report. */
static long
reported(const char *name)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)receiver_port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	static const char ask[] = "GET /report HTTP/1.1\r\n\r\n";
	char answer[4096] = "", want[64];
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	const char *at_name;

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
	ck_assert_int_eq(write(fd, ask, sizeof ask - 1), sizeof ask - 1);
	for (size_t n = 0; !strchr(answer, '}');) {
		ssize_t got = read(fd, answer + n, sizeof answer - 1 - n);

		ck_assert_int_gt(got, 0);
		n += (size_t)got;
	}
	close(fd);
	(void)snprintf(want, sizeof want, "\"%s\":", name);
	at_name = strstr(answer, want);
	ck_assert_ptr_nonnull(at_name);
	return strtol(at_name + strlen(want), NULL, 10);
}

/* ---- a worker --------------------------------------------------------- */

/* Monotonic time that a test may push on. */
struct turned_clock {
	struct clock clock;
	mono_ms ahead;
};

static mono_ms
turned_mono(const struct clock *c)
{
	return clock_system.mono(&clock_system) +
	       ((const struct turned_clock *)(const void *)c)->ahead;
}

static wall_us
turned_wall(const struct clock *c UNUSED)
{
	return clock_system.wall(&clock_system);
}

static struct turned_clock turned = { .clock = { .mono = turned_mono,
					  .wall = turned_wall } };

struct worker {
	struct executor *e;
	struct webhook_hosts *hosts;
	bool own_hosts;
	struct route route[NJOBS];
	struct job job[NJOBS];
	char url[NJOBS][200];
	struct policy policy;
	struct outcome outcome[NJOBS];
	unsigned reports[NJOBS];
	size_t njobs, nended;
};

static const struct webhook_site *
site_of(void *arg UNUSED, const struct job *job UNUSED)
{
	static const struct webhook_site site = { .home = "https://example.com",
		.identity = "0123456789abcdef" };

	return &site;
}

static void
worker_init(struct worker *w, struct webhook_hosts *hosts, uint32_t per_host)
{
	struct webhook_opts opts = {
		.site = site_of,
		.clock = &turned.clock,
		.max_concurrency = NJOBS,
		.connect_timeout_ms = 3000,
	};
	struct err err = ERR_INIT;

	memset(w, 0, sizeof *w);
	w->own_hosts = !hosts;
	w->hosts = hosts ? hosts : webhook_hosts_new(per_host, &turned.clock);
	opts.hosts = w->hosts;
	w->policy = (struct policy){ .timeout_ms = 10000, .secret = SECRET };
	ck_assert_int_eq(webhook_new(&opts, &w->e, &err), RC_OK);
}

static void
worker_clear(struct worker *w)
{
	w->e->ops->free(w->e);
	if (w->own_hosts)
		webhook_hosts_free(w->hosts);
}

/* Of the receiver when it begins with a slash. */
static struct job *
add_job(struct worker *w, const char *url)
{
	size_t i = w->njobs++;
	struct job *job = &w->job[i];

	if (url[0] == '/')
		(void)snprintf(w->url[i], sizeof w->url[i],
		    "http://127.0.0.1:%u%s", receiver_port, url);
	else
		(void)snprintf(w->url[i], sizeof w->url[i], "%s", url);
	w->route[i] = (struct route){
		.pattern = "*", .kind = EXECUTOR_WEBHOOK, .target = w->url[i]
	};
	*job = (struct job){ .id = i + 1,
		.origin_id = i + 1,
		.blog_id = 1,
		.try = 1,
		.hook = SLICE_LIT("my_hook"),
		.args = SLICE_LIT("[1,\"two\"]"),
		.route = &w->route[i],
		.policy = &w->policy };
	return job;
}

static void
begin_job(struct worker *w, const char *url)
{
	struct job *job = add_job(w, url);

	w->e->ops->begin(w->e, &job, 1);
}

static void
on_outcome(void *arg, const struct outcome *o)
{
	struct worker *w = arg;
	size_t i = (size_t)(o->job - w->job);

	w->outcome[i] = *o;
	w->reports[i]++;
	w->nended++;
}

/* Poll until all have ended. */
static void
finish(struct worker *w)
{
	mono_ms end = clock_mono(&clock_system) + PATIENCE_MS;

	while (w->e->ops->running(w->e) > 0) {
		w->e->ops->poll(w->e, 50, on_outcome, w);
		ck_assert_msg(clock_mono(&clock_system) < end, "it hangs");
	}
	ck_assert_uint_eq(w->nended, w->njobs);
	for (size_t i = 0; i < w->njobs; i++)
		ck_assert_uint_eq(w->reports[i], 1);
}

static struct outcome *
run(struct worker *w, const char *url)
{
	begin_job(w, url);
	finish(w);
	return &w->outcome[w->njobs - 1];
}

/* ---- answers ---------------------------------------------------------- */

#define SENT 0
#define UNSENT 1
#define STRIKE 2

static const struct {
	const char *url;
	enum outcome_kind kind;
	unsigned flags;
	int64_t wait_min_ms, wait_max_ms;
	const char *message; /* how it begins */
	long received;
} rows[] = {
	{ "/ok", OUTCOME_DONE, SENT, 0, 0, "", 1 },
	{ "/status/200", OUTCOME_DONE, SENT, 0, 0, "", 1 },
	{ "/status/204", OUTCOME_DONE, SENT, 0, 0, "", 1 },
	{ "/status/404?body=1", OUTCOME_FAILED, SENT, 0, 0,
	    "HTTP 404: no such customer: \"M\xC3\xBCller\" \xEF\xBF\xBD", 1 },
	{ "/status/400", OUTCOME_FAILED, SENT, 0, 0, "HTTP 400", 1 },
	{ "/status/401", OUTCOME_FAILED, SENT, 0, 0, "HTTP 401", 1 },
	{ "/status/410?retry-after=5", OUTCOME_FAILED, SENT, 0, 0, "HTTP 410",
	    1 },
	{ "/status/304", OUTCOME_FAILED, SENT, 0, 0,
	    "HTTP 304: redirects are not followed", 1 },
	{ "/redirect", OUTCOME_FAILED, SENT, 0, 0,
	    "HTTP 302: redirects are not followed", 1 },
	{ "/status/408", OUTCOME_RETRY, SENT, 0, 0, "HTTP 408", 1 },
	{ "/status/425", OUTCOME_RETRY, SENT, 0, 0, "HTTP 425", 1 },
	{ "/status/429?retry-after=120", OUTCOME_RETRY, SENT, 120000, 120000,
	    "HTTP 429", 1 },
	{ "/status/429?retry-after=soon", OUTCOME_RETRY, SENT, 0, 0, "HTTP 429",
	    1 },
	{ "/status/500", OUTCOME_RETRY, SENT, 0, 0, "HTTP 500", 1 },
	{ "/status/501", OUTCOME_RETRY, SENT, 0, 0, "HTTP 501", 1 },
	{ "/status/503?retry-after=9999999", OUTCOME_RETRY, SENT, 86400000,
	    86400000, "HTTP 503", 1 },
	{ "/status/503?retry-after=Fri,+31+Dec+9999+23:59:59+GMT",
	    OUTCOME_RETRY, SENT, 86400000, 86400000, "HTTP 503", 1 },
	{ "/status/503?retry-after=Sun,+06+Nov+1994+08:49:37+GMT",
	    OUTCOME_RETRY, SENT, 0, 0, "HTTP 503", 1 },
	{ "/stall", OUTCOME_RETRY, STRIKE, 0, 0, "no answer: ", 1 },
	{ "/drip-headers", OUTCOME_RETRY, STRIKE, 0, 0, "no answer: ", 1 },
	{ "/reset-before", OUTCOME_RETRY, SENT, 0, 0, "no answer: ", 0 },
	{ "/reset-after", OUTCOME_RETRY, SENT, 0, 0, "no answer: ", 1 },
	{ "/close", OUTCOME_RETRY, SENT, 0, 0, "no answer: ", 1 },
	{ "/garbage", OUTCOME_RETRY, SENT, 0, 0, "no answer: ", 1 },
	{ "/endless-headers", OUTCOME_RETRY, SENT, 0, 0, "no answer: ", 1 },
	/* The status is the answer, whatever becomes of the body. */
	{ "/drip", OUTCOME_DONE, SENT, 0, 0, "", 1 },
	{ "/huge", OUTCOME_DONE, SENT, 0, 0, "", 1 },
	{ "http://127.0.0.1:1/", OUTCOME_RETRY, UNSENT, 0, 0, "not sent: ", 0 },
	{ "http://no-such-host.invalid/", OUTCOME_RETRY, UNSENT, 0, 0,
	    "not sent: ", 0 },
	{ "ftp://127.0.0.1/", OUTCOME_FAILED, UNSENT, 0, 0, "not an http", 0 },
	{ "http://", OUTCOME_FAILED, UNSENT, 0, 0, "not a URL", 0 },
	{ "no url at all", OUTCOME_FAILED, UNSENT, 0, 0, "not a", 0 },
};

START_TEST(each_answer_becomes_its_outcome)
{
	struct worker *w = xcalloc(1, sizeof *w);
	const char *url = rows[_i].url;
	const struct outcome *o;

	worker_init(w, NULL, 8);
	/* Where it is waited for. */
	if (rows[_i].flags == STRIKE || strcmp(url, "/drip") == 0)
		w->policy.timeout_ms = 3000;
	o = run(w, url);
	ck_assert_msg(o->kind == rows[_i].kind, "%s: %s: %s", url,
	    outcome_name(o->kind), o->message);
	ck_assert_msg(
	    o->unsent == (rows[_i].flags == UNSENT), "%s: %s", url, o->message);
	ck_assert_msg(
	    o->strike == (rows[_i].flags == STRIKE), "%s: %s", url, o->message);
	ck_assert_msg(o->retry_after_ms >= rows[_i].wait_min_ms &&
			  o->retry_after_ms <= rows[_i].wait_max_ms,
	    "%s: %" PRId64, url, o->retry_after_ms);
	ck_assert_msg(strncmp(o->message, rows[_i].message,
			  strlen(rows[_i].message)) == 0,
	    "%s: %s", url, o->message);
	ck_assert_int_eq(o->message[0] == '\0', o->kind == OUTCOME_DONE);
	ck_assert_int_eq(reported("requests"), rows[_i].received);
	ck_assert_int_eq(reported("bad_signature"), 0);
	ck_assert_int_eq(reported("bad_body"), 0);
	worker_clear(w);
	free(w);
}
END_TEST

START_TEST(a_server_without_tls_gets_nothing_of_an_https_job)
{
	struct worker *w = xcalloc(1, sizeof *w);
	char url[100];

	worker_init(w, NULL, 8);
	(void)snprintf(
	    url, sizeof url, "https://127.0.0.1:%u/ok", receiver_port);
	ck_assert_int_eq(run(w, url)->kind, OUTCOME_RETRY);
	ck_assert(w->outcome[0].unsent);
	ck_assert_int_eq(reported("requests"), 0);
	worker_clear(w);
	free(w);
}
END_TEST

START_TEST(what_cannot_be_sent_fails_for_good_and_frees_its_place)
{
	struct worker *w = xcalloc(1, sizeof *w);
	struct job *job;

	worker_init(w, NULL, 1);
	job = add_job(w, "/ok");
	job->args = SLICE_LIT("a:0:{}");
	w->e->ops->begin(w->e, &job, 1);
	finish(w);
	ck_assert_int_eq(w->outcome[0].kind, OUTCOME_FAILED);
	ck_assert(w->outcome[0].unsent);
	w->policy.secret = "whsec_?";
	ck_assert_int_eq(run(w, "/ok")->kind, OUTCOME_FAILED);
	ck_assert_int_eq(reported("requests"), 0);
	w->policy.secret = NULL;
	ck_assert_int_eq(run(w, "/ok")->kind, OUTCOME_DONE);
	ck_assert_int_eq(reported("unsigned"), 1);
	worker_clear(w);
	free(w);
}
END_TEST

START_TEST(the_environment_names_no_proxy)
{
	struct worker *w = xcalloc(1, sizeof *w);

	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("all_proxy", "http://127.0.0.1:1", 1);
	worker_init(w, NULL, 1);
	ck_assert_int_eq(run(w, "/ok")->kind, OUTCOME_DONE);
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	worker_clear(w);
	free(w);
}
END_TEST

START_TEST(a_large_body_arrives_whole_and_signed)
{
	struct worker *w = xcalloc(1, sizeof *w);
	struct buf args = BUF_INIT(3000000);
	struct job *job;

	buf_put_str(&args, "[0");
	for (int i = 0; i < 400000; i++)
		buf_put_str(&args, ",12345");
	buf_put_str(&args, "]");
	worker_init(w, NULL, 1);
	job = add_job(w, "/ok");
	job->args = buf_slice(&args);
	w->e->ops->begin(w->e, &job, 1);
	finish(w);
	ck_assert_int_eq(w->outcome[0].kind, OUTCOME_DONE);
	ck_assert_int_eq(reported("bad_signature"), 0);
	ck_assert_int_eq(reported("bad_body"), 0);
	worker_clear(w);
	buf_clear(&args);
	free(w);
}
END_TEST

/* ---- connections ------------------------------------------------------ */

START_TEST(connections_are_kept_and_used_again)
{
	struct worker *w = xcalloc(1, sizeof *w);

	worker_init(w, NULL, 8);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(run(w, "/ok")->kind, OUTCOME_DONE);
	ck_assert_int_eq(reported("requests"), 100);
	ck_assert_int_eq(reported("distinct"), 100);
	/* Ours, and the one that asks. */
	ck_assert_int_eq(reported("connections"), 4);
	worker_clear(w);
	free(w);
}
END_TEST

START_TEST(a_lost_kept_connection_repeats_only_what_may_be_repeated)
{
	struct worker *w = xcalloc(1, sizeof *w);
	bool idempotent = _i == 1;

	worker_init(w, NULL, 8);
	w->policy.idempotent = idempotent;
	ck_assert_int_eq(run(w, "/ok")->kind, OUTCOME_DONE);
	ck_assert_int_eq(run(w, "/reset-reused")->kind,
	    idempotent ? OUTCOME_DONE : OUTCOME_RETRY);
	ck_assert(!w->outcome[1].unsent);
	ck_assert_int_eq(reported("requests"), idempotent ? 3 : 2);
	ck_assert_int_eq(reported("max"), idempotent ? 2 : 1);
	worker_clear(w);
	free(w);
}
END_TEST

START_TEST(a_host_never_gets_more_at_once_than_it_may)
{
	struct worker *w = xcalloc(1, sizeof *w);

	worker_init(w, NULL, 3);
	for (int i = 0; i < 20; i++)
		begin_job(w, "/ok?hold=30");
	ck_assert_uint_eq(w->e->ops->room(w->e), NJOBS - 20);
	finish(w);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(w->outcome[i].kind, OUTCOME_DONE);
	ck_assert_int_eq(reported("peak"), 3);
	ck_assert_int_eq(reported("distinct"), 20);
	worker_clear(w);
	free(w);
}
END_TEST

START_TEST(a_slow_host_does_not_hold_up_another)
{
	struct worker *w = xcalloc(1, sizeof *w);
	char url[100];
	mono_ms begun = clock_mono(&clock_system);

	worker_init(w, NULL, 2);
	for (int i = 0; i < 10; i++)
		begin_job(w, "/stall");
	(void)snprintf(
	    url, sizeof url, "http://localhost:%u/ok", receiver_port);
	begin_job(w, url);
	while (w->reports[10] == 0) {
		w->e->ops->poll(w->e, 50, on_outcome, w);
		ck_assert_int_lt(
		    clock_mono(&clock_system) - begun, PATIENCE_MS);
	}
	ck_assert_int_eq(w->outcome[10].kind, OUTCOME_DONE);
	ck_assert_uint_eq(w->nended, 1);
	w->e->ops->abandon(w->e, on_outcome, w);
	worker_clear(w);
	free(w);
}
END_TEST

/* ---- the breaker ------------------------------------------------------ */

/* Fail until the receiver's breaker is open. */
static void
open_breaker(struct worker *w)
{
	int64_t retry_ms;

	for (int i = 0; i < BREAKER_FAILURES; i++) {
		ck_assert_int_eq(
		    webhook_hosts_admits(w->hosts, w->url[0], &retry_ms),
		    WEBHOOK_ADMIT);
		ck_assert_int_eq(run(w, "/status/500")->kind, OUTCOME_RETRY);
	}
	ck_assert_int_eq(
	    webhook_hosts_admits(w->hosts, w->url[0], &retry_ms), WEBHOOK_SHUT);
	ck_assert_int_gt(retry_ms, 0);
	ck_assert_int_le(retry_ms, BREAKER_OPEN_MIN_MS);
}

START_TEST(a_failing_host_is_left_alone)
{
	struct worker *w = xcalloc(1, sizeof *w);
	const struct outcome *o;

	worker_init(w, NULL, 8);
	(void)add_job(w, "/ok"); /* its URL; never begun */
	w->njobs = 0;
	open_breaker(w);
	o = run(w, "/ok");
	ck_assert_int_eq(o->kind, OUTCOME_RETRY);
	ck_assert(o->unsent);
	ck_assert_int_gt(o->retry_after_ms, 0);
	ck_assert_int_le(o->retry_after_ms, BREAKER_OPEN_MIN_MS);
	ck_assert_int_eq(reported("requests"), BREAKER_FAILURES);
	worker_clear(w);
	free(w);
}
END_TEST

START_TEST(one_probe_lets_the_others_through_when_it_succeeds)
{
	struct worker *w = xcalloc(1, sizeof *w);
	int64_t retry_ms;

	worker_init(w, NULL, 8);
	open_breaker(w);
	turned.ahead += BREAKER_OPEN_MIN_MS;
	/* It must not have ended when the others are looked for. */
	for (int i = 0; i < 10; i++)
		begin_job(w, i == 0 ? "/ok?hold=4000" : "/ok");
	ck_assert_int_eq(
	    webhook_hosts_admits(w->hosts, w->url[0], &retry_ms), WEBHOOK_SHUT);
	for (int i = 0; i < 3; i++)
		w->e->ops->poll(w->e, 10, on_outcome, w);
	ck_assert_int_eq(reported("requests"), BREAKER_FAILURES + 1);
	finish(w);
	for (size_t i = BREAKER_FAILURES; i < w->njobs; i++)
		ck_assert_int_eq(w->outcome[i].kind, OUTCOME_DONE);
	ck_assert_int_eq(reported("requests"), BREAKER_FAILURES + 10);
	worker_clear(w);
	free(w);
}
END_TEST

START_TEST(one_probe_sends_the_others_back_when_it_fails)
{
	struct worker *w = xcalloc(1, sizeof *w);

	worker_init(w, NULL, 8);
	open_breaker(w);
	turned.ahead += BREAKER_OPEN_MIN_MS;
	for (int i = 0; i < 10; i++)
		begin_job(w, "/status/500");
	finish(w);
	ck_assert_int_eq(reported("requests"), BREAKER_FAILURES + 1);
	for (size_t i = BREAKER_FAILURES + 1; i < w->njobs; i++) {
		ck_assert_int_eq(w->outcome[i].kind, OUTCOME_RETRY);
		ck_assert(w->outcome[i].unsent);
		ck_assert_int_gt(
		    w->outcome[i].retry_after_ms, BREAKER_OPEN_MIN_MS);
	}
	worker_clear(w);
	free(w);
}
END_TEST

START_TEST(a_probe_that_was_given_up_leaves_the_way_free)
{
	struct worker *w = xcalloc(1, sizeof *w);

	worker_init(w, NULL, 8);
	open_breaker(w);
	turned.ahead += BREAKER_OPEN_MIN_MS;
	begin_job(w, "/stall");
	w->e->ops->poll(w->e, 50, on_outcome, w);
	w->e->ops->abandon(w->e, on_outcome, w);
	ck_assert_int_eq(run(w, "/ok")->kind, OUTCOME_DONE);
	worker_clear(w);
	free(w);
}
END_TEST

/* ---- the end ---------------------------------------------------------- */

START_TEST(abandoned_jobs_say_whether_they_were_sent)
{
	struct worker *w = xcalloc(1, sizeof *w);
	size_t sent = 0, unsent = 0;

	worker_init(w, NULL, 4);
	for (int i = 0; i < 10; i++)
		begin_job(w, "/stall");
	while (reported("requests") < 4)
		w->e->ops->poll(w->e, 20, on_outcome, w);
	begin_job(w, "http://localhost:1/"); /* not even resolved */
	w->e->ops->abandon(w->e, on_outcome, w);
	ck_assert_uint_eq(w->e->ops->running(w->e), 0);
	ck_assert_uint_eq(w->e->ops->room(w->e), NJOBS);
	ck_assert_uint_eq(w->nended, 11);
	for (size_t i = 0; i < w->njobs; i++) {
		ck_assert_int_eq(w->outcome[i].kind, OUTCOME_RETRY);
		if (w->outcome[i].unsent)
			unsent++;
		else
			sent++;
	}
	ck_assert_uint_eq(sent, 4);
	ck_assert_uint_eq(unsent, 7);
	/* It goes on with what comes next. */
	ck_assert_int_eq(run(w, "/ok")->kind, OUTCOME_DONE);
	worker_clear(w);
	free(w);
}
END_TEST

START_TEST(polling_without_jobs_returns_at_once)
{
	struct worker *w = xcalloc(1, sizeof *w);
	mono_ms begun;

	worker_init(w, NULL, 4);
	begun = clock_mono(&clock_system);
	w->e->ops->poll(w->e, 60000, on_outcome, w);
	ck_assert_int_lt(clock_mono(&clock_system) - begun, 20000);
	worker_clear(w);
	free(w);
}
END_TEST

static const char *const mix[] = { "/ok", "/ok?hold=5", "/status/500",
	"/status/404", "/reset-after", "/ok", "/ok", "/close", "/ok",
	"/status/429?retry-after=1", "/flaky/1", "/ok", "/garbage" };

static void *
run_mix(void *arg)
{
	struct worker *w = arg;

	for (int i = 0; i < NJOBS; i++) {
		begin_job(w, mix[(size_t)i * 7 % NELEMS(mix)]);
		if (i % 4 == 0)
			w->e->ops->poll(w->e, 0, on_outcome, w);
	}
	while (w->e->ops->running(w->e) > 0)
		w->e->ops->poll(w->e, 50, on_outcome, w);
	return NULL;
}

START_TEST(workers_share_their_hosts_and_lose_no_job)
{
	struct webhook_hosts *hosts = webhook_hosts_new(5, &turned.clock);
	struct worker *w[3];
	pthread_t threads[3];
	long received = 0;

	for (size_t i = 0; i < NELEMS(w); i++) {
		w[i] = xcalloc(1, sizeof *w[i]);
		worker_init(w[i], hosts, 0);
		ck_assert_int_eq(
		    pthread_create(&threads[i], NULL, run_mix, w[i]), 0);
	}
	for (size_t i = 0; i < NELEMS(w); i++) {
		pthread_join(threads[i], NULL);
		for (size_t j = 0; j < NJOBS; j++) {
			ck_assert_uint_eq(w[i]->reports[j], 1);
			received += !w[i]->outcome[j].unsent;
		}
		worker_clear(w[i]);
		free(w[i]);
	}
	webhook_hosts_free(hosts);
	ck_assert_int_eq(reported("requests"), received);
	ck_assert_int_le(reported("peak"), 5);
}
END_TEST

static void
add_answers(Suite *s)
{
	TCase *tc = tcase_create("answers");

	tcase_add_checked_fixture(tc, start_receiver, stop_receiver);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(
	    tc, each_answer_becomes_its_outcome, 0, NELEMS(rows));
	tcase_add_test(tc, a_server_without_tls_gets_nothing_of_an_https_job);
	tcase_add_test(
	    tc, what_cannot_be_sent_fails_for_good_and_frees_its_place);
	tcase_add_test(tc, the_environment_names_no_proxy);
	tcase_add_test(tc, a_large_body_arrives_whole_and_signed);
	tcase_add_test(tc, connections_are_kept_and_used_again);
	tcase_add_loop_test(
	    tc, a_lost_kept_connection_repeats_only_what_may_be_repeated, 0, 2);
	suite_add_tcase(s, tc);
}

static void
add_hosts(Suite *s)
{
	TCase *tc = tcase_create("hosts");

	tcase_add_checked_fixture(tc, start_receiver, stop_receiver);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_host_never_gets_more_at_once_than_it_may);
	tcase_add_test(tc, a_slow_host_does_not_hold_up_another);
	tcase_add_test(tc, a_failing_host_is_left_alone);
	tcase_add_test(tc, one_probe_lets_the_others_through_when_it_succeeds);
	tcase_add_test(tc, one_probe_sends_the_others_back_when_it_fails);
	tcase_add_test(tc, a_probe_that_was_given_up_leaves_the_way_free);
	tcase_add_test(tc, abandoned_jobs_say_whether_they_were_sent);
	tcase_add_test(tc, polling_without_jobs_returns_at_once);
	tcase_add_test(tc, workers_share_their_hosts_and_lose_no_job);
	suite_add_tcase(s, tc);
}

Suite *webhook_suite(void);
Suite *
webhook_suite(void)
{
	Suite *s = suite_create("webhook");

	add_answers(s);
	add_hosts(s);
	return s;
}
