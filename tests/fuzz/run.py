"""Runs the fuzz targets, two at a time:  run.py [TARGET ...]

FUZZ_SECONDS (60) each. The corpus grows in build/fuzz/corpus/TARGET, from the
seeds in tests/fuzz/seeds/TARGET. What crashed a target is left in
build/fuzz/crash/ and its reproduction is printed; mend it and make it a row
of the unit tests.
"""

import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BUILD = os.path.join(REPO, "build", "fuzz")
SECONDS = int(os.environ.get("FUZZ_SECONDS", "60"))


def run(name):
    """(name, status, seconds, units executed, output)."""
    corpus = os.path.join(BUILD, "corpus", name)
    crash = os.path.join(BUILD, "crash")
    seeds = os.path.join(REPO, "tests", "fuzz", "seeds", name)
    words = os.path.join(REPO, "tests", "fuzz", name + ".dict")
    os.makedirs(corpus, exist_ok=True)
    os.makedirs(crash, exist_ok=True)
    argv = [os.path.join(BUILD, name), "-max_total_time=%d" % SECONDS,
            "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1",
            "-artifact_prefix=%s/%s-" % (crash, name), corpus]
    if os.path.isdir(seeds):
        argv.append(seeds)
    if os.path.exists(words):
        argv.append("-dict=" + words)
    begun = time.monotonic()
    try:
        r = subprocess.run(argv, stdin=subprocess.DEVNULL, text=True,
                           errors="replace", stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=SECONDS + 120)
    except (OSError, subprocess.TimeoutExpired) as e:
        return (name, 1, time.monotonic() - begun, 0, str(e))
    units = re.search(r"number_of_executed_units: (\d+)", r.stdout)
    return (name, r.returncode, time.monotonic() - begun,
            int(units.group(1)) if units else 0, r.stdout)


def main():
    names = sys.argv[1:] or sorted(
        os.path.basename(p)[:-2] for p in glob.glob(
            os.path.join(REPO, "tests", "fuzz", "fuzz_*.c")))
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for name, status, took, units, text in pool.map(run, names):
            # A target that executed nothing has shown nothing.
            good = status == 0 and units > 0
            failed += not good
            print("%-6s %s: %d inputs in %.0f s" % (
                "ok" if good else "FAILED", name, units, took), flush=True)
            if not good:
                words = [line for line in text.splitlines()
                         if not re.match(r"#\d|stat::|INFO:", line)]
                print("\n".join(words[-60:]), flush=True)
    print("fuzz: %d passed, %d failed" % (len(names) - failed, failed))
    return 1 if failed or not names else 0


if __name__ == "__main__":
    sys.exit(main())
