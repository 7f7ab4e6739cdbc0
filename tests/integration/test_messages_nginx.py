"""Event Espresso's call of its own site, through nginx: it wakes the daemon
and runs no PHP."""

import os
import re
import unittest

from stack import REPO, Stack

CALL = "?ee=msg_cron_trigger&type=generate&key=ee_trans_generate0123456789abc"


class NginxTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        s.start_site(children=2)
        cls.log = s.path("php.log")
        with open(cls.log, "w", encoding="ascii"):
            pass
        os.chmod(cls.log, 0o666)
        where = os.path.join(s.root, "wp-content", "mu-plugins")
        os.makedirs(where, exist_ok=True)
        with open(os.path.join(where, "seen.php"), "w",
                  encoding="ascii") as f:
            f.write("<?php file_put_contents( '%s', $_SERVER['REQUEST_URI']"
                    " . \"\\n\", FILE_APPEND );" % cls.log)
        cls.daemon = s.start_daemon(daemon="log_level = debug")
        with open(os.path.join(REPO, "nginx", "wp-cron-fcgi-messages.conf"),
                  encoding="ascii") as f:
            text = re.sub(r"unix:/run/wp-cron-fcgi/[^;\s]+",
                          "unix:" + cls.daemon.sock, f.read())
        s.start_nginx(daemon=cls.daemon, extra=text)

    def setUp(self):
        with open(self.log, "w", encoding="ascii"):
            pass

    def seen(self):
        with open(self.log, encoding="ascii") as f:
            return [line for line in f.read().splitlines()
                    if "wp-cron" not in line]

    def test_the_call_is_the_daemon_s(self):
        for path in ("/", "/index.php", "/two/"):
            status, headers, body = self.s.get(path + CALL)
            self.assertEqual((status, body), (200, b""), path)
            # As wp-cron.php answers.
            self.assertIn("no-cache", headers.get("Cache-Control", ""))
        self.assertEqual(self.seen(), [])

    def test_everything_else_is_php_s(self):
        for path in ("/?p=1", "/?ee=msg_url_trigger&snd=email",
                     "/?ee=msg_cron_trigger_not"):
            self.assertNotEqual(self.s.get(path)[0], 502, path)
        self.assertEqual(len(self.seen()), 3)

    def test_nobody_reaches_the_location_itself(self):
        self.assertNotEqual(self.s.get("/wp-cron-fcgi/messages")[0], 200)


if __name__ == "__main__":
    unittest.main()
