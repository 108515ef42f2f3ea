"""One answer that holds what several calls of a vendor's tool print, each under its heading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from clusterctl.model import Kind, Question, Trouble
from clusterctl.spelling import plain, visible

HEADING, END, LATE = "== ", "== end ", "== late"
SAY = "say() { printf '\\n%s\\n' \"$1\"; }; "  # some tools leave their last line open
ASK = (
    f'ask() {{ say "{HEADING}$*"; n=$((n+1)); out=$($within $tool "$@" </dev/null); ended=$?; '
    "printf '%s\\n' \"$out\"; all=$all$out; "
    f"case $ended in 0) ;; 124|137) say '{LATE}' ;; *) code=$ended ;; esac; }}; "
)
NO_CONDITION: Mapping[str, str] = {}
CALL_S = 15  # a tool whose driver hangs, hangs in each of its calls


def asking(
    name: str,
    tools: Sequence[str],
    calls: Sequence[str],
    *,
    places: Sequence[str] = (),
    after: Mapping[str, str] = NO_CONDITION,
) -> Question:
    """Each of `calls` (arguments) of the first of `tools` that is there, on PATH or in `places`.

    Exits 127 where none of them is, else with the last failure.  `places` hold no blanks.  A call
    that hangs costs itself, where the node has coreutils' timeout.  `after`: calls that are made
    only where an earlier one printed this word; older versions of a tool refuse them.
    """
    here = ":".join(("$PATH", *places))
    search = "".join(f"command -v {tool} >/dev/null && tool={tool}; " for tool in reversed(tools))
    asked = "".join(call(arguments, after.get(arguments, "")) for arguments in calls)
    script = (
        f"PATH={here}; export PATH; tool= code=0 within= n=0 all=; {SAY}{ASK}{search}"
        f"timeout -k 2 9 true 2>/dev/null && within='timeout -k 2 {CALL_S}'; "
        f"[ -n \"$tool\" ] || {{ echo '{tools[0]}: not found' >&2; exit 127; }}; "
        f'{asked}say "{END}$n"; exit $code'
    )
    command = ("sh", "-c", script)
    return Question(
        name,
        command,
        timeout_s=CALL_S * len(calls) + 5.0,
        without_python=command,
        cap_bytes=4 << 20,
    )


def call(arguments: str, word: str) -> str:
    """One call as a line of shell."""
    made = f"ask {arguments}".strip()
    return f"case $all in *{word}*) {made} ;; esac; " if word else f"{made}; "


def told(stdout: str) -> tuple[dict[str, str], list[Trouble]]:
    """{arguments: what that call printed}, and a trouble where the answer ends early.

    A text without headings is what one call printed, whichever: {"": text}.
    """
    text = plain(stdout)
    cut_short = [*cut(text)]
    troubles = [*cut_short]
    text = text[: text.rfind("\n") + 1]  # 4 of 45 °C would be a fine temperature
    if not any(line.startswith(HEADING) for line in text.split("\n")):
        return {"": text}, troubles
    said: dict[str, list[str]] = {}
    heading, called, ended = "before", 0, False
    for line in text.split("\n"):
        if line.startswith(END):
            ended = line.removeprefix(END) == str(called)
        elif line == LATE:
            name = f"the call {heading}" if heading else "the call without arguments"
            troubles.append(Trouble(Kind.TIMEOUT, f"{visible(name, 80)}: no answer in {CALL_S} s"))
        elif line.startswith(HEADING):
            heading, called = line.removeprefix(HEADING), called + 1
        elif line.strip():
            said.setdefault(heading, []).append(line)
    if not ended and not cut_short:
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
