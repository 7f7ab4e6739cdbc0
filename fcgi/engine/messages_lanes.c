/* The two lanes of Event Espresso's messages: what PHP generates, and what it
 * renders and sends. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/macros.h"
#include "engine/messages_internal.h"
#include "engine/site_prepare.h"
#include "executors/php_mail.h"
#include "executors/php_messages.h"
#include "sql/buckets.h"

/* Each is a boot's work, and PHP gets no more at once. */
#define GENERATE_BATCH 10
#define SEND_BATCH 50
#define SEND_BATCH_MAX 200
#define PHP_MS 300000
#define PHP_WAIT_MS 10000
/* Longer than PHP may take: nobody else looks at a claim before. */
#define TERM_MORE_MS 60000
#define BATCH_ARENA_MAX ((size_t)256 << 20)
#define LIST_ARENA_MAX ((size_t)64 << 20)
/* Of a status; the rest comes when these are done. */
#define LIST_MAX ((size_t)200000)
/* What visitors add meanwhile may be more urgent. */
#define LIST_MS 5000
#define STATEMENT_MAX ((size_t)2048)
/* What PHP leaves as it is waits so long, doubling. */
#define PASSED_MS ((int64_t)15 * 60000)
#define PASSED_MAX_MS ((int64_t)6 * 3600000)

/* One batch on its way through PHP. */
struct batch {
	struct messages_run *run;
	enum messages_lane lane;
	struct arena arena;
	uint64_t claim_id;
	const uint64_t *ids;
	size_t n;
	struct messages_claim *claims;
	size_t nclaims;
	struct php_message *asked; /* as claims */
	struct messages_status *status;
	struct messages_result *results;
	size_t nresults;
	uint64_t *doubts; /* PHP ended under these */
	size_t ndoubts;
	size_t begun, locked;
	uint64_t done, failed;
	mono_ms stop_at; /* of work_overdue() */
	bool goes_on;    /* PHP is at one of them still, and not ours to end */
};

/* ---- PHP ----------------------------------------------------------------- */

/* Where mails go; nothing: PHP sends them itself. */
static enum rc
set_outbox(
    struct messages_run *run, struct php_executor_opts *php, struct err *err)
{
	const struct work_env *env = run->env;

	php->outbox = NULL;
	if (!run->smtp)
		return RC_OK;
	buf_reset(&run->outbox);
	php_mail_render(
	    &run->outbox, &env->scope, env->blog_id, run->site, run->smtp);
	if (run->outbox.failed)
		return err_set(err, RC_REJECT,
		    "what PHP needs for the outbox could not be rendered");
	php->outbox = buf_str(&run->outbox);
	return RC_OK;
}

/* More than the default only where the hook's policy says so: a newsletter may
 * take its time. */
static uint32_t
php_ms(const struct batch *b)
{
	static const char *const hooks[] = {
		[MESSAGES_GENERATE] = "AHEE__EE_Messages_Scheduler__generation",
		[MESSAGES_SEND] = "AHEE__EE_Messages_Scheduler__sending",
	};
	const struct work_env *env = b->run->env;
	const char *site = env->site->name;
	struct slice hook = slice_str(hooks[b->lane]);
	uint32_t ms = config_policy(
	    env->config, site, hook, config_route(env->config, site, hook))
			  ->timeout_ms;

	return ms > PHP_MS ? ms : PHP_MS;
}

static void
keep_lease(void *arg)
{
	struct messages_run *run = ((const struct batch *)arg)->run;

	if (clock_mono(run->env->clock) >= run->renew_at)
		messages_renew(run);
}

static bool
is_given_up(void *arg)
{
	struct batch *b = arg;

	return work_overdue(b->run->env, &b->stop_at);
}

/* Of what is gone the row says nothing: whoever dies amid the batch must not
 * leave it to be generated once more. What fails here is settled at its end. */
static void
note_generated(void *arg, size_t i)
{
	const struct batch *b = arg;
	const struct work_env *env = b->run->env;
	const struct php_message *m = &b->asked[i];
	const struct messages_result r = { .id = b->claims[i].id,
		.end = MESSAGES_DONE };
	struct err err = ERR_INIT;

	if (b->lane == MESSAGES_GENERATE && m->answered && m->ok &&
	    m->status.n == 0 &&
	    messages_settle(env->db, &env->scope, env->blog_id, b->lane,
		b->claim_id, &r, 1, &err) != RC_OK)
		return;
}

static enum rc
ask_php(struct batch *b, struct err *err)
{
	struct messages_run *run = b->run;
	const struct work_env *env = run->env;
	const struct php_messages_opts o = { .timeout_ms = php_ms(b),
		.ended = note_generated,
		.tick = keep_lease,
		.give_up = is_given_up,
		.goes_on = &b->goes_on,
		.arg = b };
	struct php_executor_opts php;
	enum rc rc = work_php_enter(env, PHP_WAIT_MS, &php, err);

	if (rc != RC_OK)
		return rc;
	rc = set_outbox(run, &php, err);
	if (rc == RC_OK)
		rc = messages_begun(env->db, &env->scope, env->blog_id, b->lane,
		    b->claim_id, err);
	if (rc == RC_OK && b->lane == MESSAGES_GENERATE)
		rc = php_messages_generate(
		    &php, &o, b->asked, b->nclaims, &b->arena, err);
	else if (rc == RC_OK)
		rc = php_messages_send(
		    &php, &o, b->asked, b->nclaims, &b->arena, err);
	work_php_leave(env);
	return rc;
}

static enum rc
name_done(struct batch *b, size_t i, struct err *err)
{
	const struct work_env *env = b->run->env;
	struct buf sql = BUF_INIT(STATEMENT_MAX);
	enum rc rc = messages_done_sql(
	    &env->scope, env->blog_id, b->claim_id, b->claims[i].id, &sql, err);

	b->asked[i].done = arena_slice(&b->arena, buf_slice(&sql));
	buf_clear(&sql);
	return rc;
}

static enum rc
name_each(struct batch *b, struct err *err)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < b->nclaims && rc == RC_OK; i++) {
		char text[64];

		b->asked[i].id = b->claims[i].id;
		b->asked[i].mail = b->asked[i].done = SLICE_LIT("");
		if (b->lane == MESSAGES_GENERATE)
			rc = name_done(b, i, err);
		if (b->lane != MESSAGES_SEND || !b->run->smtp)
			continue;
		(void)snprintf(text, sizeof text, "message:%" PRIu64 ":%u",
		    b->claims[i].id, b->claims[i].sending);
		b->asked[i].mail = arena_slice(&b->arena, slice_str(text));
	}
	if (rc == RC_OK && b->arena.failed)
		rc = err_set(err, RC_RETRY, "no memory for messages");
	return rc;
}

/* ---- what came of it ----------------------------------------------------- */

static int64_t
passed_ms(unsigned tries)
{
	int64_t ms = PASSED_MS;

	for (unsigned i = 0; i < tries && ms < PASSED_MAX_MS; i++)
		ms *= 2;
	return ms < PASSED_MAX_MS ? ms : PASSED_MAX_MS;
}

static struct slice
reason_of(const struct php_message *m, const char *otherwise)
{
	return m->message.n > 0 ? m->message : slice_str(otherwise);
}

static void
note_passed(
    const struct batch *b, const struct messages_claim *c, struct slice why)
{
	const struct work_env *env = b->run->env;

	if (c->tries > 0)
		return;
	log_event(LOG_WARN, "messages.passed", LOG_S("site", env->site->name),
	    LOG_U("blog", env->blog_id),
	    LOG_S("lane", messages_lane_name(b->lane)), LOG_U("message", c->id),
	    LOG_U("why_bytes", why.n));
}

/* The messenger said no. */
static enum messages_end
end_of_failed(const struct batch *b, const struct messages_claim *c,
    struct messages_result *r)
{
	const struct messages_policy *p = &b->run->policy;

	r->tries = c->tries + 1;
	r->wait_ms = messages_backoff_ms(p, c->tries);
	return c->tries < p->retries ? MESSAGES_FAILED : MESSAGES_REFUSED;
}

/* What a status says; false: nobody knows. */
static bool
judge(
    const struct batch *b, size_t i, const char *sts, struct messages_result *r)
{
	const struct messages_claim *c = &b->claims[i];
	const struct php_message *m = &b->asked[i];

	r->tries = c->tries + 1;
	if (strcmp(sts, "MFL") == 0) {
		r->end = MESSAGES_REFUSED;
		r->reason = reason_of(m, "Event Espresso failed it");
	} else if (strcmp(sts, "MRT") == 0) {
		r->end = end_of_failed(b, c, r);
		r->reason = reason_of(m, "the messenger did not send it");
	} else if (strcmp(sts, "MEX") == 0) {
		return false;
	} else if (b->lane == MESSAGES_GENERATE && !m->ok && *sts == '\0') {
		/* Generated once more, others would get theirs twice. */
		r->end = MESSAGES_REFUSED;
		r->reason =
		    reason_of(m, "not all that was made of it is saved");
	} else if (m->answered && !m->ok && strcmp(sts, c->was) == 0) {
		r->end = MESSAGES_PASSED;
		r->strike = true;
		r->wait_ms = passed_ms(c->tries);
		r->reason = reason_of(m, "Event Espresso left it as it was");
		note_passed(b, c, r->reason);
	} else {
		r->end = MESSAGES_DONE;
	}
	return true;
}

static void
copy_status(char out[4], struct slice s)
{
	memset(out, 0, 4);
	if (s.n > 0)
		memcpy(out, s.p, s.n < 3 ? s.n : 3);
}

static void
sort_out(struct batch *b)
{
	for (size_t i = 0; i < b->nclaims; i++) {
		const struct php_message *m = &b->asked[i];
		struct messages_result r = { .id = b->claims[i].id };
		char sts[4];

		b->locked += m->locked;
		if (m->locked || (!m->begun && !m->answered)) {
			r.end = MESSAGES_BACK;
			b->results[b->nresults++] = r;
			continue;
		}
		b->begun++;
		copy_status(sts, m->status);
		if (!m->answered || !judge(b, i, sts, &r)) {
			/* PHP says itself when it is generated, or its row
			 * does once its term is over. */
			if (!b->goes_on)
				b->doubts[b->ndoubts++] = r.id;
			continue;
		}
		b->done += r.end == MESSAGES_DONE;
		b->failed +=
		    r.end == MESSAGES_FAILED || r.end == MESSAGES_REFUSED;
		b->results[b->nresults++] = r;
	}
}

static void
say_recovered(const struct batch *b, const struct messages_recovered *got)
{
	const struct work_env *env = b->run->env;

	b->run->report->restored += got->restored;
	log_event(LOG_WARN, "messages.php_died", LOG_S("site", env->site->name),
	    LOG_U("blog", env->blog_id),
	    LOG_S("lane", messages_lane_name(b->lane)),
	    LOG_U("restored", got->restored), LOG_U("reset", got->reset),
	    LOG_U("unknown", got->unknown));
}

static enum rc
settle(struct batch *b, struct err *err)
{
	const struct work_env *env = b->run->env;
	struct messages_recovered got;
	enum rc rc = messages_settle(env->db, &env->scope, env->blog_id,
	    b->lane, b->claim_id, b->results, b->nresults, err);

	if (rc == RC_OK && b->ndoubts > 0) {
		rc = messages_resolve(env->db, &env->scope, env->blog_id,
		    b->lane, b->claim_id, b->doubts, b->ndoubts,
		    &b->run->policy, &got, err);
		if (rc == RC_OK)
			say_recovered(b, &got);
	}
	return rc;
}

/* ---- a batch ------------------------------------------------------------- */

static enum rc
claim(struct batch *b, struct err *err)
{
	const struct work_env *env = b->run->env;
	enum rc rc;

	if (getrandom(&b->claim_id, sizeof b->claim_id, 0) !=
	    sizeof b->claim_id)
		return err_set(err, RC_FATAL, "the kernel has no randomness");
	b->claim_id = b->claim_id >> 1 | 1;
	rc = messages_claim(env->db, &env->scope, env->blog_id, b->lane,
	    b->claim_id, b->ids, b->n, php_ms(b) + TERM_MORE_MS, &b->arena,
	    &b->claims, &b->nclaims, err);
	if (rc != RC_OK)
		return rc;
	b->asked = arena_array(&b->arena, b->nclaims + 1, sizeof *b->asked);
	b->results = arena_array(&b->arena, b->nclaims + 1, sizeof *b->results);
	b->doubts = arena_array(&b->arena, b->nclaims + 1, sizeof(uint64_t));
	if (!b->asked || !b->results || !b->doubts)
		return err_set(err, RC_RETRY, "no memory for messages");
	return name_each(b, err);
}

static void
note_batch(const struct batch *b, int64_t ms)
{
	const struct work_env *env = b->run->env;

	log_event(LOG_INFO, "messages.batch", LOG_S("site", env->site->name),
	    LOG_U("blog", env->blog_id),
	    LOG_S("lane", messages_lane_name(b->lane)), LOG_U("done", b->done),
	    LOG_U("failed", b->failed), LOG_U("begun", b->begun),
	    LOG_U("of", b->nclaims), LOG_I("ms", ms));
}

/* PHP could not be asked, or says no to all: a reason to stop. */
static void
note_refusal(struct batch *b, enum rc asked, const struct err *why)
{
	if (asked != RC_OK && b->begun == 0) {
		messages_held(b->run,
		    asked == RC_RETRY ? MESSAGES_LOOK_MS : MESSAGES_HELD_MS,
		    "%s", why->text);
		b->run->stop = true;
	}
	if (b->locked > 0) {
		messages_wait(b->run, MESSAGES_LOOK_MS);
		b->run->stop = b->run->stop || b->begun == 0;
	}
}

/* *begun: rows that PHP loaded. */
static enum rc
run_batch(struct messages_run *run, enum messages_lane lane,
    const uint64_t *ids, size_t n, size_t *begun, struct err *err)
{
	struct batch b = { .run = run,
		.lane = lane,
		.arena = ARENA_INIT(BATCH_ARENA_MAX),
		.ids = ids,
		.n = n };
	mono_ms since = clock_mono(run->env->clock);
	struct err why = ERR_INIT;
	enum rc asked = RC_OK, rc;

	*begun = 0;
	messages_renew(run);
	rc = run->lost ? RC_OK : claim(&b, err);
	if (rc == RC_OK && b.nclaims > 0) {
		asked = ask_php(&b, &why);
		sort_out(&b);
		rc = settle(&b, err);
		note_refusal(&b, asked, &why);
		note_batch(&b, clock_mono(run->env->clock) - since);
	}
	messages_renew(run);
	if (lane == MESSAGES_GENERATE)
		run->report->generated += b.done;
	else
		run->report->sent += b.done;
	run->report->failed += b.failed;
	*begun = b.begun;
	arena_clear(&b.arena);
	return rc;
}

/* ---- generation ---------------------------------------------------------- */

static bool
is_wanted(const struct messages_opts *o, enum messages_lane lane)
{
	return o->generate == o->send ||
	       (lane == MESSAGES_GENERATE ? o->generate : o->send);
}

/* The ids of wp-cronctl in the lane's statuses, in the order given; to be
 * generated those that had no turn. */
static enum rc
take_given(struct messages_run *run, enum messages_lane lane, struct arena *a,
    struct messages_row **out, size_t *n, struct err *err)
{
	const struct work_env *env = run->env;
	const struct messages_opts *o = run->opts;
	struct messages_status *s = arena_array(a, o->nids + 1, sizeof *s);
	struct messages_row *rows = arena_array(a, o->nids + 1, sizeof *rows);
	enum rc rc;

	*out = rows;
	if (!s || !rows)
		return err_set(err, RC_RETRY, "no memory for messages");
	rc = messages_statuses(env->db, &env->scope, o->ids, o->nids, s, err);
	for (size_t i = lane == MESSAGES_GENERATE ? run->given : 0;
	     rc == RC_OK && i < o->nids; i++) {
		bool mic = strcmp(s[i].sts, "MIC") == 0;
		bool idle = strcmp(s[i].sts, "MID") == 0 ||
			    strcmp(s[i].sts, "MRS") == 0;

		if (lane == MESSAGES_GENERATE ? mic : idle)
			rows[(*n)++].id = o->ids[i];
	}
	return rc;
}

static enum rc
find_rows(struct messages_run *run, enum messages_lane lane, unsigned lowest,
    struct arena *a, struct messages_row **out, size_t *n, struct err *err)
{
	const struct work_env *env = run->env;

	*n = 0;
	*out = NULL;
	if (!is_wanted(run->opts, lane))
		return RC_OK;
	if (run->opts->ids)
		return take_given(run, lane, a, out, n, err);
	return messages_waiting(env->db, &env->scope, env->blog_id, lane,
	    run->opts->tick ? MESSAGES_ANY : lowest,
	    run->site->messages_order == MESSAGES_PLUGIN, LIST_MAX, a, out, n,
	    err);
}

static bool
is_locked(struct messages_run *run, int64_t until)
{
	int64_t now = clock_unix(run->env->clock);
	int64_t ms = until - now > MESSAGES_LOOK_MS / 1000
			 ? MESSAGES_LOOK_MS
			 : (until - now) * 1000 + 1000;

	if (until <= now)
		return false;
	messages_wait(run, ms);
	return true;
}

/* Each has one turn: what PHP leaves as it is would be the first for ever. */
static void
pass_given(struct messages_run *run, uint64_t last)
{
	const struct messages_opts *o = run->opts;

	while (run->given < o->nids && o->ids[run->given++] != last)
		;
}

enum rc
messages_generate_batch(
    struct messages_run *run, bool *progress, struct err *err)
{
	struct arena a = ARENA_INIT(LIST_ARENA_MAX);
	uint64_t ids[GENERATE_BATCH];
	struct messages_row *rows = NULL;
	size_t n = 0, begun = 0, take;
	bool locked = is_locked(run, run->facts.generation_until);
	enum rc rc = find_rows(
	    run, MESSAGES_GENERATE, MESSAGES_MEDIUM, &a, &rows, &n, err);

	*progress = false;
	take = n < GENERATE_BATCH ? n : GENERATE_BATCH;
	for (size_t i = 0; i < take; i++)
		ids[i] = rows[i].id;
	run->report->waiting = n;
	if (rc == RC_OK && take > 0 && !locked) {
		rc = run_batch(run, MESSAGES_GENERATE, ids, take, &begun, err);
		*progress = begun > 0 || run->opts->ids;
		if (run->opts->ids && !run->stop)
			pass_given(run, ids[(begun > 0 ? begun : take) - 1]);
		run->report->waiting = n - (begun < n ? begun : n);
		/* What was made of them may be urgent. */
		run->read_at = 0;
	}
	arena_clear(&a);
	return rc;
}

/* ---- sending ------------------------------------------------------------- */

static enum rc
read_list(struct messages_run *run, struct err *err)
{
	mono_ms now = clock_mono(run->env->clock);
	bool given = run->opts->ids != NULL;

	if (run->read_at != 0 &&
	    (given || (run->next < run->nrows && now < run->read_at + LIST_MS)))
		return RC_OK;
	arena_clear(&run->arena);
	run->arena.max = LIST_ARENA_MAX;
	run->next = 0;
	run->read_at = now > 0 ? now : 1;
	return find_rows(run, MESSAGES_SEND, MESSAGES_HIGH, &run->arena,
	    &run->rows, &run->nrows, err);
}

static enum rc
take_window(
    struct messages_run *run, uint32_t want, uint32_t *got, struct err *err)
{
	const struct work_env *env = run->env;
	struct rate w = messages_window(run);
	int64_t left_ms = 0;
	uint32_t used;
	enum rc rc;

	*got = want;
	if (w.count == 0 || run->opts->ids)
		return RC_OK;
	rc = bucket_open(
	    env->db, &env->scope, run->name, w.count, w.per_s, want, got, err);
	if (rc == RC_OK && *got == 0) {
		rc = bucket_open_left(env->db, &env->scope, run->name, w.per_s,
		    &used, &left_ms, err);
		messages_wait(run, left_ms > 0 ? left_ms : 1);
	}
	return rc;
}

static enum rc
send_some(struct messages_run *run, const uint64_t *ids, uint32_t got,
    size_t *begun, struct err *err)
{
	const struct work_env *env = run->env;
	mono_ms taken = clock_mono(env->clock);
	enum rc rc = run_batch(run, MESSAGES_SEND, ids, got, begun, err);

	/* The plugin counts the rows that it loads, whatever comes of them. */
	if (rc == RC_OK && *begun < got && !run->opts->ids &&
	    messages_window(run).count > 0)
		rc = bucket_open_give(env->db, &env->scope, run->name,
		    got - (uint32_t)*begun, clock_mono(env->clock) - taken,
		    err);
	return rc;
}

enum rc
messages_send_batch(struct messages_run *run, bool *progress, struct err *err)
{
	uint64_t ids[SEND_BATCH_MAX];
	size_t most = SEND_BATCH, n = 0, begun = 0;
	bool locked = is_locked(run, run->facts.sending_until);
	uint32_t got = 0;
	enum rc rc = read_list(run, err);

	*progress = false;
	if (run->told.batch > 0 && run->told.batch <= SEND_BATCH_MAX)
		most = run->told.batch;
	while (rc == RC_OK && n < most && run->next + n < run->nrows) {
		ids[n] = run->rows[run->next + n].id;
		n++;
	}
	if (rc == RC_OK && n > 0 && !locked)
		rc = take_window(run, (uint32_t)n, &got, err);
	if (rc == RC_OK && got > 0) {
		rc = send_some(run, ids, got, &begun, err);
		run->next += got;
		/* What was given back is before those that follow. */
		if (begun < got && !run->opts->ids)
			run->read_at = 0;
		*progress = begun > 0;
	}
	run->report->waiting += run->nrows - run->next;
	return rc;
}
