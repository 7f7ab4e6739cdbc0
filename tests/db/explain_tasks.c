#include "explain_tasks.h"

#include <stdio.h>

#include "base/macros.h"
#include "db_test.h"

/* Four queues of three blogs; queue_1 has the most of everything. */
void
explain_fill_tasks(void)
{
	static const struct {
		const char *state, *claim, *until, *ended;
		unsigned long rows;
	} kinds[] = {
		{ "done", "0", "NULL", "UTC_TIMESTAMP(6) - INTERVAL seq SECOND",
		    200000 },
		{ "dead", "0", "NULL", "UTC_TIMESTAMP(6) - INTERVAL seq MINUTE",
		    3000 },
		{ "ready", "0", "NULL", "NULL", 30000 },
		{ "delayed", "0", "NULL", "NULL", 10000 },
		{ "list", "0", "NULL", "NULL", 1000 },
		{ "pending", "0", "NULL", "NULL", 1000 },
		{ "claimed", "1000000001 + seq % 40",
		    "UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE", "NULL", 400 },
		{ "running", "1000000001 + seq % 40",
		    "UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE", "NULL", 400 },
	};

	for (size_t i = 0; i < NELEMS(kinds); i++) {
		char text[1024];

		(void)snprintf(text, sizeof text,
		    "INSERT INTO wp_wpcron_tasks (blog_id, queue, state, type,"
		    " available_at, snapshot, place, claim_id, claimed_until,"
		    " taken_at, ended_at, element)"
		    " SELECT 1 + seq %% 3, CONCAT('queue_', 1 + seq %% 12"
		    " DIV 9), '%s', CONCAT('type_', seq %% 7),"
		    " UTC_TIMESTAMP(6) + INTERVAL 1 DAY - INTERVAL seq DIV 2"
		    " MINUTE, MD5(seq), %zu, %s, %s, UTC_TIMESTAMP(6)"
		    " - INTERVAL seq SECOND, %s, REPEAT('x', 200)"
		    " FROM seq_1_to_%lu",
		    kinds[i].state, i, kinds[i].claim, kinds[i].until,
		    kinds[i].ended, kinds[i].rows);
		db_test_sql("%s", text);
	}
	db_test_sql("INSERT INTO wp_wpcron_task_snapshots (blog_id, queue,"
		    " seen_at, elements) SELECT 1 + seq %% 3,"
		    " CONCAT('queue_', 1 + seq %% 4), UTC_TIMESTAMP(6)"
		    " - INTERVAL seq SECOND, REPEAT(MD5(seq DIV 12), 10)"
		    " FROM seq_1_to_10000");
	db_test_sql("ANALYZE TABLE wp_wpcron_tasks, wp_wpcron_task_snapshots");
}
