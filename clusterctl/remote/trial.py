"""What the scripts of trials share: rows with an end mark, and workers whose loss is seen.

It travels beside a script that names it in its question's `modules`.
"""

import os
import select
import signal
import sys
import time

GRACE_S = 2.0  # for a worker to die that took too long

said = 0


def say(*cells):
    global said
    said += 1
    print("\t".join(str(cell).replace("\t", " ").replace("\n", " ") for cell in cells))
    sys.stdout.flush()


def tell(kind, **cells):
    """A row `kind` of name=value cells; None is what we have nothing to report of."""
    say(kind, *("%s=%s" % (name, spell(cells[name])) for name in sorted(cells)))


def spell(value):
    if value is None:
        return "N/A"
    return "%.6g" % value if isinstance(value, float) else value


def trouble(kind, detail, *part):
    say("trouble", kind, " ".join(str(detail).split()), *part)


def end():
    print("end\t%d" % said)


def crew(work, tasks, started=lambda: None, patience_s=None):
    """`work(task)`, a row of whole numbers, of every task in a process of its own, side by side.

    What comes back is task -> row.  A worker that was killed, broke or could not be started has
    none, whatever it had done until then, nor has one that takes longer than `patience_s`.
    `started` is called here when all of them run.
    """
    reader, writer = os.pipe()
    children = {}
    for number, task in enumerate(tasks):
        try:
            child = os.fork()
        except OSError as error:
            sys.stderr.write("cannot start a worker: %s\n" % error)
            break
        if child == 0:
            os.close(reader)
            be_worker(work, task, number, writer)
        children[child] = number
    os.close(writer)
    started()
    until = None if patience_s is None else time.monotonic() + patience_s
    lines = heard(reader, until).split("\n")[:-1]
    told = [[int(cell) for cell in line.split()] for line in lines]
    broken = {number for child, number in children.items() if ended(child, until)}
    return {tasks[number]: row for number, *row in told if number not in broken}


def heard(reader, until):
    """What all workers wrote until they ended, or until then."""
    parts = [b""]
    while True:
        left = None if until is None else max(0.0, until - time.monotonic())
        part = os.read(reader, 65536) if select.select([reader], [], [], left)[0] else b""
        if not part:
            os.close(reader)
            return b"".join(parts).decode()
        parts.append(part)


def ended(child, until):
    """Its exit status; not 0 where it had to be stopped, or cannot be: a driver may hold it."""
    if until is None:
        return os.waitpid(child, 0)[1]
    while time.monotonic() < until + GRACE_S:
        gone, status = os.waitpid(child, os.WNOHANG)
        if gone:
            return status
        if time.monotonic() >= until:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    return -1


def be_worker(work, task, number, writer):
    """Does not return: nothing that the parent still has to do may be done twice."""
    code = 1
    try:
        row = (number, *work(task))
        # One write below PIPE_BUF: the lines of workers do not mix.
        os.write(writer, (" ".join(str(cell) for cell in row) + "\n").encode())
        code = 0
    except BaseException as error:
        sys.stderr.write("worker %d: %s: %s\n" % (number, type(error).__name__, error))
        sys.stderr.flush()
    finally:
        os._exit(code)
