"""Asking for the contents of files, and reading the answer."""

from __future__ import annotations

from collections.abc import Iterator

from clusterctl.model import Question

# Quoted nowhere because nothing outside this module reaches it: the patterns are ours.
POSIX_READER = (
    'for f in {globs}; do [ -r "$f" ] && [ -f "$f" ] || continue; '
    'while IFS= read -r l || [ -n "$l" ]; do printf "%s\\t%s\\n" "$f" "$l"; done <"$f"; done; :'
)


def files(name: str, *globs: str, timeout_s: float = 20.0, cap_bytes: int = 1 << 20) -> Question:
    """A question that reads every file that matches; see `lines` for the answer.

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
    )


def lines(stdout: str) -> Iterator[tuple[str, str]]:
    """(path, line) for every line of every file that could be read."""
    for line in stdout.split("\n"):
        path, tab, text = line.partition("\t")
        if tab and path.startswith("/"):
            yield path, text


def unreadable(stdout: str) -> Iterator[tuple[str, str]]:
    """(path, reason) for every file that matched and could not be read."""
    for line in stdout.split("\n"):
        path, tab, reason = line.partition("\t")
        if tab and path.startswith("!/"):
            yield path[1:], reason
