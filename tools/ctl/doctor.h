#ifndef CTL_DOCTOR_H
#define CTL_DOCTOR_H

#include "ctl.h"

enum severity {
	FINDING_OK,
	FINDING_INFO,  /* good to know */
	FINDING_WARN,  /* works, but less well than it could */
	FINDING_ERROR, /* due work waits, or may be lost or done twice */
};

/* The examination of one site. */
struct doctor {
	const struct ctl *c;
	const struct site *site;
	struct place place;
	bool database;  /* place is open */
	json_t *export; /* what PHP told of the site; NULL: it did not */
	json_t *rows;   /* findings of all sites */
	enum severity worst;
};

/*
 * Add a finding. `remedy` is what to do about it, NULL for none; the words
 * after it say what was found.
 */
void doctor_find(struct doctor *d, enum severity severity, const char *check,
    const char *remedy, const char *fmt, ...) PRINTF_LIKE(5, 6);

/* Each looks at one thing and adds what it finds, in doctor's order. */
void doctor_config(struct doctor *d);
void doctor_database(struct doctor *d); /* opens d->place */
void doctor_server(struct doctor *d);
void doctor_actions(struct doctor *d);
void doctor_plan(struct doctor *d);
void doctor_own(struct doctor *d);
void doctor_clock(struct doctor *d);
void doctor_php(struct doctor *d); /* sets d->export */
void doctor_agreement(struct doctor *d);
void doctor_identity(struct doctor *d);
void doctor_timezone(struct doctor *d);
void doctor_rivals(struct doctor *d);
void doctor_nodes(struct doctor *d);
void doctor_cron(struct doctor *d);
void doctor_contacts(struct doctor *d);
void doctor_smtp(struct doctor *d);
void doctor_outbox(struct doctor *d);
void doctor_mail_plugins(struct doctor *d);
void doctor_messages(struct doctor *d);
void doctor_tasks(struct doctor *d);
void doctor_legacy_mails(struct doctor *d);

#endif
