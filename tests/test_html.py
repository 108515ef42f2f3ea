"""The page a buyer signs: whole, inert, small, and its numbers those of the record."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

sys.path.insert(0, str(Path(__file__).parent / "bench"))
import synthetic_runs as synthetic

from clusterctl import playbook
from clusterctl.model import Finding, Node, Playbook, Run, Status, Verdict
from clusterctl.report.accounts import account
from clusterctl.report.charts import Mark, distribution
from clusterctl.report.histories import histories
from clusterctl.report.html import POLICY, breakable, page
from clusterctl.report.rackmap import NO_RACK, racks
from clusterctl.report.rates import rates
from clusterctl.report.records import as_csv, as_json
from clusterctl.report.scales import GLYPHS, glyph, spelt, ticks
from clusterctl.report.standings import looked_at, tallied, words
from clusterctl.report.timeplots import Line, Moment, over_time
from clusterctl.store import Recorder

SKUS = playbook.skus()
XHTML = "{http://www.w3.org/1999/xhtml}"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def built(count: int, **how: object) -> tuple[Run, str]:
    run = synthetic.made(count, **how)
    return run, page(
        run, skus=SKUS, standings=synthetic.verdicts(run), series=synthetic.soak(run, every_s=600)
    )


@pytest.fixture(scope="module")
def sixteen():
    return built(16)


@pytest.fixture(scope="module")
def five_hundred():
    return built(500)


def root(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - our own page


def words_of(text: str) -> str:
    body = root(text.replace("<wbr/>", "")).find(f"{XHTML}body")
    return " ".join(" ".join(body.itertext()).split())


class Tags(HTMLParser):
    """What a browser would see: elements and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def tags(text: str) -> list[tuple[str, dict[str, str | None]]]:
    reader = Tags()
    reader.feed(text)
    return reader.found


# the template needs no namespace in its paths: elements are found by their local names
def all_named(text: str, name: str) -> list[ET.Element]:
    return [one for one in root(text).iter() if one.tag.rpartition("}")[2] == name]


@pytest.mark.parametrize("count", [1, 2, 16])
def test_the_page_is_well_formed(count):
    assert root(built(count)[1]).tag == f"{XHTML}html"


def test_nothing_is_fetched_and_nothing_runs(sixteen):
    text = sixteen[1]
    for tag, given in tags(text):
        assert tag not in {"script", "link", "iframe", "object", "embed", "img", "form", "base"}
        assert not any(name.startswith("on") for name in given), (tag, given)
        for name in ("src", "href", "srcset", "action", "data", "xlink:href"):
            assert (given.get(name) or "#").startswith("#"), (tag, given)
    style = "".join(all_named(text, "style")[0].itertext())
    assert "url(" not in style
    assert "@import" not in style


def test_the_page_forbids_itself_the_network(sixteen):
    policies = [
        given["content"]
        for tag, given in tags(sixteen[1])
        if tag == "meta" and given.get("http-equiv") == "Content-Security-Policy"
    ]

    assert policies == [POLICY]
    assert "default-src 'none'" in POLICY
    assert "script-src" not in POLICY


def test_what_a_hostile_node_says_is_shown_and_does_nothing(sixteen):
    run, text = sixteen
    assert any(synthetic.HOSTILE in one.verdict.why for one in run.findings)

    assert "<script>alert(1)" not in text
    assert "<img" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert not {"\x1b", "\u202e", "\x00"} & set(text)
    assert "\\x1b[31mred\\x202egnp.exe\\x00" in text


@pytest.mark.parametrize(
    "where", ["name", "rack", "label", "origin", "playbook", "about", "run", "earlier_run"]
)
def test_hostile_words_are_inert_wherever_they_come_from(where):
    run = synthetic.made(6)
    bad = synthetic.HOSTILE
    first = run.nodes[0]
    match where:
        case "name":
            named = {first.name: bad}
            run = replace(
                run,
                nodes=(replace(first, name=bad), *run.nodes[1:]),
                findings=tuple(
                    replace(
                        one,
                        verdict=replace(
                            one.verdict, node=named.get(one.verdict.node, one.verdict.node)
                        ),
                    )
                    for one in run.findings
                ),
                observations=tuple(
                    replace(one, node=named.get(one.node, one.node)) for one in run.observations
                ),
            )
        case "rack":
            run = replace(run, nodes=(replace(first, labels={"rack": bad}), *run.nodes[1:]))
        case "label":
            labels = {"rack": "r1", "serial": bad, "unit": bad}
            run = replace(run, nodes=(replace(first, labels=labels), *run.nodes[1:]))
        case "origin":
            labels = {"accelerators": "8"}
            run = replace(run, nodes=(replace(first, labels=labels, origin=bad), *run.nodes[1:]))
        case "playbook":
            run = replace(run, playbook=replace(run.playbook, name=bad))
        case "about":
            run = replace(run, playbook=replace(run.playbook, about=bad))
        case "run":
            run = replace(run, id=bad + "}; } body { display: none")
        case "earlier_run":
            run = replace(run, earlier_run=bad, verb="sweep")
    standings = synthetic.verdicts(run) if run.verb == "burnin" else ()
    text = page(run, skus=SKUS, standings=standings)

    assert root(text) is not None
    assert "<script" not in text
    assert "<img" not in text
    assert not {"\x1b", "\u202e", "\x00"} & set(text)
    assert "display: none" not in "".join(all_named(text, "style")[0].itertext()).replace(
        "nav, .screen { display: none; }", ""
    )


@pytest.mark.parametrize("count", [16, 500])
def test_every_node_stands_on_the_map_with_its_verdict_in_words(count, request):
    run, text = request.getfixturevalue("sixteen" if count == 16 else "five_hundred")
    titles = [
        given["title"]
        for tag, given in tags(text)
        if (given.get("class") or "").startswith("cell ") and "title" in given
    ]

    said = {title.split(": ")[0]: title.split(": ")[1] for title in titles}
    assert len(titles) == count
    assert said == {one.node: one.word for one in synthetic.verdicts(run)}


def test_a_cell_that_did_not_pass_leads_to_its_reason(five_hundred):
    given = tags(five_hundred[1])
    targets = {attributes.get("id") for _, attributes in given}
    links = [a["href"][1:] for tag, a in given if tag == "a"]

    assert set(links) <= targets
    assert sum(link.startswith("why-") for link in links) == sum(
        not one.good for one in synthetic.verdicts(five_hundred[0])
    )


def test_the_numbers_are_those_of_the_accounts(five_hundred):
    run, text = five_hundred
    accounts = account(run)
    body = words_of(text)

    assert accounts.line in body
    for word, _, count in words(synthetic.verdicts(run)):
        assert f"{count} {word}" in body
    assert sum(count for _, _, count in words(synthetic.verdicts(run))) == 500


def test_json_and_csv_say_what_becomes_of_each_node_and_why(sixteen):
    run, _ = sixteen
    given = synthetic.verdicts(run)
    told = json.loads(as_json(run, account(run), given))["verdicts"]
    assert [one["node"] for one in told] == [node.name for node in run.nodes]
    slow = next(one for one in told if one["node"] == "n02")
    assert (slow["verdict"], slow["rule"]) == ("QUARANTINE", "slower-than-peers")
    assert {one["check"] for one in slow["evidence"]} == {"burn_rate"}
    rows = list(csv.DictReader(io.StringIO(as_csv(run, given))))
    first = {row["node"]: row for row in rows if row["check"] == "verdict"}
    assert len(first) == len(run.nodes)
    assert (first["n02"]["status"], first["n02"]["actual"]) == ("fail", "QUARANTINE")
    assert "slower-than-peers" in first["n02"]["why"]
    assert len(rows) == len(run.nodes) + len(run.findings)
    assert "verdicts" not in json.loads(as_json(run, account(run)))


def test_hours_burnt_stand_beside_each_verdict(sixteen):
    run, _ = sixteen
    burnt = [
        Finding(
            "burnt_time", Verdict(node.name, "node", Status.PASS, "72 h burnt", f"{hours} h burnt")
        )
        for hours, node in enumerate(run.nodes, 60)
    ]
    known = replace(run, findings=(*run.findings, *burnt))
    given = synthetic.verdicts(known)
    told = json.loads(as_json(known, account(known), given))["verdicts"]
    assert [one["burnt_h"] for one in told] == [float(60 + at) for at in range(len(run.nodes))]
    assert "burnt 61 of" in words_of(page(known, skus=SKUS, standings=given))


def test_stages_and_faults_stand_in_the_plot_and_cannot_act(sixteen):
    run, _ = sixteen
    moments = {"n02": (Moment(0, "soak", "stage", "soak"),
                       Moment(180_000, "kernel", "fault", synthetic.HOSTILE))}  # fmt: skip
    text = page(run, skus=SKUS, standings=synthetic.verdicts(run),
                series=synthetic.soak(run, every_s=3600), moments=moments)  # fmt: skip
    assert text.count('class="fault"') == 3
    assert "50 h: kernel:" in words_of(text)
    assert not [tag for tag, _ in tags(text) if tag in {"script", "img"}]


def test_the_paper_names_the_record_it_stands_for(sixteen):
    run, text = sixteen
    given = synthetic.verdicts(run)
    digest = sha256(as_json(run, account(run), given).encode()).hexdigest()

    assert digest in text


def test_five_hundred_nodes_are_one_page_that_opens_at_once(five_hundred):
    run = five_hundred[0]
    series = synthetic.soak(run, every_s=60)
    standings = synthetic.verdicts(run)
    began = time.process_time()
    text = page(run, skus=SKUS, standings=standings, series=series)

    assert len(text.encode()) < 2_000_000
    assert time.process_time() - began < 15


def test_the_worst_day_is_still_a_small_page(five_hundred):
    """Every node fails in its own words: what is left out is counted and said."""
    run = five_hundred[0]
    findings = tuple(
        replace(one, verdict=replace(one.verdict, status="fail", actual=f"{n} " + "x" * 500))
        for n, one in enumerate(run.findings)
    )
    run = replace(run, findings=findings)
    text = page(run, skus=SKUS, standings=looked_at(run, account(run)))

    assert len(text.encode()) < 6_000_000
    assert "more lines are left out here" in words_of(text)


def test_a_certificate_lists_the_serials_of_accepted_nodes_only(sixteen):
    run, text = sixteen
    annex = words_of(text).partition("Annex: parts of the accepted nodes")[2]
    for one in synthetic.verdicts(run):
        serial = f"16530{int(one.node[1:]):06}0"
        assert (serial in annex) is one.good, one


@pytest.mark.parametrize("spoilt", ["cut short", "nobody accepted"])
def test_nothing_can_be_signed_that_should_not_be(spoilt):
    run = synthetic.made(2)
    standings = synthetic.verdicts(run)
    if spoilt == "cut short":
        run = replace(run, complete=False)
    else:
        standings = [replace(one, kind="fail", word="QUARANTINE") for one in standings]
    body = words_of(page(run, skus=SKUS, standings=standings))

    assert "Not valid" in body
    assert "signature" not in body


def test_a_sweep_accepts_nothing_and_certifies_nothing(sixteen):
    run = replace(sixteen[0], verb="sweep")
    body = words_of(page(run, skus=SKUS))

    assert "certificate" not in body.lower()
    assert "ACCEPT" not in body
    assert account(run).line in body


def test_forced_loads_stand_on_the_certificate():
    run = replace(synthetic.made(1), forced=True)

    assert "Nodes in use were loaded too" in words_of(
        page(run, skus=SKUS, standings=synthetic.verdicts(run))
    )


def test_outliers_are_named_and_marked(sixteen):
    run, text = sixteen
    burnt = next(one for one in rates(run, SKUS) if one.stage == "gpu_burn")
    body = words_of(text)

    assert {(one.node, one.part, one.kind) for one in burnt.odd} == {
        ("n02", "gpu2", "fail"), ("n02", "gpu5", "fail"), ("n13", "gpu3", "warn"),
    }  # fmt: skip
    assert "failed : n02 gpu[2,5]" in body
    assert "warned : n13 gpu3" in body
    assert "1 wrong result" in body


def test_every_limit_stands_with_its_source(sixteen):
    run, text = sixteen
    body = words_of(text)
    for check in run.playbook.checks:
        for name, limit in check.limits.items():
            assert f"{name} = " in body
            if not any(name in sku.limits.get(check.name, {}) for sku in SKUS):
                assert " ".join(limit.source.split()) in body, (check.name, name)


def test_a_run_of_nothing_is_a_page():
    run = Run("r", Playbook("p"), (), 1, synthetic.START, synthetic.START, (), ())

    assert "0 pass of 0 nodes" in words_of(page(run, skus=()))


def test_a_node_of_which_nothing_is_known_is_unknown_on_the_map():
    run = Run("r", Playbook("p"), (Node("n1"),), 1, synthetic.START, synthetic.START, (), ())

    assert "n1: UNKNOWN" in page(run, skus=())


def test_a_part_without_a_serial_says_so():
    run = synthetic.made(1)
    observations = tuple(
        replace(
            one,
            facts=tuple(
                replace(fact, serial="", uuid="") if hasattr(fact, "uuid") else fact
                for fact in one.facts
            ),
        )
        for one in run.observations
    )
    run = replace(run, observations=observations)
    standings = [replace(one, kind="pass", word="ACCEPT") for one in synthetic.verdicts(run)]

    assert "gpu0 gives no serial number" in words_of(page(run, skus=SKUS, standings=standings))


# --------------------------------------------------------------------------- the map


def test_racks_are_in_the_order_a_person_counts():
    run = synthetic.made(1)
    fleet = [Node(f"n{i}", labels={"rack": f"r{i}"}) for i in (10, 9, 2)] + [Node("lost")]
    by_name = {
        node.name: replace(looked_at(run, account(run))[0], node=node.name) for node in fleet
    }

    assert [rack.name for rack in racks(fleet, by_name)] == ["r2", "r9", "r10", NO_RACK]


def test_names_too_long_for_a_cell_keep_the_part_that_differs():
    run = synthetic.made(1)
    fleet = [Node(f"gz-a3-gpu-train-{i:04}") for i in (998, 1001)]
    by_name = {
        node.name: replace(looked_at(run, account(run))[0], node=node.name) for node in fleet
    }
    (rack,) = racks(fleet, by_name)

    assert (rack.common, [shown for shown, _ in rack.cells]) == (
        "gz-a3-gpu-train-",
        ["0998", "1001"],
    )


# --------------------------------------------------------------------------- charts


def drawn(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own chart


@pytest.mark.parametrize(
    "values",
    [
        [1.0],
        [0.0, 0.0],
        [5.0] * 9,
        [1e-9, 2e-9],
        [641.0, 641.0000001],
        [-3.0, 4.0],
        list(range(4000)),
        [1.0, 1e308],
        [1.0, float("nan"), float("inf")],
    ],
)
def test_any_values_make_a_chart(values):
    svg = drawn(distribution(values, [Mark("n1 gpu3", values[0], "fail")], title="t", unit="u"))
    numbers = re.findall(
        r"-?[\d.]+(?:e[+-]?\d+)?", " ".join(one.get("d", "") for one in svg.iter())
    )

    assert numbers
    assert all(-50 <= float(number) <= 1000 for number in numbers)


def test_no_values_make_no_chart():
    assert not distribution([], title="t", unit="u")
    assert not over_time([], title="t", unit="u")
    assert not over_time([Line("gpu0", [])], title="t", unit="u")


def test_labels_that_would_overlap_stay_shapes():
    marks = [Mark(f"n{i:03} gpu{i % 8}", 100 + i / 100, "fail") for i in range(60)]
    svg = drawn(distribution([100.0, 200.0], marks, title="t", unit="u"))
    labels = [one for one in svg.iter("text") if "label" in one.get("class", "")]
    shapes = list(svg.iter("g"))

    assert len(shapes) == 60
    assert 1 <= len(labels) <= 5


@pytest.mark.parametrize(
    "label", ["<b>", '"><img src=x onerror=y>', "a&b", "\x1b[31m", "机柜\u202e"]
)
def test_a_hostile_label_is_text(label):
    for svg in (
        distribution([1.0, 2.0], [Mark(label, 1.0, "warn")], title=label, unit=label,
                     limits=[(label, 1.5)]),
        over_time([Line(label, [(0, 1), (1, 2)], marked=True)], title=label, unit=label,
                  limits=[(label, 1.5)]),
        glyph("fail", label),
    ):  # fmt: skip
        assert {one.tag for one in drawn(svg).iter()} <= {
            "svg",
            "title",
            "path",
            "text",
            "rect",
            "g",
        }
        assert not {"\x1b", "\u202e"} & set(svg)


def test_a_gap_is_not_bridged_and_is_shaded():
    times = [*range(0, 1000, 10), *range(2000, 3000, 10)]
    svg = drawn(over_time([Line("gpu0", [(at, 1.0) for at in times])], title="t", unit="u"))
    (trace,) = [one for one in svg.iter("path") if "trace" in one.get("class", "")]

    assert trace.get("d").count("M") == 2
    assert len([one for one in svg.iter("rect") if one.get("class") == "gap"]) == 1


def test_one_sample_of_a_spike_stays_in_the_plot():
    calm = [(at, 1.0 if at != 5000 else 9.0) for at in range(20_000)]
    svg = drawn(over_time([Line("gpu0", calm, marked=True)], title="t", unit="u", points=100))
    (band,) = [one for one in svg.iter("path") if one.get("class", "").startswith("band")]
    heights = [float(y) for y in re.findall(r"[ML]?[\d.]+ ([\d.]+)", band.get("d"))]

    assert max(heights) - min(heights) > 80


def test_a_clock_stepped_backwards_still_draws():
    samples = [(0.0, 1.0), (10.0, 2.0), (5.0, 3.0), (20.0, float("nan")), (30.0, 4.0)]

    assert drawn(over_time([Line("gpu0", samples)], title="t", unit="u")) is not None


def test_samples_of_nodes_that_passed_are_not_plotted():
    run = synthetic.made(16)
    plots, left_out = histories(
        {(node.name, "gpu0", "temp_c"): [(0.0, 1.0), (9.0, 2.0)] for node in run.nodes},
        synthetic.verdicts(run),
    )

    assert not left_out
    assert {one.standing.node for one in plots} == {
        one.node for one in synthetic.verdicts(run) if not one.good
    }
    assert plots[0].standing.word == "RETURN"


def test_plots_beyond_the_page_are_named(five_hundred):
    run = five_hundred[0]
    bad = [one for one in synthetic.verdicts(run) if not one.good]
    series = {(one.node, "gpu0", "temp_c"): [(0.0, 1.0), (9.0, 2.0)] for one in bad}
    plots, left_out = histories(series, bad)

    assert len(plots) + len(left_out) == len(bad)
    body = words_of(page(run, skus=SKUS, standings=synthetic.verdicts(run), series=series))
    assert f"({len(left_out)})" in body


@pytest.mark.parametrize(("low", "high"), [(0, 1), (640.99, 641.01), (0, 1e9), (-3, 3), (0, 3e-7)])
def test_ticks_are_few_and_told_apart(low, high):
    found = ticks(low, high)

    assert 2 <= len(found) <= 13
    assert all(low <= one <= high for one in found)


def test_numbers_are_spelt_as_people_do():
    assert [spelt(one) for one in (0, 1234.5, 0.25, 1e12)] == ["0", "1,234", "0.25", "1e+12"]


def test_every_kind_of_verdict_has_its_own_shape():
    assert len(set(GLYPHS.values())) == len(GLYPHS)
    assert {"pass", "warn", "fail", "unknown", "return", "far"} == set(GLYPHS)


def test_breaking_a_name_changes_no_character():
    text = "n[001,007],<b>/x_y"

    assert "".join(root(f"<p>{breakable(text)}</p>").itertext()) == text


def test_tallies_lose_no_node(five_hundred):
    run = five_hundred[0]

    assert sorted(name for one in tallied(synthetic.verdicts(run)) for name in one.nodes) == sorted(
        node.name for node in run.nodes
    )


# --------------------------------------------------------------------------- by the verb


@pytest.fixture
def kept(tmp_path):
    """A run on disk, of trials that every version knows."""
    run = synthetic.made(6)
    stages = tuple(stage for stage in run.playbook.stages if stage.trial.name != "gpu_burn")
    run = replace(
        run,
        playbook=replace(run.playbook, stages=stages),
        observations=tuple(one for one in run.observations if one.probe != "gpu_burn"),
    )
    recorder = Recorder(tmp_path / "runs", run.id)
    recorder.begin({})
    return recorder.finish(run)


def show(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "clusterctl", "show", *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_show_writes_the_page_beside_the_answer(kept, tmp_path):
    file = tmp_path / "report.html"
    done = show(str(kept), "--format", "json", "--html", str(file))

    assert done.returncode == 1
    assert done.stdout.startswith("{")
    assert sha256(done.stdout.encode()).hexdigest() in file.read_text()
    assert f"page: {file}" in done.stderr


def test_a_page_that_cannot_be_written_is_one_line(kept, tmp_path):
    done = show(str(kept), "--html", str(tmp_path / "nowhere" / "report.html"))

    assert done.returncode == 2
    assert "--html" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


# --------------------------------------------------------------------------- a real browser


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
def test_a_browser_runs_nothing_of_it_and_prints_it(sixteen, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(sixteen[1], encoding="utf-8")
    common = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]  # fmt: skip
    told = subprocess.run(
        [*common, "--enable-logging=stderr", "--dump-dom", file.as_uri()],
        capture_output=True, text=True, timeout=120, check=True, env=os.environ,
    )  # fmt: skip
    printed = tmp_path / "report.pdf"
    subprocess.run(
        [*common, "--no-pdf-header-footer", f"--print-to-pdf={printed}", file.as_uri()],
        capture_output=True, timeout=120, check=True, env=os.environ,
    )  # fmt: skip

    assert "Hand-over certificate" in told.stdout
    assert "Content Security Policy" not in told.stderr
    assert printed.read_bytes().startswith(b"%PDF")
