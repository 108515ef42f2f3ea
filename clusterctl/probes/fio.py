"""`fio --output-format=json`, as a saved text; what the storage trials run is read by them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from clusterctl.model import Burn, Fact, Kind, Trouble
from clusterctl.probes.drives import inside
from clusterctl.spelling import Unreadable, number, visible


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Several runs may stand one after the other; messages may stand before each."""
    decoder, place, seen = json.JSONDecoder(), 0, False
    while (start := stdout.find("{", place)) >= 0:
        try:
            log, place = decoder.raw_decode(stdout, start)
        except (ValueError, RecursionError) as error:
            yield Trouble(Kind.CUT, f"not JSON to its end: {visible(str(error), 80)}")
            return
        seen = True
        yield from jobs(log)
    if not seen:
        yield Trouble(Kind.UNREADABLE, f"no JSON of fio: {visible(stdout.strip(), 120)!r}")


def jobs(log: object) -> Iterator[Fact | Trouble]:
    told = inside(log, "jobs")
    version = inside(log, "fio version")
    if not isinstance(told, list) or not isinstance(version, str):
        yield Trouble(Kind.UNREADABLE, "not fio's: no version, or no jobs")
        return
    for job in told:
        name = visible(str(inside(job, "jobname")), 60)
        target = inside(job, "job options", "filename") or inside(log, "global options", "filename")
        for way in ("read", "write", "trim"):
            try:
                yield from measured(job, way, name, str(target or name), version)
            except Unreadable as error:
                yield Trouble(Kind.UNREADABLE, str(error), f"{name} {way}")


def measured(
    job: object, way: str, name: str, target: str, version: str
) -> Iterator[Fact | Trouble]:
    """Raises Unreadable.  `bw_bytes` are bytes a second; fio 2 has only KiB, in `bw`."""
    part = inside(job, way)
    if not isinstance(part, Mapping) or not part.get("io_bytes"):
        return
    rate = value(part, "bw_bytes") if "bw_bytes" in part else value(part, "bw") * 1024
    yield Burn(
        visible(f"disk:{target}", 80),
        visible(version, 40),
        value(part, "runtime") / 1e3,
        amount=value(part, "io_bytes"),
        unit="bytes",
        rate=rate / 1e9,
        rate_unit="gbyte_s",
        errors=int(value(job, "error")),
        detail=f"{name}, {way}: {value(part, 'iops'):.0f} a second",
    )


def value(log: object, name: str) -> float:
    found = number(str(inside(log, name)))
    if found is None or found < 0:
        raise Unreadable(f"no {name}")
    return found


READS = {"fio": parse}
