"""A site with the companion plugin, PHP code in it, and what others do in the
midst of that."""

import json
import os
import shutil
import subprocess
import unittest

import cronrow
from stack import REPO

SOURCE = os.path.join(REPO, "fcgi", "php", "companion.php")
NAME = "wp-cron-fcgi-companion.php"
T = 2000000000  # a time that does not come soon


def copy_patient(path, wait_s):
    """The companion, whose writers wait for the lock so long. Who has waited
    its two seconds in vain writes without."""
    with open(SOURCE, encoding="utf-8") as f:
        text = f.read()
    assert text.count("const WAIT_S = 2;") == 1
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace("WAIT_S = 2;", "WAIT_S = %d;" % wait_s))


# Anything PHP has to complain of ends the process; out() is what it found.
PRELUDE = r"""
error_reporting( E_ALL );
set_error_handler( function ( $no, $text, $file, $line ) {
    if ( ! ( error_reporting() & $no ) ) {
        return false;
    }
    fwrite( STDERR, "$text in $file:$line\n" );
    exit( 9 );
} );
function out( $value ) {
    echo json_encode( is_wp_error( $value ) ? $value->get_error_code()
        : $value ), "\n";
}
// Another PHP process, from its boot to its end.
function other( $code ) {
    $argv = array( PHP_BINARY, '-d', 'display_errors=stderr', '-r',
        getenv( 'WPC_HEAD' ) . $code );
    exec( implode( ' ', array_map( 'escapeshellarg', $argv ) ), $lines,
        $status );
    if ( 0 !== $status ) {
        fwrite( STDERR, "the other ended with $status\n" );
        exit( 8 );
    }
    return array_map( 'json_decode', $lines );
}
// A connection beside WordPress'.
function aside( $sql ) {
    static $db;
    list( $host, $socket ) = explode( ':', DB_HOST );
    $db = $db ? $db : mysqli_connect( $host, DB_USER, DB_PASSWORD, DB_NAME,
        0, $socket );
    $rows = mysqli_query( $db, $sql );
    $row = $rows instanceof mysqli_result ? mysqli_fetch_row( $rows ) : null;
    return $row ? $row[0] : null;
}
function lock_name() {
    global $wpdb;
    return "CONCAT('wp-cron-fcgi/', LEFT(SHA2(CONCAT('" . DB_NAME
        . "', '/$wpdb->options'), 256), 40))";
}
function lock_is_free() {
    return 1 === (int) aside( 'SELECT IS_FREE_LOCK(' . lock_name() . ')' );
}
const T = 2000000000;
"""


class CompanionTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = cronrow.tick_site(cls, actions=False)
        cls.mu = os.path.join(cls.s.root, "wp-content", "mu-plugins")
        cls.head = cls.head_of("127.0.0.1:%d" % cls.s.http_port,
                               "/wp-cron.php")

    @classmethod
    def head_of(cls, host, uri):
        return ("$_SERVER = array_merge( $_SERVER, array( 'HTTP_HOST' => %r,"
                " 'REQUEST_URI' => %r, 'REQUEST_METHOD' => 'GET',"
                " 'SERVER_PROTOCOL' => 'HTTP/1.1' ) );"
                "require %r;%s" % (
                    host, uri, os.path.join(cls.s.root, "wp-load.php"),
                    PRELUDE))

    def setUp(self):
        self.install()
        self.put([])

    def tearDown(self):
        self.remove()

    def install(self):
        shutil.copyfile(SOURCE, os.path.join(self.mu, NAME))

    def remove(self):
        path = os.path.join(self.mu, NAME)
        if os.path.exists(path):
            os.unlink(path)

    def put(self, events, **kwargs):
        cronrow.put(self.s, events, **kwargs)

    def php(self, code, head=None, fails=None):
        """What the code gave to out(), in order."""
        head = head or self.head
        argv = self.s.php_argv("-r", head + code)
        r = subprocess.run(argv, text=True, capture_output=True,
                           stdin=subprocess.DEVNULL, timeout=120,
                           env=dict(os.environ, WPC_HEAD=head))
        self.stderr = r.stderr
        if fails is None:
            self.assertEqual((r.returncode, r.stderr), (0, ""), r.stdout)
        return [json.loads(line) for line in r.stdout.splitlines()]

    def events(self, blog=1):
        """{(seconds after T, hook, first argument)} of the option."""
        return sorted((e.ts - T, e.hook) + tuple(e.args[:1])
                      for e in cronrow.events(self.s, blog))

    def both(self, code, without, with_it, before=(), answers=None):
        """The code's outcome without the plugin, and with it. What PHP
        answers is the same in both."""
        said = []
        for install, want in ((self.remove, without), (self.install,
                                                       with_it)):
            install()
            self.put(before)
            said.append(self.php(code))
            if want is not None:
                self.assertEqual(self.events(), sorted(want), install)
        self.assertEqual(said[0], said[1])
        if answers is not None:
            self.assertEqual(said[1], answers)
