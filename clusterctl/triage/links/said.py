"""What `remote/probe_paths.py` says on both ends of each path, put together.  Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from clusterctl.model import Answer, Trouble
from clusterctl.triage.links.known import Way
from clusterctl.triage.one_question import ended
from clusterctl.triage.running.readings import Cells, count, listed, number, rows, text

NAMED = re.compile(r"(?P<src>[^>/]+)/(?P<rail>\d{1,3})>(?P<dst>[^>/]+)/(?P=rail)")

MOST_TOLD = 4  # paths that broke off
UNSTAMPED = "its kernel does not say when messages come: how long they wait there is not known"


@dataclass(frozen=True, slots=True)
class End:
    """One end of a path, `out` and `come` in segments; None: not counted there.

    `stamped`: whether the kernel there said when messages came; else there are no times.
    """

    out: int | None = None
    come: int | None = None
    again: int | None = None
    why: str = ""
    rtt_us: tuple[float, ...] = ()
    there_us: tuple[float, ...] = ()
    back_us: tuple[float, ...] = ()
    rate_bit_s: float | None = None
    send_us: tuple[float, ...] = ()
    stamped: bool | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """`cost`: of one processor, by node.  `rate_bit_s`: the most that any path was asked for.

    `alone`: NICs that met none of their partners, though both ends looked for each other.
    `unstamped`: nodes on whose paths nobody knows how long messages waited.
    """

    ways: tuple[Way, ...]
    unseen: tuple[str, ...]
    cost: Mapping[str, float]
    rate_bit_s: float = 0.0
    alone: tuple[str, ...] = ()
    unstamped: tuple[str, ...] = ()


def told(answers: Mapping[str, Answer | Trouble]) -> Told:
    ends: dict[str, dict[str, End]] = {}
    unseen: list[str] = []
    unstamped: dict[str, None] = {}
    cost: dict[str, float] = {}
    for node, answer in answers.items():
        late = answer if isinstance(answer, Trouble) else ended(answer)
        if isinstance(answer, Trouble) or late is not None:
            unseen.append(f"{node}: its paths were not probed: {late}")
            continue
        spoke = False
        for row in rows(answer.stdout):
            if isinstance(row, Trouble):
                unseen.append(f"{node}: {row}")
            elif row.get("k") == "cost":
                seconds = number(row, "seconds") or 0.0
                cost[node] = (number(row, "cpu_s") or 0.0) / seconds if seconds else 0.0
            elif (role := role_of(node, row)) is not None:
                ends.setdefault(text(row, "name"), {})[role] = one = end(row)
                unstamped |= {node: None} if one.stamped is False else {}
                spoke = True
        if not spoke:
            unseen.append(f"{node}: its paths were not probed: it says nothing of them")
    ways = [way for name, both in sorted(ends.items()) for way in ways_of(name, both)]
    broken = [
        f"{name}: {why}"
        for name, both in sorted(ends.items())
        if (why := "; ".join(sorted({one.why for one in both.values() if one.why})))
    ]
    unseen += broken[:MOST_TOLD]
    if len(broken) > MOST_TOLD:
        unseen.append(f"{len(broken) - MOST_TOLD} more of {len(ends)} paths broke off")
    unseen += [f"{node}: {UNSTAMPED}" for node in unstamped]
    rates = [one.rate_bit_s or 0.0 for both in ends.values() for one in both.values()]
    alone = tuple(unmet({name for name, both in ends.items() if len(both) == 2}, ways))
    return Told(tuple(ways), tuple(unseen), cost, max(rates, default=0.0), alone, tuple(unstamped))


def unmet(spoken: Collection[str], ways: Sequence[Way]) -> Iterator[str]:
    """NICs with two partners or more that met none; `spoken`: paths that both ends tell of."""
    met = {(node, way.rail) for way in ways for node in (way.source, way.target)}
    partners: Counter[tuple[str, int]] = Counter()
    for name in spoken:
        if named := NAMED.fullmatch(name):
            partners.update((named[end], int(named["rail"])) for end in ("src", "dst"))
    for (node, rail), few in sorted(partners.items()):
        if few > 1 and (node, rail) not in met:
            yield f"{node} on rail {rail} met none of its {few} partners"


def role_of(node: str, row: Cells) -> str | None:
    """Which end of its path a row tells of; None: not one of this node's."""
    named, role = NAMED.fullmatch(text(row, "name")), text(row, "role")
    if named is None or named.group({"call": "src", "listen": "dst"}.get(role, 0)) != node:
        return None
    return role if row.get("k") == "path" else None


def ways_of(name: str, both: Mapping[str, End]) -> list[Way]:
    named = NAMED.fullmatch(name)
    if named is None:
        return []
    src, dst, rail = named["src"], named["dst"], int(named["rail"])
    return list(of_path(src, dst, rail, both.get("call", End()), both.get("listen", End())))


def end(row: Cells) -> End:
    out, come, again = (count(row, name) for name in ("out", "in", "again"))
    return End(
        None if out is None else max(0, out),
        None if come is None else max(0, come),
        None if again is None else max(0, again),
        text(row, "why"),
        numbers(row, "rtt_us"),
        numbers(row, "forward_us"),
        numbers(row, "backward_us"),
        number(row, "rate_bit_s"),
        numbers(row, "send_us"),
        stamped if isinstance(stamped := row.get("stamped"), bool) else None,
    )


def numbers(row: Cells, name: str) -> tuple[float, ...]:
    """[least, median, 90th percentile, most]; empty where they are not all there."""
    told = [number({"one": cell}, "one") for cell in listed(row, name)]
    known = tuple(one for one in told if one is not None)
    return known if len(known) == len(told) == 4 else ()


def of_path(src: str, dst: str, rail: int, call: End, listen: End) -> Iterator[Way]:
    """Both directions, where at least one end told of them."""
    for source, target, near, far, took in (
        (src, dst, call, listen, call.there_us),
        (dst, src, listen, call, call.back_us),
    ):
        if near.out is None and not took:
            continue
        way = Way(source, target, rail, near.out or 0, lost(near, far))
        if took and call.rtt_us:
            least, middle, high, _ = took
            # Two clocks run apart meanwhile; a round trip is told by each end's own.
            trip = [one - call.rtt_us[0] for one in call.rtt_us]
            way = replace(
                way,
                wait_us=max(0.0, min(middle - least, trip[1])),
                wait_90_us=max(0.0, min(high - least, trip[2])),
                rtt_us=call.rtt_us[1],
                rtt_least_us=call.rtt_us[0],
                send_90_us=near.send_us[2] if near.send_us else 0.0,
            )
        yield way


def lost(near: End, far: End) -> int | None:
    """What one end sent and the other never got; else what it sent again."""
    if near.out is not None and far.come is not None and not near.why and not far.why:
        return max(0, near.out - far.come)
    return near.again
