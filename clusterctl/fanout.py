"""Visit many nodes, some at once, results as they come; nobody waits for the slowest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Generic, TypeVar

WAKE_S = 1.0  # a Ctrl-C that another thread got, or came just before a wait, wakes nobody

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    result: T


@dataclass(frozen=True, slots=True)
class Broke:
    error: BaseException


def endless() -> float:
    return inf


def each(
    items: Iterable[S],
    visit: Callable[[S], T],
    *,
    at_once: int,
    left_s: Callable[[], float] = endless,
) -> Iterator[T]:
    """Results in the order in which visits end; at most `at_once` visits run at a time.

    `items` may block; an item is taken only when a visit for it can start, and results wait for
    the consumer, so memory is bounded.  Closing the generator starts no more visits and leaves
    the running ones to themselves: their threads are daemons, and neither they nor a blocked
    `items` hold up Ctrl-C.  What `visit` or `items` raises is raised here.  When no second is
    left, results end, whoever is still being visited.
    """
    if at_once < 1:
        raise ValueError(f"at_once must be 1 or more, not {at_once}")
    visits = Visits(iter(items), visit, at_once)
    visits.start()
    try:
        while (news := visits.next(left_s())) is not None:
            if isinstance(news, Broke):
                raise news.error
            yield news.result
    finally:
        visits.stop()


def merged(
    items: Sequence[S], follow: Callable[[S], Iterator[T]], *, every_s: float, kept: int
) -> Generator[T | None]:
    """What each of them yields, as it comes, until all have ended; None where nothing comes.

    A None comes after `every_s` of silence.  At most `kept` things an item wait for the consumer;
    then their threads do.  Errors and closing as for `each`.
    """
    if not items:
        return

    def visit(item: S) -> None:
        for news in follow(item):
            visits.tell(Done(news))

    visits: Visits[S, T | None] = Visits(iter(items), visit, len(items), room=kept * len(items))
    visits.start()
    try:
        yield from until_ended(visits, every_s)
    finally:
        visits.stop()


def until_ended(visits: Visits[S, T | None], every_s: float) -> Generator[T | None]:
    while True:
        news = visits.next(every_s)
        if news is None and not visits.working:
            news = visits.next(0.0)  # the last may have come just as the wait ended
            if news is None:
                return
        if isinstance(news, Broke):
            raise news.error
        yield None if news is None else news.result


class Visits(Generic[S, T]):
    """Owns the threads of one fan-out; a thread is only made for an item that waits for it."""

    def __init__(
        self, source: Iterator[S], visit: Callable[[S], T], at_once: int, *, room: int = 0
    ) -> None:
        self.source = source
        self.visit = visit
        self.idle = at_once  # threads that may still be made
        self.at_once = at_once
        self.working = 0
        self.stopped = False
        self.taking = threading.Lock()
        self.waiting = max(at_once, room)
        self.room = threading.Semaphore(self.waiting)  # for results that wait
        self.news: SimpleQueue[Done[T] | Broke | None] = SimpleQueue()

    def start(self) -> None:
        self.idle -= 1
        self.working += 1
        threading.Thread(target=self._work, name="visit", daemon=True).start()

    def next(self, patience_s: float) -> Done[T] | Broke | None:
        """The next result; None: there are no more, or none within the patience."""
        until = monotonic() + max(0.0, patience_s)
        while True:
            left_s = until - monotonic()
            try:
                news = self.news.get(timeout=min(WAKE_S, max(0.0, left_s)))
            except Empty:
                if left_s <= WAKE_S:
                    return None
            else:
                self.room.release()
                return news

    def stop(self) -> None:
        self.stopped = True
        self.room.release(self.waiting + self.at_once)  # results, and each thread's end, to tell

    def _work(self) -> None:
        with ExitStack() as stack:
            stack.push(self._pass_on)
            while self._take():
                pass
        with self.taking:
            self.working -= 1
            last = self.working == 0
        if last:
            self.tell(None)

    def _pass_on(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        """What breaks in this thread goes on in the consumer's."""
        if error:
            self.tell(Broke(error))
        return True

    def _take(self) -> bool:
        with self.taking:
            if self.stopped:
                return False
            try:
                item = next(self.source)
            except StopIteration:
                self.stopped = True
                return False
            if self.idle:
                self.start()
        self.tell(Done(self.visit(item)))
        return True

    def tell(self, news: Done[T] | Broke | None) -> None:
        self.room.acquire()
        self.news.put(news)
