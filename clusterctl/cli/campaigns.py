"""Beginning, leading and ending a campaign from the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from clusterctl.cli import world as ambient
from clusterctl.cli.screen import said, tell
from clusterctl.cli.world import Flags
from clusterctl.model import Playbook, Run, UserError
from clusterctl.spelling import visible

if TYPE_CHECKING:
    from rich.live import Live

    from clusterctl.campaign.decisions import Case
    from clusterctl.campaign.lead import Leader
    from clusterctl.campaign.silences import AskBmc
    from clusterctl.store import Stored

PLAIN_EVERY_S = 30.0
DRAW_EVERY_S, DRAW_SHARE = 0.5, 50.0  # a thousand nodes are drawn in no more than 2 % of a core
LOAD_NICE = 0


def begin(playbook: Playbook, flags: Flags, why: str) -> Path:
    """A campaign's directory, complete before anything is asked of a node.  Raises UserError."""
    import secrets

    from clusterctl.campaign.folder import prepare
    from clusterctl.cli.repaired import once_more, warn_of_lonely
    from clusterctl.limits import check_labels
    from clusterctl.playbook import skus
    from clusterctl.run import refuse_absent_partners
    from clusterctl.store import Recorder, describe

    flags, repaired = once_more(flags)
    chosen = ambient.targets(flags, playbook.select)
    refuse_absent_partners(playbook, chosen)
    check_labels(chosen, skus())
    playbook = ambient.with_bmcs(playbook, chosen)
    warn_of_lonely(playbook, chosen, repaired)
    recorder = Recorder(ambient.runs(flags.runs_dir), ambient.new_id(playbook))
    seed = secrets.randbits(32) if flags.seed is None else flags.seed
    now = ambient.now()
    opening = Run(
        recorder.final.name, playbook, chosen, seed, now, now, (), (),
        verb="burnin", forced=flags.force, why=why, complete=False,
    )  # fmt: skip
    config = str(flags.ssh_config.absolute()) if flags.ssh_config else ""
    about = {
        "why": why, "ssh_config": config, "accept_new": flags.accept_new, "watch": flags.watch,
        "inventory": [str(path.absolute()) for path in flags.inventory or ()],
        "again": repaired, "nodes": flags.nodes, "select": flags.select or playbook.select,
    }  # fmt: skip
    recorder.begin({**describe(opening), "campaign": about})
    try:
        prepare(recorder.path)
    except OSError as error:
        raise UserError(f"{recorder.path}: {error.strerror}") from None
    return recorder.path


def opened(found: Stored) -> Run:
    """The run as it began, from its directory."""
    from clusterctl import playbook
    from clusterctl.campaign.folder import joined

    about = found.about
    book = playbook.build(str(found.path / "run.json"), about["playbook"])
    nodes = joined(found.path, found.nodes())
    return Run(
        found.id, book, nodes, about["seed"], found.started, found.started, (), (),
        verb="burnin", forced=about["forced"], why=about.get("campaign", {}).get("why", ""),
        complete=False,
    )  # fmt: skip


def find(runs_dir: Path | None, reference: str) -> Stored:
    """A campaign's run.  Raises UserError."""
    from clusterctl import store
    from clusterctl.campaign.folder import is_campaign

    found = store.find(ambient.runs(runs_dir), reference)
    if not is_campaign(found.path):
        raise UserError(f"{found.path}: not a campaign")
    return found


def resume(found: Stored, flags: Flags) -> tuple[Run, bool]:
    """Go on with it, also where it was stopped; the run, and whether it may be resumed again."""
    from clusterctl.campaign.folder import STOP, is_led

    if not is_led(found.path):  # a stop that comes while we begin is not an old one
        (found.path / STOP).unlink(missing_ok=True)
    return lead(found, flags, lambda leader: leader.reopen())


def stop_here(found: Stored, flags: Flags) -> Run:
    """Where nobody leads it.  Raises UserError."""
    return lead(found, flags, lambda _leader: None, stops=True)[0]


def lead(
    found: Stored, flags: Flags, first: Callable[[Leader], None], *, stops: bool = False
) -> tuple[Run, bool]:
    """Lead a campaign to its end; whether it may be resumed.  Raises UserError.

    `stops`: a password of BMCs that nobody gives does not keep it from being stopped.
    """
    from clusterctl.campaign.folder import leading
    from clusterctl.campaign.lead import Leader
    from clusterctl.campaign.silences import no_bmc
    from clusterctl.campaign.told import every_node
    from clusterctl.campaign.verdict import verdict
    from clusterctl.cli.bmc import asks, for_campaign
    from clusterctl.cli.joining import lists
    from clusterctl.cli.moving import connecting, reachable
    from clusterctl.cli.repaired import demands
    from clusterctl.memory.yardstick import own_past
    from clusterctl.playbook import skus

    refuse_ended(found)
    ambient.logs()
    flags, opening = connecting(found, flags), opened(found)
    opening = replace(opening, nodes=reachable(found, opening.nodes, flags))
    book = ambient.paced(opening.playbook, flags.at_once)
    with ExitStack() as closing:
        closing.enter_context(leading(found.path))
        reach = ambient.reach(book.pace, flags, nice=LOAD_NICE, closing=closing)
        bmc: AskBmc = no_bmc
        if asks(book.probes):
            reach, bmc = for_campaign(reach, must=not stops)
        show = closing.enter_context(Display(book, terminal=sys.stderr.isatty()))
        tell(f"run: {found.path}\n")
        leader = Leader(
            found.path, opening, reach=reach, clock=ambient.now, skus=skus(),
            force=(opening.why or "--force") if opening.forced else "", take_over=flags.take_over,
            lists=lists(found, flags), demands=demands(found, book), bmc=bmc, beat=show.tell,
        )  # fmt: skip
        first(leader)
        with graceful(leader, found):
            leader.run()
        if leader.rival:
            raise UserError(outled(found.path, *leader.rival))
        now = ambient.now()
        opening = leader.opening  # and who joined
        told = every_node(found.path, book, opening.nodes, now)
        past = own_past(found.path.absolute().parent, book, opening.started)
        run = verdict(opening, told, skus(), now, own_past=past)
        resumable = leader.by_hand
        if not resumable:
            keep(found, run)
    return run, resumable


def refuse_ended(found: Stored) -> None:
    if found.path.suffix != ".partial":
        raise UserError(f"{found.id}: is over; `clusterctl show {found.id}` shows it")


def outled(path: Path, node: str, rival: Mapping[str, Any]) -> str:
    """Why we go and leave the nodes as they are."""
    words = (visible(str(rival.get(name)), 80) for name in ("host", "pid", "since", "lapses_s"))
    host, pid, since, lapses_s = words
    who = f"clusterctl on {host} (pid {pid}, since {since})"
    return (
        f"{path}: {node} is led by {who} from another copy of this run; if that is gone, its lease "
        f"there lapses in {lapses_s} s; --take-over takes the campaign from it now"
    )


def keep(found: Stored, run: Run) -> None:
    """Write the tables and give the run its name."""
    from clusterctl.campaign.folder import read_reading
    from clusterctl.cli.finish import finish
    from clusterctl.store import Recorder

    recorder = Recorder(found.path.parent, found.path.name.removesuffix(".partial"))
    for which in ("before", "after"):
        for node in run.nodes:
            for heard in read_reading(found.path, node.name, which) or ():
                recorder.hear("now" if which == "after" else which, heard)
    tell(f"run: {finish(run, recorder)}\n")


@contextmanager
def graceful(leader: Leader, found: Stored) -> Iterator[None]:
    """Ctrl-C once: stop every node and collect.  Twice: leave; the leases end the load."""

    def hear(_number: int, _frame: object) -> None:
        if leader.by_hand:
            soak, lease_s = leader.book.soak, leader.book.lease_s
            runs_on = soak is not None and soak.run_on
            end = (
                "burn on to their deadline" if runs_on else f"stop by themselves in {lease_s:.0f} s"
            )
            tell(
                f"\nclusterctl: left at once; nodes not reached {end}; "
                f"`clusterctl stop {found.path}` cleans up\n"
            )
            raise KeyboardInterrupt
        leader.by_hand = True
        leader.ending = "stopped by Ctrl-C"
        tell("\nclusterctl: stopping every node; once more leaves at once\n")

    before = signal.signal(signal.SIGINT, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Display:
    """Owns the live lines; plain ones, now and then, where nobody looks."""

    def __init__(self, playbook: Playbook, *, terminal: bool) -> None:
        self.playbook, self.terminal = playbook, terminal
        self.live: Live | None = None
        self.spoke = -PLAIN_EVERY_S
        self.due = 0.0

    def __enter__(self) -> Self:
        if self.terminal:
            from rich.console import Console
            from rich.live import Live

            console = Console(stderr=True)
            self.live = Live("", console=console, transient=True, refresh_per_second=2)
            self.live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.live is not None:
            self.live.__exit__(kind, error, trace)

    def tell(self, cases: dict[str, Case]) -> None:
        from clusterctl.report.campaign_lines import lines, total

        now = time.monotonic()
        if self.live is not None:
            if now < self.due:
                return
            from rich.text import Text

            size = self.live.console.size
            shown = lines(cases.values(), self.playbook, size.height - 1, size.width, said)
            self.live.update(Text("\n".join(shown), no_wrap=True))
            self.due = now + max(DRAW_EVERY_S, DRAW_SHARE * (time.monotonic() - now))
        elif time.monotonic() - self.spoke >= PLAIN_EVERY_S:
            self.spoke = time.monotonic()
            tell(total(list(cases.values()), self.playbook) + "\n")


def detach(found: Stored, flags: Flags, more: Sequence[str]) -> None:
    """Lead it from a process of its own, that no terminal ends; `more` words for it.

    Raises UserError.
    """
    from clusterctl.campaign.folder import is_led, led
    from clusterctl.cli.bmc import refuse_prompt

    refuse_ended(found)
    if is_led(found.path):
        raise led(found.path)
    refuse_prompt(opened(found).playbook.probes)
    path = found.path
    words = [sys.executable, "-m", "clusterctl", "burnin", "--resume", str(path.absolute())]
    words += ["--at-once", str(flags.at_once)] if flags.at_once else []
    words += ["--take-over"] if flags.take_over else []
    words += ["--watch"] if flags.watch else []
    words += [word for path in flags.inventory or () for word in ("-i", str(path.absolute()))]
    words += ["-F", str(flags.ssh_config.absolute())] if flags.ssh_config else []
    words += [*(["--accept-new"] if flags.accept_new else []), *more]
    with (path / "controller.log").open("ab") as log:
        subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
    sys.stdout.write(f"{path.absolute()}\n")
    tell(f"see it with `clusterctl watch {path}`, end it with `clusterctl stop {path}`\n")


def interrupted(found: Stored) -> int:
    """Exit code of a campaign that Ctrl-C stopped; says how to go on."""
    tell(
        f"clusterctl: stopped; nothing is left on the nodes that answered.  Go on with "
        f"`clusterctl burnin --resume {found.path}`\n"
    )
    return 130


def refuse_words(playbook: Playbook, **said: object) -> None:
    """Raises UserError where words were said that only a campaign understands."""
    for word in (name.replace("_", "-") for name, given in said.items() if given):
        raise UserError(
            f"{playbook.origin}: --{word}: only for campaigns; it has no soak: -p burnin-72h has"
        )
