"""Constant Contact's tokens, which PHP shares and which die when they are
used: renewed late, stored at once, never lost."""

import unittest

from esp import driver
from esp.constant_contact import LIST, ConstantContact, token
from esp.driver import contact

PUSH = {"op": "push", "contacts": [contact("a@example.org")]}


class Tokens(unittest.TestCase):
    def setUp(self):
        self.esp = ConstantContact()
        self.addCleanup(self.check)

    def check(self):
        self.esp.close()
        self.assertEqual(self.esp.violations, [])

    def run_steps(self, *steps, stored=None, host=None, **account):
        account = self.esp.account(**account)
        tokens = {"access": account["access_token"],
                  "refresh": account["refresh_token"]}
        tokens.update(stored or {})
        self.answer = driver.run(
            "constant_contact", account, list(steps),
            host=dict({"tokens": tokens}, **(host or {})))
        return self.answer["steps"]

    def outcome(self, step):
        return [c["outcome"] for c in step["contacts"]]

    def renewals(self):
        return self.esp.count("/oauth2/")

    def expired(self, seconds=-10):
        """An access token that the API would take still."""
        old = token(seconds, 99)
        self.esp.access = {old}
        return old

    def test_a_token_that_holds_is_not_renewed(self):
        for seconds in (360, 86400):
            self.expired(seconds)
            step = self.run_steps(PUSH)[0]
            self.assertEqual(self.outcome(step), ["done"])
        self.assertEqual(self.renewals(), 0)
        self.assertEqual(self.answer["tokens"]["writes"], 0)

    def test_a_token_is_renewed_five_minutes_before_its_end(self):
        for seconds in (290, 0, -100):
            self.esp.forget()
            self.expired(seconds)
            step = self.run_steps(PUSH)[0]
            self.assertEqual(self.outcome(step), ["done"])
            self.assertEqual(self.renewals(), 1)
            tokens = self.answer["tokens"]
            self.assertEqual(tokens["refresh"], self.esp.refresh_token)
            self.assertIn(tokens["access"], self.esp.access)
            self.assertEqual((tokens["writes"], tokens["held"]), (1, False))

    def test_the_new_pair_is_used_by_the_next_step_and_the_next_renewal(self):
        self.expired()
        self.esp.lifetime = 100  # each is to be renewed at once
        steps = self.run_steps(PUSH, PUSH)
        self.assertEqual([self.outcome(s) for s in steps], [["done"]] * 2)
        self.assertGreater(self.renewals(), 2)
        self.assertEqual(self.answer["tokens"]["refresh"],
                         self.esp.refresh_token)

    def test_a_long_lived_refresh_token_is_kept(self):
        self.esp.rotates = False
        self.expired()
        self.run_steps(PUSH)
        self.assertEqual(self.answer["tokens"]["refresh"], "refresh-0")
        self.assertEqual(self.answer["tokens"]["writes"], 1)

    def test_what_php_renewed_meanwhile_is_taken_over(self):
        old = self.expired()
        new = token(86400, 5)
        self.esp.access = {new}
        step = self.run_steps(PUSH, access_token=old, stored={
            "access": new, "refresh": "of-php"})[0]
        self.assertEqual(self.outcome(step), ["done"])
        self.assertEqual(self.renewals(), 0)
        self.assertFalse(self.answer["tokens"]["held"])

    def test_401_renews_once_and_sends_again(self):
        self.esp.revoke()
        steps = self.run_steps(PUSH, access_token=token(86400, 1))
        self.assertEqual(self.outcome(steps[0]), ["done"])
        self.assertEqual(self.renewals(), 1)
        self.assertEqual(self.answer["rests"], [])

    def test_401_takes_over_what_php_renewed(self):
        old, new = token(86400, 1), token(86400, 2)
        self.esp.access = {new}
        self.run_steps(PUSH, access_token=old,
                       stored={"access": new, "refresh": "of-php"})
        self.assertEqual(self.renewals(), 0)

    def test_401_in_mid_run_loses_nobody(self):
        def revoke(call):
            if call.method == "POST" and call.path == "/v3/contacts" and \
                    not self.renewals():
                self.esp.revoke()
        self.esp.before = revoke
        step = self.run_steps({"op": "push", "contacts": [
            contact("r%d@example.org" % i) for i in range(4)]})[0]
        self.assertEqual(self.outcome(step), ["done"] * 4)
        self.assertEqual(self.renewals(), 1)

    def test_one_request_tells_a_dead_token_before_hundreds(self):
        self.esp.revoke()
        self.run_steps({"op": "pull", "keys": ["x"], "contacts": [
            contact("r%d@example.org" % i) for i in range(50)]},
            access_token=token(86400, 1))
        self.assertEqual(
            sum(c.status == 401 for c in self.esp.calls), 1)

    def test_a_refresh_token_that_died_is_config(self):
        self.expired()
        self.esp.refresh_token = "another"
        step = self.run_steps(
            PUSH, refresh_token="dead", stored={"refresh": "dead"})[0]
        self.assertEqual(self.outcome(step), ["open"])
        self.assertEqual([r["config"] for r in self.answer["rests"]], [True])
        self.assertIn("invalid_grant", self.answer["rests"][0]["why"])
        self.assertNotIn("dead", self.answer["rests"][0]["why"])
        self.assertEqual(self.answer["tokens"]["writes"], 0)
        self.assertFalse(self.answer["tokens"]["held"])

    def test_a_wrong_secret_is_config(self):
        self.expired()
        step = self.run_steps(PUSH, secret="wrong")[0]
        self.assertEqual(self.outcome(step), ["open"])
        self.assertEqual([r["config"] for r in self.answer["rests"]], [True])

    def test_a_token_endpoint_that_is_away_is_asked_again_later(self):
        for fault in (lambda: self.esp.fail(503, where="/oauth2/"),
                      lambda: self.esp.cut(where="/oauth2/")):
            self.esp.forget()
            self.expired()
            fault()
            steps = self.run_steps(PUSH, PUSH)
            self.assertEqual([self.outcome(s) for s in steps],
                             [["open"], ["done"]])
            self.assertEqual(steps[0]["rc"], "retry")
            self.assertEqual(self.answer["rests"], [])
            self.assertEqual(self.renewals(), 2)
            self.esp.contacts.clear()

    def test_the_exchange_is_never_sent_twice_by_itself(self):
        """Cut off after it was done: the old token is dead, a person must
        look; another try of our own would only hide it."""
        self.expired()
        self.esp.cut(where="/oauth2/", handled=True)
        steps = self.run_steps(PUSH, PUSH)
        self.assertEqual([self.outcome(s) for s in steps], [["open"]] * 2)
        self.assertEqual(self.renewals(), 2)
        self.assertEqual([r["config"] for r in self.answer["rests"]], [True])

    def test_a_pair_that_cannot_be_stored_is_not_used(self):
        self.expired()
        steps = self.run_steps(PUSH, host={"tokens_write_fails": True})
        self.assertEqual(self.outcome(steps[0]), ["open"])
        self.assertEqual(self.renewals(), 1)
        self.assertEqual(self.esp.count("/v3/"), 0)
        self.assertFalse(self.answer["tokens"]["held"])

    def test_a_pair_that_could_not_be_stored_is_not_renewed_again(self):
        self.expired()
        self.run_steps(PUSH, PUSH, host={"tokens_write_fails": True})
        self.assertEqual(self.renewals(), 1)

    def test_without_an_access_token_one_is_made(self):
        step = self.run_steps(PUSH, access_token=None,
                              stored={"access": None})[0]
        self.assertEqual(self.outcome(step), ["done"])
        self.assertEqual(self.renewals(), 1)
        self.assertEqual(self.esp.contacts["a@example.org"].lists, [LIST])

    def test_no_token_is_in_what_is_said(self):
        self.expired()
        self.esp.fail(400, where="/oauth2/", body={"error": "invalid_grant"})
        self.run_steps(PUSH)
        said = str(self.answer["rests"]) + str(
            [s["error"] for s in self.answer["steps"]])
        self.assertNotIn("refresh-0", said)
        self.assertNotIn("client-secret", said)


if __name__ == "__main__":
    unittest.main()
