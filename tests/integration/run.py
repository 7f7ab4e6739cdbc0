"""Runs the integration tests: one line a test, one line of totals.

    run.py [--pattern 'test_*.py'] [--timeout S] [--tsan] [ID ...]

An ID is file[.Class[.test]] without ".py". Environment: see stack.py.
--tsan takes only the files that say `TSAN = True`: those whose subject is
concurrency in the daemon, at a size that suits a build ten times slower.
"""

import argparse
import glob
import importlib
import os
import signal
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True
import stack  # noqa: E402


class Result(unittest.TestResult):
    def __init__(self, timeout):
        super().__init__()
        self.timeout = timeout
        self.passed = 0
        self.begun = 0.0

    def startTest(self, test):
        super().startTest(test)
        self.begun = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, self.timeout)

    def stopTest(self, test):
        signal.setitimer(signal.ITIMER_REAL, 0)
        super().stopTest(test)

    def line(self, word, test, more=""):
        print("%-6s %s (%.1f s)%s" % (
            word, test.id(), time.monotonic() - (self.begun or
                                                 time.monotonic()), more),
              flush=True)

    def addSuccess(self, test):
        self.passed += 1
        self.line("ok", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.line("SKIP", test, ": " + reason)

    def broken(self, test, err):
        self.line("FAILED", test)
        print(self._exc_info_to_string(err, test), flush=True)
        for s in stack.open_stacks():
            s.dump_logs(sys.stdout)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.broken(test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self.broken(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.broken(subtest, err)


def on_alarm(_number, _frame):
    raise TimeoutError("the test took too long")


def load(patterns, ids, tsan):
    loader = unittest.TestLoader()
    suite = unittest.TestSuite()
    if ids:
        for name in ids:
            suite.addTests(loader.loadTestsFromName(name.replace(".py", "")))
    else:
        for path in sorted(glob.glob(os.path.join(HERE, patterns))):
            module = importlib.import_module(os.path.basename(path)[:-3])
            if not tsan or getattr(module, "TSAN", False):
                suite.addTests(loader.loadTestsFromModule(module))
    for error in loader.errors:
        print(error, flush=True)
    return suite


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pattern", default="test_*.py")
    parser.add_argument("--timeout", type=float, default=300)
    parser.add_argument("--tsan", action="store_true")
    parser.add_argument("ids", nargs="*")
    options = parser.parse_args()
    signal.signal(signal.SIGALRM, on_alarm)
    result = Result(options.timeout)
    load(options.pattern, options.ids, options.tsan).run(result)
    stack.close_all()
    failed = len(result.failures) + len(result.errors)
    if result.skipped:
        print("%d skipped, each named above" % len(result.skipped))
    print("integration: %d passed, %d failed" % (result.passed, failed))
    return 0 if failed == 0 and result.passed + len(result.skipped) else 1


if __name__ == "__main__":
    sys.exit(main())
