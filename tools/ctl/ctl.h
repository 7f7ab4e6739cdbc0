#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/config.h"
#include "base/err.h"
#include "output.h"
#include "queues/actions.h"
#include "sql/db.h"
#include "wordpress/site.h"

/* sysexits(3), as far as they are used. */
enum ctl_exit {
	EXIT_DONE = 0,
	EXIT_SOME_FAILED = 1,
	EXIT_USAGE = 64,
	EXIT_UNAVAILABLE = 69,
	EXIT_BUG = 70,
	EXIT_AGAIN = 75,
	EXIT_CONFIG = 78,
};

#define CTL_NUMBERED_MAX 32
/* The command line. Texts are argv's. */
struct ctl_options {
	const char *root, *config, *site, *format, *fields, *log_level;
	bool quiet, help, version, yes;
	const char *hooks, *hook, *group, *status;
	const char *limit, *batch_size, *per_page, *page, *orderby;
	const char *to, *from;
	bool print, discard_pending;
	const char *field, *url, *exclude, *args, *match_args, *since;
	bool network, due_now, all;
	bool pull, push, compare;
	const char *direction, *budget, *integration, *user;
	const char *job, *kind;
	bool show_addresses, body;
	const char *messenger, *type, *context, *registration, *transaction;
	const char *event, *contact, *until, *search;
	const char *newer_than;
	bool confirm;
	/* --0=a --1=b, as they stand behind the dashes */
	const char *numbered[CTL_NUMBERED_MAX];
	size_t nnumbered;
};

struct command;

/* One run of the program. */
struct ctl {
	struct ctl_options opts;
	const struct command *command;
	const char *const *args; /* what is left of argv after the command */
	size_t nargs;
	struct output out;
	struct config *config;
	struct site **sites;
	size_t nsites;
	bool db_library;
};

/* One row a command. */
struct command {
	const char *name; /* "action list" */
	const char *args; /* for usage; NULL: takes none */
	const char *help; /* one line */
	unsigned use;     /* enum ctl_use: which options, and what is opened */
	size_t min_args, max_args;
	const char *const *columns; /* of what it prints; ends in NULL */
	int (*run)(struct ctl *);
};
/* Options that only some commands take, and what a command needs. */
enum ctl_use {
	USE_RUN = 1u << 0,
	USE_FILTER = 1u << 1, /* --hook, --status */
	USE_LIST = 1u << 2,
	USE_YES = 1u << 3,
	USE_PRINT = 1u << 4,
	USE_DISCARD = 1u << 5,
	USE_WORKER = 1u << 6,
	USE_NO_SITE = 1u << 7,   /* opens no configuration */
	USE_ALL_SITES = 1u << 8, /* works on every site, not on one */
	USE_BLOG = 1u << 9,      /* --url */
	USE_NETWORK = 1u << 10,  /* --network */
	USE_DUE = 1u << 11,      /* --due-now */
	USE_SELECT = 1u << 12,   /* --all, --exclude */
	USE_ARGS = 1u << 13,     /* --args, --0=... */
	USE_MATCH = 1u << 14,    /* --match-args */
	USE_PAUSE = 1u << 15,
	USE_PAGE = 1u << 16,        /* --per-page, --page */
	USE_HOOK = 1u << 17,        /* --hook */
	USE_STATUS = 1u << 18,      /* --status */
	USE_SINCE = 1u << 19,       /* --since */
	USE_DIRECTIONS = 1u << 20,  /* --pull, --push */
	USE_DIRECTION = 1u << 21,   /* --direction */
	USE_BUDGET = 1u << 22,      /* --budget */
	USE_INTEGRATION = 1u << 23, /* --integration */
	USE_COMPARE = 1u << 24,     /* --compare, --user */
	USE_MAIL = 1u << 25,        /* --job */
	USE_BODY = 1u << 26,        /* --body */
	USE_ALL = 1u << 27,         /* --all */
	USE_MESSAGES = 1u << 28,    /* --messenger and other filters */
	USE_DEAD = 1u << 29,        /* --kind */
	USE_LEGACY = 1u << 30,      /* --confirm, --newer-than */
};
/* An enumerator has to fit an int. */
#define USE_ADDRESSES (1u << 31) /* --show-addresses */
extern const struct command commands[];
extern const size_t ncommands;

/* "wp-cronctl: words" on standard error; returns `status`. */
int ctl_fail(const struct ctl *c, enum ctl_exit status, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* The same for an error: RC_RETRY is 69, RC_REJECT 78, RC_FATAL 70. */
int ctl_error(const struct ctl *c, const struct err *err);
/* A line on standard error; not with --quiet. */
void ctl_notice(const struct ctl *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Prints what a command found; `status` unless it cannot be written. */
int ctl_print_rows(const struct ctl *c, json_t *rows, enum ctl_exit status);
int ctl_print_record(const struct ctl *c, json_t *row, enum ctl_exit status);
/* A whole number of an option or argument; false: said so on standard error. */
MUSTUSE bool ctl_number(const struct ctl *c, const char *what, const char *text,
    uint64_t least, uint64_t most, uint64_t *out);

/* The members of a row; texts may be NULL. */
void row_text(json_t *row, const char *name, const char *text);
void row_slice(json_t *row, const char *name, struct slice text);
void row_int(json_t *row, const char *name, int64_t v);
void row_bool(json_t *row, const char *name, bool v);
void row_time(json_t *row, const char *name, int64_t unix_time);
/* Seconds with three digits behind the point. */
void row_seconds(json_t *row, const char *name, int64_t us);

/* A site's database, and what is known of its tables. */
struct place {
	const struct site *site;
	struct db *db;
	struct actions *queue; /* facts, schema: set where they were found */
	struct sql_scope scope;
	struct db_schema schema;
	struct site_facts facts;
	uint32_t blog_id;
	bool actions; /* Action Scheduler's tables are there */
	bool own;     /* ours are */
};
#define PLACE_BLOG 1
/* Where `make install` puts it. */
#define CTL_WORKER_SCRIPT PREFIX "/share/wp-cron-fcgi/worker.php"
#define CTL_COMPANION_SCRIPT PREFIX "/share/wp-cron-fcgi/companion.php"

/*
 * place_open - connect, read facts, probe tables; missing tables are no error
 * (see `actions` and `own`). RC_RETRY: away; RC_REJECT: refused, not InnoDB,
 * or our tables are a newer program's. In every case place_close().
 */
MUSTUSE enum rc place_open(
    struct place *p, const struct site *site, struct err *err);
void place_close(struct place *p);
/* Look at another blog of the network from now on. */
MUSTUSE enum rc place_turn(struct place *p, uint32_t blog_id, struct err *err);
/*
 * Open the one site of the command for work on its actions; 0, or an exit
 * status after words on standard error.
 */
MUSTUSE int place_open_actions(struct place *p, const struct ctl *c);
/* The same, for work on whatever queues there are; makes our tables. */
MUSTUSE int place_open_run(struct place *p, const struct ctl *c);
/* The microseconds that the database's clock is ahead of ours. */
MUSTUSE enum rc place_skew(struct place *p, int64_t *skew_us, struct err *err);

int cmd_help(struct ctl *c);
int cmd_version(struct ctl *c);
int cmd_status(struct ctl *c);
int cmd_run(struct ctl *c);
int cmd_action_list(struct ctl *c);
int cmd_action_show(struct ctl *c);
int cmd_action_run(struct ctl *c);
int cmd_action_retry(struct ctl *c);
int cmd_action_cancel(struct ctl *c);
int cmd_check(struct ctl *c);
int cmd_doctor(struct ctl *c);
int cmd_install(struct ctl *c);
int cmd_uninstall(struct ctl *c);
int cmd_site_show(struct ctl *c);
int cmd_site_adopt(struct ctl *c);
int cmd_worker_install(struct ctl *c);
int cmd_companion_install(struct ctl *c);
int cmd_companion_remove(struct ctl *c);
int cmd_companion_status(struct ctl *c);
int cmd_event_list(struct ctl *c);
int cmd_event_history(struct ctl *c);
int cmd_event_run(struct ctl *c);
int cmd_event_retry(struct ctl *c);
int cmd_event_schedule(struct ctl *c);
int cmd_event_unschedule(struct ctl *c);
int cmd_event_delete(struct ctl *c);
int cmd_event_explain(struct ctl *c);
int cmd_cron_test(struct ctl *c);
int cmd_cron_lock(struct ctl *c);
int cmd_site_list(struct ctl *c);
int cmd_pause(struct ctl *c);
int cmd_resume(struct ctl *c);
int cmd_pause_list(struct ctl *c);
int cmd_shadow_report(struct ctl *c);
int cmd_contacts_list(struct ctl *c);
int cmd_contacts_stage(struct ctl *c);
int cmd_contacts_run(struct ctl *c);
int cmd_contacts_pull(struct ctl *c);
int cmd_contacts_push(struct ctl *c);
int cmd_contacts_explain(struct ctl *c);
int cmd_integration_list(struct ctl *c);
int cmd_integration_test(struct ctl *c);
int cmd_integration_fields(struct ctl *c);
int cmd_privacy_export(struct ctl *c);
int cmd_privacy_erase(struct ctl *c);
int cmd_messages_list(struct ctl *c);
int cmd_messages_show(struct ctl *c);
int cmd_messages_generate(struct ctl *c);
int cmd_messages_send(struct ctl *c);
int cmd_messages_resend(struct ctl *c);
int cmd_messages_delete(struct ctl *c);
int cmd_messages_restore(struct ctl *c);
int cmd_outbox_list(struct ctl *c);
int cmd_outbox_show(struct ctl *c);
int cmd_outbox_send(struct ctl *c);
int cmd_outbox_pause(struct ctl *c);
int cmd_outbox_resume(struct ctl *c);
int cmd_tasks_list(struct ctl *c);
int cmd_tasks_show(struct ctl *c);
int cmd_tasks_retry(struct ctl *c);
int cmd_tasks_clear(struct ctl *c);
int cmd_tasks_hand_back(struct ctl *c);
int cmd_dead_list(struct ctl *c);
int cmd_dead_show(struct ctl *c);
int cmd_dead_retry(struct ctl *c);
int cmd_dead_delete(struct ctl *c);
int cmd_mails_legacy_list(struct ctl *c);
int cmd_mails_legacy_drain(struct ctl *c);

extern const char *const event_list_columns[],
    *const event_history_columns[],
	*const event_run_columns[],
	    *const event_retry_columns[],
		*const event_change_columns[],
		    *const event_explain_columns[],
			*const cron_test_columns[],
			    *const cron_lock_columns[],
				*const site_list_columns[],
				    *const pause_columns[],
					*const shadow_columns[];
extern const char *const contacts_list_columns[],
    *const contacts_stage_columns[],
	*const contacts_run_columns[],
	    *const contacts_task_columns[],
		*const contacts_explain_columns[],
		    *const integration_list_columns[],
			*const integration_test_columns[],
			    *const integration_fields_columns[],
				*const privacy_columns[];
extern const char *const messages_list_columns[],
    *const messages_show_columns[],
	*const messages_run_columns[],
	    *const messages_change_columns[],
		*const messages_restore_columns[],
		    *const outbox_list_columns[],
			*const outbox_show_columns[],
			    *const outbox_send_columns[],
				*const outbox_pause_columns[];
extern const char *const tasks_list_columns[],
    *const tasks_show_columns[],
	*const tasks_change_columns[],
	    *const dead_list_columns[],
		*const dead_show_columns[],
		    *const dead_change_columns[],
			*const legacy_list_columns[],
			    *const legacy_drain_columns[];
extern const char *const status_columns[],
    *const run_columns[],
	*const action_list_columns[],
	    *const action_show_columns[],
		*const action_run_columns[],
		    *const action_change_columns[],
			*const check_columns[],
			    *const doctor_columns[],
				*const install_columns[],
				    *const site_columns[],
					*const worker_columns[],
					    *const companion_columns[],
						*const version_columns[];

#endif
