"""Runs the integration tests: one line a test, one line of totals.

    run.py [--pattern 'test_*.py'] [--timeout S] [--tsan] [--jobs N] [ID ...]

An ID is file[.Class[.test]] without ".py". Environment: see stack.py.
--tsan takes only the files that say `TSAN = True`: those whose subject is
concurrency in the daemon, at a size that suits a build ten times slower.
--jobs runs so many classes side by side, each in a process and with servers
of its own; the files that say `ALONE = True` come last, one by one.
"""

import argparse
import concurrent.futures
import glob
import importlib
import os
import re
import signal
import subprocess
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
        lines = str(err[1]).split("\n")
        self.line("FAILED", test, ": %s: %s" % (
            err[0].__name__, lines[0][:300]))
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


def classes(suite):
    """IDs of the classes in a suite, in their order: (together, alone)."""
    together, alone = [], []
    for test in flat(suite):
        name = "%s.%s" % (type(test).__module__, type(test).__name__)
        module = sys.modules[type(test).__module__]
        ids = alone if getattr(module, "ALONE", False) else together
        if name not in ids:
            ids.append(name)
    return together, alone


def flat(suite):
    for x in suite:
        if isinstance(x, unittest.TestSuite):
            yield from flat(x)
        else:
            yield x


def run_class(name, timeout):
    """The (passed, failed) of one class, run in a process; prints its lines
    once it is over, so that they stay together."""
    run = subprocess.run(
        [sys.executable, os.path.abspath(__file__), "--timeout",
         str(timeout), name],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", check=False)
    lines = run.stdout.rstrip("\n").split("\n")
    totals = re.match(r"integration: (\d+) passed, (\d+) failed$", lines[-1])
    if totals:
        lines.pop()
    print("\n".join(lines), flush=True)
    if not totals:
        print("FAILED %s: its process ended with %d" % (
            name, run.returncode), flush=True)
        return 0, 1
    return int(totals[1]), int(totals[2])


def run_side_by_side(suite, options):
    passed = failed = 0
    together, alone = classes(suite)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        totals = list(pool.map(
            lambda name: run_class(name, options.timeout), together))
    totals += [run_class(name, options.timeout) for name in alone]
    for p, f in totals:
        passed += p
        failed += f
    print("integration: %d passed, %d failed" % (passed, failed))
    return 0 if failed == 0 and passed else 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pattern", default="test_*.py")
    parser.add_argument("--timeout", type=float, default=300)
    parser.add_argument("--tsan", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("ids", nargs="*")
    options = parser.parse_args()
    if options.jobs > 1:
        return run_side_by_side(
            load(options.pattern, options.ids, options.tsan), options)
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
