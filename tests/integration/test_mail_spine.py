"""Mails of jobs in PHP reach a real mail server, by the whole program."""

import json
import re
import unittest

from mail_server import MailServer
from smtp_stand_in import SmtpStandIn
from stack import Stack

TSAN = True

RELAY = """
[smtp relay]
host = 127.0.0.1
port = %d
security = none
ehlo = shop.test
backoff = 1s..2s
[policy mailer_one]
mail = outbox
"""
SHOP = "woocommerce_send_queued_transactional_email"


def site():
    s = Stack()
    s.start_mariadb()
    s.install_wordpress(plugins=("wpcron-demo", "wpcron-mailer"))
    s.install_action_scheduler()
    s.start_php_fpm(children=3)
    return s


def action(s, hook, args, **more):
    return s.insert_actions(1, hook, args=json.dumps(args), **more)


class Mails(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        s = cls.s = site()
        cls.addClassCleanup(s.close)
        cls.server = MailServer()
        cls.server.start(s.path("mail"))
        cls.addClassCleanup(cls.server.stop)
        cls.daemon = s.start_daemon(site="smtp = relay\n",
                                    rest=RELAY % cls.server.port)

    def mail(self, subject):
        found = []

        def there():
            found[:] = [m for m in self.server.messages()
                        if ("Subject: " + subject).encode() in m[2]]
            return found
        self.s.wait_until(there, 60, what="a mail with subject " + subject)
        return found[0]

    def test_a_jobs_mail_goes_through_the_outbox_to_the_relay(self):
        s = self.s
        row = action(s, "mailer_one", ["ann@example.org", "one", "hello", [
            "Bcc: secret@example.org", "From: Shop <shop@example.org>"]])
        sender, recipients, data = self.mail("one")
        self.assertEqual(sender, "shop@example.org")
        self.assertEqual(sorted(recipients),
                         ["ann@example.org", "secret@example.org"])
        self.assertNotIn(b"secret@", data)
        self.assertIn(b"hello", data)
        s.wait_until(lambda: any("accepted" in line for line in s.logs(row)),
                     what="the relay's answer in the action's log")
        s.wait_until(lambda: s.statuses("action_id = %s", (row,)) == {
            "complete": 1}, what="the action is complete")
        s.wait_until(lambda: s.value(
            "SELECT state FROM wp_wpcron_outbox WHERE job = %s",
            ("action:%d" % row,)) == "sent")
        self.assertEqual(s.value(
            "SELECT COUNT(*) FROM wp_wpcron_outbox_chunks c"
            " JOIN wp_wpcron_outbox o USING (blog_id, mail_id)"
            " WHERE o.job = %s", ("action:%d" % row,)), 0)

    def test_a_shops_deferred_mails_do_so_by_themselves_and_in_order(self):
        s = self.s
        for i in range(5):
            action(s, SHOP, ["woocommerce_order_status_completed", [i]])
        for i in range(5):
            self.mail("woocommerce_order_status_completed %d" % i)
        ids = [int(m[2].split(b"completed ")[1].split()[0])
               for m in self.server.messages() if b"status_completed" in m[2]]
        jobs = s.mysql("SELECT subject FROM wp_wpcron_outbox WHERE subject"
                       " LIKE %s ORDER BY mail_id", ("%status_completed%",))
        self.assertEqual(sorted(ids), list(range(5)))
        self.assertEqual(
            [int(r["subject"].split()[-1]) for r in jobs], list(range(5)))

    def test_a_deferred_mail_without_arguments_fails_without_php(self):
        s = self.s
        row = action(s, SHOP, [5, []])
        s.wait_until(lambda: s.statuses("action_id = %s", (row,)) == {
            "failed": 1}, what="the malformed row has failed")
        s.wait_until(lambda: any("action failed via" in line
                                 for line in s.logs(row)),
                     what="its failure in its log")


DEAD = """INSERT INTO wp_wpcron_outbox (blog_id, state, job, ordinal, digest,
    message_id, sender, recipients, subject, told, created_at, not_before,
    ended_at)
VALUES (1, 'dead', 'event:%d', 1, REPEAT('x', 32), '', '',
    '[{"to":"a@to.test","state":"dead","code":550}]', '', 0, UTC_TIMESTAMP(6),
    UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))"""


class Refused(unittest.TestCase):
    def start(self):
        s = site()
        self.addCleanup(s.close)
        relay = SmtpStandIn()
        self.addCleanup(relay.close)
        relay.fail("rcpt", 550, "5.1.1 no such user", times=99)
        s.start_daemon(site="smtp = relay\n", rest=RELAY % relay.port)
        return s

    def test_listeners_that_end_php_hear_of_each_mail_once(self):
        s = self.start()
        s.mysql("INSERT INTO wp_options (option_name, option_value)"
                " VALUES ('mailer_dies', '1')")
        s.wait_until(lambda: s.value(
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_name"
            " = 'wp_wpcron_outbox_chunks'"), what="our tables")
        with s.connect(s.db_name) as db, db.cursor() as c:
            for i in range(1, 13):
                c.execute(DEAD % i)
            db.commit()
        action(s, "mailer_one", ["ann@example.org", "one", "hello"])
        s.wait_until(lambda: s.value(
            "SELECT COUNT(*) FROM wp_wpcron_outbox WHERE told = 0") == 0 and
            s.value("SELECT COUNT(*) FROM wp_wpcron_outbox") == 13, 120)
        heard = re.findall(r'"event:(\d+): ', s.option("mailer_failures"))
        self.assertEqual(sorted(map(int, heard)), list(range(1, 13)))

    def test_who_could_not_be_told_is_told_soon(self):
        s = self.start()
        s.wait_until(lambda: s.value(
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_name"
            " = 'wp_wpcron_outbox_chunks'"), what="our tables")
        # Another node is at it, until it dies.
        s.mysql("REPLACE INTO wp_wpcron_leases (name, node, token, expires_at)"
                " VALUES ('outbox/tell', 7, 7, UTC_TIMESTAMP(6) +"
                " INTERVAL 1 HOUR)")
        row = action(s, "mailer_one", ["ann@example.org", "one", "hello"])
        s.wait_until(lambda: s.value(
            "SELECT state FROM wp_wpcron_outbox") == "dead", 30)
        self.assertEqual(s.value("SELECT told FROM wp_wpcron_outbox"), 0)
        s.mysql("UPDATE wp_wpcron_leases SET expires_at = UTC_TIMESTAMP(6)"
                " WHERE name = 'outbox/tell'")
        s.wait_until(lambda: any("refused" in line for line in s.logs(row)),
                     60, what="the relay's answer in the action's log")

    def test_a_refusal_is_told_to_the_action_and_to_plugins(self):
        s = self.start()
        row = action(s, "mailer_one", ["ann@example.org", "one", "hello"])
        s.wait_until(lambda: any("refused" in line for line in s.logs(row)),
                     60, what="the relay's answer in the action's log")
        s.wait_until(lambda: s.value(
            "SELECT COUNT(*) FROM wp_wpcron_dead_letters WHERE kind ="
            " 'mail'") == 1, what="a dead letter")
        s.wait_until(lambda: s.option("mailer_failures"), 60,
                     what="wp_mail_failed")
        self.assertIn('"action:%d: ' % row, s.option("mailer_failures"))
        self.assertNotIn("ann@example.org", "\n".join(s.logs(row)))


if __name__ == "__main__":
    unittest.main()
