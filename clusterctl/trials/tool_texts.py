"""What people paste of bandwidth tests: nccl-tests, hccl_test, perftest, iperf3.

Trials read the same tools' output where it is made; these serve `clusterctl read` alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isfinite

from clusterctl.model import Bandwidth, Collective, Fact, Kind, Latency, Trouble
from clusterctl.spelling import plain, visible
from clusterctl.trials.nccl_tests import Ran, factor, tables

RANK = re.compile(r"#?\s*Rank\s+[0-9]+ .*? on (\S+) device")
# What perftest means by its words: MB is 2^20 bytes (perftest_parameters.c).
UNITS = {"Gb/sec": 1.0, "MB/sec": 8 * 1048576 / 1e9, "MiB/sec": 8 * 1048576 / 1e9}
FAILED = re.compile(r".*(?:Completion with error|Failed status|Couldn't|Unable to|[Ff]ailed to).*")
RATE_HEAD = re.compile(r"BW average\[([^\]]*)\]")
RATE_ROW = re.compile(r"\s*([0-9]+)\s+[0-9]+\s+[0-9.]+\s+([0-9]+\.[0-9]+)(?:\s+[0-9.]+)?\s*")
DELAY_HEAD = "t_typical[usec]"
DELAY_ROW = re.compile(r"\s*([0-9]+)\s+([0-9]+)((?:\s+[0-9]+\.[0-9]+){6,7})\s*")
DEVICE = re.compile(r"Device\s+:\s+(\S+)")
MOST_GBIT_S = 1e6


def nccl(stdout: str) -> Iterator[Fact | Trouble]:
    """No table says which operation it was; all_reduce alone is told by its busbw."""
    lines = plain(stdout).split("\n")
    hosts = tuple(dict.fromkeys(seen[1] for line in lines if (seen := RANK.search(line))))
    named = tuple(visible(host, 60) for host in hosts)
    ran = Ran("nccl-tests", ", ".join(named), "", named, 0)
    for found in tables(ran, lines):
        yield replace(found, operation=operation(found)) if isinstance(found, Collective) else found


def operation(found: Collective) -> str:
    if found.ranks < 2 or not found.algbw_gbyte_s:
        return ""
    ratio = found.busbw_gbyte_s / found.algbw_gbyte_s
    # Rates have two decimals: below 1 GB/s they tell nothing.
    if found.ranks > 2 and found.algbw_gbyte_s > 1:
        return "all_reduce" if abs(ratio - factor("all_reduce", found.ranks)) < 0.02 else ""
    return ""


def hccl(stdout: str) -> Iterator[Fact | Trouble]:
    """Neither operation nor ranks are in it, so that busbw stands as what is told, algbw."""
    yield from tables(Ran("hccl_test", "", "", (), 0), plain(stdout).split("\n"))


def perftest(stdout: str) -> Iterator[Fact | Trouble]:
    """Mean rate of each size, or the latency.  Beside a failure no number is believed."""
    text = plain(stdout)
    *lines, rest = text.split("\n")
    if failed := FAILED.search(text):
        yield Trouble(Kind.EXIT, visible(failed[0].strip(), 200))
        return
    if rest.strip():
        yield Trouble(Kind.CUT, f"the text ends within a line: {visible(rest, 80)!r}")
    found = list(dict.fromkeys(rows(lines)))
    yield from found
    if not found:
        yield Trouble(Kind.UNREADABLE, "no result in it")


def rows(lines: Sequence[str]) -> Iterator[Bandwidth | Latency | Trouble]:
    """Both ends of a loopback print the same rows, which are kept once."""
    part, unit, delays = "", None, False
    for line in lines:
        if device := DEVICE.search(line):
            part = visible(device[1], 40)
        elif head := RATE_HEAD.search(line):
            unit, delays = UNITS.get(head[1]), False
            if unit is None:
                yield Trouble(Kind.UNREADABLE, f"a unit we do not know: {visible(head[1], 40)}")
        elif DELAY_HEAD in line:
            delays = True
        elif delays and (row := DELAY_ROW.fullmatch(line)):
            least, most, median, mean, _, p99 = (float(cell) for cell in row[3].split()[:6])
            yield Latency(
                *(part, "perftest", int(row[1]), int(row[2]), median, p99),
                mean_us=mean,
                min_us=least,
                max_us=most,
            )
        elif not delays and (row := RATE_ROW.fullmatch(line)) and unit is not None:
            rate = round(float(row[2]) * unit, 3)
            if rate < MOST_GBIT_S:
                yield Bandwidth(part, "perftest", rate, size_bytes=int(row[1]))


def iperf3(stdout: str) -> Iterator[Fact | Trouble]:
    """`iperf3 -J`: what arrived.  What was sent and did not arrive is no rate."""
    text = plain(stdout)
    try:
        told = json.loads(text[text.index("{") : text.rindex("}") + 1])
        if "error" in told:
            yield Trouble(Kind.EXIT, visible(str(told["error"]), 200))
            return
        ends = told["start"]["connected"][0]
        got, sent = told["end"]["sum_received"], told["end"]["sum_sent"]
        rate, seconds = float(got["bits_per_second"]) / 1e9, float(got["seconds"])
        again, size = sent.get("retransmits"), int(got["bytes"])
        part = f"{visible(str(ends['local_host']), 60)}>{visible(str(ends['remote_host']), 60)}"
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        yield Trouble(Kind.UNREADABLE, f"not the JSON of iperf3: {visible(repr(error), 120)}")
        return
    if not (isfinite(rate) and 0 <= rate < MOST_GBIT_S and isfinite(seconds)):
        yield Trouble(Kind.UNREADABLE, f"no rate: {rate:g} Gbit/s", part)
    elif not size:
        sent_bytes = visible(str(sent.get("bytes")), 30)
        yield Trouble(
            Kind.EXIT, f"nothing arrived of {sent_bytes} bytes sent: too short a test", part
        )
    else:
        counted = again if type(again) is int and again >= 0 else None
        yield Bandwidth(part, "iperf3", round(rate, 6), size, seconds, retransmits=counted)


READS = {"nccl_tests": nccl, "hccl_test": hccl, "perftest": perftest, "iperf3": iperf3}
