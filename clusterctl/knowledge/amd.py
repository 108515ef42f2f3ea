"""What AMD's RAS blocks and its driver's lines ask of a person; the texts are data, in amd.yml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from clusterctl.knowledge.meaning import Text
from clusterctl.model import Severity, Status

BLOCK_NAMES = "ROCm/amdsmi, amdsmi_gpu_block_t; Linux drivers/gpu/drm/amd/amdgpu/amdgpu_ras.c"
IN_LINE = re.compile(r"detected in (?:total in )?(\w+) block")


@dataclass(frozen=True, slots=True)
class Meaning:
    """Of a code of ours for a kernel line, or of a RAS block by AMD's name for it.

    `first` and `then` are what to do first and what if it comes back; `confused`: what it is
    often taken for, empty where nothing is known.
    """

    code: str
    status: Status
    severity: Severity
    what: Text
    first: Text
    then: Text
    source: str
    confused: Text


@cache
def document() -> Mapping[str, Any]:
    text = files("clusterctl.knowledge").joinpath("amd.yml").read_text(encoding="utf-8")
    found: Mapping[str, Any] = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return found


@cache
def lines() -> Mapping[str, Meaning]:
    """Of the kernel log, by our word for each: `code` of a KernelEvent of the kind amdgpu."""
    return {
        code: Meaning(
            code,
            Status(told["status"]),
            Severity(told["severity"]),
            Text(*told["what"]),
            Text(*told["first"]),
            Text(*told["then"]),
            told["source"],
            Text(*told.get("confused", ("", ""))),
        )
        for code, told in document()["lines"].items()
    }


@cache
def blocks() -> Mapping[str, Meaning]:
    """Uncorrected errors in a block; corrected ones are only counted, whatever the block."""
    lost = lines()["uncorrected"]
    return {
        name: Meaning(
            name,
            lost.status,
            lost.severity,
            Text(f"errors in {told['what'][0]}", f"{told['what'][1]}出错"),
            lost.first,
            Text(*document()["then"][told["then"]]),
            BLOCK_NAMES,
            Text("corrected errors there, which only are counted", "该模块的可纠正错误"),
        )
        for name, told in document()["blocks"].items()
    }


def about(code: str) -> Meaning | None:
    """Of a code of a kernel line or of a block, in any case; None where no table has it."""
    word = code.strip()
    return lines().get(word.lower()) or blocks().get(word.upper())


def block_of(line: str) -> str:
    """AMD's name of the block that a line of the kernel log names; empty: it names none."""
    found = IN_LINE.search(line)
    return found[1].upper() if found else ""
