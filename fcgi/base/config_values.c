#include "base/config_options.h"

#include <string.h>

/* sockaddr_un.sun_path less its NUL. */
#define SOCKET_PATH_MAX 107

static const struct {
	const char *suffix;
	int64_t ms;
} duration_units[] = {
	{ "ms", 1 },
	{ "s", 1000 },
	{ "m", 60000 },
	{ "min", 60000 },
	{ "h", 3600000 },
	{ "d", 86400000 },
};

static const struct {
	const char *name;
	uint32_t seconds;
} rate_units[] = {
	{ "s", 1 },
	{ "m", 60 },
	{ "min", 60 },
	{ "h", 3600 },
	{ "d", 86400 },
};

static size_t
leading_digits(struct slice s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	return n;
}

static bool
duration_ms(struct slice s, int64_t *out)
{
	size_t ndigits = leading_digits(s);
	struct slice unit = slice_trim(slice_from(s, ndigits));
	int64_t v;

	if (!slice_i64(slice_mem(s.p, ndigits), &v))
		return false;
	for (size_t i = 0; i < NELEMS(duration_units); i++) {
		if (!slice_eq_str(unit, duration_units[i].suffix))
			continue;
		if (v > INT64_MAX / duration_units[i].ms)
			return false;
		*out = v * duration_units[i].ms;
		return true;
	}
	return false;
}

static enum rc
in_range(const struct option *o, int64_t v, struct err *err)
{
	const char *unit = o->type == OPTION_COUNT ? "" : "ms";

	if (v >= o->min && v <= o->max)
		return RC_OK;
	return err_set(err, RC_REJECT, "must be from %lld%s to %lld%s",
	    (long long)o->min, unit, (long long)o->max, unit);
}

static enum rc
read_count(
    const struct option *o, uint32_t *out, struct slice s, struct err *err)
{
	int64_t v;
	enum rc rc;

	if (!slice_i64(s, &v))
		return err_set(err, RC_REJECT, "must be a whole number");
	rc = in_range(o, v, err);
	if (rc == RC_OK)
		*out = (uint32_t)v;
	return rc;
}

static enum rc
read_duration(
    const struct option *o, uint32_t *out, struct slice s, struct err *err)
{
	int64_t v;
	enum rc rc;

	if (!duration_ms(s, &v))
		return err_set(err, RC_REJECT,
		    "must be a duration with its unit, like 500ms, 30s, 1m, "
		    "2h or 1d");
	rc = in_range(o, v, err);
	if (rc == RC_OK)
		*out = (uint32_t)v;
	return rc;
}

static enum rc
read_backoff(
    const struct option *o, uint32_t *out, struct slice s, struct err *err)
{
	size_t dots = slice_find(s, '.');
	struct slice from = slice_trim(slice_mem(s.p, dots));
	struct slice rest = slice_from(s, dots);
	uint32_t pair[2] = { 0, 0 };
	enum rc rc;

	if (!slice_starts(rest, SLICE_LIT("..")))
		return err_set(
		    err, RC_REJECT, "must be MIN..MAX, like 30s..2h");
	rc = read_duration(o, &pair[0], from, err);
	if (rc != RC_OK)
		return rc;
	rc = read_duration(o, &pair[1], slice_trim(slice_from(rest, 2)), err);
	if (rc != RC_OK)
		return rc;
	if (pair[0] > pair[1])
		return err_set(
		    err, RC_REJECT, "must not shrink from MIN to MAX");
	memcpy(out, pair, sizeof pair);
	return RC_OK;
}

static enum rc
read_rate(struct rate *out, struct slice s, struct err *err)
{
	size_t slash = slice_find(s, '/');
	struct slice unit = slice_trim(slice_from(s, slash + 1));
	uint64_t count;

	if (!slice_u64(slice_trim(slice_mem(s.p, slash)), &count) ||
	    count == 0 || count > 1000000)
		return err_set(err, RC_REJECT,
		    "must be 1 to 1000000 in a unit, like 5/s, 10/min, 200/h");
	for (size_t i = 0; i < NELEMS(rate_units); i++) {
		if (!slice_eq_str(unit, rate_units[i].name))
			continue;
		out->count = (uint32_t)count;
		out->per_s = rate_units[i].seconds;
		return RC_OK;
	}
	return err_set(
	    err, RC_REJECT, "must be a number in a unit: /s, /min, /h or /d");
}

static enum rc
read_choice(
    bool *out, struct slice s, const char *yes, const char *no, struct err *err)
{
	if (!slice_eq_str(s, yes) && !slice_eq_str(s, no))
		return err_set(err, RC_REJECT, "must be %s or %s", yes, no);
	*out = slice_eq_str(s, yes);
	return RC_OK;
}

/* "a, b or c" */
static enum rc
refuse_word(const char *const *words, struct err *err)
{
	struct buf list = BUF_INIT(ERR_TEXT_MAX);

	for (size_t i = 0; words[i]; i++)
		buf_printf(&list, "%s%s",
		    i == 0         ? ""
		    : words[i + 1] ? ", "
				   : " or ",
		    words[i]);
	err_set(err, RC_REJECT, "must be %s", buf_str(&list));
	buf_clear(&list);
	return RC_REJECT;
}

static enum rc
read_word(const struct option *o, struct slice s, size_t *at, struct err *err)
{
	for (size_t i = 0; o->words[i]; i++) {
		if (!slice_eq_str(s, o->words[i]))
			continue;
		*at = i;
		return RC_OK;
	}
	return refuse_word(o->words, err);
}

/* An enum whose values are the places of their words. */
static enum rc
read_enum(
    const struct option *o, unsigned *out, struct slice s, struct err *err)
{
	size_t at = 0;
	enum rc rc = read_word(o, s, &at, err);

	if (rc == RC_OK)
		*out = (unsigned)at;
	return rc;
}

static enum rc
read_known(
    const struct option *o, const char **out, struct slice s, struct err *err)
{
	size_t at = 0;
	enum rc rc = read_word(o, s, &at, err);

	if (rc == RC_OK)
		*out = o->words[at];
	return rc;
}

static enum rc
keep_text(const char **out, struct slice s, struct arena *a, struct err *err)
{
	*out = arena_strdup(a, s);
	if (!*out)
		return err_set(err, RC_REJECT, "is over the size that fits");
	return RC_OK;
}

static enum rc
read_text(const char **out, struct slice s, struct arena *a, struct err *err)
{
	if (s.n == 0)
		return err_set(err, RC_REJECT, "is empty");
	return keep_text(out, s, a, err);
}

static struct slice
without_slashes(struct slice s)
{
	while (s.n > 1 && s.p[s.n - 1] == '/')
		s.n--;
	return s;
}

static enum rc
read_path(const char **out, struct slice s, struct arena *a, struct err *err)
{
	if (s.n == 0 || s.p[0] != '/')
		return err_set(err, RC_REJECT, "must be an absolute path");
	return keep_text(out, without_slashes(s), a, err);
}

static bool
is_url(struct slice s)
{
	size_t scheme = slice_starts(s, SLICE_LIT("https://"))  ? 8
			: slice_starts(s, SLICE_LIT("http://")) ? 7
								: 0;

	if (scheme == 0 || s.n <= scheme || s.p[scheme] == '/')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
			return false;
	return true;
}

static enum rc
read_url(const char **out, struct slice s, struct arena *a, struct err *err)
{
	if (!is_url(s))
		return err_set(err, RC_REJECT,
		    "must be a URL that begins with https:// or http://");
	return keep_text(out, without_slashes(s), a, err);
}

static enum rc
read_address(const char **out, struct slice s, struct arena *a, struct err *err)
{
	struct slice path = slice_from(s, 5);
	size_t colon = s.n;
	uint64_t port;

	if (slice_starts(s, SLICE_LIT("unix:"))) {
		if (path.n == 0 || path.p[0] != '/')
			return err_set(err, RC_REJECT,
			    "must name an absolute path after unix:");
		if (path.n > SOCKET_PATH_MAX)
			return err_set(err, RC_REJECT,
			    "has a path over %d bytes", SOCKET_PATH_MAX);
		return keep_text(out, s, a, err);
	}
	while (colon > 0 && s.p[colon - 1] != ':')
		colon--;
	if (colon < 2 || !slice_u64(slice_from(s, colon), &port) || port == 0 ||
	    port > UINT16_MAX)
		return err_set(
		    err, RC_REJECT, "must be unix:PATH or HOST:PORT");
	return keep_text(out, s, a, err);
}

/* What every relay would refuse in all mails; formats/mail_address.h knows the
 * rest. */
static enum rc
read_mailbox(const char **out, struct slice s, struct arena *a, struct err *err)
{
	size_t at = slice_find(s, '@'), i = 0;

	while (i < s.n && s.p[i] != ' ' && !strchr("\t\"(),:;<>", s.p[i]))
		i++;
	if (i < s.n || at == 0 || at + 1 >= s.n ||
	    slice_find(slice_from(s, at + 1), '@') < s.n - at - 1)
		return err_set(err, RC_REJECT,
		    "must be an address alone, such as shop@example.org");
	return keep_text(out, s, a, err);
}

static enum rc
read_prefix(const char **out, struct slice s, struct arena *a, struct err *err)
{
	bool good = s.n > 0 && s.n <= 48;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(c >= '0' && c <= '9') || c == '_'))
			good = false;
	}
	if (!good)
		return err_set(err, RC_REJECT,
		    "may have letters, digits and _ only, 48 at most");
	return keep_text(out, s, a, err);
}

static enum rc
read_list(
    struct config_list *out, struct slice s, struct arena *a, struct err *err)
{
	size_t n = 1;
	enum rc rc;

	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == ',';
	out->items = arena_array(a, n, sizeof *out->items);
	if (!out->items)
		return err_set(err, RC_REJECT, "is over the size that fits");
	for (out->n = 0; out->n < n; out->n++) {
		size_t comma = slice_find(s, ',');
		struct slice item = slice_trim(slice_mem(s.p, comma));

		if (item.n == 0)
			return err_set(err, RC_REJECT,
			    "must be a list with commas between, none empty");
		rc = keep_text(&out->items[out->n], item, a, err);
		if (rc != RC_OK)
			return rc;
		s = slice_from(s, comma + 1);
	}
	return RC_OK;
}

static enum rc
read_level(enum log_level *out, struct slice s, struct err *err)
{
	if (log_level_parse(s, out))
		return RC_OK;
	return err_set(err, RC_REJECT, "must be err, warn, info or debug");
}

static void *
field(const struct option *o, void *base)
{
	return (unsigned char *)base + o->offset;
}

static const void *
const_field(const struct option *o, const void *base)
{
	return (const unsigned char *)base + o->offset;
}

enum rc
config_option_set(const struct option *o, void *base, struct slice text,
    struct arena *a, struct err *err)
{
	void *p = field(o, base);

	switch (o->type) {
	case OPTION_TEXT:
		return read_text(p, text, a, err);
	case OPTION_PATH:
		return read_path(p, text, a, err);
	case OPTION_URL:
		return read_url(p, text, a, err);
	case OPTION_ADDRESS:
		return read_address(p, text, a, err);
	case OPTION_MAILBOX:
		return read_mailbox(p, text, a, err);
	case OPTION_PREFIX:
		return read_prefix(p, text, a, err);
	case OPTION_COUNT:
		return read_count(o, p, text, err);
	case OPTION_DURATION:
		return read_duration(o, p, text, err);
	case OPTION_BOOL:
		return read_choice(p, text, "yes", "no", err);
	case OPTION_SERIES:
		return read_choice(p, text, "insert", "php", err);
	case OPTION_MODE:
		return read_choice(p, text, "observe", "run", err);
	case OPTION_CHOICE:
		return read_enum(o, p, text, err);
	case OPTION_WORD:
		return read_known(o, p, text, err);
	case OPTION_LIST:
		return read_list(p, text, a, err);
	case OPTION_LEVEL:
		return read_level(p, text, err);
	case OPTION_RATE:
		return read_rate(p, text, err);
	case OPTION_BACKOFF:
		return read_backoff(o, p, text, err);
	}
	return err_set(err, RC_FATAL, "option %s has no type", o->name);
}

static size_t
field_size(enum option_type type)
{
	switch (type) {
	case OPTION_TEXT:
	case OPTION_PATH:
	case OPTION_URL:
	case OPTION_ADDRESS:
	case OPTION_MAILBOX:
	case OPTION_PREFIX:
	case OPTION_WORD:
		return sizeof(const char *);
	case OPTION_COUNT:
	case OPTION_DURATION:
		return sizeof(uint32_t);
	case OPTION_BOOL:
	case OPTION_SERIES:
	case OPTION_MODE:
		return sizeof(bool);
	case OPTION_CHOICE:
		return sizeof(unsigned);
	case OPTION_LIST:
		return sizeof(struct config_list);
	case OPTION_LEVEL:
		return sizeof(enum log_level);
	case OPTION_RATE:
		return sizeof(struct rate);
	case OPTION_BACKOFF:
		return 2 * sizeof(uint32_t);
	}
	return 0;
}

void
config_option_copy(const struct option *o, void *to, const void *from)
{
	memcpy(field(o, to), const_field(o, from), field_size(o->type));
}

static bool
text_equal(const char *const *a, const char *const *b)
{
	return *a && *b ? strcmp(*a, *b) == 0 : *a == *b;
}

static bool
list_equal(const struct config_list *a, const struct config_list *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	return true;
}

bool
config_option_equal(const struct option *o, const void *a, const void *b)
{
	const void *fa = const_field(o, a), *fb = const_field(o, b);

	switch (o->type) {
	case OPTION_TEXT:
	case OPTION_PATH:
	case OPTION_URL:
	case OPTION_ADDRESS:
	case OPTION_MAILBOX:
	case OPTION_PREFIX:
	case OPTION_WORD:
		return text_equal(fa, fb);
	case OPTION_LIST:
		return list_equal(fa, fb);
	case OPTION_COUNT:
	case OPTION_DURATION:
	case OPTION_BOOL:
	case OPTION_SERIES:
	case OPTION_MODE:
	case OPTION_CHOICE:
	case OPTION_LEVEL:
	case OPTION_RATE:
	case OPTION_BACKOFF:
		break;
	}
	return memcmp(fa, fb, field_size(o->type)) == 0;
}

/* Longer words are not misspelt names. */
#define NEAR_MAX 64

static size_t
edit_distance(struct slice a, struct slice b)
{
	size_t row[NEAR_MAX + 1];

	for (size_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t best = diagonal + (a.p[i - 1] != b.p[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[b.n];
}

const char *
config_nearest(
    struct slice name, const char *const *names, size_t n, size_t stride)
{
	const unsigned char *at = (const unsigned char *)names;
	const char *best = NULL;
	size_t least = 0;

	for (size_t i = 0; i < n; i++, at += stride) {
		const char *candidate;
		struct slice c;
		size_t d;

		memcpy(&candidate, at, sizeof candidate);
		c = slice_str(candidate);
		if (name.n > NEAR_MAX || c.n > NEAR_MAX)
			continue;
		d = edit_distance(name, c);
		/* More than half of it wrong is another word. */
		if (d * 2 <= (c.n > name.n ? c.n : name.n) &&
		    (!best || d < least)) {
			best = candidate;
			least = d;
		}
	}
	return best;
}
