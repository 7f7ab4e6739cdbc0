/*
 * What the statements of a claim cost, printed for 0 due rows, 1,000, 100,000
 * and all; nothing asserts a time. CLAIM_ROWS is the number of pending rows
 * (1,000,000). Due rows are chosen by the `now` that the statements get: row n
 * is due n seconds after the first.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/macros.h"
#include "db_test.h"

Suite *claim_cost_suite(void);

#define FIRST_DUE 1700000000
#define WINDOW 500
#define BATCH 25
#define RUNS 31

static double
elapsed_ms(const struct timespec *from)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - from->tv_sec) * 1e3 +
	       (double)(now.tv_nsec - from->tv_nsec) / 1e6;
}

static int
by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double
median(double *v, size_t n)
{
	qsort(v, n, sizeof *v, by_size);
	return v[n / 2];
}

static size_t
read_window(enum sql_id id, const struct sql_args *args,
    const struct sql_scope *scope, uint64_t *ids, double *ms)
{
	struct db_rows *rows = NULL;
	struct timespec start;
	size_t n = 0;

	clock_gettime(CLOCK_MONOTONIC, &start);
	CK_RC(RC_OK, db_select(t.db, scope, id, args, &rows, &t.err));
	while (db_rows_next(rows)) {
		if (n < BATCH)
			ids[n] = db_u64(rows, 0);
		n++;
	}
	*ms = elapsed_ms(&start);
	db_rows_free(rows);
	return n;
}

static double
take_and_give_back(
    const struct sql_scope *scope, const uint64_t *ids, size_t n, int64_t now)
{
	struct sql_args args = *SQL_ARGS(V_U64(77), V_TIME(now), V_TIME(now));
	struct timespec start;
	uint64_t taken = 0;
	double ms;

	args.ids = ids;
	args.nids = n;
	clock_gettime(CLOCK_MONOTONIC, &start);
	CK_RC(RC_OK,
	    db_exec(t.db, scope, SQL_ACTIONS_TAKE, &args, &taken, &t.err));
	ms = elapsed_ms(&start);
	ck_assert_uint_eq(taken, n);
	args.nvalues = 1;
	CK_RC(RC_OK,
	    db_exec(t.db, scope, SQL_ACTIONS_RELEASE, &args, &taken, &t.err));
	ck_assert_uint_eq(taken, n);
	return ms;
}

static void
measure(const struct sql_scope *scope, uint64_t due)
{
	double date[RUNS], priority[RUNS], take[RUNS];
	int64_t now = FIRST_DUE + (int64_t)due;
	struct sql_value none = V_TIME(INT64_MIN);
	uint64_t ids[BATCH];
	size_t n = 0;

	for (size_t i = 0; i < RUNS; i++) {
		read_window(SQL_ACTIONS_WINDOW_OF_PRIORITY,
		    SQL_ARGS(V_U64(10), none, none, V_U64(0), V_TIME(now),
			V_U64(WINDOW)),
		    scope, ids, &priority[i]);
		n = read_window(SQL_ACTIONS_WINDOW,
		    SQL_ARGS(none, none, V_U64(0), V_TIME(now), V_U64(WINDOW)),
		    scope, ids, &date[i]);
		ck_assert_uint_eq(n, due < WINDOW ? due : WINDOW);
		take[i] =
		    n > 0 ? take_and_give_back(scope, ids, BATCH, now) : 0;
	}
	printf("claim: %8llu due: window of %d by date %.2f ms, by priority "
	       "%.2f ms, take %d %.2f ms\n",
	    (unsigned long long)due, WINDOW, median(date, RUNS),
	    median(priority, RUNS), n > 0 ? BATCH : 0, median(take, RUNS));
}

START_TEST(cost_of_a_claim_is_printed_for_each_backlog)
{
	const char *text = getenv("CLAIM_ROWS");
	unsigned long rows = text ? strtoul(text, NULL, 10) : 1000000;
	const uint64_t backlogs[] = { 0, 1000, 100000, rows };
	struct sql_scope scope = t.scope;
	struct db_schema shape;

	db_test_actions_tables(8);
	db_test_sql("INSERT INTO wp_actionscheduler_actions (hook, status,"
		    " scheduled_date_gmt, scheduled_date_local, priority, args,"
		    " schedule) SELECT CONCAT('hook_', seq %% 20), 'pending',"
		    " '1970-01-01' + INTERVAL %d + seq SECOND,"
		    " '1970-01-01' + INTERVAL %d + seq SECOND, 10, '[1]',"
		    " REPEAT('x', 150) FROM seq_1_to_%lu",
	    FIRST_DUE, FIRST_DUE, rows);
	db_test_actions_indexes(8);
	db_test_sql("ANALYZE TABLE wp_actionscheduler_actions");
	CK_RC(RC_OK, db_probe(t.db, &t.scope, &shape, &t.err));
	scope.columns = shape.columns;
	scope.due_index = shape.due_index;
	for (size_t i = 0; i < NELEMS(backlogs); i++)
		if (backlogs[i] <= rows)
			measure(&scope, backlogs[i]);
}
END_TEST

Suite *
claim_cost_suite(void)
{
	Suite *s = suite_create("claim_cost");
	TCase *tc = db_test_case("print", 1800);

	tcase_add_test(tc, cost_of_a_claim_is_printed_for_each_backlog);
	suite_add_tcase(s, tc);
	return s;
}
