"""A sibling of the supervisor: it ends the steps should that be killed, or hang past its deadline.

It holds the campaign's lock until it has.  Argument: campaign, folder, the descriptor of a pipe
that closes with the supervisor ("q" on it: all is well), its process id, and how many seconds it
may live, as JSON.
"""

import json
import os
import select
import signal
import sys
import time

import cgroups
from journal import Journal, encode
from steps import sweep

GRACE_S = 15.0  # for the lines that the supervisor's last journal entry may still take


def note(folder, kind, **cells):
    record = {"k": kind, "m": round(time.monotonic(), 3), "w": round(time.time(), 3)}
    try:
        journal = Journal(os.path.join(folder, "journal"))
        journal.put_down(encode(journal.sequence, dict(record, **cells)))
    except OSError:
        pass  # full, or gone; the next fetch sees by itself that nobody is there


def main(campaign, folder, lifeline, supervisor, left_s):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    poll = select.poll()
    poll.register(lifeline, select.POLLIN)
    end = time.monotonic() + left_s
    heard = []
    while not heard and time.monotonic() < end:  # poll counts to 25 days
        heard = poll.poll(min(end - time.monotonic(), 86400.0) * 1000)
    said = os.read(lifeline, 1) if heard else b""
    if said != b"q":
        why = "killed" if heard else "hung past its deadline"
        try:
            os.kill(supervisor, signal.SIGKILL)
        except OSError:
            pass
        left = sweep(campaign)
        note(folder, "orphaned", why=why, survivors=len(left))
    else:
        poll.poll(GRACE_S * 1000)
    cgroups.leave(campaign, "supervisor")
    cgroups.remove(campaign)


if __name__ == "__main__":
    main(*json.loads(sys.argv[1]))
