"""What fault codes of Ascend NPUs mean."""

from __future__ import annotations

from itertools import groupby

import pytest
from ascend_texts import capture, here

from clusterctl.knowledge import ascend
from clusterctl.model import (
    Severity,
)


def test_every_code_says_what_it_is_and_what_to_do_in_both_languages():
    table = ascend.table()
    assert len(table) > 800
    for code, known in table.items():
        texts = [known.what, known.first, known.then]
        assert all(text.en.isascii() or "…" in text.en for text in texts), code
        assert all(any("\u4e00" <= char <= "\u9fff" for char in text.zh) for text in texts), code
        assert known.source


LEVELS = "npu-smi/REF_mindcluster_faultCode.json"


@here(LEVELS)
def test_the_levels_are_those_of_the_original():
    import json

    original = json.loads(capture(LEVELS).read_text())
    graver = {"A2301001"}  # in two lists
    for name, codes in original.items():
        level = name.removesuffix("Codes").removesuffix("Fault")
        for code in set(codes) - graver:
            assert ascend.meaning(code).level == level, code
    assert ascend.meaning("A2301001").level == "SeparateNPU"
    leveled = {code for code, known in ascend.table().items() if known.level}
    assert leveled == {code for codes in original.values() for code in codes}


@pytest.mark.parametrize("code", ["80E18402", "0x80e18402", " 80e18402 "])
def test_a_code_is_found_however_it_is_written(code):
    known = ascend.about(code)
    assert known
    assert known.severity is Severity.RETURN
    assert "80E18401" in known.confused.en


@pytest.mark.parametrize("code", ["", "FFFFFFFF", "80E1", "nonsense"])
def test_what_no_table_has_is_not_made_up(code):
    assert ascend.about(code) is None
    assert ascend.meaning(code).severity is Severity.OBSERVE


def test_no_code_asks_for_less_than_its_level():
    order = list(Severity)
    for level, members in groupby(
        sorted(ascend.table().values(), key=lambda known: known.level), key=lambda k: k.level
    ):
        floor = ascend.document()["asks"][level or "unlisted"]["severity"]
        assert all(order.index(known.severity) >= order.index(Severity(floor)) for known in members)
