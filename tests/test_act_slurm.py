"""Draining in a real Slurm: what is drained, left, held and taken back, and a slurmctld killed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from acting import fault
from slurm_cluster import Cluster, lacking, soon
from typer.testing import CliRunner

from clusterctl import store
from clusterctl.act.deed import Outcome
from clusterctl.act.journal import NAME, read
from clusterctl.act.slurm import Slurm
from clusterctl.cli import app
from clusterctl.cli.acting import asking
from clusterctl.cli.world import Flags
from clusterctl.model import (
    Answer,
    Finding,
    Node,
    Question,
    Run,
    Status,
    Trouble,
    UserError,
    Verdict,
)
from clusterctl.playbook import build

pytestmark = pytest.mark.skipif(bool(lacking()), reason=f"needs Slurm; absent: {lacking()}")

NAMES = [f"g{place}" for place in range(1, 7)]
LOOSE = {"most_nodes": 6, "most_percent": 100, "least_left_percent": 25}


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("slurm"), NAMES, {"gpu": "g[1-4]", "small": "g[5-6]"})
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def slurm(daemons: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("SLURM_CONF", str(daemons.config))
    monkeypatch.setenv("COLUMNS", "250")
    daemons.reset()
    return daemons


def keep(runs: Path, name: str, *findings: Finding, act: object = None, **how: object) -> None:
    """A run on disk that found this."""
    book = build(
        "b", {"name": "b", "act": act or LOOSE, "checks": ["xid"], "probes": ["kernel_log"]}
    )
    now = datetime.now(UTC)
    nodes = tuple(Node(f"node{name[1:]}", labels={"slurm_node": name}) for name in NAMES)
    cells = {"started": now, "finished": now, **how}
    run = Run(name, book, nodes, 1, observations=(), findings=findings, **cells)  # type: ignore[arg-type]
    recorder = store.Recorder(runs, name)
    recorder.begin(store.describe(run))
    recorder.finish(run)


def said(*words: str, runs: Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*words, "--runs-dir", str(runs)])
    if isinstance(done.exception, UserError):
        return 2, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def test_a_finding_drains_its_node_and_a_proven_repair_brings_it_back(slurm, tmp_path):
    keep(tmp_path, "r1", fault("node1"), fault("node2", status=Status.UNKNOWN))
    code, text = said("drain", "--run", "r1", runs=tmp_path)
    order = "scontrol update NodeName=g1 State=DRAIN 'Reason=clusterctl r1 xid: gpu3 XID 79'"
    assert (code, order in text, "dry run: nothing was changed" in text) == (0, True, True), text
    assert slurm.idle()

    assert said("drain", "--run", "r1", "--yes", runs=tmp_path)[0] == 0
    assert re.search(
        r"State=IDLE\+DRAIN .*Reason=clusterctl r1 xid: gpu3 XID 79 \[", slurm.node("g1")
    )
    assert "Reason=" not in slurm.node("g2")
    code, text = said("drain", "--run", "r1", "--yes", runs=tmp_path)
    assert (code, "already drained" in text, "nothing to do" in text) == (0, True, True)

    code, text = said("status", "--format", "json", runs=tmp_path)
    (ours,) = json.loads(text)["nodes"]
    assert (code, ours["what"], ours["node"], ours["check"]) == (0, "by us", "node1", "xid")

    words = ("undrain", "--by", "slurm", "node1", "-i", str(inventory(tmp_path)))
    code, text = said(*words, "--yes", runs=tmp_path)
    assert (code, "no burn since then has cleared it" in text) == (1, True)
    assert "DRAIN" in slurm.node("g1")
    burnt(tmp_path, "b1", Status.FAIL)
    code, text = said(*words, "--yes", runs=tmp_path)
    assert "b1 after it does not clear that: QUARANTINE" in text
    burnt(tmp_path, "b2", Status.PASS)
    code, text = said(*words, "--yes", runs=tmp_path)
    assert (code, "xid passed under load in b2" in text) == (0, True)
    assert "DRAIN" not in slurm.node("g1")
    assert "Reason=" not in slurm.node("g1")


def inventory(folder: Path) -> Path:
    path = folder / "i.yml"
    hosts = "".join(f"  node{name[1:]}: {{labels: {{slurm_node: {name}}}}}\n" for name in NAMES)
    path.write_text(f"nodes:\n{hosts}")
    return path


def burnt(runs: Path, name: str, status: Status) -> None:
    """`burnin --again node1`, an hour from now, so that it is after every drain of this test."""
    later = datetime.now(UTC) + timedelta(hours=1 + (status is Status.PASS))
    again = Finding("again", Verdict("node1", "node", Status.WARN, actual="back"))
    ended = Finding("xid", Verdict("node1", "kernel", status))
    keep(runs, name, again, ended, started=later, finished=later, verb="burnin")


def test_a_drain_is_undone_as_long_as_nobody_touches_the_node(slurm, tmp_path):
    book = tmp_path / "loose.yml"
    book.write_text(f"name: loose\nact: {json.dumps(LOOSE)}\n")
    odd = """≥ 8 'x' 风扇 %s $HOME `id` = "q" [root@2020-01-01T00:00:00] \\ end"""
    words = ("drain", "g[5-6]", "--why", odd, "-p", str(book), "--yes")
    assert said(*words, runs=tmp_path)[0] == 1  # small keeps one
    (made,) = read(tmp_path / NAME).actions.values()
    assert (made.called, made.outcome) == ("g5", Outcome.DONE)
    slurm.scontrol("update", "NodeName=g5", "Reason=mine now")
    code, text = said("undrain", "--undo", made.id, "--yes", runs=tmp_path)
    assert (code, "what others did is not undone" in text) == (1, True)
    assert "Reason=mine now" in slurm.node("g5")
    slurm.scontrol("update", "NodeName=g5", f"Reason={made.reason}")
    code, text = said("undrain", "--undo", made.id, "--yes", runs=tmp_path)
    assert (code, "DRAIN" in slurm.node("g5")) == (0, False)
    assert "undone already" in said("undrain", "--undo", made.id, runs=tmp_path)[1]


def test_a_humans_drain_is_neither_overwritten_nor_lifted(slurm, tmp_path):
    reason = 'fan = "loud" [x] State=IDLE Reason=no [root@2020-01-01T00:00:00]'
    slurm.scontrol("update", "NodeName=g1", "State=DRAIN", f"Reason={reason}")
    slurm.scontrol("update", "NodeName=g2", f"Reason=clusterctl x")  # noqa: F541 - ours by its looks
    slurm.scontrol("update", "NodeName=g3", "State=DOWN", "Reason=gone")
    before = [slurm.node(name) for name in ("g1", "g3")]
    keep(tmp_path, "r1", fault("node1"), fault("node3", "ecc"))
    code, text = said("drain", "--run", "r1", "--yes", runs=tmp_path)
    assert (code, text.count("left alone")) == (0, 2)
    assert "DRAIN already by root" in text
    said("undrain", "g[1-3]", "--yes", runs=tmp_path)
    assert [slurm.node(name) for name in ("g1", "g3")] == before
    assert "by others" in said("status", runs=tmp_path)[1]


def hands(closing: ExitStack, before: dict[int, object]) -> Slurm:
    """Before the nth change, somebody else does something."""
    ask = asking(Node("here", labels={"transport": "local"}),
                 Flags(None, "", "", None, accept_new=False), closing)  # fmt: skip
    count = iter(range(1, 99))

    def meddled(question: Question) -> Answer | Trouble:
        if question.name == "change_slurm":
            before.get(next(count), lambda: None)()  # type: ignore[operator]
        return ask(question)

    return Slurm(meddled, "here")


def drained_by(slurm: Slurm, runs: Path, *names: str) -> list[object]:
    from acting import actor

    from clusterctl.act import journal
    from clusterctl.act.agenda import carry_out, drains, settle
    from clusterctl.act.breaker import gauge, plan
    from clusterctl.act.whom import by_hand
    from clusterctl.lock import Holder
    from clusterctl.model import Act

    act, now = Act(**LOOSE), datetime.now(UTC)  # type: ignore[arg-type]
    with journal.writing(runs, Holder(1, "h", "now", "drain")) as writer:
        log = journal.read(writer.path)
        picture = slurm.look()
        settle(log, slurm, picture, writer, now)
        wanted = list(by_hand([Node(name) for name in names], "x", "root", "smoke"))
        steps = plan(wanted, picture, act, gauge(picture, act, log.of("slurm"), now))
        return [one.told for one in carry_out(drains(steps), slurm, writer, actor())]


def test_who_is_faster_than_we_are_wins(slurm, tmp_path):
    def human() -> None:
        slurm.scontrol("update", "NodeName=g1", "State=DRAIN", "Reason=mine")

    with ExitStack() as closing:
        (told,) = drained_by(hands(closing, {1: human}), tmp_path, "g1")
    assert told.outcome is Outcome.CHANGED
    assert "Reason=mine [" in slurm.node("g1")
    assert [one.outcome for one in read(tmp_path / NAME).actions.values()] == [Outcome.CHANGED]


def test_the_breaker_holds_a_cluster_in_which_everything_fails(slurm, tmp_path):
    keep(tmp_path, "r1", *(fault(f"node{name[1:]}") for name in NAMES))
    code, text = said("drain", "--run", "r1", "--yes", runs=tmp_path)
    assert (code, "6 nodes have the same fault (xid)" in text) == (1, True)
    checks = ["xid", "ecc", "fan", "psu", "oom", "sel"]
    found = [fault(f"node{name[1:]}", check) for name, check in zip(NAMES, checks, strict=True)]
    keep(tmp_path, "r2", *found, act={"most_nodes": 4, "most_percent": 100})
    code, text = said("drain", "--run", "r2", "--yes", runs=tmp_path)
    assert (code, "6 nodes at once, and at most 4 of 6" in text) == (1, True)
    assert slurm.idle()
    keep(tmp_path, "r3", *found)
    code, text = said("drain", "--run", "r3", "--yes", runs=tmp_path)
    assert (code, "gpu would have 0 usable of 4" in text) == (1, True)
    left = [name for name in NAMES if "DRAIN" not in slurm.node(name)]
    assert len(left) == 2
    assert len({name in {"g5", "g6"} for name in left}) == 2  # one of each partition
    assert "held node" in said("status", runs=tmp_path)[1]


def test_a_slurmctld_killed_in_the_middle_loses_nothing(slurm, tmp_path):
    with ExitStack() as closing:
        first = drained_by(hands(closing, {2: slurm.kill_controller}), tmp_path, "g1", "g2", "g3")
    assert [one.outcome for one in first] == [Outcome.DONE, Outcome.REFUSED, Outcome.REFUSED]
    assert "Unable to contact slurm controller" in first[1].detail
    assert "not tried" in first[2].detail
    code, text = said("drain", "g1", "--why", "smoke", "--yes", runs=tmp_path)
    assert (code, "nothing was changed" in text) == (4, True)
    code, text = said("status", runs=tmp_path)
    assert (code, "now: not known" in text) == (4, True)
    slurm.start_controller()
    assert soon(slurm.answering)
    with ExitStack() as closing:
        for _ in range(2):
            drained_by(hands(closing, {}), tmp_path, "g1", "g2", "g3")
    done = [
        one.called for one in read(tmp_path / NAME).actions.values() if one.outcome is Outcome.DONE
    ]
    assert done == ["g1", "g2", "g3"]
    assert all("Reason=clusterctl by-hand root: smoke [" in slurm.node(one) for one in done)


def test_a_name_that_would_be_many_nodes_is_never_handed_to_slurm(slurm, tmp_path):
    path = tmp_path / "i.yml"
    words = ("drain", "n1", "--why", "x", "-i", str(path), "--yes")
    for name in ("ALL", "g[1-6]", "g1,g2", "--help", "g1 State=DOWN"):
        path.write_text(f"nodes:\n  n1: {{labels: {{slurm_node: {json.dumps(name)}}}}}\n")
        code, text = said(*words, runs=tmp_path)
        assert (code, "the scheduler shows no node" in text) == (0, True), text
    assert slurm.idle()
