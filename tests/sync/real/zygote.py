"""A process that has loaded everything and forks a child per run, so that runs start at once.

In: lines of JSON on stdin: what to sync, or for which child to wait. Out: a line for each, the
child's process id or its exit code.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from datetime import datetime
from typing import Any

from backup_frames.errors import BackupFramesError
from backup_frames.lake.storage import bucket as object_store
from backup_frames.sandbox import SandboxClock
from backup_frames.sync.one_project import sync_backups


def run(order: dict[str, Any]) -> int:
    """One sync at a moment that stands, with a lease so short that a test can wait for its end."""
    defaults = object_store.ObjectStore.__init__.__kwdefaults__ or {}
    defaults["lease_s"] = order["lease_s"]
    clock = SandboxClock(datetime.fromisoformat(order["moment"]))
    try:
        sync_backups(
            lake=order["lake"],
            endpoint=order["endpoint"],
            project_id=order["project_id"],
            token=order["token"],
            clock=clock,
        )
    except BackupFramesError as error:
        with open(order["log"], "a", encoding="utf-8") as log:  # noqa: PTH123 - one line
            log.write(f"{type(error).__name__}: {error}\n")
        return error.exit_code
    except BaseException:
        with open(order["log"], "a", encoding="utf-8") as log:  # noqa: PTH123 - one line
            log.write(traceback.format_exc())
        return 1
    return 0


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            answer = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
        elif not (answer := os.fork()):
            os._exit(run(order))
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
