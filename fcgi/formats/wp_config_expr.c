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
		v = wp_config_level(p, 0);
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
		v = wp_config_level(p, WP_CONFIG_LEVEL_UNARY);
		return v.type == WP_CONFIG_DYNAMIC
			   ? v
			   : wp_config_bool(!wp_config_true(&v));
	}
	if (wp_config_take_op(p, "@"))
		return wp_config_level(p, WP_CONFIG_LEVEL_UNARY);
	if (wp_config_take_op(p, "-")) {
		v = wp_config_level(p, WP_CONFIG_LEVEL_UNARY);
		return negated(&v);
	}
	v = wp_config_primary(p);
	/* An index, call or member of a value that stands here. */
	if (wp_config_at_any_op(p, "[(") || wp_config_at_op(p, "->") ||
	    wp_config_at_op(p, "::"))
		v = wp_config_dynamic();
	return v;
}

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
	b = wp_config_level(p, level);
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
		b = wp_config_level(p, WP_CONFIG_LEVEL_TERNARY + 1);
		p->live = outer;
	}
	if (!wp_config_take_op(p, ":"))
		return wp_config_dynamic();
	p->live = wp_config_branch(outer, a, false);
	c = wp_config_level(p, WP_CONFIG_LEVEL_TERNARY + 1);
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

		if (level <= WP_CONFIG_LEVEL_TERNARY &&
		    wp_config_at_op(p, "?")) {
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
		right = wp_config_level(p, binaries[i].level + 1);
		v = combine(p, binaries[i].op, &v, &right);
	}
}

struct wp_config_value
wp_config_level(struct wp_config_parser *p, int level)
{
	struct wp_config_value v = wp_config_dynamic();

	if (p->depth >= DEPTH_MAX) {
		p->too_deep = true;
		return v;
	}
	p->depth++;
	v = level >= WP_CONFIG_LEVEL_UNARY ? parse_unary(p)
					   : parse_operators(p, level);
	p->depth--;
	return v;
}
