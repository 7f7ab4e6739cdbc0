"""Whole batches to the providers that are not Mailchimp: bulk calls that end
late, consent of known contacts, what is pulled, tokens that PHP shares."""

import unittest

import newspack
from contacts import DONE, FAILED, ContactCase
from esp import active_campaign, brevo, constant_contact

N = 30


class Provider:
    """What is shown of each; beside ContactCase."""

    @classmethod
    def integration_lines(cls):
        a = cls.esp.account()
        return ["provider = " + cls.PROVIDER] + [
            "%s = %s" % (k, a[k]) for k in ("api", "key", "list")]

    def settled(self):
        """Ticks until nothing is under way; the readers of all of them."""
        counts = self.ticks()
        self.assertEqual(self.flags("push"), {})
        self.assertEqual(self.waiting("push"), [])
        return counts

    def test_many_readers_are_handed_over_in_bulk_and_settled(self):
        ids = self.readers(N)
        self.stage(ids, ["push"])
        counts = self.tick("--push", code=(DONE, FAILED))
        self.assertEqual(counts["push"]["pending"], N)
        self.assertEqual(
            self.s.value("SELECT COUNT(*) FROM wp_wpcron_batches"), 1)
        submitted = self.bulk_calls()
        self.settled()
        # What an import hands over later is another one.
        self.assertLessEqual(self.bulk_calls(), submitted + self.MORE)
        self.assertEqual(sorted(self.esp.contacts), self.addresses(ids))
        for c in self.esp.contacts.values():
            self.assertTrue(self.is_subscribed(c), c.email)

    def test_known_contacts_keep_what_they_chose(self):
        ids = self.readers(N)
        left = ids[::3]
        for user in ids:
            self.put(self.address(user), left=user in left)
        self.stage(ids, ["push"])
        # Those who left go alone: more a second than the provider allows
        # would be a violation.
        self.esp.rates = True
        self.tick("--push", code=(DONE, FAILED))
        self.esp.rates = False
        self.settled()
        for user in ids:
            c = self.esp.contacts[self.address(user)]
            self.assertEqual(self.is_subscribed(c), user not in left)
            self.assertGreater(len(self.values(c)), 0)

    def test_one_who_unsubscribes_while_the_bulk_call_is_under_way(self):
        ids = self.readers(N)
        for user in ids:
            self.put(self.address(user), left=False)
        self.stage(ids, ["push"])
        self.tick("--push", code=(DONE, FAILED))
        self.esp.unsubscribe(self.address(ids[7]))
        self.settled()
        self.stage(ids, ["push"])
        newspack.set_meta(self.s, ids[7], "last_name", "Changed")
        self.tick("--push", code=(DONE, FAILED))
        self.settled()
        self.assertFalse(self.is_subscribed(
            self.esp.contacts[self.address(ids[7])]))

    def test_unchanged_readers_are_not_sent_again(self):
        ids = self.readers(N)
        self.stage(ids, ["push"])
        self.tick("--push", code=(DONE, FAILED))
        self.settled()
        self.esp.forget()
        self.stage(ids, ["push"])
        counts = self.tick("--push")
        self.assertEqual(counts["push"]["unchanged"], N)
        self.assertEqual(self.esp.calls, [])

    def test_values_are_pulled_by_the_providers_own_keys(self):
        known, strange = self.readers(2)
        self.put(self.address(known), left=False)
        self.give(self.address(known), "Blue/Gr\u00fcn")
        self.stage([known, strange], ["pull"])
        self.tick("--pull", code=(DONE, FAILED))
        self.assertEqual(self.data(known),
                         {self.INCOMING[0]: '"Blue/Gr\u00fcn"'})
        self.assertEqual(self.data(strange), {})
        self.assertNotIn(known, self.flags("pull"))

    def test_the_integration_test_says_that_it_works(self):
        out = self.call("integration", "test", "esp")
        self.assertIn("list", out)


class ActiveCampaignTest(Provider, ContactCase):
    PROVIDER = "active_campaign"
    INCOMING = ("COLOR",)
    MORE = 1  # those it made are put on the list by an import of their own

    @classmethod
    def make_esp(cls):
        return resettable(active_campaign.ActiveCampaign)

    def bulk_calls(self):
        return self.esp.count("bulk_import")

    def put(self, email, left):
        self.esp.put(email, lists={2: 2 if left else 1})

    def is_subscribed(self, c):
        for batch in self.esp.batches.values():
            self.esp.work(batch)
        return c.lists == {2: 1}

    def values(self, c):
        return c.fields

    def give(self, email, value):
        number = self.esp.field_id("COLOR") or self.esp.field("Color", "COLOR")
        self.esp.contacts[email].fields[number] = value


class BrevoTest(Provider, ContactCase):
    PROVIDER = "brevo"
    INCOMING = ("COLOR",)
    MORE = 0

    @classmethod
    def make_esp(cls):
        return resettable(brevo.Brevo)

    def bulk_calls(self):
        return self.esp.count("contacts/import")

    def put(self, email, left):
        self.esp.put(email, lists=[brevo.LIST], blacklisted=left)

    def is_subscribed(self, c):
        return not c.blacklisted and c.lists == [brevo.LIST]

    def values(self, c):
        return c.attributes

    def give(self, email, value):
        self.esp.contacts[email].attributes["COLOR"] = value


class ConstantContactTest(Provider, ContactCase):
    PROVIDER = "constant_contact"
    INCOMING = ("Favourite color",)
    MORE = 0

    @classmethod
    def make_esp(cls):
        return resettable(constant_contact.ConstantContact)

    @classmethod
    def integration_lines(cls):
        return ["api = " + cls.esp.url]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.options()

    @classmethod
    def options(cls, **more):
        """The plugin's own: tokens are written back to them."""
        a = cls.esp.account(**more)
        prefix = "newspack_newsletters_constant_contact_api_"
        for name, value in (
                ("newspack_newsletters_service_provider", cls.PROVIDER),
                ("newspack_integration_settings_esp_constant_contact_list_id",
                 a["list"]), (prefix + "key", a["key"]),
                (prefix + "secret", a["secret"]),
                (prefix + "access_token", a["access_token"]),
                (prefix + "refresh_token", a["refresh_token"])):
            newspack.set_option(cls.s, name, value)

    def setUp(self):
        super().setUp()
        self.options()

    def bulk_calls(self):
        return self.esp.count("json_import")

    def put(self, email, left):
        self.esp.put(email, lists=[] if left else [constant_contact.LIST],
                     permission="unsubscribed" if left else "implicit")

    def is_subscribed(self, c):
        return (c.permission == "implicit" and
                c.lists == [constant_contact.LIST])

    def values(self, c):
        return c.custom

    def give(self, email, value):
        self.esp.contacts[email].custom[
            self.esp.field("Favourite color")] = value

    def stored(self):
        prefix = "newspack_newsletters_constant_contact_api_"
        return (self.s.option(prefix + "access_token"),
                self.s.option(prefix + "refresh_token"))

    def test_renewed_tokens_are_stored_where_php_finds_them(self):
        old = constant_contact.token(60, 77)
        self.esp.access = {old}
        self.options(access_token=old)
        before = self.esp.refresh_token
        user, = self.readers()
        self.stage([user], ["push"])
        self.tick("--push")
        access, refresh = self.stored()
        self.assertNotEqual(access, old)
        self.assertIn(access, self.esp.access)
        self.assertNotEqual(refresh, before)
        self.assertEqual(refresh, self.esp.refresh_token)
        self.assertEqual(self.esp.count("/oauth2/"), 1)
        # The next batch begins with them.
        self.stage(self.readers(2, first=100), ["push"])
        self.tick("--push")
        self.assertEqual(self.esp.count("/oauth2/"), 1)

    def test_a_dead_refresh_token_rests_and_keeps_the_readers(self):
        old = constant_contact.token(60, 78)
        self.esp.access = {old}
        self.options(access_token=old, refresh_token="dead")
        ids = self.readers(2)
        self.stage(ids, ["push"])
        self.tick("--push", code=tuple(range(128)))
        self.assertEqual(sorted(self.flags("push")), sorted(ids))
        self.assertEqual(self.waiting("push"), [])
        self.assertEqual(self.stored(), (old, "dead"))
        self.assertNotIn("dead", self.stderr.replace("deadline", ""))


def resettable(kind):
    """A stand-in that can begin anew, as ContactCase asks."""
    class Fresh(kind):
        def reset(self):
            self.forget()
            with self.lock:
                for name in ("contacts", "fields", "batches", "processes",
                             "activities"):
                    if hasattr(self, name):
                        getattr(self, name).clear()
                if kind is brevo.Brevo:
                    self.attributes = {"FIRSTNAME": "text",
                                       "LASTNAME": "text", "COLOR": "text"}
                if kind is constant_contact.ConstantContact:
                    self.access = {constant_contact.token(86400, 0)}
                self.violations, self.faults = [], []
                self.rates, self.stamps = False, []
            self.before = None
    return Fresh()


if __name__ == "__main__":
    unittest.main()
