"""What a journal says over time: every value of every sample, in few points, faults marked."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from random import Random

import numpy as np
import pytest

from clusterctl.campaign.folder import journal_of, prepare
from clusterctl.campaign.journal import records, samples, scan
from clusterctl.campaign.series import BUCKETS, Sheet, numbers, read, risen, thinned

NAMES = ["gpu0.temp_c", "gpu0.ecc_uncorrected_volatile", "gpu0.sw_thermal_ns", "gpu0.uuid"]
PORT = "/sys/class/infiniband/mlx5_0/ports/1/counters"


def line(number: int, kind: str, at_s: float, **cells: object) -> bytes:
    body = json.dumps({"k": kind, "m": at_s, **cells}, separators=(",", ":"))
    text = f"{number} {body}".encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def full(number: int, at_s: float, *values: object) -> bytes:
    groups = [
        ["gpu0", [name[5:] for name in NAMES], list(values[:4])],
        [PORT, ["link_downed"], [7]],
    ]
    return line(number, "full", at_s, groups=groups)


def journal(count: int, seed: int = 1) -> bytes:
    rng = Random(seed)
    told = [line(0, "start", 0, boot="a", w=1000.0), full(1, 0, 40, 0, 0, "GPU-1")]
    for number in range(2, count):
        delta: list[object] = [0, 40 + rng.randrange(9)] if rng.random() < 0.7 else []
        delta += [2, number * 10**9] if rng.random() < 0.3 else []
        delta += [3, f'GPU-"{number}"'] if rng.random() < 0.05 else []
        told.append(line(number, "sample", number * 10.0, d=delta))
    return b"".join(told)


def sheet(data: bytes) -> Sheet:
    found = Sheet()
    for one in scan(data):
        found.learn(one)
    return found


def test_columns_hold_what_the_samples_say_one_by_one():
    for seed in range(5):
        data = journal(200, seed)
        found = sheet(data)
        told = list(samples(records(data)))
        assert np.concatenate(found.times).tolist() == [one.at_s for one in told]
        for name in ("gpu0.temp_c", "gpu0.sw_thermal_ns"):
            assert found.column(name).tolist() == [one.values[name] for one in told]


def test_a_value_that_cannot_be_read_is_a_gap_and_no_number():
    lost = [line(2, "sample", 10, d=[0, "!GpuIsLost"]), line(3, "sample", 20, d=[0, 41])]
    found = sheet(b"".join([full(1, 0, 40, 0, 0, "u"), *lost]))
    assert found.column("gpu0.temp_c").tolist() == pytest.approx([40, np.nan, 41], nan_ok=True)


def test_a_delta_that_fits_nothing_spoils_no_column():
    for bad in ([99, 1], [0], ["x", 1], None, [0, {}]):
        told = [
            full(1, 0, 40, 0, 0, "u"),
            line(2, "sample", 10, d=bad),
            line(3, "sample", 20, d=[]),
        ]
        values = sheet(b"".join(told)).column("gpu0.temp_c")
        assert set(values[~np.isnan(values)]) <= {40.0}


def test_a_counter_that_was_reset_counts_on():
    assert risen(np.array([5.0, 5, 7, 1, 1, 4])).tolist() == [0, 0, 2, 1, 0, 3]


def test_no_spike_is_lost_to_thinning():
    times = np.arange(30000.0)
    values = np.ones(30000)
    values[[7, 12345, 29998]] = [90, -5, 70]
    points = thinned(times, values)
    assert len(points) <= 2 * BUCKETS
    assert {90, -5, 70} <= set(points[:, 1])
    assert (np.diff(points[:, 0]) > 0).all()


def test_numbers_of_no_change_at_all_are_none():
    rows, indices, values = numbers([b"[]", b"[]"])
    assert rows.size == indices.size == values.size == 0


def test_stages_reboots_and_kernel_lines_are_marked_and_counters_that_rose_drawn(tmp_path: Path):
    prepare_folder = tmp_path / "run"
    prepare_folder.mkdir()
    prepare(prepare_folder)
    told = [
        line(0, "start", 100, boot="a", w=5000.0),
        line(1, "begin", 100, name="cpu_burn", step="s0.1"),
        full(2, 100, 40, 0, 0, "u"),
        line(3, "kernel", 105, lines=[[105, "NVRM: Xid 48 <script>"]]),
        line(4, "sample", 110, d=[1, 3]),
        line(5, "begin", 120, name="gpu_burn", step="soak1/0", soak=True),
        line(6, "start", 5, boot="b", w=5600.0),
        full(7, 10, 41, 0, 0, "u"),
    ]
    journal_of(prepare_folder, "n1").write_bytes(b"".join(told))
    series, moments = read(prepare_folder, ["n1", "gone"])
    assert [(one.at_s, one.word, one.kind) for one in moments["n1"]] == [
        (0, "cpu_burn", "stage"),
        (5, "kernel", "fault"),
        (20, "soak", "stage"),
        (600, "reboot", "fault"),
    ]
    assert np.asarray(series["n1", "gpu0", "ecc_uncorrected_volatile"]).tolist() == [
        [0, 0], [10, 3], [605, 3],
    ]  # fmt: skip
    assert ("n1", "mlx5_0/1", "link_downed") not in series  # it never rose
