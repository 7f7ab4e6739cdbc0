#include "explain_contacts.h"

#include "db_test.h"

/* Per 56: 40 wait for a day to come, one runs, the rest are over. */
static void
fill_retries(void)
{
	db_test_sql(
	    "INSERT INTO wp_actionscheduler_actions (hook, status,"
	    " scheduled_date_gmt, scheduled_date_local, args, extended_args,"
	    " schedule, last_attempt_gmt, claim_id)"
	    " SELECT 'newspack_contact_sync_retry',"
	    " CASE WHEN seq %% 56 < 40 THEN 'pending'"
	    "      WHEN seq %% 56 = 40 THEN 'in-progress'"
	    "      ELSE 'complete' END,"
	    " UTC_TIMESTAMP() + INTERVAL 1 DAY, UTC_TIMESTAMP(), MD5(seq),"
	    " CONCAT('[{\"integration_id\":\"esp\",\"user_id\":', seq, '}]'),"
	    " 'x', UTC_TIMESTAMP(), IF(seq %% 56 < 41, 0, seq)"
	    " FROM seq_1_to_5600");
}

void
explain_fill_contacts(void)
{
	fill_retries();
	db_test_sql("INSERT INTO wp_usermeta (user_id, meta_key, meta_value)"
		    " SELECT ID, 'newspack_reader_data_keys', 'a:0:{}'"
		    " FROM wp_users");
	db_test_sql("INSERT INTO wp_wpcron_fingerprints (blog_id, user_id,"
		    " integration, state, payload, address, accepted_at)"
		    " SELECT 1 + seq %% 2, 1 + seq DIV 4,"
		    " IF(seq %% 4 < 2, 'esp', 'mailer'),"
		    " IF(seq %% 20 = 0, 'barred', 'accepted'),"
		    " MD5(seq), MD5(seq), UTC_TIMESTAMP(6)"
		    " - INTERVAL seq MINUTE FROM seq_1_to_200000");
	db_test_sql("INSERT INTO wp_wpcron_batches (blog_id, integration,"
		    " provider, token, submitted_at, ask_at, members)"
		    " SELECT 1 + seq %% 10, 'esp', 'mailchimp', seq,"
		    " UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), '[]'"
		    " FROM seq_1_to_2000");
	db_test_sql("INSERT INTO wp_wpcron_meta SELECT CONCAT('name ', seq),"
		    " 'x' FROM seq_1_to_2000");
	db_test_sql("ANALYZE TABLE wp_wpcron_fingerprints, wp_wpcron_batches,"
		    " wp_wpcron_meta, wp_usermeta");
}
