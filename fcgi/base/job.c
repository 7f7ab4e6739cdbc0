#include "base/job.h"

const char *
outcome_name(enum outcome_kind kind)
{
	switch (kind) {
	case OUTCOME_DONE:
		return "done";
	case OUTCOME_RETRY:
		return "retry";
	case OUTCOME_FAILED:
		return "failed";
	case OUTCOME_RELEASED:
		return "released";
	case OUTCOME_LOST:
		return "lost";
	case OUTCOME_SETTLED:
		return "settled";
	case OUTCOME_DIED:
		return "died";
	}
	return "unknown";
}
