"""Mails that jobs make in PHP, put into the outbox: what is stored, under which
name, and what PHP sends itself when it cannot be."""

import os
import shutil
import unittest

import events_table
from mails import MailCase, parse


class StoredTest(MailCase):
    def test_a_mail_is_stored_with_its_envelope(self):
        job = self.job("mail_send", "Ann Ärger <ann@example.com>", "Grüße",
                       "Zeile 1\nZeile 2",
                       ["From: Shop <shop@example.org>",
                        "Cc: bob@example.com", "Reply-To: help@example.org"])
        reply = self.send(job)
        self.assertEqual(reply.kinds(), ["done"])
        self.assertEqual(reply.counts, (1, 0), reply.text)
        row, mail, data = self.only()
        self.assertEqual(
            (row["state"], row["job"], row["ordinal"], row["priority"],
             row["sender"], row["to"], row["subject"], row["sealed"]),
            ("ready", "action:%d" % job, 1, 20, "shop@example.org",
             ["ann@example.com", "bob@example.com"], "Grüße", 0))
        self.assertEqual(row["size"], len(data))
        self.assertEqual(mail["Message-ID"], row["message_id"])
        self.assertRegex(row["message_id"], r"@127\.0\.0\.1>$")
        self.assertEqual(mail["To"], "Ann Ärger <ann@example.com>")
        self.assertEqual(mail["Cc"], "bob@example.com")
        self.assertEqual(mail["Reply-To"], "help@example.org")
        self.assertEqual(mail["Subject"], "Grüße")
        self.assertEqual(mail.get_content().split(),
                         ["Zeile", "1", "Zeile", "2"])
        self.assertNotRegex(data, rb"(?<!\r)\n|\r(?!\n)")
        self.assertEqual(self.notes(), ["succeeded", "sent"])
        self.assertEqual(self.mailed(), [])

    def test_who_gets_a_blind_copy_is_in_the_envelope_alone(self):
        self.send(self.job("mail_send", "ann@example.com", "S", "T",
                           "Bcc: hidden@example.com, too@example.com"))
        row, mail, data = self.only()
        self.assertEqual(row["to"], ["ann@example.com", "hidden@example.com",
                                     "too@example.com"])
        self.assertNotIn(b"hidden", data)
        self.assertNotIn(b"too@", data)
        self.assertNotIn(b"bcc", data.lower())
        self.assertEqual(mail["To"], "ann@example.com")

    def test_only_blind_copies_are_a_mail_too(self):
        self.send(self.job("mail_send", "", "S", "T",
                           "Bcc: hidden@example.com"))
        row, mail, data = self.only()
        self.assertEqual(row["to"], ["hidden@example.com"])
        self.assertNotIn(b"hidden", data)

    def test_a_large_attachment_arrives_whole(self):
        directory = self.s.path("files")
        os.makedirs(directory, exist_ok=True)
        os.chmod(directory, 0o777)
        reply = self.send(self.job("mail_attach", "ann@example.com",
                                   12 << 20, directory))
        self.assertEqual(reply.counts, (1, 0), reply.why)
        row, mail, data = self.only()
        with open(os.path.join(directory, "made.eml"), "rb") as f:
            self.assertTrue(f.read() == data, "not as PHPMailer made it")
        with open(os.path.join(directory, "attached.bin"), "rb") as f:
            self.assertTrue(
                f.read() == next(mail.iter_attachments()).get_content())
        sizes = [len(c) for c in self.chunks(row["mail_id"])]
        self.assertEqual(set(sizes[:-1]), {512 * 1024})
        self.assertEqual(sum(sizes), row["size"])
        # The file did not change, so a second run is the same mail.
        again = self.job("mail_attach", "ann@example.com", 12 << 20,
                         directory)
        self.s.mysql("UPDATE wp_wpcron_outbox SET job=%s",
                     ("action:%d" % again,))
        self.send(again)
        self.only()

    def test_a_job_that_runs_twice_stores_its_mails_once(self):
        job = self.job("mail_three")
        self.assertEqual(self.send(job).counts, (3, 0))
        before = self.rows()
        self.claim(job)
        self.assertEqual(self.send(job).counts, (3, 0))
        self.assertEqual(self.rows(), before)
        self.assertEqual([r["ordinal"] for r in before], [1, 2, 3])

    def test_a_job_that_was_killed_goes_on_where_it_was(self):
        flag = self.s.path("files-killed")
        job = self.job("mail_three", 2, flag)
        os.makedirs(os.path.dirname(flag), exist_ok=True)
        os.chmod(self.s.dir, 0o777)
        reply = self.send(job)
        self.assertEqual(reply.kinds(), ["died"])
        self.assertEqual(self.subjects(), ["Ticket 1", "Ticket 2"])
        self.claim(job)
        self.send(job)
        self.assertEqual(self.subjects(),
                         ["Ticket 1", "Ticket 2", "Ticket 3"])
        os.chmod(self.s.dir, 0o755)

    def test_what_a_dead_run_left_half_is_made_anew(self):
        job = self.job("mail_send", "ann@example.com")
        self.send(job)
        row = self.rows()[0]
        self.s.mysql("UPDATE wp_wpcron_outbox SET state='writing'")
        self.s.mysql("UPDATE wp_wpcron_outbox_chunks SET bytes='half'")
        self.claim(job)
        self.send(job)
        fresh, mail, data = self.only()
        self.assertNotEqual(fresh["mail_id"], row["mail_id"])
        self.assertEqual((fresh["state"], mail["Subject"]),
                         ("ready", "Subject"))
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_wpcron_outbox_chunks"), 1)

    def test_what_another_run_left_half_meanwhile_is_made_anew(self):
        """It took this run for dead, and then died itself."""
        job = self.job("mail_send", "ann@example.com")
        with self.s.connect(self.s.db_name) as db, db.cursor() as c:
            c.execute("LOCK TABLES wp_wpcron_outbox_chunks WRITE")
            run = self.start_lines([self.line(job)], outbox=1)
            self.s.wait_until(self.rows)
            self.s.mysql("UPDATE wp_wpcron_outbox SET mail_id = mail_id +"
                         " 1000")
            c.execute("UNLOCK TABLES")
        reply = self.finish(run)
        self.assertEqual(reply.kinds(), ["done"], reply.text)
        row, mail, _ = self.only()
        self.assertEqual((row["state"], mail["Subject"]),
                         ("ready", "Subject"))

    def test_a_mail_is_stored_though_the_job_rolls_back(self):
        reply = self.send(self.job("mail_in_transaction", "ann@example.com"))
        self.assertEqual(reply.kinds(), ["failed"])
        self.assertEqual(self.subjects(), ["Rolled back"])

    def test_mails_at_shutdown_are_stored_before_the_job_is_done(self):
        job = self.job("mail_at_shutdown", "ann@example.com")
        after = self.job("mail_send", "bob@example.com", "After")
        reply = self.send(job, after, again=1)
        self.assertEqual(reply.kinds(), ["done", "released", "done"])
        self.assertEqual(reply.counts, (4, 0))
        self.assertEqual(self.subjects(), [
            "From the callback", "From the hook shutdown",
            "From a shutdown function", "After"])
        self.assertEqual([r["job"] for r in self.rows()],
                         ["action:%d" % job] * 3 + ["action:%d" % after])
        self.assertEqual(self.mailed(), [])

    def test_one_job_does_not_colour_the_mails_of_the_next(self):
        first = self.job("mail_espresso", "ann@example.com")
        second = self.job("mail_send", "bob@example.com", "Your order",
                          "Thanks", ["From: Shop <shop@example.org>"])
        reply = self.send(first, second)
        self.assertEqual(reply.requests, 1)
        (one, espresso, _), (two, shop, data) = self.stored()
        self.assertEqual((one["sender"], espresso["From"]), (
            "bounces@example.com", "The Events <events@example.com>"))
        self.assertEqual(espresso.get_content_type(),
                         "multipart/alternative")
        self.assertEqual((two["sender"], shop["From"]), (
            "shop@example.org", "Shop <shop@example.org>"))
        self.assertEqual(shop.get_content_type(), "text/plain")
        self.assertNotIn(b"as text", data)

    def test_neither_without_the_outbox(self):
        first = self.job("mail_espresso", "ann@example.com")
        second = self.job("mail_send", "bob@example.com", "Your order",
                          "Thanks", ["From: Shop <shop@example.org>"])
        self.send(first, second, outbox=0, again=1)
        self.assertEqual(self.rows(), [])
        mails = {m["Subject"]: m for m in self.mailed()}
        self.assertEqual(mails["Your order"]["From"],
                         "Shop <shop@example.org>")
        self.assertEqual(mails["Your order"].get_content_type(),
                         "text/plain")

    def test_within_a_job_each_mail_has_a_mailer_of_its_own(self):
        self.send(self.job("mail_sender_once"))
        self.assertEqual([r["sender"] for r in self.rows()],
                         ["once@example.com", "shop@example.org"])

    def test_two_equal_mails_of_a_job_are_two(self):
        self.send(self.job("mail_twice"))
        one, two = self.rows()
        self.assertEqual((one["digest"], one["ordinal"], two["ordinal"]),
                         (two["digest"], 1, 2))

    def test_mails_made_in_the_midst_of_another_are_stored_too(self):
        reply = self.send(self.job("mail_nested"))
        self.assertEqual(reply.counts, (3, 0), reply.why)
        self.assertEqual(sorted(self.subjects()), [
            "Copy by pre_wp_mail", "Copy by wp_mail", "Outer"])

    def test_no_line_is_longer_than_a_relay_takes(self):
        self.send(self.job("mail_to_many", 90))
        row, mail, data = self.only()
        self.assertLessEqual(max(map(len, data.split(b"\r\n"))), 998)
        self.assertEqual(len(row["to"]), 90)
        self.assertEqual([a.addr_spec for a in mail["To"].addresses],
                         row["to"])
        self.assertEqual(mail["Subject"].strip(),
                         ("Gr\u00fc\u00dfe " * 300).strip())

    def test_a_cron_events_mails_have_its_name(self):
        events_table.create(self.s)
        self.s.mysql(events_table.insert_sql(
            self.s, 1700000005, "mail_send", "k", b"a:0:{}",
            claim=events_table.CLAIM))
        event = self.s.value("SELECT MAX(event_id) FROM wp_wpcron_events")
        reply = self.finish(self.start_lines([events_table.job_line(
            self.s, event, "mail_send",
            b'a:1:{i:0;s:15:"ann@example.com";}')], outbox=1))
        self.assertEqual(reply.kinds(), ["done"], reply.text)
        self.assertEqual([r["job"] for r in self.rows()],
                         ["event:%d" % event])

    def test_a_mail_that_is_none_fails_as_in_wordpress(self):
        reply = self.send(self.job("mail_send", "nobody"))
        self.assertEqual(reply.counts, (0, 0))
        self.assertEqual(self.notes()[-1], "not sent")
        self.assertRegex(self.notes()[0], "^failed: You must provide at "
                         "least one recipient")
        self.assertEqual(self.mailed(), [])

    def test_mails_are_sealed_with_the_key(self):
        path = self.key("0123456789abcdef" * 4 + "\n")
        job = self.job("mail_send", "ann@example.com", "S", "secret text")
        reply = self.send(job, key_file=path)
        self.assertEqual(reply.counts, (1, 0), reply.why)
        row = self.rows()[0]
        chunk, = self.chunks(row["mail_id"])
        self.assertEqual((row["sealed"], len(chunk)), (1, row["size"] + 28))
        self.assertNotIn(b"secret", chunk)
        plain = self.s.php(
            "echo openssl_decrypt( hex2bin( '%s' ), 'aes-256-gcm', hex2bin("
            " '%s' ), OPENSSL_RAW_DATA, hex2bin( '%s' ), hex2bin( '%s' ),"
            " 'mail action:%d 1 0' );" % (
                chunk[28:].hex(), "0123456789abcdef" * 4, chunk[:12].hex(),
                chunk[12:28].hex(), job))
        self.assertIn("secret text", plain)

    def key(self, text):
        path = self.s.path("key")
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o644)
        return path

    def test_without_its_key_a_mail_is_not_stored_in_clear(self):
        for text in ("", "12\n"):
            reply = self.send(self.job("mail_send", "ann@example.com"),
                              key_file=self.key(text))
            self.assertEqual(reply.counts, (0, 1))
            self.assertIn("outbox_key_file", reply.why)
        self.assertEqual(self.rows(), [])
        self.assertEqual(len(self.mailed()), 2)


CORES_CLASS = """<?php
class WP_PHPMailer extends PHPMailer\\PHPMailer\\PHPMailer {
	public function __construct( $exceptions = false ) {
		parent::__construct( $exceptions );
		$this->setLanguage();
	}
	public function setLanguage( $langcode = 'en', $lang_path = '' ) {
		$this->language = array( 'empty_message' => 'core says empty' );
		return true;
	}
}
"""


class NewerCoreTest(MailCase):
    def test_the_mailer_is_of_the_class_that_core_has(self):
        """WordPress 6.8 puts one of its own between PHPMailer and itself."""
        name = "PHPMailer\\PHPMailer\\PHPMailer"
        self.send(self.job("mail_class"))
        self.assertEqual(self.notes(), [name, "succeeded"])
        with open(os.path.join(self.s.root, "wp-includes",
                               "class-wp-phpmailer.php"), "w") as f:
            f.write(CORES_CLASS)
        reply = self.send(self.job("mail_class"), self.job(
            "mail_send", "ann@example.com", "Subject", ""))
        self.assertEqual(reply.counts, (1, 0))
        self.assertEqual(self.notes()[2:], [
            "WP_PHPMailer " + name, "succeeded", "failed: core says empty",
            "not sent"])


class PluginModeTest(MailCase):
    """With a plugin that has process_action()'s contract."""

    plugins = ("wpcron-mail", "wpcron-contract")

    def test_the_plugin_settles_its_row_and_mails_are_stored(self):
        jobs = [self.job("mail_send", "ann@example.com", "M%d" % i)
                for i in range(3)]
        late = self.job("mail_at_shutdown", "ann@example.com")
        reply = self.send(*jobs, late)
        self.assertEqual(reply.state["mode"], "plugin")
        self.assertEqual(reply.kinds(), ["settled"] * 4)
        self.assertEqual((reply.requests, reply.counts), (1, (6, 0)))
        self.assertEqual(
            [r["job"] for r in self.rows()],
            ["action:%d" % j for j in jobs + [late] * 3])


class LeftTest(MailCase):
    """What is not stored PHP sends, as WordPress would have."""

    def left(self, why, job=None, **options):
        reply = self.send(job or self.job(
            "mail_send", "ann@example.com", "Subject", "Text",
            ["From: Shop <shop@example.org>", "Bcc: b@example.com"]),
            **options)
        self.assertEqual(reply.kinds(), ["done"])
        self.assertEqual(reply.counts, (0, 1), reply.text)
        self.assertRegex(reply.why, why)
        self.assertEqual(self.notes(), ["succeeded", "sent"])
        mail, = self.mailed()
        self.assertEqual(mail["Subject"], "Subject")
        self.assertEqual(len(mail.get_all("To")), 1)
        return mail

    def test_a_mail_that_is_too_large(self):
        mail = self.left("more than outbox_max_mib", self.job(
            "mail_long", "ann@example.com", 1100000), max_mib=1)
        text = mail.get_content().strip()
        self.assertEqual((text[-4:], text.count("\n")), ("End.", 52380))
        self.assertEqual(self.rows(), [])

    def test_the_outbox_cannot_be_written(self):
        # PHPMailer would put To and Subject where mail() puts them again.
        self.s.mysql("RENAME TABLE wp_wpcron_outbox_chunks TO wp_away")
        self.addCleanup(self.s.mysql, "RENAME TABLE wp_away TO"
                        " wp_wpcron_outbox_chunks")
        mail = self.left("database error 1146")
        self.assertEqual(mail["Bcc"], "b@example.com")

    def test_the_database_lets_nobody_in(self):
        self.left("no connection to the database: error 4151",
                  self.job("mail_locked_out", "ann@example.com"))

    def test_another_domain_in_from(self):
        self.left("from_domains", from_domain="example.com")

    def test_a_domain_that_is_allowed_is_stored(self):
        for domain in ("EXAMPLE.org", "*.org"):
            self.send(self.job("mail_send", "a@example.com", "S", "T",
                               "From: shop@example.org"),
                      from_domain=domain)
        self.assertEqual(len(self.rows()), 2)

    def test_another_domain_may_be_sent_as_it_is(self):
        self.send(self.job("mail_send", "a@example.com", "S", "T",
                           "From: shop@example.org"),
                  from_domain="example.com", foreign="send")
        self.assertEqual(self.only()[0]["sender"], "shop@example.org")

    def test_nothing_goes_past_an_address_that_is_to_get_all(self):
        self.send(self.job("mail_send", "a@example.com", "S", "T",
                           "From: shop@example.org"),
                  from_domain="example.com", redirect_to="test@own.test")
        self.assertEqual(self.only()[0]["sender"], "shop@example.org")
        open(self.s.notes, "w").close()
        reply = self.send(self.job("mail_long", "ann@example.com", 1100000),
                          max_mib=1, redirect_to="test@own.test")
        self.assertEqual(reply.counts, (0, 1), reply.text)
        self.assertRegex(reply.why, "^not sent, .*redirect_to.*max_mib")
        self.assertEqual(self.mailed(), [])
        failed, sent = self.notes()
        self.assertRegex(failed, "^failed: .*more than outbox_max_mib allows")
        self.assertEqual(sent, "not sent")

    def test_another_domain_may_be_rewritten(self):
        for headers, reply_to in (
                ("From: Shop <shop@example.org>", "Shop <shop@example.org>"),
                ("From: Shop <shop@example.org>\nReply-To: x@example.net",
                 "x@example.net")):
            self.s.mysql("DELETE FROM wp_wpcron_outbox")
            self.send(self.job("mail_send", "a@example.com", "S", "T",
                               headers), **{
                "from_domain": "example.com", "foreign": "rewrite",
                "from": "site@example.com"})
            row, mail, _ = self.only()
            self.assertEqual((row["sender"], mail["From"], mail["Reply-To"]),
                             ("site@example.com", "Shop <site@example.com>",
                              reply_to))

    def test_a_senders_address_is_rewritten_with_it(self):
        self.send(self.job("mail_sender_once"), **{
            "from_domain": "example.net", "foreign": "rewrite",
            "from": "site@example.net"})
        self.assertEqual([r["sender"] for r in self.rows()],
                         ["site@example.net"] * 2)

    def test_a_job_may_have_any_number_of_mails(self):
        job, after = self.job("mail_preempted", 40000), self.job("mail_twice")
        reply = self.send(job, after)
        self.assertEqual((reply.kinds(), reply.counts),
                         (["done", "done"], (2, 40000)), reply.text)
        self.assertEqual(reply.why, "a filter on pre_wp_mail sent it")

    def test_a_part_that_is_not_there_leaves_all_to_php(self):
        directory = self.s.path("parts")
        os.mkdir(directory)
        source = os.path.dirname(self.s.worker_script())
        for name in ("worker.php", "mail.php"):
            shutil.copy(os.path.join(source, name), directory)
        self.left("mail.php or mailer.php is not beside worker.php",
                  worker=os.path.join(directory, "worker.php"))

    def test_a_sender_for_all_goes_into_the_envelope(self):
        self.send(self.job("mail_send", "a@example.com", "S", "T",
                           "From: shop@example.org"),
                  envelope_from="bounces@example.net")
        row, mail, _ = self.only()
        self.assertEqual((row["sender"], mail["From"]), (
            "bounces@example.net", "WordPress <shop@example.org>"))


if __name__ == "__main__":
    unittest.main()
