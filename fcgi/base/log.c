#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

/* PIPE_BUF: a line this long goes into a pipe whole, also beside others. */
#define LINE_MAX_LEN 4096
/* One long value must leave room for the fields behind it. */
#define VALUE_MAX_LEN 1024

struct line {
	char p[LINE_MAX_LEN];
	size_t n;
};

static const char *const level_names[] = {
	[LOG_ERR] = "err",
	[LOG_WARN] = "warn",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

static atomic_int log_level_max = LOG_INFO;
static atomic_int log_fd = STDERR_FILENO;
static atomic_bool log_stamp;

/* The last byte is kept for the newline; what does not fit is cut. */
static void
line_put(struct line *l, const char *p, size_t n)
{
	size_t room = sizeof l->p - 1 - l->n;

	if (n > room)
		n = room;
	if (n > 0)
		memcpy(l->p + l->n, p, n);
	l->n += n;
}

static void
line_put_str(struct line *l, const char *s)
{
	line_put(l, s, strlen(s));
}

static bool
is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

/* U+0080 to U+009F in UTF-8: terminals take them for control sequences. */
static bool
is_c1(struct slice s, size_t i)
{
	return (unsigned char)s.p[i] == 0xC2 && i + 1 < s.n &&
	       (unsigned char)s.p[i + 1] >= 0x80 &&
	       (unsigned char)s.p[i + 1] <= 0x9F;
}

static bool
needs_quotes(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == ' ' || c == '"' || c == '=' || is_control(c) ||
		    is_c1(s, i))
			return true;
	}
	return s.n == 0;
}

static void
put_hex_escape(struct line *l, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	const char text[] = { '\\', 'x', hex[c >> 4], hex[c & 15] };

	line_put(l, text, sizeof text);
}

static void
put_quoted(struct line *l, struct slice s)
{
	line_put(l, "\"", 1);
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"' || c == '\\') {
			line_put(l, "\\", 1);
			line_put(l, s.p + i, 1);
		} else if (c == '\n') {
			line_put(l, "\\n", 2);
		} else if (c == '\t') {
			line_put(l, "\\t", 2);
		} else if (is_control(c)) {
			put_hex_escape(l, c);
		} else if (is_c1(s, i)) {
			put_hex_escape(l, c);
			put_hex_escape(l, (unsigned char)s.p[++i]);
		} else {
			line_put(l, s.p + i, 1);
		}
	}
	line_put(l, "\"", 1);
}

static void
put_value(struct line *l, struct slice s)
{
	bool cut = s.n > VALUE_MAX_LEN;

	if (cut)
		s.n = slice_utf8_cut(s, VALUE_MAX_LEN);
	if (needs_quotes(s))
		put_quoted(l, s);
	else
		line_put(l, s.p, s.n);
	if (cut)
		line_put(l, "...", 3);
}

static void
put_field(struct line *l, const struct log_field *f)
{
	char number[24];

	line_put(l, " ", 1);
	line_put_str(l, f->key);
	line_put(l, "=", 1);
	switch (f->type) {
	case LOG_FIELD_END:
		break;
	case LOG_FIELD_TEXT:
		put_value(l, f->text);
		break;
	case LOG_FIELD_I64:
		(void)snprintf(number, sizeof number, "%" PRId64, f->i64);
		line_put_str(l, number);
		break;
	case LOG_FIELD_U64:
		(void)snprintf(number, sizeof number, "%" PRIu64, f->u64);
		line_put_str(l, number);
		break;
	}
}

static void
put_stamp(struct line *l)
{
	wall_us now = clock_wall(&clock_system);
	char date[DATETIME_LEN + 1], ms[8];

	datetime_render(now / 1000000, date);
	date[10] = 'T';
	(void)snprintf(ms, sizeof ms, ".%03uZ ", (unsigned)(now / 1000 % 1000));
	line_put_str(l, date);
	line_put_str(l, ms);
}

static void
write_whole(int fd, const char *p, size_t n)
{
	ssize_t done;

	while (n > 0) {
		done = write(fd, p, n);
		if (done < 0 && errno == EINTR)
			continue;
		/* Nobody is left to tell: the line is lost. */
		if (done <= 0)
			return;
		p += done;
		n -= (size_t)done;
	}
}

void
log_fields(
    enum log_level level, const char *event, const struct log_field *fields)
{
	struct line l;
	int saved = errno;

	if (!log_enabled(level))
		return;
	l.n = 0;
	if (atomic_load(&log_stamp))
		put_stamp(&l);
	line_put_str(&l, level_names[level]);
	line_put(&l, " ", 1);
	line_put_str(&l, event);
	for (; fields->type != LOG_FIELD_END; fields++)
		put_field(&l, fields);
	l.p[l.n++] = '\n';
	write_whole(atomic_load(&log_fd), l.p, l.n);
	errno = saved;
}

bool
log_level_parse(struct slice name, enum log_level *out)
{
	for (size_t i = 0; i < NELEMS(level_names); i++) {
		if (slice_eq_str(name, level_names[i])) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

void
log_set_level(enum log_level level)
{
	atomic_store(&log_level_max, (int)level);
}

bool
log_enabled(enum log_level level)
{
	return (int)level <= atomic_load(&log_level_max);
}

void
log_set_output(int fd, bool stamp)
{
	atomic_store(&log_fd, fd);
	atomic_store(&log_stamp, stamp);
}
