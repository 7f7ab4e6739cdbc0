#include "formats/wp_config_lex.h"

#include <stdlib.h>
#include <string.h>

struct lexer {
	struct slice s;
	size_t at;
	unsigned line;
	struct arena *arena;
	struct wp_config_token *tokens;
	size_t n, cap;
	struct err *err;
};

/* Longest first, so that the first that fits is the operator. */
static const char *const operators[] = { "<<=", ">>=", "**=", "...", "<=>",
	"===", "!==", "?\?=", "?->", "==", "!=", "<>", "<=", ">=", "&&", "||",
	"??", "->", "=>", "::", "++", "--",
	"+=", "-=", "*=", "/=", ".=", "%=", "&=", "|=", "^=", "<<", ">>", "**",
	"#[" };

static enum rc
fail(struct lexer *l, unsigned line, const char *what)
{
	return err_set(l->err, RC_REJECT, "line %u: %s", line, what);
}

static bool
looking_at(const struct lexer *l, const char *text)
{
	return slice_starts(slice_from(l->s, l->at), slice_str(text));
}

static char
peek(const struct lexer *l, size_t ahead)
{
	return (char)(l->s.n - l->at > ahead ? l->s.p[l->at + ahead] : '\0');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (unsigned char)c >= 0x80;
}

static bool
is_name_byte(char c)
{
	return is_name_start(c) || is_digit(c);
}

static enum rc
add(struct lexer *l, struct wp_config_token t)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 256;
		struct wp_config_token *more =
		    arena_array(l->arena, cap, sizeof *more);

		if (!more)
			return fail(l, t.line, "the file is too large");
		if (l->n > 0)
			memcpy(more, l->tokens, l->n * sizeof *more);
		l->tokens = more;
		l->cap = cap;
	}
	l->tokens[l->n++] = t;
	return RC_OK;
}

static enum rc
add_kind(struct lexer *l, enum wp_config_token_kind kind, struct slice text,
    unsigned line)
{
	return add(l, (struct wp_config_token){
			  .kind = kind, .text = text, .line = line });
}

static void
advance(struct lexer *l, size_t n)
{
	for (; n > 0 && l->at < l->s.n; n--)
		l->line += l->s.p[l->at++] == '\n';
}

/* To the byte after the next PHP opening tag, or to the end. */
static enum rc
skip_html(struct lexer *l)
{
	while (l->at < l->s.n) {
		if (looking_at(l, "<?=")) {
			advance(l, 3);
			return add_kind(
			    l, TOKEN_NAME, SLICE_LIT("echo"), l->line);
		}
		if (looking_at(l, "<?") && l->s.n - l->at >= 5 &&
		    slice_eq_nocase(
			slice_mem(l->s.p + l->at, 5), SLICE_LIT("<?php"))) {
			advance(l, 5);
			return RC_OK;
		}
		advance(l, 1);
	}
	return RC_OK;
}

static void
skip_line_comment(struct lexer *l)
{
	while (l->at < l->s.n && peek(l, 0) != '\n' && !looking_at(l, "?>"))
		l->at++;
}

static enum rc
skip_block_comment(struct lexer *l)
{
	unsigned line = l->line;

	while (l->at < l->s.n && !looking_at(l, "*/"))
		advance(l, 1);
	if (l->at == l->s.n)
		return fail(l, line, "the comment does not end");
	advance(l, 2);
	return RC_OK;
}

/* ---- strings ---------------------------------------------------------- */

static size_t
put_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xC0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3F));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xE0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3F));
		out[2] = (char)(0x80 | (c & 0x3F));
		return 3;
	}
	out[0] = (char)(0xF0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3F));
	out[2] = (char)(0x80 | (c >> 6 & 0x3F));
	out[3] = (char)(0x80 | (c & 0x3F));
	return 4;
}

/* \u{41}: the bytes it takes, 0 when it is none; *n bytes go out. */
static size_t
unicode_escape(struct slice s, char *out, size_t *n)
{
	uint32_t c = 0;
	size_t i = 2;

	if (!slice_starts(s, SLICE_LIT("u{")))
		return 0;
	for (; i < s.n && slice_hex_digit(s.p[i]) >= 0; i++) {
		c = c * 16 + (uint32_t)slice_hex_digit(s.p[i]);
		if (c > 0x10FFFF)
			return 0;
	}
	if (i == 2 || i == s.n || s.p[i] != '}')
		return 0;
	*n = put_utf8(out, c);
	return i + 1;
}

/*
 * The bytes of `s` (after a backslash in double quotes) that the escape takes;
 * 0: it is none, and the backslash stays. No escape is shorter than what it
 * stands for.
 */
static size_t
double_escape(struct slice s, char *out, size_t *n)
{
	static const char from[] = "ntrvef\\$\"";
	static const char to[] = "\n\t\r\v\033\f\\$\"";
	const char *hit = s.n > 0 && s.p[0] ? strchr(from, s.p[0]) : NULL;
	unsigned v = 0;
	size_t i = 0;

	*n = 1;
	if (hit) {
		out[0] = to[hit - from];
		return 1;
	}
	while (i < 3 && i < s.n && s.p[i] >= '0' && s.p[i] <= '7')
		v = v * 8 + (unsigned)(s.p[i++] - '0');
	if (i == 0 && s.n > 1 && s.p[0] == 'x' &&
	    slice_hex_digit(s.p[1]) >= 0) {
		for (i = 1; i < 3 && i < s.n && slice_hex_digit(s.p[i]) >= 0;
		     i++)
			v = v * 16 + (unsigned)slice_hex_digit(s.p[i]);
	}
	if (i > 0) {
		out[0] = (char)(unsigned char)v;
		return i;
	}
	return unicode_escape(s, out, n);
}

static size_t
single_escape(struct slice s, char *out, size_t *n)
{
	if (s.n == 0 || (s.p[0] != '\\' && s.p[0] != '\''))
		return 0;
	out[0] = s.p[0];
	*n = 1;
	return 1;
}

/* "$name", "${name}" and "{$name}". */
static bool
interpolates(const struct lexer *l)
{
	char c = peek(l, 0), next = peek(l, 1);

	return (c == '$' && (is_name_start(next) || next == '{')) ||
	       (c == '{' && next == '$');
}

static enum rc
lex_string(struct lexer *l)
{
	unsigned line = l->line;
	char quote = peek(l, 0);
	size_t end = l->at + 1, n = 0;
	bool dynamic = quote == '`';
	char *out;

	while (end < l->s.n && l->s.p[end] != quote)
		end += l->s.p[end] == '\\' ? 2 : 1;
	if (end >= l->s.n)
		return fail(l, line, "the string does not end");
	out = arena_alloc(l->arena, end - l->at);
	if (!out)
		return fail(l, line, "the file is too large");
	advance(l, 1);
	while (l->at < end) {
		struct slice s = slice_mem(l->s.p + l->at, end - l->at);
		size_t took = 0, gave = 0;

		if (quote == '"' && interpolates(l))
			dynamic = true;
		if (s.p[0] == '\\')
			took = quote == '\'' ? single_escape(slice_from(s, 1),
						   out + n, &gave)
					     : double_escape(slice_from(s, 1),
						   out + n, &gave);
		if (took > 0) {
			n += gave;
			advance(l, took + 1);
		} else {
			out[n++] = s.p[0];
			advance(l, 1);
		}
	}
	advance(l, 1);
	return add_kind(
	    l, dynamic ? TOKEN_DYNAMIC : TOKEN_STRING, slice_mem(out, n), line);
}

/* <<<EOT, <<<"EOT" and <<<'EOT', closed by the name alone on its line. */
static enum rc
lex_heredoc(struct lexer *l)
{
	unsigned line = l->line;
	struct slice name;
	size_t start;
	bool quoted;

	advance(l, 3);
	while (peek(l, 0) == ' ' || peek(l, 0) == '\t')
		advance(l, 1);
	quoted = peek(l, 0) == '"' || peek(l, 0) == '\'';
	advance(l, quoted ? 1 : 0);
	start = l->at;
	while (is_name_byte(peek(l, 0)))
		advance(l, 1);
	name = slice_mem(l->s.p + start, l->at - start);
	if (name.n == 0)
		return fail(l, line, "the heredoc has no name");
	while (l->at < l->s.n) {
		while (l->at < l->s.n && peek(l, 0) != '\n')
			advance(l, 1);
		advance(l, 1);
		while (peek(l, 0) == ' ' || peek(l, 0) == '\t')
			advance(l, 1);
		if (slice_starts(slice_from(l->s, l->at), name) &&
		    !is_name_byte(peek(l, name.n))) {
			advance(l, name.n);
			return add_kind(l, TOKEN_DYNAMIC, SLICE_NONE, line);
		}
	}
	return fail(l, line, "the heredoc does not end");
}

/* ---- numbers and names ------------------------------------------------ */

/* The digits without PHP's `_` between them, NUL-terminated. */
static const char *
number_text(struct lexer *l, size_t from)
{
	char *out = arena_alloc(l->arena, l->at - from + 1);
	size_t n = 0;

	for (size_t i = from; out && i < l->at; i++)
		if (l->s.p[i] != '_')
			out[n++] = l->s.p[i];
	return out;
}

static bool
read_int(struct slice digits, unsigned base, int64_t *out)
{
	uint64_t v = 0;

	for (size_t i = 0; i < digits.n; i++) {
		int d = slice_hex_digit(digits.p[i]);

		if (d < 0 || (unsigned)d >= base ||
		    v > ((uint64_t)INT64_MAX - (unsigned)d) / base)
			return false;
		v = v * base + (unsigned)d;
	}
	*out = (int64_t)v;
	return digits.n > 0;
}

static bool
read_based_int(struct slice s, int64_t *out)
{
	char mark = (char)(s.n > 1 ? s.p[1] | 0x20 : '\0');

	if (s.p[0] != '0' || s.n == 1)
		return read_int(s, 10, out);
	if (mark == 'x')
		return read_int(slice_from(s, 2), 16, out);
	if (mark == 'b')
		return read_int(slice_from(s, 2), 2, out);
	return read_int(slice_from(s, mark == 'o' ? 2 : 1), 8, out);
}

static enum rc
lex_number(struct lexer *l)
{
	size_t from = l->at;
	bool based =
	    peek(l, 0) == '0' && strchr("xXbBoO", peek(l, 1)) && peek(l, 1);
	bool fraction = false;
	struct wp_config_token t = { .line = l->line };
	const char *text;

	for (;;) {
		char c = peek(l, 0);

		if (!based && (c == '.' || c == 'e' || c == 'E')) {
			if (c != '.' && !is_digit(peek(l, 1)) &&
			    !(strchr("+-", peek(l, 1)) && is_digit(peek(l, 2))))
				break;
			fraction = true;
			if (c != '.')
				l->at++;
		} else if (!(is_digit(c) || c == '_' ||
			       (based && is_name_byte(c)))) {
			break;
		}
		l->at++;
	}
	text = number_text(l, from);
	if (!text)
		return fail(l, t.line, "the file is too large");
	t.text = slice_str(text);
	if (!fraction && read_based_int(t.text, &t.i64)) {
		t.kind = TOKEN_INT;
	} else {
		/* PHP takes an integer that does not fit for a float. */
		t.kind = based ? TOKEN_DYNAMIC : TOKEN_FLOAT;
		t.f64 = strtod(text, NULL);
	}
	return add(l, t);
}

static enum rc
lex_name(struct lexer *l)
{
	size_t from = l->at;
	bool variable = peek(l, 0) == '$';

	advance(l, 1);
	while (is_name_byte(peek(l, 0)) || (!variable && peek(l, 0) == '\\'))
		l->at++;
	/* \define is the global function, as define is here. */
	if (!variable && l->s.p[from] == '\\')
		from++;
	return add_kind(l, variable ? TOKEN_VARIABLE : TOKEN_NAME,
	    slice_mem(l->s.p + from, l->at - from), l->line);
}

static enum rc
lex_op(struct lexer *l)
{
	size_t n = 1, from = l->at;

	for (size_t i = 0; i < NELEMS(operators); i++) {
		if (looking_at(l, operators[i])) {
			n = strlen(operators[i]);
			break;
		}
	}
	l->at += n;
	return add_kind(l, TOKEN_OP, slice_mem(l->s.p + from, n), l->line);
}

static enum rc
lex_one(struct lexer *l)
{
	char c = peek(l, 0), next = peek(l, 1);
	enum rc rc;

	if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
		advance(l, 1);
		return RC_OK;
	}
	if (looking_at(l, "?>")) {
		rc = add_kind(l, TOKEN_OP, SLICE_LIT(";"), l->line);
		advance(l, 2);
		return rc == RC_OK ? skip_html(l) : rc;
	}
	if (looking_at(l, "//") || (c == '#' && next != '[')) {
		skip_line_comment(l);
		return RC_OK;
	}
	if (looking_at(l, "/*"))
		return skip_block_comment(l);
	if (c == '\'' || c == '"' || c == '`')
		return lex_string(l);
	if (looking_at(l, "<<<"))
		return lex_heredoc(l);
	if (is_digit(c) || (c == '.' && is_digit(next)))
		return lex_number(l);
	if (is_name_start(c) ||
	    ((c == '$' || c == '\\') && is_name_start(next)))
		return lex_name(l);
	return lex_op(l);
}

enum rc
wp_config_lex(struct slice php, struct arena *a, struct wp_config_token **out,
    size_t *n, struct err *err)
{
	struct lexer l = { .s = php, .line = 1, .arena = a, .err = err };
	enum rc rc = skip_html(&l);

	while (rc == RC_OK && l.at < l.s.n) {
		rc = lex_one(&l);
		if (l.n > 0 && l.tokens[l.n - 1].kind == TOKEN_NAME &&
		    slice_eq_nocase(
			l.tokens[l.n - 1].text, SLICE_LIT("__halt_compiler")))
			break;
	}
	if (rc == RC_OK)
		rc = add_kind(&l, TOKEN_END, SLICE_NONE, l.line);
	*out = l.tokens;
	*n = l.n;
	return rc;
}
