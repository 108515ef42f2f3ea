"""What a process does, by the frames of its stack; the frames are data, in frames.yml."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Rule:
    """`outer`: asked only where no other rule fits any frame."""

    kind: str
    name: re.Pattern[str]
    file: re.Pattern[str] | None
    source: str
    outer: bool = False


@cache
def shipped() -> dict[str, Any]:
    text = files("clusterctl.knowledge").joinpath("frames.yml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return loaded


@cache
def rules() -> tuple[Rule, ...]:
    return tuple(
        Rule(
            one["kind"],
            re.compile(one["name"]),
            re.compile(one["file"]) if "file" in one else None,
            one["source"],
            outer=one.get("outer", False),
        )
        for one in shipped()["frames"]
    )


@cache
def waits() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((one["kind"], re.compile(one["in"])) for one in shipped()["waits"])


@cache
def known(name: str, file: str, *, outer: bool) -> str:
    """The kind of one frame; empty: nobody knows."""
    for rule in rules():
        fits = rule.name.match(name) and (rule.file is None or rule.file.search(file))
        if rule.outer is outer and fits:
            return rule.kind
    return ""


def kind_of(frames: Sequence[tuple[str, str]]) -> tuple[str, int]:
    """Of frames (name, file), leaf first: what they do, and which of them tells it; "" and -1."""
    for outer in (False, True):
        for at, (name, file) in enumerate(frames):
            if kind := known(name, file, outer=outer):
                return kind, at
    return "", -1


def wait_of(functions: Sequence[str]) -> str:
    """In what the kernel holds a task; empty: nobody knows."""
    for function in functions:
        for kind, pattern in waits():
            if pattern.match(function):
                return kind
    return ""


def said(kind: str) -> str:
    """`waits in a collective`"""
    return str(shipped()["said"].get(kind, kind))
