"""Logged-in readers in front of real nginx: who they are, the pages they
load, and what that wrote into their usermeta.

    s = reader_site(self)                   # Newspack active, stages nobody
    d = s.start_daemon()
    start_nginx(s, d)
    jane = log_in(s, "jane")                # a Visitor with her cookies
    jane.get("/?p=1")
    wait_staged(s, "jane")
    flags(s, "jane")["push"]                # ["1700000000"]
"""

import glob
import http.client
import os
import re
import signal
import time
import urllib.parse

from stack import REPO, Stack

KEYS = {"last": "newspack_contact_cron_last_enqueue",
        "push": "newspack_contact_cron_push_pending",
        "pull": "newspack_contact_cron_pull_pending"}
PASSWORD = "of-a-reader"
PING = "/wp-cron-fcgi/ping"
PLUGIN = "newspack-plugin/newspack.php"
# Whoever is staged stays so: the plugin's own event would have them pushed.
NO_BATCH = "except = newspack_contact_cron_batch\n"
FRESH = 60  # s for which the daemon remembers whether the plugin is active


def reader_site(case, users=("jane",), plugin=True, children=4, **mariadb):
    """A site whose Newspack plugin is active but does nothing by itself, so
    that whoever is staged was staged by us."""
    s = Stack()
    case.addClassCleanup(s.close)
    s.start_mariadb(**mariadb)
    s.install_wordpress()
    s.start_php_fpm(children=children)
    if plugin:
        put_plugin(s)
    for login in users:
        add_user(s, login)
    return s


def put_plugin(s, active=True):
    path = os.path.join(s.root, "wp-content", "plugins", PLUGIN)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as f:
        f.write("<?php\n/* Plugin Name: Newspack */\n")
    s.give_to_web_user(os.path.dirname(path))
    s.wp_eval("""
        $active = array_diff( get_option( 'active_plugins' ), array( %r ) );
        update_option( 'active_plugins', array_merge( array_values( $active ),
            json_decode( %r ) ) );
        """ % (PLUGIN, '["%s"]' % PLUGIN if active else "[]"))


def add_user(s, login, role="subscriber", blog=1):
    """Its id. blog: of which it is a member."""
    return int(s.wp_eval("""
        is_multisite() && switch_to_blog( %d );
        $id = wp_insert_user( array( 'user_login' => %r, 'user_pass' => %r,
            'user_email' => md5( %r ) . '@example.com', 'role' => %r ) );
        if ( is_wp_error( $id ) ) {
            fwrite( STDERR, $id->get_error_message() );
            exit( 1 );
        }
        echo $id;
        """ % (blog, login, PASSWORD, login, role)).strip())


def make_cookies(s, logins, seconds=86400):
    """{login: Cookie header}, as PHP makes them, without a log-in form."""
    out = s.wp_eval("""
        foreach ( json_decode( %r ) as $login ) {
            $user = get_user_by( 'login', $login );
            $till = time() + %d;
            $token = WP_Session_Tokens::get_instance( $user->ID )->create(
                $till );
            echo LOGGED_IN_COOKIE, '=', rawurlencode(
                wp_generate_auth_cookie( $user->ID, $till, 'logged_in', $token
                ) ), "\\n";
        }
        """ % ('["%s"]' % '","'.join(logins), seconds))
    return dict(zip(logins, out.split()))


def snippet(s, daemon, name):
    """A file of nginx/ that speaks to this daemon."""
    with open(os.path.join(REPO, "nginx", name), encoding="utf-8") as f:
        return re.sub(r"unix:/run/wp-cron-fcgi/[^;\s]+", "unix:" + daemon.sock,
                      f.read())


def start_nginx(s, daemon, mirror=True, sync=False, extra="", http_extra="",
                edit=None):
    """sync: of every page, not of those in `location ~ \\.php$` alone."""
    text = ""
    if mirror:
        text += snippet(s, daemon, "wp-cron-fcgi-readers.conf")
    if sync:
        text = text.replace("/ping {", "/ping { auth_request off;")
        text += snippet(s, daemon, "wp-cron-fcgi-readers-sync.conf")
        text += "auth_request /wp-cron-fcgi/sync;\n"
    return s.start_nginx(daemon=daemon, extra=text + extra,
                         http_extra=http_extra, edit=edit)


class Visitor:
    """A browser with one kept connection and its cookies."""

    def __init__(self, s, cookies="", host=None):
        self.s, self.cookies = s, cookies
        self.host = host or "127.0.0.1:%d" % s.http_port
        self.connection = None

    def request(self, method, path, body=None, headers=None, timeout=30):
        """(status, headers, body, seconds until the whole page was there)."""
        if not self.connection:
            self.connection = http.client.HTTPConnection(
                "127.0.0.1", self.s.http_port, timeout=timeout)
        all_headers = {"Host": self.host}
        if self.cookies:
            all_headers["Cookie"] = self.cookies
        all_headers.update(headers or {})
        begun = time.monotonic()
        try:
            self.connection.request(method, path, body, all_headers)
            r = self.connection.getresponse()
            data = r.read()
        except BaseException:
            self.close()
            raise
        if r.will_close:
            self.close()
        return r.status, r.headers, data, time.monotonic() - begun

    def get(self, path="/", **kwargs):
        return self.request("GET", path, **kwargs)

    def ping(self, query="", method="POST", base=""):
        """The beacon."""
        return self.request(method, base + PING + query)

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None


def log_in(s, login, password=PASSWORD, host=None, base=""):
    """Through wp-login.php, as a person does."""
    v = Visitor(s, "wordpress_test_cookie=WP%20Cookie%20check", host)
    status, headers, _body, _took = v.request(
        "POST", base + "/wp-login.php", urllib.parse.urlencode({
            "log": login, "pwd": password, "wp-submit": "Log In",
            "testcookie": "1"}),
        {"Content-Type": "application/x-www-form-urlencoded"})
    cookies = {}
    for line in headers.get_all("Set-Cookie") or ():
        name, value = line.split(";", 1)[0].split("=", 1)
        cookies[name] = value
    names = [n for n in cookies if n.startswith("wordpress_logged_in_")]
    assert status == 302 and names, (status, cookies)
    v.cookies = "; ".join(
        "%s=%s" % item for item in sorted(cookies.items()))
    return v


def flags(s, login):
    """{"last": [values], "push": [...], "pull": [...]}, by umeta_id."""
    rows = s.mysql(
        "SELECT m.meta_key, m.meta_value FROM wp_usermeta m JOIN wp_users u"
        " ON u.ID = m.user_id WHERE u.user_login = %s ORDER BY m.umeta_id",
        (login,))
    return {name: [r["meta_value"] for r in rows if r["meta_key"] == key]
            for name, key in KEYS.items()}


def staged(s):
    """Logins of whoever has a push flag, sorted."""
    return [r["user_login"] for r in s.mysql(
        "SELECT DISTINCT u.user_login FROM wp_usermeta m JOIN wp_users u ON"
        " u.ID = m.user_id WHERE m.meta_key = %s ORDER BY u.user_login",
        (KEYS["push"],))]


def forget(s):
    """No reader was ever staged. The daemon may still remember."""
    s.mysql("DELETE FROM wp_usermeta WHERE meta_key IN (%s, %s, %s)",
            tuple(KEYS.values()))


def put_last(s, login, ago):
    """Staged so many seconds ago."""
    value = str(int(time.time()) - ago)
    s.mysql("INSERT INTO wp_usermeta (user_id, meta_key, meta_value)"
            " SELECT ID, %s, %s FROM wp_users WHERE user_login = %s",
            (KEYS["last"], value, login))
    return value


def wait_staged(s, *logins, timeout=10):
    s.wait_until(lambda: set(logins) <= set(staged(s)), timeout, 0.02,
                 "%s staged" % (logins,))


def hold(s, daemon):
    """Stop the process in its tracks; all of its threads."""
    daemon.send_signal(signal.SIGSTOP)

    def stopped():
        states = []
        for path in glob.glob("/proc/%d/task/*/stat" % daemon.pid):
            try:
                with open(path, encoding="ascii") as f:
                    states.append(f.read().rsplit(")", 1)[1].split()[0])
            except OSError:
                return False  # A thread has just ended.
        return set(states) == {"T"}
    s.wait_until(stopped, 10)


def counts(s, daemon):
    """The daemon's counters, from its log."""
    begun = len(daemon.log_text())
    daemon.send_signal(signal.SIGUSR1)

    def line():
        return re.search(r"dump\.readers (.*)\n", daemon.log_text()[begun:])
    found = s.wait_until(line, 10)
    return {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", found.group(1))}


class Statements:
    """The statements of the server while it is open, by the general log."""

    def __init__(self, s):
        self.s = s

    def __enter__(self):
        self.s.mysql("SET GLOBAL log_output = 'TABLE'")
        self.s.mysql("TRUNCATE mysql.general_log")
        self.s.mysql("SET GLOBAL general_log = 1")
        return self

    def __exit__(self, *exc):
        self.s.mysql("SET GLOBAL general_log = 0")

    def of(self, pattern):
        return [r["argument"]
                for r in self.s.mysql(
                    "SELECT argument FROM mysql.general_log WHERE"
                    " command_type = 'Query' AND argument LIKE %s"
                    " AND argument NOT LIKE '%%general_log%%'", (pattern,))]

    def look_ups(self):
        """Logins that were looked up, in order."""
        found = []
        for text in self.of("%session_tokens%user_login IN (%"):
            found += re.findall(
                r"'([^']*)'", text.split("user_login IN (", 1)[1])
        return found
