"""The README's table of vendors says what `list probes` says, and nothing more."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from clusterctl import catalog
from clusterctl.model import Accelerator, Link
from clusterctl.report.catalogue import rows

ROOT = Path(__file__).parent.parent
VENDORS = {row["vendor"]: row for row in rows("vendors")}
TOLD = yaml.safe_load(files("clusterctl.knowledge").joinpath("vendors.yml").read_text())
HEALTH = {"health", "error_codes", "recovery_action", "ecc_uncorrected_volatile"}


def of_readme() -> list[dict[str, str]]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = text.split("| vendor |", 1)[1].split("\n\n", 1)[0].splitlines()
    heads = ["vendor", *(word.strip() for word in lines[0].strip(" |").split("|"))]
    cells = ([cell.strip() for cell in line.strip(" |").split(" | ")] for line in lines[2:])
    return [dict(zip(heads, row, strict=True)) for row in cells]


def test_the_readme_holds_the_table_that_is_listed():
    assert of_readme() == list(VENDORS.values())


def test_every_probe_that_sees_accelerators_is_of_a_vendor():
    sees = {name for name, probe in catalog.all_probes().items() if Accelerator in probe.yields}
    assert sees == {name for told in TOLD.values() for name in told["probes"]} - {"pci"}


@pytest.mark.parametrize("vendor", VENDORS)
def test_no_cell_claims_more_than_the_probes_do(vendor):
    proven = {row["name"]: row["proven"] for row in rows("probes")}
    row, told = VENDORS[vendor], TOLD[vendor]
    seen = row["seen"].partition(" ")[0]
    assert seen in {proven[name] for name in told["probes"]}
    assert row["link"] == (proven[told["link"]] if "link" in told else "no")
    if "link" in told:
        assert Link in catalog.all_probes()[told["link"]].yields
    cells = " ".join(row.values())
    if "hardware" in cells:
        assert vendor == "any other"


@pytest.mark.parametrize("vendor", [name for name, row in VENDORS.items() if row["health"] != "no"])
def test_where_health_is_claimed_a_case_of_that_probe_tells_some(vendor):
    told = set()
    for name in TOLD[vendor]["probes"]:
        for case in (ROOT / "tests/captured" / name).glob("*.json"):
            for fact in json.loads(case.read_text()).get("facts", []):
                told |= set(fact) if fact["type"] == "Accelerator" else set()
    assert told & HEALTH


def test_pytorch_is_claimed_only_where_a_family_of_devices_is_known():
    families = (ROOT / "clusterctl/remote/torch_devices.py").read_text()
    named = set(re.findall(r'^    \("(\w+)", "', families, re.MULTILINE))
    by_cuda = {"NVIDIA", "AMD", "Hygon", "Iluvatar", "MetaX"}
    own = {
        "Huawei": "npu",
        "Cambricon": "mlu",
        "Moore Threads": "musa",
        "Enflame": "gcu",
        "Tecorigin": "sdaa",
        "Biren": "supa",
    }
    claims = {vendor for vendor, row in VENDORS.items() if "PyTorch" in row["burn"]}
    assert claims == by_cuda | {vendor for vendor, family in own.items() if family in named}
