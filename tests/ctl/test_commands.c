#include <check.h>
#include <string.h>

#include "commands.h"

Suite *commands_suite(void);

#define ARGS_MAX 10

static enum rc
parse(const char *const *argv, struct ctl *c, const char **words)
{
	struct err err = ERR_INIT;
	enum rc rc;
	int argc = 0;

	while (argc < ARGS_MAX && argv[argc])
		argc++;
	*c = (struct ctl){ .nsites = 0 };
	rc = commands_parse(c, argc, argv, words, &err);
	ck_assert_int_eq(rc == RC_OK, err.text[0] == '\0');
	return rc;
}

static const struct {
	const char *argv[ARGS_MAX];
	const char *command;
	size_t nargs;
} good[] = {
	{ { "p", "status" }, "status", 0 },
	{ { "p", "--root", "/x", "status", "--format=json" }, "status", 0 },
	{ { "p", "action", "list", "--hook", "h" }, "action list", 0 },
	{ { "p", "action", "--group=g", "list" }, "action list", 0 },
	{ { "p", "action", "cancel", "1", "-c", "f", "2" }, "action cancel",
	    2 },
	{ { "p", "action", "retry", "--hook=h", "--yes" }, "action retry", 0 },
	{ { "p", "run", "--hooks=a", "--group=b", "--limit=1" }, "run", 0 },
	{ { "p", "site", "adopt", "--discard-pending", "--yes" }, "site adopt",
	    0 },
	{ { "p", "event", "schedule", "h", "+1 hour", "--0=a", "--1=b" },
	    "event schedule", 2 },
	{ { "p", "event", "list", "--field", "hook" }, "event list", 0 },
	{ { "p", "event", "run", "--due-now", "--network" }, "event run", 0 },
	{ { "p", "pause", "list" }, "pause list", 0 },
	{ { "p", "pause", "hook" }, "pause", 1 },
	{ { "p", "pause", "--group=g" }, "pause", 0 },
	{ { "p", "contacts", "list", "--direction=pull", "--page=2" },
	    "contacts list", 0 },
	{ { "p", "contacts", "stage", "7", "--pull" }, "contacts stage", 1 },
	{ { "p", "contacts", "run", "--push", "--budget=30s" }, "contacts run",
	    0 },
	{ { "p", "contacts", "push", "a@b.c", "--integration=esp" },
	    "contacts push", 1 },
	{ { "p", "integration", "test" }, "integration test", 0 },
	{ { "p", "integration", "fields", "esp", "--compare", "--user=7" },
	    "integration fields", 1 },
	{ { "p", "privacy", "erase", "a@b.c" }, "privacy erase", 1 },
	{ { "p", "messages", "list", "--status=MRT", "--context=admin",
	      "--since=-1 day", "--show-addresses" },
	    "messages list", 0 },
	{ { "p", "messages", "send", "1", "2" }, "messages send", 2 },
	{ { "p", "outbox", "list", "--job=action:1" }, "outbox list", 0 },
	{ { "p", "outbox", "show", "7", "--body" }, "outbox show", 1 },
	{ { "p", "outbox", "pause" }, "outbox pause", 0 },
	{ { "p", "tasks", "list", "q", "--status=ready" }, "tasks list", 1 },
	{ { "p", "tasks", "retry", "--all" }, "tasks retry", 0 },
	{ { "p", "tasks", "hand-back", "q", "--yes" }, "tasks hand-back", 1 },
	{ { "p", "dead", "retry", "--kind=mail", "--yes" }, "dead retry", 0 },
	{ { "p", "mails", "legacy", "list" }, "mails legacy list", 0 },
	{ { "p", "mails", "legacy", "--confirm", "drain", "--newer-than=2d" },
	    "mails legacy drain", 0 },
	{ { "p", "--version" }, "version", 0 },
	{ { "p", "--help" }, "help", 0 },
	{ { "p", "action", "run", "--help" }, "action run", 0 },
	{ { "p", "doctor", "--fields=check,what" }, "doctor", 0 },
};

START_TEST(a_command_is_found_among_its_options)
{
	const char *words[ARGS_MAX];
	struct ctl c;

	ck_assert_int_eq(parse(good[_i].argv, &c, words), RC_OK);
	ck_assert_str_eq(c.command->name, good[_i].command);
	ck_assert_uint_eq(c.nargs, good[_i].nargs);
}
END_TEST

static const char *const wrong[][ARGS_MAX] = {
	{ "p" },
	{ "p", "nothing" },
	{ "p", "action" },
	{ "p", "action", "nothing" },
	{ "p", "status", "more" },
	{ "p", "action", "show" },
	{ "p", "action", "show", "1", "2" },
	{ "p", "action", "cancel" },
	{ "p", "status", "--hook=h" },
	{ "p", "run", "--hook=h" },
	{ "p", "status", "--nothing" },
	{ "p", "status", "--format=xml" },
	{ "p", "status", "--fields=nothing" },
	{ "p", "status", "--log-level=loud" },
	{ "p", "status", "--quiet=1" },
	{ "p", "doctor", "--yes" },
	{ "p", "status", "-" },
	{ "p", "status", "--0=a" },
	{ "p", "event", "schedule" },
	{ "p", "event", "schedule", "h", "now", "--=x" },
	{ "p", "status", "--network" },
	{ "p", "event", "list", "--field=a,b" },
	{ "p", "event", "list", "--field=hook", "--fields=hook" },
	{ "p", "event", "list", "--fields=hook,," },
	{ "p", "contacts" },
	{ "p", "contacts", "stage" },
	{ "p", "contacts", "list", "--pull" },
	{ "p", "contacts", "push", "7", "--budget=1s" },
	{ "p", "integration", "fields" },
	{ "p", "integration", "test", "esp", "--compare" },
	{ "p", "privacy", "export" },
	{ "p", "messages" },
	{ "p", "messages", "delete" },
	{ "p", "messages", "list", "--kind=mail" },
	{ "p", "outbox", "send", "--body" },
	{ "p", "outbox", "show" },
	{ "p", "outbox", "list", "--show-addresses=1" },
	{ "p", "tasks", "show", "1", "--show-addresses" },
	{ "p", "tasks", "clear" },
	{ "p", "tasks", "retry", "--exclude=a" },
	{ "p", "dead", "list", "--job=a" },
	{ "p", "mails", "legacy" },
	{ "p", "mails", "legacy", "lists" },
	{ "p", "mails", "legacy", "list", "--confirm" },
};

START_TEST(a_wrong_command_line_is_refused_with_words)
{
	const char *words[ARGS_MAX];
	struct ctl c;

	ck_assert_int_eq(parse(wrong[_i], &c, words), RC_REJECT);
}
END_TEST

START_TEST(every_command_is_a_whole_row)
{
	const struct command *cmd = &commands[_i];

	ck_assert(cmd->run != NULL);
	ck_assert_ptr_nonnull(cmd->help);
	ck_assert_ptr_nonnull(cmd->columns);
	ck_assert_ptr_nonnull(cmd->columns[0]);
	ck_assert_uint_le(cmd->min_args, cmd->max_args);
	ck_assert((cmd->max_args > 0) == (cmd->args != NULL) ||
		  (cmd->use & USE_NO_SITE));
	for (size_t i = 0; i < ncommands; i++)
		ck_assert(
		    (int)i == _i || strcmp(commands[i].name, cmd->name) != 0);
}
END_TEST

START_TEST(help_names_every_command)
{
	char *text = NULL;
	size_t n = 0;
	struct ctl c = { .out = { .to = open_memstream(&text, &n) } };

	ck_assert_int_eq(cmd_help(&c), EXIT_DONE);
	fclose(c.out.to);
	for (size_t i = 0; i < ncommands; i++) {
		char line[64];

		snprintf(line, sizeof line, "\n  %s", commands[i].name);
		ck_assert_msg(strstr(text, line), "%s", commands[i].name);
	}
	free(text);
}
END_TEST

Suite *
commands_suite(void)
{
	Suite *s = suite_create("commands");
	TCase *tc = tcase_create("commands");

	tcase_add_loop_test(
	    tc, a_command_is_found_among_its_options, 0, NELEMS(good));
	tcase_add_loop_test(
	    tc, a_wrong_command_line_is_refused_with_words, 0, NELEMS(wrong));
	tcase_add_loop_test(
	    tc, every_command_is_a_whole_row, 0, (int)ncommands);
	tcase_add_test(tc, help_names_every_command);
	suite_add_tcase(s, tc);
	return s;
}
