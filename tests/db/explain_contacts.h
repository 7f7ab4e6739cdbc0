#ifndef TESTS_DB_EXPLAIN_CONTACTS_H
#define TESTS_DB_EXPLAIN_CONTACTS_H

/* What the contacts queue keeps of a publisher's readers; the tables are
 * there. */
void explain_fill_contacts(void);

#endif
