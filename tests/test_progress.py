"""How far a run is: what loads for minutes is named, and how long it may take."""

from __future__ import annotations

from datetime import UTC, datetime
from threading import Thread

from clusterctl import catalog
from clusterctl.cli.language import Language, keep
from clusterctl.cli.progress import Progress
from clusterctl.model import Answer, Node, Playbook
from clusterctl.run import World, sweep
from clusterctl.transport.replay import Heard, Replay

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
BOTH = frozenset({"n1", "n2"})


def plain() -> Progress:
    return Progress(bool, terminal=False)


def test_a_load_is_named_when_it_begins_and_a_look_when_it_is_over(capsys):
    with plain() as progress:
        progress.begin("before", BOTH, 120)
        progress.tell("before", frozenset({"n2"}), [])
        progress.tell("before", frozenset(), [])
        progress.begin("cpu_burn-0", BOTH, 80)

    assert capsys.readouterr().err.splitlines() == [
        "before: 2 of 2 nodes, 0 failing so far (0 s)",
        "cpu_burn-0: 0 of 2 nodes, 0 failing so far; still out: n[1-2] (0 of at most 80 s)",
    ]


def test_a_part_of_a_round_is_counted_by_itself():
    progress = plain()
    for out in (BOTH, frozenset({"n3"})):
        progress.begin("pair-0", out, 80)
        progress.tell("pair-0", frozenset(), [])

    assert progress.line().startswith("pair-0: 1 of 1 nodes")


def test_the_thread_that_draws_speaks_the_language_that_was_asked_for():
    keep(Language.ZH)
    try:
        progress = plain()
    finally:
        keep(None)
    progress.begin("cpu_burn-0", BOTH, 80)
    drawn = []
    drawing = Thread(target=lambda: drawn.append(progress.drawn().plain))
    drawing.start()
    drawing.join()

    assert "至多 80 秒" in drawn[0]


def test_a_run_says_of_each_reading_whom_it_asks_and_for_how_long():
    book = Playbook("p", probes=(catalog.all_probes()["clock"],))
    heard = Replay([Heard("n1", Answer("clock", 0, "", "", 0.1))])
    begun = []
    world = World(
        lambda _reading, _s: heard, lambda: NOON, 1, "r", begin=lambda *said: begun.append(said)
    )

    sweep(book, [Node("n1"), Node("n2")], world)

    assert begun == [("now", BOTH, book.pace.node_s)]
