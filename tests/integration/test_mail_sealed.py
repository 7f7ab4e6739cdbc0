"""Mails that PHP seals are opened by the program alone, on their way to a real
mail server; large ones in many chunks."""

import os
import unittest

import mails
from mail_server import MailServer
from mails import parse

CONFIG = """
[smtp relay]
host = 127.0.0.1
port = %d
security = none
ehlo = shop.test
[policy mail_*]
mail = outbox
"""


class SealedTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        s = cls.s = mails.site(cls, ("wpcron-mail",))
        cls.server = MailServer()
        cls.server.start(s.path("exim"))
        cls.addClassCleanup(cls.server.stop)
        key = s.path("key")
        with open(key, "w") as f:
            f.write("00ff" * 16 + "\n")
        os.chmod(key, 0o644)
        cls.daemon = s.start_daemon(
            site="smtp = relay\noutbox_key_file = " + key,
            rest=CONFIG % cls.server.port)

    def arrived(self, subject):
        found = []

        def there():
            found[:] = [m for m in self.server.messages()
                        if ("Subject: " + subject).encode() in m[2]]
            return found
        self.s.wait_until(there, 60, what="the mail " + subject)
        self.assertEqual(len(found), 1)
        return found[0]

    def test_a_sealed_mail_arrives_in_clear(self):
        self.s.insert_actions(1, "mail_send",
                              '["ann@example.com", "Sealed", "the text"]')
        _, to, data = self.arrived("Sealed")
        self.assertEqual(to, ["ann@example.com"])
        self.assertEqual(parse(data).get_content().strip(), "the text")
        row = self.s.mysql("SELECT * FROM wp_wpcron_outbox WHERE subject ="
                           " 'Sealed'")[0]
        self.assertEqual(row["sealed"], 1)

    def test_a_large_one_arrives_byte_for_byte(self):
        directory = self.s.path("files")
        os.mkdir(directory)
        os.chmod(directory, 0o777)
        self.s.insert_actions(
            1, "mail_attach", '["ann@example.com", 12582912, "%s"]'
            % directory)
        _, _, data = self.arrived("With a file")
        with open(os.path.join(directory, "made.eml"), "rb") as f:
            made = f.read()
        # What a server adds stands before.
        self.assertTrue(data.rstrip(b"\r\n").endswith(made.rstrip(b"\r\n")))
        with open(os.path.join(directory, "attached.bin"), "rb") as f:
            self.assertTrue(f.read() == next(
                parse(data).iter_attachments()).get_content())


if __name__ == "__main__":
    unittest.main()
