"""wp-cronctl outbox, privacy: mails on their way, on a real database and a
relay that remembers."""

import json
import os
import unittest

from ctl_mail import CONFIG, DONE, FAILED, USAGE, MailCtl


class ListTest(MailCtl):
    def test_mails_are_listed_newest_first_with_masked_recipients(self):
        one = self.store(to=["somebody@example.org", "other@example.net"])
        two = self.store(job="message:5:1", priority=10)
        rows = self.json("outbox", "list")
        self.assertEqual([r["id"] for r in rows], [two, one])
        self.assertEqual(rows[0]["job"], "message:5:1")
        self.assertEqual(rows[0]["priority"], "high")
        self.assertEqual(rows[1]["to"],
                         "s***@example.org, o***@example.net")
        for text in (self.call("outbox", "list"),
                     self.call("outbox", "list", "--format=json"),
                     self.call("outbox", "show", str(one))):
            self.assertNotIn("somebody", text)
        rows = self.json("outbox", "list", "--show-addresses")
        self.assertEqual(rows[1]["to"],
                         "somebody@example.org, other@example.net")

    def test_state_and_job_select(self):
        one = self.store(state="sent", job="message:5:1")
        two = self.store(state="later", job="message:5:2")
        three = self.store(job="message:50:1")
        ids = self.call("outbox", "list", "--job=message:5", "--format=ids")
        self.assertEqual(ids.split(), [str(two), str(one)])
        ids = self.call("outbox", "list", "--status=ready", "--format=ids")
        self.assertEqual(ids.split(), [str(three)])
        four = self.store(state="dropped")
        ids = self.call("outbox", "list", "--status=dropped", "--format=ids")
        self.assertEqual(ids.split(), [str(four)])
        self.call("outbox", "list", "--status=nothing", code=USAGE)

    def test_pages(self):
        mails = [self.store() for _ in range(35)]
        self.assertEqual(
            len(self.call("outbox", "list").splitlines()), 31)
        page = self.json("outbox", "list", "--per-page=10", "--page=4")
        self.assertEqual([r["id"] for r in page], mails[4::-1])
        self.assertEqual(
            self.call("outbox", "list", "--format=count").strip(), "35")


class ShowTest(MailCtl):
    def test_one_mail_with_what_the_relay_said_to_each(self):
        mail = self.store(to=["a@example.org"], state="sent", tries=2,
                          unknown=1, reply="250 ok")
        self.s.mysql("UPDATE wp_wpcron_outbox SET recipients = %s",
                     (json.dumps([
                         {"to": "a@example.org", "state": "sent",
                          "code": 250, "words": "250 ok"},
                         {"to": "b@example.org", "state": "dead",
                          "code": 550, "words": "550 no such user"}]),))
        row = self.json("outbox", "show", str(mail))
        self.assertEqual(row["state"], "sent")
        self.assertTrue(row["maybe_twice"])
        self.assertEqual([(r["to"], r["state"], r["code"])
                          for r in row["recipients"]],
                         [("a***@example.org", "sent", 250),
                          ("b***@example.org", "dead", 550)])

    def test_the_bytes_are_those_that_were_stored(self):
        body = b"Subject: x\r\n\r\n" + bytes(range(32, 127)) * 12000
        mail = self.store(body=body)
        text = self.call("outbox", "show", str(mail), "--body")
        self.assertEqual(text.encode(), body.replace(b"\r\n", b"\n"))
        row = self.json("outbox", "show", str(mail), "--body")
        self.assertEqual(row["body"].encode(), body)

    def test_a_mail_without_bytes_and_one_that_is_none(self):
        mail = self.store(state="sent", body=b"")
        self.call("outbox", "show", str(mail), "--body", code=FAILED)
        self.assertIn("gone", self.stderr)
        self.call("outbox", "show", "999999", code=FAILED)
        self.call("outbox", "show", "x", code=USAGE)


class SendTest(MailCtl):
    def test_what_is_ready_is_sent_here_and_now(self):
        mails = [self.store(to=["a%d@example.org" % i]) for i in range(5)]
        row = self.json("outbox", "send")
        self.assertEqual((row["sent"], row["dead"], row["more"]),
                         (5, 0, False))
        self.assertEqual(sorted(m.recipients[0] for m in self.relay.mails),
                         ["a%d@example.org" % i for i in range(5)])
        for mail in mails:
            self.assertEqual(self.mail(mail)["state"], "sent")

    def test_a_refusal_is_a_failure_and_a_dead_letter(self):
        mail = self.store(to=["no@example.org"])
        self.relay.fail("rcpt", 550, "no such user", times=None)
        row = self.json("outbox", "send", code=FAILED)
        self.assertEqual(row["dead"], 1)
        self.assertEqual(self.mail(mail)["state"], "dead")
        letter, = self.json("dead", "list")
        self.assertEqual((letter["kind"], letter["source"]), ("mail", mail))

    def test_nothing_to_send_is_no_failure(self):
        self.assertEqual(self.json("outbox", "send")["sent"], 0)

    def test_a_site_without_a_relay(self):
        conf = self.write_conf("none.conf", smtp=False)
        self.call("outbox", "send", code=CONFIG, config=conf)
        self.assertIn("[smtp NAME]", self.stderr)

    def test_a_paused_relay_sends_nothing(self):
        self.store()
        for pause in ([], ["main"]):
            row = self.json("outbox", "pause", *pause)
            self.assertEqual(row, {"relay": pause[0] if pause else "*",
                                   "changed": True})
            self.assertFalse(self.json("outbox", "pause", *pause)["changed"])
            self.call("outbox", "send", code=FAILED)
            self.assertIn("paused", self.stderr)
            self.assertEqual(self.relay.mails, [])
            self.assertEqual([(r["kind"], r["pattern"]) for r in
                              self.json("pause", "list")],
                             [("smtp", pause[0] if pause else "*")])
            self.assertTrue(self.json("outbox", "resume", *pause)["changed"])
        self.assertEqual(self.json("outbox", "send")["sent"], 1)

    def test_a_relay_that_is_none(self):
        self.call("outbox", "pause", "nothing", code=USAGE)


class PrivacyTest(MailCtl):
    def test_mails_to_a_person_are_exported_whole(self):
        mail = self.store(to=["Jane.Doe@Example.org"], body=b"A: b\r\n\r\nx")
        self.store(to=["ane.doe@example.org"])
        rows = json.loads(self.call("privacy", "export",
                                    "jane.doe@example.ORG"))
        self.assertEqual([(r["kind"], r["mail"], r["body"]) for r in rows],
                         [("mail", mail, "A: b\r\n\r\nx")])
        self.assertIn("not searched", self.stderr)

    def test_wildcards_in_an_address_are_letters(self):
        self.store(to=["axb@example.org"])
        self.call("privacy", "export", "a_b@example.org", code=FAILED)
        self.call("privacy", "export", "%@example.org", code=FAILED)

    def test_erasing_removes_row_bytes_and_letter(self):
        mail = self.store(to=["jane@example.org"], state="dead")
        other = self.store(to=["john@example.org"])
        self.letter("mail", mail, queue="main")
        self.call("privacy", "erase", "jane@example.org")
        self.assertIsNone(self.mail(mail))
        self.assertEqual(self.letters(), [])
        self.assertEqual(self.s.mysql(
            "SELECT DISTINCT mail_id FROM wp_wpcron_outbox_chunks"),
            [{"mail_id": other}])
        self.call("privacy", "erase", "jane@example.org", code=FAILED)

    def test_a_mail_that_others_wait_for_stays_for_them(self):
        mail = self.store(to=["jane@example.org", "john@example.org"])
        row, = json.loads(self.call("privacy", "erase", "jane@example.org"))
        self.assertIn("only this recipient", row["reason"])
        self.assertNotIn(b"jane", self.mail(mail)["recipients"])
        self.json("outbox", "send")
        self.assertEqual(self.relay.mails[0].recipients,
                         ["john@example.org"])

    def test_and_so_does_one_that_waits_for_an_administrator(self):
        mail = self.store(to=["jane@example.org", "john@example.org"],
                          state="held")
        letter = self.letter("mail", mail)
        self.call("privacy", "erase", "jane@example.org")
        self.assertNotIn(b"jane", self.mail(mail)["recipients"])
        self.call("dead", "retry", str(letter))
        self.json("outbox", "send")
        self.assertEqual(self.relay.mails[0].recipients,
                         ["john@example.org"])

    def test_a_mail_that_is_being_sent_is_told(self):
        self.store(to=["jane@example.org"], state="sending", claim_id=7,
                   begun=1)
        row, = json.loads(self.call("privacy", "erase", "jane@example.org"))
        self.assertFalse(row["erased"])
        self.assertIn("being sent", row["reason"])

    def test_mails_from_a_person_count(self):
        mail = self.store(sender="jane@example.org", state="sent")
        row, = json.loads(self.call("privacy", "export", "jane@example.org"))
        self.assertEqual(row["mail"], mail)


class SealedTest(MailCtl):
    @classmethod
    def prepare(cls):
        cls.key = cls.s.path("outbox.key")
        with open(cls.key, "w", encoding="ascii") as f:
            f.write("00112233445566778899aabbccddeeff" * 2 + "\n")
        os.chmod(cls.key, 0o644)
        cls.SITE = "outbox_key_file = " + cls.key

    def test_what_cannot_be_opened_is_told(self):
        mail = self.store(sealed=1)
        self.call("outbox", "show", str(mail), "--body", code=CONFIG)
        self.call("outbox", "show", str(mail), "--body", code=CONFIG,
                  config=self.write_conf("no-key.conf", site=""))
        self.assertIn("outbox_key_file is not set", self.stderr)


class UninstallTest(MailCtl):
    def tearDown(self):
        self.call("install")
        super().tearDown()

    def test_what_would_be_lost_is_said_first(self):
        self.store()
        self.store(state="sent")
        self.store(state="dropped")
        self.letter("task", 1, queue="q")
        self.call("uninstall", code=USAGE)
        self.assertIn("1 mails that are not sent yet and 1 dead letters",
                      self.stderr)
        self.assertEqual(len(self.json("outbox", "list")), 3)
        self.call("uninstall", "--yes", code=DONE)
        self.assertEqual(self.s.mysql(
            "SHOW TABLES LIKE 'wp\\_wpcron\\_outbox%%'", ()), [])


if __name__ == "__main__":
    unittest.main()
