"""The daemon of a campaign on its node: runs steps, samples, keeps its lease and its deadline.

Argument: a JSON object of campaign, folder, plan, and the descriptors of the lock and of a pipe on
which it says "ok" or why not.  The plan, every key optional but `hard_s`:

    every_s 10      between samples
    hard_s          from now until everything stops, whatever happens
    late_s 60       past that, until the watcher believes that the supervisor hangs, and kills it
    lease_s 3600    without a word from the controller, until the lease is lost
    policy "stop"   what a lost lease means for the load: "stop", or "run_on" to the deadline
    files           patterns of files to read at every sample
    slow_files      ... and in turn, each at every sixth
    kernel          a regular expression for kernel lines to keep
    nvml true       sample GPUs
    slow true       sample what takes its time, see sample_slow.py: power every `power_s` 60,
                    modules every `modules_s` 600
    nice 10         of steps
    sources {}      script, module and file name -> text, for steps; as a Question's

Orders come as {"do": …} on a socket in the folder, one a connection; every one renews the lease.
They are obeyed of one controller at a time: "leader" beside "do" is {"id", "host", "pid", "since",
"take_over"}, and while the lease that another id renewed holds, the order is refused with that
leader's words, unless "take_over" is true.

    {"do": "state"}                                          the reply is the state alone
    {"do": "run", "id", "step", "sources": {}}               after what runs and waits already
    {"do": "stop_step", "id", "step": an id; none: whatever runs}
    {"do": "soak", "id", "on": true, "steps": […]}           again and again, in turn, when nothing
                                                             else is to run; off stops it
    {"do": "drain", "id"}        what was accepted still runs, no soak step begins, then it ends
    {"do": "stop", "now": false}                             the load stops, then it ends

A step: {"name", "timeout_s", "script" and "argv", or "argv" alone as a command; "modules": [],
"files": [], "env": {}, "nice", "cap_bytes" of each stream, "term_s" from SIGTERM to SIGKILL,
"load": true}.  `load` false: it burns nothing, and its time does not count.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback

import apart
import cgroups
import places
from desk import Desk
from journal import Journal, whole
from load import Load
from orders import Refused, obey, told
from rhythm import Rhythm

MARK = "CLUSTERCTL_CAMPAIGN"
VERSION = 1
LATE_S = 60.0
FLUSH_S = 10.0
SLACK_S = 60.0  # what NTP may have put between the kernel log's clock and ours
STOP_S, NOW_S = 20.0, 1.0  # from SIGTERM to SIGKILL at most, and for who is in a hurry


class Supervisor:
    def __init__(self, order, wall=time.time):
        """`wall`: the clock that people read; it only labels.  Raises OSError."""
        self.wall, self.plan = wall, order["plan"]
        self.campaign, self.folder, self.lock = order["campaign"], order["folder"], order["lock"]
        self.began = self.renewed = time.monotonic()
        self.every_s = float(self.plan.get("every_s", 10.0))
        self.lease_s = float(self.plan.get("lease_s", 3600.0))
        self.deadline = self.began + float(self.plan["hard_s"])
        self.held, self.draining, self.ending = True, False, False
        self.leader = order.get("leader") or {}
        self.stopping = self.disk = ""
        self.accepted = set()
        self.poll = select.poll()
        self.watcher = self.lifeline = None
        self.ring_for_signals()
        self.open()

    # ------------------------------------------------------------------------- coming up

    def open(self):
        path = os.path.join(self.folder, "journal")
        self.journal = Journal(path, wake=self.ring)
        since_s = self.look_back(path)
        self.desk = Desk(os.path.join(self.folder, "control"), self.poll, self.journal, self.answer)
        plan = self.plan
        groups = cgroups.make(self.campaign, "steps")
        for place in cgroups.make(self.campaign, "supervisor"):
            apart.put(place + "/cgroup.procs", str(os.getpid()))
        apart.put("/proc/self/oom_score_adj", "-900")
        self.load = Load(self.campaign, self.tell, self.poll, groups, plan.get("nice", 10))
        self.load.sources.update(plan.get("sources") or {})
        mark = (self.campaign, MARK)
        self.rhythm = Rhythm(plan, since_s, self.tell, self.poll, self.wall, mark)
        limits = {name: plan[name] for name in ("hard_s", "policy") if name in plan}
        self.tell(
            "start",
            version=VERSION,
            campaign=self.campaign,
            boot=places.boot_id(),
            uptime_s=places.uptime_s(),
            w=round(self.wall(), 3),
            every_s=self.every_s,
            lease_s=self.lease_s,
            folder=self.folder,
            volatile=places.volatile(self.folder),
            cgroups=groups,
            python=sys.version.split()[0],
            **limits,
        )
        self.journal.start()
        self.watch()

    def look_back(self, path):
        """Since when the kernel's log is news: after a reboot, all of it; at first, none."""
        boot, last_s = "", 0.0
        for _, record in whole(path):
            if record.get("k") == "start":
                boot = record.get("boot", "")
            elif record.get("k") == "command":
                self.accepted.add(record.get("id"))
            last_s = record.get("m", last_s)
        if not boot:
            return None
        return last_s - SLACK_S if boot == places.boot_id() else 0.0

    def ring_for_signals(self):
        self.wake, self.bell = os.pipe()
        for end in (self.wake, self.bell):
            os.set_blocking(end, False)
        self.poll.register(self.wake, select.POLLIN)
        signal.set_wakeup_fd(self.bell)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # SIG_DFL would not write to the bell
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self.told_to_stop)

    def ring(self):
        try:
            os.write(self.bell, b"j")
        except OSError:
            pass  # full of rings already

    def told_to_stop(self, number, frame):
        del frame
        self.stopping = self.stopping or "signal %d" % number

    def watch(self):
        """Start the watcher, again where it was killed."""
        if self.watcher is not None and self.watcher.poll() is None:
            return
        if self.lifeline is not None:
            os.close(self.lifeline)
        ours, self.lifeline = os.pipe()
        left_s = self.deadline - time.monotonic() + float(self.plan.get("late_s", LATE_S))
        names = ("watcher", "journal", "steps", "cgroups", "places")
        try:
            self.watcher = apart.launch(
                (self.campaign, "watcher"),
                sources={name: apart.source(name) for name in names},
                script="watcher",
                argv=[json.dumps([self.campaign, self.folder, ours, os.getpid(), left_s])],
                env=apart.environment(**{MARK: self.campaign}),
                pass_fds=(ours, self.lock),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        finally:
            os.close(ours)

    # ------------------------------------------------------------------------- the journal

    def tell(self, kind, droppable=False, **cells):
        record = {"k": kind, "m": round(time.monotonic(), 3)}
        record.update(cells)
        return self.journal.add(record, droppable=droppable)

    def mind_the_disk(self):
        """A disk that takes nothing stops the load: nobody would know what it did."""
        trouble = self.journal.trouble
        if trouble == self.disk:
            return
        self.disk = trouble
        if trouble:
            self.tell("disk", error=trouble)
            self.load.cease("disk")
            return
        lost, self.journal.lost = self.journal.lost, 0
        self.tell("disk", error="", lost_samples=lost)
        self.rhythm.again()

    # ------------------------------------------------------------------------- who talks to us

    def state(self):
        now = time.monotonic()
        space = os.statvfs(self.folder)
        return {
            "alive": True,
            "campaign": self.campaign,
            "pid": os.getpid(),
            "boot": places.boot_id(),
            "uptime_s": places.uptime_s(),
            "m": round(now, 3),
            "w": round(self.wall(), 3),
            "folder": self.folder,
            "step": self.load.state(),
            "queued": [identity for identity, _ in self.load.queue],
            "soak": self.load.soak_id if self.load.soak else "",
            "draining": self.draining,
            "stopping": self.stopping,
            "lease_left_s": round(self.renewed + self.lease_s - now, 1),
            "hard_left_s": round(self.deadline - now, 1),
            "disk": self.disk,
            "disk_free_bytes": space.f_bavail * space.f_frsize,
            "unwritten": len(self.journal.queue),
            "nvml": self.rhythm.gpus.state,
        }

    def answer(self, order):
        """(reply, the record to wait for or None).  Raises Refused."""
        now = time.monotonic()
        self.heed(order.pop("leader", None), now)
        self.renew(now)
        kind = order.get("do")
        if kind == "state":
            return self.state(), None
        if kind == "stop":
            self.stopping = self.stopping or "told"
            if order.get("now"):
                self.load.cease("told", NOW_S)
            return {"ok": True}, None
        if kind not in ("run", "stop_step", "soak", "drain") or not order.get("id"):
            raise Refused("no such order")
        if order["id"] in self.accepted:
            return {"ok": True, "repeated": True}, self.journal.sequence - 1
        if self.stopping or self.draining:
            raise Refused("it is ending: " + (self.stopping or "drain"))
        if self.disk and kind != "stop_step":
            raise Refused("the journal cannot be written: " + self.disk)
        if kind == "drain":
            self.draining, self.load.soak = True, []
        else:
            obey(order, self.load, now)
        self.accepted.add(order["id"])
        return {"ok": True}, self.tell("command", **told(order))

    def heed(self, leader, now):
        """One controller at a time.  Raises Refused while another's lease holds."""
        if not leader or not leader.get("id"):
            return
        left_s = self.renewed + self.lease_s - now
        takes = leader.pop("take_over", False)
        if self.leader and leader["id"] != self.leader["id"]:
            if left_s > 0 and not takes:
                words = dict(self.leader, lapses_s=round(left_s, 1))
                raise Refused("another controller leads it", leader=words)
            self.tell("leader", before=self.leader, now=leader)
        self.leader = leader

    def renew(self, now):
        if not self.held:
            self.held = True
            self.tell("lease", held=True, after_s=round(now - self.renewed, 1))
        self.renewed = now

    # ------------------------------------------------------------------------- the loop

    def tick(self, now):
        self.mind_the_disk()
        if self.held and now - self.renewed > self.lease_s:
            self.held = False
            policy = self.plan.get("policy", "stop")
            self.tell("lease", held=False, after_s=round(now - self.renewed, 1), policy=policy)
            if policy != "run_on":
                self.load.cease("lease")
        if now >= self.deadline:
            self.stopping = self.stopping or "deadline"
        if self.draining and self.load.idle():
            self.stopping = self.stopping or "drained"
        if self.stopping and not self.ending:
            self.ending = True
            self.tell("stop", why=self.stopping)
            self.load.cease(self.stopping, STOP_S)
        self.load.tick(now)
        if not self.stopping:
            self.load.begin_next(now)
        self.rhythm.tick(now)
        self.watch()
        self.desk.tick(now)

    def until_next_s(self, now):
        moments = [self.rhythm.next_s(), self.load.next_s(now), self.deadline]
        if self.held:
            moments.append(self.renewed + self.lease_s)
        moments += [client.until for client in self.desk.clients.values()]
        return max(0.0, min(moments) - now)

    def run(self):
        while not (self.ending and self.load.step is None):
            wait_s = self.until_next_s(time.monotonic())
            for descriptor, _ in self.poll.poll(int(wait_s * 1000) + 1):
                if descriptor == self.wake:
                    os.read(self.wake, 4096)
                elif self.desk.hear(descriptor) or self.rhythm.hear(descriptor):
                    continue
                elif self.load.step and descriptor in self.load.step.pipes:
                    self.load.hear(descriptor)
            self.tick(time.monotonic())

    def close(self):
        """Nobody may find us half gone: the socket goes first, the lock with our process."""
        self.desk.close()
        self.rhythm.close()
        self.tell("finish", why=self.stopping, w=round(self.wall(), 3))
        self.journal.close(FLUSH_S)
        cgroups.leave(self.campaign, "supervisor")
        os.write(self.lifeline, b"q")


def main(order, wall=time.time):
    order = json.loads(order)
    try:
        supervisor = Supervisor(order, wall)
    except BaseException:
        os.write(order["ready"], traceback.format_exc().encode())
        raise
    os.write(order["ready"], b"ok\n")
    os.close(order["ready"])
    try:
        supervisor.run()
        supervisor.close()
    except BaseException:
        # The watcher ends the steps.
        supervisor.tell("bug", text=traceback.format_exc())
        supervisor.journal.close(FLUSH_S)
        raise


if __name__ == "__main__":
    main(*sys.argv[1:])
