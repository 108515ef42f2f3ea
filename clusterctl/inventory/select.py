"""Choose nodes by what is known of them: "rack=r12 & !drained", "name=n[001-016] | leaf=l*".

`key=value` compares a label, or name, address, user, port, via; the value may be a range, a list
with commas, or hold * and ?.  A bare word holds where the node is in the group of that name, or has
that label and it is not false, no, off or 0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from fnmatch import translate

from clusterctl.inventory.draft import FALSE, refuse
from clusterctl.inventory.ranges import BadRange, expand, matches_range
from clusterctl.model import Node
from clusterctl.yaml_files import nearest

TOKEN = re.compile(
    r"\s*(?:(?P<mark>&&?|\|\|?|!=|==?|!|\(|\))|\"(?P<quoted>[^\"]*)\""
    r"|(?P<word>(?:\[[^\]]*\]|[^\s&|()!=\"])+))"
)
DEEPEST = 50

Test = Callable[[Node], bool]
FIELDS: dict[str, Callable[[Node], str]] = {
    "name": lambda node: node.name,
    "address": lambda node: node.host,
    "user": lambda node: node.user,
    "port": lambda node: str(node.port or 22),
    "via": lambda node: node.via,
    "become": lambda node: "yes" if node.become else "no",
}


@dataclass(frozen=True, slots=True)
class Token:
    kind: str  # &, |, !, =, !=, (, ), word, quoted, end
    text: str
    at: int


@dataclass(slots=True)
class Reader:
    """Reads an expression from the left; `at` is the next token."""

    expression: str
    tokens: list[Token]
    labels: Collection[str]
    groups: Collection[str]
    names: Collection[str]
    at: int = 0

    def take(self, kind: str) -> bool:
        found = self.tokens[self.at].kind == kind
        self.at += found
        return found

    def wrong(self, token: Token, why: str) -> Exception:
        shown = f"{self.expression[: token.at]} ^ {self.expression[token.at :]}".strip()
        return refuse("--select", f"{why} (column {token.at + 1}: {shown})")


def select(nodes: Sequence[Node], expression: str) -> tuple[Node, ...]:
    """The nodes for which the expression holds, in their order; all where it is empty.

    Raises UserError for what cannot be read, and for a label or group that no node has, except
    after a `!`: nobody is drained on a good day.
    """
    if not expression.strip():
        return tuple(nodes)
    labels = {label for node in nodes for label in node.labels}
    groups = {group for node in nodes for group in groups_of(node)}
    names = {node.name for node in nodes}
    reader = Reader(expression, tokens(expression), labels, groups, names)
    holds = either(reader, negated=False, depth=0)
    rest = reader.tokens[reader.at]
    if rest.kind != "end":
        raise reader.wrong(rest, f"expected & or |, found {named(rest)}")
    return tuple(node for node in nodes if holds(node))


def groups_of(node: Node) -> list[str]:
    return [group for group in node.labels.get("group", "").split(",") if group]


def tokens(expression: str) -> list[Token]:
    found = []
    at = 0
    while expression[at:].strip():
        match = TOKEN.match(expression, at)
        if not match:
            at += len(expression[at:]) - len(expression[at:].lstrip())
            shown = f"{expression[:at]} ^ {expression[at:]}".strip()
            raise refuse("--select", f"a quote is left open (column {at + 1}: {shown})")
        mark = match["mark"] or ""
        kind = {"&&": "&", "||": "|", "==": "="}.get(mark, mark)
        if match["quoted"] is not None:
            found.append(Token("quoted", match["quoted"], match.start("quoted") - 1))
        elif match["word"]:
            found.append(Token("word", match["word"], match.start("word")))
        else:
            found.append(Token(kind, mark, match.start("mark")))
        at = match.end()
    return [*found, Token("end", "the end", len(expression))]


def named(token: Token) -> str:
    return token.text if token.kind == "end" else repr(token.text)


def either(reader: Reader, *, negated: bool, depth: int) -> Test:
    tests = [both(reader, negated=negated, depth=depth)]
    while reader.take("|"):
        tests.append(both(reader, negated=negated, depth=depth))
    return tests[0] if len(tests) == 1 else lambda node: any(test(node) for test in tests)


def both(reader: Reader, *, negated: bool, depth: int) -> Test:
    tests = [one(reader, negated=negated, depth=depth)]
    while reader.take("&"):
        tests.append(one(reader, negated=negated, depth=depth))
    return tests[0] if len(tests) == 1 else lambda node: all(test(node) for test in tests)


def one(reader: Reader, *, negated: bool, depth: int) -> Test:
    turned = False
    while reader.take("!"):
        turned = not turned
    token = reader.tokens[reader.at]
    if depth > DEEPEST:
        raise reader.wrong(token, "too many parentheses")
    if reader.take("("):
        test = either(reader, negated=negated ^ turned, depth=depth + 1)
        if not reader.take(")"):
            raise reader.wrong(reader.tokens[reader.at], 'a ")" is missing')
    else:
        test = term(reader, negated=negated or turned)
    return (lambda node: not test(node)) if turned else test


def term(reader: Reader, *, negated: bool) -> Test:
    token = reader.tokens[reader.at]
    if token.kind not in {"word", "quoted"}:
        raise reader.wrong(token, f"expected a label such as rack=r12, found {named(token)}")
    reader.at += 1
    for mark in ("=", "!="):
        if reader.take(mark):
            return comparison(reader, token, equal=mark == "=")
    return bare(reader, token, negated=negated)


def bare(reader: Reader, token: Token, *, negated: bool) -> Test:
    word = token.text
    if word in reader.groups:
        return lambda node: word in groups_of(node) or true(node.labels.get(word, ""))
    if word in reader.labels:
        return lambda node: true(node.labels.get(word, ""))
    if word.lower() in {"and", "or", "not"}:
        raise reader.wrong(token, "write & for and, | for or, ! for not")
    if word in reader.names or "[" in word:
        raise reader.wrong(token, f"write name={word} to choose by name")
    if negated:
        return lambda _: False
    hint = nearest(word, {*reader.labels, *reader.groups})
    raise reader.wrong(token, f"no node has the label or group {word!r}{hint}")


def true(value: str) -> bool:
    return bool(value) and value.lower() not in FALSE


def comparison(reader: Reader, key: Token, *, equal: bool) -> Test:
    word, value = key.text, reader.tokens[reader.at]
    if value.kind not in {"word", "quoted"}:
        raise reader.wrong(value, f"expected a value for {word}, found {named(value)}")
    reader.at += 1
    if word not in FIELDS and word not in reader.labels and word != "group":
        hint = nearest(word, {*FIELDS, *reader.labels})
        raise reader.wrong(key, f"no node has the label {word!r}{hint}")
    exact, patterns = wanted(reader, value)

    def holds(node: Node) -> bool:
        found = groups_of(node) or [""] if word == "group" else [text_of(node, word)]
        return any(text in exact or any(one.match(text) for one in patterns) for text in found)

    return holds if equal else lambda node: not holds(node)


def text_of(node: Node, word: str) -> str:
    field = FIELDS.get(word)
    return field(node) if field else node.labels.get(word, "")


def wanted(reader: Reader, value: Token) -> tuple[frozenset[str], list[re.Pattern[str]]]:
    """The texts and the patterns that "r[1-4],s*" stands for; a quoted value is meant as it is."""
    if value.kind == "quoted":
        return frozenset({value.text}), []
    try:
        texts = [
            text
            for part in re.findall(r"(?:\[[^\]]*\]?|[^,\[])+", value.text)
            for text in (expand(part) if matches_range(part) or "[" in part else (part,))
        ]
    except BadRange as error:
        raise reader.wrong(value, str(error)) from None
    starred = [text for text in texts if "*" in text or "?" in text]
    patterns = [re.compile(translate(text.replace("[", "[[]"))) for text in starred]
    return frozenset(texts).difference(starred), patterns
