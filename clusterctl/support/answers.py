"""What a node said, into a bundle: its words, its files, and what it could not say and why."""

from __future__ import annotations

from clusterctl.model import LEFT_ALONE, SPARED, Answer
from clusterctl.support.archive import Bundle
from clusterctl.support.collectors import Collector, collected

NOT_FOUND = 127


def add(found: Bundle, answer: Answer, collector: Collector | None) -> None:
    """`collector` None: it is the answer to a probe."""
    source = f"{answer.name}: {collector.why}" if collector else answer.name
    if answer.exit_code == SPARED:
        found.lack(source, LEFT_ALONE)
    elif answer.exit_code == NOT_FOUND:
        found.lack(source, "not installed there", absent=True)
    elif collector is not None and collector.writes_files:
        add_files(found, answer, source)
    else:
        add_words(found, answer, source, "collected" if collector else "answers")


def add_words(found: Bundle, answer: Answer, source: str, folder: str) -> None:
    found.add_text(f"{folder}/{answer.name}.txt", source, answer.stdout)
    if answer.stderr.strip():
        found.add_text(f"{folder}/{answer.name}.stderr.txt", source, answer.stderr)
    if answer.exit_code != 0 or answer.truncated:
        cut = "; its output was cut" if answer.truncated else ""
        found.lack(source, failure(answer.seconds, answer.exit_code) + cut)


def add_files(found: Bundle, answer: Answer, source: str) -> None:
    brought = collected(answer)
    folder = f"collected/{answer.name}"
    for name, data in brought.files:
        found.add_file(f"{folder}/{name}", source, data)
    found.add_text(f"{folder}/said.txt", source, brought.said or answer.stderr)
    for left in brought.left:
        found.lack(source, f"{left}: too large")
    code = brought.exit_code if brought.ran else answer.exit_code
    if code != 0 or not brought.whole:
        cut = "" if brought.whole else "; files are missing"
        found.lack(source, failure(answer.seconds, code) + cut)


def failure(seconds: float, exit_code: int | None) -> str:
    how = "stopped at its deadline" if exit_code is None else f"exit {exit_code}"
    return f"{how} after {seconds:.0f} s; what it said until then is here"
