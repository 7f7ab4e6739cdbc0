#include "wire/smtp_probe.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "formats/mail_address.h"
#include "formats/utf8.h"
#include "wire/curl_begin.h"

#define URL_MAX 1024
#define LINE_MAX_BYTES 400

struct probe {
	CURL *easy;
	char line[LINE_MAX_BYTES]; /* the last reply */
	char error[CURL_ERROR_SIZE];
};

static size_t
on_line(char *p, size_t size, size_t n, void *arg)
{
	struct probe *x = arg;
	struct slice line = slice_trim(slice_mem(p, size * n));

	(void)snprintf(x->line, sizeof x->line, "%.*s", SLICE_FMT(line));
	return size * n;
}

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	(void)p;
	(void)arg;
	return size * n;
}

#define SET(option, value)                                                     \
	(ok = ok && curl_easy_setopt(x->easy, (option), (value)) == CURLE_OK)

static bool
set_login(struct probe *x, const struct smtp_opts *o)
{
	bool bearer = o->auth && strcmp(o->auth, "xoauth2") == 0;
	bool ok = true;

	if (!o->user)
		return true;
	SET(CURLOPT_USERNAME, o->user);
	if (bearer)
		SET(CURLOPT_XOAUTH2_BEARER, o->password);
	else
		SET(CURLOPT_PASSWORD, o->password);
	if (bearer)
		SET(CURLOPT_LOGIN_OPTIONS, "AUTH=XOAUTH2");
	else if (o->auth && strcmp(o->auth, "plain") == 0)
		SET(CURLOPT_LOGIN_OPTIONS, "AUTH=PLAIN");
	else if (o->auth && strcmp(o->auth, "login") == 0)
		SET(CURLOPT_LOGIN_OPTIONS, "AUTH=LOGIN");
	return ok;
}

static bool
set_options(struct probe *x, const struct smtp_opts *o, const char *url)
{
	bool ok = set_login(x, o);

	SET(CURLOPT_URL, url);
	SET(CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_ERRORBUFFER, x->error);
	SET(CURLOPT_HEADERFUNCTION, on_line);
	SET(CURLOPT_HEADERDATA, (void *)x);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_CUSTOMREQUEST, "NOOP");
	SET(CURLOPT_USE_SSL, o->security == SMTP_PLAIN ? (long)CURLUSESSL_NONE
						       : (long)CURLUSESSL_ALL);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (o->ca_file)
		SET(CURLOPT_CAINFO, o->ca_file);
	SET(CURLOPT_CONNECTTIMEOUT_MS,
	    (long)o->connect_ms * 3 + (long)o->reply_ms * 3);
	SET(CURLOPT_TIMEOUT_MS,
	    (long)o->connect_ms * 3 + (long)o->reply_ms * 6);
	return ok;
}
#undef SET

static enum smtp_verdict
verdict_of(CURLcode rc, long code)
{
	switch ((int)rc) {
	case CURLE_OK:
		return SMTP_ACCEPTED;
	case CURLE_LOGIN_DENIED:
		/* 454: a temporary authentication failure. */
		return code >= 400 && code < 500 ? SMTP_AWAY : SMTP_CONFIG;
	case CURLE_USE_SSL_FAILED:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_URL_MALFORMAT:
		return SMTP_CONFIG;
	default:
		return code >= 500 ? SMTP_CONFIG : SMTP_AWAY;
	}
}

/* The relay's reply where it said no; else curl's words. */
static void
put_words(const struct probe *x, CURLcode rc, struct smtp_answer *out)
{
	bool said = rc == CURLE_OK || out->code >= 400;
	const char *words = said        ? x->line
			    : *x->error ? x->error
					: curl_easy_strerror(rc);
	struct buf masked = BUF_INIT(4096), line = BUF_INIT(4096);

	mail_text_put_masked(&masked, slice_str(words));
	utf8_put_line(&line, buf_slice(&masked), sizeof out->words - 1);
	(void)snprintf(out->words, sizeof out->words, "%s", buf_str(&line));
	buf_clear(&masked);
	buf_clear(&line);
}

void
smtp_probe(const struct smtp_opts *opts, struct smtp_answer *out)
{
	bool begun = curl_begin(NULL) == RC_OK;
	struct probe x = { .easy = begun ? curl_easy_init() : NULL };
	bool v6 = strchr(opts->host, ':');
	char url[URL_MAX], *ehlo = NULL;
	CURLcode rc = CURLE_OUT_OF_MEMORY;
	long code = 0;

	*out = (struct smtp_answer){ .verdict = SMTP_AWAY };
	if (x.easy)
		ehlo = curl_easy_escape(x.easy, opts->ehlo, 0);
	if (ehlo) {
		(void)snprintf(url, sizeof url, "%s://%s%s%s:%u/%s",
		    opts->security == SMTP_TLS ? "smtps" : "smtp",
		    v6 ? "[" : "", opts->host, v6 ? "]" : "",
		    (unsigned)opts->port, ehlo);
		if (set_options(&x, opts, url))
			rc = curl_easy_perform(x.easy);
		(void)curl_easy_getinfo(x.easy, CURLINFO_RESPONSE_CODE, &code);
	}
	out->code = (int)code;
	out->verdict = verdict_of(rc, code);
	put_words(&x, rc, out);
	curl_free(ehlo);
	curl_easy_cleanup(x.easy);
}
