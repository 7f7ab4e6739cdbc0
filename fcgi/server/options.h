#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include <stdbool.h>

#include "base/err.h"
#include "base/log.h"

#define OPTIONS_CONFIG_DEFAULT "/etc/wp-cron-fcgi.conf"
#define OPTIONS_LISTEN_DEFAULT "unix:/run/wp-cron-fcgi/wp-cron-fcgi.sock"

/* The daemon's command line. Strings are argv's. */
struct options {
	const char *root, *config, *listen;
	const char *socket_mode, *socket_owner;
	const char *log_level_name; /* NULL: the configuration's */
	enum log_level log_level;
	bool check, foreground, version, help;
};

/* options_parse - RC_REJECT: what is wrong, for exit 64. */
MUSTUSE enum rc options_parse(
    int argc, const char *const *argv, struct options *out, struct err *err);
/* Print what --help prints, made from the same table. */
void options_print_help(int fd);

#endif
