"""The process that reads what takes its time, seen from the supervisor, which never waits."""

import errno
import json
import os
import subprocess
import time

import apart

POWER_S, MODULES_S = 60.0, 600.0
LATE_S = 300.0  # of silence: eight modules that take 15 s each, and a BMC
AGAIN_S = 600.0


class Slow:
    """`state` is "ok", or why there are no values.  `names` and `values` belong together."""

    def __init__(self, campaign, mark, wanted, pauses=(POWER_S, MODULES_S)):
        self.campaign, self.mark, self.pauses = campaign, mark, pauses
        self.state = "starting" if wanted else "off"
        self.names, self.values = [], []
        self.process, self.pipe = None, None
        self.buffer, self.heard_at = b"", 0.0
        self.again = 0.0 if wanted else None

    def start(self, now):
        """The descriptor on which it will speak; None where nothing was started."""
        if self.again is None or now < self.again or not self.gone():
            return None
        self.again = now + AGAIN_S
        try:
            self.process = apart.launch(
                (self.campaign, "slow"),
                sources={"sample_slow": apart.source("sample_slow")},
                script="sample_slow",
                argv=[str(pause) for pause in self.pauses],
                env=apart.environment(**{self.mark: self.campaign}),
                first={"die_with_parent": True},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
            )
        except OSError as error:
            self.state = "!" + errno.errorcode.get(error.errno, str(error))
            return None
        self.pipe, self.buffer, self.heard_at = self.process.stdout.fileno(), b"", now
        return self.pipe

    def heard(self):
        """Whether there may be more; else it is to be `lost`."""
        try:
            chunk = os.read(self.pipe, 1 << 20)
            self.buffer += chunk
            *lines, self.buffer = self.buffer.split(b"\n")
            for line in lines:
                self.learn(json.loads(line.decode()))
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            return False
        return bool(chunk)

    def learn(self, said):
        if isinstance(said, dict):
            self.names, self.values = said["names"], said["values"]
        else:
            for index, value in zip(said[::2], said[1::2]):
                self.values[index] = value
        self.state, self.heard_at = "ok", time.monotonic()

    def is_late(self, now):
        return self.pipe is not None and now - self.heard_at > LATE_S

    def lost(self, why):
        """What it said holds no longer.  Returns the descriptor to listen on no more."""
        self.state, self.names, self.values = why, [], []
        self.process.kill()
        pipe, self.pipe = self.pipe, None
        return pipe

    def gone(self):
        """Whether there is none, or what was lost could be buried: one in D state cannot."""
        if self.process is None:
            return True
        if self.pipe is not None or self.process.poll() is None:
            return False
        self.process.stdout.close()
        self.process = None
        return True
