#include "../check_runner.h"

#define SUITE(name) Suite *name##_suite(void);
#include "suites.h"
#undef SUITE

#define SUITE(name) name##_suite,
static Suite *(*const suites[])(void) = {
#include "suites.h"
	NULL,
};
#undef SUITE

int
main(void)
{
	return check_runner("ctl", suites);
}
