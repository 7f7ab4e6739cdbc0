/* Any bytes as configuration: refused with words, or complete and in range. */
#include "base/config.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct config *c)
{
	static const char *const hooks[] = { "", "my_hook",
		"action_scheduler_run_queue" };
	const struct config_daemon *d = &c->daemon;

	if (d->php_children >= d->workers ||
	    d->heartbeat_ms > d->node_expiry_ms / 2 || c->nsites == 0 ||
	    !c->sites[0].root)
		abort();
	for (size_t i = 0; i < NELEMS(hooks); i++) {
		const struct route *r =
		    config_route(c, c->sites[0].name, slice_str(hooks[i]));
		const struct policy *p =
		    config_policy(c, c->sites[0].name, slice_str(hooks[i]), r);

		if ((r->kind != EXECUTOR_PHP) != (r->target != NULL))
			abort();
		if (p->timeout_ms == 0 || p->backoff_min_ms == 0 ||
		    p->backoff_min_ms > p->backoff_max_ms ||
		    (p->rate.count > 0 && p->rate.per_s == 0))
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_mem((const char *)data, size);
	struct config *c = NULL;
	struct err err = ERR_INIT;

	for (int rooted = 0; rooted < 2; rooted++) {
		if (config_parse(in, "f", rooted ? "/" : NULL, &c, &err) ==
		    RC_OK)
			check(c);
		else if (c || !*err.text)
			abort();
		config_unref(c);
	}
	return 0;
}
