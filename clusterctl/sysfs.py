"""Asking for the contents of files, and reading the answer."""

from __future__ import annotations

from collections.abc import Iterator

from clusterctl.model import Kind, Question, Trouble
from clusterctl.spelling import visible

# Quoted nowhere because nothing outside this module reaches it: the patterns are ours.
# Not the shell's own `read`: it reads byte by byte, and /proc/sys gives only its first byte so.
# Through $(cat): some files of sysfs end without a newline, which sed would keep.
POSIX_READER = (
    't=$(printf \'\\t\'); for f in {globs}; do [ -e "$f" ] && [ ! -d "$f" ] || continue; '
    'if [ ! -r "$f" ]; then echo "!$f${{t}}EACCES"; '
    'elif x=$(cat "$f" 2>/dev/null); then printf "%s\\n" "$x" | sed "s|^|$f$t|"; '
    'else echo "!$f${{t}}EIO"; fi; done; :'
)


def files(name: str, *globs: str, timeout_s: float = 20.0, cap_bytes: int = 1 << 20) -> Question:
    """A question that reads every file that matches; see `contents` for the answer.

    Links are listed too: a pattern ending in "@" reads where the link points (`driver@`); a node
    without Python does not answer those.
    """
    plain = " ".join(glob for glob in globs if not glob.endswith("@"))
    return Question(
        name,
        command=globs,
        script="read_files",
        without_python=("sh", "-c", POSIX_READER.format(globs=plain)),
        timeout_s=timeout_s,
        cap_bytes=cap_bytes,
        brief=True,
    )


def contents(stdout: str) -> tuple[dict[str, str], list[Trouble]]:
    """The text of every file by path, and a trouble for each that could not be read.

    The reader ends every line, so a line without its end was cut and is left out.  Lines that are
    not the reader's, and an answer with no file in it at all, are troubles too.
    """
    whole, _, rest = stdout.rpartition("\n")
    texts: dict[str, str] = {}
    troubles: list[Trouble] = []
    foreign: list[str] = []
    for line in whole.split("\n"):
        path, tab, text = line.partition("\t")
        if tab and path[:1] == "/":
            texts[path] = f"{texts[path]}\n{text}" if path in texts else text
        elif tab and path[:2] == "!/":
            troubles.append(Trouble(kind_of(text), f"{path[1:]}: {visible(text)}", path[1:]))
        elif line:
            foreign.append(line)
    if foreign:
        troubles.append(Trouble(Kind.UNREADABLE, f"not a line of a file: {visible(foreign[0])}"))
    if rest:
        troubles.append(Trouble(Kind.CUT, f"the answer ends within a line: {visible(rest)}"))
    if not texts and not troubles:
        troubles.append(Trouble(Kind.UNREADABLE, "none of the files asked for was there"))
    return texts, troubles


def kind_of(reason: str) -> Kind:
    """What an errno's name, as the reader prints it, means for us."""
    return {"EACCES": Kind.DENIED, "EPERM": Kind.DENIED, "ENOENT": Kind.MISSING}.get(
        reason, Kind.EXIT
    )


def rows(stdout: str) -> Iterator[tuple[str, ...] | Trouble]:
    """The tab-separated rows of a script of ours, which ends with the row `end`, their number.

    Rows after which the end mark is missing or counts otherwise still come out, before the trouble.
    """
    found = [tuple(line.split("\t")) for line in stdout.split("\n") if line]
    last = found[-1] if found else ()
    told = found[:-1] if last[:1] == ("end",) else found
    if told is found and not stdout.endswith("\n"):
        told = found[:-1]  # the row itself may be cut: 1 of 15
    yield from told
    if last != ("end", str(len(told))) or not stdout.endswith("\n"):
        shown = visible(" ".join(last), 120)
        yield Trouble(Kind.CUT, f"no end mark for {len(told)} rows; the last was {shown!r}")
