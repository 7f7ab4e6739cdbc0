"""The ActiveCampaign provider against a stand-in that knows the API's rules."""

import unittest

from esp import driver
from esp.active_campaign import ActiveCampaign
from esp.driver import contact


def outcomes(step):
    return [c["outcome"] for c in step["contacts"]]


class Base(unittest.TestCase):
    def setUp(self):
        self.esp = ActiveCampaign()
        self.addCleanup(self.check)

    def check(self):
        self.esp.close()
        self.assertEqual(self.esp.violations, [])

    def run_steps(self, *steps, host=None, **account):
        return driver.run("active_campaign", self.esp.account(**account),
                          list(steps), host=host)

    def push(self, *contacts, settle=False, host=None, **account):
        steps = [{"op": "push", "contacts": list(contacts)}]
        if settle:
            steps.append({"op": "settle", "max_s": 20})
        answer = self.run_steps(*steps, host=host, **account)
        self.answer = answer
        return answer["steps"]

    def many(self, n, first=0, **fields):
        return [contact("r%d@example.org" % i, fields or {"NP_Account": str(i)})
                for i in range(first, first + n)]


class Single(Base):
    def test_a_new_contact_is_made_with_its_fields_and_put_on_the_list(self):
        step = self.push(contact(
            "ann@example.org", {"NP_Account": "7",
                                "NP_Signup UTM: source": "mail"},
            name="Ann van Berg"))[0]
        self.assertEqual((step["rc"], outcomes(step)), ("ok", ["done"]))
        c = self.esp.contacts["ann@example.org"]
        self.assertEqual((c.first, c.last), ("Ann", "van Berg"))
        self.assertEqual(c.lists, {2: 1})
        self.assertEqual(
            self.esp.value("ann@example.org", "NP_SIGNUP_UTM_SOURCE"), "mail")

    def test_a_known_contact_keeps_its_list_status(self):
        for lists in ({2: 2}, {2: 1}, {}, {3: 1}):
            with self.subTest(lists=lists):
                self.esp.put("ann@example.org", lists=lists)
                step = self.push(contact("ann@example.org",
                                         {"NP_Account": "7"}))[0]
                self.assertEqual(outcomes(step), ["done"])
                self.assertEqual(
                    self.esp.contacts["ann@example.org"].lists, lists)
                self.assertEqual(self.esp.count("contactLists"), 0)

    def test_fields_are_made_once_with_the_types_of_the_plugin(self):
        self.esp.field("NP_Account", "NP_ACCOUNT")
        fields = {"NP_Account": "7", "NP_Registration Date":
                  "2026-01-02 03:04:05", "NP_Last Payment Amount": "12.50"}
        steps = self.run_steps(
            {"op": "push", "contacts": [contact("a@example.org", fields)]},
            {"op": "push", "contacts": [contact("b@example.org", fields)]},
        )["steps"]
        self.assertEqual([outcomes(s) for s in steps], [["done"], ["done"]])
        self.assertEqual(
            {f["perstag"]: f["type"] for f in self.esp.fields.values()},
            {"NP_ACCOUNT": "text", "NP_REGISTRATION_DATE": "date",
             "NP_LAST_PAYMENT_AMOUNT": "text"})
        self.assertEqual(self.esp.count("POST /api/3/fields"), 2)
        self.assertEqual(self.esp.count("GET /api/3/fields"), 1)
        self.assertEqual(
            self.esp.value("a@example.org", "NP_REGISTRATION_DATE"),
            "2026-01-02")

    def test_more_than_a_hundred_fields_are_all_read(self):
        for i in range(230):
            self.esp.field("F %d" % i, "F_%d" % i)
        step = self.push(contact("a@example.org", {"F 229": "x"}))[0]
        self.assertEqual(outcomes(step), ["done"])
        self.assertEqual(self.esp.value("a@example.org", "F_229"), "x")
        self.assertEqual(self.esp.count("POST /api/3/fields"), 0)
        self.assertEqual(self.esp.count("GET /api/3/fields"), 3)

    def test_without_leave_to_make_fields_known_ones_are_sent(self):
        self.esp.field("NP_Account", "NP_ACCOUNT")
        step = self.push(contact("a@example.org", {
            "NP_Account": "7", "NP_Other": "x"}), create_fields=False)[0]
        self.assertEqual(outcomes(step), ["done"])
        self.assertEqual(len(self.esp.fields), 1)
        self.assertEqual(self.esp.value("a@example.org", "NP_ACCOUNT"), "7")

    def test_a_field_over_the_plans_limit_is_left_out_and_asked_for_once(self):
        self.esp.max_fields = 1
        steps = self.push(contact("a@example.org", {
            "NP_Account": "7", "NP_Other": "x", "NP_Third": "y"}))
        self.assertEqual(outcomes(steps[0]), ["done"])
        self.assertEqual(self.esp.value("a@example.org", "NP_ACCOUNT"), "7")
        self.assertEqual(self.esp.count("POST /api/3/fields"), 3)
        self.assertEqual(self.esp.count("GET /api/3/fields"), 2)

    def test_a_field_that_cannot_be_made_now_sends_nobody_without_it(self):
        self.esp.fail(503, where="POST /api/3/fields")
        step = self.push(contact("a@example.org", {"NP_Account": "7"}))[0]
        self.assertEqual((step["rc"], outcomes(step)), ("retry", ["open"]))
        self.assertEqual(self.esp.contacts, {})

    def test_a_field_that_php_made_meanwhile_is_used(self):
        def make(call):
            if call.method == "POST" and call.path == "/api/3/fields":
                self.esp.before = None
                self.esp.field("NP_Account", "NP_ACCOUNT")
        self.esp.before = make
        self.esp.fail(422, where="POST /api/3/fields")
        step = self.push(contact("a@example.org", {"NP_Account": "7"}))[0]
        self.assertEqual(outcomes(step), ["done"])
        self.assertEqual(self.esp.value("a@example.org", "NP_ACCOUNT"), "7")

    def test_a_field_whose_making_was_not_answered_is_related_too(self):
        self.esp.cut(where="POST /api/3/fields", handled=True)
        step = self.push(contact("a@example.org", {"NP_Account": "7"}))[0]
        self.assertEqual(outcomes(step), ["done"])
        self.assertEqual(len(self.esp.fields), 1)

    def test_an_empty_value_clears_and_a_missing_one_does_not(self):
        a = self.esp.field("NP_A", "NP_A")
        b = self.esp.field("NP_B", "NP_B")
        self.esp.put("a@example.org", fields={a: "old", b: "old"})
        self.push(contact("a@example.org", {"NP_A": ""}))
        self.assertEqual(
            self.esp.contacts["a@example.org"].fields, {a: "", b: "old"})

    def test_a_datetime_field_gets_iso_8601(self):
        self.esp.field("NP_Last Active", "NP_LAST_ACTIVE", "datetime")
        self.push(contact("a@example.org",
                          {"NP_Last Active": "2026-01-02 03:04:05"}))
        self.assertEqual(self.esp.value("a@example.org", "NP_LAST_ACTIVE"),
                         "2026-01-02T03:04:05+00:00")

    def test_status_if_new_decides_the_list_of_new_contacts(self):
        for account, own, want in (
                (None, "", {2: 1}), ("subscribed", "", {2: 1}),
                ("transactional", "", {}), ("pending", "", {}),
                ("unsubscribed", "", {2: 2}),
                # The plugin adds Mailchimp's word whatever the provider.
                (None, "transactional", {2: 1}),
                (None, "unsubscribed", {2: 2})):
            with self.subTest(account=account, own=own):
                self.esp.contacts.clear()
                step = self.push(contact("a@example.org", status_if_new=own),
                                 status_if_new=account)[0]
                self.assertEqual(outcomes(step), ["done"])
                self.assertEqual(
                    self.esp.contacts["a@example.org"].lists, want)

    def test_without_a_list_new_contacts_are_on_none(self):
        self.push(contact("a@example.org"), list=None)
        self.assertEqual(self.esp.contacts["a@example.org"].lists, {})

    def test_a_refused_contact_keeps_the_others(self):
        self.esp.refuse["bad@example.org"] = (
            "email_invalid", "bad@example.org is not a valid address")
        step = self.push(contact("bad@example.org"),
                         contact("good@example.org"))[0]
        self.assertEqual(outcomes(step), ["refused", "done"])
        words = step["contacts"][0]["message"]
        self.assertIn("email_invalid", words)
        self.assertNotIn("bad@example.org", words)

    def test_what_is_no_address_is_not_sent(self):
        step = self.push(contact("nobody"), contact("a@example.org"))[0]
        self.assertEqual(outcomes(step), ["refused", "done"])
        self.assertEqual(self.esp.count("contact/sync"), 1)

    def test_a_contact_not_yet_on_the_list_is_listed_later(self):
        self.esp.fail(503, where="POST /api/3/contactLists")
        steps = self.push(contact("a@example.org"), settle=True)
        self.assertEqual(outcomes(steps[0]), ["pending"])
        self.assertTrue(
            steps[0]["batches"][0]["token"].startswith("lists:1:"))
        self.assertEqual(outcomes(steps[1]), ["done"])
        self.assertEqual(self.esp.contacts["a@example.org"].lists, {2: 1})

    def test_who_unsubscribed_before_the_late_list_step_stays_so(self):
        self.esp.fail(503, where="POST /api/3/contactLists")

        def unsubscribe(call):
            if "GET" == call.method and "/contacts/" in call.path:
                self.esp.contacts["a@example.org"].lists = {2: 2}
        self.esp.before = unsubscribe
        steps = self.push(contact("a@example.org"), settle=True)
        self.assertEqual(outcomes(steps[1]), ["done"])
        self.assertEqual(self.esp.contacts["a@example.org"].lists, {2: 2})

    def test_a_new_contact_whose_list_step_cannot_be_stored_is_retried(self):
        self.esp.fail(503, where="POST /api/3/contactLists")
        step = self.push(contact("a@example.org"),
                         host={"refuse_batches": True})[0]
        self.assertEqual(outcomes(step), ["retry"])


class Moved(Base):
    def test_the_contact_of_the_former_address_gets_the_new_one(self):
        old = self.esp.put("old@example.org", lists={2: 2})
        step = self.push(contact("new@example.org", {"NP_Account": "7"},
                                 previous_email="old@example.org"))[0]
        self.assertEqual(outcomes(step), ["done"])
        self.assertIs(self.esp.contacts["new@example.org"], old)
        self.assertNotIn("old@example.org", self.esp.contacts)
        self.assertEqual(old.lists, {2: 2})
        self.assertEqual(self.esp.value("new@example.org", "NP_ACCOUNT"), "7")

    def test_an_unknown_former_address_is_a_sync(self):
        step = self.push(contact("new+1@example.org",
                                 previous_email="old+1@example.org"))[0]
        self.assertEqual(outcomes(step), ["done"])
        self.assertEqual(self.esp.contacts["new+1@example.org"].lists, {2: 1})

    def test_a_new_address_that_is_a_contact_is_synced_by_itself(self):
        self.esp.put("old@example.org", lists={2: 1})
        self.esp.put("new@example.org", lists={2: 2})
        step = self.push(contact("new@example.org", {"NP_Account": "7"},
                                 previous_email="old@example.org"))[0]
        self.assertEqual(outcomes(step), ["done"])
        self.assertEqual(self.esp.contacts["new@example.org"].lists, {2: 2})
        self.assertEqual(self.esp.value("new@example.org", "NP_ACCOUNT"), "7")


class Bulk(Base):
    def test_more_than_ten_are_imported_and_ten_are_not(self):
        for n, imports in ((10, 0), (11, 1)):
            with self.subTest(n=n):
                self.esp.forget()
                steps = self.push(*self.many(n, list_=str(n)), settle=True)
                self.assertEqual(self.esp.count("bulk_import"), imports)
                last = steps[1] if imports else steps[0]
                self.assertEqual(outcomes(last), ["done"] * n)

    def test_five_hundred_known_ones_are_two_imports_and_no_list_step(self):
        for i in range(500):
            self.esp.put("r%d@example.org" % i, lists={2: 2 if i % 2 else 1})
        steps = self.push(*self.many(500), settle=True)
        self.assertEqual(steps[0]["counts"]["pending"], 500)
        self.assertEqual(steps[1]["counts"]["done"], 500)
        self.assertEqual(self.esp.count("bulk_import"), 2)
        self.assertEqual(self.esp.count("contactLists"), 0)
        self.assertEqual(self.esp.value("r499@example.org", "NP_ACCOUNT"),
                         "499")
        for i in range(500):
            self.assertEqual(self.esp.contacts["r%d@example.org" % i].lists,
                             {2: 2 if i % 2 else 1})

    def test_few_new_ones_of_an_import_are_listed_one_by_one(self):
        for i in range(20):
            if i not in (3, 4, 5):
                self.esp.put("r%d@example.org" % i, lists={2: 2})
        steps = self.push(*self.many(20), settle=True)
        self.assertEqual(steps[1]["counts"]["done"], 20)
        self.assertEqual(self.esp.count("contactLists"), 3)
        self.assertEqual(self.esp.count("bulk_import"), 1)
        for i in range(20):
            self.assertEqual(self.esp.contacts["r%d@example.org" % i].lists,
                             {2: 1 if i in (3, 4, 5) else 2})

    def test_many_new_ones_of_an_import_are_listed_by_another(self):
        for i in range(50):
            self.esp.put("r%d@example.org" % i, lists={2: 2})
        self.esp.polls = 0
        steps = self.push(*self.many(200), settle=True)
        self.assertEqual(steps[1]["counts"]["done"], 200)
        self.assertEqual(self.esp.count("contactLists"), 0)
        self.assertEqual(self.esp.count("bulk_import"), 2)
        for b in self.esp.batches.values():
            self.esp.work(b)
        for i in range(200):
            self.assertEqual(self.esp.contacts["r%d@example.org" % i].lists,
                             {2: 2 if i < 50 else 1})

    def test_no_list_step_for_new_ones_that_are_transactional(self):
        steps = self.push(*self.many(12), settle=True,
                          status_if_new="transactional")
        self.assertEqual(steps[1]["counts"]["done"], 12)
        self.assertTrue(all(not c.lists for c in self.esp.contacts.values()))

    def test_who_unsubscribes_during_an_import_stays_unsubscribed(self):
        for i in range(20):
            self.esp.put("r%d@example.org" % i, lists={2: 1})

        def leave(call):
            if "import/info" in call.path:
                self.esp.unsubscribe("r7@example.org")
        self.esp.before = leave
        steps = self.push(*self.many(40), settle=True)
        self.assertEqual(steps[1]["counts"]["done"], 40)
        self.assertEqual(self.esp.contacts["r7@example.org"].lists, {2: 2})
        self.assertEqual(self.esp.value("r7@example.org", "NP_ACCOUNT"), "7")

    def test_a_new_one_who_leaves_before_its_list_step_stays_away(self):
        def leave(batch):
            for c in self.esp.contacts.values():
                if c.email == "r3@example.org":
                    c.lists = {2: 2}
        self.esp.on_import = leave
        for n in (11, 60):  # eleven at least are listed by an import
            with self.subTest(n=n):
                self.esp.contacts.clear()
                for i in range(n - 5 if n == 11 else 0):
                    self.esp.put("r%d@example.org" % (n - 1 - i))
                steps = self.push(*self.many(n), settle=True)
                self.assertEqual(steps[1]["counts"]["done"], n)
                for b in self.esp.batches.values():
                    self.esp.work(b)
                self.assertEqual(
                    self.esp.contacts["r3@example.org"].lists, {2: 2})
                self.assertEqual(
                    self.esp.contacts["r4@example.org"].lists, {2: 1})

    def test_those_an_import_names_are_dropped_and_the_rest_sent_again(self):
        for i in range(30):
            self.esp.put("r%d@example.org" % i)
        self.esp.refuse_import = {"r3@example.org": "r3@example.org is bad",
                                  "r9@example.org": "no"}
        steps = self.push(*self.many(30), settle=True)
        got = outcomes(steps[0])
        self.assertEqual([i for i, o in enumerate(got) if o == "refused"],
                         [3, 9])
        self.assertEqual(got.count("pending"), 28)
        self.assertNotIn("r3@example.org", steps[0]["contacts"][3]["message"])
        self.assertEqual(steps[1]["counts"]["done"], 28)
        self.assertEqual(self.esp.count("bulk_import"), 2)

    def test_a_refusal_without_names_ends_with_single_calls(self):
        self.esp.fail(400, times=1000, where="bulk_import",
                      body={"Success": 0, "message": "no"})
        step = self.push(*self.many(30))[0]
        self.assertEqual(step["counts"]["done"], 30)
        self.assertEqual(self.esp.count("contact/sync"), 30)

    def test_failures_of_an_import_are_for_single_calls(self):
        self.esp.fail_in_import = {"r5@example.org"}
        self.esp.excluded = {"r6@example.org"}
        steps = self.push(*self.many(20), settle=True)
        got = {i: o for i, o in enumerate(outcomes(steps[1]))}
        self.assertEqual(got.pop(5), "retry")
        self.assertEqual(steps[1]["contacts"][5]["message"], "")
        self.assertEqual(set(got.values()), {"done"})

    def test_an_import_that_failed_or_was_interrupted_is_sent_singly(self):
        for end in ("failed", "interrupted"):
            with self.subTest(end=end):
                steps = self.run_steps(
                    {"op": "push", "contacts": self.many(12)})["steps"]
                token = steps[0]["batches"][0]["token"]
                self.esp.batches[token]["end"] = end
                self.esp.batches[token]["polls"] = 0
                step = self.run_steps({
                    "op": "poll", "token": token,
                    "contacts": self.many(12)})["steps"][0]
                self.assertEqual(outcomes(step), ["retry"] * 12)
                self.assertTrue(all(not c["message"]
                                    for c in step["contacts"]))

    def test_an_unknown_import_is_none(self):
        step = self.run_steps({"op": "poll", "token": "gone",
                               "contacts": self.many(1)})["steps"][0]
        self.assertEqual((step["rc"], outcomes(step)), ("none", ["pending"]))

    def test_a_poll_again_after_a_crash_subscribes_nobody_again(self):
        """The import is worked off, listed, and asked for once more."""
        self.esp.polls = 0
        answer = self.run_steps({"op": "push", "contacts": self.many(12)})
        token = answer["steps"][0]["batches"][0]["token"]
        poll = {"op": "poll", "token": token, "contacts": self.many(12)}
        self.run_steps(poll)
        for b in self.esp.batches.values():
            self.esp.work(b)
        self.esp.unsubscribe("r3@example.org")
        step = self.run_steps(poll)["steps"][0]
        self.assertEqual(outcomes(step), ["done"] * 12)
        for b in self.esp.batches.values():
            self.esp.work(b)
        self.assertEqual(self.esp.contacts["r3@example.org"].lists, {2: 2})

    def test_bodies_stay_under_350_000_bytes(self):
        step = self.push(*self.many(250, NP_Bio="x" * 4000))[0]
        self.assertEqual(step["counts"]["pending"], 250)
        sizes = [len(c.body) for c in self.esp.calls if "bulk" in c.path]
        self.assertGreater(len(sizes), 1)
        self.assertLessEqual(max(sizes), 350000)

    def test_a_batch_that_cannot_be_stored_is_retried(self):
        step = self.push(*self.many(12), host={"refuse_batches": True})[0]
        self.assertEqual(outcomes(step), ["retry"] * 12)

    def test_an_answer_without_an_id_is_retried(self):
        for body in ({"Success": 1}, {"Success": 0, "batchId": "x"}, [], "<p>"):
            with self.subTest(body=body):
                self.esp.fail(200, where="bulk_import", body=body)
                step = self.push(*self.many(12))[0]
                self.assertEqual(outcomes(step), ["retry"] * 12)

    def test_success_in_lower_case_and_as_true_is_one_too(self):
        self.esp.fail(201, where="bulk_import",
                      body={"success": True, "batchId": "abc"})
        step = self.push(*self.many(12))[0]
        self.assertEqual(outcomes(step), ["pending"] * 12)
        self.assertEqual(step["batches"][0]["token"], "abc")


class Disturbed(Base):
    def test_5xx_html_and_cut_connections_are_retried(self):
        for fault in (lambda: self.esp.fail(500, where="sync"),
                      lambda: self.esp.fail(503, where="sync", body="<html>"),
                      lambda: self.esp.fail(403, where="sync", body="<html>"),
                      lambda: self.esp.fail(524, where="sync"),
                      lambda: self.esp.cut(times=9, where="sync")):
            fault()
            step = self.push(contact("a@example.org"))[0]
            self.assertEqual((step["rc"], outcomes(step)), ("ok", ["retry"]))
            self.assertEqual(self.answer["rests"], [])
            self.esp.faults = []

    def test_throttling_makes_the_account_rest(self):
        for headers, after in (({"Retry-After": "7"}, 7), ({}, -1)):
            with self.subTest(headers=headers):
                self.esp.fail(429, times=9, headers=headers, where="sync")
                step = self.push(contact("a@example.org"))[0]
                self.assertEqual((step["rc"], outcomes(step)),
                                 ("retry", ["open"]))
                self.assertEqual(
                    [(r["config"], r["after_s"])
                     for r in self.answer["rests"]], [(False, after)])
                self.esp.faults = []

    def test_a_wrong_key_and_a_plan_that_ended_are_config(self):
        answer = self.run_steps(
            {"op": "push", "contacts": [contact("a@example.org")]},
            key="wrong")
        self.assertEqual(outcomes(answer["steps"][0]), ["open"])
        self.assertTrue(answer["rests"][0]["config"])
        self.esp.fail(402, where="sync", times=9)
        step = self.push(contact("a@example.org"), contact("b@example.org"))[0]
        self.assertEqual(outcomes(step), ["open", "open"])
        self.assertEqual([r["config"] for r in self.answer["rests"]], [True])

    def test_402_to_an_import_stops_it(self):
        self.esp.fail(402, where="bulk_import", times=99)
        step = self.push(*self.many(30))[0]
        self.assertEqual(outcomes(step), ["open"] * 30)
        self.assertEqual(self.esp.count("bulk_import"), 1)
        self.assertEqual(self.esp.count("sync"), 0)

    def test_every_request_is_counted_and_imports_twice(self):
        self.push(*self.many(300), settle=True)
        takes = self.answer["takes"]
        self.assertEqual((takes["call"], takes["bulk"]), (
            len(self.esp.calls), self.esp.count("bulk_import")))

    def test_when_the_budget_ends_the_rest_stays_open(self):
        step = self.push(*self.many(5), host={"stop_after": 4})[0]
        # Three for the field, one for a contact.
        self.assertEqual(step["rc"], "retry")
        self.assertEqual(outcomes(step).count("open"), 4)
        self.assertEqual(len(self.esp.calls), 4)


class Pull(Base):
    def test_values_come_by_perstag(self):
        a = self.esp.field("NP_Color", "NP_COLOR")
        b = self.esp.field("Other", "OTHER")
        self.esp.put("a+b@example.org", fields={a: "grün \"x\"", b: "no"})
        step = self.run_steps({
            "op": "pull", "keys": ["NP_COLOR", "NP_NONE"],
            "contacts": [contact("a+b@example.org"),
                         contact("new@example.org"), contact("none")],
        })["steps"][0]
        self.assertEqual(outcomes(step), ["done", "done", "refused"])
        self.assertEqual(step["contacts"][0]["pulled"],
                         {"NP_COLOR": "grün \"x\""})
        self.assertEqual([c["strange"] for c in step["contacts"]],
                         [False, True, False])

    def test_a_page_is_pulled_although_some_fail(self):
        for i in range(60):
            self.esp.put("r%d@example.org" % i)
        self.esp.fail(500, where=lambda c: c.path.endswith("/contacts/7"))
        self.esp.fail(500, where=lambda c: "r20%40" in c.raw_query)
        step = self.run_steps({
            "op": "pull", "keys": ["X"], "contacts": self.many(60)})["steps"][0]
        self.assertEqual(step["rc"], "ok")
        self.assertEqual(step["counts"]["retry"], 2)
        self.assertEqual(step["counts"]["done"], 58)

    def test_an_answer_that_is_no_contact_is_retried(self):
        self.esp.put("a@example.org")
        for where, body in (("GET /api/3/contacts", []),
                            ("GET /api/3/contacts/", {"x": 1})):
            self.esp.fail(200, where=where, body=body)
            step = self.run_steps({
                "op": "pull", "keys": ["X"],
                "contacts": [contact("a@example.org")]})["steps"][0]
            self.assertEqual(outcomes(step), ["retry"])
            self.esp.faults = []


class Account(Base):
    def test_the_test_names_key_and_list(self):
        step = self.run_steps({"op": "test"})["steps"][0]
        self.assertEqual(step["rc"], "ok")
        self.assertIn("list 2", step["words"])
        self.assertEqual(len(self.esp.calls), 2)
        step = self.run_steps({"op": "test"}, list="9")["steps"][0]
        self.assertEqual(step["rc"], "reject")
        step = self.run_steps({"op": "test"}, key="no")["steps"][0]
        self.assertNotEqual(step["rc"], "ok")

    def test_fields_are_titles_and_perstags(self):
        self.esp.field("NP_Account", "NP_ACCOUNT")
        step = self.run_steps({"op": "fields"})["steps"][0]
        self.assertEqual(step["fields"], {"NP_Account": "NP_ACCOUNT"})

    def test_what_is_not_set_is_named(self):
        for name in ("api", "key"):
            answer = driver.run("active_campaign",
                                self.esp.account(**{name: None}), [])
            self.assertEqual(answer["rc"], "reject")
            self.assertIn(name, answer["error"])


if __name__ == "__main__":
    unittest.main()
