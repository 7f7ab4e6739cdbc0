#ifndef BASE_CLI_H
#define BASE_CLI_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * A command line's options as rows of a table: the daemon and wp-cronctl each
 * have one, and both what is read and what --help prints come from it.
 */
struct cli_option {
	const char *name;  /* with its dashes */
	const char *value; /* what it takes, for the help; NULL: a flag */
	size_t offset;     /* of its field, const char * or bool */
	const char *help;  /* one or more lines */
	unsigned use;      /* the caller's */
};

/*
 * cli_option_take - read "--name value", "--name=value" or "--flag" at
 * argv[*i] into its field of `to`; *i moves over what was taken. *row (may be
 * NULL) is the option. RC_REJECT: no such option, or no value; texts are
 * argv's.
 */
MUSTUSE enum rc cli_option_take(const struct cli_option *rows, size_t nrows,
    int argc, const char *const *argv, int *i, void *to,
    const struct cli_option **row, struct err *err);

/* Its lines of --help; explanations begin at `column`. */
void cli_option_help(
    struct buf *out, const struct cli_option *row, size_t column);
/* "  NAME    text": a line of help, its text in the column too. */
void cli_help_line(
    struct buf *out, const char *name, const char *text, size_t column);

#endif
