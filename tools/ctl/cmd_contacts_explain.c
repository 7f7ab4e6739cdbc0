/* contacts explain: one reader, and all that decides what happens to them. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "formats/utf8.h"
#include "integrations.h"

const char *const contacts_explain_columns[] = { "about", "what", "remedy", "",
	"url", NULL };

#define WORDS_MAX ((size_t)4096)
#define TEXT_MAX ((size_t)1 << 20)
#define RETRIES_MAX 1000
#define PATTERN_MAX 64
#define FINGERPRINT_DAYS 7
#define DAY_S INT64_C(86400)

struct explaining {
	const struct ctl *c;
	struct contacts_view *v;
	struct contact_user user;
	struct arena arena;
	json_t *rows;
};

static void tell(struct explaining *x, const char *about, const char *remedy,
    const char *fmt, ...) PRINTF_LIKE(4, 5);

/* A line of the answer; `remedy`: what can be done about it, or NULL. */
static void
tell(struct explaining *x, const char *about, const char *remedy,
    const char *fmt, ...)
{
	struct buf what = BUF_INIT(WORDS_MAX);
	json_t *row = json_object();
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&what, fmt, ap);
	va_end(ap);
	row_text(row, "about", about);
	row_slice(row, "what", buf_slice(&what));
	row_text(row, "remedy", remedy);
	row_text(row, "url", x->v->place->facts.home);
	(void)json_array_append_new(x->rows, row);
	buf_clear(&what);
}

/* "2026-11-22 01:02:03", "never" */
static const char *
when(int64_t t, char out[DATETIME_LEN + 1])
{
	if (t == INT64_MIN || t <= 0)
		return "never";
	datetime_render(t, out);
	return out;
}

/* ---- the reader --------------------------------------------------------- */

static void
tell_reader(struct explaining *x)
{
	const struct contact_user *u = &x->user;
	struct buf masked = BUF_INIT(WORDS_MAX);
	json_t *row = json_object();

	row_masked(row, "address", u->email);
	tell(x, "reader",
	    u->member ? NULL
		      : "only members of a blog are staged and synced on it",
	    "user %" PRIu64 ", %s, %s", u->id,
	    json_string_value(json_object_get(row, "address")),
	    u->member ? "member of this blog" : "no member of this blog");
	json_decref(row);
	buf_clear(&masked);
	if (u->email.n == 0)
		tell(x, "reader", "give the user an address",
		    "has no address: nothing can be pushed");
}

static enum rc
last_enqueue(struct explaining *x, int64_t *out, struct err *err)
{
	const struct slice key =
	    SLICE_LIT("newspack_contact_cron_last_enqueue");
	struct contact_meta *rows = NULL;
	size_t n = 0;
	enum rc rc = contact_meta_read(x->v->place->db, &x->v->place->scope,
	    &x->user.id, 1, &key, 1, &x->arena, &rows, &n, err);

	*out = rc == RC_OK && n > 0 ? contacts_flag_time(rows[0].value)
				    : INT64_MIN;
	return rc;
}

static enum rc
tell_flags(
    struct explaining *x, enum contact_direction d, bool *any, struct err *err)
{
	struct place *p = x->v->place;
	char text[DATETIME_LEN + 1];
	struct contact_flags f;
	enum rc rc = contact_flags_of(
	    p->db, &p->scope, d, x->user.id, &x->arena, &f, err);

	if (rc != RC_OK || f.n == 0)
		return rc;
	*any = true;
	tell(x, "staged", NULL, "for a %s since %s%s",
	    contact_direction_name(d),
	    when(contacts_flag_time(f.rows[0].value), text),
	    f.n > 1 ? ", in more than one row (they count once)" : "");
	return RC_OK;
}

static enum rc
tell_staged(struct explaining *x, struct err *err)
{
	int64_t now = clock_unix(&clock_system), last = INT64_MIN;
	char text[DATETIME_LEN + 1];
	bool any = false;
	enum rc rc = tell_flags(x, CONTACT_PULL, &any, err);

	if (rc == RC_OK)
		rc = tell_flags(x, CONTACT_PUSH, &any, err);
	if (rc == RC_OK)
		rc = last_enqueue(x, &last, err);
	if (rc != RC_OK)
		return rc;
	if (!any)
		tell(x, "staged", "`wp-cronctl contacts stage` does it now",
		    "no: nothing waits for them");
	if (last > now)
		tell(x, "throttle",
		    "the clock of the web server was ahead: delete the row "
		    "newspack_contact_cron_last_enqueue in usermeta",
		    "last staged at %s, which is to come: no page load stages "
		    "them before",
		    when(last, text));
	else if (last > 0 && now - last < CONTACT_THROTTLE_S)
		tell(x, "throttle", NULL,
		    "last staged at %s: a page load stages them again in "
		    "%" PRId64 " s",
		    when(last, text), CONTACT_THROTTLE_S - (now - last));
	else
		tell(x, "throttle", NULL,
		    "last staged at %s: the next page load stages them%s",
		    when(last, text),
		    last > 0 && now - last < CONTACT_STALE_S
			? ""
			: ", and pulls at once");
	return RC_OK;
}

/* ---- the site ----------------------------------------------------------- */

static void
tell_site(struct explaining *x)
{
	const struct newspack *n = &x->v->newspack;
	const char *remedy, *held = contacts_held(x->v, &remedy);

	if (held)
		tell(x, "held", remedy, "nothing leaves: %s", held);
	else if (n->forced)
		tell(x, "held", NULL,
		    "no: NEWSPACK_ALLOW_READER_SYNC says that this site sends");
	else
		tell(x, "held", NULL, "no: this site sends");
	if (!n->plugin)
		return;
	if (n->cron_disabled)
		tell(x, "batch", NULL,
		    "this program's own clock, every %" PRIu32 " s",
		    x->v->place->site->config->contacts_every_ms / 1000);
	else if (!n->cron_scheduled)
		tell(x, "batch",
		    "load a page: the plugin schedules it; or take it over by "
		    "NEWSPACK_CRON_DISABLE",
		    "nobody runs it: the event " CONTACT_BATCH_HOOK
		    " is not scheduled");
	else if (!x->v->place->site->config->cron)
		tell(x, "batch",
		    "cron = yes, or define( 'NEWSPACK_CRON_DISABLE', array( "
		    "'" CONTACT_BATCH_HOOK "' ) )",
		    "PHP runs it: cron = no leaves the event to WordPress");
	else
		tell(x, "batch", NULL,
		    "when the event " CONTACT_BATCH_HOOK " is due");
}

/* ---- integrations ------------------------------------------------------- */

static void
tell_integration(struct explaining *x, const struct newspack_integration *i)
{
	char about[96];

	(void)snprintf(about, sizeof about, "integration %s", i->id);
	if (!i->set_up) {
		tell(x, about,
		    "complete its settings in Newspack, or set what "
		    "is missing in [integration]",
		    "%s: not set up: %s", *i->provider ? i->provider : "none",
		    i->why ? i->why : "");
		return;
	}
	tell(x, about, NULL, "%s%s%s; push %s; pull %s (%zu fields)",
	    i->provider, i->list ? ", list " : "", i->list ? i->list : "",
	    i->push ? "on" : "off",
	    !i->pull           ? "off"
	    : i->nincoming > 0 ? "on"
			       : "on, but no incoming field is enabled",
	    i->nincoming);
}

/* 429 and wrong keys let a whole account rest, on all nodes. */
static void
tell_rest(struct explaining *x, const struct newspack_integration *i)
{
	struct integration_esp s;
	struct err err = ERR_INIT;
	char about[96];

	if (!i->set_up || strcmp(i->provider, "php") == 0)
		return;
	(void)snprintf(about, sizeof about, "integration %s", i->id);
	if (integration_open(x->v, i, &s, &err) != RC_OK)
		tell(x, about,
		    "`wp-cronctl integration test` says whether key and list "
		    "work",
		    "rests: %s", err.text);
	integration_close(&s);
}

static enum rc
tell_fingerprints(struct explaining *x, struct err *err)
{
	struct place *p = x->v->place;
	struct db_rows *rows = NULL;
	char text[DATETIME_LEN + 1], about[96];
	enum rc rc = db_select(p->db, &p->scope, SQL_CONTACTS_CTL_FINGERPRINTS,
	    SQL_ARGS(V_U64(p->blog_id), V_U64(x->user.id)), &rows, err);

	while (rc == RC_OK && db_rows_next(rows)) {
		int64_t at = db_i64(rows, 2);

		(void)snprintf(about, sizeof about, "fingerprint %.*s",
		    SLICE_FMT(db_text(rows, 0)));
		if (slice_eq_str(db_text(rows, 1), "barred"))
			tell(x, about,
			    "it is tried again when the address changes, or "
			    "after `wp-cronctl privacy erase`",
			    "the provider refuses this address for good, since "
			    "%s: %.*s",
			    when(at, text), SLICE_FMT(db_text(rows, 3)));
		else if (db_text(rows, 3).n > 0)
			tell(x, about, NULL,
			    "refused at %s: %.*s; not sent again for %d days "
			    "unless something changes",
			    when(at, text), SLICE_FMT(db_text(rows, 3)),
			    FINGERPRINT_DAYS);
		else if (clock_unix(&clock_system) - at >
			 FINGERPRINT_DAYS * DAY_S)
			tell(x, about, NULL,
			    "accepted at %s, too long ago to count",
			    when(at, text));
		else
			tell(x, about, NULL,
			    "accepted at %s: while nothing changes, nothing is "
			    "sent, for %d days",
			    when(at, text), FINGERPRINT_DAYS);
	}
	db_rows_free(rows);
	return rc;
}

static enum rc
tell_retry(
    struct explaining *x, enum contact_direction d, const struct db_rows *rows)
{
	char text[DATETIME_LEN + 1], about[96];
	struct contact_retry r;
	struct err err = ERR_INIT;
	enum rc rc =
	    contact_retry_parse(d, db_text(rows, 3), &x->arena, &r, &err);

	if (rc != RC_OK || r.user_id != x->user.id)
		return RC_NONE;
	(void)snprintf(
	    about, sizeof about, "retry %.*s", SLICE_FMT(r.integration));
	tell(x, about, "`wp-cronctl action run ID` runs it now",
	    "%s retry %u/%d, action %" PRIu64 " (%.*s), at %s; the batch "
	    "leaves this integration to it. Last error: %.*s",
	    contact_direction_name(d), r.count, CONTACT_MAX_RETRIES,
	    db_u64(rows, 0), SLICE_FMT(db_text(rows, 1)),
	    when(db_time(rows, 2), text), SLICE_FMT(r.reason));
	return RC_OK;
}

static enum rc
tell_retries(struct explaining *x, enum contact_direction d, struct err *err)
{
	struct place *p = x->v->place;
	struct db_rows *rows = NULL;
	char pattern[PATTERN_MAX];
	enum rc rc;

	if (!p->actions)
		return RC_OK;
	(void)snprintf(pattern, sizeof pattern, "%%\"user_id\"%%%" PRIu64 "%%",
	    x->user.id);
	rc = db_select(p->db, &p->scope, SQL_CONTACTS_CTL_RETRIES,
	    SQL_ARGS(V_STR(contact_retry_hook(d)), V_STR(pattern),
		V_U64(RETRIES_MAX)),
	    &rows, err);
	while (rc == RC_OK && db_rows_next(rows))
		(void)tell_retry(x, d, rows);
	db_rows_free(rows);
	return rc;
}

static enum rc
tell_bulk(struct explaining *x, struct err *err)
{
	struct place *p = x->v->place;
	char begun[DATETIME_LEN + 1], again[DATETIME_LEN + 1], about[96];
	struct contact_batch *b = NULL;
	size_t n = 0;
	enum rc rc = contact_batches_read(
	    p->db, &p->scope, p->blog_id, &x->arena, &b, &n, err);

	for (size_t i = 0; i < n && rc == RC_OK; i++)
		for (size_t k = 0; k < b[i].n; k++) {
			if (b[i].members[k].user_id != x->user.id)
				continue;
			(void)snprintf(about, sizeof about, "bulk call %.*s",
			    SLICE_FMT(b[i].integration));
			tell(x, about, NULL,
			    "handed to %.*s at %s with %zu readers, not "
			    "finished; asked %u times, next at %s",
			    SLICE_FMT(b[i].provider),
			    when(b[i].submitted_at, begun), b[i].n, b[i].asked,
			    when(b[i].ask_at, again));
		}
	return rc;
}

static enum rc
tell_all(struct explaining *x, struct err *err)
{
	const struct newspack *n = &x->v->newspack;
	enum rc rc;

	tell_reader(x);
	rc = tell_staged(x, err);
	tell_site(x);
	if (n->plugin && n->n == 0)
		tell(x, "integrations", "enable one in Newspack",
		    "none is enabled");
	for (size_t i = 0; i < n->n; i++) {
		tell_integration(x, &n->integrations[i]);
		tell_rest(x, &n->integrations[i]);
	}
	if (rc == RC_OK)
		rc = tell_fingerprints(x, err);
	if (rc == RC_OK)
		rc = tell_retries(x, CONTACT_PULL, err);
	if (rc == RC_OK)
		rc = tell_retries(x, CONTACT_PUSH, err);
	return rc == RC_OK ? tell_bulk(x, err) : rc;
}

/* ---- the answer --------------------------------------------------------- */

static const char *
member(const json_t *row, const char *name)
{
	const char *text = json_string_value(json_object_get(row, name));

	return text ? text : "";
}

/* Lines instead of columns, as doctor has them. */
static void
print_lines(const struct ctl *c, const json_t *rows)
{
	struct buf out = BUF_INIT(TEXT_MAX);

	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);

		buf_printf(&out, "%-18s ", member(row, "about"));
		utf8_put_line(&out, slice_str(member(row, "what")), WORDS_MAX);
		if (*member(row, "remedy"))
			buf_printf(
			    &out, "\n%-18s -> %s", "", member(row, "remedy"));
		buf_put_char(&out, '\n');
	}
	(void)fputs(buf_str(&out), c->out.to);
	buf_clear(&out);
}

static int
explain(const struct ctl *c, struct contacts_view *v, void *arg)
{
	struct explaining x = { .c = c,
		.v = v,
		.arena = ARENA_INIT(CONTACTS_ARENA_MAX),
		.rows = arg };
	struct err err = ERR_INIT;
	int status = contacts_find(c, v, c->args[0], &x.arena, &x.user);

	if (status == EXIT_DONE && tell_all(&x, &err) != RC_OK)
		status = ctl_error(c, &err);
	arena_clear(&x.arena);
	return status;
}

int
cmd_contacts_explain(struct ctl *c)
{
	json_t *rows = json_array();
	int status = contacts_each(c, explain, rows);

	if (status == EXIT_DONE &&
	    (c->out.format != OUTPUT_TABLE || c->opts.fields))
		return ctl_print_rows(c, rows, EXIT_DONE);
	if (status == EXIT_DONE)
		print_lines(c, rows);
	json_decref(rows);
	return status;
}
