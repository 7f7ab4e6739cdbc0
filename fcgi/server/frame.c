#include "server/frame.h"

#include <stdio.h>
#include <string.h>

/* FastCGI 1.0, section 8: types and constants */
enum {
	RECORD_VERSION = 1,
	RECORD_BEGIN = 1,
	RECORD_END = 3,
	RECORD_PARAMS = 4,
	RECORD_STDIN = 5,
	RECORD_STDOUT = 6,
	RECORD_HEAD = 8,
	ROLE_RESPONDER = 1,
	BEGIN_BODY = 8,
};

struct record {
	unsigned type;
	uint16_t id;
	struct slice content;
	size_t padding;
};

static unsigned
get_u8(struct slice s, size_t at)
{
	return (unsigned char)s.p[at];
}

static uint16_t
get_u16(struct slice s, size_t at)
{
	return (uint16_t)(get_u8(s, at) << 8 | get_u8(s, at + 1));
}

/*
 * The params as a stream of name-value pairs, fed in any pieces. Each length
 * is held against what the ceiling leaves before libfcgi allocates it.
 */
struct pairs {
	unsigned char len_bytes[4];
	unsigned nlen;   /* bytes of the length field so far */
	unsigned nfield; /* 0: name length, 1: value length, 2: the text */
	size_t text;     /* bytes of text still to come */
	size_t total;    /* text announced by all pairs */
};

static bool
pairs_end_length(struct pairs *p)
{
	size_t len = p->len_bytes[0];

	if (p->nlen == 4)
		len = (len & 0x7f) << 24 | (size_t)p->len_bytes[1] << 16 |
		      (size_t)p->len_bytes[2] << 8 | p->len_bytes[3];
	p->nlen = 0;
	p->text += len;
	p->total += len;
	p->nfield++;
	return p->total <= FRAME_PARAMS_MAX;
}

/* False when the pairs announce more than the ceiling. */
static bool
pairs_feed(struct pairs *p, struct slice s)
{
	size_t i = 0, step;

	while (i < s.n) {
		if (p->nfield == 2) {
			step = s.n - i < p->text ? s.n - i : p->text;
			p->text -= step;
			i += step;
		} else {
			p->len_bytes[p->nlen++] = (unsigned char)s.p[i++];
			step = p->len_bytes[0] & 0x80 ? 4 : 1;
			if (p->nlen == step && !pairs_end_length(p))
				return false;
		}
		if (p->nfield == 2 && p->text == 0)
			p->nfield = 0;
	}
	return true;
}

static bool
pairs_at_end(const struct pairs *p)
{
	return p->nfield == 0 && p->nlen == 0;
}

/* The record at `at`, as much of its content as is there; false: no header. */
static bool
record_at(struct slice s, size_t at, struct record *r)
{
	struct slice head = slice_from(s, at);
	size_t want;

	if (head.n < RECORD_HEAD)
		return false;
	r->type = get_u8(head, 1);
	r->id = get_u16(head, 2);
	want = get_u16(head, 4);
	r->padding = get_u8(head, 6);
	r->content = slice_from(head, RECORD_HEAD);
	if (r->content.n > want)
		r->content.n = want;
	return true;
}

static bool
is_responder(struct slice begin)
{
	return begin.n == BEGIN_BODY && get_u16(begin, 0) == ROLE_RESPONDER;
}

/* Records of one request: BEGIN, PARAMS ..., empty PARAMS, STDIN ..., empty. */
enum phase {
	PHASE_BEGIN,
	PHASE_PARAMS,
	PHASE_BODY
};

static enum frame_verdict
scan_record(enum phase *phase, const struct record *r, size_t len,
    struct pairs *pairs, struct frame *out)
{
	bool whole = r->content.n == len;

	switch (*phase) {
	case PHASE_BEGIN:
		/* libfcgi 2.4.2 loses its place behind a padded BEGIN. */
		if (r->type != RECORD_BEGIN || r->id == 0 ||
		    len != BEGIN_BODY || r->padding != 0)
			return FRAME_BAD;
		if (!whole)
			return FRAME_MORE;
		if (!is_responder(r->content))
			return FRAME_BAD;
		out->id = r->id;
		*phase = PHASE_PARAMS;
		return FRAME_MORE;
	case PHASE_PARAMS:
		if (r->type != RECORD_PARAMS || r->id != out->id)
			return FRAME_BAD;
		if (!pairs_feed(pairs, r->content))
			return FRAME_TOO_LARGE;
		if (len == 0 && !pairs_at_end(pairs))
			return FRAME_BAD;
		if (len == 0)
			*phase = PHASE_BODY;
		return FRAME_MORE;
	case PHASE_BODY:
		if (r->type != RECORD_STDIN || r->id != out->id)
			return FRAME_BAD;
		out->body_left = len > 0;
		return FRAME_WHOLE;
	}
	return FRAME_BAD;
}

enum frame_verdict
frame_scan(struct slice bytes, struct frame *out)
{
	enum phase phase = PHASE_BEGIN;
	enum frame_verdict verdict;
	struct pairs pairs = { 0 };
	struct record r;
	size_t at = 0, len;

	*out = (struct frame){ 0 };
	if (bytes.n > 0 && get_u8(bytes, 0) != RECORD_VERSION)
		return FRAME_BAD;
	while (record_at(bytes, at, &r)) {
		if (get_u8(bytes, at) != RECORD_VERSION)
			return FRAME_BAD;
		len = get_u16(bytes, at + 4);
		verdict = scan_record(&phase, &r, len, &pairs, out);
		out->n = at + RECORD_HEAD + r.content.n;
		if (verdict != FRAME_MORE)
			return verdict;
		at += RECORD_HEAD + len + r.padding;
	}
	if (bytes.n >= FRAME_LOOK_MAX)
		return out->id ? FRAME_TOO_LARGE : FRAME_BAD;
	return FRAME_MORE;
}

static size_t
put_head(unsigned char *p, unsigned type, uint16_t id, size_t len)
{
	const unsigned char head[RECORD_HEAD] = {
		RECORD_VERSION,
		(unsigned char)type,
		(unsigned char)(id >> 8),
		(unsigned char)(id & 0xff),
		(unsigned char)(len >> 8),
		(unsigned char)(len & 0xff),
	};

	memcpy(p, head, sizeof(head));
	return sizeof(head);
}

size_t
frame_refusal(
    uint16_t id, const char *status, unsigned char out[FRAME_REFUSAL_MAX])
{
	char text[FRAME_REFUSAL_MAX - 3 * RECORD_HEAD - BEGIN_BODY];
	size_t n = 0, len;

	len = (size_t)snprintf(text, sizeof(text),
	    "Status: %s\r\nCache-Control: no-store\r\nContent-Length: 0\r\n"
	    "Content-Type: text/plain\r\n\r\n",
	    status);
	if (len >= sizeof(text))
		len = sizeof(text) - 1;
	n += put_head(out + n, RECORD_STDOUT, id, len);
	memcpy(out + n, text, len);
	n += len;
	n += put_head(out + n, RECORD_STDOUT, id, 0);
	n += put_head(out + n, RECORD_END, id, BEGIN_BODY);
	memset(out + n, 0, BEGIN_BODY);
	return n + BEGIN_BODY;
}
