#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define BAR_WIDTH 24
#define BAR_EVERY_MS 100
#define LINE_EVERY_MS 5000

void
progress_begin(struct progress *p, uint64_t total, bool quiet)
{
	*p = (struct progress){
		.quiet = quiet,
		.terminal = isatty(STDERR_FILENO) == 1,
		.total = total,
		.begun = clock_mono(&clock_system),
	};
	p->shown = p->begun;
}

static void
put_bar(const struct progress *p, uint64_t ended)
{
	uint64_t of = p->total > ended ? p->total : ended;
	int filled = of ? (int)(BAR_WIDTH * ended / of) : 0;

	(void)fputs("\r\033[K[", stderr);
	for (int i = 0; i < BAR_WIDTH; i++)
		(void)fputc(i < filled ? '#' : '.', stderr);
	(void)fputs("] ", stderr);
}

void
progress_show(
    struct progress *p, uint64_t done, uint64_t failed, uint64_t running)
{
	mono_ms now = clock_mono(&clock_system);
	double took = (double)(now - p->begun) / 1000;

	if (p->quiet ||
	    now - p->shown < (p->terminal ? BAR_EVERY_MS : LINE_EVERY_MS))
		return;
	p->shown = now;
	if (p->terminal)
		put_bar(p, done + failed);
	(void)fprintf(stderr,
	    "%" PRIu64 "/%" PRIu64 " done, %" PRIu64 " failed, %" PRIu64
	    " running, %.1f s, %.0f/s%s",
	    done, p->total, failed, running, took,
	    took > 0 ? (double)(done + failed) / took : 0.0,
	    p->terminal ? "" : "\n");
	p->drawn = p->terminal;
}

void
progress_end(struct progress *p)
{
	if (p->drawn)
		(void)fputs("\r\033[K", stderr);
	p->drawn = false;
}
