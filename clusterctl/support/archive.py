"""One archive for a ticket, with a manifest: what is in it, from where, and what is not and why."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath

from clusterctl.spelling import visible
from clusterctl.support.redact import Aliases, without_addresses, without_secrets

MOST_UNPACKED_BYTES = 512 << 20
MOST_MEMBERS = 10_000
LONGEST_WORDS = 400
SAFE = re.compile(r"[^\w.@+=-]")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the archive.  `source`: what it is the answer of.  `redacted`: secrets gone."""

    name: str
    source: str
    sha256: str
    size_bytes: int
    redacted: int


@dataclass(frozen=True, slots=True)
class Missing:
    """What should be here.  `absent`: it is not installed there, and nobody promised that."""

    source: str
    why: str
    absent: bool = False


@dataclass
class Bundle:
    """Owns what will be in the archive.  `aliases` None: addresses stay."""

    root: str
    made: datetime
    aliases: Aliases | None = None
    binaries: bool = False
    entries: list[Entry] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    contents: dict[str, bytes] = field(default_factory=dict)
    alike: Counter[str] = field(default_factory=Counter)  # how many more wanted that name

    def add_text(self, name: str, source: str, text: str) -> None:
        clean, gone = self._clean(text)
        self._put(name, source, clean.encode(errors="replace"), gone)

    def add_file(self, name: str, source: str, data: bytes) -> None:
        """A file as a collector made it: packed ones are opened, for secrets hide in them, too."""
        try:
            for inner, content in opened(name, data):
                self._add_plain(inner, source, content)
        except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError) as error:
            self.lack(source, f"{name}: cannot be opened, so it cannot be redacted: {error}")

    def lack(self, source: str, why: str, *, absent: bool = False) -> None:
        """Both in words that a terminal may show: names in them are a node's."""
        source, why = (visible(self._clean(one)[0], LONGEST_WORDS) for one in (source, why))
        self.missing.append(Missing(source, why, absent))

    def manifest(self, about: Mapping[str, str], labels: Mapping[str, str]) -> str:
        """JSON: the list of a bundle, for whoever gets it."""
        told = {
            **about,
            "labels": {name: self._label(name, value) for name, value in labels.items()},
            "made": self.made.isoformat(),
            "addresses": "as they are" if self.aliases is None else "by alias",
            "entries": [asdict(one) for one in self.entries],
            "missing": [asdict(one) for one in self.missing],
        }
        return json.dumps(told, ensure_ascii=False, indent=1) + "\n"

    def write(self, path: Path, about: Mapping[str, str], labels: Mapping[str, str]) -> None:
        """The archive, whole or not at all, readable by its owner alone.  Raises OSError.

        `labels`: of the node; an inventory may hold passwords and addresses, too.
        """
        draft = path.with_name(f".{path.name}.new")
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                manifest = (f"{self.root}/MANIFEST.json", self.manifest(about, labels).encode())
                pack(file, [manifest, *self.contents.items()], self.made)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise

    def _add_plain(self, name: str, source: str, data: bytes) -> None:
        text = as_text(data)
        if text is not None:
            self.add_text(name, source, text)
        elif self.binaries:
            self._put(name, source, data, 0)
        else:
            self.lack(
                source, f"{name}: no text, so it cannot be redacted; --with-binaries keeps it"
            )

    def _clean(self, text: str) -> tuple[str, int]:
        """Without what nobody else may read, and how many secrets went."""
        clean, gone = without_secrets(text)
        return (clean if self.aliases is None else without_addresses(clean, self.aliases)), gone

    def _label(self, name: str, value: str) -> str:
        """`token: abc` is a secret for its name."""
        return self._clean(f"{name}={value}")[0].removeprefix(f"{name}=")

    def _put(self, name: str, source: str, data: bytes, gone: int) -> None:
        wanted = place = f"{self.root}/{inside(name)}"
        while place in self.contents:
            self.alike[wanted] += 1
            place = f"{wanted}.{self.alike[wanted] + 1}"
        self.contents[place] = data
        digest = hashlib.sha256(data).hexdigest()
        self.entries.append(Entry(place, source, digest, len(data), gone))


def inside(name: str) -> str:
    """A name that stays below the archive's root, whoever made it up."""
    words = [SAFE.sub("_", word)[:100] for word in PurePosixPath(name).parts]
    return "/".join(word for word in words if word not in {"", ".", "..", "_"}) or "unnamed"


def as_text(data: bytes) -> str | None:
    """None: it is no text."""
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        plain = sum(32 <= byte < 127 or byte in b"\t\n\r" for byte in data[:65536])
        return data.decode("latin-1") if plain > 0.9 * len(data[:65536]) else None


def opened(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """The plain files in a file, to one level: members of a tar, the one of a gzip, or itself."""
    if data[:2] == b"\x1f\x8b":
        with gzip.open(io.BytesIO(data)) as file:
            data = file.read(MOST_UNPACKED_BYTES + 1)
        if len(data) > MOST_UNPACKED_BYTES:
            raise ValueError("it unpacks to more than half a gigabyte")
        name = name.removesuffix(".gz").replace(".tgz", ".tar")
    if data[257:262] != b"ustar":
        yield name, data
        return
    unpacked = 0
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for number, member in enumerate(tar):
            unpacked += member.size  # what it says: a hole in a file costs a tar nothing
            if number == MOST_MEMBERS or unpacked > MOST_UNPACKED_BYTES:
                raise ValueError("it unpacks to more than half a gigabyte or ten thousand files")
            held = tar.extractfile(member) if member.isfile() else None
            if held is not None:
                yield f"{name}/{member.name}", held.read()


def pack(file: io.BufferedIOBase, contents: list[tuple[str, bytes]], made: datetime) -> None:
    """Nobody's names and ids are in it."""
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, data in contents:
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(data), 0o600, int(made.timestamp())
            tar.addfile(member, io.BytesIO(data))
