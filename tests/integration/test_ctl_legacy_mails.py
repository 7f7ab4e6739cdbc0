"""wp-cronctl mails legacy: what WooCommerce before 10.8 left behind becomes
actions of its queue of today."""

import json
import os
import unittest

from cronrow import serialize
from ctl_mail import CONFIG, FAILED, USAGE, MailCtl
from newspack import set_option
from stack import FIXTURES

HOOK = "woocommerce_send_queued_transactional_email"
DAY = 86400


def order(n):
    return 'O:8:"WC_Order":1:{s:5:"\0*\0id";i:%d;}' % n


def items(*given):
    """A batch; each (filter, serialized arguments)."""
    return "a:%d:{%s}" % (len(given), "".join(
        'i:%d;a:2:{s:6:"filter";s:%d:"%s";s:4:"args";%s}' % (
            i, len(name), name, args) for i, (name, args)
        in enumerate(given)))


def status(n):
    """The mail of an order's change, as it was deferred."""
    return ("woocommerce_order_status_pending_to_processing",
            "a:2:{i:0;i:%d;i:1;%s}" % (n, order(n)))


class LegacyCase(MailCtl):
    @classmethod
    def prepare(cls):
        cls.s.install_action_scheduler()

    def setUp(self):
        super().setUp()
        for statement in (
                "DELETE FROM wp_options WHERE option_name LIKE"
                " 'wp\\_1\\_wc\\_emailer%%'",
                "DELETE FROM wp_posts WHERE post_type = 'shop_order'",
                "DELETE FROM wp_actionscheduler_actions",
                "DROP TABLE IF EXISTS wp_wc_orders"):
            self.s.mysql(statement, ())
        set_option(self.s, "woocommerce_version", "10.8.1")

    def order(self, n, age_s):
        self.s.mysql(
            "INSERT INTO wp_posts (ID, post_type, post_date_gmt, post_date,"
            " post_modified, post_modified_gmt, post_content, post_title,"
            " post_excerpt, to_ping, pinged, post_content_filtered) VALUES"
            " (%s, 'shop_order', UTC_TIMESTAMP() - INTERVAL %s SECOND, NOW(),"
            " NOW(), NOW(), '', '', '', '', '', '')", (n, age_s))

    def batch(self, text, name="0123456789abcdef"):
        self.s.mysql(
            "INSERT INTO wp_options (option_name, option_value, autoload)"
            " VALUES (%s, %s, 'no')",
            ("wp_1_wc_emailer_batch_" + name, text))
        return self.s.value("SELECT MAX(option_id) FROM wp_options")

    def left(self):
        return {r["option_id"]: r["option_value"] for r in self.s.mysql(
            "SELECT option_id, option_value FROM wp_options WHERE option_name"
            " LIKE 'wp\\_1\\_wc\\_emailer%%'", ())}

    def drain(self, age="2d", code=0):
        return self.json("mails", "legacy", "drain", "--confirm",
                         "--newer-than", age, code=code)

    def queued(self):
        return [json.loads(r["extended_args"] or r["args"]) for r in
                self.s.actions("hook = %s", (HOOK,))]


class ListTest(LegacyCase):
    def test_batches_with_their_age_and_number(self):
        self.order(901, 3 * DAY + 3600)
        self.order(902, 3600)
        one = self.batch(items(status(901), status(902)))
        two = self.batch("no list", "f")
        rows = self.json("mails", "legacy", "list")
        self.assertEqual([(r["batch"], r["items"]) for r in rows],
                         [(one, 2), (two, 0)])
        self.assertEqual(rows[0]["age"], "3d 1h")
        self.assertIn("pending_to_processing", rows[0]["mails"])
        self.assertIn("cannot be read", rows[1]["problem"])

    def test_a_site_without_any(self):
        self.assertEqual(self.json("mails", "legacy", "list"), [])


class DrainTest(LegacyCase):
    def test_the_newer_ones_are_queued_in_their_order(self):
        for n, age in ((901, 100), (902, 5 * DAY), (903, 50)):
            self.order(n, age)
        one = self.batch(items(status(901), status(902)))
        self.batch(items(status(903)), "f")
        rows = self.drain(code=FAILED)
        self.assertEqual([(r["items"], r["queued"], r["left"])
                          for r in rows], [(2, 1, 1), (1, 1, 0)])
        self.assertEqual(self.queued(), [[
            "woocommerce_order_status_pending_to_processing",
            [n, {"__woocommerce_deferred_email_object":
                 {"type": "order", "id": n}}]] for n in (901, 903)])
        self.assertEqual(self.left(), {one: items(status(902))})
        row = self.s.actions("hook = %s", (HOOK,))[0]
        self.assertEqual((row["status"], row["claim_id"]), ("pending", 0))
        self.assertEqual(self.s.value(
            "SELECT slug FROM wp_actionscheduler_groups WHERE group_id = %s",
            (row["group_id"],)), "woocommerce-emails")
        # Once more: nothing is queued twice.
        self.drain(code=FAILED)
        self.assertEqual(len(self.queued()), 2)

    def test_every_shape_of_arguments(self):
        self.order(901, 10)
        note = "n" * 300
        self.batch(items(
            ("woocommerce_order_status_completed", "a:1:{i:0;i:901;}"),
            ("woocommerce_new_customer_note", serialize(
                {0: {"order_id": 901, "customer_note": note}}).decode()),
            ("woocommerce_order_fully_refunded",
             "a:2:{i:0;i:901;i:1;i:456;}")))
        self.assertEqual(self.drain()[0]["queued"], 3)
        self.assertEqual(self.queued(), [
            ["woocommerce_order_status_completed", [901]],
            ["woocommerce_new_customer_note",
             [{"order_id": 901, "customer_note": note}]],
            ["woocommerce_order_fully_refunded", [901, 456]]])
        self.assertEqual(self.left(), {})

    def test_what_today_s_queue_cannot_take_stays(self):
        self.order(901, 10)
        text = items(("woocommerce_order_x",
                      'a:2:{i:0;i:901;i:1;O:3:"Foo":0:{}}'),
                     ("woocommerce_low_stock", "a:1:{i:0;i:55;}"))
        batch = self.batch(text)
        row, = self.drain(code=FAILED)
        self.assertEqual((row["queued"], row["left"]), (0, 2))
        self.assertEqual(self.left(), {batch: text})
        self.assertEqual(self.queued(), [])

    def test_what_refers_into_the_whole_does_not_stay_alone(self):
        self.order(901, 100)
        self.order(902, 5 * DAY)
        text = items(status(901), (
            status(902)[0],
            "a:3:{i:0;i:902;i:1;%si:2;r:12;}" % order(902)))
        batch = self.batch(text)
        row, = self.drain(code=FAILED)
        self.assertEqual((row["queued"], row["left"]), (0, 2))
        self.assertIn("references", row["why"])
        self.assertEqual(self.left(), {batch: text})
        self.assertEqual(self.queued(), [])
        # As a whole it can go.
        self.assertEqual(self.drain(age="9d")[0]["queued"], 2)

    def test_orders_of_their_own_table(self):
        self.s.mysql("CREATE TABLE wp_wc_orders (id BIGINT UNSIGNED NOT NULL"
                     " PRIMARY KEY, date_created_gmt DATETIME)")
        self.s.mysql("INSERT INTO wp_wc_orders VALUES (901, UTC_TIMESTAMP()"
                     " - INTERVAL 1 HOUR)")
        self.batch(items(status(901)))
        self.assertEqual(self.drain()[0]["queued"], 1)

    def test_it_wants_to_be_told_twice(self):
        self.order(901, 10)
        self.batch(items(status(901)))
        for args in ([], ["--confirm"], ["--newer-than=2d"],
                     ["--confirm", "--newer-than=soon"]):
            self.call("mails", "legacy", "drain", *args, code=USAGE)
        self.assertEqual(self.queued(), [])

    def test_an_older_woocommerce_does_it_itself(self):
        self.order(901, 10)
        self.batch(items(status(901)))
        set_option(self.s, "woocommerce_version", "10.7.0")
        self.call("mails", "legacy", "drain", "--confirm",
                  "--newer-than=2d", code=CONFIG)
        self.assertIn("10.7", self.stderr)
        self.assertEqual(self.queued(), [])


class SentTest(LegacyCase):
    @classmethod
    def prepare(cls):
        super().prepare()
        # The fixture notes there what it does.
        log = cls.s.path("shop.log")
        with open(log, "w", encoding="ascii"):
            pass
        os.chmod(log, 0o666)
        cls.s.write_config("define( 'WPCRON_MISBEHAVE_LOG', '%s' );" % log)
        cls.s.add_plugin(os.path.join(FIXTURES, "plugins",
                                      "wpcron-woocommerce"))

    def test_the_daemon_sends_them(self):
        self.order(801, 10)
        self.batch(items(status(801)))
        self.drain()
        self.call("run")
        self.call("outbox", "send")
        # The shop's and the customer's.
        self.assertEqual(len(self.relay.mails), 2)
        for mail in self.relay.mails:
            self.assertIn("order_status_pending_to_processing 801",
                          mail.header("Subject"))


if __name__ == "__main__":
    unittest.main()
