"""The Brevo provider against a stand-in that knows the API's rules."""

import unittest

from esp import driver
from esp.brevo import Brevo
from esp.driver import contact


def outcomes(step):
    return [c["outcome"] for c in step["contacts"]]


def many(n, first=0, **fields):
    return [contact("r%d@example.org" % i, fields or {"NP_Account": str(i)})
            for i in range(first, first + n)]


class Base(unittest.TestCase):
    def setUp(self):
        self.esp = Brevo()
        self.addCleanup(self.check)

    def check(self):
        self.esp.close()
        self.assertEqual(self.esp.violations, [])

    def run_steps(self, *steps, host=None, **account):
        self.answer = driver.run("brevo", self.esp.account(**account),
                                 list(steps), host=host)
        return self.answer["steps"]

    def push(self, *contacts, settle=False, host=None, **account):
        steps = [{"op": "push", "contacts": list(contacts)}]
        if settle:
            steps.append({"op": "settle", "max_s": 20})
        return self.run_steps(*steps, host=host, **account)


class Single(Base):
    def test_a_new_contact_is_made_on_the_list(self):
        step = self.push(contact("a+b@example.org", {
            "NP_Account": "7", "NP_Registration Date": "2026-01-02 03:04:05",
            "NP_Empty": ""}, name="Ann van Berg"))[0]
        self.assertEqual((step["rc"], outcomes(step)), ("ok", ["done"]))
        c = self.esp.contacts["a+b@example.org"]
        self.assertEqual((c.lists, c.blacklisted), ([7], False))
        self.assertEqual(c.attributes, {
            "FIRSTNAME": "Ann", "LASTNAME": "van Berg", "NP_ACCOUNT": "7",
            "NP_REGISTRATION_DATE": "2026-01-02"})
        self.assertEqual(self.esp.attributes["NP_REGISTRATION_DATE"], "date")

    def test_a_known_contact_is_updated_by_one_call_and_keeps_its_status(self):
        for lists, blacklisted in (([7], True), ([7], False), ([], False),
                                   ([3], True)):
            with self.subTest(lists=lists, blacklisted=blacklisted):
                self.esp.forget()
                self.esp.put("a@example.org", lists=lists,
                             blacklisted=blacklisted,
                             attributes={"NP_ACCOUNT": "old"})
                step = self.push(contact("a@example.org", {"NP_Account": ""},
                                         status_if_new="subscribed"))[0]
                self.assertEqual(outcomes(step), ["done"])
                c = self.esp.contacts["a@example.org"]
                self.assertEqual((c.lists, c.blacklisted),
                                 (lists, blacklisted))
                self.assertEqual(c.attributes, {"NP_ACCOUNT": ""})
                self.assertEqual(self.esp.count("/contacts/a%40"), 1)
                self.assertEqual(self.esp.count("POST /v3/contacts "), 0)

    def test_status_if_new_decides_for_new_contacts(self):
        for account, own, want in (
                (None, "", ([7], False)), ("subscribed", "", ([7], False)),
                ("transactional", "", ([], False)),
                ("pending", "", ([], False)),
                ("unsubscribed", "", ([], True)),
                (None, "transactional", ([7], False)),
                ("subscribed", "unsubscribed", ([], True))):
            with self.subTest(account=account, own=own):
                self.esp.contacts.clear()
                step = self.push(contact("a@example.org", status_if_new=own),
                                 status_if_new=account)[0]
                self.assertEqual(outcomes(step), ["done"])
                c = self.esp.contacts["a@example.org"]
                self.assertEqual((c.lists, c.blacklisted), want)

    def test_values_take_the_attributes_type(self):
        self.esp.attributes.update(NP_PAID="float", NP_MEMBER="boolean",
                                   NP_SINCE="date", NP_NOTE="text")
        self.push(contact("a@example.org", {
            "NP_Paid": "12.50", "NP_Member": "Yes", "NP_Since": "2026-01-02",
            "NP_Note": 42}))
        self.assertEqual(self.esp.contacts["a@example.org"].attributes, {
            "NP_PAID": 12.5, "NP_MEMBER": True, "NP_SINCE": "2026-01-02",
            "NP_NOTE": "42"})

    def test_an_attribute_that_cannot_be_made_is_left_out(self):
        self.esp.max_attributes = 3
        step = self.push(contact("a@example.org", {
            "NP_Account": "7", "NP_Other": "x"}))[0]
        self.assertEqual(outcomes(step), ["done"])
        self.assertEqual(self.esp.contacts["a@example.org"].attributes,
                         {"NP_ACCOUNT": "7"})

    def test_without_leave_to_make_attributes_none_is_made(self):
        step = self.push(contact("a@example.org", {"NP_Account": "7"}),
                         create_fields=False)[0]
        self.assertEqual(outcomes(step), ["done"])
        self.assertEqual(self.esp.count("attributes/normal"), 0)

    def test_a_refused_contact_keeps_the_others(self):
        self.esp.refuse["bad@example.org"] = (
            "invalid_parameter", "bad@example.org is invalid")
        step = self.push(contact("bad@example.org"),
                         contact("good@example.org"))[0]
        self.assertEqual(outcomes(step), ["refused", "done"])
        self.assertNotIn("bad@example.org", step["contacts"][0]["message"])

    def test_a_contact_somebody_else_just_made_is_retried(self):
        def make(call):
            if call.method == "POST" and call.path.endswith("/contacts"):
                self.esp.put("a@example.org", blacklisted=True)
        self.esp.before = make
        step = self.push(contact("a@example.org"))[0]
        self.assertEqual(outcomes(step), ["retry"])
        self.assertTrue(self.esp.contacts["a@example.org"].blacklisted)

    def test_who_unsubscribes_while_being_pushed_stays_unsubscribed(self):
        self.esp.put("a@example.org", lists=[7])
        self.esp.before = lambda call: self.esp.unsubscribe("a@example.org")
        step = self.push(contact("a@example.org", {"NP_Account": "7"}))[0]
        self.assertEqual(outcomes(step), ["done"])
        self.assertTrue(self.esp.contacts["a@example.org"].blacklisted)


class Moved(Base):
    def test_the_contact_of_the_former_address_gets_the_new_one(self):
        old = self.esp.put("old@example.org", lists=[7], blacklisted=True)
        step = self.push(contact("new@example.org", {"NP_Account": "7"},
                                 previous_email="old@example.org"))[0]
        self.assertEqual(outcomes(step), ["done"])
        self.assertIs(self.esp.contacts["new@example.org"], old)
        self.assertTrue(old.blacklisted)
        self.assertEqual(old.attributes["NP_ACCOUNT"], "7")

    def test_an_unknown_former_address_is_a_new_contact(self):
        step = self.push(contact("new@example.org",
                                 previous_email="old@example.org"))[0]
        self.assertEqual(outcomes(step), ["done"])
        self.assertEqual(self.esp.contacts["new@example.org"].lists, [7])

    def test_a_new_address_that_is_a_contact_is_updated_by_itself(self):
        self.esp.put("old@example.org")
        self.esp.put("new@example.org", blacklisted=True)
        step = self.push(contact("new@example.org", {"NP_Account": "7"},
                                 previous_email="old@example.org"))[0]
        self.assertEqual(outcomes(step), ["done"])
        self.assertTrue(self.esp.contacts["new@example.org"].blacklisted)


class Bulk(Base):
    def test_twenty_are_imported_and_nineteen_are_not(self):
        for n, imports in ((19, 0), (20, 1)):
            with self.subTest(n=n):
                self.esp.contacts.clear()
                self.esp.forget()
                steps = self.push(*many(n), settle=True)
                self.assertEqual(self.esp.count("contacts/import"), imports)
                last = steps[1] if imports else steps[0]
                self.assertEqual(outcomes(last), ["done"] * n)
                self.assertTrue(all(
                    c.lists == [7] for c in self.esp.contacts.values()))

    def mixed(self):
        kinds = [{"lists": [7]}, {"lists": []}, {"lists": [3]},
                 {"lists": [7], "blacklisted": True}, None]
        for i in range(500):
            if kinds[i % 5] is not None:
                self.esp.put("R%d@example.org" % i, **kinds[i % 5])
        return kinds

    def check_mixed(self, kinds):
        for number in self.esp.processes:
            self.esp.work(number)
        for i in range(500):
            c = self.esp.contacts["r%d@example.org" % i]
            self.assertEqual(c.lists, (kinds[i % 5] or kinds[0])["lists"])
            self.assertEqual(c.blacklisted, i % 5 == 3)
            self.assertEqual(c.attributes["NP_ACCOUNT"], str(i))

    def test_new_ones_are_imported_and_known_ones_updated_by_hundreds(self):
        kinds = self.mixed()
        got = outcomes(self.push(*many(500))[0])
        for i in range(500):
            self.assertEqual(got[i], "pending" if i % 5 == 4 else "done", i)
        self.assertEqual(self.esp.count("contacts/batch"), 4)
        self.assertEqual(self.esp.count("contacts/import"), 1)
        self.assertEqual(self.esp.count("PUT"), 0)
        self.check_mixed(kinds)

    def test_an_account_without_updates_of_many_gets_single_ones(self):
        self.esp.has_batch = False
        kinds = self.mixed()
        step = self.push(*many(500))[0]
        self.assertEqual(step["counts"]["done"], 400)
        self.assertEqual(self.esp.count("contacts/batch"), 4)
        self.assertEqual(self.esp.count("PUT"), 400)
        self.check_mixed(kinds)

    def test_updates_of_many_clear_what_is_empty(self):
        for i in range(20):
            self.esp.put("r%d@example.org" % i,
                         attributes={"NP_ACCOUNT": "old", "NP_B": "b"})
        self.esp.attributes["NP_B"] = "text"
        step = self.push(*many(20, NP_Account=""))[0]
        self.assertEqual(step["counts"]["done"], 20)
        self.assertEqual(self.esp.contacts["r7@example.org"].attributes,
                         {"NP_ACCOUNT": "", "NP_B": "b"})

    def test_the_account_is_read_once_and_then_what_changed(self):
        for i in range(2500):
            self.esp.put("o%d@example.org" % i, lists=[7])
        for c in self.esp.contacts.values():
            c.modified = c.modified.replace(year=2020)
        steps = self.run_steps(
            {"op": "push", "contacts": many(30)}, {"op": "settle"},
            {"op": "push", "contacts": many(30, NP_Account="x")},
            {"op": "settle"})
        self.assertEqual(steps[1]["counts"]["done"], 30)
        self.assertEqual(steps[2]["counts"]["done"], 30)
        pages = [c for c in self.esp.calls
                 if c.method == "GET" and c.path.endswith("/contacts")]
        self.assertEqual(len(pages), 4)
        self.assertEqual([("modifiedSince" in c.query) for c in pages],
                         [False, False, False, True])

    def test_a_read_of_the_account_goes_on_where_it_stopped(self):
        for i in range(9000):
            self.esp.put("r%d@example.org" % i)
        push = {"op": "push", "contacts": many(30, first=8960)}
        steps = self.run_steps(push, {"op": "wake"}, push,
                               host={"stop_after": 7})
        self.assertEqual(outcomes(steps[0]), ["open"] * 30)
        self.assertEqual(steps[2]["counts"]["done"], 30)
        pages = [c for c in self.esp.calls if "offset" in c.query]
        self.assertEqual(len(pages), 10)

    def test_who_unsubscribes_in_mid_run_stays_unsubscribed(self):
        for i in range(30):
            self.esp.put("r%d@example.org" % i, lists=[7])

        def leave(call):
            c = self.esp.contacts["r7@example.org"]
            c.lists, c.blacklisted = [], True
            new = self.esp.contacts.get("r40@example.org")
            if new:
                new.blacklisted = True
        self.esp.before = leave
        steps = self.push(*many(60), settle=True)
        self.assertEqual(steps[1]["counts"]["done"], 30)
        self.assertEqual(steps[0]["counts"]["done"], 30)
        steps = self.push(*many(60))
        self.assertEqual(steps[0]["counts"]["done"], 60)
        for i in (7, 40):
            c = self.esp.contacts["r%d@example.org" % i]
            self.assertTrue(c.blacklisted)
            self.assertEqual(c.attributes["NP_ACCOUNT"], str(i))
        self.assertEqual(self.esp.contacts["r7@example.org"].lists, [])

    def test_new_ones_that_shall_be_on_no_list_go_alone(self):
        for i in range(20):
            self.esp.put("r%d@example.org" % i, lists=[7])
        step = self.push(*many(25), status_if_new="transactional")[0]
        self.assertEqual(step["counts"]["done"], 25)
        self.assertEqual(self.esp.count("contacts/import"), 0)
        self.assertEqual(self.esp.contacts["r24@example.org"].lists, [])

    def test_without_a_list_all_go_alone(self):
        step = self.push(*many(25), list=None)[0]
        self.assertEqual(step["counts"]["done"], 25)
        self.assertEqual(self.esp.count("import"), 0)

    def test_a_page_of_another_shape_is_no_empty_account(self):
        for i in range(25):
            self.esp.put("r%d@example.org" % i)
        for body in ({}, [], {"contacts": {}}, {"contacts": None}):
            self.esp.fail(200, body=body, where=lambda c: "offset" in c.query)
            step = self.push(*many(25))[0]
            self.assertEqual(step["counts"]["done"], 25)
            self.esp.faults = []
        self.assertTrue(all(not c.lists for c in self.esp.contacts.values()))

    def test_an_account_that_cannot_be_read_is_pushed_to_singly(self):
        self.esp.fail(500, where=lambda c: "offset" in c.query)
        step = self.push(*many(25))[0]
        self.assertEqual(step["counts"]["done"], 25)
        self.assertEqual(self.esp.count("import"), 0)

    def test_a_refused_update_of_many_is_halved_down_to_the_culprit(self):
        for i in range(100):
            self.esp.put("r%d@example.org" % i)
        self.esp.refuse["r33@example.org"] = ("invalid_parameter", "no")
        got = outcomes(self.push(*many(100))[0])
        self.assertEqual(got[33], "refused")
        self.assertEqual(got.count("done"), 99)
        self.assertLessEqual(self.esp.count("PUT"), 3)

    def test_a_refused_import_is_halved_down_to_the_culprit(self):
        self.esp.refuse["r33@example.org"] = ("invalid_parameter", "no")
        step = self.push(*many(100))[0]
        got = outcomes(step)
        self.assertEqual(got[33], "refused")
        self.assertEqual(got.count("refused"), 1)
        self.assertGreater(got.count("pending"), 70)
        self.assertEqual(got.count("pending") + got.count("done"), 99)

    def test_a_process_that_failed_is_sent_singly(self):
        for end in ("failed", "cancelled"):
            self.esp.end = end
            steps = self.push(*many(20), settle=True)
            self.assertEqual(outcomes(steps[1]), ["retry"] * 20)
            self.assertTrue(all(not c["message"]
                                for c in steps[1]["contacts"]))

    def test_a_process_that_is_late_is_asked_for_again(self):
        self.esp.polls = 1
        token = self.push(*many(20))[0]["batches"][0]
        self.assertEqual(token["after_s"], 60)
        poll = {"op": "poll", "token": token["token"], "contacts": many(20)}
        first, second = self.run_steps(poll, poll)
        self.assertEqual(outcomes(first), ["pending"] * 20)
        self.assertEqual(first["again_s"], 60)
        self.assertEqual(outcomes(second), ["done"] * 20)

    def test_an_unknown_process_is_none(self):
        step = self.run_steps({"op": "poll", "token": "99",
                               "contacts": many(1)})[0]
        self.assertEqual(step["rc"], "none")

    def test_a_batch_that_cannot_be_stored_is_retried(self):
        step = self.push(*many(20), host={"refuse_batches": True})[0]
        self.assertEqual(outcomes(step), ["retry"] * 20)

    def test_bodies_stay_under_8_mb(self):
        step = self.push(*many(400, NP_Bio="x" * 30000))[0]
        self.assertEqual(step["counts"]["pending"], 400)
        sizes = [len(c.body) for c in self.esp.calls if "import" in c.path]
        self.assertEqual(len(sizes), 2)
        self.assertLessEqual(max(sizes), 8 * 1024 * 1024)

    def test_a_cut_connection_retries_all_of_the_import(self):
        self.esp.cut(where="contacts/import", handled=True)
        step = self.push(*many(20))[0]
        self.assertEqual(outcomes(step), ["retry"] * 20)
        self.assertEqual(self.esp.count("contacts/import"), 1)


class Disturbed(Base):
    def test_5xx_html_and_cut_connections_are_retried(self):
        for fault in (lambda: self.esp.fail(500, where="PUT"),
                      lambda: self.esp.fail(502, where="PUT", body="<html>"),
                      lambda: self.esp.cut(times=9, where="PUT")):
            fault()
            step = self.push(contact("a@example.org"))[0]
            self.assertEqual((step["rc"], outcomes(step)), ("ok", ["retry"]))
            self.esp.faults = []

    def test_throttling_rests_until_the_reset_the_provider_names(self):
        for headers, after in (({"x-sib-ratelimit-reset": "9"}, 9),
                               ({"Retry-After": "4",
                                 "x-sib-ratelimit-reset": "9"}, 4), ({}, -1)):
            with self.subTest(headers=headers):
                self.esp.fail(429, times=9, where="PUT", headers=headers)
                step = self.push(contact("a@example.org"))[0]
                self.assertEqual((step["rc"], outcomes(step)),
                                 ("retry", ["open"]))
                rest = self.answer["rests"][0]
                self.assertEqual((rest["config"], rest["after_s"]),
                                 (False, after))
                self.esp.faults = []

    def test_a_wrong_key_and_no_credits_are_config(self):
        step = self.push(contact("a@example.org"), key="wrong")[0]
        self.assertEqual(outcomes(step), ["open"])
        self.assertTrue(self.answer["rests"][0]["config"])
        for status, code in ((402, "not_enough_credits"),
                             (400, "account_under_validation")):
            self.esp.fail(status, times=9, where="import",
                          body={"code": code, "message": "x"})
            step = self.push(*many(20))[0]
            self.assertEqual(outcomes(step), ["open"] * 20)
            self.assertEqual([r["config"] for r in self.answer["rests"]],
                             [True])
            self.esp.faults = []

    def test_when_the_budget_ends_the_rest_stays_open(self):
        step = self.push(*many(5), host={"stop_after": 4})[0]
        self.assertEqual(step["rc"], "retry")
        self.assertEqual(outcomes(step).count("done"), 0)
        self.assertEqual(len(self.esp.calls), 4)


class Pull(Base):
    def test_values_come_by_attribute(self):
        self.esp.put("a+b@example.org", attributes={
            "COLOR": "grün", "PAID": 12.5, "MEMBER": True, "OTHER": "x"})
        step = self.run_steps({
            "op": "pull", "keys": ["COLOR", "PAID", "MEMBER", "NONE"],
            "contacts": [contact("a+b@example.org"),
                         contact("new@example.org")]})[0]
        self.assertEqual(outcomes(step), ["done", "done"])
        self.assertEqual(step["contacts"][0]["pulled"],
                         {"COLOR": "grün", "PAID": 12.5, "MEMBER": True})
        self.assertEqual([c["strange"] for c in step["contacts"]],
                         [False, True])

    def test_a_page_is_pulled_although_some_fail(self):
        for i in range(60):
            self.esp.put("r%d@example.org" % i)
        self.esp.fail(500, where="r7%40")
        self.esp.fail(200, where="r8%40", body=["no"])
        step = self.run_steps({"op": "pull", "keys": ["X"],
                               "contacts": many(60)})[0]
        self.assertEqual(step["rc"], "ok")
        self.assertEqual(step["counts"]["retry"], 2)


class Account(Base):
    def test_the_test_names_key_and_list(self):
        step = self.run_steps({"op": "test"})[0]
        self.assertEqual(step["rc"], "ok")
        self.assertIn("list 7", step["words"])
        self.assertEqual(
            self.run_steps({"op": "test"}, list="9")[0]["rc"], "reject")
        self.assertNotEqual(
            self.run_steps({"op": "test"}, key="no")[0]["rc"], "ok")

    def test_fields_are_attributes(self):
        step = self.run_steps({"op": "fields"})[0]
        self.assertEqual(step["fields"], {"FIRSTNAME": "FIRSTNAME",
                                          "LASTNAME": "LASTNAME"})

    def test_what_is_not_set_is_named(self):
        for more, word in (({"key": None}, "key"), ({"list": "x"}, "list")):
            answer = driver.run("brevo", self.esp.account(**more), [])
            self.assertEqual(answer["rc"], "reject")
            self.assertIn(word, answer["error"])


if __name__ == "__main__":
    unittest.main()
