/*
 * Sends mails through a relay, so that a test can look at the outcome without
 * the daemon. Reads JSON from standard input, writes JSON.
 *
 * In:  {"host", "port", "security": "starttls" | "tls" | "none",
 *       "user", "password", "auth", "ca_file", "ehlo",
 *       "connect_ms", "reply_ms", "data_ms", "mails_per_connection",
 *       "mails": [{"sender", "recipients": [...],
 *                  "text": "..." or "file": PATH,
 *                  "piece": bytes a read gives at most,
 *                  "size": said, none: true size, 0: not known,
 *                  "break_after": bytes, then the read fails,
 *                  "times": how often it is sent,
 *                  "wait_ms": before it}]}
 * Out: {"mails": [{"verdict", "code", "words", "stage", "rate_limited",
 *                  "left", "ms", "each": [{"verdict", "code", "words"}]}]}
 * or {"error": "..."} when the relay cannot be opened.
 */
#include "base/clock.h"
#include "base/xalloc.h"
#include "wire/smtp.h"

#include <jansson.h>
#include <signal.h>

struct source {
	FILE *file;
	const char *text;
	size_t n, at, piece, break_after;
};

static int64_t
number_of(const json_t *o, const char *key, int64_t otherwise)
{
	const json_t *v = json_object_get(o, key);

	return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

static const char *
text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static enum rc
source_read(void *arg, char *p, size_t n, size_t *done)
{
	struct source *s = arg;
	size_t take = n < s->piece ? n : s->piece;

	if (s->at >= s->break_after)
		return RC_RETRY;
	if (s->file) {
		*done = fread(p, 1, take, s->file);
	} else {
		*done = s->n - s->at < take ? s->n - s->at : take;
		if (*done > 0)
			memcpy(p, s->text + s->at, *done);
	}
	s->at += *done;
	return RC_OK;
}

static uint64_t
source_open(struct source *s, const json_t *mail)
{
	const char *path = text_of(mail, "file");

	*s = (struct source){ .text = text_of(mail, "text"),
		.n = json_string_length(json_object_get(mail, "text")),
		.piece = (size_t)number_of(mail, "piece", INT32_MAX),
		.break_after =
		    (size_t)number_of(mail, "break_after", INT64_MAX) };
	if (!path)
		return s->n;
	s->file = fopen(path, "rb");
	if (!s->file || fseek(s->file, 0, SEEK_END) != 0)
		abort();
	s->n = (size_t)ftell(s->file);
	rewind(s->file);
	return s->n;
}

static json_t *
answer_json(const struct smtp_answer *a)
{
	return json_pack("{s:s,s:i,s:s}", "verdict",
	    smtp_verdict_name(a->verdict), "code", a->code, "words", a->words);
}

static json_t *
send_once(struct smtp *smtp, const json_t *mail)
{
	json_t *to = json_object_get(mail, "recipients");
	size_t n = json_array_size(to);
	struct slice *recipients = xcalloc(n + 1, sizeof *recipients);
	struct smtp_answer *each = xcalloc(n + 1, sizeof *each);
	struct smtp_result result;
	struct source source;
	uint64_t size = source_open(&source, mail);
	struct smtp_mail m = { .recipients = recipients,
		.nrecipients = n,
		.size = (uint64_t)number_of(mail, "size", (int64_t)size),
		.read = source_read,
		.arg = &source,
		.sender = slice_mem(text_of(mail, "sender"),
		    json_string_length(json_object_get(mail, "sender"))) };
	mono_ms began;
	json_t *out, *list = json_array();

	for (size_t i = 0; i < n; i++)
		recipients[i] =
		    slice_mem(json_string_value(json_array_get(to, i)),
			json_string_length(json_array_get(to, i)));
	clock_sleep_ms(number_of(mail, "wait_ms", 0));
	began = clock_mono(&clock_system);
	smtp_send(smtp, &m, each, &result);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, answer_json(&each[i]));
	out = answer_json(&result.whole);
	json_object_set_new(
	    out, "stage", json_string(smtp_stage_name(result.stage)));
	json_object_set_new(
	    out, "rate_limited", json_boolean(result.rate_limited));
	json_object_set_new(out, "left", json_integer(smtp_left(smtp)));
	json_object_set_new(
	    out, "ms", json_integer(clock_mono(&clock_system) - began));
	json_object_set_new(out, "each", list);
	if (source.file)
		(void)fclose(source.file);
	free(each);
	free(recipients);
	return out;
}

static enum rc
open_relay(const json_t *in, struct smtp **out, struct err *err)
{
	const char *security = text_of(in, "security");
	struct smtp_opts o = { .host = text_of(in, "host"),
		.port = (uint16_t)number_of(in, "port", 25),
		.user = text_of(in, "user"),
		.password = text_of(in, "password"),
		.auth = text_of(in, "auth"),
		.ca_file = text_of(in, "ca_file"),
		.ehlo = text_of(in, "ehlo"),
		.connect_ms = (uint32_t)number_of(in, "connect_ms", 5000),
		.reply_ms = (uint32_t)number_of(in, "reply_ms", 5000),
		.data_ms = (uint32_t)number_of(in, "data_ms", 20000),
		.mails = (uint32_t)number_of(in, "mails_per_connection", 100) };

	o.security = strcmp(security, "tls") == 0    ? SMTP_TLS
		     : strcmp(security, "none") == 0 ? SMTP_PLAIN
						     : SMTP_STARTTLS;
	return smtp_open(&o, out, err);
}

int
main(void)
{
	struct err err = ERR_INIT;
	json_t *in = json_loadf(stdin, JSON_ALLOW_NUL, NULL);
	json_t *answers = json_array();
	json_t *out, *mail;
	struct smtp *smtp = NULL;
	size_t i;

	if (!in || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return 2;
	if (open_relay(in, &smtp, &err) == RC_OK) {
		json_array_foreach(json_object_get(in, "mails"), i,
		    mail) for (int64_t k = number_of(mail, "times", 1); k > 0;
			       k--)
		    json_array_append_new(answers, send_once(smtp, mail));
		out = json_pack("{s:o}", "mails", answers);
	} else {
		json_decref(answers);
		out = json_pack("{s:s}", "error", err.text);
	}
	smtp_close(smtp);
	(void)json_dumpf(out, stdout, JSON_COMPACT);
	json_decref(out);
	json_decref(in);
	return 0;
}
