"""Reading what ib_write_bw and its kin print.  It travels beside scripts that name it."""

import json
import re

# What perftest means by its words: MB is 2^20 bytes (perftest_parameters.c), so older versions say
# MB/sec where newer ones say MiB/sec.
UNITS = {"Gb/sec": 1.0, "MB/sec": 8 * 1048576 / 1e9, "MiB/sec": 8 * 1048576 / 1e9}
WRONG = re.compile(
    r".*(?:Completion with error|Failed status|Couldn't|Unable to|Failed to|[Ee]rror[: ]).*"
)


LATENCIES = ("min_us", "max_us", "median_us", "mean_us", "stdev", "p99_us")  # a row, in order


def refuse_failure(text):
    said = WRONG.search(text)
    if said:
        raise ValueError(said.group().strip())


def of_json(text):
    """The report of --out_json; its rate is in Gbit/s with --report_gbits alone."""
    try:
        told = json.loads(text)
        result, how = told["results"], told.get("test_info", {})
        rate, size = float(result["BW_average"]), int(result["MsgSize"])
        unit = UNITS[str(how.get("BW_unit", "Gb/sec"))]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("not the JSON of perftest that we know: %r" % error)
    if not 0 <= rate < float("inf"):
        raise ValueError("no rate: %s" % rate)
    return rate * unit, size


def latency_us(text):
    """The cells of a row `latency` of ib_read_lat and its kin.  Raises ValueError."""
    refuse_failure(text)
    if "t_typical[usec]" not in text:
        raise ValueError("no result in it: %s" % " ".join(text.split())[-200:])
    for line in text.split("\n"):
        row = re.match(r"\s*(\d+)\s+(\d+)((?:\s+\d+\.\d+){6,7})\s*$", line)
        if row:
            cells = dict(zip(LATENCIES, map(float, row.group(3).split())))
            del cells["stdev"]
            return dict(cells, size_bytes=int(row.group(1)), count=int(row.group(2)))
    raise ValueError("no result in it: %s" % " ".join(text.split())[-200:])


def average_gbit_s(text):
    """(mean rate, bytes of a message) of the row with the largest messages.  Raises ValueError.

    Of a report that also tells of a failure, no number is believed.
    """
    refuse_failure(text)
    if text.lstrip().startswith("{"):
        return of_json(text)
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
