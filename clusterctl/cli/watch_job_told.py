"""What watch-job says and keeps: lines on stdout, a live screen, files of its run."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Self

from clusterctl.cli import options
from clusterctl.cli import world as ambient
from clusterctl.cli.screen import said, show, tell
from clusterctl.model import Kind, UserError

if TYPE_CHECKING:
    from pathlib import Path

    from clusterctl.cli.triage_collectives import Given
    from clusterctl.cli.triage_live import Whose
    from clusterctl.cli.triage_past import Around
    from clusterctl.cli.world import Flags
    from clusterctl.model import Trouble
    from clusterctl.report.watching import Covered
    from clusterctl.triage.past.known import Past
    from clusterctl.triage.stacks.asked_stacks import Stacks
    from clusterctl.triage.verdict import Triage
    from clusterctl.triage.watching.asked import Away, Line
    from clusterctl.triage.watching.ring import Ring
    from clusterctl.triage.watching.state import Event
    from clusterctl.triage.watching.watched import Job, Watched

Answer = tuple["Triage", "Past", "Stacks | None"]
Found = Callable[[], Answer]
STATE_S = 60.0


def alarmed(whose: Whose, given: Given, flags: Flags, there: Around, seconds: float) -> Answer:
    """The triage that an operator would ask for now.  Raises UserError."""
    from clusterctl.cli.triage_links import probing
    from clusterctl.cli.triage_live import running
    from clusterctl.cli.triage_past import looked_back
    from clusterctl.triage.combined import combined

    runs_at = str(ambient.runs(flags.runs_dir))
    none = probing(wanted=False, force=False, why="", runs_at=runs_at)
    answers, stacks = running(whose, given, flags, seconds, none)
    found, then = looked_back(combined(answers), there, runs_at)
    return found, then, stacks


class Outlet:
    """Owns the run's directory: `watch.json`, the ring, `events.jsonl`, `triage-NNN.json`.

    Raises UserError where it cannot be made.
    """

    def __init__(self, job: Job, flags: Flags, form: options.Format, ring_bytes: int) -> None:
        from clusterctl.model import Playbook
        from clusterctl.triage.watching.ring import Ring

        self.job, self.form = job, form
        self.folder = ambient.runs(flags.runs_dir) / ambient.new_id(Playbook("watch-job"))
        self.ring: Ring = Ring(self.folder, ring_bytes)
        self.found = False  # a rank
        self.learnt = self.shifts = 0
        self.jobs: list[str] = []  # that were told where they are several
        self.aside: Callable[[], AbstractContextManager[None]] = nullcontext
        self.unread: set[tuple[str, Kind]] = set()
        self.spoke = job.began
        about = {"schema": 1, "nodes": sorted(job.nodes), "began": iso(), "argv": sys.argv[1:]}
        try:
            self.folder.mkdir(mode=0o700, parents=True)
            (self.folder / "watch.json").write_text(json.dumps(about) + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"{self.folder}: {error.strerror}; choose another --runs-dir") from None

    def __enter__(self) -> Self:
        count = len(self.job.nodes)
        nodes = "1 node" if count == 1 else f"{count} nodes"
        tell(f"clusterctl: kept in {self.folder}: {nodes}\n")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.ring.close()
        from clusterctl.report.watching import ring

        dearest = max((one.cost or 0.0 for one in self.job.nodes.values()), default=0.0)
        tell(f"clusterctl: {ring(self.covered)}; {self.folder}\n")
        tell(f"clusterctl: sampling took {dearest:.3%} of one processor where it took most\n")

    def keep(self, line: Line, at: float) -> None:
        """One line of a node: into the ring, then into what is known."""
        self.ring.keep(time.time(), line.node, line.question, line.text)
        trouble = self.job.take_in(line.node, line.question, line.text, at)
        self.found |= bool(self.job.nodes[line.node].ranks)
        if trouble is not None:
            self.once(line.node, trouble)

    def lacks(self, news: Away) -> None:
        """A conversation that broke is told if the node stays silent; a sampler that ended, now."""
        self.job.nodes[news.node].trouble = news.trouble
        if news.trouble.kind is Kind.EXIT:
            self.once(news.node, news.trouble)

    def once(self, node: str, trouble: Trouble) -> None:
        if (node, trouble.kind) not in self.unread:
            self.unread.add((node, trouble.kind))
            self.notice("unread", f"{node}: {trouble}", nodes=[node])

    def turns(self, at: float) -> None:
        """Says who fell silent and who is heard again; now and then, how all of it is."""
        from clusterctl.report.watching import as_state, together

        fallen, back = self.job.turned(at)
        for why, nodes in by_trouble(fallen):
            self.notice("silent", f"{who(nodes)} says nothing: {why}", nodes=names(nodes))
        if back:
            self.notice("heard", f"{who(back)} is heard again", nodes=names(back))
        if at - self.spoke >= STATE_S:
            self.spoke = at
            if self.form is options.Format.JSON:
                self.write(dict(as_state(self.job, self.covered)))
            elif not sys.stderr.isatty():
                tell(f"clusterctl: {together(self.job, at)}\n")

    @property
    def covered(self) -> Covered:
        from clusterctl.report.watching import Covered

        return Covered(self.ring.covers, self.ring.size, self.ring.lost, self.ring.why)

    def happens(self, event: Event) -> None:
        from clusterctl.report.watching import as_row, sentence
        from clusterctl.triage.watching.state import What
        from clusterctl.triage.watching.watched import ALARMS

        self.learnt += event.what is What.LEARNT
        self.shifts += event.what in ALARMS
        self.notice(as_row(event).pop("event"), sentence(event), **without_event(as_row(event)))

    def triaged(self, look: Found) -> None:
        """Asks, shows and keeps; what keeps it from an answer is said, and the watch goes on."""
        from clusterctl.cli.triage_collectives import parts
        from clusterctl.report import past, triage

        self.notice("triage begins", "looking at every node, to say why")
        try:
            found, then, stacks = look()
        except UserError as error:
            self.notice("no triage", f"no triage: {error}")
            return
        data = json.loads(triage.as_json(found, {"past": past.as_data(then)}))
        self.save(f"triage-{self.shifts:03}.json", {"at": iso(), **data})
        if self.form is options.Format.JSON:
            self.write({"event": "triage", "triage": data})
            return
        with self.aside():
            show(*parts(found, then, stacks))
            sys.stdout.flush()

    def ends(self, at: float, over: float | None) -> int:
        """Says why; the exit code."""
        from clusterctl.report.accounts import EXIT_FAIL, EXIT_PASS, EXIT_UNKNOWN
        from clusterctl.report.watching import minutes

        code = EXIT_FAIL if self.shifts else EXIT_PASS if self.learnt else EXIT_UNKNOWN
        if not self.found:
            why = "no process of a job was found on the nodes that answered"
            if there := sorted(self.job.jobs()):
                why = f"--job {self.job.name}: no such job there; there are {', '.join(there)}"
            hidden = sum(one.hidden for one in self.job.nodes.values())
            if hidden:
                why += f"; {hidden} processes may not be looked at; root, or become: true, may"
        elif over is not None:
            why = f"the job has ended: none of its ranks has run for {minutes(at - over)}"
        else:
            why = f"watched for {minutes(at - self.job.began)}, as asked"
        shifts = f"times its steps got slower: {self.shifts}"
        if not self.learnt:
            shifts = "no step time was seen: unknown"
        self.notice("ended", f"{why}; {shifts}", exit=code)
        return code

    def notice(self, kind: object, sentence: str, **cells: object) -> None:
        row = {"event": str(kind), "says": sentence, **cells}
        self.append(row)
        if self.form is options.Format.JSON:
            self.write(row)
        else:
            with self.aside():
                sys.stdout.write(f"{clock()} {said(sentence)}\n")
                sys.stdout.flush()

    def write(self, row: dict[str, object]) -> None:
        with self.aside():
            text = json.dumps({"schema": 1, "at": iso(), **row}, ensure_ascii=False)
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def append(self, row: dict[str, object]) -> None:
        """To events.jsonl, states and triages apart; a full disk is the ring's to tell."""
        try:
            with (self.folder / "events.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps({"at": iso(), **row}, ensure_ascii=False) + "\n")
        except OSError as error:
            self.ring.lost += 1
            self.ring.why = error.strerror or "cannot be written"

    def save(self, name: str, content: dict[str, object]) -> Path:
        path = self.folder / name
        try:
            path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")
        except OSError as error:
            tell(f"clusterctl: {path}: {error.strerror}; this triage is not kept\n")
        return path


def without_event(row: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if name != "event"}


def names(nodes: Sequence[Watched]) -> list[str]:
    return [one.name for one in nodes]


def who(nodes: Sequence[Watched]) -> str:
    from clusterctl.inventory.ranges import fold

    return fold(names(nodes))


def by_trouble(nodes: Sequence[Watched]) -> list[tuple[str, list[Watched]]]:
    found: dict[str, list[Watched]] = {}
    for one in nodes:
        why = str(one.trouble) if one.trouble else "it does not answer"
        found.setdefault(why, []).append(one)
    return list(found.items())


def iso() -> str:
    return ambient.now().astimezone().isoformat(timespec="seconds")


def clock() -> str:
    from clusterctl.report.watching import clock as on_wall

    return on_wall(ambient.now())
