#ifndef TESTS_DB_EXPLAIN_READERS_H
#define TESTS_DB_EXPLAIN_READERS_H

/* WordPress' own tables of users, as large as a publisher's, and of networks;
 * wp_sitemeta is there already. */
void explain_fill_readers(void);

#endif
