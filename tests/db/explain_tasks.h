#ifndef TESTS_DB_EXPLAIN_TASKS_H
#define TESTS_DB_EXPLAIN_TASKS_H

/* Transient queues: what is done, and what waits; the tables are there. */
void explain_fill_tasks(void);

#endif
