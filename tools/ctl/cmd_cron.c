/* cron test, cron lock */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "blogs.h"
#include "holds.h"
#include "wire/http.h"

const char *const cron_test_columns[] = { "url", "answered_by", "status",
	"x_wp_cron", "seconds", "why", "warnings", NULL };
const char *const cron_lock_columns[] = { "value", "age_s", "foreign", "whose",
	"node", "host", "timeout_s", "", "url", NULL };

/* As long as WP-CLI waits. */
#define TEST_TIMEOUT_MS 3000
#define URL_MAX 512
#define KEY_QUERY "/wp-cron.php?doing_wp_cron="

/* ---- test --------------------------------------------------------------- */

struct answer {
	enum http_end end;
	int status;
	char header[HTTP_KEEP_HEADER + 1];
	bool ours;
	char error[ERR_TEXT_MAX];
};

static void
on_answer(void *arg, void *tag, const struct http_response *r)
{
	struct answer *a = arg;

	(void)tag;
	a->end = r->end;
	a->status = r->status;
	a->ours = r->header.p != NULL;
	(void)snprintf(
	    a->header, sizeof a->header, "%.*s", SLICE_FMT(r->header));
	(void)snprintf(a->error, sizeof a->error, "%s", r->error);
}

/* The request of spawn_cron(), with a key that no lock has: stock
 * wp-cron.php then runs nothing, ours looks what is due. */
static enum rc
spawn(const char *url, struct answer *a, struct err *err)
{
	static const char *const headers[] = {
		"Content-Type: application/x-www-form-urlencoded",
	};
	const struct http_request request = {
		.url = url,
		.headers = headers,
		.nheaders = NELEMS(headers),
		.keep_header = "x-wp-cron",
		.connect_timeout_ms = TEST_TIMEOUT_MS,
		.timeout_ms = TEST_TIMEOUT_MS,
	};
	struct http *http = NULL;
	enum rc rc = http_new(
	    &(const struct http_opts){ .user_agent = "wp-cronctl/" VERSION },
	    &http, err);

	if (rc == RC_OK)
		rc = http_add(http, &request, NULL, err);
	while (rc == RC_OK && http_running(http) > 0)
		http_poll(http, 100, on_answer, a);
	http_free(http);
	return rc;
}

static void
warn(const struct ctl *c, json_t *list, const char *text)
{
	ctl_notice(c, "Warning: %s", text);
	(void)json_array_append_new(list, json_string(text));
}

static json_t *
warnings(const struct ctl *c, const struct site *s)
{
	json_t *list = json_array();

	if (s->alternate_wp_cron)
		warn(c, list,
		    "The ALTERNATE_WP_CRON constant is set to true: visitors "
		    "run cron in their own page loads, beside this program.");
	if (s->disable_wp_cron)
		warn(c, list,
		    "The DISABLE_WP_CRON constant is set to true: page loads "
		    "send no pings; the daemon's own clock does without.");
	return list;
}

static enum ctl_exit
judge(const struct answer *a, const char **who, const char **why)
{
	*why = "";
	*who = "nobody";
	if (a->end != HTTP_ANSWERED) {
		*why = a->error;
		return EXIT_UNAVAILABLE;
	}
	*who = a->ours ? "wp-cron-fcgi" : "stock";
	if (a->status >= 300 && a->status < 400)
		*why = "a redirection: WordPress does not follow it";
	else if (a->status == 401)
		*why = "a password is asked for: exempt /wp-cron.php";
	else if (a->status != 200)
		*why = "not the status that WordPress expects";
	else if (!a->ours)
		*why = "without X-WP-Cron: PHP's own wp-cron.php, or a cache; "
		       "let the web server send it to wp-cron-fcgi";
	else
		return EXIT_DONE;
	if (a->status != 200 && !a->ours)
		*who = "the web server";
	return EXIT_SOME_FAILED;
}

static int
print_test(const struct ctl *c, json_t *row, const struct answer *a,
    const char *url, double seconds)
{
	const char *who, *why;
	enum ctl_exit status = judge(a, &who, &why);

	row_text(row, "url", url);
	row_text(row, "answered_by", who);
	if (a->status > 0)
		row_int(row, "status", a->status);
	if (a->ours)
		row_text(row, "x_wp_cron", a->header);
	(void)json_object_set_new(row, "seconds", json_real(seconds));
	if (*why)
		row_text(row, "why", why);
	if (c->opts.format || c->opts.fields || c->opts.field)
		return ctl_print_record(c, row, status);
	json_decref(row);
	if (status == EXIT_DONE)
		(void)fprintf(c->out.to,
		    "Success: WP-Cron spawning is working as expected: "
		    "wp-cron-fcgi answers (%s) in %.3f s.\n",
		    a->header, seconds);
	else if (a->status > 0)
		(void)fprintf(c->out.to,
		    "Error: %s answers %s with status %d: %s.\n", who, url,
		    a->status, why);
	else
		(void)fprintf(
		    c->out.to, "Error: nobody answers %s: %s.\n", url, why);
	return (int)status;
}

static int
test(const struct ctl *c, struct place *p, void *arg)
{
	mono_ms begun = clock_mono(&clock_system);
	char key[CRON_LOCK_VALUE_MAX], url[URL_MAX];
	struct answer a = { .end = HTTP_BROKEN };
	struct err err = ERR_INIT;
	json_t *row;
	double seconds;

	(void)arg;
	cron_lock_render(clock_wall(&clock_system), key);
	(void)snprintf(
	    url, sizeof url, "%s" KEY_QUERY "%s", p->facts.siteurl, key);
	if (spawn(url, &a, &err) != RC_OK)
		return ctl_error(c, &err);
	seconds = (double)(clock_mono(&clock_system) - begun) / 1000;
	url[slice_find(slice_str(url), '?')] = '\0';
	row = json_object();
	(void)json_object_set_new(row, "warnings", warnings(c, p->site));
	return print_test(c, row, &a, url, seconds);
}

int
cmd_cron_test(struct ctl *c)
{
	return blogs_each(c, 0, test, NULL);
}

/* ---- lock --------------------------------------------------------------- */

static int
lock(const struct ctl *c, struct place *p, void *arg)
{
	char words[CRON_LOCK_WORDS_MAX];
	struct cron_lock_state l;
	struct err err = ERR_INIT;
	json_t *row;

	if (cron_lock_look(p, &l, &err) != RC_OK)
		return ctl_error(c, &err);
	if (p->facts.object_cache)
		ctl_notice(c,
		    "with an object cache the lock is there, where only PHP "
		    "sees it; a row in the database means nothing");
	cron_lock_words(&l, words);
	row = json_object();
	row_text(row, "value", l.there ? l.value : NULL);
	if (l.there) {
		row_int(row, "age_s", l.age_s);
		row_bool(row, "foreign", l.foreign);
	}
	row_text(row, "whose", words);
	if (l.recorded)
		row_int(row, "node", (int64_t)l.node);
	row_text(row, "host", *l.host ? l.host : NULL);
	row_int(row, "timeout_s", l.timeout_s);
	row_text(row, "url", p->facts.home);
	(void)json_array_append_new(arg, row);
	return EXIT_DONE;
}

int
cmd_cron_lock(struct ctl *c)
{
	json_t *rows = json_array();
	int status = blogs_each(c, 0, lock, rows);

	if (status == EXIT_DONE && c->opts.network)
		status = ctl_print_rows(c, json_incref(rows), EXIT_DONE);
	else if (status == EXIT_DONE)
		status = ctl_print_record(
		    c, json_incref(json_array_get(rows, 0)), EXIT_DONE);
	json_decref(rows);
	return status;
}
