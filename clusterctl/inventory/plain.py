"""A plain host list: a host or range a line, `user@host:port` if you like, comments after #."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterctl.inventory.draft import Draft, Said, refuse
from clusterctl.inventory.spread import names_of

LINE = re.compile(
    r"(?:(?P<user>[^@\s]+)@)?"
    r"(?:\[(?P<six>[0-9A-Fa-f:.]*:[0-9A-Fa-f:.%\w]*)\](?::(?P<six_port>[0-9]+))?"
    r"|(?P<hosts>(?:\[[^\]]*\]|[^:\[\]])+)(?::(?P<port>[0-9]+))?"
    r"|(?P<bare_six>[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:(?:[0-9A-Fa-f.]|\[[0-9,/-]+\])*))"
)


def read(path: str, text: str) -> list[Draft]:
    """The hosts of one file.  Raises UserError."""
    drafts = [
        draft
        for number, line in enumerate(text.split("\n"), 1)
        for draft in line_drafts(re.sub(r"(^|\s)[#;].*", "", line).strip(), f"{path}:{number}")
    ]
    if not drafts:
        raise refuse(path, "names no node; write one host or range a line")
    return drafts


def line_drafts(line: str, origin: str) -> Iterator[Draft]:
    if not line:
        return
    found = LINE.fullmatch(line)
    pattern = found and (found["hosts"] or found["six"] or found["bare_six"])
    if not found or not pattern or re.search(r"\s", pattern):
        raise refuse(
            origin, f"{line!r} is not a host; write one a line, as n[001-016] or ops@n1:22"
        )
    said = {
        key: Said(value, origin)
        for key, value in (("user", found["user"]), ("port", found["port"] or found["six_port"]))
        if value
    }
    for name in names_of(pattern, origin):
        yield Draft(name, origin, dict(said))
