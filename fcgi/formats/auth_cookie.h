#ifndef FORMATS_AUTH_COOKIE_H
#define FORMATS_AUTH_COOKIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

/*
 * WordPress' log-in cookie (wp_validate_auth_cookie(), wp_parse_auth_cookie(),
 * WP_Session_Tokens). Pure. "Recognised" never means "logged in": a plugin may
 * say otherwise, and PHP decides then.
 */

#define AUTH_COOKIE_MAX 4096 /* of the encoded value */
#define AUTH_LOGIN_MAX 60    /* characters; bytes are four times that */

/* "wordpress_logged_in_" and the MD5 of a URL; `out` holds 64 bytes. */
void auth_cookie_name(struct slice siteurl, char out[64]);

/* The value of the first cookie of that name in a Cookie header, as PHP
 * splits it, still encoded; empty for name[x]=y, which PHP makes an array.
 * False: there is none. */
MUSTUSE bool auth_cookie_find(
    struct slice header, struct slice name, struct slice *out);

struct auth_cookie {
	char text[AUTH_COOKIE_MAX]; /* behind the slices */
	struct slice login, expiration, token, hmac;
	int64_t expires; /* the number of `expiration` */
};
/* Decode and split. RC_REJECT: not four parts, an empty one, too long, a byte
 * that PHP would add slashes to, a login that is not UTF-8, an expiration that
 * is not digits, an hmac that is not 64 lower-case hex digits. */
MUSTUSE enum rc auth_cookie_parse(
    struct slice encoded, struct auth_cookie *out);

/*
 * auth_cookie_verify - is the hmac that of this login, expiration and token?
 * Both fragments of the hash that WordPress versions use are tried.
 * `user_pass` "" (an unknown login) costs the same and is false. Constant
 * time in the hmac.
 */
MUSTUSE bool auth_cookie_verify(
    const struct auth_cookie *c, struct slice user_pass, struct slice salt);

/*
 * auth_session_alive - does `sessions` (usermeta session_tokens as stored; p
 * NULL: no row) hold a live record for the cookie's token at `now`?
 * *expires: the record's.
 */
MUSTUSE bool auth_session_alive(const struct auth_cookie *c,
    struct slice sessions, int64_t now, int64_t *expires);

/*
 * wp_salt('logged_in') from constants and options; p NULL: not defined. Core
 * also passes over the sample's phrase in the site's language, which cannot be
 * known here. Whoever left it in one constant left it in all of them, so that
 * each is passed over as a value used twice.
 */
struct auth_salt_source {
	/* {AUTH, SECURE_AUTH, LOGGED_IN, NONCE, SECRET} x {KEY, SALT}, in that
	 * order: AUTH_KEY, AUTH_SALT, SECURE_AUTH_KEY, ... */
	struct slice constants[10];
	struct slice option_key, option_salt; /* logged_in_key, _salt */
};
#define AUTH_SALT_MAX 1024
/* RC_REJECT: a part is to be found nowhere (core would make one up). */
MUSTUSE enum rc auth_salt(const struct auth_salt_source *s,
    char out[AUTH_SALT_MAX], struct slice *salt, struct err *err);

#endif
