"""Fifty senders are killed while 2,000 mails go out: none is lost."""

import os
import unittest

os.environ.setdefault("OUTBOX_KILLS", "50")

from test_outbox_crash import Crash  # noqa: E402


class Soak(Crash):
    """As in the short test, for longer."""


del Crash

if __name__ == "__main__":
    unittest.main()
