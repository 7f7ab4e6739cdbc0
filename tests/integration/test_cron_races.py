"""Eight php-fpm processes schedule and clear cron events, 50 in each boot,
while what is due is run: by the daemon or by WordPress' own wp-cron.php, with
the companion plugin and without.

RACES_SECONDS=60 makes each run that long; it goes on until 1,000 conflicts were
seen: writes of a list that another process had changed since it was read.
"""

import os
import threading
import unittest

import cronrow
from races import DAEMON_USER, Races

SECONDS = float(os.environ.get("RACES_SECONDS", 15))
SETTINGS = "workers = 4\nphp_children = 2\nlog_level = info\n"


class CronRacesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.races = Races(cls)
        cls.s = cls.races.s
        cls.s.start_nginx(stock_cron=True)

    def stock(self):
        """Calls wp-cron.php as a crontab does, only oftener."""
        over = threading.Event()

        def call():
            while not over.wait(0.1):
                self.s.get("/wp-cron.php?doing_wp_cron", timeout=120)
        thread = threading.Thread(target=call)
        thread.start()

        def stop():
            over.set()
            thread.join()
        return stop

    def daemon(self):
        d = self.s.start_daemon(daemon=SETTINGS, site=self.s.daemon_site)

        def stop():
            self.assertEqual(d.stop(timeout=60), 0)
            self.s.servers.remove(d)
        return stop

    def race(self, name, run, companion):
        self.races.begin(companion)
        stop = run()
        try:
            out = self.races.write(SECONDS)
            self.races.settle()
        finally:
            stop()
        self.races.check(out)
        print(out.line(name), flush=True)
        self.assertGreaterEqual(out.conflicts, 1000)
        self.assertGreater(out.due, 50)
        return out

    def assertNothingWrong(self, out):
        wrong = out.lost + out.resurrected + out.doubled
        authors = self.races.authors([key for key, _ in wrong[:10]])
        for key, words in wrong[:10]:
            print(words, authors[key][-12:])
        self.assertEqual(wrong, [])
        self.assertEqual(out.refused, [])

    def test_wordpress_alone_loses_events_and_repeats_them(self):
        out = self.race("wp-cron.php", self.stock, False)
        self.assertGreater(len(out.lost), 0)
        self.assertGreater(len(out.resurrected) + len(out.doubled), 0)

    def test_wordpress_with_the_companion_loses_nothing(self):
        out = self.race("wp-cron.php, companion", self.stock, True)
        self.assertNothingWrong(out)

    def test_with_the_companion_nothing_is_lost_and_nothing_doubled(self):
        out = self.race("daemon, companion", self.daemon, True)
        self.assertNothingWrong(out)
        self.assertNoSlotTwice()

    def test_without_it_every_loss_is_wordpress_own(self):
        out = self.race("daemon", self.daemon, False)
        # What was brought back is known to the ledger, and not run again.
        self.assertEqual([w for w in out.doubled if "ran" in w[1]], [])
        self.assertNoSlotTwice()
        back = cronrow.states(self.s).get("resurrected", 0)
        ours = self.by_the_daemon(out)
        print("races: daemon: %d brought back and not run again; of %d lost"
              " and %d come back, by the daemon: %d" % (
                  back, len(out.lost), len(out.resurrected), len(ours)))
        for words in ours[:10]:
            print(words)
        self.assertGreater(len(out.lost), 0)
        self.assertEqual(ours, [])

    def assertNoSlotTwice(self):
        rows = self.s.mysql(
            "SELECT hook, slot, COUNT(*) AS n FROM wp_wpcron_events WHERE"
            " state = 'done' GROUP BY slot HAVING n > 1")
        self.assertEqual(rows, [])

    def by_the_daemon(self, out):
        """Of what is wrong, that which the daemon's writes have done: an
        event that never ran was taken out, a series' end is its write, or a
        cleared one was put back."""
        authors = self.races.authors(
            [key for key, _ in out.lost + out.resurrected])
        ours = []
        for key, words in out.lost:
            gone = [a for _, a, sign in authors[key] if sign == "-"]
            if DAEMON_USER in (gone if "tick_one" in words else gone[-1:]):
                ours.append((words, authors[key]))
        for key, words in out.resurrected:
            if (DAEMON_USER, "+") in [x[1:] for x in authors[key]]:
                ours.append((words, authors[key]))
        return ours
