"""In which language an answer is written for people."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated

import typer


class Language(StrEnum):
    EN = "en"
    ZH = "zh"


Lang = Annotated[
    Language | None,
    typer.Option("--lang", help="Of tables and explanations.  [default: the locale's, else en]"),
]


def spoken(asked: Language | None) -> Language:
    """What was asked for, else the locale's: the first of these that is set holds, as in POSIX."""
    if asked is not None:
        return asked
    names = ("CLUSTERCTL_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
    locale = next((os.environ[name] for name in names if os.environ.get(name)), "")
    return Language.ZH if locale.lower().startswith("zh") else Language.EN
