"""What is known of AMD's RAS blocks and kernel lines, in both languages, against its captures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clusterctl.knowledge import amd, kernel
from clusterctl.model import KernelEvent, Severity, Status
from clusterctl.probes import kernel_log
from clusterctl.probes.kernel_lines_amd import AMD_LINES

CAPTURES = Path(__file__).parent.parent.parent / "shared/captures"
DMESG = ("CONSTRUCTED_amd_node_scraper_dmesg_sample.log", "amd_node_scraper_unit_lines.txt")
CHINESE = re.compile("[一-鿿]")
EVERY = [*amd.lines().values(), *amd.blocks().values()]


def events(name: str) -> list[KernelEvent]:
    path = CAPTURES / "dmesg" / name
    if not path.exists():
        pytest.skip(f"dmesg/{name} is not among this checkout's captures")
    found = kernel_log.parse(path.read_text(encoding="utf-8"))
    return [item for item in found if isinstance(item, KernelEvent) and item.kind == "amdgpu"]


@pytest.mark.parametrize("known", EVERY, ids=lambda known: known.code)
def test_every_text_is_there_in_both_languages_with_a_source(known):
    for text in (known.what, known.first, known.then):
        assert text.en
        assert text.en.isascii()
        assert CHINESE.search(text.zh)
    assert bool(known.confused.en) == bool(known.confused.zh)
    assert known.source
    assert (known.status is Status.FAIL) == (
        known.severity not in {Severity.OBSERVE, Severity.RESTART_JOB}
    )


@pytest.mark.parametrize("code", sorted({pattern.code for pattern in AMD_LINES}))
def test_every_line_that_is_looked_for_has_its_meaning(code):
    known = amd.about(code)
    assert known
    told = kernel.meaning(KernelEvent("0000:c1:00.0", "amdgpu", code, "a line"))
    assert (told.status, told.severity, told.why) == (known.status, known.severity, known.what.en)


def test_what_nobody_looks_for_is_not_explained_as_a_line():
    assert set(amd.lines()) <= {pattern.code for pattern in AMD_LINES}


@pytest.mark.parametrize(
    ("code", "severity"),
    [
        ("bad_pages", Severity.RETURN),
        ("uncorrected", Severity.RESET_DEVICE),
        ("umc", Severity.RESET_DEVICE),
        ("XGMI_WAFL", Severity.RESET_DEVICE),
        ("poison", Severity.RESTART_JOB),
        ("reset_failed", Severity.REBOOT_NODE),
        ("corrected", Severity.OBSERVE),
    ],
)
def test_a_code_asks_for_what_its_maker_says(code, severity):
    known = amd.about(code)
    assert known
    assert known.severity is severity


def test_what_no_table_has_is_none():
    assert amd.about("79") is None
    assert amd.about("") is None


def test_the_block_is_read_from_the_line():
    line = "socket: 4, die: 0 1 uncorrectable hardware errors detected in total in gfx block"
    assert amd.block_of(line) == "GFX"
    assert amd.block_of("poison is consumed by client 12") == ""


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        (DMESG[0], {"poison", "poison_created", "bad_pages", "bad_address", "hardware_error"}),
        (
            DMESG[1],
            {
                *("poison", "poison_created", "bad_pages", "bad_address", "hardware_error"),
                *("corrected", "init_failed", "page_fault", "queue_hang", "firmware"),
            },
        ),
    ],
)
def test_a_log_of_amds_says_what_a_reader_finds(name, codes):
    assert {event.code for event in events(name)} == codes


def test_a_line_names_the_card_it_is_about():
    told = {(event.code, event.part) for event in events(DMESG[0])}
    assert ("bad_pages", "0000:02:00.0") in told
    assert ("poison", "0000:01:00.0") in told
    assert ("hardware_error", "0000:03:00.0") in told


def test_the_driver_that_hygon_made_of_amds_is_heard_too():
    line = (
        "hycu 0000:09:00.0: 3 uncorrectable hardware errors detected in total in umc block\n"
        "hydcu 0000:0a:00.0: hydcu: Poison is created\n"
    )
    found = [item for item in kernel_log.parse(line) if isinstance(item, KernelEvent)]
    assert [(event.code, event.part) for event in found] == [
        ("uncorrected", "0000:09:00.0"),
        ("poison_created", "0000:0a:00.0"),
    ]
