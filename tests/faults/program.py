"""A program that uses a pool, to be killed or to fork: ``python -m tests.faults.program``.

Its arguments are a name of SUBJECTS and one of ACTIONS; the settings come as a line of JSON. It
says ``ready`` when it is at work.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from itertools import count

from tests.faults.subjects import SUBJECTS, Borrow

THREADS = 4
QUERY = "SELECT pg_sleep(20) AS lives_on"


def query(borrow: Borrow) -> None:
    """Run a long query in a thread, until a signal comes; then end as a server program would."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    threading.Thread(target=ask, args=(borrow, QUERY), daemon=True).start()
    say("ready")
    while True:
        time.sleep(60)


def fork(borrow: Borrow, children: int = 30) -> None:
    """Fork under load: each process must read its own answers. Say how many did not, and why."""
    bad = ask(borrow, "SELECT 'first'")
    stopping = threading.Event()

    def work() -> None:
        for serial in count():
            if stopping.is_set():
                return
            bad.extend(own(borrow, f"{threading.get_ident()}-{serial}"))

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    codes = [child(borrow) for _ in range(children)]
    stopping.set()
    for thread in threads:
        thread.join()
    say(json.dumps(bad + [f"a child ended with {code}" for code in codes if code]))


def few_forks(borrow: Borrow) -> None:
    """Do the same with a few children."""
    fork(borrow, 4)


ACTIONS = {"query": query, "fork": fork, "few_forks": few_forks}


def main(subject: str, action: str) -> None:
    """Open the pool, and do what is asked for."""
    settings = json.loads(sys.stdin.readline())
    with SUBJECTS[subject](settings) as borrow:
        ACTIONS[action](borrow)


def say(line: str) -> None:
    """Tell whoever started the program."""
    print(line, flush=True)  # noqa: T201 # its way to speak


def own(borrow: Borrow, word: str) -> list[str]:
    """Ask a question that nobody else asks; return what is wrong with the answer."""
    return ask(borrow, f"SELECT '{word}'", word)


def ask(borrow: Borrow, statement: str, answer: str = "") -> list[str]:
    """Run a statement; return what is wrong with its answer, or its error."""
    try:
        with borrow() as session:
            row = session.execute(statement).fetchone()
    except Exception as error:  # noqa: BLE001  # whatever it is, it is counted
        return [f"{type(error).__name__}: {error}"]
    return [f"{answer} was answered with {row}"] if answer and row != (answer,) else []


def child(borrow: Borrow) -> int:
    """Fork; return how many of the child's answers were bad, or a signal's number where it hung."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        os._exit(sum(len(own(borrow, f"{os.getpid()}-{serial}")) for serial in range(5)))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
