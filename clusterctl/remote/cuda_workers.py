"""Processes that say things in JSON while they work, watched together, and surely ended."""

import ctypes
import json
import os
import select
import signal
import sys
import time

DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
KILL_S = 5.0  # for a process to die: a driver may hold it


class Worker:
    """`work(say)` in a process of its own."""

    def __init__(self, name, work):
        self.name = name
        self.rest = b""
        self.pipe, end = os.pipe()
        parent = os.getpid()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.pipe)
            be(work, end, parent)
        os.close(end)

    def read(self):
        """What it said since; None once it has ended."""
        part = os.read(self.pipe, 1 << 16)
        if not part:
            return None
        *lines, self.rest = (self.rest + part).split(b"\n")
        return [json.loads(line.decode()) for line in lines]

    def end(self):
        """Its exit status, made to die if need be; None where it would not."""
        os.close(self.pipe)
        until = time.monotonic() + KILL_S
        while time.monotonic() < until:
            gone, status = os.waitpid(self.pid, os.WNOHANG)
            if gone:
                return status
            os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.01)
        return None


def be(work, end, parent):
    """Does not return."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if os.getppid() == parent:

            def say(what):
                os.write(end, json.dumps(what).encode() + b"\n")

            work(say)
            code = 0
    except BaseException as error:
        sys.stderr.write("%s: %s\n" % (type(error).__name__, error))
        sys.stderr.flush()
    finally:
        os._exit(code)


def listen(workers, until, aside=()):
    """(worker, what it said), and (worker, None) when it has ended, until all of them have.

    At `until` the rest is left; the caller ends them.  What `aside` says comes too, and nobody
    waits for those.
    """
    running = {one.pipe: one for one in workers}
    others = {one.pipe: one for one in aside}
    while running and time.monotonic() < until:
        pipes = list(running) + list(others)
        for pipe in select.select(pipes, [], [], max(0.0, until - time.monotonic()))[0]:
            one = running.get(pipe) or others[pipe]
            said = one.read()
            for word in said or ():
                yield one, word
            if said is None:
                running.pop(pipe, None)
                others.pop(pipe, None)
                yield one, None
