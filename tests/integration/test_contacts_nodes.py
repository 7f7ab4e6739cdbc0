"""Contacts and several nodes: one consumer of the flags, one allowance."""

import unittest

import newspack
from esp.active_campaign import KEY, LIST, ActiveCampaign
from esp.mailchimp import Mailchimp
from stack import Stack

# No node dies here; none is taken for dead by a busy machine.
NODE = "node_expiry = 30s\nheartbeat = 500ms\n"
READERS = 14


class Nodes(unittest.TestCase):
    """Two daemons, one database."""

    @classmethod
    def setUpClass(cls):
        s = cls.s = Stack()
        cls.addClassCleanup(s.close)
        s.start_mariadb()
        s.install_wordpress(config_extra=newspack.CRON_DISABLE,
                            plugins=("wpcron-demo",))
        s.install_action_scheduler()
        newspack.install(s, metadata=True)
        s.start_php_fpm(children=4)

    def start(self, rest, site="contacts_every = 1s\n"):
        nodes = [self.s.start_daemon(daemon=NODE, site=site, rest=rest)
                 for _ in range(2)]
        for node in nodes:
            self.addCleanup(node.stop)
        return nodes

    def test_the_allowance_of_a_second_is_one_for_both(self):
        s = self.s
        esp = ActiveCampaign(rates=True)
        self.addCleanup(esp.close)
        ids = newspack.users(s, READERS)
        for u in ids:
            s.insert_actions(1, newspack.RETRY["push"], args=(
                '[{"integration_id":"esp","user_id":%d,"context":"Test",'
                '"retry_count":1,"max_retries":5,"reason":"r",'
                '"previous_email":""}]' % u),
                group="newspack-integration-esp")
        self.start("[integration default/esp]\nprovider = active_campaign\n"
                   "api = %s\nkey = %s\nlist = %s\n" % (esp.url, KEY, LIST))
        hook = "hook = '%s'" % newspack.RETRY["push"]
        s.wait_until(lambda: s.statuses(hook) == {"complete": READERS},
                     timeout=120, what="every retry is done")
        # Many at once go in a bulk call, which is asked for.
        s.wait_until(lambda: len(esp.contacts) == READERS, timeout=120,
                     what="the provider has all of them")
        # Both may find that a field is missing; who comes second is refused
        # and reads again.
        self.assertEqual([v for v in esp.violations
                          if v != "POST /api/3/fields: the field exists"], [])

    def test_no_reader_is_handed_over_twice(self):
        s = self.s
        esp = Mailchimp(delay=0.1)
        self.addCleanup(esp.close)
        ids = newspack.users(s, 1500)
        newspack.stage(s, ids, directions=("push",))
        self.start("[integration default/esp]\nprovider = mailchimp\n"
                   "api = %s\nkey = %s\nlist = %s\nfingerprints = no\n" % (
                       esp.url, esp.key, esp.list))
        s.wait_until(lambda: not newspack.flags(s, "push"), timeout=120,
                     what="no flag is left")
        members = [op["path"] for call in esp.calls
                   if call.method == "POST" and call.path.endswith("/batches")
                   for op in call.json["operations"]]
        self.assertEqual(len(members), len(ids))
        self.assertEqual(len(set(members)), len(ids))
        self.assertEqual(esp.violations, [])


if __name__ == "__main__":
    unittest.main()
