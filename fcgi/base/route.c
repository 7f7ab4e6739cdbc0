#include "base/route.h"

enum lane
executor_lane(enum executor_kind kind)
{
	switch (kind) {
	case EXECUTOR_PHP:
		return LANE_PHP;
	case EXECUTOR_WEBHOOK:
	case EXECUTOR_QUEUE:
	case EXECUTOR_CONTACT:
		break;
	}
	return LANE_NATIVE;
}

const char *
executor_name(enum executor_kind kind)
{
	switch (kind) {
	case EXECUTOR_PHP:
		return "php";
	case EXECUTOR_WEBHOOK:
		return "webhook";
	case EXECUTOR_QUEUE:
		return "queue";
	case EXECUTOR_CONTACT:
		return "contact-sync";
	}
	return "unknown";
}
