#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "commands.h"

static enum rc
open_sites(struct ctl *c, struct err *err)
{
	const struct ctl_options *o = &c->opts;
	const char *path = o->config;
	enum rc rc;

	if (!path && !o->root)
		path = CTL_CONFIG_DEFAULT;
	rc = config_load(path, o->root, &c->config, err);
	if (rc != RC_OK)
		return rc;
	c->sites = xcalloc(c->config->nsites + 1, sizeof(struct site *));
	for (size_t i = 0; i < c->config->nsites; i++) {
		const struct config_site *s = &c->config->sites[i];

		if (o->site && strcmp(o->site, s->name) != 0)
			continue;
		rc = site_open(s, &c->sites[c->nsites], err);
		if (rc != RC_OK)
			return err_wrap(err, "site %s", s->name);
		c->nsites++;
	}
	if (c->nsites == 0)
		return err_set(err, RC_REJECT,
		    o->site ? "there is no [site %s] in the configuration"
			    : "no site%s: give --root DIR or a [site NAME] "
			      "section",
		    o->site ? o->site : "");
	return RC_OK;
}

static int
run(struct ctl *c)
{
	struct err err = ERR_INIT;
	enum rc rc;

	if (c->opts.help)
		return cmd_help(c);
	if (c->opts.version)
		return cmd_version(c);
	if (c->command->use & USE_NO_SITE)
		return c->command->run(c);
	if (open_sites(c, &err) != RC_OK)
		return ctl_error(c, &err);
	if (c->nsites > 1 && !(c->command->use & USE_ALL_SITES))
		return ctl_fail(c, EXIT_USAGE,
		    "the configuration has %zu sites; choose one with --site",
		    c->nsites);
	rc = db_library_begin(&err);
	if (rc != RC_OK)
		return ctl_error(c, &err);
	c->db_library = true;
	return c->command->run(c);
}

int
main(int argc, char **argv)
{
	struct ctl c = { .nsites = 0 };
	const char **words = xcalloc((size_t)argc + 1, sizeof *words);
	struct err err = ERR_INIT;
	int status;

	/* Data is on standard output; what the library logs is a notice. */
	log_set_output(STDERR_FILENO, false);
	if (commands_parse(&c, argc, (const char *const *)argv, words, &err) !=
	    RC_OK)
		status = ctl_fail(&c, EXIT_USAGE, "%s", err.text);
	else
		status = run(&c);
	if (c.db_library)
		db_library_end();
	for (size_t i = 0; i < c.nsites; i++)
		site_free(c.sites[i]);
	free(c.sites);
	config_unref(c.config);
	free(words);
	return status;
}
