"""Every tool's captured output and the facts in it: `tests/captured/<probe>/<case>.{txt,json}`.

The JSON holds what a careful reader finds in the text:
{"facts": [{"type": "Port", …every field that is not at its default}],
 "troubles": [{"kind": "unreadable", "detail": optional, "part": optional}]}
"""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clusterctl.catalog import all_probes
from clusterctl.model import Fact, Kind, Probe, Trouble

CAPTURED = Path(__file__).parent / "captured"
CASES = sorted(CAPTURED.glob("*/*.txt"))
EVERY_CUT_BELOW = (
    3000  # characters; longer texts are cut at every line end and at 1000 other places
)

cases = pytest.mark.parametrize("case", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")


def text_of(case: Path) -> str:
    """As the remote side decodes it; Path.read_text would turn a carriage return into a newline."""
    return case.read_bytes().decode("utf-8", "replace")


def plain_value(value: object) -> object:
    """As JSON would hold it."""
    match value:
        case tuple() | list():
            return [plain_value(item) for item in value]
        case dict():
            return {key: plain_value(item) for key, item in value.items()}
        case datetime():
            return value.isoformat()
    return value


def default_of(field: object) -> object:
    if field.default is not MISSING:
        return field.default
    return MISSING if field.default_factory is MISSING else field.default_factory()


def shown(fact: Fact) -> dict[str, object]:
    """The fact's type, and every field that says something."""
    told = {field.name: getattr(fact, field.name) for field in fields(fact)}
    silent = {
        field.name
        for field in fields(fact)
        if default_of(field) is not MISSING and told[field.name] == default_of(field)
    }
    kept = {name: plain_value(value) for name, value in told.items() if name not in silent}
    return {"type": type(fact).__name__, **kept}


def read(probe: Probe, text: str) -> tuple[list[Fact], list[Trouble]]:
    facts: list[Fact] = []
    troubles: list[Trouble] = []
    for found in probe.parse(text):
        if isinstance(found, Trouble):
            assert isinstance(found.kind, Kind)
            assert found.detail
            troubles.append(found)
        else:
            assert isinstance(found, probe.yields)
            facts.append(found)
    return facts, troubles


@cases
def test_the_facts_are_what_a_reader_finds(case):
    facts, troubles = read(all_probes()[case.parent.name], text_of(case))
    expected = json.loads(case.with_suffix(".json").read_text())
    assert [shown(fact) for fact in facts] == expected["facts"]
    told = [{"kind": t.kind, "detail": t.detail, "part": t.part} for t in troubles]
    assert len(told) == len(expected["troubles"]), told
    for trouble, wanted in zip(told, expected["troubles"], strict=True):
        assert {key: trouble[key] for key in wanted} == wanted


@cases
def test_no_cut_raises(case):
    probe, text = all_probes()[case.parent.name], text_of(case)
    places = set(range(len(text)))
    if len(text) > EVERY_CUT_BELOW:
        ends = [place for place, char in enumerate(text) if char == "\n"]
        stride = len(text) // 1000
        places = {*ends, *(end + 1 for end in ends), *range(0, len(text), stride)}
    for place in places:
        read(probe, text[:place])
        if place % 7 == 0:  # a log tail begins anywhere
            read(probe, text[place:])


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["delete", "insert", "replace"]),
        st.floats(0, 1, exclude_max=True),
        st.text(min_size=1, max_size=6)
        | st.sampled_from(["\0", "\x1b[31m", "nan", "-1", "9" * 400, "N/A", "\n", "\r", "\t", '"']),
    ),
    min_size=1,
    max_size=6,
)


@cases
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(edits=EDITS)
def test_no_mutation_raises(case, edits):
    probe, text = all_probes()[case.parent.name], text_of(case)
    for action, where, new in edits:
        place = int(where * len(text))
        dropped = 0 if action == "insert" else len(new)
        put = "" if action == "delete" else new
        text = text[:place] + put + text[place + dropped :]
    read(probe, text)


def test_nothing_captured_lacks_its_facts_or_its_probe():
    for case in CASES:
        assert case.with_suffix(".json").exists(), case
        assert case.parent.name in all_probes(), case


@pytest.mark.parametrize("name", sorted(all_probes()))
def test_every_probe_has_a_good_and_a_troubled_case(name):
    mine = [json.loads(path.read_text()) for path in (CAPTURED / name).glob("*.json")]
    assert any(case["facts"] for case in mine)
    assert any(case["troubles"] for case in mine)
    assert all(
        (CAPTURED / name / path.with_suffix(".txt").name).exists()
        for path in (CAPTURED / name).glob("*.json")
    )


@pytest.mark.parametrize("name", sorted(all_probes()))
def test_no_fact_comes_out_of_nothing_or_of_rubbish(name):
    probe = all_probes()[name]
    for text in ("", "\n", "\0\0\0", "Segmentation fault\n", "<html>\n", "{}\n", "[]\n"):
        facts, _ = read(probe, text)
        assert not facts, text
