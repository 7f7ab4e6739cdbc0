"""Readers staged in the tables reach their provider, by the whole program."""

import time
import unittest

import newspack
from esp.mailchimp import Mailchimp
from esp.webhook import Webhook
from stack import Stack

TSAN = True

SITE = """
contacts_every = 1s
"""
ESP = """
[integration default/esp]
provider = mailchimp
api = %s
key = %s
list = %s
incoming = FAVOURITE
"""


class Spine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        s = cls.s = Stack()
        cls.addClassCleanup(s.close)
        s.start_mariadb()
        s.install_wordpress(config_extra=newspack.CRON_DISABLE,
                            plugins=("wpcron-demo",))
        s.install_action_scheduler()
        newspack.install(s, metadata=True)
        s.start_php_fpm(children=3)
        cls.esp = Mailchimp()
        cls.addClassCleanup(cls.esp.close)
        cls.daemon = s.start_daemon(
            daemon="node_expiry = 20s\nheartbeat = 500ms\n", site=SITE,
            rest=ESP % (cls.esp.url, cls.esp.key, cls.esp.list))

    def settled(self, ids, timeout=60):
        self.s.wait_until(
            lambda: not set(newspack.flags(self.s)) & set(ids), timeout,
            what="no flag is left")

    def test_staged_readers_are_pushed_and_their_flags_go(self):
        s, esp = self.s, self.esp
        ids = newspack.users(s, 60)
        newspack.stage(s, ids, directions=("push",))
        self.settled(ids)
        known = {newspack.email(s, u) for u in ids}
        self.assertEqual(known - set(esp.members), set())
        self.assertEqual(esp.values(known.pop())["origin_newspack"], "1")
        self.assertEqual(esp.violations, [])

    def test_what_was_pulled_is_reader_data(self):
        s, esp = self.s, self.esp
        ids = newspack.users(s, 3)
        esp.add_field("Favourite", tag="FAVOURITE")
        for i, u in enumerate(ids):
            esp.put(newspack.email(s, u), FAVOURITE="blue %d" % i)
        newspack.stage(s, ids, directions=("pull",))
        self.settled(ids)
        for i, u in enumerate(ids):
            self.assertEqual(newspack.reader_data(s, u),
                             {"FAVOURITE": '"blue %d"' % i})
        self.assertEqual(esp.violations, [])

    def test_who_has_not_changed_is_not_sent_again(self):
        s, esp = self.s, self.esp
        ids = newspack.users(s, 2)
        newspack.stage(s, ids, directions=("push",))
        self.settled(ids)
        esp.forget()
        newspack.stage(s, ids, directions=("push",))
        self.settled(ids)
        self.assertEqual(esp.count(lambda c: c.method == "PUT"), 0)

    def test_a_failure_is_a_retry_row_and_is_run_natively(self):
        s, esp = self.s, self.esp
        user = newspack.users(s, 1)[0]
        esp.fail(503, times=1, where=lambda c: c.method == "PUT")
        newspack.stage(s, [user], directions=("push",))
        self.settled([user])
        row = newspack.retries(s, "push")[0]
        self.assertEqual(row["group"], "newspack-integration-esp")
        self.assertEqual(row["data"]["user_id"], user)
        self.assertEqual(row["data"]["retry_count"], 1)
        failed = newspack.calls(s, "newspack_sync_contact_failed")
        self.assertEqual([c["integration"] for c in failed], ["esp"])
        s.mysql("UPDATE wp_actionscheduler_actions SET scheduled_date_gmt ="
                " UTC_TIMESTAMP() WHERE action_id = %s", (row["action_id"],))
        s.wait_until(lambda: s.statuses("action_id = %s", (
            row["action_id"],)) == {"complete": 1}, what="the retry is done")
        self.assertIn(newspack.email(s, user), esp.members)


class Lake(unittest.TestCase):
    """An integration that the configuration alone knows."""

    def test_a_webhook_gets_every_reader_signed(self):
        s = Stack()
        self.addCleanup(s.close)
        s.start_mariadb()
        s.install_wordpress(config_extra=newspack.CRON_DISABLE,
                            plugins=("wpcron-demo",))
        s.install_action_scheduler()
        newspack.install(s, integrations=(), metadata=True)
        s.start_php_fpm(children=3)
        lake = Webhook()
        self.addCleanup(lake.close)
        s.start_daemon(site=SITE, rest=(
            "[integration default/lake]\nprovider = webhook\napi = %s%s\n"
            "secret = %s\nprivate_address = yes\n" % (
                lake.url, lake.path, lake.secret)))
        ids = newspack.users(s, 150)
        newspack.stage(s, ids, directions=("push",))
        s.wait_until(lambda: not newspack.flags(s), 60, what="no flag is left")
        self.assertEqual(sorted(lake.emails()),
                         sorted(newspack.email(s, u) for u in ids))
        self.assertEqual(lake.violations, [])


if __name__ == "__main__":
    unittest.main()
