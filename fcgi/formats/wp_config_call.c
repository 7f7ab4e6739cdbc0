#include "formats/wp_config_private.h"

/* Of ext/mysqli: MYSQL_CLIENT_FLAGS is made of these. */
static const struct {
	const char *name;
	int64_t value;
} php_constants[] = {
	{ "MYSQLI_CLIENT_FOUND_ROWS", 2 },
	{ "MYSQLI_CLIENT_NO_SCHEMA", 16 },
	{ "MYSQLI_CLIENT_COMPRESS", 32 },
	{ "MYSQLI_CLIENT_SSL_DONT_VERIFY_SERVER_CERT", 64 },
	{ "MYSQLI_CLIENT_IGNORE_SPACE", 256 },
	{ "MYSQLI_CLIENT_INTERACTIVE", 1024 },
	{ "MYSQLI_CLIENT_SSL", 2048 },
	{ "MYSQL_CLIENT_COMPRESS", 32 },
	{ "MYSQL_CLIENT_IGNORE_SPACE", 256 },
	{ "MYSQL_CLIENT_INTERACTIVE", 1024 },
	{ "MYSQL_CLIENT_SSL", 2048 },
};

/* `(a, b, ...)`: up to `max` values, the number of all in *n. */
static void
arguments(struct wp_config_parser *p, struct wp_config_value *out, size_t max,
    size_t *n)
{
	*n = 0;
	if (!wp_config_take_op(p, "("))
		return;
	while (p->t->kind != TOKEN_END && !wp_config_at_any_op(p, ")]}")) {
		struct wp_config_value v = wp_config_expression(p, ",");

		if (*n < max)
			out[*n] = v;
		(*n)++;
		if (!wp_config_take_op(p, ","))
			break;
	}
	(void)wp_config_close_level(p, ")");
}

static struct wp_config_value
call_define(struct wp_config_parser *p, const struct wp_config_value *args,
    size_t n, unsigned line)
{
	struct wp_config_value v;

	if (n < 2)
		return wp_config_dynamic();
	if (args[0].type != WP_CONFIG_STRING) {
		/* Any name at all. */
		if (p->live != CODE_DEAD)
			p->c->tainted = true;
		return wp_config_dynamic();
	}
	v = args[1];
	v.line = line;
	wp_config_set_constant(p->c, args[0].text, v, p->live);
	return wp_config_bool(true);
}

static struct wp_config_value
is_defined(const struct wp_config_parser *p, struct slice name)
{
	const struct wp_config_symbol *s = wp_config_symbol(p->c, name);

	if (s)
		return s->maybe ? wp_config_dynamic() : wp_config_bool(true);
	return p->c->tainted ? wp_config_dynamic() : wp_config_bool(false);
}

static struct wp_config_value
call_defined(struct wp_config_parser *p, const struct wp_config_value *args,
    size_t n, unsigned line)
{
	(void)line;
	if (n != 1 || args[0].type != WP_CONFIG_STRING)
		return wp_config_dynamic();
	return is_defined(p, args[0].text);
}

struct wp_config_value
wp_config_getenv(struct wp_config_parser *p, struct slice name,
    struct wp_config_value absent)
{
	const char *text;

	if (!p->env || !p->env->getenv || slice_find(name, '\0') < name.n)
		return wp_config_dynamic();
	/* Names are NUL-terminated, as all text of the lexer's arena. */
	text = p->env->getenv(p->env->arg, name.p);
	return text ? wp_config_string(p->c, slice_str(text)) : absent;
}

static struct wp_config_value
call_getenv(struct wp_config_parser *p, const struct wp_config_value *args,
    size_t n, unsigned line)
{
	(void)line;
	if (n < 1 || args[0].type != WP_CONFIG_STRING)
		return wp_config_dynamic();
	return wp_config_getenv(p, args[0].text, wp_config_bool(false));
}

/* Of the container image's wp-config.php: X_FILE, else X, else a default. */
static struct wp_config_value
call_getenv_docker(struct wp_config_parser *p,
    const struct wp_config_value *args, size_t n, unsigned line)
{
	static const struct wp_config_value suffix = { .type = WP_CONFIG_STRING,
		.text = { "_FILE", 5 } };
	struct wp_config_value file;

	(void)line;
	if (n != 2 || args[0].type != WP_CONFIG_STRING)
		return wp_config_dynamic();
	file = wp_config_concat(p->c, &args[0], &suffix);
	if (file.type == WP_CONFIG_STRING)
		file = wp_config_getenv(p, file.text, wp_config_null());
	if (file.type != WP_CONFIG_NULL)
		return wp_config_dynamic();
	return wp_config_getenv(p, args[0].text, args[1]);
}

struct slice
wp_config_parent(struct slice path)
{
	while (path.n > 1 && path.p[path.n - 1] == '/')
		path.n--;
	while (path.n > 0 && path.p[path.n - 1] != '/')
		path.n--;
	while (path.n > 1 && path.p[path.n - 1] == '/')
		path.n--;
	return path.n > 0 ? path : SLICE_LIT(".");
}

static struct wp_config_value
call_dirname(struct wp_config_parser *p, const struct wp_config_value *args,
    size_t n, unsigned line)
{
	struct slice path;
	int64_t levels = 1;

	(void)line;
	if (n < 1 || n > 2 || args[0].type != WP_CONFIG_STRING)
		return wp_config_dynamic();
	if (n == 2) {
		if (args[1].type != WP_CONFIG_INT || args[1].i64 < 1 ||
		    args[1].i64 > 64)
			return wp_config_dynamic();
		levels = args[1].i64;
	}
	path = args[0].text;
	while (levels-- > 0)
		path = wp_config_parent(path);
	return wp_config_string(p->c, path);
}

struct wp_config_value
wp_config_constant(struct wp_config_parser *p, struct slice name)
{
	const struct wp_config_symbol *s = wp_config_symbol(p->c, name);

	if (s)
		return s->value;
	for (size_t i = 0; i < NELEMS(php_constants); i++)
		if (slice_eq_str(name, php_constants[i].name))
			return wp_config_int(php_constants[i].value);
	return wp_config_dynamic();
}

static struct wp_config_value
call_constant(struct wp_config_parser *p, const struct wp_config_value *args,
    size_t n, unsigned line)
{
	(void)line;
	if (n != 1 || args[0].type != WP_CONFIG_STRING)
		return wp_config_dynamic();
	return wp_config_constant(p, args[0].text);
}

static const struct {
	const char *name;
	struct wp_config_value (*call)(struct wp_config_parser *p,
	    const struct wp_config_value *args, size_t n, unsigned line);
} functions[] = {
	{ "define", call_define },
	{ "defined", call_defined },
	{ "getenv", call_getenv },
	{ "getenv_docker", call_getenv_docker },
	{ "dirname", call_dirname },
	{ "constant", call_constant },
};

struct wp_config_value
wp_config_call(struct wp_config_parser *p, const struct wp_config_token *name)
{
	struct wp_config_value args[3];
	size_t n, i = 0;

	while (i < NELEMS(functions) &&
	       !slice_eq_nocase(name->text, slice_str(functions[i].name)))
		i++;
	if (i == NELEMS(functions)) {
		/* By-reference arguments may change: spoil what is passed. */
		p->t++;
		(void)wp_config_close_level(p, ")");
		return wp_config_dynamic();
	}
	arguments(p, args, NELEMS(args), &n);
	return functions[i].call(p, args, n, name->line);
}
