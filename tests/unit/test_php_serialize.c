#include "formats/php_serialize.h"

#include <check.h>

#define SUITE(name) Suite *name##_suite(void);
#include "suites.h"
#undef SUITE

#define ARENA_MAX ((size_t)8 << 20)

static struct arena arena = ARENA_INIT(ARENA_MAX);

static void
teardown(void)
{
	arena_clear(&arena);
}

static struct php_serialize_value
parsed(struct slice in)
{
	struct php_serialize_value v;
	struct err err = ERR_INIT;
	enum rc rc =
	    php_serialize_parse(in, &PHP_SERIALIZE_LIMITS, &arena, &v, &err);

	ck_assert_msg(rc == RC_OK, "%s: %.*s", err.text, SLICE_FMT(in));
	return v;
}

static void
assert_written(const struct php_serialize_value *v, struct slice want)
{
	struct buf out = BUF_INIT(ARENA_MAX);

	php_serialize_write(v, &out);
	ck_assert(!out.failed);
	ck_assert_msg(slice_eq(buf_slice(&out), want), "wrote %s, want %.*s",
	    buf_str(&out), SLICE_FMT(want));
	buf_clear(&out);
}

#define ROW(s)                                                                 \
	{                                                                      \
		"" s, sizeof(s) - 1                                            \
	}

/* What serialize() of PHP 8.2 wrote. */
static const struct slice canonical[] = {
	ROW("N;"),
	ROW("b:0;"),
	ROW("b:1;"),
	ROW("i:0;"),
	ROW("i:-1;"),
	ROW("i:9223372036854775807;"),
	ROW("i:-9223372036854775808;"),
	ROW("d:1.5;"),
	ROW("d:0.10000000000000001;"),
	ROW("d:1.0E+100;"),
	ROW("d:-0;"),
	ROW("d:INF;"),
	ROW("d:-INF;"),
	ROW("d:NAN;"),
	ROW("s:0:\"\";"),
	ROW("s:7:\"a\"b;\0'\n\";"),
	ROW("s:2:\"\xc3\xa9\";"),
	ROW("a:0:{}"),
	ROW("a:1:{s:7:\"version\";i:2;}"),
	ROW("a:1:{i:0;s:7:\"WP Cron\";}"),
	ROW("a:1:{i:0;a:1:{s:1:\"x\";i:1;}}"),
	ROW("a:2:{i:-5;b:1;s:2:\"05\";N;}"),
	ROW("O:8:\"stdClass\":2:{s:1:\"a\";i:1;s:1:\"5\";N;}"),
	ROW("O:3:\"A\\b\":2:{s:4:\"\0*\0x\";i:1;s:6:\"\0A\\b\0y\";i:2;}"),
	ROW("O:2:\"\xc3\xa9\":0:{}"),
	ROW("C:11:\"ArrayObject\":21:{x:i:0;a:0:{};m:a:0:{}}"),
	ROW("E:9:\"Suit:Clue\";"),
	ROW("E:10:\"\\Suit:Clue\";"),
	ROW("a:2:{i:0;O:1:\"A\":0:{}i:1;r:2;}"),
	ROW("a:2:{i:0;i:5;i:1;R:2;}"),
	ROW("O:1:\"A\":1:{s:1:\"x\";r:1;}"),
	ROW("a:3:{i:0;R:1;i:1;i:4;i:2;R:2;}"),
};

START_TEST(what_php_writes_is_written_back_byte_for_byte)
{
	struct php_serialize_value v = parsed(canonical[_i]);

	ck_assert(slice_eq(v.span, canonical[_i]));
	assert_written(&v, canonical[_i]);
}
END_TEST

/* Other spellings unserialize() takes, and their normal form. */
static const struct {
	struct slice in, normal;
} spellings[] = {
	{ ROW("i:+5;"), ROW("i:5;") },
	{ ROW("i:007;"), ROW("i:7;") },
	{ ROW("i:-0;"), ROW("i:0;") },
	{ ROW("i:99999999999999999999;"), ROW("i:9223372036854775807;") },
	{ ROW("i:-99999999999999999999;"), ROW("i:-9223372036854775808;") },
	{ ROW("d:.5;"), ROW("d:.5;") },
	{ ROW("d:5.;"), ROW("d:5.;") },
	{ ROW("d:+1.5E+3;"), ROW("d:+1.5E+3;") },
	{ ROW("d:1.e3;"), ROW("d:1.e3;") },
	{ ROW("s:03:\"abc\";"), ROW("s:3:\"abc\";") },
	{ ROW("S:3:\"a\\62c\";"), ROW("s:3:\"abc\";") },
	{ ROW("S:0:\"\";"), ROW("s:0:\"\";") },
	{ ROW("a:00:{}"), ROW("a:0:{}") },
	{ ROW("a:1:{S:1:\"\\35\";i:1;}"), ROW("a:1:{i:5;i:1;}") },
	{ ROW("a:1:{s:1:\"5\";i:1;}"), ROW("a:1:{i:5;i:1;}") },
	{ ROW("O:01:\"a\":0:{}"), ROW("O:1:\"a\":0:{}") },
	{ ROW("O:1:\"a\":+0:{}"), ROW("O:1:\"a\":0:{}") },
	{ ROW("O:1:\"a\"::{}"), ROW("O:1:\"a\":0:{}") },
	{ ROW("O:1:\"a\":-0:{}"), ROW("O:1:\"a\":0:{}") },
	{ ROW("O:1:\"5\":0:{}"), ROW("O:1:\"5\":0:{}") },
	{ ROW("C:1:\"a\":+3:{a}c}"), ROW("C:1:\"a\":3:{a}c}") },
	{ ROW("C:1:\"a\"::{}"), ROW("C:1:\"a\":0:{}") },
	{ ROW("a:2:{i:0;O:1:\"a\":0:{}i:1;r:02;}"),
	    ROW("a:2:{i:0;O:1:\"a\":0:{}i:1;r:2;}") },
};

START_TEST(other_accepted_spellings_get_the_normal_form)
{
	struct php_serialize_value v = parsed(spellings[_i].in);

	ck_assert(slice_eq(v.span, spellings[_i].in));
	assert_written(&v, spellings[_i].normal);
}
END_TEST

static const struct slice broken[] = {
	ROW(""),
	ROW("N"),
	ROW("n;"),
	ROW("x:1;"),
	ROW("b:2;"),
	ROW("b:01;"),
	ROW("b:1"),
	ROW("i:;"),
	ROW("i:+;"),
	ROW("i: 5;"),
	ROW("i:5 ;"),
	ROW("i:5"),
	ROW("i:5;x"),
	ROW("d:;"),
	ROW("d:.;"),
	ROW("d:.e3;"),
	ROW("d:1e;"),
	ROW("d:+INF;"),
	ROW("d:-NAN;"),
	ROW("d:nan;"),
	ROW("d:0x1;"),
	ROW("s:+3:\"abc\";"),
	ROW("s:4:\"abc\";"),
	ROW("s:2:\"abc\";"),
	ROW("s:3:\"abc\""),
	ROW("s:3:abc;"),
	ROW("s:99999999999999999999:\"a\";"),
	ROW("s:18446744073709551615:\"a\";"),
	ROW("S:1:\"\\6g\";"),
	ROW("S:1:\"\\6"),
	ROW("S:3:\"\\61\";"),
	ROW("a:+0:{}"),
	ROW("a:-1:{}"),
	ROW("a:1:{}"),
	ROW("a:0:{"),
	ROW("a:0:{i:0;i:1;}"),
	ROW("a:1:{i:0;}"),
	ROW("a:1:{N;i:1;}"),
	ROW("a:1:{b:1;i:1;}"),
	ROW("a:1:{d:1;i:1;}"),
	ROW("a:1:{a:0:{}i:1;}"),
	ROW("a:18446744073709551616:{}"),
	ROW("O:0:\"\":0:{}"),
	ROW("O:1:\" \":0:{}"),
	ROW("O:1:\"\0\":0:{}"),
	ROW("O:2:\"\\b\":0:{}"),
	ROW("O:+1:\"a\":0:{}"),
	ROW("O:1:\"a\":-1:{}"),
	ROW("O:1:\"a\":1:{}"),
	ROW("O:18446744073709551617:\"a\":0:{}"),
	ROW("C:1:\"a\":4:{abc}"),
	ROW("C:1:\"a\":-1:{}"),
	ROW("E:3:\"A_B\";"),
	ROW("E:2:\":B\";"),
	ROW("r:1;"),
	ROW("R:1;"),
	ROW("R:0;"),
	ROW("a:1:{i:0;r:1;}"),
	ROW("a:1:{i:0;r:2;}"),
	ROW("a:2:{i:0;i:5;i:1;r:2;}"),
	ROW("a:2:{i:0;i:1;i:1;R:3;}"),
	ROW("a:2:{i:0;O:1:\"a\":0:{}i:1;r:+2;}"),
};

START_TEST(anything_else_is_rejected_with_words)
{
	struct php_serialize_value v;
	struct err err = ERR_INIT;

	ck_assert_msg(php_serialize_parse(broken[_i], &PHP_SERIALIZE_LIMITS,
			  &arena, &v, &err) == RC_REJECT,
	    "accepted %.*s", SLICE_FMT(broken[_i]));
	ck_assert_str_ne(err.text, "");
}
END_TEST

/* A walk over all of it; RC_REJECT also when bytes follow. */
static enum rc
walked(struct slice in, struct php_serialize_walk *w)
{
	struct php_serialize_value v;
	struct err err = ERR_INIT;
	enum rc rc;

	php_serialize_walk_init(w, in, &PHP_SERIALIZE_LIMITS, &arena, &err);
	rc = php_serialize_walk_value(w, &v);
	if (rc == RC_OK && w->pos != in.n)
		return RC_REJECT;
	if (rc == RC_OK)
		ck_assert(slice_eq(v.span, in) && v.nmembers == 0);
	return rc;
}

START_TEST(a_walk_accepts_what_a_tree_does)
{
	struct php_serialize_walk w;

	ck_assert_int_eq(walked(canonical[_i], &w), RC_OK);
	ck_assert_uint_gt(w.nslots, 0);
}
END_TEST

START_TEST(a_walk_rejects_what_a_tree_does)
{
	struct php_serialize_walk w;
	struct php_serialize_value v;
	struct err err = ERR_INIT;

	/* Whether `r:` names an object is all that a walk does not know. */
	if (walked(broken[_i], &w) == RC_OK) {
		ck_assert_int_eq(php_serialize_parse(broken[_i],
				     &PHP_SERIALIZE_LIMITS, &arena, &v, &err),
		    RC_REJECT);
		ck_assert_ptr_nonnull(strstr(err.text, "r: does not name"));
	}
}
END_TEST

static void
note_reference(void *ctx, size_t from, size_t to, uint64_t number)
{
	struct buf *notes = ctx;

	buf_printf(notes, "%zu-%zu:%u ", from, to, (unsigned)number);
}

START_TEST(a_walk_steps_in_and_counts_what_references_count)
{
	static const struct slice in =
	    ROW("a:2:{s:1:\"a\";a:2:{i:0;O:1:\"A\":1:{s:1:\"x\";R:2;}i:1;r:3;}"
		"i:7;C:1:\"C\":4:{r:9;}}");
	struct buf notes = BUF_INIT(256);
	struct php_serialize_walk w;
	struct php_serialize_member m;
	struct php_serialize_value v;
	struct err err = ERR_INIT;
	uint64_t count = 0;

	php_serialize_walk_init(&w, in, &PHP_SERIALIZE_LIMITS, &arena, &err);
	w.on_reference = note_reference;
	w.ctx = &notes;
	ck_assert(php_serialize_walk_at_array(&w));
	ck_assert_int_eq(php_serialize_walk_enter(&w, &count), RC_OK);
	ck_assert_uint_eq(count, 2);
	ck_assert_int_eq(php_serialize_walk_key(&w, &m), RC_OK);
	ck_assert(slice_eq_str(m.key, "a"));
	ck_assert_int_eq(php_serialize_walk_value(&w, &v), RC_OK);
	ck_assert_uint_eq(w.nslots, 4);
	ck_assert_uint_eq(w.nreferences, 2);
	ck_assert_uint_eq(w.lowest_reference, 2);
	ck_assert_str_eq(buf_str(&notes), "43-44:2 52-53:3 ");
	ck_assert_int_eq(php_serialize_walk_key(&w, &m), RC_OK);
	ck_assert(m.int_key && m.index == 7);
	ck_assert(!php_serialize_walk_at_array(&w));
	ck_assert_int_eq(php_serialize_walk_leave(&w), RC_REJECT);
	ck_assert_int_eq(php_serialize_walk_value(&w, &v), RC_OK);
	ck_assert_uint_eq(w.ncustom, 1);
	ck_assert_uint_eq(w.lowest_reference, 0);
	ck_assert_int_eq(php_serialize_walk_leave(&w), RC_OK);
	ck_assert_uint_eq(w.pos, in.n);
	buf_clear(&notes);
}
END_TEST

START_TEST(every_cut_of_a_value_is_rejected)
{
	static const struct slice whole =
	    ROW("a:4:{i:0;O:1:\"A\":1:{s:4:\"\0*\0x\";d:1.5;}i:1;r:2;s:1:\"k\";"
		"C:1:\"B\":2:{ab}s:1:\"l\";E:3:\"C:D\";}");
	struct php_serialize_value v = parsed(whole);

	assert_written(&v, whole);
	for (size_t n = 0; n < whole.n; n++) {
		struct php_serialize_value cut;

		ck_assert_int_eq(php_serialize_parse(slice_mem(whole.p, n),
				     &PHP_SERIALIZE_LIMITS, &arena, &cut, NULL),
		    RC_REJECT);
	}
}
END_TEST

static const struct {
	struct php_serialize_limits limits;
	enum rc rc;
} limits[] = {
	{ { 30, 3, 2 }, RC_OK },
	{ { 29, 3, 2 }, RC_REJECT },
	{ { 30, 2, 2 }, RC_REJECT },
	{ { 30, 3, 1 }, RC_REJECT },
};

START_TEST(limits_hold_for_bytes_members_and_depth)
{
	static const struct slice in = ROW("a:2:{i:0;a:1:{i:0;N;}i:1;N;}  ");
	struct php_serialize_value v;
	struct php_serialize_limits l = limits[_i].limits;

	l.bytes -= 2;
	ck_assert_int_eq(php_serialize_parse(
			     slice_mem(in.p, in.n - 2), &l, &arena, &v, NULL),
	    limits[_i].rc);
}
END_TEST

START_TEST(no_memory_is_retry_not_reject)
{
	struct arena small = ARENA_INIT(600);
	struct php_serialize_value v;
	enum rc rc = php_serialize_parse(SLICE_LIT("a:3:{i:0;N;i:1;N;i:2;N;}"),
	    &PHP_SERIALIZE_LIMITS, &small, &v, NULL);

	ck_assert_int_eq(rc, RC_RETRY);
	arena_clear(&small);
}
END_TEST

START_TEST(each_value_knows_its_bytes)
{
	static const struct slice in =
	    ROW("a:2:{i:5;a:2:{s:8:\"schedule\";b:0;s:4:\"args\";a:0:{}}"
		"s:7:\"version\";i:2;}");
	struct php_serialize_value v = parsed(in);
	const struct php_serialize_member *m = php_serialize_find_int(&v, 5);

	ck_assert_ptr_nonnull(m);
	ck_assert(slice_eq_str(m->key_span, "i:5;"));
	ck_assert(slice_eq_str(
	    m->value.span, "a:2:{s:8:\"schedule\";b:0;s:4:\"args\";a:0:{}}"));
	m = php_serialize_find(&m->value, SLICE_LIT("args"));
	ck_assert_ptr_nonnull(m);
	ck_assert(slice_eq_str(m->value.span, "a:0:{}"));
	ck_assert_ptr_eq(m->value.span.p, in.p + 44);
	m = php_serialize_find(&v, SLICE_LIT("version"));
	ck_assert_int_eq(m->value.integer, 2);
	ck_assert_ptr_null(php_serialize_find(&v, SLICE_LIT("hook")));
	ck_assert_ptr_null(php_serialize_find_int(&v, 6));
}
END_TEST

START_TEST(what_is_null_or_not_there_is_nothing)
{
	struct php_serialize_value v = parsed(SLICE_LIT(
	    "a:5:{s:1:\"a\";i:3;s:1:\"b\";R:2;s:1:\"n\";N;s:1:\"m\";R:3;"
	    "i:7;b:0;}"));

	ck_assert_int_eq(php_serialize_at(&v, "a")->integer, 3);
	ck_assert_int_eq(php_serialize_at(&v, "b")->integer, 3);
	ck_assert_ptr_nonnull(php_serialize_at(&v, "7"));
	ck_assert_ptr_null(php_serialize_at(&v, "n"));
	ck_assert_ptr_null(php_serialize_at(&v, "m"));
	ck_assert_ptr_null(php_serialize_at(&v, "A"));
}
END_TEST

START_TEST(of_two_equal_keys_the_last_is_found)
{
	struct php_serialize_value v = parsed(SLICE_LIT(
	    "a:4:{i:5;i:1;s:1:\"5\";i:2;s:1:\"a\";i:3;s:1:\"a\";i:4;}"));

	ck_assert_int_eq(php_serialize_find_int(&v, 5)->value.integer, 2);
	ck_assert_int_eq(
	    php_serialize_find(&v, SLICE_LIT("5"))->value.integer, 2);
	ck_assert_int_eq(
	    php_serialize_find(&v, SLICE_LIT("a"))->value.integer, 4);
}
END_TEST

static const struct {
	struct slice key;
	bool is_index;
	int64_t index;
} keys[] = {
	{ ROW("0"), true, 0 },
	{ ROW("-1"), true, -1 },
	{ ROW("9223372036854775807"), true, INT64_MAX },
	{ ROW("9223372036854775808"), false, 0 },
	{ ROW("-9223372036854775808"), false, 0 },
	{ ROW("-0"), false, 0 },
	{ ROW("05"), false, 0 },
	{ ROW("+5"), false, 0 },
	{ ROW("5 "), false, 0 },
	{ ROW(""), false, 0 },
	{ ROW("-"), false, 0 },
};

START_TEST(a_shortest_decimal_key_of_an_array_is_a_number)
{
	struct buf in = BUF_INIT(200);
	struct php_serialize_value v;

	buf_put_str(&in, "a:1:{");
	php_serialize_put_string(&in, keys[_i].key);
	buf_put_str(&in, "N;}");
	v = parsed(buf_slice(&in));
	ck_assert(v.members[0].int_key == keys[_i].is_index);
	ck_assert_int_eq(v.members[0].index, keys[_i].index);
	ck_assert_ptr_eq(php_serialize_find(&v, keys[_i].key), &v.members[0]);
	buf_clear(&in);
}
END_TEST

static const struct {
	struct slice in;
	int64_t want; /* 0: not found */
} properties[] = {
	{ ROW("O:1:\"K\":1:{s:1:\"p\";i:1;}"), 1 },
	{ ROW("O:1:\"K\":1:{s:4:\"\0*\0p\";i:1;}"), 1 },
	{ ROW("O:1:\"K\":1:{s:4:\"\0K\0p\";i:1;}"), 1 },
	{ ROW("O:1:\"K\":1:{s:4:\"\0k\0p\";i:1;}"), 1 },
	{ ROW("O:1:\"K\":1:{s:4:\"\0J\0p\";i:1;}"), 0 },
	{ ROW("O:1:\"K\":2:{s:4:\"\0*\0p\";i:1;s:1:\"p\";i:2;}"), 2 },
	{ ROW("O:1:\"K\":1:{s:3:\"\0\0p\";i:1;}"), 0 },
	{ ROW("O:1:\"K\":1:{s:2:\"\0p\";i:1;}"), 0 },
	{ ROW("O:1:\"K\":1:{s:1:\"q\";i:1;}"), 0 },
	{ ROW("a:1:{s:1:\"p\";i:1;}"), 0 },
};

START_TEST(a_property_is_found_whatever_its_stored_visibility)
{
	struct php_serialize_value v = parsed(properties[_i].in);
	const struct php_serialize_value *p =
	    php_serialize_property(&v, SLICE_LIT("p"));

	ck_assert_int_eq(p ? p->integer : 0, properties[_i].want);
}
END_TEST

START_TEST(references_lead_to_their_values)
{
	struct php_serialize_value v;
	const struct php_serialize_value *object;

	ck_assert_int_eq(
	    php_serialize_parse(
		SLICE_LIT("a:5:{i:0;O:1:\"A\":1:{s:1:\"x\";i:7;}i:1;r:2;"
			  "i:2;R:3;i:3;r:4;i:4;R:1;}"),
		&PHP_SERIALIZE_LIMITS, &arena, &v, NULL),
	    RC_OK);
	object = &v.members[0].value;

	ck_assert_ptr_eq(php_serialize_deref(object), object);
	ck_assert_ptr_eq(php_serialize_deref(&v.members[1].value), object);
	ck_assert_int_eq(php_serialize_deref(&v.members[2].value)->integer, 7);
	ck_assert_ptr_eq(php_serialize_deref(&v.members[3].value), object);
	ck_assert_ptr_eq(php_serialize_deref(&v.members[4].value), &v);
}
END_TEST

START_TEST(a_tree_made_by_hand_is_written)
{
	struct php_serialize_member members[] = {
		{ .int_key = true,
		    .index = 3,
		    .value = { .type = PHP_SERIALIZE_INT, .integer = -4 } },
		{ .key = SLICE_LIT("k"),
		    .value = { .type = PHP_SERIALIZE_STRING,
			.text = SLICE_LIT("v") } },
	};
	struct php_serialize_value v = {
		.type = PHP_SERIALIZE_ARRAY,
		.members = members,
		.nmembers = 2,
	};

	assert_written(&v, SLICE_LIT("a:2:{i:3;i:-4;s:1:\"k\";s:1:\"v\";}"));
}
END_TEST

#define ROWS(tc, table, test)                                                  \
	tcase_add_loop_test((tc), (test), 0, (int)NELEMS(table))

Suite *
php_serialize_suite(void)
{
	Suite *s = suite_create("php_serialize");
	TCase *tc = tcase_create("parse, write, find");

	tcase_add_checked_fixture(tc, NULL, teardown);
	ROWS(tc, canonical, what_php_writes_is_written_back_byte_for_byte);
	ROWS(tc, spellings, other_accepted_spellings_get_the_normal_form);
	ROWS(tc, broken, anything_else_is_rejected_with_words);
	ROWS(tc, limits, limits_hold_for_bytes_members_and_depth);
	ROWS(tc, keys, a_shortest_decimal_key_of_an_array_is_a_number);
	ROWS(
	    tc, properties, a_property_is_found_whatever_its_stored_visibility);
	ROWS(tc, canonical, a_walk_accepts_what_a_tree_does);
	ROWS(tc, broken, a_walk_rejects_what_a_tree_does);
	tcase_add_test(tc, a_walk_steps_in_and_counts_what_references_count);
	tcase_add_test(tc, every_cut_of_a_value_is_rejected);
	tcase_add_test(tc, no_memory_is_retry_not_reject);
	tcase_add_test(tc, each_value_knows_its_bytes);
	tcase_add_test(tc, what_is_null_or_not_there_is_nothing);
	tcase_add_test(tc, of_two_equal_keys_the_last_is_found);
	tcase_add_test(tc, references_lead_to_their_values);
	tcase_add_test(tc, a_tree_made_by_hand_is_written);
	suite_add_tcase(s, tc);
	return s;
}
