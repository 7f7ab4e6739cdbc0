"""50 kills amid batches of 5,000 readers."""

import os
import unittest

os.environ.setdefault("CONTACTS_KILLS", "50")

from test_contacts_crash import KillTest  # noqa: E402,F401

if __name__ == "__main__":
    unittest.main()
