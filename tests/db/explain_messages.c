#include "explain_messages.h"

#include "messages_fixture.h"

/* 100,000 wait to be sent, 300,000 were; a few of each other status. */
static void
fill_rows(void)
{
	db_test_sql(
	    "INSERT INTO wp_esp_message (GRP_ID, MSG_token, TXN_ID,"
	    " MSG_messenger, MSG_message_type, MSG_context, MSG_to, MSG_from,"
	    " MSG_subject, MSG_content, MSG_priority, STS_ID, MSG_created,"
	    " MSG_modified) SELECT 1, MD5(seq), seq DIV 3, 'email', 'payment',"
	    " 'attendee', CONCAT('guest', seq, '@example.test'),"
	    " 'desk@example.test', 'Your seat', REPEAT('x', 200),"
	    " 10 * (1 + seq %% 3),"
	    " CASE WHEN seq %% 400 = 0 THEN 'MIC'"
	    "      WHEN seq %% 400 = 1 THEN 'MRS'"
	    "      WHEN seq %% 400 = 2 THEN 'MFL'"
	    "      WHEN seq %% 400 = 3 THEN 'MRT'"
	    "      WHEN seq %% 400 = 4 THEN 'MEX'"
	    "      WHEN seq %% 4 = 1 THEN 'MID' ELSE 'MSN' END,"
	    " UTC_TIMESTAMP() - INTERVAL seq SECOND,"
	    " UTC_TIMESTAMP() - INTERVAL seq SECOND FROM seq_1_to_400000");
	db_test_sql("INSERT INTO wp_esp_extra_meta (OBJ_ID, EXM_type, EXM_key,"
		    " EXM_value) SELECT seq DIV 2, 'Message', IF(seq %% 2,"
		    " 'MSG_error', 'MSG_cc'), 'x' FROM seq_2_to_400000");
	db_test_sql("INSERT INTO wp_esp_registration (EVT_ID, ATT_ID, TXN_ID)"
		    " SELECT 1 + seq %% 50, seq, seq FROM seq_1_to_10000");
}

static void
fill_journal(void)
{
	db_test_sql(
	    "INSERT INTO wp_wpcron_messages (blog_id, message_id, lane,"
	    " state, was, claim_id, not_before, deadline, ended_at, copy)"
	    " SELECT 1 + seq %% 2, seq, IF(seq %% 20 < 2, 'generate', 'send'),"
	    " CASE WHEN seq %% 500 = 0 THEN 'claimed'"
	    "      WHEN seq %% 500 = 1 THEN 'running'"
	    "      WHEN seq %% 500 < 5 THEN 'passed'"
	    "      WHEN seq %% 500 < 8 THEN 'failed'"
	    "      WHEN seq %% 500 = 8 THEN 'refused' ELSE 'done' END,"
	    " 'MID', 1 + seq DIV 50,"
	    " UTC_TIMESTAMP(6) - INTERVAL 300 SECOND + INTERVAL seq %% 600 "
	    "SECOND,"
	    " UTC_TIMESTAMP(6) - INTERVAL 300 SECOND + INTERVAL seq %% 600 "
	    "SECOND,"
	    " UTC_TIMESTAMP(6) - INTERVAL seq MINUTE, ''"
	    " FROM seq_1_to_100000");
}

void
explain_fill_messages(void)
{
	messages_fixture_tables();
	fill_rows();
	fill_journal();
	db_test_sql("ANALYZE TABLE wp_esp_message, wp_esp_extra_meta,"
		    " wp_esp_registration, wp_wpcron_messages");
}
