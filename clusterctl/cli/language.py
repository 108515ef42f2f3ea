"""In which language an answer is written for people."""

from __future__ import annotations

import os
from contextvars import ContextVar
from enum import StrEnum
from typing import Annotated

import typer


class Language(StrEnum):
    EN = "en"
    ZH = "zh"


ASKED: ContextVar[Language | None] = ContextVar("ASKED", default=None)


def keep(asked: Language | None) -> Language | None:
    """Every line of this command is in it; verbs need not hand it on."""
    ASKED.set(asked)
    return asked


Lang = Annotated[
    Language | None,
    typer.Option(
        "--lang",
        callback=keep,
        help="Of tables and explanations.  [default: the locale's, else en]",
    ),
]


def spoken(asked: Language | None = None) -> Language:
    """What was asked for, else the locale's: the first of these that is set holds, as in POSIX."""
    if asked is not None or (asked := ASKED.get()) is not None:
        return asked
    names = ("CLUSTERCTL_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
    locale = next((os.environ[name] for name in names if os.environ.get(name)), "")
    return Language.ZH if locale.lower().startswith("zh") else Language.EN
