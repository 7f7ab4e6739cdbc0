"""Mail plugins of every shape: which mails are stored in the outbox, and which
are left to the plugin."""

import unittest

from mail_server import MailServer
from mails import MailCase

CATCHER = "the class WPCron_Mail_Catcher is in the global"


class ShapesTest(MailCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = MailServer()
        cls.server.start(cls.s.path("exim"))
        cls.addClassCleanup(cls.server.stop)

    def setUp(self):
        super().setUp()
        self.server.clear()
        self.option("wpcron_mail_port", str(self.server.port))

    def run_shape(self, shape, **options):
        self.option("wpcron_mail_shape", shape)
        return self.send(self.job(
            "mail_send", "ann@example.com", "Subject", "Text",
            ["From: shop@example.org", "Bcc: hidden@example.com"]), **options)

    def assert_stored(self, reply):
        self.assertEqual(reply.counts, (1, 0), reply.text)
        row, mail, data = self.only()
        self.assertEqual((row["to"], mail["Subject"]), (
            ["ann@example.com", "hidden@example.com"], "Subject"))
        self.assertNotIn(b"hidden", data)
        self.assertEqual(self.notes(), ["succeeded", "sent"])
        self.assertEqual((self.mailed(), self.server.count()), ([], 0))

    def assert_left(self, reply, why, notes):
        self.assertEqual(reply.kinds(), ["done"])
        self.assertEqual(reply.counts, (0, 1), reply.text)
        self.assertIn(why, reply.why)
        self.assertEqual((self.rows(), self.mailed()), ([], []))
        self.assertEqual(self.notes(), notes)

    def test_none_or_cores_own_object(self):
        for shape in ("", "core-class"):
            with self.subTest(shape):
                self.s.mysql("DELETE FROM wp_wpcron_outbox")
                open(self.s.notes, "w").close()
                self.assert_stored(self.run_shape(shape))

    def test_a_part_of_cores_files_is_completed(self):
        self.option("wpcron_mail_shape", "core-file")
        reply = self.send(self.job("mail_send", "nobody"))
        self.assertEqual((reply.kinds(), reply.counts), (["done"], (0, 0)))
        self.assertEqual(self.notes(), [
            "failed: You must provide at least one recipient email address.",
            "not sent"])

    def test_smtp_set_in_phpmailer_init_is_left(self):
        self.assert_left(self.run_shape("init-smtp"),
                         "a plugin chose the transport smtp",
                         ["succeeded", "sent"])
        (sender, to, data), = self.server.wait(1)
        self.assertEqual((sender, sorted(to)), (
            "shop@example.org", ["ann@example.com", "hidden@example.com"]))

    def test_or_taken_over(self):
        self.assert_stored(self.run_shape("init-smtp", take_over=1))

    def test_or_goes_where_all_mails_are_to_go(self):
        self.assert_stored(self.run_shape(
            "init-smtp", redirect_to="test@own.test"))

    def test_who_is_named_in_a_header_of_a_plugins_own_gets_it(self):
        reply = self.run_shape("init-headers")
        self.assertEqual(reply.counts, (1, 0), reply.text)
        row, mail, data = self.only()
        self.assertEqual(sorted(row["to"]), [
            "again@example.com", "ann@example.com", "archive@example.com",
            "hidden@example.com", "seen@example.com"])
        self.assertNotRegex(data, b"archive|again|hidden")
        self.assertEqual((mail["Cc"], mail["Bcc"], mail["X-Bcc"]),
                         ("seen@example.com", None, "left"))

    def test_what_is_taken_over_and_cannot_be_stored_goes_the_plugins_way(self):
        self.s.mysql("RENAME TABLE wp_wpcron_outbox TO wp_away")
        try:
            reply = self.run_shape("init-smtp", take_over=1)
        finally:
            self.s.mysql("RENAME TABLE wp_away TO wp_wpcron_outbox")
        self.assert_left(reply, "database error 1146", ["succeeded", "sent"])
        self.assertEqual(len(self.server.wait(1)), 1)

    def test_another_class_is_left_whenever_it_comes(self):
        for shape in ("global-before", "global-during",
                      "global-by-reference"):
            for take_over in (0, 1):
                with self.subTest(shape, take_over=take_over):
                    open(self.s.notes, "w").close()
                    self.assert_left(
                        self.run_shape(shape, take_over=take_over), CATCHER,
                        ["api Subject", "succeeded", "sent"])

    def test_what_is_left_is_counted(self):
        self.run_shape("pre-wp-mail")
        self.run_shape("global-before")
        self.run_shape("core-class")
        self.assertEqual(
            [(r["name"], r["value"]) for r in
             self.s.mysql("SELECT name, value FROM wp_wpcron_meta")],
            [("mails_left/1", "2")])
        # For want of the table no mail is lost, and no job fails.
        self.s.mysql("RENAME TABLE wp_wpcron_meta TO wp_wpcron_away")
        try:
            reply = self.run_shape("pre-wp-mail")
            self.assertEqual((reply.kinds(), reply.counts),
                             (["done"], (0, 1)))
        finally:
            self.s.mysql("RENAME TABLE wp_wpcron_away TO wp_wpcron_meta")

    def test_pre_wp_mail_is_left(self):
        self.assert_left(self.run_shape("pre-wp-mail"), "pre_wp_mail",
                         ["api Subject", "sent"])

    def test_a_replaced_wp_mail_is_left(self):
        reply = self.run_shape("pluggable")
        self.assert_left(reply, "wp_mail() is replaced in ",
                         ["api Subject", "sent"])
        self.assertIn("wpcron-mail.php", reply.why)

    def test_the_plugins_object_is_there_for_the_next_job(self):
        self.option("wpcron_mail_shape", "global-before")
        jobs = [self.job("mail_send", "ann@example.com", "M%d" % i, "Text",
                         "From: shop@example.org")
                for i in range(3)]
        reply = self.send(*jobs)
        self.assertEqual((reply.requests, reply.counts), (1, (0, 3)))
        self.assertEqual(self.notes(), [
            "api M0", "succeeded", "sent", "api M1", "succeeded", "sent",
            "api M2", "succeeded", "sent"])

    def test_an_object_that_a_job_puts_there_is_gone_in_the_next(self):
        self.option("wpcron_mail_shape", "core-class")
        reply = self.send(self.job("mail_leaves_catcher"), self.job(
            "mail_send", "ann@example.com", "After", "Text",
            "From: shop@example.org"))
        self.assertEqual((reply.requests, reply.counts), (1, (1, 1)))
        self.assertEqual(self.subjects(), ["After"])


if __name__ == "__main__":
    unittest.main()
