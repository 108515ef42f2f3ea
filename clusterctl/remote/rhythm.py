"""When a supervisor samples, and what it does about sources that are late."""

import os
import select
import time
import traceback

from gpus import Gpus
from sampler import FILES, KERNEL, SLOW_FILES, Files, KernelLog, Sampler
from slow import MODULES_S, POWER_S, Slow

GPU_S = 5.0  # of patience with NVML, a sample
JUMP_S = 0.5  # of the wall clock against the monotonic one; chrony slews 0.005 s in 10 s at most


class Rhythm:
    """`tell` journals a record; `wall` is the clock that people read."""

    def __init__(self, plan, since_s, tell, poll, wall, launch_mark):
        self.tell, self.poll, self.wall = tell, poll, wall
        self.every_s = float(plan.get("every_s", 10.0))
        self.due = time.monotonic()
        self.offset_s = wall() - self.due
        self.gpus = Gpus(*launch_mark, plan.get("nvml", True))
        self.gpu_pipe = None
        self.sampling = False
        files = Files(plan.get("files", FILES), plan.get("slow_files", SLOW_FILES))
        log = KernelLog(plan.get("kernel", KERNEL), since_s)
        pauses = (plan.get("power_s", POWER_S), plan.get("modules_s", MODULES_S))
        self.slow = Slow(*launch_mark, plan.get("slow", True), pauses)
        self.sampler = Sampler(files, log, self.gpus, self.slow)

    def again(self):
        """The next sample is a full one."""
        self.sampler.again()

    def tick(self, now):
        if self.gpus.deadline is not None and now >= self.gpus.deadline:
            self.lose_gpus("timeout")
        if self.slow.is_late(now):
            self.poll.unregister(self.slow.lost("late"))
        if now >= self.due and not self.sampling:
            self.due = now + self.every_s - (now - self.due) % self.every_s
            started = self.gpus.start(now)
            if started is not None:
                self.gpu_pipe = started
                self.poll.register(started, select.POLLIN)
            speaks = self.slow.start(now)
            if speaks is not None:
                self.poll.register(speaks, select.POLLIN)
            self.sampling = True
            self.sampler.begin(now, now + min(GPU_S, self.every_s / 2))
        if self.sampling and not self.sampler.waits():
            self.sampling = False
            try:
                self.take(now)
            except Exception:
                # A source that nobody foresaw must not end three days of load.
                self.tell("bug", droppable=True, text=traceback.format_exc())
                self.sampler.again()

    def take(self, now):
        record, kernel = self.sampler.take(now)
        offset_s = self.wall() - time.monotonic()
        jump_s, self.offset_s = offset_s - self.offset_s, offset_s
        if abs(jump_s) > JUMP_S:
            self.tell("clock", jump_s=round(jump_s, 3), w=round(self.wall(), 3))
        if record["k"] == "full":
            record["w"] = round(self.wall(), 3)
        if kernel:
            self.tell(kernel.pop("k"), **kernel)
        if self.tell(record.pop("k"), droppable=True, **record) is None:
            self.sampler.again()

    def hear(self, descriptor):
        """Whether this was for us."""
        if descriptor == self.slow.pipe:
            if not self.slow.heard():
                self.poll.unregister(self.slow.lost("ended"))
            return True
        if descriptor != self.gpu_pipe:
            return False
        try:
            chunk = os.read(self.gpu_pipe, 1 << 20)
        except OSError:
            chunk = b""
        try:
            if chunk:
                self.gpus.heard(chunk)
            else:
                self.lose_gpus("ended")
        except (ValueError, KeyError, IndexError):
            self.lose_gpus("unreadable")
        return True

    def lose_gpus(self, why):
        self.poll.unregister(self.gpus.lost(why))
        self.gpu_pipe = None

    def next_s(self):
        return self.due if self.gpus.deadline is None else min(self.due, self.gpus.deadline)

    def close(self):
        for source in (self.gpus, self.slow):
            if source.process is not None:
                source.process.kill()
