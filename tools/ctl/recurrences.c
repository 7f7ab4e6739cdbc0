#include "recurrences.h"

#include <stdlib.h>

#include "executors/php.h"

/* wp_get_schedules(), without a plugin's. */
static const struct {
	const char *name;
	int64_t interval;
} own[] = {
	{ "hourly", 3600 },
	{ "twicedaily", 43200 },
	{ "daily", 86400 },
	{ "weekly", 604800 },
};

void
recurrences_clear(struct recurrences *r)
{
	json_decref(r->export);
	r->export = NULL;
}

static enum rc
ask(struct recurrences *r, struct err *err)
{
	const struct site *site = r->place->site;
	const struct config_site *config = site->config;
	const struct php_executor_opts opts = {
		.address = config->php_fpm,
		.worker_script = config->worker_script ? config->worker_script
						       : CTL_WORKER_SCRIPT,
		.root = site->root,
		.salts = site->salts,
		.home = r->place->facts.home,
		.blog_id = r->place->blog_id,
	};
	char *text = NULL;
	enum rc rc;

	if (!config->php_fpm)
		return err_set(err, RC_REJECT,
		    "only PHP knows that recurrence, and there is no php_fpm "
		    "in [site %s]",
		    site->name);
	rc = php_executor_export(&opts, &text, err);
	if (rc == RC_OK)
		r->export = json_loads(text, 0, NULL);
	free(text);
	if (rc == RC_OK && !r->export)
		rc = err_set(err, RC_RETRY, "PHP's answer is no JSON");
	return rc;
}

enum rc
recurrences_find(struct recurrences *r, struct slice name, int64_t *interval,
    struct err *err)
{
	const json_t *v;
	enum rc rc = RC_OK;
	char text[256];

	for (size_t i = 0; i < NELEMS(own); i++)
		if (slice_eq_str(name, own[i].name)) {
			*interval = own[i].interval;
			return RC_OK;
		}
	if (!r->export)
		rc = ask(r, err);
	if (rc != RC_OK)
		return rc;
	(void)snprintf(text, sizeof text, "%.*s", SLICE_FMT(name));
	v = json_object_get(json_object_get(r->export, "recurrences"), text);
	*interval = json_integer_value(v);
	if (*interval > 0)
		return RC_OK;
	return err_set(err, RC_NONE,
	    "'%s' is not a valid schedule name for recurrence", text);
}
