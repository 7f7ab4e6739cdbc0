#include "users_fixture.h"

#define CHARSET "DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci"

static void
create(void)
{
	db_test_sql(
	    "CREATE TABLE wp_users (ID BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,"
	    " user_login VARCHAR(60) NOT NULL DEFAULT '',"
	    " user_pass VARCHAR(255) NOT NULL DEFAULT '',"
	    " user_nicename VARCHAR(50) NOT NULL DEFAULT '',"
	    " user_email VARCHAR(100) NOT NULL DEFAULT '',"
	    " user_url VARCHAR(100) NOT NULL DEFAULT '',"
	    " user_registered DATETIME NOT NULL"
	    "   DEFAULT '0000-00-00 00:00:00',"
	    " user_activation_key VARCHAR(255) NOT NULL DEFAULT '',"
	    " user_status INT NOT NULL DEFAULT 0,"
	    " display_name VARCHAR(250) NOT NULL DEFAULT '',"
	    " PRIMARY KEY (ID)) ENGINE=InnoDB " CHARSET);
	db_test_sql("CREATE TABLE wp_usermeta ("
		    " umeta_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,"
		    " user_id BIGINT UNSIGNED NOT NULL DEFAULT 0,"
		    " meta_key VARCHAR(255), meta_value LONGTEXT,"
		    " PRIMARY KEY (umeta_id)) ENGINE=InnoDB " CHARSET);
}

static void
add_indexes(void)
{
	db_test_sql("ALTER TABLE wp_users ADD KEY user_login_key (user_login),"
		    " ADD KEY user_nicename (user_nicename),"
		    " ADD KEY user_email (user_email)");
	db_test_sql("ALTER TABLE wp_usermeta ADD KEY user_id (user_id),"
		    " ADD KEY meta_key (meta_key(191))");
}

void
users_fixture_tables(void)
{
	create();
	add_indexes();
}

uint64_t
users_fixture_add(const char *login)
{
	uint64_t id;

	db_test_sql("INSERT INTO wp_users (user_login, user_nicename,"
		    " user_email, display_name, user_registered) VALUES"
		    " ('%s', '%s', '%s@example.test', 'The %s',"
		    " '2023-11-14 22:13:20')",
	    login, login, login, login);
	id = db_test_u64("SELECT LAST_INSERT_ID()");
	(void)users_fixture_meta(
	    id, "wp_capabilities", "a:1:{s:10:\"subscriber\";b:1;}");
	return id;
}

uint64_t
users_fixture_meta(uint64_t user, const char *key, const char *value)
{
	db_test_sql("INSERT INTO wp_usermeta (user_id, meta_key, meta_value)"
		    " VALUES (%llu, '%s', '%s')",
	    (unsigned long long)user, key, value);
	return db_test_u64("SELECT LAST_INSERT_ID()");
}

void
users_fixture_many(unsigned long n)
{
	create();
	db_test_sql("SET unique_checks = 0");
	db_test_sql("INSERT INTO wp_users (user_login, user_nicename,"
		    " user_email, display_name, user_registered)"
		    " SELECT CONCAT('user', seq), CONCAT('user', seq),"
		    " CONCAT('user', seq, '@example.test'), 'A Reader',"
		    " '2023-11-14 22:13:20' FROM seq_1_to_%lu",
	    n);
	db_test_sql("INSERT INTO wp_usermeta (user_id, meta_key, meta_value)"
		    " SELECT u.seq, ELT(m.seq, 'nickname', 'first_name',"
		    " 'last_name', 'wp_capabilities', 'wp_user_level',"
		    " 'session_tokens', 'np_reader',"
		    " 'newspack_contact_cron_last_enqueue',"
		    " 'newspack_reader_data_keys',"
		    " 'newspack_reader_data_item_score'), CONCAT('v', u.seq)"
		    " FROM seq_1_to_%lu u, seq_1_to_10 m",
	    n);
	add_indexes();
}

void
users_fixture_flags(const char *key, unsigned long n)
{
	db_test_sql("INSERT INTO wp_usermeta (user_id, meta_key, meta_value)"
		    " SELECT seq * 10, '%s', 1700000000 + seq"
		    " FROM seq_1_to_%lu",
	    key, n);
	db_test_sql("ANALYZE TABLE wp_users, wp_usermeta");
}
