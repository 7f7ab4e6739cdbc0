#include "formats/utf8.h"

#define REPLACEMENT "\xEF\xBF\xBD"

/* RFC 3629 section 4: the second byte's range depends on the first. */
static const struct {
	unsigned char first_min, first_max, second_min, second_max;
	unsigned char len;
} sequences[] = {
	{ 0xC2, 0xDF, 0x80, 0xBF, 2 },
	{ 0xE0, 0xE0, 0xA0, 0xBF, 3 },
	{ 0xE1, 0xEC, 0x80, 0xBF, 3 },
	{ 0xED, 0xED, 0x80, 0x9F, 3 },
	{ 0xEE, 0xEF, 0x80, 0xBF, 3 },
	{ 0xF0, 0xF0, 0x90, 0xBF, 4 },
	{ 0xF1, 0xF3, 0x80, 0xBF, 4 },
	{ 0xF4, 0xF4, 0x80, 0x8F, 4 },
};

size_t
utf8_len(struct slice s, size_t at)
{
	const unsigned char *p = (const unsigned char *)s.p + at;
	size_t left = s.n - at;

	if (p[0] < 0x80)
		return 1;
	for (size_t i = 0; i < NELEMS(sequences); i++) {
		if (p[0] < sequences[i].first_min ||
		    p[0] > sequences[i].first_max)
			continue;
		if (left < sequences[i].len || p[1] < sequences[i].second_min ||
		    p[1] > sequences[i].second_max)
			return 0;
		for (size_t k = 2; k < sequences[i].len; k++)
			if ((p[k] & 0xC0) != 0x80)
				return 0;
		return sequences[i].len;
	}
	return 0;
}

/* C0, DEL, blanks, and C1 (U+0080 to U+009F), which terminals obey too. */
static bool
is_control(const char *p, size_t len)
{
	unsigned char c = (unsigned char)p[0];

	return (len == 1 && (c <= ' ' || c == 0x7F)) ||
	       (len == 2 && c == 0xC2 && (unsigned char)p[1] < 0xA0);
}

void
utf8_put_line(struct buf *out, struct slice s, size_t max)
{
	size_t used = 0;
	bool gap = false;

	for (size_t i = 0; i < s.n;) {
		size_t len = utf8_len(s, i);
		size_t step = len ? len : 1;
		struct slice c =
		    len ? slice_mem(s.p + i, len) : SLICE_LIT(REPLACEMENT);

		if (len && is_control(c.p, len)) {
			gap = used > 0;
		} else {
			if (used + gap + c.n > max)
				return;
			if (gap)
				buf_put_char(out, ' ');
			buf_put_slice(out, c);
			used += gap + c.n;
			gap = false;
		}
		i += step;
	}
}

static void
put_json_byte(struct buf *out, char c)
{
	switch (c) {
	case '"':
	case '\\':
		buf_put_char(out, '\\');
		buf_put_char(out, c);
		break;
	case '\n':
		buf_put_str(out, "\\n");
		break;
	case '\r':
		buf_put_str(out, "\\r");
		break;
	case '\t':
		buf_put_str(out, "\\t");
		break;
	default:
		if ((unsigned char)c < ' ' || c == 0x7F)
			buf_printf(out, "\\u%04x", (unsigned)c);
		else
			buf_put_char(out, c);
	}
}

void
utf8_put_json(struct buf *out, struct slice s)
{
	buf_put_char(out, '"');
	for (size_t i = 0; i < s.n;) {
		size_t len = utf8_len(s, i);

		if (len == 1)
			put_json_byte(out, s.p[i]);
		else if (len > 1)
			buf_put(out, s.p + i, len);
		else
			buf_put_str(out, REPLACEMENT);
		i += len ? len : 1;
	}
	buf_put_char(out, '"');
}
