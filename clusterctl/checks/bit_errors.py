"""Does a port's signal arrive with few enough bit errors, on every lane?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf, log10

from clusterctl.model import BitErrors, Check, Evidence, Limit, Optic, Port, Severity, Verdict
from clusterctl.verdicts import (
    before,
    facts_of,
    failing,
    passing,
    settled,
    skipping,
    source_of,
    threshold,
    warning,
)

NO_ERROR = 1.5e-254  # NVIDIA firmware's way to say it
CABLE = "clean and reseat the cable at both ends; swap it; then look at the switch port"


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        modules = {optic.part: optic for optic in facts_of(evidence, Optic)}
        down = {port.part for port in facts_of(evidence, Port) if port.state == "down"}
        earlier = before(evidence, BitErrors)
        for signal in facts_of(evidence, BitErrors):
            if signal.part in down:
                yield skipping(evidence, signal.part, "port down: port_state speaks of that")
                continue
            yield from settled(
                (
                    ratio(evidence, signal),
                    *raw(evidence, signal),
                    *dirty(evidence, signal, modules.get(signal.part)),
                    *grown(evidence, signal, earlier.get(signal.part)),
                    *advised(evidence, signal),
                )
            )


def ratio(evidence: Evidence, signal: BitErrors) -> Verdict:
    """After correction: what is left are lost packets."""
    if signal.effective_ber is None:
        return skipping(evidence, signal.part, "bit errors were not told")
    most, source = threshold(evidence, "effective_ber"), source_of(evidence, "effective_ber")
    actual = f"{signal.effective_ber:.0e}" if signal.effective_ber > NO_ERROR else "no error"
    expected = f"effective ≤ {most:.0e}"
    if signal.effective_ber <= most:
        return passing(evidence, signal.part, actual, expected=expected, source=source)
    return failing(
        evidence,
        signal.part,
        expected=expected,
        actual=actual,
        why="bits stay wrong after error correction",
        remedy=CABLE,
        severity=Severity.ISOLATE,
        source=source,
    )


def raw(evidence: Evidence, signal: BitErrors) -> Iterator[Verdict]:
    most = threshold(evidence, "raw_ber")
    if signal.raw_ber is not None and signal.raw_ber > most:
        yield warning(
            evidence,
            signal.part,
            expected=f"raw ≤ {most:.0e}",
            actual=f"{signal.raw_ber:.0e}",
            why="error correction works hard; when it no longer can, packets are lost",
            remedy=CABLE,
            source=source_of(evidence, "raw_ber"),
        )


def dirty(evidence: Evidence, signal: BitErrors, optic: Optic | None) -> Iterator[Verdict]:
    """A lane with less light than the best and more errors than the cleanest one."""
    lanes, light = signal.lane_ber or (), optic.rx_mw or () if optic else ()
    if len(lanes) != len(light) or len(lanes) < 2 or max(light) <= 0:
        return
    most_db, times = threshold(evidence, "lane_spread_db"), threshold(evidence, "lane_ber_times")
    for lane, (ber, power) in enumerate(zip(lanes, light, strict=True), 1):
        below_db = 10 * log10(max(light) / power) if power > 0 else inf
        if below_db > most_db and ber > times * min(lanes):
            yield warning(
                evidence,
                signal.part,
                expected=f"lanes within {most_db:g} dB and {times:g} times the bit errors",
                actual=f"lane {lane}: {below_db:.1f} dB below the best, {ber:.0e}",
                why="this lane gets less light and more errors than the others",
                remedy="clean both ends of the fibre and reseat the module; then swap the module",
                source=source_of(evidence, "lane_spread_db"),
            )


def grown(evidence: Evidence, signal: BitErrors, then: BitErrors | None) -> Iterator[Verdict]:
    now, past = signal.effective_errors, then.effective_errors if then else None
    most = threshold(evidence, "effective_errors")
    if now is None or past is None or not evidence.same_boot or now - past <= most:
        return
    yield warning(
        evidence,
        signal.part,
        expected=f"+{most:g} errors left after correction",
        actual=f"+{now - past}",
        why="packets were lost to bit errors since the last reading",
        remedy=CABLE,
        source=source_of(evidence, "effective_errors"),
        yardstick="past",
    )


def advised(evidence: Evidence, signal: BitErrors) -> Iterator[Verdict]:
    if signal.advice:
        yield warning(
            evidence,
            signal.part,
            expected="no advice",
            actual=signal.advice[:120],
            why="the device's own diagnosis of its link",
            remedy="do as it says; then " + CABLE,
            source="mlxlink: Troubleshooting Info",
        )


CHECKS = (
    Check(
        name="bit_errors",
        asks="Does a port's signal arrive with few enough bit errors, on every lane?",
        wants=(BitErrors,),
        uses=(Optic, Port),
        judge=judge,
        limits={
            "effective_ber": Limit(
                1e-12, "oci-dr-hpc-v2; ibdiagnet's default; InfiniBand specification"
            ),
            "raw_ber": Limit(1e-5, "oci-dr-hpc-v2: raw BER", "before error correction"),
            "effective_errors": Limit(0, "oci-dr-hpc-v2: effective link errors 0"),
            "lane_spread_db": Limit(2, "NVIDIA cable validation tool: 2 dB below the best lane"),
            "lane_ber_times": Limit(10, "NVIDIA cable validation tool: and 10 times the BER"),
        },
    ),
)
