#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H

#include <stdint.h>

#include "base/clock.h"

/* What a service manager is told: sd_notify(3) without its library. */

/* Send a state ("READY=1"); nothing happens without NOTIFY_SOCKET. */
void notify_send(const char *state);
/* How often WATCHDOG=1 is to be sent, half of what was asked for; 0: not. */
mono_ms notify_watchdog_ms(void);

#endif
