#include "executors/breaker.h"

enum breaker_answer
breaker_ask(const struct breaker *b, mono_ms now)
{
	switch (b->state) {
	case BREAKER_CLOSED:
		return BREAKER_GO;
	case BREAKER_OPEN:
		return now >= b->open_until ? BREAKER_PROBE : BREAKER_STOP;
	case BREAKER_PROBING:
		return BREAKER_WAIT;
	}
	return BREAKER_GO;
}

enum breaker_answer
breaker_begin(struct breaker *b, mono_ms now)
{
	enum breaker_answer answer = breaker_ask(b, now);

	if (answer == BREAKER_PROBE)
		b->state = BREAKER_PROBING;
	return answer;
}

static void
open_again(struct breaker *b, mono_ms now)
{
	b->open_ms = b->open_ms ? b->open_ms * 2 : BREAKER_OPEN_MIN_MS;
	if (b->open_ms > BREAKER_OPEN_MAX_MS)
		b->open_ms = BREAKER_OPEN_MAX_MS;
	b->open_until = now + b->open_ms;
	b->state = BREAKER_OPEN;
}

static void
end_closed(struct breaker *b, mono_ms now, enum breaker_result result)
{
	if (result == BREAKER_OK) {
		b->failures = 0;
		b->open_ms = 0;
	} else if (result == BREAKER_FAILED &&
		   ++b->failures >= BREAKER_FAILURES) {
		open_again(b, now);
	}
}

static void
end_probe(struct breaker *b, mono_ms now, enum breaker_result result)
{
	switch (result) {
	case BREAKER_OK:
		*b = (struct breaker){ .state = BREAKER_CLOSED };
		break;
	case BREAKER_FAILED:
		open_again(b, now);
		break;
	case BREAKER_UNKNOWN:
		/* The next call may probe at once. */
		b->state = BREAKER_OPEN;
		b->open_until = now;
		break;
	}
}

void
breaker_end(
    struct breaker *b, mono_ms now, bool probe, enum breaker_result result)
{
	if (probe && b->state == BREAKER_PROBING)
		end_probe(b, now, result);
	else if (b->state == BREAKER_CLOSED)
		end_closed(b, now, result);
}
