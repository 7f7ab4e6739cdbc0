/*
 * The smallest FastCGI program there is: answers 200 with nothing, on four
 * threads. What the ping benchmark is held against.
 *
 *   spawn-fcgi -n -s SOCKET -- ok
 */
#include <fcgiapp.h>
#include <pthread.h>

#define NTHREADS 4

static void *
serve(void *unused)
{
	FCGX_Request request;

	(void)unused;
	if (FCGX_InitRequest(&request, 0, 0) != 0)
		return NULL;
	while (FCGX_Accept_r(&request) == 0) {
		(void)FCGX_FPrintF(request.out,
		    "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n");
		FCGX_Finish_r(&request);
	}
	return NULL;
}

int
main(void)
{
	pthread_t threads[NTHREADS];

	if (FCGX_Init() != 0)
		return 1;
	for (size_t i = 0; i < NTHREADS; i++)
		if (pthread_create(&threads[i], NULL, serve, NULL) != 0)
			return 1;
	for (size_t i = 0; i < NTHREADS; i++)
		(void)pthread_join(threads[i], NULL);
	return 0;
}
