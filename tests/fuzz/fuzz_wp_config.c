/* Any bytes as wp-config.php: what is defined first stays, html changes
 * nothing. */
#include "formats/wp_config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX_LEN (64 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *
some_env(void *arg, const char *name)
{
	(void)arg;
	return *name == 'S' ? "set" : NULL;
}

static const struct wp_config_env env = { .getenv = some_env };

static enum rc
read_after(const char *head, struct slice tail, struct wp_config *c)
{
	struct buf text = BUF_INIT(2 * FILE_MAX_LEN);
	struct err err = ERR_INIT;
	enum rc rc;

	buf_put_str(&text, head);
	buf_put_slice(&text, tail);
	rc =
	    wp_config_read(c, buf_slice(&text), "/w/wp-config.php", &env, &err);
	if (rc != RC_OK && (rc != RC_REJECT || !*err.text))
		abort();
	buf_clear(&text);
	return rc;
}

static void
same_value(
    const struct wp_config *a, const struct wp_config *b, const char *name)
{
	const struct wp_config_value *x = wp_config_find(a, name);
	const struct wp_config_value *y = wp_config_find(b, name);
	struct buf s = BUF_INIT(FILE_MAX_LEN), t = BUF_INIT(FILE_MAX_LEN);

	if (!x != !y || (x && x->type != y->type))
		abort();
	if (x && wp_config_text(x, &s) &&
	    (!wp_config_text(y, &t) || !slice_eq(buf_slice(&s), buf_slice(&t))))
		abort();
	buf_clear(&s);
	buf_clear(&t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_mem((const char *)data, size);
	struct wp_config *plain = wp_config_new(), *html = wp_config_new();
	struct wp_config *first = wp_config_new();
	const struct wp_config_value *v;
	enum rc rc;

	if (size <= FILE_MAX_LEN) {
		rc = read_after("", in, plain);
		if (read_after("text <?php ?>", in, html) != rc)
			abort();
		if (rc == RC_OK) {
			same_value(plain, html, "DB_NAME");
			same_value(plain, html, "$table_prefix");
		}
		(void)read_after(
		    "<?php define('DB_NAME', 'first') ?>", in, first);
		v = wp_config_find(first, "DB_NAME");
		if (v && strcmp(v->text.p, "first") != 0)
			abort();
	}
	wp_config_free(plain);
	wp_config_free(html);
	wp_config_free(first);
	return 0;
}
