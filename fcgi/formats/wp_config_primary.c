#include <string.h>

#include "formats/php_serialize.h"
#include "formats/wp_config_private.h"

/* isset($x); of anything but a plain variable it is not known. */
static struct wp_config_value
parse_isset(struct wp_config_parser *p)
{
	const struct wp_config_token *var = p->t + 1;
	const struct wp_config_symbol *s;

	if (var->kind == TOKEN_VARIABLE && var[1].kind == TOKEN_OP &&
	    slice_eq_str(var[1].text, ")") && var->text.p[1] != '_') {
		p->t = var + 2;
		s = wp_config_symbol(p->c, var->text);
		if (!s && !p->c->tainted)
			return wp_config_bool(false);
		if (!s || s->maybe || s->value.type == WP_CONFIG_DYNAMIC)
			return wp_config_dynamic();
		return wp_config_bool(s->value.type != WP_CONFIG_NULL);
	}
	/* Looking changes nothing, so nothing is spoilt. */
	while (p->t->kind != TOKEN_END && !wp_config_at_op(p, ")"))
		p->t++;
	(void)wp_config_take_op(p, ")");
	return wp_config_dynamic();
}

struct array_reader {
	struct wp_config_parser *p;
	struct wp_config_item *first, **tail;
	int64_t next; /* the key of an item that has none */
	bool known;
};

static bool
same_key(const struct wp_config_value *a, const struct wp_config_value *b)
{
	if (a->type != b->type)
		return false;
	return a->type == WP_CONFIG_INT ? a->i64 == b->i64
					: slice_eq(a->text, b->text);
}

/* What PHP makes of a key; dynamic where it is not known. */
static struct wp_config_value
array_key(struct wp_config *c, const struct wp_config_value *key)
{
	int64_t i;

	switch (key->type) {
	case WP_CONFIG_STRING:
		if (php_serialize_index(key->text, &i))
			return wp_config_int(i);
		return *key;
	case WP_CONFIG_NULL:
		return wp_config_string(c, SLICE_LIT(""));
	case WP_CONFIG_BOOL:
	case WP_CONFIG_INT:
		return wp_config_int(key->i64);
	case WP_CONFIG_FLOAT:
	case WP_CONFIG_ARRAY:
	case WP_CONFIG_DYNAMIC:
		break;
	}
	return wp_config_dynamic();
}

/* A key that is there already keeps its place and gets the new value. */
static void
add_item(struct array_reader *r, const struct wp_config_value *as_written,
    const struct wp_config_value *value)
{
	struct wp_config_value key = array_key(r->p->c, as_written);
	struct wp_config_item *item = NULL;
	bool greatest = key.type == WP_CONFIG_INT && key.i64 >= r->next;

	if (key.type == WP_CONFIG_DYNAMIC) {
		r->known = false;
		return;
	}
	if (greatest && key.i64 < INT64_MAX)
		r->next = key.i64 + 1;
	if (!greatest)
		item = r->first;
	while (item && !same_key(&item->key, &key))
		item = item->next;
	if (!item) {
		item = arena_alloc(&r->p->c->arena, sizeof *item);
		if (!item) {
			r->p->c->exhausted = true;
			r->known = false;
			return;
		}
		item->key = key;
		*r->tail = item;
		r->tail = &item->next;
	}
	item->value = *value;
}

/* ...[1, 2]: numbers are given anew, names stay. */
static void
add_spread(struct array_reader *r)
{
	struct wp_config_value v = wp_config_expression(r->p, ",");

	if (v.type != WP_CONFIG_ARRAY)
		r->known = false;
	else
		for (const struct wp_config_item *i = v.items; i; i = i->next) {
			struct wp_config_value key = wp_config_int(r->next);

			if (i->key.type == WP_CONFIG_STRING)
				key = i->key;
			add_item(r, &key, &i->value);
		}
}

static void
read_item(struct array_reader *r)
{
	struct wp_config_value key, v = wp_config_expression(r->p, ",");

	key = wp_config_int(r->next);
	if (wp_config_take_op(r->p, "=>")) {
		key = v;
		v = wp_config_expression(r->p, ",");
	}
	add_item(r, &key, &v);
}

/* The items up to `close`; a key that is not known spoils the array. */
static struct wp_config_value
parse_array(struct wp_config_parser *p, const char *close)
{
	struct array_reader r = { .p = p, .known = true };

	r.tail = &r.first;
	while (p->t->kind != TOKEN_END && !wp_config_at_any_op(p, ")]}")) {
		if (wp_config_take_op(p, "..."))
			add_spread(&r);
		else
			read_item(&r);
		if (!wp_config_take_op(p, ","))
			break;
	}
	if (!wp_config_close_level(p, close) || !r.known)
		return wp_config_dynamic();
	return (struct wp_config_value){ .type = WP_CONFIG_ARRAY,
		.items = r.first };
}

/* $_ENV['X'] or getenv's twin in another spelling. */
static bool
parse_env_index(struct wp_config_parser *p, const struct wp_config_token *var,
    struct wp_config_value *out)
{
	if (!slice_eq_str(var->text, "$_ENV") || !wp_config_at_op(p, "[") ||
	    p->t[1].kind != TOKEN_STRING || p->t[2].kind != TOKEN_OP ||
	    !slice_eq_str(p->t[2].text, "]"))
		return false;
	*out = wp_config_getenv(p, p->t[1].text, wp_config_null());
	p->t += 3;
	return true;
}

/* What a variable holds; superglobals are the request's. */
static struct wp_config_value
variable(const struct wp_config_parser *p, struct slice name)
{
	const struct wp_config_symbol *s = wp_config_symbol(p->c, name);

	if (s)
		return s->maybe ? wp_config_dynamic() : s->value;
	if (p->c->tainted || name.p[1] == '_' || slice_eq_str(name, "$GLOBALS"))
		return wp_config_dynamic();
	return wp_config_null();
}

static struct wp_config_value
parse_assignment(struct wp_config_parser *p, struct slice name, unsigned line)
{
	struct wp_config_value old = variable(p, name), v;
	bool concat = wp_config_at_op(p, ".=");
	bool coalesce = wp_config_at_op(p, "?\?=");

	p->t++;
	v = wp_config_level(p, WP_CONFIG_LEVEL_TERNARY);
	if (concat)
		v = wp_config_concat(p->c, &old, &v);
	if (coalesce && old.type == WP_CONFIG_DYNAMIC)
		v = old;
	else if (coalesce && old.type != WP_CONFIG_NULL)
		return old;
	v.line = line;
	wp_config_set_variable(p->c, name, v, p->live);
	return v;
}

/* `=` and no other operator that begins with it. */
static struct wp_config_value
parse_variable(struct wp_config_parser *p)
{
	const struct wp_config_token *var = p->t++;
	struct wp_config_value v;

	if (parse_env_index(p, var, &v))
		return v;
	if (wp_config_at_op(p, "=") || wp_config_at_op(p, ".=") ||
	    wp_config_at_op(p, "?\?="))
		return parse_assignment(p, var->text, var->line);
	/* $x[...], $x->y, $x++, $x += ...: reads are not told from writes. */
	if (p->t->kind == TOKEN_OP &&
	    (wp_config_at_any_op(p, "[({") || wp_config_at_op(p, "->") ||
		wp_config_at_op(p, "?->") || wp_config_at_op(p, "::") ||
		wp_config_at_op(p, "++") || wp_config_at_op(p, "--") ||
		(p->t->text.n > 1 && p->t->text.p[p->t->text.n - 1] == '=' &&
		    !strchr("=!<>", p->t->text.p[0])))) {
		wp_config_spoil(p, var);
		return wp_config_dynamic();
	}
	return variable(p, var->text);
}

static struct wp_config_value
parse_include(struct wp_config_parser *p)
{
	struct wp_config_value path;

	p->t++;
	path = wp_config_level(p, WP_CONFIG_LEVEL_TERNARY);
	path.line = p->t->line;
	wp_config_include(p, &path);
	return wp_config_dynamic();
}

static bool
is_include(const struct wp_config_parser *p)
{
	return wp_config_at_name(p, "require") ||
	       wp_config_at_name(p, "require_once") ||
	       wp_config_at_name(p, "include") ||
	       wp_config_at_name(p, "include_once");
}

static struct wp_config_value
parse_exit(struct wp_config_parser *p)
{
	p->t++;
	if (wp_config_take_op(p, "("))
		(void)wp_config_close_level(p, ")");
	if (p->live == CODE_LIVE)
		p->c->stopped = true;
	return wp_config_dynamic();
}

/* A name that is a word of the language, a call or a constant. */
static struct wp_config_value
parse_name(struct wp_config_parser *p)
{
	const struct wp_config_token *name = p->t;

	if (is_include(p))
		return parse_include(p);
	if (wp_config_at_name(p, "exit") || wp_config_at_name(p, "die"))
		return parse_exit(p);
	p->t++;
	if (wp_config_at_op(p, "::") || p->t->kind == TOKEN_NAME ||
	    p->t->kind == TOKEN_VARIABLE)
		return wp_config_dynamic();
	if (wp_config_at_op(p, "(")) {
		if (slice_eq_nocase(name->text, SLICE_LIT("isset")))
			return parse_isset(p);
		if (slice_eq_nocase(name->text, SLICE_LIT("array"))) {
			p->t++;
			return parse_array(p, ")");
		}
		return wp_config_call(p, name);
	}
	if (slice_eq_nocase(name->text, SLICE_LIT("true")))
		return wp_config_bool(true);
	if (slice_eq_nocase(name->text, SLICE_LIT("false")))
		return wp_config_bool(false);
	if (slice_eq_nocase(name->text, SLICE_LIT("null")))
		return wp_config_null();
	if (slice_eq_nocase(name->text, SLICE_LIT("__FILE__")))
		return wp_config_string(p->c, p->path);
	if (slice_eq_nocase(name->text, SLICE_LIT("__DIR__")))
		return wp_config_string(p->c, wp_config_parent(p->path));
	return wp_config_constant(p, name->text);
}

/* (bool) x, (string) x; other casts are not followed. */
static bool
parse_cast(struct wp_config_parser *p, struct wp_config_value *out)
{
	const struct wp_config_token *type = p->t + 1;
	struct buf text = BUF_INIT(4096);
	struct wp_config_value v;

	if (!wp_config_at_op(p, "(") || type->kind != TOKEN_NAME ||
	    type[1].kind != TOKEN_OP || !slice_eq_str(type[1].text, ")") ||
	    type[2].kind == TOKEN_OP || type[2].kind == TOKEN_END)
		return false;
	p->t = type + 2;
	v = wp_config_level(p, WP_CONFIG_LEVEL_UNARY);
	*out = wp_config_dynamic();
	if (v.type != WP_CONFIG_DYNAMIC &&
	    (slice_eq_nocase(type->text, SLICE_LIT("bool")) ||
		slice_eq_nocase(type->text, SLICE_LIT("boolean"))))
		*out = wp_config_bool(wp_config_true(&v));
	else if (slice_eq_nocase(type->text, SLICE_LIT("string")) &&
		 wp_config_text(&v, &text) && !text.failed)
		*out = wp_config_string(p->c, buf_slice(&text));
	buf_clear(&text);
	return true;
}

struct wp_config_value
wp_config_primary(struct wp_config_parser *p)
{
	const struct wp_config_token *t = p->t;
	struct wp_config_value v;

	switch (t->kind) {
	case TOKEN_NAME:
		return parse_name(p);
	case TOKEN_VARIABLE:
		return parse_variable(p);
	case TOKEN_INT:
		p->t++;
		return wp_config_int(t->i64);
	case TOKEN_FLOAT:
		p->t++;
		return (struct wp_config_value){ .type = WP_CONFIG_FLOAT,
			.f64 = t->f64 };
	case TOKEN_STRING:
		p->t++;
		return wp_config_string(p->c, t->text);
	case TOKEN_DYNAMIC:
		p->t++;
		return wp_config_dynamic();
	case TOKEN_END:
		return wp_config_dynamic();
	case TOKEN_OP:
		break;
	}
	if (parse_cast(p, &v))
		return v;
	if (wp_config_take_op(p, "[")) {
		v = parse_array(p, "]");
	} else if (wp_config_take_op(p, "(")) {
		v = wp_config_expression(p, "");
		if (!wp_config_close_level(p, ")"))
			v = wp_config_dynamic();
	} else {
		/* Not ours to step over: the caller skips. */
		v = wp_config_dynamic();
	}
	return v;
}
