"""Run a command against a private MariaDB:  with_db.py COMMAND [ARGUMENT...]

WPCRON_DB_SOCKET, WPCRON_DB_HOST, WPCRON_DB_PORT, WPCRON_DB_USER,
WPCRON_DB_PASSWORD and WPCRON_DB_NAME tell the command where it is. The
database is empty but for Action Scheduler's tables (prefix wp_).
"""

import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
from stack import DB_PASSWORD, Stack  # noqa: E402


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with Stack() as s:
        s.start_mariadb()
        s.install_action_scheduler()
        env = s.sanitizer_env()
        env.update(
            WPCRON_DB_SOCKET=s.db_socket, WPCRON_DB_HOST="127.0.0.1",
            WPCRON_DB_PORT=str(s.db_port), WPCRON_DB_USER="wp",
            WPCRON_DB_PASSWORD=DB_PASSWORD, WPCRON_DB_NAME=s.db_name)
        return subprocess.call(sys.argv[1:], env=env)


if __name__ == "__main__":
    sys.exit(main())
