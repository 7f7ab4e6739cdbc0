#ifndef ENGINE_ASK_H
#define ENGINE_ASK_H

#include "engine/engine_internal.h"

/*
 * ask_php - have a PHP worker take cron events from the option (an object
 * cache holds it) and, or, export what only PHP knows. `take` is freed here
 * when nobody is free, or PHP is asked already: the next look asks again.
 * Nothing happens when there is nothing to ask. Claimer only.
 */
void ask_php(struct site_run *s, char *take, bool export);

/* What the worker's PHP executor asks for, and hands over. */
char *ask_want_take(void *worker);
bool ask_want_export(void *worker);
void ask_on_take(void *worker, struct slice json);
/* The request is over. With the lock. */
void ask_over_locked(struct worker *w);

#endif
