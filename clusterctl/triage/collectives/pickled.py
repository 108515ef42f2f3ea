"""Pickles of plain data, read without running anything: dicts, lists, tuples, text, numbers.

The pickle module runs what the file says; its restricted subclass still lets the file decide how
much memory is taken (one LONG_BINPUT asks for 32 GB).  PyTorch reads weights in the same way
(torch/_weights_only_unpickler.py).  Opcodes: Lib/pickletools.py of CPython.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from clusterctl.spelling import Unreadable

MOST_STEPS = 10_000_000  # 2000 entries with stacks are 200,000; a step may take 64 bytes of memory
MARK = object()
CONSTANTS: dict[int, Any] = {ord("("): MARK, ord("N"): None, 0x88: True, 0x89: False}
EMPTY: dict[int, Callable[[], Any]] = {ord("}"): dict, ord("]"): list, ord(")"): tuple}
# code -> (format of what follows, its bytes)
FIXED = {
    ord("K"): ("<B", 1),
    ord("M"): ("<H", 2),
    ord("J"): ("<i", 4),
    ord("G"): (">d", 8),
}
# code -> bytes of the length before the text
TEXTS = {0x8C: 1, ord("X"): 4, 0x8D: 8}
LONGS = {0x8A: 1, 0x8B: 4}
TUPLES = {0x85: 1, 0x86: 2, 0x87: 3}
STORES = {ord("q"): 1, ord("r"): 4}
LOADS = {ord("h"): 1, ord("j"): 4}
SKIPPED = {0x80: 1, 0x95: 8}  # protocol, frame
STOP, MEMOIZE = ord("."), 0x94
APPEND, APPENDS, SETITEM, SETITEMS, TUPLE = (ord(code) for code in "aesut")


def unpickled(data: bytes) -> Any:
    """The one value of a pickle.  Raises Unreadable: also for everything that is not plain data.

    What is shared in the file is shared in the value, so a small file can spell a value whose
    full print would fill the disk: never print it whole.
    """
    try:
        return Machine(data).run()
    except (IndexError, KeyError, TypeError, ValueError, struct.error, AttributeError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"not a whole pickle of plain data: {type(error).__name__}") from None


class Machine:
    """The pickle machine with the opcodes that make plain data, and no others."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(MOST_STEPS):
            code = self.size(1)
            if code == STOP:
                break
            # The commonest first: a dump is a thousand times the same words.
            if not self.remember(code) and not self.push(code):
                self.gather(code)
        else:
            raise Unreadable(f"it has more than {MOST_STEPS} steps, far more than a recorder fills")
        if len(self.stack) != 1 or self.stack[0] is MARK:
            raise Unreadable("it ends in the middle of a value")
        return self.stack[0]

    def push(self, code: int) -> bool:
        """A value of its own; False: not this opcode."""
        if code in TEXTS:
            value: Any = self.take(self.size(TEXTS[code])).decode("utf-8", "surrogatepass")
        elif code in FIXED:
            form, wide = FIXED[code]
            value = struct.unpack(form, self.take(wide))[0]
        elif code in CONSTANTS:
            value = CONSTANTS[code]
        elif code in EMPTY:
            value = EMPTY[code]()
        elif code in LONGS:
            value = int.from_bytes(self.take(self.size(LONGS[code])), "little", signed=True)
        else:
            return False
        self.stack.append(value)
        return True

    def remember(self, code: int) -> bool:
        """What keeps a value for later and takes it out again; False: not this opcode."""
        if code in LOADS:
            self.stack.append(self.memo[self.size(LOADS[code])])
        elif code in STORES:
            self.memo[self.size(STORES[code])] = self.stack[-1]
        elif code == MEMOIZE:
            self.memo[len(self.memo)] = self.stack[-1]
        elif code in SKIPPED:
            self.take(SKIPPED[code])
        else:
            return False
        return True

    def gather(self, code: int) -> None:
        """The opcodes that put values into containers."""
        stack = self.stack
        if code in TUPLES:
            wide = TUPLES[code]
            stack[-wide:] = [tuple(stack[-wide:])]
        elif code == TUPLE:
            stack.append(tuple(self.since_mark()))
        elif code == APPEND:
            value = stack.pop()
            only(list, stack[-1]).append(value)
        elif code == APPENDS:
            values = self.since_mark()
            only(list, stack[-1]).extend(values)
        elif code == SETITEM:
            key, value = stack[-2:]
            del stack[-2:]
            only(dict, stack[-1])[key] = value
        elif code == SETITEMS:
            values = self.since_mark()
            only(dict, stack[-1]).update(zip(values[::2], values[1::2], strict=True))
        else:
            raise Unreadable(
                f"it holds more than plain data (opcode {code:#04x} at byte {self.at - 1}); "
                "nothing of it was run"
            )

    def take(self, count: int) -> bytes:
        part = self.data[self.at : self.at + count]
        if len(part) != count or count < 0:
            raise Unreadable(f"it is cut: {count} bytes should follow byte {self.at}")
        self.at += count
        return part

    def size(self, wide: int) -> int:
        if wide == 1:
            self.at += 1
            return self.data[self.at - 1]
        return int.from_bytes(self.take(wide), "little")

    def since_mark(self) -> list[Any]:
        stack, at = self.stack, len(self.stack) - 1
        while stack[at] is not MARK:
            at -= 1
            if at < 0:
                raise Unreadable("it closes a container that it never opened")
        values = stack[at + 1 :]
        del stack[at:]
        return values


def only(kind: type, value: Any) -> Any:
    """Not its subclass, and no MARK: raises TypeError."""
    if type(value) is not kind:
        raise TypeError
    return value
