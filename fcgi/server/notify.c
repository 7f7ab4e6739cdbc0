#include "server/notify.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/env.h"
#include "base/slice.h"

void
notify_send(const char *state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *path = env_get("NOTIFY_SOCKET");
	size_t len = path ? strlen(path) : 0;
	int fd;

	if (len < 2 || len >= sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, path, len);
	/* A name in the abstract namespace. */
	if (path[0] == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL,
	    (const struct sockaddr *)&addr,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	close(fd);
}

mono_ms
notify_watchdog_ms(void)
{
	const char *usec = env_get("WATCHDOG_USEC"),
		   *pid = env_get("WATCHDOG_PID");
	uint64_t n;

	if (pid && (!slice_u64(slice_str(pid), &n) || n != (uint64_t)getpid()))
		return 0;
	if (!usec || !slice_u64(slice_str(usec), &n) || n > INT64_MAX)
		return 0;
	return (mono_ms)(n / 2000);
}
