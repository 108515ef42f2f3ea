"""Who is told of a run, from a file.  Addresses are secrets, so the file only says where they are.

to:
  - {file: /etc/clusterctl/feishu.url}     # mode 0600; a URL of apprise a line
  - {env: CLUSTERCTL_NOTIFY_URL, name: on call}
min_severity: isolate                      # what asks less of a person sends no message
at_most: 4                                 # messages, of this runs directory, …
per: 24h                                   # … in so long; what is kept back is counted
top: 10                                    # findings in a message
lang: zh
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from clusterctl.model import Severity, UserError
from clusterctl.spelling import Unreadable, seconds
from clusterctl.yaml_files import kind, nearest, read_mapping, refuse_unknown

KEYS = ("to", "min_severity", "at_most", "per", "top", "lang")
LANGUAGES = ("en", "zh")


@dataclass(frozen=True, slots=True)
class Addressee:
    """`name` is what people see; `url` is a secret and is shown nowhere."""

    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Settings:
    to: tuple[Addressee, ...]
    least: Severity = Severity.NONE
    at_most: int = 4
    per_s: float = 86400.0
    top: int = 10
    lang: str = ""


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """Raises UserError that names file and key, and no address."""
    given = read_mapping(path)
    refuse_unknown(str(path), given, KEYS)
    to = given.get("to")
    if not isinstance(to, list) or not to:
        raise UserError(f"{path}: to: expected a list of {{file: …}} or {{env: …}}")
    people = [
        one
        for place, entry in enumerate(to, 1)
        for one in addressees(f"{path}: to: {place}", entry, path.parent, environ)
    ]
    severities = [str(one) for one in Severity]
    return Settings(
        tuple(people),
        Severity(one_of(path, "min_severity", given, severities, str(Severity.NONE))),
        at_least_one(path, "at_most", given, 4),
        span(path, given),
        at_least_one(path, "top", given, 10),
        one_of(path, "lang", given, ["", *LANGUAGES], ""),
    )


def addressees(
    where: str, entry: object, folder: Path, environ: Mapping[str, str]
) -> Iterator[Addressee]:
    if not isinstance(entry, dict):
        raise UserError(f"{where}: expected {{file: …}} or {{env: …}}, found {kind(entry)}")
    refuse_unknown(where, entry, ("file", "env", "name"))
    if ("file" in entry) == ("env" in entry):
        raise UserError(f"{where}: say either file or env: the place of an address")
    if "env" in entry:
        variable = str(entry["env"])
        lines = environ.get(variable, "").splitlines()
        place = variable
    else:
        path = folder / str(entry["file"])
        lines = private_lines(f"{where}: file", path)
        place = path.name
    urls = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not urls:
        raise UserError(f"{where}: {place}: holds no address")
    name = str(entry.get("name", place))
    for number, url in enumerate(urls, 1):
        yield Addressee(name if len(urls) == 1 else f"{name} ({number})", url)


def private_lines(where: str, path: Path) -> list[str]:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise UserError(f"{where}: {path}: {why}") from None
    if stat.S_IMODE(mode) & 0o077:
        raise UserError(f"{where}: {path}: others may read it: chmod 600 {path}")
    return text.splitlines()


def one_of(
    path: Path, key: str, given: Mapping[str, object], known: list[str], default: str
) -> str:
    word = str(given.get(key, default))
    if word not in known:
        raise UserError(f"{path}: {key}: unknown {word!r}{nearest(word, known)}")
    return word


def at_least_one(path: Path, key: str, given: Mapping[str, object], default: int) -> int:
    number = given.get(key, default)
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise UserError(f"{path}: {key}: expected a whole number from 1, found {number!r}")
    return number


def span(path: Path, given: Mapping[str, object]) -> float:
    try:
        return seconds(str(given.get("per", "24h")))
    except Unreadable as error:
        raise UserError(f"{path}: per: {error}") from None
