/* Which queues the companion plugin hands over, as an option of the blog
 * says. */
#include "engine/tasks_run_internal.h"

#include "base/log.h"
#include "formats/php_serialize.h"

#define OPTION_BYTES ((size_t)1 << 20)
#define NAMES_MAX 256

struct announced {
	struct arena a;
	struct db_rows *rows;
	struct slice names[NAMES_MAX + 1];
	size_t n, at; /* at: where ours is; n: nowhere */
};

static enum rc
read_announced(
    const struct work_env *env, struct announced *now, struct err *err)
{
	const struct sql_value name = V_STR(TASKS_ANNOUNCED);
	struct php_serialize_value v = { .nmembers = 0 };
	enum rc rc = db_select(env->db, &env->scope, SQL_TASKS_OPTIONS,
	    SQL_ARGS(name, name, name), &now->rows, err);

	if (rc != RC_OK)
		return rc;
	/* One that cannot be read is written anew. */
	if (db_rows_next(now->rows) &&
	    php_serialize_parse(db_text(now->rows, 1), &PHP_SERIALIZE_LIMITS,
		&now->a, &v, NULL) != RC_OK)
		v.nmembers = 0;
	for (size_t i = 0; i < v.nmembers && now->n < NAMES_MAX; i++)
		now->names[now->n++] = v.members[i].value.text;
	return RC_OK;
}

static void
find(struct announced *now, struct slice name)
{
	now->at = 0;
	while (now->at < now->n && !slice_eq(now->names[now->at], name))
		now->at++;
}

enum rc
tasks_turn_announce(const struct tasks_turn *t, bool ours, struct err *err)
{
	struct announced now = { .a = ARENA_INIT(OPTION_BYTES) };
	enum rc rc = RC_OK;

	if (t->env->facts->companion || !ours)
		rc = read_announced(t->env, &now, err);
	find(&now, t->q.name);
	if (rc == RC_OK && ours && t->env->facts->companion &&
	    now.at == now.n) {
		now.names[now.n++] = t->q.name;
		rc = tasks_announce(
		    t->env->db, &t->env->scope, now.names, now.n, err);
	} else if (rc == RC_OK && !ours && now.at < now.n) {
		now.names[now.at] = now.names[--now.n];
		rc = tasks_announce(
		    t->env->db, &t->env->scope, now.names, now.n, err);
	}
	db_rows_free(now.rows);
	arena_clear(&now.a);
	return rc;
}

static bool
is_configured(const struct work_env *env, struct slice queue)
{
	const struct config_tasks *c;

	for (size_t i = 0; (c = config_tasks(env->config, env->site->name, i));
	     i++)
		if (slice_eq_str(queue, c->queue))
			return true;
	return false;
}

enum rc
tasks_forget_run(const struct work_env *env, struct err *err)
{
	struct announced now = { .a = ARENA_INIT(OPTION_BYTES) };
	enum rc rc = read_announced(env, &now, err);
	size_t kept = 0;

	for (size_t i = 0; i < now.n; i++) {
		if (is_configured(env, now.names[i])) {
			now.names[kept++] = now.names[i];
			continue;
		}
		log_event(LOG_WARN, "tasks.forgotten",
		    LOG_S("site", env->site->name),
		    LOG_SLICE("queue", now.names[i]),
		    LOG_S("why", "no [tasks] names it any more: the plugin "
				 "keeps its list again"));
	}
	if (rc == RC_OK && kept < now.n)
		rc = tasks_announce(env->db, &env->scope, now.names, kept, err);
	db_rows_free(now.rows);
	arena_clear(&now.a);
	return rc;
}
