/* doctor: everything that could be wrong with a site, and what to do. */
#include "doctor.h"

#include <stdarg.h>

#include "formats/utf8.h"

#define WORDS_MAX ((size_t)4096)
#define FINDINGS_MAX ((size_t)4 << 20)

const char *const doctor_columns[] = { "site", "severity", "check", "what",
	"remedy", NULL };

static const struct {
	void (*look)(struct doctor *);
	bool needs_database;
} looks[] = {
	{ doctor_config, false },
	{ doctor_database, false },
	{ doctor_server, true },
	{ doctor_actions, true },
	{ doctor_plan, true },
	{ doctor_own, true },
	{ doctor_clock, true },
	{ doctor_php, false },
	{ doctor_agreement, true },
	{ doctor_identity, true },
	{ doctor_timezone, true },
	{ doctor_rivals, true },
	{ doctor_cron, true },
	{ doctor_contacts, true },
	{ doctor_smtp, true },
	{ doctor_outbox, true },
	{ doctor_mail_plugins, false },
	{ doctor_messages, true },
	{ doctor_tasks, true },
	{ doctor_legacy_mails, true },
	{ doctor_nodes, true },
};

static const char *
severity_name(enum severity s)
{
	switch (s) {
	case FINDING_OK:
		return "ok";
	case FINDING_INFO:
		return "info";
	case FINDING_WARN:
		return "warn";
	case FINDING_ERROR:
		break;
	}
	return "error";
}

void
doctor_find(struct doctor *d, enum severity severity, const char *check,
    const char *remedy, const char *fmt, ...)
{
	struct buf what = BUF_INIT(WORDS_MAX);
	json_t *row = json_object();
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&what, fmt, ap);
	va_end(ap);
	row_text(row, "site", d->site->name);
	row_text(row, "severity", severity_name(severity));
	row_text(row, "check", check);
	row_slice(row, "what", slice_mem(buf_str(&what), what.n));
	row_text(row, "remedy", remedy);
	(void)json_array_append_new(d->rows, row);
	if (severity > d->worst)
		d->worst = severity;
	buf_clear(&what);
}

static const char *
member(const json_t *row, const char *name)
{
	const char *text = json_string_value(json_object_get(row, name));

	return text ? text : "";
}

/* Lines instead of columns, for both sentences are long. Some of their words
 * come from the database: none of it reaches the terminal as commands. */
static void
put_finding(struct buf *out, const json_t *row)
{
	buf_printf(
	    out, "%-6s %-12s ", member(row, "severity"), member(row, "check"));
	utf8_put_line(out, slice_str(member(row, "what")), WORDS_MAX);
	if (*member(row, "remedy"))
		buf_printf(out, "\n%-19s -> %s", "", member(row, "remedy"));
	buf_put_char(out, '\n');
}

/* Worst first would tear apart what belongs together: as they came. */
static void
print_findings(const struct doctor *d)
{
	struct buf out = BUF_INIT(FINDINGS_MAX);
	const char *site = "";

	for (size_t i = 0; i < json_array_size(d->rows); i++) {
		const json_t *row = json_array_get(d->rows, i);

		if (strcmp(site, member(row, "site")) != 0)
			buf_printf(&out, "site %s\n", member(row, "site"));
		site = member(row, "site");
		put_finding(&out, row);
	}
	(void)fputs(buf_str(&out), d->c->out.to);
	buf_clear(&out);
}

static void
examine(struct doctor *d, const struct site *site)
{
	d->site = site;
	d->database = false;
	d->export = NULL;
	for (size_t i = 0; i < NELEMS(looks); i++)
		if (d->database || !looks[i].needs_database)
			looks[i].look(d);
	json_decref(d->export);
	place_close(&d->place);
}

int
cmd_doctor(struct ctl *c)
{
	struct doctor d = { .c = c, .rows = json_array() };
	enum ctl_exit status;

	for (size_t i = 0; i < c->nsites; i++)
		examine(&d, c->sites[i]);
	status = d.worst == FINDING_ERROR ? EXIT_SOME_FAILED : EXIT_DONE;
	if (c->out.format != OUTPUT_TABLE || c->opts.fields)
		return ctl_print_rows(c, d.rows, status);
	print_findings(&d);
	json_decref(d.rows);
	return (int)status;
}
