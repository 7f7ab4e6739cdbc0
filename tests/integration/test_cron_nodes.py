"""Three nodes, one of them killed every 300 ms: no event is lost, a one-shot
runs at most once unless its hook is idempotent, and recurring ones keep their
phase.

NODES_ONE_SHOTS and NODES_SECONDS make it longer; FULL=1 waits to the end.
"""

import collections
import os
import random
import time
import unittest

import cronrow
from cronrow import Event
from stack import connectable

NODES = 3
ONE_SHOTS = int(os.environ.get("NODES_ONE_SHOTS", "400"))
SECONDS = float(os.environ.get("NODES_SECONDS", "10"))
KILL_EVERY_S = 0.3
FULL = bool(os.environ.get("FULL"))
FAST = """
heartbeat = 200ms
node_expiry = 1s
look_interval = 100ms
workers = 4
php_children = 2
php_batch = 20
log_level = info
"""
ENDED = ("done", "failed", "skipped", "resurrected") + (
    () if FULL else ("running",))
INTERVALS = (1, 2, 3, 5, 7)


class NodesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = s = cronrow.tick_site(cls, children=9)
        cls.receiver = s.start_receiver()
        cls.rest = """
[route]
tick_native = webhook %s
tick_b = webhook %s
[policy tick_native]
idempotent = no
retries = 0
[policy tick_sleep]
overlap = yes
timeout = 2s
[policy tick_c]
overlap = yes
idempotent = yes
retries = 5
backoff = 1s..1s
timeout = 2s
""" % (cls.receiver.url("/ok?hold=300"),
       cls.receiver.url("/ok?hold=200"))

    def setUp(self):
        cronrow.put(self.s, [])
        cronrow.drop_lock(self.s)
        cronrow.forget(self.s)
        self.s.ticks.clear()
        self.receiver.forget()
        self.random = random.Random(11)
        self.kills = self.loaded = 0
        self.nodes = [self.start(i) for i in range(NODES)]
        self.addCleanup(self.stop)

    def start(self, i):
        return self.s.start_daemon(name="n%d" % i, daemon=FAST,
                                   rest=self.rest, ready=False)

    def stop(self):
        for node in self.nodes:
            # One that has just been started may not listen to signals yet.
            node.wait_ready(lambda: connectable(node.sock))
            self.assertEqual(node.stop(), 0)
            self.s.servers.remove(node)
        self.nodes = []

    def kill_for(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end or self.kills <= seconds:
            time.sleep(KILL_EVERY_S)
            # Whoever is at work, every other time.
            busy = [i for i in range(NODES) if self.holds(self.nodes[i])]
            i = self.random.randrange(NODES)
            if busy and self.kills % 2:
                i = self.random.choice(busy)
            self.loaded += i in busy
            self.nodes[i].kill()
            self.s.servers.remove(self.nodes[i])
            self.kills += 1
            self.nodes[i] = self.start(i)

    def holds(self, node):
        """Whether a node has events in its hands."""
        try:
            return self.s.value(
                "SELECT COUNT(*) FROM wp_wpcron_events e JOIN wp_wpcron_nodes"
                " n ON n.node_id = e.node_id WHERE n.pid = %s AND e.state IN"
                " ('taken', 'running') AND e.claim_id > 0", (node.pid,)) > 0
        except Exception:  # nobody has made the tables yet
            return False

    def wait_empty(self, hooks):
        """No one-shot is left, but those that PHP may still be at for a node
        that died; FULL=1 waits for those, too, a minute and a half."""
        # Webhooks have no deadline: they are rescued soon.
        orphans = "1" if FULL else (
            "NOT (state = 'running' AND deadline IS NOT NULL AND"
            " deadline > UTC_TIMESTAMP() AND"
            " node_id NOT IN (SELECT node_id FROM wp_wpcron_nodes))")

        def empty():
            left = [e for e in cronrow.events(self.s)
                    if e.hook in hooks and not e.interval]
            return not left and cronrow.unfinished(self.s, orphans) == 0
        self.s.wait_until(empty, 150 if FULL else 120, 0.1,
                          "no one-shot is left")

    def spread(self, hook, n, head=()):
        begin = int(time.time())
        return [Event(begin + self.random.randrange(int(SECONDS)), hook,
                      list(head) + ["%s-%d" % (hook, i)]) for i in range(n)]

    def assert_none_lost(self, hook, events, ran, most=1):
        """Each ran or has a record that says why not."""
        rows = collections.defaultdict(list)
        for row in cronrow.ledger(self.s, "hook = %s", (hook,)):
            rows[row["event_key"]].append(row)
        for e in events:
            found = rows[e.key]
            self.assertTrue(found, "%r has no record" % e)
            self.assertTrue(all(r["state"] in ENDED for r in found), found)
            times = ran.get(e.args[-1], 0)
            if most:
                self.assertLessEqual(times, most, e)
            if any(r["state"] == "done" for r in found):
                self.assertGreaterEqual(times, 1, found)
            elif times == 0:
                self.assertTrue(any(r["message"] or r["state"] == "running"
                                    for r in found), found)

    def ran(self, hook):
        return collections.Counter(
            x["args"][-1] for x in self.s.ticks.all(hook))

    def test_one_shots_in_php(self):
        n = ONE_SHOTS // 2
        once = self.spread("tick_sleep", n, [0.03])
        again = self.spread("tick_c", n)
        cronrow.put(self.s, once + again)
        self.kill_for(SECONDS)
        self.wait_empty(("tick_sleep", "tick_c"))
        ran = self.ran("tick_sleep")
        self.assert_none_lost("tick_sleep", once, ran)
        idempotent = self.ran("tick_c")
        self.assert_none_lost("tick_c", again, idempotent, most=0)
        self.assertGreaterEqual(len(idempotent), n if FULL else n - self.kills,
                                "idempotent hooks do run")
        self.report(2 * n)

    def test_one_shots_as_webhooks(self):
        events = self.spread("tick_native", ONE_SHOTS)
        idempotent = self.spread("tick_b", ONE_SHOTS // 2)
        cronrow.put(self.s, events + idempotent)
        self.kill_for(SECONDS)
        self.wait_empty(("tick_native", "tick_b"))
        keys = self.receiver.report(keys=True)["keys"]
        rows = cronrow.ledger(self.s, "hook = 'tick_native'")
        self.assertEqual(len({r["event_key"] for r in rows}), ONE_SHOTS)
        self.assertTrue(all(r["state"] in ENDED for r in rows))
        # At most once: every key that came in came in once.
        native = {r["event_id"] for r in rows}
        got = {int(k.rsplit("_", 1)[1]): n for k, n in keys.items()}
        self.assertEqual([i for i in native if got.get(i, 0) > 1], [])
        for row in rows:
            if row["state"] == "done":
                self.assertEqual(got.get(row["event_id"]), 1, row)
            else:
                self.assertNotEqual(row["message"], "")
        self.assertEqual(
            {r["event_key"] for r in cronrow.ledger(
                self.s, "hook = 'tick_b' AND state = 'done'")},
            {e.key for e in idempotent})
        self.report(len(events) + len(idempotent))

    def test_recurring_events_keep_their_phase(self):
        begin = int(time.time()) - 3
        series = [Event(begin + i % 3, hook, [0.2, "s%d" % i], interval)
                  for i, (hook, interval) in enumerate(
                      (h, n) for n in INTERVALS for h in
                      ("tick_series", "tick_sleep", "tick_b", "tick_native"))]
        cronrow.put(self.s, series)
        self.kill_for(SECONDS)
        self.s.wait_until(lambda: self.s.value(
            "SELECT COUNT(*) FROM (SELECT 1 FROM wp_wpcron_events GROUP BY"
            " hook, event_key HAVING COUNT(*) > 1) AS again") == len(series),
            120, 0.1, "each has come again")
        time.sleep(3)  # the survivors take back what the dead ones held
        self.stop()
        left = cronrow.events(self.s)
        rows = cronrow.ledger(self.s)
        for e in series:
            slots = [x for x in left if (x.hook, x.key) == (e.hook, e.key)]
            mine = [r for r in rows
                    if (r["hook"], r["event_key"]) == (e.hook, e.key)]
            # One that waits in the table has its next slot in the option.
            self.assertEqual(len(slots), 1, (e, slots))
            self.assertEqual((slots[0].ts - e.ts) % e.interval, 0)
            self.assertEqual(slots[0].interval, e.interval)
            times = [r["scheduled_at"] for r in mine]
            self.assertEqual({(t - e.ts) % e.interval for t in times}, {0})
            self.assertEqual(len(times), len(set(times)), e)
            self.assertGreater(len(times), 1)
        ran = collections.Counter(
            (x["args"][-1], x["hook"]) for x in self.s.ticks.all())
        self.assertTrue(ran)
        self.report(len(rows))

    def report(self, n):
        died = [r for r in cronrow.ledger(self.s, "state = 'failed'")]
        print("       %d events, %d kills, %d of nodes with events in hand,"
              " %d failed with their owner or in PHP; states %s" % (
                  n, self.kills, self.loaded, len(died),
                  cronrow.states(self.s)), flush=True)
        self.assertGreater(self.kills, SECONDS)
        self.assertGreater(self.loaded, 0)


if __name__ == "__main__":
    unittest.main()
