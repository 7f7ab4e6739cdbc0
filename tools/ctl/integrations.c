#include "integrations.h"

#include <string.h>

enum rc
integration_open(struct contacts_view *v, const struct newspack_integration *i,
    struct integration_esp *out, struct err *err)
{
	const char *remedy;
	enum rc rc;

	memset(out, 0, sizeof *out);
	out->of = *i;
	out->run.env = &v->env;
	out->run.settings = v->newspack;
	out->run.deadline = INT64_MAX;
	/* Tokens are renewed by the site alone: of two that share one, the
	 * other is locked out. */
	if (contacts_held(v, &remedy)) {
		out->of.refresh_token = NULL;
		out->of.own_tokens = false;
	}
	rc = contact_account_open(&out->account, &out->run, &out->of, err);
	out->esp = out->account.esp;
	if (rc == RC_NONE)
		return err_set(
		    err, RC_REJECT, "it is not set up: %s", out->account.why);
	if (rc == RC_OK && !out->esp)
		return err_set(err, RC_REJECT,
		    "only the plugin's PHP knows the integration %s", i->id);
	if (rc == RC_OK && out->account.rests)
		return err_set(err, RC_RETRY, "%s", out->account.why);
	return rc;
}

void
integration_close(struct integration_esp *x)
{
	contact_account_close(&x->account);
	x->esp = NULL;
}

enum rc
integration_rc(const struct integration_esp *x, enum rc rc, struct err *err)
{
	if (rc != RC_OK && *err->text == '\0')
		return err_set(err, rc, "%s",
		    *x->account.why ? x->account.why
				    : "the provider does not answer");
	return rc;
}

enum rc
integration_php(const struct contacts_view *v, struct php_executor_opts *out,
    struct err *err)
{
	const struct site *site = v->place->site;
	const struct config_site *c = site->config;

	*out = (struct php_executor_opts){
		.address = c->php_fpm,
		.worker_script =
		    c->worker_script ? c->worker_script : CTL_WORKER_SCRIPT,
		.root = site->root,
		.salts = site->salts,
		.home = v->place->facts.siteurl,
		.blog_id = v->place->blog_id,
	};
	if (c->php_fpm)
		return RC_OK;
	return err_set(
	    err, RC_REJECT, "there is no php_fpm in [site %s]", site->name);
}
