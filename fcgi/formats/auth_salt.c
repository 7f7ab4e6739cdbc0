#include "formats/auth_cookie.h"

#include <string.h>

enum {
	LOGGED_IN_KEY = 4,
	LOGGED_IN_SALT = 5,
	SECRET_KEY = 8,
};

/* PHP's idea of a text that is not there. */
static bool
is_false(struct slice s)
{
	return s.n == 0 || slice_eq_str(s, "0");
}

/* wp_salt(): neither the sample's phrase nor a value used twice. */
static bool
usable(const struct auth_salt_source *s, size_t which)
{
	struct slice value = s->constants[which];

	if (is_false(value) ||
	    slice_eq_str(value, "put your unique phrase here"))
		return false;
	for (size_t i = 0; i < NELEMS(s->constants); i++)
		if (i != which && s->constants[i].p &&
		    slice_eq(s->constants[i], value))
			return false;
	return true;
}

enum rc
auth_salt(const struct auth_salt_source *s, char out[AUTH_SALT_MAX],
    struct slice *salt, struct err *err)
{
	struct slice key, part;

	/* SECRET_SALT counts for the scheme "auth" alone. */
	if (usable(s, LOGGED_IN_KEY))
		key = s->constants[LOGGED_IN_KEY];
	else if (usable(s, SECRET_KEY))
		key = s->constants[SECRET_KEY];
	else
		key = s->option_key;
	if (usable(s, LOGGED_IN_SALT))
		part = s->constants[LOGGED_IN_SALT];
	else
		part = s->option_salt;
	if (is_false(key) || is_false(part))
		return err_set(err, RC_REJECT,
		    "%s is neither defined to a value of its own nor is there "
		    "an option for it",
		    is_false(key) ? "LOGGED_IN_KEY" : "LOGGED_IN_SALT");
	if (key.n > AUTH_SALT_MAX || part.n > AUTH_SALT_MAX - key.n)
		return err_set(err, RC_REJECT,
		    "LOGGED_IN_KEY and LOGGED_IN_SALT are over %d bytes",
		    AUTH_SALT_MAX);
	memcpy(out, key.p, key.n);
	memcpy(out + key.n, part.p, part.n);
	*salt = slice_mem(out, key.n + part.n);
	return RC_OK;
}
