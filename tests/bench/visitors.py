"""Whose log-in cookies are: by signature alone, by the tables, and by PHP."""

import contextlib
import hashlib
import hmac
import json
import os
import shutil
import statistics
import subprocess

from stack import REPO

TOKEN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ"
PHPASS = "$P$B3OhrXGpDVvlGIZn0SCIAWnI4wS3bA."
EXPIRES = 2000000000
ROWS_A_USER = 20
SESSION = ('a:1:{s:64:"%s";a:4:{s:10:"expiration";i:%d;s:2:"ip";s:9:'
           '"127.0.0.1";s:2:"ua";s:13:"TestAgent/1.0";s:5:"login";'
           'i:1700000000;}}' % (hashlib.sha256(TOKEN.encode()).hexdigest(),
                                EXPIRES))

# What PHP needs for the same: everybody is new to it. Nobody boots WordPress.
BY_PHP = """
    $values = json_decode( file_get_contents( %r ), true );
    $begun = microtime( true );
    $known = 0;
    foreach ( $values as $value ) {
        $id = wp_validate_auth_cookie( $value, 'logged_in' );
        if ( $id ) {
            get_user_meta( $id, 'newspack_contact_cron_last_enqueue', true );
            $known += user_can( $id, 'read' );
        }
    }
    echo json_encode( array( $known, microtime( true ) - $begun ) );
    """


@contextlib.contextmanager
def many_users(s, n):
    """Tables of n users with ROWS_A_USER rows each in place of the site's."""
    names = ("users", "usermeta")
    for name in names:
        s.mysql("RENAME TABLE wp_%s TO kept_%s" % (name, name))
        s.mysql("CREATE TABLE wp_%s LIKE kept_%s" % (name, name))
    try:
        s.mysql("INSERT INTO wp_users (ID, user_login, user_pass,"
                " user_nicename, user_email) SELECT seq,"
                " CONCAT('reader', seq), %%s, CONCAT('reader', seq),"
                " CONCAT('reader', seq, '@example.test')"
                " FROM seq_1_to_%d" % n, (PHPASS,))
        s.mysql("INSERT INTO wp_usermeta (user_id, meta_key, meta_value)"
                " SELECT 1 + seq DIV %d, CASE seq %%%% %d"
                " WHEN 0 THEN 'session_tokens'"
                " WHEN 1 THEN 'wp_capabilities' WHEN 2 THEN 'np_reader'"
                " WHEN 3 THEN 'newspack_contact_cron_last_enqueue'"
                " ELSE CONCAT('key_', seq %%%% %d) END,"
                " CASE seq %%%% %d WHEN 0 THEN %%s"
                " WHEN 1 THEN 'a:1:{s:10:\"subscriber\";b:1;}'"
                " ELSE '1700000000' END FROM seq_0_to_%d" % (
                    (ROWS_A_USER,) * 4 + (n * ROWS_A_USER - 1,)), (SESSION,))
        s.mysql("ANALYZE TABLE wp_users, wp_usermeta")
        yield
    finally:
        for name in names:
            s.mysql("DROP TABLE wp_%s" % name)
            s.mysql("RENAME TABLE kept_%s TO wp_%s" % (name, name))


def cookie(salt, login):
    """The value as WordPress hands it to wp_validate_auth_cookie()."""
    parts = "%s|%d|%s" % (login, EXPIRES, TOKEN)
    signed = "%s|%s|%d|%s" % (login, PHPASS[8:12], EXPIRES, TOKEN)
    key = hmac.new(salt.encode(), signed.encode(), "md5").hexdigest()
    return parts + "|" + hmac.new(key.encode(), parts.encode(),
                                  "sha256").hexdigest()


def rate(s, program, headers, ms, **options):
    """The driver's number a second; all of them must be known."""
    argv = [program, "root=" + s.root, "for_ms=%d" % ms]
    argv += ["%s=%d" % item for item in options.items()]
    lines = subprocess.run(argv, input="\n".join(headers), text=True,
                           check=True, capture_output=True).stdout.split("\n")
    known = [line for line in lines[1:1 + len(headers)] if len(line) > 1]
    if len(known) != len(headers):
        raise RuntimeError("%d of %d cookies known" % (
            len(known), len(headers)))
    return float(lines[1 + len(headers)].split()[1])


def measure(s, row, rounds, quick):
    """Rows of the table; `row` is the benchmark's."""
    users, ms = 5000 if quick else 50000, 500 if quick else 2000
    program = s.path("visitor")
    shutil.copy2(os.path.join(REPO, "build", s.variant, "drivers", "visitor"),
                 program)
    name, salt = json.loads(s.wp_eval(
        "echo json_encode( array( LOGGED_IN_COOKIE,"
        " wp_salt( 'logged_in' ) ) );"))
    values = [cookie(salt, "reader%d" % (1 + i * 7919 % users))
              for i in range(2000)]
    path = s.path("cookies.json")
    with open(path, "w") as f:
        json.dump(values, f)
    os.chmod(path, 0o644)
    headers = ["_ga=GA1.1.2.3; %s=%s; wp-settings-1=x" % (
        name, v.replace("|", "%7C")) for v in values]

    def median(**options):
        return statistics.median(rate(s, program, headers, ms, **options)
                                 for _ in range(rounds))

    with many_users(s, users):
        many, one = median(batch=100), median(batch=1)
        known, seconds = json.loads(s.wp_eval(BY_PHP % path))
        if known != len(values):
            raise RuntimeError("PHP knows %d of %d" % (known, len(values)))
        rows = "usermeta of %d rows" % (users * ROWS_A_USER)
        row("readers recognised, 100 at once", many, "/s", "one by one", one,
            remark="%s; %.1f ms for 100" % (rows, 100000 / many))
        row("readers recognised, one by one", one, "/s",
            "PHP, WordPress loaded", len(values) / seconds, remark=rows)
        row("log-in cookies checked, no database", median(verify=1), "/s")
