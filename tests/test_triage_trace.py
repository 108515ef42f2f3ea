"""A job's timeline: read, replayed, each class repaired alone, judged, shown."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kineto_texts import trace
from rich.console import Console

from clusterctl.model import UserError
from clusterctl.report import timeline
from clusterctl.triage.timeline import kineto, kineto_file, moves, step_logs, trace_files, traces
from clusterctl.triage.timeline.classify import classify
from clusterctl.triage.timeline.operations import Rows, dense
from clusterctl.triage.timeline.replay import observed, replay
from clusterctl.triage.timeline.schedule import schedule
from clusterctl.triage.verdict import NO_CULPRIT, Cause, Suspect, Triage

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "bench/triage"))
from jobs import CAUSES, Plan, World, drawn, made, run  # noqa: E402

TRACES = HERE.parent.parent / "shared/traces"


# ------------------------------------------------------------------------- published traces


@pytest.mark.parametrize(
    ("name", "cause"), [("AR", Cause.WORKER), ("ST", Cause.STAGE)], ids=["AR", "ST"]
)
def test_published_jobs_get_their_class_and_figures(name, cause):
    file = TRACES / f"trace-{name}.parquet"
    if not file.is_file():
        pytest.skip(f"no published trace {name} here")
    told = traces.triage([file])
    worker, stage = (
        json.loads((TRACES / f"{kind}-{name}.json").read_text())["rem"] for kind in ("mw", "ms")
    )
    ideal = json.loads((TRACES / f"mw-{name}.json").read_text())
    assert told.triage.cause is cause
    assert told.study.m_w == pytest.approx(worker, abs=0.02)
    assert told.study.m_s == pytest.approx(stage, abs=0.02)
    assert told.triage.share[Cause.WORKER] == pytest.approx(worker, abs=0.02)
    assert told.triage.share[Cause.STAGE] == pytest.approx(stage, abs=0.02)
    assert told.triage.slowdown == pytest.approx(ideal["tori"] / ideal["tideal"], abs=0.02)
    if cause is Cause.WORKER:
        assert told.triage.suspects[0].what == "dp 0 stage 0"
        assert told.triage.suspects[0].ranks == (0, 1, 2, 3)
    else:
        assert not told.triage.suspects


# ----------------------------------------------------------------------------- planted jobs


@pytest.mark.parametrize("cause", CAUSES)
def test_a_planted_cause_is_named(cause):
    job = made(Plan(11, cause, dp=8, pp=4, microbatches=8, steps=8, tp=2))
    found = classify(dense(trace_files.rows(job.columns))).triage
    assert str(found.cause) == cause
    assert found.slowdown >= 1.0
    if cause == "worker":
        assert found.suspects[0].what == f"dp {job.truth['dp']} stage {job.truth['stage']}"
    if found.cause in NO_CULPRIT:
        assert not found.suspects
    assert {one.cause for one in found.ruled_out} >= {Cause.WORKER, Cause.STAGE} - {found.cause}


@pytest.mark.parametrize("shape", ["interleaved", "gpipe", "dp only"])
def test_schedules_other_than_1f1b_are_replayed_too(shape):
    pp = 1 if shape == "dp only" else 4
    chunks = 2 if shape == "interleaved" else 1
    name = "1f1b" if pp == 1 else shape
    job = made(Plan(3, "worker", 4, pp, 8, 6, schedule=name, chunks=chunks))
    told = classify(dense(trace_files.rows(job.columns)))
    took = told.study.took
    again = replay(told.study.plan, took.take_s, took.wait_s)
    line = told.study.line
    real = line.end_s.max(axis=(0, 2)) - line.start_s.min(axis=(0, 2))
    assert again == pytest.approx(real, rel=1e-3)
    assert told.triage.cause is Cause.WORKER


def test_links_of_interleaved_chunks_pair_the_right_microbatches():
    job = made(Plan(5, "healthy", 2, 4, 8, 4, schedule="interleaved", chunks=2))
    line = dense(trace_files.rows(job.columns))
    plan = schedule(line)
    assert len(plan.links) == 2 * (4 * 2 - 1) * 8
    for sender, receiver in plan.links:
        assert line.end_s[sender] == pytest.approx(line.end_s[receiver], abs=1e-9)


def test_uneven_stages_under_uneven_sequences_are_weighed_not_guessed():
    """Both are there; whichever costs more is named, and the other is told with its cost."""
    for sigma, heavy, cause in ((0.4, 0.2, Cause.SEQUENCE), (0.04, 0.9, Cause.STAGE)):
        world = World(Plan(7, "healthy", 8, 4, 6, 10))
        world.mb += world.rng.normal(0, sigma, world.mb.shape)
        world.slow_stage[3] = heavy
        recorder, _ = run(world)
        columns = {name: np.concatenate(parts) for name, parts in recorder.rows.items()}
        found = classify(dense(trace_files.rows(columns))).triage
        assert found.cause is cause
        other = ({Cause.SEQUENCE, Cause.STAGE} - {cause}).pop()
        assert any(one.cause is other and "costs" in one.why for one in found.ruled_out)


def test_a_job_with_one_dp_rank_blames_no_worker():
    job = made(Plan(9, "stage-imbalance", 1, 4, 8, 8))
    found = classify(dense(trace_files.rows(job.columns))).triage
    assert found.cause is Cause.STAGE
    worker = next(one for one in found.ruled_out if one.cause is Cause.WORKER)
    assert "cannot be told" in worker.why


def test_a_group_is_not_explained_by_a_link_of_a_stage_whose_number_begins_alike():
    cell = [[(stage,) for stage in range(12)]] * 3
    line = SimpleNamespace(
        dps=(0, 1, 2), stages=tuple(range(12)), ranks=cell, nodes=[[""] * 12] * 3
    )
    link = moves.Unit("forward-send", 0, (10, 11), (0,))
    groups = [moves.Unit(kind, -1, (1, 1), (1,)) for kind in ("all-gather", "reduce-scatter")]
    found = moves.ends_of(
        SimpleNamespace(line=line), [(link, 1.0), *((one, 1.0) for one in groups)]
    )
    assert [one.what for one in found] == ["dp 0 stage 10-11", "DP group of stage 1"]


# ----------------------------------------------------------------------------------- replay


def two_stages(step_s: float = 0.0) -> dict[str, np.ndarray]:
    """One forward on each of two stages, one transfer of 1 s between them, in two steps."""
    rows = []
    for step in (0, 1):
        base = step * step_s
        rows += [
            (0, 0, 0, step, "forward-compute", base, 2.0, 0, 0, 0),
            (0, 0, 0, step, "forward-send", base + 2, 1.0, 0, -1, -1),
            (0, 1, 1, step, "forward-recv", base, 3.0, 0, -1, -1),
            (0, 1, 1, step, "forward-compute", base + 3, 4.0, 0, 0, 0),
        ]
    names = (*trace_files.NEEDED, *trace_files.ALSO)
    return {
        name: np.array(values, dtype=object if name == "optype" else float)
        for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }


def test_a_receive_that_waits_has_a_transfer_as_short_as_its_send():
    line = dense(trace_files.rows(two_stages()))
    plan = schedule(line)
    took = observed(line, plan)
    receive = next(at for at, op in enumerate(line.ops) if op.kind == "forward-recv")
    assert took.take_s[receive].ravel() == pytest.approx([1.0, 1.0])
    assert replay(plan, took.take_s) == pytest.approx([7.0, 7.0])


def test_a_shorter_operation_shortens_what_waits_for_it():
    line = dense(trace_files.rows(two_stages()))
    plan = schedule(line)
    take = observed(line, plan).take_s.copy()
    first = next(at for at, op in enumerate(line.ops) if op.kind == "forward-compute")
    take[first] /= 2
    assert replay(plan, take) == pytest.approx([6.0, 6.0])


def test_operations_in_a_circle_are_refused():
    columns = two_stages()
    columns["optype"] = np.array(
        ["forward-compute", "forward-send", "backward-recv", "backward-compute"] * 2, dtype=object
    )
    told = classify(dense(trace_files.rows(columns)))
    assert told.triage.cause is Cause.UNKNOWN


# ---------------------------------------------------------------------------------- parquet


@pytest.fixture(scope="module")
def worker_job():
    return made(Plan(4, "worker", 4, 2, 4, 5, how={}))


def written(columns, path: Path) -> Path:
    pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), path)
    return path


def test_a_bad_row_costs_that_row_and_is_counted(worker_job, tmp_path):
    columns = {name: list(values) for name, values in worker_job.columns.items()}
    columns["duration"][3] = float("nan")
    columns["start_ts"][9] = None
    columns["duration"][11] = -1.0
    found = traces.triage([written(columns, tmp_path / "t.parquet")]).triage
    assert found.cause is Cause.WORKER
    assert any("3 rows" in one for one in found.unseen)


def test_missing_numbers_of_operations_are_counted_up(worker_job):
    columns = {name: v for name, v in worker_job.columns.items() if name != "seq_id"}
    assert classify(dense(trace_files.rows(columns))).triage.cause is Cause.WORKER


def test_a_dp_rank_that_is_mostly_missing_is_left_out_and_said(worker_job):
    columns = worker_job.columns
    gone = (worker_job.truth["dp"] + 1) % 4
    keep = (columns["dp_rank"] != gone) | (columns["step"] == 100)
    found = classify(dense(trace_files.rows({k: v[keep] for k, v in columns.items()}))).triage
    assert any(f"missing: {gone}" in one for one in found.unseen)
    assert found.cause is Cause.WORKER


def test_too_few_steps_are_unknown(worker_job):
    columns = worker_job.columns
    keep = columns["step"] < 102
    found = classify(dense(trace_files.rows({k: v[keep] for k, v in columns.items()}))).triage
    assert found.cause is Cause.UNKNOWN
    assert not found.suspects


def test_a_trace_that_does_not_fit_is_read_in_part_and_that_is_said(worker_job, tmp_path):
    most = len(worker_job.columns["step"]) * 4 // 5
    rows = trace_files.read([written(worker_job.columns, tmp_path / "t.parquet")], most)
    assert len(np.unique(rows.step)) == 4
    assert "1 of 5 steps" in rows.unseen[0]


@pytest.mark.parametrize("cut", [0, 3, 4, 100, 0.5, 0.99])
def test_a_cut_parquet_is_one_line(worker_job, tmp_path, cut):
    whole = written(worker_job.columns, tmp_path / "whole.parquet").read_bytes()
    file = tmp_path / "t.parquet"
    file.write_bytes(whole[: cut if isinstance(cut, int) else int(cut * len(whole))])
    with pytest.raises(UserError, match=r"t\.parquet: ") as told:
        traces.triage([file])
    assert "\n" not in str(told.value)


def test_flipped_bytes_of_a_parquet_never_raise_anything_else(worker_job, tmp_path):
    whole = written(worker_job.columns, tmp_path / "whole.parquet").read_bytes()
    file = tmp_path / "t.parquet"
    rng = np.random.default_rng(1)
    for _ in range(25):
        broken = bytearray(whole)
        for at in rng.integers(4, len(whole), 3):
            broken[at] ^= int(rng.integers(1, 256))
        file.write_bytes(broken)
        try:
            traces.triage([file])
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_a_missing_column_is_named(worker_job, tmp_path):
    columns = {k: v for k, v in worker_job.columns.items() if k != "stage"}
    with pytest.raises(UserError, match="no column stage"):
        traces.triage([written(columns, tmp_path / "t.parquet")])


def test_words_in_a_column_of_numbers_are_named(worker_job, tmp_path):
    columns = {**worker_job.columns, "stage": np.array(["x"] * len(worker_job.columns["stage"]))}
    with pytest.raises(UserError, match="column stage"):
        traces.triage([written(columns, tmp_path / "t.parquet")])


def test_sizes_that_differ_from_the_jobs_are_said(worker_job, tmp_path):
    file = written(worker_job.columns, tmp_path / "t.parquet")
    found = traces.triage([file], {"dp_size": 8, "pp_size": 2}).triage
    assert "dp_size: the job has 8, the trace 4" in found.unseen
    found = traces.triage([file], {"colour": "red"}).triage
    assert any("colour" in one for one in found.unseen)


def test_nodes_of_the_job_name_the_suspects_node(worker_job, tmp_path):
    file = written(worker_job.columns, tmp_path / "t.parquet")
    names = [f"n{number:03}" for number in range(1, 9)]
    found = traces.triage([file], {"nodes": names, "ranks_per_node": 1}).triage
    first = found.suspects[0]
    assert first.node == names[first.ranks[0]]


# ----------------------------------------------------------------------------------- kineto


def kineto_files(tmp_path, **of_two) -> list[Path]:
    slowest = of_two.get("slow", 1.0)
    files = []
    for rank in range(4):
        how = of_two if rank == 2 else {}
        file = tmp_path / f"worker_{rank}.pt.trace.json"
        file.write_text(trace(rank, ahead_s=rank * 0.7, slowest=slowest, **how))
        files.append(file)
    return files


def test_a_slow_rank_is_found_in_kineto_whatever_its_clock(tmp_path):
    found = traces.triage(kineto_files(tmp_path, slow=1.3, host="n003")).triage
    assert found.cause is Cause.WORKER
    assert found.suspects[0].ranks == (2,)
    assert found.suspects[0].node == "n003"
    assert found.suspects[0].slowdown == pytest.approx(1.3, abs=0.02)
    assert any("clocks differ" in one for one in found.unseen)


def test_a_healthy_kineto_job_has_no_suspect(tmp_path):
    assert traces.triage(kineto_files(tmp_path)).triage.cause is Cause.HEALTHY


def test_a_small_file_that_unpacks_to_much_is_unpacked_bit_by_bit():
    packed = gzip.compress(b" " * (24 << 20)) + gzip.compress(b"the end")
    sizes = [len(one) for one in kineto_file.pieces(io.BytesIO(packed), kineto_file.Heard(0))]
    assert sum(sizes) == (24 << 20) + len("the end")
    assert max(sizes) <= kineto_file.CHUNK


def test_one_rank_s_file_alone_is_compared_with_nobody_and_never_healthy(tmp_path):
    found = traces.triage(kineto_files(tmp_path)[:1]).triage
    assert found.cause is Cause.UNKNOWN
    assert "every rank" in found.next_step
    assert not found.suspects


def test_two_files_of_one_rank_are_said(tmp_path):
    first, *others = kineto_files(tmp_path)
    again = tmp_path / f"again-{first.name}"
    again.write_bytes(first.read_bytes())
    found = traces.triage([again, first, *others]).triage
    assert any(first.name in line and "same rank" in line for line in found.unseen)


@pytest.mark.parametrize("key", ["ts", "dur"])
def test_a_time_of_hundreds_of_digits_costs_its_event(tmp_path, key):
    first, *others = kineto_files(tmp_path)
    told = json.loads(first.read_text())
    told["traceEvents"].append({"ph": "X", "name": "x", "ts": 1, "dur": 1, key: 10**400})
    first.write_text(json.dumps(told))
    assert any("1 rows" in line for line in traces.triage([first, *others]).triage.unseen)


def test_numbers_that_name_no_grid_at_all_are_no_timeline():
    """So many different ones that even their product is no number of an array."""
    every = np.arange(2_200_000)
    zero = np.zeros_like(every)
    time = every.astype(np.float64)
    odd = Rows(zero, every, zero, every, zero, time, time, every, zero, zero, ("x",))
    assert dense(odd) is None


def test_clocks_are_estimated_from_what_ends_together(tmp_path):
    rows = kineto.read(kineto_files(tmp_path))
    ends = dense(rows)
    places = ends.of("collective-allreduce")
    assert np.ptp(ends.end_s[places], axis=2).max() < 1e-3


def test_a_compressed_and_cut_kineto_file_gives_what_it_holds(tmp_path):
    files = kineto_files(tmp_path, slow=1.5)
    text = files[1].read_bytes()
    packed = gzip.compress(text)
    files[1].write_bytes(packed[: len(packed) * 9 // 10])
    found = traces.triage(files).triage
    assert any("cut" in one for one in found.unseen)
    assert found.cause in {Cause.WORKER, Cause.UNKNOWN}


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"traceEvents": 3}', '{"traceEvents": [1, "x", null, {}]}', "[[[[" * 9999],
)
def test_json_that_is_no_trace_is_one_line(tmp_path, text):
    file = tmp_path / "rank0.json"
    file.write_text(text)
    with pytest.raises(UserError) as told:
        traces.triage([file])
    assert "\n" not in str(told.value)


def test_files_of_two_kinds_are_refused(tmp_path):
    files = [tmp_path / "a.json", tmp_path / "b.log"]
    files[0].write_text("{}")
    files[1].write_text("step 1 time 2 s\n")
    with pytest.raises(UserError, match="one kind at a time"):
        traces.triage(files)


# -------------------------------------------------------------------------------- step logs


@pytest.mark.parametrize(
    ("line", "step", "seconds"),
    [
        ("step 12 | loss 2.1 | time/iter 1.25 s", 12, 1.25),
        ("step: 12 loss: 2.1 step_time: 980 ms", 12, 0.98),
        (
            " iteration   10/ 100 | consumed samples: 9 | elapsed time per iteration (ms): 1234.5",
            10,
            1.2345,
        ),
        ("steps: 10 loss: 0.5123 iter time (s): 1.234 samples/sec: 51.9", 10, 1.234),
        ("iter 10: loss 4.2345, time 123.45ms, mfu 12.3%", 10, 0.12345),
        (" 12%|█▏        | 12/100 [00:15<01:50,  1.25s/it]", 12, 1.25),
        (" 12%|█▏        | 12/100 [00:15<01:50,  4.00it/s]", 12, 0.25),
        ("loss went down", None, None),
        ("step x time 3 s", None, None),
    ],
)
def test_step_times_as_frameworks_print_them(line, step, seconds):
    found = step_logs.spoken(line)
    if step is None:
        assert found is None
    else:
        assert found == (step, pytest.approx(seconds))


def logs(tmp_path, seconds) -> list[Path]:
    """`seconds`: [step, rank]."""
    files = []
    for rank in range(seconds.shape[1]):
        file = tmp_path / f"rank{rank}.log"
        lines = [f"step {at} time/iter {one:.6f} s" for at, one in enumerate(seconds[:, rank])]
        file.write_text("starting\n" + "\n".join(lines) + "\nstep 99 ti")
        files.append(file)
    return files


def test_step_logs_that_differ_name_the_slow_rank(tmp_path):
    seconds = np.random.default_rng(0).normal(1, 0.01, (30, 8))
    seconds[:, 5] *= 1.2
    found = traces.triage(logs(tmp_path, seconds)).triage
    assert found.cause is Cause.WORKER
    assert found.suspects[0].ranks == (5,)


def test_even_pauses_of_all_ranks_are_checkpoints(tmp_path):
    job = np.random.default_rng(0).normal(1, 0.01, (40, 1))
    job[9::10] += 3
    found = traces.triage(logs(tmp_path, np.repeat(job, 4, axis=1))).triage
    assert found.cause is Cause.CHECKPOINT
    assert not found.suspects


def test_steady_steps_are_healthy_and_blame_nobody(tmp_path):
    job = np.random.default_rng(0).normal(1, 0.01, (40, 1))
    found = traces.triage(logs(tmp_path, np.repeat(job, 4, axis=1))).triage
    assert found.cause is Cause.HEALTHY
    assert any("cannot be told" in one.why for one in found.ruled_out)


def test_a_step_that_is_no_step_is_passed_over(tmp_path):
    file = tmp_path / "bar.log"
    bar = " 12%|#   | {}/100 [00:15<01:50, {}it/s]\n"
    file.write_text("".join(bar.format(step, "0.00" if step == 3 else "2.0") for step in range(30)))
    assert len(step_logs.read([file]).steps) == 29


def test_lines_that_make_no_table_are_one_line(tmp_path):
    """Every line another rank and another step: a table of them all would be the square."""
    file = tmp_path / "times.csv"
    rows = "\n".join(f"{number},{number},1" for number in range(5000))
    file.write_text(f"rank,step,seconds\n{rows}\n")
    with pytest.raises(UserError, match=r"times\.csv.*5000 ranks"):
        step_logs.read([file])


def test_a_table_of_step_times_with_bad_rows(tmp_path):
    rows = [f"{rank},{step},{1.3 if rank == 1 else 1}" for step in range(12) for rank in range(4)]
    file = tmp_path / "times.csv"
    file.write_text("rank,step,seconds\n" + "\n".join(rows) + "\nx,1,2\n1,2,nan\n")
    found = traces.triage([file]).triage
    assert found.suspects[0].ranks == (1,)
    assert any(one.startswith("2 lines") for one in found.unseen)


@pytest.mark.parametrize("content", [b"\x00\xff" * 50, b"nothing here\n", b"rank,step,seconds\n"])
def test_files_without_a_step_are_one_line(tmp_path, content):
    file = tmp_path / "x.log"
    file.write_bytes(content)
    with pytest.raises(UserError, match="no line tells a step"):
        traces.triage([file])


# ------------------------------------------------------------------------------------ shown


def test_the_page_is_whole_and_obeys_no_name(worker_job):
    told = classify(dense(trace_files.rows(worker_job.columns)))
    hostile = Suspect("<script>alert(1)</script>\x1b", (1,), '"><img src=x>', 2.0, 0.9, ("&<",))
    page = timeline.page(Triage(Cause.WORKER, 2.0, suspects=(hostile,)), told.study)
    ET.fromstring(page.split("\n", 1)[1])  # noqa: S314
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("<rect") == 8


def test_a_wide_job_is_folded_and_shows_its_slowest():
    job = made(Plan(2, "worker", 64, 2, 2, 4, how={}))
    told = classify(dense(trace_files.rows(job.columns)))
    heat = timeline.workers(told.study, 20)
    assert len(heat.columns) <= 20
    assert "shows the slowest" in heat.note
    assert np.nanmin(heat.share) == pytest.approx(1 / told.study.by_worker.max())
    console = Console(width=60, file=io.StringIO())
    console.print(timeline.as_table(told.study, 60))
    assert max(map(len, console.file.getvalue().splitlines())) <= 60


def test_json_has_the_published_figures(worker_job):
    told = classify(dense(trace_files.rows(worker_job.columns)))
    figures = timeline.figures(told.study)["what_if"]
    assert {"slowdown", "m_w", "m_s", "by_operation", "by_dp", "by_stage"} <= set(figures)
    assert set(figures["by_stage"]) == {"0", "1"}


def test_the_numbers_of_rows_do_not_matter_to_what_is_read():
    empty = np.empty(0, dtype=np.int64)
    none = np.empty(0)
    rows = Rows(empty, empty, empty, empty, empty, none, none, empty, empty, empty, ())
    assert dense(rows) is None
    assert classify(None).triage.cause is Cause.UNKNOWN


def test_the_generator_never_plants_what_costs_nothing():
    for cause in CAUSES[2:]:
        assert made(drawn(1, cause, steps=5)).slowdown >= 1.03
