"""The end of a run: store it, print it, exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from clusterctl.cli.language import Language, spoken
from clusterctl.cli.options import Format
from clusterctl.cli.screen import show, tell
from clusterctl.model import Run, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from clusterctl.memory.acks import Page
    from clusterctl.memory.movers import Mover
    from clusterctl.report.accounts import Accounts
    from clusterctl.report.histories import Moments, Series
    from clusterctl.report.standings import Standing
    from clusterctl.store import Recorder


def finish(run: Run, recorder: Recorder) -> Path:
    """Keep the run.  A disk that is full costs the tables, never the verdict on the screen."""
    if run.verb == "sweep" and run.playbook.checks:
        from clusterctl.memory.nights import remember

        remember(run, recorder.path, recorder.path.parent)
    try:
        return recorder.finish(run)
    except OSError as error:
        tell(f"clusterctl: {recorder.path}: {error.strerror}; what was heard is kept there\n")
        return recorder.path


def render(
    run: Run,
    form: Format,
    output: Path | None,
    *,
    verbose: bool = False,
    page: Path | None = None,
    folder: Path | None = None,
    lang: Language | None = None,
    night: Page | None = None,
    silent: bool = False,
) -> int:
    """Print the run, or write it to `output`; the exit code.  Raises UserError.

    `page`: an HTML page beside that, whatever the form of the answer.  `folder`: the run's, where
    it may be a campaign's; `.partial` or not any more.  `night`: the table tells what changed.
    `silent`: files are written and nothing is printed.
    """
    kept = night or remembered(run, folder)
    accounts = accounted(run, kept)
    if output is None:
        if not silent:
            write(run, form, sys.stdout, verbose=verbose, lang=lang, night=night, accounts=accounts)
    else:
        try:
            with whole(output) as file:
                write(run, form, file, verbose=verbose, lang=lang, night=night, accounts=accounts)
        except OSError as error:
            raise UserError(f"-o {output}: {error.strerror}") from None
    if page is not None:
        write_page(run, page, folder, kept, lang)
        if not silent:
            tell(f"page: {page}\n")
    return accounts.exit_code


def remembered(run: Run, folder: Path | None) -> Page | None:
    """What a sweep told of the nights before it; None where it has no memory."""
    if run.verb != "sweep" or folder is None:
        return None
    from clusterctl.memory.nights import read

    return read(folder)


def accounted(run: Run, night: Page | None) -> Accounts:
    """With what is acked counted, and no reason for an exit code."""
    from clusterctl.memory.acks import not_covered
    from clusterctl.playbook import skus
    from clusterctl.report.accounts import account, excusing

    accounts = account(run, skus())
    if night is None or not night.acked:
        return accounts
    return excusing(accounts, run, not_covered(run.findings, night), len(night.acked))


@contextmanager
def whole(path: Path) -> Iterator[TextIO]:
    """A file whose reader has the old text or the new one, whole.

    Raises OSError; the old one stays.  A device or pipe is written itself.
    """
    plain = not is_device(path)
    draft = path.with_name(f".{path.name}.new") if plain else path
    try:
        with draft.open("w", encoding="utf-8") as file:
            yield file
            file.flush()
            if plain:
                os.fsync(file.fileno())
        if plain:
            draft.replace(path)
    finally:
        if plain:
            draft.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Raises OSError; see whole."""
    with whole(path) as file:
        file.write(text)


def refuse_output(
    output: Path | None, beside: Path | None = None, *, flag: str = "-o", also: str = "--html"
) -> None:
    """Raises UserError before anything is asked, where an answer could not be written after it.

    `beside`: a second file, of the option `also`.
    """
    if output and beside and output.resolve() == beside.resolve() and not is_device(output):
        raise UserError(f"{flag} and {also} are both {output}: give each a file of its own")
    for name, path in ((flag, output), (also, beside)):
        if path is not None and not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
            raise UserError(f"{name} {path}: its folder is not there or cannot be written")
        if path is not None and path.is_dir():
            raise UserError(f"{name} {path}: is a folder")


def is_device(path: Path) -> bool:
    return path.exists() and not path.is_file()


def write_page(
    run: Run,
    path: Path,
    folder: Path | None,
    night: Page | None = None,
    lang: Language | None = None,
) -> None:
    """Raises UserError where the file cannot be written."""
    from clusterctl.playbook import skus
    from clusterctl.report.html import morning_of, page

    standings = after_burn(run)
    series, moments = over_time(standings, folder)
    morning = None if night is None else morning_of(night, moved(run, folder))
    text = page(
        run, skus=skus(), standings=standings, series=series, moments=moments, morning=morning
    )
    try:
        write_whole(path, page_in(text, lang))
    except OSError as error:
        raise UserError(f"--html {path}: {error.strerror}") from None


def page_in(text: str, lang: Language | None) -> str:
    """A page in the language that was asked for, or the locale's."""
    from clusterctl.report.translated import in_chinese

    return in_chinese(text) if spoken(lang) is Language.ZH else text


def moved(run: Run, folder: Path | None) -> Sequence[Mover]:
    """What goes the wrong way, by the runs beside this one; none where they cannot be read."""
    if folder is None:
        return ()
    from clusterctl.memory.cache import memory
    from clusterctl.memory.folder import open_folder
    from clusterctl.memory.movers import movers

    racks = {node.name: node.labels.get("rack", "") for node in run.nodes}
    try:
        return movers(memory(open_folder(folder.absolute().parent), until=run.started), racks)
    except (UserError, OSError, ValueError) as error:
        tell(f"clusterctl: {error}; the page shows no trends\n")
        return ()


def after_burn(run: Run) -> Sequence[Standing]:
    """What becomes of each node; empty after a sweep, which accepts nothing."""
    from clusterctl.acceptance import decide, shipped_rules
    from clusterctl.report.accounts import account
    from clusterctl.report.standings import decided

    return decided(decide(run, shipped_rules()), account(run)) if run.verb == "burnin" else ()


def over_time(standings: Sequence[Standing], folder: Path | None) -> tuple[Series, Moments]:
    """What a campaign's journals say of the nodes that did not pass."""
    from clusterctl.campaign.folder import is_campaign
    from clusterctl.campaign.series import read
    from clusterctl.report.histories import MOST_NODES, gravest

    folder = folder and (folder if folder.is_dir() else folder.with_suffix(""))
    if folder is None or not is_campaign(folder):
        return {}, {}
    return read(folder, gravest(standings)[:MOST_NODES])


def write(
    run: Run,
    form: Format,
    file: TextIO,
    *,
    verbose: bool,
    lang: Language | None = None,
    night: Page | None = None,
    accounts: Accounts | None = None,
) -> None:
    """JSON and CSV are English whatever the language: programs read them."""
    from clusterctl.report import records

    accounts = accounts or accounted(run, night)
    if form is Format.JSON:
        file.write(records.as_json(run, accounts, after_burn(run)))
    elif form is Format.CSV:
        file.write(records.as_csv(run, after_burn(run)))
    elif form is Format.JSONL:
        from clusterctl.report import jsonl

        file.writelines(jsonl.lines(run))
    else:
        from clusterctl.report import morning, tables
        from clusterctl.report.collectives import collective_tables

        parts: list[RenderableType] = [*collective_tables(run.observations)]
        if night is not None and night.before:
            parts.append(morning.summary(run, night, accounts, verbose=verbose))
        else:
            parts.append(tables.summary(run, accounts, verbose=verbose))
        show(*parts, file=file, lang=lang)
