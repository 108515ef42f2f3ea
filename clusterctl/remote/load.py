"""What a campaign's node does one after the other: steps that were asked for, and the soak."""

import select
import time

from steps import TERM_S, Step

AGAIN_S = (1.0, 60.0)  # before a soak step that failed is tried once more


class Load:
    """`tell` journals a record.  One step at a time: what is to run at once is one script."""

    def __init__(self, campaign, tell, poll, groups, nice):
        self.campaign, self.tell, self.poll = campaign, tell, poll
        self.groups, self.nice = groups, nice
        self.sources = {}
        self.queue, self.step = [], None
        self.soak, self.soak_id, self.cycle = [], "", 0
        self.soak_at, self.pause_s = 0.0, AGAIN_S[0]

    def cease(self, why, grace_s=None):
        """All of it stops, and does not come back by itself."""
        for identity, spec in self.queue:
            self.tell("dropped", step=identity, name=spec["name"], why=why)
        self.queue, self.soak = [], []
        self.stop(why, grace_s)

    def stop(self, why, grace_s=None):
        if self.step:
            own_s = float(self.step.spec.get("term_s", TERM_S))
            self.step.stop(why, own_s if grace_s is None else min(own_s, grace_s))

    def drop(self, identity, why):
        """A step that waits, or runs, by its id; whether there was one."""
        if self.step and self.step.identity == identity:
            self.stop(why)
            return True
        for waiting in self.queue:
            if waiting[0] == identity:
                self.queue.remove(waiting)
                self.tell("dropped", step=identity, name=waiting[1]["name"], why=why)
                return True
        return False

    def idle(self):
        return not self.step and not self.queue

    def begin_next(self, now):
        if self.step:
            return
        if self.queue:
            (identity, spec), soak = self.queue.pop(0), False
        elif self.soak and now >= self.soak_at:
            spec, soak = self.soak[self.cycle % len(self.soak)], True
            self.cycle += 1
            identity = "%s/%d" % (self.soak_id, self.cycle)
        else:
            return
        step = Step(identity, spec)
        load = bool(spec.get("load", True))
        timeout_s = spec["timeout_s"]
        name = spec["name"]
        self.tell("begin", step=identity, name=name, load=load, soak=soak, timeout_s=timeout_s)
        try:
            step.begin(self.campaign, self.sources, self.groups, self.nice)
        except (OSError, ValueError) as error:
            step.ended, step.code = step.began, 126
            self.tell("end", **dict(step.told(), err="cannot be started: %s" % error))
            self.pace(now, failed=soak)
            return
        self.step = step
        for descriptor in step.pipes:
            self.poll.register(descriptor, select.POLLIN)

    def hear(self, descriptor):
        if not self.step.read(descriptor) and descriptor not in self.step.pipes:
            self.poll.unregister(descriptor)

    def tick(self, now):
        step = self.step
        if not step:
            return
        before = set(step.pipes)
        ended = step.tick(self.campaign, now)
        for descriptor in before - set(step.pipes):
            self.poll.unregister(descriptor)
        if ended:
            self.tell("end", **step.told())
            self.step = None
            self.pace(now, failed="/" in step.identity and step.code != 0)

    def pace(self, now, *, failed):
        """A step that fails at once must not keep the node busy with starting it."""
        self.pause_s = min(2 * self.pause_s, AGAIN_S[1]) if failed else AGAIN_S[0]
        self.soak_at = now + self.pause_s if failed else now

    def next_s(self, now):
        """When there is something to do here."""
        if self.step and self.step.ended is not None:
            return now + 0.05  # what it left behind is being killed
        if self.step:
            return self.step.patience
        return self.soak_at if self.soak else now + 3600.0

    def state(self):
        if not self.step:
            return None
        return {
            "id": self.step.identity,
            "name": self.step.spec["name"],
            "running_s": round(time.monotonic() - self.step.began, 1),
            "why": self.step.why,
        }
