"""Sixteen nights of a small fleet: who was swapped, what failed since when, what may go."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import fsspec
import pandas as pd
import pytest
from acting import drained
from scripted import NOON
from sentences import english
from test_chinese import CHINESE
from typer.testing import CliRunner

from clusterctl import store
from clusterctl.act import journal
from clusterctl.act.deed import Action, Outcome, Told
from clusterctl.act.journal import Journal
from clusterctl.campaign.folder import DECISIONS
from clusterctl.cli import app
from clusterctl.cli.language import ASKED
from clusterctl.judge import beside_past
from clusterctl.memory import acks, cache, dataset, identity, story
from clusterctl.memory.digest import tonight
from clusterctl.memory.folder import open_folder
from clusterctl.memory.prune import citations
from clusterctl.memory.quantities import quantities
from clusterctl.memory.series import series
from clusterctl.memory.yardstick import OwnPast
from clusterctl.model import (
    Accelerator,
    Burn,
    Copy,
    Finding,
    Node,
    Observation,
    Optic,
    Playbook,
    Run,
    Severity,
    Status,
    UserError,
    Verdict,
    Version,
)
from clusterctl.rejudge import again

NIGHTS = 16
NODES = tuple(Node(f"n{n}", labels={"rack": f"r{n // 2}"}) for n in range(4))
H2D = next(one for one in quantities() if one.name == "h2d")
SWAP, DECAY, FAILS = 9, 10, 6  # the night of each


def card(node: int, gpu: int, who: str, *, pci: int | None = None) -> Accelerator:
    slot = f"0000:{(gpu if pci is None else pci) + 16:02x}:00.0"
    return Accelerator(
        f"gpu{gpu}", "nvidia", gpu, f"GPU-{who}", f"S{who}", "H100", slot,
        temp_c=40.0 + gpu, utilisation_percent=0.0,
    )  # fmt: skip


def cards(node: int, night: int) -> list[Accelerator]:
    """n1 gets the card of n3 gpu1 on one night; on n2 a card is lost and the other moves up."""
    own = [card(node, gpu, f"{node}{gpu}{node}{gpu}") for gpu in range(2)]
    if night >= SWAP and node == 1:
        own[0] = card(1, 0, "3131")
    if night >= SWAP and node == 3:
        own = own[:1]
    if night >= SWAP and node == 2:
        own = [replace(own[1], part="gpu0", index=0)]
    return own


def seen(night: int) -> list[Observation]:
    at = NOON + timedelta(days=night)
    made = []
    for number, node in enumerate(NODES):
        there = cards(number, night)
        speed = 55.0 if (number, night) < (3, DECAY) else 55.0 * (1 - 0.02 * (night - DECAY + 1))
        copies = [Copy(f"host>{one.part}", "nvbandwidth", speed, 1 << 28) for one in there]
        kernel = Version("kernel", "5.15.1" if number < 2 and night > 12 else "5.15.0")
        made.append(Observation(node.name, "nvml", at, (*there, *copies, kernel)))
    return made


def findings(night: int) -> list[Finding]:
    made = []
    for node in NODES:
        for part in ("gpu0", "gpu1"):
            bad = node.name == "n2" and part == "gpu0" and night >= FAILS
            status, why = (Status.FAIL, "data was lost") if bad else (Status.PASS, "")
            made.append(
                Finding("ecc", Verdict(node.name, part, status, "≤ 0", "2" if bad else "0", why))
            )
    sick = Verdict("n0", "gpu1", Status.FAIL, "none", "XID 79", severity=Severity.REBOOT_NODE)
    well = replace(sick, status=Status.PASS, severity=Severity.NONE)
    return [*made, Finding("xid", sick if night in {2, 4, 5} else well)]


def kept(runs: Path, night: int) -> str:
    at = NOON + timedelta(days=night)
    run = Run(
        f"{at:%Y%m%dT%H%M%S}-nightly-{night:04x}", Playbook("nightly"), NODES, 1, at, at,
        tuple(seen(night)), tuple(findings(night)), verb="burnin" if night == 0 else "sweep",
    )  # fmt: skip
    recorder = store.Recorder(runs, run.id)
    recorder.begin(store.describe(run))
    (recorder.path / "answers-now.jsonl.gz").write_bytes(b"x" * 1000)
    recorder.finish(run)
    return run.id


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    for night in range(NIGHTS):
        kept(runs, night)
    cache.memory(open_folder(runs))
    return runs


@pytest.fixture
def runs(told, tmp_path):
    return Path(shutil.copytree(told, tmp_path / "runs"))


def name_of(night: int) -> str:
    return f"{NOON + timedelta(days=night):%Y%m%dT%H%M%S}-nightly-{night:04x}"


def said(*words: str, runs: Path | str) -> str:
    done = CliRunner().invoke(app, [*words, "--runs-dir", str(runs)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


# --------------------------------------------------------------------------- identity


def test_another_serial_in_a_slot_is_a_swap_and_a_number_that_shifts_is_none(told):
    (swap,) = identity.swaps(cache.memory(open_folder(told)))
    assert (swap.node, swap.part, swap.since) == ("n1", "gpu0", NOON + timedelta(days=SWAP))
    assert (swap.old, swap.new) == ("S1010 (GPU-1010)", "S3131 (GPU-3131)")
    assert swap.came_from == "n3 gpu1"
    assert identity.swaps(cache.memory(open_folder(told)), ["n0", "n2"]) == []


def test_a_card_that_moves_takes_its_past_along(told):
    quantity = next(one for one in quantities() if one.name == "gpu_temperature")
    made = series(cache.memory(open_folder(told)), quantity)
    (row,) = made.parts.index[made.parts["mark"] == "GPU-3131"]
    assert made.parts.loc[row, "node"] == "n1"
    assert made.numbers[row].tolist() == [41.0] * SWAP + [40.0] * (NIGHTS - SWAP)
    (gone,) = made.parts.index[made.parts["mark"] == "GPU-1010"]
    assert sum(made.numbers[gone] > 0) == SWAP


def test_without_a_slot_s_address_a_card_that_moves_up_is_no_swap():
    def rows(*seats: tuple[str, str]) -> pd.DataFrame:
        cells = [("n1", part, mark, mark, "") for part, mark in seats]
        return pd.DataFrame(cells, columns=["node", "part", "mark", "serial", "slot"])

    before = rows(("gpu0", "A"), ("gpu1", "B")).assign(started=pd.Timestamp(NOON))
    later = pd.Timestamp(NOON + timedelta(days=1))
    lost = pd.concat([before, rows(("gpu0", "B")).assign(started=later)])
    assert list(identity.swapped(lost, "accelerator")) == []
    new = pd.concat([before, rows(("gpu0", "C"), ("gpu1", "B")).assign(started=later)])
    assert [one.new for one in identity.swapped(new, "accelerator")] == ["C"]


@pytest.mark.parametrize(("night", "count"), [(SWAP, 1), (SWAP + 1, 0)])
def test_a_swap_is_a_finding_of_the_first_night_that_sees_it(told, night, count):
    past = OwnPast(told, frozenset(), NOON + timedelta(days=night))
    found = past(NODES, seen(night))
    assert [one.check for one in found] == ["swapped"] * count
    for one in found:
        assert (one.verdict.status, one.verdict.yardstick) == (Status.WARN, "past")
        assert (
            one.verdict.why
            == "since 2026-01-10 another accelerator sits here; the new one came from n3 gpu1"
        )


def test_the_night_after_a_swap_the_slot_passes_so_that_the_finding_ends(runs):
    at = NOON + timedelta(days=NIGHTS)
    before = findings(NIGHTS - 1)
    (swap,) = identity.swaps(cache.memory(open_folder(runs)))
    table = runs / name_of(NIGHTS - 1) / "findings.parquet"
    store.write_findings(table, [*before, identity.finding(swap)])
    found = OwnPast(runs, frozenset(), at)(NODES, seen(NIGHTS))
    assert [(one.check, one.verdict.part, one.verdict.status) for one in found] == [
        ("swapped", "gpu0", Status.PASS)
    ]
    silent = [one for one in seen(NIGHTS) if one.node != "n1"]
    assert OwnPast(runs, frozenset(), at)(NODES, silent) == []


# --------------------------------------------------------------------------- the third yardstick


def test_decay_is_a_finding_of_its_check_and_takes_the_pass_from_its_part(told):
    at = NOON + timedelta(days=NIGHTS)
    found = OwnPast(told, frozenset({"gpu_bandwidth"}), at)(NODES, seen(NIGHTS))
    assert [(one.check, one.verdict.node, one.verdict.part) for one in found] == [
        ("gpu_bandwidth", "n3", "host>gpu0")
    ]
    assert found[0].verdict.why == "H2D down 10 % in 6 days"
    well = Finding("gpu_bandwidth", replace(found[0].verdict, status=Status.PASS))
    other = replace(well, check="temperature")
    assert beside_past([well, other], found) == [other, *found]


def test_without_a_past_nothing_is_compared_and_nothing_is_said(tmp_path, told):
    at = NOON + timedelta(days=NIGHTS)
    every = frozenset({"gpu_bandwidth"})
    assert OwnPast(tmp_path, every, at)(NODES, seen(NIGHTS)) == []
    assert OwnPast(tmp_path / "nowhere", every, at)(NODES, seen(NIGHTS)) == []
    assert OwnPast(told, every, NOON)(NODES, seen(0)) == []


# --------------------------------------------------------------------------- digests


def test_a_broken_digest_is_made_again_and_a_lost_one_too(runs, caplog):
    before = dataset.findings(runs)
    place = runs.joinpath(*cache.PLACE)
    (place / "bad" / f"{name_of(7)}.parquet").write_bytes(b"PAR1")
    (place / "about" / f"{name_of(8)}.parquet").write_bytes(b"")
    assert dataset.findings(runs).equals(before)
    assert "made again" in caplog.text
    shutil.rmtree(runs / ".memory")
    assert dataset.findings(runs).equals(before)
    assert not list(runs.rglob("*.new"))


def test_digests_are_as_private_as_runs_and_two_at_once_only_do_the_work_twice(runs):
    before = dataset.findings(runs)
    shutil.rmtree(runs / ".memory")
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(dataset.findings, [runs, runs])
    assert one.equals(before)
    assert other.equals(before)
    assert (runs / ".memory").stat().st_mode & 0o077 == 0
    assert not list(runs.rglob("*.new"))


def test_where_no_digest_can_be_kept_that_is_said_and_a_sweep_goes_on(runs, caplog):
    shutil.rmtree(runs / ".memory")
    (runs / ".memory").write_text("in the way")
    with pytest.raises(UserError, match=r"\.memory.*make room"):
        dataset.findings(runs)
    assert OwnPast(runs, frozenset(), NOON + timedelta(days=99))(NODES, seen(NIGHTS)) == []
    assert "nothing was compared with its own past" in caplog.text


def test_a_run_json_of_another_shape_costs_that_run(runs, caplog):
    shutil.rmtree(runs / ".memory")
    about = json.loads((runs / name_of(3) / "run.json").read_text())
    (runs / name_of(3) / "run.json").write_text(json.dumps({**about, "campaign": "yes"}))
    (runs / name_of(4) / "run.json").write_text(json.dumps({**about, "nodes": [7]}))
    assert {name_of(3), name_of(4)}.isdisjoint(dataset.findings(runs).run)
    assert caplog.text.count("left out") == 2


def test_a_run_that_somebody_deletes_meanwhile_is_left_out(runs):
    known = cache.memory(open_folder(runs))
    shutil.rmtree(runs / name_of(7))
    (runs / ".memory/1/bad" / f"{name_of(7)}.parquet").write_bytes(b"torn")
    told_of = set(known.frame("bad", ["node"])["run"].astype("str"))
    assert name_of(8) in told_of
    assert name_of(7) not in told_of


def test_a_run_whose_tables_changed_is_digested_anew(runs):
    store.write_findings(runs / name_of(15) / "findings.parquet", findings(15)[:1])
    assert set(dataset.findings(runs).query(f"run == '{name_of(15)}'").node) == set()


def test_runs_in_a_bucket_answer_as_on_disk(told, caplog):
    bucket = fsspec.filesystem("memory")
    for file in told.rglob("*"):
        if file.is_file() and ".memory" not in file.parts:
            bucket.pipe(f"/runs/{file.relative_to(told)}", file.read_bytes())
    found = dataset.findings("memory://runs")
    assert found.equals(dataset.findings(told))
    assert bucket.exists("/runs/.memory/1/about")
    with pytest.raises(UserError, match="nowhere"):
        dataset.findings("memory://nowhere")


def test_what_was_done_to_a_node_is_read_from_the_bucket_and_not_from_here(runs):
    journalled(runs, (drained("n2"), Outcome.DONE), (drained("n3", id="b"), Outcome.REFUSED))
    bucket = fsspec.filesystem("memory")
    for file in runs.rglob("*"):
        if file.is_file():
            bucket.pipe(f"/copied/{file.relative_to(runs)}", file.read_bytes())
    done = said("history", "n[2-3]", "--format", "json", runs="memory://copied")
    whats = {one["node"]: one["what"] for one in json.loads(done)["repairs"] if "by" in one["what"]}
    assert whats["n2"].startswith("drain by root@c: clusterctl r0 xid")
    assert whats["n3"].endswith(" (refused)")


@pytest.mark.parametrize("verb", [("prune",), ("ack", "--list"), ("show", "last")])
def test_a_url_is_no_folder_to_verbs_that_write(verb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner(env={"CLUSTERCTL_RUNS_DIR": "s3://bucket/runs"}).invoke(app, [*verb])
    assert done.exit_code == 2
    assert "URLs are for history" in done.output
    assert not list(tmp_path.iterdir())


def test_what_a_url_needs_is_said():
    with pytest.raises(UserError, match=r"needs .*s3fs"):
        open_folder("s3://bucket/runs")


# --------------------------------------------------------------------------- the verbs


def test_history_of_a_node_folds_nights_and_says_since_when(told):
    shown = json.loads(said("history", "n2", "--format", "json", runs=told))
    stretches = [(one["nights"], one["what"]) for one in shown["nights"]]
    assert stretches == [(NIGHTS - FAILS, "FAIL ecc gpu0"), (FAILS, "nothing to act on")]
    (finding,) = shown["findings"]
    assert (finding["since"], finding["bad_nights"], finding["judged_nights"]) == (
        "2026-01-07", NIGHTS - FAILS, NIGHTS,
    )  # fmt: skip
    assert shown["repairs"][0]["what"].endswith("ACCEPT (accepted)")
    swapped = json.loads(said("history", "n1", "--format", "json", runs=told))["swaps"]
    assert [(one["since"], one["now"]) for one in swapped] == [("2026-01-10", "S3131 (GPU-3131)")]


def test_history_of_a_check_is_of_all_nodes_and_of_its_time(told):
    assert "1 have them now" in said("history", "--check", "ecc", runs=told)
    xids = said("history", "--check", "xid", "--format", "csv", runs=told).splitlines()
    assert xids[1].startswith("n0,xid,gpu1,pass,fail,2026-01-03,2026-01-06,3,16,2")
    assert "0 parts" in said("history", "--check", "xid", "--since", "2026-01-08", runs=told)


def test_lemons_say_why(told):
    shown = json.loads(said("history", "--lemons", "--format", "json", runs=told))
    assert {one["node"] for one in shown["lemons"]} == {"n0", "n1", "n2"}
    assert shown["lemons"][0]["node"] == "n0"
    assert "3 nights out of service" in shown["lemons"][0]["evidence"]


def test_a_diff_folds_what_is_the_same_by_what_the_nodes_share(told):
    shown = json.loads(said("diff", name_of(0), "last", "--format", "json", runs=told))
    assert [tuple(one.values())[:4] for one in shown["changes"]] == [
        ("bad", "n2", "ecc", "gpu0"),
        ("changed", "n0,n1", "kernel", ""),
    ]
    assert "n[0-1]" in said("diff", name_of(0), "last", runs=told)
    assert "nothing changed" in said("diff", runs=told)


def test_a_trend_shows_parts_nodes_or_racks_and_all_its_numbers_as_csv(told):
    shown = said("trend", "h2d", "--by", "node", "--since", "2026-01-09", runs=told)
    assert shown.index("n3") < shown.index("n0")
    assert "1 of 4 surely go down" in shown
    rack = said("trend", "h2d", "rack=r1", "--format", "csv", runs=told).splitlines()
    assert {line.split(",")[0].split()[0] for line in rack[1:]} == {"n2", "n3"}
    whole = json.loads(said("trend", "h2d", "n3", "--format", "json", runs=told))
    gone = next(one for one in whole["trend"] if "gpu1" in one["what"])["course"]
    assert len(gone) == len(whole["nights"]) == NIGHTS
    assert gone[SWAP:] == [None] * (NIGHTS - SWAP)


def test_a_trend_is_drawn(told, tmp_path):
    pytest.importorskip("matplotlib")
    said("trend", "h2d", "--png", str(tmp_path / "h2d.png"), runs=told)
    assert (tmp_path / "h2d.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("history",), "history of what?"),
        (("history", "n77"), "n77: in none of 16 runs"),
        (("history", "n0", "--since", "soon"), "--since soon: give 30d"),
        (("trend", "speed"), "speed: no such number"),
        (("trend", "h2d", "n77"), "n77: no such node"),
        (("trend", "h2d", "--by", "moon"), "--by moon: part, node or a label: rack"),
        (("diff", "last~99"), "last~99: no sweep or burn-in"),
        (("prune", "--keep", "always"), "--keep always: give an age"),
    ],
)
def test_a_mistake_is_one_line(told, words, line):
    done = CliRunner().invoke(app, [*words, "--runs-dir", str(told)])
    assert isinstance(done.exception, UserError)
    assert line in str(done.exception)
    assert "\n" not in str(done.exception)


def test_a_night_that_says_two_things_of_a_part_is_one_bad_night(told):
    columns = ["run", "node", "check", "part", "status", "expected", "actual", "why"]
    rows = [("r1", "pass", ""), ("r2", "warn", "a"), ("r2", "fail", "b"), ("r3", "fail", "b")]
    cells = [(run, "n1", "ecc", "gpu0", status, "0", "1", why) for run, status, why in rows]
    frame = pd.DataFrame(cells, columns=columns).assign(
        started=[NOON + timedelta(days=int(run[1])) for run, *_ in rows]
    )
    (trace,) = story.traces(frame)
    assert (trace.bad, trace.judged, trace.episodes, trace.now) == (2, 3, 1, "fail")
    twice = pd.concat([frame, frame.iloc[[2]]])
    known = cache.memory(open_folder(told)).nights[:3]
    nights = [replace(night, id=f"r{number}") for number, night in enumerate(known, 1)]
    assert [one.wrong for one in story.stretches(twice, "n1", nights)] == [
        (), (("ecc", "fail", ("gpu0",)), ("ecc", "warn", ("gpu0",))), (("ecc", "fail", ("gpu0",)),),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--check", "eec"), "--check eec: judged on none of 16 nights"),
        (("--check", "eec"), "did you mean 'ecc'?"),
        (("--check", "fan"), "--check fan: judged on none of 16 nights"),
        (("n9", "--check", "ecc"), "n9: in none of 16 runs"),
    ],
)
def test_what_no_night_judged_is_not_told_as_without_findings(told, words, says):
    done = CliRunner().invoke(app, ["history", *words, "--runs-dir", str(told)])
    assert says in str(done.exception)


def test_a_node_that_no_night_knows_is_named_beside_those_that_some_do(told):
    assert "n9: in none of these runs" in said("history", "n2,n9", "--check", "ecc", runs=told)
    assert "n9: in none of these runs" in said("history", "n2,n9", runs=told)


# --------------------------------------------------------------------------- prune


def test_prune_tells_first_and_then_frees_what_no_open_case_cites(runs):
    before = said("history", "n2", runs=runs)
    assert "nothing was deleted: say --yes" in said("prune", "--keep", "0d", runs=runs)
    assert len(list(runs.rglob("answers-*"))) == NIGHTS
    shown = said("prune", "--keep", "0d", "--yes", "--format", "json", runs=runs)
    why = {one["run"]: one["what"] for one in json.loads(shown)["runs"]}
    whole = {run for run, what in why.items() if what != "answers go"}
    assert whole == {name_of(FAILS), name_of(NIGHTS - 1)}
    assert why[name_of(FAILS)] == "ecc of n2 gpu0 is not resolved"
    assert {file.parent.name for file in runs.rglob("answers-*")} == whole
    assert said("history", "n2", runs=runs) == before
    with pytest.raises(UserError, match="was pruned"):
        again(store.find(runs, name_of(3)), runs, None)
    raw = CliRunner().invoke(app, ["show", name_of(3), "--raw", "n2", "--runs-dir", str(runs)])
    assert "was pruned" in str(raw.exception)


def test_an_ack_keeps_what_it_speaks_of_though_it_is_well_again(runs):
    later = acks.Ack(
        "a1", frozenset({"n0"}), "xid", NOON + timedelta(days=9999), "ann", "RMA 4711", NOON
    )
    acks.give(runs, later)
    said("prune", "--keep", "0d", "--yes", runs=runs)
    assert (runs / name_of(4) / "answers-now.jsonl.gz").exists()
    assert (runs / name_of(5) / "answers-now.jsonl.gz").exists()
    assert not (runs / name_of(2) / "answers-now.jsonl.gz").exists()


def journalled(runs: Path, *actions: tuple[Action, Outcome]) -> None:
    kept_in = Journal(runs / journal.NAME)
    for action, outcome in actions:
        kept_in.begin(action)
        kept_in.end(action, Told(outcome), action.at)


def test_a_drain_keeps_its_run_until_it_is_undone_and_not_only_tried_to(runs):
    well = name_of(3)
    drain = drained("n3", run=well)
    undrain = drained("n3", id="u", verb="undrain", run=name_of(2), hours_ago=0.5)
    journalled(runs, (drain, Outcome.DONE), (undrain, Outcome.REFUSED))
    told = json.loads(said("prune", "--keep", "0d", "--format", "json", runs=runs))["runs"]
    why = {one["run"]: one["what"] for one in told}
    assert why[well] == "n3 was drained for its xid"
    assert why[name_of(2)] == "answers go"
    journalled(runs, (replace(undrain, id="v"), Outcome.DONE))
    assert "n3 was drained" not in said("prune", "--keep", "0d", runs=runs)


def test_a_campaign_that_somebody_leads_keeps_all_it_has(runs):
    for night in (2, 3):
        (runs / name_of(night) / DECISIONS).touch()
    with (runs / name_of(2) / DECISIONS).open("ab") as led:
        fcntl.flock(led, fcntl.LOCK_EX)
        told = json.loads(said("prune", "--keep", "0d", "--format", "json", runs=runs))["runs"]
    why = {one["run"]: one["what"] for one in told}
    assert why[name_of(2)] == "a campaign that somebody leads"
    assert why[name_of(3)] == "answers go"


def test_what_many_share_is_over_when_a_later_night_does_not_tell_it():
    columns = ["node", "check", "part", "run", "status"]
    shared = [("n1,n2", "psu", "rack=r7", run, "fail") for run in ("r1", "r2")]
    later = [("n3", "ecc", "gpu0", "r3", "fail")]
    still = pd.DataFrame(shared, columns=columns)
    assert citations(still, []) == dict.fromkeys(
        ("r1", "r2"), "psu of n1,n2 rack=r7 is not resolved"
    )
    over = pd.DataFrame([*shared, *later], columns=columns)
    assert set(citations(over, [])) == {"r3"}


def test_nothing_is_pruned_where_a_drain_cannot_be_read(runs):
    (runs / journal.NAME).write_text("{}\n")
    done = CliRunner().invoke(app, ["prune", "--keep", "0d", "--yes", "--runs-dir", str(runs)])
    assert "actions.jsonl:1: not an action" in str(done.exception)
    assert len(list(runs.rglob("answers-*"))) == NIGHTS


# --------------------------------------------------------------------------- marks


def test_a_serial_that_many_have_marks_nobody_and_one_module_in_two_ports_marks_both():
    def optic(node: str, part: str, serial: str) -> Observation:
        return Observation(node, "optics", NOON, (Optic(part, serial=serial, temp_c=40.0),))

    rows = tonight(
        [
            optic("n0", "mlx5_0/1", "0123456789"),
            optic("n1", "mlx5_0/1", "0123456789"),
            optic("n2", "mlx5_0/1", "MT4711"),
            optic("n2", "mlx5_1/1", "MT4711"),
            optic("n3", "mlx5_0/1", "N/A"),
        ]
    )["Optic"]
    assert rows["mark"].tolist() == ["", "", "MT4711 mlx5_0/1", "MT4711 mlx5_1/1", ""]
    assert rows["who"].nunique() == 5


def test_of_two_tools_that_tell_the_same_the_one_that_tells_it_most_is_believed():
    def told_by(probe: str, part: str, temp_c: float) -> Observation:
        fact = Accelerator(part, uuid=f"GPU-{part}", temp_c=temp_c)
        return Observation("n0", probe, NOON, (fact,))

    seen_ = [told_by("nvml", "gpu0", 40), told_by("nvml", "gpu1", 41), told_by("smi", "gpu0", 99)]
    assert tonight(seen_)["Accelerator"]["temp_c"].tolist() == [40, 41]


def test_what_a_card_does_under_load_is_its_own_wherever_it_sits():
    def burnt(node: str) -> Observation:
        burn = Burn("gpu0", "cuda", 60.0, rate=600.0, rate_unit="tflop_s")
        return Observation(node, "gpu_burn", NOON, (Accelerator("gpu0", uuid="GPU-aaaa"), burn))

    here, there = (tonight([burnt(node)])["Burn"] for node in ("n0", "n1"))
    assert here["who"].tolist() == there["who"].tolist()
    assert here["mark"].tolist() == [""]


def test_a_fleet_in_which_all_is_well_and_nothing_has_a_serial_answers_too(tmp_path):
    well = Finding("ecc", Verdict("n0", "gpu0", Status.PASS))
    for night in range(2):
        at = NOON + timedelta(days=night)
        run = Run(
            name_of(night), Playbook("nightly"), NODES[:1], 1, at, at,
            (Observation("n0", "os", at, (Version("kernel", "5.15"),)),), (well,),
        )  # fmt: skip
        recorder = store.Recorder(tmp_path, run.id)
        recorder.begin(store.describe(run))
        recorder.finish(run)
    assert dataset.findings(tmp_path).empty
    assert identity.swaps(cache.memory(open_folder(tmp_path))) == []
    assert OwnPast(tmp_path, frozenset({"ecc"}), NOON + timedelta(days=5))(NODES, ()) == []
    assert "nothing to act on" in said("history", "n0", runs=tmp_path)
    assert "0 parts had findings" in said("history", "--check", "ecc", runs=tmp_path)
    assert "0 lemons" in said("history", "--lemons", runs=tmp_path)
    assert "nothing changed" in said("diff", runs=tmp_path)
    assert "nothing to prune" in said("prune", "--keep", "0d", runs=tmp_path)
    done = CliRunner().invoke(app, ["trend", "h2d", "--runs-dir", str(tmp_path)])
    assert "h2d: nobody told it in 2 runs" in str(done.exception)


@pytest.fixture
def in_chinese() -> Iterator[tuple[str, str]]:
    yield ("--lang", "zh")
    ASKED.set(None)


def test_all_that_looks_back_is_told_in_chinese_where_that_is_asked(runs, in_chinese):
    end = NOON + timedelta(days=99)
    acks.give(runs, acks.Ack("a1", frozenset({"n2"}), "ecc", end, "root", "RMA-7", NOON))
    theirs = re.compile("data was lost|RMA-7|kernel|root|ecc|H2D|burnin|sweep|[┃│]")
    for words in (
        *(("history", "n2"), ("history", "n1"), ("history", "--check", "ecc")),
        *(("history", "--lemons"), ("diff", name_of(0), "last"), ("diff",)),
        *(("trend", "h2d", "--by", "node"), ("prune", "--keep", "0d"), ("prune", "--keep", "900d")),
        ("ack", "--list"),
    ):
        page = said(*words, *in_chinese, runs=runs)
        assert [line for line in page.splitlines() if english(theirs.sub(" ", line))] == [], words
        assert CHINESE.search(page)
