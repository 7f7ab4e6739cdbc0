/* What all work beside claims has in common. */
#include "engine/work.h"

#include "engine/site_prepare.h"

#define WORKER_SCRIPT PREFIX "/share/wp-cron-fcgi/worker.php"

enum rc
work_php_enter(const struct work_env *env, uint32_t wait_ms,
    struct php_executor_opts *out, struct err *err)
{
	const struct config_site *c = site_config(env->config, env->site);

	if (!c->php_fpm || !*env->site->salts)
		return err_set(err, RC_REJECT,
		    "only PHP knows this, and php_fpm is not set in [site] of "
		    "the configuration");
	*out = (struct php_executor_opts){
		.address = c->php_fpm,
		.worker_script =
		    c->worker_script ? c->worker_script : WORKER_SCRIPT,
		.root = env->site->root,
		.salts = env->site->salts,
		.home = env->siteurl,
		.context = ACTIONS_CONTEXT,
		.blog_id = env->blog_id,
		.clock = env->clock,
	};
	if (env->php_enter && !env->php_enter(env->arg, wait_ms))
		return err_set(err, RC_RETRY, "PHP has no place for this now");
	return RC_OK;
}

void
work_php_leave(const struct work_env *env)
{
	if (env->php_leave)
		env->php_leave(env->arg);
}

bool
work_stopping(const struct work_env *env)
{
	return env->stopping && env->stopping(env->arg);
}

bool
work_overdue(const struct work_env *env, mono_ms *stop_at)
{
	mono_ms now = clock_mono(env->clock);

	if (!work_stopping(env))
		return false;
	if (*stop_at == 0)
		*stop_at = now + env->config->daemon.shutdown_grace_ms;
	return now >= *stop_at;
}
