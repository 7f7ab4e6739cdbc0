#ifndef TESTS_DB_MESSAGES_FIXTURE_H
#define TESTS_DB_MESSAGES_FIXTURE_H

#include <stdint.h>

#include "db_test.h"

/* Event Espresso's tables (prefix wp_), as its migrations make them, and
 * wp_options. */
void messages_fixture_tables(void);
/* Our tables as well. */
void messages_fixture_open(void);
/* A row; MIC rows get what they are generated from. */
uint64_t messages_fixture_add(
    const char *sts, unsigned priority, int age_s, const char *type);
void messages_fixture_option(const char *name, const char *value);
/* STS_ID; "" when the row is gone. */
const char *messages_fixture_status(uint64_t id);
/* A column of the journal as text; "" when there is no entry. */
const char *messages_fixture_journal(
    uint64_t id, const char *lane, const char *column);

#endif
