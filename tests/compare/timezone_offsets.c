/*
 * The C side of timezone.php: lines "ZONE UNIX" in, the offset of each out.
 */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "formats/timezone.h"

#define ZONE_MAX_LEN (1 << 20)

static struct timezone *
load(const char *name)
{
	struct buf bytes = BUF_INIT(ZONE_MAX_LEN);
	struct timezone *tz = NULL;
	struct err err = ERR_INIT;
	char path[512], chunk[4096];
	size_t n;
	FILE *f;

	snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
	f = fopen(path, "rb");
	if (f) {
		while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
			buf_put(&bytes, chunk, n);
		fclose(f);
	}
	if (timezone_parse(buf_slice(&bytes), &tz, &err) != RC_OK)
		fprintf(stderr, "%s: %s\n", path, err.text);
	buf_clear(&bytes);
	return tz;
}

int
main(void)
{
	char line[256], zone[256] = "";
	struct timezone *tz = NULL;

	while (fgets(line, sizeof line, stdin)) {
		struct slice rest = slice_trim(slice_str(line));
		size_t blank = slice_find(rest, ' ');
		int64_t when;

		if (!slice_i64(slice_from(rest, blank + 1), &when))
			return 1;
		line[blank] = '\0';
		if (strcmp(line, zone) != 0) {
			timezone_free(tz);
			snprintf(zone, sizeof zone, "%s", line);
			tz = load(zone);
			if (!tz)
				return 1;
		}
		printf("%d\n", (int)timezone_offset(tz, when));
	}
	timezone_free(tz);
	return 0;
}
