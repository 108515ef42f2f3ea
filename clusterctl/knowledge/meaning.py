"""What is known of one thing that an operator may ask about, in every language we speak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clusterctl.model import Severity, Status


@dataclass(frozen=True, slots=True)
class Text:
    """The same said in English and in Chinese; both empty: nothing is known."""

    en: str = ""
    zh: str = ""

    def __bool__(self) -> bool:
        return bool(self.en)


NOTHING = Text()


def text(pair: Sequence[str] | None) -> Text:
    """Of `[English, Chinese]` in a data file; of None, that nothing is known."""
    return Text(*pair) if pair else NOTHING


@dataclass(frozen=True, slots=True)
class Topic:
    """`kind` and `code` together name it: XID 79, fault code 80E18402, check xid, exit code 4.

    `first` and `then`: what to do first, and what if it comes back.  `confused`: what it is often
    taken for.  `looks`: a line or an output in which it is met.  `numbers`: what it holds, a line
    each.  `status` and `severity` are None where the thing is no fault.
    """

    kind: str
    code: str
    what: Text
    first: Text = NOTHING
    then: Text = NOTHING
    confused: Text = NOTHING
    source: str = ""
    status: Status | None = None
    severity: Severity | None = None
    looks: str = ""
    numbers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.kind} {self.code}"
