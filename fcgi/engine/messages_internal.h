#ifndef ENGINE_MESSAGES_INTERNAL_H
#define ENGINE_MESSAGES_INTERNAL_H

#include "base/arena.h"
#include "base/buf.h"
#include "engine/messages_run.h"
#include "queues/messages.h"

/* A lock of PHP's ends with its batch, usually long before it expires. */
#define MESSAGES_LOOK_MS 10000
/* What is held, and what PHP has not answered to, is tried again then. */
#define MESSAGES_HELD_MS 60000

/* What only PHP knows, as it was told within the last ten minutes. */
struct messages_told {
	int64_t at;  /* Unix time; 0: never */
	bool absent; /* the plugin is not active */
	bool same_request, same_request_filter;
	bool replaced;   /* something else runs the plugin's batches */
	bool transients; /* of the form of its locks and its limit */
	unsigned maintenance;
	uint32_t batch, rate, window_s;
	char version[24];
};

struct messages_run {
	const struct work_env *env;
	const struct messages_opts *opts;
	struct messages_report *report;
	const struct config_site *site;
	const struct config_smtp *smtp; /* NULL: PHP sends */
	struct messages_policy policy;
	struct messages_facts facts;
	struct messages_told told;
	mono_ms begun, deadline;
	/* The lease, and its renewal. */
	char name[48];
	uint64_t token;
	mono_ms renew_at;
	bool lost;
	bool stop;  /* PHP is away, or says no to all */
	bool idled; /* by transients that are not in the database */
	size_t
	    given; /* of opts->ids: those that had their turn of generation */
	/* What waits to be sent, as it was read. */
	struct arena arena;
	struct messages_row *rows;
	size_t nrows, next;
	mono_ms read_at;
	/* The request's field `outbox`. */
	struct buf outbox;
};

/* ---- messages_told.c ----------------------------------------------------- */

/* RC_RETRY: the database is away. What PHP did not say is reported as held. */
MUSTUSE enum rc messages_tell(struct messages_run *run, struct err *err);
/* Options as they are to be, natively or through PHP. */
MUSTUSE enum rc messages_keep_idle(
    struct messages_run *run, bool *fresh, struct err *err);
MUSTUSE enum rc messages_options_write(const struct work_env *env,
    bool transients, int64_t until, struct err *err);

/* ---- messages_lanes.c ---------------------------------------------------- */

/* One batch. *progress: something was done; there may be more. */
MUSTUSE enum rc messages_generate_batch(
    struct messages_run *run, bool *progress, struct err *err);
MUSTUSE enum rc messages_send_batch(
    struct messages_run *run, bool *progress, struct err *err);

/* ---- messages_run.c ------------------------------------------------------ */

void messages_held(struct messages_run *run, int64_t wait_ms, const char *fmt,
    ...) PRINTF_LIKE(3, 4);
/* Nothing can be done sooner in one of the lanes. */
void messages_wait(struct messages_run *run, int64_t ms);
/* Is the time over, or the program's, or the lease lost? */
bool messages_over(struct messages_run *run);
/* Read the plugin's options anew. */
MUSTUSE enum rc messages_refresh(struct messages_run *run, struct err *err);
/* The window of a site: count 0: none. */
struct rate messages_window(const struct messages_run *run);
/* The next one, after PHP has had the time it takes. */
void messages_renew(struct messages_run *run);

#endif
