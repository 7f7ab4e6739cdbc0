"""Networks: every blog's own cron row, in the right blog of PHP, found by host
and path; and what five hundred blogs cost when three have something due.

NETWORK_BLOGS sets how many. FULL=1: also what takes a minute.
"""

import os
import subprocess
import time
import unittest

import cronrow
from cronrow import Event
from stack import tool

BLOGS = int(os.environ.get("NETWORK_BLOGS", "500"))
CROWD = int(os.environ.get("NETWORK_CROWD", "10000"))
SCAN_MS = 50
LATE_S = 2.0
SCAN = "%UNION ALL%\\_options%"
LIGHT = {"innodb_flush_log_at_trx_commit": "0", "table_open_cache": "2000",
         "innodb_file_per_table": "0"}
NAME = "net.test"
REWRITE = r"rewrite ^/[^/]+(/wp-cron\.php)$ $1 last;"


def rewritten(text):
    """The snippet with its line for sub-directories."""
    assert "#" + REWRITE in text
    return text.replace("#" + REWRITE, REWRITE)


def network_site(case, blogs, name=None, subdomains=False, **mariadb):
    s = cronrow.tick_site(case, children=6, **mariadb)
    if name:
        s.config_extra += ("define( 'WPCRON_TICK_CONNECT_TO',"
                           " '127.0.0.1:%d' );\n" % s.http_port)
    s.blogs = s.make_network(blogs, name, subdomains)
    for blog in s.blogs:
        s.mysql("INSERT INTO wp_%d_options (option_name, option_value)"
                " VALUES ('tick_option', 'of %d')" % (blog, blog))
        cronrow.put(s, [], blog)
    return s


class NetworkCase(unittest.TestCase):
    serial = 0

    def due(self, hook="tick_where", ago=5):
        NetworkCase.serial += 1
        return Event(time.time() - ago, hook, [NetworkCase.serial])

    def ticks_of(self, events):
        serials = [e.args[0] for e in events]
        return [x for x in self.s.ticks.all()
                if x["args"] and x["args"][0] in serials]

    def wait_ran(self, events, timeout=20):
        self.s.wait_until(
            lambda: len(self.ticks_of(events)) >= len(events), timeout, 0.05,
            "%d events run" % len(events))
        return self.ticks_of(events)

    def wait_settled(self):
        self.s.wait_until(lambda: cronrow.unfinished(self.s) == 0, 20)

    def slower(self):
        build = 1 if self.s.variant == "release" else 3
        return build * max(1, os.getloadavg()[0] / os.cpu_count())


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
        s.wait_until(lambda: "site.ready" in cls.daemon.log_text())

    @classmethod
    def put_action_tables(cls):
        base = cls.s.prefix
        cls.s.prefix = "wp_%d_" % cls.s.blogs[0]
        cls.s.install_action_scheduler()
        cls.s.prefix = base

    def where(self, blog):
        """(path before, headers) of a blog."""
        i = self.s.blogs.index(blog) + 1 if blog != 1 else 0
        if self.subdomains:
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

    def row(self, event):
        return cronrow.ledger(self.s, "event_key = %s", (event.key,))[-1]

    def test_call_of_a_blog_runs_what_it_has_due(self):
        for blog in [1] + self.s.blogs:
            with self.subTest(blog=blog):
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
        self.s = s = network_site(self, 1)
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


class ManyBlogsTest(NetworkCase):
    @classmethod
    def setUpClass(cls):
        cls.s = s = network_site(cls, 3, **LIGHT)
        begun = time.monotonic()
        cls.copies = cls.copy_blogs(BLOGS - 4)
        cls.skipped = cls.copies[-3:]
        for blog, word in zip(cls.skipped, ("archived", "spam", "deleted")):
            s.mysql("UPDATE wp_blogs SET %s = 1 WHERE blog_id = %d"
                    % (word, blog))
            cronrow.put(s, [Event(time.time() - 60, "tick_a", [blog])], blog)
        print("       %d blogs, %d of them copied in %.1f s" % (
            BLOGS, len(cls.copies), time.monotonic() - begun), flush=True)
        # Global values hold for connections that come after.
        for setting in ("log_output = 'TABLE'", "long_query_time = 0",
                        "slow_query_log = 1"):
            s.mysql("SET GLOBAL " + setting)
        cls.daemon = s.start_daemon(daemon="workers = 6\nphp_children = 3\n")
        s.start_nginx(daemon=cls.daemon, edit=rewritten)
        s.wait_until(lambda: "site.ready" in cls.daemon.log_text())

    @classmethod
    def copy_blogs(cls, n):
        """Blogs with an options table alone: enough for everybody but PHP."""
        s = cls.s
        model = s.blogs[-1]
        first = model + 1
        sql = []
        for blog in range(first, first + n):
            sql.append(
                "CREATE TABLE wp_%d_options LIKE wp_%d_options;"
                "INSERT INTO wp_%d_options SELECT * FROM wp_%d_options;"
                "UPDATE wp_%d_options SET option_value = '%s' WHERE"
                " option_name IN ('home', 'siteurl');"
                "INSERT INTO wp_blogs (blog_id, site_id, domain, path,"
                " registered, last_updated) SELECT %d, site_id, domain,"
                " '/b%d/', registered, last_updated FROM wp_blogs WHERE"
                " blog_id = %d;" % (
                    blog, model, blog, model, blog, s.url("/b%d" % blog),
                    blog, blog, model))
        subprocess.run(
            [tool("mariadb"), "--no-defaults", "-uroot", "--socket=" +
             s.db_socket, s.db_name], input="\n".join(sql), text=True,
            check=True, capture_output=True)
        return list(range(first, first + n))

    def setUp(self):
        for blog in [1] + self.s.blogs:
            cronrow.put(self.s, [], blog)
            cronrow.drop_lock(self.s, blog)
        self.wait_settled()
        self.s.ticks.clear()
        open(self.s.boots, "w").close()

    def scans(self):
        return sorted(1000 * float(r["ms"]) for r in self.s.mysql(
            "SELECT TIME_TO_SEC(query_time) AS ms FROM mysql.slow_log"
            " WHERE sql_text LIKE %s AND db = %s", (SCAN, self.s.db_name)))

    def test_scan_is_quick_and_php_boots_where_something_is_due(self):
        events = {}
        for blog in self.s.blogs:
            events[blog] = self.due()
            cronrow.put(self.s, [events[blog]], blog)
        begun = time.time()
        ticks = self.wait_ran(events.values())
        for blog, event in events.items():
            tick, = [x for x in ticks if x["args"] == event.args]
            self.assertEqual(tick["blog"], blog)
            self.assertEqual(tick["option"], "of %d" % blog)
            self.assertEqual(
                tick["home"], self.s.url("/b%d" % (self.s.blogs.index(blog)
                                                   + 1)))
        time.sleep(2)
        booted = cronrow.boots(self.s, "cron")
        scans = self.scans()
        print("       %d blogs: a scan takes %.1f ms (median of %d, %.1f at"
              " most), all 3 ran within %.1f s, PHP booted for blogs %s" % (
                  BLOGS, scans[len(scans) // 2], len(scans), scans[-1],
                  max(x["at"] for x in ticks) - begun,
                  sorted({b for b, _ in booted})), flush=True)
        self.assertLess(scans[len(scans) // 2], SCAN_MS * self.slower())
        self.assertEqual({b for b, _ in booted}, set(self.s.blogs))

    def test_archived_spam_and_deleted_blogs_are_left_alone(self):
        # Longer than a look, and than the others took.
        time.sleep(3)
        for blog in self.skipped:
            self.assertEqual(
                [e.args for e in cronrow.events(self.s, blog)], [[blog]])
        self.assertEqual(cronrow.states(
            self.s, "blog_id IN (%d, %d, %d)" % tuple(self.skipped)), {})

    def test_crowded_blog_delays_no_other(self):
        crowded, other = self.s.blogs[:2]
        now = int(time.time()) - 3
        cronrow.put(self.s, [Event(now, "tick_a", ["crowd", i])
                             for i in range(CROWD)], crowded)
        self.s.wait_until(lambda: self.s.ticks.count("tick_a") > 50, 20)
        begin = int(time.time()) + 1
        n = 12
        cronrow.put(self.s, [Event(begin + i, "tick_b", [begin + i])
                             for i in range(n)], other)
        self.s.wait_until(lambda: self.s.ticks.count("tick_b") == n, n + 30,
                          0.1)
        ticks = self.s.ticks.all()
        left = CROWD - sum(x["hook"] == "tick_a" for x in ticks)
        late = sorted(x["at"] - x["args"][0] for x in ticks
                      if x["hook"] == "tick_b")
        print("       beside %d due events (%d left at the end): another"
              " blog's begin %.2f s late, %.2f at most" % (
                  CROWD, left, late[n // 2], late[-1]), flush=True)
        self.assertTrue(all(x["blog"] == other for x in ticks
                            if x["hook"] == "tick_b"))
        self.assertLess(late[-1], LATE_S * self.slower())
        cronrow.put(self.s, [], crowded)
        self.s.wait_until(lambda: cronrow.unfinished(self.s) == 0, 60)

    @unittest.skipUnless(os.environ.get("FULL"), "takes a minute; FULL=1")
    def test_blog_that_comes_back_is_found_within_a_minute(self):
        blog = self.skipped[0]
        begun = time.monotonic()
        self.s.mysql("UPDATE wp_blogs SET archived = 0 WHERE blog_id = %d"
                     % blog)
        self.s.wait_until(lambda: cronrow.states(
            self.s, "blog_id = %d" % blog), 70, 0.2)
        print("       found after %.0f s" % (time.monotonic() - begun))


if __name__ == "__main__":
    unittest.main()
