"""WooCommerce's deferred mails: each is an action, run by PHP, whose mails go
into the outbox; one that WooCommerce would pass over fails with a reason."""

import json
import os
import time
import unittest

from mail_server import MailServer
from mails import MailCase
from stack import Stack

HOOK = "woocommerce_send_queued_transactional_email"
GROUP = "woocommerce-emails"


def ref(kind, of):
    return {"__woocommerce_deferred_email_object": {"type": kind, "id": of}}


# What WooCommerce stored, of every build that did, and the mails' subject.
GOOD = [
    (["woocommerce_order_status_completed", [123]],
     "order_status_completed 123"),
    (["woocommerce_order_status_pending_to_processing",
      [123, ref("order", 123)]], "order_status_pending_to_processing 123"),
    (["woocommerce_low_stock", [ref("product", 55)]],
     "low_stock product 55"),
    (["woocommerce_payment_gateway_enabled", [ref("payment_gateway", "bacs")]],
     "payment_gateway_enabled payment_gateway bacs"),
    (["woocommerce_product_on_backorder",
      [{"product": ref("product", 55), "order_id": 123, "quantity": 2}]],
     "product_on_backorder order 123"),
    (["woocommerce_new_customer_note",
      [{"order_id": 123, "customer_note": "Gru\u00df / \"hi\" " + "n" * 300}]],
     "new_customer_note order 123"),
    (["woocommerce_order_fully_refunded", [123, 456]],
     "order_fully_refunded 123"),
    (["woocommerce_created_customer",
      [9, {"user_login": "ann", "user_pass": "s3cret",
           "user_email": "ann@example.test", "role": "customer",
           "source": "checkout"}, False]], "created_customer 9"),
    # Of a build that did not know how to store an object.
    (["woocommerce_order_status_pending_to_processing", [123, {}]],
     "order_status_pending_to_processing 123"),
]
BAD = [[5, [1]], [["woocommerce_low_stock"], [1]], [None, []],
       ["woocommerce_low_stock"], ["woocommerce_low_stock", "1"],
       ["woocommerce_low_stock", None], []]


def insert(stack, args):
    text = json.dumps(args, separators=(",", ":"))
    short = text if len(text) <= 191 else "0" * 32
    row = stack.insert_actions(1, HOOK, short, due_in=-5, group=GROUP)
    if short is not text:
        stack.mysql("UPDATE wp_actionscheduler_actions SET extended_args=%s"
                    " WHERE action_id=%s", (text, row))
    return row


class ExecutorTest(MailCase):
    """One request of PHP after the other."""

    plugins = ("wpcron-woocommerce",)

    def line(self, job):
        row = self.s.actions("action_id=%s", (job,))[0]
        fields = super().line(job).split("\t")
        fields[2] = row["extended_args"] or row["args"]
        return "\t".join(fields)

    def insert(self, args):
        row = insert(self.s, args)
        self.claim(row)
        return row

    def test_every_vector_is_sent_by_php_and_stored(self):
        jobs = [self.insert(args) for args, _ in GOOD]
        reply = self.send(*jobs)
        self.assertEqual(reply.kinds(), ["done"] * len(GOOD))
        self.assertEqual((reply.requests, reply.counts),
                         (1, (2 * len(GOOD), 0)))
        rows = self.rows()
        self.assertEqual([r["subject"] for r in rows],
                         [s for _, s in GOOD for _ in range(2)])
        self.assertEqual([r["job"] for r in rows],
                         ["action:%d" % j for j in jobs for _ in range(2)])
        self.assertEqual([r["to"] for r in rows], [
            ["owner@shop.example"], ["ann@example.com"]] * len(GOOD))
        # A customer waits.
        self.assertEqual({r["priority"] for r in rows}, {10})
        self.assertEqual({r["sender"] for r in rows}, {"shop@shop.example"})

    def test_what_was_deleted_meanwhile_sends_nothing(self):
        reply = self.send(self.insert(
            ["woocommerce_low_stock", [ref("product", 901)]]))
        self.assertEqual((reply.kinds(), reply.counts), (["done"], (0, 0)))
        self.assertEqual(self.notes(), ["nothing for woocommerce_low_stock"])

    def deferred(self):
        return [json.loads(r["args"]) for r in self.s.actions(
            "hook=%s", (HOOK,))]

    def test_mails_deferred_by_a_job_are_queued_though_the_next_is_killed(
            self):
        pay, kill = self.job("shop_order_paid", 7), self.job("shop_killed")
        reply = self.send(pay, kill, again=1)
        self.assertEqual([o.kind for o in reply.outcomes],
                         ["done", "released", "died"])
        self.assertEqual(self.deferred(), [
            ["woocommerce_order_status_pending_to_processing",
             [7, ref("order", 7)]],
            ["woocommerce_order_status_completed", [7]]])

    def test_and_by_one_that_ends_php_itself(self):
        reply = self.send(self.job("shop_exit", 8), self.job("shop_killed"))
        self.assertEqual([o.kind for o in reply.outcomes],
                         ["failed", "released"])
        self.assertEqual(len(self.deferred()), 2)


RELAY = """
[smtp relay]
host = 127.0.0.1
port = %d
security = none
ehlo = shop.test
"""


class DaemonTest(unittest.TestCase):
    """The whole way, to a real mail server."""

    @classmethod
    def setUpClass(cls):
        s = cls.s = Stack()
        cls.addClassCleanup(s.close)
        s.start_mariadb()
        s.notes = s.path("notes.txt")
        with open(s.notes, "w"):
            os.chmod(s.notes, 0o666)
        s.install_wordpress(
            plugins=("wpcron-woocommerce",),
            config_extra="define( 'WPCRON_MISBEHAVE_LOG', '%s' );" % s.notes)
        s.install_action_scheduler()
        os.makedirs(s.path("shop-throws"))
        with open(s.path("shop-throws/shop-throws.php"), "w") as f:
            f.write("<?php\n/* Plugin Name: shop-throws */\n"
                    "add_action( %r, function ( $hook ) {\n"
                    "\tif ( 'shop_throws' === $hook ) {\n"
                    "\t\tthrow new Exception( 'no' );\n\t}\n}, 1 );\n" %
                    HOOK)
        s.add_plugin(s.path("shop-throws"))
        s.start_php_fpm(children=4)
        cls.server = MailServer()
        cls.server.start(s.path("exim"))
        cls.addClassCleanup(cls.server.stop)

    def test_each_is_run_once_in_order_and_a_wrong_one_holds_up_none(self):
        s = self.s
        good, bad = [], []
        for n, (args, _) in enumerate(GOOD):
            good.append(insert(s, args))
            if n < len(BAD):
                bad.append(insert(s, BAD[n]))
        throws = insert(s, ["shop_throws", [1]])
        s.start_daemon(site="smtp = relay", rest=RELAY % self.server.port +
                       "[policy *]\nretries = 1\nbackoff = 1s..1s\n")
        s.wait_until(lambda: not s.count("status IN ('pending',"
                                         "'in-progress')"), 60)
        self.assertEqual(
            s.statuses("action_id IN (%s)" % ",".join(map(str, good))),
            {"complete": len(GOOD)})
        self.assertEqual(
            s.statuses("action_id IN (%s)" % ",".join(map(str, bad))),
            {"failed": len(BAD)})
        for row in bad:
            self.assertRegex(" ".join(s.logs(row)),
                             "argument is no (name|list) of a mail's")
        mails = self.server.wait(2 * len(GOOD), 60)
        self.assertEqual(len(mails), 2 * len(GOOD))
        with open(s.notes) as f:
            notes = f.read().splitlines()
        self.assertEqual(notes, ["sent " + subject for _, subject in GOOD
                                 for _ in range(2)])
        # None is tried again, neither a wrong one nor one that failed.
        time.sleep(2)
        self.assertEqual(s.statuses("action_id = %s", (throws,)),
                         {"failed": 1})
        self.assertEqual(s.count("hook = %s", (HOOK,)),
                         len(GOOD) + len(BAD) + 1)
        self.assertEqual(self.server.count(), 2 * len(GOOD))


if __name__ == "__main__":
    unittest.main()
