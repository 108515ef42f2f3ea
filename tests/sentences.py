"""Every sentence in a file of ours, and what of a line is still English."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

TWO_WORDS = re.compile(r"[A-Za-z]{2,}[^A-Za-z]* [^A-Za-z]*[a-zA-Z]{2,}")
NO_SENTENCE = re.compile(
    r"\\|\(\?|</?[a-z]|^[\w, |\[\]]*\[[\w, |\[\]]*\]$|^[\w./{}%-]*/[\w./{}%-]*$"
)
STYLES = re.compile(r"(bold|dim|red|green|yellow|magenta|cyan|white|black|on|dark_orange|\s)*")
# What is said to one who mistyped (UserError) or to the parser of options, and what nobody shows.
UNSEEN_CALLS = frozenset({"UserError", "Option", "Argument", "compile", "BadParameter", "Typer"})
UNSEEN_WORDS = frozenset({"source", "help", "pattern", "metavar", "epilog", "about", "origin"})
ERRORS = ("Error", "Unreadable", "BadRange", "Mistyped", "Strange")
# Of tools and of the trade: the same in every language.
TERMS = """
    rank worker trace pod dp stage gpu nic hca hbm ecc xid kbit mbit gbit kib mib gib s ms x z w
    busbw algbw ring us loss token root json pickle csv slurm kubernetes docker numa nfs cgroup
    freezer python inspector profiler dump version entries flight recorder supervisor kubeconfig
    apprise pcie lldp shell sudo sudoers sshd cron exec active pid sku trace infiniband
    sysctl kubectl systemctl loginctl scontrol systemd-analyze ulimit uptime nanosleep chrony
    sminfo ibqueryerrors infiniband-diags lldpd py-spy requiretty daemon-reload enable-linger
    enable start stop update operator get list patch nodes leaf rails act never busy observed
    mounts disk drives playbook triage become golden save none isolate return reboot-node
    reset-device restart-job host unverified seccomp true verify bmc passphrase built-in
    inode boot id fabric ok up live idle completed mounted members turns read-write read-only"""
OURS = re.compile(
    r"`[^`]*`|\bclusterctl( [a-z-]+)*|(?<!\w)--?[a-z][\w-]*|[!-~]*[_/=.\d][!-~]*|\b[A-Z][!-~]*"
)
WORD = re.compile(r"[A-Za-z][a-z'-]+")


def english(line: str) -> list[str]:
    """The words of `line` that an operator who reads Chinese would stumble over."""
    left = OURS.sub(" ", line)
    return [word for word in WORD.findall(left) if word.lower() not in TERMS.split()]


def sentences(path: Path) -> list[tuple[int, str]]:
    """(line, sentence with {} for what changes) of all that has two words and is shown."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = {*unseen(tree), *joined_ones(tree)}
    plain = [
        (node.lineno, template(node))
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in hidden
    ]
    found = {*plain, *((line, said) for line, said, _ in joined(tree))}
    return sorted((line, said.strip("\n")) for line, said in found if is_sentence(said))


def template(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return re.sub(r"%[sr]", "{}", text)
        case ast.JoinedStr(values=values):
            return "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return (template(left) or "{}") + (template(right) or "{}")
    return ""


def joined(tree: ast.AST) -> Iterator[tuple[int, str, Sequence[ast.AST]]]:
    """What is told in two halves: `a + b`, or `a` and in the next line `+= b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and is_text(node.left) and is_text(node.right):
            yield node.lineno, template(node), [node]
        body = getattr(node, "body", [])
        for one, other in pairwise(body) if isinstance(body, list) else ():
            match one, other:
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=first),
                    ast.AugAssign(target=ast.Name(id=same), op=ast.Add(), value=last),
                ) if name == same and is_text(first) and is_text(last):
                    yield one.lineno, template(first) + template(last), [first, last]


def joined_ones(tree: ast.AST) -> Iterator[int]:
    for _, _, nodes in joined(tree):
        for node in nodes:
            yield from within(node)


def is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def is_sentence(said: str) -> bool:
    words = said.replace("{}", " ")
    return bool(
        TWO_WORDS.search(words)
        and not NO_SENTENCE.search(said.strip("\n"))
        and not STYLES.fullmatch(words)
    )


def unseen(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        match node:
            case ast.Module(body=[ast.Expr(value=text), *_]):
                yield id(text)
            case ast.FunctionDef(body=[first, *_], returns=returns):
                if isinstance(first, ast.Expr):
                    yield id(first.value)  # a docstring; of `yield "…"` the sentence is its child
                yield from within(returns)
            case ast.ClassDef(body=[ast.Expr(value=text), *_]):
                yield id(text)
            case ast.JoinedStr(values=values):
                yield from (id(one) for one in values if isinstance(one, ast.Constant))
            case ast.AnnAssign(annotation=annotation) | ast.arg(annotation=annotation):
                yield from within(annotation)
            case ast.Dict(keys=keys):
                yield from (id(one) for one in keys)
            case ast.Call(func=func, keywords=keywords):
                name = func.id if isinstance(func, ast.Name) else getattr(func, "attr", "")
                if name in UNSEEN_CALLS or name.endswith(ERRORS):
                    yield from within(node)
                for word in keywords:
                    yield from within(word.value if word.arg in UNSEEN_WORDS else None)
            case ast.Compare():
                yield from within(node)


def within(node: ast.AST | None) -> Iterator[int]:
    if node is not None:
        yield from (id(one) for one in ast.walk(node))
