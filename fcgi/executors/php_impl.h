#ifndef EXECUTORS_PHP_IMPL_H
#define EXECUTORS_PHP_IMPL_H

#include "base/buf.h"
#include "executors/php.h"
#include "executors/php_body.h"
#include "executors/php_child.h"
#include "wire/php_fpm.h"

/* Shared by php.c (requests), php_frames.c (what PHP says) and
 * php_list.c (what is asked besides jobs). */

/* Where a job is; only ever forwards. */
enum php_slot_state {
	PHP_SLOT_WAITS,   /* sent, not begun */
	PHP_SLOT_TAKEN,   /* PHP is writing its row */
	PHP_SLOT_STARTED, /* its callbacks run */
	PHP_SLOT_ENDED,   /* reported */
};

struct php_slot {
	struct job *job;
	enum php_slot_state state;
};

enum php_mode {
	PHP_MODE_HOOK,
	PHP_MODE_PLUGIN,
	PHP_MODE_NONE, /* PHP refuses the jobs, and says why */
};

struct json_t;

/* What a request asks for besides jobs; it is of php_list.c. */
struct php_ask {
	struct slice json; /* the body's `ask` */
	uint32_t limit_ms; /* from one frame to the next; 0: as jobs' */
	/* A frame that is not of jobs, during poll(). */
	void (*take)(
	    void *arg, struct slice frame, const struct json_t *fields);
	void *arg;
};

struct php {
	struct executor base;          /* first */
	struct php_executor_opts opts; /* strings are ours */
	struct php_fpm_addr addr;
	struct php_executor_state state;
	uint32_t away_ms, broken_ms; /* last back-offs; 0: none */
	mono_ms export_at;
	const struct php_ask *ask; /* of the next request; NULL: nothing */

	/* The request under way. */
	struct php_fpm_request *request;
	char token[PHP_TOKEN_LEN + 1];
	bool hello, ended, maintenance; /* frames of that name were read */
	bool asked_take;                /* and no answer was handed on yet */
	enum php_mode mode;
	struct php_child child;
	struct php_slot *slots; /* opts.batch of them */
	size_t nslots, left;    /* jobs of this request; not reported */
	uint32_t limit_ms;      /* of what runs now */
	mono_ms deadline;       /* of what runs now; INT64_MAX: none */
	unsigned signals;       /* sent to the child */
	bool overran;
	bool goes_on; /* it was abandoned, and its child not ours to end */
	struct err failure; /* of a request that could not be sent */

	outcome_fn *report; /* during poll() and abandon() */
	void *report_arg;
};

/* on_take() for a take that PHP did not answer. */
void php_take_failed(struct php *p, const char *why);
/* Of a frame: a text, "" when it is none; a number, 0 when it is none. */
struct slice php_text_of(const struct json_t *frame, const char *key);
int64_t php_number_of(const struct json_t *frame, const char *key);
/* Take one line of PHP's output; noise is ignored. A php_fpm_line_fn. */
void php_on_line(void *arg, struct slice line);
/* Report a job, once. `message` is cleaned and cut. */
void php_report(struct php *p, struct php_slot *slot, enum outcome_kind kind,
    bool strike, bool verbatim, struct slice message);
/* For requests without jobs. An outcome_fn. */
void php_no_outcome(void *arg, const struct outcome *o);

#endif
