"""The journal of a campaign, as it is written and as it is read, whatever happened to its bytes."""

from __future__ import annotations

import random
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clusterctl import remote
from clusterctl.campaign.burnt import burnt, burnt_s
from clusterctl.campaign.journal import (
    LOST,
    Corrupt,
    Record,
    record,
    records,
    samples,
    scan,
    steps,
)

sys.path.insert(0, str(Path(remote.__file__).parent))

import journal as writer  # of remote/

sys.path.pop(0)


def lines(*cells: dict[str, Any]) -> bytes:
    return b"".join(writer.encode(number, one) for number, one in enumerate(cells))


def start(at: float = 0.0, every: float = 10.0) -> dict[str, Any]:
    return {"k": "start", "m": at, "every_s": every, "boot": "b"}


def sample(at: float, *delta: Any) -> dict[str, Any]:
    return {"k": "sample", "m": at, "d": list(delta)}


def full(at: float) -> dict[str, Any]:
    groups = [["", ["nvml"], ["ok"]], ["gpu0", ["temp_c"], [40]], ["/sys/x", ["a", "b"], [1, 2]]]
    return {"k": "full", "m": at, "groups": groups}


def begin(at: float, step: str = "s", **more: Any) -> dict[str, Any]:
    return {"k": "begin", "m": at, "step": step, "name": "gemm", "load": True, **more}


def end(at: float, step: str = "s", **more: Any) -> dict[str, Any]:
    given = {"step": step, "name": "gemm", "code": 0, "why": "exit", "s": 1.0, "out": "", "err": ""}
    return {"k": "end", "m": at, **given, **more}


DAY = lines(start(), full(1), begin(2), sample(11, 1, 41), end(15, out="ü\n"), sample(21, 1, 42))


def test_what_is_written_is_read():
    found = list(records(DAY))
    assert [one.sequence for one in found if isinstance(one, Record)] == [0, 1, 2, 3, 4, 5]
    assert [one.at_s for one in found if isinstance(one, Record)] == [0, 1, 2, 11, 15, 21]
    (ran,) = steps(found)
    assert (ran.identity, ran.code, ran.stdout) == ("s", 0, "ü\n")


def test_every_cut_keeps_the_records_before_it_and_says_that_it_is_torn():
    ends = [at + 1 for at, byte in enumerate(DAY) if byte == ord("\n")]
    for cut in range(len(DAY) + 1):
        found = list(records(DAY[:cut]))
        kept = [one for one in found if isinstance(one, Record)]
        assert len(kept) == sum(at <= cut for at in ends), cut
        torn = [one for one in found if isinstance(one, Corrupt)]
        assert bool(torn) == (cut not in {0, *ends}), cut


def test_every_flipped_bit_costs_its_line_and_no_other():
    for at in range(len(DAY)):
        for bit in (0, 3, 7):
            data = bytearray(DAY)
            data[at] ^= 1 << bit
            found = list(records(bytes(data)))
            kept = [one for one in found if isinstance(one, Record)]
            assert any(isinstance(one, Corrupt) for one in found), (at, bit)
            whole = {line for line in DAY.split(b"\n") if line}
            assert all(any(record(line) == one for line in whole) for one in kept), (at, bit)
            assert len(kept) >= 4  # a flipped line end joins two


def test_garbage_never_raises():
    chance = random.Random(7)
    for _ in range(200):
        data = bytearray(DAY)
        for _ in range(20):
            data[chance.randrange(len(data))] = chance.randrange(256)
        found = list(records(bytes(data)))
        list(samples(found))
        list(steps(found))
        assert burnt_s(found) <= burnt_s(records(DAY)) + 1e-9


def summed(text: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(text), text)


@pytest.mark.parametrize("number", [b"7", b"123456", b"9" * 18, b"9" * 19, b"07", b"-1", b"x", b""])
@pytest.mark.parametrize(
    "at_s",
    [b"1", b"12.5", b"123456789012.123456", b"1234567890123", b"1.1234567", b"1.", b".5", b"1.2.3",
     b"1e3", b"-1", b"x", b""],
)  # fmt: skip
def test_lines_read_at_once_say_what_each_says_alone(number, at_s):
    for delta in (b"[]", b"[0,1]", b"[0", b"[", b"0]", b"{}"):
        odd = summed(b'%s {"k":"sample","m":%s,"d":%s}' % (number, at_s, delta))
        for before, after in ((b"", b""), (DAY, b""), (odd, odd), (DAY, DAY), (b"\n", b"[]}\n")):
            data = before + odd + after
            alone = [record(line) for line in data.split(b"\n")[:-1]]
            told = [one for one in records(data) if isinstance(one, Record)]
            assert told == [one for one in alone if one], odd
            spans = [one for one in records(data[:-1]) if isinstance(one, Record)]
            assert spans == [one for one in alone[:-1] if one]


def test_a_missing_record_is_said():
    kept = b"".join(line + b"\n" for line in DAY.split(b"\n")[:-1] if b"41" not in line)
    (gap,) = [one for one in records(kept) if isinstance(one, Corrupt)]
    assert gap.why == "record 2 is followed by record 4"
    assert not [one for one in records(DAY, after=-1) if isinstance(one, Corrupt)]
    assert [one for one in records(DAY, after=4) if isinstance(one, Corrupt)]


def test_deltas_add_up_to_what_was_there():
    day = lines(start(), full(1), sample(2, 1, 41, 3, 7), sample(3), sample(4, 0, "timeout"))
    found = list(samples(records(day)))
    assert [one.values["gpu0.temp_c"] for one in found] == [40, 41, 41, 41]
    assert [one.values["/sys/x/b"] for one in found] == [2, 7, 7, 7]
    assert [one.changed for one in found[1:]] == [("gpu0.temp_c", "/sys/x/b"), (), ("nvml",)]


def test_after_a_lost_line_nothing_is_known_until_the_next_full_sample():
    whole = lines(start(), full(1), sample(2, 1, 90), sample(3), full(4), sample(5))
    broken = whole.replace(b"90", b"40")
    assert [one.at_s for one in samples(records(broken))] == [1, 4, 5]


@pytest.mark.parametrize("delta", [[1], [9, 1], ["x", 1], [-1, 1], None, [True, 1, 2]])
def test_a_delta_that_fits_nothing_yields_nothing(delta):
    day = lines(start(), full(1), {"k": "sample", "m": 2, "d": delta}, sample(3))
    assert [one.at_s for one in samples(records(day))] == [1]


@pytest.mark.parametrize(
    ("day", "seconds"),
    [
        pytest.param([start(), full(0), begin(0), sample(10), end(10), sample(20)], 10, id="whole"),
        pytest.param([start(), full(0), begin(4), sample(10), end(16), sample(20)], 12, id="parts"),
        pytest.param([start(), full(0), begin(2), end(5), sample(10)], 3, id="between-samples"),
        pytest.param([start(), begin(0), end(10)], 0, id="never-sampled"),
        pytest.param([start(), full(0), begin(0), sample(10)], 10, id="still-running"),
        pytest.param([start(), full(0), begin(0), sample(50), sample(60)], 10, id="samples-missed"),
        pytest.param([start(), full(0), begin(0, load=False), sample(10)], 0, id="no-load"),
        pytest.param(
            [start(), full(0), begin(0), sample(10), start(5), full(6), sample(16)], 10, id="reboot"
        ),
        pytest.param(
            [start(), full(0), begin(0), sample(10), {"k": "orphaned", "m": 19}, sample(20)],
            10,
            id="killed",
        ),
        pytest.param(
            [start(), full(0), begin(0), sample(10), start(12), full(13), begin(13), sample(23)],
            20,
            id="goes-on",
        ),
    ],
)
def test_burnt_is_what_ran_and_was_sampled(day, seconds):
    assert burnt_s(records(lines(*day))) == pytest.approx(seconds)


def test_what_nobody_can_read_is_not_burnt():
    day = lines(start(), full(0), begin(0), sample(10), sample(20), end(25), full(30))
    assert burnt_s(records(day)) == 25
    assert burnt_s(records(day.replace(b'"d":[]', b'"d":[ ', 1))) == 0
    assert burnt(records(day)) == {"gemm": 25}


@pytest.mark.parametrize(
    "after",
    [start(0), {"k": "orphaned", "m": 9}, begin(9, "t")],
    ids=["reboot", "killed", "bug"],
)
def test_a_step_that_nobody_saw_end_is_lost(after):
    (ran,) = steps(records(lines(start(), begin(2), after)))
    assert (ran.why, ran.code) == (LOST, None)
    assert ran.answer().exit_code is None


def test_a_step_that_still_runs_has_not_ended():
    assert list(steps(records(lines(start(), begin(2), sample(3))))) == []


# ----------------------------------------------------------------------------- writing


def test_a_torn_tail_becomes_one_bad_line_and_the_next_record_is_whole(tmp_path):
    path = tmp_path / "journal"
    for cut in range(len(DAY)):
        path.write_bytes(DAY[:cut])
        journal = writer.Journal(str(path))
        journal.add({"k": "finish", "m": 1.0})
        journal.start()
        assert journal.close(5.0)
        found = list(records(path.read_bytes()))
        kept = [one for one in found if isinstance(one, Record)]
        assert kept[-1].kind == "finish"
        assert kept[-1].sequence == len(kept) - 1
        before = [one for one in records(DAY[:cut] + b"\n") if isinstance(one, Record)]
        assert kept[:-1] == before


def test_a_journal_that_finds_no_room_keeps_what_fits_and_writes_it_later(tmp_path):
    """A limit on the file's size is a disk that is full, and then is not."""
    driver = (
        "import json, resource, signal, sys, time\n"
        f"sys.path.insert(0, {str(Path(remote.__file__).parent)!r})\n"
        "import journal\n"
        "journal.RETRY_S, journal.BACKLOG_BYTES = 0.05, 3000\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))\n"
        "j = journal.Journal(sys.argv[1])\n"
        "j.start()\n"
        "for n in range(60):\n"
        "    j.add({'k': 'sample', 'm': n, 'd': ['x' * 60]}, droppable=True)\n"
        "    time.sleep(0.01)\n"
        "assert j.trouble == 'EFBIG', j.trouble\n"
        "assert j.lost > 0\n"
        "j.add({'k': 'disk', 'm': 60})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))\n"
        "end = time.monotonic() + 5\n"
        "while j.trouble and time.monotonic() < end: time.sleep(0.02)\n"
        "assert j.close(5.0)\n"
    )
    path = tmp_path / "journal"
    subprocess.run([sys.executable, "-c", driver, str(path)], check=True, timeout=30)
    found = list(records(path.read_bytes()))
    assert all(isinstance(one, Record) for one in found)
    assert found[-1].kind == "disk"
    assert len(found) > 20


def test_a_sample_of_a_long_campaign_costs_one_call():
    """72 h at 10 s are 26,000 samples, of a thousand nodes; taking each apart would be 30 calls."""
    calls = []
    for count in (2600, 5200):
        day = lines(start(), full(0), begin(0), *(sample(10.0 * n, 1) for n in range(1, count)))
        calls.append(calls_of(lambda day=day: burnt_s(scan(day)), 10.0 * (count - 1)))
    assert calls[1] - calls[0] < 1.1 * 2600


def calls_of(what, answer: object) -> int:
    """How many functions it calls, of Python and of C, until it has the answer."""
    seen: Counter[str] = Counter()
    sys.setprofile(lambda _frame, event, _what: seen.update((event,)))
    try:
        said = what()
    finally:
        sys.setprofile(None)
    assert said == answer
    return seen["call"] + seen["c_call"]
