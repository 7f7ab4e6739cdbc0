#include <string.h>

#include "formats/wp_config_private.h"

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

void
wp_config_spoil(struct wp_config_parser *p, const struct wp_config_token *t)
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
		wp_config_spoil(p, p->t);
	}
}

bool
wp_config_close_level(struct wp_config_parser *p, const char *close)
{
	bool clean = wp_config_at_op(p, close);

	wp_config_skip_to(p, "");
	(void)wp_config_take_op(p, close);
	return clean;
}
