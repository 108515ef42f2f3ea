"""What the scripts of trials share: rows with an end mark, and workers whose loss is seen.

It travels beside a script that names it in its question's `modules`.
"""

import os
import sys

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


def trouble(kind, detail):
    say("trouble", kind, " ".join(str(detail).split()))


def end():
    print("end\t%d" % said)


def crew(work, tasks, started=lambda: None):
    """`work(task)`, a row of whole numbers, of every task in a process of its own, side by side.

    What comes back is task -> row.  A worker that was killed, broke or could not be started has
    none, whatever it had done until then.  `started` is called here when all of them run.
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
    with os.fdopen(reader) as lines:
        told = [[int(cell) for cell in line.split()] for line in lines]
    broken = {number for child, number in children.items() if os.waitpid(child, 0)[1]}
    return {tasks[number]: row for number, *row in told if number not in broken}


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
