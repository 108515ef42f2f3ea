"""One answer that holds what several calls of a vendor's tool print, each under its heading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from clusterctl.model import Kind, Question, Trouble
from clusterctl.spelling import plain, visible

HEADING, END = "== ", "== end "


def asking(
    name: str,
    tools: Sequence[str],
    calls: Sequence[str],
    *,
    places: Sequence[str] = (),
    timeout_s: float = 45.0,
) -> Question:
    """Each of `calls` (arguments) of the first of `tools` that is there, on PATH or in `places`.

    Exits 127 where none of them is, else with the last failure.  `places` hold no blanks.
    """
    here = ":".join(("$PATH", *places))
    search = "".join(f"command -v {tool} >/dev/null && tool={tool}; " for tool in reversed(tools))
    asked = "".join(
        f"echo '{HEADING}{arguments}'; $tool {arguments} </dev/null || code=$?; "
        for arguments in calls
    )
    script = (
        f"PATH={here}; export PATH; tool= code=0; {search}"
        f"[ -n \"$tool\" ] || {{ echo '{tools[0]}: not found' >&2; exit 127; }}; "
        f"{asked}echo '{END}{len(calls)}'; exit $code"
    )
    command = ("sh", "-c", script)
    return Question(name, command, timeout_s=timeout_s, without_python=command, cap_bytes=4 << 20)


def told(stdout: str) -> tuple[dict[str, str], list[Trouble]]:
    """{arguments: what that call printed}, and a trouble where the answer ends early.

    A text without headings is what one call printed, whichever: {"": text}.
    """
    text = plain(stdout)
    troubles = [*cut(text)]
    if not any(line.startswith(HEADING) for line in text.split("\n")):
        return {"": text}, troubles
    said: dict[str, list[str]] = {}
    heading, called, ended = "before", 0, False
    for line in text.split("\n"):
        if line.startswith(END):
            ended = line.removeprefix(END) == str(called)
        elif line.startswith(HEADING):
            heading, called = line.removeprefix(HEADING), called + 1
        elif line.strip():
            said.setdefault(heading, []).append(line)
    if not ended and not troubles:
        troubles.append(Trouble(Kind.CUT, "the answer has no end mark, or calls are missing"))
    return {name: "".join(f"{line}\n" for line in lines) for name, lines in said.items()}, troubles


def cut(text: str) -> Iterator[Trouble]:
    if text.strip() and not text.endswith("\n"):
        last = text.rpartition("\n")[2]
        yield Trouble(Kind.CUT, f"the answer ends within a line: {visible(last, 80)!r}")


def nothing(tool: str, said: Mapping[str, str]) -> Trouble:
    """The trouble of an answer in which no device was found."""
    text = " ".join(" ".join(said.values()).split())
    return Trouble(Kind.UNREADABLE, f"{tool} shows no device: {visible(text, 120)!r}")
