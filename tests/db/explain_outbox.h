#ifndef TESTS_DB_EXPLAIN_OUTBOX_H
#define TESTS_DB_EXPLAIN_OUTBOX_H

/* Mails of a busy shop and what failed for good; the tables are there. */
void explain_fill_outbox(void);

#endif
