#include "messages_fixture.h"

#include <mysql.h>
#include <stdio.h>
#include <string.h>

#include "sql/schema.h"

#define CHARSET "DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci"

void
messages_fixture_tables(void)
{
	db_test_sql(
	    "CREATE TABLE wp_esp_message (MSG_ID BIGINT UNSIGNED NOT NULL"
	    " AUTO_INCREMENT, GRP_ID INT UNSIGNED, MSG_token VARCHAR(255),"
	    " TXN_ID INT UNSIGNED, MSG_messenger VARCHAR(30) NOT NULL,"
	    " MSG_message_type VARCHAR(50) NOT NULL, MSG_context VARCHAR(50),"
	    " MSG_recipient_ID BIGINT, MSG_recipient_type VARCHAR(45),"
	    " MSG_content LONGTEXT, MSG_to VARCHAR(255),"
	    " MSG_from VARCHAR(255), MSG_subject VARCHAR(255),"
	    " MSG_priority TINYINT(1) NOT NULL DEFAULT 3,"
	    " STS_ID VARCHAR(3) NOT NULL DEFAULT 'MIC',"
	    " MSG_created DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00',"
	    " MSG_modified DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00',"
	    " PRIMARY KEY (MSG_ID), KEY GRP_ID (GRP_ID), KEY TXN_ID (TXN_ID),"
	    " KEY MSG_messenger (MSG_messenger),"
	    " KEY MSG_message_type (MSG_message_type),"
	    " KEY MSG_context (MSG_context),"
	    " KEY MSG_recipient_ID (MSG_recipient_ID),"
	    " KEY MSG_recipient_type (MSG_recipient_type),"
	    " KEY MSG_to (MSG_to(191)), KEY MSG_from (MSG_from(191)),"
	    " KEY MSG_subject (MSG_subject(191)),"
	    " KEY MSG_priority (MSG_priority), KEY STS_ID (STS_ID),"
	    " KEY MSG_created (MSG_created), KEY MSG_modified (MSG_modified))"
	    " ENGINE=InnoDB " CHARSET);
	db_test_sql(
	    "CREATE TABLE wp_esp_extra_meta (EXM_ID INT NOT NULL"
	    " AUTO_INCREMENT, OBJ_ID INT, EXM_type VARCHAR(45),"
	    " EXM_key VARCHAR(45), EXM_value TEXT, PRIMARY KEY (EXM_ID),"
	    " KEY EXM_type (EXM_type, OBJ_ID, EXM_key))"
	    " ENGINE=InnoDB " CHARSET);
	db_test_sql(
	    "CREATE TABLE wp_esp_registration (REG_ID INT UNSIGNED NOT NULL"
	    " AUTO_INCREMENT, EVT_ID INT UNSIGNED NOT NULL, ATT_ID INT"
	    " UNSIGNED NOT NULL, TXN_ID INT UNSIGNED NOT NULL,"
	    " PRIMARY KEY (REG_ID), KEY EVT_ID (EVT_ID), KEY TXN_ID (TXN_ID))"
	    " ENGINE=InnoDB " CHARSET);
}

void
messages_fixture_open(void)
{
	db_test_open();
	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	messages_fixture_tables();
	db_test_sql(
	    "CREATE TABLE wp_options (option_id BIGINT UNSIGNED NOT NULL"
	    " AUTO_INCREMENT, option_name VARCHAR(191) NOT NULL,"
	    " option_value LONGTEXT NOT NULL,"
	    " autoload VARCHAR(20) NOT NULL DEFAULT 'yes',"
	    " PRIMARY KEY (option_id), UNIQUE KEY (option_name))"
	    " ENGINE=InnoDB " CHARSET);
}

uint64_t
messages_fixture_add(
    const char *sts, unsigned priority, int age_s, const char *type)
{
	uint64_t id;

	db_test_sql("INSERT INTO wp_esp_message (GRP_ID, MSG_token, TXN_ID,"
		    " MSG_messenger, MSG_message_type, MSG_context, MSG_to,"
		    " MSG_from, MSG_subject, MSG_content, MSG_priority, STS_ID,"
		    " MSG_created, MSG_modified) VALUES (0, MD5(RAND()), 7,"
		    " 'email', '%s', 'attendee', 'guest@example.test',"
		    " 'desk@example.test', 'Your seat', '<p>It\\'s kept</p>',"
		    " %u, '%s', UTC_TIMESTAMP() - INTERVAL %d SECOND,"
		    " UTC_TIMESTAMP() - INTERVAL %d SECOND)",
	    type, priority, sts, age_s, age_s);
	id = db_test_u64("SELECT LAST_INSERT_ID()");
	if (strcmp(sts, "MIC") == 0)
		db_test_sql("INSERT INTO wp_esp_extra_meta (OBJ_ID, EXM_type,"
			    " EXM_key, EXM_value) VALUES"
			    " (%llu, 'Message', 'MSG_generation_data',"
			    "  'a:1:{s:11:\"Transaction\";i:7;}'),"
			    " (%llu, 'Message', 'data_handler_class_name',"
			    "  'EE_Messages_Gateways_incoming_data')",
		    (unsigned long long)id, (unsigned long long)id);
	return id;
}

void
messages_fixture_option(const char *name, const char *value)
{
	db_test_sql("REPLACE INTO wp_options (option_name, option_value)"
		    " VALUES ('%s', '%s')",
	    name, value);
}

static const char *
text_of(const char *query)
{
	static char text[512];
	MYSQL_RES *result;
	MYSQL_ROW row;

	ck_assert_msg(mysql_query(db_test_raw(), query) == 0, "%s: %s", query,
	    mysql_error(db_test_raw()));
	result = mysql_store_result(db_test_raw());
	row = mysql_fetch_row(result);
	(void)snprintf(text, sizeof text, "%s", row && row[0] ? row[0] : "");
	mysql_free_result(result);
	return text;
}

const char *
messages_fixture_status(uint64_t id)
{
	char query[128];

	(void)snprintf(query, sizeof query,
	    "SELECT STS_ID FROM wp_esp_message WHERE MSG_ID = %llu",
	    (unsigned long long)id);
	return text_of(query);
}

const char *
messages_fixture_journal(uint64_t id, const char *lane, const char *column)
{
	char query[256];

	(void)snprintf(query, sizeof query,
	    "SELECT %s FROM wp_wpcron_messages WHERE blog_id = 1"
	    " AND message_id = %llu AND lane = '%s'",
	    column, (unsigned long long)id, lane);
	return text_of(query);
}
