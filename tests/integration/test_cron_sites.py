"""One daemon for unrelated sites: each one's events run in its own PHP."""

import os
import time
import unittest

import cronrow
from cronrow import Event
from stack import Daemon, connectable

TSAN = True


class SitesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sites = [cronrow.tick_site(cls, children=3) for _ in range(2)]
        cls.daemon = cls.start(cls.sites[0])

    @classmethod
    def start(cls, s):
        conf, sock = s.path("sites.conf"), s.path("run", "sites.sock")
        os.makedirs(s.path("run"), exist_ok=True)
        os.chmod(s.path("run"), 0o777)
        with open(conf, "w") as f:
            f.write("[daemon]\n" + "".join(
                "[site s%d]\nroot = %s\nphp_fpm = unix:%s\nworker_script ="
                " %s\n" % (i, x.root, x.php_socket, x.worker_script())
                for i, x in enumerate(cls.sites)))
        daemon = Daemon(s, "sites", s.as_web_user(
            [s.binary(), "--listen", "unix:" + sock, "-c", conf,
             "--foreground"]), env=s.sanitizer_env())
        daemon.wait_ready(lambda: connectable(sock))
        daemon.sock = sock
        for i, x in enumerate(cls.sites):
            x.wait_until(lambda n=i: "site.ready site=s%d" % n in
                         daemon.log_text(), 30)
            x.start_nginx(daemon=daemon)
        return daemon

    def setUp(self):
        for s in self.sites:
            cronrow.put(s, [])
            cronrow.drop_lock(s)
            s.ticks.clear()

    def test_same_hook_runs_where_it_was_scheduled(self):
        ts = int(time.time()) - 4
        for i, s in enumerate(self.sites):
            cronrow.put(s, [Event(ts, "tick_where", ["both"]),
                            Event(ts, "tick_where", ["of", i])])
        for i, s in enumerate(self.sites):
            s.wait_until(lambda x=s: x.ticks.count() == 2, 15)
            self.assertEqual({tuple(x["args"]) for x in s.ticks.all()},
                             {("both",), ("of", i)})
            self.assertEqual({x["home"] for x in s.ticks.all()},
                             {s.url("")})
            s.wait_until(lambda x=s: cronrow.unfinished(x) == 0)
            self.assertEqual(cronrow.states(s, "scheduled_at = %s", (ts,)),
                             {"done": 2})

    def test_page_load_of_each_reaches_it(self):
        for s in self.sites:
            cronrow.put(s, [Event(time.time() - 4, "tick_where", ["page"])])
            self.assertEqual(s.get("/")[0], 200)
            s.wait_until(lambda x=s: x.ticks.count() == 1, 15)


if __name__ == "__main__":
    unittest.main()
