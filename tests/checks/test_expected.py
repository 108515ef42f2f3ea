"""What the files of expected/ promise."""

from __future__ import annotations

from importlib.resources import files

import pytest
import yaml

from clusterctl.catalog import all_checks

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
    assert sku.keys() == {"sku", "match", "only_when_named", "limits"}
    assert f"{sku['sku']}.yml" == path.name
    assert sku["match"]["model"]
    for check_name, limits in sku["limits"].items():
        check = all_checks()[check_name]
        assert limits.keys() <= {*check.limits, *check.options}
        for limit in limits.values():
            assert limit.keys() <= {"value", "source", "conditions"}
            assert limit["source"]


def test_no_model_belongs_to_two_skus() -> None:
    models = [
        model
        for path in SKUS
        for model in yaml.safe_load(path.read_text(encoding="utf-8"))["match"]["model"]
    ]
    assert len(SKUS) >= 4
    assert len(models) == len(set(models))
