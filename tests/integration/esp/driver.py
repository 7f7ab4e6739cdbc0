"""Calls of a provider through build/VARIANT/drivers/esp, which is described
in tests/drivers/esp.c."""

import json
import os
import subprocess

REPO = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.dirname(os.path.abspath(__file__)))))


def program():
    return os.environ.get("WPCRON_ESP_DRIVER") or os.path.join(REPO, "build", os.environ.get("VARIANT", "release"),
                        "drivers", "esp")


def run(provider, account, steps, host=None, timeout=120, check=True):
    """The driver's answer. An account in which a provider cannot be made
    gives {"error", "rc"}."""
    p = subprocess.run(
        [program()], input=json.dumps({
            "provider": provider, "account": account, "host": host or {},
            "steps": steps}),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        timeout=timeout, check=False)
    if check and p.returncode != 0:
        raise AssertionError("the driver ended with %d: %s" % (
            p.returncode, p.stderr[-4000:]))
    answer = json.loads(p.stdout)
    answer["stderr"] = p.stderr
    return answer


def contact(email, fields=None, **more):
    c = {"email": email, "fields": [[k, v] for k, v in (fields or {}).items()]}
    c.update(more)
    return c
