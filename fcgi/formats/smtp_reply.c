#include "formats/smtp_reply.h"

#include <string.h>

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool
smtp_reply_line(struct slice line, int *code, bool *last, struct slice *text)
{
	while (line.n > 0 &&
	       (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
		line.n--;
	if (line.n < 3 || !is_digit(line.p[0]) || !is_digit(line.p[1]) ||
	    !is_digit(line.p[2]))
		return false;
	if (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-')
		return false;
	*code = (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 +
		(line.p[2] - '0');
	/* RFC 5321 4.2: a bare code is taken for one with a blank. */
	*last = line.n == 3 || line.p[3] == ' ';
	*text = slice_trim(slice_from(line, 4));
	return true;
}

/* A number of at most three digits at *at. */
static bool
take_number(struct slice s, size_t *at, unsigned *out)
{
	size_t begin = *at;
	unsigned v = 0;

	while (*at < s.n && *at - begin < 3 && is_digit(s.p[*at]))
		v = v * 10 + (unsigned)(s.p[(*at)++] - '0');
	*out = v;
	return *at > begin;
}

static bool
take_dot(struct slice s, size_t *at)
{
	if (*at >= s.n || s.p[*at] != '.')
		return false;
	(*at)++;
	return true;
}

struct smtp_enhanced
smtp_reply_enhanced(struct slice text, struct slice *rest)
{
	struct smtp_enhanced e = { 0, 0, 0 };
	size_t at = 0;

	if (rest)
		*rest = text;
	if (!take_number(text, &at, &e.class) || !take_dot(text, &at) ||
	    !take_number(text, &at, &e.subject) || !take_dot(text, &at) ||
	    !take_number(text, &at, &e.detail) ||
	    (e.class != 2 && e.class != 4 && e.class != 5) ||
	    (at < text.n && text.p[at] != ' '))
		return (struct smtp_enhanced){ 0, 0, 0 };
	if (rest)
		*rest = slice_trim(slice_from(text, at));
	return e;
}

/* ---- words -------------------------------------------------------------- */

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A word or the beginning of one, whatever the case: "rate" is not in
 * "generated". */
static bool
says(struct slice text, const char *words)
{
	struct slice w = slice_str(words);

	for (size_t i = 0; i + w.n <= text.n; i++)
		if ((i == 0 || !is_letter(text.p[i - 1])) &&
		    slice_eq_nocase(slice_mem(text.p + i, w.n), w))
			return true;
	return false;
}

static bool
says_any(struct slice text, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (says(text, words[i]))
			return true;
	return false;
}

/* Fewer mails, please. */
static const char *const rate_words[] = { "rate ", "rate-", "ratelimit",
	"throttl", "too many mail", "too many mess", "too many email",
	"too many connection", "too many concurrent", "too many session",
	"too much mail", "too fast", "too quickly", "sending limit",
	"sending quota", "limit exceeded", "limit reached", "daily", "hourly" };
/* A refusal that is none in earnest. */
static const char *const later_words[] = { "try again", "try later",
	"try back later", "retry", "greylist", "graylist", "grey-list",
	"temporar", "too many" };
/* The relay does not like us, whatever the mail. */
static const char *const host_words[] = { "your ip", "client host", "blacklist",
	"blocklist", "block list", "black list", "rbl", "dnsbl", "reputation",
	"your host", "your server", "listed" };
static const char *const many_recipients[] = { "too many recipients",
	"too many rcpt", "recipient limit", "maximum recipients",
	"too many to" };

#define SAYS(text, list) says_any((text), (list), NELEMS(list))

/* ---- verdicts ----------------------------------------------------------- */

/* Before MAIL a refusal is never about a mail. */
static enum smtp_verdict
before_mail(enum smtp_stage stage, int code, struct slice text)
{
	if (code < 500 || stage <= SMTP_AT_GREETING)
		return SMTP_AWAY;
	if (SAYS(text, later_words) || SAYS(text, rate_words))
		return SMTP_AWAY;
	/* 554 to EHLO is a greeting's, late. */
	return stage == SMTP_AT_EHLO && code == 554 ? SMTP_AWAY : SMTP_CONFIG;
}

static bool
asks_for_auth(int code)
{
	return code == 530 || code == 534 || code == 535 || code == 538;
}

static enum smtp_verdict
of_refusal(
    enum smtp_stage stage, int code, struct smtp_enhanced e, struct slice text)
{
	if (stage <= SMTP_AT_RCPT && asks_for_auth(code))
		return SMTP_CONFIG;
	if (stage == SMTP_AT_MAIL && SAYS(text, host_words))
		return SMTP_AWAY;
	/* A full mailbox is emptied one day (RFC 3463 3.3). */
	if (stage >= SMTP_AT_RCPT && e.subject == 2 && e.detail == 2)
		return SMTP_TRANSIENT;
	/* RFC 5321 4.5.3.1.10: 552 for too many recipients is 452. */
	if (stage == SMTP_AT_RCPT &&
	    (SAYS(text, many_recipients) || (e.subject == 5 && e.detail == 3)))
		return SMTP_TRANSIENT;
	if (SAYS(text, later_words) || SAYS(text, rate_words))
		return SMTP_TRANSIENT;
	return SMTP_PERMANENT;
}

static bool
asks_for_less(
    enum smtp_stage stage, int code, struct smtp_enhanced e, struct slice text)
{
	/* A mailbox's quota and the length of a list are not ours to slow. */
	if (code < 400 || (e.subject == 2 && e.detail == 2) ||
	    (stage == SMTP_AT_RCPT && SAYS(text, many_recipients)))
		return false;
	return SAYS(text, rate_words);
}

enum smtp_verdict
smtp_reply_verdict(
    enum smtp_stage stage, int code, struct slice text, bool *rate_limited)
{
	struct smtp_enhanced e = smtp_reply_enhanced(text, NULL);

	*rate_limited = asks_for_less(stage, code, e, text);
	if (code >= 200 && code < 300)
		return SMTP_ACCEPTED;
	if (stage < SMTP_AT_MAIL)
		return before_mail(stage, code, text);
	if (code >= 500 && code < 600)
		return of_refusal(stage, code, e, text);
	if (code >= 400 && code < 500) /* SES: 454 "Throttling failure" */
		return stage == SMTP_AT_MAIL && *rate_limited ? SMTP_AWAY
							      : SMTP_TRANSIENT;
	/* 1xx, 3xx: not to be had here. After the dot nobody knows. */
	return stage == SMTP_AT_END ? SMTP_UNKNOWN : SMTP_AWAY;
}

const char *
smtp_stage_name(enum smtp_stage stage)
{
	static const char *const names[] = { [SMTP_AT_CONNECT] = "connect",
		[SMTP_AT_GREETING] = "greeting",
		[SMTP_AT_EHLO] = "ehlo",
		[SMTP_AT_TLS] = "tls",
		[SMTP_AT_AUTH] = "auth",
		[SMTP_AT_MAIL] = "mail",
		[SMTP_AT_RCPT] = "rcpt",
		[SMTP_AT_DATA] = "data",
		[SMTP_AT_END] = "end" };

	return names[stage];
}

const char *
smtp_verdict_name(enum smtp_verdict verdict)
{
	static const char *const names[] = { [SMTP_ACCEPTED] = "accepted",
		[SMTP_TRANSIENT] = "transient",
		[SMTP_PERMANENT] = "permanent",
		[SMTP_AWAY] = "away",
		[SMTP_CONFIG] = "config",
		[SMTP_UNKNOWN] = "unknown" };

	return names[verdict];
}
