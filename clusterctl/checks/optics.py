"""Do the modules in the ports send and receive enough light?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log10

from clusterctl.model import Check, Evidence, Limit, Optic, Port, Severity, Verdict
from clusterctl.verdicts import (
    absent,
    facts_of,
    failing,
    passing,
    settled,
    skipping,
    source_of,
    threshold,
    warning,
)

CLEAN = "clean both ends of the fibre and reseat the module; then swap the module"


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        down = {port.part for port in facts_of(evidence, Port) if port.state != "active"}
        for optic in facts_of(evidence, Optic):
            lit = optic.part not in down
            yield from settled(
                (
                    *alarms(evidence, optic, lit=lit),
                    light(evidence, optic) if lit else skipping(evidence, optic.part, "port down"),
                    warmth(evidence, optic),
                )
            )


def alarms(evidence: Evidence, optic: Optic, *, lit: bool) -> Iterator[Verdict]:
    """A port that is down alarms about its dark fibre: port_state speaks of that."""
    for alarm in optic.alarms if lit else ():
        said = failing if "warn" not in alarm.lower() else warning
        yield said(
            evidence,
            optic.part,
            expected="no alarm",
            actual=alarm,
            why="the module itself raises this",
            remedy=CLEAN,
            severity=Severity.ISOLATE if said is failing else Severity.OBSERVE,
            source="limits that the module's maker stored in it",
        )


def light(evidence: Evidence, optic: Optic) -> Verdict:
    lanes = optic.rx_mw
    if lanes is None:
        return skipping(evidence, optic.part, "this module measures no light")
    if not lanes:
        return absent(evidence, optic, "rx_mw")
    dark_mw, most_db = threshold(evidence, "dark_mw"), threshold(evidence, "lane_spread_db")
    dark = [str(lane) for lane, power in enumerate(lanes, 1) if power <= dark_mw]
    if dark:
        return failing(
            evidence,
            optic.part,
            expected=f"> {dark_mw:g} mW on every lane",
            actual=f"dark: lane {', '.join(dark)} of {len(lanes)}",
            why="no light arrives",
            remedy=CLEAN,
            severity=Severity.ISOLATE,
            source=source_of(evidence, "dark_mw"),
        )
    spread_db = 10 * log10(max(lanes) / min(lanes))
    if spread_db > most_db:
        return warning(
            evidence,
            optic.part,
            expected=f"lanes within {most_db:g} dB",
            actual=f"{spread_db:.1f} dB apart",
            why=f"lane {lanes.index(min(lanes)) + 1} receives far less light than the best",
            remedy=CLEAN,
            source=source_of(evidence, "lane_spread_db"),
        )
    return passing(
        evidence, optic.part, f"≥ {min(lanes):.3g} mW", expected=f"lanes within {most_db:g} dB"
    )


def warmth(evidence: Evidence, optic: Optic) -> Verdict:
    if optic.temp_c is None:
        return absent(evidence, optic, "temp_c")
    most = threshold(evidence, "temp_c")
    if optic.temp_c <= most:
        return passing(evidence, optic.part, f"{optic.temp_c:g} °C", expected=f"≤ {most:g} °C")
    return warning(
        evidence,
        optic.part,
        expected=f"≤ {most:g} °C",
        actual=f"{optic.temp_c:g} °C",
        why="hotter than modules are made for",
        remedy="look at air flow around the port",
        source=source_of(evidence, "temp_c"),
    )


CHECKS = (
    Check(
        name="optics",
        asks="Do the modules in the ports receive enough light, evenly, without alarm?",
        wants=(Optic,),
        uses=(Port,),
        judge=judge,
        limits={
            "dark_mw": Limit(0.0001, "ethtool: -40 dBm means no light"),
            "lane_spread_db": Limit(
                2, "NVIDIA cable validation tool: a lane more than 2 dB below the best"
            ),
            "temp_c": Limit(70, "Huawei hccn_tool: 0 to 70 °C"),
        },
    ),
)
