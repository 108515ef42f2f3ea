"""`clusterctl explain`: every code that a capture contains, in both languages."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from clusterctl import acceptance, catalog
from clusterctl.explain import explain, of_event, spelled, topics
from clusterctl.knowledge import checks, chinese, kernel, nvidia, xid
from clusterctl.model import KernelEvent, Severity, Status, UserError
from clusterctl.probes import fabricmanager, kernel_log

CAPTURES = Path(__file__).parent.parent.parent / "shared/captures"
CHINESE = re.compile("[一-鿿]")
LOGS = sorted(
    path for name in ("dmesg", "kmsg", "fabricmanager") for path in CAPTURES.glob(f"{name}/*")
)
TOPICS = topics()


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


def bilingual(topic) -> bool:
    return all(CHINESE.search(said.zh) for said in (topic.what, topic.first) if said)


def needs(paths: list[Path]) -> list[Path]:
    if not paths:
        pytest.skip("this checkout has no captures")
    return paths


def test_every_xid_and_sxid_of_any_capture_is_explained_by_its_number():
    said = re.compile(
        r"NVRM: Xid \([^)]*\): (\d{1,4}),|SXid \([^)]*\): (\d{1,6}),|\bSXid (\d{5})\b"
    )
    texts = [text_of(path) for path in needs(sorted(CAPTURES.glob("**/*"))) if path.is_file()]
    found = {match.groups() for text in texts for match in said.finditer(text)}
    assert len(found) > 25
    for gpu, switch, loose in found:
        words = f"XID {gpu}" if gpu else f"SXid {switch or loose}"
        if switch == "11111":  # gpud's made-up timestamp in a sample
            continue
        (topic,) = explain([words])
        assert topic.first
        assert topic.then
        assert bilingual(topic), words


def test_every_line_of_any_log_that_a_probe_reads_is_explained():
    seen = set()
    for path in needs(LOGS):
        parse = fabricmanager.parse if path.parent.name == "fabricmanager" else kernel_log.parse
        for event in parse(text_of(path)):
            if isinstance(event, KernelEvent):
                seen.add((event.kind, event.code))
                topic = of_event(event)
                assert topic.first, event
                assert topic.then, event
                assert bilingual(topic), event
    assert len(seen) > 40


def test_every_fault_code_that_a_device_reports_in_any_capture_is_explained():
    told = re.compile(r"Error Code\s*:\s*((?:(?:0x)?[0-9A-F]{8,9}\s?)+)")
    files = [p for name in ("npu-smi", "ascend-collect") for p in CAPTURES.glob(f"{name}/*")]
    codes = {c for p in needs(files) for m in told.finditer(text_of(p)) for c in m[1].split()}
    assert {"A4025021", "8C03A000", "8C084E00"} <= codes
    for code in codes:
        (topic,) = explain([code])
        assert bilingual(topic)


TOLD_BY_TOOLS = {
    "RDMA status": re.compile(r"Failed status (\d+): wr_id"),
    "DCGM error": re.compile(r'"error_id"\s*:\s*(\d+)'),
    "HCCL retcode": re.compile(r"retcode: (\d+)"),
}


def test_every_number_by_which_a_tool_of_any_capture_says_why_it_failed_is_explained():
    texts = [text_of(path) for path in needs(sorted(CAPTURES.glob("**/*"))) if path.is_file()]
    for kind, said in TOLD_BY_TOOLS.items():
        found = {number for text in texts for number in said.findall(text)}
        assert found, kind
        for number in found:
            (topic,) = explain([kind, number])
            assert topic.first
            assert bilingual(topic), topic.name


def test_every_ascend_code_of_the_vendor_s_list_is_explained():
    path = CAPTURES / "npu-smi/REF_mindcluster_faultCode.json"
    if not path.exists():
        pytest.skip(f"{path.name} is not among this checkout's captures")
    for codes in json.loads(path.read_text()).values():
        assert all(explain([code]) for code in codes)


def test_every_topic_says_what_it_is_in_both_languages():
    for topic in TOPICS:
        assert topic.what.en, topic.name
        for said in (topic.what, topic.first, topic.then, topic.confused):
            assert bool(said.en) == bool(said.zh), topic.name
            assert not said or CHINESE.search(said.zh), (topic.name, said)


def test_no_two_topics_have_one_name():
    names = [topic.name.lower() for topic in TOPICS]
    assert sorted(names) == sorted(set(names))


def test_what_fails_asks_for_more_than_to_watch_it():
    for topic in TOPICS:
        if topic.status is Status.FAIL:
            assert topic.severity not in {Severity.NONE, Severity.OBSERVE}, topic.name
            assert topic.first, topic.name


def test_a_code_is_judged_as_it_is_explained():
    for number in range(1, 173):
        known = xid.meaning(str(number))
        if known is not xid.UNLISTED:
            (topic,) = explain([f"XID {number}"])
            assert (topic.status, topic.severity) == (known.status, known.severity)
    for (kind, code), known in kernel.MEANINGS.items():
        found = [topic for topic in explain([f"{kind} {code}"]) if topic.kind == kind]
        assert [topic.status for topic in found] == [known.status], (kind, code)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["XID", "79"], ["XID 79"]),
        (["xid79"], ["XID 79"]),
        (["Xid: 79"], ["XID 79"]),
        (["79"], ["XID 79"]),
        (["80E18402"], ["fault code 80E18402"]),
        (["0x80e18402"], ["fault code 80E18402"]),
        (["SXid", "12028"], ["SXid 12028"]),
        (["gpu_count"], ["check accelerator_count"]),
        (["npu-count"], ["check accelerator_count"]),
        (["xid"], None),
        (["unknown"], ["status unknown"]),
        (["return"], ["severity return", "acceptance RETURN"]),
        (["ACCEPT"], ["acceptance ACCEPT"]),
        (["cannot-hold-its-load"], ["acceptance rule cannot-hold-its-load"]),
        (["stressor"], ["check stressor"]),
        (["4"], ["exit code 4"]),
        (["exit", "code", "70"], ["exit code 70"]),
        (["npu_smi"], ["probe npu_smi"]),
        (["gpu_burn"], ["trial gpu_burn"]),
        (["UMC"], ["RAS block UMC"]),
        (["RDMA", "status", "12"], ["RDMA status 12"]),
        (["IBV_WC_RETRY_EXC_ERR"], ["RDMA status 12"]),
        (["dcgm_fr_persistence_mode"], ["DCGM error 29"]),
        (["fabric"], ["chapter fabric"]),
        (["mlx5 health_compromised"], ["mlx5 health_compromised"]),
    ],
)
def test_people_find_it_by_what_they_type(words, names):
    found = [topic.name for topic in explain(words)]
    assert found == names if names else len(found) > 100


def test_a_line_of_a_log_is_explained():
    line = (
        "mlx5_core 0000:ca:00.0: poll_health:800: device's health compromised - reached miss count"
    )
    assert [topic.name for topic in explain([line])] == ["mlx5 health_compromised"]
    fatal = "nvidia-nvswitch0: SXid (PCI:0000:c3:00.0): 12028, Fatal, Link 28 egress"
    assert explain([fatal])[0].severity is Severity.REBOOT_NODE


def test_every_xid_that_has_a_name_has_a_class():
    named = nvidia.document()["xids"]
    assert {72, 88, 89} <= set(named)
    assert [n for n in named if xid.meaning(str(n)) is xid.UNLISTED] == []


@pytest.mark.parametrize("word", ["", "Fatal, ", "Non-fatal, ", "Severity 1 Engine "])
def test_a_line_of_a_switch_is_explained_as_check_xid_judges_it(word):
    always = {n for n, (grave, *_) in nvidia.document()["sxids"].items() if grave == "always"}
    numbers = {int(name) for name in nvidia.sxids()} | {4242}
    assert xid.SOE | {22013, 11012} <= numbers - always
    for number in numbers:
        line = f"nvidia-nvswitch0: SXid (PCI:0000:c3:00.0): {number}, {word}Link 3 (0x1)"
        (told,) = explain([line])
        known = xid.switch_meaning(str(number), line)
        judged = (known.status, known.severity) if known else (Status.PASS, Severity.NONE)
        if number in always:
            judged = (Status.FAIL, Severity.REBOOT_NODE)
        assert (told.name, told.status, told.severity) == (f"SXid {number}", *judged), line


@pytest.mark.parametrize("code", ["26004", "26006", "26008"])
def test_a_switch_without_its_controller_fails_without_a_line_too(code):
    (told,) = explain([f"SXid {code}"])
    assert (told.status, told.severity) == (Status.FAIL, Severity.RESET_DEVICE)
    assert "SOE" in told.what.en
    assert "nvswitch" in told.source


@pytest.mark.parametrize(
    ("words", "near"),
    [
        ("gpu_burm", "gpu_burn"),
        ("80E1840", "80E18402".lower()[:6]),
        ("rowremap", "row_remap"),
        ("h100", "h100-sxm"),
        ("quaratine", "quarantine"),
    ],
)
def test_a_slip_names_the_nearest(words, near):
    with pytest.raises(UserError, match=f"did you mean '[^']*{near}"):
        explain([words])


def test_what_is_like_nothing_is_told_what_there_is():
    with pytest.raises(UserError, match=r"known are XID, SXid, .*check, probe"):
        explain(["zzzzqq"])


@pytest.mark.parametrize("words", ["XID 9999", "9999", "mlx6", "DCGM error 999"])
def test_a_number_is_no_slip_of_another(words):
    with pytest.raises(UserError) as told:
        explain([words])
    assert "did you mean" not in str(told.value)


def test_every_check_says_what_to_do_first_and_next():
    judged = [topic for topic in TOPICS if topic.kind == "check"]
    assert {topic.code for topic in judged} > set(catalog.all_checks())
    for topic in judged:
        assert topic.first, topic.code
        assert topic.then, topic.code


def test_what_a_run_or_a_burn_says_itself_asks_its_question():
    for name, one in checks.table().items():
        assert bool(one.asks) == (name not in catalog.all_checks()), name


def test_every_verdict_of_a_burn_and_every_rule_that_makes_one_is_explained():
    for verdict in acceptance.Decision:
        assert any(topic.kind == "acceptance" and topic.first for topic in explain([verdict]))
    names = {rule.name for rule in acceptance.shipped_rules()} | set(acceptance.UNRULED)
    assert names == {topic.code for topic in TOPICS if topic.kind == "acceptance rule"}
    (topic,) = explain(["nothing-to-burn-with"])
    assert topic.numbers == ("INCOMPLETE: check stressor, status unknown",)


def test_json_holds_both_languages_whatever_the_locale():
    told = json.loads(json.dumps(spelled(explain(["XID 79"])[0])))
    assert told["severity"] == "reboot-node"
    assert told["meaning"]["en"].startswith("GPU has fallen")
    assert CHINESE.search(told["meaning"]["zh"])


def test_what_checks_probes_and_trials_say_of_themselves_has_its_chinese():
    said = {check.asks for check in catalog.all_checks().values()}
    said |= {trial.about for trial in catalog.all_trials().values()}
    said |= {p.about for p in (*catalog.all_probes().values(), *catalog.named_probes().values())}
    assert {sentence for sentence in said if not CHINESE.search(chinese.of(sentence))} == set()
