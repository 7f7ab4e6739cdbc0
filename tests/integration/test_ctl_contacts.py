"""wp-cronctl's commands for readers and integrations, on a real site."""

import json
import unittest

import newspack
import readers
from contacts import (CONFIG, DONE, FAILED, KEY, LIST, UNAVAILABLE, USAGE,
                      ContactCase, now)

FIELDS = """
[fields default/esp]
NP_Account = user:id
NP_Registration Date = user:registered
"""


class ListTest(ContactCase):
    def test_staged_readers_are_listed_with_masked_addresses(self):
        one, two = self.readers(2, name="somebody")
        self.stage([one], at=now() - 60)
        self.stage([two], ["push"], at=now() - 30)
        rows = self.json("contacts", "list",
                         "--fields=user,pull,push,address,retries,bulk")
        self.assertEqual([r["user"] for r in rows], [one, two])
        self.assertIsNotNone(rows[0]["pull"])
        self.assertIsNone(rows[1]["pull"])
        self.assertIsNotNone(rows[1]["push"])
        self.assertEqual(rows[0]["address"], "s***@example.org")
        self.assertNotIn("somebody", self.call("contacts", "list"))

    def test_one_direction_and_counts(self):
        users = self.readers(40)
        self.stage(users, ["push"])
        self.stage(users[:3], ["pull"])
        count = self.call("contacts", "list", "--format=count")
        self.assertEqual(count.strip(), "40")
        count = self.call("contacts", "list", "--direction=pull",
                          "--format=count")
        self.assertEqual(count.strip(), "3")
        table = self.call("contacts", "list").splitlines()
        self.assertEqual(len(table), 31)
        self.assertIn("40 readers wait", self.stderr)
        page = self.json("contacts", "list", "--per-page=15", "--page=3")
        self.assertEqual([r["user"] for r in page], users[30:])
        self.call("contacts", "list", "--direction=up", code=USAGE)

    def test_a_waiting_retry_is_shown(self):
        user, = self.readers()
        self.stage([user])
        self.s.insert_actions(1, newspack.RETRY["push"], args=json.dumps([{
            "integration_id": "esp", "user_id": user, "context": "c",
            "retry_count": 2, "max_retries": 5, "reason": "r",
            "previous_email": ""}]), due_in=600)
        row, = self.json("contacts", "list", "--fields=retries")
        self.assertEqual(row["retries"], "push esp 2/5")


class StageTest(ContactCase):
    def test_a_reader_is_staged_by_id_login_or_address(self):
        user, = self.readers(name="found")
        for who in (str(user), "found%d" % user, self.address(user)):
            self.s.mysql("DELETE FROM wp_usermeta WHERE meta_key LIKE"
                         " '%%_pending'", ())
            begun = now()
            self.call("contacts", "stage", who)
            ended = now()
            staged = self.flags()[user]
            self.assertEqual(sorted(staged), ["pull", "push"])
            for value in staged.values():
                self.assertTrue(begun - 1 <= int(value) <= ended, value)

    def test_one_direction_alone(self):
        user, = self.readers()
        self.call("contacts", "stage", str(user), "--pull")
        self.assertEqual(list(self.flags()[user]), ["pull"])
        self.call("contacts", "stage", str(user), "--push")
        self.assertEqual(sorted(self.flags()[user]), ["pull", "push"])

    def test_staging_twice_is_one_row(self):
        user, = self.readers()
        for _ in range(2):
            self.call("contacts", "stage", str(user), "--push")
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_usermeta WHERE meta_key = %s",
            (newspack.PENDING["push"],)), 1)

    def test_nobody_of_that_name(self):
        self.call("contacts", "stage", "nobody@example.org", code=FAILED)
        self.assertIn("nobody@example.org", self.stderr)

    def test_who_is_no_member_is_refused(self):
        user, = self.readers(role=None)
        self.call("contacts", "stage", str(user), code=FAILED)
        self.assertEqual(self.flags(), {})


class TaskTest(ContactCase):
    def test_one_reader_is_pushed_at_once_also_when_unchanged(self):
        user, = self.readers()
        for _ in range(2):
            row, = self.json("contacts", "push", str(user))
            self.assertTrue(row["ok"], row)
            self.assertEqual(row["integration"], "esp")
        self.assertEqual(self.sent(), [self.address(user)] * 2)

    def test_one_reader_is_pulled_at_once(self):
        user, = self.readers()
        self.member(user, COLOR="blue")
        row, = self.json("contacts", "pull", str(user), "--integration=esp")
        self.assertTrue(row["ok"], row)
        self.assertEqual(self.data(user), {"COLOR": '"blue"'})

    def test_a_failure_is_told_with_the_provider_s_words(self):
        user, = self.readers()
        self.esp.fail(500, times=99)
        row, = self.json("contacts", "push", str(user),
                         code=(FAILED, UNAVAILABLE))
        self.assertFalse(row["ok"])
        self.assertTrue(row["message"])

    def test_an_integration_that_is_not_there(self):
        user, = self.readers()
        self.call("contacts", "push", str(user), "--integration=none",
                  code=CONFIG)

    def test_a_copy_sends_nobody(self):
        user, = self.readers()
        url = self.s.url("").rstrip("/")
        self.s.mysql("UPDATE wp_options SET option_value = 'http://x.example'"
                     " WHERE option_name IN ('home', 'siteurl')")
        try:
            self.call("contacts", "push", str(user), code=CONFIG)
        finally:
            self.s.mysql("UPDATE wp_options SET option_value = %s WHERE"
                         " option_name IN ('home', 'siteurl')", (url,))
        self.assertIn("site adopt", self.stderr)
        self.assertEqual(self.esp.calls, [])


class ExplainTest(ContactCase):
    def explain(self, user):
        rows = self.json("contacts", "explain", str(user))
        found = {}
        for r in rows:
            found.setdefault(r["about"], []).append(r["what"])
        return found

    def test_a_reader_who_waits_for_nothing(self):
        user, = self.readers(name="private")
        found = self.explain(user)
        self.assertIn("nothing waits", found["staged"][0])
        self.assertIn("pulls at once", found["throttle"][0])
        self.assertIn("mailchimp", found["integration esp"][0])
        self.assertIn("no", found["held"][0])
        self.assertIn("own clock", found["batch"][0])
        text = self.call("contacts", "explain", str(user))
        self.assertNotIn("private", text)
        self.assertIn(" -> ", text)

    def test_flags_throttle_fingerprint_and_retry_are_told(self):
        user, = self.readers()
        self.stage([user], ["push"])
        self.tick()
        self.stage([user], last_enqueue=now() - 100)
        self.s.insert_actions(1, newspack.RETRY["push"], args=json.dumps([{
            "integration_id": "esp", "user_id": user, "context": "c",
            "retry_count": 3, "max_retries": 5, "reason": "no answer",
            "previous_email": ""}]), due_in=600)
        found = self.explain(user)
        self.assertEqual(len(found["staged"]), 2)
        self.assertIn("again in", found["throttle"][0])
        self.assertIn("accepted at", found["fingerprint esp"][0])
        self.assertIn("push retry 3/5", found["retry esp"][0])
        self.assertIn("no answer", found["retry esp"][0])

    def test_an_account_that_rests_is_told(self):
        users = self.readers(2)
        self.esp.fail(429, times=99, headers={"Retry-After": "600"})
        self.stage(users, ["push"])
        self.tick("--push", code=(DONE, FAILED))
        found = self.explain(users[0])
        self.assertIn("rests", found["integration esp"][1])

    def test_a_bulk_call_under_way_is_told(self):
        users = self.readers(600)
        self.esp.batch_s = None
        try:
            self.stage(users, ["push"])
            self.tick("--push", code=(DONE, FAILED))
            found = self.explain(users[5])
        finally:
            self.esp.batch_s = 0.0
            self.esp.finish()
        self.assertIn("mailchimp", found["bulk call esp"][0])


class IntegrationTest(ContactCase):
    def test_list(self):
        row, = self.json("integration", "list", "--fields=id,provider,set_up,"
                         "push,pull,list,payload,share,prefix,incoming")
        self.assertEqual(row, {
            "id": "esp", "provider": "mailchimp", "set_up": True,
            "push": True, "pull": True, "list": LIST, "payload": "php",
            "share": 60, "prefix": "NP_", "incoming": list(self.INCOMING)})

    def test_key_and_list_are_tested(self):
        row, = self.json("integration", "test", "esp")
        self.assertTrue(row["ok"], row)

    def test_a_wrong_key_is_configuration(self):
        conf = self.write_conf("key.conf", extra=["key = wrong-us1"])
        row, = self.json("integration", "test", config=conf, code=CONFIG)
        self.assertFalse(row["ok"])
        self.assertNotIn("wrong-us1", json.dumps(row))
        self.esp.violations.clear()

    def test_a_provider_that_is_away_is_unavailable(self):
        conf = self.s.path("away.conf")
        with open(conf, "w", encoding="utf-8") as f:
            f.write(self.s.config_text(rest="[integration default/esp]\n"
                                       "api = http://127.0.0.1:9\n"))
        self.call("integration", "test", "esp", config=conf,
                  code=UNAVAILABLE)

    def test_fields_of_the_account(self):
        names = [r["name"] for r in self.json("integration", "fields", "esp")]
        self.assertTrue(names)

    def test_nothing_of_a_key_is_ever_shown(self):
        for words in (("integration", "list"), ("integration", "test"),
                      ("doctor",), ("check",)):
            out = self.call(*words, "--format=json", "--log-level=debug",
                            code=(DONE, FAILED))
            self.assertNotIn(KEY, out + self.stderr)


class PhpIntegrationTest(ContactCase):
    CRM = True

    def test_what_only_php_knows_is_asked_of_php(self):
        row, = self.json("integration", "test", "crm")
        self.assertTrue(row["ok"], row)
        self.assertEqual(row["provider"], "php")
        self.assertIn("A CRM of the publisher", row["what"])

    def test_one_reader_goes_to_each_integration(self):
        user, = self.readers()
        rows = self.json("contacts", "push", str(user))
        self.assertEqual([(r["integration"], r["ok"]) for r in rows],
                         [("esp", True), ("crm", True)])
        self.assertEqual(self.sent(), [self.address(user)])
        self.assertEqual(len(newspack.calls(self.s, "push", "crm")), 1)

    def test_its_fields_are_nobody_s_to_list(self):
        self.call("integration", "fields", "crm", code=CONFIG)


class CompareTest(ContactCase):
    def setUp(self):
        super().setUp()
        newspack.set_option(
            self.s, "newspack_integration_outgoing_fields_esp",
            ["Account", "Registration Date"])
        self.s.mysql("DELETE FROM wp_wpcron_meta WHERE name LIKE 'fields/%%'",
                     ())

    def conf_of(self, fields, name="native.conf"):
        return self.write_conf(name, extra=["payload = native"], rest=fields)

    def compare(self, conf, *args, code=DONE):
        return self.json("integration", "fields", "esp", "--compare", *args,
                         config=conf, code=code)

    def found(self):
        return self.s.value("SELECT value FROM wp_wpcron_meta WHERE name ="
                            " 'fields/1/esp'")

    def test_equal_payloads_are_recorded_as_equal(self):
        users = self.readers(2)
        self.stage(users, ["push"])
        rows = self.compare(self.conf_of(FIELDS))
        self.assertEqual({r["user"] for r in rows}, set(users))
        self.assertTrue(all(r["same"] for r in rows), rows)
        self.assertIn("NP_Account", {r["name"] for r in rows})
        self.assertTrue(self.found().startswith("equal "))

    def test_a_difference_is_shown_and_refuses_native(self):
        user, = self.readers()
        conf = self.conf_of(FIELDS + "NP_More = text:words\n")
        rows = self.compare(conf, "--user", str(user), code=FAILED)
        wrong = [r for r in rows if not r["same"]]
        self.assertEqual([(r["name"], r["php"], r["native"])
                          for r in wrong], [("NP_More", None, "words")])
        self.assertTrue(self.found().startswith("different "))
        doctor = self.json("doctor", config=conf, code=(DONE, FAILED))
        self.assertTrue(any("native is refused" in r["what"]
                            for r in doctor), doctor)

    def test_another_field_map_has_to_be_compared_anew(self):
        user, = self.readers()
        self.compare(self.conf_of(FIELDS), "--user", str(user))
        other = self.conf_of(FIELDS + "NP_More = text:words\n", "other.conf")
        doctor = self.json("doctor", config=other, code=(DONE, FAILED))
        self.assertTrue(any("nobody has compared" in r["what"]
                            for r in doctor), doctor)

    def test_native_contacts_are_sent_only_when_they_are_equal(self):
        user, = self.readers()
        conf = self.conf_of(FIELDS)
        self.stage([user], ["push"])
        counts = self.tick(config=conf)
        self.assertEqual(counts["push"]["php"], 1)
        self.compare(conf, "--user", str(user))
        newspack.set_meta(self.s, user, "nickname", "x")
        self.s.mysql("DELETE FROM wp_wpcron_fingerprints")
        self.stage([user], ["push"])
        counts = self.tick(config=conf)
        self.assertEqual(counts["push"]["php"], 0)
        self.assertEqual(counts["push"]["done"], 1)
        values = self.esp.values(self.address(user))
        self.assertEqual(str(values["NP_Account"]), str(user))

    def test_without_a_field_map_there_is_nothing_to_compare(self):
        self.call("integration", "fields", "esp", "--compare", code=CONFIG)

    def test_user_is_for_compare(self):
        self.call("integration", "fields", "esp", "--user=1", code=USAGE)


class PrivacyTest(ContactCase):
    def test_export_shows_and_erase_removes(self):
        one, two = self.readers(2)
        self.stage([one, two], ["push"])
        self.tick()
        rows = json.loads(self.call("privacy", "export", self.address(one)))
        self.assertEqual([(r["kind"], r["integration"], r["state"])
                          for r in rows], [("fingerprint", "esp",
                                            "accepted")])
        self.call("privacy", "erase", self.address(one))
        self.assertEqual(self.s.mysql(
            "SELECT user_id FROM wp_wpcron_fingerprints"), [{"user_id": two}])
        rows = json.loads(self.call("privacy", "export", self.address(one)))
        self.assertEqual(rows, [])

    def test_a_member_of_a_bulk_call_is_found_and_left_out(self):
        users = self.readers(600)
        self.esp.batch_s = None
        try:
            self.stage(users, ["push"])
            self.tick("--push", code=(DONE, FAILED))
            who = self.address(users[7])
            kinds = [r["kind"] for r in json.loads(
                self.call("privacy", "export", who))]
            self.assertIn("bulk call", kinds)
            self.call("privacy", "erase", who)
            self.assertEqual(json.loads(
                self.call("privacy", "export", who)), [])
        finally:
            self.esp.batch_s = 0.0
            self.esp.finish()

    def test_nobody_of_that_address(self):
        self.call("privacy", "export", "nobody@example.org", code=FAILED)


class DoctorTest(ContactCase):
    def findings(self, config=None):
        rows = self.json("doctor", config=config, code=(DONE, FAILED))
        return [(r["severity"], r["what"]) for r in rows
                if r["check"] in ("contacts", "integration", "staging")]

    def has(self, severity, words, config=None):
        found = self.findings(config)
        self.assertTrue(any(s == severity and words in w for s, w in found),
                        found)

    def constants(self, text):
        self.s.write_config(text)
        self.addCleanup(self.s.write_config, self.CONSTANTS)

    def test_a_healthy_site(self):
        user, = self.readers()
        self.stage([user], last_enqueue=now())
        self.s.wp_eval("")
        found = self.findings()
        self.assertEqual([w for s, w in found if s in ("warn", "error")], [])

    def test_php_that_runs_the_batch_too(self):
        self.constants("")
        self.s.wp_eval("")
        conf = self.write_conf("no-cron.conf", site="cron = no")
        self.has("error", "PHP runs the batch too", conf)
        self.s.write_config(self.CONSTANTS)
        self.s.wp_eval("")

    def test_a_constant_that_is_no_array(self):
        self.constants("define( 'NEWSPACK_CRON_DISABLE', true );")
        self.has("warn", "not a literal array")

    def test_a_staging_host(self):
        self.constants(self.CONSTANTS +
                       "define( 'WP_ENVIRONMENT_TYPE', 'staging' );")
        self.has("warn", "nothing leaves")

    def test_nobody_was_ever_staged(self):
        self.has("warn", "no reader was ever staged")

    def test_nobody_was_staged_lately(self):
        user, = self.readers()
        self.stage([user], last_enqueue=now() - 200000)
        self.has("warn", "no reader was staged for")

    def test_an_integration_that_is_not_set_up(self):
        name = "newspack_integration_settings_esp_mailchimp_audience_id"
        newspack.delete_option(self.s, name)
        try:
            self.has("warn", "not set up")
        finally:
            newspack.set_option(self.s, name, LIST)


class PingTest(ContactCase):
    def finding(self):
        return [(r["severity"], r["what"]) for r in self.json(
            "doctor", code=(DONE, FAILED)) if r["check"] == "reader ping"]

    def test_the_reader_ping_is_asked_for(self):
        (severity, words), = self.finding()
        self.assertEqual(severity, "info")
        self.assertIn("cannot be asked", words)
        daemon = self.s.start_daemon()
        readers.start_nginx(self.s, daemon)
        (severity, words), = self.finding()
        self.assertEqual(severity, "ok", words)
        daemon.stop()
        (severity, words), = self.finding()
        self.assertEqual(severity, "warn", words)
        self.assertIn("not 204", words)


if __name__ == "__main__":
    unittest.main()
