"""What only PHP knows of contacts, asked of a real php-fpm and WordPress with
the fixture plugin: payloads, pushes, pulls, reader data, options, alerts."""

import hashlib
import json
import os
import subprocess
import unittest

import newspack
from newspack import CONTEXT
from stack import SALTS, Stack


class Answer:
    """What the driver printed."""

    def __init__(self, text):
        lines = [json.loads(line) for line in text.split("\n") if line]
        self.rc, self.error = lines[-1]["rc"], lines[-1]["error"]
        self.entries = lines[:-1]

    def __repr__(self):
        return "%s %r %r" % (self.rc, self.error, self.entries[:3])

    def oks(self):
        return [e["ok"] for e in self.entries]


class ContactsCase(unittest.TestCase):
    """A site with the fixture plugin; every test begins as after install."""

    config_extra = ""
    plugins = ("wpcron-demo",)

    @classmethod
    def setUpClass(cls):
        s = cls.s = Stack()
        cls.addClassCleanup(s.close)
        s.start_mariadb()
        s.install_wordpress(config_extra=cls.config_extra,
                            plugins=cls.plugins)
        s.install_action_scheduler()
        newspack.install(s)
        s.start_php_fpm(
            children=3, extra="php_admin_value[memory_limit] = 128M")

    def setUp(self):
        s = self.s
        s.mysql("DELETE FROM wp_options WHERE option_name LIKE 'newspack%%'"
                " OR option_name LIKE 'wpcron_newspack%%'")
        s.mysql("DELETE FROM wp_users WHERE ID > 1")
        s.mysql("DELETE FROM wp_usermeta WHERE user_id > 1")
        newspack.forget_calls(s)
        self.install()

    def install(self, **settings):
        settings.setdefault("integrations", ("esp", "crm"))
        settings.setdefault("metadata", True)
        newspack.install(self.s, **settings)

    def argv(self, op, **options):
        salts = "".join(
            hashlib.sha256((self.s.dir + n).encode()).hexdigest()
            for n in SALTS)
        settings = {
            "address": "unix:" + self.s.php_socket,
            "worker": self.s.worker_script(), "root": self.s.root,
            "salts": salts, "home": self.s.url("").rstrip("/")}
        settings.update(options)
        driver = os.environ.get("PHP_CONTACTS") or self.s.binary(
            "drivers/php_contacts")
        return self.s.as_web_user([driver, op] + [
            "%s=%s" % i for i in settings.items()])

    def start(self, op, entries, **options):
        p = subprocess.Popen(
            self.argv(op, **options), stdin=subprocess.PIPE, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=self.s.sanitizer_env(), cwd=self.s.dir)
        p.stdin.write("".join(
            "\t".join(map(str, e)) + "\n" for e in entries))
        p.stdin.close()
        p.stdin = None
        return p

    def finish(self, p, timeout=120):
        out, self.stderr = p.communicate(timeout=timeout)
        self.assertEqual(p.returncode, 0, self.stderr)
        return Answer(out)

    def ask(self, op, entries=((),), **options):
        return self.finish(self.start(op, entries, **options))

    def contacts(self, op, users, integration="esp", previous="", **options):
        return self.ask(op, [(u, integration, CONTEXT, previous)
                             for u in users], **options)


class PrepareTest(ContactsCase):
    def pushed(self, users):
        """{user: contact} as PHP's own batch hands them to the ESP."""
        newspack.stage(self.s, users, ("push",))
        newspack.run_batch(self.s)
        return {c["user_id"]: c["body"][0]
                for c in newspack.calls(self.s, "push", "esp")}

    def as_pushed(self, entry):
        """A prepared contact put together again as PHP has it."""
        fields = {n: int(v) if number else v
                  for n, v, number in entry["fields"]}
        if entry["status_if_new"]:
            fields["status_if_new"] = entry["status_if_new"]
        return {"email": entry["email"], "name": entry["name"],
                "metadata": fields}

    def check_same(self, users):
        reply = self.contacts("prepare", users)
        self.assertEqual(reply.rc, "ok", reply)
        want = self.pushed(users)
        for entry in reply.entries:
            got, expected = self.as_pushed(entry), want[entry["user"]]
            expected["metadata"] = dict(expected["metadata"])
            for metadata in got["metadata"], expected["metadata"]:
                for name in [n for n in metadata if "Last_Active" in n]:
                    del metadata[name]  # the time of the day
            self.assertEqual(got, expected)
        return reply

    def test_contacts_are_those_that_the_plugin_pushes(self):
        for generation in "old", "g1", "g2":
            for schema in "legacy", "1.0":
                with self.subTest(generation, schema=schema):
                    self.setUp()
                    self.install(
                        generation=generation, schema=schema,
                        status="subscribed", prefix="X_",
                        outgoing={"esp": ["Account", "Registration Date",
                                          "Registration_Date",
                                          "Registration Method"]})
                    users = newspack.users(self.s, 5, meta={
                        "np_reader_registration_method": "registration-block"})
                    reply = self.check_same(users)
                    if (generation, schema) == ("old", "1.0"):
                        continue
                    self.assertIn(["X_Account", str(users[0]), True],
                                  reply.entries[0]["fields"])
                    self.assertEqual(
                        reply.entries[0]["status_if_new"],
                        "" if (generation, schema) == ("g1", "1.0")
                        else "subscribed")

    def test_control_keys_are_no_fields(self):
        self.install(status="subscribed")
        entry = self.contacts(
            "prepare", newspack.users(self.s, 1)).entries[0]
        self.assertEqual(entry["status_if_new"], "subscribed")
        self.assertNotIn("status", " ".join(f[0] for f in entry["fields"]))

    def test_text_of_any_kind_arrives(self):
        user, = newspack.users(self.s, 1)
        name = "Zoë \\ \"Z\" <z> 猫\u2028"
        self.s.mysql("UPDATE wp_users SET display_name = %s WHERE ID = %s",
                     (name, user))
        entry = self.contacts("prepare", [user]).entries[0]
        self.assertEqual((entry["name"], entry["email"]),
                         (name, newspack.email(self.s, user)))

    def test_who_is_gone_is_told_so_and_costs_nobody(self):
        users = newspack.users(self.s, 3)
        reply = self.contacts("prepare", [users[0], 999999, users[2]])
        self.assertEqual(reply.rc, "ok")
        self.assertEqual(reply.oks(), [True, False, True])
        self.assertTrue(reply.entries[1]["gone"])
        self.assertEqual(reply.entries[1]["message"], "User not found.")

    def test_a_reader_without_address_is_refused(self):
        user, = newspack.users(self.s, 1)
        self.s.mysql("UPDATE wp_users SET user_email = '' WHERE ID = %s",
                     (user,))
        entry = self.contacts("prepare", [user]).entries[0]
        self.assertEqual((entry["ok"], entry["message"]),
                         (False, "Contact email is empty."))

    def test_an_integration_that_php_does_not_know_gets_the_contact_too(self):
        users = newspack.users(self.s, 1)
        esp, other = (self.contacts("prepare", users, i).entries[0]
                      for i in ("esp", "nope"))
        self.assertTrue(other["ok"])
        self.assertEqual(other["email"], esp["email"])

    def test_an_unknown_integration_is_named(self):
        entry = self.contacts("push", newspack.users(self.s, 1),
                              "nope").entries[0]
        self.assertEqual((entry["code"], entry["message"]), (
            "integration_not_found", 'Integration "nope" not found.'))

    def test_an_exception_costs_one_reader(self):
        users = newspack.users(self.s, 5)
        newspack.knobs(self.s, {"on": "contact", "users": [users[2]],
                                "do": "throw", "with": "thrown"})
        reply = self.contacts("prepare", users)
        self.assertEqual(reply.oks(), [True, True, False, True, True])
        self.assertEqual(reply.entries[2]["message"], "thrown")

    def test_all_messages_of_an_error_are_joined(self):
        users = newspack.users(self.s, 1)
        newspack.knobs(self.s, {"on": "contact", "do": "error",
                                "with": ["one", "two"]})
        entry = self.contacts("prepare", users).entries[0]
        self.assertEqual((entry["code"], entry["message"]),
                         ("fixture_error_0", "one; two"))

    def test_who_ends_php_is_refused_and_the_others_are_asked_anew(self):
        users = newspack.users(self.s, 6)
        for do, words in (("fatal", "PHP Fatal error Cannot redeclare"),
                          ("memory", "PHP Fatal error Allowed memory size"),
                          ("exit", "PHP ended by exit or die"),
                          ("kill", "PHP ended without an answer")):
            with self.subTest(do):
                newspack.knobs(self.s, {"on": "contact", "users": [users[2]],
                                        "do": do})
                reply = self.contacts("prepare", users)
                self.assertEqual(reply.rc, "ok", reply)
                self.assertEqual(
                    reply.oks(), [True, True, False, True, True, True])
                self.assertRegex(reply.entries[2]["message"], words)

    def test_where_all_end_php_it_is_not_asked_for_ever(self):
        users = newspack.users(self.s, 20)
        newspack.knobs(self.s, {"on": "contact", "do": "exit"})
        reply = self.contacts("prepare", users)
        self.assertEqual(reply.rc, "retry")
        self.assertIn("PHP ended 8 times before its time", reply.error)
        self.assertEqual(sum(e["answered"] for e in reply.entries), 8)

    def test_five_hundred_readers_in_one_boot(self):
        users = newspack.users(self.s, 500)
        reply = self.contacts("prepare", users)
        self.assertEqual((reply.rc, reply.oks()), ("ok", [True] * 500))
        self.assertEqual(
            [e["email"] for e in reply.entries],
            ["reader%d@example.org" % u for u in users])

    def test_what_does_not_fit_into_the_callers_memory_is_said(self):
        users = newspack.users(self.s, 100)
        reply = self.contacts("prepare", users, arena=20000)
        self.assertEqual((reply.rc, reply.error), (
            "retry", "PHP's answers do not fit into memory"))
        answered = [e for e in reply.entries if e["answered"]]
        self.assertTrue(answered and all(e["email"] for e in answered))

    def test_time_that_is_over_leaves_the_rest_unanswered(self):
        users = newspack.users(self.s, 10)
        newspack.knobs(self.s, {"on": "contact", "users": users[2:],
                                "do": "sleep_ms", "with": 2700})
        # Of these there is time for two at most, however long a boot takes.
        reply = self.contacts("prepare", users, timeout_ms=6000)
        self.assertEqual(reply.rc, "retry")
        n = sum(e["answered"] for e in reply.entries)
        self.assertTrue(1 <= n <= 4, n)
        self.assertTrue(all(e["ok"] for e in reply.entries[:n]))

    def test_two_integrations_share_what_is_built(self):
        users = newspack.users(self.s, 2)
        reply = self.ask("prepare", [
            (u, i, CONTEXT, "") for u in users for i in ("esp", "crm")])
        self.assertEqual(reply.oks(), [True] * 4)
        self.assertEqual(reply.entries[0]["fields"],
                         reply.entries[1]["fields"])


class PushTest(ContactsCase):
    def test_each_is_pushed_once_by_its_class(self):
        for generation in "g1", "g2":
            with self.subTest(generation):
                self.install(generation=generation)
                users = newspack.users(self.s, 3)
                newspack.forget_calls(self.s)
                reply = self.contacts("push", users, "crm")
                self.assertEqual((reply.rc, reply.oks()),
                                 ("ok", [True] * 3))
                calls = newspack.calls(self.s)
                self.assertEqual(
                    [(c["what"], c["integration"], c["user_id"],
                      c["context"]) for c in calls],
                    [("push", "crm", u, CONTEXT) for u in users])
                self.assertIsNone(calls[0]["body"][2])

    def test_the_address_before_is_handed_over(self):
        user, = newspack.users(self.s, 1)
        self.contacts("push", [user], "crm", previous="old@example.org")
        existing = newspack.calls(self.s, "push")[0]["body"][2]
        self.assertEqual(existing["email"], "old@example.org")
        self.assertEqual(existing["name"], "Reader %d" % user)

    def test_errors_and_exceptions_cost_one_reader(self):
        users = newspack.users(self.s, 4)
        newspack.knobs(
            self.s,
            {"on": "push", "users": [users[0]], "do": "error",
             "with": ["a", "b"]},
            {"on": "push", "users": [users[2]], "do": "throw", "with": "c"})
        reply = self.contacts("push", users, "crm")
        self.assertEqual(reply.rc, "ok")
        self.assertEqual(
            [(e["ok"], e["message"]) for e in reply.entries],
            [(False, "a; b"), (True, ""), (False, "c"), (True, "")])

    def test_nothing_leaves_a_copy_of_the_site(self):
        newspack.set_option(self.s, "wpcron_newspack_manager", "")
        reply = self.contacts("push", newspack.users(self.s, 2), "crm")
        self.assertEqual([(e["answered"], e["code"]) for e in reply.entries],
                         [(False, "held")] * 2)
        self.assertEqual(reply.rc, "retry")
        self.assertIn("staging", reply.error)
        self.assertEqual(newspack.calls(self.s), [])

    def test_what_is_switched_off_or_not_set_up_is_held(self):
        user = newspack.users(self.s, 1)
        self.install(generation="g2", settings={
            "crm": {"outgoing_sync_enabled": ""}})
        self.assertEqual(self.contacts("push", user, "crm").entries[0][
            "code"], "held")
        newspack.delete_option(
            self.s, "newspack_integration_settings_esp_mailchimp_audience_id")
        self.assertEqual(self.contacts("push", user, "esp").entries[0][
            "code"], "held")
        self.assertEqual(newspack.calls(self.s), [])


class PullTest(ContactsCase):
    def test_only_enabled_keys_are_stored(self):
        for generation in "g1", "g2":
            with self.subTest(generation):
                self.install(generation=generation,
                             incoming={"crm": ["color", "score"]})
                user, = newspack.users(self.s, 1)
                newspack.remote(self.s, {newspack.email(self.s, user): {
                    "color": "blue", "score": 3, "other": "x"}})
                reply = self.contacts("pull", [user], "crm")
                self.assertEqual((reply.rc, reply.oks()), ("ok", [True]))
                self.assertEqual(newspack.reader_data(self.s, user),
                                 {"color": '"blue"', "score": "3"})

    def test_json_survives_undamaged(self):
        value = "Zoë / \"Z\" \\ line\nbreak"
        self.install(incoming={"crm": ["text", "list"]})
        user, = newspack.users(self.s, 1)
        newspack.remote(self.s, {newspack.email(self.s, user): {
            "text": value, "list": ["a/b", "ü"]}})
        self.contacts("pull", [user], "crm")
        data = newspack.reader_data(self.s, user)
        self.assertEqual(json.loads(data["text"]), value)
        self.assertEqual(data["list"], '["a/b","ü"]')

    def test_errors_have_the_codes_of_the_plugin(self):
        users = newspack.users(self.s, 4)
        self.install(incoming={"crm": ["k"]})
        newspack.knobs(
            self.s,
            {"on": "pull", "users": [users[0]], "do": "error", "with": ["e"]},
            {"on": "pull", "users": [users[1]], "do": "throw", "with": "t"},
            {"on": "pull", "users": [users[2]], "do": "data", "with": "text"})
        reply = self.contacts("pull", users + [999999], "crm")
        self.assertEqual(
            [(e["ok"], e["code"], e["gone"]) for e in reply.entries],
            [(False, "fixture_error_0", False),
             (False, "pull_exception", False),
             (False, "invalid_pull_payload", False), (True, "", False),
             (False, "user_not_found", True)])
        entry = self.contacts("pull", users[:1], "esp").entries[0]
        self.assertEqual(entry["code"], "no_selected_incoming_fields")

    def test_a_hundred_keys_are_the_most(self):
        self.install(incoming={"crm": ["late"]})
        user, = newspack.users(self.s, 1)
        self.fill(user, 100)
        newspack.remote(self.s, {newspack.email(self.s, user): {"late": 1}})
        entry = self.contacts("pull", [user], "crm").entries[0]
        self.assertEqual(entry["code"], "reader_data_write_failed")
        self.assertIn("Too many items.", entry["message"])

    def fill(self, user, n):
        reply = self.ask("store", [[user] + [
            x for i in range(n) for x in ("key%d" % i, str(i))]])
        self.assertEqual(reply.oks(), [True], reply)


class StoreTest(ContactsCase):
    def test_values_are_stored_as_they_are(self):
        users = newspack.users(self.s, 3)
        texts = ['"plain"', '"\\"q\\" \\\\ \\u0001"', '{"a":[1,"é/猫"]}', "0",
                 '"\'; DROP"']
        reply = self.ask("store", [
            [u] + [x for i, t in enumerate(texts)
                   for x in ("key%d" % i, t)] for u in users])
        self.assertEqual((reply.rc, reply.oks()), ("ok", [True] * 3))
        for user in users:
            self.assertEqual(
                list(newspack.reader_data(self.s, user).values()), texts)

    def test_without_the_class_the_rules_are_the_same(self):
        plugins = self.s.option("active_plugins")
        newspack.set_option(self.s, "active_plugins", [])
        self.addCleanup(newspack.set_option, self.s, "active_plugins",
                        plugins)
        user, = newspack.users(self.s, 1)
        reply = self.ask("store", [[user] + [
            x for i in range(101) for x in ("k%d" % i, '"\\"%d"' % i)]])
        self.assertEqual(reply.entries[0]["refused"], 1)
        data = newspack.reader_data(self.s, user)
        self.assertEqual((len(data), data["k7"]), (100, '"\\"7"'))

    def test_a_value_that_is_there_is_not_written(self):
        user, = newspack.users(self.s, 1)
        self.ask("store", [[user, "a", '"x"', "b", '"y"']])
        rows = "SELECT umeta_id, meta_value FROM wp_usermeta WHERE" \
            " user_id = %s ORDER BY umeta_id"
        before = self.s.mysql(rows, (user,))
        self.install(generation="g2")
        self.ask("store", [[user, "a", '"x"', "b", '"z"']])
        after = self.s.mysql(rows, (user,))
        self.assertEqual([r["umeta_id"] for r in before],
                         [r["umeta_id"] for r in after])
        noted = newspack.calls(self.s, "newspack_reader_data_updated")
        self.assertEqual([c["body"] for c in noted], [[user, "b", '"z"']])

    def test_keys_of_others_stay_in_the_list(self):
        user, = newspack.users(self.s, 1)
        newspack.set_meta(self.s, user, "newspack_reader_data_keys",
                          'a:2:{i:0;s:1:"x";i:3;i:42;}')
        newspack.set_meta(self.s, user, "newspack_reader_data_item_x", "1")
        newspack.set_meta(self.s, user, "newspack_reader_data_item_42", "2")
        self.ask("store", [[user, "42", "3", "y", "4"]])
        self.assertEqual(newspack.reader_data(self.s, user),
                         {"x": "1", "42": "3", "y": "4"})

    def test_who_is_gone_is_refused(self):
        reply = self.ask("store", [[999999, "a", "1"]])
        self.assertEqual((reply.rc, reply.oks()), ("ok", [False]))


class OtherTest(ContactsCase):
    def test_options_are_written(self):
        reply = self.ask("options", [("np_new", "v1"), ("np_other", "ü \\ '")])
        self.assertEqual(reply.rc, "ok", reply)
        self.assertEqual((self.s.option("np_new"), self.s.option("np_other")),
                         ("v1", "ü \\ '"))
        self.assertEqual(self.ask("options", [("np_new", "v1")]).rc, "ok")

    def test_an_option_that_somebody_changes_is_no_success(self):
        newspack.set_option(self.s, "blogname", "before")
        reply = self.ask("options", [("admin_email", "no address")])
        self.assertEqual(reply.rc, "retry")
        self.assertIn("admin_email", reply.error)

    def test_alerts_have_the_plugins_arrays(self):
        user, = newspack.users(self.s, 1)
        reply = self.ask("alert", [
            ("newspack_sync_retry_exhausted", "esp", user, CONTEXT, "why", 5),
            ("newspack_sync_contact_failed", "crm", user, CONTEXT, "r/é", 0),
            ("newspack_sync_permanent_failure", "esp", user, CONTEXT, "p",
             0)])
        self.assertEqual(reply.rc, "ok", reply)
        bodies = [c["body"] for c in newspack.calls(self.s)]
        self.assertEqual(bodies, [
            {"integration_id": "esp", "user_id": user, "context": CONTEXT,
             "retry_count": 5, "reason": "why"},
            {"integration_id": "crm", "contact": {
                "email": newspack.email(self.s, user),
                "name": "Reader %d" % user, "metadata": []},
             "context": CONTEXT, "reason": "r/é"},
            {"integration_id": "esp", "user_id": user,
             "email": newspack.email(self.s, user), "context": CONTEXT,
             "reason": "p"}])

    def test_no_other_action_is_fired(self):
        reply = self.ask("alert", [("init", "esp", 1, "", "", 0)])
        self.assertEqual((reply.rc, reply.error), ("reject", "no alert init"))

    def test_an_administrator_is_told_of_the_integrations(self):
        self.install(generation="g2", outgoing={"esp": ["Account"]},
                     incoming={"crm": ["k1", "42"]},
                     settings={"crm": {"incoming_sync_enabled": ""}})
        reply = self.ask("describe")
        self.assertEqual(reply.rc, "ok", reply)
        told = reply.entries[0]
        self.assertEqual(told["metadata_version"], "legacy")
        self.assertIs(told["woocommerce"], False)
        self.assertEqual(told["can_sync"], {"ok": True, "message": ""})
        esp, crm = told["integrations"]
        self.assertEqual(
            (esp["id"], esp["class"], esp["enabled"], esp["set_up"],
             esp["push"], esp["pull"], esp["incoming"], esp["outgoing"]),
            ("esp", "Newspack\\Reader_Activation\\Integrations\\ESP", True,
             True, True, True, [], ["Account"]))
        self.assertEqual((crm["pull"], crm["incoming"]),
                         (False, ["k1", "42"]))

    def test_without_the_plugin_the_missing_class_is_named(self):
        plugins = self.s.option("active_plugins")
        newspack.set_option(self.s, "active_plugins", [])
        self.addCleanup(newspack.set_option, self.s, "active_plugins",
                        plugins)
        for op in "prepare", "push", "pull", "describe":
            reply = self.ask(op, [(1, "esp", CONTEXT, "")])
            self.assertEqual(reply.rc, "reject")
            self.assertIn("no class Newspack\\Reader_Activation\\"
                          "Integrations", reply.error)

    def test_a_php_that_is_away_is_no_verdict(self):
        for options, words in (
                ({"address": "unix:/nonexistent"}, "nonexistent"),
                ({"salts": "wrong"}, "refused us (404)"),
                ({"blog": 7}, "there is no blog 7 here")):
            with self.subTest(words):
                reply = self.ask("prepare", [(1, "esp", CONTEXT, "")],
                                 **options)
                self.assertEqual(
                    reply.rc, "reject" if "blog" in options else "retry")
                self.assertIn(words, reply.error)
                self.assertFalse(reply.entries[0]["answered"])

    def test_without_its_file_the_worker_says_so(self):
        away = self.s.path("contacts.php")
        self.s.worker_script()
        os.rename(away, away + ".away")
        self.addCleanup(os.rename, away + ".away", away)
        reply = self.ask("describe")
        self.assertEqual((reply.rc, reply.error), (
            "reject", "contacts.php is not beside worker.php"))

    def test_nothing_to_ask_is_no_question(self):
        self.assertEqual(self.ask("prepare", []).rc, "ok")


class CachedTest(ContactsCase):
    """Behind a persistent object cache PHP reads what was written here."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.s.start_redis()
        cls.s.install_object_cache()

    def php_sees(self, code):
        return json.loads(self.s.wp_eval("echo json_encode( %s );" % code))

    def test_reader_data_and_options_are_seen_at_once(self):
        user, = newspack.users(self.s, 1)
        item = "get_user_meta( %d, 'newspack_reader_data_item_k', true )" % (
            user)
        self.assertEqual(self.ask("store", [[user, "k", '"a"']]).oks(),
                         [True])
        self.assertEqual(self.php_sees(item), '"a"')
        self.assertEqual(self.ask("store", [[user, "k", '"b"']]).oks(),
                         [True])
        self.assertEqual(self.php_sees(item), '"b"')
        option = "get_option( 'np_token' )"
        self.assertEqual(self.ask("options", [("np_token", "1")]).rc, "ok")
        self.assertEqual(self.php_sees(option), "1")
        self.assertEqual(self.ask("options", [("np_token", "2")]).rc, "ok")
        self.assertEqual(self.php_sees(option), "2")
        self.assertEqual(self.s.option("np_token"), "2")

    def test_a_page_of_readers_is_prepared(self):
        users = newspack.users(self.s, 120)
        # Settings were written beside the cache.
        self.s.wp_eval("wp_cache_flush();")
        reply = self.contacts("prepare", users)
        self.assertEqual((reply.rc, reply.oks()), ("ok", [True] * 120))
        self.assertEqual([e["name"] for e in reply.entries],
                         ["Reader %d" % u for u in users])


if __name__ == "__main__":
    unittest.main()
