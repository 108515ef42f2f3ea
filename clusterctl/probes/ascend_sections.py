"""Texts of several Ascend commands in one, each below the command that it answers.  No probe.

Ours: `== run COMMAND`, its output, `== exit STATUS`; at last `== end`, how many.  Field notes and
ascend-faultdiag's collector put the bare command line above each output; one output alone has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from clusterctl.model import Kind, Trouble
from clusterctl.spelling import plain, visible

RUN, EXIT, END = "== run ", "== exit ", "== end "
# /usr/local/bin/npu-smi info -m; [root@node ~]# hccn_tool -i 0 -ip -g; cat /usr/…/version.info
COMMAND = re.compile(
    r"(?:.{0,80}[#$] ?)?(?:/\S{1,200}/)?(?P<tool>npu-smi|hccn_tool|hinicadm[0-9]?)"
    r" +(?P<rest>(?:info|sfp)\b.*|-.*)"
    r"|(?P<other>cat|lspci|pip)(?P<with> .*)"
)
UNSUPPORTED = re.compile(r"(?:not|n't) support|unsupport|error parameter of -t", re.IGNORECASE)
# What older tools and some boards do not know; health does not hang on it.
EXTRAS = frozenset({"common", "memory", "board", "topo", "-fec", "-tls", "-lldp", "-duplex"})
GONE = re.compile("invalid (?:card|chip|device)", re.IGNORECASE)
NUMBER = re.compile("[0-9]{1,9}")
SHOWN = 160

# The driver's installer sets these for logins only.  A call that hangs costs `wait` seconds; a node
# too bare to have timeout is asked without it.
TOOLS = """
PATH="$PATH:/usr/local/bin:/usr/local/sbin:/usr/local/Ascend/driver/tools"
LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/usr/local/Ascend/driver/lib64/driver"
LD_LIBRARY_PATH="$LD_LIBRARY_PATH:/usr/local/Ascend/driver/lib64/common"
export PATH LD_LIBRARY_PATH LC_ALL=C COLUMNS=200
command -v timeout >/dev/null || timeout() { shift 3; "$@"; }
n=0
run() {
  n=$((n+1)); echo "== run $*"
  timeout -k 2 $wait "$@" </dev/null 2>&1; printf '\\n== exit %s\\n' $?
}
"""


@dataclass(frozen=True, slots=True)
class Section:
    """What one command said.  Empty: no line says which it was (tool), how it ended (status)."""

    tool: str
    arguments: tuple[str, ...]
    text: str
    status: str = ""

    @property
    def command(self) -> str:
        return " ".join((self.tool, *self.arguments))

    def after(self, option: str) -> str:
        """The number that follows an option, or empty."""
        for name, value in zip(self.arguments, self.arguments[1:], strict=False):
            if name == option and NUMBER.fullmatch(value):
                return str(int(value))
        return ""


def sections(stdout: str) -> tuple[list[Section], list[Trouble]]:
    """Every output that is whole, and what is to be said of the others."""
    text = plain(stdout).replace("\r\n", "\n")
    return ours(text) if RUN in text or END in text else (pasted(text), [])


def ours(text: str) -> tuple[list[Section], list[Trouble]]:
    found: list[Section] = []
    began, ended = 0, ""
    for piece in re.split(rf"^(?={re.escape(RUN)})", text, flags=re.MULTILINE)[1:]:
        began += 1
        head, _, rest = piece.partition("\n")
        said, mark, status = rest.partition("\n" + EXIT) if EXIT in rest else ("", "", "")
        if rest.startswith(EXIT):
            said, mark, status = "", EXIT, rest.removeprefix(EXIT)
        number, _, ended = status.partition("\n")
        if mark and number.isdecimal():
            tool, *arguments = head.removeprefix(RUN).split() or ("",)
            found.append(Section(tool.rpartition("/")[2], tuple(arguments), said, number))
    whole = text.endswith("\n") and (ended or text).split("\n")[0] == f"{END}{began}"
    if whole and began == len(found):
        return found, []
    last = visible(found[-1].command, 80) if found else "none"
    return found, [Trouble(Kind.CUT, f"the answer ends early; the last whole output: {last}")]


def pasted(text: str) -> list[Section]:
    """Without our marks: by the lines that look like the commands."""
    found: list[Section] = []
    tool, arguments, lines = "", (), []
    for line in text.split("\n"):
        if not (match := COMMAND.fullmatch(line.strip())):
            lines.append(line)
            continue
        if tool or lines:
            found.append(Section(tool, arguments, "\n".join(lines)))
        tool = match["tool"] or match["other"]
        arguments, lines = tuple((match["rest"] or match["with"] or "").split()), []
    return [*found, Section(tool, arguments, "\n".join(lines))]


def failure(section: Section, part: str = "") -> Iterator[Trouble]:
    """What to say of an output in which nothing was found that we know how to read.

    Nothing, where the tool says that this device does not have what was asked for, or refuses one
    of the `EXTRAS`.
    """
    lines = [line.strip() for line in section.text.split("\n") if line.strip()]
    said = visible(lines[0], SHOWN) if lines else ""
    name = f"{visible(section.command, 60)}: " if section.tool else ""
    if section.status in {"124", "137"}:
        yield Trouble(Kind.TIMEOUT, f"{name}no answer; it was stopped", part)
    elif section.status not in {"", "0"}:
        spared = EXTRAS.intersection(section.arguments) and not GONE.search(section.text)
        if not UNSUPPORTED.search(section.text) and not spared:
            yield Trouble(Kind.EXIT, f"{name}exit {visible(section.status, 9)}: {said}", part)
    elif not said:
        yield Trouble(Kind.EXIT if section.tool else Kind.UNREADABLE, f"{name}said nothing", part)
    elif not UNSUPPORTED.search(section.text):
        yield Trouble(Kind.EXIT if section.tool else Kind.UNREADABLE, f"{name}{said}", part)


def pairs(text: str) -> Iterator[tuple[str, str]]:
    """`Label : value` lines; labels in lower case with single blanks, none before a bracket."""
    for line in text.split("\n"):
        label, colon, value = line.partition(":")
        name = " ".join(label.lower().split()).replace(" (", "(")
        if colon and name and not name.startswith(("|", "+", "[")):
            yield name, value.strip()
