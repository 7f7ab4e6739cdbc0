#ifndef BASE_MACROS_H
#define BASE_MACROS_H

#include <stddef.h>

/* The caller must look at what comes back. */
#define MUSTUSE __attribute__((warn_unused_result))
/* Arguments `f` (format) and on are checked as printf does. */
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define UNUSED __attribute__((unused))
#define NELEMS(a) (sizeof(a) / sizeof((a)[0]))

#endif
