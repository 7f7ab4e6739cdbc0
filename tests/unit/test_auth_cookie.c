#include "formats/auth_cookie.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

Suite *auth_cookie_suite(void);

/*
 * Made by WordPress 6.1, 6.8, 6.9 and 7.0 with these secrets and the clock at
 * NOW, and accepted by them.
 */
#define NOW 1700000000
#define EXPIRES "1700172800"
#define TOKEN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ"
#define VERIFIER                                                               \
	"46a2199782c8827f0ac56f503be9d39efee97f40a736b92cc7d7c5f825cfd851"
#define LOGGED_IN "logged-in-key-0123456789logged-in-salt-abcdefghij"
#define AUTH "auth-key-0123456789auth-salt-abcdefghij"
#define SECURE_AUTH "secure-auth-key-0123456789secure-auth-salt-abcdefghij"
#define FALLBACK "dbkey-LKdbsalt-LS"

#define PHPASS "$P$B3OhrXGpDVvlGIZn0SCIAWnI4wS3bA."
#define WP_BCRYPT                                                              \
	"$wp$2y$10$HLTc493OXzyYgHNpyQcsguiAtB9Dp9XjCnPepd2HtndMcQskWz1Eu"
#define BCRYPT "$2y$10$HLTc493OXzyYgHNpyQcsguiAtB9Dp9XjCnPepd2HtndMcQskWz1Eu"
#define MD5_HASH "5f4dcc3b5aa765d61d8327deb882cf99"
#define ARGON2                                                                 \
	"$argon2id$v=19$m=65536,t=4,p=1$c29tZXNhbHRzb21lc2FsdA$"               \
	"Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyMTI"

#define HMAC_PHPASS                                                            \
	"c93145d2275ad2a4a6cb468bd512389040869bbd6c90592866b91c3fbd02ff4f"
#define HMAC_JANE                                                              \
	"3931bd642ed6789c6a8b127e3b74ab2c55153d092db69cf7ef02566897c2676a"
#define WIRE(login, hmac) login "%7C" EXPIRES "%7C" TOKEN "%7C" hmac

static const struct {
	const char *login, *hash, *salt, *hmac;
} vectors[] = {
	{ "admin", PHPASS, LOGGED_IN, HMAC_PHPASS },
	{ "admin", WP_BCRYPT, LOGGED_IN, /* since 6.8 */
	    "4a1b8c8a10a324147c3d3cff5e58e2cd"
	    "dd2f6a91f1f76cb6dd208920659cb9ae" },
	{ "admin", WP_BCRYPT, LOGGED_IN, /* up to 6.7 */
	    "5d96c6928a2235316f8b9ad4bba56bbd"
	    "d6d2a7708453e115b9b3da827b014049" },
	{ "admin", BCRYPT, LOGGED_IN,
	    "d1e8129049b023c793ef63b1864e153f"
	    "138f3b62b84706720a9919228bd6ae8b" },
	{ "admin", MD5_HASH, LOGGED_IN, /* since 6.8 */
	    "461df8bdb6e429452e419bf6955b8d15"
	    "d2da1f5bc7787a6a9561f8290b055a39" },
	{ "admin", MD5_HASH, LOGGED_IN, /* up to 6.7 */
	    "b24d2eca538a3a61707fc02df6b6c8ea"
	    "d7145a17802c648c7c1e3dd88a0d5eaa" },
	{ "admin", ARGON2, LOGGED_IN, /* since 6.8 */
	    "77f3c9993b7dc199bc9201a39a7df430"
	    "b6b875be0a39f9a0198b7261bf4cfd7b" },
	{ "admin", ARGON2, LOGGED_IN, /* up to 6.7 */
	    "983fcd8448764028c343197827f85ef7"
	    "10bc38386d45a3873b26ee7c8a68504b" },
	{ "admin", PHPASS, AUTH,
	    "b1cc6c508b394478ea82d707fd7ffe79"
	    "be84a5aa7fba8469892c27648f46d7b8" },
	{ "admin", PHPASS, SECURE_AUTH,
	    "02fd6593441d778d4d733f988f6159f0"
	    "c402deaef8eba1d864775cdc9bd4e0f4" },
	{ "admin", WP_BCRYPT, AUTH, /* since 6.8 */
	    "a8cf875a734a7576fc6469eead65ce40"
	    "ee3d096a7710537acf2b2a6bc5399c69" },
	{ "admin", WP_BCRYPT, SECURE_AUTH, /* since 6.8 */
	    "a379df7b815b23e890dc0b7d914d8246"
	    "afcfca9195039c18eb9804270e657598" },
	{ "admin", WP_BCRYPT, AUTH, /* up to 6.7 */
	    "246f75d0976b505c8dd0ff45eff1156e"
	    "84c3e1ae8319b690ecf1e1935d4214f3" },
	{ "admin", WP_BCRYPT, SECURE_AUTH, /* up to 6.7 */
	    "0f7dd05543ffc35e639349c00f7f3187"
	    "01c046924670facc28845f3fd8489a5c" },
	{ "jane.doe%40example.test", PHPASS, LOGGED_IN, HMAC_JANE },
	{ "admin", WP_BCRYPT, FALLBACK,
	    "4fb168dd0b04a0d3e208367304bc653a"
	    "002d27b4919a80b3726ec0a34e5668f5" },
};

static bool
accepts(struct slice encoded, const char *hash, const char *salt)
{
	struct auth_cookie c;

	return auth_cookie_parse(encoded, &c) == RC_OK &&
	       auth_cookie_verify(&c, slice_str(hash), slice_str(salt));
}

static void
wire(struct buf *out, const char *login, const char *hmac)
{
	buf_printf(out, "%s%%7C" EXPIRES "%%7C" TOKEN "%%7C%s", login, hmac);
}

START_TEST(a_cookie_that_wordpress_made_is_accepted)
{
	struct buf text = BUF_INIT(AUTH_COOKIE_MAX);

	wire(&text, vectors[_i].login, vectors[_i].hmac);
	ck_assert(
	    accepts(buf_slice(&text), vectors[_i].hash, vectors[_i].salt));
	buf_clear(&text);
}
END_TEST

/* Any row's cookie against any other row's user and secrets. */
START_TEST(a_cookie_is_refused_with_the_hash_or_secret_of_another)
{
	struct buf text = BUF_INIT(AUTH_COOKIE_MAX);

	wire(&text, vectors[_i].login, vectors[_i].hmac);
	for (size_t i = 0; i < NELEMS(vectors); i++) {
		bool same = strcmp(vectors[i].hash, vectors[_i].hash) == 0 &&
			    strcmp(vectors[i].salt, vectors[_i].salt) == 0;

		ck_assert_int_eq(
		    accepts(buf_slice(&text), vectors[i].hash, vectors[i].salt),
		    same);
	}
	ck_assert(!accepts(buf_slice(&text), "", vectors[_i].salt));
	ck_assert(!accepts(buf_slice(&text), vectors[_i].hash, ""));
	buf_clear(&text);
}
END_TEST

/* ---- parts ------------------------------------------------------------ */

#define SIXTY "123456789012345678901234567890123456789012345678901234567890"

static const struct {
	const char *text;
	bool parsed, accepted; /* as admin with PHPASS and LOGGED_IN */
} values[] = {
	{ WIRE("admin", HMAC_PHPASS), true, true },
	{ "admin|" EXPIRES "|" TOKEN "|" HMAC_PHPASS, true, true },
	{ "admin%7c" EXPIRES "|" TOKEN "%7C" HMAC_PHPASS, true, true },
	{ "%61dmin|" EXPIRES "|" TOKEN "|" HMAC_PHPASS, true, true },
	{ WIRE("ADMIN", HMAC_PHPASS), true, false },
	{ WIRE("admin+", HMAC_PHPASS), true, false },
	{ WIRE("admin%20", HMAC_PHPASS), true, false },
	{ "admin|1700172801|" TOKEN "|" HMAC_PHPASS, true, false },
	{ "admin|01700172800|" TOKEN "|" HMAC_PHPASS, true, false },
	{ "admin|" EXPIRES "|x" TOKEN "|" HMAC_PHPASS, true, false },
	{ "admin|" EXPIRES "|" TOKEN "|"
	  "C93145D2275AD2A4A6CB468BD512389040869BBD6C90592866B91C3FBD02FF4F",
	    false, false },
	{ "admin|" EXPIRES "|" TOKEN "|" HMAC_PHPASS "|", false, false },
	{ "admin|" EXPIRES "|" TOKEN "|" HMAC_PHPASS "|x", false, false },
	{ "|admin|" EXPIRES "|" TOKEN "|" HMAC_PHPASS, false, false },
	{ "admin|" EXPIRES "|" TOKEN, false, false },
	{ "|" EXPIRES "|" TOKEN "|" HMAC_PHPASS, false, false },
	{ "admin||" TOKEN "|" HMAC_PHPASS, false, false },
	{ "admin|" EXPIRES "||" HMAC_PHPASS, false, false },
	{ "admin|" EXPIRES "|" TOKEN "|", false, false },
	{ "admin|" EXPIRES "|" TOKEN "|" HMAC_PHPASS " ", false, false },
	{ "admin|" EXPIRES "|" TOKEN "|" HMAC_PHPASS "0", false, false },
	{ "\"" WIRE("admin", HMAC_PHPASS) "\"", false, false },
	{ "admin|-1|" TOKEN "|" HMAC_PHPASS, false, false },
	{ "admin|1e9|" TOKEN "|" HMAC_PHPASS, false, false },
	{ "admin|9223372036854775807|" TOKEN "|" HMAC_PHPASS, true, false },
	{ "admin|9223372036854775808|" TOKEN "|" HMAC_PHPASS, false, false },
	{ "admin|18446744073709551617|" TOKEN "|" HMAC_PHPASS, false, false },
	{ WIRE("O'Neil", HMAC_PHPASS), false, false },
	{ WIRE("O%22Neil", HMAC_PHPASS), false, false },
	{ WIRE("O%5CNeil", HMAC_PHPASS), false, false },
	{ WIRE("admin%00", HMAC_PHPASS), false, false },
	{ WIRE("admin%ff", HMAC_PHPASS), false, false },
	{ WIRE("%ed%a0%80", HMAC_PHPASS), false, false },
	{ WIRE("%d0%b8%d0%b2%d0%b0%d0%bd", HMAC_PHPASS), true, false },
	{ WIRE(SIXTY, HMAC_PHPASS), true, false },
	{ WIRE(SIXTY "1", HMAC_PHPASS), false, false },
	{ "", false, false },
	{ "|||", false, false },
	{ "%", false, false },
	{ "%7C%7C%7C", false, false },
};

START_TEST(a_value_is_four_parts_or_refused)
{
	struct slice text = slice_str(values[_i].text);
	struct auth_cookie c;

	ck_assert_msg(
	    (auth_cookie_parse(text, &c) == RC_OK) == values[_i].parsed, "%s",
	    values[_i].text);
	ck_assert_msg(accepts(text, PHPASS, LOGGED_IN) == values[_i].accepted,
	    "%s", values[_i].text);
}
END_TEST

static const struct {
	const char *wire, *login;
} decoded[] = {
	{ "jane.doe%40example.test", "jane.doe@example.test" },
	{ "jane%20doe", "jane doe" },
	{ "jane+doe", "jane doe" },
	{ "jane%2Bdoe", "jane+doe" },
	{ "jane%zz%4", "jane%zz%4" },
	{ "jane%", "jane%" },
	{ "%25%34%31", "%41" },
	{ "%c3%A9", "\xc3\xa9" },
};

START_TEST(a_value_is_decoded_as_php_does_once)
{
	struct buf text = BUF_INIT(AUTH_COOKIE_MAX);
	struct auth_cookie c;

	wire(&text, decoded[_i].wire, HMAC_PHPASS);
	ck_assert_int_eq(auth_cookie_parse(buf_slice(&text), &c), RC_OK);
	ck_assert_msg(slice_eq_str(c.login, decoded[_i].login), "%.*s",
	    SLICE_FMT(c.login));
	ck_assert(slice_eq_str(c.expiration, EXPIRES));
	ck_assert_int_eq(c.expires, 1700172800);
	ck_assert(slice_eq_str(c.token, TOKEN));
	ck_assert(slice_eq_str(c.hmac, HMAC_PHPASS));
	buf_clear(&text);
}
END_TEST

START_TEST(a_value_may_be_as_long_as_the_ceiling)
{
	struct buf text = BUF_INIT(2 * AUTH_COOKIE_MAX);
	struct auth_cookie *c = malloc(sizeof *c);
	const size_t rest = sizeof "admin|1|" - 1 + sizeof "|" HMAC_PHPASS - 1;

	ck_assert_ptr_nonnull(c);
	buf_put_str(&text, "admin|1|");
	while (text.n < AUTH_COOKIE_MAX - rest + sizeof "admin|1|" - 1)
		buf_put_char(&text, 't');
	buf_put_str(&text, "|" HMAC_PHPASS);
	ck_assert_uint_eq(text.n, AUTH_COOKIE_MAX);
	ck_assert_int_eq(auth_cookie_parse(buf_slice(&text), c), RC_OK);
	ck_assert(
	    !auth_cookie_verify(c, SLICE_LIT(PHPASS), SLICE_LIT(LOGGED_IN)));
	buf_put_char(&text, '0');
	ck_assert_int_eq(auth_cookie_parse(buf_slice(&text), c), RC_REJECT);
	free(c);
	buf_clear(&text);
}
END_TEST

/* ---- names and headers ------------------------------------------------ */

static const struct {
	const char *url, *name;
} names[] = {
	{ "http://example.test",
	    "wordpress_logged_in_ea5889fdb264b2a3524c2b184cf4e8ad" },
	{ "https://example.test",
	    "wordpress_logged_in_8bbaf43c73884aa6a7f86ea6ef6c645a" },
	{ "https://example.test/blog",
	    "wordpress_logged_in_9baf1a5b067eca552a20ef10bfdfefca" },
	{ "http://example.test/",
	    "wordpress_logged_in_776efc4d253fa1926025a2ad1d8564b8" },
	{ "", "wordpress_logged_in_" },
};

START_TEST(the_name_is_made_of_the_url)
{
	char out[64];

	auth_cookie_name(slice_str(names[_i].url), out);
	ck_assert_str_eq(out, names[_i].name);
}
END_TEST

/* What PHP 8.2 put into $_COOKIE['a_b'] for these headers; NULL: nothing. */
static const struct {
	const char *header, *value;
} headers[] = {
	{ "a_b=1", "1" },
	{ "x=0; a_b=1; y=2", "1" },
	{ "x=0;a_b=1;y=2", "1" },
	{ "a_b=1; a_b=2", "1" },
	{ "a_b=1;; ;", "1" },
	{ " \t a_b=1", "1" },
	{ "a_b=x+y%20z%zz%4", "x+y%20z%zz%4" },
	{ "a_b=\"q\"", "\"q\"" },
	{ "a_b=b=c", "b=c" },
	{ "a_b=x  ; y=1", "x  " },
	{ "a_b=", "" },
	{ "a_b", "" },
	{ "a_b;a_b=2", "" },
	{ "=v; a_b=1", "1" },
	{ "a.b=1;a_b=2", "1" },
	{ "a b=1;a_b=2", "1" },
	{ "a[b=1; a_b=2", "1" },
	{ "a_b[x]=1; a_b=2", "" },
	{ "a.b[x.y]=1; a_b=2", "" },
	{ "a_b[x]y=1; a_b=2", "" },
	{ "A_B=1", NULL },
	{ "a%5Fb=1", NULL },
	{ "a_b =1", NULL },
	{ "a_bc=1; xa_b=2; a_=3", NULL },
	{ "x=a_b=1", NULL },
	{ "a_b]=1", NULL },
	{ "a_b[=1", NULL },
	{ "[a_b]=1", NULL },
	{ "a_b,=1", NULL },
	{ ";", NULL },
	{ "", NULL },
};

START_TEST(a_header_is_split_as_php_does)
{
	struct slice out;
	bool found = auth_cookie_find(
	    slice_str(headers[_i].header), SLICE_LIT("a_b"), &out);

	ck_assert_msg(
	    found == (headers[_i].value != NULL), "%s", headers[_i].header);
	if (found)
		ck_assert_msg(slice_eq_str(out, headers[_i].value), "%s: %.*s",
		    headers[_i].header, SLICE_FMT(out));
}
END_TEST

START_TEST(what_comes_after_a_nul_or_a_thousand_cookies_is_not_seen)
{
	struct buf text = BUF_INIT(1 << 16);
	struct slice out;

	ck_assert(!auth_cookie_find(
	    SLICE_LIT("x=1\0; a_b=1"), SLICE_LIT("a_b"), &out));
	for (int i = 0; i < 999; i++)
		buf_put_str(&text, "x=1; ");
	buf_put_str(&text, "a_b=1");
	ck_assert(auth_cookie_find(buf_slice(&text), SLICE_LIT("a_b"), &out));
	buf_reset(&text);
	for (int i = 0; i < 1000; i++)
		buf_put_str(&text, "x=1; ");
	buf_put_str(&text, "a_b=1");
	ck_assert(!auth_cookie_find(buf_slice(&text), SLICE_LIT("a_b"), &out));
	buf_clear(&text);
}
END_TEST

/* ---- sessions --------------------------------------------------------- */

#define KEY "s:64:\"" VERIFIER "\";"
#define OTHER                                                                  \
	"s:64:\"56a2199782c8827f0ac56f503be9d39e"                              \
	"fee97f40a736b92cc7d7c5f825cfd851\";"
#define ALIVE "a:1:{s:10:\"expiration\";i:1700172800;}"

static const struct {
	const char *sessions;
	int64_t expires; /* 0: no live session */
} sessions[] = {
	{ "a:1:{" KEY "a:4:{s:10:\"expiration\";i:1700172800;s:2:\"ip\";s:11:"
	  "\"203.0.113.9\";s:2:\"ua\";s:13:\"TestAgent/1.0\";s:5:\"login\";"
	  "i:1700000000;}}",
	    1700172800 },
	{ "a:1:{" KEY ALIVE "}", 1700172800 },
	{ "a:2:{" OTHER ALIVE KEY "a:1:{s:10:\"expiration\";i:1700000009;}}",
	    1700000009 },
	{ "a:1:{" KEY "a:1:{s:10:\"expiration\";i:1700000000;}}", NOW },
	{ "a:1:{" KEY "i:1700000000;}", NOW },
	{ "a:1:{" KEY "i:1700172800;}", 1700172800 },
	{ "a:2:{" KEY "i:1;" KEY ALIVE "}", 1700172800 },
	{ "a:1:{" KEY "a:2:{s:1:\"x\";O:8:\"stdClass\":1:{s:1:\"y\";i:1;}"
	  "s:10:\"expiration\";i:1700172800;}}",
	    1700172800 },
	{ "a:2:{" KEY ALIVE KEY "i:1;}", 0 },
	{ "a:1:{" KEY "a:1:{s:10:\"expiration\";i:1699999999;}}", 0 },
	{ "a:1:{" KEY "i:1699999999;}", 0 },
	{ "a:1:{" OTHER ALIVE "}", 0 },
	{ "a:1:{" KEY "a:1:{s:10:\"Expiration\";i:1700172800;}}", 0 },
	{ "a:1:{" KEY "a:1:{s:10:\"expiration\";N;}}", 0 },
	{ "a:1:{" KEY "a:1:{s:10:\"expiration\";s:10:\"1700172800\";}}", 0 },
	{ "a:1:{" KEY "a:1:{s:10:\"expiration\";i:-1;}}", 0 },
	{ "a:1:{" KEY "a:0:{}}", 0 },
	{ "a:1:{" KEY "N;}", 0 },
	{ "a:1:{" KEY "b:1;}", 0 },
	{ "a:1:{" KEY "s:10:\"1700172800\";}", 0 },
	{ "a:1:{" KEY "O:8:\"stdClass\":1:{s:10:\"expiration\";i:1700172800;}"
	  "}",
	    0 },
	{ "a:2:{" OTHER ALIVE KEY "R:2;}", 0 },
	{ "a:1:{i:46;" ALIVE "}", 0 },
	{ "a:0:{}", 0 },
	{ "", 0 },
	{ "N;", 0 },
	{ "b:0;", 0 },
	{ "i:1700172800;", 0 },
	{ "s:10:\"1700172800\";", 0 },
	{ "a:1:{" KEY ALIVE, 0 },
	{ "a:2:{" KEY ALIVE "}", 0 },
	{ "a:1:{" KEY ALIVE "}x", 0 },
	{ "a:1:{" KEY "a:1:{s:10:\"expiration\";i:1700172800;}", 0 },
	{ "a:1:{" KEY "a:2:{s:10:\"expiration\";i:1700172800;s:2:\"x\";}}", 0 },
	{ "a:99999999999:{" KEY ALIVE "}", 0 },
};

static void
parse_admin(struct auth_cookie *c)
{
	ck_assert_int_eq(
	    auth_cookie_parse(SLICE_LIT(WIRE("admin", HMAC_PHPASS)), c), RC_OK);
}

START_TEST(a_session_is_alive_or_not)
{
	struct auth_cookie c;
	int64_t expires = 0;
	bool alive;

	parse_admin(&c);
	alive = auth_session_alive(
	    &c, slice_str(sessions[_i].sessions), NOW, &expires);
	ck_assert_msg(
	    alive == (sessions[_i].expires > 0), "%s", sessions[_i].sessions);
	ck_assert_int_eq(expires, sessions[_i].expires);
}
END_TEST

START_TEST(sessions_that_are_missing_deep_or_large_are_none)
{
	struct buf text = BUF_INIT(4 << 20);
	struct auth_cookie c;
	int64_t expires;

	parse_admin(&c);
	ck_assert(!auth_session_alive(&c, SLICE_NONE, NOW, &expires));
	for (unsigned depth = 29; depth <= 31; depth++) {
		buf_reset(&text);
		buf_put_str(&text, "a:1:{" KEY "a:2:{s:1:\"x\";");
		for (unsigned i = 0; i < depth; i++)
			buf_put_str(&text, "a:1:{i:0;");
		buf_put_str(&text, "N;");
		for (unsigned i = 0; i < depth; i++)
			buf_put_char(&text, '}');
		buf_put_str(&text, "s:10:\"expiration\";i:1700172800;}}");
		ck_assert_int_eq(
		    auth_session_alive(&c, buf_slice(&text), NOW, &expires),
		    depth <= 30);
	}
	buf_reset(&text);
	buf_put_str(&text, "a:2:{i:0;s:1048576:\"");
	for (size_t i = 0; i < 1 << 20; i++)
		buf_put_char(&text, 'x');
	buf_put_str(&text, "\";" KEY ALIVE "}");
	ck_assert(!auth_session_alive(&c, buf_slice(&text), NOW, &expires));
	buf_clear(&text);
}
END_TEST

/* ---- secrets ---------------------------------------------------------- */

#define PHRASE "put your unique phrase here"

/* AUTH_KEY, AUTH_SALT, SECURE_AUTH_..., LOGGED_IN_..., NONCE_..., SECRET_... */
static const struct {
	const char *constants[10], *option_key, *option_salt;
	const char *salt; /* NULL: none */
	const char *words;
} salts[] = {
	{ .constants = { "ak", "as", "sk", "ss", "lk", "ls", "nk", "ns" },
	    .salt = "lkls" },
	{ .constants = { [4] = "lk", [5] = "ls" },
	    .option_key = "ok",
	    .option_salt = "os",
	    .salt = "lkls" },
	{ .constants = { [4] = PHRASE, [5] = "dup", [8] = "dup" },
	    .option_key = "dbkey-LK",
	    .option_salt = "dbsalt-LS",
	    .salt = FALLBACK },
	{ .constants = { PHRASE, PHRASE, PHRASE, PHRASE, PHRASE, PHRASE, PHRASE,
	      PHRASE },
	    .option_key = "ok",
	    .option_salt = "os",
	    .salt = "okos" },
	{ .constants = { [4] = "same", [5] = "same" },
	    .option_key = "ok",
	    .option_salt = "os",
	    .salt = "okos" },
	{ .constants = { [0] = "lk", [4] = "lk", [5] = "ls" },
	    .option_key = "ok",
	    .salt = "okls" },
	{ .constants = { [5] = "ls", [8] = "secret" }, .salt = "secretls" },
	{ .constants = { [4] = "lk", [5] = "ls", [8] = "secret" },
	    .salt = "lkls" },
	{ .constants = { [4] = "", [5] = "0", [8] = "secret" },
	    .option_key = "ok",
	    .option_salt = "os",
	    .salt = "secretos" },
	/* SECRET_SALT is for the scheme auth. */
	{ .constants = { [4] = "lk", [9] = "secret" },
	    .option_salt = "os",
	    .salt = "lkos" },
	{ .constants = { [4] = "lk", [9] = "secret" },
	    .words = "LOGGED_IN_SALT" },
	{ .constants = { [5] = "ls" },
	    .option_key = "0",
	    .words = "LOGGED_IN_KEY" },
	{ .constants = { [5] = "ls" },
	    .option_key = "",
	    .words = "LOGGED_IN_KEY" },
	{ .words = "LOGGED_IN_KEY" },
};

START_TEST(secrets_come_from_constants_or_options)
{
	struct auth_salt_source source;
	char out[AUTH_SALT_MAX];
	struct err err = ERR_INIT;
	struct slice salt;
	enum rc rc;

	for (size_t i = 0; i < NELEMS(source.constants); i++)
		source.constants[i] = slice_str(salts[_i].constants[i]);
	source.option_key = slice_str(salts[_i].option_key);
	source.option_salt = slice_str(salts[_i].option_salt);
	rc = auth_salt(&source, out, &salt, &err);
	if (salts[_i].salt) {
		ck_assert_int_eq(rc, RC_OK);
		ck_assert(slice_eq_str(salt, salts[_i].salt));
	} else {
		ck_assert_int_eq(rc, RC_REJECT);
		ck_assert_ptr_nonnull(strstr(err.text, salts[_i].words));
	}
}
END_TEST

START_TEST(secrets_over_the_ceiling_are_refused)
{
	static char half[AUTH_SALT_MAX / 2 + 2];
	struct auth_salt_source source = { .option_key = SLICE_LIT("") };
	char out[AUTH_SALT_MAX];
	struct err err = ERR_INIT;
	struct slice salt;

	memset(half, 'x', sizeof half - 1);
	half[0] = 'y';
	source.constants[4] = slice_mem(half, AUTH_SALT_MAX / 2);
	source.constants[5] = slice_mem(half + 1, AUTH_SALT_MAX / 2);
	ck_assert_int_eq(auth_salt(&source, out, &salt, &err), RC_OK);
	ck_assert_uint_eq(salt.n, AUTH_SALT_MAX);
	source.constants[4].n++;
	ck_assert_int_eq(auth_salt(&source, out, &salt, &err), RC_REJECT);
	ck_assert_ptr_null(strstr(err.text, "xxx"));
}
END_TEST

Suite *
auth_cookie_suite(void)
{
	Suite *s = suite_create("auth_cookie");
	TCase *tc = tcase_create("auth_cookie");

	tcase_add_loop_test(
	    tc, a_cookie_that_wordpress_made_is_accepted, 0, NELEMS(vectors));
	tcase_add_loop_test(tc,
	    a_cookie_is_refused_with_the_hash_or_secret_of_another, 0,
	    NELEMS(vectors));
	tcase_add_loop_test(
	    tc, a_value_is_four_parts_or_refused, 0, NELEMS(values));
	tcase_add_loop_test(
	    tc, a_value_is_decoded_as_php_does_once, 0, NELEMS(decoded));
	tcase_add_test(tc, a_value_may_be_as_long_as_the_ceiling);
	tcase_add_loop_test(tc, the_name_is_made_of_the_url, 0, NELEMS(names));
	tcase_add_loop_test(
	    tc, a_header_is_split_as_php_does, 0, NELEMS(headers));
	tcase_add_test(
	    tc, what_comes_after_a_nul_or_a_thousand_cookies_is_not_seen);
	tcase_add_loop_test(tc, a_session_is_alive_or_not, 0, NELEMS(sessions));
	tcase_add_test(tc, sessions_that_are_missing_deep_or_large_are_none);
	tcase_add_loop_test(
	    tc, secrets_come_from_constants_or_options, 0, NELEMS(salts));
	tcase_add_test(tc, secrets_over_the_ceiling_are_refused);
	suite_add_tcase(s, tc);
	return s;
}
