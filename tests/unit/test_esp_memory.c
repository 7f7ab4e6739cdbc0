#include "executors/esp/esp_memory.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>

Suite *esp_memory_suite(void);

/* A checked fixture's. */
static struct esp_memories *owner;

static void
begin(void)
{
	owner = esp_memories_new();
}

static void
end(void)
{
	esp_memories_free(owner);
}

static struct esp_memory *
take(const char *key, const char *list)
{
	const struct esp_account account = { .key = key, .list = list };

	return esp_memory_take(owner, "brevo", &account);
}

START_TEST(an_accounts_memory_comes_back)
{
	struct esp_memory *m = take("key", "7");

	esp_directory_put(
	    &m->directory, SLICE_LIT("a@example.org"), ESP_DIRECTORY_KNOWN);
	esp_memory_give(m);
	m = take("key", "7");
	ck_assert_uint_eq(m->directory.n, 1);
	esp_memory_give(m);
	esp_memory_give(NULL);
}
END_TEST

START_TEST(without_an_owner_nothing_is_remembered)
{
	const struct esp_account account = { .key = "key", .list = "7" };

	for (int i = 0; i < 2; i++) {
		struct esp_memory *m = esp_memory_take(NULL, "brevo", &account);

		ck_assert_uint_eq(m->directory.n, 0);
		esp_directory_put(&m->directory, SLICE_LIT("a@example.org"),
		    ESP_DIRECTORY_KNOWN);
		esp_memory_give(m);
	}
}
END_TEST

START_TEST(another_key_list_or_provider_is_another_account)
{
	const struct esp_account account = { .key = "key", .list = "7" };
	struct esp_memory *m = take("key", "7");

	m->directory.since = 5;
	esp_memory_give(m);
	for (int i = 0; i < 4; i++) {
		m = i == 0   ? take("key", "8")
		    : i == 1 ? take("yek", "7")
		    : i == 2
			? take("key7", "")
			: esp_memory_take(owner, "constant_contact", &account);
		ck_assert_int_eq(m->directory.since, 0);
		esp_memory_give(m);
	}
}
END_TEST

START_TEST(of_two_at_once_the_one_that_knows_the_account_stays)
{
	for (int first = 0; first < 2; first++) {
		struct esp_memory *a = take("key", "7");
		struct esp_memory *b = take("key", "7");

		ck_assert_ptr_ne(a, b);
		a->directory.whole = true;
		esp_memory_give(first ? a : b);
		esp_memory_give(first ? b : a);
		a = take("key", "7");
		ck_assert(a->directory.whole);
		a->directory.whole = false;
		esp_memory_give(a);
	}
}
END_TEST

START_TEST(the_oldest_of_too_many_is_forgotten)
{
	for (int i = 0; i <= ESP_MEMORY_MOST; i++) {
		char list[16];
		struct esp_memory *m;

		(void)snprintf(list, sizeof list, "%d", i);
		m = take("key", list);
		m->directory.since = 1;
		esp_memory_give(m);
	}
	for (int i = 1; i >= 0; i--) {
		struct esp_memory *m = take("key", i ? "1" : "0");

		ck_assert_int_eq(m->directory.since, i);
		esp_memory_give(m);
	}
}
END_TEST

static void *
use(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		char list[16];
		struct esp_memory *m;

		(void)snprintf(list, sizeof list, "%d", i % 40);
		m = take(arg, list);
		m->directory.since++;
		esp_memory_give(m);
	}
	return NULL;
}

START_TEST(threads_share_it)
{
	char key[] = "key";
	pthread_t threads[4];

	for (size_t i = 0; i < NELEMS(threads); i++)
		ck_assert_int_eq(
		    pthread_create(&threads[i], NULL, use, key), 0);
	for (size_t i = 0; i < NELEMS(threads); i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}
END_TEST

Suite *
esp_memory_suite(void)
{
	Suite *s = suite_create("esp_memory");
	TCase *tc = tcase_create("memory");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, without_an_owner_nothing_is_remembered);
	tcase_add_test(tc, an_accounts_memory_comes_back);
	tcase_add_test(tc, another_key_list_or_provider_is_another_account);
	tcase_add_test(tc, of_two_at_once_the_one_that_knows_the_account_stays);
	tcase_add_test(tc, the_oldest_of_too_many_is_forgotten);
	tcase_add_test(tc, threads_share_it);
	suite_add_tcase(s, tc);
	return s;
}
