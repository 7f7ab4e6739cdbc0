#include "base/env.h"

#include <stdlib.h>

const char *
env_get(const char *name)
{
	/* Unsafe only beside setenv() and its like, which nobody calls. */
	return getenv(name); /* NOLINT(concurrency-mt-unsafe) */
}
