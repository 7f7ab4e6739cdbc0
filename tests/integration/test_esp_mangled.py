"""Answers whose JSON is not what it should be: pieces of the right ones are
replaced, dropped or nested at random. Nothing crashes, nothing is said to
have been done to nobody, and consent holds."""

import copy
import random
import unittest

from esp import driver
from esp.active_campaign import ActiveCampaign
from esp.brevo import Brevo
from esp.constant_contact import LIST, ConstantContact
from esp.driver import contact

SEEDS = 40
JUNK = (None, True, 0, -1, 2 ** 62, 1.5, "", "x", "\u0000", "9" * 400,
        "\u00fc" * 300, [], {}, [[]], [None], {"": None}, [{}], {"id": []})


def places(value, found):
    """(container, key) of every piece."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, piece in list(items):
        found.append((value, key))
        if isinstance(piece, (dict, list)):
            places(piece, found)
    return found


def mangle(body, rng):
    body = copy.deepcopy(body)
    for _ in range(rng.randint(1, 4)):
        found = places(body, [])
        if not found or rng.random() < 0.05:
            return rng.choice(([], {}, [[]], {"errors": 7}))
        where, key = rng.choice(found)
        if rng.random() < 0.3 and isinstance(where, dict):
            del where[key]
        else:
            where[key] = copy.deepcopy(rng.choice(JUNK))
    return body


def many(n):
    return [contact("r%d@example.org" % i, {"NP_Account": str(i)},
                    name="Reader %d" % i) for i in range(n)]


class Base:
    KIND = PROVIDER = KNOWN = None

    def test_mangled_answers_harm_nobody(self):
        for seed in range(SEEDS):
            with self.subTest(seed=seed):
                self.one(random.Random("%s %d" % (self.PROVIDER, seed)))

    def one(self, rng):
        class Mangled(self.KIND):
            def _handled(self, call, crowded):
                status, body, headers = super()._handled(call, crowded)
                if isinstance(body, (dict, list)) and rng.random() < 0.5:
                    body = mangle(body, rng)
                return status, body, headers

        with Mangled() as esp:
            esp.polls = 0
            for i in range(0, 40, 2):
                esp.put("r%d@example.org" % i, **self.KNOWN)
            push = {"op": "push", "contacts": many(40)}
            pull = {"op": "pull", "keys": ["NP_ACCOUNT", "NP_Account"],
                    "contacts": many(6)}
            steps = []
            for step in (push, pull, {"op": "push", "contacts": many(3)},
                         {"op": "settle", "max_s": 1}, {"op": "fields"},
                         {"op": "test"}):
                steps += [step, {"op": "wake"}]
            driver.run(self.PROVIDER, esp.account(), steps,
                       host=esp.host() if hasattr(esp, "host") else {})
            for i in range(0, 40, 2):
                c = esp.contacts.get("r%d@example.org" % i)
                self.assertFalse(self.came_back(c), c.email)

    def came_back(self, c):
        raise NotImplementedError


class ActiveCampaignTest(Base, unittest.TestCase):
    KIND, PROVIDER = ActiveCampaign, "active_campaign"
    KNOWN = {"lists": {2: 2}}

    def came_back(self, c):
        return c.lists != {2: 2}


class BrevoTest(Base, unittest.TestCase):
    KIND, PROVIDER = Brevo, "brevo"
    KNOWN = {"lists": [], "blacklisted": True}

    def came_back(self, c):
        return not c.blacklisted


class ConstantContactTest(Base, unittest.TestCase):
    KIND, PROVIDER = ConstantContact, "constant_contact"
    KNOWN = {"lists": [LIST], "permission": "unsubscribed"}

    def came_back(self, c):
        return c.permission != "unsubscribed"


if __name__ == "__main__":
    unittest.main()
