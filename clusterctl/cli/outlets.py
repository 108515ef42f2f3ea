"""Where a sweep's result goes besides the screen: metrics, messages, and what became of those."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.cli.language import Language, spoken
from clusterctl.cli.screen import tell
from clusterctl.model import Run, UserError

if TYPE_CHECKING:
    from clusterctl.act.notify import Message, Say
    from clusterctl.act.notify_file import Settings
    from clusterctl.act.notify_log import Sent
    from clusterctl.memory.acks import Page
    from clusterctl.model import Finding
    from clusterctl.report.accounts import Accounts
    from clusterctl.report.morning import Change
    from clusterctl.report.prometheus import Beyond

TELLING_S = 60.0
LAST_SUCCESS = re.compile(
    r"^clusterctl_last_success_timestamp_seconds\{.*\} ([0-9.e+]{1,40})$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Outlets:
    """`runs_dir`: where the memory of earlier messages is."""

    runs_dir: Path
    prometheus: Path | None = None
    people: Settings | None = None
    dry_run: bool = False
    lang: Language | None = None


def opened(
    runs_dir: Path,
    *,
    prometheus: Path | None,
    notify: Path | None,
    dry_run: bool,
    lang: Language | None,
) -> Outlets:
    """All that could be wrong with them is said before anything is asked.  Raises UserError."""
    from clusterctl.cli.finish import refuse_output

    if dry_run and notify is None:
        raise UserError("--notify-dry-run: of what? give --notify FILE, too")
    if prometheus is not None:
        refuse_output(prometheus, flag="--prometheus")
        refuse_absent("prometheus_client", "--prometheus", "prometheus")
        if prometheus.suffix != ".prom":
            raise UserError(
                f"--prometheus {prometheus}: name it *.prom: node_exporter reads no others"
            )
    people = None
    if notify is not None:
        from clusterctl.act import notify_file, notify_send

        refuse_absent("apprise", "--notify", "notify")
        people = notify_file.load(notify, os.environ)
        notify_send.refuse_unknown(people.to)
    return Outlets(runs_dir, prometheus, people, dry_run, lang)


def refuse_absent(module: str, flag: str, extra: str) -> None:
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise UserError(f"{flag}: needs {module}: pip install 'clusterctl[{extra}]'")


def pour(
    run: Run,
    accounts: Accounts,
    night: Page | None,
    outlets: Outlets,
    *,
    whole: bool,
    worth: bool,
) -> None:
    """Messages, then metrics, which tell of the messages.  Whatever fails is said on stderr.

    `whole`: everybody was asked to the end, and all of it was kept.  `worth`: there is something
    to tell people.
    """
    told = None
    if outlets.people is not None:
        from clusterctl.act import notify_log

        told = notify_log.load(outlets.runs_dir)
        heard = Hearers(outlets, outlets.people, told)
        text = news(run, accounts, night, heard) if worth or told.owes else None
        if text is not None:
            told = people_told(run, text, heard)
    if outlets.prometheus is not None:
        success_s = run.finished.timestamp() if whole else last_success(outlets.prometheus)
        measure(run, accounts, outlets.prometheus, beyond(run, night, told, success_s))


def beyond(run: Run, night: Page | None, told: Sent | None, success_s: float) -> Beyond:
    from clusterctl.report.prometheus import Beyond

    _, findings = lately(run, night)
    return Beyond(
        success_s,
        None if told is None else bool(told.failed),
        0 if told is None else told.held_back,
        len(night.acked) if night else 0,
        findings,
    )


def measure(run: Run, accounts: Accounts, path: Path, beyond: Beyond) -> None:
    from clusterctl.cli.finish import write_whole
    from clusterctl.report import prometheus

    try:
        write_whole(path, prometheus.text(run, accounts, beyond))
    except OSError as error:
        complain(f"--prometheus {path}: {error.strerror}; the metrics there are the last run's")


def last_success(path: Path) -> float:
    """As the metrics of an earlier run say; 0 where there are none."""
    try:
        found = LAST_SUCCESS.search(path.read_text(encoding="utf-8", errors="replace"))
        return float(found[1]) if found else 0.0
    except (OSError, ValueError):
        return 0.0


@dataclass(frozen=True, slots=True)
class Hearers:
    """Who is told, where that is remembered, and what became of earlier messages."""

    outlets: Outlets
    settings: Settings
    before: Sent


def news(run: Run, accounts: Accounts, night: Page | None, hearers: Hearers) -> Message | None:
    """What people should hear; None: nothing that is new is grave enough, and nothing is owed."""
    from clusterctl.act import notify
    from clusterctl.cli.world import now

    settings, before = hearers.settings, hearers.before
    changes, findings = lately(run, night)
    grave = notify.GRAVITY[settings.least]
    changes = [one for one in changes if notify.GRAVITY[one.row.verdict.severity] >= grave]
    first = night is None or not night.before
    begins = first and notify.grave_enough(findings, settings.least)
    # What is owed waits for a message that may go out: it is no news, to be kept back each time.
    owed = before.owes and not before.full(now(), settings.at_most, settings.per_s)
    if not (changes or begins or owed):
        return None
    where = f"{os.uname().nodename}:{hearers.outlets.runs_dir / run.id}"
    notes = tuple(before.notes())
    about = notify.About(run.id, run.playbook.name, accounts.line, where, changes, notes)
    say = language(hearers.outlets.lang, settings.lang)
    return notify.message(about, findings, least=settings.least, top=settings.top, say=say)


def people_told(run: Run, text: Message, hearers: Hearers) -> Sent:
    """What became of this run's message, kept for the next run's."""
    from clusterctl.act import notify_log

    outlets, settings, before = hearers.outlets, hearers.settings, hearers.before
    if outlets.dry_run:
        tell(f"--notify-dry-run: this would go to {names(settings)}:\n")
        sys.stderr.write(f"{text}\n")
        return before
    after = gone_out(run, text, settings, before)
    try:
        notify_log.save(outlets.runs_dir, after)
    except OSError as error:
        complain(f"{outlets.runs_dir}: {error.strerror}; the next run knows nothing of this one's")
    return after


def lately(run: Run, night: Page | None) -> tuple[list[Change], Sequence[Finding]]:
    """What changed, and what is found, without what somebody acked."""
    if night is None:
        return [], run.findings
    from clusterctl.memory.acks import not_covered
    from clusterctl.report.morning import changed_rows

    changes = changed_rows(night.told) if night.before else []  # the first night all is new
    return changes, not_covered(run.findings, night)


def language(asked: Language | None, of_file: str) -> Say:
    """The command line's, else the file's, else the locale's."""
    from clusterctl.knowledge import chinese

    chosen = spoken(asked or (Language(of_file) if of_file else None))
    return chinese.of if chosen is Language.ZH else str


def gone_out(run: Run, text: Message, settings: Settings, before: Sent) -> Sent:
    from clusterctl.act import notify_send
    from clusterctl.cli.world import now

    if before.full(now(), settings.at_most, settings.per_s):
        complain(
            f"--notify: {settings.at_most} messages went out lately, so this one is kept back; "
            "the next will say so"
        )
        return before.held()
    end = time.monotonic() + TELLING_S
    outcomes = notify_send.send(settings.to, text, now_s=time.time(), left_s=left_until(end))
    failed = "; ".join(f"{one.name}: {one.why}" for one in outcomes if one.why)
    if failed:
        complain(f"--notify: not everybody was told: {failed}; the next message will say so")
    return before.went(now(), run.id, failed, anybody=not all(one.why for one in outcomes))


def left_until(end: float) -> Callable[[], float]:
    return lambda: end - time.monotonic()


def names(settings: Settings) -> str:
    return ", ".join(one.name for one in settings.to)


def complain(line: str) -> None:
    tell(f"clusterctl: {line}\n")
