#ifndef BASE_ROUTE_H
#define BASE_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* Where a hook's work is done. */
enum executor_kind {
	EXECUTOR_PHP,     /* the site's PHP, through php-fpm */
	EXECUTOR_WEBHOOK, /* an HTTP POST */
	EXECUTOR_QUEUE,   /* "run that queue": a kick, done at once */
	EXECUTOR_CONTACT, /* "contact-sync": one reader to or from an ESP */
};
#define EXECUTOR_NKINDS 4

/* Workers are of one lane, so that PHP never holds up native work. */
enum lane {
	LANE_NATIVE,
	LANE_PHP,
};
#define LANE_COUNT 2

enum lane executor_lane(enum executor_kind kind);
/* "php", "webhook", "queue" */
const char *executor_name(enum executor_kind kind);

/* "200/h": at most `count` starts in `per_s` seconds, over all nodes. */
struct rate {
	uint32_t count; /* 0: no limit */
	uint32_t per_s;
};

/* What becomes of a cron event that nobody ran in time. */
enum catch_up {
	CATCH_UP_ONCE, /* run once, however late (as WordPress does) */
	CATCH_UP_SKIP, /* later than max_age: not run, only rescheduled */
	CATCH_UP_ALL,  /* every missed period not older than max_age is run */
};

/* Who sends the mails of a hook's jobs in PHP. */
enum mail_by {
	MAIL_BY_PHP,    /* WordPress' own mailer, at once */
	MAIL_BY_OUTBOX, /* stored; a site without [smtp] has MAIL_BY_PHP */
};

/* What may be done with a hook's jobs. */
struct policy {
	uint32_t timeout_ms;     /* one run of one job */
	uint32_t retries;        /* fresh tries after a failure */
	uint32_t backoff_min_ms; /* before the first retry; doubles (x4) */
	uint32_t backoff_max_ms; /* never longer */
	struct rate rate;
	uint32_t concurrency;    /* running at once over all nodes; 0: any */
	bool idempotent;         /* may run again when its owner died */
	bool paused;             /* nobody may run it */
	bool outbound;           /* held on a copy of the site */
	bool overlap;            /* cron: may run beside itself */
	enum catch_up catch_up;  /* cron */
	uint32_t max_age_ms;     /* catch_up skip and all */
	bool series_after_crash; /* insert the next instance of a series whose
				    running instance lost its owner */
	enum mail_by mail;
	const char *secret; /* webhook: to sign with, "whsec_..."; or NULL */
};

/* One line of [route]. Lives in a config snapshot. */
struct route {
	const char *pattern; /* hook, `*` matches any run */
	const char *site;    /* NULL: every site */
	enum executor_kind kind;
	const char *target; /* webhook: URL; queue: its name; php: NULL */
};

#endif
