#ifndef FORMATS_TASK_LIST_H
#define FORMATS_TASK_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/*
 * The list of tasks that a plugin keeps in a transient: a PHP list of maps
 * {type, payload, created, attempts, max_attempts, backoff, available_after},
 * each of which may also be the JSON of one; or all of it as one JSON text; and
 * any of them serialized once more. Tasks are byte spans and are never encoded
 * anew, unless a list of another form is to hold them. Pure; any thread.
 */
enum task_list_form {
	TASK_LIST_PHP, /* a:2:{i:0;...i:1;...} */
	TASK_LIST_JSON /* [{...},{...}] */
};

/* What the companion plugin stores in place of a list it has handed over: this
 * and something unique. It stands for an empty list. */
#define TASK_LIST_PLACEHOLDER "wpcron-fcgi:"

struct task_list {
	enum task_list_form form;
	unsigned wraps; /* how often it is serialized as a string, too */
	bool placeholder;
	/* Each as it stands alone: `a:6:{...}`, `s:20:"{...}";` or, of a JSON
	 * text, `{...}`. References (r, R) are numbered within it. */
	struct slice *elements;
	size_t n;
};

/*
 * task_list_parse - the tasks of the value of a transient, as it is stored;
 * spans point into `in` or the arena. "" is an empty list. RC_REJECT: it is
 * something else, and what; nobody but the plugin may write it then. RC_RETRY:
 * no memory.
 */
MUSTUSE enum rc task_list_parse(
    struct slice in, struct arena *a, struct task_list *out, struct err *err);

/*
 * task_list_emit - append a list of these tasks, which may be of either form,
 * in the form of `like` (its elements are not looked at). RC_REJECT: a task
 * cannot be said in that form, or over the buffer's ceiling.
 */
MUSTUSE enum rc task_list_emit(const struct task_list *like,
    const struct slice *elements, size_t n, struct buf *out, struct err *err);

#define TASK_MAX_ATTEMPTS 3
#define TASK_BACKOFF_MS 5000
#define TASK_BACKOFF_MAX_MS 86400000

struct task_fields {
	struct slice type;
	int64_t created;       /* Unix time; 0: not there */
	uint32_t attempts;     /* failed ones */
	uint32_t max_attempts; /* > 0 */
	uint64_t backoff_ms;
	int64_t available_after; /* Unix time; 0: at once */
	struct slice map;        /* the task, PHP-serialized */
	struct slice payload;    /* likewise; "N;" when there is none */
};

/*
 * task_read - the fields of one task. Numbers may be floats and numeric
 * strings; what is missing or no number has its default. RC_REJECT: not a map
 * with a `type`.
 */
MUSTUSE enum rc task_read(struct slice element, struct arena *a,
    struct task_fields *out, struct err *err);

/*
 * task_put - append the task as the plugin would keep it after so many failed
 * attempts; available_after 0: not touched. All else stays as it is. RC_REJECT:
 * not a task.
 */
MUSTUSE enum rc task_put(struct slice element, uint32_t attempts,
    int64_t available_after, struct buf *out, struct err *err);

/* How long to wait after the `attempts`-th failure: backoff doubled with each,
 * a day at most. */
uint64_t task_backoff(uint64_t backoff_ms, uint32_t attempts);

#endif
