"""What becomes of a push or pull that failed: the rows that PHP could run,
their delays, their end, and what is not tried again."""

import json
import unittest

import newspack
from contacts import DONE, FAILED, ContactCase, texts

DELAYS = (30, 120, 480, 1800, 7200)


class RetryCase(ContactCase):
    def refuse(self, status=500, user=None, times=999, **kwargs):
        """Every call that touches this reader fails."""
        part = self.esp.hash_of(self.address(user)) if user else None
        self.esp.fail(status, times=times,
                      where=(lambda c: part in c.path) if part else None,
                      **kwargs)

    def assert_due_in(self, row, delay):
        """It was so long when the row was written, a while ago."""
        left = self.s.value(
            "SELECT TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(),"
            " scheduled_date_gmt) FROM wp_actionscheduler_actions WHERE"
            " action_id = %s", (row["action_id"],))
        self.assertLessEqual(left, delay + 1)
        self.assertGreater(left, delay - 25)

    def fail_once(self, direction="push", status=500, **kwargs):
        user, = self.readers()
        self.refuse(status, user, **kwargs)
        self.stage([user], [direction])
        self.tick("--" + direction, code=FAILED)
        return user


class PushRetryTest(RetryCase):
    def test_a_failed_push_waits_as_php_would_have_written_it(self):
        user = self.fail_once()
        row, = self.waiting("push")
        self.assertEqual(row["group"], "newspack-integration-esp")
        self.assertEqual(row["status"], "pending")
        self.assertEqual(row["priority"], 10)
        self.assertEqual(list(row["data"]), [
            "integration_id", "user_id", "context", "retry_count",
            "max_retries", "reason", "previous_email"])
        self.assertEqual(row["data"]["integration_id"], "esp")
        self.assertEqual(row["data"]["user_id"], user)
        self.assertEqual(row["data"]["context"], newspack.CONTEXT)
        self.assertEqual(row["data"]["retry_count"], 1)
        self.assertEqual(row["data"]["max_retries"], 5)
        self.assertTrue(row["data"]["reason"])
        self.assertEqual(self.s.logs(row["action_id"]), ["action created"])
        self.assert_due_in(row, 30)
        self.assertEqual(self.flags(), {})

    def test_php_can_run_the_row(self):
        user = self.fail_once()
        row, = self.waiting("push")
        self.esp.faults.clear()
        self.s.wp_eval("do_action( '%s', json_decode( %r, true )[0] );" % (
            newspack.RETRY["push"],
            json.dumps([row["data"]])))
        pushed, = newspack.calls(self.s, "push")
        self.assertEqual(pushed["user_id"], user)
        self.assertEqual(pushed["context"], newspack.CONTEXT)

    def test_success_schedules_none(self):
        user = self.fail_once()
        self.esp.faults.clear()
        self.run_retries()
        self.assertEqual(self.sent(), [self.address(user)])
        self.assertEqual(self.waiting("push"), [])
        row, = self.s.actions()
        self.assertEqual(row["status"], "complete")

    def test_delays_are_those_of_newspack_until_it_is_given_up(self):
        self.s.mysql("DELETE FROM wp_wpcron_dead_letters")
        user = self.fail_once()
        for n, delay in enumerate(DELAYS, 1):
            row, = self.waiting("push")
            self.assertEqual(row["data"]["retry_count"], n)
            self.assert_due_in(row, delay)
            last = row
            self.esp.forget()
            self.run_retries(code=FAILED if n == 5 else (DONE, FAILED))
            logs = " | ".join(self.s.logs(last["action_id"]))
            self.assertIn('Retry %d/5 failed for integration "esp"' % n, logs)
        self.assertEqual(self.waiting("push"), [])
        statuses = [r["status"] for r in self.s.actions()]
        self.assertEqual(statuses, ["complete"] * 4 + ["failed"])
        self.assertIn("Max retries exhausted.",
                      self.s.logs(last["action_id"]))
        letter, = self.s.mysql("SELECT * FROM wp_wpcron_dead_letters")
        self.assertEqual((letter["kind"], letter["queue"], letter["source"],
                          letter["title"], letter["attempts"]),
                         ("contact", b"esp", user, b"push", 6))
        self.assertTrue(letter["reason"])
        self.assertTrue(any("Max retries (5) reached" in t
                            for t in texts(self.lines)), self.lines)

    def test_exhaustion_is_told_to_php_once(self):
        user = self.fail_once()
        for _ in DELAYS:
            self.run_retries()
        self.s.wait_until(lambda: newspack.calls(
            self.s, "newspack_sync_retry_exhausted"), 20)
        alert, = newspack.calls(self.s, "newspack_sync_retry_exhausted")
        self.assertEqual(alert["body"]["integration_id"], "esp")
        self.assertEqual(alert["body"]["user_id"], user)
        self.assertEqual(alert["body"]["retry_count"], 5)
        self.assertTrue(alert["body"]["reason"])

    def test_the_reason_is_short_and_has_no_address(self):
        user, = self.readers()
        self.refuse(500, user, body="x" * 9000 + self.address(user))
        self.stage([user], ["push"])
        self.tick("--push", code=FAILED)
        row, = self.waiting("push")
        self.assertLessEqual(len(row["data"]["reason"]), 500)
        self.assertNotIn(self.address(user), row["data"]["reason"])

    def test_a_reader_with_a_waiting_retry_is_left_to_it_and_stays_staged(
            self):
        user = self.fail_once()
        self.esp.faults.clear()
        self.esp.forget()
        self.stage([user], ["push"])
        counts = self.tick()
        self.assertEqual(counts["push"]["skipped"], 1)
        self.assertEqual(self.sent(), [])
        self.assertEqual(list(self.flags("push")), [user])
        self.assertEqual(len(self.waiting("push")), 1)

    def test_a_reader_whose_retry_runs_is_left_to_it(self):
        user = self.fail_once()
        self.esp.faults.clear()
        self.esp.forget()
        self.s.mysql("UPDATE wp_actionscheduler_actions SET status ="
                     " 'in-progress'")
        self.stage([user], ["push"])
        self.tick()
        self.assertEqual(self.sent(), [])

    def test_nothing_is_sent_by_a_retry_on_a_copy(self):
        self.fail_once()
        self.esp.faults.clear()
        self.esp.forget()
        url = self.s.url("").rstrip("/")
        self.s.mysql("UPDATE wp_options SET option_value ="
                     " 'http://copy.example.org' WHERE option_name IN"
                     " ('home', 'siteurl')")
        try:
            self.call("run", "--hooks=" + newspack.RETRY["push"],
                      code=(DONE, FAILED))
        finally:
            self.s.mysql("UPDATE wp_options SET option_value = %s WHERE"
                         " option_name IN ('home', 'siteurl')", (url,))
        self.assertEqual(self.esp.calls, [])
        self.assertEqual(len(self.waiting("push")), 1)

    def test_a_user_that_is_gone_ends_the_chain(self):
        user = self.fail_once()
        self.s.mysql("DELETE FROM wp_users WHERE ID = %s", (user,))
        self.run_retries()
        self.assertEqual(self.waiting("push"), [])
        row, = self.s.actions()
        self.assertEqual(row["status"], "complete")

    def test_an_unknown_integration_ends_well_without_a_push(self):
        user, = self.readers()
        self.insert_retry("push", user, "nothing")
        self.run_retries()
        self.assertEqual(self.esp.calls, [])
        row, = self.s.actions()
        self.assertEqual(row["status"], "complete")
        self.assertEqual(self.waiting("push"), [])

    def test_arguments_that_name_nobody_end_the_row(self):
        self.s.insert_actions(1, newspack.RETRY["push"], args="[[]]")
        self.run_retries()
        self.assertEqual(self.esp.calls, [])
        self.assertEqual(self.waiting("push"), [])

    def insert_retry(self, direction, user, integration, count=1, **more):
        args = {"integration_id": integration, "user_id": user}
        if direction == "push":
            args["context"] = newspack.CONTEXT
        args.update(retry_count=count, max_retries=5, reason="before")
        if direction == "push":
            args["previous_email"] = ""
        args.update(more)
        text = json.dumps([args], separators=(",", ":")).replace("{i}", "")
        self.s.insert_actions(1, newspack.RETRY[direction], args=text,
                              group="newspack-integration-" + integration)

    def test_a_changed_address_is_moved_at_the_provider(self):
        user, = self.readers()
        old = "old-address@example.org"
        self.esp.put(old, "subscribed")
        self.insert_retry("push", user, "esp", previous_email=old)
        self.run_retries()
        self.assertEqual(self.sent()[-1:], [self.address(user)])
        self.assertEqual(self.esp.status(self.address(user)), "subscribed")


class PermanentTest(RetryCase):
    def test_an_invalid_address_ends_it_with_the_provider_s_words(self):
        user, = self.readers()
        self.refuse(400, user, body={
            "status": 400, "title": "Invalid Resource",
            "detail": "This address looks fake or invalid."})
        self.stage([user], ["push"])
        counts = self.tick("--push", code=FAILED)
        self.assertEqual(counts["push"]["refused"], 1)
        self.assertEqual(self.waiting("push"), [])
        self.assertEqual(self.flags(), {})
        self.assertTrue(any("looks fake or invalid" in t
                            for t in texts(self.lines)), self.lines)

    def test_who_was_deleted_for_good_is_not_sent_again(self):
        user, = self.readers()
        self.refuse(400, user, body={
            "status": 400, "title": "Forgotten Email Not Subscribed",
            "detail": "was permanently deleted and cannot be re-imported."})
        self.stage([user], ["push"])
        self.tick("--push", code=FAILED)
        self.esp.faults.clear()
        self.esp.forget()
        self.stage([user], ["push"])
        self.tick("--push", code=(DONE, FAILED))
        self.assertEqual(self.sent(), [])
        self.assertEqual(self.flags(), {})
        self.s.mysql("UPDATE wp_users SET user_email = 'fresh@example.org'"
                     " WHERE ID = %s", (user,))
        self.stage([user], ["push"])
        self.tick("--push")
        self.assertEqual(self.sent(), ["fresh@example.org"])

    def test_a_permanent_error_within_a_chain_ends_it(self):
        user = self.fail_once()
        self.esp.faults.clear()
        self.refuse(400, user, body={
            "status": 400, "title": "Invalid Resource",
            "detail": "This address looks fake or invalid."})
        self.run_retries()
        self.assertEqual(self.waiting("push"), [])
        row, = self.s.actions()
        logs = " | ".join(self.s.logs(row["action_id"]))
        self.assertIn("looks fake or invalid", logs)

    def test_a_wrong_key_lets_the_account_rest_and_burns_no_attempt(self):
        users = self.readers(5)
        self.refuse(401, body={"status": 401, "title": "API Key Invalid",
                               "detail": "no"})
        self.stage(users, ["push"])
        self.tick("--push", code=(DONE, FAILED))
        self.assertEqual(self.waiting("push"), [])
        self.assertEqual(sorted(self.flags("push")), users)
        self.assertLess(len(self.esp.calls), 5)

    def test_too_many_requests_let_the_account_rest(self):
        users = self.readers(5)
        self.refuse(429, headers={"Retry-After": "60"})
        self.stage(users, ["push"])
        self.tick("--push", code=(DONE, FAILED))
        asked = len(self.esp.calls)
        self.assertLess(asked, 5)
        self.assertEqual(self.waiting("push"), [])
        self.esp.faults.clear()
        self.tick("--push", code=(DONE, FAILED))
        self.assertEqual(len(self.esp.calls), asked)
        self.assertEqual(sorted(self.flags("push")), users)


class PullRetryTest(RetryCase):
    def test_a_failed_pull_waits_as_php_would_have_written_it(self):
        user = self.fail_once("pull")
        row, = self.waiting("pull")
        self.assertEqual(row["group"], "newspack-integration-esp")
        self.assertEqual(list(row["data"]), [
            "integration_id", "user_id", "retry_count", "max_retries",
            "reason"])
        self.assertEqual(row["data"]["user_id"], user)
        self.assert_due_in(row, 30)

    def test_a_pull_retry_that_succeeds_stores_and_schedules_none(self):
        user = self.fail_once("pull")
        self.esp.faults.clear()
        self.member(user, COLOR="green")
        self.run_retries("pull")
        self.assertEqual(self.data(user), {"COLOR": '"green"'})
        self.assertEqual(self.waiting("pull"), [])

    def test_delays_of_pulls_and_their_end(self):
        self.fail_once("pull")
        for n, delay in enumerate(DELAYS, 1):
            row, = self.waiting("pull")
            self.assertEqual(row["data"]["retry_count"], n)
            self.assert_due_in(row, delay)
            self.run_retries("pull")
        self.assertEqual(self.waiting("pull"), [])
        self.assertEqual([r["status"] for r in self.s.actions()],
                         ["complete"] * 4 + ["failed"])

    def test_fields_disabled_in_mid_chain_end_it_quietly(self):
        self.fail_once("pull")
        name = "newspack_integration_incoming_fields_esp"
        kept = self.s.option(name)
        newspack.set_option(self.s, name, {})
        try:
            self.run_retries("pull")
        finally:
            newspack.set_option(self.s, name, kept)
        self.assertEqual(self.waiting("pull"), [])
        row, = self.s.actions()
        self.assertEqual(row["status"], "complete")

    def test_pull_and_push_retries_do_not_hold_up_each_other(self):
        user = self.fail_once("pull")
        self.esp.faults.clear()
        self.stage([user], ["push"])
        self.tick("--push")
        self.assertEqual(self.sent(), [self.address(user)])


class TwoIntegrationsTest(RetryCase):
    CRM = True

    def crm(self, what="push"):
        return [c["user_id"] for c in newspack.calls(self.s, what, "crm")]

    def test_both_get_every_reader(self):
        users = self.readers(3)
        self.stage(users, ["push"])
        self.tick("--push")
        self.assertEqual(sorted(self.sent()), self.addresses(users))
        self.assertEqual(sorted(self.crm()), users)
        self.assertEqual(self.flags(), {})

    def test_a_retry_of_one_does_not_hold_up_the_other_nor_lose_the_flag(
            self):
        user, = self.readers()
        newspack.knobs(self.s, {"on": "push", "id": "crm", "do": "error",
                                "with": ["The CRM is away"]})
        self.stage([user], ["push"])
        self.tick("--push", code=FAILED)
        row, = self.waiting("push")
        self.assertEqual(row["data"]["integration_id"], "crm")
        self.assertIn("The CRM is away", row["data"]["reason"])
        self.assertEqual(self.sent(), [self.address(user)])
        newspack.knobs(self.s)
        newspack.set_meta(self.s, user, "np_reader_registration_method", "x")
        self.stage([user], ["push"])
        self.esp.forget()
        newspack.forget_calls(self.s)
        self.tick("--push", code=(DONE, FAILED))
        self.assertEqual(self.sent(), [self.address(user)])
        self.assertEqual(self.crm(), [])
        self.assertEqual(list(self.flags("push")), [user])
        self.run_retries()
        self.assertEqual(self.crm(), [user])
        self.tick("--push", code=(DONE, FAILED))
        self.assertEqual(self.flags(), {})

    def test_an_exception_in_php_concerns_that_reader_alone(self):
        users = self.readers(3)
        newspack.knobs(self.s, {"on": "push", "id": "crm", "do": "throw",
                                "users": [users[1]], "with": "kaputt"})
        self.stage(users, ["push"])
        self.tick("--push", code=FAILED)
        self.assertEqual([r["data"]["user_id"]
                          for r in self.waiting("push")], [users[1]])
        self.assertEqual(sorted(self.crm()), users)

    def test_a_fatal_error_in_php_concerns_that_reader_alone(self):
        users = self.readers(3)
        newspack.knobs(self.s, {"on": "push", "id": "crm", "do": "fatal",
                                "users": [users[1]]})
        self.stage(users, ["push"])
        self.tick("--push", code=FAILED)
        newspack.knobs(self.s)
        self.tick("--push", code=(DONE, FAILED))
        self.assertEqual(sorted(set(self.crm())), users)
        self.assertEqual([r["data"]["user_id"]
                          for r in self.waiting("push")], [users[1]])

    def test_a_permanent_pull_failure_is_never_scheduled(self):
        user, = self.readers()
        self.member(user)
        newspack.knobs(self.s, {"on": "pull", "id": "crm", "do": "data",
                                "with": "no array"})
        self.stage([user], ["pull"])
        self.tick("--pull", code=(DONE, FAILED))
        self.assertEqual([r["data"]["integration_id"]
                          for r in self.waiting("pull")], [])


if __name__ == "__main__":
    unittest.main()
