#include "formats/mime_header.h"

#include "formats/base64.h"
#include "formats/utf8.h"

#include <string.h>

#define COLUMNS ((size_t)76)
#define WORD_HEAD "=?UTF-8?B?"
#define WORD_TAIL "?="
#define WORD_FRAME (sizeof WORD_HEAD - 1 + sizeof WORD_TAIL - 1)
/* 60 characters and the frame are 72 of 75. */
#define WORD_BYTES ((size_t)45)

static bool
is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

static bool
is_break(char c)
{
	return c == '\t' || c == '\r' || c == '\n';
}

void
mime_header_put_clean(struct buf *out, struct slice s)
{
	size_t at = 0, len;

	s = slice_trim(s);
	while (at < s.n) {
		len = utf8_len(s, at);
		if (is_break(s.p[at])) {
			while (at + 1 < s.n && is_break(s.p[at + 1]))
				at++;
			buf_put_char(out, ' ');
		} else if (len == 0) {
			buf_put_str(out, "\xef\xbf\xbd");
		} else if (!is_control(s.p[at])) {
			buf_put(out, s.p + at, len);
		}
		at += len > 0 ? len : 1;
	}
}

static void
put(struct mime_header_list *l, struct slice s)
{
	buf_put_slice(l->out, s);
	l->column += s.n;
}

static void
fold(struct mime_header_list *l)
{
	buf_put_str(l->out, "\r\n");
	l->column = 0;
}

/* `s` begins with its blanks, which a folded line keeps. */
static void
put_word(struct mime_header_list *l, struct slice s)
{
	if (l->column + s.n > COLUMNS && l->column > 0)
		fold(l);
	put(l, s);
}

/* Words that are ASCII, each with the blanks before it; `s` begins with one. */
static void
put_plain(struct mime_header_list *l, struct slice s)
{
	while (s.n > 0) {
		size_t n = 0;

		while (n < s.n && s.p[n] == ' ')
			n++;
		while (n < s.n && s.p[n] != ' ')
			n++;
		put_word(l, slice_mem(s.p, n));
		s = slice_from(s, n);
	}
}

/* Encoded words, a blank before each. */
static void
put_encoded(struct mime_header_list *l, struct slice s)
{
	while (s.n > 0) {
		size_t used = l->column + 1 + WORD_FRAME;
		size_t room = used < COLUMNS ? (COLUMNS - used) / 4 * 3 : 0;
		size_t n =
		    slice_utf8_cut(s, room < WORD_BYTES ? room : WORD_BYTES);

		/* A word of a character or two is not worth its frame. */
		if (n < s.n && n < WORD_BYTES / 3 && l->column > 0) {
			fold(l);
			continue;
		}
		put(l, SLICE_LIT(" " WORD_HEAD));
		base64_put(l->out, slice_mem(s.p, n));
		l->column += (n + 2) / 3 * 4;
		put(l, SLICE_LIT(WORD_TAIL));
		s = slice_from(s, n);
		if (s.n > 0)
			fold(l);
	}
}

void
mime_header_put_text(struct buf *out, const char *name, struct slice text)
{
	size_t first = slice_find(text, ' ');
	struct mime_header_list l;

	mime_header_begin_list(&l, out, name);
	if (slice_is_ascii(text)) {
		/* Never a line with the name alone: some readers trip. */
		put(&l, SLICE_LIT(" "));
		put(&l, slice_mem(text.p, first));
		put_plain(&l, slice_from(text, first));
	} else {
		put_encoded(&l, text);
	}
	mime_header_end_list(&l);
}

/* ---- mailboxes ---------------------------------------------------------- */

void
mime_header_begin_list(
    struct mime_header_list *l, struct buf *out, const char *name)
{
	*l = (struct mime_header_list){ .out = out };
	put(l, slice_str(name));
	put(l, SLICE_LIT(":"));
}

static bool
is_phrase(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z') &&
		    (c < '0' || c > '9') && !strchr("!#$%&'*+/=?^_`{|}~ -", c))
			return false;
	}
	return true;
}

static void
put_name(struct mime_header_list *l, struct slice name)
{
	struct buf text = BUF_INIT(SIZE_MAX / 4);
	bool is_plain = is_phrase(name);

	if (!slice_is_ascii(name)) {
		put_encoded(l, name);
		return;
	}
	buf_put_str(&text, is_plain ? " " : " \"");
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '"' || name.p[i] == '\\')
			buf_put_char(&text, '\\');
		buf_put_char(&text, name.p[i]);
	}
	if (!is_plain)
		buf_put_char(&text, '"');
	put_plain(l, buf_slice(&text));
	buf_clear(&text);
}

void
mime_header_put_mailbox(
    struct mime_header_list *l, struct slice name, struct slice address)
{
	struct buf text = BUF_INIT(1024);

	if (l->some)
		put(l, SLICE_LIT(","));
	l->some = true;
	if (name.n > 0)
		put_name(l, name);
	buf_put_str(&text, name.n > 0 ? " <" : " ");
	buf_put_slice(&text, address);
	if (name.n > 0)
		buf_put_char(&text, '>');
	put_word(l, buf_slice(&text));
	buf_clear(&text);
}

void
mime_header_end_list(struct mime_header_list *l)
{
	buf_put_str(l->out, "\r\n");
	l->column = 0;
}
