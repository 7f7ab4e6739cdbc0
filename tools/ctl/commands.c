/* The table of commands, and of the options they take. */
#include "commands.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"

#define HELP_MAX 16384
#define HELP_COLUMN 26
#define MANY_ARGS 1000000

const struct command commands[] = {
	{ "status", NULL, "what waits, what runs, and who runs it", USE_BLOG, 0,
	    0, status_columns, cmd_status },
	{ "run", NULL, "run what is due, here and now", USE_RUN | USE_BLOG, 0,
	    0, run_columns, cmd_run },
	{ "event list", NULL, "cron events, soonest first",
	    USE_BLOG | USE_NETWORK | USE_HOOK | USE_DUE, 0, 0,
	    event_list_columns, cmd_event_list },
	{ "event run", "HOOK... | --due-now | --all",
	    "run cron events now, through this program",
	    USE_BLOG | USE_NETWORK | USE_DUE | USE_SELECT, 0, MANY_ARGS,
	    event_run_columns, cmd_event_run },
	{ "event schedule", "HOOK [TIME] [RECURRENCE] [ARGS]",
	    "schedule a cron event; ARGS is a JSON array", USE_BLOG | USE_ARGS,
	    1, 4, event_change_columns, cmd_event_schedule },
	{ "event unschedule", "HOOK", "remove all of a hook's cron events",
	    USE_BLOG | USE_NETWORK, 1, 1, event_change_columns,
	    cmd_event_unschedule },
	{ "event delete", "HOOK... | --due-now | --all",
	    "remove cron events that are selected",
	    USE_BLOG | USE_DUE | USE_SELECT | USE_MATCH, 0, MANY_ARGS,
	    event_change_columns, cmd_event_delete },
	{ "event history", "[HOOK]", "cron events that ran, newest first",
	    USE_BLOG | USE_NETWORK | USE_STATUS | USE_PAGE, 0, 1,
	    event_history_columns, cmd_event_history },
	{ "event retry", "ID... | --hook H --yes",
	    "let cron events that failed wait to be run again",
	    USE_BLOG | USE_HOOK | USE_YES, 0, MANY_ARGS, event_retry_columns,
	    cmd_event_retry },
	{ "event explain", "HOOK",
	    "when a hook is due, what holds it, what happened last", USE_BLOG,
	    1, 1, event_explain_columns, cmd_event_explain },
	{ "cron test", NULL, "who answers /wp-cron.php", USE_BLOG, 0, 0,
	    cron_test_columns, cmd_cron_test },
	{ "cron lock", NULL, "the lock doing_cron, and whose it is",
	    USE_BLOG | USE_NETWORK, 0, 0, cron_lock_columns, cmd_cron_lock },
	{ "pause list", NULL, "what is paused", 0, 0, 0, pause_columns,
	    cmd_pause_list },
	{ "pause", "HOOK | --group G",
	    "leave a hook's or a group's jobs waiting, on all nodes",
	    USE_BLOG | USE_PAUSE, 0, 1, pause_columns, cmd_pause },
	{ "resume", "HOOK | --group G", "end a pause", USE_BLOG | USE_PAUSE, 0,
	    1, pause_columns, cmd_resume },
	{ "shadow report", NULL,
	    "mode = observe: what would have run, and what WordPress ran",
	    USE_BLOG | USE_NETWORK | USE_SINCE, 0, 0, shadow_columns,
	    cmd_shadow_report },
	{ "contacts list", NULL, "readers that wait for a pull or a push",
	    USE_BLOG | USE_NETWORK | USE_DIRECTION | USE_PAGE, 0, 0,
	    contacts_list_columns, cmd_contacts_list },
	{ "contacts stage", "USER", "let a reader wait, as a page load does",
	    USE_BLOG | USE_DIRECTIONS, 1, 1, contacts_stage_columns,
	    cmd_contacts_stage },
	{ "contacts run", NULL, "work off the readers that wait, here and now",
	    USE_BLOG | USE_NETWORK | USE_DIRECTIONS | USE_BUDGET, 0, 0,
	    contacts_run_columns, cmd_contacts_run },
	{ "contacts pull", "USER", "fetch one reader's data from the provider",
	    USE_BLOG | USE_INTEGRATION, 1, 1, contacts_task_columns,
	    cmd_contacts_pull },
	{ "contacts push", "USER", "send one reader's data to the provider",
	    USE_BLOG | USE_INTEGRATION, 1, 1, contacts_task_columns,
	    cmd_contacts_push },
	{ "contacts explain", "USER",
	    "what would happen to a reader, and what decides it", USE_BLOG, 1,
	    1, contacts_explain_columns, cmd_contacts_explain },
	{ "integration list", NULL, "where readers' data goes and comes from",
	    USE_BLOG | USE_NETWORK, 0, 0, integration_list_columns,
	    cmd_integration_list },
	{ "integration test", "[ID]", "do key and list work?", USE_BLOG, 0, 1,
	    integration_test_columns, cmd_integration_test },
	{ "integration fields", "ID",
	    "the account's fields; --compare: PHP's contacts and ours",
	    USE_BLOG | USE_COMPARE, 1, 1, integration_fields_columns,
	    cmd_integration_fields },
	{ "privacy export", "EMAIL", "what our own tables hold about a person",
	    0, 1, 1, privacy_columns, cmd_privacy_export },
	{ "privacy erase", "EMAIL", "the same, and remove it", 0, 1, 1,
	    privacy_columns, cmd_privacy_erase },
	{ "messages list", NULL, "Event Espresso's messages, newest first",
	    USE_BLOG | USE_NETWORK | USE_MESSAGES | USE_ADDRESSES | USE_STATUS |
		USE_SINCE | USE_PAGE,
	    0, 0, messages_list_columns, cmd_messages_list },
	{ "messages show", "ID", "one message; --body: with its content",
	    USE_BLOG | USE_ADDRESSES | USE_BODY, 1, 1, messages_show_columns,
	    cmd_messages_show },
	{ "messages generate", "[ID...]",
	    "have PHP generate these messages now, or what waits",
	    USE_BLOG | USE_BUDGET, 0, MANY_ARGS, messages_run_columns,
	    cmd_messages_generate },
	{ "messages send", "[ID...]",
	    "send these messages now, whatever the rate, or what waits",
	    USE_BLOG | USE_BUDGET, 0, MANY_ARGS, messages_run_columns,
	    cmd_messages_send },
	{ "messages resend", "ID...",
	    "queue messages that were sent or failed for sending again",
	    USE_BLOG, 1, MANY_ARGS, messages_change_columns,
	    cmd_messages_resend },
	{ "messages delete", "ID...", "delete messages (with --yes)",
	    USE_BLOG | USE_YES, 1, MANY_ARGS, messages_change_columns,
	    cmd_messages_delete },
	{ "messages restore", NULL,
	    "end Event Espresso's same-request mode (with --yes)",
	    USE_BLOG | USE_YES, 0, 0, messages_restore_columns,
	    cmd_messages_restore },
	{ "outbox list", NULL, "mails on their way, newest first",
	    USE_BLOG | USE_STATUS | USE_PAGE | USE_MAIL | USE_ADDRESSES, 0, 0,
	    outbox_list_columns, cmd_outbox_list },
	{ "outbox show", "ID", "one mail; --body: its bytes",
	    USE_ADDRESSES | USE_BODY, 1, 1, outbox_show_columns,
	    cmd_outbox_show },
	{ "outbox send", NULL, "send what is ready, here and now", USE_BUDGET,
	    0, 0, outbox_send_columns, cmd_outbox_send },
	{ "outbox pause", "[RELAY]",
	    "send nothing through a relay, or any, on all nodes", 0, 0, 1,
	    outbox_pause_columns, cmd_outbox_pause },
	{ "outbox resume", "[RELAY]", "end that", 0, 0, 1, outbox_pause_columns,
	    cmd_outbox_resume },
	{ "tasks list", "[QUEUE]", "queues of tasks; a queue's tasks",
	    USE_BLOG | USE_NETWORK | USE_STATUS | USE_PAGE, 0, 1,
	    tasks_list_columns, cmd_tasks_list },
	{ "tasks show", "ID", "one task; --body: with its payload", USE_BODY, 1,
	    1, tasks_show_columns, cmd_tasks_show },
	{ "tasks retry", "LETTER-ID... | --all",
	    "let tasks that failed for good be tried anew", USE_BLOG | USE_ALL,
	    0, MANY_ARGS, dead_change_columns, cmd_tasks_retry },
	{ "tasks clear", "QUEUE", "throw away what waits (with --yes)",
	    USE_BLOG | USE_NETWORK | USE_YES, 1, 1, tasks_change_columns,
	    cmd_tasks_clear },
	{ "tasks hand-back", "QUEUE",
	    "give what waits back to the plugin (with --yes)",
	    USE_BLOG | USE_NETWORK | USE_YES, 1, 1, tasks_change_columns,
	    cmd_tasks_hand_back },
	{ "dead list", NULL, "what failed for good, newest first",
	    USE_BLOG | USE_DEAD | USE_PAGE, 0, 0, dead_list_columns,
	    cmd_dead_list },
	{ "dead show", "ID", "one of it; --body: with a task's payload",
	    USE_BODY, 1, 1, dead_show_columns, cmd_dead_show },
	{ "dead retry", "ID... | --kind K --yes | --all --yes",
	    "try it once more", USE_BLOG | USE_DEAD | USE_ALL | USE_YES, 0,
	    MANY_ARGS, dead_change_columns, cmd_dead_retry },
	{ "dead delete", "ID... | --kind K --yes | --all --yes",
	    "forget it; what it is about stays",
	    USE_BLOG | USE_DEAD | USE_ALL | USE_YES, 0, MANY_ARGS,
	    dead_change_columns, cmd_dead_delete },
	{ "mails legacy list", NULL,
	    "mails that WooCommerce before 10.8 left behind",
	    USE_BLOG | USE_NETWORK, 0, 0, legacy_list_columns,
	    cmd_mails_legacy_list },
	{ "mails legacy drain", NULL,
	    "queue them anew (with --confirm --newer-than)",
	    USE_BLOG | USE_LEGACY, 0, 0, legacy_drain_columns,
	    cmd_mails_legacy_drain },
	{ "action list", NULL, "actions, newest first",
	    USE_LIST | USE_FILTER | USE_BLOG, 0, 0, action_list_columns,
	    cmd_action_list },
	{ "action show", "ID", "one action with its log", USE_BLOG, 1, 1,
	    action_show_columns, cmd_action_show },
	{ "action run", "ID", "run a pending action now, whatever its date",
	    USE_BLOG, 1, 1, action_run_columns, cmd_action_run },
	{ "action retry", "ID... | --hook H --yes",
	    "schedule failed or canceled actions anew, for now",
	    USE_FILTER | USE_YES | USE_BLOG, 0, MANY_ARGS,
	    action_change_columns, cmd_action_retry },
	{ "action cancel", "ID...", "cancel pending actions", USE_BLOG, 1,
	    MANY_ARGS, action_change_columns, cmd_action_cancel },
	{ "check", NULL, "test configuration and database; changes nothing",
	    USE_ALL_SITES, 0, 0, check_columns, cmd_check },
	{ "doctor", NULL, "look for everything that could be wrong",
	    USE_ALL_SITES, 0, 0, doctor_columns, cmd_doctor },
	{ "install", NULL, "create the program's own tables, record the site",
	    USE_ALL_SITES | USE_PRINT, 0, 0, install_columns, cmd_install },
	{ "uninstall", NULL, "drop the program's own tables", USE_YES, 0, 0,
	    install_columns, cmd_uninstall },
	{ "site list", NULL, "the blogs of a network", 0, 0, 0,
	    site_list_columns, cmd_site_list },
	{ "site show", NULL, "what the site is, and whether it is the original",
	    0, 0, 0, site_columns, cmd_site_show },
	{ "site adopt", NULL, "this is the site now: hold nothing back",
	    USE_DISCARD | USE_YES, 0, 0, site_columns, cmd_site_adopt },
	{ "worker install", NULL, "copy worker.php to where PHP may read it",
	    USE_WORKER, 0, 0, worker_columns, cmd_worker_install },
	{ "companion install", NULL,
	    "put the companion plugin into WordPress' mu-plugins", USE_WORKER,
	    0, 0, companion_columns, cmd_companion_install },
	{ "companion remove", NULL, "take the companion plugin away",
	    USE_WORKER, 0, 0, companion_columns, cmd_companion_remove },
	{ "companion status", NULL, "is the companion plugin there", USE_WORKER,
	    0, 0, companion_columns, cmd_companion_status },
	{ "version", NULL, "the version", USE_NO_SITE, 0, 0, version_columns,
	    cmd_version },
	{ "help", NULL, "print this", USE_NO_SITE, 0, MANY_ARGS,
	    version_columns, cmd_help },
};
const size_t ncommands = NELEMS(commands);

#define TEXT(name, value, field, use, help)                                    \
	{                                                                      \
		name, value, offsetof(struct ctl_options, field), help, use    \
	}
#define FLAG(name, field, use, help)                                           \
	{                                                                      \
		name, NULL, offsetof(struct ctl_options, field), help, use     \
	}

/* use 0: every command takes it. */
static const struct cli_option options[] = {
	TEXT("--root", "DIR", root, 0, "the WordPress in DIR"),
	TEXT("-c", "FILE", config, 0,
	    "configuration; without --root: " CTL_CONFIG_DEFAULT),
	TEXT("--site", "NAME", site, 0, "of the sites in the configuration"),
	TEXT("--format", "FORMAT", format, 0, "table, json, csv, ids or count"),
	TEXT("--fields", "A,B", fields, 0, "only these, in this order"),
	TEXT("--field", "A", field, 0, "only this one, a line a row"),
	FLAG("--quiet", quiet, 0, "no progress and no notices"),
	TEXT("--log-level", "LEVEL", log_level, 0,
	    "err, warn, info or debug; warn"),
	FLAG("--version", version, 0, "print the version"),
	FLAG("--help", help, 0, "print this"),
	TEXT("--hooks", "A,B", hooks, USE_RUN,
	    "run: only these hooks, * as wildcard"),
	TEXT("--group", "A,B", group, USE_RUN | USE_LIST | USE_PAUSE,
	    "run, action list: only of these groups (list: of one);\n"
	    "pause, resume: the group"),
	TEXT("--limit", "N", limit, USE_RUN, "run: at most N actions"),
	TEXT("--batch-size", "N", batch_size, USE_RUN,
	    "run: so many at a time for one worker"),
	TEXT("--status", "STATUS", status, USE_FILTER | USE_STATUS,
	    "action list, retry: pending, in-progress, complete,\n"
	    "failed or canceled; event history: taken, running, done,\n"
	    "failed, skipped, resurrected, observed or gone;\n"
	    "messages list: MIC, MID, MRS, MEX, MSN, MRT, MFL or MDO;\n"
	    "outbox list: writing, ready, later, sending, sent, dead,\n"
	    "held or dropped; tasks list QUEUE: ready, delayed,\n"
	    "claimed, running, done or dead"),
	TEXT("--hook", "HOOK", hook, USE_FILTER | USE_HOOK,
	    "action list, retry, event list, retry: of it"),
	TEXT("--per-page", "N", per_page, USE_LIST | USE_PAGE, "lists: 30"),
	TEXT("--page", "N", page, USE_LIST | USE_PAGE, "lists: 1"),
	TEXT("--orderby", "FIELD", orderby, USE_LIST,
	    "action list: id (newest first) or date (soonest first)"),
	FLAG("--yes", yes, USE_YES, "do it"),
	FLAG("--print", print, USE_PRINT,
	    "install: print the statements, run nothing"),
	FLAG("--discard-pending", discard_pending, USE_DISCARD,
	    "site adopt: cancel what was held (with --yes)"),
	TEXT("--url", "URL", url, USE_BLOG,
	    "of a network: the blog with this URL; the main one"),
	FLAG("--network", network, USE_NETWORK, "every blog of the network"),
	FLAG("--due-now", due_now, USE_DUE,
	    "event list, run, delete: what is due"),
	FLAG("--all", all, USE_SELECT | USE_ALL,
	    "event run, delete: every event; tasks retry, dead\n"
	    "retry, delete: every dead letter"),
	TEXT("--exclude", "A,B", exclude, USE_SELECT,
	    "event run, delete: but not these hooks"),
	TEXT("--args", "JSON", args, USE_ARGS,
	    "event schedule: the arguments, an array; or --0=A --1=B"),
	TEXT("--match-args", "JSON", match_args, USE_MATCH,
	    "event delete: only events with these arguments"),
	TEXT("--since", "TIME", since, USE_SINCE,
	    "shadow report: actions that ended after this; messages\n"
	    "list: changed after this; \"-1 day\""),
	FLAG("--pull", pull, USE_DIRECTIONS, "contacts stage, run: only that"),
	FLAG("--push", push, USE_DIRECTIONS, "contacts stage, run: only that"),
	TEXT("--direction", "D", direction, USE_DIRECTION,
	    "contacts list: only pull or push"),
	TEXT("--budget", "TIME", budget, USE_BUDGET,
	    "contacts run, messages generate, send, outbox send:\n"
	    "begin nothing later; 30s, 4m"),
	TEXT("--integration", "ID", integration, USE_INTEGRATION,
	    "contacts pull, push: only this one"),
	FLAG("--compare", compare, USE_COMPARE,
	    "integration fields: PHP's contacts beside ours"),
	TEXT("--user", "USER", user, USE_COMPARE,
	    "integration fields --compare: of this reader"),
	TEXT("--until", "TIME", until, USE_MESSAGES,
	    "messages list: changed before this"),
	TEXT("--messenger", "NAME", messenger, USE_MESSAGES,
	    "messages list: of it; email"),
	TEXT("--type", "NAME", type, USE_MESSAGES,
	    "messages list: of this message type"),
	TEXT("--context", "A,B", context, USE_MESSAGES,
	    "messages list: of these contexts"),
	TEXT("--registration", "ID", registration, USE_MESSAGES,
	    "messages list: of its transaction"),
	TEXT("--transaction", "ID", transaction, USE_MESSAGES,
	    "messages list: of it"),
	TEXT("--event", "ID", event, USE_MESSAGES,
	    "messages list: of registrations for it"),
	TEXT("--contact", "ID", contact, USE_MESSAGES,
	    "messages list: to this attendee"),
	TEXT("--search", "TEXT", search, USE_MESSAGES,
	    "messages list: in to, from, subject or content"),
	FLAG("--show-addresses", show_addresses, USE_ADDRESSES,
	    "messages, outbox list, show: unmasked"),
	TEXT("--job", "JOB", job, USE_MAIL,
	    "outbox list: mails of it; action:12, message:5"),
	FLAG("--body", body, USE_BODY,
	    "outbox show: the mail's bytes; messages show: its\n"
	    "content; tasks, dead show: the payload"),
	TEXT("--kind", "KIND", kind, USE_DEAD,
	    "dead list, retry, delete: mail, message, task, action,\n"
	    "event or contact"),
	FLAG("--confirm", confirm, USE_LEGACY, "mails legacy drain: do it"),
	TEXT("--newer-than", "AGE", newer_than, USE_LEGACY,
	    "mails legacy drain: leave older ones; 2d"),
	TEXT("--to", "DIR", to, USE_WORKER,
	    "worker install: instead of wp-content/wp-cron-fcgi;\n"
	    "companion: instead of wp-content/mu-plugins"),
	TEXT("--from", "FILE", from, USE_WORKER,
	    "worker, companion install: instead of the installed\n"
	    "worker.php, companion.php"),
};

/* ---- reading ------------------------------------------------------------ */

static enum rc
check_use(
    const struct command *cmd, const struct cli_option *row, struct err *err)
{
	if (row->use == 0 || (cmd->use & row->use))
		return RC_OK;
	return err_set(err, RC_REJECT, "%s takes no %s", cmd->name, row->name);
}

/* --0=first, as WP-CLI has an event's arguments. */
static bool
is_numbered(const char *arg)
{
	size_t n =
	    strspn(arg + 1, "-") == 1 ? strspn(arg + 2, "0123456789") : 0;

	return n > 0 && arg[2 + n] == '=';
}

static enum rc
take_numbered(struct ctl *c, const char *pair, struct err *err)
{
	if (c->opts.nnumbered == CTL_NUMBERED_MAX)
		return err_set(err, RC_REJECT, "too many arguments");
	c->opts.numbered[c->opts.nnumbered++] = pair;
	return RC_OK;
}

/* Are these the words of a name, one after the other? */
static bool
is_named(const char *name, const char *const *words, size_t n, size_t *used)
{
	*used = 0;
	for (;;) {
		size_t len = strcspn(name, " ");

		if (*used == n || strlen(words[*used]) != len ||
		    strncmp(words[*used], name, len) != 0)
			return false;
		++*used;
		name += len;
		if (*name++ == '\0')
			return true;
	}
}

/* Commands are one word to three. */
static const struct command *
find(const char *const *words, size_t n, size_t *used)
{
	for (size_t i = 0; i < ncommands; i++)
		if (is_named(commands[i].name, words, n, used))
			return &commands[i];
	return NULL;
}

static enum rc
find_command(struct ctl *c, const char *const *words, size_t n, struct err *err)
{
	static const char *const version[] = { "version" };
	static const char *const help[] = { "help" };
	size_t used = 0;

	if (n == 0 && (c->opts.version || c->opts.help)) {
		words = c->opts.version ? version : help;
		n = 1;
	}
	if (n == 0)
		return err_set(err, RC_REJECT,
		    "which command? `wp-cronctl help` lists them");
	c->command = find(words, n, &used);
	if (!c->command)
		return err_set(err, RC_REJECT,
		    "there is no command \"%s%s%s\"; `wp-cronctl help` lists "
		    "them",
		    words[0], n > 1 ? " " : "", n > 1 ? words[1] : "");
	c->args = words + used;
	c->nargs = n - used;
	if (c->opts.help || c->opts.version)
		return RC_OK;
	if (c->nargs < c->command->min_args || c->nargs > c->command->max_args)
		return err_set(err, RC_REJECT, "usage: wp-cronctl %s%s%s",
		    c->command->name, c->command->args ? " " : "",
		    c->command->args ? c->command->args : "");
	return RC_OK;
}

static enum rc
check_values(struct ctl *c, struct err *err)
{
	enum log_level level = LOG_WARN;
	enum rc rc;

	if (c->opts.quiet)
		level = LOG_ERR;
	if (c->opts.log_level &&
	    !log_level_parse(slice_str(c->opts.log_level), &level))
		return err_set(err, RC_REJECT,
		    "--log-level is err, warn, info or debug, not \"%s\"",
		    c->opts.log_level);
	log_set_level(level);
	if (c->opts.field && c->opts.fields)
		return err_set(
		    err, RC_REJECT, "either --field or --fields, not both");
	rc = output_init(&c->out, stdout, c->command->columns, c->opts.format,
	    c->opts.field ? c->opts.field : c->opts.fields, err);
	if (rc != RC_OK || !c->opts.field)
		return rc;
	if (c->out.nfields != 1)
		return err_set(err, RC_REJECT, "--field takes one name");
	if (c->out.format == OUTPUT_TABLE)
		c->out.format = OUTPUT_LINES;
	return RC_OK;
}

enum rc
commands_parse(struct ctl *c, int argc, const char *const *argv,
    const char **words, struct err *err)
{
	const struct cli_option *taken[NELEMS(options)], *row = NULL;
	size_t ntaken = 0, n = 0;
	enum rc rc = RC_OK;

	for (int i = 1; i < argc && rc == RC_OK; i++) {
		if (argv[i][0] != '-' || argv[i][1] == '\0') {
			words[n++] = argv[i];
			continue;
		}
		if (is_numbered(argv[i])) {
			rc = take_numbered(c, argv[i] + 2, err);
			continue;
		}
		rc = cli_option_take(options, NELEMS(options), argc, argv, &i,
		    &c->opts, &row, err);
		if (rc == RC_OK && row->use != 0 && ntaken < NELEMS(taken))
			taken[ntaken++] = row;
	}
	if (rc == RC_OK)
		rc = find_command(c, words, n, err);
	for (size_t i = 0; i < ntaken && rc == RC_OK; i++)
		rc = check_use(c->command, taken[i], err);
	if (rc == RC_OK && c->opts.nnumbered > 0 &&
	    !(c->command->use & USE_ARGS))
		rc = err_set(err, RC_REJECT, "%s takes no --%s",
		    c->command->name, c->opts.numbered[0]);
	return rc == RC_OK ? check_values(c, err) : rc;
}

/* ---- help --------------------------------------------------------------- */

static void
put_command(struct buf *b, const struct command *cmd)
{
	char name[64];

	(void)snprintf(name, sizeof name, "%s%s%s", cmd->name,
	    cmd->args ? " " : "", cmd->args ? cmd->args : "");
	cli_help_line(b, name, cmd->help, HELP_COLUMN);
}

int
cmd_help(struct ctl *c)
{
	struct buf b = BUF_INIT(HELP_MAX);

	buf_put_str(&b, "usage: wp-cronctl COMMAND [options]\n"
			"Looks at a WordPress' cron events, scheduled actions, "
			"readers\nto sync, messages, tasks and mails, and "
			"works them off.\n\n"
			"Commands:\n");
	for (size_t i = 0; i < ncommands; i++)
		put_command(&b, &commands[i]);
	buf_put_str(&b, "\nOptions:\n");
	for (size_t i = 0; i < NELEMS(options); i++)
		cli_option_help(&b, &options[i], HELP_COLUMN);
	buf_put_str(&b,
	    "\nExit: 0 done, 1 some actions failed or a finding is an error,\n"
	    "64 usage, 69 database or PHP away, 70 bug, 75 another run is\n"
	    "under way, 78 configuration.\n");
	(void)fputs(buf_str(&b), c->out.to);
	buf_clear(&b);
	return EXIT_DONE;
}

const char *const version_columns[] = { "version", NULL };

int
cmd_version(struct ctl *c)
{
	json_t *row;

	if (c->out.format == OUTPUT_TABLE) {
		(void)fputs("wp-cronctl " VERSION "\n", c->out.to);
		return EXIT_DONE;
	}
	row = json_object();
	(void)json_object_set_new(row, "version", json_string(VERSION));
	return ctl_print_record(c, row, EXIT_DONE);
}
