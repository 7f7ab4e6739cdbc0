"""What five hundred blogs cost when three have something due, and that one with
ten thousand events leaves the others on time.

NETWORK_BLOGS and NETWORK_CROWD set how many. FULL=1: also what takes a minute.
"""

import os
import subprocess
import time
import unittest

import cronrow
from cronrow import Event
from networks import NetworkCase, network_site, rewritten
from stack import tool

ALONE = True  # it measures
BLOGS = int(os.environ.get("NETWORK_BLOGS", "500"))
CROWD = int(os.environ.get("NETWORK_CROWD", "10000"))
SCAN_MS = 50
LATE_S = 4.0
SCAN = "%UNION ALL%\\_options%"
LIGHT = {"innodb_flush_log_at_trx_commit": "0", "table_open_cache": "2000",
         "innodb_file_per_table": "0"}


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
        self.s.wait_until(lambda: self.s.ticks.count("tick_a") > 50, 60)
        # They are written before the first of them is due.
        begin = int(time.time()) + 4
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
