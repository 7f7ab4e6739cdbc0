"""Reader data that the program stores, as real WordPress reads it."""

import base64
import json
import random
import subprocess
import unittest

from stack import Stack

PREFIX = "newspack_reader_data_item_"
LIST = "newspack_reader_data_keys"
# What can go wrong on the way through JSON, SQL and PHP.
PIECES = ["a", "Z", "0", " ", "  ", '"', "'", "\\", "\\\\", "/", "</p>", "\n",
          "\r\n", "\t", "\0", "\x01", "\x7f", "é", "ß", "你好", "😀", "👩‍👩‍👧",
          "\u2028", "\ufeff", "%", "%41", "_", "?", "{ids}", "{p}", ";", "--",
          "/*", "\\u00e9", "\\n", "a:1:{i:0;s:1:\"x\";}", "null", "`", "$x"]


def text(r):
    return "".join(r.choice(PIECES) for _ in range(r.randrange(12)))


def value(r, depth=0):
    kind = r.randrange(9 if depth < 3 else 6)
    if kind < 3:
        return text(r)
    if kind == 3:
        return r.choice([0, 1, -1, 2 ** 31, 2 ** 53, -2 ** 63, 2 ** 63 - 1])
    if kind == 4:
        return r.choice([0.5, -1.25, 1e10, 0.1, 3.0])
    if kind == 5:
        return r.choice([True, False, None, "", "0", "false"])
    if kind == 6:
        return [value(r, depth + 1) for _ in range(r.randrange(4))]
    # A NUL in a key is an error to PHP, too.
    return {text(r).replace("\0", ""): value(r, depth + 1)
            for _ in range(r.randrange(4))}


class ReaderDataTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        s.start_mariadb()
        s.install_wordpress()
        cls.n = 0

    def setUp(self):
        type(self).n += 1
        self.user = int(self.s.wp_eval(
            "echo wp_create_user( 'reader%d', 'x', 'r%d@example.test' );"
            % (self.n, self.n)))

    def store(self, items, *args):
        """items: key to JSON text; what was written and refused."""
        r = subprocess.run(
            self.s.as_web_user([self.s.binary("drivers/contact_rows"),
                                "root=" + self.s.root] + list(args)),
            input=json.dumps({"data": [{"user": self.user,
                                        "items": items}]}),
            text=True, capture_output=True, env=self.s.sanitizer_env())
        self.assertEqual(r.returncode, 0, r.stderr)
        rc, written, refused = r.stdout.split()[:3]
        self.assertEqual(rc, "ok")
        return int(written), int(refused)

    def read(self):
        """(key list, {key: stored text, decoded and encoded by PHP})"""
        out = json.loads(self.s.wp_eval("""
            $items = array();
            $list = get_user_meta( %(user)d, '%(list)s', true );
            foreach ( (array) $list as $key ) {
                $text = get_user_meta( %(user)d, '%(prefix)s' . $key, true );
                $items[ 'k' . $key ] = array(
                    base64_encode( $text ),
                    base64_encode( json_encode( json_decode( $text ),
                        JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES
                        | JSON_PRESERVE_ZERO_FRACTION ) ),
                    json_last_error() );
            }
            echo json_encode( array( array_values( $list ), $items ) );
            """ % {"user": self.user, "list": LIST, "prefix": PREFIX}))
        return out

    def check(self, want):
        listed, items = self.read()
        self.assertEqual(sorted(str(k) for k in listed), sorted(want))
        for key, expected in want.items():
            stored, again, error = items["k" + key]
            self.assertEqual(error, 0, key)
            self.assertEqual(
                json.loads(base64.b64decode(again).decode()), expected,
                base64.b64decode(stored).decode())

    def test_two_hundred_random_values_arrive_intact(self):
        r = random.Random(4)
        for first in range(0, 200, 50):
            want = {"key_%d" % i: value(r) for i in range(first, first + 50)}
            self.setUp()
            # As PHP encodes it, with escapes, and as others do.
            items = {k: json.dumps(v, ensure_ascii=i % 2 == 0).replace(
                "/", "\\/" if i % 3 == 0 else "/")
                for i, (k, v) in enumerate(want.items())}
            written, refused = self.store(items)
            self.assertEqual((written, refused), (51, 0))
            self.check(want)
            self.assertEqual(self.store(items), (0, 0))

    def test_only_what_json_must_escape_is_escaped(self):
        self.store({"a": json.dumps("é/😀\\\"\n")})
        self.assertEqual(
            self.s.value("SELECT meta_value FROM wp_usermeta WHERE"
                         " user_id = %s AND meta_key = %s",
                         (self.user, PREFIX + "a")),
            '"é/😀\\\\\\"\\n"')

    def test_php_and_we_write_one_list(self):
        # As Newspack's update_item() does: the key, then the value.
        add = """
            $keys = get_user_meta( %d, '%s', true ) ?: array();
            foreach ( array( 'theirs', 42 ) as $key ) {
                $keys[] = $key;
                update_user_meta( %d, '%s' . $key, wp_json_encode( 'x' ) );
            }
            unset( $keys[0] );
            update_user_meta( %d, '%s', $keys );
            """ % (self.user, LIST, self.user, PREFIX, self.user, LIST)
        self.store({"first": "1"})
        self.s.wp_eval(add)
        self.assertEqual(self.store({"42": '"y"', "ours": "2"}), (3, 0))
        self.assertEqual(
            self.s.wp_eval("echo serialize( get_user_meta( %d, '%s', true )"
                           " );" % (self.user, LIST)),
            'a:3:{i:1;s:6:"theirs";i:2;i:42;i:3;s:4:"ours";}')
        self.check({"theirs": "x", "42": "y", "ours": 2})

    def test_a_user_deleted_in_php_gets_nothing(self):
        self.s.wp_eval("require_once ABSPATH . 'wp-admin/includes/user.php';"
                       " wp_delete_user( %d );" % self.user)
        r = subprocess.run(
            self.s.as_web_user([self.s.binary("drivers/contact_rows"),
                                "root=" + self.s.root]),
            input=json.dumps({"data": [{"user": self.user,
                                        "items": {"a": "1"}}]}),
            text=True, capture_output=True, env=self.s.sanitizer_env())
        self.assertEqual(r.stdout.split(), ["none", "0", "0"])
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_usermeta WHERE user_id = %s",
            (self.user,)), 0)

    def test_php_writing_beside_us_meets_no_error(self):
        """Both write rows of one reader as fast as they can: no deadlock is
        PHP's, which would not try again."""
        writer = subprocess.Popen(
            self.s.as_web_user([self.s.binary("drivers/contact_rows"),
                                "root=" + self.s.root, "repeat=400"]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        # Twice the same keys with other values, so that each round writes.
        doc = {"data": [{"user": self.user, "items": {
            "k%d" % i: str(i + n) for i in range(30)}} for n in range(2)]}
        writer.stdin.write(json.dumps(doc))
        writer.stdin.close()
        errors = self.s.wp_eval("""
            $wpdb->suppress_errors();
            $bad = array();
            $end = microtime( true ) + 5;
            $n = 0;
            while ( microtime( true ) < $end || $n <= 100 ) {
                foreach ( array( 'newspack_contact_cron_push_pending',
                    'newspack_contact_cron_last_enqueue',
                    'newspack_reader_data_item_theirs',
                    'newspack_reader_data_item_k7', 'newspack_reader_data_keys',
                    'session_tokens' ) as $key ) {
                    update_user_meta( %d, $key, (string) ++$n );
                    if ( $wpdb->last_error ) {
                        $bad[] = $wpdb->last_error;
                    }
                    if ( 0 === $n %% 7 ) {
                        delete_user_meta( %d, $key );
                    }
                }
            }
            echo json_encode( array( $bad, $n ) );
            """ % (self.user, self.user))
        out, err = writer.stdout.read(), writer.stderr.read()
        self.assertEqual(writer.wait(), 0, err)
        writer.stdout.close()
        writer.stderr.close()
        bad, n = json.loads(errors)
        print('note: %d writes of PHP beside 800 of ours, %s deadlocks' % (
            n, self.s.value("SELECT VARIABLE_VALUE FROM information_schema"
                            ".GLOBAL_STATUS WHERE VARIABLE_NAME ="
                            " 'Innodb_deadlocks'")), flush=True)
        self.assertEqual(bad, [])
        self.assertGreater(n, 100)
        self.assertEqual(len(out.splitlines()), 800)


if __name__ == "__main__":
    unittest.main()
