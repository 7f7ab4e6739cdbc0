#include "wire/smtp.h"

#include "base/clock.h"
#include "base/xalloc.h"
#include "formats/mail_address.h"
#include "wire/curl_begin.h"
#include "wire/smtp_body.h"
#include "wire/smtp_talk.h"
#include "wire/smtp_url.h"

#include <curl/curl.h>
#include <poll.h>
#include <sys/socket.h>

/* Until relays close by themselves (RFC 5321 4.5.3.2.7: after 5 minutes). */
#define LIFETIME_S 300L
#define IDLE_S 60L
/* A look at the time at least so often. */
#define POLL_MS 500
/* For the answer to QUIT, which nobody needs. */
#define QUIT_MS 1000
/* To read a verdict that is here when time is over. */
#define HEAR_MS 1000
/* Two addresses' worth of <>, and what A-labels add. */
#define ADDRESS_MAX ((size_t)320)

struct smtp {
	CURLM *multi;
	CURL *easy;
	struct smtp_opts opts; /* numbers; texts are the handle's */
	struct smtp_talk talk;
	struct smtp_body body;
	mono_ms since;   /* the last command or reply */
	mono_ms data_at; /* 354 */
	bool reused;     /* this mail's connection was there before */
	bool timed_out;  /* by us */
	bool given_up;   /* likewise, because the caller says so */
	mono_ms over_at; /* time was over, or the caller gave up; 0: no */
	const struct smtp_mail *mail; /* on the way */
	bool alive;                   /* a connection is kept */
	curl_socket_t kept;
	curl_socket_t newest; /* of those opened */
	bool no_utf8;         /* the relay does not offer SMTPUTF8 */
	uint32_t mails;       /* sent on it */
	char error[CURL_ERROR_SIZE];
};

/* ---- what curl calls ---------------------------------------------------- */

/* Commands are told nowhere else. Those of AUTH pass too: they are looked at
 * and forgotten. */
static int
on_debug(CURL *easy UNUSED, curl_infotype kind, char *p, size_t n, void *arg)
{
	struct smtp *s = arg;

	if (kind == CURLINFO_HEADER_OUT) {
		smtp_talk_command(&s->talk, slice_mem(p, n));
		s->since = clock_mono(&clock_system);
	}
	/* libcurl tells the time of TCP's connection when TLS stands. */
	if (kind == CURLINFO_SSL_DATA_OUT && s->talk.stage == SMTP_AT_CONNECT) {
		s->since = clock_mono(&clock_system);
		s->talk.stage = SMTP_AT_TLS;
		s->talk.answered = true;
	}
	return 0;
}

static size_t
on_line(char *p, size_t size, size_t n, void *arg)
{
	struct smtp *s = arg;
	enum smtp_stage before = s->talk.stage;

	s->since = clock_mono(&clock_system);
	if (!smtp_talk_line(&s->talk, slice_mem(p, size * n)))
		return 0;
	if (before != SMTP_AT_END && s->talk.stage == SMTP_AT_END)
		s->data_at = s->since;
	return size * n;
}

static size_t
on_read(char *p, size_t size, size_t n, void *arg)
{
	struct smtp *s = arg;
	size_t out = smtp_body_read(&s->body, p, size * n);

	return out == SIZE_MAX ? CURL_READFUNC_ABORT : out;
}

/* When the present step must have ended. */
static mono_ms
deadline(const struct smtp *s)
{
	const struct smtp_opts *o = &s->opts;

	if (s->talk.over)
		return s->since + QUIT_MS;
	switch (s->talk.stage) {
	case SMTP_AT_CONNECT:
		return s->since + o->connect_ms;
	case SMTP_AT_TLS:
		return s->since +
		       (s->talk.answered ? o->connect_ms : o->reply_ms);
	case SMTP_AT_END:
		return s->data_at + o->data_ms;
	case SMTP_AT_GREETING:
	case SMTP_AT_EHLO:
	case SMTP_AT_AUTH:
	case SMTP_AT_MAIL:
	case SMTP_AT_RCPT:
	case SMTP_AT_DATA:
		break;
	}
	return s->since + o->reply_ms;
}

static int
on_socket(void *arg, curl_socket_t fd, curlsocktype purpose UNUSED)
{
	struct smtp *s = arg;

	s->newest = fd;
	return CURL_SOCKOPT_OK;
}

/* The verdict may be here, unread: libcurl asks before it reads. */
static bool
is_answered(const struct smtp *s)
{
	struct pollfd p = { .fd = s->newest, .events = POLLIN };

	return s->body.ended && poll(&p, 1, 0) == 1 && (p.revents & POLLIN);
}

/* The one way to break a mail off: an easy handle taken out of its multi
 * handle would say the final dot (smtp_done()), and the relay keep what it has.
 * While libcurl waits for the verdict it blocks, but for this, once a second.
 * A process that stood still finds its time over and the verdict here. */
static int
on_progress(void *arg, curl_off_t a UNUSED, curl_off_t b UNUSED,
    curl_off_t c UNUSED, curl_off_t d UNUSED)
{
	struct smtp *s = arg;
	const mono_ms now = clock_mono(&clock_system);
	bool unwanted =
	    s->mail && s->mail->give_up && s->mail->give_up(s->mail->arg);

	if (!unwanted && now < deadline(s))
		return s->timed_out;
	if (s->over_at == 0)
		s->over_at = now;
	if (is_answered(s) && now - s->over_at < HEAR_MS)
		return s->timed_out;
	s->timed_out = true;
	s->given_up = unwanted;
	return true;
}

static size_t
on_write(char *p UNUSED, size_t size, size_t n, void *arg UNUSED)
{
	return size * n;
}

/* ---- opening ------------------------------------------------------------ */

#define SET(option, value)                                                     \
	(ok = ok && curl_easy_setopt(s->easy, (option), (value)) == CURLE_OK)

static bool
set_callbacks(struct smtp *s)
{
	bool ok = true;

	SET(CURLOPT_ERRORBUFFER, s->error);
	SET(CURLOPT_VERBOSE, 1L);
	SET(CURLOPT_DEBUGFUNCTION, on_debug);
	SET(CURLOPT_DEBUGDATA, (void *)s);
	SET(CURLOPT_HEADERFUNCTION, on_line);
	SET(CURLOPT_HEADERDATA, (void *)s);
	SET(CURLOPT_READFUNCTION, on_read);
	SET(CURLOPT_READDATA, (void *)s);
	SET(CURLOPT_WRITEFUNCTION, on_write);
	SET(CURLOPT_SOCKOPTFUNCTION, on_socket);
	SET(CURLOPT_SOCKOPTDATA, (void *)s);
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(CURLOPT_XFERINFODATA, (void *)s);
	return ok;
}

static bool
set_security(struct smtp *s, const struct smtp_opts *o)
{
	bool ok = true;

	SET(CURLOPT_USE_SSL, o->security == SMTP_PLAIN ? (long)CURLUSESSL_NONE
						       : (long)CURLUSESSL_ALL);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	/* NULL would be no authorities at all. */
	if (o->ca_file)
		SET(CURLOPT_CAINFO, o->ca_file);
	return ok;
}

static bool
set_auth(struct smtp *s, const struct smtp_opts *o)
{
	bool ok = true;

	if (!o->user)
		return true;
	SET(CURLOPT_USERNAME, o->user);
	if (!o->auth) {
		SET(CURLOPT_PASSWORD, o->password);
	} else if (strcmp(o->auth, "plain") == 0) {
		SET(CURLOPT_PASSWORD, o->password);
		SET(CURLOPT_LOGIN_OPTIONS, "AUTH=PLAIN");
	} else if (strcmp(o->auth, "login") == 0) {
		SET(CURLOPT_PASSWORD, o->password);
		SET(CURLOPT_LOGIN_OPTIONS, "AUTH=LOGIN");
	} else if (strcmp(o->auth, "xoauth2") == 0) {
		SET(CURLOPT_XOAUTH2_BEARER, o->password);
		SET(CURLOPT_LOGIN_OPTIONS, "AUTH=XOAUTH2");
		SET(CURLOPT_SASL_IR, 1L);
	} else {
		ok = false;
	}
	return ok;
}

static bool
set_options(struct smtp *s, const struct smtp_opts *o, const char *url)
{
	uint32_t longest = o->data_ms > o->reply_ms ? o->data_ms : o->reply_ms;
	bool ok = set_callbacks(s) && set_security(s, o) && set_auth(s, o);

	SET(CURLOPT_URL, url);
	SET(CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	SET(CURLOPT_NOSIGNAL, 1L);
	/* A name that takes long to resolve must not hold up the end:
	 * getaddrinfo cannot be cut short, curl would join its thread. */
	SET(CURLOPT_QUICK_EXIT, 1L);
	/* "" and not NULL: that would be the environment's. */
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_UPLOAD, 1L);
	SET(CURLOPT_MAXLIFETIME_CONN, LIFETIME_S);
	SET(CURLOPT_MAXAGE_CONN, IDLE_S);
	/* MAIL_RCPT_ALLLOWFAILS; its name has one L less from 8.2 on. */
	SET((CURLoption)(CURLOPTTYPE_LONG + 290), 1L);
	/* libcurl's own limits are coarser than ours and lie above them: its
	 * time to connect includes the dialogue up to AUTH. */
	SET(CURLOPT_CONNECTTIMEOUT_MS,
	    (long)o->connect_ms * 3 + (long)o->reply_ms * 12);
	SET(CURLOPT_SERVER_RESPONSE_TIMEOUT, (long)longest / 1000 + 5);
	return ok;
}

enum rc
smtp_open(const struct smtp_opts *opts, struct smtp **out, struct err *err)
{
	char url[SMTP_URL_MAX];
	struct smtp *s;
	enum rc rc;

	*out = NULL;
	rc = smtp_url(opts, url, err);
	if (rc == RC_OK)
		rc = curl_begin(err);
	if (rc != RC_OK)
		return rc;
	s = xcalloc(1, sizeof *s);
	smtp_talk_init(&s->talk);
	s->opts = *opts;
	s->kept = s->newest = CURL_SOCKET_BAD;
	s->talk.wants_starttls = opts->security == SMTP_STARTTLS;
	s->talk.wants_auth = opts->user;
	s->multi = curl_multi_init();
	s->easy = curl_easy_init();
	if (!s->multi || !s->easy || !set_options(s, opts, url)) {
		smtp_close(s);
		return err_set(
		    err, RC_REJECT, "curl cannot be set up for this relay");
	}
	(void)curl_multi_setopt(s->multi, CURLMOPT_MAXCONNECTS, 1L);
	*out = s;
	return RC_OK;
}

/* At its end libcurl says QUIT, and would wait two minutes for an answer. */
static void
hear_no_more(struct smtp *s)
{
	if (s->kept != CURL_SOCKET_BAD)
		(void)shutdown(s->kept, SHUT_RD);
	s->kept = CURL_SOCKET_BAD;
	s->mails = 0;
}

void
smtp_close(struct smtp *s)
{
	if (!s)
		return;
	hear_no_more(s);
	curl_easy_cleanup(s->easy);
	(void)curl_multi_cleanup(s->multi);
	smtp_talk_clear(&s->talk);
	free(s);
}

uint32_t
smtp_left(const struct smtp *s)
{
	return s->alive && s->mails < s->opts.mails ? s->opts.mails - s->mails
						    : 0;
}

/* ---- one attempt -------------------------------------------------------- */

/* From there on the relay has its time to greet. */
static void
note_connected(struct smtp *s)
{
	curl_off_t when = 0;

	if (s->talk.stage == SMTP_AT_CONNECT)
		(void)curl_easy_getinfo(
		    s->easy, CURLINFO_CONNECT_TIME_T, &when);
	else if (s->talk.stage == SMTP_AT_TLS && s->opts.security == SMTP_TLS)
		(void)curl_easy_getinfo(
		    s->easy, CURLINFO_APPCONNECT_TIME_T, &when);
	if (when > 0) {
		s->since = clock_mono(&clock_system);
		s->talk.answered = false;
		s->talk.stage = SMTP_AT_GREETING;
	}
}

static CURLcode
result_of(struct smtp *s)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(s->multi, &left)))
		if (msg->msg == CURLMSG_DONE)
			return msg->data.result;
	return CURLE_FAILED_INIT;
}

static CURLcode
run(struct smtp *s)
{
	mono_ms left;
	int running;

	for (;;) {
		if (curl_multi_perform(s->multi, &running) != CURLM_OK)
			return CURLE_FAILED_INIT;
		note_connected(s);
		if (running == 0)
			return result_of(s);
		left = deadline(s) - clock_mono(&clock_system);
		if (left < 0) /* on_progress() ends it */
			left = 0;
		(void)curl_multi_poll(s->multi, NULL, 0,
		    left < POLL_MS ? (int)left + 1 : POLL_MS, NULL);
	}
}

static CURLcode
attempt(struct smtp *s, const struct smtp_mail *m, const char *sender,
    struct curl_slist *recipients, bool fresh)
{
	bool is_last = s->mails + 1 >= s->opts.mails;
	bool ok = true;
	long connects = 0;
	CURLcode rc;

	smtp_body_begin(&s->body, m);
	s->error[0] = '\0';
	s->timed_out = s->given_up = false;
	s->over_at = 0;
	s->mail = m;
	s->kept = CURL_SOCKET_BAD;
	s->since = s->data_at = clock_mono(&clock_system);
	SET(CURLOPT_MAIL_FROM, sender);
	SET(CURLOPT_MAIL_RCPT, recipients);
	SET(CURLOPT_INFILESIZE_LARGE, m->size > 0 ? (curl_off_t)m->size : -1);
	SET(CURLOPT_FRESH_CONNECT, fresh ? 1L : 0L);
	/* One too few if the kept connection turns out to be gone. */
	SET(CURLOPT_FORBID_REUSE, is_last ? 1L : 0L);
	if (!ok || curl_multi_add_handle(s->multi, s->easy) != CURLM_OK)
		return CURLE_OUT_OF_MEMORY;
	rc = run(s);
	s->mail = NULL;
	(void)curl_easy_getinfo(s->easy, CURLINFO_NUM_CONNECTS, &connects);
	(void)curl_easy_getinfo(s->easy, CURLINFO_ACTIVESOCKET, &s->kept);
	s->reused = connects == 0 && s->talk.stage >= SMTP_AT_MAIL;
	s->mails = s->reused ? s->mails + 1 : 1;
	s->alive = rc == CURLE_OK && !is_last && s->kept != CURL_SOCKET_BAD;
	if (!s->alive)
		hear_no_more(s);
	(void)curl_multi_remove_handle(s->multi, s->easy);
	return rc;
}
#undef SET

/* The relay had closed the kept connection, or had enough of it. */
static bool
was_stale(const struct smtp *s, CURLcode rc)
{
	const struct smtp_talk *t = &s->talk;

	return rc != CURLE_OK && s->reused && !s->timed_out &&
	       t->stage == SMTP_AT_MAIL && (!t->answered || t->code == 421);
}

/* ---- what it comes to --------------------------------------------------- */

static bool
is_config(CURLcode rc)
{
	switch ((int)rc) {
	case CURLE_USE_SSL_FAILED:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_LOGIN_DENIED:
		return true;
	default:
		return false;
	}
}

/* A handshake that is cut is not a matter of settings. */
static bool
was_cut(const struct smtp *s)
{
	return strstr(s->error, "SYSCALL") || strstr(s->error, "reset") ||
	       strstr(s->error, "unexpected eof");
}

static void
put_lost(struct smtp *s, CURLcode rc, struct smtp_answer *a)
{
	const struct smtp_talk *t = &s->talk;
	bool is_after_end = t->stage == SMTP_AT_END && s->body.ended;
	enum smtp_verdict verdict = SMTP_AWAY;
	char words[CURL_ERROR_SIZE + 128];

	if (is_after_end)
		verdict = SMTP_UNKNOWN;
	else if (is_config(rc) && !was_cut(s))
		verdict = SMTP_CONFIG;
	(void)snprintf(words, sizeof words, "%s at %s: %s",
	    verdict == SMTP_CONFIG ? "cannot go on" : "lost",
	    smtp_stage_name(t->stage),
	    s->timed_out  ? "no answer in time"
	    : s->error[0] ? s->error
			  : curl_easy_strerror(rc));
	smtp_answer_put(a, verdict, t->code, slice_str(words));
}

static bool
any_accepted(const struct smtp_answer *each, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (each[i].verdict == SMTP_ACCEPTED)
			return true;
	return false;
}

static void
judge(struct smtp *s, CURLcode rc, const struct smtp_answer *each, size_t n,
    struct smtp_answer *whole)
{
	const struct smtp_talk *t = &s->talk;
	const struct smtp_answer *worst = smtp_answer_worst(each, n);
	/* What a relay said to one recipient is not for those it has taken. */
	bool cut =
	    rc != CURLE_OK && t->stage == SMTP_AT_RCPT && any_accepted(each, n);
	bool ignored;

	if (t->refused)
		smtp_answer_put(
		    whole, t->refused_as, t->code, slice_str(t->refused));
	else if (s->body.broken)
		smtp_answer_put(whole,
		    s->body.rc == RC_REJECT ? SMTP_PERMANENT : SMTP_TRANSIENT,
		    0, SLICE_LIT("the mail could not be read to its end"));
	else if (!cut && t->stage == SMTP_AT_RCPT && t->answered && worst)
		*whole = *worst;
	else if (rc == CURLE_OK && !s->body.ended)
		smtp_answer_put(whole, SMTP_UNKNOWN, t->code,
		    SLICE_LIT("the mail was cut on its way"));
	else if (rc == CURLE_OK ||
		 (!cut && t->answered &&
		     (t->code >= 400 || t->stage == SMTP_AT_END)))
		smtp_answer_put(whole,
		    smtp_reply_verdict(
			t->stage, t->code, buf_slice(&t->text), &ignored),
		    t->code, buf_slice(&t->text));
	else
		put_lost(s, rc, whole);
}

/* ---- a mail ------------------------------------------------------------- */

struct envelope {
	struct buf sender;
	struct curl_slist *recipients;
	size_t *at; /* index of the k-th of them */
	size_t n;
	bool is_utf8;
};

/* "<address>"; NULL, or why it cannot be sent. */
static const char *
put_path(const struct smtp *s, struct envelope *e, struct buf *out,
    struct slice address)
{
	bool is_ascii, ok;

	buf_reset(out);
	buf_put_char(out, '<');
	ok = mail_address_put(out, address);
	buf_put_char(out, '>');
	if (!ok || out->failed)
		return "not a mail address";
	is_ascii = slice_is_ascii(buf_slice(out));
	if (!is_ascii && s->no_utf8)
		return "the address is not ASCII, and the relay does not take "
		       "such (SMTPUTF8)";
	e->is_utf8 |= !is_ascii;
	return NULL;
}

/* False: nobody to send it to, or nobody it comes from; `out` and each[]
 * tell. */
static bool
fill_envelope(const struct smtp *s, struct envelope *e,
    const struct smtp_mail *m, struct smtp_answer *each,
    struct smtp_result *out)
{
	struct buf path = BUF_INIT(ADDRESS_MAX);
	struct curl_slist *longer;
	const char *why = NULL;

	out->stage = SMTP_AT_MAIL;
	if (m->sender.n > 0)
		why = put_path(s, e, &e->sender, m->sender);
	if (why) {
		smtp_answer_put(&out->whole, SMTP_PERMANENT, 0, slice_str(why));
		for (size_t i = 0; i < m->nrecipients; i++)
			each[i] = out->whole;
		return false;
	}
	out->stage = SMTP_AT_RCPT;
	smtp_answer_put(
	    &out->whole, SMTP_PERMANENT, 0, SLICE_LIT("no recipient"));
	e->at = xcalloc(m->nrecipients + 1, sizeof e->at[0]);
	for (size_t i = 0; i < m->nrecipients; i++) {
		why = put_path(s, e, &path, m->recipients[i]);
		longer = why ? NULL
			     : curl_slist_append(e->recipients, buf_str(&path));
		smtp_answer_put(&each[i], why ? SMTP_PERMANENT : SMTP_TRANSIENT,
		    0, slice_str(why ? why : "no memory"));
		if (!longer) {
			out->whole = each[i];
			continue;
		}
		e->recipients = longer;
		e->at[e->n++] = i;
	}
	buf_clear(&path);
	return e->n > 0;
}

static void
exchange(struct smtp *s, const struct smtp_mail *m, const struct envelope *e,
    struct smtp_answer *each, struct smtp_result *out)
{
	CURLcode rc = CURLE_OK;

	s->talk.wants_utf8 = e->is_utf8;
	for (int try = 0; try < 2; try++) {
		smtp_talk_begin(&s->talk, each, e->at, e->n);
		rc = attempt(s, m, buf_str(&e->sender), e->recipients, try > 0);
		if (!was_stale(s, rc))
			break;
	}
	judge(s, rc, each, m->nrecipients, &out->whole);
	out->stage = s->talk.stage == SMTP_AT_END && !s->body.ended
			 ? SMTP_AT_DATA
			 : s->talk.stage;
	out->rate_limited = s->talk.rate_limited;
	out->given_up = s->given_up;
	if (s->talk.refused && s->talk.refused_as == SMTP_PERMANENT)
		s->no_utf8 = true;
}

/* False: the relay turned out not to take addresses that are not ASCII. */
static bool
send_to_those(struct smtp *s, const struct smtp_mail *m,
    struct smtp_answer *each, struct smtp_result *out)
{
	struct envelope e = { .sender = BUF_INIT(ADDRESS_MAX) };
	bool knew = s->no_utf8;

	/* EHLO is said once a connection. */
	if (s->alive && !s->talk.offers_utf8)
		s->no_utf8 = knew = true;
	if (fill_envelope(s, &e, m, each, out)) {
		exchange(s, m, &e, each, out);
		/* Who was not refused shares what became of the whole. */
		for (size_t i = 0; i < m->nrecipients; i++)
			if (each[i].verdict == SMTP_ACCEPTED)
				each[i] = out->whole;
	}
	buf_clear(&e.sender);
	curl_slist_free_all(e.recipients);
	free(e.at);
	return knew == s->no_utf8;
}

void
smtp_send(struct smtp *s, const struct smtp_mail *m, struct smtp_answer *each,
    struct smtp_result *out)
{
	*out = (struct smtp_result){ .stage = SMTP_AT_MAIL };
	if (!send_to_those(s, m, each, out))
		(void)send_to_those(s, m, each, out);
}
