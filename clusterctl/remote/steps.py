"""One step of a campaign: its processes, what they print, and how all of them end.

A step's leader has a session of its own and dies with the supervisor; what it starts is found by
its process group, its control group and a mark in its environment, whichever it keeps.
"""

import os
import signal
import subprocess
import time

import apart
import cgroups

MARK = "CLUSTERCTL_STEP"
CAP_BYTES = 256 << 10  # of each stream, unless the step says otherwise
FLOOD_BYTES = 64 << 20  # reading on, only to throw away, takes the CPU from the load
TERM_S = 10.0
KILL_S = 10.0  # from SIGKILL to giving up on it: a process in D state does not die
OOM_FIRST = 1000  # the kernel takes the load, not what watches over it


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (OSError, IndexError):
        return False


def marked(campaign, mark=MARK):
    """Processes that were started as part of the campaign's steps, or bear another mark of it."""
    wanted = (mark + "=" + campaign).encode()
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/" + name + "/environ", "rb") as file:
                    if wanted in file.read().split(b"\0"):
                        found.add(int(name))
            except OSError:
                continue
    return found - {os.getpid()}


def left_of(campaign):
    """Whoever of its steps lives."""
    found = marked(campaign) | cgroups.members(campaign, "steps")
    return {pid for pid in found - {os.getpid()} if alive(pid)}


def kill(pids, number=signal.SIGKILL):
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            continue


def sweep(campaign, patience_s=KILL_S):
    """Kill all of its steps, and wait for it; whoever cannot be killed is returned."""
    end = time.monotonic() + patience_s
    while True:
        left = left_of(campaign)
        if not left or time.monotonic() > end:
            return left
        kill(left)
        time.sleep(0.05)


class Step:
    """`spec`: see supervisor.py.  Nothing here blocks."""

    def __init__(self, identity, spec):
        self.identity, self.spec = identity, spec
        self.process = None
        self.pipes = {}  # descriptor -> 0 for stdout, 1 for stderr
        self.chunks, self.sizes = ([], []), [0, 0]
        self.began = self.ended = None
        self.patience = self.then = None
        self.code = None
        self.why = "exit"
        self.survivors = 0

    def begin(self, campaign, sources, groups, nice):
        """Raises OSError when nothing can be started."""
        spec = self.spec
        more = {str(name): str(text) for name, text in (spec.get("env") or {}).items()}
        more[MARK] = campaign
        first = {"die_with_parent": True, "oom_score_adj": OOM_FIRST, "cgroups": groups}
        first["nice"] = spec.get("nice", nice)
        names = [spec["script"], *spec.get("modules", ())] if spec.get("script") else ()
        self.began = time.monotonic()
        self.patience, self.then = self.began + float(spec["timeout_s"]), "timeout"
        self.process = apart.launch(
            (campaign, spec["name"]),
            sources={name: sources[name] for name in names},
            files={name: sources[name] for name in spec.get("files", ())},
            script=spec.get("script", ""),
            argv=[str(word) for word in spec.get("argv", ())],
            env=apart.environment(**more),
            first=first,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        for number, pipe in enumerate((self.process.stdout, self.process.stderr)):
            os.set_blocking(pipe.fileno(), False)
            self.pipes[pipe.fileno()] = number

    def read(self, descriptor):
        """Whether there may be more."""
        number = self.pipes[descriptor]
        try:
            chunk = os.read(descriptor, 65536)
        except BlockingIOError:
            return False
        except OSError:
            chunk = b""
        if not chunk:
            del self.pipes[descriptor]
            return False
        room = self.cap() - self.sizes[number]
        if room > 0:
            self.chunks[number].append(chunk[:room])
        self.sizes[number] += len(chunk)
        if self.sizes[number] > FLOOD_BYTES and self.why == "exit":
            self.stop("flood", 0.0)
        return True

    def cap(self):
        return self.spec.get("cap_bytes", CAP_BYTES)

    def stop(self, why, grace_s=TERM_S):
        """SIGTERM now, SIGKILL to all after `grace_s`; a second call can only hasten it."""
        now = time.monotonic()
        if self.why == "exit":
            self.why = why
            self.signal(signal.SIGTERM)
        elif self.then != "kill" or self.patience <= now + grace_s:
            return
        self.patience, self.then = now + grace_s, "kill"

    def signal(self, number):
        for send in (os.killpg, os.kill):  # the first fails where it has not come to setsid yet
            try:
                send(self.process.pid, number)
                return
            except OSError:
                continue

    def tick(self, campaign, now):
        """Whether all of it has ended."""
        if self.code is None and self.patience is not None and self.patience <= now:
            if self.then == "timeout":
                self.stop("timeout", self.spec.get("term_s", TERM_S))
            elif self.then == "kill":
                self.signal(signal.SIGKILL)
                kill(left_of(campaign))
                self.patience, self.then = now + KILL_S, "give up"
            else:  # it is in D state; it will die when the kernel lets it
                self.survivors = len(left_of(campaign)) or 1
                return self.finish(now)
        if self.code is None and not self.leader_ended():
            return False
        if self.ended is None:
            self.ended = now
            self.patience = now + KILL_S
        for descriptor in list(self.pipes):
            while descriptor in self.pipes and self.read(descriptor):
                pass
        left = left_of(campaign)
        if left and now < self.patience:
            kill(left)
            return False
        self.survivors = len(left)
        return self.finish(now)

    def leader_ended(self):
        """It stays a zombie until `finish`: its group id stays its own."""
        seen = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if seen is None:
            return False
        # CLD_EXITED is 1; else it was a signal
        self.code = seen.si_status if seen.si_code == 1 else -seen.si_status
        return True

    def finish(self, now):
        self.ended = self.ended or now
        self.signal(signal.SIGKILL)  # who left the control group and the mark, but not the group
        self.process.poll()
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()
        self.pipes.clear()
        return True

    def told(self):
        """Of the journal's record of its end: exit code as in `Answer`, output as text."""
        texts = [b"".join(chunks).decode("utf-8", "replace") for chunks in self.chunks]
        found = {
            "step": self.identity,
            "name": self.spec["name"],
            "code": self.code,
            "why": self.why,
            "s": round(self.ended - self.began, 3),
            "out": texts[0],
            "err": texts[1],
        }
        if max(self.sizes) > self.cap():  # `out` or `err` is only the beginning
            found["out_bytes"], found["err_bytes"] = self.sizes
        if self.survivors:
            found["survivors"] = self.survivors
        return found
