"""The process that asks NVML, seen from the supervisor, which must never wait for it."""

import errno
import json
import os
import subprocess
import time

import apart

FIRST_S = 60.0  # nvmlInit without the persistence daemon is seconds for each GPU
AGAIN_S = (30.0, 600.0)


class Gpus:
    """It is killed when it is late, and tried again later, ever more seldom; never two of them,
    because one that hangs in the kernel cannot be killed.

    `state` is "ok", or why there are no values.  `names` and `values` belong together.
    """

    def __init__(self, campaign, mark, wanted):
        self.campaign, self.mark = campaign, mark
        self.state = "starting" if wanted else "off"
        self.names, self.values = [], []
        self.process = self.requests = None
        self.up = False
        self.deadline = None  # of the answer under way
        self.buffer = b""
        self.again = 0.0 if wanted else None
        self.pause_s = AGAIN_S[0]

    def start(self, now):
        """The descriptor on which it will answer; None where nothing was started."""
        if not self.gone() or self.again is None or now < self.again:
            return None
        ours, theirs = os.pipe()
        try:
            self.process = apart.launch(
                (self.campaign, "nvml"),
                sources={"sample_nvml": apart.source("sample_nvml")},
                script="sample_nvml",
                argv=[str(ours)],
                env=apart.environment(**{self.mark: self.campaign}),
                first={"die_with_parent": True},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(ours,),
                bufsize=0,
            )
        except OSError as error:
            os.close(theirs)
            self.state = "!" + errno.errorcode.get(error.errno, str(error))
            self.pause(now)
            return None
        finally:
            os.close(ours)
        self.requests, self.buffer, self.deadline = theirs, b"", now + FIRST_S
        return self.process.stdout.fileno()

    def pause(self, now):
        if self.again is not None:
            self.again = now + self.pause_s
            self.pause_s = min(2 * self.pause_s, AGAIN_S[1])

    def request(self, *, full, deadline):
        """False where there is nobody to ask, or somebody who still owes an answer."""
        if not self.up or self.deadline is not None:
            return False
        try:
            os.write(self.requests, b"f\n" if full or not self.names else b"s\n")
        except OSError:
            return False  # it died, which its pipe says too
        self.deadline = deadline
        return True

    def heard(self, chunk):
        """Raises ValueError, KeyError or IndexError for what it cannot have said."""
        self.buffer += chunk
        if not self.buffer.endswith(b"\n"):
            return
        reply = json.loads(self.buffer.decode())
        self.buffer, self.deadline = b"", None
        if isinstance(reply, list):
            for index, value in zip(reply[::2], reply[1::2]):
                self.values[index] = value
        elif "names" in reply:
            self.names, self.values, self.state = reply["names"], reply["values"], "ok"
            self.pause_s = AGAIN_S[0]
        elif "gpus" in reply:
            self.up = True
        else:
            self.state = reply["absent"]
            if "not found" in self.state:
                self.again = None  # no driver here, and none will come
            self.pause(time.monotonic())

    def lost(self, why):
        """It hung, or died: nothing that it said before holds any longer.

        Returns the descriptor to listen on no more.
        """
        if self.up or self.state == "starting":
            self.state = why
            self.pause(time.monotonic())
        self.names, self.values, self.up, self.deadline = [], [], False, None
        self.process.kill()
        return self.process.stdout.fileno()

    def gone(self):
        """Whether there is none, or what was lost could be buried."""
        if self.process is None:
            return True
        if self.up or self.deadline is not None or self.process.poll() is None:
            return False
        self.process.stdout.close()
        os.close(self.requests)
        self.process = None
        return True
