#ifndef BASE_BANNED_H
#define BASE_BANNED_H

/*
 * Calls that overflow, keep hidden state, or cannot report an error.
 * Included by the compiler's command line for every file of the product.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef sprintf
#undef vsprintf
#undef strtok
#undef gmtime
#undef localtime
#undef ctime
#undef asctime
#undef atoi
#undef atol
#undef atoll
#define BANNED(f) sorry_##f##_is_banned_see_base_banned_h
#define strcpy(d, s) BANNED(strcpy)
#define strcat(d, s) BANNED(strcat)
#define strncpy(d, s, n) BANNED(strncpy)
#define strncat(d, s, n) BANNED(strncat)
#define sprintf(...) BANNED(sprintf)
#define vsprintf(...) BANNED(vsprintf)
#define strtok(s, d) BANNED(strtok)
#define gmtime(t) BANNED(gmtime)
#define localtime(t) BANNED(localtime)
#define ctime(t) BANNED(ctime)
#define asctime(t) BANNED(asctime)
#define atoi(s) BANNED(atoi)
#define atol(s) BANNED(atol)
#define atoll(s) BANNED(atoll)

#endif
