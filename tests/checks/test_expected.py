"""What the files of expected/ promise."""

from __future__ import annotations

from importlib.resources import files

import pytest
import yaml

from clusterctl.catalog import all_checks
from clusterctl.limits import compares, expected
from clusterctl.model import UserError
from clusterctl.playbook import sku, skus

SKUS = sorted(
    (
        path
        for path in files("clusterctl.expected").iterdir()
        if path.name.endswith(".yml") and path.name != "verdict.yml"
    ),
    key=lambda path: path.name,
)


@pytest.mark.parametrize("path", SKUS, ids=lambda path: path.name)
def test_every_number_of_a_sku_has_a_source_and_a_check_that_asks_for_it(path) -> None:
    sku = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert sku.keys() - {"reference"} == {"sku", "match", "only_when_named", "limits"}
    assert f"{sku['sku']}.yml" == path.name
    assert sku["match"]["model"]
    for check_name, limits in sku["limits"].items():
        check = all_checks()[check_name]
        assert limits.keys() <= {*check.limits, *check.options}
        for limit in limits.values():
            assert limit.keys() <= {"value", "floor", "ceiling", "source", "conditions"}
            assert limit["source"]
            assert limit["conditions"]
    for number in sku.get("reference", {}).values():
        assert number["source"]
        assert number["conditions"]
    assert sku["limits"] or sku["reference"]


def test_no_model_belongs_to_two_skus() -> None:
    models = [
        model
        for path in SKUS
        for model in yaml.safe_load(path.read_text(encoding="utf-8"))["match"]["model"]
    ]
    assert len(SKUS) >= 4
    assert len(models) == len(set(models))


WHOLE = {"value": 55, "floor": 48, "ceiling": 63, "source": "a tool", "conditions": "at 1 GiB"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"source": ""}, "has no source"),
        ({"conditions": None}, "has no conditions"),
        ({"value": "fast"}, "expected a number"),
        ({"floor": True}, "expected a number"),
        ({"ceiling": float("nan")}, "expected a number"),
        ({"floor": 60}, "do not follow each other"),
        ({"ceiling": 50}, "do not follow each other"),
        ({"celing": 50}, "unknown key"),
    ],
)
def test_a_number_that_says_too_little_is_refused(change, said):
    with pytest.raises(UserError, match=said):
        expected("x.yml: h2d_gbyte_s", {**WHOLE, **change})


def test_a_number_of_nothing_is_refused():
    with pytest.raises(UserError, match="has no value"):
        expected("x.yml: y", {"source": "a tool", "conditions": "always"})


@pytest.mark.parametrize("missing", ["floor", "ceiling"])
def test_a_rate_that_a_check_compares_with_has_both_ends(missing):
    half = expected("x.yml", {key: told for key, told in WHOLE.items() if key != missing})
    with pytest.raises(UserError, match="needs a floor and a ceiling"):
        list(compares("h2d_gbyte_s", half))


def test_the_loader_refuses_what_the_lint_does(tmp_path):
    bad = tmp_path / "x.yml"
    bad.write_text(
        "sku: x\nmatch: {model: [X]}\nonly_when_named: []\n"
        "limits: {gpu_bandwidth: {h2d_gbyte_s: {value: 48, source: s}}}\n"
    )
    with pytest.raises(UserError, match="has no conditions"):
        sku(bad)


def test_a_check_compares_with_floor_and_ceiling_and_not_with_what_was_measured():
    limits = {one.name: one.limits for one in skus()}["h100-sxm"]["gpu_bandwidth"]
    assert limits["h2d_gbyte_s"].value == 48
    assert limits["ceiling_h2d_gbyte_s"].value == 63


def test_cards_with_a_number_anywhere_have_a_file():
    named = (
        "a100-sxm a100-pcie h100-sxm h200-sxm b200 b300 gb200 gb300 l40s mi100 mi210 mi250x mi300a "
        "mi300x mi325x mi355x ascend-910b ascend-910c bi-v150 metax-c550 mlu370-x8 mtt-s4000 "
        "mtt-s5000 gaudi2 gaudi3"
    )
    assert set(named.split()) <= {one.name for one in skus()}
