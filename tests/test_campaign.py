"""The pure part of a campaign: what a journal says, who is told what, who meets whom."""

from __future__ import annotations

import json
import re
import resource
import zlib
from random import Random

import pytest
from rich.cells import cell_len
from scripted import NOON

from clusterctl.campaign import folder as campaign_folder
from clusterctl.campaign.burnt import Burning, burnt_s
from clusterctl.campaign.course import Course, learn
from clusterctl.campaign.decisions import Case, Decision, apply, decide, pair_up, stage_of
from clusterctl.campaign.folder import (
    Known,
    append,
    cases,
    keep_decision,
    keep_journal,
    keep_reading,
    mend,
    prepare,
)
from clusterctl.campaign.journal import Record, Stretch, records, samples, steps
from clusterctl.campaign.verdict import without_facts
from clusterctl.model import Node, Playbook, UserError
from clusterctl.playbook import build, load, spell
from clusterctl.report.campaign_lines import lines

BOOK = build(
    "test",
    {
        "name": "test",
        "stages": [{"cpu_burn": {"seconds": 1}}, "pair_bandwidth"],
        "soak": {"hours": 0.01, "load": ["cpu_burn"]},
    },
)


def line(number: int, kind: str, at_s: float, **cells: object) -> bytes:
    text = f"{number} ".encode() + json.dumps({"k": kind, "m": at_s, **cells}).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def story() -> list[bytes]:
    """Burnt, rebooted in the middle of a step, burnt again, soaked, stopped."""
    told = [
        ("start", 0, {"boot": "a", "every_s": 1}),
        ("command", 1, {"do": "run", "id": "s0.1"}),
        ("full", 1, {"groups": [["", ["gpu0.power_w"], [70]]]}),
        ("begin", 1.5, {"step": "s0.1", "name": "cpu_burn", "load": True}),
        ("sample", 2, {"d": [0, 300]}),
        ("sample", 3, {"d": []}),
        ("start", 0.5, {"boot": "b", "every_s": 1}),
        ("command", 1, {"do": "run", "id": "s0.2"}),
        ("begin", 1, {"step": "s0.2", "name": "cpu_burn", "load": True}),
        ("full", 2, {"groups": [["", ["gpu0.power_w"], [80]]]}),
        ("sample", 3, {"d": [0, 310]}),
        ("end", 3.5, {"step": "s0.2", "name": "cpu_burn", "why": "exit", "code": 0, "s": 2.5}),
        ("command", 4, {"do": "soak", "id": "soak1", "on": True}),
        ("begin", 4, {"step": "soak1/1", "name": "cpu_burn", "load": True, "soak": True}),
        ("sample", 4.5, {"d": []}),
        ("sample", 5.5, {"d": [0, 320]}),
        ("end", 6, {"step": "soak1/1", "name": "cpu_burn", "soak": True, "why": "exit", "code": 0}),
        ("sample", 6.5, {"d": []}),
    ]
    return [line(number, kind, at_s, **cells) for number, (kind, at_s, cells) in enumerate(told)]


def course(*parts: bytes) -> Course:
    found = Course()
    for part in parts:
        learn(found, part)
    return found


def test_however_a_journal_comes_it_says_the_same():
    told = story()
    whole = course(b"".join(told))
    known = list(records(b"".join(told)))
    assert whole.burnt_s == pytest.approx(burnt_s(known))
    assert whole.burnt_s == pytest.approx(1.5 + 1.5 + 2.0)
    assert whole.samples == len(list(samples(known)))
    assert len(whole.ended) + len(whole.soaked) + 1 == len(list(steps(known)))
    for seed in range(50):
        rng = Random(seed)
        cuts = sorted(rng.sample(range(1, len(told)), 5))
        parts = [b"".join(told[a:b]) for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
        pieces = course(*parts)
        assert pieces.burnt_s == pytest.approx(whole.burnt_s), cuts
        assert pieces.samples == whole.samples
        assert (pieces.ended, pieces.soaked, pieces.gone) == (
            whole.ended, whole.soaked, whole.gone,
        )  # fmt: skip
        assert pieces.sample is not None
        assert pieces.sample.values == {"gpu0.power_w": 320}


def test_samples_read_in_a_row_say_what_they_say_one_by_one():
    for seed in range(30):
        rng = Random(seed)
        told = [line(0, "start", 0, every_s=1)]
        for number in range(1, 60):
            groups = [["", ["a", "b"], [number, "ok"]]]
            delta = [rng.randrange(2), number] if rng.random() < 0.95 else [7, 7]
            kind, cells = (
                ("full", {"groups": groups}) if number % 9 == 1 else ("sample", {"d": delta})
            )
            body = {"k": kind, "m": float(number), **cells}
            text = f"{number} {json.dumps(body, separators=(',', ':'))}".encode()
            told.append(b"%08x %s\n" % (zlib.crc32(text), text))
        del told[rng.randrange(2, 60)]
        known = list(samples(records(b"".join(told))))
        found = course(*told[:20], b"".join(told[20:]))
        whole = course(b"".join(told))
        assert found.sample == whole.sample  # which reads the deltas that nobody has read yet
        assert (found.sampled, found.burning) == (whole.sampled, whole.burning)
        if whole.sample is not None:
            assert whole.sample.values in [one.values for one in known]
            assert whole.sample.at_s <= known[-1].at_s


def test_samples_in_a_row_burn_what_they_burn_one_by_one():
    for seed in range(50):
        rng = Random(seed)
        whole, single = Burning(), Burning()
        at_s = 0.0
        for _ in range(12):
            if rng.random() < 0.5:
                begun = Record(0, rng.choice(("begin", "begin", "end")), at_s, {"name": "gemm"})
                whole.learn(begun)
                single.learn(begun)
            pauses = [rng.choice((10, 10, 10, 10, 29, 31, -5)) for _ in range(rng.randrange(1, 9))]
            times = [at_s := at_s + pause for pause in pauses]
            whole.learn(Stretch(0, times, [b"[]"] * len(times)))
            for one in times:
                single.learn(Record(0, "sample", one, {"d": []}))
        assert whole.total == pytest.approx(single.total)
        assert (whole.got, whole.sampled_s, whole.pending) == (
            single.got, single.sampled_s, single.pending,
        )  # fmt: skip
        assert whole.due == pytest.approx(single.due)


def test_a_campaign_read_on_is_the_campaign_read_anew(tmp_path):
    prepare(tmp_path)
    nodes, told = [Node("n1"), Node("n2")], story()
    watched = Known(tmp_path, nodes)
    head = {"at": "2026-01-01T00:00:00", "node": "n1"}
    assert not watched.read()["n1"].course.size
    keep_decision(tmp_path, {**head, "do": "gate"})
    keep_decision(tmp_path, {**head, "do": "start", "base": 0})
    keep_journal(tmp_path, "n1", b"".join(told[:9]))
    watched.read()
    keep_journal(tmp_path, "n1", b"".join(told[9:]))
    keep_decision(tmp_path, {**head, "do": "start", "base": sum(map(len, told))})
    keep_journal(tmp_path, "n1", b"".join(told))  # another journal follows, counted from 0
    case = watched.read()["n1"]
    assert case.course == cases(tmp_path, nodes)["n1"].course
    assert case.course.corrupt == 0
    assert case.course.burnt_s == pytest.approx(10.0)


def test_a_node_that_joins_while_it_is_read_loses_none_of_its_decisions(tmp_path, monkeypatch):
    """Its leader writes at any moment, so between two looks at the file, too."""
    prepare(tmp_path)
    late = [{"do": "join", "as": {"name": "n2"}}, {"do": "gate"}, {"do": "start", "base": 0}]
    late = [{"at": "2026-01-01T00:00:00", "node": "n2", **one} for one in late]

    def and_then_more(path, read=campaign_folder.decisions):
        found = read(path)
        while late:
            keep_decision(path, late.pop(0))
        return found

    monkeypatch.setattr(campaign_folder, "decisions", and_then_more)
    watched = Known(tmp_path, [Node("n1")])
    watched.read()
    assert watched.read()["n2"].phase == cases(tmp_path, [Node("n1")])["n2"].phase == "burn"


def test_a_reboot_costs_the_step_that_ran_and_ends_the_soak():
    told = story()
    assert course(*told[:7]).gone == {"s0.1"}
    assert course(*told).soaking == "soak1"
    again = line(18, "start", 0, boot="c", every_s=1)
    assert course(*told, again).soaking == ""
    assert course(*told, again).boots == ["a", "b", "c"]


def case(name: str, stage: int = 0) -> Case:
    """A node whose supervisor answers and that stands at a stage."""
    found = Case(Node(name))
    found.words = {"alive": True}
    for decision in ({"do": "gate"}, {"do": "start", "base": 0}):
        take(found, decision)
    found.words = {"alive": True}
    for number in range(stage):
        take(found, {"do": "lonely", "stage": number, "why": "test"})
    return found


def take(case: Case, decision: Decision) -> None:
    apply(case, {"at": "2026-01-01T00:00:00", "node": case.node.name, **decision})


def test_an_order_is_decided_once_and_again_where_it_was_cut_short():
    node = case("n1")
    (order,) = decide(node, BOOK)
    take(node, order)
    assert list(decide(node, BOOK)) == []
    node.course.gone.add("s0.1")
    (again,) = decide(node, BOOK)
    assert again["id"] == "s0.2"
    for _ in range(2):
        take(node, again)
        node.course.gone.add(again["id"])
        (again, *_) = [*decide(node, BOOK), again]
    assert stage_of(node, BOOK) == 1  # given up, and said so in the verdict


def meetings(known: list[Case]) -> list[tuple[str, ...]]:
    found = []
    for met, decision in list(pair_up(known, BOOK, Random(1))):
        take(met, decision)
        found.append(tuple(decision.get("group", ("alone", met.node.name))))
    return sorted(set(found))


def test_partners_are_found_among_the_ready_and_nobody_waits_for_a_slow_one():
    known = [*(case(f"n{number}", 1) for number in range(4)), case("slow"), case("slower")]
    assert len(meetings(known)) == 2


def test_the_last_three_all_meet_somebody():
    known = [case(f"n{number}", 1) for number in range(3)]
    (first,) = meetings(known)
    for one in known:
        one.course.ended |= {order.identity: None for order in one.orders}  # type: ignore[misc]
    (second,) = meetings(known)
    assert {*first, *second} == {"n0", "n1", "n2"}
    for one in known:
        one.course.ended |= {order.identity: None for order in one.orders}  # type: ignore[misc]
    assert [stage_of(one, BOOK) for one in known] == [2, 2, 2]


def test_two_ready_wait_for_the_third_that_would_be_alone():
    known = [case("n0", 1), case("n1", 1), case("n2")]
    assert meetings(known) == []
    take(known[2], {"do": "end", "why": "failed"})
    assert len(meetings(known)) == 1


def test_who_has_no_partner_left_goes_on_and_it_is_said():
    known = [case("n0", 1)]
    assert meetings(known) == [("alone", "n0")]
    assert stage_of(known[0], BOOK) == 2


STORED = build(
    "test",
    {
        "name": "test",
        "stages": ["cpu_burn", {"storage_burn": {"folder": "/scratch"}}],
        "soak": {"hours": 0.01, "load": ["cpu_burn"]},
    },
)


def begun(known: list[Case], waited: bool = False) -> list[tuple[str, int]]:
    """Who begins the storage stage, and beside how many."""
    found = []
    told = pair_up(known, STORED, Random(1), has_waited=lambda _case, _stage: waited)
    for who, decision in list(told):
        take(who, decision)
        found.append((who.node.name, decision["beside"]))
    return found


def test_storage_is_loaded_by_all_at_once_and_nobody_begins_it_alone():
    known = [case("n0", 1), case("n1", 1), case("slow")]
    assert next(decide(known[2], STORED))["stage"] == 0
    assert list(decide(known[0], STORED)) == []
    assert begun(known) == []
    take(known[2], {"do": "lonely", "stage": 0, "why": "test"})
    assert begun(known) == [("n0", 3), ("n1", 3), ("slow", 3)]
    assert begun(known) == []


def test_storage_is_begun_without_those_for_whom_the_others_waited_long_enough():
    known = [case("n0", 1), case("n1", 1), case("slow")]
    assert begun(known, waited=True) == [("n0", 2), ("n1", 2)]
    take(known[2], {"do": "lonely", "stage": 0, "why": "test"})
    assert begun(known) == []  # two are at it: the third waits for them, or for its time
    for one in known[:2]:
        one.course.ended |= {order.identity: None for order in one.orders}  # type: ignore[misc]
    assert begun(known) == [("slow", 1)]


def test_a_node_soaks_until_it_is_burnt():
    node = case("n1", 2)
    assert [one["do"] for one in decide(node, BOOK)] == ["soak"]
    node.course.burning.total["gpu_burn"] = 36.0
    assert [one["do"] for one in decide(node, BOOK)] == ["end"]


def test_a_torn_last_line_was_never_said(tmp_path):
    prepare(tmp_path)
    told = story()
    assert keep_journal(tmp_path, "n1", b"".join(told))
    assert keep_decision(tmp_path, {"do": "gate", "node": "n1", "at": "x"})
    for file in (tmp_path / "decisions.jsonl", tmp_path / "journals/n1.jsonl"):
        before = file.read_bytes()
        for cut in (1, 20):
            file.write_bytes(before + told[-1][:cut])
            mend(tmp_path)
            assert file.read_bytes() == before
    found = cases(tmp_path, [Node("n1")])["n1"]
    assert (found.phase, found.course.size) == ("burn", len(b"".join(told)))


def test_what_a_full_disk_did_not_take_is_not_there(tmp_path):
    file = tmp_path / "journal"
    assert append(file, b"one\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6, hard))
    try:
        assert not append(file, b"two\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_bytes() == b"one\n"
    assert append(file, b"two\n")
    assert not campaign_folder.full


def test_a_disk_that_takes_nothing_at_all_is_like_a_full_one(tmp_path):
    prepare(tmp_path)
    (tmp_path / "journals/n1.jsonl").mkdir()  # nobody can open, cut or replace it
    assert not keep_journal(tmp_path, "n1", b"one\n")
    (tmp_path / "readings/n1.before.new").mkdir()
    assert not keep_reading(tmp_path, "n1", "before", ())
    (tmp_path / "readings/n2.before.jsonl").mkdir()
    assert not keep_reading(tmp_path, "n2", "before", ())
    assert append(tmp_path / "journals/n2.jsonl", b"one\n")
    assert keep_reading(tmp_path, "n3", "before", ())
    assert not campaign_folder.full


def test_lines_fold_where_nodes_outnumber_them():
    known = [case(f"n{number:03d}") for number in range(200)]
    assert len(lines(known, BOOK, 1000)) == 202
    few = lines(known, BOOK, 20)
    assert len(few) == 3
    assert "n[000-199]" in few[1]


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("count", [1, 16, 300])
def test_no_line_is_wider_than_the_terminal_and_every_node_is_told_of(count: int, width: int):
    known = [case(f"机柜-rack07-gpu-node-{number:05d}") for number in range(count)]
    for number, one in enumerate(known):
        if number % 3 == 2:
            one.failed, one.why = True, f"gpu_burn: gpu{number}: \x1b[31m{'slow ' * 50}"
    shown = lines(known, BOOK, 20, width)
    assert len(shown) <= 20
    assert max(map(cell_len, shown)) <= width
    assert all(text.isprintable() for text in shown)
    if count == 16:
        assert all(f"{number:05d} " in text for number, text in enumerate(shown[1:-1]))
    if count == 300:
        left = re.search(r"(\d+) more nodes", shown[-2])
        counted = [int(found[1]) for text in shown if (found := re.search(r"\((\d+)\) ", text))]
        alone = len(shown) - 3 - len(counted)
        assert left
        assert sum(counted) + alone + int(left[1]) == 300


def test_the_shipped_campaign_is_72_hours_and_reads_back():
    book: Playbook = load("burnin-72h")
    assert book.soak is not None
    assert book.soak.hours == 72
    assert [stage.trial.name for stage in book.stages][:3] == [
        "nic_loopback", "gpu_bandwidth", "pair_bandwidth",
    ]  # fmt: skip
    assert build(book.origin, spell(book)) == book


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"soak": {"hours": 1, "load": []}}, "load: name the trials"),
        ({"soak": {"hours": -1, "load": ["mix"]}}, "hours: expected a number above 0"),
        ({"soak": {"load": ["mix"]}}, "has no hours"),
        ({"soak": {"hours": 1, "lod": ["mix"]}}, "did you mean 'load'"),
        ({"soak": {"hours": 1, "load": ["pair_bandwidth"]}}, "needs partners"),
        ({"soak": [1]}, "expected keys and values"),
        ({"lease_s": 5}, "lease_s: is for campaigns"),
        ({"keep_going": 1, "soak": {"hours": 1, "load": ["mix"]}}, "expected true or false"),
    ],
)
def test_a_wrong_word_about_a_campaign_is_one_line(given, said):
    with pytest.raises(UserError, match=said) as found:
        build("p.yml", {"name": "p", **given})
    assert "\n" not in str(found.value)


def test_a_collective_waits_for_all_that_come_and_is_one_group():
    soak = {"hours": 1, "load": ["cpu_burn"]}
    book = build("t", {"name": "t", "stages": ["all_reduce", {"all_reduce": {"per": "pair"}}],
                       "soak": soak})  # fmt: skip
    names = [f"n{number}" for number in range(1, 5)]
    known = [Case(Node(name)) for name in names]

    def groups(*, waited: bool = False) -> list[list[str]]:
        found = pair_up(known, book, Random(1), has_waited=lambda _case, _stage: waited)
        told = [(case.node.name, one["group"], one["index"]) for case, one in found]
        assert all(name == group[index] for name, group, index in told)
        return [group for _, group, index in told if index == 0]

    for case in known[:3]:
        for decision in ({"do": "gate"}, {"do": "start", "base": 0}):
            apply(case, {"at": "now", "node": case.node.name, **decision})
        case.words = {"alive": True}
    assert groups() == []
    assert groups(waited=True) == [["n1", "n2", "n3"]]
    for decision in ({"do": "gate"}, {"do": "start", "base": 0}):
        apply(known[3], {"at": "now", "node": "n4", **decision})
    known[3].words = {"alive": True}
    assert groups() == [names]
    for case in known:
        case.lonely[0] = "over"
    known[3].words = {}
    assert groups() == [["n1", "n2"]]  # pairs need not wait for all


@pytest.mark.parametrize(
    ("index", "said", "again"),
    [
        (0, "end\t0\n", True),
        (1, "end\t0\n", False),  # the first tells what all of them reached
        (1, "trouble\texit\tn1 broke off\nend\t1\n", True),
        (1, "", True),
    ],
)
def test_whoever_did_its_part_of_a_collective_in_silence_is_not_asked_again(index, said, again):
    book = build("t", {"name": "t", "stages": ["all_reduce"],
                       "soak": {"hours": 1, "load": ["cpu_burn"]}})  # fmt: skip
    case, group = Case(Node("n2")), ["n1", "n2"]
    apply(case, {"do": "order", "at": "", "id": "s0.1", "stage": 0, "group": group, "index": index})
    learn(case.course, line(0, "end", 5, step="s0.1", name="all_reduce", why="exit", code=0, s=1,
                            out=said))  # fmt: skip
    assert without_facts(case, book, NOON) == ({"s0.1"} if again else set())
