#ifndef FORMATS_WP_CONFIG_PRIVATE_H
#define FORMATS_WP_CONFIG_PRIVATE_H

#include "formats/wp_config.h"
#include "formats/wp_config_lex.h"

/* A constant, or a variable with its $. */
struct wp_config_symbol {
	struct slice name;
	struct wp_config_value value;
	bool maybe; /* defined in code that may or may not run */
	struct wp_config_symbol *next;
};

struct wp_config {
	struct arena arena;
	struct wp_config_symbol *symbols;
	size_t nsymbols;
	const char *unknown_include;
	unsigned unknown_include_line;
	bool tainted;   /* a file was included that could define anything */
	bool exhausted; /* no memory; what follows is not trusted */
	bool stopped;   /* exit, or the end of wp-config.php's own work */
};

/* Does the code at hand run? */
enum wp_config_live {
	CODE_DEAD,
	CODE_MAYBE,
	CODE_LIVE,
};

struct wp_config_parser {
	struct wp_config *c;
	const struct wp_config_env *env;
	struct slice path;
	const struct wp_config_token *t; /* the next one; TOKEN_END is last */
	enum wp_config_live live;
	unsigned depth;
	bool too_deep;
	unsigned include_depth;
	bool returned;
	struct err *err;
};

/* ---- symbols (wp_config_value.c) ---- */
struct wp_config_symbol *wp_config_symbol(
    const struct wp_config *c, struct slice name);
/* The first define wins; under CODE_MAYBE the value is dynamic from then on. */
void wp_config_set_constant(struct wp_config *c, struct slice name,
    struct wp_config_value v, enum wp_config_live live);
/* The last assignment wins. */
void wp_config_set_variable(struct wp_config *c, struct slice name,
    struct wp_config_value v, enum wp_config_live live);

struct wp_config_value wp_config_null(void);
struct wp_config_value wp_config_dynamic(void);
struct wp_config_value wp_config_bool(bool b);
struct wp_config_value wp_config_int(int64_t i);
struct wp_config_value wp_config_string(struct wp_config *c, struct slice s);
/* a . b; dynamic unless both are known scalars. */
struct wp_config_value wp_config_concat(struct wp_config *c,
    const struct wp_config_value *a, const struct wp_config_value *b);
/* ===; dynamic where it is not known. */
struct wp_config_value wp_config_identical(
    const struct wp_config_value *a, const struct wp_config_value *b);

/* ---- tokens (wp_config_tokens.c) ---- */
bool wp_config_at_op(const struct wp_config_parser *p, const char *op);
bool wp_config_at_name(const struct wp_config_parser *p, const char *name);
/* One of the operators of one byte. */
bool wp_config_at_any_op(const struct wp_config_parser *p, const char *ops);
/* Step over the operator if it is the next token. */
bool wp_config_take_op(struct wp_config_parser *p, const char *op);
/*
 * Past the tokens up to one of the operators in `stops` (one byte each) at
 * this level of brackets, or to what closes the level. Whatever is defined or
 * assigned on the way is dynamic.
 */
void wp_config_skip_to(struct wp_config_parser *p, const char *stops);

/* Past the rest of a level of brackets; true: nothing was left of it. */
bool wp_config_close_level(struct wp_config_parser *p, const char *close);
/* Something happened to the name of this token that is not understood: what it
 * stands for is dynamic. */
void wp_config_spoil(
    struct wp_config_parser *p, const struct wp_config_token *t);

/* ---- expressions (wp_config_expr.c, wp_config_primary.c) ---- */
/*
 * wp_config_expression - the value of the expression at hand, with its effects
 * (define, assignment, include) as far as the code is live. What it does not
 * understand is dynamic; it stops at a token in `stops` or what closes the
 * level of brackets.
 */
struct wp_config_value wp_config_expression(
    struct wp_config_parser *p, const char *stops);

/* How tightly operators bind (PHP 8): from 0, loosest first. */
#define WP_CONFIG_LEVEL_TERNARY 5
#define WP_CONFIG_LEVEL_UNARY 18
/* The same, up to an operator that binds less tightly than `level`. */
struct wp_config_value wp_config_level(struct wp_config_parser *p, int level);
/* One operand: a literal, variable, call, array or (expression). */
struct wp_config_value wp_config_primary(struct wp_config_parser *p);

/*
 * Does code run that stands behind a condition, under `outer`? `wanted` false:
 * the code for when the condition does not hold.
 */
enum wp_config_live wp_config_branch(enum wp_config_live outer,
    const struct wp_config_value *condition, bool wanted);

/* ---- calls and constants (wp_config_call.c) ---- */
/* At the `(` behind a function's name: its value and effects. */
struct wp_config_value wp_config_call(
    struct wp_config_parser *p, const struct wp_config_token *name);
struct wp_config_value wp_config_constant(
    struct wp_config_parser *p, struct slice name);
struct wp_config_value wp_config_getenv(struct wp_config_parser *p,
    struct slice name, struct wp_config_value absent);
/* dirname() */
struct slice wp_config_parent(struct slice path);

/* ---- statements (wp_config.c) ---- */
/* include, require: the file's definitions, where its path is known. */
void wp_config_include(
    struct wp_config_parser *p, const struct wp_config_value *path);

#endif
