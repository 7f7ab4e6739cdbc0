#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/wp_config_private.h"

/* Text that is made from text must end somewhere. */
#define CONCAT_MAX_LEN ((size_t)64 * 1024)
/* Bounds the search for a name; a large site defines some 200. */
#define SYMBOLS_MAX 4096

struct wp_config_symbol *
wp_config_symbol(const struct wp_config *c, struct slice name)
{
	struct wp_config_symbol *s = c->symbols;

	while (s && !slice_eq(s->name, name))
		s = s->next;
	return s;
}

static struct wp_config_symbol *
add_symbol(struct wp_config *c, struct slice name)
{
	struct wp_config_symbol *s = arena_alloc(&c->arena, sizeof *s);
	char *copy = s ? arena_strdup(&c->arena, name) : NULL;

	if (!copy || ++c->nsymbols > SYMBOLS_MAX) {
		c->exhausted = true;
		return NULL;
	}
	s->name = slice_mem(copy, name.n);
	s->next = c->symbols;
	c->symbols = s;
	return s;
}

static struct wp_config_value
under(struct wp_config_value v, enum wp_config_live live)
{
	unsigned line = v.line;

	if (live != CODE_LIVE)
		v = wp_config_dynamic();
	v.line = line;
	return v;
}

void
wp_config_set_constant(struct wp_config *c, struct slice name,
    struct wp_config_value v, enum wp_config_live live)
{
	struct wp_config_symbol *s = wp_config_symbol(c, name);

	if (live == CODE_DEAD)
		return;
	if (s) {
		/* Defined by now at the latest, if not to which value. */
		if (live == CODE_LIVE)
			s->maybe = false;
		return;
	}
	s = add_symbol(c, name);
	if (!s)
		return;
	s->value = under(v, live);
	s->maybe = live == CODE_MAYBE;
}

void
wp_config_set_variable(struct wp_config *c, struct slice name,
    struct wp_config_value v, enum wp_config_live live)
{
	struct wp_config_symbol *s = wp_config_symbol(c, name);

	if (live == CODE_DEAD)
		return;
	if (!s) {
		s = add_symbol(c, name);
		if (!s)
			return;
		s->maybe = live == CODE_MAYBE;
	}
	s->value = under(v, live);
	if (live == CODE_LIVE)
		s->maybe = false;
}

struct wp_config_value
wp_config_null(void)
{
	return (struct wp_config_value){ .type = WP_CONFIG_NULL };
}

struct wp_config_value
wp_config_dynamic(void)
{
	return (struct wp_config_value){ .type = WP_CONFIG_DYNAMIC };
}

struct wp_config_value
wp_config_bool(bool b)
{
	return (struct wp_config_value){ .type = WP_CONFIG_BOOL, .i64 = b };
}

struct wp_config_value
wp_config_int(int64_t i)
{
	return (struct wp_config_value){ .type = WP_CONFIG_INT, .i64 = i };
}

struct wp_config_value
wp_config_string(struct wp_config *c, struct slice s)
{
	char *copy = arena_strdup(&c->arena, s);

	if (!copy) {
		c->exhausted = true;
		return wp_config_dynamic();
	}
	return (struct wp_config_value){ .type = WP_CONFIG_STRING,
		.text = slice_mem(copy, s.n) };
}

/* precision = 17 with the shortest form that reads back, as PHP 7.1 and up. */
static void
put_float(struct buf *out, double f)
{
	char text[40];
	const char *e;

	for (int digits = 1; digits <= 17; digits++) {
		(void)snprintf(text, sizeof text, "%.*G", digits, f);
		if (strtod(text, NULL) >= f && strtod(text, NULL) <= f)
			break;
	}
	e = strchr(text, 'E');
	if (!e || strchr(text, '.')) {
		buf_put_str(out, text);
	} else {
		/* 1.0E+25 */
		buf_put(out, text, (size_t)(e - text));
		buf_put_str(out, ".0");
		buf_put_str(out, e);
	}
}

bool
wp_config_text(const struct wp_config_value *v, struct buf *out)
{
	switch (v->type) {
	case WP_CONFIG_NULL:
		return true;
	case WP_CONFIG_BOOL:
		buf_put_str(out, v->i64 ? "1" : "");
		return true;
	case WP_CONFIG_INT:
		buf_put_i64(out, v->i64);
		return true;
	case WP_CONFIG_FLOAT:
		put_float(out, v->f64);
		return true;
	case WP_CONFIG_STRING:
		buf_put_slice(out, v->text);
		return true;
	case WP_CONFIG_ARRAY:
	case WP_CONFIG_DYNAMIC:
		break;
	}
	return false;
}

bool
wp_config_true(const struct wp_config_value *v)
{
	switch (v->type) {
	case WP_CONFIG_BOOL:
	case WP_CONFIG_INT:
		return v->i64 != 0;
	case WP_CONFIG_FLOAT:
		return v->f64 < 0 || v->f64 > 0;
	case WP_CONFIG_STRING:
		return v->text.n > 0 && !slice_eq_str(v->text, "0");
	case WP_CONFIG_ARRAY:
		return v->items != NULL;
	case WP_CONFIG_NULL:
	case WP_CONFIG_DYNAMIC:
		break;
	}
	return false;
}

struct wp_config_value
wp_config_concat(struct wp_config *c, const struct wp_config_value *a,
    const struct wp_config_value *b)
{
	struct buf text = BUF_INIT(CONCAT_MAX_LEN);
	struct wp_config_value v = wp_config_dynamic();

	if (wp_config_text(a, &text) && wp_config_text(b, &text) &&
	    !text.failed)
		v = wp_config_string(c, buf_slice(&text));
	buf_clear(&text);
	return v;
}

struct wp_config_value
wp_config_identical(
    const struct wp_config_value *a, const struct wp_config_value *b)
{
	if (a->type == WP_CONFIG_DYNAMIC || b->type == WP_CONFIG_DYNAMIC ||
	    a->type == WP_CONFIG_ARRAY || b->type == WP_CONFIG_ARRAY ||
	    a->type == WP_CONFIG_FLOAT || b->type == WP_CONFIG_FLOAT)
		return wp_config_dynamic();
	if (a->type != b->type)
		return wp_config_bool(false);
	if (a->type == WP_CONFIG_STRING)
		return wp_config_bool(slice_eq(a->text, b->text));
	return wp_config_bool(a->i64 == b->i64);
}
