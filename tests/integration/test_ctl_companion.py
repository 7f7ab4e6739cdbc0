"""wp-cronctl companion: the must-use plugin into WordPress, and out of it."""

import os
import shutil
import time

from companion import NAME, SOURCE
from stack import REPO
from test_ctl import CONFIG, USAGE, CtlTest


class CompanionCommandTest(CtlTest):
    def setUp(self):
        self.mu = os.path.join(self.s.root, "wp-content", "mu-plugins")
        self.file = os.path.join(self.mu, NAME)
        shutil.rmtree(self.mu, ignore_errors=True)
        # Where the web user, who runs wp-cronctl here, may read it.
        self.source = self.s.path("companion.php")
        shutil.copyfile(SOURCE, self.source)

    def companion(self, command, *args, **kwargs):
        return self.json("companion", command, "--from", self.source, *args,
                         **kwargs)

    def state(self, *args):
        return self.companion("status", *args)["state"]

    def test_it_is_installed_once_and_works(self):
        self.assertEqual(self.state(), "not installed")
        got = self.companion("install")
        self.assertEqual(got["state"], "installed")
        self.assertEqual(got["file"], self.file)
        self.assertEqual(self.state(), "installed")
        self.assertEqual(os.stat(self.file).st_mode & 0o7777, 0o644)
        with open(self.file) as a, open(SOURCE) as b:
            self.assertEqual(a.read(), b.read())
        self.assertEqual(os.listdir(self.mu), [NAME])
        self.assertEqual(
            self.s.wp_eval("echo WPCRON_FCGI_COMPANION;"), got["available"])

    def test_the_same_file_is_left_as_it_is(self):
        self.companion("install")
        before = time.time() - 1000
        os.utime(self.file, (before, before))
        self.assertEqual(self.companion("install")["state"], "was installed")
        self.assertEqual(os.stat(self.file).st_mtime, before)

    def test_another_version_is_replaced(self):
        self.companion("install")
        with open(self.file) as f:
            text = f.read()
        with open(self.file, "w") as f:
            f.write(text.replace("Version: ", "Version: 0."))
        got = self.companion("status")
        self.assertEqual(got["state"], "another version")
        self.assertEqual(got["found"], "0." + got["available"])
        self.assertEqual(self.companion("install")["state"], "replaced")
        self.assertEqual(self.state(), "installed")
        self.assertEqual(os.listdir(self.mu), [NAME])

    def test_a_file_of_somebody_else_stays(self):
        os.mkdir(self.mu)
        self.s.give_to_web_user(self.mu)
        for text in ("<?php // mine", "no PHP", ""):
            with open(self.file, "w") as f:
                f.write(text)
            self.assertEqual(self.state(), "not ours")
            for command in ("install", "remove"):
                self.call("companion", command, "--from", self.source,
                          code=CONFIG)
                self.assertIn("not the companion plugin", self.stderr)
            with open(self.file) as f:
                self.assertEqual(f.read(), text)

    def test_it_is_removed(self):
        self.companion("install")
        self.assertEqual(self.companion("remove")["state"], "removed")
        self.assertEqual(os.listdir(self.mu), [])
        self.assertEqual(self.companion("remove")["state"],
                         "was not installed")
        # Also where this program's own copy is gone.
        self.json("companion", "remove", "--from", self.s.path("none.php"))

    def test_another_directory_is_taken(self):
        to = self.s.path("mu")
        os.mkdir(to)
        self.s.give_to_web_user(to)
        self.companion("install", "--to", to)
        self.assertEqual(os.listdir(to), [NAME])
        self.assertEqual(self.state("--to", to), "installed")
        self.assertEqual(self.state(), "not installed")
        self.call("companion", "install", "--from", self.source, "--to",
                  "relative", code=CONFIG)
        self.call("companion", "install", "--from", self.source, "--to",
                  self.s.path("no", "such"), code=CONFIG)
        self.call("companion", "install", "--from",
                  os.path.join(REPO, "README.md"), code=CONFIG)
        self.call("companion", "install", "--from", self.s.worker_script(),
                  code=CONFIG)
        self.call("companion", "install", "more", code=USAGE)

    def test_the_directory_is_where_the_site_says(self):
        self.s.write_config("define( 'WPMU_PLUGIN_DIR', '%s' );" %
                            self.s.path("must"))
        self.addCleanup(self.s.write_config, self.s.config_extra)
        os.mkdir(self.s.path("must"))
        self.s.give_to_web_user(self.s.path("must"))
        self.assertEqual(self.companion("install")["file"],
                         self.s.path("must", NAME))
        self.assertEqual(self.s.wp_eval(
            "echo defined( 'WPCRON_FCGI_COMPANION' ) ? 1 : 0;"), "1")
