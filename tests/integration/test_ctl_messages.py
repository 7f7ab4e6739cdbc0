"""wp-cronctl messages: Event Espresso's Message Activity, on its tables."""

import unittest

import espresso
from ctl_mail import CONFIG, FAILED, USAGE, MailCtl


class MessagesCase(MailCtl):
    @classmethod
    def prepare(cls):
        espresso.install(cls.s)

    def setUp(self):
        super().setUp()
        espresso.forget(self.s)

    def ids(self, *args):
        return [int(n) for n in self.call(
            "messages", "list", *args, "--format=ids").split()]

    def status(self, message):
        return espresso.statuses(self.s).get(message)


class ListTest(MessagesCase):
    def test_newest_first_with_masked_addresses(self):
        one = espresso.message(self.s, "MSN", age_s=60)
        two = espresso.message(self.s, "MID", priority=10, age_s=5)
        rows = self.json("messages", "list")
        self.assertEqual([r["id"] for r in rows], [two, one])
        self.assertEqual((rows[0]["status"], rows[0]["priority"],
                          rows[0]["messenger"], rows[0]["type"],
                          rows[0]["context"]),
                         ("MID", "high", "email", "registration",
                          "primary_attendee"))
        self.assertIn("v***@example.org", rows[0]["to"])
        self.assertNotIn("visitor@", self.call("messages", "list"))
        self.assertIn("visitor@", self.call("messages", "list",
                                            "--show-addresses"))

    def test_filters(self):
        sent = espresso.message(self.s, "MSN", age_s=90000)
        mid = espresso.message(self.s, "MID", message_type="payment",
                               context="admin", age_s=60)
        html = espresso.message(self.s, "MRT", messenger="html",
                                TXN_ID=8, subject="An invoice")
        for args, found in (
                (["--status=msn"], [sent]),
                (["--type=payment"], [mid]),
                (["--messenger=html"], [html]),
                (["--context=admin,none"], [mid]),
                (["--transaction=8"], [html]),
                (["--since=-1 day"], [html, mid]),
                (["--until=-1 day"], [sent]),
                (["--search=invoice"], [html]),
                (["--search=in%e"], []),
                (["--contact=3"], [html, mid, sent]),
                (["--status=MIC"], [])):
            with self.subTest(args=args):
                self.assertEqual(self.ids(*args), found)

    def test_registrations_and_events_lead_to_transactions(self):
        self.s.mysql("CREATE TABLE IF NOT EXISTS wp_esp_registration ("
                     "REG_ID INT UNSIGNED NOT NULL PRIMARY KEY,"
                     " TXN_ID INT UNSIGNED, EVT_ID INT UNSIGNED)")
        self.s.mysql("REPLACE INTO wp_esp_registration VALUES (5, 7, 21),"
                     " (6, 8, 22)")
        seven = espresso.message(self.s, "MSN", TXN_ID=7)
        eight = espresso.message(self.s, "MSN", TXN_ID=8)
        self.assertEqual(self.ids("--registration=5"), [seven])
        self.assertEqual(self.ids("--event=22"), [eight])
        self.assertEqual(self.ids("--event=23"), [])

    def test_pages(self):
        ids = [espresso.message(self.s, "MSN", age_s=100 - i)
               for i in range(35)]
        self.assertEqual(len(self.call("messages", "list").splitlines()), 31)
        self.assertEqual(self.ids("--per-page=10", "--page=4"), ids[4::-1])

    def test_what_is_no_filter(self):
        for args in (["--status=done"], ["--since=whenever"],
                     ["--event=x"], ["--page=0"]):
            self.call("messages", "list", *args, code=USAGE)

    def test_one_message(self):
        message = str(espresso.message(
            self.s, "MRT", meta={"MSG_error": "550 visitor@example.org"}))
        row = self.json("messages", "show", message)
        self.assertEqual(row["status"], "MRT")
        self.assertIn("550 v***@", row["error"])
        self.assertIsNone(row["content"])
        row = self.json("messages", "show", message, "--body")
        self.assertEqual(row["content"], "<p>You are expected.</p>")
        self.call("messages", "show", "999999", code=FAILED)


class ChangeTest(MessagesCase):
    def test_sent_and_failed_ones_are_queued_again(self):
        msn = espresso.message(self.s, "MSN")
        mrt = espresso.message(self.s, "MRT")
        mid = espresso.message(self.s, "MID")
        row = self.json("messages", "resend", str(msn), str(mrt), str(mid),
                        code=FAILED)
        self.assertEqual((row["asked"], row["changed"]), (3, 2))
        self.assertEqual(espresso.statuses(self.s),
                         {msn: "MRS", mrt: "MRS", mid: "MID"})

    def test_deleting_takes_the_extra_meta_along(self):
        message = espresso.message(self.s, "MFL", meta={"MSG_error": "x"})
        other = espresso.message(self.s, "MFL", meta={"MSG_error": "y"})
        self.call("messages", "delete", str(message), code=USAGE)
        self.assertEqual(self.status(message), "MFL")
        row = self.json("messages", "delete", str(message), "--yes")
        self.assertEqual(row["changed"], 1)
        self.assertIsNone(self.status(message))
        self.assertEqual(espresso.meta(self.s, message), {})
        self.assertEqual(espresso.meta(self.s, other), {"MSG_error": "y"})

    def test_a_dead_letter_is_queued_again(self):
        message = espresso.message(self.s, "MRT")
        letter = self.letter("message", message)
        row, = self.json("dead", "retry", str(letter))
        self.assertTrue(row["changed"], row)
        self.assertEqual(self.status(message), "MRS")
        letter = self.letter("message", 999999)
        row, = self.json("dead", "retry", str(letter), code=FAILED)
        self.assertEqual(self.letters(), [letter])

    def test_the_letter_of_one_that_waits_gives_it_its_turn(self):
        for status, lane in (("MIC", "generate"), ("MID", "send")):
            message = espresso.message(self.s, status)
            self.s.mysql(
                "INSERT INTO wp_wpcron_messages (blog_id, message_id, lane,"
                " state, tries, claim_id, not_before, copy, reason) VALUES"
                " (1, %s, %s, 'passed', 5, 1, UTC_TIMESTAMP(6) + INTERVAL 6"
                " HOUR, '', 'x')",
                (message, lane))
            letter = self.letter("message", message)
            row, = self.json("dead", "retry", str(letter))
            self.assertTrue(row["changed"], row)
            self.assertEqual(self.letters(), [])
            self.assertEqual(self.s.value(
                "SELECT COUNT(*) FROM wp_wpcron_messages WHERE message_id ="
                " %s AND tries = 0 AND not_before <= UTC_TIMESTAMP(6)",
                (message,)), 1)

    def test_what_failed_for_good_has_no_way_back(self):
        letter = self.letter("message", espresso.message(self.s, "MFL"))
        row, = self.json("dead", "retry", str(letter), code=FAILED)
        self.assertIn("made anew", row["why"])
        self.assertEqual(self.letters(), [letter])


class RunTest(MessagesCase):
    def test_just_these_are_generated(self):
        one = espresso.mic(self.s, many=2)
        two = espresso.mic(self.s, many=2)
        row = self.json("messages", "generate", str(one))
        self.assertEqual((row["asked"], row["generated"]), (1, 1), row)
        self.assertIsNone(self.status(one))
        self.assertEqual(self.status(two), "MIC")
        self.assertEqual(espresso.count(self.s, "MID"), 2)

    def test_just_these_are_sent_whatever_the_rate(self):
        one = espresso.message(self.s, "MID")
        two = espresso.message(self.s, "MID")
        row = self.json("messages", "send", str(two))
        self.assertEqual((row["asked"], row["sent"]), (1, 1), row)
        self.assertEqual(espresso.statuses(self.s), {one: "MID", two: "MSN"})
        mail, = self.json("outbox", "list")
        self.assertEqual(mail["job"].split(":")[:2], ["message", str(two)])
        self.assertEqual(self.json("outbox", "send")["sent"], 1)
        self.assertEqual(self.relay.mails[0].recipients,
                         ["visitor@example.org"])

    def test_all_that_waits(self):
        ids = [espresso.message(self.s, "MID") for _ in range(3)]
        self.assertEqual(self.json("messages", "send")["sent"], 3)
        self.assertEqual(set(espresso.statuses(self.s).values()), {"MSN"})
        self.assertEqual(len(ids), 3)

    def test_php_s_lock_is_waited_for_and_told(self):
        message = espresso.message(self.s, "MID")
        espresso.lock(self.s, "send")
        before = espresso.locks(self.s)
        row = self.json("messages", "send", str(message))
        self.assertEqual((row["sent"], row["failed"], row["waiting"]),
                         (0, 0, 1), row)
        self.assertGreater(row["again_in"], 0)
        self.assertEqual(self.status(message), "MID")
        self.assertEqual(espresso.locks(self.s), before)
        self.s.mysql("DELETE FROM wp_options WHERE option_name ="
                     " '_ee_lock_sending'", ())
        self.assertEqual(self.json("messages", "send",
                                   str(message))["sent"], 1)

    def test_same_request_mode_stops_it_and_is_ended(self):
        message = espresso.message(self.s, "MID")
        espresso.same_request(self.s)
        row = self.json("messages", "send", str(message), code=FAILED)
        self.assertTrue(row["held_by"])
        self.assertEqual(self.status(message), "MID")
        self.call("messages", "restore", code=USAGE)
        before = self.s.option("ee_network_config")
        self.assertTrue(self.json("messages", "restore", "--yes")["changed"])
        self.assertEqual(self.s.option("ee_network_config"),
                         before.replace("b:1;", "b:0;"))
        self.assertEqual(self.s.option("ee_disabled_wp_cron_check"), "1")
        self.assertFalse(self.json("messages", "restore", "--yes")["changed"])
        self.assertEqual(self.json("messages", "send",
                                   str(message))["sent"], 1)
        # PHP reads what was spliced.
        self.assertEqual(self.s.wp_eval(
            "$c = get_option( 'ee_network_config' );"
            "echo json_encode( is_object( $c ) );"), "true")


class AbsentTest(MailCtl):
    def test_a_site_without_the_plugin_says_so(self):
        for args in (["list"], ["show", "1"], ["send"], ["resend", "1"],
                     ["delete", "1", "--yes"]):
            self.call("messages", *args, code=CONFIG)
            self.assertIn("Event Espresso is not installed", self.stderr)
        self.call("messages", "restore", "--yes", code=CONFIG)


if __name__ == "__main__":
    unittest.main()
