#ifndef TESTS_DB_USERS_FIXTURE_H
#define TESTS_DB_USERS_FIXTURE_H

#include <stdint.h>

#include "db_test.h"

/* WordPress' tables of users (prefix wp_), as core makes them. */
#define PUSH_FLAG "newspack_contact_cron_push_pending"
#define PULL_FLAG "newspack_contact_cron_pull_pending"

void users_fixture_tables(void);
/* A subscriber LOGIN, LOGIN@example.test; the id. */
uint64_t users_fixture_add(const char *login);
/* A row; its umeta_id. The key and value are put between quotes as they are. */
uint64_t users_fixture_meta(uint64_t user, const char *key, const char *value);
/* Users user1 to userN, ten rows of usermeta each, made faster without the
 * tables' indexes, which it adds. */
void users_fixture_many(unsigned long n);
/* So many flags of a key, of every tenth user and with times from 1700000000
 * on. */
void users_fixture_flags(const char *key, unsigned long n);

#endif
