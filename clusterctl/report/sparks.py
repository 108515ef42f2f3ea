"""A line as small as a word: how a number went night by night, as SVG text."""

from __future__ import annotations

from collections.abc import Sequence

from clusterctl.report.scales import drawable, said, scale

WIDTH, HEIGHT, EDGE = 168.0, 30.0, 4.0


def spark(numbers: Sequence[float], title: str) -> str:
    """Broken where nobody read anything; the last reading as a dot.  Empty: there are none."""
    values = [float(one) if drawable(float(one)) else None for one in numbers]
    told = [(at, one) for at, one in enumerate(values) if one is not None]
    if not told:
        return ""
    across = scale([0.0, max(len(values) - 1.0, 1.0)], EDGE, WIDTH - EDGE, margin=0)
    up = scale([one for _, one in told], HEIGHT - EDGE, EDGE)
    pieces: list[str] = []
    pen = "M"
    for at, one in enumerate(values):
        if one is None:
            pen = "M"
            continue
        # A night between two without a reading is a dot, not a line of no length.
        pieces.append(f"{pen}{across(at):g} {up(one):g}{'h.1' if pen == 'M' else ''}")
        pen = "L"
    at, last = told[-1]
    words = said(title, 300)
    return (
        f'<svg class="spark" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{words}">'
        f"<title>{words}</title>"
        f'<path class="trace" d="{"".join(pieces)}"/>'
        f'<circle cx="{across(at):g}" cy="{up(last):g}" r="2.6"/></svg>'
    )
