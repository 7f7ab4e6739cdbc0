#include "explain_outbox.h"

#include <stdio.h>

#include "base/macros.h"
#include "db_test.h"

/* Three months of sent ones; a backlog; what is in hand, lost or dead. */
static void
fill_mails(void)
{
	static const struct {
		const char *state, *claim, *ended;
		int told;
		unsigned long rows;
	} kinds[] = {
		{ "sent", "0", "UTC_TIMESTAMP(6) - INTERVAL seq MINUTE", 1,
		    120000 },
		{ "ready", "0", "NULL", 0, 60000 },
		{ "later", "0", "NULL", 0, 20000 },
		{ "sending", "1 + seq DIV 10", "NULL", 0, 100 },
		{ "dead", "0", "UTC_TIMESTAMP(6) - INTERVAL seq MINUTE", 1,
		    20000 },
		{ "sent", "0", "UTC_TIMESTAMP(6)", 0, 1000 },
		{ "writing", "0", "NULL", 0, 20 },
	};

	for (size_t i = 0; i < NELEMS(kinds); i++) {
		char text[1024];

		(void)snprintf(text, sizeof text,
		    "INSERT INTO wp_wpcron_outbox (blog_id, state, priority,"
		    " job, ordinal, digest, sender, recipients, size,"
		    " created_at, not_before, claim_id, claimed_until,"
		    " ended_at, told) SELECT 1 + seq %% 3, '%s',"
		    " 10 * (1 + seq %% 3), CONCAT('action:', seq), %zu,"
		    " UNHEX(SHA2(seq, 256)), 'shop@example.test',"
		    " '[{\"to\":\"a@example.test\",\"state\":\"open\"}]', 9,"
		    " UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) - INTERVAL"
		    " seq MINUTE, %s, UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE,"
		    " %s, %d FROM seq_1_to_%lu",
		    kinds[i].state, i, kinds[i].claim, kinds[i].ended,
		    kinds[i].told, kinds[i].rows);
		db_test_sql("%s", text);
	}
}

void
explain_fill_outbox(void)
{
	fill_mails();
	db_test_sql("INSERT INTO wp_wpcron_outbox_chunks"
		    " SELECT blog_id, mail_id, 0, 'x' FROM wp_wpcron_outbox"
		    " WHERE state <> 'sent'");
	db_test_sql(
	    "INSERT INTO wp_wpcron_dead_letters (blog_id, kind, queue,"
	    " source, created_at, died_at, payload) SELECT 1 + seq %% 3,"
	    " IF(seq %% 2, 'mail', 'task'), CONCAT('q', seq %% 7), seq,"
	    " UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) - INTERVAL seq MINUTE,"
	    " '' FROM seq_1_to_20000");
	db_test_sql("ANALYZE TABLE wp_wpcron_outbox, wp_wpcron_outbox_chunks,"
		    " wp_wpcron_dead_letters");
}
