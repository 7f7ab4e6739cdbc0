#include "base/leavers.h"

#include <check.h>

#include "base/clock.h"

enum {
	THREADS = 8
};

Suite *leavers_suite(void);

static struct {
	pthread_mutex_t lock;
	pthread_cond_t gone;
	struct leavers leavers;
	int running, ended;
} crowd = { .lock = PTHREAD_MUTEX_INITIALIZER,
	.gone = PTHREAD_COND_INITIALIZER };

/* What comes after it has left takes its time. */
static void *
leave(void *arg)
{
	struct leavers before;

	pthread_mutex_lock(&crowd.lock);
	crowd.running--;
	before = leavers_add(&crowd.leavers);
	pthread_cond_broadcast(&crowd.gone);
	pthread_mutex_unlock(&crowd.lock);
	clock_sleep_ms(20);
	pthread_mutex_lock(&crowd.lock);
	crowd.ended++;
	pthread_mutex_unlock(&crowd.lock);
	leavers_join(&before);
	return arg;
}

START_TEST(the_last_is_joined_when_all_have_ended)
{
	pthread_t thread;

	leavers_join(&crowd.leavers); /* nobody */
	for (int round = 1; round <= 2; round++) {
		pthread_mutex_lock(&crowd.lock);
		for (int i = 0; i < THREADS; i++, crowd.running++)
			ck_assert_int_eq(
			    pthread_create(&thread, NULL, leave, NULL), 0);
		while (crowd.running > 0)
			pthread_cond_wait(&crowd.gone, &crowd.lock);
		pthread_mutex_unlock(&crowd.lock);
		leavers_join(&crowd.leavers);
		ck_assert(!crowd.leavers.any);
		pthread_mutex_lock(&crowd.lock);
		ck_assert_int_eq(crowd.ended, round * THREADS);
		pthread_mutex_unlock(&crowd.lock);
	}
}
END_TEST

Suite *
leavers_suite(void)
{
	Suite *s = suite_create("leavers");
	TCase *t = tcase_create("leavers");

	tcase_add_test(t, the_last_is_joined_when_all_have_ended);
	suite_add_tcase(s, t);
	return s;
}
