#include "server/background.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/errno_text.h"

/* sysexits.h: EX_SOFTWARE; the child ended without a word. */
#define EXIT_BUG 70

enum rc
background_enter(int *fd, struct err *err)
{
	unsigned char status = EXIT_BUG;
	int ends[2], null;
	pid_t pid;

	if (pipe(ends) != 0)
		return err_set_code(
		    err, RC_FATAL, errno, "pipe: %s", ERRNO_TEXT(errno));
	pid = fork();
	if (pid < 0) {
		close(ends[0]);
		close(ends[1]);
		return err_set_code(
		    err, RC_FATAL, errno, "fork: %s", ERRNO_TEXT(errno));
	}
	if (pid > 0) {
		close(ends[1]);
		(void)!read(ends[0], &status, 1);
		_exit(status);
	}
	close(ends[0]);
	(void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
	(void)setsid();
	/* Standard error stays: that is where the log goes. */
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
		close(null);
	}
	*fd = ends[1];
	return RC_OK;
}

void
background_done(int fd, int exit_status)
{
	const unsigned char status = (unsigned char)exit_status;

	if (fd < 0)
		return;
	(void)!write(fd, &status, 1);
	close(fd);
}
