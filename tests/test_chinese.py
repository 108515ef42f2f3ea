"""Every sentence of ours in a table has its Chinese; what programs read stays English."""

# ruff: noqa: RUF001 - Chinese punctuation is what is tested here

from __future__ import annotations

import ast
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from rich.cells import cell_len
from rich.console import Console
from test_report import run as made

from clusterctl import checks, judge, playbook
from clusterctl.acceptance import shipped_rules
from clusterctl.catalog import all_checks
from clusterctl.cli.finish import write
from clusterctl.cli.language import ASKED, Language, spoken
from clusterctl.cli.options import Format
from clusterctl.knowledge import chinese, faults, kernel, sel, xid
from clusterctl.model import Finding, Severity, Status, Verdict
from clusterctl.report import html
from clusterctl.report.tables import findings_table, implied, skips
from clusterctl.report.translated import in_chinese, screen

CHINESE = re.compile("[一-鿿]")
ZH = Path(chinese.__file__).with_name("zh.yml")
FILES = sorted(Path(checks.__path__[0]).glob("*.py"))
SAID = {"why", "remedy"}
GAPS = {"unknown", "skipping"}  # their third argument is why


def templates(node: ast.expr, names: dict[str, ast.expr]) -> Iterator[str]:
    """The sentences that an expression can give, with {} for what changes."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=values):
            yield "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in values)
        case ast.IfExp(body=one, orelse=other):
            yield from (*templates(one, names), *templates(other, names))
        case ast.BoolOp(values=values):
            for value in values:
                yield from templates(value, names)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            ends = [list(templates(side, {})) or ["{}"] for side in (left, right)]
            yield from (a + b for a in ends[0] for b in ends[1])
        case ast.Name(id=name) if name in names:
            yield from templates(names[name], {})


def called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def sentences(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {
        one.targets[0].id: one.value
        for one in tree.body
        if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name)
    }
    calls = [one for one in ast.walk(tree) if isinstance(one, ast.Call)]
    given = [word.value for call in calls for word in call.keywords if word.arg in SAID]
    given += [call.args[2] for call in calls if called(call) in GAPS and len(call.args) > 2]
    return {said for value in given for said in templates(value, names) if words_of(said)}


def words_of(template: str) -> str:
    return re.sub(r"\{\}|[^a-zA-Z]", "", template)


def untranslated(said: set[str]) -> set[str]:
    """Those that are neither in the catalogue as they are, nor joined of such."""
    known = chinese.catalogue()
    missing = {one for one in said if one not in known}
    pieces = {one: [part for part in one.split("; ") if part not in known] for one in missing}
    return {one for one, left in pieces.items() if any(words_of(part) for part in left)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_why_and_remedy_of_a_check_has_its_chinese(path):
    assert untranslated(sentences(path)) == set()


def remedies(path: Path) -> set[str]:
    """What stands in the tables that are called after remedies."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tables = [
        one.value
        for one in tree.body
        if isinstance(one, ast.Assign)
        and isinstance(one.value, ast.Dict)
        and isinstance(one.targets[0], ast.Name)
        and one.targets[0].id.endswith(("REMEDY", "REMEDIES"))
    ]
    return {said for one in tables for value in one.values for said in templates(value, {})}


@pytest.mark.parametrize("path", [*FILES, Path(judge.__file__)], ids=lambda path: path.stem)
def test_every_table_of_remedies_has_its_chinese(path):
    assert untranslated(remedies(path)) == set()


def test_the_reader_of_sentences_finds_them():
    assert sum(len(sentences(path)) for path in FILES) > 200
    assert len(remedies(Path(judge.__file__))) > 5


def test_every_text_of_the_knowledge_has_its_chinese():
    known = {*xid.SINGLE.values(), *(told for _, told in xid.CLASSES), xid.UNLISTED}
    known |= {xid.SXID_FATAL, xid.SXID_NONFATAL}
    said = {text for one in known for text in (one.why, one.remedy)}
    lines = {*kernel.MEANINGS.values(), *kernel.OTHERWISE.values(), kernel.STRANGE}
    said |= {text for one in lines for text in (one.why, one.remedy) if text}
    records = (*sel.MEANINGS, *sel.BY_WORD.values(), sel.UNLISTED)
    said |= {text for one in records for text in (one.why, one.remedy) if text}
    said |= {faults.fault("nobody", "0X1").what}
    assert untranslated(said) == set()


def test_a_fault_code_s_chinese_is_its_own_and_not_the_catalogue_s():
    told = faults.fault("huawei", "80E18402")
    assert chinese.of(told.what).startswith("HBM 设备的HBM总的")
    assert chinese.of(f"{told.first}; then: {told.then}") == (
        "排空节点，更换该NPU；然后：返修时附上HBM隔离记录（npu-smi info -t ecc）"
    )


def test_words_headings_and_questions_have_their_chinese():
    said = {*map(str, Status), *map(str, Severity), *(one.asks for one in all_checks().values())}
    said |= {"status", "node", "check", "part", "expected", "actual", "what to do"}
    said |= {"nothing to act on", "… and {} more reasons: --verbose"}
    assert untranslated(said) == set()


def test_no_sentence_stands_twice_and_no_hole_is_lost():
    document = yaml.compose(ZH.read_text(encoding="utf-8"))
    assert isinstance(document, yaml.MappingNode)
    keys = [key.value for key, _ in document.value]
    assert len(keys) == len(set(keys))
    for english, said in chinese.catalogue().items():
        assert isinstance(english, str), english
        holes = {*range(1, english.count("{}") + 1)}
        numbered = {int(one) for one in re.findall(r"\{(\d)\}", said)}
        assert numbered == holes or said.count("{}") == len(holes), english


@pytest.mark.parametrize(
    ("english", "said"),
    [
        (
            "10 pass · 4 fail · 2 unknown of 16 nodes; 119 of 128 accelerators seen",
            "10 通过 · 4 故障 · 2 未知，共 16 个节点；已看到加速卡 119/128 张",
        ),
        ("the card fell off the bus, before the last boot", "掉卡（发生在上次启动之前）"),
        ("no such thing was ever said", "no such thing was ever said"),
        ("", ""),
        ("lane 3 receives far less light than the best", "通道 3 收光远低于最好的通道"),
        ("look at {}", "检查 {}"),
        ("72 links down", "72 条链路 down"),
        ("who says links of any kind matter", "who says links of any kind matter"),
        ("first reading: nothing to compare with yet", "首次读取：尚无可比较的数据"),
        ("look at [bold]x[/]\x1b[31m", "检查 [bold]x[/]\x1b[31m"),
    ],
)
def test_what_changes_stays_in_its_place(english, said):
    assert chinese.of(english) == said


def found(why: str, remedy: str, status: Status = Status.FAIL) -> Finding:
    verdict = Verdict("n1", "gpu3", status, "none", "XID 79", why, remedy, Severity.REBOOT_NODE)
    return Finding("xid", verdict)


KNOWN = xid.meaning("79")


def printed(*findings: Finding, width: int = 100) -> str:
    page = io.StringIO()
    console = Console(file=page, width=width)
    for part in (findings_table(findings), *skips(findings), *implied(findings)):
        console.print(screen(part))
    return page.getvalue()


@pytest.mark.parametrize(
    ("english", "said"),
    [
        (
            "skipped on 1 node: disk_health: state is not reported by this model",
            "跳过（1 个节点）：disk_health：此型号不上报 state",
        ),
        ("now: 1 of 3 nodes, 0 failing so far (2 s)", "现状：1/3 个节点，目前 0 个故障（2 秒）"),
        (
            "a sweep of these nodes is running already, by process 7 on a since b; nothing was run",
            "对这些节点的巡检已在运行，by process 7 on a since b；未执行任何操作",
        ),
    ],
)
def test_a_line_of_several_parts_is_told_in_their_order(english, said):
    assert chinese.shown(english) == said


def test_what_playbooks_and_rules_of_ours_say_has_its_chinese():
    said = {playbook.load(name).about for name in playbook.shipped()}
    said |= {rule.source for rule in shipped_rules() if rule.source.startswith(("what", "the "))}
    assert {one for one in said if not CHINESE.search(chinese.shown(one))} == set()


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_wide_characters_are_aligned(width):
    lines = printed(found(KNOWN.why, KNOWN.remedy), width=width).splitlines()
    borders = [line for line in lines if line[:1] in "┏┃┡│└"]
    assert len(borders) > 4
    assert len({cell_len(line) for line in borders}) == 1


def test_what_was_seen_is_told_in_chinese_where_the_word_is_ours_alone():
    for actual, said in (("not synchronised", "未同步"), ("0 answers", "0 个应答")):
        one = replace(found("lost", ""), verdict=replace(found("lost", "").verdict, actual=actual))
        assert said in printed(one, width=200)
    tools = replace(found("lost", "").verdict, actual="none")
    assert "none" in printed(replace(found("lost", ""), verdict=tools), width=200)


def test_a_table_in_chinese_tells_status_reason_and_remedy():
    out = printed(found(KNOWN.why, KNOWN.remedy), width=200)
    for said in ("状态", "处理建议", "故障", "XID 79: 掉卡", "排空并重启节点", "[重启节点]"):
        assert said in out


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LC_ALL": "C", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LC_ALL": "", "LC_MESSAGES": "zh_TW.UTF-8", "LANG": "C"}, "zh"),
        ({"CLUSTERCTL_LANG": "en", "LANG": "zh_CN.UTF-8"}, "en"),
        ({}, "en"),
    ],
)
def test_the_locale_decides_where_nobody_asked(monkeypatch, environment, language):
    for name in ("CLUSTERCTL_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ASKED.set(None)
    assert spoken(None) == language
    assert spoken(Language.EN) is Language.EN


def test_what_programs_read_is_english_in_every_language():
    run = made(found(KNOWN.why, KNOWN.remedy))
    for form in (Format.JSON, Format.CSV):
        pages = []
        for lang in Language:
            page = io.StringIO()
            write(run, form, page, verbose=False, lang=lang)
            pages.append(page.getvalue())
        assert pages[0] == pages[1]
        assert not CHINESE.search(pages[0])


def test_the_whole_page_of_a_run_is_in_the_language_that_was_asked_for():
    for lang, line in (
        (Language.EN, "1 fail · 2 unknown of 3 nodes"),
        (Language.ZH, "1 故障 · 2 未知，共 3 个节点"),
    ):
        page = io.StringIO()
        write(made(found(KNOWN.why, KNOWN.remedy)), Format.TABLE, page, verbose=True, lang=lang)
        text = " ".join(page.getvalue().split())
        assert line in text
        assert bool(CHINESE.search(text)) is (lang is Language.ZH)


def test_a_page_in_chinese_is_the_same_page_and_leaves_what_nodes_said():
    english = (
        '<html lang="en"><style>b { color: red }</style><h2>Where they stand</h2>'
        "<p>3 of 16 not passed</p><td>gpu3: the card fell off the bus</td><code>Map</code>"
        "<td>drain the node and reboot it [reboot-node]</td><td>n017 &lt;b&gt; {} &amp;</td></html>"
    )
    page = in_chinese(english)
    assert page.startswith('<html lang="zh-CN"><style>b { color: red }</style>')
    assert "<h2>各节点状态</h2>" in page
    assert "<p>16 个中 3 个未通过</p>" in page
    assert "<td>gpu3：掉卡</td>" in page
    assert "<td>排空并重启节点 [重启节点]</td>" in page
    assert "<code>Map</code>" in page
    assert "<td>n017 &lt;b&gt; {} &amp;</td>" in page


FILES_OF_IT = ["zh.yml", "zh_page.yml", "zh_screen.yml", "zh_triage.yml"]


@pytest.mark.parametrize("name", FILES_OF_IT)
def test_holes_without_a_word_between_them_stay_side_by_side(name):
    """Nobody can tell where one ends, so they must not be told apart."""
    for english, said in chinese.lines(name).items():
        ends = re.split(r"\{\}", english)[1:-1]
        places = [int(one) for one in re.findall(r"\{(\d+)\}", said)]
        for at in (at for at, between in enumerate(ends, 1) if not between):
            pair = f"{{{at}}}{{{at + 1}}}" if places else "{}{}"
            assert pair in said, english


@pytest.mark.parametrize("name", FILES_OF_IT[1:])
def test_no_sentence_of_a_page_or_screen_stands_twice_or_loses_a_hole(name):
    document = yaml.compose(ZH.with_name(name).read_text(encoding="utf-8"))
    assert isinstance(document, yaml.MappingNode)
    keys = [key.value for key, _ in document.value]
    assert len(keys) == len(set(keys))
    for english, said in chinese.lines(name).items():
        holes = english.count("{}")
        numbered = sorted(map(int, re.findall(r"\{(\d+)\}", said)))
        whole = numbered == list(range(1, holes + 1)) if numbered else said.count("{}") == holes
        assert whole, english


def test_every_heading_of_the_pages_has_its_chinese():
    folder = Path(html.__file__).parent / "templates"
    for name in ("report.html.j2", "morning.html.j2", "paths.html.j2", "triage.html.j2"):
        text = (folder / name).read_text(encoding="utf-8")
        for found in re.findall(r"<(?:h2|h3|th)(?: class=\"num\")?>([^<{]+)<", text):
            assert CHINESE.search(chinese.shown(found)), f"{name}: {found}"
