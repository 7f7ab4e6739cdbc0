#ifndef FORMATS_WP_CONFIG_LEX_H
#define FORMATS_WP_CONFIG_LEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

/* The tokens of PHP that a configuration file is made of. */
enum wp_config_token_kind {
	TOKEN_END,
	TOKEN_NAME,     /* keyword, constant, function; without a leading \ */
	TOKEN_VARIABLE, /* text with the $ */
	TOKEN_INT,
	TOKEN_FLOAT,
	TOKEN_STRING,  /* text decoded */
	TOKEN_DYNAMIC, /* a string with a variable inside, heredoc, `shell` */
	TOKEN_OP,      /* text as written */
};

struct wp_config_token {
	enum wp_config_token_kind kind;
	unsigned line;
	struct slice text;
	int64_t i64;
	double f64;
};

/*
 * wp_config_lex - all tokens of a file, TOKEN_END last, in the arena. What
 * is outside PHP tags is skipped, ?> becomes `;`.
 */
MUSTUSE enum rc wp_config_lex(struct slice php, struct arena *a,
    struct wp_config_token **out, size_t *n, struct err *err);

#endif
