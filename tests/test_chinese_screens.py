"""Every screen that an operator reads is Chinese where that is asked for, and lines up."""

# ruff: noqa: RUF001 - Chinese punctuation is what is tested here

from __future__ import annotations

import ast
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from acting import Toy, drained, fault, fleet, swept
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.text import Text
from scripted import NOON
from sentences import english, sentences
from test_bandwidth import DONE, FOUR, SUSPECT, answer, crowd
from test_campaign import BOOK, case
from test_chinese import templates
from test_stacks import ALL_REDUCE, ASLEEP, FUTEX, LOCK, RUNS, WHOLE, heard, judged, waiting
from test_stacks import told as stacks_of
from typer.testing import CliRunner

import clusterctl
from clusterctl.act.agenda import drains
from clusterctl.act.breaker import gauge, plan
from clusterctl.act.journal import Log
from clusterctl.act.whom import by_hand, whom
from clusterctl.catalog import all_checks
from clusterctl.cli import app
from clusterctl.cli.language import ASKED
from clusterctl.inventory.ranges import fold
from clusterctl.knowledge import chinese
from clusterctl.localise.located import Inconclusive, Located, Population
from clusterctl.model import Act, Node
from clusterctl.report import actions, located, node_list, paths, stacks, triage
from clusterctl.report.campaign_lines import lines
from clusterctl.report.tables import cell, table, theirs
from clusterctl.report.translated import screen
from clusterctl.triage.stacks.places import stays
from clusterctl.triage.verdict import NEXT, NO_CULPRIT, Cause, RuledOut, Suspect, Triage

OURS = Path(clusterctl.__file__).parent
SHOWN = (
    *("triage/**/*.py", "localise/*.py", "act/*.py", "memory/*.py", "support/*.py", "cli/*.py"),
    *("report/*.py", "transport/*.py", "*.py"),
)
# Of options, of files that programs read, of pages (test_chinese has those), of inventories.
ELSEWHERE = frozenset(
    {
        *("model", "playbook", "yaml_files", "measurements", "charts", "timeplots", "html", "wire"),
        *("prometheus", "scales", "timer_units", "collectors", "catalogue"),
    }
)
# What a tool, a library or a standard calls so, and what stands in a file that people edit.
KUBECTL = (
    "kubectl cordon {}; kubectl taint node {} {}={}:NoSchedule; annotation clusterctl/reason: {}"
)
THEIRS = frozenset(
    {
        "{}: pip install 'clusterctl[remote]'",
        "Unhandled CUDA error", "System error", "Internal error", "Invalid argument",
        "Invalid usage", "Remote process error", "Job summary", "Collective name",
        "Failed to find python version", "Failed to get process executable", "python interp",
        "outside right upper", "# From {}.  Leaves by number:", "golden save",
        "clusterctl: %(message)s", "check link_flaps", "check oom", "agent key {}",
        "requested functionality has been deprecated", "low-rate probe",
        KUBECTL,
        "# What nodes should run, as most of each kind did in {}.",
        "# Delete what may differ; a list allows each of its values.",
        "    # {}: not the same on most: {}",
        "kubectl uncordon {}; kubectl taint node {} {}-",
        *("not supported", "not available"),
        "display lldp neighbor", "display lldp neighbor-information list",
        "{} of {} is {}", "of stage",  # the catalogue has them with each word that may follow
    }
)  # fmt: skip
# Of limits, as data beside a number.
SOURCES = frozenset(
    {
        "rate of a path = min over the parts it crosses (NetBouncer, 007: flows over known paths)",
        "what both ends support, as iblinkinfo says",
        "infiniband-diags, etc/error_thresholds",
        "Linux Documentation/hwmon/sysfs-interface: 1 is an alarm, or a part that is broken",
        "one fault on ≥ 80 % of what shares a label and ≤ 20 % elsewhere is about what is shared",
        "node, check, since when -> (the run that proves it, or empty; what else there is to say)",
    }
)
FILES = sorted({path for glob in SHOWN for path in OURS.glob(glob)} - {OURS / "__main__.py"})


@pytest.fixture(autouse=True)
def nobody_asked() -> Iterator[None]:
    yield
    ASKED.set(None)


def told_whole(given: str) -> bool:
    said = chinese.shown(given)
    return not english(said) and said.count("X7") == given.count("X7")


def untold(path: Path) -> Iterator[str]:
    for line, sentence in sentences(path):
        if sentence in THEIRS | SOURCES:
            continue
        for one in re.split(r"\n| · ", sentence):
            given = one.removeprefix("clusterctl: ").replace("{}", "X7")
            more = [f"{given}X7"] if one.endswith(" ") else []
            if not any(map(told_whole, [given, *more])):
                yield f"{path.relative_to(OURS)}:{line}: {one!r} is {chinese.shown(given)!r}"


def test_every_sentence_that_a_screen_may_show_has_its_chinese():
    """A new one needs its line in knowledge/zh.yml, zh_screen.yml or zh_triage.yml."""
    assert [one for path in FILES if path.stem not in ELSEWHERE for one in untold(path)] == []


def test_the_reader_of_sentences_sees_them_and_what_is_english_in_them(tmp_path):
    file = tmp_path / "one.py"
    file.write_text(
        '"""No sentence of a screen."""\n'
        "def told(n):\n"
        '    why = f"{n} nodes are gone, "\n'
        '    why += "and nobody knows why"\n'
        '    raise UserError("a mistake of the operator")\n'
        '    return ("bold red", f"a rank of {n}" + " stands still")\n'
        "def more():\n"
        '    yield "nothing is left"\n'
    )
    assert [said for _, said in sentences(file)] == [
        "{} nodes are gone, and nobody knows why",
        "a rank of {} stands still",
        "nothing is left",
    ]
    assert english("rank X7 在 n001 上 stands still") == ["stands", "still"]
    assert english("再查节点（`clusterctl sweep`），py-spy 与 --ras NODE：XID 79") == []
    assert sum(len(sentences(path)) for path in FILES) > 900


# --------------------------------------------------------------------------- what is drawn


def drawn(*parts: RenderableType, width: int = 400) -> str:
    page = io.StringIO()
    console = Console(file=page, width=width)
    for part in parts:
        console.print(screen(part))
    return page.getvalue()


def left(text: str) -> list[str]:
    """The lines of a screen that are not Chinese.  Names of checks are names."""
    return [
        line
        for line in text.splitlines()
        if set(english(re.sub(r"[│┃┏┡└━─|]", " ", line))) - {*all_checks(), "reachable", "observed"}
    ]


def slow_job(cause: Cause) -> Triage:
    suspect = Suspect(
        "dp 1 stage 0", (2, 3), "n017", 1.97, 0.91,
        ("its computations take 2.41 times as long as those of its peers in stage 0",
         "in 12 of 16 steps"),
    )  # fmt: skip
    return Triage(
        cause,
        None if cause is Cause.UNKNOWN else 1.5,
        {cause: 0.8},
        () if cause in NO_CULPRIT else (suspect,) * 21,
        (RuledOut(Cause.GC, "132 pauses of single workers in 24 steps", 0.02),),
        0.9,
        ("work by stage: 0: 1.00, 1: 1.31",),
        unseen=("rank 7 of 8 not seen: 1 missing", "n3: no answer in 20 s"),
    )


@pytest.mark.parametrize("cause", list(Cause))
def test_triage_says_its_whole_answer_in_chinese(cause):
    told = drawn(triage.as_table(slow_job(cause)))
    assert left(told) == []
    assert chinese.shown(NEXT[cause]) in told


@pytest.mark.parametrize(
    "ranks",
    [
        pytest.param({**waiting(), 3: [(LOCK, FUTEX)] * 3}, id="a lock"),
        pytest.param({**waiting(), 3: [(ASLEEP, RUNS)] * 3}, id="computes"),
        pytest.param(waiting(4), id="all wait"),
        pytest.param({0: [(ALL_REDUCE, FUTEX)] * 3}, id="one alone"),
    ],
)
def test_stacks_are_a_tree_with_chinese_words_and_frames_as_they_are(ranks):
    told = drawn(
        triage.as_table(judged(ranks)), stacks.as_tree(stays(heard("n1", stacks_of(ranks)).ranks))
    )
    assert [line for line in left(told) if "(" not in line] == []
    assert "all_reduce (distributed_c10d.py:3252)" in told
    assert "次采样" in told


def test_the_words_of_a_program_are_no_words_of_ours():
    ranks = {rank: [([["run", "none.py", 7], ["worker", "host", 0]], FUTEX)] * 3 for rank in (0, 1)}
    told = drawn(stacks.as_tree(stays(heard("n1", stacks_of(ranks)).ranks)))
    assert "worker (host) > run (none.py:7)" in told
    alone = {rank: [([["run", "", 0]], FUTEX)] * 3 for rank in (0, 1)}
    assert "0-1 · run\n" in drawn(stacks.as_tree(stays(heard("n1", stacks_of(alone)).ranks)))
    suspect = Triage(Cause.HOST, 1.5, suspects=(Suspect("worker", (1,), "network", 2.0, 0.9),))
    assert re.search("worker +network", drawn(triage.as_table(suspect)))


def test_a_measured_network_is_told_in_chinese():
    doubt = Inconclusive("leaf:1/0", "no test across it gave an answer", 0.4)
    shared = Population("rail 0", 3.9, 8.0, "the other rails of this run")
    whole = Located((SUSPECT,), (doubt,), (shared,), measured=4, failed=1, missing=2)
    for one in (answer(whole), answer(Located(measured=100), crowd(100, 40))):
        told = drawn(paths.summary(one, 140)).replace("check transmit optics", "")
        assert [line for line in left(told) if "n2: exit" not in line] == []
    assert left(drawn(located.as_table(whole)).replace("check transmit optics", "")) == []


def plans(**how: object) -> list[RenderableType]:
    states = fleet(20, "gpu")
    nodes = [f"n{number:03}" for number in range(20)]
    found = [fault(name) for name in nodes[:6]] + [fault("n010", severity="none")]
    wanted, spared = whom(
        swept(nodes, *found), Act(), label="toy_node", silenced=lambda _: "", now=NOON
    )
    hands = Toy(states)
    used = [drained("n015", 2.0)]
    meter = gauge(hands.look(), Act(**how), used, NOON)
    steps = plan(wanted, hands.look(), Act(**how), meter)
    return [*actions.planned(steps, spared, [], hands), *actions.breaker_lines(meter, steps)]


def test_what_is_done_to_nodes_and_what_the_breaker_refuses_is_told_in_chinese():
    told = drawn(*plans(), actions.DRY, actions.NOTHING)
    assert left(told) == []
    assert "熔断" in told
    states = fleet(3)
    ours = {"n001": drained("n001"), "n002": drained("n002")}
    standing = actions.standing(Toy(states).look(), list(ours.values()), ours)
    log = Log(Path("j1"), {}, [], {3: "torn"})
    told = drawn(*actions.status_lines(standing, log), *actions.status_lines((), log))
    assert left(told.replace("idle", "")) == []


def test_a_command_is_shown_word_for_word():
    toy = Toy(fleet(20, "gpu"))
    wanted = list(by_hand([Node("n000")], "toy_node", "root@c", "the card fell off the bus"))
    steps = plan(wanted, toy.look(), Act(), gauge(toy.look(), Act(), [], NOON))
    (deed,) = drains(steps)
    assert chinese.shown(deed.reason) != deed.reason
    assert f"drain n000: {deed.reason}" in drawn(*actions.planned(steps, [], [deed], toy))


def test_a_campaign_that_is_watched_is_told_in_chinese_and_in_columns():
    known = [case(f"n{number:03d}") for number in range(3)]
    known[1].failed, known[1].why = True, "it hung: no end in 60 s"
    known[2].refused = "its accelerators are in use by pid 7"
    for width in (80, 140):
        told = lines(known, BOOK, 20, width, chinese.shown)
        assert max(map(cell_len, told)) <= width
        places = {cell_len(line[: line.index(word)]) for line, word in
                  zip(told, ("目前结论", "目前正常", "故障", "被拒绝"), strict=False)}  # fmt: skip
        assert len(places) == 1
        assert left("\n".join(told)) == []


@pytest.mark.parametrize("width", [80, 140])
def test_tables_line_up_though_letters_are_wide(width):
    found = Located((SUSPECT,), measured=4)
    for part in (
        *plans(),
        paths.summary(answer(found, DONE, FOUR), width),
        node_list.node_table([Node("n1", user="ops", become=True, labels={"机柜": "甲"})]),
    ):
        framed = [line for line in drawn(part, width=width).splitlines() if line[:1] in "┏┃┡│└"]
        tables = "\n".join(framed).split("┏")
        assert all(len({cell_len(line) for line in one.splitlines()[1:]}) <= 1 for one in tables)
        assert all(cell_len(line) <= width for line in framed)


# --------------------------------------------------------------------------- what nodes said


@pytest.mark.parametrize(
    "words",
    ["{}", "{0}", "{ }", "{1} of {}", "a{}b{2}c", "none", "fail", "the host of {} ranks", "{{}}"],
)
def test_what_a_node_said_comes_through_letter_by_letter(words):
    for form in ("refused: {}", "its stack: {}", "{} drained it by hand ({})", "not seen: {}"):
        said = chinese.shown(form.replace("{}", "@").replace("@", words))
        assert said.count(words) == form.count("{}")
        assert not said.startswith(form.split("{}")[0] or "?")
    kept = Text.assemble(("next: ", "bold"), theirs(words), ": ", cell("the job does not move"))
    assert drawn(kept) == f"下一步：{words}: 任务停滞不前\n"
    made = table("node", "why")
    made.add_row(cell(words), theirs(words))
    assert drawn(made).count(words) == 2


@pytest.mark.parametrize(
    ("english_one", "words"),
    [
        ("fails: gpu_burn: it hung: no end in 60 s", "故障：gpu_burn：卡死：60 秒内未结束"),
        ("it is a lemon; device busy; retry later", "它是顽疾节点; device busy; retry later"),
        ("it is a lemon; it uses no CPU", "它是顽疾节点；不占用 CPU"),
        ("gpu3: device busy: retry", "gpu3: device busy: retry"),
        (
            "all 4 workers of it are slow: n1 takes longer; in 100% of 44 steps",
            "其 4 个 worker 都慢：n1 takes longer；44 步中占 100%",
        ),
        ("4 slow · device busy", "4 个慢 · device busy"),
    ],
)
def test_sentences_in_a_row_are_told_each_by_itself(english_one, words):
    assert chinese.shown(english_one) == words


@pytest.mark.parametrize(
    "words",
    [
        "left at once",
        "look at the data loader of this rank",
        "map of the drivers",
        "no peers of a kind that anybody knows",
        "kernel: eth0: 3 links of any kind",
    ],
)
def test_half_of_somebody_elses_sentence_is_not_translated(words):
    assert chinese.shown(words) == words


CAPTURES = Path(__file__).parent.parent.parent / "shared/captures"


def test_no_line_that_a_real_tool_prints_is_taken_for_ours():
    if not CAPTURES.is_dir():
        pytest.skip("no captures beside this checkout")
    texts = (path.read_text(errors="replace") for path in CAPTURES.rglob("*") if path.is_file())
    every = {line.strip() for text in texts for line in text.splitlines()[:400]}
    told = {line for line in every if " " in line and chinese.shown(line) != line}
    assert len(every) > 1000
    assert told == set()


def test_what_is_given_to_be_told_stays_as_it_was():
    made = table("node", "why", title="changed since r1")
    made.add_row(cell("n1"), cell("stands still"))
    before = drawn_plain(made)
    assert "停滞" in drawn(Group(made))
    assert drawn_plain(made) == before


def drawn_plain(part: RenderableType) -> str:
    page = io.StringIO()
    Console(file=page, width=100).print(part)
    return page.getvalue()


# --------------------------------------------------------------------------- the verbs themselves


def verbs() -> Iterator[tuple[str, object]]:
    command = typer.main.get_command(app)
    for name, one in command.commands.items():  # type: ignore[attr-defined]
        below = getattr(one, "commands", None)
        yield from ((f"{name} {word}", each) for word, each in (below or {}).items())
        if below is None:
            yield name, one


def test_every_verb_takes_a_language():
    lacking = [
        name
        for name, one in verbs()
        if "--lang" not in {word for p in one.params for word in p.opts}  # type: ignore[attr-defined]
    ]
    assert lacking == []


def said(*words: str, code: int = 0, **env: str) -> str:
    done = CliRunner(env={"COLUMNS": "400", **env}).invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def measured(tmp_path) -> Path:
    nodes = [f"n{number}" for number in range(8)]
    rows = [
        (at, one, two, 0, 4.0 if "n3" in (one, two) else 10.0)
        for at in range(4)
        for one, two in zip(nodes, nodes[at + 1 :] + nodes[: at + 1], strict=True)
    ]
    file = tmp_path / "m.csv"
    told = "\n".join(",".join(map(str, row)) for row in rows)
    file.write_text(f"round,src,dst,rail,gbit_s\n{told}\n")
    return file


def test_the_language_is_the_options_else_the_environments(measured):
    asked = said("localise", str(measured), "--lang", "zh", code=1)
    assert asked == said("localise", str(measured), code=1, CLUSTERCTL_LANG="zh")
    assert asked == said("localise", str(measured), code=1, LC_ALL="zh_CN.UTF-8")
    assert left(asked) == []
    english_one = said("localise", str(measured), "--lang", "en", code=1, LC_ALL="zh_CN.UTF-8")
    assert "what to touch next" in english_one
    for form in ("json", "csv"):
        one = [
            said("localise", str(measured), "--format", form, "--lang", lang, code=1)
            for lang in ("en", "zh")
        ]
        assert one[0] == one[1]


def test_fabrics_nodes_and_acks_are_told_in_chinese(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    walked = [
        word for name in ("ibnetdiscover", "iblinkinfo", "ibqueryerrors")
        for word in ("--from", f"{Path(__file__).parent}/fabric_texts/{name}.txt")
    ]  # fmt: skip
    told = said("fabric", *walked, "--lang", "zh", "-v", code=1)
    assert "叶交换机" in told
    assert [line for line in left(told) if " init " not in line] == []
    assert "共 3 个节点" in said("nodes", "--nodes", "n[1-3]", "--lang", "zh")
    words = ("n1", "ecc", "--until", "2999-01-01", "--why", "RMA-7")
    given = said("ack", *words, "--runs-dir", str(tmp_path), "--lang", "zh")
    told = said("ack", "--list", "--runs-dir", str(tmp_path), "--lang", "zh")
    assert "生效中" in told
    assert [line for line in left(given + told) if "root" not in line] == []


def test_a_cut_of_stacks_is_told_in_chinese():
    one = heard("n1", WHOLE[: len(WHOLE) // 2])
    assert one.troubles
    assert fold(["n1"]) == "n1"
    assert [line for line in map(str, one.troubles) if english(chinese.shown(line))] == []


def test_everything_that_a_check_expects_has_its_chinese():
    known = {
        (path.name, said)
        for path in (*OURS.glob("checks/*.py"), *OURS.glob("*.py"), *OURS.glob("memory/*.py"))
        for said in expectations(path)
    }
    assert len(known) > 80
    lacking = [one for one in known if english(chinese.shown(one[1].replace("{}", "7")))]
    assert lacking == []


def expectations(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {
        one.targets[0].id: one.value
        for one in tree.body
        if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name)
    }
    for call in ast.walk(tree):
        for word in call.keywords if isinstance(call, ast.Call) else ():
            if word.arg in {"expected", "why_not"}:
                yield from templates(word.value, names)
