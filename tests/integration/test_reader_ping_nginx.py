"""The ways by which nginx tells of page loads: mirror, beacon, auth_request.
Real log-ins, real pages from PHP, from files and from nginx' cache; the page
comes whatever the daemon does."""

import os
import signal
import threading
import time
import unittest

import readers
from readers import Visitor, flags, log_in, staged, wait_staged

SETTLED = 0.5
# A page that waited for the daemon would not come at all.
HELD_S = 10

CACHED = """
    location = /cached {
        fastcgi_cache pages;
        fastcgi_cache_key $request_uri;
        fastcgi_cache_valid 200 1h;
        fastcgi_ignore_headers Cache-Control Expires Set-Cookie Vary;
        add_header X-Cache $upstream_cache_status;
        include fastcgi_params;
        fastcgi_param HTTP_HOST $http_host;
        # Or WordPress redirects.
        fastcgi_param REQUEST_URI /?p=1;
        fastcgi_param SCRIPT_FILENAME $document_root/index.php;
        fastcgi_pass unix:%s;
    }
    location = /proxied {
        proxy_cache proxied;
        proxy_cache_valid 200 1h;
        proxy_ignore_headers Cache-Control Expires Set-Cookie Vary;
        add_header X-Cache $upstream_cache_status;
        proxy_set_header Host $http_host;
        proxy_pass http://127.0.0.1:%d/static/page.html;
    }
    location = /upload {
        client_max_body_size 64m;
        include fastcgi_params;
        fastcgi_param SCRIPT_FILENAME $document_root/upload.php;
        fastcgi_pass unix:%s;
    }
"""
ZONES = """
    fastcgi_cache_path %s keys_zone=pages:1m;
    proxy_cache_path %s keys_zone=proxied:1m;
"""


class Case(unittest.TestCase):
    mirror, sync = True, False
    users = ("jane",)

    @classmethod
    def setUpClass(cls):
        cls.s = s = readers.reader_site(cls, cls.users)
        os.makedirs(os.path.join(s.root, "static"))
        for name, text in (("static/page.html", "<p>static</p>"),
                           ("upload.php", "<?php echo strlen("
                            "file_get_contents('php://input'));")):
            with open(os.path.join(s.root, name), "w",
                      encoding="ascii") as f:
                f.write(text)
        cls.daemon = s.start_daemon()
        readers.start_nginx(
            s, cls.daemon, cls.mirror, cls.sync,
            extra=CACHED % (s.php_socket, s.http_port, s.php_socket),
            http_extra=ZONES % (s.path("ngx-pages"), s.path("ngx-proxied")))

    def setUp(self):
        self.restart()

    def restart(self):
        """A daemon that remembers nobody, of readers never staged."""
        self.daemon.send_signal(signal.SIGCONT)
        self.daemon.stop()
        self.s.servers.remove(self.daemon)
        readers.forget(self.s)
        type(self).daemon = self.s.start_daemon(name="d1")

    def load(self, visitor, path, **kwargs):
        status, headers, body, took = visitor.get(path, **kwargs)
        self.assertEqual(status, 200, path)
        return headers, body, took


class MirrorTest(Case):
    def test_pages_from_php_files_and_caches_stage_their_reader(self):
        jane = log_in(self.s, "jane")
        # The log-in itself is a page of nobody's.
        time.sleep(SETTLED)
        self.assertEqual(staged(self.s), [])
        for path, cached in (("/?p=1", None), ("/no/such/page/", None),
                             ("/index.php", None), ("/static/page.html", None),
                             ("/cached", "HIT"), ("/proxied", "HIT"),
                             ("/wp-admin/profile.php", None),
                             ("/wp-admin/admin-ajax.php?action=x", None)):
            with self.subTest(path=path):
                if cached:
                    Visitor(self.s).get(path)
                self.restart()
                _status, headers, body, _took = jane.get(path)
                self.assertEqual(headers["X-Cache"], cached)
                wait_staged(self.s, "jane")
                self.assertEqual(len(flags(self.s, "jane")["last"]), 1)
                if "static" in path:
                    self.assertEqual(body, b"<p>static</p>")

    def test_anonymous_visitors_stage_nobody_and_ask_nothing(self):
        v = Visitor(self.s, "wp-settings-1=x; _ga=1")
        for path in ("/", "/static/page.html", "/cached", "/"):
            self.load(v, path)
        time.sleep(SETTLED)
        self.assertEqual(staged(self.s), [])
        self.assertEqual(readers.counts(self.s, self.daemon)["pings"], 0)

    def test_whoever_logged_out_is_not_staged(self):
        jane = log_in(self.s, "jane")
        self.s.mysql("DELETE FROM wp_usermeta WHERE meta_key ="
                     " 'session_tokens'")
        self.load(jane, "/static/page.html")
        time.sleep(SETTLED)
        self.assertEqual(staged(self.s), [])

    def test_uploads_go_to_the_page_alone(self):
        jane = log_in(self.s, "jane")
        status, _h, body, _t = jane.request(
            "POST", "/upload", b"x" * 3000000,
            {"Content-Type": "application/octet-stream"})
        self.assertEqual((status, body), (200, b"3000000"))
        wait_staged(self.s, "jane")

    def test_other_methods_of_pages_are_told_of_too(self):
        jane = log_in(self.s, "jane")
        for method in ("PUT", "DELETE", "OPTIONS"):
            self.assertEqual(jane.request(method, "/upload", b"")[0], 200)
        wait_staged(self.s, "jane")

    def test_the_page_arrives_while_the_ping_is_held(self):
        jane = log_in(self.s, "jane")
        self.load(jane, "/static/page.html")
        self.load(jane, "/?p=1")
        jane.close()
        readers.hold(self.s, self.daemon)
        begun = time.monotonic()
        try:
            for path in ("/static/page.html", "/?p=1", "/cached"):
                _h, _b, took = self.load(jane, path)
                self.assertLess(took, HELD_S, path)
                jane.close()
            # The same connection: each waits for the ping before it, which
            # nginx gives up after a quarter of a second.
            for _ in range(3):
                _h, _b, took = self.load(jane, "/static/page.html")
                self.assertLess(took, HELD_S)
            time.sleep(max(0, 5 - (time.monotonic() - begun)))
        finally:
            self.daemon.send_signal(signal.SIGCONT)
        # What the daemon finds afterwards it does.
        wait_staged(self.s, "jane")

    def test_pages_load_while_the_daemon_is_stopped(self):
        jane = log_in(self.s, "jane")
        self.daemon.stop()
        for path in ("/static/page.html", "/?p=1", "/cached", "/proxied"):
            for _ in range(3):
                _h, _b, took = self.load(jane, path)
                self.assertLess(took, HELD_S, path)
        if os.path.exists(self.daemon.sock):
            os.unlink(self.daemon.sock)
        self.load(jane, "/static/page.html")

    def test_kept_connections_of_many_readers(self):
        logins = ["many%d" % i for i in range(40)]
        for login in logins:
            readers.add_user(self.s, login)
        cookies = readers.make_cookies(self.s, logins)
        failed = []

        def browse(login):
            v = Visitor(self.s, cookies[login])
            for _ in range(25):
                answer = v.get("/static/page.html")
                if answer[0] != 200 or answer[2] != b"<p>static</p>":
                    failed.append((login, answer))
            v.close()
        # By one page the cookie's name is learned: until then every page costs
        # a look of the budget of 50 a second, afterwards every new cookie.
        self.load(Visitor(self.s, cookies[logins[0]]), "/static/page.html")
        wait_staged(self.s, logins[0])
        threads = [threading.Thread(target=browse, args=(x,)) for x in logins]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(failed, [])
        wait_staged(self.s, *logins)
        # Counted after the rows are there.
        self.s.wait_until(lambda: readers.counts(self.s, self.daemon)[
            "staged"] == len(logins), 10)
        c = readers.counts(self.s, self.daemon)
        self.assertEqual((c["looked"], c["refused"]), (len(logins), 0))

    def test_the_mirrors_place_is_not_open_to_the_world(self):
        jane = log_in(self.s, "jane")
        self.assertEqual(jane.get("/wp-cron-fcgi/mirror")[0], 404)

    def test_the_beacon_is(self):
        jane = log_in(self.s, "jane")
        status, headers, body, _took = jane.ping()
        self.assertEqual((status, body), (204, b""))
        self.assertEqual(headers["Cache-Control"], "private, no-store")
        self.assertEqual(
            readers.counts(self.s, self.daemon)["pings"], 1)
        wait_staged(self.s, "jane")
        # As sendBeacon() with a body.
        self.assertEqual(jane.request(
            "POST", readers.PING, b"x" * 100,
            {"Content-Type": "text/plain;charset=UTF-8"})[0], 204)


class SyncTest(Case):
    mirror, sync = False, True

    def test_pages_stage_their_reader(self):
        jane = log_in(self.s, "jane")
        for path in ("/?p=1", "/static/page.html", "/cached"):
            self.restart()
            self.load(jane, path)
            wait_staged(self.s, "jane")

    def test_pages_load_while_the_daemon_is_stopped(self):
        jane = log_in(self.s, "jane")
        self.daemon.stop()
        for v in (jane, Visitor(self.s)):
            for path in ("/static/page.html", "/?p=1", "/cached"):
                _h, _b, took = self.load(v, path)
                self.assertLess(took, HELD_S, path)
        if os.path.exists(self.daemon.sock):
            os.unlink(self.daemon.sock)
        self.load(jane, "/static/page.html")
        # A file in its place that nobody listens on.
        with open(self.daemon.sock, "w", encoding="ascii"):
            pass
        self.load(jane, "/static/page.html")
        os.unlink(self.daemon.sock)

    def test_pages_load_while_the_daemon_hangs(self):
        jane = log_in(self.s, "jane")
        self.load(jane, "/static/page.html")
        readers.hold(self.s, self.daemon)
        try:
            _h, _b, took = self.load(jane, "/static/page.html")
        finally:
            self.daemon.send_signal(signal.SIGCONT)
        self.assertGreater(took, 1)
        self.assertLess(took, HELD_S)

    def test_a_daemon_that_does_not_know_the_site_keeps_nobody_out(self):
        jane = log_in(self.s, "jane")
        self.daemon.stop()
        self.s.servers.remove(self.daemon)
        other = self.s.path("other")
        os.makedirs(other, exist_ok=True)
        text = self.s.config_text().replace(
            "root = " + self.s.root, "root = %s\nconfig_file = %s" % (
                other, os.path.join(self.s.root, "wp-config.php")))
        with open(os.path.join(other, "wp-config.php"), "w",
                  encoding="ascii") as f:
            with open(os.path.join(self.s.root, "wp-config.php"),
                      encoding="ascii") as source:
                f.write(source.read())
        os.chmod(os.path.join(other, "wp-config.php"), 0o644)
        root, self.s.root = self.s.root, other
        try:
            type(self).daemon = self.s.start_daemon(
                name="d1", config=text.replace("\nconfig_file = %s" % (
                    os.path.join(root, "wp-config.php")), ""))
        finally:
            self.s.root = root
        status = jane.ping()[0]
        self.assertEqual(status, 404)
        self.load(jane, "/static/page.html")
        self.load(jane, "/?p=1")


class BothTest(Case):
    sync = True

    def test_a_page_that_both_tell_of_is_staged_once(self):
        jane = log_in(self.s, "jane")
        self.load(jane, "/?p=1")
        wait_staged(self.s, "jane")
        # Counted after the rows are there.
        self.s.wait_until(lambda: readers.counts(self.s, self.daemon)[
            "staged"], 10)
        time.sleep(SETTLED)
        self.assertLessEqual(
            [len(v) for v in flags(self.s, "jane").values()], [1, 1, 1])
        self.assertEqual(readers.counts(self.s, self.daemon)["staged"], 1)


if __name__ == "__main__":
    unittest.main()
