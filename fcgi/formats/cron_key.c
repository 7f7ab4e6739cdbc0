#include "formats/cron_array_private.h"

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* isspace() of the C locale, which is_numeric() and strnatcasecmp() use. */
static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* A decimal being read: `digits` are those of the mantissa, without the point,
 * of which `whole` stand before it (after the exponent is applied, too). */
struct decimal {
	bool negative;
	struct slice before, after;
	int64_t whole;
};

static char
digit_at(const struct decimal *d, size_t i)
{
	if (i < d->before.n)
		return d->before.p[i];
	i -= d->before.n;
	if (i < d->after.n)
		return d->after.p[i];
	return '0';
}

static struct slice
take_digits(struct slice *s)
{
	struct slice digits = *s;

	while (s->n > 0 && is_digit(s->p[0]))
		*s = slice_from(*s, 1);
	digits.n -= s->n;
	return digits;
}

static bool
take_sign(struct slice *s)
{
	bool negative = s->n > 0 && s->p[0] == '-';

	if (s->n > 0 && (s->p[0] == '-' || s->p[0] == '+'))
		*s = slice_from(*s, 1);
	return negative;
}

/* An exponent counts only with its digits; one past 9 digits is as good as
 * the largest of them. */
static void
take_exponent(struct slice *s, struct decimal *d)
{
	struct slice rest, digits;
	uint64_t shift = 0;
	bool negative;

	if (s->n < 2 || (s->p[0] != 'e' && s->p[0] != 'E'))
		return;
	rest = slice_from(*s, 1);
	negative = take_sign(&rest);
	digits = take_digits(&rest);
	if (digits.n == 0)
		return;
	*s = rest;
	for (size_t i = 0; i < digits.n && shift < 100000000; i++)
		shift = shift * 10 + (uint64_t)(digits.p[i] - '0');
	d->whole += negative ? -(int64_t)shift : (int64_t)shift;
}

static bool
take_decimal(struct slice s, struct decimal *d)
{
	while (s.n > 0 && is_blank(s.p[0]))
		s = slice_from(s, 1);
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	*d = (struct decimal){ .negative = take_sign(&s) };
	d->before = take_digits(&s);
	if (s.n > 0 && s.p[0] == '.') {
		s = slice_from(s, 1);
		d->after = take_digits(&s);
	}
	if (d->before.n + d->after.n == 0)
		return false;
	d->whole = (int64_t)d->before.n;
	take_exponent(&s, d);
	return s.n == 0;
}

bool
cron_numeric(struct slice s, int64_t *out)
{
	struct decimal d;
	size_t digits, i = 0;
	uint64_t v = 0;
	bool fraction = false;

	if (!take_decimal(s, &d))
		return false;
	digits = d.before.n + d.after.n;
	for (; d.whole > 0 && i < (uint64_t)d.whole && v < INT64_MAX / 10; i++)
		v = v * 10 + (uint64_t)(digit_at(&d, i) - '0');
	for (size_t j = i; j < digits && !fraction; j++)
		fraction = digit_at(&d, j) != '0';
	/* Past 18 digits it is no time of any use. */
	if (d.whole > 0 && i < (uint64_t)d.whole && v > 0)
		v = INT64_MAX;
	else if (fraction && !d.negative)
		v++;
	*out = d.negative ? -(int64_t)v : (int64_t)v;
	return true;
}

/* The byte at `i`; at the end the NUL that PHP's strings have there. */
static char
byte_at(struct slice s, size_t i)
{
	if (i < s.n)
		return s.p[i];
	return '\0';
}

/* Two runs of digits that stand at *i and *j. Right-aligned, as whole numbers:
 * the longer one is greater; left-aligned, as fractions: the first difference
 * decides. Leaves *i and *j behind them when they are equal. */
static int
compare_digits(struct slice a, size_t *i, struct slice b, size_t *j, bool left)
{
	int bias = 0;

	for (;; (*i)++, (*j)++) {
		bool more_a = is_digit(byte_at(a, *i));
		bool more_b = is_digit(byte_at(b, *j));

		if (!more_a && !more_b)
			return bias;
		if (!more_a || !more_b)
			return more_a ? 1 : -1;
		if (bias == 0)
			bias = (a.p[*i] > b.p[*j]) - (a.p[*i] < b.p[*j]);
		if (left && bias != 0)
			return bias;
	}
}

/* Zeros that lead a number are passed at the very beginning only. */
static size_t
skip_zeros(struct slice s)
{
	size_t i = 0;

	while (byte_at(s, i) == '0' && is_digit(byte_at(s, i + 1)))
		i++;
	return i;
}

static size_t
skip_blanks(struct slice s, size_t i)
{
	while (is_blank(byte_at(s, i)))
		i++;
	return i;
}

static unsigned char
upper(char c)
{
	return (unsigned char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
}

/* php-src, ext/standard/strnatcmp.c: strnatcmp_ex() */
int
cron_natural_order(struct slice a, struct slice b)
{
	size_t i = skip_zeros(a), j = skip_zeros(b);

	if (a.n == 0 || b.n == 0)
		return (a.n > b.n) - (a.n < b.n);
	for (;;) {
		unsigned char ca, cb;

		i = skip_blanks(a, i);
		j = skip_blanks(b, j);
		if (is_digit(byte_at(a, i)) && is_digit(byte_at(b, j))) {
			bool left = a.p[i] == '0' || b.p[j] == '0';
			int order = compare_digits(a, &i, b, &j, left);

			if (order != 0)
				return order;
			if (i >= a.n || j >= b.n)
				return (i < a.n) - (j < b.n);
		}
		ca = upper(byte_at(a, i));
		cb = upper(byte_at(b, j));
		if (ca != cb)
			return ca < cb ? -1 : 1;
		i++;
		j++;
		if (i >= a.n || j >= b.n)
			return (i < a.n) - (j < b.n);
	}
}
