"""Networks: every blog's own cron row, in the right blog of PHP, found by host
and path."""

import time
import unittest

import cronrow
from networks import NetworkCase, network_site, rewritten

NAME = "net.test"


class PlacesTest(NetworkCase):
    """Sub-directories; the daemon looks only where it is asked to."""

    subdomains = False

    @classmethod
    def setUpClass(cls):
        cls.s = s = network_site(cls, 2, NAME, cls.subdomains)
        cls.put_action_tables()
        cls.daemon = s.start_daemon(
            daemon="look_interval = 1h\nlog_level = debug\n")
        s.start_nginx(daemon=cls.daemon, edit=rewritten, extra="""
            if (!-e $request_filename) {
                rewrite ^(/[^/]+)?(/wp-.*) $2 last;
            }""" if not cls.subdomains else "")
        # Each blog has been looked at, and PHP asked about it.
        for blog in [1] + s.blogs:
            cls.warm(blog)

    @classmethod
    def warm(cls, blog):
        event = cls.due()
        cronrow.put(cls.s, [event], blog)
        path, headers = cls.where(blog)

        def ran():
            cls.s.get(path + "/wp-cron.php", headers)
            return cls.ticks_of([event])
        cls.s.wait_until(ran, 20, 0.5, "blog %d is warm" % blog)

    @classmethod
    def put_action_tables(cls):
        base = cls.s.prefix
        cls.s.prefix = "wp_%d_" % cls.s.blogs[0]
        cls.s.install_action_scheduler()
        cls.s.prefix = base

    @classmethod
    def where(cls, blog):
        """(path before, headers) of a blog."""
        i = cls.s.blogs.index(blog) + 1 if blog != 1 else 0
        if cls.subdomains:
            return "", {"Host": "b%d.%s" % (i, NAME) if i else NAME}
        return "/b%d" % i if i else "", {"Host": NAME}

    def home(self, blog):
        path, headers = self.where(blog)
        return "http://" + headers["Host"] + path

    def assert_in(self, tick, blog):
        self.assertEqual(tick["blog"], blog)
        self.assertEqual(tick["home"], self.home(blog))
        self.assertEqual(tick["prefix"],
                         "wp_" if blog == 1 else "wp_%d_" % blog)
        self.assertIn("/wp-cron.php", tick["uri"])
        self.assertTrue(tick["cron"])
        if blog != 1:
            self.assertEqual(tick["option"], "of %d" % blog)

    def let_looks_end(self):
        """Looks after the last one's end are over. In pieces: behind a pause
        of the machine the daemon, too, has some of them left."""
        for _ in range(4):
            time.sleep(0.4)

    def row(self, event):
        return cronrow.ledger(self.s, "event_key = %s", (event.key,))[-1]

    def test_call_of_a_blog_runs_what_it_has_due(self):
        for blog in [1] + self.s.blogs:
            with self.subTest(blog=blog):
                self.let_looks_end()
                event = self.due()
                cronrow.put(self.s, [event], blog)
                path, headers = self.where(blog)
                status, got, _ = self.s.get(
                    path + "/wp-cron.php?doing_wp_cron", headers)
                self.assertEqual(status, 200)
                self.assertIn(got["X-WP-Cron"], ("started", "queued"))
                tick, = self.wait_ran([event])
                self.assert_in(tick, blog)
                self.wait_settled()
                row = self.row(event)
                self.assertEqual((row["blog_id"], row["state"],
                                  row["woken_by"]), (blog, "done", "call"))

    def test_page_load_of_a_blog_reaches_us_with_its_key(self):
        for blog in [1] + self.s.blogs:
            with self.subTest(blog=blog):
                self.let_looks_end()
                cronrow.drop_lock(self.s, blog)
                event = self.due()
                cronrow.put(self.s, [event], blog)
                path, headers = self.where(blog)
                status, _, _ = self.s.get(path + "/", headers)
                self.assertEqual(status, 200)
                tick, = self.wait_ran([event])
                self.assert_in(tick, blog)
                self.wait_settled()
                self.assertEqual(self.row(event)["woken_by"], "page")
                self.s.wait_until(lambda b=blog: cronrow.lock(
                    self.s, b) is None, 10, what="the blog's lock is gone")

    def test_blog_made_just_now_is_found_by_its_ping(self):
        number = len(self.s.blogs) + 1
        host, path = ("b%d.%s" % (number, NAME), "/") if \
            self.subdomains else (NAME, "/b%d/" % number)
        blog = int(self.s.wp_eval(
            "echo wp_insert_site( array( 'domain' => %r, 'path' => %r,"
            " 'title' => 'New', 'user_id' => 1 ) );" % (host, path)))
        self.s.mysql("INSERT INTO wp_%d_options (option_name, option_value)"
                     " VALUES ('tick_option', 'of %d')" % (blog, blog))
        self.s.blogs.append(blog)
        event = self.due()
        cronrow.put(self.s, [event], blog)
        before, headers = self.where(blog)
        end = time.monotonic() + 45
        while not self.ticks_of([event]) and time.monotonic() < end:
            self.s.get(before + "/wp-cron.php", headers)
            time.sleep(0.5)
        tick, = self.wait_ran([event], 1)
        self.assert_in(tick, blog)

    def test_actions_of_a_blog_run_in_it(self):
        blog = self.s.blogs[0]
        base = self.s.prefix
        self.s.prefix = "wp_%d_" % blog
        try:
            NetworkCase.serial += 1
            first = self.s.insert_actions(1, "tick_where",
                                          "[%d]" % NetworkCase.serial)
            path, headers = self.where(blog)

            def done():
                self.s.get(path + "/wp-cron.php", headers)
                return self.s.statuses("action_id >= %s", (first,)) == {
                    "complete": 1}
            self.s.wait_until(done, 30, 0.5, "the blog's action is complete")
        finally:
            self.s.prefix = base
        tick, = [x for x in self.s.ticks.all("tick_where")
                 if x["args"] == [NetworkCase.serial]]
        self.assert_in(tick, blog)

    def test_unknown_place_is_the_main_blog_s(self):
        event = self.due()
        cronrow.put(self.s, [event])
        status, _, _ = self.s.get("/nobody/wp-cron.php",
                                  {"Host": "nobody.test"})
        self.assertEqual(status, 200)
        tick, = self.wait_ran([event])
        self.assert_in(tick, 1)


class SubDomainsTest(PlacesTest):
    subdomains = True


class FallbackTest(NetworkCase):
    """A network on a port, and the other snippet: while the daemon is away,
    PHP runs wp-cron.php."""

    def test_each_blog_s_events_run_with_the_daemon_and_without(self):
        type(self).s = s = network_site(self, 1)
        d = s.start_daemon(daemon="look_interval = 1h\n")
        # A network on a port: Debian's fastcgi_params say $host, without it.
        s.start_nginx(daemon=d, snippet="wp-cron-fcgi-fallback.conf",
                      edit=lambda text: rewritten(text).replace(
                          'fastcgi_param HTTP_PROXY "";',
                          "fastcgi_param HTTP_HOST $http_host;"))
        s.wait_until(lambda: "site.ready" in d.log_text())
        paths = {1: "/wp-cron.php", s.blogs[0]: "/b1/wp-cron.php"}
        for blog, path in paths.items():
            event = self.due()
            cronrow.put(s, [event], blog)
            status, headers, _ = s.get(path)
            self.assertEqual(status, 200)
            self.assertIn(headers["X-WP-Cron"], ("started", "queued"))
            tick, = self.wait_ran([event])
            self.assertEqual(tick["blog"], blog)
        self.assertEqual(d.stop(), 0)
        for blog, path in paths.items():
            with self.subTest(blog=blog):
                event = self.due()
                cronrow.put(s, [event], blog)
                status, headers, _ = s.get(path + "?doing_wp_cron")
                self.assertEqual(status, 200)
                self.assertIsNone(headers["X-WP-Cron"])
                tick, = self.wait_ran([event])
                self.assertEqual(tick["blog"], blog)
                self.assertEqual(cronrow.events(s, blog), [])

if __name__ == "__main__":
    unittest.main()
