#ifndef BASE_ENV_H
#define BASE_ENV_H

/* A variable of the environment, NULL when unset; lent by the environment,
 * which nothing in the program changes. */
const char *env_get(const char *name);

#endif
