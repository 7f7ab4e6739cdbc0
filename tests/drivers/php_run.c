/*
 * Runs jobs through the php executor and prints what became of them.
 *
 *   php_run KEY=VALUE... < JOBS
 *
 * Keys: address, worker, root, salts, home, blog, batch, budget_ms, limit_ms,
 * first_byte_ms, export (1), take (file with the JSON of events to take), lock
 * (file with the JSON of the jobs' lock), abandon_ms (give up so long after the
 * first start), again (1: send what was released once more, until nothing is),
 * ask (1: only php_executor_export(), no jobs), outbox (1: jobs store their
 * mails), and of that max_mib, take_over (1), key_file, from, envelope_from,
 * from_domain, redirect_to, foreign (send, rewrite or php).
 *
 * A job is a line: id, hook, args, own, start, log, separated by tabs; a cron
 * event: "event", id, hook, args, recurrence (these three in hexadecimal),
 * start, running, done, failed. Output, one line each: "outcome ID KIND STRIKE
 * VERBATIM MESSAGE", "export JSON", "took JSON", "request N", and at the end
 * "state KEY=VALUE...".
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "executors/php.h"
#include "executors/php_mail.h"

enum {
	JOBS_MAX = 4096
};

struct run {
	struct php_executor_opts opts;
	uint64_t limit_ms, abandon_ms, blog;
	bool again, ask, outbox;
	struct config_site site; /* of the outbox */
	struct config_smtp smtp;
	const char *from_domain, *foreign;
	const char *take, *lock; /* files */
	struct claim claim;
	struct policy policy;
	struct buf input;
	struct job jobs[JOBS_MAX];
	struct job *waiting[JOBS_MAX];
	size_t njobs, nwaiting;
};

static void
print_json(const char *what, struct slice json)
{
	(void)printf("%s %.*s\n", what, SLICE_FMT(json));
	(void)fflush(stdout);
}

static void
on_export(void *arg, struct slice json)
{
	(void)arg;
	print_json("export", json);
}

static void
on_take(void *arg, struct slice json)
{
	(void)arg;
	print_json("took", json);
}

static void
read_all(FILE *f, struct buf *out)
{
	char chunk[4096];
	size_t n;

	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_put(out, chunk, n);
}

static char *
read_file(const char *path)
{
	struct buf out = BUF_INIT((size_t)16 << 20);
	FILE *f = fopen(path, "r");

	if (!f) {
		perror(path);
		exit(66);
	}
	read_all(f, &out);
	(void)fclose(f);
	return buf_take(&out);
}

static char *
want_take(void *arg)
{
	struct run *r = arg;
	const char *path = r->take;

	r->take = NULL;
	return path ? read_file(path) : NULL;
}

static void
on_outcome(void *arg, const struct outcome *o)
{
	struct run *r = arg;

	(void)printf("outcome %" PRIu64 " %s %d %d %s\n", o->job->id,
	    outcome_name(o->kind), o->strike, o->verbatim, o->message);
	(void)fflush(stdout);
	if (r->again && o->kind == OUTCOME_RELEASED)
		r->waiting[r->nwaiting++] = o->job;
}

static bool
set_number(const char *key, const char *value, const char *name, uint64_t *out)
{
	return strcmp(key, name) == 0 && slice_u64(slice_str(value), out);
}

static bool
set_text(const char *key, const char *value, const char *name, const char **out)
{
	if (strcmp(key, name) != 0)
		return false;
	*out = value;
	return true;
}

static bool
set_option(struct run *r, const char *key, const char *value)
{
	struct php_executor_opts *o = &r->opts;
	uint64_t n = 0;

	if (set_text(key, value, "address", &o->address) ||
	    set_text(key, value, "worker", &o->worker_script) ||
	    set_text(key, value, "root", &o->root) ||
	    set_text(key, value, "salts", &o->salts) ||
	    set_text(key, value, "home", &o->home) ||
	    set_text(key, value, "take", &r->take) ||
	    set_text(key, value, "lock", &r->lock) ||
	    set_text(key, value, "key_file", &r->site.outbox_key_file) ||
	    set_text(key, value, "from", &r->smtp.from) ||
	    set_text(key, value, "redirect_to", &r->smtp.redirect_to) ||
	    set_text(key, value, "envelope_from", &r->smtp.envelope_from) ||
	    set_text(key, value, "from_domain", &r->from_domain) ||
	    set_text(key, value, "foreign", &r->foreign) ||
	    set_number(key, value, "limit_ms", &r->limit_ms) ||
	    set_number(key, value, "abandon_ms", &r->abandon_ms))
		return true;
	if (set_number(key, value, "batch", &n))
		o->batch = n;
	else if (set_number(key, value, "blog", &n))
		o->blog_id = (uint32_t)n;
	else if (set_number(key, value, "budget_ms", &n))
		o->budget_ms = (uint32_t)n;
	else if (set_number(key, value, "first_byte_ms", &n))
		o->first_byte_ms = (uint32_t)n;
	else if (set_number(key, value, "export", &n))
		o->on_export = n ? on_export : NULL;
	else if (set_number(key, value, "again", &n))
		r->again = n > 0;
	else if (set_number(key, value, "ask", &n))
		r->ask = n > 0;
	else if (set_number(key, value, "outbox", &n))
		r->outbox = n > 0;
	else if (set_number(key, value, "max_mib", &n))
		r->site.outbox_max_mib = (uint32_t)n;
	else if (set_number(key, value, "take_over", &n))
		r->site.plugin_smtp =
		    n ? PLUGIN_SMTP_TAKE_OVER : PLUGIN_SMTP_LEAVE;
	else
		return false;
	return true;
}

static struct slice
next_field(struct slice *line)
{
	struct slice field = slice_mem(line->p, slice_find(*line, '\t'));

	*line = slice_from(*line, field.n + 1);
	return field;
}

static unsigned char
hex_digit(char c)
{
	return (unsigned char)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* The next field's bytes, put over its hexadecimal digits. */
static struct slice
next_bytes(char *input, struct slice *line)
{
	struct slice hex = next_field(line);
	char *at = input + (hex.p - input);

	for (size_t i = 0; i + 1 < hex.n; i += 2)
		at[i / 2] =
		    (char)(hex_digit(hex.p[i]) << 4 | hex_digit(hex.p[i + 1]));
	return slice_mem(at, hex.n / 2);
}

static bool
read_job(struct run *r, struct slice line, struct job *j)
{
	struct slice first = next_field(&line);

	if (slice_eq_str(first, "event")) {
		j->kind = JOB_EVENT;
		first = next_field(&line);
	}
	if (!slice_u64(first, &j->id))
		return false;
	if (j->kind == JOB_EVENT) {
		j->hook = next_bytes(r->input.p, &line);
		j->event_args = next_bytes(r->input.p, &line);
		j->recurrence = next_bytes(r->input.p, &line);
		j->sql_start = next_field(&line);
		j->sql_running = next_field(&line);
		j->sql_done = next_field(&line);
		j->sql_failed = next_field(&line);
	} else {
		j->hook = next_field(&line);
		j->args = next_field(&line);
		j->sql_own = next_field(&line);
		j->sql_start = next_field(&line);
		j->sql_started_log = next_field(&line);
	}
	j->claim = &r->claim;
	j->policy = &r->policy;
	return true;
}

static void
read_jobs(struct run *r)
{
	struct slice rest;

	read_all(stdin, &r->input);
	for (rest = buf_slice(&r->input); rest.n > 0 && r->njobs < JOBS_MAX;) {
		struct slice line = slice_mem(rest.p, slice_find(rest, '\n'));
		struct job *j = &r->jobs[r->njobs];

		rest = slice_from(rest, line.n + 1);
		if (!read_job(r, line, j))
			continue;
		r->waiting[r->njobs++] = j;
	}
	r->nwaiting = r->njobs;
}

static void
run_jobs(struct run *r, struct executor *e)
{
	mono_ms abandon = INT64_MAX;

	for (;;) {
		struct php_executor_state state;
		size_t room = e->ops->room(e);

		php_executor_state(e, &state);
		if (room > 0 && (r->nwaiting > 0 || r->take)) {
			struct job *batch[JOBS_MAX];
			size_t n = r->nwaiting < room ? r->nwaiting : room;

			memcpy(batch, r->waiting, n * sizeof(*batch));
			r->nwaiting -= n;
			memmove(r->waiting, r->waiting + n,
			    r->nwaiting * sizeof(*batch));
			(void)printf("request %zu\n", n);
			(void)fflush(stdout);
			e->ops->begin(e, batch, n);
		} else if (!state.busy && r->nwaiting == 0 &&
			   e->ops->running(e) == 0) {
			return;
		}
		if (!state.busy && e->ops->running(e) == 0)
			(void)poll(NULL, 0, 10);
		e->ops->poll(e, 20, on_outcome, r);
		for (size_t i = 0; i < r->njobs && r->abandon_ms; i++)
			if (r->jobs[i].started && abandon == INT64_MAX)
				abandon = clock_mono(&clock_system) +
					  (mono_ms)r->abandon_ms;
		if (clock_mono(&clock_system) >= abandon) {
			e->ops->abandon(e, on_outcome, r);
			return;
		}
	}
}

static void
print_state(const struct executor *e)
{
	static const char *const limits[] = {
		[PHP_LIMIT_UNKNOWN] = "unknown",
		[PHP_LIMIT_SIGNAL] = "signal",
		[PHP_LIMIT_POOL_ONLY] = "pool",
	};
	struct php_executor_state s;

	php_executor_state(e, &s);
	(void)printf("state ok=%d failures=%u status=%d limit=%s finish=%d "
		     "mode=%s wait=%d maintenance=%d requests=%" PRIu64
		     " mails=%" PRIu64 " left=%" PRIu64 " error=%s\nwhy %s\n",
	    s.ok, s.failures, s.status, limits[s.limit], s.finish_request,
	    s.mode, s.not_before > clock_mono(&clock_system), s.maintenance,
	    s.requests, s.mails_stored, s.mails_left, s.error, s.mail_why);
}

/* As the engine would, of a site with the prefix "wp_". */
static char *
render_outbox(struct run *r)
{
	const struct sql_scope scope = { .prefix = "wp_", .base = "wp_" };
	struct buf out = BUF_INIT(65536);

	if (r->from_domain)
		r->smtp.from_domains =
		    (struct config_list){ &r->from_domain, 1 };
	if (r->foreign && strcmp(r->foreign, "send") == 0)
		r->smtp.foreign_from = FOREIGN_FROM_SEND;
	else if (r->foreign && strcmp(r->foreign, "rewrite") == 0)
		r->smtp.foreign_from = FOREIGN_FROM_REWRITE;
	r->policy.mail = MAIL_BY_OUTBOX;
	php_mail_render(&out, &scope, r->opts.blog_id ? r->opts.blog_id : 1,
	    &r->site, &r->smtp);
	return buf_take(&out);
}

static int
ask(const struct php_executor_opts *opts)
{
	struct err err = ERR_INIT;
	char *json = NULL;
	enum rc rc = php_executor_export(opts, &json, &err);

	if (rc == RC_OK)
		print_json("export", slice_str(json));
	else
		(void)printf("state ok=0 error=%s\n", err.text);
	free(json);
	return 0;
}

int
main(int argc, char **argv)
{
	static struct run r = { .limit_ms = 60000,
		.site.outbox_max_mib = 25,
		.input = BUF_INIT((size_t)16 << 20) };
	struct executor *e = NULL;
	struct err err = ERR_INIT;
	char *lock = NULL, *outbox = NULL;

	r.opts.on_take = on_take;
	r.opts.want_take = want_take;
	r.opts.arg = &r;
	for (int i = 1; i < argc; i++) {
		char *eq = strchr(argv[i], '=');

		if (!eq) {
			(void)fprintf(stderr, "not KEY=VALUE: %s\n", argv[i]);
			return 64;
		}
		*eq = '\0';
		if (!set_option(&r, argv[i], eq + 1)) {
			(void)fprintf(stderr, "no such key: %s\n", argv[i]);
			return 64;
		}
	}
	r.policy.timeout_ms = (uint32_t)r.limit_ms;
	if (r.lock) {
		lock = read_file(r.lock);
		r.claim.php_lock = slice_str(lock);
	}
	if (r.outbox)
		r.opts.outbox = outbox = render_outbox(&r);
	if (r.ask)
		return ask(&r.opts);
	if (php_executor_new(&r.opts, &e, &err) != RC_OK) {
		(void)fprintf(stderr, "%s\n", err.text);
		return 78;
	}
	read_jobs(&r);
	run_jobs(&r, e);
	print_state(e);
	e->ops->free(e);
	buf_clear(&r.input);
	free(lock);
	free(outbox);
	return 0;
}
