#include "queues/dead_jobs.h"

#define TITLE_MAX 255
#define REASON_MAX 500

static struct slice
cut(struct slice s, size_t max)
{
	s.n = slice_utf8_cut(s, max);
	return s;
}

enum rc
dead_letter_of_job(struct db *db, const struct sql_scope *scope,
    enum dead_kind kind, uint32_t blog_id, const struct outcome *o,
    struct err *err)
{
	const struct job *j = o->job;

	return dead_letter_add(db, scope,
	    &(const struct dead_letter){ .blog_id = blog_id,
		.kind = kind,
		.queue = cut(j->hook, 191),
		.source = j->id,
		.title = cut(j->hook, TITLE_MAX),
		.reason = cut(slice_str(o->message), REASON_MAX),
		.attempts = j->try,
		.created_at = j->due == INT64_MIN ? 0 : j->due },
	    err);
}
