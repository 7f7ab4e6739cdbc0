#ifndef CTL_MAILS_H
#define CTL_MAILS_H

#include "ctl.h"
#include "queues/outbox.h"

/* Mails of the outbox as the commands show them; columns of the statements
 * outbox_ctl.list, mail and of_person. */
enum mail_column {
	MAIL_BLOG,
	MAIL_ID,
	MAIL_STATE,
	MAIL_PRIORITY,
	MAIL_JOB,
	MAIL_ORDINAL,
	MAIL_SENDER,
	MAIL_RECIPIENTS,
	MAIL_SUBJECT,
	MAIL_SIZE,
	MAIL_SEALED,
	MAIL_CREATED,
	MAIL_NOT_BEFORE,
	MAIL_TRIES,
	MAIL_UNKNOWN,
	MAIL_ENDED,
	MAIL_REPLY,
	MAIL_MESSAGE_ID,
	MAIL_BEGUN,
};

/* A mail of the current row; addresses masked unless `plain`. */
json_t *mail_row(const struct db_rows *rows, bool plain);
/* The recipients of the current row, [{to, state, code, words}]; never NULL. */
json_t *mail_recipients(struct slice json);

/*
 * mail_body - append the bytes of a mail of the current row, opened with the
 * site's key. RC_NONE: they are gone; RC_REJECT: they cannot be opened.
 */
MUSTUSE enum rc mail_body(const struct place *p, const struct db_rows *rows,
    struct buf *out, struct err *err);

/*
 * mail_revive - let a mail that is dead or held be sent again, to those who
 * have not got it. RC_NONE: there is none, it has another state, its bytes are
 * gone, or everybody has it; the words say which. So too for a dead one of
 * Event Espresso (of_message): the message has failed with it, and is retried.
 */
MUSTUSE enum rc mail_revive(struct place *p, uint32_t blog_id, uint64_t mail_id,
    bool of_message, struct err *err);

/*
 * mail_forget - take an address out of a mail: all of it where nobody else
 * waits for it, else just this recipient. *whole says which. RC_NONE: it is
 * being sent now.
 */
MUSTUSE enum rc mail_forget(struct place *p, uint32_t blog_id, uint64_t mail_id,
    struct slice address, bool *whole, struct err *err);

/* The same mailbox? Letters of ASCII in either case. */
bool mail_same_address(const char *a, struct slice b);

#define MAIL_BODY_MAX ((size_t)1 << 30)

#endif
