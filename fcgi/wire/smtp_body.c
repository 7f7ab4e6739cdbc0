#include "wire/smtp_body.h"

#include <string.h>

void
smtp_body_begin(struct smtp_body *b, const struct smtp_mail *mail)
{
	b->mail = mail;
	b->wire = 0;
	b->n = b->at = 0;
	b->was_cr = b->owes_lf = b->in_line = false;
	b->last = b->ended = b->broken = false;
	b->rc = RC_OK;
}

/* More bytes behind those that are there. */
static bool
fill(struct smtp_body *b)
{
	size_t done = 0;
	enum rc rc;

	if (b->at > 0) {
		memmove(b->in, b->in + b->at, b->n - b->at);
		b->n -= b->at;
		b->at = 0;
	}
	if (b->ended || b->n == sizeof b->in)
		return true;
	rc = b->mail->read(
	    b->mail->arg, b->in + b->n, sizeof b->in - b->n, &done);
	if (rc != RC_OK) {
		b->broken = true;
		b->rc = rc;
		return false;
	}
	b->ended = done == 0;
	b->n += done;
	return true;
}

static bool
rest_fits(struct smtp_body *b, size_t room)
{
	while (!b->ended && (b->at > 0 || b->n < sizeof b->in))
		if (!fill(b))
			return false;
	/* A lone CR or LF becomes two bytes. */
	return b->ended && (b->n - b->at) * 2 + 1 <= room;
}

/* Nothing is owed, and every byte was taken. */
static bool
is_drained(const struct smtp_body *b)
{
	return b->ended && b->at == b->n && !b->owes_lf;
}

static char
next(struct smtp_body *b)
{
	char c = '\n';

	if (!b->owes_lf) {
		c = b->in[b->at++];
		b->was_cr = c == '\r';
		b->owes_lf = c == '\r' || c == '\n';
		if (b->owes_lf)
			return '\r';
	}
	b->wire += c == '.' && !b->in_line;
	b->in_line = !b->owes_lf;
	b->owes_lf = false;
	return c;
}

/* The LF behind a CR was given with it. */
static void
skip_lf(struct smtp_body *b)
{
	if (b->was_cr && b->at < b->n && !b->owes_lf) {
		b->at += b->in[b->at] == '\n';
		b->was_cr = false;
	}
}

size_t
smtp_body_read(struct smtp_body *b, char *p, size_t n)
{
	uint64_t said = b->mail->size;
	size_t out = 0;

	while (out < n) {
		if (b->at == b->n && !b->owes_lf && !fill(b))
			return SIZE_MAX;
		skip_lf(b);
		if (is_drained(b))
			return out;
		if (b->at == b->n && !b->owes_lf)
			continue;
		if (said > 0 && !b->last && b->wire + 2 >= said) {
			b->last = rest_fits(b, n - out);
			if (b->broken)
				return SIZE_MAX;
			if (!b->last && out > 0)
				return out;
			b->last = true;
		}
		p[out++] = next(b);
		b->wire++;
	}
	if (!b->last)
		return out;
	if (b->at == b->n && !fill(b))
		return SIZE_MAX;
	skip_lf(b);
	if (!is_drained(b)) {
		b->broken = true;
		b->rc = RC_REJECT;
		return SIZE_MAX;
	}
	return out;
}
