"""Files that a job leaves about its collectives, read with a limit and judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from clusterctl.model import Trouble, UserError
from clusterctl.spelling import Unreadable
from clusterctl.triage.collectives.arrival import triage_timings
from clusterctl.triage.collectives.flight import Flight, flight, rank_of
from clusterctl.triage.collectives.inspector import Timing, timings
from clusterctl.triage.collectives.log_verdict import triage_log
from clusterctl.triage.collectives.nccl_log import KEPT_OF_A_LINE, Log, read_log
from clusterctl.triage.collectives.ras import snapshots
from clusterctl.triage.collectives.ras_seen import Snapshot
from clusterctl.triage.collectives.ras_verdict import triage_ras
from clusterctl.triage.collectives.wavefront import triage_flights
from clusterctl.triage.verdict import Triage

# A recorder of 2000 entries (TORCH_NCCL_TRACE_BUFFER_SIZE) with stacks is some 10 MB.
MOST_DUMP_BYTES = 256 << 20
MOST_TEXT_BYTES = 64 << 20
MOST_LINES = 5_000_000
MOST_FILES = 100_000


def from_flight(folder: Path) -> Triage:
    """A folder with one dump a rank.  Raises UserError where there is none in it, or two of one.

    One that is too large or may not be read costs its rank; where there is no other, raises that.
    """
    flights: list[Flight] = []
    unseen, refused = [], []
    files: dict[int, Path] = {}
    for path in inside(folder, "--flight", "one dump a rank, nccl_trace_rank_17 or _dump_17"):
        rank = rank_of(path.name)
        if rank is None:
            unseen.append(f"{path.name}: its name does not end in a rank")
            continue
        if rank in files:
            raise UserError(
                f"--flight {folder}: {files[rank]} and {path} are both of rank {rank}: give the "
                "folder of one moment"
            )
        files[rank] = path
        try:
            flights.append(flight(rank, read(path, MOST_DUMP_BYTES)))
        except Unreadable as error:
            unseen.append(f"{path.name}: {error}")
        except UserError as error:
            refused.append(error)
    if refused and not (flights or unseen):
        raise refused[0]
    unseen += map(str, refused)
    found = triage_flights(flights)
    return replace(found, unseen=(*unseen, *found.unseen))


def from_ras(files: Sequence[Path]) -> Triage:
    """What `ncclras` said, once or several times, in the order given.  Raises UserError."""
    texts = (read(path, MOST_TEXT_BYTES).decode("utf-8", "replace") for path in files)
    seen = [one for text in texts for one in snapshots(text)]
    return triage_ras(
        [one for one in seen if isinstance(one, Snapshot)],
        unseen=[str(one) for one in seen if isinstance(one, Trouble)],
    )


def from_inspector(folder: Path) -> Triage:
    """A folder of NCCL Inspector's or the example profiler's files.  Raises UserError.

    As with dumps one that is too long or may not be read costs itself.
    """
    found: list[Timing] = []
    unseen, refused = [], []
    for path in inside(folder, "--inspector", "what NCCL_INSPECTOR_DUMP_DIR names"):
        try:
            told = list(timings(path.name, lines(path)))
        except UserError as error:
            refused.append(error)
            continue
        found += [one for one in told if isinstance(one, Timing)]
        unseen += [str(one) for one in told if isinstance(one, Trouble)]
    if refused and not (found or unseen):
        raise refused[0]
    unseen += map(str, refused)
    return triage_timings(found, unseen=unseen)


def from_logs(files: Sequence[Path]) -> Triage:
    """Logs of one job, one file or one a rank.  Raises UserError."""
    log: Log = read_log(line for path in files for line in lines(path))
    return triage_log(log)


def inside(folder: Path, flag: str, wanted: str) -> list[Path]:
    """The files of a folder, in order, hidden ones left out; a file stands for itself.

    Raises UserError; of a folder beyond the limit too: it is not what this is for.
    """
    if folder.is_file():
        return [folder]
    try:
        every = list(islice(folder.rglob("*"), MOST_FILES + 1))
        found = sorted(path for path in every if path.is_file())
    except OSError as error:
        raise UserError(f"{flag} {folder}: {error.strerror}") from None
    if len(every) > MOST_FILES:
        raise UserError(
            f"{flag} {folder} holds more than {MOST_FILES} files: give the folder with {wanted}"
        )
    found = [path for path in found if not path.name.startswith(".")]
    if not found:
        missing = "is empty" if folder.is_dir() else "is not there"
        raise UserError(f"{flag} {folder} {missing}: give the folder with {wanted}")
    return found


def read(path: Path, most: int) -> bytes:
    """Raises UserError; of a file beyond the limit too, as half of it would be half a truth."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    if len(data) > most:
        raise UserError(f"{path} is larger than {most >> 20} MiB, which is not what this is for")
    return data


def lines(path: Path) -> Iterator[str]:
    """The end of each line.  Raises UserError; of a file beyond the limit too, as the end tells."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in islice(file, MOST_LINES):
                yield line[-KEPT_OF_A_LINE:]
            if next(file, None) is not None:
                raise UserError(
                    f"{path} has more than {MOST_LINES} lines: give a part of it, as "
                    f"`tail -n {MOST_LINES}` cuts it"
                )
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
