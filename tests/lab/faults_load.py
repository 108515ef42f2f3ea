"""Faults that show under load: what stressors do, and a wall clock that somebody sets."""

from __future__ import annotations

import image
from lab import Lab

AHEAD = f"/{image.STATE}/clock_ahead"
PRELOAD = "/etc/ld.so.preload"
RATES = {"ok": (823, "823.23"), "zero": (0, "0.00"), "absurd": (82300000, "8230000.00")}
STRESS_NG = """\
#!/bin/sh
[ "$1" = --version ] && {{ echo 'stress-ng, version 0.15.06 (gcc 12.2, x86_64 Linux) lab'; exit; }}
for last; do :; done
{act}
sleep "${{last%s}}"
echo "stress-ng: info:  [1] dispatching hogs: $(nproc) cpu"
echo 'stress-ng: metrc: [1] cpu  {amount}  1.00  2.00  0.01  {rate}  411.00'
"""


def stressor(lab: Lab, node: str, argument: str) -> None:
    """stress-ng loads nothing and is ARGUMENT: ok, zero, absurd, segfault, hang (ok)."""
    acts = {
        "segfault": "kill -SEGV $$",
        "hang": "trap '' TERM; while :; do sleep 1000; done",
    }
    amount, rate = RATES.get(argument, RATES["ok"])
    path = "/usr/bin/stress-ng"
    script = STRESS_NG.format(act=acts.get(argument, ":"), amount=amount, rate=rate)
    lab.do(node, "rm", "-f", path)
    lab.append(node, path, script)
    lab.do(node, "chmod", "755", path)


def clock_set(lab: Lab, node: str, argument: str) -> None:
    """The wall clock is ARGUMENT (0) seconds ahead, for whoever starts after the first time."""
    text = f"{int(float(argument or 0)):<20d}"
    if lab.enter(node, "test", "-e", PRELOAD).returncode:
        lab.append(node, AHEAD, text)
        lab.append(node, PRELOAD, "/usr/lib/liblabclock.so\n")
    else:
        lab.do(node, "dd", f"of={AHEAD}", "conv=notrunc", "status=none", stdin=text)


def bit_wrong(lab: Lab, node: str, argument: str) -> None:
    """GPU ARGUMENT (0) computes one bit of its product wrong, each time, and does not see it."""
    gpu = f"gpu.{int(argument or 0)}"
    lines = f"{gpu}.wrong = 40000\n{gpu}.blind = 1\n"
    lab.append(node, f"/{image.STATE}/cuda.conf", lines)
