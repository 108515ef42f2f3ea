"""One request to a node and its answers, as bytes: what ssh and local both speak.  No I/O here.

    ->  command                     finds a Python (else sh) and says hello
    <-  NONCE python 3.9.2          or NONCE sh; whatever stands before it is login noise
    ->  the program, with the questions as data in it; then silence: stdin is the lifeline
    <-  NONCE answer INDEX EXIT MS TRUNCATED zLENGTH rLENGTH, and that many bytes; one a question
    <-  NONCE end COUNT

Of a question with a lease, NONCE part INDEX LENGTH and that many bytes come first, again and again;
each is acknowledged by one byte, and the node's deadline counts from the last of these.

`sh` cannot count bytes.  It sends lines: `o` and `e` open those of stdout and stderr, so that no
tool can forge the ones that open with `=`.
"""

from __future__ import annotations

import re
import secrets
import shlex
import threading
import zlib
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from importlib.util import find_spec
from math import ceil
from pathlib import Path

from clusterctl.model import Answer, Kind, Question
from clusterctl.spelling import visible
from clusterctl.transport import TransportError

PYTHONS = (
    "python3 /usr/bin/python3 /usr/libexec/platform-python /usr/local/bin/python3 "
    "python3.13 python3.12 python3.11 python3.10 python3.9 python3.8 python3.7 python3.6 "
    "/opt/conda/bin/python3 /opt/miniconda3/bin/python3"
)
# -I -S: neither the environment nor installed packages change what we run, and half the start-up
# time is gone.  -B: root would leave compiled files where the node has none.  99 is ours: an older
# Python, look further.  No quotes, backslashes or newlines fit in here, and no exclamation mark:
# see COMMAND.
BOOTSTRAP = (
    "import os,sys,zlib,select,time;"
    "sys.version_info<(3,6) and os._exit(99);"
    "print(*sys.argv[1:3],sys.version.split()[0],flush=True);"
    "d=sys.stdin.buffer.read(int(sys.argv[3]));"
    "len(d)<int(sys.argv[3]) and os._exit(125);"
    "exec(zlib.decompress(d))"
)
# The login shell may be csh or fish.  In single quotes csh minds "!" and newlines, fish
# backslashes; none of them occurs.  The shell that stays behind is the runner's guardian: where
# the runner is killed, it kills what the runner had started.
COMMAND = (
    "sh -c 'n={nonce}; {calm}for p in {pythons}; do command -v $p >/dev/null 2>&1 || continue; "
    'LC_ALL=C CLUSTERCTL_TALK=$n $p -BISc "{bootstrap}" $n python {size} {node_s} {nice}; r=$?; '
    "case $r in 0) exit 0;; 1|99|126|127) continue;; esac; "
    "for e in $(grep -ls CLUSTERCTL_TALK=$n /proc/[0-9]*/environ 2>/dev/null); "
    "do e=${{e%/environ}}; kill -9 ${{e#/proc/}}; done; exit $r; done; "
    'echo "$n sh"; exec sh -s\''
)
# Idle time of the disks only; where there is no ionice, nice 19 is as mild as it gets.
CALM = "ionice -c3 -p $$ >/dev/null 2>&1; "
CALM_FROM_NICE = 19
SUDO = "env LC_ALL=C sudo -n "

PACKING = threading.Lock()
NOISE_BYTES = 1 << 18
HEADER_BYTES = 200
STDERR_SH_BYTES = 1 << 16
NEEDS_PYTHON = "needs Python 3.6 on the node\n"

HELLO = re.compile(rb"([0-9a-f]{16}) (?:(python) \S{1,40}|(sh))\r?\n")
HEADER = re.compile(
    rb"answer (\d{1,6}) (-|-?\d{1,3}) (\d{1,10}) ([01]) ([rz])(\d{1,10}) ([rz])(\d{1,10})"
)
PART = re.compile(rb"part (\d{1,6}) (\d{1,6})")
HEADER_SH = re.compile(rb"answer (\d{1,6}) (-|-?\d{1,3}) (\d{1,10})")
END = re.compile(rb"end (\d{1,6})")

# stderr of sudo, in the C locale, and of login shells -> what the operator can do about it
REFUSALS = (
    (r"sudo: a (?:password|terminal) is required", "allow this user NOPASSWD in sudoers"),
    (r"sudo: (?:sorry, )?you must have a tty", "take requiretty out of sudoers for this user"),
    (r"is not in the sudoers file|is not allowed to (?:execute|run)", "allow this user in sudoers"),
    (
        r"sudo\W{0,3}: (?:command not found|not found|No such file)",
        "install sudo or log in as root",
    ),
    (r"account is currently not available|nologin", "give this user a login shell"),
    (r"password has expired|[Pp]assword change required", "renew this user's password"),
)
EXITS = {
    70: (Kind.BUG, "our program on the node broke"),
    125: (Kind.CUT, "our program on the node was told to stop"),
    124: (Kind.TIMEOUT, "the node's deadline passed there"),
    137: (Kind.CUT, "our program on the node was killed (out of memory?)"),
}


# ----------------------------------------------------------------------------- the programs


@cache
def remote_file(name: str) -> str:
    return (files("clusterctl") / "remote" / name).read_text(encoding="utf-8")


@cache
def module_source(name: str) -> str:
    """The one file of a module: of `remote/`, else installed here.  Raises ModuleNotFoundError."""
    if (files("clusterctl") / "remote" / f"{name}.py").is_file():
        return remote_file(f"{name}.py")
    spec = find_spec(name)
    if spec is None or not spec.origin or spec.submodule_search_locations:
        raise ModuleNotFoundError(f"no module of one file here to send to nodes: {name}", name=name)
    return Path(spec.origin).read_text(encoding="utf-8")


def python_program(questions: tuple[Question, ...]) -> bytes:
    with PACKING:  # the threads of a sweep begin together: one packs, for all
        return packed(questions)


@lru_cache(maxsize=64)
def packed(questions: tuple[Question, ...]) -> bytes:
    """The same bytes for every node that is asked the same, so a sweep compresses once.

    Modules and files come behind the program, each compressed: only who uses one pays for it.
    """
    asked = [
        (
            *(q.command, q.script, q.modules, q.files),
            *(float(q.timeout_s), q.cap_bytes, q.group, q.brief, q.programs),
            *(q.spare, q.asleep, q.lease_s),
        )
        for q in questions
    ]
    sources: dict[str, dict[str, object]] = {
        "scripts": {q.script: remote_file(f"{q.script}.py") for q in questions if q.script},
        "modules": {},
        "files": {},
        "programs": {},
    }
    tail = b""
    for name in sorted({name for q in questions for name in q.modules}):
        tail = zlib.compress(module_source(name).encode(), 9) + tail
        sources["modules"][name] = -len(tail)
    for name in sorted({name for q in questions for name in q.files}):
        tail = zlib.compress(remote_file(name).encode(), 9) + tail
        sources["files"][name] = -len(tail)
    for name in sorted({name for q in questions for name in q.programs}):
        tail = zlib.compress(Path(name).read_bytes(), 6) + tail
        sources["programs"][name] = -len(tail)
    text = f"{remote_file('runner.py')}\n\nguard({asked!r}, {sources!r}, d)\n"
    return zlib.compress(text.encode(), 9) + tail


def sh_program(questions: Sequence[Question], nonce: str, node_s: float, nice: int) -> bytes:
    """Questions that need Python are left out; see `sh_command`."""
    asked = [
        f"ask {index} {ceil(q.timeout_s)} {q.cap_bytes + 1} {shlex.join(command)}"
        for index, q in enumerate(questions)
        if (command := sh_command(q))
    ]
    # A function is read whole before it runs: nothing of the program is left in stdin by then.
    lines = (remote_file("runner.sh"), "main() {", "prepare", *asked, f"finish {len(asked)}", "}")
    opening = f"nonce={nonce} mark={secrets.token_hex(8)} node_s={ceil(node_s)} nice={nice}\n"
    return (opening + "\n".join(lines) + "\nmain\n").encode(errors="surrogateescape")


def sh_command(question: Question) -> tuple[str, ...]:
    """Empty: this cannot be asked without Python."""
    return question.without_python or (() if question.script else question.command)


# ----------------------------------------------------------------------------- the conversation


class Conversation:
    """One node's side of one request, without I/O: bytes in; bytes to send and answers out.

    Run `command`; feed its stdout to `feed` and write what `to_send` gives to its stdin, until
    `done`.  Keep stdin open until then: to the node its end means that we are gone.
    """

    command: str  # the one exec line; means the same to sh, bash, csh and fish
    done: bool  # the end mark was seen and its count was right

    def __init__(
        self,
        questions: Sequence[Question],
        *,
        node_s: float,
        become: bool = False,
        nice: int = 10,
        pythons: str = PYTHONS,
    ) -> None:
        self.questions = tuple(questions)
        self.node_s = min((q.lease_s for q in self.questions if q.lease_s), default=node_s)
        self.nice = nice
        self.nonce = secrets.token_hex(8)
        self.done = False
        self.language = ""  # python or sh, once the node has said hello
        self.open = set(range(len(self.questions)))  # not answered yet
        self.program = python_program(self.questions)
        self.outgoing = b""
        self.buffer = bytearray()
        # No stream of one question is longer, with what `sh` adds to it.
        self.most = max((q.cap_bytes for q in self.questions), default=0) + 2 * STDERR_SH_BYTES
        self.lines: dict[bytes, bytearray] = {b"o": bytearray(), b"e": bytearray()}
        self.command = (SUDO if become else "") + COMMAND.format(
            nonce=self.nonce,
            calm=CALM if nice >= CALM_FROM_NICE else "",
            pythons=pythons,
            bootstrap=BOOTSTRAP,
            size=len(self.program),
            node_s=float(self.node_s),
            nice=int(nice),
        )

    def feed(self, data: bytes) -> Iterator[Answer]:
        """The answers that `data`, the node's next stdout bytes, completes.  Exhaust it.

        Raises TransportError when the stream is not ours; answers given before that stand.
        What comes after the end mark is ignored.
        """
        if self.done:
            return
        self.buffer += data
        if not self.language:
            yield from self.greet()
        if self.language == "python":
            yield from self.read_frames()
        elif self.language == "sh":
            yield from self.read_lines()

    def to_send(self) -> bytes:
        """What must now go to the node's stdin; empty: nothing.  Poll it after every feed."""
        outgoing, self.outgoing = self.outgoing, b""
        return outgoing

    def closed(self, exit_code: int | None, stderr: bytes) -> TransportError:
        """What it means that the stream ended before `done`."""
        said = stderr.decode(errors="replace")
        if not self.language:
            said += bytes(self.buffer[-4096:]).decode(errors="replace")
        last = visible(next((line for line in reversed(said.split("\n")) if line.strip()), ""))
        if not self.language:
            for pattern, remedy in REFUSALS:
                if re.search(pattern, said):
                    return TransportError(Kind.DENIED, f"{last}: {remedy}")
        kind, why = EXITS.get(exit_code or 0, (Kind.CUT, "the conversation ended early"))
        after = f"after {len(self.questions) - len(self.open)} of {len(self.questions)} answers"
        if not self.language:
            after = "before the node said hello"
        code = "" if exit_code is None else f", exit {exit_code}"
        return TransportError(kind, f"{why}, {after}{code}{last and ': ' + last}")

    def greet(self) -> Iterator[Answer]:
        nonce = self.nonce.encode()
        hellos = HELLO.finditer(bytes(self.buffer))  # a copy: a search would hold the buffer
        found = next((hello for hello in hellos if hello[1] == nonce), None)
        if found is None:
            if len(self.buffer) > NOISE_BYTES:
                raise TransportError(
                    Kind.UNREADABLE,
                    f"{NOISE_BYTES >> 10} kB before hello: what does the login script print?",
                )
            return
        del self.buffer[: found.end()]
        if found[2]:
            self.language, self.outgoing = "python", self.program
            return
        self.language = "sh"
        self.outgoing = sh_program(self.questions, self.nonce, self.node_s, self.nice)
        for index, question in enumerate(self.questions):
            if not sh_command(question):
                self.open.remove(index)
                yield Answer(question.name, 127, "", NEEDS_PYTHON, 0.0)

    def read_frames(self) -> Iterator[Answer]:
        opening = self.nonce.encode() + b" "
        while not self.done and (length := self.buffer.find(b"\n", 0, HEADER_BYTES)) >= 0:
            line = bytes(self.buffer[:length])
            if not line.startswith(opening):
                raise unreadable(line)
            line = line.removeprefix(opening)
            if self.ends(line, len(self.questions)):
                return
            if part := PART.fullmatch(line):
                if len(self.buffer) < length + 1 + int(part[2]):
                    return
                yield self.part(int(part[1]), length + 1, int(part[2]))
                continue
            found = HEADER.fullmatch(line)
            if not found:
                raise unreadable(line)
            index, out, err = (int(found[group]) for group in (1, 6, 8))
            question = self.asked(index)
            if max(out, err) > question.cap_bytes:
                raise TransportError(Kind.UNREADABLE, f"an answer beyond its cap: {question.name}")
            start, middle, end = length + 1, length + 1 + out, length + 1 + out + err
            if len(self.buffer) < end:
                return
            stdout = unpack(found[5], bytes(self.buffer[start:middle]), question.cap_bytes)
            stderr = unpack(found[7], bytes(self.buffer[middle:end]), question.cap_bytes)
            del self.buffer[:end]
            yield self.answer(index, found[2], found[3], stdout, stderr, cut=found[4] == b"1")
        if not self.done and len(self.buffer) >= HEADER_BYTES and length < 0:
            raise unreadable(bytes(self.buffer[:HEADER_BYTES]))

    def part(self, index: int, start: int, size: int) -> Answer:
        """Raises TransportError where nobody asked for parts."""
        question = self.asked(index)
        if not question.lease_s:
            raise TransportError(Kind.UNREADABLE, f"a part of an answer: {question.name}")
        said = bytes(self.buffer[start : start + size])
        del self.buffer[: start + size]
        self.outgoing += b"."
        return Answer(question.name, None, said.decode(errors="replace"), "", 0.0, more=True)

    def read_lines(self) -> Iterator[Answer]:
        opening = b"=" + self.nonce.encode() + b" "
        while not self.done and (length := self.buffer.find(b"\n")) >= 0:
            line = bytes(self.buffer[:length])
            del self.buffer[: length + 1]
            if line[:1] in self.lines:
                self.collect(line)
            elif line.startswith(opening):
                line = line.removeprefix(opening)
                if self.ends(line, sum(bool(sh_command(q)) for q in self.questions)):
                    return
                found = HEADER_SH.fullmatch(line)
                if not found:
                    raise unreadable(line)
                yield self.sh_answer(self.asked(int(found[1])), *found.groups())
            elif line:  # an empty one ends a line that a killed filter left open
                raise unreadable(line)
        if len(self.buffer) > self.most:
            raise TransportError(Kind.UNREADABLE, "a line longer than any answer may be")

    def collect(self, line: bytes) -> None:
        lines = self.lines[line[:1]]
        lines += line[1:] + b"\n"
        if len(lines) > self.most:
            raise TransportError(Kind.UNREADABLE, "an answer beyond its cap")

    def sh_answer(self, question: Question, index: bytes, code: bytes, ms: bytes) -> Answer:
        stdout, stderr = (bytes(lines) for lines in self.lines.values())
        stdout = stdout.removesuffix(b"\n")  # the node adds one, so that every line has an end
        for lines in self.lines.values():
            lines.clear()
        cap = question.cap_bytes
        cut = len(stdout) > cap
        return self.answer(int(index), code, ms, stdout[:cap], stderr[:cap], cut=cut)

    def asked(self, index: int) -> Question:
        """Raises TransportError for a question that we never asked, or that has its answer."""
        if index not in self.open:
            raise TransportError(Kind.UNREADABLE, f"an answer to no open question: {index}")
        return self.questions[index]

    def answer(
        self, index: int, code: bytes, ms: bytes, stdout: bytes, stderr: bytes, *, cut: bool
    ) -> Answer:
        self.open.remove(index)
        return Answer(
            self.questions[index].name,
            None if code == b"-" else int(code),
            stdout.decode(errors="replace"),
            stderr.decode(errors="replace"),
            int(ms) / 1000,
            truncated=cut,
        )

    def ends(self, line: bytes, count: int) -> bool:
        """Whether this is the end mark.  Raises TransportError when answers are missing."""
        found = END.fullmatch(line)
        if not found:
            return False
        if self.open or int(found[1]) != count:
            raise TransportError(
                Kind.CUT, f"the node counts {int(found[1])} answers, {len(self.open)} are missing"
            )
        self.done = True
        self.buffer.clear()
        return True


def unreadable(line: bytes) -> TransportError:
    shown = visible(line.decode(errors="replace"), 80)
    return TransportError(Kind.UNREADABLE, f"not a line of ours: {shown}")


def unpack(how: bytes, data: bytes, cap_bytes: int) -> bytes:
    """Never more than the cap, whatever the bytes claim.  Raises TransportError."""
    if how == b"r":
        return data
    inflate = zlib.decompressobj()
    try:
        plain = inflate.decompress(data, cap_bytes + 1)
    except zlib.error as error:
        raise TransportError(Kind.UNREADABLE, f"a damaged answer: {error}") from None
    if len(plain) > cap_bytes:
        raise TransportError(Kind.UNREADABLE, "an answer beyond its cap")
    if not inflate.eof or inflate.unused_data:
        raise TransportError(Kind.UNREADABLE, "a damaged answer: its compressed part is not whole")
    return plain
