#ifndef ENGINE_WORKER_H
#define ENGINE_WORKER_H

#include "engine/engine_internal.h"

/* Shared by worker.c and worker_begin.c; the worker's own thread alone, and
 * without engine.lock. */

/* Begin what is on the list and has an executor with room and a place; native
 * jobs are marked running first, which blocks for one transaction. */
void worker_begin_jobs(struct worker *w);
/* Give back what was not begun. */
void worker_release_todo(struct worker *w);

/* A job ended without an executor's word. */
void worker_end_job(
    struct worker *w, struct job *j, enum outcome_kind kind, const char *why);
/* The executor of a kind for the site bound to; NULL, and said, without. */
struct executor *worker_executor(struct worker *w, enum executor_kind kind);
/* Connects if it must; false while the database is away. */
bool worker_connection_ready(struct worker *w);

#endif
