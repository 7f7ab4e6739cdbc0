#include "formats/wp_config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define DYNAMIC "(dynamic)"
#define ARRAY "(array)"
#define NONE "(none)"

static const char *
fake_env(void *arg, const char *name)
{
	(void)arg;
	if (strcmp(name, "SET") == 0)
		return "from env";
	if (strcmp(name, "EMPTY") == 0)
		return "";
	return NULL;
}

static bool
fake_include(void *arg, const char *path, struct slice *out)
{
	(void)arg;
	if (strcmp(path, "/srv/wp/salts.php") == 0)
		*out = SLICE_LIT("<?php define('X', 'included');");
	else if (strcmp(path, "/srv/wp/self.php") == 0)
		*out = SLICE_LIT("<?php require __DIR__ . '/self.php';");
	else if (strcmp(path, "/srv/wp/return.php") == 0)
		*out = SLICE_LIT("<?php return; define('X', 1);");
	else
		return false;
	return true;
}

static const struct wp_config_env env = {
	.getenv = fake_env,
	.include = fake_include,
};

/* X of a file, as text, in the way of an answer. */
static void
check_name(const char *php, const char *name, const char *expected)
{
	struct wp_config *c = wp_config_new();
	struct buf text = BUF_INIT(4096);
	struct err err = ERR_INIT;
	const struct wp_config_value *v;
	const char *got;

	wp_config_define(c, "ABSPATH", "/srv/wp/");
	ck_assert_msg(wp_config_read(c, slice_str(php), "/srv/wp/wp-config.php",
			  &env, &err) == RC_OK,
	    "%s: %s", php, err.text);
	v = wp_config_find(c, name);
	if (!v)
		got = NONE;
	else if (v->type == WP_CONFIG_ARRAY)
		got = ARRAY;
	else if (!wp_config_text(v, &text))
		got = DYNAMIC;
	else
		got = buf_str(&text);
	ck_assert_msg(
	    strcmp(got, expected) == 0, "%s: %s, not %s", php, got, expected);
	buf_clear(&text);
	wp_config_free(c);
}

/* Each begins with <?php and a blank. */
static const struct {
	const char *php, *x;
} rows[] = {
	/* spellings of a definition */
	{ "define('X', 'v');", "v" },
	{ "define( \"X\" , \"v\" ) ;", "v" },
	{ "DEFINE('X', 'v', true);", "v" },
	{ "\\define('X', 'v');", "v" },
	{ "const X = 'v';", "v" },
	{ "const A = 1, X = 'v', B = 2;", "v" },
	{ "define('X', 'v') ?>", "v" },
	{ "?> text define('X', 'no') <?php define('X', 'v');", "v" },
	{ "?><?= define('X', 'v') ?>", "v" },
	{ "@define('X', 'v');", "v" },
	{ "{ define('X', 'v'); }", "v" },
	{ "$y = define('X', 'v');", "v" },
	/* the first wins */
	{ "define('X', 'a'); define('X', 'b');", "a" },
	{ "const X = 'a'; define('X', 'b');", "a" },
	{ "define('x', 'a');", NONE },
	/* comments */
	{ "# define('X', 1);\n// define('X', 2);\n/* define('X', 3); */"
	  "define('X', 4);",
	    "4" },
	{ "# ?> <?php define('X', 5);", "5" },
	{ "/** it's */ define(/* ' */ 'X', // '\n 6 # \"\n);", "6" },
	{ "#[Attribute('X')]\nfunction f() {} define('X', 7);", "7" },
	/* strings */
	{ "define('X', 'it\\'s \\\\ \\n $y');", "it's \\ \\n $y" },
	{ "define('X', \"a\\tb\\x41\\101\\u{e9}\\$y \\q \\\"\");",
	    "a\tbAA\xC3\xA9$y \\q \"" },
	{ "define('X', \"\\u{20AC}\\u{1F600}\\e\\v\\f\\r\\n\");",
	    "\xE2\x82\xAC\xF0\x9F\x98\x80\033\v\f\r\n" },
	{ "define('X', \"a $b\");", DYNAMIC },
	{ "define('X', \"a {$b}\");", DYNAMIC },
	{ "define('X', \"a ${b}\");", DYNAMIC },
	{ "define('X', \"5$ and $ 5\");", "5$ and $ 5" },
	{ "define('X', `ls`);", DYNAMIC },
	{ "define('X', '');", "" },
	/* heredoc, nowdoc */
	{ "$y = <<<EOT\ndefine('X', 'no'); ' \"\nEOT;\ndefine('X', 'v');",
	    "v" },
	{ "$y = <<<'EOT'\n  EOTX\n  EOT;\ndefine('X', 'v');", "v" },
	{ "define('X', <<<\"EOT\"\nabc\nEOT\n);", DYNAMIC },
	/* numbers, booleans, null */
	{ "define('X', 0x1F);", "31" },
	{ "define('X', 0b101);", "5" },
	{ "define('X', 017);", "15" },
	{ "define('X', 0o17);", "15" },
	{ "define('X', 1_000_000);", "1000000" },
	{ "define('X', -5);", "-5" },
	{ "define('X', 1.5);", "1.5" },
	{ "define('X', .5e1);", "5" },
	{ "define('X', 0.1);", "0.1" },
	{ "define('X', 99999999999999999999);", "1.0E+20" },
	{ "define('X', true);", "1" },
	{ "define('X', FALSE);", "" },
	{ "define('X', null);", "" },
	/* operators */
	{ "define('X', 'a' . \"b\" . 3 . true . null . 1.5);", "ab311.5" },
	{ "define('X', ('a' . ('b')));", "ab" },
	{ "define('X', 60 * 60 + 1);", "3601" },
	{ "define('X', 1 + 2 . 'x');", "3x" },
	{ "define('X', 9223372036854775807 + 1);", DYNAMIC },
	{ "define('X', 2048 | 64);", "2112" },
	{ "define('X', MYSQLI_CLIENT_SSL | "
	  "MYSQLI_CLIENT_SSL_DONT_VERIFY_SERVER_CERT);",
	    "2112" },
	{ "define('X', 7 / 2);", DYNAMIC },
	{ "define('X', true ? 'a' : 'b');", "a" },
	{ "define('X', '0' ?: 'zero');", "zero" },
	{ "define('X', f() ? 'a' : 'b');", DYNAMIC },
	{ "define('X', null ?? 'b');", "b" },
	{ "define('X', 'a' === 'a' && !false);", "1" },
	{ "define('X', 'a' !== 'a' || false);", "" },
	{ "define('X', 'a' == 'a');", DYNAMIC },
	{ "define('X', (bool) 'yes');", "1" },
	{ "define('X', (string) 12);", "12" },
	{ "define('X', (int) '12');", DYNAMIC },
	/* the environment */
	{ "define('X', getenv('SET'));", "from env" },
	{ "define('X', getenv('UNSET'));", "" },
	{ "define('X', getenv('UNSET') ?: 'y');", "y" },
	{ "define('X', getenv('EMPTY') ?: 'y');", "y" },
	{ "define('X', getenv('SET') ?: 'y');", "from env" },
	{ "define('X', $_ENV['SET'] ?? 'y');", "from env" },
	{ "define('X', $_ENV[\"UNSET\"] ?? 'y');", "y" },
	{ "define('X', $_ENV['A'] ?? $_ENV['SET'] ?? 'y');", "from env" },
	{ "define('X', $_SERVER['SET'] ?? 'y');", DYNAMIC },
	{ "define('X', getenv_docker('UNSET', 'y'));", "y" },
	{ "define('X', getenv_docker('SET', 'y'));", "from env" },
	{ "define('X', getenv($name));", DYNAMIC },
	{ "define('X', (bool) getenv('UNSET'));", "" },
	/* constants and paths */
	{ "define('A', 'a'); define('X', A . 'b');", "ab" },
	{ "define('A', 'a'); define('X', constant('A'));", "a" },
	{ "define('X', UNHEARD_OF);", DYNAMIC },
	{ "define('X', A::B);", DYNAMIC },
	{ "define('X', __DIR__ . '/c');", "/srv/wp/c" },
	{ "define('X', __FILE__);", "/srv/wp/wp-config.php" },
	{ "define('X', dirname(__FILE__));", "/srv/wp" },
	{ "define('X', dirname(__FILE__, 2) . '/c');", "/srv/c" },
	{ "define('X', dirname(dirname(__DIR__)));", "/" },
	{ "define('X', ABSPATH . 'c');", "/srv/wp/c" },
	/* arrays */
	{ "define('X', array('a' => 1, 'b' => array(1, 2), 3));", ARRAY },
	{ "define('X', [1, 'k' => [true, null,],]);", ARRAY },
	{ "define('X', [f() => 1]);", DYNAMIC },
	{ "define('X', array('a' => $b->c()));", ARRAY },
	/* what only PHP knows */
	{ "define('X', f('x'));", DYNAMIC },
	{ "define('X', new A('x', [1]));", DYNAMIC },
	{ "define('X', $a->b['c']);", DYNAMIC },
	{ "define('X', A::b(1)['c']);", DYNAMIC },
	{ "define('X', fn($x) => 3);", DYNAMIC },
	{ "define('X', function () { return 'y'; });", DYNAMIC },
	{ "define('X', match(1) { 1 => 'a' });", DYNAMIC },
	{ "define('X', 'a'['b']);", DYNAMIC },
	{ "A::define('X', 'v');", DYNAMIC },
	/* conditions */
	{ "if (!defined('X')) define('X', 'v');", "v" },
	{ "if ( ! defined( 'X' ) ) { define('X', 'v'); }", "v" },
	{ "if (!defined('X')): define('X', 'v'); endif;", "v" },
	{ "defined('X') || define('X', 'v');", "v" },
	{ "defined('X') or define('X', 'v');", "v" },
	{ "!defined('X') && define('X', 'v');", "v" },
	{ "define('X', 'a'); defined('X') || define('X', 'v');", "a" },
	{ "if (defined('ABSPATH')) define('X', 'a'); else define('X', 'b');",
	    "a" },
	{ "if (getenv('SET') === 'from env') { define('X', 'a'); } else { "
	  "define('X', 'b'); }",
	    "a" },
	{ "if (false) define('X', 'a'); elseif (true) define('X', 'b'); else "
	  "define('X', 'c');",
	    "b" },
	{ "if (false): define('X', 'a'); else: define('X', 'b'); endif;", "b" },
	{ "if (f()) define('X', 'a'); else define('X', 'b');", DYNAMIC },
	{ "if ($_SERVER['HTTP_HOST'] == 'a') { define('X', 'a'); } "
	  "define('X', 'b');",
	    DYNAMIC },
	{ "if (f()) { define('Y', 'a'); } define('X', 'b');", "b" },
	{ "if (f()) { exit; } define('X', 'b');", "b" },
	{ "foreach ($a as $b) { define('X', $b); }", DYNAMIC },
	{ "while (f()): define('X', 1); endwhile;", DYNAMIC },
	{ "switch ($a) { case 'x': define('X', 1); break; default: }",
	    DYNAMIC },
	{ "try { define('X', 1); } catch (E $e) { } finally { }", DYNAMIC },
	{ "do { define('X', 1); } while (false);", DYNAMIC },
	{ "function f() { define('X', 1); } class A { const X = 2; }", NONE },
	{ "$f = function () { define('X', 1); };", DYNAMIC },
	/* ends */
	{ "exit; define('X', 1);", NONE },
	{ "die('x'); define('X', 1);", NONE },
	{ "return; define('X', 1);", NONE },
	{ "require_once ABSPATH . 'wp-settings.php'; define('X', 1);", NONE },
	{ "__halt_compiler(); define('X', 1); '", NONE },
	/* includes */
	{ "require __DIR__ . '/salts.php';", "included" },
	{ "require_once(ABSPATH . 'salts.php'); define('X', 'late');",
	    "included" },
	{ "require __DIR__ . '/return.php'; define('X', 'v');", "v" },
	{ "if (f()) require __DIR__ . '/salts.php';", DYNAMIC },
	{ "require $f; define('X', 'v');", "v" },
	{ "require $f; if (!defined('X')) define('X', 'v');", DYNAMIC },
	{ "require '/not/there.php'; defined('X') || define('X', 'v');",
	    DYNAMIC },
	{ "require __DIR__ . '/self.php'; define('X', 'v');", "v" },
	/* variables into constants */
	{ "$a = 'v'; define('X', $a);", "v" },
	{ "$a = 'v'; f($a); define('X', $a);", DYNAMIC },
	{ "$a = 'v'; $a++; define('X', $a);", DYNAMIC },
	{ "$a = ['b' => 1]; define('X', $a['b']);", DYNAMIC },
	{ "define($name, 1); defined('X') || define('X', 'v');", DYNAMIC },
	/* what is broken goes by */
	{ "define('X'); define('X', 'v');", "v" },
	{ "define(; define('X', 'v');", DYNAMIC },
	{ "}}} define('X', 'v');", "v" },
	{ "]); define('X', 'v');", "v" },
};

START_TEST(a_constant_has_the_value_php_gives_it_or_is_dynamic)
{
	struct buf php = BUF_INIT(4096);

	buf_printf(&php, "<?php %s", rows[_i].php);
	check_name(buf_str(&php), "X", rows[_i].x);
	buf_clear(&php);
}
END_TEST

static const struct {
	const char *php, *prefix;
} prefix_rows[] = {
	{ "$table_prefix = 'wp_';", "wp_" },
	{ "$table_prefix = 'a_'; $table_prefix = 'b_';", "b_" },
	{ "$table_prefix = 'a_'; $table_prefix .= 'b_';", "a_b_" },
	{ "$table_prefix = getenv('UNSET') ?: 'x_';", "x_" },
	{ "if (!isset($table_prefix)) { $table_prefix = 'wp_'; }", "wp_" },
	{ "$table_prefix = 'a_'; if (!isset($table_prefix)) { $table_prefix = "
	  "'wp_'; }",
	    "a_" },
	{ "$table_prefix ?\?= 'wp_';", "wp_" },
	{ "$a = $table_prefix = 'wp_';", "wp_" },
	{ "if (f()) $table_prefix = 'a_';", DYNAMIC },
	{ "$table_prefix = 'a_'; if (f()) $table_prefix = 'b_';", DYNAMIC },
	{ "$table_prefix = f();", DYNAMIC },
	{ "$table_prefix = 'a_'; unset($table_prefix);", DYNAMIC },
	{ "$table_prefix = 'a_'; list($table_prefix) = f();", DYNAMIC },
	{ "$table_prefix = 'a_'; foreach ([1] as $table_prefix) {}", DYNAMIC },
	{ "$x = 1;", NONE },
};

START_TEST(the_last_assignment_of_a_variable_holds)
{
	struct buf php = BUF_INIT(4096);

	buf_printf(&php, "<?php\n%s", prefix_rows[_i].php);
	check_name(buf_str(&php), "$table_prefix", prefix_rows[_i].prefix);
	buf_clear(&php);
}
END_TEST

static const struct {
	const char *php, *words;
} bad_rows[] = {
	{ "<?php\n\ndefine('X", "line 3: the string does not end" },
	{ "<?php\n/* x", "line 2: the comment does not end" },
	{ "<?php $a = <<<EOT\nx", "line 1: the heredoc does not end" },
	{ "<?php <<<;\n", "line 1: the heredoc has no name" },
};

START_TEST(what_does_not_end_is_refused_with_its_line)
{
	struct wp_config *c = wp_config_new();
	struct err err = ERR_INIT;

	ck_assert_int_eq(
	    wp_config_read(c, slice_str(bad_rows[_i].php), "/x", NULL, &err),
	    RC_REJECT);
	ck_assert_str_eq(err.text, bad_rows[_i].words);
	wp_config_free(c);
}
END_TEST

static enum rc
read_repeated(const char *unit, size_t times)
{
	struct wp_config *c = wp_config_new();
	struct buf php = BUF_INIT(1 << 20);
	struct err err = ERR_INIT;
	enum rc rc;

	buf_put_str(&php, "<?php define('X', ");
	for (size_t i = 0; i < times; i++)
		buf_put_str(&php, unit);
	rc = wp_config_read(c, buf_slice(&php), "/x", NULL, &err);
	buf_clear(&php);
	wp_config_free(c);
	return rc;
}

START_TEST(deep_and_large_files_are_refused_and_long_ones_read)
{
	ck_assert_int_eq(read_repeated("(", 10), RC_OK);
	ck_assert_int_eq(read_repeated("(", 100000), RC_REJECT);
	ck_assert_int_eq(read_repeated("[", 100000), RC_REJECT);
	ck_assert_int_eq(read_repeated("!", 100000), RC_REJECT);
	ck_assert_int_eq(read_repeated("f(", 50000), RC_OK);
	ck_assert_int_eq(read_repeated(");{", 50000), RC_REJECT);
	ck_assert_int_eq(read_repeated("'a' . ", 1000), RC_OK);
	ck_assert_int_eq(read_repeated("          ", 50000), RC_REJECT);
}
END_TEST

START_TEST(array_items_keep_keys_and_order)
{
	struct wp_config *c = wp_config_new();
	const struct wp_config_value *v;
	const struct wp_config_item *i;
	struct err err = ERR_INIT;

	ck_assert_int_eq(
	    wp_config_read(c,
		SLICE_LIT(
		    "<?php\ndefine('X', ['a', 7 => 'b', 'c', 'k' => 1]);"),
		"/x", NULL, &err),
	    RC_OK);
	v = wp_config_find(c, "X");
	ck_assert_uint_eq(v->line, 2);
	ck_assert(wp_config_true(v));
	i = v->items;
	ck_assert_int_eq(i->key.i64, 0);
	ck_assert_str_eq(i->value.text.p, "a");
	i = i->next;
	ck_assert_int_eq(i->key.i64, 7);
	i = i->next;
	ck_assert_int_eq(i->key.i64, 8);
	i = i->next;
	ck_assert_str_eq(i->key.text.p, "k");
	ck_assert_int_eq(i->value.i64, 1);
	ck_assert_ptr_null(i->next);
	wp_config_free(c);
}
END_TEST

/* Keys and values as PHP has them; ? for what only PHP knows. */
static const struct {
	const char *php, *items;
} arrays[] = {
	{ "define('X', ['newspack_contact_cron_batch']);",
	    "[0=>newspack_contact_cron_batch]" },
	{ "define( 'X', array( 'newspack_contact_cron_batch' ) );",
	    "[0=>newspack_contact_cron_batch]" },
	{ "define('X', ARRAY('a', \"b\",), false);", "[0=>a,1=>b]" },
	{ "const X = ['a', 'b'];", "[0=>a,1=>b]" },
	{ "const X = array('a'), Z = ['b'];", "[0=>a]" },
	{ "const Z = ['b'], X = [Z, 'c'];", "[0=>[0=>b],1=>c]" },
	{ "const Z = ['b']; define('X', Z);", "[0=>b]" },
	{ "$z = array('b'); define('X', $z);", "[0=>b]" },
	{ "if (!defined('X')) { define('X', ['a']); }", "[0=>a]" },
	{ "define('X', ['a']); define('X', ['b']);", "[0=>a]" },
	{ "define('X', true ? ['a'] : ['b']);", "[0=>a]" },
	{ "define('X', []);", "[]" },
	{ "define('X', array());", "[]" },
	{ "define('X', [[], [1, ['k' => [true]]]]);",
	    "[0=>[],1=>[0=>1,1=>[k=>[0=>1]]]]" },
	{ "define('X', ['k' => 'a', 7 => array('b'), 'c']);",
	    "[k=>a,7=>[0=>b],8=>c]" },
	{ "define('X', ['5' => 'a', 'b', '05' => 'c', '-2' => 'd']);",
	    "[5=>a,6=>b,05=>c,-2=>d]" },
	{ "define('X', [true => 'a', null => 'b', 'c']);", "[1=>a,=>b,2=>c]" },
	{ "define('X', ['a' => 1, 'b' => 2, 'a' => 3, 0 => 4, '0' => 5]);",
	    "[a=>3,b=>2,0=>5]" },
	{ "define('X', ['a', ...['b', 'k' => 'c'], 'd']);",
	    "[0=>a,1=>b,k=>c,2=>d]" },
	{ "define('X', ['a', f(), 'b']);", "[0=>a,1=>?,2=>b]" },
	{ "define('X', ['a' /* , 'b' */, // 'c'\n 'd']);", "[0=>a,1=>d]" },
	{ "define('X', ['a', ...f()]);", "?" },
	{ "define('X', [f() => 'a']);", "?" },
	{ "define('X', array_merge(['a'], ['b']));", "?" },
	{ "$z = ['a']; $z[] = 'b'; define('X', $z);", "?" },
	{ "define('X', ['a'", "?" },
};

static void
put_value(struct buf *out, const struct wp_config_value *v)
{
	const struct wp_config_item *i;

	if (v->type == WP_CONFIG_DYNAMIC)
		buf_put_char(out, '?');
	if (v->type != WP_CONFIG_ARRAY) {
		if (!wp_config_text(v, out))
			ck_assert_int_eq(v->type, WP_CONFIG_DYNAMIC);
		return;
	}
	buf_put_char(out, '[');
	for (i = v->items; i; i = i->next) {
		ck_assert(i->key.type == WP_CONFIG_INT ||
			  i->key.type == WP_CONFIG_STRING);
		put_value(out, &i->key);
		buf_put_str(out, "=>");
		put_value(out, &i->value);
		if (i->next)
			buf_put_char(out, ',');
	}
	buf_put_char(out, ']');
}

START_TEST(array_literals_have_php_s_keys_and_values)
{
	struct buf php = BUF_INIT(4096), got = BUF_INIT(4096);
	struct wp_config *c = wp_config_new();
	const struct wp_config_value *v;
	struct err err = ERR_INIT;

	buf_printf(&php, "<?php\n%s", arrays[_i].php);
	ck_assert_int_eq(
	    wp_config_read(c, buf_slice(&php), "/x", NULL, &err), RC_OK);
	/* What is defined points to nothing of the file. */
	memset(php.p, 'x', php.n);
	v = wp_config_find(c, "X");
	ck_assert_ptr_nonnull(v);
	put_value(&got, v);
	ck_assert_str_eq(buf_str(&got), arrays[_i].items);
	buf_clear(&php);
	buf_clear(&got);
	wp_config_free(c);
}
END_TEST

/* The shape of Debian's: a file chosen by the request's host, then defaults. */
static const char by_host[] =
    "<?php $file = '/etc/wordpress/config-' . $_SERVER['HTTP_HOST'] . '.php';\n"
    "if (file_exists($file)) { require_once($file); }\n"
    "else { header('x'); exit(1); }\n"
    "if (!defined('DB_NAME')) define('DB_NAME', 'wordpress');\n";

START_TEST(a_file_chosen_at_run_time_makes_defaults_uncertain)
{
	struct wp_config *c = wp_config_new();
	struct err err = ERR_INIT;
	unsigned line;

	ck_assert_int_eq(
	    wp_config_read(c, slice_str(by_host), "/x", &env, &err), RC_OK);
	ck_assert_int_eq(wp_config_find(c, "DB_NAME")->type, WP_CONFIG_DYNAMIC);
	ck_assert_str_eq(wp_config_unknown_include(c, &line),
	    "a file whose path is computed");
	ck_assert_uint_eq(line, 2);
	wp_config_free(c);
}
END_TEST

START_TEST(a_file_that_was_read_before_settles_the_defaults)
{
	struct wp_config *c = wp_config_new();
	struct wp_config_env settled = env;
	struct err err = ERR_INIT;
	unsigned line;

	settled.ignore_unknown_includes = true;
	ck_assert_int_eq(
	    wp_config_read(c, SLICE_LIT("<?php define('DB_USER', 'u'); exit;"),
		"/y", &env, &err),
	    RC_OK);
	ck_assert_int_eq(
	    wp_config_read(c, slice_str(by_host), "/x", &settled, &err), RC_OK);
	ck_assert_str_eq(wp_config_find(c, "DB_NAME")->text.p, "wordpress");
	ck_assert_str_eq(wp_config_find(c, "DB_USER")->text.p, "u");
	ck_assert_ptr_null(wp_config_unknown_include(c, &line));
	wp_config_free(c);
	wp_config_free(NULL);
}
END_TEST

Suite *wp_config_suite(void);
Suite *
wp_config_suite(void)
{
	Suite *s = suite_create("wp_config");
	TCase *tc = tcase_create("wp_config");

	tcase_add_loop_test(tc,
	    a_constant_has_the_value_php_gives_it_or_is_dynamic, 0,
	    NELEMS(rows));
	tcase_add_loop_test(tc, the_last_assignment_of_a_variable_holds, 0,
	    NELEMS(prefix_rows));
	tcase_add_loop_test(tc, what_does_not_end_is_refused_with_its_line, 0,
	    NELEMS(bad_rows));
	tcase_add_test(tc, deep_and_large_files_are_refused_and_long_ones_read);
	tcase_add_test(tc, array_items_keep_keys_and_order);
	tcase_add_loop_test(
	    tc, array_literals_have_php_s_keys_and_values, 0, NELEMS(arrays));
	tcase_add_test(tc, a_file_chosen_at_run_time_makes_defaults_uncertain);
	tcase_add_test(tc, a_file_that_was_read_before_settles_the_defaults);
	suite_add_tcase(s, tc);
	return s;
}
