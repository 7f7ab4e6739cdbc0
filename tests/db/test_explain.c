/*
 * Every statement against big tables, in every shape that a site's tables may
 * have: no full scan, no sort of more than a batch, no more rows read than a
 * small multiple of what was asked for, and no action locked by another way
 * than its primary key. The plan comes from EXPLAIN, the rows read from the
 * storage engine's counters while the statement runs (and is rolled back).
 *
 * EXPLAIN_ROWS is the number of actions (1,000,000), logs are twice as many.
 * EXPLAIN_PRINT=1 prints a line a statement.
 */
#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "db_test.h"
#include "explain_contacts.h"
#include "explain_messages.h"
#include "explain_outbox.h"
#include "explain_readers.h"
#include "explain_tasks.h"
#include "sql/schema.h"

Suite *explain_suite(void);

#define NIDS 50
#define NROWS 10
/* Rows that a statement may read whatever it asks for. */
#define READS_FREE 100
#define READS_PER_ROW 4
/* A scan of a table that is never longer is no scan. */
#define SMALL_TABLE 1000

/* What the values stand for: each may lead to another plan, or to many rows. */
enum scene {
	SCENE_DUE,
	SCENE_NOTHING_DUE,
	SCENE_NO_CLAIM, /* any_claim is 0, which every free row has */
};
#define SCENES 3
static const char *const scene_names[SCENES] = { "due", "nothing due",
	"claim 0" };

/* One statement on one shape of the tables. */
struct subject {
	const struct sql_statement *st;
	const struct sql_scope *scope;
	enum scene scene;
	struct sql_value *values;
	struct sql_value *rows;
	uint64_t ids[NIDS];
	uint64_t allowed; /* rows it may read */
	uint64_t read;
	bool scans, sorts;
	bool by_other_key; /* locks actions through another index */
	char plan[256];
};

static struct {
	unsigned columns[SQL_NSTATEMENTS]; /* of the result, by the first run */
	unsigned long rows;
	unsigned checked, complaints;
	int64_t now;
	uint64_t first_due, live_claim;
	bool print;
} run;

/* ---- the data ---- */

/* Per 100 rows: 80 complete, 1 failed, 1 canceled, 10 due, 8 in the future. */
static void
fill_actions(void)
{
	db_test_sql("SET unique_checks = 0, foreign_key_checks = 0");
	db_test_sql(
	    "INSERT INTO wp_actionscheduler_actions (hook, status,"
	    " scheduled_date_gmt, scheduled_date_local, priority, args,"
	    " schedule, group_id, attempts, last_attempt_gmt,"
	    " last_attempt_local, claim_id, unique_key)"
	    " SELECT CONCAT('hook_', seq %% 20),"
	    " CASE WHEN seq %% 100 < 80 THEN 'complete'"
	    "      WHEN seq %% 100 = 80 THEN 'failed'"
	    "      WHEN seq %% 100 = 81 THEN 'canceled' ELSE 'pending' END,"
	    " UTC_TIMESTAMP() - INTERVAL"
	    "   IF(seq %% 100 < 92, seq %% 2592000, 0) SECOND"
	    "   + INTERVAL IF(seq %% 100 < 92, 0, 1 + seq %% 604800) SECOND,"
	    " UTC_TIMESTAMP(), 10, CONCAT('[', seq, ']'), REPEAT('x', 150),"
	    " seq %% 7, seq %% 100 < 81,"
	    " IF(seq %% 100 < 81, UTC_TIMESTAMP() - INTERVAL"
	    "   seq %% 2592000 SECOND, '0000-00-00 00:00:00'),"
	    " UTC_TIMESTAMP(),"
	    " IF(seq %% 100 < 81, 1000 + seq DIV 25, 0), NULL"
	    " FROM seq_1_to_%lu",
	    run.rows);
	db_test_sql("INSERT INTO wp_actionscheduler_logs (action_id, message,"
		    " log_date_gmt, log_date_local) SELECT 1 + seq %% %lu,"
		    " 'action complete via WP Cron', UTC_TIMESTAMP() - INTERVAL"
		    " seq %% 2592000 SECOND, UTC_TIMESTAMP() FROM"
		    " seq_1_to_%lu",
	    run.rows, run.rows * 2);
}

/* Live claims of 25 rows, half of them running, every other one ours. */
static void
fill_claims(void)
{
	db_test_sql("INSERT INTO wp_actionscheduler_claims (claim_id,"
		    " date_created_gmt) SELECT 1000000000 + seq,"
		    " UTC_TIMESTAMP() - INTERVAL 600 SECOND FROM seq_1_to_40");
	db_test_sql("INSERT INTO wp_wpcron_claims SELECT 1, 1000000000 + seq,"
		    " seq %% 4, 'php', UTC_TIMESTAMP(6), NULL"
		    " FROM seq_2_to_40_step_2");
	db_test_sql("UPDATE wp_actionscheduler_actions SET"
		    " claim_id = 1000000001 + action_id DIV 100 %% 40,"
		    " status = IF(action_id %% 2, 'pending', 'in-progress'),"
		    " last_attempt_gmt = UTC_TIMESTAMP() - INTERVAL 600 SECOND"
		    " WHERE action_id %% 100 BETWEEN 82 AND 83"
		    " AND action_id < 50000");
}

/* Mostly published, a few that wait for their date, in eight types. */
static void
fill_posts(void)
{
	db_test_sql("CREATE TABLE wp_posts (ID BIGINT UNSIGNED NOT NULL"
		    " AUTO_INCREMENT, post_date DATETIME NOT NULL,"
		    " post_date_gmt DATETIME NOT NULL,"
		    " post_status VARCHAR(20) NOT NULL,"
		    " post_type VARCHAR(20) NOT NULL, PRIMARY KEY (ID),"
		    " KEY type_status_date"
		    " (post_type, post_status, post_date, ID))"
		    " ENGINE=InnoDB");
	db_test_sql(
	    "INSERT INTO wp_posts SELECT seq, UTC_TIMESTAMP()"
	    " + INTERVAL 500 MINUTE - INTERVAL seq MINUTE, UTC_TIMESTAMP()"
	    " + INTERVAL 500 MINUTE - INTERVAL seq MINUTE,"
	    " IF(seq %% 50 = 0 AND seq < 5000, 'future', 'publish'),"
	    " IF(seq %% 5 = 0, 'post', CONCAT('type', seq %% 7))"
	    " FROM seq_1_to_100000");
}

/* The history of three blogs; what waits, what is held, what is observed. */
static void
fill_events(void)
{
	static const struct {
		const char *state, *claim, *ended;
		unsigned long rows;
	} kinds[] = {
		{ "done", "1 + seq DIV 25",
		    "UTC_TIMESTAMP(6) - INTERVAL seq SECOND", 200000 },
		{ "taken", "0", "NULL", 1500 },
		{ "taken", "1000000001 + seq % 40", "NULL", 400 },
		{ "running", "1000000001 + seq % 40", "NULL", 400 },
		{ "observed", "0", "NULL", 1500 },
	};

	for (size_t i = 0; i < NELEMS(kinds); i++) {
		char text[512];

		(void)snprintf(text, sizeof text,
		    "INSERT INTO wp_wpcron_events (blog_id, state, claim_id,"
		    " node_id, scheduled_at, hook, event_key, slot, event,"
		    " not_before, taken_at, ended_at, duration_ms)"
		    " SELECT 1 + seq %% 3, '%s', %s, seq %% 4, seq,"
		    " CONCAT('hook_', seq %% 20), 'k', UNHEX(MD5(seq)),"
		    " REPEAT('x', 150), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6),"
		    " %s, 5 FROM seq_1_to_%lu",
		    kinds[i].state, kinds[i].claim, kinds[i].ended,
		    kinds[i].rows);
		db_test_sql("%s", text);
	}
}

static void
fill_others(void)
{
	fill_posts();
	db_test_sql("INSERT INTO wp_actionscheduler_groups (slug)"
		    " SELECT CONCAT('group-', seq) FROM seq_1_to_200");
	db_test_sql("INSERT INTO wp_wpcron_nodes SELECT seq, 'host', seq, 'v',"
		    " UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) FROM seq_1_to_3");
	db_test_sql("INSERT INTO wp_wpcron_tries SELECT 1, seq * 5, seq * 5,"
		    " 1, 0, UTC_TIMESTAMP(6) FROM seq_1_to_%lu",
	    run.rows / 10);
	db_test_sql("INSERT INTO wp_wpcron_leases SELECT CONCAT('lease ', seq),"
		    " 1, 1, UTC_TIMESTAMP(6) FROM seq_1_to_5000");
	db_test_sql("INSERT INTO wp_wpcron_buckets SELECT CONCAT('rate ', seq),"
		    " UTC_TIMESTAMP(6), 1 FROM seq_1_to_5000");
	db_test_sql("INSERT INTO wp_wpcron_site SELECT seq, '', '', '',"
		    " UTC_TIMESTAMP(6) FROM seq_1_to_5000");
	db_test_sql(
	    "CREATE TABLE wp_options (option_id BIGINT UNSIGNED NOT NULL"
	    " AUTO_INCREMENT, option_name VARCHAR(191) NOT NULL,"
	    " option_value LONGTEXT NOT NULL,"
	    " autoload VARCHAR(20) NOT NULL DEFAULT 'yes',"
	    " PRIMARY KEY (option_id), UNIQUE KEY (option_name),"
	    " KEY autoload (autoload)) ENGINE=InnoDB");
	db_test_sql("INSERT INTO wp_options (option_name, option_value)"
		    " SELECT CONCAT('option_', seq), 'x' FROM seq_1_to_20000");
	db_test_sql("INSERT INTO wp_options (option_name, option_value) VALUES"
		    " ('cron', 'a:0:{}'), ('_transient_doing_cron', '1.5')");
	db_test_sql("CREATE TABLE wp_sitemeta (meta_id BIGINT NOT NULL"
		    " AUTO_INCREMENT PRIMARY KEY, site_id BIGINT NOT NULL,"
		    " meta_key VARCHAR(191), meta_value LONGTEXT,"
		    " KEY meta_key (meta_key), KEY site_id (site_id))");
}

static void
fill(void)
{
	const char *rows = getenv("EXPLAIN_ROWS");

	run.rows = rows ? strtoul(rows, NULL, 10) : 1000000;
	ck_assert_uint_ge(run.rows, 100000);
	run.print = getenv("EXPLAIN_PRINT") != NULL;
	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	db_test_actions_tables(9);
	fill_actions();
	fill_claims();
	db_test_actions_indexes(9);
	fill_others();
	explain_fill_readers();
	explain_fill_contacts();
	explain_fill_messages();
	explain_fill_outbox();
	explain_fill_tasks();
	fill_events();
	db_test_sql("ANALYZE TABLE wp_actionscheduler_actions,"
		    " wp_actionscheduler_logs, wp_wpcron_tries, wp_options,"
		    " wp_posts");
	run.now = (int64_t)db_test_u64("SELECT TIMESTAMPDIFF(SECOND,"
				       " '1970-01-01', UTC_TIMESTAMP())");
	run.first_due = db_test_u64("SELECT MIN(action_id) FROM"
				    " wp_actionscheduler_actions"
				    " WHERE claim_id = 0"
				    " AND status = 'pending'");
	run.live_claim = 1000000002;
}

/* Turn the tables into what an older schema has. */
static void
make_older(int schema)
{
	if (schema == 8)
		db_test_sql("ALTER TABLE wp_actionscheduler_actions"
			    " DROP COLUMN unique_key");
	if (schema == 7)
		db_test_sql(
		    "ALTER TABLE wp_actionscheduler_actions"
		    " DROP KEY claim_id_status_priority_scheduled_date_gmt,"
		    " DROP KEY status_last_attempt_gmt,"
		    " DROP KEY status_claim_id");
	if (schema == 6)
		db_test_sql("ALTER TABLE wp_actionscheduler_actions"
			    " DROP KEY hook_status_scheduled_date_gmt,"
			    " DROP KEY status_scheduled_date_gmt,"
			    " DROP COLUMN priority,"
			    " ADD KEY hook (hook), ADD KEY status (status)");
}

/* ---- arguments ---- */

/* What a value stands for by its name, so that it meets rows. */
static uint64_t
number_named(struct slice name)
{
	static const struct {
		const char *name;
		uint64_t value;
	} known[] = {
		{ "max", 500 },
		{ "blog", 1 },
		{ "after", 0 },
		{ "node", 2 },
		{ "priority", 10 },
		{ "per_s", 60 },
		{ "ttl_us", 30000000 },
		{ "expiry_us", 30000000 },
	};

	for (size_t i = 0; i < NELEMS(known); i++)
		if (slice_eq_str(name, known[i].name))
			return known[i].value;
	if (slice_eq_str(name, "claim") || slice_eq_str(name, "any_claim"))
		return run.live_claim;
	if (slice_eq_str(name, "id"))
		return run.first_due;
	return 1;
}

static struct slice
text_named(struct slice name)
{
	if (slice_eq_str(name, "hook"))
		return SLICE_LIT("hook_3");
	if (slice_eq_str(name, "status"))
		return SLICE_LIT("complete");
	if (slice_eq_str(name, "name"))
		return SLICE_LIT("option_77");
	return SLICE_LIT("x");
}

static struct sql_value
sample(const struct sql_param *p, enum scene scene)
{
	struct slice name = slice_str(p->name);
	struct sql_value v = { .type = p->type };
	int64_t n = (int64_t)number_named(name);

	if (p->sample && p->type == SQL_TEXT)
		return V_STR(p->sample);
	if (p->sample && p->type == SQL_BYTES)
		return V_BYTES(slice_str(p->sample));
	if (p->sample)
		ck_assert_msg(slice_i64(slice_str(p->sample), &n),
		    "sample of %s", p->name);
	if (p->type == SQL_TEXT)
		return V_TEXT(text_named(name));
	if (p->type == SQL_BYTES)
		return V_BYTES(text_named(name));
	if (scene == SCENE_NO_CLAIM && slice_eq_str(name, "any_claim"))
		n = 0;
	v.u64 = (uint64_t)n;
	v.i64 = n;
	if (p->type != SQL_TIME || p->sample)
		return v;
	/* A cursor starts at the head of the window. */
	if (slice_eq_str(name, "date") || slice_eq_str(name, "same_date"))
		v.i64 = INT64_MIN;
	else
		v.i64 = scene == SCENE_NOTHING_DUE ? 86400 : run.now;
	return v;
}

/* Rows asked for: by ids, LIMIT, or one. */
static uint64_t
rows_asked(const struct subject *s)
{
	const char *limit = strstr(s->st->text, "LIMIT ");
	uint64_t n = s->st->ids ? NIDS : 1, max = 0;
	size_t digits;

	for (size_t i = 0; i < s->st->nparams; i++)
		if (strcmp(s->st->params[i].name, "max") == 0)
			n = s->values[i].u64;
	if (limit) {
		limit += strlen("LIMIT ");
		digits = strspn(limit, "0123456789");
		if (slice_u64(slice_mem(limit, digits), &max) && max > n)
			n = max;
	}
	return n;
}

static void
prepare(struct subject *s)
{
	const char *hint = s->st->explain;
	uint64_t asked;

	s->values = calloc(s->st->nparams + 1, sizeof *s->values);
	s->rows = calloc(s->st->ntuple * NROWS + 1, sizeof *s->rows);
	for (size_t i = 0; i < s->st->nparams; i++)
		s->values[i] = sample(&s->st->params[i], s->scene);
	for (size_t i = 0; i < s->st->ntuple * NROWS; i++)
		s->rows[i] =
		    sample(&s->st->tuple[i % s->st->ntuple], SCENE_DUE);
	for (size_t i = 0; i < NIDS; i++)
		s->ids[i] = run.first_due + i * 100;
	asked = rows_asked(s);
	s->allowed = asked * READS_PER_ROW + READS_FREE;
	if (hint && strncmp(hint, "rows ", 5) == 0) {
		struct slice n =
		    slice_mem(hint + 5, strspn(hint + 5, "0123456789"));

		ck_assert(slice_u64(n, &s->allowed));
	}
}

static void
render(const struct subject *s, struct buf *out)
{
	const struct sql_args args = { .values = s->values,
		.nvalues = s->st->nparams,
		.ids = s->ids,
		.nids = s->st->ids ? NIDS : 0,
		.rows = s->rows,
		.nrows = s->st->ntuple > 0 ? NROWS : 0 };

	CK_RC(RC_OK, sql_render_statement(s->st, s->scope, &args, out, &t.err));
}

/* ---- one statement ---- */

static MYSQL_RES *
query(const struct subject *s, const struct buf *text)
{
	MYSQL *raw = db_test_raw();

	ck_assert_msg(
	    mysql_real_query(raw, buf_str(text), (unsigned long)text->n) == 0,
	    "%s: %s\n%s", s->st->name, mysql_error(raw), buf_str(text));
	return mysql_store_result(raw);
}

static const char *
field(MYSQL_RES *result, MYSQL_ROW row, const char *name)
{
	MYSQL_FIELD *fields = mysql_fetch_fields(result);

	for (unsigned i = 0; i < mysql_num_fields(result); i++)
		if (strcmp(fields[i].name, name) == 0)
			return row[i] ? row[i] : "";
	return "";
}

/* Two statements that come to the same rows through different indexes lock
 * them in different orders, which is a deadlock in the making. */
static bool
locks_rows(const struct subject *s)
{
	return strncmp(s->st->text, "UPDATE", 6) == 0 ||
	       strncmp(s->st->text, "DELETE", 6) == 0 ||
	       strstr(s->st->text, "FOR UPDATE");
}

static void
read_plan(struct subject *s, const struct buf *text)
{
	struct buf explain = BUF_INIT(1 << 20), plan = BUF_INIT(1 << 16);
	MYSQL_RES *result;
	MYSQL_ROW row;
	uint64_t rows;

	buf_put_str(&explain, "EXPLAIN ");
	buf_put_slice(&explain, buf_slice(text));
	result = query(s, &explain);
	while ((row = mysql_fetch_row(result))) {
		const char *type = field(result, row, "type");

		if (!slice_u64(slice_str(field(result, row, "rows")), &rows))
			rows = 0;
		buf_printf(&plan, "%s:%s:%s(%s) ", field(result, row, "table"),
		    type, field(result, row, "key"),
		    field(result, row, "rows"));
		if (strstr(field(result, row, "Extra"), "filesort")) {
			s->sorts = true;
			buf_put_str(&plan, "sort ");
		}
		if (locks_rows(s) &&
		    strstr(s->st->text, "{p}actionscheduler_actions") &&
		    strcmp(field(result, row, "key"), "PRIMARY") != 0)
			s->by_other_key = true;
		if (strcmp(type, "ALL") == 0 || strcmp(type, "index") == 0)
			s->scans |= rows > SMALL_TABLE;
	}
	snprintf(s->plan, sizeof s->plan, "%s", buf_str(&plan));
	mysql_free_result(result);
	buf_clear(&explain);
	buf_clear(&plan);
}

static uint64_t
reads(void)
{
	return db_test_u64("SELECT SUM(VARIABLE_VALUE) FROM"
			   " information_schema.SESSION_STATUS WHERE"
			   " VARIABLE_NAME LIKE 'HANDLER_READ_%%'"
			   " AND VARIABLE_NAME NOT LIKE '%%DELETED'");
}

/* Run it for its counters and columns; what it writes is rolled back. */
static void
measure(struct subject *s, const struct buf *text)
{
	size_t id = (size_t)(s->st - sql_statements);
	uint64_t before, idle;
	unsigned columns;
	MYSQL_RES *result;

	before = reads();
	idle = reads() - before; /* what asking costs by itself */
	before = reads();
	db_test_sql("START TRANSACTION");
	result = query(s, text);
	columns = result ? mysql_num_fields(result) : 0;
	mysql_free_result(result);
	db_test_sql("ROLLBACK");
	s->read = reads() - before - idle;
	if (run.columns[id] == 0)
		run.columns[id] = columns + 1;
	if (run.columns[id] != columns + 1) {
		printf("%s: %u columns, in another shape %u\n", s->st->name,
		    columns, run.columns[id] - 1);
		run.complaints++;
	}
}

static void
judge(const struct subject *s, int schema)
{
	const char *what =
	    s->scans          ? "scans"
	    : s->by_other_key ? "locks by another key than PRIMARY"
	    : s->read > s->allowed
		? (s->sorts ? "reads and sorts too much" : "reads too much")
		: NULL;

	if (what)
		run.complaints++;
	if (run.print || what)
		printf("schema %d, %-11s %-28s read %6llu of %6llu  %s%s%s\n",
		    schema, scene_names[s->scene], s->st->name,
		    (unsigned long long)s->read, (unsigned long long)s->allowed,
		    s->plan, what ? " <-- " : "", what ? what : "");
}

static void
check_one(const struct sql_statement *st, const struct sql_scope *scope,
    int schema, enum scene scene)
{
	struct subject s = { .st = st, .scope = scope, .scene = scene };
	struct buf text = BUF_INIT(1 << 20);

	prepare(&s);
	render(&s, &text);
	read_plan(&s, &text);
	measure(&s, &text);
	judge(&s, schema);
	run.checked++;
	buf_clear(&text);
	free(s.values);
	free(s.rows);
}

static bool
is_exempt(const struct sql_statement *st)
{
	return st->explain && strncmp(st->explain, "exempt", 6) == 0;
}

START_TEST(no_statement_scans_or_reads_more_than_it_needs)
{
	struct sql_scope scope = t.scope;
	struct db_schema shape;

	fill();
	for (int schema = 9; schema >= 6; schema--) {
		make_older(schema);
		CK_RC(RC_OK, db_probe(t.db, &t.scope, &shape, &t.err));
		scope.columns = shape.columns;
		scope.due_index = shape.due_index;
		scope.retention_index = shape.retention_index;
		for (size_t id = 0; id < SQL_NSTATEMENTS; id++) {
			const struct sql_statement *st = &sql_statements[id];

			if (is_exempt(st) ||
			    (st->needs & scope.columns) != st->needs)
				continue;
			for (int scene = 0; scene < SCENES; scene++)
				check_one(
				    st, &scope, schema, (enum scene)scene);
		}
	}
	printf("explain: %u plans on %lu actions and %lu logs\n", run.checked,
	    run.rows, run.rows * 2);
	(void)fflush(stdout);
	ck_assert_msg(
	    run.complaints == 0, "%u complaints, see above", run.complaints);
}
END_TEST

Suite *
explain_suite(void)
{
	Suite *s = suite_create("explain");
	TCase *tc = db_test_case("plans", 1800);

	tcase_add_test(tc, no_statement_scans_or_reads_more_than_it_needs);
	suite_add_tcase(s, tc);
	return s;
}
