#include "formats/wp_config.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "formats/wp_config_private.h"

/* A wp-config.php has 4 KiB; 256 KiB of PHP make some 8 MiB of tokens. */
#define FILE_MAX_LEN ((size_t)256 * 1024)
#define ARENA_MAX_LEN ((size_t)32 * 1024 * 1024)
#define NESTING_MAX 64
#define INCLUDES_MAX 8

static void parse_statement(struct wp_config_parser *p);

static bool
at_end(const struct wp_config_parser *p)
{
	return p->t->kind == TOKEN_END || p->c->stopped || p->returned;
}

static bool
at_any_name(
    const struct wp_config_parser *p, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (wp_config_at_name(p, names[i]))
			return true;
	return false;
}

static void
skip_statement(struct wp_config_parser *p)
{
	wp_config_skip_to(p, ";");
	if (!wp_config_take_op(p, ";") && p->t->kind != TOKEN_END &&
	    !wp_config_at_op(p, "}"))
		p->t++;
}

/* `{ ... }`, or after a colon up to one of the closing words. */
static void
parse_block(struct wp_config_parser *p)
{
	while (!at_end(p) && !wp_config_at_op(p, "}"))
		parse_statement(p);
	(void)wp_config_take_op(p, "}");
}

static const char *const closing_words[] = { "endif", "else", "elseif",
	"endforeach", "endfor", "endwhile", "endswitch", "enddeclare" };

static void
parse_body(struct wp_config_parser *p, enum wp_config_live live)
{
	enum wp_config_live outer = p->live;

	p->live = live;
	if (wp_config_take_op(p, ":")) {
		while (!at_end(p) && !wp_config_at_op(p, "}") &&
		       !at_any_name(p, closing_words, NELEMS(closing_words)))
			parse_statement(p);
	} else {
		parse_statement(p);
	}
	p->live = outer;
}

static struct wp_config_value
parse_condition(struct wp_config_parser *p, enum wp_config_live live)
{
	enum wp_config_live outer = p->live;
	struct wp_config_value v = wp_config_dynamic();

	p->live = live;
	if (wp_config_take_op(p, "(")) {
		v = wp_config_expression(p, "");
		if (!wp_config_take_op(p, ")"))
			v = wp_config_dynamic();
	}
	p->live = outer;
	return v;
}

static void
parse_if(struct wp_config_parser *p)
{
	enum wp_config_live rest = p->live;
	struct wp_config_value condition;

	for (;;) {
		p->t++;
		condition = parse_condition(p, rest);
		parse_body(p, wp_config_branch(rest, &condition, true));
		rest = wp_config_branch(rest, &condition, false);
		if (wp_config_at_name(p, "elseif"))
			continue;
		if (!wp_config_at_name(p, "else"))
			break;
		p->t++;
		if (wp_config_at_name(p, "if"))
			continue;
		parse_body(p, rest);
		break;
	}
	if (wp_config_at_name(p, "endif")) {
		p->t++;
		(void)wp_config_take_op(p, ";");
	}
}

/* Loops, switch, try: their bodies may run any number of times. */
static void
parse_control(struct wp_config_parser *p)
{
	enum wp_config_live live =
	    p->live == CODE_DEAD ? CODE_DEAD : CODE_MAYBE;

	p->t++;
	if (wp_config_take_op(p, "(")) {
		wp_config_skip_to(p, "");
		(void)wp_config_take_op(p, ")");
	}
	if (wp_config_take_op(p, ";"))
		return;
	parse_body(p, live);
	if (at_any_name(p, closing_words, NELEMS(closing_words)) &&
	    !wp_config_at_name(p, "else") && !wp_config_at_name(p, "elseif") &&
	    !wp_config_at_name(p, "endif")) {
		p->t++;
		(void)wp_config_take_op(p, ";");
	}
}

/* Functions and classes do nothing until somebody calls them. */
static void
skip_declaration(struct wp_config_parser *p)
{
	enum wp_config_live outer = p->live;

	p->live = CODE_DEAD;
	wp_config_skip_to(p, ";{");
	if (wp_config_take_op(p, "{")) {
		wp_config_skip_to(p, "");
		(void)wp_config_take_op(p, "}");
	} else {
		(void)wp_config_take_op(p, ";");
	}
	p->live = outer;
}

/* #[...] before a function or class. */
static void
skip_attribute(struct wp_config_parser *p)
{
	wp_config_skip_to(p, "");
	(void)wp_config_take_op(p, "]");
}

/* const A = 1, B = 2; */
static void
parse_const(struct wp_config_parser *p)
{
	do {
		const struct wp_config_token *name = ++p->t;
		struct wp_config_value v;

		if (name->kind != TOKEN_NAME)
			break;
		p->t++;
		if (!wp_config_take_op(p, "="))
			break;
		v = wp_config_expression(p, ",;");
		v.line = name->line;
		wp_config_set_constant(p->c, name->text, v, p->live);
	} while (wp_config_at_op(p, ","));
	skip_statement(p);
}

static void
parse_expression_statement(struct wp_config_parser *p)
{
	const struct wp_config_token *before = p->t;

	(void)wp_config_expression(p, ";");
	if (p->t == before || !wp_config_take_op(p, ";"))
		skip_statement(p);
}

static void
parse_return(struct wp_config_parser *p)
{
	enum wp_config_live live = p->live;

	skip_statement(p);
	if (live == CODE_LIVE)
		p->returned = true;
}

static const char *const control_words[] = { "for", "foreach", "while", "do",
	"switch", "try", "catch", "finally", "declare" };
static const char *const declaration_words[] = { "function", "class",
	"abstract", "final", "interface", "trait", "enum", "readonly" };

static void
parse_nested(struct wp_config_parser *p)
{
	if (wp_config_at_name(p, "echo"))
		p->t++;
	if (wp_config_take_op(p, "{"))
		parse_block(p);
	else if (wp_config_take_op(p, "#["))
		skip_attribute(p);
	else if (wp_config_at_name(p, "if"))
		parse_if(p);
	else if (wp_config_at_name(p, "const"))
		parse_const(p);
	else if (wp_config_at_name(p, "return"))
		parse_return(p);
	else if (at_any_name(p, control_words, NELEMS(control_words)))
		parse_control(p);
	else if (at_any_name(p, declaration_words, NELEMS(declaration_words)))
		skip_declaration(p);
	else
		parse_expression_statement(p);
}

static void
parse_statement(struct wp_config_parser *p)
{
	if (wp_config_take_op(p, ";"))
		return;
	if (p->depth >= NESTING_MAX) {
		p->too_deep = true;
		p->returned = true;
		return;
	}
	p->depth++;
	parse_nested(p);
	p->depth--;
}

static void
parse_file(struct wp_config_parser *p)
{
	while (!at_end(p)) {
		/* A brace too many closes nothing. */
		if (wp_config_at_op(p, "}") || wp_config_at_op(p, ")") ||
		    wp_config_at_op(p, "]"))
			p->t++;
		else
			parse_statement(p);
	}
}

static enum rc
read_text(struct wp_config *c, struct slice php, struct slice path,
    const struct wp_config_env *env, enum wp_config_live live, unsigned depth,
    struct err *err)
{
	struct wp_config_token *tokens = NULL;
	struct wp_config_parser p = { .c = c,
		.env = env,
		.path = path,
		.live = live,
		.include_depth = depth,
		.err = err };
	size_t n;
	enum rc rc;

	if (php.n > FILE_MAX_LEN)
		return err_set(
		    err, RC_REJECT, "is over %zu bytes", FILE_MAX_LEN);
	rc = wp_config_lex(php, &c->arena, &tokens, &n, err);
	if (rc != RC_OK)
		return rc;
	p.t = tokens;
	parse_file(&p);
	if (p.too_deep)
		return err_set(
		    err, RC_REJECT, "line %u: nested too deep", p.t->line);
	if (c->exhausted)
		return err_set(err, RC_REJECT, "the file is too large");
	return RC_OK;
}

static void
note_unknown(struct wp_config_parser *p, const struct wp_config_value *path)
{
	struct wp_config *c = p->c;

	if (p->env && p->env->ignore_unknown_includes)
		return;
	c->tainted = true;
	if (c->unknown_include)
		return;
	c->unknown_include_line = path->line;
	c->unknown_include = path->type == WP_CONFIG_STRING
				 ? path->text.p
				 : "a file whose path is computed";
}

/* The end of every wp-config.php: WordPress itself begins. */
static bool
is_settings(struct slice path)
{
	static const char name[] = "wp-settings.php";
	size_t n = sizeof name - 1;

	return path.n >= n && slice_eq_str(slice_from(path, path.n - n), name);
}

void
wp_config_include(
    struct wp_config_parser *p, const struct wp_config_value *path)
{
	struct slice text;

	if (p->live == CODE_DEAD)
		return;
	if (path->type == WP_CONFIG_STRING && is_settings(path->text)) {
		if (p->live == CODE_LIVE)
			p->c->stopped = true;
		return;
	}
	if (path->type != WP_CONFIG_STRING || !p->env || !p->env->include ||
	    p->include_depth >= INCLUDES_MAX ||
	    slice_find(path->text, '\0') < path->text.n ||
	    !p->env->include(p->env->arg, path->text.p, &text) ||
	    read_text(p->c, text, path->text, p->env, p->live,
		p->include_depth + 1, NULL) != RC_OK)
		note_unknown(p, path);
}

struct wp_config *
wp_config_new(void)
{
	struct wp_config *c = xcalloc(1, sizeof *c);

	c->arena = (struct arena)ARENA_INIT(ARENA_MAX_LEN);
	return c;
}

void
wp_config_free(struct wp_config *c)
{
	if (!c)
		return;
	arena_clear(&c->arena);
	free(c);
}

void
wp_config_define(struct wp_config *c, const char *name, const char *text)
{
	wp_config_set_constant(c, slice_str(name),
	    wp_config_string(c, slice_str(text)), CODE_LIVE);
}

enum rc
wp_config_read(struct wp_config *c, struct slice php, const char *path,
    const struct wp_config_env *env, struct err *err)
{
	c->stopped = false;
	return read_text(c, php, slice_str(path), env, CODE_LIVE, 0, err);
}

const struct wp_config_value *
wp_config_find(const struct wp_config *c, const char *name)
{
	const struct wp_config_symbol *s = wp_config_symbol(c, slice_str(name));

	return s ? &s->value : NULL;
}

const char *
wp_config_unknown_include(const struct wp_config *c, unsigned *line)
{
	*line = c->unknown_include_line;
	return c->unknown_include;
}
