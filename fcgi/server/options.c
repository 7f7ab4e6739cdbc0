#include "server/options.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cli.h"

#define HELP_MAX 8192
/* Column at which the explanations begin. */
#define HELP_COLUMN 24

#define TEXT(name, value, field, help)                                         \
	{                                                                      \
		name, value, offsetof(struct options, field), help, 0          \
	}
#define FLAG(name, field, help)                                                \
	{                                                                      \
		name, NULL, offsetof(struct options, field), help, 0           \
	}

static const struct cli_option rows[] = {
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

enum rc
options_parse(
    int argc, const char *const *argv, struct options *out, struct err *err)
{
	enum rc rc = RC_OK;

	*out = (struct options){ 0 };
	for (int i = 1; i < argc && rc == RC_OK; i++)
		rc = cli_option_take(
		    rows, NELEMS(rows), argc, argv, &i, out, NULL, err);
	return rc == RC_OK ? check(out, err) : rc;
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
		cli_option_help(&b, &rows[i], HELP_COLUMN);
	buf_put_str(&b,
	    "\nSignals: TERM, INT stop when running work has ended (a second\n"
	    "one at once); HUP reads the configuration again; USR1 logs the\n"
	    "state. Logs go to standard error, also in the background.\n"
	    "Exit: 0 done, 64 usage, 69 database away, 70 bug, "
	    "78 configuration.\n");
	(void)!write(fd, buf_str(&b), b.n);
	buf_clear(&b);
}
