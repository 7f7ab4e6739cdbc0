#include "base/leavers.h"

struct leavers
leavers_add(struct leavers *l)
{
	struct leavers before = *l;

	*l = (struct leavers){ .last = pthread_self(), .any = true };
	return before;
}

void
leavers_join(struct leavers *l)
{
	if (l->any)
		(void)pthread_join(l->last, NULL);
	l->any = false;
}
