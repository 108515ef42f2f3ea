"""Twelve nights of a small fleet, swept, kept and told as every night is; then acks and golden."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent / "bench"))

import nights as bench
from nights_fleet import NEW_DRIVER, OLD_DRIVER, Fleet

from clusterctl import store
from clusterctl.memory import acks, golden, nights
from clusterctl.memory.life import Stage, changed, changes
from clusterctl.memory.movers import Mover, few, of_one
from clusterctl.memory.nights import FILE, read, remember
from clusterctl.memory.quantities import quantities
from clusterctl.memory.series import Series
from clusterctl.model import Kind, Playbook, Run, Trouble, UserError, Version
from clusterctl.report import html, morning
from clusterctl.report.accounts import account
from clusterctl.report.records import as_json
from clusterctl.report.sparks import spark
from clusterctl.report.standings import looked_at

NODES, NIGHTS = 64, 12


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    fleet = Fleet(NODES, NIGHTS)
    return fleet, bench.live(fleet, runs), runs


def pages(runs: Path):
    return [(path, read(path)) for path in sorted(runs.glob("*-nightly-*"))]


def clusterctl(*words: str, runs: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "clusterctl", *words, "--runs-dir", str(runs)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "300", "HOME": str(runs), "LANG": "C.UTF-8"},
    )


def test_every_fault_is_on_the_page_of_its_first_morning(lived):
    fleet, seen, _ = lived
    told = bench.score(fleet, seen)
    assert (told.first_morning, told.faults) == (10, 10)


def test_a_rollout_and_a_switchs_reboot_are_one_finding_each(lived):
    fleet, seen, _ = lived
    told = bench.score(fleet, seen)
    assert {
        count for name, count in told.findings.items() if "rollout" in name or "leaf" in name
    } == {1}


def test_hardly_a_line_is_about_nothing(lived):
    fleet, seen, _ = lived
    told = bench.score(fleet, seen)
    assert len(told.astray) <= 0.1 * told.lines, told.astray


def test_nights_on_which_nothing_was_planted_are_silent(tmp_path):
    seen = bench.live(Fleet(NODES, 4, story=()), tmp_path)
    assert seen.lines == []


# --------------------------------------------------------------------------- how it is kept


def test_a_page_is_read_as_it_was_written(lived, tmp_path):
    *_, runs = lived
    path, page = pages(runs)[-1]
    run = store.load(store.stored(path))
    nights.write(tmp_path / FILE, page, run)
    assert read(tmp_path) == page
    assert page.before == pages(runs)[-2][0].name


def last_run(runs: Path):
    return store.load(store.stored(pages(runs)[-1][0]))


def next_night(runs: Path, folder: Path, **changes):
    """The last night once more, a day later, remembered in a folder beside the others."""
    run = last_run(runs)
    later = timedelta(days=1)
    again = replace(
        run,
        id=f"{run.started + later:%Y%m%dT%H%M%S}-nightly-ffff",
        started=run.started + later,
        finished=run.finished + later,
        **changes,
    )
    return remember(again, folder, runs)


def test_a_memory_that_is_broken_is_said_and_an_older_one_is_used(lived, tmp_path, caplog):
    *_, runs = lived
    newest = pages(runs)[-1][0] / FILE
    whole = newest.read_bytes()
    try:
        newest.write_bytes(whole[: len(whole) // 2])
        page = next_night(runs, tmp_path)
    finally:
        newest.write_bytes(whole)

    assert page.before == pages(runs)[-2][0].name
    assert "an older one is used" in caplog.text
    assert all(one.stage is not Stage.NEW for one in page.told if one.life.since < page_start(runs))


def page_start(runs: Path) -> datetime:
    return store.stored(pages(runs)[-1][0]).started


def test_a_playbook_that_is_called_alike_is_another_one(lived, tmp_path):
    *_, runs = lived
    other = runs / "20991231T020000-nightly-gpu-0001"
    shutil.copytree(pages(runs)[-1][0], other)
    try:
        page = next_night(runs, tmp_path)
    finally:
        shutil.rmtree(other)
    assert page.before == pages(runs)[-1][0].name


def test_runs_from_before_there_was_a_memory_are_gone_through_once(lived, tmp_path):
    *_, runs = lived
    old = tmp_path / "runs"
    old.mkdir()
    for path, _ in pages(runs)[-3:]:
        (old / path.name).mkdir()
        for file in path.iterdir():
            if file.name != FILE:
                (old / path.name / file.name).symlink_to(file)
    page = next_night(old, tmp_path)
    assert page.before == pages(runs)[-1][0].name
    assert page.told
    assert not {one.stage for one in page.told} & {Stage.NEW, Stage.WORSE, Stage.BACK}


def test_a_full_disk_costs_the_memory_and_not_the_night(lived, tmp_path, caplog):
    *_, runs = lived
    page = next_night(runs, tmp_path / "not there")
    assert page.told
    assert "looks further back" in caplog.text


# Without a time of packing in it: the workers of one run must name their tests alike.
@pytest.mark.parametrize(
    "junk",
    [b"", b"{}", gzip.compress(b"[]", mtime=0), gzip.compress(b'{"schema":9}', mtime=0)],
)
def test_junk_is_no_page(tmp_path, junk):
    (tmp_path / FILE).write_bytes(junk)
    assert read(tmp_path) is None


# --------------------------------------------------------------------------- what is printed


def printed(run, page) -> str:
    text = StringIO()
    console = Console(file=text, width=160)
    console.print(morning.summary(run, page, account(run)))
    return text.getvalue()


def test_what_changed_stands_first_and_what_is_known_in_a_line_a_check(lived):
    *_, runs = lived
    path, page = next((p, page) for p, page in pages(runs) if page.before and changed(page.told))
    text = printed(store.load(store.stored(path)), page)
    first = text.index("changed since")
    assert "new" in text[first:]
    assert text.rstrip().splitlines()[-1].startswith("nightly ")
    last, page = pages(runs)[-1]
    lines = printed(store.load(store.stored(last)), page).splitlines()
    assert any(line.startswith("known: ") for line in lines)
    known = [line for line in lines if line.startswith("known: ")]
    assert len(known) == len({line.split(":")[1] for line in known})


# --------------------------------------------------------------------------- the page


HOSTILE = '<script>alert(1)</script>"><img src=x>\x1b[31m'


def drawn(run, page, moved=()) -> str:
    return html.page(run, skus=(), morning=html.morning_of(page, moved))


def words(text: str) -> str:
    return " ".join(" ".join(ET.fromstring(text.replace("<wbr/>", "")).itertext()).split())  # noqa: S314 - our own page


def test_the_page_leads_with_what_changed_and_marks_it_on_the_map(lived):
    *_, runs = lived
    path, page = next((p, page) for p, page in pages(runs) if page.before and changed(page.told))
    run = store.load(store.stored(path))
    text = drawn(run, page)
    told = words(text)
    assert told.index(f"What changed since {page.before}") < told.index("Where they stand")
    marked = set(re.findall(r'class="cell \w+ changed"[^>]* title="([^":]+):', text))
    changed_nodes = {n for one in changes(page.told) for n in one.life.verdict.node.split(",")}
    assert marked == changed_nodes & {node.name for node in run.nodes}
    assert marked


def test_of_many_racks_those_with_nothing_to_say_are_small_and_still_whole(lived):
    *_, runs = lived
    path, page = next((p, page) for p, page in pages(runs) if page.before and changed(page.told))
    run = store.load(store.stored(path))
    alone = tuple(replace(node, labels={"rack": f"r{node.name}"}) for node in run.nodes)
    text = drawn(replace(run, nodes=alone), page)
    standing = {one.node: one.kind for one in looked_at(run, account(run))}
    moved = {n for one in changes(page.told) for n in one.life.verdict.node.split(",")}
    calm = re.findall(r'class="rack calm"><h3>r(n\d+)', text)
    assert set(calm) == {n for n, kind in standing.items() if kind == "pass" and n not in moved}
    assert len(re.findall(r' title="n\d+: ', text)) == len(run.nodes)


def test_the_page_of_a_first_night_says_so(lived):
    *_, runs = lived
    path, page = pages(runs)[0]
    text = drawn(store.load(store.stored(path)), page)
    assert "This is the first night" in words(text)
    assert not re.search(r'class="cell \w+ changed"', text)


def test_what_moves_the_wrong_way_is_drawn_night_by_night(lived):
    *_, runs = lived
    told = np.array([[55.0] * 10 + [50.0] * 8, [55.0] * 10 + [np.nan] + [55.2] * 7])
    parts = pd.DataFrame(
        {"node": ["n1", "n2"], "part": ["host>gpu3", "host>gpu4"], "mark": "", "model": "H100"}
    )
    parts["variant"] = ""
    (h2d,) = [one for one in quantities() if one.name == "h2d"]
    nights_ = tuple(datetime(2026, 9, 1, tzinfo=UTC) + timedelta(days=n) for n in range(18))
    (mover,) = of_one(Series(h2d, parts, nights_, told))
    assert (mover.node, mover.before, mover.now) == ("n1", 55.0, 50.0)
    assert mover.share == pytest.approx(1.86, abs=0.01)

    text = drawn(last_run(runs), pages(runs)[-1][1], [mover])
    assert "H2D n1 host>gpu3" in words(text)
    assert text.count('class="spark"') == 1


def test_a_hot_rack_does_not_fill_the_list():
    racks = {f"n{n}": f"r{n // 8}" for n in range(64)}
    (h2d,) = [one for one in quantities() if one.name == "h2d"]
    all_ = [Mover(h2d, f"n{n}", "p", np.array([1.0]), 1, 1, 2.0) for n in range(64)]
    assert [one.node for one in few(all_, racks, 5)] == ["n0", "n1", "n8", "n9", "n16"]


def test_a_line_without_readings_is_no_line():
    assert spark([float("nan")] * 3, "x") == ""
    assert "<title>&lt;b&gt;: 2</title>" in spark([1.0, float("nan"), 2.0], "<b>: 2")


def test_what_a_person_or_node_wrote_does_nothing_on_the_page(lived, tmp_path):
    *_, runs = lived
    run = last_run(runs)
    names = frozenset(node.name for node in run.nodes)
    end = datetime(2027, 1, 1, tzinfo=UTC)
    acks.give(runs, acks.Ack("a1", names, "all", end, HOSTILE, HOSTILE, run.started))
    try:
        page = next_night(runs, tmp_path)
    finally:
        (runs / acks.FILE).unlink()
    said = [
        replace(
            one,
            life=replace(one.life, verdict=replace(one.life.verdict, actual=HOSTILE, part=HOSTILE)),
        )
        for one, _ in page.acked
    ]
    new = [replace(one, stage=Stage.NEW, why=HOSTILE) for one in said]
    text = drawn(run, replace(page, told=[*said, *new], before=HOSTILE))
    assert f"{len(page.acked)} acked" in words(text)
    assert "<script" not in text
    assert "<img" not in text
    assert "\x1b" not in text
    assert words(text).count("alert(1)") > 4


# --------------------------------------------------------------------------- acks


def test_an_acked_failure_is_counted_and_no_reason_for_exit_1(lived, tmp_path):
    *_, runs = lived
    run = last_run(runs)
    given = acks.Ack(
        "a1",
        frozenset(node.name for node in run.nodes),
        "all",
        datetime(2027, 1, 1, tzinfo=UTC),
        "mei",
        "RMA",
        run.started,
    )
    acks.give(runs, given)
    try:
        page = next_night(runs, tmp_path)
    finally:
        (runs / acks.FILE).unlink()
    from clusterctl.cli.finish import accounted

    assert not page.told
    assert len(page.acked) == len(next_night(runs, tmp_path).told)
    assert account(run).exit_code == 1
    accounts = accounted(run, page)
    assert accounts.exit_code == 0
    assert accounts.line.endswith(f"; {len(page.acked)} acked")
    assert f"{len(page.acked)} acked: " in printed(run, page)
    told = json.loads(as_json(run, accounts))
    assert (told["exit_code"], told["acked"]) == (0, len(page.acked))


def test_ack_gives_lists_and_removes(tmp_path):
    done = clusterctl(
        *("ack", "n[017-018]", "ecc", "--until", "2999-12-24", "--why", "RMA 4711"),
        *("--owner", "mei"),
        runs=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    listed = json.loads(clusterctl("ack", "--list", "--format", "json", runs=tmp_path).stdout)
    (one,) = listed
    assert (one["nodes"], one["check"], one["owner"], one["state"]) == (
        "n[017-018]",
        "ecc",
        "mei",
        "in force",
    )
    assert "2999-12-24" in clusterctl("ack", "--list", runs=tmp_path).stdout
    assert clusterctl("ack", "--remove", one["id"], runs=tmp_path).returncode == 0
    again = clusterctl("ack", "--remove", one["id"], runs=tmp_path)
    assert again.returncode == 2
    assert [ack.removed != "" for ack in acks.read(tmp_path)] == [True]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["n1", "ecc", "--until", "2999-01-01"], "--why is missing"),
        (["n1", "ecx", "--until", "2999-01-01", "--why", "x"], "did you mean 'ecc'"),
        (["n[1", "ecc", "--until", "2999-01-01", "--why", "x"], "n[1"),
        (["n1", "ecc", "--until", "tomorrow", "--why", "x"], "expected a day such as"),
        (["n1", "ecc", "--until", "2020-01-01", "--why", "x"], "is over already"),
        (["n1", "ecc", "--until", "9999-12-31", "--why", "x"], "expected a day such as"),
        (["n1"], "say who and what"),
        (["--remove", "a0"], "no such ack in force"),
    ],
)
def test_what_is_wrong_with_an_ack_is_one_line_and_exit_2(tmp_path, words, says):
    done = clusterctl("ack", *words, runs=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / acks.FILE).exists()


def given(number: int) -> acks.Ack:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return acks.Ack(f"a{number}", frozenset({f"n{number}"}), "ecc", at + timedelta(9), "o", "w", at)


def test_acks_given_at_once_are_all_kept(tmp_path):
    ready = threading.Barrier(8)

    def one(number: int) -> None:
        ready.wait()
        acks.give(tmp_path, given(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(8)))
    assert {ack.id for ack in acks.read(tmp_path)} == {f"a{n}" for n in range(8)}


def test_a_line_that_a_full_disk_cut_is_no_ack_and_in_nobodys_way(tmp_path):
    acks.give(tmp_path, given(1))
    whole = (tmp_path / acks.FILE).read_bytes()
    for cut in range(1, len(whole)):
        (tmp_path / acks.FILE).write_bytes(whole + whole[:cut])
        assert [ack.id for ack in acks.read(tmp_path)] == ["a1"]
    acks.give(tmp_path, given(2))
    assert [ack.id for ack in acks.read(tmp_path)] == ["a1", "a2"]


def test_a_line_that_is_no_ack_is_named(tmp_path):
    acks.give(tmp_path, given(1))
    with (tmp_path / acks.FILE).open("a") as file:
        file.write("not an ack\n")
    with pytest.raises(UserError, match=r"acks\.jsonl:2: not an ack"):
        acks.read(tmp_path)


def test_a_broken_file_of_acks_silences_nothing_and_ends_no_sweep(lived, tmp_path, caplog):
    *_, runs = lived
    (runs / acks.FILE).write_text("junk\n")
    try:
        page = next_night(runs, tmp_path)
    finally:
        (runs / acks.FILE).unlink()
    assert page.told
    assert "no ack is in force" in caplog.text


# --------------------------------------------------------------------------- golden


def test_what_most_run_is_saved_and_every_difference_is_named_once(lived, tmp_path):
    *_, runs = lived
    file = tmp_path / "golden.yml"
    first, last = pages(runs)[0][0].name, pages(runs)[-1][0].name
    assert clusterctl("golden", "save", str(file), first, runs=runs).returncode == 0
    assert f'"driver/nvidia": "{OLD_DRIVER}"' in file.read_text()

    same = clusterctl("golden", "diff", str(file), first, runs=runs)
    assert same.returncode == 0, same.stdout + same.stderr
    (line,) = same.stdout.splitlines()
    assert line.startswith(f"{file} {first}: ")
    assert line.endswith(f"{NODES} as it says · 0 different · 0 not seen"), line
    done = clusterctl("golden", "diff", str(file), last, "--format", "json", runs=runs)
    told = json.loads(done.stdout)
    (odd,) = [one for one in told["findings"] if one["status"] == "fail"]
    assert (odd["part"], odd["expected"], odd["actual"]) == (
        "driver/nvidia",
        OLD_DRIVER,
        NEW_DRIVER,
    )
    assert odd["node"].count(",") + 1 == told["nodes"]["fail"]
    silent = [one for one in told["findings"] if one["status"] == "unknown"]
    assert done.returncode == 1
    assert [one["why"] for one in silent] == ["nobody could see what it runs"]


def test_a_golden_file_is_not_written_over_by_accident(lived, tmp_path):
    *_, runs = lived
    file = tmp_path / "golden.yml"
    file.write_text("mine")
    done = clusterctl("golden", "save", str(file), "last", runs=runs)
    assert done.returncode == 2
    assert "--force" in done.stderr
    assert file.read_text() == "mine"


KIND = "H100"


def one(node: str, **values: str) -> golden.Seen:
    return golden.Seen(node, KIND, values)


@pytest.mark.parametrize(
    ("node", "status"),
    [
        (one("n1", kernel="5"), "pass"),
        (one("n1", kernel="6"), "pass"),
        (one("n1", kernel="7"), "fail"),
        (one("n1", other="7"), "fail"),
        (one("n1"), "unknown"),
        (golden.Seen("n1", "H200", {"kernel": "5"}), "unknown"),
    ],
)
def test_a_node_is_held_against_the_values_of_its_kind(node, status):
    (found,) = golden.compared([node], {KIND: {"kernel": ("5", "6")}}, "g.yml")
    assert found.verdict.status == status


def test_what_was_not_seen_is_neither_the_same_nor_another_value():
    wanted = {KIND: {"kernel": ("5",), "firmware/mlx5_7": ("28.1",), "driver/nvidia": ("1",)}}
    half = golden.Seen("n1", KIND, {"kernel": "6"}, "versions: timeout: no end in 20 s")
    found = golden.compared([half], wanted, "g.yml")
    assert {(one.verdict.part, str(one.verdict.status)) for one in found} == {
        ("kernel", "fail"),
        ("versions", "unknown"),
    }
    (why,) = [one.verdict.why for one in found if one.verdict.status == "unknown"]
    assert why == "2 values were not seen: versions: timeout: no end in 20 s"


def test_a_probe_that_broke_is_why_values_were_not_seen(lived, tmp_path):
    *_, runs = lived
    run = last_run(runs)
    broken = replace(run.observations[0], facts=(), troubles=(Trouble(Kind.TIMEOUT, "no end"),))
    versions = [one for one in run.observations if any(isinstance(f, Version) for f in one.facts)]
    few = replace(broken, node=versions[0].node, probe=versions[0].probe)
    others = tuple(one for one in run.observations if one is not versions[0])
    (node,) = [
        one
        for one in golden.seen(replace(run, observations=(few, *others)))
        if one.node == few.node
    ]
    assert node.blind == f"{few.probe}: timeout: no end"
    silent = replace(run, observations=())
    with pytest.raises(UserError, match="nothing to save"):
        golden.text(golden.seen(silent), silent)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("same", [True, False])
def test_what_few_nodes_run_is_saved_where_they_agree_and_read_as_it_was_written(
    tmp_path, count, same
):
    kernels = ["5" if same else f"5.{n}" for n in range(count)]
    nodes = [one(f"n{n}", kernel=said) for n, said in enumerate(kernels)]
    at = datetime(2026, 1, 1, tzinfo=UTC)
    run = Run("r1", Playbook("p"), (), 1, at, at, (), ())
    file = tmp_path / "golden.yml"
    file.write_text(golden.text(nodes, run))

    kept = golden.load(file)

    agree = same or count == 1
    assert kept == {KIND: {"kernel": (kernels[0],)} if agree else {}}
    found = golden.compared(nodes, kept, "g.yml")
    assert {one.verdict.status for one in found} == {"pass" if agree else "unknown"}


def test_a_device_that_is_missing_is_no_difference_of_its_firmware():
    wanted = {KIND: {"firmware/mlx5_7": ("28.1",)}}
    (found,) = golden.compared([one("n1", kernel="5")], wanted, "g.yml")
    assert found.verdict.status == "pass"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kinds: {A: {kernel: 5.15}}", 'put 5.15 between quotes: "5.15"'),
        ("kinds: {A: {kernel: []}}", "an empty list allows nothing"),
        ("kinds: {A: [kernel]}", "expected keys and values, found a list"),
        ("kind: {}", "did you mean 'kinds'"),
        ("kinds: {}", "has no kinds"),
    ],
)
def test_what_is_wrong_with_a_golden_file_is_said(tmp_path, text, says):
    file = tmp_path / "golden.yml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        golden.load(file)
    assert says in str(caught.value)


def test_what_is_saved_is_read_as_the_same(lived, tmp_path):
    *_, runs = lived
    run = last_run(runs)
    file = tmp_path / "golden.yml"
    kind, told = '"odd": kind\n#', {"a: b\n": "0x1F", "on": "yes", "n": "5.10"}
    file.write_text(golden.text([golden.Seen("n1", kind, told)], run))
    assert golden.load(file) == {kind: {part: (value,) for part, value in told.items()}}
