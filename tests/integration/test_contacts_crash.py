"""A node that is killed amid a batch: nobody is lost, few are sent twice, and
nothing that the provider has taken is handed over again."""

import collections
import json
import os
import random
import signal
import subprocess
import time
import unittest

from contacts import ContactCase

ALONE = True
READERS = int(os.environ.get("CONTACTS_READERS", 5000))
KILLS = int(os.environ.get("CONTACTS_KILLS", 10))
# Of one request: what a killed node may have sent and not written down.
CONNECTIONS = 6
BATCH = 500
# So that some kills hit what was taken and is not written down.
LAG = 0.1


class Round:
    """Everybody staged once, and what must not be submitted any more."""

    def __init__(self, first):
        self.first = first   # of the bulk calls that are this round's
        self.stored = []     # (how many there were, addresses)


class KillTest(ContactCase):
    def start_tick(self):
        argv = self.s.as_web_user([
            self.s.binary("wp-cronctl"), "contacts", "run", "--push",
            "--quiet", "--root", self.s.root, "-c", self.conf])
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, cwd=self.s.dir,
            env=self.s.sanitizer_env())

    def free_lease(self):
        """A dead node's lease would be waited for; here it is not."""
        self.s.mysql("UPDATE wp_wpcron_leases SET expires_at ="
                     " UTC_TIMESTAMP(6) - INTERVAL 1 SECOND")

    def ask_now(self):
        self.s.mysql("UPDATE wp_wpcron_batches SET ask_at ="
                     " UTC_TIMESTAMP(6)")

    def kill_one(self, dice, most):
        """Start a batch and kill it at some moment; False: it was over."""
        self.ask_now()
        p = self.start_tick()
        time.sleep(dice.uniform(0.02, most))
        over = p.poll() is not None
        if not over:
            p.send_signal(signal.SIGKILL)
        p.wait()
        self.free_lease()
        return not over

    def measure(self, ids):
        """Seconds in which an undisturbed batch hands over as many."""
        self.esp.lag = LAG
        self.stage(ids, ["push"])
        began = time.monotonic()
        self.tick("--push")
        seconds = time.monotonic() - began
        self.ticks()
        self.s.mysql("DELETE FROM wp_wpcron_fingerprints")
        self.esp.reset()
        self.esp.lag = LAG
        return seconds

    def emails_of(self, token):
        return {json.loads(op["body"])["email_address"].lower()
                for op in self.esp.batches[token]["operations"]}

    def note_stored(self, around):
        rows = self.s.mysql("SELECT token FROM wp_wpcron_batches")
        stored = set()
        for r in rows:
            stored |= self.emails_of(bytes(r["token"]).decode())
        around.stored.append((self.esp.submitted(), stored))
        return bool(rows)

    def check_stored(self, around):
        """What was on record as handed over was not handed over again."""
        tokens = sorted(self.esp.batches)
        last = self.esp.submitted()
        for then, stored in around.stored:
            for token in tokens[then:last]:
                self.assertEqual(self.emails_of(token) & stored, set())

    def test_nobody_is_lost_and_few_are_sent_twice(self):
        dice = random.Random(20261122)
        ids = self.readers(READERS)
        seconds = self.measure(ids)
        self.stage(ids, ["push"])
        kills, rounds, around = 0, 1, Round(0)
        while kills < KILLS:
            kills += self.kill_one(dice, seconds)
            if not self.note_stored(around) and not self.flags("push"):
                self.check_stored(around)
                self.s.mysql("DELETE FROM wp_wpcron_fingerprints")
                self.stage(ids, ["push"])
                rounds, around = rounds + 1, Round(self.esp.submitted())
        self.ticks(60)
        self.esp.settle()
        self.check_stored(around)
        self.assertEqual(self.flags(), {})
        counts = collections.Counter(self.sent())
        self.assertEqual(sorted(counts), self.addresses(ids))
        self.assertGreaterEqual(min(counts.values()), rounds)
        doubles = sum(n - rounds for n in counts.values())
        self.assertLessEqual(doubles, kills * CONNECTIONS * BATCH)
        self.assertEqual(self.waiting("push"), [])
        print("  %d kills, %d readers, %d rounds, %d doubles" % (
            kills, READERS, rounds, doubles), flush=True)

    def test_a_bulk_call_whose_id_was_stored_is_only_asked_for(self):
        ids = self.readers(1000)
        self.esp.batch_s = None
        self.stage(ids, ["push"])
        self.tick("--push", code=(0, 1))
        stored = self.s.mysql("SELECT token FROM wp_wpcron_batches")
        self.assertTrue(stored)
        handed = self.esp.submitted()
        p = self.start_tick()
        time.sleep(0.3)
        p.send_signal(signal.SIGKILL)
        p.wait()
        self.free_lease()
        self.esp.batch_s = 0.0
        self.esp.finish()
        self.ticks()
        self.assertEqual(self.esp.submitted(), handed)
        self.assertEqual(self.flags(), {})
        counts = collections.Counter(self.sent())
        self.assertEqual(sorted(counts), self.addresses(ids))
        self.assertEqual(set(counts.values()), {1})


if __name__ == "__main__":
    unittest.main()
