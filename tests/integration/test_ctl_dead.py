"""wp-cronctl dead: what failed for good, of every queue, and once more."""

import unittest

from ctl_mail import FAILED, USAGE, MailCtl

ELEMENT = (b'a:3:{s:4:"type";s:4:"mail";s:7:"payload";a:2:{s:2:"to";s:6:'
           b'"secret";s:3:"key";i:7;}s:7:"created";i:1700000000;}')


class DeadCase(MailCtl):
    REST = """
[tasks default/plugin]
queue = plugin_tasks
hook = plugin_run
handler mail = php:plugin_mail
"""

    @classmethod
    def prepare(cls):
        cls.s.install_action_scheduler()


class ListTest(DeadCase):
    def test_letters_are_listed_newest_first(self):
        one = self.letter("mail", 1, reason="550 no")
        two = self.letter("task", 2, queue="plugin_tasks", attempts=5)
        rows = self.json("dead", "list")
        self.assertEqual([r["id"] for r in rows], [two, one])
        self.assertEqual((rows[0]["kind"], rows[0]["queue"],
                          rows[0]["attempts"], rows[1]["reason"]),
                         ("task", "plugin_tasks", 5, "550 no"))
        rows = self.json("dead", "list", "--kind=mail")
        self.assertEqual([r["id"] for r in rows], [one])
        self.call("dead", "list", "--kind=nothing", code=USAGE)

    def test_pages_of_many(self):
        ids = [self.letter("event", i) for i in range(45)]
        page = self.json("dead", "list", "--per-page=20", "--page=3")
        self.assertEqual([r["id"] for r in page], ids[4::-1])
        self.assertEqual(
            self.call("dead", "list", "--format=count").strip(), "45")

    def test_a_payload_is_shown_by_its_keys(self):
        letter = str(self.letter("task", 1, "plugin_tasks", ELEMENT))
        row = self.json("dead", "show", letter)
        self.assertEqual(row["payload"], "to, key")
        row = self.json("dead", "show", letter, "--body")
        self.assertEqual(row["payload"], {"to": "secret", "key": 7})
        self.call("dead", "show", "999999", code=FAILED)


class RetryTest(DeadCase):
    def retry(self, *letters, code=0):
        return self.json("dead", "retry", *map(str, letters), code=code)

    def test_a_mail_is_ready_again_for_those_who_have_not_got_it(self):
        mail = self.store(state="dead", tries=9, unknown=2, reply="no")
        self.s.mysql(
            "UPDATE wp_wpcron_outbox SET recipients = %s",
            ('[{"to":"a@b.org","state":"sent","code":250,"words":"ok"},'
             '{"to":"c@b.org","state":"dead","code":550,"words":"no"}]',))
        letter = self.letter("mail", mail, queue="main")
        row, = self.retry(letter)
        self.assertTrue(row["changed"], row)
        self.assertEqual(self.letters(), [])
        stored = self.mail(mail)
        self.assertEqual((stored["state"], stored["tries"],
                          stored["unknown"], stored["told"]),
                         ("ready", 0, 0, 0))
        self.json("outbox", "send")
        self.assertEqual([m.recipients for m in self.relay.mails],
                         [["c@b.org"]])

    def test_a_mail_without_bytes_stays_dead(self):
        mail = self.store(state="dead", body=b"")
        letter = self.letter("mail", mail)
        row, = self.retry(letter, code=FAILED)
        self.assertFalse(row["changed"])
        self.assertIn("gone", row["why"])
        self.assertEqual(self.letters(), [letter])

    def test_a_dead_mail_of_a_message_is_left_to_the_message(self):
        dead = self.store(state="dead", job="message:5:1")
        held = self.store(state="held", job="message:6:1")
        letters = [self.letter("mail", dead, queue="message:5:1"),
                   self.letter("mail", held, queue="message:6:1")]
        one, = self.retry(letters[0], code=FAILED)
        self.assertIn("retry the letter of the message", one["why"])
        two, = self.retry(letters[1])
        self.assertTrue(two["changed"], two)
        self.assertEqual(self.letters(), letters[:1])

    def test_a_mail_that_lives_is_left_alone(self):
        letter = self.letter("mail", self.store())
        row, = self.retry(letter, code=FAILED)
        self.assertIn("is ready", row["why"])

    def test_a_task_runs_once_more(self):
        letter = self.letter("task", 5, "plugin_tasks", ELEMENT)
        row, = self.retry(letter)
        self.assertTrue(row["changed"], row)
        task, = self.s.mysql("SELECT * FROM wp_wpcron_tasks")
        self.assertEqual((task["task_id"], task["state"], task["attempts"],
                          task["queue"]),
                         (row["new_id"], "ready", 0, b"plugin_tasks"))
        self.assertEqual(self.letters(), [])

    def test_a_task_of_no_queue_stays(self):
        letter = self.letter("task", 5, "nobody_s", ELEMENT)
        row, = self.retry(letter, code=FAILED)
        self.assertIn("nobody_s", row["why"])
        self.assertEqual(self.letters(), [letter])

    def test_what_is_no_task_does_not_keep_others_from_it(self):
        self.letter("task", 1, "plugin_tasks", ELEMENT)
        poison = self.letter("task", 2, "plugin_tasks", b"a:1:{i:0;i:1;}")
        self.letter("task", 3, "plugin_tasks", ELEMENT)
        rows = self.json("tasks", "retry", "--all", code=FAILED)
        self.assertEqual([r["changed"] for r in rows], [True, False, True])
        self.assertTrue(rows[1]["why"])
        self.assertEqual(self.letters(), [poison])

    def test_an_action_gets_a_fresh_row(self):
        action = self.s.insert_actions(1, "some_hook")
        self.s.mysql("UPDATE wp_actionscheduler_actions SET status = 'failed'"
                     " WHERE action_id = %s", (action,))
        letter = self.letter("action", action, queue="some_hook")
        row, = self.retry(letter)
        self.assertGreater(row["new_id"], action)
        self.assertEqual(self.s.statuses("action_id = %s",
                                         (row["new_id"],)), {"pending": 1})
        self.assertEqual(self.letters(), [])

    def test_an_event_waits_again(self):
        self.s.mysql(
            "INSERT INTO wp_wpcron_events (blog_id, state, scheduled_at, hook,"
            " event_key, slot, event, not_before, taken_at, ended_at) VALUES"
            " (1, 'failed', 1700000000, 'h', 'k', '', 'a:0:{}',"
            " UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))")
        event = self.s.value("SELECT MAX(event_id) FROM wp_wpcron_events")
        row, = self.retry(self.letter("event", event, queue="h"))
        self.assertTrue(row["changed"], row)
        self.assertEqual(self.s.value("SELECT state FROM wp_wpcron_events"),
                         "taken")

    def test_a_contact_is_told_how(self):
        row, = self.retry(self.letter("contact", 7), code=FAILED)
        self.assertIn("contacts push", row["why"])

    def test_several_and_one_that_is_none(self):
        one = self.letter("mail", self.store(state="held"))
        two = self.letter("mail", self.store(state="dead"))
        rows = self.retry(one, 999999, two, code=FAILED)
        self.assertEqual([r["changed"] for r in rows], [True, False, True])

    def test_all_of_a_kind_needs_yes(self):
        mails = [self.store(state="dead") for _ in range(3)]
        for mail in mails:
            self.letter("mail", mail)
        other = self.letter("contact", 1)
        self.call("dead", "retry", "--kind=mail", code=USAGE)
        self.call("dead", "retry", code=USAGE)
        self.call("dead", "retry", "--all", "--kind=mail", code=USAGE)
        self.call("dead", "retry", "1", "--all", "--yes", code=USAGE)
        rows = self.json("dead", "retry", "--kind=mail", "--yes")
        self.assertEqual(len(rows), 3)
        self.assertEqual(self.letters(), [other])

    def test_tasks_retry_is_of_tasks_alone(self):
        letter = self.letter("mail", self.store(state="dead"))
        row, = self.json("tasks", "retry", str(letter), code=FAILED)
        self.assertIn("mail", row["why"])
        for i in range(3):
            self.letter("task", i + 1, "plugin_tasks", ELEMENT)
        rows = self.json("tasks", "retry", "--all")
        self.assertEqual([r["changed"] for r in rows], [True] * 3)
        self.assertEqual(self.letters(), [letter])
        self.call("tasks", "retry", code=USAGE)


class DeleteTest(DeadCase):
    def test_only_the_letter_goes(self):
        mail = self.store(state="dead")
        letter = self.letter("mail", mail)
        row, = self.json("dead", "delete", str(letter))
        self.assertTrue(row["changed"])
        self.assertEqual(self.letters(), [])
        self.assertEqual(self.mail(mail)["state"], "dead")
        self.json("dead", "delete", str(letter), code=FAILED)

    def test_all_by_hundreds(self):
        self.s.mysql(
            "INSERT INTO wp_wpcron_dead_letters (blog_id, kind, source,"
            " created_at, died_at, payload) SELECT 1, 'event', seq,"
            " UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), '' FROM seq_1_to_1203")
        self.call("dead", "delete", "--all", code=USAGE)
        rows = self.json("dead", "delete", "--all", "--yes")
        self.assertEqual(len(rows), 1203)
        self.assertEqual(self.letters(), [])


if __name__ == "__main__":
    unittest.main()
