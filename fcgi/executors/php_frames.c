#include "executors/php_impl.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "formats/utf8.h"

enum {
	/* Leaves room for " in FILE on line N" behind a fatal error's text. */
	FATAL_TEXT_MAX = 280,
	/* From one frame to the next when no callback runs: PHP's own writes,
	 * which wait for row locks at most innodb_lock_wait_timeout (50 s). */
	GAP_MS = 60000,
	DEFAULT_LIMIT_MS = 60000,
};

/* ---- reading JSON ------------------------------------------------------- */

struct slice
php_text_of(const json_t *frame, const char *key)
{
	const json_t *v = json_object_get(frame, key);

	if (!json_is_string(v))
		return SLICE_NONE;
	return slice_mem(json_string_value(v), json_string_length(v));
}

int64_t
php_number_of(const json_t *frame, const char *key)
{
	return (int64_t)json_integer_value(json_object_get(frame, key));
}

static void
copy_text(char *out, size_t size, struct slice s)
{
	if (s.n >= size)
		s.n = slice_utf8_cut(s, size - 1);
	if (s.n > 0)
		memcpy(out, s.p, s.n);
	out[s.n] = '\0';
}

static void
hand_on(const struct php *p, php_json_fn *fn, const json_t *value)
{
	char *text;

	if (!fn || !json_is_object(value))
		return;
	text = json_dumps(value, JSON_COMPACT);
	if (text)
		fn(p->opts.arg, slice_str(text));
	free(text);
}

/* ---- reporting ---------------------------------------------------------- */

void
php_report(struct php *p, struct php_slot *slot, enum outcome_kind kind,
    bool strike, bool verbatim, struct slice message)
{
	struct outcome o = {
		.job = slot->job,
		.kind = kind,
		.strike = strike,
		.verbatim = verbatim,
		.ended_at = clock_wall(p->opts.clock),
	};
	struct buf line = BUF_INIT(ERR_TEXT_MAX);

	if (slot->state == PHP_SLOT_ENDED)
		return;
	utf8_put_line(&line, message, ERR_TEXT_MAX - 1);
	copy_text(o.message, sizeof(o.message), buf_slice(&line));
	buf_clear(&line);
	slot->state = PHP_SLOT_ENDED;
	p->left--;
	p->report(p->report_arg, &o);
}

/* ---- frames ------------------------------------------------------------- */

static void
on_hello(struct php *p, struct php_slot *slot, const json_t *frame)
{
	struct slice mode = php_text_of(frame, "mode");
	struct err err = ERR_INIT;

	(void)slot;
	p->hello = true;
	if (slice_eq_str(mode, "plugin"))
		p->mode = PHP_MODE_PLUGIN;
	else if (slice_eq_str(mode, "hook"))
		p->mode = PHP_MODE_HOOK;
	else
		p->mode = PHP_MODE_NONE;
	php_child_note(&p->child, php_number_of(frame, "pid"));
	p->state.limit = php_child_check(&p->child, &err) == RC_OK
			     ? PHP_LIMIT_SIGNAL
			     : PHP_LIMIT_POOL_ONLY;
	p->state.finish_request =
	    json_is_true(json_object_get(frame, "finish"));
	copy_text(p->state.mode, sizeof(p->state.mode), mode);
	copy_text(
	    p->state.php, sizeof(p->state.php), php_text_of(frame, "php"));
	copy_text(p->state.wp, sizeof(p->state.wp), php_text_of(frame, "wp"));
	copy_text(
	    p->state.error, sizeof(p->state.error), php_text_of(frame, "why"));
	hand_on(p, p->opts.on_export, json_object_get(frame, "export"));
}

static void
on_take(struct php *p, struct php_slot *slot, const json_t *frame)
{
	(void)p;
	(void)frame;
	if (slot->state == PHP_SLOT_WAITS)
		slot->state = PHP_SLOT_TAKEN;
}

static void
set_limit(struct php *p, uint32_t limit_ms)
{
	p->limit_ms = limit_ms;
	p->deadline = clock_mono(p->opts.clock) + limit_ms;
}

static void
on_start(struct php *p, struct php_slot *slot, const json_t *frame)
{
	uint32_t limit = p->opts.default_limit_ms;

	(void)frame;
	if (slot->state >= PHP_SLOT_STARTED)
		return;
	slot->state = PHP_SLOT_STARTED;
	slot->job->started = true;
	slot->job->started_at = clock_wall(p->opts.clock);
	if (slot->job->policy && slot->job->policy->timeout_ms)
		limit = slot->job->policy->timeout_ms;
	set_limit(p, limit ? limit : DEFAULT_LIMIT_MS);
}

static void
on_done(struct php *p, struct php_slot *slot, const json_t *frame)
{
	(void)frame;
	php_report(p, slot, OUTCOME_DONE, false, false, SLICE_NONE);
}

/* " in FILE on line N" behind a text that leaves room for it. */
static void
put_where(struct buf *line, struct slice message, const json_t *frame)
{
	utf8_put_line(line, message, FATAL_TEXT_MAX);
	buf_put_str(line, " in ");
	utf8_put_line(line, php_text_of(frame, "file"), ERR_TEXT_MAX);
	buf_printf(line, " on line %" PRId64, php_number_of(frame, "line"));
}

static void
on_fail(struct php *p, struct php_slot *slot, const json_t *frame)
{
	struct slice message = php_text_of(frame, "msg");
	struct buf line = BUF_INIT(4096);

	if (message.n == 0)
		message = php_text_of(frame, "class");
	if (slot->job->kind == JOB_EVENT) {
		put_where(&line, message, frame);
		message = buf_slice(&line);
	}
	php_report(p, slot, OUTCOME_FAILED, false, false, message);
	buf_clear(&line);
}

static void
on_settled(struct php *p, struct php_slot *slot, const json_t *frame)
{
	bool ignored = slice_eq_str(php_text_of(frame, "status"), "ignored");

	php_report(p, slot, ignored ? OUTCOME_LOST : OUTCOME_SETTLED, false,
	    false, php_text_of(frame, "msg"));
}

static void
on_fatal(struct php *p, struct php_slot *slot, const json_t *frame)
{
	struct slice message = php_text_of(frame, "msg");
	struct buf line = BUF_INIT(4096);

	if (!json_is_integer(json_object_get(frame, "type"))) {
		php_report(p, slot, OUTCOME_FAILED, false, false, message);
		return;
	}
	/* ActionScheduler_Logger: log_unexpected_shutdown() */
	if (slot->job->kind == JOB_ACTION)
		buf_put_str(&line, "unexpected shutdown: ");
	buf_put_str(&line, "PHP Fatal error ");
	put_where(&line, message, frame);
	php_report(p, slot, OUTCOME_FAILED, false, true, buf_slice(&line));
	buf_clear(&line);
}

static void
on_skip(struct php *p, struct php_slot *slot, const json_t *frame)
{
	bool lost = json_is_true(json_object_get(frame, "lost"));

	php_report(p, slot, lost ? OUTCOME_LOST : OUTCOME_RELEASED, false,
	    false, php_text_of(frame, "why"));
}

static void
on_took(struct php *p, struct php_slot *slot, const json_t *frame)
{
	(void)slot;
	p->asked_take = false;
	hand_on(p, p->opts.on_take, frame);
}

void
php_take_failed(struct php *p, const char *why)
{
	json_t *answer;

	if (!p->asked_take)
		return;
	p->asked_take = false;
	answer = json_pack("{s:i, s:i, s:i, s:b, s:s}", "taken", 0, "dropped",
	    0, "gone", 0, "held", 0, "why", why);
	hand_on(p, p->opts.on_take, answer);
	json_decref(answer);
}

/* PHP tells of many at once. */
static uint64_t
times_of(const json_t *frame)
{
	int64_t n = php_number_of(frame, "times");

	return n > 0 ? (uint64_t)n : 1;
}

/* Also of use to whoever asked besides jobs. */
static void
on_mail(struct php *p, struct php_slot *slot, const json_t *frame)
{
	(void)slot;
	p->state.mails_stored += times_of(frame);
	if (p->ask)
		p->ask->take(p->ask->arg, SLICE_LIT("mail"), frame);
}

static void
on_mail_left(struct php *p, struct php_slot *slot, const json_t *frame)
{
	struct buf why = BUF_INIT(sizeof(p->state.mail_why));

	(void)slot;
	p->state.mails_left += times_of(frame);
	utf8_put_line(
	    &why, php_text_of(frame, "why"), sizeof(p->state.mail_why) - 1);
	copy_text(
	    p->state.mail_why, sizeof(p->state.mail_why), buf_slice(&why));
	buf_clear(&why);
	log_event(LOG_INFO, "mail.left_to_php",
	    LOG_SLICE("job", php_text_of(frame, "job")),
	    LOG_S("why", p->state.mail_why),
	    LOG_U("so_far", p->state.mails_left));
	if (p->ask)
		p->ask->take(p->ask->arg, SLICE_LIT("mail_left"), frame);
}

static void
on_maintenance(struct php *p, struct php_slot *slot, const json_t *frame)
{
	(void)slot;
	(void)frame;
	p->maintenance = true;
}

static void
on_end(struct php *p, struct php_slot *slot, const json_t *frame)
{
	(void)slot;
	(void)frame;
	p->ended = true;
}

/* `job`: the frame names one of this request's, which has not ended. */
static const struct frame_kind {
	const char *name;
	bool job;
	bool limit; /* sets its own; the others bring the gap's */
	void (*take)(struct php *, struct php_slot *, const json_t *);
} kinds[] = {
	{ "hello", false, false, on_hello },
	{ "take", true, false, on_take },
	{ "skip", true, false, on_skip },
	{ "start", true, true, on_start },
	{ "done", true, false, on_done },
	{ "fail", true, false, on_fail },
	{ "settled", true, false, on_settled },
	{ "fatal", true, false, on_fatal },
	{ "took", false, false, on_took },
	{ "mail", false, true, on_mail },
	{ "mail_left", false, true, on_mail_left },
	{ "maintenance", false, false, on_maintenance },
	{ "end", false, false, on_end },
};

static struct php_slot *
find_slot(struct php *p, const json_t *frame)
{
	uint64_t id = (uint64_t)php_number_of(frame, "id");

	for (size_t i = 0; i < p->nslots; i++)
		if (p->slots[i].job->id == id &&
		    p->slots[i].state != PHP_SLOT_ENDED)
			return &p->slots[i];
	return NULL;
}

static void
take_frame(struct php *p, const json_t *frame)
{
	struct slice name = php_text_of(frame, "frame");
	struct php_slot *slot = NULL;

	for (size_t i = 0; i < NELEMS(kinds); i++) {
		if (!slice_eq_str(name, kinds[i].name))
			continue;
		if (kinds[i].job) {
			slot = find_slot(p, frame);
			if (!slot)
				return;
		}
		if (!kinds[i].limit)
			set_limit(p, GAP_MS);
		kinds[i].take(p, slot, frame);
		return;
	}
	/* Of entries that were asked for besides jobs. */
	if (p->ask) {
		set_limit(p, p->ask->limit_ms ? p->ask->limit_ms : GAP_MS);
		p->ask->take(p->ask->arg, name, frame);
	}
}

void
php_on_line(void *arg, struct slice line)
{
	struct php *p = arg;
	json_t *frame;

	if (!slice_starts(line, slice_str(p->token)))
		return;
	line = slice_from(line, PHP_TOKEN_LEN);
	/* Messages may hold any byte, as the names of anonymous classes do. */
	frame = json_loadb(line.p, line.n, JSON_ALLOW_NUL, NULL);
	if (json_is_object(frame))
		take_frame(p, frame);
	json_decref(frame);
}
