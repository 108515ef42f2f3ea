"""Reading what `iperf3 --json` prints.  It travels beside scripts that name it."""

import json


def received(text):
    """(rates of the intervals in Gbit/s, each one's seconds, segments sent again or None).

    Of the side that received: its intervals are what arrived.  Raises ValueError.
    """
    try:
        told = json.loads(text[text.index("{") : text.rindex("}") + 1])
    except ValueError:
        raise ValueError("no JSON in it: %s" % " ".join(text.split())[-200:])
    if "error" in told:
        raise ValueError(str(told["error"]))
    try:
        sums = [one["sum"] for one in told["intervals"] if not one["sum"]["omitted"]]
        rates = [float(one["bits_per_second"]) / 1e9 for one in sums]
        spans = [float(one["seconds"]) for one in sums]
        again = told["end"].get("sum_sent", {}).get("retransmits")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not the JSON of iperf3 that we know: %r" % error)
    # What is left after the last whole interval is a few milliseconds: its rate says nothing.
    usual = sorted(spans)[len(spans) // 2] if spans else 0
    kept = [(rate, span) for rate, span in zip(rates, spans) if span > 0.5 * usual]
    if not kept or not all(0 <= rate < 1e6 for rate, _ in kept):
        raise ValueError("no interval in it")
    again = again if isinstance(again, int) and again >= 0 else None
    return [rate for rate, _ in kept], [span for _, span in kept], again


def threaded(version):
    """Whether `iperf3 --version` is 3.16 or later: before, one thread carried all streams."""
    words = version.split()
    try:
        major, minor = words[1].split(".")[:2]
        return (int(major), int(minor.split("-")[0].split("+")[0])) >= (3, 16)
    except (IndexError, ValueError):
        return False
