#include "explain_readers.h"

#include "db_test.h"

/* 20,000 users of 18 rows each; half are staged for a push, a quarter for a
 * pull, one in ten is logged in. */
static void
fill_users(void)
{
	db_test_sql(
	    "CREATE TABLE wp_users (ID BIGINT UNSIGNED NOT NULL"
	    " AUTO_INCREMENT, user_login VARCHAR(60) NOT NULL DEFAULT '',"
	    " user_pass VARCHAR(255) NOT NULL DEFAULT '',"
	    " user_nicename VARCHAR(50) NOT NULL DEFAULT '',"
	    " user_email VARCHAR(100) NOT NULL DEFAULT '',"
	    " user_url VARCHAR(100) NOT NULL DEFAULT '',"
	    " user_registered DATETIME NOT NULL"
	    " DEFAULT '0000-00-00 00:00:00',"
	    " user_activation_key VARCHAR(255) NOT NULL DEFAULT '',"
	    " user_status INT NOT NULL DEFAULT 0,"
	    " display_name VARCHAR(250) NOT NULL DEFAULT '',"
	    " PRIMARY KEY (ID), KEY user_login_key (user_login),"
	    " KEY user_nicename (user_nicename), KEY user_email (user_email))"
	    " ENGINE=InnoDB");
	db_test_sql("INSERT INTO wp_users (user_login, user_pass,"
		    " user_nicename, user_email, user_registered,"
		    " display_name)"
		    " SELECT CONCAT('user', seq),"
		    " '$P$B3OhrXGpDVvlGIZn0SCIAWnI4wS3bA.',"
		    " CONCAT('user', seq), CONCAT('user', seq,"
		    " '@example.test'), UTC_TIMESTAMP(), CONCAT('User ', seq)"
		    " FROM seq_1_to_20000");
}

static void
fill_usermeta(void)
{
	db_test_sql("CREATE TABLE wp_usermeta (umeta_id BIGINT UNSIGNED NOT"
		    " NULL AUTO_INCREMENT, user_id BIGINT UNSIGNED NOT NULL"
		    " DEFAULT 0, meta_key VARCHAR(255) DEFAULT NULL,"
		    " meta_value LONGTEXT, PRIMARY KEY (umeta_id),"
		    " KEY user_id (user_id), KEY meta_key (meta_key(191)))"
		    " ENGINE=InnoDB");
	db_test_sql("INSERT INTO wp_usermeta (user_id, meta_key, meta_value)"
		    " SELECT 1 + seq DIV 18,"
		    " CASE seq %% 18"
		    " WHEN 0 THEN 'nickname' WHEN 1 THEN 'wp_capabilities'"
		    " WHEN 2 THEN 'wp_user_level'"
		    " WHEN 3 THEN 'newspack_contact_cron_last_enqueue'"
		    " WHEN 4 THEN IF(seq DIV 18 %% 2,"
		    "   'newspack_contact_cron_push_pending', 'np_reader')"
		    " WHEN 5 THEN IF(seq DIV 18 %% 4 = 1,"
		    "   'newspack_contact_cron_pull_pending', 'np_other')"
		    " WHEN 6 THEN IF(seq DIV 18 %% 10 = 6,"
		    "   'session_tokens', 'last_name')"
		    " ELSE CONCAT('key_', seq %% 18) END,"
		    " IF(seq %% 18 = 1, 'a:1:{s:10:\"subscriber\";b:1;}',"
		    "   1700000000 + seq)"
		    " FROM seq_0_to_359999");
}

static void
fill_network(void)
{
	db_test_sql("CREATE TABLE wp_blogs (blog_id BIGINT NOT NULL"
		    " AUTO_INCREMENT, site_id BIGINT NOT NULL DEFAULT 0,"
		    " domain VARCHAR(200) NOT NULL DEFAULT '',"
		    " path VARCHAR(100) NOT NULL DEFAULT '',"
		    " PRIMARY KEY (blog_id), KEY domain (domain(50), path(5)))"
		    " ENGINE=InnoDB");
	db_test_sql("INSERT INTO wp_blogs SELECT seq, 1 + seq DIV 500,"
		    " CONCAT('blog', seq, '.example.test'), '/'"
		    " FROM seq_1_to_2000");
	db_test_sql("INSERT INTO wp_sitemeta (site_id, meta_key, meta_value)"
		    " SELECT 1 + seq DIV 200, IF(seq %% 200 = 0, 'siteurl',"
		    " CONCAT('option_', seq %% 200)), 'x'"
		    " FROM seq_0_to_1999");
}

void
explain_fill_readers(void)
{
	fill_users();
	fill_usermeta();
	fill_network();
	db_test_sql("ANALYZE TABLE wp_users, wp_usermeta, wp_blogs,"
		    " wp_sitemeta");
}
