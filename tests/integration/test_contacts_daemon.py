"""Contacts in the daemon: what makes it run, what stops it, what kills it."""

import random
import signal
import time
import unittest

import newspack
from esp.mailchimp import Mailchimp
from stack import Stack

NODE = "node_expiry = 1s\nheartbeat = 300ms\n"
READERS = 2000
KILLS = 4


class DaemonCase(unittest.TestCase):
    config_extra = newspack.CRON_DISABLE

    @classmethod
    def setUpClass(cls):
        s = cls.s = Stack()
        cls.addClassCleanup(s.close)
        s.start_mariadb()
        s.install_wordpress(config_extra=cls.config_extra,
                            plugins=("wpcron-demo",))
        s.install_action_scheduler()
        newspack.install(s, metadata=True)
        s.start_php_fpm(children=3)

    def setUp(self):
        self.esp = Mailchimp()
        self.addCleanup(self.esp.close)
        self.addCleanup(lambda: self.assertEqual(self.esp.violations, []))
        self.daemon = None
        self.addCleanup(lambda: self.daemon and self.daemon.stop())

    def start(self, every="1s"):
        esp = self.esp
        self.daemon = self.s.start_daemon(
            daemon=NODE, site="contacts_every = %s\n" % every,
            rest="[integration default/esp]\nprovider = mailchimp\n"
                 "api = %s\nkey = %s\nlist = %s\n" % (
                     esp.url, esp.key, esp.list))

    def emptied(self, timeout=60):
        self.s.wait_until(lambda: not newspack.flags(self.s), timeout,
                          what="no flag is left")

    def answered(self):
        """What a daemon that has ended asked for would count beside what the
        next one asks for."""
        self.s.wait_until(lambda: self.esp.busy == 0)

    def addresses(self, ids):
        return {newspack.email(self.s, u) for u in ids}


class Event(DaemonCase):
    """PHP's own event is there: it says when, and PHP does not run it."""

    config_extra = ""

    def test_the_event_of_php_runs_our_batch(self):
        s = self.s
        ids = newspack.users(s, 5)
        newspack.stage(s, ids, directions=("push",))
        s.wp_eval("")  # the plugin schedules its event at init
        self.assertIn(newspack.BATCH, s.option("cron"))
        self.start(every="1h")
        self.emptied()
        s.wait_until(lambda: s.mysql(
            "SELECT 1 FROM wp_wpcron_events WHERE hook = %s AND state ="
            " 'done' AND executor = 'queue'", (newspack.BATCH,)),
            what="the event is done")
        self.assertEqual(self.addresses(ids) - set(self.esp.members), set())
        self.assertEqual(newspack.calls(s, "push"), [])

    def test_without_it_nothing_runs_by_our_own_clock(self):
        s = self.s
        s.mysql("DELETE FROM wp_options WHERE option_name = 'cron'")
        ids = newspack.users(s, 2)
        newspack.stage(s, ids, directions=("push",))
        self.start(every="1s")
        time.sleep(5)
        self.assertEqual(set(newspack.flags(s)), set(ids))
        self.assertEqual(len(self.esp.members), 0)
        newspack.stage(s, [])
        s.mysql("DELETE FROM wp_usermeta WHERE meta_key = %s",
                (newspack.PENDING["push"],))


class Ends(DaemonCase):
    def test_a_killed_daemon_loses_nobody(self):
        s, dice = self.s, random.Random(4)
        ids = newspack.users(s, READERS)
        self.esp.delay = 0.05
        newspack.stage(s, ids, directions=("push",))
        kills = 0
        while kills < KILLS and newspack.flags(s):
            self.start()
            time.sleep(2 + dice.uniform(0, 1.0))
            self.daemon.kill()
            self.daemon = None
            kills += 1
            self.answered()
        self.start()
        self.emptied(120)
        self.assertEqual(self.addresses(ids) - set(self.esp.members), set())
        s.wait_until(lambda: s.value(
            "SELECT COUNT(*) FROM wp_wpcron_batches") == 0, 120,
            what="every bulk call is settled")

    def test_a_stop_amid_a_batch_is_quick_and_keeps_who_was_not_sent(self):
        s = self.s
        ids = newspack.users(s, READERS)
        self.esp.delay = 1.0
        newspack.stage(s, ids, directions=("push",))
        self.start()
        s.wait_until(lambda: len(self.esp.calls) > 0, what="it is at it")
        began = time.monotonic()
        self.daemon.send_signal(signal.SIGTERM)
        self.daemon.stop()
        self.daemon = None
        self.assertLess(time.monotonic() - began, 15)
        self.answered()
        self.esp.delay = 0
        self.start()
        self.emptied(120)
        self.assertEqual(self.addresses(ids) - set(self.esp.members), set())


if __name__ == "__main__":
    unittest.main()
