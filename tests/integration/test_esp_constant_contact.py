"""The Constant Contact provider against a stand-in that knows the API's
rules; its tokens are in test_esp_constant_contact_tokens.py."""

import unittest

from esp import driver
from esp.constant_contact import LIST, ConstantContact
from esp.driver import contact


def outcomes(step):
    return [c["outcome"] for c in step["contacts"]]


def many(n, first=0, **fields):
    return [contact("r%d@example.org" % i, fields or {"NP_Account": str(i)})
            for i in range(first, first + n)]


class Base(unittest.TestCase):
    def setUp(self):
        self.esp = ConstantContact()
        self.addCleanup(self.check)

    def check(self):
        self.esp.close()
        self.assertEqual(self.esp.violations, [])

    def run_steps(self, *steps, host=None, **account):
        self.answer = driver.run(
            "constant_contact", self.esp.account(**account), list(steps),
            host=self.esp.host(**(host or {})))
        return self.answer["steps"]

    def push(self, *contacts, settle=False, host=None, **account):
        steps = [{"op": "push", "contacts": list(contacts)}]
        if settle:
            steps.append({"op": "settle", "max_s": 20})
        return self.run_steps(*steps, host=host, **account)


class Single(Base):
    def test_a_new_contact_is_made_on_the_list_by_implicit_permission(self):
        step = self.push(contact("a+b@example.org", {
            "NP_Account": "7", "NP_Signup UTM: source": "", "NP_Paid": 12.5},
            name="Ann van Berg"))[0]
        self.assertEqual((step["rc"], outcomes(step)), ("ok", ["done"]))
        c = self.esp.contacts["a+b@example.org"]
        self.assertEqual((c.permission, c.lists), ("implicit", [LIST]))
        self.assertEqual((c.top["first_name"], c.top["last_name"]),
                         ("Ann", "van Berg"))
        self.assertEqual(
            {self.esp.fields[k]["label"]: v for k, v in c.custom.items()},
            {"NP_Account": "7", "NP_Signup UTM: source": "-",
             "NP_Paid": "12.5"})
        self.assertTrue(all(f["type"] == "string"
                            for f in self.esp.fields.values()))

    def test_a_put_keeps_all_that_the_contact_had(self):
        for permission, lists in (("implicit", [LIST]), ("explicit", ["x"]),
                                  ("unsubscribed", []), ("temp_hold", [LIST])):
            with self.subTest(permission=permission):
                self.esp.fields.clear()
                mine = self.esp.field("NP_Account")
                other = self.esp.field("Shoe size")
                top = {"job_title": "Editor", "company_name": "Gazette",
                       "birthday_month": 2, "birthday_day": 3,
                       "anniversary": "2006-11-15", "first_name": "Old",
                       "last_name": "Name"}
                c = self.esp.put("a@example.org", lists=lists,
                                 permission=permission,
                                 custom={mine: "1", other: "46"}, **top)
                step = self.push(contact("a@example.org", {"NP_Account": "7"},
                                         name="Ann",
                                         status_if_new="subscribed"))[0]
                self.assertEqual(outcomes(step), ["done"])
                self.assertEqual((c.permission, c.lists),
                                 (permission, lists))
                self.assertEqual(c.custom, {mine: "7", other: "46"})
                self.assertEqual(c.top, dict(top, first_name="Ann"))
                self.assertEqual(c.taggings, ["tag-1"])

    def test_without_a_name_the_one_it_had_stays(self):
        c = self.esp.put("a@example.org", first_name="Old", last_name="Name")
        self.push(contact("a@example.org"))
        self.assertEqual((c.top["first_name"], c.top["last_name"]),
                         ("Old", "Name"))

    def test_a_deleted_contact_is_barred(self):
        self.esp.put("a@example.org", deleted=True)
        step = self.push(contact("a@example.org"))[0]
        self.assertEqual(outcomes(step), ["barred"])
        self.assertEqual(self.esp.count("PUT"), 0)

    def test_who_unsubscribes_between_read_and_write_stays_unsubscribed(self):
        self.esp.put("a@example.org", lists=[LIST])

        def leave(call):
            if call.method == "PUT":
                self.esp.unsubscribe("a@example.org")
        self.esp.before = leave
        step = self.push(contact("a@example.org", {"NP_Account": "7"}))[0]
        self.assertEqual(outcomes(step), ["done"])
        c = self.esp.contacts["a@example.org"]
        self.assertEqual((c.permission, c.lists), ("unsubscribed", []))

    def test_status_if_new_decides_for_new_contacts(self):
        for account, own, want in (
                (None, "", ("implicit", [LIST])),
                ("subscribed", "", ("implicit", [LIST])),
                ("transactional", "", ("implicit", [])),
                ("pending", "", ("implicit", [])),
                ("unsubscribed", "", ("unsubscribed", [])),
                (None, "transactional", ("implicit", [LIST])),
                ("subscribed", "unsubscribed", ("unsubscribed", []))):
            with self.subTest(account=account, own=own):
                self.esp.contacts.clear()
                step = self.push(contact("a@example.org", status_if_new=own),
                                 status_if_new=account)[0]
                self.assertEqual(outcomes(step), ["done"])
                c = self.esp.contacts["a@example.org"]
                self.assertEqual((c.permission, c.lists), want)

    def test_values_are_cut_at_255_and_dates_have_their_form(self):
        self.esp.field("NP_Since", "date")
        self.esp.field("NP_Until", "date")
        self.push(contact("a@example.org", {
            "NP_Bio": "ü" * 300, "NP_Since": "2026-01-02 03:04:05",
            "NP_Until": ""}))
        self.assertEqual(self.esp.value("a@example.org", "NP_Bio"), "ü" * 127)
        self.assertEqual(self.esp.value("a@example.org", "NP_Since"),
                         "2026-01-02")
        self.assertIsNone(self.esp.value("a@example.org", "NP_Until"))

    def test_fields_are_made_once_up_to_a_hundred_and_fifty_bytes_long(self):
        for i in range(99):
            self.esp.field("F %d" % i)
        steps = self.run_steps(*[{"op": "push", "contacts": [contact(
            "a@example.org", {"x" * 51: "y", "NP_A": "a", "NP_B": "b"})]}] * 2)
        self.assertEqual([outcomes(s) for s in steps], [["done"]] * 2)
        self.assertEqual(len(self.esp.fields), 100)
        self.assertEqual(self.esp.count("POST /v3/contact_custom"), 1)
        self.assertEqual(self.esp.count("GET /v3/contact_custom"), 1)
        self.assertEqual(self.esp.value("a@example.org", "NP_A"), "a")

    def test_without_leave_to_make_fields_none_is_made(self):
        step = self.push(contact("a@example.org", {"NP_Account": "7"}),
                         create_fields=False)[0]
        self.assertEqual(outcomes(step), ["done"])
        self.assertEqual(self.esp.fields, {})

    def test_a_conflict_is_retried(self):
        self.esp.put("a@example.org")
        self.esp.fail(409, where="PUT")
        self.assertEqual(outcomes(self.push(contact("a@example.org"))[0]),
                         ["retry"])
        self.esp.fail(409, where="POST /v3/contacts")
        self.assertEqual(outcomes(self.push(contact("b@example.org"))[0]),
                         ["retry"])

    def test_a_refused_contact_keeps_the_others(self):
        self.esp.refuse["bad@example.org"] = "bad@example.org is invalid"
        step = self.push(contact("bad@example.org"),
                         contact("good@example.org"))[0]
        self.assertEqual(outcomes(step), ["refused", "done"])
        words = step["contacts"][0]["message"]
        self.assertIn("is invalid", words)
        self.assertNotIn("bad@example.org", words)


class Moved(Base):
    def test_the_contact_of_the_former_address_gets_the_new_one(self):
        old = self.esp.put("old@example.org", permission="unsubscribed")
        step = self.push(contact("new@example.org", {"NP_Account": "7"},
                                 previous_email="old@example.org"))[0]
        self.assertEqual(outcomes(step), ["done"])
        self.assertIs(self.esp.contacts["new@example.org"], old)
        self.assertEqual(old.permission, "unsubscribed")

    def test_an_unknown_former_address_is_a_new_contact(self):
        step = self.push(contact("new@example.org",
                                 previous_email="old@example.org"))[0]
        self.assertEqual(outcomes(step), ["done"])
        self.assertEqual(self.esp.contacts["new@example.org"].lists, [LIST])

    def test_a_new_address_that_is_a_contact_is_updated_by_itself(self):
        self.esp.put("old@example.org")
        self.esp.put("new@example.org", permission="unsubscribed")
        step = self.push(contact("new@example.org", {"NP_Account": "7"},
                                 previous_email="old@example.org"))[0]
        self.assertEqual(outcomes(step), ["done"])
        c = self.esp.contacts["new@example.org"]
        self.assertEqual(c.permission, "unsubscribed")
        self.assertEqual(self.esp.value("new@example.org", "NP_Account"), "7")


class Bulk(Base):
    def test_five_are_imported_and_four_are_not(self):
        for n, imports in ((4, 0), (5, 1)):
            with self.subTest(n=n):
                self.esp.contacts.clear()
                self.esp.forget()
                steps = self.push(*many(n), settle=True)
                self.assertEqual(self.esp.count("json_import"), imports)
                last = steps[1] if imports else steps[0]
                self.assertEqual(outcomes(last), ["done"] * n)
                self.assertTrue(all(
                    c.lists == [LIST] and c.permission == "implicit"
                    for c in self.esp.contacts.values()))

    def test_an_import_holds_new_ones_and_those_on_the_list_only(self):
        kinds = [{"lists": [LIST]}, {"lists": []}, {"lists": ["other"]},
                 {"permission": "unsubscribed"}, {"deleted": True}, None]
        for i in range(60):
            if kinds[i % 6] is not None:
                self.esp.put("R%d@example.org" % i, job_title="x",
                             **kinds[i % 6])
        steps = self.push(*many(60), settle=True)
        got = outcomes(steps[0])
        want = ["pending", "done", "done", "done", "barred", "pending"]
        self.assertEqual(got, want * 10)
        self.assertEqual(outcomes(steps[1]), ["done"] * 20)
        for i in range(60):
            kind = kinds[i % 6] or kinds[0]
            c = self.esp.contacts["r%d@example.org" % i]
            self.assertEqual(c.lists, kind.get("lists", []))
            self.assertEqual(c.permission, kind.get("permission", "implicit"))
            if i % 6 < 4:
                self.assertEqual(c.top["job_title"], "x")
            if i % 6 != 4:
                self.assertEqual(
                    self.esp.value(c.email, "NP_Account"), str(i))

    def test_the_account_is_read_once_and_then_what_changed(self):
        for i in range(1200):
            c = self.esp.put("o%d@example.org" % i, lists=[LIST])
            c.updated = c.updated.replace(year=2020)
        steps = self.run_steps(
            {"op": "push", "contacts": many(30)}, {"op": "settle"},
            {"op": "push", "contacts": many(30, NP_Account="x")},
            {"op": "settle"})
        self.assertEqual(steps[1]["counts"]["done"], 30)
        self.assertEqual(steps[2]["counts"]["pending"], 30)
        self.assertEqual(steps[3]["counts"]["done"], 60)
        pages = [c for c in self.esp.calls
                 if c.method == "GET" and c.path == "/v3/contacts"]
        self.assertEqual(len(pages), 4)
        self.assertIn("updated_after", pages[3].query)

    def test_who_unsubscribes_during_an_import_stays_unsubscribed(self):
        for i in range(20):
            self.esp.put("r%d@example.org" % i, lists=[LIST])

        def leave(call):
            if "json_import" in call.path or "activities/a" in call.path:
                self.esp.unsubscribe("r7@example.org")
        self.esp.before = leave
        steps = self.push(*many(20), settle=True)
        self.assertEqual(outcomes(steps[1]), ["done"] * 20)
        c = self.esp.contacts["r7@example.org"]
        self.assertEqual((c.permission, c.lists), ("unsubscribed", []))

    def test_who_left_the_list_is_not_in_the_next_import(self):
        for i in range(20):
            self.esp.put("r%d@example.org" % i, lists=[LIST])
        push = {"op": "push", "contacts": many(20)}

        def leave(call):
            if "activities/a" in call.path and not self.esp.activities[
                    call.parts[-1]]["polls"]:
                self.esp.work(self.esp.activities[call.parts[-1]])
                c = self.esp.contacts["r7@example.org"]
                c.lists = []
                c.touch()
        self.esp.before = leave
        steps = self.run_steps(push, {"op": "settle"}, push)
        self.assertEqual(outcomes(steps[2])[7], "done")
        self.assertEqual(steps[2]["counts"]["pending"], 19)
        self.assertEqual(self.esp.contacts["r7@example.org"].lists, [])

    def test_more_than_25_custom_fields_are_cut(self):
        fields = {"NP_F%d" % i: "x" for i in range(40)}
        steps = self.push(*many(5, **fields), settle=True)
        self.assertEqual(outcomes(steps[1]), ["done"] * 5)
        self.assertEqual(len(self.esp.contacts["r0@example.org"].custom), 25)

    def test_new_ones_that_shall_be_on_no_list_go_alone(self):
        step = self.push(*many(6), status_if_new="transactional")[0]
        self.assertEqual(outcomes(step), ["done"] * 6)
        self.assertEqual(self.esp.contacts["r0@example.org"].lists, [])

    def test_a_page_of_another_shape_is_no_empty_account(self):
        for i in range(25):
            self.esp.put("r%d@example.org" % i)
        for body in ({}, [], {"contacts": {}}, {"contacts": None}):
            self.esp.fail(200, body=body, where=lambda c: c.query.get("limit") == "500")
            step = self.push(*many(25))[0]
            self.assertEqual(step["counts"]["done"], 25)
            self.esp.faults = []
        self.assertTrue(all(not c.lists for c in self.esp.contacts.values()))

    def test_an_account_that_cannot_be_read_is_pushed_to_singly(self):
        self.esp.fail(500, where=lambda c: c.query.get("limit") == "500")
        step = self.push(*many(6))[0]
        self.assertEqual(outcomes(step), ["done"] * 6)
        self.assertEqual(self.esp.count("json_import"), 0)

    def test_an_import_with_errors_is_sent_singly(self):
        self.esp.errors = 1
        steps = self.push(*many(6), settle=True)
        self.assertEqual(outcomes(steps[1]), ["retry"] * 6)
        self.assertTrue(all(not c["message"] for c in steps[1]["contacts"]))

    def test_an_import_that_ended_otherwise_is_sent_singly(self):
        for state in ("cancelled", "failed", "timed_out"):
            with self.subTest(state=state):
                self.esp.state = state
                steps = self.push(*many(6), settle=True)
                self.assertEqual(outcomes(steps[1]), ["retry"] * 6)

    def test_an_import_that_is_late_is_asked_for_again(self):
        self.esp.polls = 1
        batch = self.push(*many(6))[0]["batches"][0]
        self.assertGreaterEqual(batch["after_s"], 10)
        poll = {"op": "poll", "token": batch["token"], "contacts": many(6)}
        first, second = self.run_steps(poll, poll)
        self.assertEqual(outcomes(first), ["pending"] * 6)
        self.assertGreaterEqual(first["again_s"], 10)
        self.assertEqual(outcomes(second), ["done"] * 6)

    def test_an_unknown_import_is_none(self):
        step = self.run_steps({"op": "poll", "token": "none-such",
                               "contacts": many(1)})[0]
        self.assertEqual(step["rc"], "none")

    def test_a_refused_import_is_halved_down_to_the_culprit(self):
        self.esp.refuse["r33@example.org"] = "no"
        got = outcomes(self.push(*many(100))[0])
        self.assertEqual(got[33], "refused")
        self.assertEqual(got.count("refused"), 1)
        self.assertGreater(got.count("pending"), 80)

    def test_bodies_stay_under_3_500_000_bytes(self):
        fields = {"NP_F%d" % i: "x" * 255 for i in range(25)}
        step = self.push(*many(600, **fields))[0]
        self.assertEqual(step["counts"]["pending"], 600)
        sizes = [len(c.body) for c in self.esp.calls
                 if "json_import" in c.path]
        self.assertEqual(len(sizes), 2)
        self.assertLessEqual(max(sizes), 3500000)

    def test_a_batch_that_cannot_be_stored_is_retried(self):
        step = self.push(*many(6), host={"refuse_batches": True})[0]
        self.assertEqual(outcomes(step), ["retry"] * 6)

    def test_a_cut_connection_retries_all_of_the_import(self):
        self.esp.cut(where="json_import", handled=True)
        step = self.push(*many(6))[0]
        self.assertEqual(outcomes(step), ["retry"] * 6)
        self.assertEqual(self.esp.count("json_import"), 1)


class Disturbed(Base):
    def test_5xx_html_and_cut_connections_are_retried(self):
        self.esp.put("a@example.org")
        for where in ("PUT", lambda c: "email" in c.query):
            for fault in (lambda: self.esp.fail(500, where=where),
                          lambda: self.esp.fail(502, where=where,
                                                body="<html>"),
                          lambda: self.esp.fail(200, where=where,
                                                body="<html>"),
                          lambda: self.esp.cut(times=9, where=where)):
                fault()
                step = self.push(contact("a@example.org"))[0]
                if where == "PUT" and step["contacts"][0]["outcome"] == "done":
                    continue  # the body of a write's answer is not needed
                self.assertEqual((step["rc"], outcomes(step)),
                                 ("ok", ["retry"]))
                self.esp.faults = []

    def test_throttling_makes_the_account_rest(self):
        over = [{"error_key": "mashery.over.ratelimit", "error_message": "x"}]
        for status, body, headers, after in (
                (429, None, {"Retry-After": "3"}, 3), (429, None, {}, -1),
                (403, over, {}, -1)):
            with self.subTest(status=status):
                self.esp.fail(status, times=9, body=body, headers=headers,
                              where=lambda c: "email" in c.query)
                step = self.push(contact("a@example.org"))[0]
                self.assertEqual((step["rc"], outcomes(step)),
                                 ("retry", ["open"]))
                self.assertEqual([(r["config"], r["after_s"])
                                  for r in self.answer["rests"]],
                                 [(False, after)])
                self.esp.faults = []

    def test_403_is_config(self):
        self.esp.fail(403, times=9, where=lambda c: "email" in c.query)
        step = self.push(contact("a@example.org"))[0]
        self.assertEqual(outcomes(step), ["open"])
        self.assertEqual([r["config"] for r in self.answer["rests"]], [True])

    def test_every_request_is_counted_by_the_second_and_the_day(self):
        self.push(*many(30), settle=True)
        n = len(self.esp.calls)
        self.assertEqual((self.answer["takes"]["call"],
                          self.answer["takes"]["daily"]), (n, n))

    def test_a_read_of_the_account_goes_on_where_it_stopped(self):
        self.esp.page = 10
        for i in range(95):
            self.esp.put("r%d@example.org" % i, lists=[LIST])
        push = {"op": "push", "contacts": many(20)}
        steps = self.run_steps(push, {"op": "wake"}, push, {"op": "settle"},
                               host={"stop_after": 7})
        self.assertEqual(outcomes(steps[0]), ["open"] * 20)
        self.assertEqual(outcomes(steps[2]), ["pending"] * 20)
        pages = [c for c in self.esp.calls
                 if c.method == "GET" and c.path == "/v3/contacts"]
        self.assertEqual(len(pages), 10)

    def test_when_the_budget_ends_the_rest_stays_open(self):
        step = self.push(*many(4), host={"stop_after": 4})[0]
        self.assertEqual(step["rc"], "retry")
        self.assertEqual(outcomes(step).count("open"), 4)
        self.assertEqual(self.answer["takes"]["daily"], 4)


class Pull(Base):
    def test_values_come_by_label(self):
        color = self.esp.field("NP_Favourite color")
        other = self.esp.field("Other")
        self.esp.put("a+b@example.org", custom={color: "grün", other: "x"})
        self.esp.put("gone@example.org", deleted=True)
        step = self.run_steps({
            "op": "pull", "keys": ["NP_Favourite color", "None"],
            "contacts": [contact("a+b@example.org"),
                         contact("new@example.org"),
                         contact("gone@example.org")]})[0]
        self.assertEqual(outcomes(step), ["done"] * 3)
        self.assertEqual(step["contacts"][0]["pulled"],
                         {"NP_Favourite color": "grün"})
        self.assertEqual([c["strange"] for c in step["contacts"]],
                         [False, True, True])

    def test_a_page_is_pulled_although_some_fail(self):
        for i in range(40):
            self.esp.put("r%d@example.org" % i)
        self.esp.fail(500, where=lambda c: "r7%40" in c.raw_query)
        self.esp.fail(200, where=lambda c: "r8%40" in c.raw_query, body=[])
        step = self.run_steps({"op": "pull", "keys": ["X"],
                               "contacts": many(40)})[0]
        self.assertEqual(step["rc"], "ok")
        self.assertEqual(step["counts"]["retry"], 2)


class Account(Base):
    def test_the_test_names_the_list(self):
        step = self.run_steps({"op": "test"})[0]
        self.assertEqual(step["rc"], "ok")
        self.assertIn(LIST, step["words"])
        self.assertEqual(len(self.esp.calls), 1)
        self.assertEqual(
            self.run_steps({"op": "test"}, list="00-0")[0]["rc"], "reject")

    def test_fields_are_labels(self):
        self.esp.field("NP_Account")
        step = self.run_steps({"op": "fields"})[0]
        self.assertEqual(step["fields"], {"NP_Account": "NP_Account"})

    def test_what_is_not_set_is_named(self):
        for name in ("key", "secret", "list"):
            answer = driver.run("constant_contact",
                                self.esp.account(**{name: None}), [])
            self.assertEqual(answer["rc"], "reject")
            self.assertIn(name, answer["error"])


if __name__ == "__main__":
    unittest.main()
