#include "base/cli.h"

#include <stdbool.h>

#include "base/slice.h"

#define HELP_NAME_MAX 128

static const struct cli_option *
row_find(const struct cli_option *rows, size_t nrows, struct slice name)
{
	for (size_t i = 0; i < nrows; i++)
		if (slice_eq_str(name, rows[i].name))
			return &rows[i];
	return NULL;
}

enum rc
cli_option_take(const struct cli_option *rows, size_t nrows, int argc,
    const char *const *argv, int *i, void *to, const struct cli_option **out,
    struct err *err)
{
	struct slice arg = slice_str(argv[*i]);
	size_t eq = arg.n > 1 && arg.p[1] == '-' ? slice_find(arg, '=') : arg.n;
	const struct cli_option *row =
	    row_find(rows, nrows, slice_mem(arg.p, eq));
	void *field;

	if (!row)
		return err_set(err, RC_REJECT,
		    "unknown option \"%s\" (see --help)", argv[*i]);
	if (out)
		*out = row;
	field = (char *)to + row->offset;
	if (!row->value) {
		if (eq < arg.n)
			return err_set(
			    err, RC_REJECT, "%s takes no value", row->name);
		*(bool *)field = true;
	} else if (eq < arg.n) {
		*(const char **)field = arg.p + eq + 1;
	} else if (*i + 1 < argc) {
		*(const char **)field = argv[++*i];
	} else {
		return err_set(err, RC_REJECT, "%s needs a value: %s",
		    row->name, row->value);
	}
	return RC_OK;
}

void
cli_help_line(
    struct buf *out, const char *name, const char *text, size_t column)
{
	struct slice rest = slice_str(text), line;
	char left[HELP_NAME_MAX];
	size_t end;

	(void)snprintf(left, sizeof left, "  %s", name);
	/* A name that is too wide has the text below it. */
	if (slice_str(left).n >= column) {
		buf_printf(out, "%s\n", left);
		left[0] = '\0';
	}
	for (; rest.n > 0; rest = slice_from(rest, end + 1)) {
		end = slice_find(rest, '\n');
		line = slice_mem(rest.p, end);
		buf_printf(
		    out, "%-*s%.*s\n", (int)column, left, SLICE_FMT(line));
		left[0] = '\0';
	}
}

void
cli_option_help(struct buf *out, const struct cli_option *row, size_t column)
{
	char name[HELP_NAME_MAX];

	(void)snprintf(name, sizeof name, "%s%s%s", row->name,
	    row->value ? " " : "", row->value ? row->value : "");
	cli_help_line(out, name, row->help, column);
}
