"""What clusterctl knows of a code, a check, a word or a line of a log, by what people type."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from clusterctl import acceptance, catalog
from clusterctl.knowledge import amd, ascend, checks, chinese, kernel, nvidia
from clusterctl.knowledge.meaning import NOTHING, Text, Topic, text
from clusterctl.limits import Expected
from clusterctl.model import Check, KernelEvent, UserError
from clusterctl.playbook import skus
from clusterctl.probes import kernel_log

FAULT_CODE, BLOCK, RULE = "fault code", "RAS block", "acceptance rule"
WRITTEN = re.compile(r"(s?xid)\s*[:=#(]*\s*(\d{1,6})\)?", re.IGNORECASE)
NUMBERS = re.compile(r"\d+")
IN_CHINESE = ".zh.md"
# Markdown makes a blank of a line's end, which Chinese has none between its words.
SEAM = re.compile(r"(?<=[\u3001-\u9fff\uff01-\uff5e])\n *(?=[\u3001-\u9fff\uff01-\uff5e“])")
SHORT, CODE, MOST_NEAR = 2, 6, 3  # characters, characters, names
# A check asks of whatever is in the slot; people ask by what they have.
DEVICES = re.compile(r"^(gpu|npu|mlu|dcu|gcu|xpu|card)_")


def explain(words: Sequence[str]) -> list[Topic]:
    """All that is known by that name.  Raises UserError with the nearest name where nothing is."""
    said = " ".join(" ".join(words).split())
    if found := named(said) or in_log(said):
        return found
    raise UserError(f"nothing is known of {said!r}; {instead(said.lower())}")


def instead(said: str) -> str:
    """The nearest names; where none is near, what there is to ask for."""
    if close := near(said):
        return f"did you mean {' or '.join(map(repr, close))}?"
    if code := WRITTEN.fullmatch(said):
        return f"`clusterctl explain {code[1].lower()}` lists those that are"
    return f"known are {', '.join(dict.fromkeys(topic.kind for topic in topics()))}"


def near(said: str) -> list[str]:
    """Names that are a slip away.  A number is no slip of another: 9999 is not nearly 99."""
    names = [name for name in sorted(index()) if same_numbers(said, name)]
    begun = [name for name in names if len(said) > SHORT and name.startswith(said)]
    return begun[:MOST_NEAR] or get_close_matches(said, names, n=1, cutoff=0.7)


def same_numbers(said: str, name: str) -> bool:
    """A long code that was cut off is near to those that begin so."""
    if len(said) >= CODE and said.isalnum() and not said.isalpha():
        return name.startswith(said)
    wordless = not any(map(str.isalpha, name)) and any(map(str.isalpha, said))
    return not wordless and NUMBERS.findall(said) == NUMBERS.findall(name)


def named(said: str) -> list[Topic]:
    """By its name, by its code, or all topics of a kind."""
    code = WRITTEN.fullmatch(said)
    word = f"{code[1]} {code[2]}".lower() if code else said.lower()
    for form in (word, word.removeprefix("0x"), DEVICES.sub("accelerator_", snake(word))):
        if found := index().get(form) or index().get(snake(form)):
            return list(found)
    return []


def snake(word: str) -> str:
    return word.replace("-", "_")


def in_log(said: str) -> list[Topic]:
    """Of the lines of a kernel log among it."""
    events = [found for found in kernel_log.parse(said) if isinstance(found, KernelEvent)]
    return list(dict.fromkeys(of_event(event) for event in events))


def of_event(event: KernelEvent) -> Topic:
    """Of a line that a probe has read, as the checks judge it."""
    if event.kind == "xid":
        return nvidia.xid_topic(int(event.code))
    if event.kind == "sxid":
        return nvidia.sxid_topic(int(event.code), event.line)
    exact = index().get(f"{event.kind} {event.code}".lower())
    return exact[0] if exact else kernel_topic(event.kind, event.code, "")


@cache
def topics() -> tuple[Topic, ...]:
    """Everything, each once."""
    return (
        *nvidia.xids().values(),
        *nvidia.sxids().values(),
        *kernel_topics(),
        *amd_topics(),
        *ascend_topics(),
        *tool_codes(),
        *own_topics(),
        *cards(),
        *terms(),
        *chapters(),
    )


@cache
def index() -> Mapping[str, tuple[Topic, ...]]:
    """By every name of a topic, in lower case."""
    found: dict[str, list[Topic]] = {}
    for topic in topics():
        for key in keys(topic):
            found.setdefault(key, []).append(topic)
    return {key: tuple(members) for key, members in found.items()}


def keys(topic: Topic) -> set[str]:
    """A tool's number means nothing without its kind, and has a name of its own."""
    kind, code = topic.kind.lower(), topic.code.lower()
    alone = topic.looks.lower() if topic.kind in data("codes.yml") else code
    return {f"{kind} {code}", alone, kind}


@cache
def data(name: str) -> Mapping[str, Any]:
    shipped = files("clusterctl.knowledge").joinpath(name).read_text(encoding="utf-8")
    found: Mapping[str, Any] = yaml.load(shipped, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return found


@cache
def kernel_data() -> Mapping[str, Any]:
    return data("kernel.yml")


def kernel_topics() -> Iterator[Topic]:
    samples = {(one.kind, one.code): one.sample for one in kernel_log.PATTERNS}
    for kind, codes in kernel_data().items():
        for code in codes:
            yield kernel_topic(kind, code, samples.get((kind, code), ""))


def kernel_topic(kind: str, code: str, sample: str) -> Topic:
    """What check kernel_faults says of it, and what stands beside it."""
    told = kernel_data().get(kind, {}).get(code.lower(), {})
    event = KernelEvent("", kind, code, sample)
    known = kernel.meaning(event)
    ours = kernel.about_hardware(event)
    why = Text(known.why, chinese.of(known.why))
    remedy = Text(known.remedy, chinese.of(known.remedy)) if known.remedy else NOTHING
    return Topic(
        kind,
        code,
        text(told.get("what")) or why,
        text(told.get("first")) or remedy,
        text(told.get("then")),
        text(told.get("confused")),
        known.source if ours else "check oom" if kind == "oom" else "check link_flaps",
        known.status if ours else None,
        known.severity if ours else None,
        sample,
    )


def amd_topics() -> Iterator[Topic]:
    samples = {one.code: one.sample for one in kernel_log.PATTERNS if one.kind == "amdgpu"}
    for kind, table in (("amdgpu", amd.lines()), (BLOCK, amd.blocks())):
        for code, one in table.items():
            yield Topic(
                kind,
                code,
                one.what,
                one.first,
                one.then,
                one.confused,
                one.source,
                one.status,
                one.severity,
                samples.get(code, "") if kind == "amdgpu" else "",
            )


def ascend_topics() -> Iterator[Topic]:
    for code, one in ascend.table().items():
        yield Topic(
            FAULT_CODE,
            code,
            one.what,
            one.first,
            one.then,
            one.confused,
            one.source,
            one.status,
            one.severity,
        )


def tool_codes() -> Iterator[Topic]:
    """Numbers by which tools say why they failed."""
    for kind, table in data("codes.yml").items():
        for code, told in table["codes"].items():
            yield Topic(
                kind,
                code,
                text(told["what"]),
                text(told["first"]),
                text(told.get("then")),
                text(told.get("confused")),
                table["source"],
                looks=told["name"],
            )


def own_topics() -> Iterator[Topic]:
    """Checks, probes and trials."""
    made = catalog.all_checks()
    told = checks.table()
    for name in (*made, *(name for name in told if name not in made)):
        one = told.get(name, checks.NO_ADVICE)
        yield Topic(
            "check",
            name,
            both(made[name].asks) if name in made else one.asks,
            one.first,
            one.then,
            one.confused,
            numbers=limits(made[name]) if name in made else (),
        )
    probes = {**catalog.all_probes(), **catalog.fabric_probes(), **catalog.named_probes()}
    for name, probe in probes.items():
        yield Topic("probe", name, both(probe.about), both(f"proven: {probe.proven}"))
    for name, trial in catalog.all_trials().items():
        yield Topic("trial", name, both(trial.about))


def both(sentence: str) -> Text:
    return Text(sentence, chinese.of(sentence))


def limits(check: Check) -> tuple[str, ...]:
    """Every limit it compares with, and who says so."""
    return tuple(f"{key} = {one.value} ({one.source})" for key, one in check.limits.items())


def cards() -> Iterator[Topic]:
    """What is expected of each card."""
    for one in skus():
        compared = (
            f"{key} = {limit.value} ({limit.source})"
            for limits in one.limits.values()
            for key, limit in limits.items()
        )
        known = (f"{key} {told(number)} ({number.source})" for key, number in one.reference.items())
        models = ", ".join(one.models)
        yield Topic(
            "card", one.name, both(f"expected values of {models}"), numbers=(*compared, *known)
        )


def told(number: Expected) -> str:
    ends = (("", number.value), ("≥ ", number.floor), ("≤ ", number.ceiling))
    return ", ".join(f"{sign}{value:g}" for sign, value in ends if value is not None)


def terms() -> Iterator[Topic]:
    for kind, words in data("terms.yml").items():
        if kind == RULE:
            yield from rules(words)
            continue
        for word, told in words.items():
            yield Topic(
                kind,
                word,
                text(told["what"]),
                text(told.get("first")),
                text(told.get("then")),
                text(told.get("confused")),
                "clusterctl",
            )


def rules(words: Mapping[str, Any]) -> Iterator[Topic]:
    """By which a burn accepts a node or not; what to do is what its verdict asks."""
    shipped = acceptance.shipped_rules()
    for name, told in words.items():
        mine = [rule for rule in shipped if rule.name == name]
        verdict = mine[0].verdict if mine else acceptance.UNRULED[name]
        asked = data("terms.yml")["acceptance"][verdict]
        yield Topic(
            RULE,
            name,
            text(told["what"]),
            text(asked["first"]),
            text(asked.get("then")),
            source=mine[0].source if mine else "clusterctl",
            numbers=tuple(dict.fromkeys(map(when, mine))) or (str(verdict),),
        )


def when(rule: acceptance.Rule) -> str:
    """Which findings meet it, as verdict.yml writes it."""
    keys = ("check", "part", "actual", "status", "severity")
    said = ((key, getattr(rule, key)) for key in keys)
    return f"{rule.verdict}: " + ", ".join(
        f"{key} {value}" for key, value in said if value not in {None, "*"} or key == "check"
    )


def chapters() -> Iterator[Topic]:
    """The pages of knowledge/: NAME.md and, in Chinese, NAME.zh.md."""
    pages = {page.name: page for page in files("clusterctl.knowledge").iterdir()}
    for name in sorted(name for name in pages if name.endswith(".md")):
        if not name.endswith(IN_CHINESE):
            other = pages[name.removesuffix(".md") + IN_CHINESE]
            chinese = SEAM.sub("", other.read_text(encoding="utf-8"))
            text = Text(pages[name].read_text(encoding="utf-8"), chinese)
            yield Topic("chapter", name.removesuffix(".md"), text)


def spelled(topic: Topic) -> dict[str, object]:
    """As JSON holds it: always in both languages, None for what is not known."""
    return {
        "kind": topic.kind,
        "code": topic.code,
        "status": topic.status,
        "severity": topic.severity,
        **{
            name: {"en": said.en, "zh": said.zh} if said else None
            for name, said in (
                ("meaning", topic.what),
                ("first", topic.first),
                ("then", topic.then),
                ("confused_with", topic.confused),
            )
        },
        "example": topic.looks or None,
        "numbers": list(topic.numbers),
        "source": topic.source or None,
    }
