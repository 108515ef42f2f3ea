"""What drain, undrain, status and `sweep --drain` share: whose hands, whose journal, who acts."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from clusterctl.cli import world as ambient
from clusterctl.cli.screen import show, tell
from clusterctl.cli.world import Flags
from clusterctl.model import Answer, Finding, Kind, Node, Pace, Question, Run, Trouble, UserError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from clusterctl.act.agenda import Actor, Ended
    from clusterctl.act.breaker import Step
    from clusterctl.act.deed import Action, Hands, Picture
    from clusterctl.act.journal import Journal, Log
    from clusterctl.act.whom import Silenced

HERE = "this machine"
HERE_S = 150.0  # for one conversation with scontrol's host


class By(StrEnum):
    SLURM = "slurm"
    KUBERNETES = "kubernetes"
    HOOK = "hook"


Yes = Annotated[bool, typer.Option("--yes", help="Do it; without this nothing is changed.")]
Through = Annotated[
    By | None, typer.Option("--by", help="Who takes nodes out of service.  [default: slurm]")
]
SlurmHost = Annotated[
    str, typer.Option("--slurm-host", help="A node whose scontrol is used, not this machine's.")
]
After = Annotated[
    bool, typer.Option("--drain", help="Then say which nodes should go, and with --yes drain them.")
]
HookPath = Annotated[
    Path | None, typer.Option("--hook", help="A script of yours that does it; see README, Act.")
]
HookTime = Annotated[
    float, typer.Option("--hook-timeout", min=1, help="Seconds that the script may take.")
]
Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="[default: KUBECONFIG, ~/.kube/config, the pod]")
]
Context = Annotated[
    str, typer.Option("--context", help="Of the kubeconfig.  [default: its current one]")
]


@dataclass(frozen=True, slots=True)
class Way:
    """By whose hands nodes are taken out of service."""

    by: By | None = None
    slurm_host: str = ""
    hook: Path | None = None
    hook_timeout_s: float = 60.0
    context: str = ""
    kubeconfig: Path | None = None

    @property
    def chosen(self) -> By:
        """Raises UserError where two are named."""
        said = {
            By.HOOK: self.hook is not None,
            By.SLURM: bool(self.slurm_host),
            By.KUBERNETES: bool(self.context or self.kubeconfig),
        }
        named = [one for one, given in said.items() if given]
        if len({*named, *([self.by] if self.by else [])}) > 1:
            raise UserError(f"--by {self.by or named[0]}: and options of {named[-1]}: choose one")
        if self.by is By.HOOK and self.hook is None:
            raise UserError("--by hook: name the script with --hook PATH")
        return self.by or next(iter(named), By.SLURM)

    def refuse(self) -> None:
        """Raises UserError before anything is asked, where this cannot be a way."""
        if self.chosen is By.HOOK and not (
            self.hook and self.hook.is_file() and os.access(self.hook, os.X_OK)
        ):
            raise UserError(f"--hook {self.hook}: not a program that can be started")

    @property
    def label(self) -> str:
        """Of the inventory, with a node's name there."""
        from clusterctl.act.deed import LABELS

        return LABELS[self.chosen]

    def of_action(self, action: Action) -> Way:
        """The way that an action of the journal went.  Raises UserError where another is named."""
        said = self.by or self.hook or self.slurm_host or self.context or self.kubeconfig
        if said and self.chosen != action.by:
            raise UserError(f"{action.id} went by {action.by}, not by {self.chosen}")
        by = By(action.by)
        if by is By.SLURM and not self.slurm_host and action.where != HERE:
            return replace(self, by=by, slurm_host=action.where)
        return replace(self, by=by, hook=self.hook or Path(action.where) if by is By.HOOK else None)


def hands(way: Way, nodes: Sequence[Node], log: Log, flags: Flags, closing: ExitStack) -> Hands:
    """Raises UserError."""
    way.refuse()
    match way.chosen:
        case By.HOOK:
            from clusterctl.act.hook import Hook

            path = (way.hook or Path()).absolute()
            return Hook(path, way.hook_timeout_s, nodes, log.of("hook"))
        case By.KUBERNETES:
            from clusterctl.act.kubernetes import connect

            return connect(way.context, way.kubeconfig)
    from clusterctl.act.slurm import Slurm

    host = controller(way.slurm_host, flags)
    return Slurm(asking(host, flags, closing), host.name)


def controller(name: str, flags: Flags) -> Node:
    """The host whose scontrol is used: this machine, or one we reach by SSH."""
    from clusterctl.inventory import load

    if not name:
        return Node(HERE, labels={"transport": "local"})
    known = load(flags.inventory) if flags.inventory else ()
    return next((node for node in known if node.name == name), Node(name))


def asking(host: Node, flags: Flags, closing: ExitStack) -> Callable[[Question], Answer | Trouble]:
    """Puts one question at a time to the host."""
    from clusterctl.transport import TransportError

    transport = ambient.reach(Pace(), flags, nice=0, closing=closing)(HERE_S)

    def ask(question: Question) -> Answer | Trouble:
        try:
            with transport.open(host) as shell:
                for answer in shell.ask([question]):
                    return answer
        except TransportError as error:
            return Trouble(error.kind, str(error))
        return Trouble(Kind.CUT, "the host ended the conversation without an answer")

    return ask


def actor() -> Actor:
    from clusterctl.act.agenda import Actor

    def new_id(verb: str) -> str:
        return f"{ambient.now():%Y%m%dT%H%M%S}-{verb}-{secrets.token_hex(3)}"

    return Actor(operator(), ambient.now, new_id)


def operator() -> str:
    """Who acts, and from where."""
    return f"{ambient.person()}@{os.uname().nodename}"


def acknowledged(run: Run, folder: Path, runs_dir: Path) -> Silenced:
    """What the night knew as acked, and every ack that was given since.  Raises UserError."""
    from clusterctl.memory.acks import ALL, active, not_covered, read
    from clusterctl.memory.nights import read as read_night

    acks = active(read(runs_dir), ambient.now())
    night = read_night(folder) if run.verb == "sweep" else None
    loud = set(map(id, not_covered(run.findings, night))) if night else set()

    def silenced(finding: Finding) -> str:
        if night and id(finding) not in loud:
            return "when it was found"
        for ack in acks:
            newer = night is None or ack.at > run.started  # the night took those from before
            if newer and ack.check in {ALL, finding.check} and finding.verdict.node in ack.nodes:
                return ack.words
        return ""

    return silenced


def blind(error: Exception) -> int:
    """The exit code where the scheduler could not be asked."""
    from clusterctl.report.accounts import EXIT_UNKNOWN

    tell(f"clusterctl: {error}\nclusterctl: nothing was changed\n")
    return EXIT_UNKNOWN


def settled(log: Log, hands: Hands, picture: Picture, journal: Journal) -> None:
    """Raises UserError where even that cannot be written down."""
    from clusterctl.act.agenda import settle

    try:
        for line in settle(log, hands, picture, journal, ambient.now()):
            tell(f"clusterctl: {line}\n")
    except OSError as error:
        raise UserError(f"{journal.path}: {error.strerror}: nothing was changed") from None


@dataclass(frozen=True, slots=True)
class Telling:
    """Where it is told; `quiet`: only what is done or held."""

    file: TextIO
    quiet: bool = False

    def tell(self, *parts: RenderableType) -> None:
        show(*parts, file=self.file, highlight=False)


def done(ending: Iterator[Ended], telling: Telling) -> list[Ended]:
    """All that was done, told even where Ctrl-C comes in between."""
    from clusterctl.report.actions import ended

    found: list[Ended] = []
    try:
        found.extend(ending)
    finally:
        telling.tell(*ended(found))
    return found


def tripped(journal: Journal, steps: Sequence[Step]) -> None:
    """Keep that the breaker held nodes in service.  Raises UserError."""
    from clusterctl.act.breaker import Do

    held = [one for one in steps if one.do is Do.HELD]
    why = list(dict.fromkeys(one.why for one in held))
    try:
        if held:
            nodes = [one.wanted.node for one in held]
            journal.trip(ambient.now(), operator(), nodes, why)
    except OSError as error:
        raise UserError(f"{journal.path}: {error.strerror}: nothing was changed") from None
