#include "executors/esp/esp_bulk.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

Suite *esp_bulk_suite(void);

enum {
	NCONTACTS = 300,
};

/* A provider that refuses any request holding one of the bad contacts. */
struct peer {
	struct esp_contact contacts[NCONTACTS];
	size_t members[NCONTACTS], n;
	bool bad[NCONTACTS];
	bool names; /* it names them */
	bool never; /* it has no such call */
	size_t accepted[NCONTACTS];
	size_t most, largest, requests;
	enum esp_class class; /* of every answer, unless OK */
	size_t over_after;    /* THROTTLED after so many; 0: never */
	size_t stored, not_stored;
	bool store_fails;
};

static void
put_row(void *arg, const struct esp_contact *c, struct buf *out)
{
	(void)arg;
	buf_printf(out, "%" PRIu64, c->user_id);
}

/* The ids in a body "[1,2,3]". */
static size_t
ids_in(struct slice body, uint64_t ids[NCONTACTS])
{
	struct slice rest = slice_mem(body.p + 1, body.n - 2);
	size_t n = 0;

	ck_assert(body.p[0] == '[' && body.p[body.n - 1] == ']');
	while (rest.n > 0) {
		size_t comma = slice_find(rest, ',');

		ck_assert_uint_lt(n, NCONTACTS);
		ck_assert(slice_u64(slice_mem(rest.p, comma), &ids[n++]));
		rest = slice_from(rest, comma + 1);
	}
	return n;
}

static void
run(void *arg, struct esp_call *call, struct arena *a)
{
	struct peer *p = arg;
	uint64_t ids[NCONTACTS];
	size_t n = ids_in(call->body, ids);

	(void)a;
	p->requests++;
	p->most = n > p->most ? n : p->most;
	p->largest = call->body.n > p->largest ? call->body.n : p->largest;
	ck_assert(call->bulk);
	call->class = p->class;
	if (p->over_after > 0 && p->requests > p->over_after)
		call->class = ESP_CLASS_THROTTLED;
	for (size_t i = 0; i < n && call->class == ESP_CLASS_OK; i++)
		if (p->bad[ids[i]] || p->never)
			call->class = ESP_CLASS_PERMANENT;
	for (size_t i = 0; i < n && call->class == ESP_CLASS_OK; i++)
		p->accepted[ids[i]]++;
}

static struct slice
token(void *arg, const struct esp_call *call, struct arena *a)
{
	(void)arg;
	(void)call;
	(void)a;
	return SLICE_LIT("token");
}

static struct slice
words(void *arg, const struct esp_call *call, struct arena *a)
{
	(void)arg;
	(void)call;
	(void)a;
	return SLICE_LIT("words");
}

static size_t
refused(void *arg, const struct esp_call *call, struct esp_contact *contacts,
    const size_t *members, size_t n, struct arena *a)
{
	struct peer *p = arg;
	size_t named = 0;

	(void)call;
	(void)a;
	if (p->never)
		return ESP_BULK_NEVER;
	for (size_t i = 0; p->names && i < n; i++) {
		if (!p->bad[members[i]])
			continue;
		contacts[members[i]].outcome = ESP_REFUSED;
		named++;
	}
	return named;
}

static enum rc
on_batch(void *arg, struct slice t, const size_t *members, size_t n,
    int64_t after_s, struct err *err)
{
	struct peer *p = arg;

	(void)members;
	ck_assert(slice_eq_str(t, "token"));
	ck_assert_int_eq(after_s, 10);
	if (p->store_fails)
		return err_set(err, RC_RETRY, "no");
	p->stored += n;
	return RC_OK;
}

static struct peer *
peer(size_t n)
{
	static struct peer p;

	memset(&p, 0, sizeof p);
	p.n = n;
	p.class = ESP_CLASS_OK;
	for (size_t i = 0; i < n; i++) {
		p.contacts[i].user_id = i;
		p.members[i] = i;
	}
	return &p;
}

static bool
send(struct peer *p, size_t least, size_t most, size_t max_bytes, bool async,
    size_t *left)
{
	const struct esp_host host = { .arg = p, .on_batch = on_batch };
	struct arena a = ARENA_INIT(65536);
	struct esp_bulk b = { .host = &host,
		.contacts = p->contacts,
		.arg = p,
		.run = run,
		.least = least,
		.most = most,
		.max_bytes = max_bytes,
		.after_s = 10,
		.url = "http://x/",
		.head = "[",
		.tail = "]",
		.row = put_row,
		.token = async ? token : NULL,
		.refused = refused,
		.words = words };
	bool on = esp_bulk_run(&b, p->members, p->n, left, &a);

	arena_clear(&a);
	return on;
}

static size_t
count(const struct peer *p, enum esp_outcome outcome)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		n += p->contacts[i].outcome == outcome;
	return n;
}

static const struct {
	size_t n, least, most, max_bytes, requests, left;
} cuts[] = {
	{ 0, 1, 10, 1000, 0, 0 },
	{ 10, 1, 10, 1000, 1, 0 },
	{ 11, 1, 10, 1000, 2, 0 },
	{ 11, 2, 10, 1000, 1, 1 },
	{ 9, 10, 100, 1000, 0, 9 },
	{ 300, 1, 300, 100, 12, 0 },
	{ 300, 1, 300, 3, 10, 290 },
	{ 3, 1, 3, 2, 0, 3 },
};

START_TEST(contacts_are_cut_by_count_and_bytes)
{
	struct peer *p = peer(cuts[_i].n);
	size_t left = 99;

	ck_assert(send(
	    p, cuts[_i].least, cuts[_i].most, cuts[_i].max_bytes, true, &left));
	ck_assert_uint_eq(left, cuts[_i].left);
	ck_assert_uint_le(p->most, cuts[_i].most);
	ck_assert_uint_le(p->largest, cuts[_i].max_bytes);
	if (cuts[_i].max_bytes >= 1000)
		ck_assert_uint_eq(p->requests, cuts[_i].requests);
	ck_assert_uint_eq(count(p, ESP_PENDING), cuts[_i].n - left);
	ck_assert_uint_eq(count(p, ESP_OPEN), left);
	ck_assert_uint_eq(p->stored, cuts[_i].n - left);
	for (size_t i = 0; i < p->n; i++)
		ck_assert_uint_le(p->accepted[i], 1);
}
END_TEST

/* Whatever is bad and whether it is named: each contact is accepted once, or
 * refused, or left to a single call, and who is bad is never accepted. */
START_TEST(every_contact_ends_in_exactly_one_place)
{
	uint32_t seed = (uint32_t)_i * 2654435761u + 1;
	struct peer *p = peer(1 + (size_t)_i * 7 % NCONTACTS);
	bool single[NCONTACTS] = { false };
	size_t left = 0;

	p->names = _i % 2 == 0;
	for (size_t i = 0; i < p->n; i++) {
		seed = seed * 1664525u + 1013904223u;
		p->bad[i] = seed >> 24 < (uint32_t)(_i % 5) * 12;
	}
	ck_assert(send(p, 1 + (size_t)_i % 4, 1 + (size_t)_i * 13 % 100, 4000,
	    true, &left));
	for (size_t i = 0; i < left; i++) {
		ck_assert(!single[p->members[i]]);
		single[p->members[i]] = true;
		ck_assert_int_eq(p->contacts[p->members[i]].outcome, ESP_OPEN);
	}
	for (size_t i = 0; i < p->n; i++) {
		enum esp_outcome outcome = p->contacts[i].outcome;

		ck_assert_uint_eq(p->accepted[i], outcome == ESP_PENDING);
		ck_assert_uint_eq(outcome == ESP_OPEN, single[i]);
		if (p->bad[i])
			ck_assert(outcome != ESP_PENDING);
	}
}
END_TEST

START_TEST(an_account_that_rests_ends_it)
{
	struct peer *p = peer(100);
	size_t left = 0;

	p->over_after = 3;
	ck_assert(!send(p, 1, 10, 1000, true, &left));
	ck_assert_uint_eq(p->requests, 4);
	ck_assert_uint_eq(count(p, ESP_PENDING), 30);
	ck_assert_uint_eq(count(p, ESP_OPEN), 70);
	ck_assert_uint_eq(left, 0);
}
END_TEST

START_TEST(what_may_succeed_later_is_retried_without_halving)
{
	struct peer *p = peer(100);
	size_t left = 0;

	p->class = ESP_CLASS_TRANSIENT;
	ck_assert(send(p, 1, 50, 1000, true, &left));
	ck_assert_uint_eq(p->requests, 2);
	ck_assert_uint_eq(count(p, ESP_RETRY), 100);
}
END_TEST

START_TEST(what_cannot_be_stored_is_retried)
{
	struct peer *p = peer(20);
	size_t left = 0;

	p->store_fails = true;
	ck_assert(send(p, 1, 50, 1000, true, &left));
	ck_assert_uint_eq(count(p, ESP_RETRY), 20);
}
END_TEST

START_TEST(without_a_token_accepted_is_done)
{
	struct peer *p = peer(20);
	size_t left = 0;

	ck_assert(send(p, 1, 50, 1000, false, &left));
	ck_assert_uint_eq(count(p, ESP_DONE), 20);
	ck_assert_uint_eq(p->stored, 0);
}
END_TEST

START_TEST(a_call_that_is_not_to_be_had_leaves_all_to_single_ones)
{
	struct peer *p = peer(100);
	size_t left = 0;

	p->never = true;
	ck_assert(send(p, 1, 50, 1000, false, &left));
	ck_assert_uint_eq(left, 100);
	ck_assert_uint_eq(p->requests, 2);
}
END_TEST

Suite *
esp_bulk_suite(void)
{
	Suite *s = suite_create("esp_bulk");
	TCase *tc = tcase_create("bulk");

	tcase_add_loop_test(
	    tc, contacts_are_cut_by_count_and_bytes, 0, NELEMS(cuts));
	tcase_add_loop_test(
	    tc, every_contact_ends_in_exactly_one_place, 0, 200);
	tcase_add_test(tc, an_account_that_rests_ends_it);
	tcase_add_test(tc, what_may_succeed_later_is_retried_without_halving);
	tcase_add_test(tc, what_cannot_be_stored_is_retried);
	tcase_add_test(tc, without_a_token_accepted_is_done);
	tcase_add_test(
	    tc, a_call_that_is_not_to_be_had_leaves_all_to_single_ones);
	suite_add_tcase(s, tc);
	return s;
}
