#include <string.h>

#include "formats/wp_config_private.h"

#define DEPTH_MAX 64

/* Operators by how tightly they bind (PHP 8), loosest first. */
enum binary_op {
	BINARY_OR,
	BINARY_AND,
	BINARY_COALESCE,
	BINARY_IDENTICAL,
	BINARY_NOT_IDENTICAL,
	BINARY_UNKNOWN, /* understood as an operator, its value is not */
	BINARY_CONCAT,
	BINARY_BIT_OR,
	BINARY_BIT_AND,
	BINARY_ADD,
	BINARY_SUBTRACT,
	BINARY_MULTIPLY,
};

static const struct {
	const char *text;
	int level;
	enum binary_op op;
} binaries[] = {
	{ "or", 1, BINARY_OR },
	{ "and", 3, BINARY_AND },
	{ "??", 6, BINARY_COALESCE },
	{ "||", 7, BINARY_OR },
	{ "&&", 8, BINARY_AND },
	{ "|", 9, BINARY_BIT_OR },
	{ "&", 11, BINARY_BIT_AND },
	{ "===", 12, BINARY_IDENTICAL },
	{ "!==", 12, BINARY_NOT_IDENTICAL },
	{ "==", 12, BINARY_UNKNOWN },
	{ "!=", 12, BINARY_UNKNOWN },
	{ "<", 13, BINARY_UNKNOWN },
	{ ">", 13, BINARY_UNKNOWN },
	{ "<=", 13, BINARY_UNKNOWN },
	{ ">=", 13, BINARY_UNKNOWN },
	{ ".", 14, BINARY_CONCAT },
	{ "+", 16, BINARY_ADD },
	{ "-", 16, BINARY_SUBTRACT },
	{ "*", 17, BINARY_MULTIPLY },
	{ "/", 17, BINARY_UNKNOWN },
	{ "%", 17, BINARY_UNKNOWN },
};
#define LEVEL_TERNARY 5
#define LEVEL_UNARY 18

static struct wp_config_value parse_level(
    struct wp_config_parser *p, int level);

bool
wp_config_at_op(const struct wp_config_parser *p, const char *op)
{
	return p->t->kind == TOKEN_OP && slice_eq_str(p->t->text, op);
}

bool
wp_config_at_name(const struct wp_config_parser *p, const char *name)
{
	return p->t->kind == TOKEN_NAME &&
	       slice_eq_nocase(p->t->text, slice_str(name));
}

bool
wp_config_take_op(struct wp_config_parser *p, const char *op)
{
	if (!wp_config_at_op(p, op))
		return false;
	p->t++;
	return true;
}

bool
wp_config_at_any_op(const struct wp_config_parser *p, const char *ops)
{
	return p->t->kind == TOKEN_OP && p->t->text.n == 1 &&
	       p->t->text.p[0] != '\0' && strchr(ops, p->t->text.p[0]);
}

/* Something happened to this token's name that is not understood. */
static void
spoil(struct wp_config_parser *p, const struct wp_config_token *t)
{
	struct wp_config_value v = wp_config_dynamic();

	v.line = t->line;
	if (p->live == CODE_DEAD)
		return;
	if (t->kind == TOKEN_VARIABLE)
		wp_config_set_variable(p->c, t->text, v, CODE_MAYBE);
	else if (t->kind == TOKEN_NAME && t[1].kind == TOKEN_OP &&
		 slice_eq_str(t[1].text, "(") && t[2].kind == TOKEN_STRING &&
		 slice_eq_nocase(t->text, SLICE_LIT("define")))
		wp_config_set_constant(p->c, t[2].text, v, CODE_MAYBE);
}

void
wp_config_skip_to(struct wp_config_parser *p, const char *stops)
{
	size_t open = 0;

	for (; p->t->kind != TOKEN_END; p->t++) {
		if (open == 0 && (wp_config_at_any_op(p, stops) ||
				     wp_config_at_any_op(p, ")]}")))
			return;
		if (wp_config_at_any_op(p, "([{") || wp_config_at_op(p, "#["))
			open++;
		else if (wp_config_at_any_op(p, ")]}"))
			open--;
		spoil(p, p->t);
	}
}

enum wp_config_live
wp_config_branch(enum wp_config_live outer,
    const struct wp_config_value *condition, bool wanted)
{
	if (outer == CODE_DEAD)
		return CODE_DEAD;
	if (condition->type == WP_CONFIG_DYNAMIC)
		return CODE_MAYBE;
	return wp_config_true(condition) == wanted ? outer : CODE_DEAD;
}

struct wp_config_value
wp_config_expression(struct wp_config_parser *p, const char *stops)
{
	struct wp_config_value v = wp_config_dynamic();

	if (p->depth < DEPTH_MAX) {
		p->depth++;
		v = parse_level(p, 0);
		p->depth--;
	} else {
		p->too_deep = true;
	}
	if (p->t->kind != TOKEN_END && !wp_config_at_any_op(p, stops) &&
	    !wp_config_at_any_op(p, ")]}") && !wp_config_at_op(p, "=>")) {
		wp_config_skip_to(p, stops);
		v = wp_config_dynamic();
	}
	return v;
}

bool
wp_config_close_level(struct wp_config_parser *p, const char *close)
{
	bool clean = wp_config_at_op(p, close);

	wp_config_skip_to(p, "");
	(void)wp_config_take_op(p, close);
	return clean;
}

/* ---- primary expressions ---------------------------------------------- */

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

static bool
add_item(struct wp_config_parser *p, struct wp_config_item ***tail,
    const struct wp_config_value *key, const struct wp_config_value *value)
{
	struct wp_config_item *item = arena_alloc(&p->c->arena, sizeof *item);

	if (!item) {
		p->c->exhausted = true;
		return false;
	}
	item->key = *key;
	item->value = *value;
	**tail = item;
	*tail = &item->next;
	return true;
}

/* The items up to `close`; a key that is not known spoils the array. */
static struct wp_config_value
parse_array(struct wp_config_parser *p, const char *close)
{
	struct wp_config_item *first = NULL, **tail = &first;
	bool known = true;
	int64_t next = 0;

	while (p->t->kind != TOKEN_END && !wp_config_at_any_op(p, ")]}")) {
		struct wp_config_value key, v = wp_config_expression(p, ",");

		key = wp_config_int(next);
		if (wp_config_take_op(p, "=>")) {
			key = v;
			v = wp_config_expression(p, ",");
		}
		if (key.type == WP_CONFIG_INT && key.i64 >= next &&
		    key.i64 < INT64_MAX)
			next = key.i64 + 1;
		known = known &&
			(key.type == WP_CONFIG_INT ||
			    key.type == WP_CONFIG_STRING) &&
			add_item(p, &tail, &key, &v);
		if (!wp_config_take_op(p, ","))
			break;
	}
	if (!wp_config_close_level(p, close) || !known)
		return wp_config_dynamic();
	return (
	    struct wp_config_value){ .type = WP_CONFIG_ARRAY, .items = first };
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
	v = parse_level(p, LEVEL_TERNARY);
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
		spoil(p, var);
		return wp_config_dynamic();
	}
	return variable(p, var->text);
}

static struct wp_config_value
parse_include(struct wp_config_parser *p)
{
	struct wp_config_value path;

	p->t++;
	path = parse_level(p, LEVEL_TERNARY);
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
	v = parse_level(p, LEVEL_UNARY);
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

static struct wp_config_value
parse_primary(struct wp_config_parser *p)
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

static struct wp_config_value
negated(const struct wp_config_value *v)
{
	if (v->type == WP_CONFIG_INT && v->i64 != INT64_MIN)
		return wp_config_int(-v->i64);
	if (v->type == WP_CONFIG_FLOAT)
		return (struct wp_config_value){ .type = WP_CONFIG_FLOAT,
			.f64 = -v->f64 };
	return wp_config_dynamic();
}

static struct wp_config_value
parse_unary(struct wp_config_parser *p)
{
	struct wp_config_value v;

	if (wp_config_take_op(p, "!")) {
		v = parse_level(p, LEVEL_UNARY);
		return v.type == WP_CONFIG_DYNAMIC
			   ? v
			   : wp_config_bool(!wp_config_true(&v));
	}
	if (wp_config_take_op(p, "@"))
		return parse_level(p, LEVEL_UNARY);
	if (wp_config_take_op(p, "-")) {
		v = parse_level(p, LEVEL_UNARY);
		return negated(&v);
	}
	v = parse_primary(p);
	/* An index, call or member of a value that stands here. */
	if (wp_config_at_any_op(p, "[(") || wp_config_at_op(p, "->") ||
	    wp_config_at_op(p, "::"))
		v = wp_config_dynamic();
	return v;
}

/* ---- binary operators ------------------------------------------------- */

static struct wp_config_value
arithmetic(enum binary_op op, const struct wp_config_value *a,
    const struct wp_config_value *b)
{
	int64_t out;
	bool over = true;

	if (a->type != WP_CONFIG_INT || b->type != WP_CONFIG_INT)
		return wp_config_dynamic();
	if (op == BINARY_BIT_OR)
		return wp_config_int(a->i64 | b->i64);
	if (op == BINARY_BIT_AND)
		return wp_config_int(a->i64 & b->i64);
	if (op == BINARY_ADD)
		over = __builtin_add_overflow(a->i64, b->i64, &out);
	else if (op == BINARY_SUBTRACT)
		over = __builtin_sub_overflow(a->i64, b->i64, &out);
	else if (op == BINARY_MULTIPLY)
		over = __builtin_mul_overflow(a->i64, b->i64, &out);
	return over ? wp_config_dynamic() : wp_config_int(out);
}

static struct wp_config_value
combine(struct wp_config_parser *p, enum binary_op op,
    const struct wp_config_value *a, const struct wp_config_value *b)
{
	struct wp_config_value v;

	switch (op) {
	case BINARY_CONCAT:
		return wp_config_concat(p->c, a, b);
	case BINARY_IDENTICAL:
		return wp_config_identical(a, b);
	case BINARY_NOT_IDENTICAL:
		v = wp_config_identical(a, b);
		return v.type == WP_CONFIG_DYNAMIC ? v : wp_config_bool(!v.i64);
	case BINARY_BIT_OR:
	case BINARY_BIT_AND:
	case BINARY_ADD:
	case BINARY_SUBTRACT:
	case BINARY_MULTIPLY:
		return arithmetic(op, a, b);
	case BINARY_OR:
	case BINARY_AND:
	case BINARY_COALESCE:
	case BINARY_UNKNOWN:
		break;
	}
	return wp_config_dynamic();
}

/* The right side runs only where the left one leaves it open. */
static struct wp_config_value
parse_lazy(struct wp_config_parser *p, enum binary_op op,
    const struct wp_config_value *a, int level)
{
	enum wp_config_live outer = p->live;
	struct wp_config_value is_null =
	    wp_config_bool(a->type == WP_CONFIG_NULL);
	struct wp_config_value b;
	bool known = a->type != WP_CONFIG_DYNAMIC;

	if (op == BINARY_COALESCE)
		p->live = wp_config_branch(outer, known ? &is_null : a, true);
	else
		p->live = wp_config_branch(outer, a, op == BINARY_AND);
	b = parse_level(p, level);
	p->live = outer;
	if (op == BINARY_COALESCE)
		return !known ? *a : a->type == WP_CONFIG_NULL ? b : *a;
	if (known && wp_config_true(a) != (op == BINARY_AND))
		return wp_config_bool(op == BINARY_OR);
	if (b.type != WP_CONFIG_DYNAMIC &&
	    (known || wp_config_true(&b) != (op == BINARY_AND)))
		return wp_config_bool(wp_config_true(&b));
	return wp_config_dynamic();
}

/* a ? b : c and a ?: c */
static struct wp_config_value
parse_ternary(struct wp_config_parser *p, const struct wp_config_value *a)
{
	enum wp_config_live outer = p->live;
	struct wp_config_value b = *a, c;

	p->t++;
	if (!wp_config_at_op(p, ":")) {
		p->live = wp_config_branch(outer, a, true);
		b = parse_level(p, LEVEL_TERNARY + 1);
		p->live = outer;
	}
	if (!wp_config_take_op(p, ":"))
		return wp_config_dynamic();
	p->live = wp_config_branch(outer, a, false);
	c = parse_level(p, LEVEL_TERNARY + 1);
	p->live = outer;
	if (a->type == WP_CONFIG_DYNAMIC)
		return *a;
	return wp_config_true(a) ? b : c;
}

static struct wp_config_value
parse_operators(struct wp_config_parser *p, int level)
{
	struct wp_config_value v = parse_unary(p);

	for (;;) {
		struct wp_config_value right;
		size_t i = 0;

		if (level <= LEVEL_TERNARY && wp_config_at_op(p, "?")) {
			v = parse_ternary(p, &v);
			continue;
		}
		while (i < NELEMS(binaries) &&
		       !(wp_config_at_op(p, binaries[i].text) ||
			   wp_config_at_name(p, binaries[i].text)))
			i++;
		if (i == NELEMS(binaries) || binaries[i].level < level)
			return v;
		p->t++;
		if (binaries[i].op == BINARY_COALESCE ||
		    binaries[i].op == BINARY_OR ||
		    binaries[i].op == BINARY_AND) {
			/* ?? groups to the right. */
			v = parse_lazy(p, binaries[i].op, &v,
			    binaries[i].level +
				(binaries[i].op != BINARY_COALESCE));
			continue;
		}
		right = parse_level(p, binaries[i].level + 1);
		v = combine(p, binaries[i].op, &v, &right);
	}
}

static struct wp_config_value
parse_level(struct wp_config_parser *p, int level)
{
	struct wp_config_value v = wp_config_dynamic();

	if (p->depth >= DEPTH_MAX) {
		p->too_deep = true;
		return v;
	}
	p->depth++;
	v = level >= LEVEL_UNARY ? parse_unary(p) : parse_operators(p, level);
	p->depth--;
	return v;
}
