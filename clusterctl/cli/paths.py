"""Printing a run of `bandwidth`, now or later; its exit code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from clusterctl.cli.finish import page_in, whole, write_whole
from clusterctl.cli.language import Language
from clusterctl.cli.options import Format
from clusterctl.cli.screen import columns, show, tell
from clusterctl.model import UserError

if TYPE_CHECKING:
    from clusterctl.report.paths import Answer


def render(
    path: Path,
    form: Format,
    output: Path | None,
    *,
    page: Path | None = None,
    anew: bool = False,
    lang: Language | None = None,
) -> int:
    """Print the run in this folder, or write it to `output`.  `anew`: judged again first."""
    if form is Format.JSONL:
        raise UserError("--format jsonl: a run of bandwidth has paths, not findings alone: json")
    answer = stored(path, anew=anew)
    if output is None:
        write(answer, form, sys.stdout, lang)
    else:
        try:
            with whole(output) as file:
                write(answer, form, file, lang)
        except OSError as error:
            raise UserError(f"-o {output}: {error.strerror}") from None
    if page is not None:
        write_page(answer, page, lang)
    return answer.exit_code


def write_page(answer: Answer, path: Path, lang: Language | None = None) -> None:
    """Raises UserError where the file cannot be written."""
    from clusterctl.report.paths_page import page

    try:
        write_whole(path, page_in(page(answer), lang))
    except OSError as error:
        raise UserError(f"--html {path}: {error.strerror}") from None
    tell(f"page: {path}\n")


def stored(path: Path, *, anew: bool) -> Answer:
    from clusterctl import store
    from clusterctl.bandwidth import folder
    from clusterctl.cli.rounds_judged import rejudged
    from clusterctl.report.paths import Answer

    found = store.stored(path)
    if anew or not found.complete:
        return Answer(*rejudged(path))
    topology = folder.topology(path)
    rows = folder.read_rows(path / "measured.csv", topology.nodes)
    return Answer(store.load(found), folder.located(path), rows, topology)


def write(answer: Answer, form: Format, file: TextIO, lang: Language | None = None) -> None:
    from clusterctl.report import paths

    if form is Format.JSON:
        file.write(paths.as_json(answer))
    elif form is Format.CSV:
        file.write(paths.as_csv(answer))
    else:
        show(paths.summary(answer, columns(file)), file=file, lang=lang)
