#include "wire/smtp_talk.h"

#include "formats/mail_address.h"
#include "formats/utf8.h"

#include <string.h>

/* Of a reply; RFC 5321 lets a server send 512 bytes a line. */
#define TEXT_MAX ((size_t)4096)

void
smtp_talk_init(struct smtp_talk *t)
{
	*t = (struct smtp_talk){ .text = BUF_INIT(TEXT_MAX) };
}

void
smtp_talk_clear(struct smtp_talk *t)
{
	buf_clear(&t->text);
}

static void
forget_connection(struct smtp_talk *t)
{
	t->in_tls = t->offers_auth = t->offers_utf8 = false;
}

void
smtp_talk_begin(struct smtp_talk *t, struct smtp_answer *each,
    const size_t *recipients, size_t nrecipients)
{
	for (size_t k = 0; k < nrecipients; k++)
		each[recipients[k]] =
		    (struct smtp_answer){ .verdict = SMTP_ACCEPTED };
	t->each = each;
	t->recipients = recipients;
	t->nrecipients = nrecipients;
	t->nrcpt = 0;
	t->stage = SMTP_AT_CONNECT;
	t->answered = t->over = t->is_within = false;
	t->code = 0;
	t->rate_limited = false;
	t->refused = NULL;
	buf_reset(&t->text);
}

/* ---- commands ----------------------------------------------------------- */

void
smtp_talk_command(struct smtp_talk *t, struct slice command)
{
	static const struct {
		const char *verb;
		enum smtp_stage stage;
	} verbs[] = {
		{ "EHLO", SMTP_AT_EHLO },
		{ "HELO", SMTP_AT_EHLO },
		{ "STARTTLS", SMTP_AT_TLS },
		{ "AUTH", SMTP_AT_AUTH },
		{ "MAIL FROM", SMTP_AT_MAIL },
		{ "RCPT TO", SMTP_AT_RCPT },
		{ "DATA", SMTP_AT_DATA },
	};

	if (slice_starts(command, SLICE_LIT("QUIT"))) {
		t->over = true;
		return;
	}
	t->answered = t->is_within = false;
	/* Within AUTH follow lines that are no commands. */
	if (t->stage == SMTP_AT_AUTH &&
	    !slice_starts(command, SLICE_LIT("MAIL FROM")))
		return;
	for (size_t i = 0; i < NELEMS(verbs); i++)
		if (slice_starts(command, slice_str(verbs[i].verb)))
			t->stage = verbs[i].stage;
	t->nrcpt += t->stage == SMTP_AT_RCPT;
}

/* ---- replies ------------------------------------------------------------ */

static void
note_capability(struct smtp_talk *t, struct slice text)
{
	struct slice word = slice_mem(text.p, slice_find(text, ' '));

	/* "AUTH=LOGIN" is what old servers say beside it. */
	if (slice_eq_nocase(word, SLICE_LIT("AUTH")))
		t->offers_auth = true;
	if (slice_eq_nocase(word, SLICE_LIT("SMTPUTF8")))
		t->offers_utf8 = true;
}

static bool
break_off(struct smtp_talk *t, enum smtp_verdict as, const char *why)
{
	t->refused = why;
	t->refused_as = as;
	return false;
}

/* libcurl goes on without AUTH when none is offered, and with bytes over 127
 * when SMTPUTF8 is not. */
static bool
check_capabilities(struct smtp_talk *t)
{
	if (t->wants_starttls && !t->in_tls)
		return true;
	if (t->wants_auth && !t->offers_auth)
		return break_off(t, SMTP_CONFIG,
		    "the relay offers no AUTH, and a user is configured");
	if (t->wants_utf8 && !t->offers_utf8)
		return break_off(
		    t, SMTP_PERMANENT, "the relay offers no SMTPUTF8");
	return true;
}

static void
on_recipient(struct smtp_talk *t)
{
	enum smtp_verdict verdict;
	bool rate_limited;
	size_t i;

	if (t->nrcpt == 0 || t->nrcpt > t->nrecipients)
		return;
	i = t->recipients[t->nrcpt - 1];
	verdict = smtp_reply_verdict(
	    SMTP_AT_RCPT, t->code, buf_slice(&t->text), &rate_limited);
	if (verdict != SMTP_ACCEPTED)
		smtp_answer_put(
		    &t->each[i], verdict, t->code, buf_slice(&t->text));
}

/* A whole reply is there. */
static bool
on_reply(struct smtp_talk *t)
{
	bool rate_limited = false;

	t->answered = true;
	(void)smtp_reply_verdict(
	    t->stage, t->code, buf_slice(&t->text), &rate_limited);
	t->rate_limited |= rate_limited;
	switch (t->stage) {
	case SMTP_AT_EHLO:
		if (t->code < 300)
			return check_capabilities(t);
		/* libcurl would say HELO, even to one that hung up. */
		return t->code >= 500;
	case SMTP_AT_TLS:
		if (t->code < 300) {
			forget_connection(t);
			t->in_tls = true;
		}
		return true;
	case SMTP_AT_RCPT:
		on_recipient(t);
		return true;
	case SMTP_AT_DATA:
		if (t->code == 354) {
			t->stage = SMTP_AT_END;
			t->answered = false;
		}
		return true;
	case SMTP_AT_GREETING:
		forget_connection(t);
		return true;
	case SMTP_AT_CONNECT:
	case SMTP_AT_AUTH:
	case SMTP_AT_MAIL:
	case SMTP_AT_END:
		return true;
	}
	return true;
}

/* The enhanced code stands once, before the words of all lines. */
static void
add_text(struct smtp_talk *t, struct slice text)
{
	size_t room;

	if (t->text.n > 0) {
		(void)smtp_reply_enhanced(text, &text);
		buf_put_char(&t->text, ' ');
	}
	room = t->text.n + 1 < TEXT_MAX ? TEXT_MAX - t->text.n - 1 : 0;
	buf_put_slice(&t->text, slice_mem(text.p, slice_utf8_cut(text, room)));
	/* What is over the ceiling is left out, the rest stays. */
	t->text.failed = false;
}

bool
smtp_talk_line(struct smtp_talk *t, struct slice line)
{
	struct slice text;
	bool last;
	int code;

	if (t->over || !smtp_reply_line(line, &code, &last, &text))
		return true;
	if (!t->is_within)
		buf_reset(&t->text);
	t->is_within = !last;
	t->code = code;
	if (t->stage == SMTP_AT_CONNECT)
		t->stage = SMTP_AT_GREETING;
	if (t->stage == SMTP_AT_EHLO && code < 300)
		note_capability(t, text);
	add_text(t, text);
	return !last || on_reply(t);
}

/* ---- answers ------------------------------------------------------------ */

void
smtp_answer_put(struct smtp_answer *a, enum smtp_verdict verdict, int code,
    struct slice words)
{
	struct buf line = BUF_INIT(TEXT_MAX);
	struct buf masked = BUF_INIT(TEXT_MAX * 4);
	size_t n;

	utf8_put_line(&line, words, TEXT_MAX - 1);
	mail_text_put_masked(&masked, buf_slice(&line));
	n = slice_utf8_cut(buf_slice(&masked), sizeof a->words - 1);
	a->verdict = verdict;
	a->code = code;
	if (n > 0)
		memcpy(a->words, masked.p, n);
	a->words[n] = '\0';
	buf_clear(&masked);
	buf_clear(&line);
}

const struct smtp_answer *
smtp_answer_worst(const struct smtp_answer *each, size_t n)
{
	/* A trouble of the relay first, then what may yet arrive. */
	static const int ranks[] = { [SMTP_ACCEPTED] = 0,
		[SMTP_PERMANENT] = 1,
		[SMTP_TRANSIENT] = 2,
		[SMTP_UNKNOWN] = 3,
		[SMTP_AWAY] = 4,
		[SMTP_CONFIG] = 5 };
	const struct smtp_answer *worst = NULL;

	for (size_t i = 0; i < n; i++)
		if (ranks[each[i].verdict] >
		    (worst ? ranks[worst->verdict] : 0))
			worst = &each[i];
	return worst;
}
