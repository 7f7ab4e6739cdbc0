#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "server/daemon.h"
#include "server/options.h"

#define EXIT_USAGE 64
#define EXIT_CONFIG 78

int
main(int argc, char **argv)
{
	struct options o;
	struct err err = ERR_INIT;
	enum rc rc;

	if (options_parse(argc, (const char *const *)argv, &o, &err) != RC_OK) {
		(void)fprintf(stderr, "wp-cron-fcgi: %s\n", err.text);
		return EXIT_USAGE;
	}
	if (o.help) {
		options_print_help(STDOUT_FILENO);
		return 0;
	}
	if (o.version) {
		puts("wp-cron-fcgi " VERSION);
		return 0;
	}
	if (!o.check)
		return daemon_exit_status(daemon_run(&o, &err));
	rc = daemon_check(&o, &err);
	if (rc == RC_OK)
		return 0;
	(void)fprintf(stderr, "wp-cron-fcgi: %s\n", err.text);
	return EXIT_CONFIG;
}
