"""The end of a run: store it, print it, exit code."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.cli.language import Language, spoken
from clusterctl.cli.options import Format, width
from clusterctl.model import Run, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clusterctl.report.histories import Moments, Series
    from clusterctl.report.standings import Standing
    from clusterctl.store import Recorder


def finish(run: Run, recorder: Recorder) -> Path:
    """Keep the run.  A disk that is full costs the tables, never the verdict on the screen."""
    try:
        return recorder.finish(run)
    except OSError as error:
        sys.stderr.write(
            f"clusterctl: {recorder.path}: {error.strerror}; what was heard is kept there\n"
        )
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
) -> int:
    """Print the run, or write it to `output`; the exit code.  Raises UserError.

    `page`: an HTML page beside that, whatever the form of the answer.  `folder`: the run's, where
    it may be a campaign's; `.partial` or not any more.
    """
    from clusterctl.report.accounts import account

    accounts = account(run)
    if output is None:
        write(run, form, sys.stdout, verbose=verbose, lang=lang)
    else:
        try:
            draft = beside(output)
            with draft.open("w", encoding="utf-8") as file:
                write(run, form, file, verbose=verbose, lang=lang)
            if draft != output:
                draft.replace(output)  # a reader has the old answer or the new one, whole
        except OSError as error:
            raise UserError(f"-o {output}: {error.strerror}") from None
    if page is not None:
        write_page(run, page, folder)
    return accounts.exit_code


def beside(output: Path) -> Path:
    """Where to write first; a device or pipe is written itself."""
    plain = output.is_file() or not output.exists()
    return output.with_name(f".{output.name}.new") if plain else output


def refuse_output(*paths: Path | None) -> None:
    """Raises UserError before anything is asked, where an answer could not be written after it."""
    for path in paths:
        if path is not None and not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
            raise UserError(f"-o {path}: its folder is not there or cannot be written")
        if path is not None and path.is_dir():
            raise UserError(f"-o {path}: is a folder")


def write_page(run: Run, path: Path, folder: Path | None) -> None:
    """Raises UserError where the file cannot be written."""
    from clusterctl.playbook import skus
    from clusterctl.report.html import page

    standings = after_burn(run)
    series, moments = over_time(standings, folder)
    text = page(run, skus=skus(), standings=standings, series=series, moments=moments)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--html {path}: {error.strerror}") from None
    sys.stderr.write(f"page: {path}\n")


def after_burn(run: Run) -> Sequence[Standing]:
    """What becomes of each node; empty after a sweep, which accepts nothing."""
    from clusterctl.acceptance import decide, shipped_rules
    from clusterctl.report.accounts import account
    from clusterctl.report.standings import decided

    return decided(decide(run, shipped_rules()), account(run)) if run.verb == "burnin" else ()


def over_time(standings: Sequence[Standing], folder: Path | None) -> tuple[Series, Moments]:
    """What a campaign's journals say of the nodes that did not pass."""
    from clusterctl.campaign_folder import is_campaign
    from clusterctl.campaign_series import read
    from clusterctl.report.histories import MOST_NODES, gravest

    folder = folder and (folder if folder.is_dir() else folder.with_suffix(""))
    if folder is None or not is_campaign(folder):
        return {}, {}
    return read(folder, gravest(standings)[:MOST_NODES])


def write(
    run: Run, form: Format, file: object, *, verbose: bool, lang: Language | None = None
) -> None:
    """JSON and CSV are English whatever the language: programs read them."""
    from typing import TextIO, cast

    from clusterctl.report import records
    from clusterctl.report.accounts import account

    text = cast("TextIO", file)
    accounts = account(run)
    if form is Format.JSON:
        text.write(records.as_json(run, accounts, after_burn(run)))
    elif form is Format.CSV:
        text.write(records.as_csv(run, after_burn(run)))
    else:
        from rich.console import Console

        from clusterctl.knowledge import chinese
        from clusterctl.report.collectives import collective_tables
        from clusterctl.report.tables import ENGLISH, summary

        console = Console(file=text, width=width(text))
        for one in collective_tables(run.observations):
            console.print(one)
        say = chinese.of if spoken(lang) is Language.ZH else ENGLISH
        console.print(summary(run, accounts, verbose=verbose, say=say))
