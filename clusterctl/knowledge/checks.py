"""What to do when a check does not pass; the texts are data, in checks.yml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from clusterctl.knowledge import chinese
from clusterctl.knowledge.meaning import NOTHING, Text, text


@dataclass(frozen=True, slots=True)
class Advice:
    """`first` and `then`: what to do first, and what if that does not help.

    `asks` is empty for a check that has a file of its own; a run or a burn says the others itself.
    `confused`: what else looks like it, empty where nothing is known.
    """

    asks: Text
    first: Text
    then: Text
    confused: Text


NO_ADVICE = Advice(NOTHING, NOTHING, NOTHING, NOTHING)


@cache
def table() -> Mapping[str, Advice]:
    """By the check's name."""
    shipped = files("clusterctl.knowledge").joinpath("checks.yml").read_text(encoding="utf-8")
    given = yaml.load(shipped, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return {
        name: Advice(
            Text(one["what"], chinese.shown(one["what"])) if "what" in one else NOTHING,
            text(one["first"]),
            text(one["then"]),
            text(one.get("confused")),
        )
        for name, one in given.items()
    }


def asks(name: str) -> str:
    """Of a finding that no file of checks/ makes; empty where nobody knows it."""
    return table().get(name, NO_ADVICE).asks.en
