"""Full load and idleness in step with the wall clock, and how far power swings meanwhile.

It travels beside scripts that name it.
"""

import time

SAMPLE_S = 0.1
NONE = -1  # of a whole number in a worker's row


def in_step(work, seconds, period_s, duty):
    """(steps done, microseconds by which the latest of them began late).

    Each begins at a whole multiple of the period on the node's clock: nodes keep step as well as
    their clocks do, and need no word from anybody.
    """
    over = time.monotonic() + seconds
    steps, latest = 0, 0.0
    while True:
        wait = period_s - time.time() % period_s
        if steps and time.monotonic() + wait + period_s * duty > over:
            return steps, int(latest * 1e6)
        time.sleep(wait)
        until = time.monotonic() + period_s * duty
        latest = max(latest, time.time() % period_s)
        while time.monotonic() < until:
            work()
        steps += 1


def swing(watts, seconds, period_s):
    """[least, most and largest difference within one period], in milliwatts.

    `watts()` gives the power now, or None.
    """
    seen = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = watts()
        if value is not None:
            seen.append((time.monotonic(), value))
        time.sleep(SAMPLE_S)
    if not seen:
        return [NONE, NONE, NONE]
    widest = 0.0
    for moment, _ in seen:
        held = [value for at, value in seen if moment <= at < moment + period_s]
        widest = max(widest, max(held) - min(held))
    powers = [value for _, value in seen]
    return [int(value * 1000) for value in (min(powers), max(powers), widest)]


def described(steps, late_us, period_s, duty, row):
    """(what a person reads of it, the highest power in watts or None)."""
    detail = "%d steps of %g s, full for %g s, begun at most %.1f ms late" % (
        steps,
        period_s,
        period_s * duty,
        late_us / 1000.0,
    )
    low, high, widest = row
    if low == NONE:
        return detail + "; power cannot be read here", None
    detail += "; power swung by %.0f W, between %.0f and %.0f W" % (
        widest / 1000.0,
        low / 1000.0,
        high / 1000.0,
    )
    return detail, high / 1000.0
