"""Inventory files as text: encodings, folders, what cannot be read."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from pathlib import Path

from clusterctl.inventory.draft import refuse

LARGEST_BYTES = 64 << 20
ENCRYPTED = "$ANSIBLE_VAULT;"
LEFT_OUT = (".bak", ".cfg", ".md", ".orig", ".pyc", ".pyo", ".retry", ".rst", ".swp", "~")
DEEPEST = 8


def read_text(path: Path) -> str:
    """Raises UserError for what cannot be read or is no text."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise refuse(
            str(path), f"cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from None
    if len(data) > LARGEST_BYTES:
        raise refuse(str(path), f"is larger than {LARGEST_BYTES >> 20} MiB, no inventory")
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise refuse(str(path), "is an Excel workbook; save the sheet as CSV")
    return decode(path, data)


def decode(path: Path, data: bytes) -> str:
    """UTF-8, UTF-16 with its mark (Excel's "Unicode text"), or GBK, which staff in China save."""
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "gb18030"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        return text.replace("\r\n", "\n").replace("\r", "\n")
    raise refuse(str(path), "is neither UTF-8 nor GBK text; save it as UTF-8")


def inside(path: Path, endings: Sequence[str] = (), depth: int = 0) -> Iterator[Path]:
    """The file, or all inventory files of a folder in the order of their names."""
    if not path.is_dir():
        yield path
        return
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise refuse(str(path), f"cannot be read: {error.strerror}") from None
    for entry in entries:
        name = entry.name
        if name.startswith((".", "README")) or name.endswith(LEFT_OUT):
            continue
        if entry.is_dir():
            if name not in {"group_vars", "host_vars"} and depth < DEEPEST:
                yield from inside(entry, endings, depth + 1)
        elif not endings or entry.suffix in endings:
            yield entry
