#include "formats/task_list.h"

#include <check.h>
#include <inttypes.h>
#include <string.h>

#include "formats/php_serialize.h"

Suite *task_list_suite(void);

#define MEMORY ((size_t)8 << 20)

/* Two tasks as WordPress stored them, and the first after one failure. */
#define MAIL                                                                   \
	"a:6:{s:4:\"type\";s:10:\"send_email\";s:7:\"payload\";a:3:{s:2:"      \
	"\"to\";s:16:\"ana@example.test\";s:7:\"subject\";s:4:\"Hola\";s:7:"   \
	"\"message\";s:8:\"L\xc3\xadnea 1\";}s:7:\"created\";i:1700000000;s:"  \
	"8:\"attempts\";i:0;s:12:\"max_attempts\";i:3;s:7:\"backoff\";i:5;}"
#define HTTP                                                                   \
	"a:6:{s:4:\"type\";s:12:\"http_request\";s:7:\"payload\";a:2:{s:3:"    \
	"\"url\";s:29:\"https://api.example.test/hook\";s:4:\"body\";a:1:{s:"  \
	"2:\"id\";i:7;}}s:7:\"created\";i:1700000000;s:8:\"attempts\";i:0;s:"  \
	"12:\"max_attempts\";i:3;s:7:\"backoff\";i:5;}"
#define FAILED                                                                 \
	"a:7:{s:4:\"type\";s:10:\"send_email\";s:7:\"payload\";a:3:{s:2:"      \
	"\"to\";s:16:\"ana@example.test\";s:7:\"subject\";s:4:\"Hola\";s:7:"   \
	"\"message\";s:8:\"L\xc3\xadnea 1\";}s:7:\"created\";i:1700000000;s:"  \
	"8:\"attempts\";i:1;s:12:\"max_attempts\";i:3;s:7:\"backoff\";i:5;s:"  \
	"15:\"available_after\";i:1700000005;}"
#define T "a:1:{s:4:\"type\";s:1:\"x\";}"

static struct arena arena = ARENA_INIT(MEMORY);
static struct err err;

static void
clear(void)
{
	arena_clear(&arena);
}

static struct task_list
parse(struct slice in)
{
	struct task_list l;
	enum rc rc = task_list_parse(in, &arena, &l, &err);

	ck_assert_msg(rc == RC_OK, "%.*s: %s", SLICE_FMT(in), err.text);
	return l;
}

static void
ck_slice(struct slice got, const char *want)
{
	ck_assert_msg(
	    slice_eq_str(got, want), "%.*s is not %s", SLICE_FMT(got), want);
}

/* ---- lists ---- */

static const struct {
	const char *what;
	struct {
		const char *p;
		size_t n;
	} in;
	enum task_list_form form;
	unsigned wraps;
	size_t n;
	const char *first; /* NULL: not looked at */
	const char *again; /* as it is written; NULL: the same */
} lists[] = {
#define S(lit)                                                                 \
	{                                                                      \
		lit, sizeof(lit) - 1                                           \
	}
	{ "an e-mail", S("a:1:{i:0;" MAIL "}"), TASK_LIST_PHP, 0, 1, MAIL,
	    NULL },
	{ "an e-mail and a call", S("a:2:{i:0;" MAIL "i:1;" HTTP "}"),
	    TASK_LIST_PHP, 0, 2, MAIL, NULL },
	{ "one that has failed", S("a:1:{i:0;" FAILED "}"), TASK_LIST_PHP, 0, 1,
	    FAILED, NULL },
	{ "the empty list", S("a:0:{}"), TASK_LIST_PHP, 0, 0, NULL, NULL },
	{ "nothing", S(""), TASK_LIST_PHP, 0, 0, NULL, "a:0:{}" },
	{ "nothing in a text", S("s:0:\"\";"), TASK_LIST_PHP, 1, 0, NULL,
	    "s:6:\"a:0:{}\";" },
	{ "JSON of all", S("[{\"type\":\"send_email\"}]"), TASK_LIST_JSON, 0, 1,
	    "{\"type\":\"send_email\"}", NULL },
	{ "JSON with blanks and brackets in texts",
	    S(" [ {\"type\" : \"a]\\\"}\"} , {\"type\":\"b\",\"payload\":[1,"
	      "{\"k\":[]}]} ] "),
	    TASK_LIST_JSON, 0, 2, "{\"type\" : \"a]\\\"}\"}",
	    "[{\"type\" : \"a]\\\"}\"},{\"type\":\"b\",\"payload\":[1,{\"k\":["
	    "]}]}]" },
	{ "an empty list of JSON", S("[]"), TASK_LIST_JSON, 0, 0, NULL, NULL },
	{ "an empty list of JSON with a blank", S("[ ]"), TASK_LIST_JSON, 0, 0,
	    NULL, "[]" },
	{ "JSON texts", S("a:2:{i:0;s:12:\"{\"type\":\"x\"}\";i:1;" T "}"),
	    TASK_LIST_PHP, 0, 2, "s:12:\"{\"type\":\"x\"}\";", NULL },
	{ "a list serialized once more", S("s:35:\"a:1:{i:0;" T "}\";"),
	    TASK_LIST_PHP, 1, 1, T, NULL },
	{ "JSON serialized twice more",
	    S("s:22:\"s:14:\"[{\"type\":\"x\"}]\";\";"), TASK_LIST_JSON, 2, 1,
	    "{\"type\":\"x\"}", NULL },
	{ "keys with gaps", S("a:2:{i:3;" T "i:9;" T "}"), TASK_LIST_PHP, 0, 2,
	    T, "a:2:{i:0;" T "i:1;" T "}" },
	{ "references within tasks",
	    S("a:2:{i:0;" T
	      "i:1;a:2:{s:4:\"type\";s:1:\"x\";s:7:\"payload\";a:2:{i:0;O:8:"
	      "\"stdClass\":0:{}i:1;r:7;}}}"),
	    TASK_LIST_PHP, 0, 2, T, NULL },
	{ "a placeholder", S("wpcron-fcgi:a:66f3"), TASK_LIST_PHP, 0, 0, NULL,
	    "a:0:{}" },
	{ "a placeholder of JSON", S("wpcron-fcgi:j:66f3"), TASK_LIST_JSON, 0,
	    0, NULL, "[]" },
	{ "a placeholder of a text", S("wpcron-fcgi:sa:66f3"), TASK_LIST_PHP, 1,
	    0, NULL, "s:6:\"a:0:{}\";" },
};

START_TEST(a_list_is_read_and_written_in_its_form)
{
	struct slice in = slice_mem(lists[_i].in.p, lists[_i].in.n);
	struct task_list l = parse(in);
	struct buf out = BUF_INIT(MEMORY);

	ck_assert_int_eq((int)l.form, (int)lists[_i].form);
	ck_assert_uint_eq(l.wraps, lists[_i].wraps);
	ck_assert_uint_eq(l.n, lists[_i].n);
	if (lists[_i].first)
		ck_slice(l.elements[0], lists[_i].first);
	ck_assert_msg(task_list_emit(&l, l.elements, l.n, &out, &err) == RC_OK,
	    "%s: %s", lists[_i].what, err.text);
	ck_slice(buf_slice(&out),
	    lists[_i].again ? lists[_i].again : lists[_i].in.p);
	buf_clear(&out);
}
END_TEST

static const char *const unreadable[] = {
	"1",
	"b:0;",
	"N;",
	"i:5;",
	"hello",
	"O:8:\"stdClass\":0:{}",
	"a:1:{i:0;i:1;}",
	"a:1:{i:0;a:0:{}}",
	"a:1:{i:0;a:1:{s:4:\"type\";N;}}",
	"a:1:{s:1:\"k\";" T "}",
	"a:1:{i:0;" T "",
	"a:1:{i:0;" T "}x",
	"a:2:{i:0;" T "}",
	"a:1:{i:0;s:2:\"hi\";}",
	"a:1:{i:0;s:14:\"[{\"type\":\"x\"}]\";}",
	"a:1:{i:0;s:2:\"{}\";}",
	"{\"type\":\"x\"}",
	"[1]",
	"[[]]",
	"[{\"type\":\"x\"}",
	"[{\"payload\":1}]",
	"s:14:\"a:1:{i:0;i:1;}\";",
	"s:5:\"hello\";",
	"s:3:\"[1]\";x",
	/* An object that is none. */
	"a:1:{i:0;a:2:{s:4:\"type\";s:1:\"x\";s:7:\"payload\";a:1:{i:0;r:4;}}"
	"}",
	/* A task that is, in part, another. */
	"a:2:{i:0;a:2:{s:4:\"type\";s:1:\"x\";s:7:\"payload\";O:8:\"stdClass\":"
	"0:{}}i:1;a:2:{s:4:\"type\";s:1:\"x\";s:7:\"payload\";r:4;}}",
};

START_TEST(what_is_no_list_of_tasks_is_unreadable)
{
	struct task_list l;

	err = (struct err)ERR_INIT;
	ck_assert_msg(task_list_parse(slice_str(unreadable[_i]), &arena, &l,
			  &err) == RC_REJECT,
	    "%s", unreadable[_i]);
	ck_assert_str_ne(err.text, "");
}
END_TEST

START_TEST(ten_thousand_tasks_keep_their_bytes)
{
	struct buf in = BUF_INIT(MEMORY), out = BUF_INIT(MEMORY);
	struct task_list l;

	buf_put_str(&in, "a:10000:{");
	for (int i = 0; i < 10000; i++)
		buf_printf(&in, "i:%d;" HTTP, i);
	buf_put_char(&in, '}');
	l = parse(buf_slice(&in));
	ck_assert_uint_eq(l.n, 10000);
	ck_assert(task_list_emit(&l, l.elements, l.n, &out, &err) == RC_OK);
	ck_assert(slice_eq(buf_slice(&in), buf_slice(&out)));
	buf_clear(&in);
	buf_clear(&out);
}
END_TEST

START_TEST(tasks_of_one_form_go_into_a_list_of_another)
{
	const struct slice elements[] = { SLICE_LIT(T),
		SLICE_LIT("s:12:\"{\"type\":\"y\"}\";"),
		SLICE_LIT("{\"type\":\"z\",\"payload\":{\"5\":1.5,\"a\":[null,"
			  "true,\"\xc3\xad\"]}}") };
	struct task_list php = { .form = TASK_LIST_PHP },
			 json = { .form = TASK_LIST_JSON };
	struct buf out = BUF_INIT(MEMORY);

	ck_assert(task_list_emit(&php, elements, 3, &out, &err) == RC_OK);
	ck_slice(buf_slice(&out),
	    "a:3:{i:0;" T "i:1;s:12:\"{\"type\":\"y\"}\";i:2;a:2:{s:4:\"type\";"
	    "s:1:\"z\";s:7:\"payload\";a:2:{i:5;d:1.5;s:1:\"a\";a:3:{i:0;N;i:1;"
	    "b:1;i:2;s:2:\"\xc3\xad\";}}}}");
	buf_reset(&out);
	ck_assert(task_list_emit(&json, elements, 3, &out, &err) == RC_OK);
	ck_slice(buf_slice(&out),
	    "[{\"type\":\"x\"},{\"type\":\"y\"},{\"type\":\"z\",\"payload\":{"
	    "\"5\":1.5,\"a\":[null,true,\"\xc3\xad\"]}}]");
	buf_clear(&out);
}
END_TEST

START_TEST(a_task_that_JSON_cannot_say_is_refused)
{
	const struct slice element =
	    SLICE_LIT("a:2:{s:4:\"type\";s:1:\"x\";s:7:\"payload\";O:8:"
		      "\"stdClass\":0:{}}");
	struct task_list json = { .form = TASK_LIST_JSON };
	struct buf out = BUF_INIT(MEMORY);

	ck_assert(task_list_emit(&json, &element, 1, &out, &err) == RC_REJECT);
	buf_clear(&out);
}
END_TEST

/* ---- fields ---- */

#define F(members) "a:2:{s:4:\"type\";s:1:\"x\";" members "}"
#define DEFAULTS 0, 0, 3, 5000, 0

static const struct {
	const char *element;
	int64_t created;
	uint32_t attempts, max_attempts;
	uint64_t backoff_ms;
	int64_t available_after;
	const char *payload;
} tasks[] = {
	{ MAIL, 1700000000, 0, 3, 5000, 0,
	    "a:3:{s:2:\"to\";s:16:\"ana@example.test\";s:7:\"subject\";s:4:"
	    "\"Hola\";s:7:\"message\";s:8:\"L\xc3\xadnea 1\";}" },
	{ FAILED, 1700000000, 1, 3, 5000, 1700000005, NULL },
	{ T, DEFAULTS, "N;" },
	{ "a:1:{s:4:\"type\";s:0:\"\";}", DEFAULTS, "N;" },
	{ "a:1:{s:4:\"type\";i:7;}", DEFAULTS, "N;" },
	{ F("s:7:\"payload\";N;"), DEFAULTS, "N;" },
	{ F("s:7:\"payload\";d:1.5;"), DEFAULTS, "d:1.5;" },
	{ F("s:8:\"attempts\";i:2;"), 0, 2, 3, 5000, 0, NULL },
	{ F("s:8:\"attempts\";s:1:\"2\";"), 0, 2, 3, 5000, 0, NULL },
	{ F("s:8:\"attempts\";d:2;"), 0, 2, 3, 5000, 0, NULL },
	{ F("s:8:\"attempts\";i:-2;"), DEFAULTS, NULL },
	{ F("s:8:\"attempts\";a:0:{}"), DEFAULTS, NULL },
	{ F("s:12:\"max_attempts\";i:1;"), 0, 0, 1, 5000, 0, NULL },
	{ F("s:12:\"max_attempts\";i:0;"), DEFAULTS, NULL },
	{ F("s:12:\"max_attempts\";i:-1;"), DEFAULTS, NULL },
	{ F("s:12:\"max_attempts\";s:2:\"10\";"), 0, 0, 10, 5000, 0, NULL },
	{ F("s:12:\"max_attempts\";i:9223372036854775807;"), 0, 0, 4294967295,
	    5000, 0, NULL },
	{ F("s:7:\"backoff\";i:0;"), 0, 0, 3, 0, 0, NULL },
	{ F("s:7:\"backoff\";d:1.5;"), 0, 0, 3, 1500, 0, NULL },
	{ F("s:7:\"backoff\";s:3:\"1.5\";"), 0, 0, 3, 1500, 0, NULL },
	{ F("s:7:\"backoff\";s:5:\"2.5e1\";"), 0, 0, 3, 25000, 0, NULL },
	{ F("s:7:\"backoff\";d:1.0E-3;"), 0, 0, 3, 1, 0, NULL },
	{ F("s:7:\"backoff\";d:2;"), 0, 0, 3, 2000, 0, NULL },
	{ F("s:7:\"backoff\";i:-5;"), 0, 0, 3, 0, 0, NULL },
	{ F("s:7:\"backoff\";d:INF;"), DEFAULTS, NULL },
	{ F("s:7:\"backoff\";s:4:\"soon\";"), DEFAULTS, NULL },
	{ F("s:15:\"available_after\";i:1700000005;"), 0, 0, 3, 5000,
	    1700000005, NULL },
	{ F("s:15:\"available_after\";s:10:\"1700000005\";"), 0, 0, 3, 5000,
	    1700000005, NULL },
	{ F("s:15:\"available_after\";d:1700000005.25;"), 0, 0, 3, 5000,
	    1700000006, NULL },
	{ F("s:15:\"available_after\";d:1.700000005E+9;"), 0, 0, 3, 5000,
	    1700000005, NULL },
	{ F("s:15:\"available_after\";s:0:\"\";"), DEFAULTS, NULL },
	{ F("s:15:\"available_after\";b:0;"), DEFAULTS, NULL },
	{ F("s:7:\"created\";d:1700000000;"), 1700000000, 0, 3, 5000, 0, NULL },
	{ "s:86:\"{\"type\":\"x\",\"payload\":{\"a\":[1,2.5,\"b\"]},"
	  "\"attempts\""
	  ":\"1\",\"backoff\":1.5,\"max_attempts\":2}\";",
	    0, 1, 2, 1500, 0,
	    "a:1:{s:1:\"a\";a:3:{i:0;i:1;i:1;d:2.5;i:2;s:1:\"b\";}}" },
	{ "{\"type\":\"x\",\"payload\":null}", DEFAULTS, "N;" },
	/* An object met twice keeps being one. */
	{ F("s:7:\"payload\";a:2:{i:0;O:8:\"stdClass\":0:{}i:1;r:4;}"),
	    DEFAULTS, "a:2:{i:0;O:8:\"stdClass\":0:{}i:1;r:2;}" },
};

START_TEST(fields_are_read_leniently)
{
	struct task_fields f;

	ck_assert_msg(
	    task_read(slice_str(tasks[_i].element), &arena, &f, &err) == RC_OK,
	    "%s: %s", tasks[_i].element, err.text);
	ck_assert_int_eq(f.created, tasks[_i].created);
	ck_assert_uint_eq(f.attempts, tasks[_i].attempts);
	ck_assert_uint_eq(f.max_attempts, tasks[_i].max_attempts);
	ck_assert_uint_eq(f.backoff_ms, tasks[_i].backoff_ms);
	ck_assert_int_eq(f.available_after, tasks[_i].available_after);
	if (tasks[_i].payload)
		ck_slice(f.payload, tasks[_i].payload);
}
END_TEST

/* ---- writing one ---- */

#define MORE "s:2:\"id\";i:9;s:4:\"meta\";a:1:{i:0;N;}"

static const struct {
	const char *element;
	uint32_t attempts;
	int64_t available_after;
	const char *want; /* NULL: the same */
} puts_[] = {
	{ MAIL, 0, 0, NULL },
	{ MAIL, 1, 1700000005, FAILED },
	{ FAILED, 1, 1700000005, NULL },
	{ FAILED, 0, 0,
	    "a:7:{s:4:\"type\";s:10:\"send_email\";s:7:\"payload\";a:3:{s:2:"
	    "\"to\";s:16:\"ana@example.test\";s:7:\"subject\";s:4:\"Hola\";s:7:"
	    "\"message\";s:8:\"L\xc3\xadnea "
	    "1\";}s:7:\"created\";i:1700000000;s:"
	    "8:\"attempts\";i:0;s:12:\"max_attempts\";i:3;s:7:\"backoff\";i:5;"
	    "s:"
	    "15:\"available_after\";i:1700000005;}" },
	{ T, 2, 0, "a:2:{s:4:\"type\";s:1:\"x\";s:8:\"attempts\";i:2;}" },
	{ T, 2, 7,
	    "a:3:{s:4:\"type\";s:1:\"x\";s:8:\"attempts\";i:2;s:15:\"available_"
	    "after\";i:7;}" },
	{ "a:3:{" MORE "s:4:\"type\";s:1:\"x\";}", 1, 0,
	    "a:4:{" MORE "s:4:\"type\";s:1:\"x\";s:8:\"attempts\";i:1;}" },
	{ "a:3:{s:15:\"available_after\";i:5;s:4:\"type\";s:1:\"x\";s:8:"
	  "\"attempts\";s:1:\"1\";}",
	    2, 9,
	    "a:3:{s:15:\"available_after\";i:9;s:4:\"type\";s:1:\"x\";s:8:"
	    "\"attempts\";i:2;}" },
	{ "{\"type\":\"x\"}", 0, 0, NULL },
	{ "{\"type\":\"x\"}", 1, 7,
	    "{\"type\":\"x\",\"attempts\":1,\"available_after\":7}" },
	{ "{ \"attempts\" : 0 , \"type\":\"x\" , \"k\":{\"attempts\":5}}", 1, 7,
	    "{\"attempts\":1,\"type\":\"x\",\"k\":{\"attempts\":5},"
	    "\"available_after\":7}" },
	{ "{\"attempts\":5,\"type\":\"x\",\"attempts\":\"6\"}", 1, 0,
	    "{\"attempts\":1,\"type\":\"x\",\"attempts\":1}" },
	{ "{\"attempts\":5,\"type\":\"x\",\"\\u0061ttempts\":6}", 1, 0,
	    "{\"attempts\":1,\"type\":\"x\",\"\\u0061ttempts\":6,"
	    "\"attempts\":1}" },
	{ "s:12:\"{\"type\":\"x\"}\";", 1, 0,
	    "s:25:\"{\"type\":\"x\",\"attempts\":1}\";" },
};

START_TEST(a_task_is_written_as_the_plugin_would_keep_it)
{
	struct buf out = BUF_INIT(MEMORY);

	ck_assert_msg(task_put(slice_str(puts_[_i].element), puts_[_i].attempts,
			  puts_[_i].available_after, &out, &err) == RC_OK,
	    "%s", err.text);
	ck_slice(buf_slice(&out),
	    puts_[_i].want ? puts_[_i].want : puts_[_i].element);
	buf_clear(&out);
}
END_TEST

/* ---- waiting ---- */

static const struct {
	uint64_t backoff_ms;
	uint32_t attempts;
	uint64_t wait_ms;
} waits[] = {
	{ 5000, 1, 5000 },
	{ 5000, 2, 10000 },
	{ 5000, 3, 20000 },
	{ 0, 1, 0 },
	{ 0, 4294967295, 0 },
	{ 1500, 1, 1500 },
	{ 1500, 2, 3000 },
	{ 1, 27, 67108864 },
	{ 1, 28, 86400000 },
	{ 5000, 4294967295, 86400000 },
	{ UINT64_MAX, 1, 86400000 },
	{ UINT64_MAX, 2, 86400000 },
	{ 5000, 0, 5000 },
};

START_TEST(each_failure_doubles_the_wait_up_to_a_day)
{
	ck_assert_uint_eq(
	    task_backoff(waits[_i].backoff_ms, waits[_i].attempts),
	    waits[_i].wait_ms);
}
END_TEST

Suite *
task_list_suite(void)
{
	Suite *s = suite_create("task_list");
	TCase *tc = tcase_create("lists");

	tcase_add_checked_fixture(tc, NULL, clear);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(
	    tc, a_list_is_read_and_written_in_its_form, 0, (int)NELEMS(lists));
	tcase_add_loop_test(tc, what_is_no_list_of_tasks_is_unreadable, 0,
	    (int)NELEMS(unreadable));
	tcase_add_test(tc, ten_thousand_tasks_keep_their_bytes);
	tcase_add_test(tc, tasks_of_one_form_go_into_a_list_of_another);
	tcase_add_test(tc, a_task_that_JSON_cannot_say_is_refused);
	tcase_add_loop_test(
	    tc, fields_are_read_leniently, 0, (int)NELEMS(tasks));
	tcase_add_loop_test(tc, a_task_is_written_as_the_plugin_would_keep_it,
	    0, (int)NELEMS(puts_));
	tcase_add_loop_test(tc, each_failure_doubles_the_wait_up_to_a_day, 0,
	    (int)NELEMS(waits));
	suite_add_tcase(s, tc);
	return s;
}
