"""A file -> a Playbook, or a UserError that names file, key and the nearest valid key."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from importlib import resources
from importlib.resources.abc import Traversable
from math import isfinite
from pathlib import Path
from typing import Any

from clusterctl import catalog
from clusterctl.act import policy
from clusterctl.limits import Sku, compares, expected, refuse_amount
from clusterctl.model import (
    Act,
    Check,
    Fact,
    Limit,
    Limits,
    Pace,
    Playbook,
    Probe,
    Soak,
    Stage,
    UserError,
)
from clusterctl.yaml_files import kind, nearest, read_mapping, refuse_unknown

KEYS = (
    *("name", "about", "select", "pace", "probes", "stages", "checks", "expect"),
    *("soak", "lease_s", "keep_going", "act"),
)


def load(path_or_name: str) -> Playbook:
    """A playbook by path, or by name from those shipped.  Raises UserError."""
    return parse(find(path_or_name))


def shipped() -> dict[str, Traversable]:
    """The playbooks that came with us, by name: beside the package, or inside a wheel."""
    beside = Path(__file__).parent.parent / "playbooks"
    folder: Traversable = beside
    if not (beside / "__init__.py").exists():
        folder = resources.files("clusterctl.playbooks")
    return {
        entry.name.removesuffix(".yml"): entry
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".yml")
    }


def find(path_or_name: str) -> Path | Traversable:
    path = Path(path_or_name)
    if path.is_file():
        return path
    ours = shipped()
    if path_or_name in ours:
        return ours[path_or_name]
    raise UserError(f"playbook {path_or_name!r}: no such file or name{nearest(path.stem, ours)}")


def parse(path: Path | Traversable) -> Playbook:
    given = {"name": str(path.name).removesuffix(".yml")} | read_mapping(path)
    for key in ("probes", "checks"):
        if given.get(key) == []:
            raise UserError(f"{path}: {key}: is empty: what is not asked or judged looks healthy")
    return build(str(path), given)


def build(origin: str, given: Mapping[str, Any]) -> Playbook:
    """A playbook from its mapping; `spell` is the inverse.  Raises UserError."""
    refuse_unknown(origin, given, KEYS)
    probes = chosen(f"{origin}: probes", given.get("probes", "all"), catalog.all_probes())
    stages = tuple(stage(f"{origin}: stages", entry) for entry in listed(origin, "stages", given))
    soaking = soak(f"{origin}: soak", given["soak"]) if given.get("soak") is not None else None
    loads = (*stages, *(soaking.load if soaking else ()))
    for key in ("lease_s", "keep_going"):
        if key in given and not soaking:
            raise UserError(
                f"{origin}: {key}: is for campaigns: add soak: {{hours: 72, load: […]}}"
            )
    return Playbook(
        name=file_name(origin, word(origin, "name", given)),
        about=word(origin, "about", given),
        select=word(origin, "select", given),
        pace=pace(f"{origin}: pace", given.get("pace", {})),
        probes=probes,
        stages=stages,
        checks=checks(f"{origin}: checks", given.get("checks", "all"), probes, loads),
        expect=expect(f"{origin}: expect", given.get("expect", {}), origin),
        origin=origin,
        soak=soaking,
        lease_s=positive(f"{origin}: lease_s", given.get("lease_s", 3600.0)),
        keep_going=truth(f"{origin}: keep_going", given.get("keep_going", False)),
        act=policy.build(f"{origin}: act", given.get("act", {}), catalog.all_checks()),
    )


def spell(playbook: Playbook) -> dict[str, Any]:
    """The mapping that `build` makes this playbook of, every limit with its source."""
    campaign = {
        "soak": spell_soak(playbook.soak),
        "lease_s": playbook.lease_s,
        "keep_going": playbook.keep_going,
    } if playbook.soak else {}  # fmt: skip
    return {
        "name": playbook.name,
        "about": playbook.about,
        "select": playbook.select,
        "pace": asdict(playbook.pace),
        "probes": [probe.name for probe in playbook.probes],
        "stages": [{stage.trial.name: dict(stage.params)} for stage in playbook.stages],
        **campaign,
        **({"act": policy.spell(playbook.act)} if playbook.act != Act() else {}),
        "checks": [check.name for check in playbook.checks],
        "expect": {
            check: {
                name: {**asdict(limit), "value": plain_value(limit)}
                for name, limit in limits.items()
            }
            for check, limits in playbook.expect.items()
        },
    }


def plain_value(limit: Limit) -> object:
    return list(limit.value) if isinstance(limit.value, tuple) else limit.value


def word(origin: str, key: str, given: Mapping[str, Any]) -> str:
    value = given.get(key, "")
    if not isinstance(value, str):
        raise UserError(f"{origin}: {key}: expected a word, found {kind(value)}")
    return value


def file_name(origin: str, name: str) -> str:
    """A playbook's name, which its runs' folders carry."""
    if not re.fullmatch(r"\w[\w.-]{0,99}", name):
        raise UserError(f"{origin}: name: {name!r}: use letters, digits, . - _")
    return name


def listed(origin: str, key: str, given: Mapping[str, Any]) -> list[Any]:
    value = given.get(key, [])
    if not isinstance(value, list):
        raise UserError(f"{origin}: {key}: expected a list, found {kind(value)}")
    return value


def chosen(where: str, given: object, known: Mapping[str, Probe]) -> tuple[Probe, ...]:
    """`known`: what "all" means, which may stand in a list beside those asked only by name."""
    every = {**known, **catalog.fabric_probes(), **catalog.named_probes()}
    if isinstance(given, list) and "all" in given:
        given = [*known, *(name for name in given if name != "all")]
    return tuple(every[name] for name in names(where, given, known if given == "all" else every))


def names(where: str, given: object, known: Collection[str]) -> list[str]:
    """Names in the order given; "all" is all of them."""
    if given == "all":
        return list(known)
    if not isinstance(given, list):
        raise UserError(f'{where}: expected "all" or a list of names, found {kind(given)}')
    for name in given:
        if not isinstance(name, str) or name not in known:
            raise UserError(f"{where}: unknown {str(name)!r}{nearest(str(name), known)}")
    return list(dict.fromkeys(given))


def checks(
    where: str, given: object, probes: Collection[Probe], stages: Collection[Stage]
) -> tuple[Check, ...]:
    """The checks asked for.  One asked for by name that nothing can feed is refused."""
    known = catalog.all_checks()
    yielded = {kind for source in probes for kind in source.yields}
    yielded |= {kind for stage in stages for kind in stage.trial.yields}
    asked = [known[name] for name in names(where, given, known)]
    fed = tuple(check for check in asked if yielded.issuperset(check.wants))
    for check in asked:
        if given != "all" and check not in fed:
            starved = ", ".join(sorted(kind.__name__ for kind in set(check.wants) - yielded))
            raise UserError(f"{where}: {check.name} needs {starved}: add {feeders(check)}")
    return fed


def feeders(check: Check) -> str:
    wants: set[type[Fact]] = set(check.wants)
    probes = [probe.name for probe in catalog.all_probes().values() if wants & set(probe.yields)]
    trials = [trial.name for trial in catalog.all_trials().values() if wants & set(trial.yields)]
    return " or ".join(
        part
        for part in (
            f"one of the probes {', '.join(probes)}" if probes else "",
            f"one of the stages {', '.join(trials)}" if trials else "",
        )
        if part
    )


def pace(where: str, given: object) -> Pace:
    if not isinstance(given, dict):
        raise UserError(f"{where}: expected keys and values, found {kind(given)}")
    refuse_unknown(where, given, [field.name for field in fields(Pace)])
    for key, value in given.items():
        if not is_number(value) or value <= 0:
            raise UserError(f"{where}: {key}: expected a number above 0, found {value!r}")
    if not isinstance(given.get("at_once", 1), int):
        raise UserError(f"{where}: at_once: expected a whole number, found {given['at_once']!r}")
    return Pace(**given)


def stage(where: str, given: object) -> Stage:
    """`cpu_burn`, or `cpu_burn: {seconds: 60}`."""
    known = catalog.all_trials()
    if isinstance(given, str):
        given = {given: {}}
    if not isinstance(given, dict) or len(given) != 1:
        raise UserError(f"{where}: expected a trial or one trial with its knobs, found {given!r}")
    ((name, params),) = given.items()
    if name not in known:
        raise UserError(f"{where}: unknown trial {str(name)!r}{nearest(str(name), known)}")
    trial, params = known[name], params or {}
    if not isinstance(params, dict):
        raise UserError(f"{where}: {name}: expected keys and values, found {kind(params)}")
    refuse_unknown(f"{where}: {name}", params, list(trial.params))
    for key, value in params.items():
        default = trial.params[key]
        alike = is_number(value) if isinstance(default, float) else type(value) is type(default)
        if not alike:
            raise UserError(
                f"{where}: {name}: {key}: expected {kind(default)} like {default!r}, "
                f"found {value!r}"
            )
    whole = {**trial.params, **params}
    why = trial.refuse(whole)
    if why:
        raise UserError(f"{where}: {name}: {why}")
    return Stage(trial, whole)


def soak(where: str, given: object) -> Soak:
    """`soak: {hours: 72, sample_s: 10, load: [mix]}`."""
    if not isinstance(given, dict):
        raise UserError(f"{where}: expected keys and values, found {kind(given)}")
    refuse_unknown(where, given, [field.name for field in fields(Soak)])
    load = tuple(stage(f"{where}: load", entry) for entry in listed(where, "load", given))
    if not load:
        raise UserError(f"{where}: load: name the trials that run again and again, e.g. [mix]")
    for one in load:
        if one.trial.partners > 1:
            raise UserError(f"{where}: load: {one.trial.name}: needs partners; make it a stage")
    if "hours" not in given:
        raise UserError(f"{where}: has no hours")
    times = ("hours", "sample_s", "tick_s", "silent_s", "partner_wait_s")
    seconds = {name: positive(f"{where}: {name}", given[name]) for name in times if name in given}
    run_on = truth(f"{where}: run_on", given.get("run_on", False))
    return Soak(load=load, run_on=run_on, **seconds)


def spell_soak(soak: Soak) -> dict[str, Any]:
    load = [{one.trial.name: dict(one.params)} for one in soak.load]
    return {field.name: getattr(soak, field.name) for field in fields(Soak)} | {"load": load}


def positive(where: str, given: object) -> float:
    if not is_number(given) or not isinstance(given, (int, float)) or given <= 0:
        raise UserError(f"{where}: expected a number above 0, found {given!r}")
    return float(given)


def truth(where: str, given: object) -> bool:
    if not isinstance(given, bool):
        raise UserError(f"{where}: expected true or false, found {given!r}")
    return given


def expect(where: str, given: object, source: str) -> dict[str, Limits]:
    """`check: {limit: value}` or `check: {limit: {value: …, source: …}}`."""
    if not isinstance(given, dict):
        raise UserError(f"{where}: expected keys and values, found {kind(given)}")
    known = catalog.all_checks()
    refuse_unknown(where, given, known)
    return {
        name: limits(f"{where}: {name}", entries, known[name], source)
        for name, entries in given.items()
    }


def limits(where: str, given: object, check: Check, source: str) -> dict[str, Limit]:
    if not isinstance(given, dict):
        raise UserError(f"{where}: expected keys and values, found {kind(given)}")
    refuse_unknown(where, given, [*check.limits, *check.options])
    found = {name: limit(f"{where}: {name}", value, source) for name, value in given.items()}
    for name, one in found.items():
        ours = check.limits[name].value if name in check.limits else 0
        if is_number(ours):
            refuse_amount(f"{where}: {name}", name, one.value)
    return found


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


def limit(where: str, given: object, source: str) -> Limit:
    conditions = ""
    if isinstance(given, dict):
        refuse_unknown(where, given, ("value", "source", "conditions"))
        if "value" not in given:
            raise UserError(f"{where}: has no value")
        source = str(given.get("source", source))
        conditions = str(given.get("conditions", ""))
        given = given["value"]
    if isinstance(given, list):
        given = tuple(str(item) for item in given)
    if not isinstance(given, (bool, int, float, str, tuple)):
        raise UserError(f"{where}: expected a number or a word, found {kind(given)}")
    return Limit(given, source, conditions)


def skus() -> tuple[Sku, ...]:
    """The shipped `expected/*.yml`.  A limit there without its own source is refused."""
    folder = resources.files("clusterctl.expected")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".yml")), key=lambda f: f.name)
    return tuple(sku(file) for file in files if file.name != "verdict.yml")


def sku(path: Path | Traversable) -> Sku:
    """Raises UserError where a number lacks a source, conditions, or the other end of its span."""
    given = read_mapping(path)
    refuse_unknown(str(path), given, ("sku", "match", "only_when_named", "limits", "reference"))
    match = given.get("match", {})
    refuse_unknown(f"{path}: match", match, ("model",))
    checked = {
        check: {
            name: expected(f"{path}: limits: {check}: {name}", entry)
            for name, entry in entries.items()
        }
        for check, entries in given.get("limits", {}).items()
    }
    compared = {
        check: dict(pair for name, one in entries.items() for pair in compares(name, one))
        for check, entries in checked.items()
    }
    reference = {
        name: expected(f"{path}: reference: {name}", entry)
        for name, entry in given.get("reference", {}).items()
    }
    return Sku(
        name=word(str(path), "sku", given),
        models=tuple(match.get("model", ())),
        limits=expect(f"{path}: limits", compared, str(path)),
        only_when_named=tuple(given.get("only_when_named", ())),
        reference=reference,
    )
