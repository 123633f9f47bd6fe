"""Kill a collect and an upload at every SQL statement, once each, and print what was found as JSON.

Forks a child for each kill, so it runs in a process of its own that has no threads. It models the death
of a process; what the operating system has in its cache survives. The power-loss tests are another matter.
"""

import json
import os
import signal
import sys
from pathlib import Path

from tests.crash import workload
from tests.support.agent import Clock, opened


def killed_at(folder: Path, statement: int | None) -> bool:
    """Run the workload in a child that kills itself before the given statement; whether it was killed."""
    child = os.fork()
    if child == 0:
        try:
            with opened(folder / "outbox.db", Clock()) as agent:
                count = 0

                def trace(_cursor: object, _sql: str, _bindings: object) -> bool:
                    nonlocal count
                    count += 1
                    if count == statement:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return True

                agent.database.connection.exec_trace = trace
                workload.run(folder, agent)
        except BaseException as error:  # noqa: BLE001 - the child must end here whatever happens
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    if os.WEXITSTATUS(status):
        raise RuntimeError(f"statement {statement}: the child failed")
    return False


def main(root: Path) -> None:
    """Kill once at every statement; after each, run to the end and verify."""
    failures: list[str] = []
    kills, twice, statement = 0, 0, 1
    while True:
        folder = root / str(statement)
        workload.prepare(folder)
        if not killed_at(folder, statement):
            break
        kills += 1
        # the recovery is killed too, somewhere else: a crash in the recovery is recovered from as well
        twice += killed_at(folder, 1 + statement * 7 % 23)
        killed_at(folder, None)
        failures += [f"statement {statement}: {wrong}" for wrong in workload.verify(folder)]
        statement += 1
    failures += [f"no kill: {wrong}" for wrong in workload.verify(root / str(statement))]
    print(json.dumps({"kills": kills, "kills_in_recovery": twice, "failures": failures}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
