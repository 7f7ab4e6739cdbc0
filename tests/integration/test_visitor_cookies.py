"""Log-in cookies that WordPress makes are recognised, and told from those it
refuses; the oracle is always WordPress itself."""

import json
import os
import random
import re
import shutil
import subprocess
import time
import unittest
import urllib.parse

from stack import ADMIN_PASSWORD, REPO, SALTS, Stack

DAY = 86400
PHRASE = "put your unique phrase here"

# One line a cookie: whom WordPress takes it for, as a request would.
ASK_PHP = """
    foreach ( json_decode( file_get_contents( %r ), true ) as $value ) {
        $value = addslashes( rawurldecode( $value ) );
        echo (int) wp_validate_auth_cookie( $value, 'logged_in' ), "\\n";
    }
    """

# What core strips from a login, plugins may allow.
ALLOW_ANY_LOGIN = """<?php
add_filter( 'sanitize_user', function ( $login, $raw ) {
    return trim( $raw );
}, 10, 2 );
"""

# Users with the logins of a file, and a cookie for each, as wp-login.php sends
# it.
MAKE_USERS = """
    $out = array();
    foreach ( json_decode( file_get_contents( %r ), true ) as $i => $login ) {
        $id = wp_insert_user( array( 'user_login' => $login,
            'user_pass' => "password $i", 'user_nicename' => "nice-$i",
            'user_email' => "u$i@example.test", 'role' => 'subscriber' ) );
        if ( is_wp_error( $id ) ) {
            echo $login, ': ', $id->get_error_message();
            exit( 1 );
        }
        $until = time() + DAY_IN_SECONDS;
        $token = WP_Session_Tokens::get_instance( $id )->create( $until );
        $out[] = array( $id, rawurlencode( wp_generate_auth_cookie( $id,
            $until, 'logged_in', $token ) ) );
    }
    echo json_encode( array( LOGGED_IN_COOKIE, $out ) );
    """


def driver(s, headers, **options):
    """The driver's lines: the name of the cookie, then one a header."""
    program = s.path("visitor")
    if not os.path.exists(program):
        shutil.copy2(os.path.join(REPO, "build", s.variant, "drivers",
                                  "visitor"), program)
    argv = [program, "root=" + s.root]
    argv += ["%s=%s" % item for item in options.items()]
    r = subprocess.run(argv, input="".join(h + "\n" for h in headers).encode(),
                       capture_output=True, env=s.sanitizer_env())
    if r.returncode not in (0, 1) or r.stderr:
        raise AssertionError("visitor: status %d\n%s" % (
            r.returncode, r.stderr.decode(errors="replace")))
    lines = r.stdout.decode().splitlines()
    return lines[0], lines[1:]


def who(s, header, **options):
    """The driver's words on one header: [id, expires, member, ...]."""
    return driver(s, [header], **options)[1][0].split()


class Browser:
    """Keeps cookies, as far as these tests need one."""

    def __init__(self, s, extra=""):
        self.s, self.jar, self.extra = s, {}, extra

    @property
    def header(self):
        """All cookies, whatever their paths: the order is the jar's."""
        return "; ".join(["%s=%s" % item for item in self.jar.items()])

    def request(self, method, path, fields=None):
        headers = {"Cookie": self.header}
        body = None
        if fields is not None:
            body = urllib.parse.urlencode(fields)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        status, got, text = self.s.request(method, path, body, headers)
        for line in got.get_all("Set-Cookie") or ():
            name, rest = line.split("=", 1)
            value = rest.split(";", 1)[0]
            if value.strip() in ("", "%20", "+"):
                self.jar.pop(name, None)
            else:
                self.jar[name] = value
        return status, got, text.decode(errors="replace")

    def log_in(self, user="admin", password=ADMIN_PASSWORD, remember=False):
        self.request("GET", "/wp-login.php")
        fields = {"log": user, "pwd": password, "testcookie": "1",
                  "wp-submit": "Log In"}
        if remember:
            fields["rememberme"] = "forever"
        status, _, text = self.request("POST", "/wp-login.php", fields)
        if status != 302:
            raise AssertionError("no log-in: %d\n%s" % (status, text[-3000:]))
        return self

    def log_out(self):
        _, _, text = self.request("GET", "/wp-login.php?action=logout")
        link = re.search(r"action=logout&amp;_wpnonce=\w+", text).group(0)
        status, _, _ = self.request(
            "GET", "/wp-login.php?" + link.replace("&amp;", "&"))
        if status != 302:
            raise AssertionError("no log-out: %d" % status)


class SiteCase(unittest.TestCase):
    config_extra = ""

    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        s.start_site(config_extra=cls.config_extra)
        s.start_nginx(stock_cron=True)

    def ask_php(self, values):
        path = self.s.path("values.json")
        with open(path, "w") as f:
            json.dump(values, f)
        os.chmod(path, 0o644)
        return [int(line) for line in
                self.s.wp_eval(ASK_PHP % path).splitlines()]


class LogInTest(SiteCase):
    def test_a_log_in_is_recognised_among_other_cookies(self):
        b = Browser(self.s).log_in()
        self.assertIn("wordpress_test_cookie", b.jar)
        found = who(self.s, "a=b; x; " + b.header + "; z=%zz")
        self.assertEqual((found[0], found[2]), ("1", "1"))
        self.assertAlmostEqual(int(found[1]), time.time() + 2 * DAY, delta=60)

    def test_remembered_for_fourteen_days(self):
        b = Browser(self.s).log_in(remember=True)
        found = who(self.s, b.header)
        self.assertEqual(found[0], "1")
        self.assertAlmostEqual(int(found[1]), time.time() + 14 * DAY, delta=60)
        expires = int(found[1])
        self.assertEqual(who(self.s, b.header, now=expires)[0], "1")
        self.assertEqual(who(self.s, b.header, now=expires + 1)[0], "0")

    def test_the_browser_that_logged_out_is_a_stranger(self):
        gone, stays = Browser(self.s).log_in(), Browser(self.s).log_in()
        before = gone.header
        self.assertEqual(who(self.s, before)[0], "1")
        gone.log_out()
        self.assertEqual(who(self.s, before)[0], "0")
        self.assertEqual(who(self.s, gone.header)[0], "-")
        self.assertEqual(who(self.s, stays.header)[0], "1")

    def test_a_new_password_ends_old_cookies(self):
        self.s.wp_eval("wp_create_user( 'changer', 'first word',"
                       " 'changer@example.test' );")
        old = Browser(self.s).log_in("changer", "first word")
        self.assertNotIn(who(self.s, old.header)[0], ("0", "-"))
        self.s.wp_eval("wp_set_password( 'second word',"
                       " get_user_by( 'login', 'changer' )->ID );")
        self.assertEqual(who(self.s, old.header)[0], "0")
        new = Browser(self.s).log_in("changer", "second word")
        self.assertNotIn(who(self.s, new.header)[0], ("0", "-"))

    def test_a_deleted_user_is_a_stranger(self):
        self.s.wp_eval("wp_create_user( 'goner', 'word', 'g@example.test' );")
        b = Browser(self.s).log_in("goner", "word")
        self.assertNotIn(who(self.s, b.header)[0], ("0", "-"))
        self.s.wp_eval("require_once ABSPATH . 'wp-admin/includes/user.php';"
                       "wp_delete_user( get_user_by( 'login', 'goner' )->ID );")
        self.assertEqual(who(self.s, b.header)[0], "0")

    def test_the_admin_s_own_cookie_is_not_the_log_in_cookie(self):
        b = Browser(self.s).log_in()
        name = next(n for n in b.jar if n.startswith("wordpress_logged_in_"))
        other = name.replace("wordpress_logged_in_", "wordpress_")
        self.assertIn(other, b.jar)
        self.assertEqual(who(self.s, "%s=%s" % (other, b.jar[other]))[0], "-")
        self.assertEqual(who(self.s, "%s=%s" % (name, b.jar[other]))[0], "0")


def odd_login(rng):
    """What core lets a login be, with the runs of blanks it collapses."""
    chars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    login = rng.choice(chars)
    for _ in range(rng.randrange(2, 45)):
        login += rng.choice(chars + " ._-@" * 4)
    return re.sub(" +", " ", login) + rng.choice(chars)


def unicode_login(rng):
    alphabet = "äéßñøЖживаノ日本語한글ğİı€😀ə́"
    return "".join(rng.choice(alphabet) for _ in range(rng.randrange(3, 30)))


def mutated(rng, value):
    """The value with one to three changes of its bytes."""
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(value))
        change = rng.randrange(6)
        byte = rng.choice("%7C|abcdef0123456789 +'\"\\@ABC=.-")
        value = (
            value[:at] + byte + value[at + 1:] if change == 0 else
            value[:at] + byte + value[at:] if change == 1 else
            value[:at] + value[at + 1:] if change == 2 else
            value[:at] + value[at:at + 1].swapcase() + value[at + 1:]
            if change == 3 else
            value[:at] + "%%%02x" % (ord(value[at]) & 0x7f) + value[at + 1:]
            if change == 4 else
            value[at:] + value[:at]) or "x"
    return value


class ManyUsersTest(SiteCase):
    SEED = 20231114

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        plugins = os.path.join(cls.s.root, "wp-content", "mu-plugins")
        os.makedirs(plugins)
        with open(os.path.join(plugins, "any-login.php"), "w") as f:
            f.write(ALLOW_ANY_LOGIN)

    def test_two_hundred_users_with_odd_logins(self):
        rng = random.Random(self.SEED)
        logins = {"jane.doe@example.test", "with space", "a-b_c.d", "UPPER",
                  "Upper lower", "0", "00", "1e3"}
        while len(logins) < 170:
            logins.add(odd_login(rng)[:60].strip())
        while len(logins) < 200:
            logins.add(unicode_login(rng))
        # The collation would take two of them for one; core refuses such.
        plain = {}
        for login in sorted(logins - {"0"}):
            plain.setdefault(login.lower(), login)
        logins = list(plain.values())
        path = self.s.path("logins.json")
        with open(path, "w") as f:
            json.dump(logins, f)
        os.chmod(path, 0o644)
        name, users = json.loads(self.s.wp_eval(MAKE_USERS % path))
        self.assertGreater(len(users), 190)
        values = [value for _, value in users]
        self.assertEqual(self.ask_php(values), [i for i, _ in users])
        keys, lines = driver(self.s, ["%s=%s" % (name, v) for v in values])
        self.assertEqual(keys, "keys " + name)
        self.assertEqual([int(line.split()[0]) for line in lines],
                         [i for i, _ in users])
        self.assertTrue(all(line.split()[2] == "1" for line in lines))
        self.check_mutations(rng, name, values)

    def check_mutations(self, rng, name, values):
        """Somebody is recognised exactly when WordPress does so."""
        changed = [mutated(rng, rng.choice(values)) for _ in range(2000)]
        theirs = self.ask_php(changed)
        _, lines = driver(self.s, ["%s=%s" % (name, v) for v in changed])
        ours = [int(line.split()[0].replace("-", "0")) for line in lines]
        different = [(value, our, their) for value, our, their
                     in zip(changed, ours, theirs) if our != their]
        self.assertEqual(different, [])
        self.assertGreater(theirs.count(0), 1500)
        self.assertGreater(len(theirs) - theirs.count(0), 50)

    def test_every_letter_of_a_cookie_counts(self):
        b = Browser(self.s).log_in()
        name = next(n for n in b.jar if n.startswith("wordpress_logged_in_"))
        value = b.jar[name]
        headers = []
        for at, char in enumerate(value):
            other = "b" if char == "a" else "a"
            headers.append("%s=%s" % (name, value[:at] + other +
                                      value[at + 1:]))
        _, lines = driver(self.s, headers)
        self.assertLessEqual(set(lines), {"0", "-"})
        self.assertEqual(who(self.s, "%s=%s" % (name, value))[0], "1")


class KeysTest(SiteCase):
    """How cookies are named and signed, by every kind of wp-config.php."""

    def configure(self, extra="", salts=None):
        """wp-config.php anew; `salts`: what the eight constants are."""
        self.s.write_config(extra)
        path = os.path.join(self.s.root, "wp-config.php")
        with open(path) as f:
            text = f.read()
        for name in SALTS if salts is not None else ():
            text = re.sub(r"define\( '%s', .*\n" % name,
                          "define( '%s', '%s' );\n" % (name, salts[name])
                          if name in salts else "", text)
        with open(path, "w") as f:
            f.write(text)

    def check(self, **config):
        """WordPress' name, and its cookie accepted."""
        self.configure(**config)
        name, value = json.loads(self.s.wp_eval("""
            $until = time() + 1000;
            $token = WP_Session_Tokens::get_instance( 1 )->create( $until );
            echo json_encode( array( LOGGED_IN_COOKIE, rawurlencode(
                wp_generate_auth_cookie( 1, $until, 'logged_in', $token ) ) )
            );"""))
        keys, lines = driver(self.s, ["%s=%s" % (name, value)])
        self.assertEqual(keys, "keys " + name)
        self.assertEqual(lines[0].split()[0], "1")
        return name

    def test_constants(self):
        names = [self.check(extra=extra) for extra in (
            "",
            "define( 'WP_SITEURL', 'https://example.test/blog//' );",
            "define( 'WP_SITEURL', 'http://' . 'EXAMPLE.test' );",
            "define( 'COOKIEHASH', 'abc' );",
            "define( 'LOGGED_IN_COOKIE', 'mine' );",
            "const LOGGED_IN_COOKIE = \"m\\x69ne\";",
            "define( 'SECRET_KEY', 'a secret' );")]
        self.assertEqual(names[4:6], ["mine", "mine"])
        self.assertEqual(len(set(names)), 5)

    def test_the_sample_s_phrases_mean_options(self):
        self.check(salts={name: PHRASE for name in SALTS})
        stored = self.s.option("logged_in_key")
        self.assertEqual(len(stored), 64)
        b = Browser(self.s).log_in()
        self.assertEqual(who(self.s, b.header)[0], "1")
        self.s.mysql("UPDATE wp_options SET option_value = CONCAT('x',"
                     " option_value) WHERE option_name = 'logged_in_key'")
        self.assertEqual(who(self.s, b.header)[0], "0")

    def test_other_ways_to_have_no_salts(self):
        different = {name: name for name in SALTS}
        for salts, extra in (
                ({}, ""),
                ({}, "define( 'SECRET_KEY', 'only this' );"),
                (dict(different, LOGGED_IN_KEY="NONCE_SALT"), ""),
                (dict(different, LOGGED_IN_KEY=""), ""),
                (dict(different, LOGGED_IN_SALT="0"), ""),
                (dict(different, LOGGED_IN_KEY=PHRASE),
                 "define( 'SECRET_KEY', 'NONCE_KEY' );"),
                (dict(different, LOGGED_IN_KEY=PHRASE),
                 "define( 'SECRET_KEY', 'of its own' );"
                 "define( 'SECRET_SALT', 'LOGGED_IN_SALT' );")):
            with self.subTest(salts=salts, extra=extra):
                self.check(salts=salts, extra=extra)

    def test_what_only_php_knows_is_named(self):
        salts = {name: name for name in SALTS if name != "LOGGED_IN_SALT"}
        self.configure("define( \"LOGGED_IN_SALT\", strrev( 'cimanyd' ) );",
                       salts)
        words, _ = driver(self.s, [])
        self.assertRegex(words, "^refused keys: .*LOGGED_IN_SALT")


class NetworkTest(SiteCase):
    def test_a_log_in_counts_on_every_blog_and_members_are_told(self):
        blogs = self.s.make_network(1)
        self.s.wp_eval("wpmu_create_user( 'reader', 'word',"
                       " 'reader@example.test' );"
                       "add_user_to_blog( %d, get_user_by( 'login',"
                       " 'reader' )->ID, 'subscriber' );" % blogs[0])
        b = Browser(self.s).log_in("reader", "word")
        main, other = who(self.s, b.header), who(
            self.s, b.header, blog=blogs[0])
        self.assertNotIn(main[0], ("0", "-"))
        self.assertEqual(main[0], other[0])
        self.assertEqual((main[2], other[2]), ("0", "1"))
        keys, _ = driver(self.s, [], blog=blogs[0])
        self.assertEqual(keys, "keys " + self.s.wp_eval(
            "echo LOGGED_IN_COOKIE;"))


if __name__ == "__main__":
    unittest.main()
