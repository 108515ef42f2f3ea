"""Visiting many, some at once."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref

import pytest

from clusterctl.fanout import Done, Visits, each, merged, until_ended


class Crowd:
    """Counts how many visits run at the same time."""

    def __init__(self):
        self.lock = threading.Lock()
        self.now = self.most = 0

    def visit(self, item):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.005)
        with self.lock:
            self.now -= 1
        return item


def test_every_item_comes_out_once():
    assert sorted(each(range(500), str, at_once=7)) == sorted(map(str, range(500)))


def test_nothing_in_gives_nothing_out():
    assert list(each((), str, at_once=3)) == []


def test_no_more_than_at_once_run_together():
    crowd = Crowd()

    assert len(list(each(range(60), crowd.visit, at_once=6))) == 60
    assert crowd.most == 6


def test_the_slow_do_not_hold_up_the_quick():
    gate = threading.Event()

    def visit(item):
        if item == 0:
            gate.wait(600)
        return item

    results = each(range(20), visit, at_once=2)
    quick = [next(results) for _ in range(19)]
    gate.set()

    assert quick == list(range(1, 20))
    assert list(results) == [0]


def test_results_come_while_the_items_are_still_coming():
    more = threading.Event()

    def items():
        yield 1
        assert more.wait(60)
        yield 2

    results = each(items(), lambda item: item, at_once=4)

    assert next(results) == 1
    more.set()
    assert list(results) == [2]


def test_an_item_is_taken_only_when_a_visit_can_start():
    taken = []
    gate = threading.Event()

    def items():
        for item in range(1000):
            taken.append(item)
            yield item

    results = each(items(), lambda item: gate.wait(60) and item, at_once=3)
    threading.Timer(0.2, gate.set).start()
    next(results)
    early = len(taken)
    results.close()

    assert early <= 12


def test_results_nobody_takes_do_not_pile_up():
    taken = []

    def items():
        for item in range(100_000):
            taken.append(item)
            yield item

    results = each(items(), lambda item: item, at_once=4)
    next(results)
    time.sleep(0.3)

    assert len(taken) < 20
    results.close()


def test_closing_does_not_wait_for_stuck_visits():
    gate = threading.Event()
    ended = []

    def visit(item):
        if item:
            gate.wait(600)
        ended.append(item)
        return item

    results = each(range(8), visit, at_once=8)
    assert next(results) == 0
    results.close()

    assert ended == [0]
    gate.set()


def test_closing_starts_no_more_visits():
    """Each of the four threads may be in one, beside the first, which has ended."""
    visited, threads = [], set()
    gate = threading.Event()

    def visit(item):
        threads.add(threading.current_thread())
        visited.append(item)
        if item:
            gate.wait(600)
        return item

    results = each(range(100_000), visit, at_once=4)
    assert next(results) == 0
    results.close()
    gate.set()
    for thread in threads.copy():
        thread.join(60)

    assert len(visited) <= 5


def test_what_visit_raises_is_raised():
    def visit(item):
        if item == 5:
            raise LookupError("five")
        return item

    with pytest.raises(LookupError, match="five"):
        list(each(range(10), visit, at_once=2))


def test_what_the_items_raise_is_raised():
    def items():
        yield 1
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        list(each(items(), str, at_once=2))


def test_at_once_below_one_is_refused():
    with pytest.raises(ValueError, match="at_once"):
        next(each((1,), str, at_once=0))


def test_nothing_is_kept_of_results_already_taken():
    class Big:
        pass

    kept = []
    for result in each(range(50), lambda _: Big(), at_once=2):
        kept.append(weakref.ref(result))
    del result
    gc.collect()

    assert sum(ref() is not None for ref in kept) == 0


STUCK = """
import sys, threading, time
from clusterctl.fanout import each
def visit(item):
    if item:
        time.sleep(600)
    return item
for result in each(range(50), visit, at_once=50):
    print(result, flush=True)
"""


def test_what_each_yields_comes_out_and_then_it_ends():
    found = merged((1, 2), lambda n: iter((n, 10 * n)), every_s=9, kept=8)
    assert sorted(one for one in found if one) == [1, 2, 10, 20]
    assert list(merged((), iter, every_s=9, kept=8)) == []


class TooEarly(Visits):
    """Whose first wait ends just before the last news comes, and everybody goes home."""

    early = True

    def next(self, patience_s):
        if not self.early:
            return super().next(patience_s)
        self.early = False
        while self.working:
            time.sleep(0.001)
        return None


def test_the_last_news_is_not_lost_where_the_wait_ends_just_before_it():
    visits = TooEarly(iter("a"), lambda item: visits.tell(Done(item)), 1, room=8)
    visits.start()
    assert [news for news in until_ended(visits, 9) if news] == ["a"]


def test_control_c_ends_the_program_though_visits_are_stuck():
    with subprocess.Popen(
        [sys.executable, "-c", STUCK], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        try:
            assert program.stdout.readline() == b"0\n"
            program.send_signal(2)
            _, stderr = program.communicate(timeout=60)
        finally:
            program.kill()

    assert b"KeyboardInterrupt" in stderr


ASIDE = """
import signal, threading, time
from clusterctl.fanout import each
def visit(item):
    time.sleep(0.2)
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)
    time.sleep(600)
list(each([0], visit, at_once=1))
"""


def test_control_c_that_reaches_another_thread_ends_the_program_too():
    done = subprocess.run(
        [sys.executable, "-c", ASIDE], capture_output=True, timeout=60, check=False
    )

    assert b"KeyboardInterrupt" in done.stderr
