"""Finding what the probes, checks and trials packages define: one file more is one thing more."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType
from typing import TypeVar

from clusterctl import checks, probes, trials
from clusterctl.model import Check, Parse, Probe, Trial

T = TypeVar("T")


def modules(package: ModuleType) -> list[ModuleType]:
    """Every module of a package, by name."""
    names = sorted(found.name for found in pkgutil.iter_modules(package.__path__))
    return [importlib.import_module(f"{package.__name__}.{name}") for name in names]


@cache
def all_probes() -> dict[str, Probe]:
    found = [probe for module in modules(probes) for probe in getattr(module, "PROBES", ())]
    return by_name([(probe.name, probe) for probe in found])


@cache
def fabric_probes() -> dict[str, Probe]:
    """What only `clusterctl fabric` asks: no playbook's `all` holds these."""
    found = [probe for module in modules(probes) for probe in getattr(module, "FABRIC", ())]
    return by_name([(probe.name, probe) for probe in found])


@cache
def named_probes() -> dict[str, Probe]:
    """What a playbook asks only where it names it: heavy on firmware, or told by another probe."""
    found = [probe for module in modules(probes) for probe in getattr(module, "BY_NAME", ())]
    return by_name([(probe.name, probe) for probe in found])


@cache
def readers() -> dict[str, Parse]:
    """Every text that `clusterctl read` reads, by probe or by the tool that printed it."""
    asked = {**all_probes(), **fabric_probes(), **named_probes()}
    texts = [
        named
        for package in (probes, trials)
        for module in modules(package)
        for named in getattr(module, "READS", {}).items()
    ]
    loads = {trial.name: trial.parse for trial in all_trials().values()}
    named = by_name([*((name, probe.parse) for name, probe in asked.items()), *texts])
    return {**loads, **named}


@cache
def all_checks() -> dict[str, Check]:
    found = [check for module in modules(checks) for check in getattr(module, "CHECKS", ())]
    return by_name([(check.name, check) for check in found])


@cache
def all_trials() -> dict[str, Trial]:
    found = [trial for module in modules(trials) for trial in getattr(module, "TRIALS", ())]
    return by_name([(trial.name, trial) for trial in found])


def by_name(named: list[tuple[str, T]]) -> dict[str, T]:
    """Raises ValueError where two files claim one name: a typo there must not hide a check."""
    found: dict[str, T] = {}
    for name, thing in named:
        if name in found:
            raise ValueError(f"{name} is defined twice")
        found[name] = thing
    return found
