"""A playbook is a Playbook, or one line that names file, key and the nearest valid key."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clusterctl import playbook
from clusterctl.model import UserError


def load(tmp_path: Path, text: str):
    path = tmp_path / "book.yml"
    path.write_text(text, encoding="utf-8")
    return playbook.load(str(path))


@pytest.mark.parametrize("name", list(playbook.shipped()))
def test_the_shipped_ones_load_and_say_what_they_are_for(name):
    book = playbook.load(name)

    assert book.about
    assert book.checks


def test_a_sweep_that_ships_loads_nothing():
    assert not playbook.load("nightly").stages


@pytest.mark.parametrize("name", list(playbook.shipped()))
def test_spell_and_build_are_inverse(name):
    book = playbook.load(name)

    again = playbook.build(book.origin, playbook.spell(book))

    assert again == book


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prob: all", "unknown key 'prob'; did you mean 'probes'?"),
        ("probes: [clok]", "unknown 'clok'; did you mean 'clock'?"),
        ("checks: [clock_ofset]", "did you mean 'clock_offset'?"),
        ("probes: [clock]\nchecks: [disk_space]", "disk_space needs Filesystem: add one of"),
        ("pace: {at_onse: 3}", "did you mean 'at_once'?"),
        ("pace: {node_s: -1}", "expected a number above 0, found -1"),
        ("pace: {node_s: .nan}", "expected a number above 0, found nan"),
        ("pace: {at_once: .inf}", "expected a number above 0, found inf"),
        ("pace: {at_once: 0.5}", "expected a whole number, found 0.5"),
        ("probes: []", "probes: is empty"),
        ("checks: []", "checks: is empty"),
        ("probes: [{cpu: 1}]", "unknown"),
        ("checks: [[cpu]]", "unknown"),
        ("name: ../../etc/x", "name: '../../etc/x': use letters"),
        ("name: ''", "name: '': use letters"),
        ("stages:\n- cpu_burn: {seconds: .nan}", "found nan"),
        ("stages:\n- cpu_burn: {seconds: true}", "found True"),
        ("stages: [cpu_bern]", "did you mean 'cpu_burn'?"),
        ("stages:\n- cpu_burn: {second: 3}", "did you mean 'seconds'?"),
        ("stages:\n- cpu_burn: {seconds: soon}", "found 'soon'"),
        ("expect: {clock_ofset: {}}", "did you mean 'clock_offset'?"),
        ("expect: {accelerator_count: {acelerators: 8}}", "did you mean 'accelerators'?"),
        ("expect: {accelerator_count: {accelerators: {valeu: 8}}}", "did you mean 'value'?"),
        ("expect: {accelerator_count: {accelerators: {}}}", "has no value"),
        ("expect: {accelerator_count: {accelerators: eight}}", "expected a number, found 'eight'"),
        ("expect: {accelerator_count: {accelerators: -8}}", "a number from 0 up, found -8"),
        ("expect: {accelerator_count: {accelerators: 8.5}}", "a whole number, found 8.5"),
        ("expect: {temperature: {core_warn_c: yes}}", "expected a number, found True"),
        ("name: [a", "expected"),
        ("name: a\nname: b", "stands twice"),
        ("- a", "expected keys and values, found a list"),
        ("[" * 100_000, "nested more than"),
        ("probes: 3", "found a number"),
        ("", "found nothing"),
    ],
)
def test_a_mistake_is_one_line_with_file_and_remedy(tmp_path, text, says):
    with pytest.raises(UserError) as caught:
        load(tmp_path, text)

    assert str(tmp_path / "book.yml") in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_playbook_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'nightly'"):
        playbook.load("nightli")


def test_a_limit_carries_its_source(tmp_path):
    text = "expect: {accelerator_count: {accelerators: {value: 8, source: the order}}}"
    book = load(tmp_path, text)

    limit = book.expect["accelerator_count"]["accelerators"]

    assert (limit.value, limit.source) == (8, "the order")


def test_a_limit_without_a_source_is_the_playbooks(tmp_path):
    book = load(tmp_path, "expect: {accelerator_count: {accelerators: 8}}")

    assert book.expect["accelerator_count"]["accelerators"].source.endswith("book.yml")


def test_every_shipped_sku_limit_has_a_source():
    found = [
        limit
        for sku in playbook.skus()
        for limits in sku.limits.values()
        for limit in limits.values()
    ]

    assert found
    assert all(limit.source for limit in found)


def test_a_sku_limit_without_a_source_is_refused(tmp_path):
    path = tmp_path / "x.yml"
    path.write_text("sku: x\nlimits: {accelerator_count: {accelerators: {value: 8}}}")

    with pytest.raises(UserError, match="has no source"):
        playbook.sku(path)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet=st.sampled_from("abc:{}[]-\n\t '\"&*!%@#|>,?0") | st.characters()))
def test_no_text_is_ever_a_traceback(tmp_path, text):
    path = tmp_path / "book.yml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))

    assert "\n" not in complaint(path)


def complaint(path: Path) -> str:
    """What is said of the file; empty where it is a playbook."""
    try:
        playbook.load(str(path))
    except UserError as error:
        return str(error)
    return ""
