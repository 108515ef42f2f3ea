"""The lines of a journal, all at once.

Nearly every one is a sample; a call for each of its parts is most of what three days of a thousand
nodes cost.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Whole = NDArray[np.int64]

# CRC SEQUENCE {"k":"sample","m":TIME,"d":[…]}, as remote/journal.py spells it
CRC, AT = 8, 9  # digits of the CRC, and where the sequence number begins
KEY, DELTA, TAIL = b' {"k":"sample","m":', b',"d":[', b"]}"
MOST_DIGITS, MOST_TIME = 18, 19
HEAD = AT + MOST_DIGITS + len(KEY) + MOST_TIME + len(DELTA) + 1
HEX = np.full(256, 16, np.uint32)
HEX[list(b"0123456789abcdef")] = range(16)
SHIFTS = np.arange(28, -4, -4, dtype=np.uint32)
DIGITS = b"0123456789"
DIGIT = np.zeros(256, bool)
DIGIT[list(DIGITS)] = True
KEY_BYTES, DELTA_BYTES = np.frombuffer(KEY, np.uint8), np.frombuffer(DELTA, np.uint8)
POINT, COMMA, SPACE, NEWLINE = b"., \n"


class Deltas(Sequence[bytes]):
    """The JSON of each sample's list, cut out of the journal when somebody asks."""

    __slots__ = ("data", "spans")

    def __init__(self, data: bytes, spans: list[tuple[int, int]]) -> None:
        """`spans`: from where a list begins to where its line ends."""
        self.data, self.spans = data, spans

    def __len__(self) -> int:
        return len(self.spans)

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> list[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | list[bytes]:
        if isinstance(at, slice):
            return [self.data[begin : end - 1] for begin, end in self.spans[at]]
        begin, end = self.spans[at]
        return self.data[begin : end - 1]

    def __iter__(self) -> Iterator[bytes]:
        return (self.data[begin : end - 1] for begin, end in self.spans)


@dataclass(frozen=True, slots=True)
class Lines:
    """By line: where it begins and ends; and of a good sample its number, when it was, where its
    list begins, and the line behind those that follow it by one each (`follows`; else 0).
    """

    begins: list[int]
    ends: list[int]
    numbers: list[int]
    times: list[float]
    deltas: list[int]
    follows: list[int]


def lines_of(data: bytes) -> Lines:
    """What comes behind the last line's end is no line."""
    raw = np.frombuffer(data + bytes(HEAD), np.uint8)
    ends = np.flatnonzero(raw[: len(data)] == NEWLINE)
    begins = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1))[: ends.size]
    found = heads(sliding_window_view(raw, HEAD)[begins])
    good = (found.size > 0) & (ends - begins > found.size + 1)
    good[good] = (raw[ends[good] - 2] == TAIL[0]) & (raw[ends[good] - 1] == TAIL[1])
    view = memoryview(data)
    spans = zip((begins[good] + AT).tolist(), ends[good].tolist(), strict=True)
    made = [zlib.crc32(view[begin:end]) for begin, end in spans]
    good[good] = found.crcs[good] == np.array(made, np.uint32)
    return Lines(
        begins.tolist(), ends.tolist(), found.numbers.tolist(), found.times.tolist(),
        (begins + found.size).tolist(), follows(good, found.numbers),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Heads:
    """Of each line what stands before its list, and how long that is; 0: it does not begin so."""

    crcs: NDArray[np.uint32]
    numbers: Whole
    times: NDArray[np.float64]
    size: Whole


def heads(head: Bytes) -> Heads:
    """`head`: so much of each line, and perhaps of what follows it."""
    count = len(head)
    numbers, sizes, times = np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(count)
    nibbles = HEX[head[:, :CRC]]
    crc = (nibbles.max(axis=1, initial=0) < 16) & (head[:, CRC] == SPACE)
    width = (head[:, AT : AT + MOST_DIGITS + 1] == SPACE).argmax(axis=1)
    for digits in np.unique(width[crc & (width > 0)]).tolist():
        here = np.flatnonzero(crc & (width == digits))
        key = AT + digits
        time = key + len(KEY)
        text = head[here]
        begun = (text[:, key:time] == KEY_BYTES).all(axis=1) & DIGIT[text[:, AT:key]].all(axis=1)
        here, text = here[begun], text[begun]
        number = (text[:, AT:key] - DIGITS[0]).astype(np.int64) @ 10 ** np.arange(digits)[::-1]
        length = (text[:, time : time + MOST_TIME + 1] == COMMA).argmax(axis=1)
        for size in np.unique(length[length > 0]).tolist():
            mine = length == size
            to = time + size + len(DELTA)
            mine &= (text[:, time + size : to] == DELTA_BYTES).all(axis=1)
            mine[mine] = is_time(text[mine, time : time + size])
            numbers[here[mine]] = number[mine]
            times[here[mine]] = spelled(text[mine, time : time + size]).astype(np.float64)
            sizes[here[mine]] = to - 1
    return Heads((nibbles << SHIFTS).sum(axis=1, dtype=np.uint32), numbers, times, sizes)


def is_time(text: Bytes) -> NDArray[np.bool_]:
    """Up to twelve digits, and perhaps a point and up to six more."""
    digit, point = DIGIT[text], text == POINT
    size = text.shape[1]
    place = np.where(point.any(axis=1), point.argmax(axis=1), size)
    behind = size - 1 - place
    fits: NDArray[np.bool_] = (
        (digit | point).all(axis=1) & (point.sum(axis=1) <= 1) & (place >= 1) & (place <= 12)
        & (behind != 0) & (behind <= 6)
    )  # fmt: skip
    return fits


def spelled(text: Bytes) -> NDArray[np.bytes_]:
    """Rows of characters as one text each."""
    return np.ascontiguousarray(text).view(f"S{text.shape[1]}").ravel()


def follows(good: NDArray[np.bool_], numbers: Whole) -> list[int]:
    """Behind the last of the lines that follow each by one, sample after sample."""
    if not good.size:
        return []
    breaks = np.ones(good.size, bool)  # whether the next line does not follow this one
    breaks[:-1] = ~(good[:-1] & good[1:] & (numbers[1:] == numbers[:-1] + 1))
    behind = np.flatnonzero(breaks) + 1
    found = behind[np.searchsorted(behind, np.arange(good.size), side="right")]
    ends: list[int] = np.where(good, found, 0).tolist()
    return ends
