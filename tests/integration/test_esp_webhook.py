"""Contacts to a webhook: signed, up to a hundred in a request, each with an
outcome of its own, never to an address inside."""

import unittest

from esp import driver
from esp.driver import contact
from esp.webhook import Webhook


def many(n):
    return [contact("r%d@example.org" % i, {"NP_Account": str(i)},
                    name="Reader %d" % i, user_id=100 + i, id="change-%d" % i)
            for i in range(n)]


def outcomes(step):
    return [c["outcome"] for c in step["contacts"]]


class Case(unittest.TestCase):
    def setUp(self):
        self.esp = Webhook()
        self.addCleanup(self.esp.close)

    def tearDown(self):
        self.assertEqual(self.esp.violations, [])

    def run_steps(self, *steps, host=None, **account):
        a = dict(self.esp.account, **account)
        return driver.run("webhook", a, list(steps), host)

    def push(self, *contacts, **more):
        answer = self.run_steps({"op": "push", "contacts": list(contacts)},
                                **more)
        self.rests = answer["rests"]
        return answer["steps"][0]


class Push(Case):
    def test_a_contact_arrives_as_it_is(self):
        step = self.push(contact(
            "Ann@example.org", {"NP_Account": "7", "NP_Total": 12.5},
            name="Ann \"A\" 名前", user_id=7, id="c7",
            previous_email="old@example.org"))
        self.assertEqual((step["rc"], outcomes(step)), ("ok", ["done"]))
        self.assertEqual(self.esp.received, [{
            "user_id": 7, "id": "c7", "email": "Ann@example.org",
            "previous_email": "old@example.org", "name": "Ann \"A\" 名前",
            "fields": {"NP_Account": "7", "NP_Total": 12.5}}])

    def test_a_hundred_go_in_one_request(self):
        step = self.push(*many(250))
        self.assertEqual(step["counts"]["done"], 250)
        self.assertEqual(len(self.esp.calls), 3)
        self.assertEqual(len(set(self.esp.emails())), 250)

    def test_large_ones_share_less(self):
        big = [contact("r%d@example.org" % i, {"NP_Text": "x" * 50000})
               for i in range(60)]
        step = self.push(*big)
        self.assertEqual(step["counts"]["done"], 60)
        self.assertGreater(len(self.esp.calls), 2)

    def test_one_that_fits_no_request_is_refused_alone(self):
        people = many(3)
        people[1]["fields"].append(["NP_Text", "x" * 1100000])
        self.assertEqual(outcomes(self.push(*people)),
                         ["done", "refused", "done"])

    def test_the_id_is_the_same_however_often_it_is_sent(self):
        self.esp.fail(500)
        self.push(*many(5))
        self.push(*many(5))
        self.push(*many(6))
        ids = [c.headers["webhook-id"] for c in self.esp.calls]
        self.assertEqual(ids[0], ids[1])
        self.assertNotEqual(ids[1], ids[2])

    def test_without_a_secret_nothing_is_signed(self):
        self.esp.secret = None
        step = driver.run("webhook", self.esp.account, [
            {"op": "push", "contacts": many(1)}])["steps"][0]
        self.assertEqual(outcomes(step), ["done"])

    def test_a_key_is_sent_as_a_bearer(self):
        self.esp.key = "open sesame"
        self.assertEqual(outcomes(self.push(*many(1))), ["done"])

    def test_connections_are_four_at_most(self):
        # So long that the fourth comes while the first is answered.
        self.esp.delay = 0.5
        self.push(*many(1000))
        self.assertEqual(self.esp.peak, 4)


class Outcomes(Case):
    def test_single_outcomes_by_place(self):
        self.esp.results = {
            "r1@example.org": {"ok": False, "message": "r1@example.org: no"},
            "r2@example.org": {"ok": False, "retry": True},
            "r3@example.org": {"ok": True}}
        step = self.push(*many(5))
        self.assertEqual(outcomes(step), [
            "done", "refused", "retry", "done", "done"])
        self.assertEqual(step["contacts"][1]["message"],
                         "r***@example.org: no")

    def test_single_outcomes_by_address(self):
        self.esp.fail(200, body={"results": [
            {"email": "R1@Example.org", "ok": False},
            {"email": "stranger@example.org", "ok": False}, 7,
            {"index": 99, "ok": False}, {"index": -1, "ok": False}]})
        self.assertEqual(outcomes(self.push(*many(3))),
                         ["done", "refused", "done"])

    def test_an_answer_that_is_no_json_accepts_all(self):
        self.esp.fail(202, body="Accepted")
        self.assertEqual(outcomes(self.push(*many(3))), ["done"] * 3)

    def test_whom_a_refusal_means_is_found(self):
        self.esp.refused = {"r37@example.org"}
        for status in (400, 413, 422):
            self.esp.refuse_status = status
            step = self.push(*many(100))
            self.assertEqual(step["counts"]["done"], 99)
            self.assertEqual(outcomes(step)[37], "refused")
            self.assertIn("HTTP %d" % status, step["contacts"][37]["message"])
        self.assertLess(len(self.esp.calls), 60)

    def test_who_refuses_everybody_is_not_asked_for_ever(self):
        self.esp.refused = {"r%d@example.org" % i for i in range(500)}
        step = self.push(*many(500))
        self.assertEqual(step["counts"]["done"], 0)
        self.assertLess(len(self.esp.calls), 150)
        self.assertEqual(step["counts"]["open"], 0)

    def test_statuses(self):
        for status, outcome, config in (
                (500, "retry", None), (502, "retry", None),
                (408, "retry", None), (409, "retry", None),
                (400, "refused", None), (422, "refused", None),
                (401, "open", True), (403, "open", True),
                (404, "open", True), (405, "open", True),
                (410, "open", True), (301, "open", True),
                (429, "open", False)):
            self.esp.fail(status, body={"no": "no"})
            step = self.push(*many(1))
            self.assertEqual(outcomes(step), [outcome], status)
            self.assertEqual([r["config"] for r in self.rests],
                             [] if config is None else [config], status)
            self.assertEqual(step["rc"] == "reject", config is True, status)

    def test_a_full_queue_is_no_refusal(self):
        self.esp.fail(400, body="Queue is full.")
        self.assertEqual(outcomes(self.push(*many(3))), ["retry"] * 3)

    def test_retry_after_is_handed_on(self):
        self.esp.fail(429, headers={"Retry-After": "11"})
        self.push(*many(1))
        self.assertEqual(self.rests[0]["after_s"], 11)

    def test_a_cut_connection_is_a_retry(self):
        self.esp.cut(times=4)
        step = self.push(*many(2))
        self.assertEqual(outcomes(step), ["retry"] * 2)


class Addresses(Case):
    def test_addresses_inside_are_not_connected_to(self):
        for host in ("127.0.0.1", "[::1]", "localhost", "0.0.0.0",
                     "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1"):
            answer = driver.run("webhook", {
                "api": "https://%s:%d/contacts" % (host, self.esp.port)},
                [{"op": "push", "contacts": many(1)}])
            self.assertEqual(answer["steps"][0]["rc"], "reject", host)
            self.assertIn("not one of the Internet",
                          answer["steps"][0]["error"], host)
            self.assertTrue(answer["rests"][0]["config"], host)
        self.assertEqual(self.esp.connections, 0)

    def test_contacts_do_not_go_in_the_clear(self):
        for api, words in (("http://example.org/x", "https"),
                           ("ftp://example.org/x", "not an http"),
                           ("example", "not a URL"), ("", "not set"),
                           (None, "not set")):
            answer = driver.run("webhook", {"api": api}, [])
            self.assertEqual(answer["rc"], "reject", api)
            self.assertIn(words, answer["error"], api)

    def test_a_secret_that_is_none_is_said(self):
        answer = driver.run("webhook", {
            "api": "https://example.org/", "secret": "whsec_!!"}, [])
        self.assertEqual(answer["rc"], "reject")
        self.assertIn("secret", answer["error"])
        self.assertNotIn("!!", answer["error"])


class Account(Case):
    def test_test_sends_nobody(self):
        step = self.run_steps({"op": "test"})["steps"][0]
        self.assertEqual((step["rc"], step["words"]),
                         ("ok", "the receiver answers 200"))
        self.assertEqual(self.esp.received, [])

    def test_test_says_what_is_wrong(self):
        self.esp.fail(404)
        step = self.run_steps({"op": "test"})["steps"][0]
        self.assertEqual(step["rc"], "reject")
        self.assertIn("404", step["error"])

    def test_it_cannot_pull(self):
        step = self.run_steps({"op": "pull", "contacts": many(1),
                               "keys": ["a"]})["steps"][0]
        self.assertEqual(step["rc"], "reject")


if __name__ == "__main__":
    unittest.main()
