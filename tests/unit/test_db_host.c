#include "formats/db_host.h"

#include <check.h>

static const struct {
	const char *text, *host;
	uint16_t port;
	const char *socket;
} rows[] = {
	{ "localhost", "localhost", 0, "" },
	{ "127.0.0.1", "127.0.0.1", 0, "" },
	{ "db.example.org:3307", "db.example.org", 3307, "" },
	{ "localhost:/run/mysqld.sock", "localhost", 0, "/run/mysqld.sock" },
	{ ":/run/mysqld.sock", "", 0, "/run/mysqld.sock" },
	{ "localhost:3306:/run/mysqld.sock", "localhost", 3306,
	    "/run/mysqld.sock" },
	{ "[::1]:3307", "::1", 3307, "" },
	{ "[::1]", "::1", 0, "" },
	{ "::1", "::1", 0, "" },
	{ "0:0:0:0:0:0:0:1", "0:0:0:0:0:0:0:1", 0, "" },
	{ "[2001:db8::a]:/tmp/x.sock", "2001:db8::a", 0, "/tmp/x.sock" },
	{ "::1:/tmp/x.sock", "::1", 0, "/tmp/x.sock" },
	/* What the pattern does not reach is ignored. */
	{ "host:", "host", 0, "" },
	{ "host:abc", "host", 0, "" },
	{ "host:33x", "host", 33, "" },
	{ "host/path", "host", 0, "" },
	{ "host:0", "host", 0, "" },
	{ "", "", 0, "" },
	{ "0", "", 0, "" },
};

START_TEST(a_host_is_taken_apart_as_wordpress_does)
{
	struct db_host h;
	struct err err = ERR_INIT;

	ck_assert_int_eq(
	    db_host_parse(slice_str(rows[_i].text), &h, &err), RC_OK);
	ck_assert_str_eq(h.host, rows[_i].host);
	ck_assert_uint_eq(h.port, rows[_i].port);
	ck_assert_str_eq(h.socket, rows[_i].socket);
}
END_TEST

static const char *const bad_rows[] = { "host:70000", "zz:y:x", "[zz]:1:2",
	"host:/"
	"0123456789012345678901234567890123456789012345678901234567890123456789"
	"01234567890123456789012345678901234567890" };

START_TEST(what_wordpress_cannot_read_is_refused)
{
	struct db_host h;
	struct err err = ERR_INIT;

	ck_assert_int_eq(
	    db_host_parse(slice_str(bad_rows[_i]), &h, &err), RC_REJECT);
}
END_TEST

Suite *db_host_suite(void);
Suite *
db_host_suite(void)
{
	Suite *s = suite_create("db_host");
	TCase *tc = tcase_create("db_host");

	tcase_add_loop_test(
	    tc, a_host_is_taken_apart_as_wordpress_does, 0, NELEMS(rows));
	tcase_add_loop_test(
	    tc, what_wordpress_cannot_read_is_refused, 0, NELEMS(bad_rows));
	suite_add_tcase(s, tc);
	return s;
}
