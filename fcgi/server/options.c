#include "server/options.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"

#define HELP_MAX 8192
/* Column at which the explanations begin. */
#define HELP_COLUMN 24

struct option_row {
	const char *name;  /* with its dashes */
	const char *value; /* what it takes, for the help; NULL: a flag */
	size_t offset;     /* into struct options: const char * or bool */
	const char *help;
};

#define TEXT(name, value, field, help)                                         \
	{                                                                      \
		name, value, offsetof(struct options, field), help             \
	}
#define FLAG(name, field, help)                                                \
	{                                                                      \
		name, NULL, offsetof(struct options, field), help              \
	}

static const struct option_row rows[] = {
	TEXT("--root", "DIR", root,
	    "run the WordPress in DIR (where wp-load.php is)"),
	TEXT("-c", "FILE", config,
	    "configuration; without --root: " OPTIONS_CONFIG_DEFAULT),
	TEXT("--listen", "ADDR", listen,
	    "unix:PATH or HOST:PORT; else the inherited socket (systemd,\n"
	    "spawn-fcgi), the configuration, " OPTIONS_LISTEN_DEFAULT),
	TEXT("--socket-mode", "MODE", socket_mode,
	    "of the unix socket, octal; 0660"),
	TEXT("--socket-owner", "U:G", socket_owner,
	    "user, user:group or :group of the unix socket"),
	FLAG("--check", check, "test configuration and database: exit 0 or 78"),
	FLAG("--foreground", foreground,
	    "do not go to the background, as always with an inherited\n"
	    "socket or under systemd"),
	TEXT(
	    "--log-level", "LEVEL", log_level_name, "err, warn, info or debug"),
	FLAG("--version", version, "print the version"),
	FLAG("--help", help, "print this"),
};

static const struct option_row *
row_find(struct slice name)
{
	for (size_t i = 0; i < NELEMS(rows); i++)
		if (slice_eq_str(name, rows[i].name))
			return &rows[i];
	return NULL;
}

static enum rc
check(struct options *o, struct err *err)
{
	if (o->log_level_name &&
	    !log_level_parse(slice_str(o->log_level_name), &o->log_level))
		return err_set(err, RC_REJECT,
		    "--log-level is err, warn, info or debug, not \"%s\"",
		    o->log_level_name);
	return RC_OK;
}

/* "--name value", "--name=value" or "--flag"; *i moves over what was taken. */
static enum rc
take(int argc, const char *const *argv, int *i, struct options *o,
    struct err *err)
{
	struct slice arg = slice_str(argv[*i]);
	size_t eq = arg.n > 1 && arg.p[1] == '-' ? slice_find(arg, '=') : arg.n;
	const struct option_row *row = row_find(slice_mem(arg.p, eq));
	void *field;

	if (!row)
		return err_set(err, RC_REJECT,
		    "unknown option \"%s\" (see --help)", argv[*i]);
	field = (char *)o + row->offset;
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

enum rc
options_parse(
    int argc, const char *const *argv, struct options *out, struct err *err)
{
	enum rc rc = RC_OK;

	*out = (struct options){ 0 };
	for (int i = 1; i < argc && rc == RC_OK; i++)
		rc = take(argc, argv, &i, out, err);
	return rc == RC_OK ? check(out, err) : rc;
}

static void
put_row(struct buf *b, const struct option_row *row)
{
	struct slice help = slice_str(row->help), line;
	char left[HELP_COLUMN + 1];
	size_t end;

	snprintf(left, sizeof(left), "  %s %s", row->name,
	    row->value ? row->value : "");
	for (; help.n > 0; help = slice_from(help, end + 1)) {
		end = slice_find(help, '\n');
		line = slice_mem(help.p, end);
		buf_printf(b, "%-*s%.*s\n", HELP_COLUMN, left, SLICE_FMT(line));
		left[0] = '\0';
	}
}

void
options_print_help(int fd)
{
	struct buf b = BUF_INIT(HELP_MAX);

	buf_put_str(&b,
	    "usage: wp-cron-fcgi [--root DIR] [-c FILE] [options]\n"
	    "Answers WordPress' wp-cron.php over FastCGI and runs what is due."
	    "\n\n");
	for (size_t i = 0; i < NELEMS(rows); i++)
		put_row(&b, &rows[i]);
	buf_put_str(&b,
	    "\nSignals: TERM, INT stop when running work has ended (a second\n"
	    "one at once); HUP reads the configuration again; USR1 logs the\n"
	    "state. Logs go to standard error, also in the background.\n"
	    "Exit: 0 done, 64 usage, 69 database away, 70 bug, "
	    "78 configuration.\n");
	(void)!write(fd, buf_str(&b), b.n);
	buf_clear(&b);
}
