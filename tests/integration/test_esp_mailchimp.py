"""Mailchimp: members are put with their data and never with a status, whoever
unsubscribed stays so, batches are settled one by one."""

import json
import unittest

from esp import driver
from esp.driver import contact
from esp.mailchimp import Mailchimp, md5


class Case(unittest.TestCase):
    def setUp(self):
        self.esp = Mailchimp()
        self.addCleanup(self.esp.close)

    def tearDown(self):
        self.assertEqual(self.esp.violations, [])

    def run_steps(self, *steps, host=None, **account):
        a = dict(self.esp.account, **account)
        return driver.run("mailchimp", a, list(steps), host)

    def push(self, *contacts, host=None, **account):
        answer = self.run_steps(
            {"op": "push", "contacts": list(contacts)}, host=host, **account)
        return answer["steps"][0]

    def push_many(self, n, *more, host=None):
        steps = [{"op": "push", "contacts": many(n)}, *more]
        return self.run_steps(*steps, host=host)


def many(n):
    return [contact("r%d@example.org" % i, {"NP_Account": str(i)},
                    name="Reader %d" % i, user_id=100 + i) for i in range(n)]


def outcomes(step):
    return [c["outcome"] for c in step["contacts"]]


class Single(Case):
    def test_a_new_reader_is_made_with_the_safe_status(self):
        step = self.push(contact(
            "Ann@Example.org", {"NP_Account": "7"}, name="Ann van Dyk"))
        self.assertEqual(step["rc"], "ok")
        self.assertEqual(outcomes(step), ["done"])
        self.assertEqual(self.esp.status("ann@example.org"), "transactional")
        self.assertEqual(self.esp.values("ann@example.org"), {
            "NP_Account": "7", "First Name": "Ann", "Last Name": "van Dyk"})

    def test_a_new_reader_gets_the_configured_status(self):
        self.push(contact("a@example.org"), status_if_new="subscribed")
        self.assertEqual(self.esp.status("a@example.org"), "subscribed")

    def test_a_new_reader_gets_the_status_the_payload_names(self):
        self.push(contact("a@example.org", status_if_new="pending"),
                  contact("b@example.org", status_if_new="whatever"),
                  status_if_new="subscribed")
        self.assertEqual(self.esp.status("a@example.org"), "pending")
        self.assertEqual(self.esp.status("b@example.org"), "subscribed")

    def test_a_known_reader_keeps_every_status(self):
        all_of_them = ("subscribed", "unsubscribed", "cleaned", "pending",
                       "transactional", "archived")
        for s in all_of_them:
            self.esp.put(s + "@example.org", s)
        step = self.push(*[contact(s + "@example.org", {"NP_Account": "1"},
                                   status_if_new="subscribed")
                           for s in all_of_them], status_if_new="subscribed")
        self.assertEqual(set(outcomes(step)), {"done"})
        for s in all_of_them:
            self.assertEqual(self.esp.status(s + "@example.org"), s)
            self.assertEqual(self.esp.values(s + "@example.org"),
                             {"NP_Account": "1"})

    def test_the_hash_is_of_the_address_in_lower_case(self):
        self.push(contact("Urist.McVankab@freddiesjokes.com"))
        self.assertEqual(self.esp.count(
            "PUT /3.0/lists/%s/members/62eeb292278cc15f5817cb78f7790b08" %
            self.esp.list), 1)

    def test_what_is_no_address_is_refused_without_a_call(self):
        bad = ["", "x", "@example.org", "a@b", "a b@example.org",
               "a@@example.org", "a\"@example.org", "a" * 250 + "@ex.org"]
        step = self.push(*[contact(b) for b in bad])
        self.assertEqual(set(outcomes(step)), {"refused"})
        self.assertEqual(self.esp.calls, [])

    def test_numbers_of_ten_connections_are_never_passed(self):
        self.esp.delay = 0.2
        step = self.push(*many(19))
        self.assertEqual(set(outcomes(step)), {"done"})
        self.assertLessEqual(self.esp.peak, 10)
        self.assertGreater(self.esp.peak, 2)

    def test_the_host_says_how_many_connections(self):
        self.esp.delay = 0.03
        self.push(*many(12), host={"connections": 2})
        self.assertEqual(self.esp.peak, 2)

    def test_waits_for_budget(self):
        answer = self.run_steps({"op": "push", "contacts": many(5)},
                                host={"wait_ms": 30})
        self.assertEqual(outcomes(answer["steps"][0]), ["done"] * 5)
        self.assertGreaterEqual(answer["takes"]["waits"], 6)

    def test_a_host_that_stops_leaves_the_others_open(self):
        step = self.push(*many(10), host={"stop_after": 5})
        self.assertEqual(step["rc"], "retry")
        self.assertEqual(step["counts"]["open"] + step["counts"]["done"], 10)
        self.assertGreater(step["counts"]["open"], 0)


class Fields(Case):
    def test_fields_are_matched_by_name_the_lowest_id_first(self):
        self.esp.add_field("NP_Account", tag="LATER", merge_id=20)
        self.esp.add_field("NP_Account", tag="FIRST", merge_id=10)
        self.push(contact("a@example.org", {"NP_Account": "7"}))
        self.assertEqual(
            self.esp.members["a@example.org"]["merge_fields"],
            {"FIRST": "7"})

    def test_missing_fields_are_made_once_with_their_kind(self):
        self.run_steps(
            {"op": "push", "contacts": [contact(
                "a@example.org", {"NP_Total": 12.5, "NP_Account": "7"})]},
            {"op": "push", "contacts": [contact(
                "b@example.org", {"NP_Total": 3, "NP_Account": "8"})]})
        kinds = {f["name"]: f["type"] for f in self.esp.fields}
        self.assertEqual(kinds["NP_Total"], "number")
        self.assertEqual(kinds["NP_Account"], "text")
        self.assertEqual(self.esp.values("a@example.org")["NP_Total"], 12.5)
        self.assertEqual(self.esp.count("POST"), 2)
        self.assertEqual(self.esp.count("GET"), 1)

    def test_without_leave_no_field_is_made(self):
        self.push(contact("a@example.org", {"NP_Account": "7"}),
                  create_fields=False)
        self.assertEqual(self.esp.count("POST"), 0)
        self.assertEqual(self.esp.values("a@example.org"), {})

    def test_a_full_plan_leaves_the_field_out_and_not_the_reader(self):
        self.esp.max_fields = 3
        answer = self.run_steps(
            {"op": "push", "contacts": [contact(
                "a@example.org", {"NP_A": "1", "NP_B": "2"})]},
            {"op": "push", "contacts": [contact(
                "b@example.org", {"NP_A": "1", "NP_B": "2"})]})
        self.assertEqual(outcomes(answer["steps"][1]), ["done"])
        self.assertEqual(self.esp.values("b@example.org"), {"NP_A": "1"})
        self.assertEqual(self.esp.count("POST"), 2)
        self.assertEqual(answer["stderr"].count("contacts.field"), 1)
        self.assertIn("maximum number", answer["stderr"])

    def test_long_text_is_cut_between_characters(self):
        self.push(contact("a@example.org", {"NP_Text": "é" * 200}))
        self.assertEqual(self.esp.values("a@example.org")["NP_Text"],
                         "é" * 127)

    def test_dates_lose_their_time_where_the_field_is_a_date(self):
        self.esp.add_field("NP_Registration Date", "date")
        self.push(contact("a@example.org", {
            "NP_Registration Date": "2026-01-02 03:04:05",
            "NP_Last": "2026-01-02 03:04:05"}))
        self.assertEqual(self.esp.values("a@example.org"), {
            "NP_Registration Date": "2026-01-02",
            "NP_Last": "2026-01-02 03:04:05"})

    def test_text_that_is_no_json_is_made_so(self):
        nasty = "a\"b\\c\n\t\u0001 \u2028 😀 </script>"
        self.push(contact("a@example.org", {"NP_\"Q\"": nasty},
                          name="\"; DROP 名前"))
        self.assertEqual(self.esp.values("a@example.org"), {
            "NP_\"Q\"": nasty, "First Name": "\";",
            "Last Name": "DROP 名前"})

    def test_a_value_the_field_cannot_have_costs_that_value_only(self):
        self.esp.add_field("NP_Total", "number")
        step = self.push(contact(
            "a@example.org", {"NP_Total": "many", "NP_Account": "7"}))
        self.assertEqual(outcomes(step), ["done"])
        self.assertEqual(self.esp.values("a@example.org"),
                         {"NP_Account": "7"})
        self.assertEqual(self.esp.count("PUT"), 2)

    def test_an_audience_that_is_not_there_makes_the_account_rest(self):
        answer = self.run_steps({"op": "push", "contacts": many(3)},
                                list="nosuchlist")
        step = answer["steps"][0]
        self.assertEqual(step["rc"], "reject")
        self.assertIn("nosuchlist", step["error"])
        self.assertEqual(outcomes(step), ["open"] * 3)
        self.assertEqual(len(answer["rests"]), 1)
        self.assertTrue(answer["rests"][0]["config"])


class Errors(Case):
    def refused(self, *why, email="a@example.org"):
        self.esp.refused[email] = why
        return self.push(contact(email), contact("b@example.org"))

    def test_compliance_bars_the_address(self):
        step = self.refused(
            400, "Member In Compliance State", "a@example.org is in a "
            "compliance state due to unsubscribe, bounce, or compliance "
            "review and cannot be subscribed.")
        self.assertEqual(outcomes(step), ["barred", "done"])
        words = step["contacts"][0]["message"]
        self.assertIn("compliance state", words)
        self.assertNotIn("a@example.org", words)

    def test_a_deleted_address_is_barred(self):
        step = self.refused(
            400, "Forgotten Email Not Subscribed", "a@example.org was "
            "permanently deleted and cannot be re-imported. The contact must "
            "re-subscribe to get back on the list.")
        self.assertEqual(outcomes(step), ["barred", "done"])

    def test_a_fake_address_is_refused(self):
        step = self.refused(400, "Invalid Resource", "a@example.org looks "
                            "fake or invalid, please enter a real email "
                            "address.")
        self.assertEqual(outcomes(step), ["refused", "done"])

    def test_a_busy_reader_is_tried_much_later(self):
        step = self.refused(400, "Invalid Resource", "a@example.org has "
                            "signed up to a lot of lists very recently; we're "
                            "not allowing more signups for now")
        self.assertEqual(outcomes(step), ["retry", "done"])
        self.assertGreaterEqual(step["contacts"][0]["retry_after_s"], 300)

    def test_a_wrong_key_makes_the_account_rest_once(self):
        answer = self.run_steps({"op": "push", "contacts": many(15)},
                                {"op": "push", "contacts": many(15)},
                                key="wrong-us21")
        for step in answer["steps"]:
            self.assertEqual(outcomes(step), ["open"] * 15)
        self.assertEqual([r["config"] for r in answer["rests"]], [True])
        self.assertEqual(len(self.esp.calls), 1)

    def test_throttled_means_nothing_more_is_sent(self):
        self.esp.fail(429, times=100, headers={"Retry-After": "7"},
                      where="PUT")
        answer = self.run_steps({"op": "push", "contacts": many(19)},
                                host={"connections": 3})
        step = answer["steps"][0]
        self.assertEqual((step["rc"], set(outcomes(step))),
                         ("retry", {"open"}))
        self.assertEqual([(r["config"], r["after_s"])
                          for r in answer["rests"]], [(False, 7)])
        self.assertLessEqual(self.esp.count("PUT"), 3)

    def test_retry_after_is_kept_within_an_hour(self):
        for given, taken in (("0", 1), ("999999", 3600), ("soon", -1)):
            esp = Mailchimp()
            self.addCleanup(esp.close)
            esp.fail(429, headers={"Retry-After": given}, where="PUT")
            answer = driver.run("mailchimp", esp.account, [
                {"op": "push", "contacts": many(1)}])
            self.assertEqual(answer["rests"][0]["after_s"], taken)

    def test_503_with_a_time_makes_the_account_rest(self):
        self.esp.fail(503, headers={"Retry-After": "30"}, where="PUT")
        answer = self.run_steps({"op": "push", "contacts": many(1)})
        self.assertEqual(outcomes(answer["steps"][0]), ["open"])
        self.assertEqual(answer["rests"][0]["after_s"], 30)

    def test_500_is_one_reader_s_retry(self):
        self.esp.fail(500, where=lambda c: c.method == "PUT" and
                      md5("r1@example.org") in c.path)
        step = self.push(*many(3))
        self.assertEqual(outcomes(step), ["done", "retry", "done"])
        self.assertEqual(step["rc"], "ok")

    def test_a_firewall_s_page_is_no_wrong_key(self):
        self.esp.fail(403, body="<html>Access denied</html>", where="PUT")
        answer = self.run_steps({"op": "push", "contacts": many(1)})
        self.assertEqual(outcomes(answer["steps"][0]), ["retry"])
        self.assertEqual(answer["rests"], [])

    def test_a_firewall_that_stays_makes_the_account_rest(self):
        self.esp.fail(403, times=100, body="<html>no</html>", where="PUT")
        answer = self.run_steps({"op": "push", "contacts": many(19)},
                                host={"connections": 1})
        self.assertEqual([r["config"] for r in answer["rests"]], [True])
        self.assertEqual(self.esp.count("PUT"), 5)

    def test_a_redirect_is_not_followed(self):
        self.esp.fail(302, headers={"Location": self.esp.url + "/x"},
                      where="PUT")
        answer = self.run_steps({"op": "push", "contacts": many(1)})
        self.assertTrue(answer["rests"][0]["config"])
        self.assertEqual(self.esp.count("/x"), 0)

    def test_a_cut_connection_is_tried_again_later(self):
        self.esp.cut(times=3, where="PUT", handled=True)
        step = self.push(contact("a@example.org"))
        self.assertIn(outcomes(step), (["retry"], ["done"]))
        self.assertEqual(self.esp.status("a@example.org"), "transactional")

    def test_an_answer_over_the_ceiling_is_cut_off(self):
        for packed in (False, True):
            self.esp.fail(200, where="PUT", body={"x": "y" * 9000000}
                          if packed else "y" * 9000000)
            step = self.push(contact("a@example.org"))
            self.assertEqual(outcomes(step), ["retry"])
            self.assertIn("cut off", step["contacts"][0]["message"])

    def test_an_answer_that_is_no_json_is_tried_again(self):
        self.esp.fail(200, where="PUT", body="all is well")
        step = self.push(contact("a@example.org"))
        self.assertEqual(outcomes(step), ["retry"])

    def test_no_server_at_all_is_everybody_s_later(self):
        answer = self.run_steps({"op": "push", "contacts": many(3)},
                                api="http://127.0.0.1:9")
        step = answer["steps"][0]
        self.assertEqual((step["rc"], outcomes(step)), ("retry", ["open"] * 3))
        self.assertEqual(answer["rests"], [])

    def test_words_and_logs_hold_no_address_and_no_key(self):
        self.esp.refused["a@example.org"] = (
            400, "Invalid Resource", "Ann <a@example.org> looks fake")
        answer = self.run_steps({"op": "push", "contacts": [
            contact("a@example.org", {"NP_Account": "secret value"})]})
        text = answer["steps"][0]["contacts"][0]["message"] + \
            answer["stderr"]
        self.assertIn("***@example.org", text)
        for secret in ("a@example.org", self.esp.key, "secret value"):
            self.assertNotIn(" " + secret, text.replace("<", " "))


class Moved(Case):
    def moved(self, **more):
        return self.push(contact("new@example.org", {"NP_Account": "7"},
                                 previous_email="Old@example.org"), **more)

    def test_a_changed_address_moves_the_member(self):
        self.esp.put("old@example.org", "subscribed")
        self.assertEqual(outcomes(self.moved()), ["done"])
        self.assertEqual(list(self.esp.members), ["new@example.org"])
        self.assertEqual(self.esp.status("new@example.org"), "subscribed")

    def test_who_unsubscribed_under_the_old_address_stays_so(self):
        self.esp.put("old@example.org", "unsubscribed")
        self.moved(status_if_new="subscribed")
        self.assertEqual(self.esp.status("new@example.org"), "unsubscribed")

    def test_an_unknown_old_address_makes_a_new_member(self):
        self.assertEqual(outcomes(self.moved()), ["done"])
        self.assertEqual(list(self.esp.members), ["new@example.org"])

    def test_where_both_are_members_the_new_one_gets_the_data(self):
        self.esp.put("old@example.org", "subscribed")
        self.esp.put("new@example.org", "unsubscribed")
        self.assertEqual(outcomes(self.moved()), ["done"])
        self.assertEqual(self.esp.status("new@example.org"), "unsubscribed")
        self.assertEqual(self.esp.values("new@example.org"),
                         {"NP_Account": "7"})

    def test_an_old_address_that_cannot_be_looked_up_makes_nobody(self):
        self.esp.put("old@example.org", "unsubscribed")
        self.esp.fail(500, where="GET /3.0/lists/%s/members" % self.esp.list)
        self.assertEqual(outcomes(self.moved(status_if_new="subscribed")),
                         ["retry"])
        self.assertEqual(list(self.esp.members), ["old@example.org"])

    def test_among_many_the_moved_one_goes_singly(self):
        self.esp.put("old@example.org", "subscribed")
        answer = self.run_steps(
            {"op": "push", "contacts": many(40) + [contact(
                "new@example.org", previous_email="old@example.org",
                user_id=7)]}, {"op": "settle"})
        self.assertEqual(answer["steps"][0]["counts"]["pending"], 40)
        self.assertEqual(answer["steps"][0]["counts"]["done"], 1)
        self.assertNotIn("old@example.org", self.esp.members)


class Batches(Case):
    def settle(self, n=50, **more):
        answer = self.push_many(n, {"op": "settle", "max_s": 10}, **more)
        return answer, answer["steps"][0], answer["steps"][1]

    def test_many_go_as_one_batch_and_are_settled(self):
        _, pushed, settled = self.settle(200)
        self.assertEqual(pushed["counts"]["pending"], 200)
        self.assertEqual(settled["counts"]["done"], 200)
        self.assertEqual(self.esp.count("POST /3.0/batches"), 1)
        self.assertEqual(self.esp.count("PUT"), 0)
        self.assertEqual(len(self.esp.members), 200)
        self.assertEqual(self.esp.values("r7@example.org"), {
            "NP_Account": "7", "First Name": "Reader", "Last Name": "7"})

    def test_batches_hold_a_thousand_members_at_most(self):
        _, pushed, settled = self.settle(2500)
        self.assertEqual(sorted(len(b["members"])
                                for b in pushed["batches"]),
                         [500, 1000, 1000])
        self.assertEqual(settled["counts"]["done"], 2500)

    def test_large_payloads_make_more_batches(self):
        big = [contact("r%d@example.org" % i, {
            "NP_%d" % k: "x" * 250 for k in range(70)}, user_id=i + 1)
            for i in range(500)]
        answer = self.run_steps({"op": "push", "contacts": big},
                                {"op": "settle"})
        self.assertGreater(len(answer["steps"][0]["batches"]), 1)
        self.assertEqual(answer["steps"][1]["counts"]["done"], 500)

    def test_each_member_has_its_own_outcome(self):
        self.esp.refused = {
            "r1@example.org": (400, "Member In Compliance State",
                               "r1@example.org is in a compliance state"),
            "r2@example.org": (400, "Invalid Resource", "r2@example.org looks "
                               "fake or invalid"),
            "r3@example.org": (500, "Internal Server Error", "sorry"),
            "r4@example.org": (400, "Invalid Resource", "has signed up to a "
                               "lot of lists very recently")}
        _, _, settled = self.settle(30)
        self.assertEqual(outcomes(settled)[:6], [
            "done", "barred", "refused", "retry", "retry", "done"])
        self.assertEqual(settled["counts"]["done"], 26)
        self.assertGreaterEqual(settled["contacts"][4]["retry_after_s"], 300)

    def test_whoever_unsubscribes_in_mid_run_stays_unsubscribed(self):
        for i in range(50):
            self.esp.put("r%d@example.org" % i, "subscribed")

        def leave(_email, n):
            if n == 10:
                self.esp.put("r40@example.org", "unsubscribed")
                self.esp.put("r3@example.org", "unsubscribed")
        self.esp.on_operation = leave
        _, _, settled = self.settle(50)
        self.assertEqual(settled["counts"]["done"], 50)
        self.assertEqual(self.esp.status("r40@example.org"), "unsubscribed")
        self.assertEqual(self.esp.status("r3@example.org"), "unsubscribed")
        self.assertEqual(self.esp.status("r4@example.org"), "subscribed")
        self.assertEqual(self.esp.values("r40@example.org")["NP_Account"],
                         "40")

    def test_a_late_batch_stays_pending(self):
        self.esp.batch_s = None

        def before(call):
            # The look at the audience, between the two.
            if call.path == "/3.0/lists/" + self.esp.list:
                self.esp.finish()
        self.esp.before = before
        answer = self.push_many(
            25, {"op": "settle", "max_s": 1}, {"op": "test"},
            {"op": "settle", "max_s": 20})
        self.assertEqual(answer["steps"][1]["counts"]["pending"], 25)
        self.assertEqual(answer["steps"][3]["counts"]["done"], 25)

    def test_a_lost_batch_is_none(self):
        answer = self.run_steps({"op": "poll", "token": "nosuch",
                                 "contacts": many(3)})
        self.assertEqual(answer["steps"][0]["rc"], "none")
        self.assertEqual(answer["steps"][0]["counts"]["pending"], 3)

    def test_a_restarted_program_polls_by_the_token_alone(self):
        pushed = self.push_many(30)["steps"][0]
        again = self.run_steps({
            "op": "poll", "token": pushed["batches"][0]["token"],
            "contacts": [contact("r%d@example.org" % i, user_id=100 + i)
                         for i in reversed(range(30))]})
        self.assertEqual(again["steps"][0]["counts"]["done"], 30)
        self.assertEqual(self.esp.count("POST /3.0/batches"), 1)

    def test_a_bad_value_in_a_batch_is_sent_singly(self):
        self.esp.add_field("NP_Total", "number")
        people = many(25)
        people[4]["fields"].append(["NP_Total", "many"])
        answer = self.run_steps(
            {"op": "push", "contacts": people}, {"op": "settle"},
            {"op": "push", "contacts": [people[4]]})
        c = answer["steps"][1]["contacts"][4]
        self.assertEqual((c["outcome"], c["message"]), ("retry", ""))
        self.assertEqual(answer["steps"][1]["counts"]["done"], 24)
        self.assertEqual(outcomes(answer["steps"][2]), ["done"])

    def test_an_expired_link_is_renewed(self):
        self.esp.link_lives = 0
        fetches = []

        def before(call):
            if call.path.startswith("/results/"):
                fetches.append(call)
                if len(fetches) == 1:
                    self.esp.link_lives = 1
        self.esp.before = before
        _, _, settled = self.settle(30)
        self.assertEqual(settled["counts"]["done"], 30)
        self.assertEqual(len(fetches), 2)

    def test_without_errors_an_unreadable_archive_accepts_all(self):
        for how in ("broken", "short", "none"):
            self.esp.archive = how
            _, _, settled = self.settle(40)
            self.assertEqual(settled["counts"]["done"], 40, how)

    def test_with_errors_an_unreadable_archive_sends_singly(self):
        self.esp.refused["r1@example.org"] = (400, "Invalid Resource", "fake")
        self.esp.archive = "broken"
        answer, _, settled = self.settle(30)
        self.assertEqual(settled["counts"]["retry"], 30)
        self.assertEqual({c["message"] for c in settled["contacts"]}, {""})
        self.assertEqual(answer["rests"], [])

    def test_a_batch_that_cannot_be_stored_is_nobody_s_pending(self):
        answer = self.push_many(30, host={"refuse_batches": True})
        self.assertEqual(answer["steps"][0]["counts"]["retry"], 30)

    def test_a_refused_batch_refuses_nobody(self):
        self.esp.fail(400, where="POST /3.0/batches")
        answer = self.push_many(30)
        self.assertEqual(answer["steps"][0]["counts"]["retry"], 30)
        self.assertEqual(answer["steps"][0]["rc"], "ok")

    def test_too_many_batches_leave_the_rest_open(self):
        self.esp.fail(429, times=9, where="POST /3.0/batches")
        answer = self.push_many(1500, host={"connections": 1})
        step = answer["steps"][0]
        self.assertEqual((step["rc"], step["counts"]["open"]),
                         ("retry", 1500))
        self.assertEqual(self.esp.count("POST /3.0/batches"), 1)

    def test_bulk_calls_count_as_such(self):
        answer = self.push_many(30)
        self.assertEqual(answer["takes"]["bulk"], 1)

    def test_a_batch_that_was_taken_and_cut_is_not_sent_twice(self):
        self.esp.cut(where="POST /3.0/batches", handled=True)
        answer = self.push_many(30)
        self.assertEqual(answer["steps"][0]["counts"]["retry"], 30)
        self.assertEqual(self.esp.count("POST /3.0/batches"), 1)


class Pull(Case):
    def pull(self, *contacts, keys=("FNAME", "CITY"), **more):
        answer = self.run_steps({"op": "pull", "contacts": list(contacts),
                                 "keys": list(keys)}, **more)
        return answer["steps"][0]

    def test_pulls_the_named_tags_as_json(self):
        self.esp.add_field("City", tag="CITY")
        self.esp.put("a@example.org", FNAME="Ann", CITY="Zürich \"N\"",
                     LNAME="Secret")
        step = self.pull(contact("A@example.org"))
        self.assertEqual(outcomes(step), ["done"])
        self.assertEqual(step["contacts"][0]["pulled"],
                         {"FNAME": "Ann", "CITY": "Zürich \"N\""})

    def test_numbers_stay_numbers(self):
        self.esp.add_field("Total", "number", tag="TOTAL")
        self.esp.put("a@example.org", TOTAL=12.5)
        step = self.pull(contact("a@example.org"), keys=["TOTAL"])
        self.assertEqual(step["contacts"][0]["pulled"], {"TOTAL": 12.5})

    def test_a_stranger_is_no_error(self):
        step = self.pull(contact("nobody@example.org"))
        self.assertEqual(outcomes(step), ["done"])
        self.assertTrue(step["contacts"][0]["strange"])

    def test_many_are_pulled_side_by_side(self):
        for i in range(60):
            self.esp.put("r%d@example.org" % i, FNAME=str(i))
        self.esp.delay = 0.1
        step = self.pull(*many(60), keys=["FNAME"])
        self.assertEqual([c["pulled"]["FNAME"] for c in step["contacts"]],
                         [str(i) for i in range(60)])
        self.assertLess(step["ms"], 60 * 100)

    def test_a_failing_one_fails_alone(self):
        self.esp.put("r0@example.org", FNAME="x")
        self.esp.fail(502, where=md5("r1@example.org"))
        step = self.pull(*many(2))
        self.assertEqual(outcomes(step), ["done", "retry"])


class Account(Case):
    def test_test_names_the_audience(self):
        self.esp.put("a@example.org")
        step = self.run_steps({"op": "test"})["steps"][0]
        self.assertEqual(step["rc"], "ok")
        self.assertIn("1 members", step["words"])
        self.assertEqual(len(self.esp.calls), 1)

    def test_test_says_what_is_wrong(self):
        step = self.run_steps({"op": "test"}, key="bad-us1")["steps"][0]
        self.assertEqual(step["rc"], "reject")
        self.assertIn("API key may be invalid", step["error"])

    def test_fields_are_names_and_tags(self):
        self.esp.add_field("NP_Account", tag="ACC")
        step = self.run_steps({"op": "fields"})["steps"][0]
        self.assertEqual(step["fields"], {
            "First Name": "FNAME", "Last Name": "LNAME", "NP_Account": "ACC"})

    def test_an_account_that_lacks_something_says_what(self):
        for account, words in (
                ({"list": "x"}, "key"), ({"key": "x-us1"}, "list"),
                ({"key": "nodc", "list": "x"}, "data centre"),
                ({"key": "x-evil.com/", "list": "x"}, "data centre"),
                ({"key": "x-us1", "list": "x", "status_if_new": "on"},
                 "status_if_new")):
            answer = driver.run("mailchimp", account, [])
            self.assertEqual(answer["rc"], "reject")
            self.assertIn(words, answer["error"])

    def test_the_key_is_in_no_words(self):
        for steps in ([{"op": "test"}], [{"op": "push", "contacts": many(1)}]):
            answer = driver.run("mailchimp", dict(
                self.esp.account, key="verysecret-us1"), steps)
            self.assertNotIn("verysecret", json.dumps(answer))


if __name__ == "__main__":
    unittest.main()
