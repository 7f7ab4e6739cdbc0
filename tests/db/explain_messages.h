#ifndef TESTS_DB_EXPLAIN_MESSAGES_H
#define TESTS_DB_EXPLAIN_MESSAGES_H

/* Event Espresso's tables with a backlog, and our journal; the tables of ours
 * are there. */
void explain_fill_messages(void);

#endif
