#!/usr/bin/env python3
"""How long `history`, `diff`, `trend` and `triage` look back, and in how much memory.

    tests/bench/memory.py --runs 400 --nodes 1250 --keep /tmp/nights

One night is made up, judged by the real checks and stored and digested by the real code, timed.
The others have its tables under another name and its digest with other numbers, as they would come
out of 400 sweeps: made in minutes, not hours, and read no differently.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import synthetic_runs
from synthetic_runs import START, made

from clusterctl import store
from clusterctl.memory import cache
from clusterctl.memory.folder import ended, open_folder
from clusterctl.model import Copy, Fact, Node, Optic, Run, Sensor

VERBS = (
    ("history", "n0017"),
    ("history", "--check", "ecc", "--since", "30d"),
    ("history", "--check", "ecc"),
    ("history", "--lemons"),
    ("diff", "last~1", "last"),
    ("trend", "gpu_temperature", "rack=r07"),
    ("trend", "h2d", "--by", "rack"),
    ("trend", "gpu_temperature", "--by", "rack"),
    ("triage", "n0017"),
    ("triage", *(f"n{number:04}" for number in range(17, 137, 15))),
)


def more(node: Node, number: int, rng: Random) -> Iterator[tuple[str, list[Fact]]]:
    """What a rack of today also says: paths of each GPU, light in each port, the room's air."""
    paths = {f"host>gpu{gpu}": 55.0 for gpu in range(8)}
    paths |= {f"gpu{gpu}>host": 54.0 for gpu in range(8)}
    paths |= {f"gpu{a}>gpu{b}": 390.0 for a in range(8) for b in range(8) if a != b}
    extra: dict[str, list[Fact]] = {
        "nvml": [
            Copy(part, "nvbandwidth", rng.gauss(rate, rate / 200), 1 << 28, way="copy engine")
            for part, rate in paths.items()
        ],
        "sysfs_rdma": [
            Optic(f"mlx5_{n}/1", "NVIDIA", "MMA4Z00", f"MT{number:06}{n}", 45.0, rx_mw=(1.1,) * 4)
            for n in range(8)
        ],
        "drives": [Sensor("Inlet Temp", "inlet", rng.gauss(23, 1), "c", "ok")],
    }
    for probe, facts in LOOKS(node, number, rng):
        yield probe, [*facts, *extra.pop(probe, [])]


LOOKS: Callable[[Node, int, Random], Iterator[tuple[str, list[Fact]]]] = synthetic_runs.looks


def template(runs: Path, count: int) -> Run:
    synthetic_runs.looks = more
    run = replace(made(count), id=name_of(0))
    recorder = store.Recorder(runs, run.id)
    recorder.begin(store.describe(run))
    recorder.finish(run)
    return run


def name_of(night: int) -> str:
    return f"{START + timedelta(days=night):%Y%m%dT%H%M%S}-nightly-{night:04x}"


def night(runs: Path, number: int, tables: dict[str, pa.Table], rng: np.random.Generator) -> None:
    """The first night's tables, another night's numbers."""
    first, path = runs / name_of(0), runs / name_of(number)
    path.mkdir()
    for table in ("findings", "observations"):
        os.link(first / f"{table}.parquet", path / f"{table}.parquet")
    about = json.loads((first / "run.json").read_text())
    started = (START + timedelta(days=number)).isoformat()
    about |= {"id": path.name, "started": started, "verb": verb_of(number)}
    store.write_json(path / "run.json", about)
    folder = open_folder(runs)
    for name in sorted(tables, key=lambda one: one == "about"):
        table = planted(name, tables[name], number)
        table = varied(table, path.name, started, verb_of(number), rng)
        cache.keep(folder, cache.path_of(folder, name, path.name), table)


def planted(name: str, table: pa.Table, night: int) -> pa.Table:
    """Faults come and go; a rack's H2D decays over the last six weeks; one card is swapped."""
    rows = table.to_pandas()
    if name == "bad":
        phase = rows["node"].str[-4:].astype(int) * 37 + night
        return pa.table(rows[phase % 97 < 9])
    if name == "Copy.h2d" and night > 358:
        rows.loc[rows["node"].isin(DECAYED), "gbyte_s"] *= 1 - 0.0015 * (night - 358)
        return pa.table(rows)
    if name in {"Accelerator", "identity"} and night >= 300:
        hit = rows["node"] == "n0017"
        if name == "Accelerator":
            hit &= rows["part"] == "gpu3"
            rows.loc[hit, ["mark", "serial"]] = ["GPU-0badcafe-0000-4000", "1653000999"]
        rows.loc[hit, "who" if name == "Accelerator" else "print"] += 1
        return pa.table(rows)
    return table


DECAYED = [f"n{node:04}" for node in range(97, 113)]  # r07


def verb_of(night: int) -> str:
    return "sweep" if night % 30 else "burnin"


def varied(
    table: pa.Table, run: str, started: str, verb: str, rng: np.random.Generator
) -> pa.Table:
    same = {"run": run, "started": started, "verb": verb}
    columns = {}
    for field in table.schema:
        column = table[field.name]
        if field.name in same:
            column = pa.array([same[field.name]] * len(table))
        elif field.name in {"print", "who"}:  # nobody swapped anything
            pass
        elif pa.types.is_floating(field.type):
            values = column.to_numpy()
            column = pa.array(np.round(values * rng.normal(1, 0.005, len(table)), 2))
        columns[field.name] = column
    return pa.table(columns)


def fleet(runs: Path, nights: int, count: int) -> None:
    began = time.monotonic()
    template(runs, count)
    print(f"a night of {count} nodes made, judged and stored: {time.monotonic() - began:.1f} s")
    began = time.monotonic()
    folder = open_folder(runs)
    (first,) = ended(folder)
    cache.memory(folder)
    print(f"its digest, made once when it is first seen: {time.monotonic() - began:.1f} s")
    tables = cache.digest(first)
    for number in range(1, nights):
        night(runs, number, tables, np.random.default_rng(number))


def size_mib(folder: Path) -> float:
    return sum(one.stat().st_size for one in folder.rglob("*") if one.is_file()) / 2**20


def timed(words: Sequence[str], runs: Path) -> tuple[float, float, float, int]:
    """Seconds, of them of CPU, MiB at most, and lines of what it printed."""
    command = [sys.executable, "-m", "clusterctl", *words, "--runs-dir", str(runs)]
    if words[0] == TRIAGE:
        command = [sys.executable, "-c", RECALL, str(runs), *words[1:]]
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", CHILD, *command], capture_output=True, check=False)
    seconds = time.monotonic() - began
    if done.returncode not in {0, 1, 4}:
        raise SystemExit(done.stderr.decode())
    busy_s, mib = map(float, done.stderr.decode().splitlines()[-1].split())
    return seconds, busy_s, mib, done.stdout.count(b"\n")


# Then and now, of a triage that suspects these nodes, on the day after the last night.
TRIAGE = "triage"
RECALL = """
import sys
from datetime import timedelta
from clusterctl.memory.folder import begun
from clusterctl.report.past import as_text
from clusterctl.triage.past.recall import Asked, recall
runs, *nodes = sys.argv[1:]
last = max(filter(None, map(begun, __import__("os").listdir(runs))))
past = recall(runs, Asked(nodes, last + timedelta(days=1), lambda: 60.0))
print("\\n".join(as_text(past)))
"""
CHILD = (
    "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode; "
    "used = resource.getrusage(resource.RUSAGE_CHILDREN); "
    "print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, file=sys.stderr); "
    "sys.exit(code)"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--nodes", type=int, default=1250)
    parser.add_argument(
        "--keep", type=Path, help="leave the nights in this folder; use it if there"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clusterctl-bench-") as name:
        runs = given.keep or Path(name)
        if not any(runs.glob("*/run.json")):
            fleet(runs, given.runs, given.nodes)
        digests = size_mib(runs / ".memory")
        load = Path("/proc/loadavg").read_text().split()[0]
        print(f"{given.runs} nights of {given.nodes} nodes; digests {digests:.0f} MiB; load {load}")
        for words in VERBS:
            seconds, busy_s, mib, lines = timed(words, runs)
            verb = " ".join(words)[:40]
            print(
                f"{verb:40} {seconds:5.1f} s, {busy_s:.1f} s of CPU, {mib:5.0f} MiB, {lines} lines"
            )


if __name__ == "__main__":
    main()
