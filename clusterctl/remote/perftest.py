"""Reading what ib_write_bw and its kin print.  It travels beside scripts that name it."""

import re

# What perftest means by its words: MB is 2^20 bytes (perftest_parameters.c), so older versions say
# MB/sec where newer ones say MiB/sec.
UNITS = {"Gb/sec": 1.0, "MB/sec": 8 * 1048576 / 1e9, "MiB/sec": 8 * 1048576 / 1e9}
WRONG = re.compile(
    r".*(?:Completion with error|Failed status|Couldn't|Unable to|Failed to|[Ee]rror[: ]).*"
)


def average_gbit_s(text):
    """(mean rate, bytes of a message) of the row with the largest messages.  Raises ValueError.

    Of a report that also tells of a failure, no number is believed.
    """
    said = WRONG.search(text)
    if said:
        raise ValueError(said.group().strip())
    best = None
    unit = None
    for line in text.split("\n"):
        header = re.search(r"BW average\[([^\]]*)\]", line)
        if header:
            if header.group(1) not in UNITS:
                raise ValueError("a unit we do not know: %s" % header.group(1))
            unit = UNITS[header.group(1)]
            continue
        row = re.match(r"\s*(\d+)\s+\d+\s+(\d+\.\d+)\s+(\d+\.\d+)\s+\d+\.\d+(?:\s|$)", line)
        if row and unit is None:
            raise ValueError("a row before its header: %s" % line.strip())
        if row and (best is None or int(row.group(1)) >= best[1]):
            best = (float(row.group(3)) * unit, int(row.group(1)))
    if best is None:
        raise ValueError("no result in it: %s" % " ".join(text.split())[-200:])
    return best
