"""A recorded run carried out again on its recording: the same code, no node, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from clusterctl import playbook, store
from clusterctl.campaign import folder as campaign_folder
from clusterctl.campaign.told import every_node
from clusterctl.campaign.verdict import verdict
from clusterctl.fabric import survey
from clusterctl.judge import NO_PAST, OwnPast, Past, nothing_known
from clusterctl.memory.prune import refuse_pruned
from clusterctl.memory.yardstick import own_past
from clusterctl.model import Playbook, Run, UserError
from clusterctl.run import World, burnin, sweep
from clusterctl.transport import Transport
from clusterctl.transport.replay import Replay

STOPPED = "the run was stopped before this was answered"


def again(found: store.Stored, runs_dir: Path, other_playbook: str | None) -> Run:
    """Judge with the playbook as it was, or with another one's limits.  Raises UserError.

    A node or question that the recording does not hold is UNKNOWN, as when it was silent.
    """
    refuse_pruned(found.path)
    about = found.about
    spelled = playbook.build(str(found.path / "run.json"), about["playbook"])
    book = playbook.load(other_playbook) if other_playbook else spelled

    if campaign_folder.is_campaign(found.path):
        return campaign(found, replace(spelled, checks=book.checks, expect=book.expect))
    if book.soak:
        raise UserError(f"{book.origin}: has a soak, and {found.id} is no campaign")
    if book.stages and about["verb"] != "burnin":
        raise UserError(f"{book.origin}: has stages, and {found.id} is of a {about['verb']}")

    if any(reading.startswith("subnet-") for reading in found.readings()):
        raise UserError(
            f"{found.id}: is of a fabric, from before runs kept what they were to find: fabric -i …"
        )
    world = recorded(found, own_past(runs_dir, book, found.started))
    if about["verb"] == "burnin":
        force = (about.get("why") or "--force") if about["forced"] else ""
        unread = not_read_again(found)
        run = burnin(book, found.nodes(), world, force=force, past_s=about["past_s"], unread=unread)
        return replace(run, complete=not stopped(found))
    past = earlier(runs_dir, about["earlier_run"], about["past_s"])
    run = sweep(book, found.nodes(), world, past=past, earlier_run=about["earlier_run"])
    return replace(run, complete=not stopped(found))


def stopped(found: store.Stored) -> bool:
    """Interrupted, killed, or going on still."""
    return found.path.suffix == store.PARTIAL


def not_read_again(found: store.Stored) -> frozenset[str]:
    """The nodes of a burn that was stopped before its second reading had come to them."""
    if not stopped(found):
        return frozenset()
    return frozenset(node.name for node in found.nodes()) - {
        one.node for one in found.heard("after")
    }


def recorded(found: store.Stored, past: OwnPast = nothing_known) -> World:
    """A world that knows nothing but what this run heard."""
    unheard = STOPPED if stopped(found) else ""

    def reach(reading: str, _node_s: float) -> Transport:
        return Replay(found.heard(reading), unheard)

    return World(
        reach=reach,
        clock=lambda: found.started,
        seed=found.about["seed"],
        run_id=found.id,
        skus=playbook.skus(),
        own_past=past,
    )


def survey_again(found: store.Stored, chosen: Sequence[str]) -> tuple[Run, list[str]]:
    """A run of `fabric` without its findings, and who walked the subnet.  Raises UserError."""
    refuse_pruned(found.path)
    spelled = playbook.build(str(found.path / "run.json"), found.about["playbook"])
    book = replace(survey.playbook(), pace=spelled.pace)
    nodes = found.nodes()
    walkers = [node for node in nodes if node.name in chosen]
    seen, asked = survey.survey(nodes, book, recorded(found), walkers)
    finished = datetime.fromisoformat(found.about["finished"])
    seed = found.about["seed"]
    run = Run(found.id, book, nodes, seed, found.started, finished, tuple(seen), ())
    return run, asked


def campaign(found: store.Stored, book: Playbook) -> Run:
    """From its journals and readings, whether or not it is over."""
    began = datetime.fromisoformat(found.about["started"])
    ended = datetime.fromisoformat(found.about["finished"])
    nodes = campaign_folder.joined(found.path, found.nodes())
    opening = Run(
        found.id, book, nodes, found.about["seed"], began, ended, (), (),
        verb="burnin", forced=found.about["forced"], complete=False,
    )  # fmt: skip
    told = every_node(found.path, book, opening.nodes, ended)
    past = own_past(found.path.absolute().parent, book, began)
    return verdict(opening, told, playbook.skus(), ended, own_past=past)


def earlier(runs_dir: Path, run_id: str, past_s: float | None) -> Past:
    """The readings that counters were compared with; none where that run is gone."""
    if not run_id:
        return NO_PAST
    try:
        return Past(store.observed(store.find(runs_dir, run_id)), past_s)
    except UserError:
        return NO_PAST
