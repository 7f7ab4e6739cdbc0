#ifndef CTL_TASKS_H
#define CTL_TASKS_H

#include "queues/tasks.h"
#include "work_env.h"

/* A plugin's queue of tasks as the commands and doctor see it. */
struct queue_view {
	const struct config_tasks *config;
	struct task_queue queue;
};
/* The i-th [tasks SITE/...] of the blog that `p` looks at; false: there are no
 * more. */
bool queue_view_at(const struct ctl *c, const struct place *p, size_t i,
    struct queue_view *out);
/* That of a section's or a transient's name; false after words. */
MUSTUSE bool queue_view_find(const struct ctl *c, const struct place *p,
    struct slice name, struct queue_view *out);
/* The name of its section, or of its transient. */
const char *queue_transient(const struct config_tasks *c);

/* PHP's lock, or ours, as it is stored. */
struct queue_lock {
	bool there;
	char value[64];
	int64_t age_s;  /* by its value; INT64_MIN: it is no time */
	int64_t left_s; /* by its timeout row; INT64_MIN: there is none */
	bool orphan;    /* nobody will ever end it */
};
MUSTUSE enum rc queue_lock_look(struct place *p, const struct queue_view *v,
    struct queue_lock *out, struct err *err);

/* When the plugin's event is due, in the option or in our table; INT64_MAX:
 * never. */
MUSTUSE enum rc queue_next_event(struct place *p, const struct queue_view *v,
    int64_t *when, struct err *err);

/* What a payload holds, without its values: "to, subject, message". */
void task_put_keys(json_t *row, const char *name, struct slice element);
/* The payload itself as JSON; PHP's format as text where JSON has no words. */
json_t *task_payload(struct slice element);

#define TASKS_ARENA_MAX ((size_t)256 << 20)

#endif
