"""Metrics and rules: in themselves, and in a real Prometheus with a real Alertmanager behind it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.resources import files
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from scripted import nodes

from clusterctl.cli.finish import render, write_whole
from clusterctl.cli.options import Format
from clusterctl.cli.outlets import last_success
from clusterctl.model import (
    Accelerator,
    Finding,
    Observation,
    Playbook,
    Run,
    Status,
    UserError,
    Verdict,
)
from clusterctl.probes.nvml import PROBES
from clusterctl.report.accounts import account
from clusterctl.report.prometheus import MOST_ACCELERATORS, MOST_FINDINGS, Beyond, text

NIGHT = datetime(2026, 11, 22, 2, tzinfo=UTC)
RULES = files("clusterctl.knowledge").joinpath("prometheus.yml").read_text()
NEEDED = ("prometheus", "promtool", "prometheus-alertmanager", "prometheus-node-exporter")
absent = [name for name in NEEDED if shutil.which(name) is None]
real = pytest.mark.skipif(bool(absent), reason=f"not installed: {', '.join(absent)}")


def finding(node: str, status: Status, part: str = "gpu0", check: str = "ecc") -> Finding:
    return Finding(check, Verdict(node, part, status, "0", "7"))


def run(*findings: Finding, cards: int = 2, at: datetime = NIGHT) -> Run:
    all_nodes = nodes(2)
    facts = tuple(
        Accelerator(f"gpu{i}", temp_c=40.5, power_w=None, utilisation_percent=50)
        for i in range(cards)
    )
    seen = (Observation("n000", "nvml", NIGHT, facts),)
    reached = [finding(node.name, Status.PASS, "node", "reachable") for node in all_nodes]
    return Run(
        "20261122T020000-nightly-abcd", Playbook("nightly", probes=PROBES), all_nodes, 1,
        at, at + timedelta(seconds=12), seen, (*reached, *findings),
    )  # fmt: skip


def metrics(given: Run, beyond: Beyond = Beyond()) -> dict[tuple[str, ...], float]:  # noqa: B008 - frozen
    """(name, label values but the playbook's, in the order of their names) -> value"""
    found = {}
    for family in text_string_to_metric_families(text(given, account(given), beyond)):
        for one in family.samples:
            labels = {name: value for name, value in one.labels.items() if name != "playbook"}
            assert one.labels["playbook"] == "nightly"
            found[one.name, *(labels[name] for name in sorted(labels))] = one.value
    return found


def test_every_node_and_every_status_is_told():
    told = metrics(run(finding("n001", Status.FAIL), finding("n000", Status.PASS)))
    assert told["clusterctl_nodes", "pass"] == 1
    assert told["clusterctl_nodes", "fail"] == 1
    assert told["clusterctl_nodes", "unknown"] == 0
    assert told["clusterctl_node_status", "n001", "fail"] == 1
    assert told["clusterctl_node_status", "n001", "pass"] == 0
    assert told["clusterctl_findings", "ecc", "fail"] == 1
    assert told["clusterctl_finding", "ecc", "n001", "gpu0", "none", "fail"] == 1
    assert told["clusterctl_run_duration_seconds",] == 12
    assert told["clusterctl_last_run_timestamp_seconds",] == NIGHT.timestamp() + 12


def test_a_value_that_a_card_does_not_report_has_no_series():
    told = metrics(run())
    assert told["clusterctl_accelerator_temperature_celsius", "gpu1", "n000"] == 40.5
    assert told["clusterctl_accelerator_utilisation_ratio", "gpu1", "n000"] == 0.5
    assert not [key for key in told if "power" in key[0]]


def test_a_fleet_too_large_for_a_series_each_says_what_is_left_out():
    told = metrics(run(cards=MOST_ACCELERATORS + 1))
    assert told["clusterctl_accelerators_not_listed",] == MOST_ACCELERATORS + 1
    assert not [key for key in told if "temperature" in key[0]]
    many = [finding("n001", Status.FAIL, f"gpu{i}") for i in range(MOST_FINDINGS + 3)]
    told = metrics(run(*many))
    assert told["clusterctl_findings_not_listed",] == 3


def test_what_nobody_was_to_be_told_has_no_metric_and_a_failure_has():
    assert not [key for key in metrics(run()) if "notify" in key[0]]
    told = metrics(run(), Beyond(notify_failed=True, held_back=3))
    assert told["clusterctl_notify_failed",] == 1
    assert told["clusterctl_notify_held_back",] == 3


def test_what_is_acked_is_counted_and_no_finding_to_act_on():
    known, new = finding("n001", Status.FAIL), finding("n000", Status.FAIL)
    told = metrics(run(known, new), Beyond(acked=1, told=[new]))
    assert told["clusterctl_findings_acked",] == 1
    assert [key[2] for key in told if key[0] == "clusterctl_finding"] == ["n000"]
    assert told["clusterctl_findings", "ecc", "fail"] == 2


def test_what_a_node_says_cannot_break_the_file():
    evil = finding("n001", Status.FAIL, 'x"} 1\nclusterctl_nodes{status="pass"} 99\\')
    told = metrics(run(evil))
    assert told["clusterctl_nodes", "pass"] == 1


def test_what_many_nodes_share_is_a_series_of_its_own_however_long_their_names():
    def rack(*parts: str) -> Finding:
        return finding(",".join(f"{part}x" for part in parts), Status.FAIL, "all nodes")

    folded = finding(",".join(f"n{place:04}" for place in range(1250)), Status.FAIL, "leaf=3")
    odd = [f"{place * 7919 % 1000:03}-{'y' * 20}" for place in range(40)]
    given = run(folded, rack(*odd, "one"), rack(*odd, "two"))
    named = [key for key in metrics(given) if key[0] == "clusterctl_finding"]
    assert ("clusterctl_finding", "ecc", "n[0000-1249]", "leaf=3", "none", "fail") in named
    assert len(named) == 3
    lines = [line.split(" ")[0] for line in text(given, account(given), Beyond()).splitlines()]
    samples = [line for line in lines if line.startswith("clusterctl_")]
    assert len(samples) == len(set(samples))


def test_the_last_success_is_handed_on_from_file_to_file(tmp_path):
    path = tmp_path / "x.prom"
    assert last_success(path) == 0
    write_whole(path, text(run(), account(run()), Beyond(last_success_s=1795312812.25)))
    assert last_success(path) == 1795312812.25
    path.write_bytes(b"\xff\x00clusterctl_last_success_timestamp_seconds{} 1.2.3\n")
    assert last_success(path) == 0


def test_a_full_disk_leaves_old_metrics_answers_and_pages_whole(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], check=True)
    try:
        path = tmp_path / "x.prom"
        write_whole(path, "old\n")
        with pytest.raises(OSError, match="No space"):
            write_whole(path, "x" * 200_000)
        assert path.read_text() == "old\n"
        assert [one.name for one in tmp_path.iterdir()] == ["x.prom"]
        answer, page = tmp_path / "x.json", tmp_path / "x.html"
        answer.write_text("old answer")
        page.write_text("old page")
        with suppress(OSError), (tmp_path / "full").open("wb", buffering=0) as full:
            while full.write(bytes(4096)):
                pass
        with pytest.raises(UserError, match=r"-o .*No space"):
            render(run(), Format.JSON, answer)
        with pytest.raises(UserError, match=r"--html .*No space"):
            render(run(), Format.JSON, None, page=page, silent=True)
        assert (answer.read_text(), page.read_text()) == ("old answer", "old page")
        assert not list(tmp_path.glob(".*"))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


# --------------------------------------------------------------------------- the real ones


def promtool(*words: str, stdin: str = "") -> None:
    done = subprocess.run(
        ["promtool", *words], input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


TESTED = """
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1h
    input_series:
      - {series: 'clusterctl_run_info{playbook="nightly"}', values: '1x60'}
      - {series: 'clusterctl_nodes{status="fail"}', values: '1x60'}
      - {series: 'clusterctl_nodes{status="pass"}', values: '7x60'}
      - {series: 'clusterctl_nodes{status="unknown"}', values: '2x60'}
      - {series: 'clusterctl_node_status{node="n007",status="fail"}', values: '0 1x60'}
      - {series: 'clusterctl_node_status{node="n008",status="fail"}', values: '0x60'}
      - {series: 'clusterctl_parts_expected{part="accelerators"}', values: '80x60'}
      - {series: 'clusterctl_parts_seen{part="accelerators"}', values: '77x60'}
      - {series: 'clusterctl_last_run_timestamp_seconds', values: '0x60'}
      - {series: 'clusterctl_last_success_timestamp_seconds', values: '0x60'}
    alert_rule_test:
      - {eval_time: 0h, alertname: ClusterctlNodeFails, exp_alerts: []}
      - eval_time: 1h
        alertname: ClusterctlNodeFails
        exp_alerts:
          - exp_labels: {severity: warning, node: n007, status: fail}
            exp_annotations:
              summary: n007 fails
              description: "clusterctl show last says of n007 what fails and what to do."
      - {eval_time: 26h, alertname: ClusterctlSweepLate, exp_alerts: []}
      - eval_time: 27h
        alertname: ClusterctlSweepLate
        exp_alerts:
          - exp_labels: {severity: warning}
            exp_annotations:
              summary: no sweep has ended for 1d 3h 0m 0s
              description: "See systemctl status clusterctl-sweep.timer, or cron's mail."
      - {eval_time: 50h, alertname: ClusterctlSweepNeverWhole, exp_alerts: []}
      - eval_time: 1h
        alertname: ClusterctlFleetUnseen
        exp_alerts:
          - exp_labels: {severity: critical}
            exp_annotations:
              summary: 20% of the nodes could not be judged
              description: >-
                Look at what they share: network, keys, jump host, the sweep's --budget.
      - eval_time: 1h
        alertname: ClusterctlPartsMissing
        exp_alerts:
          - exp_labels: {severity: warning, part: accelerators}
            exp_annotations:
              summary: 3 accelerators were not seen
              description: clusterctl show last says where; accelerator_count names their addresses.
      - {eval_time: 1h, alertname: ClusterctlNotifyFailed, exp_alerts: []}
      - {eval_time: 1h, alertname: ClusterctlMetricsMissing, exp_alerts: []}
    promql_expr_test:
      - expr: clusterctl:nodes_failing:ratio
        eval_time: 1h
        exp_samples: [{labels: 'clusterctl:nodes_failing:ratio', value: 0.1}]
  - interval: 1h
    input_series: [{series: 'up', values: '1x5'}]
    alert_rule_test:
      - eval_time: 1h
        alertname: ClusterctlMetricsMissing
        exp_alerts:
          - exp_labels: {severity: warning}
            exp_annotations:
              summary: there are no metrics of clusterctl
              description: The file of --prometheus is not read, or was never written.
"""


@real
def test_promtool_accepts_metrics_and_rules_and_the_rules_say_what_they_should(tmp_path):
    given = run(finding("n001", Status.FAIL))
    beyond = Beyond(1.0, notify_failed=False)
    promtool("check", "metrics", stdin=text(given, account(given), beyond))
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "test.yml").write_text(TESTED)
    promtool("check", "rules", str(tmp_path / "rules.yml"))
    promtool("test", "rules", str(tmp_path / "test.yml"))


class Hook(BaseHTTPRequestHandler):
    """Keeps what Alertmanager posts in its server's `heard`."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append(json.loads(body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def daemon(*words: str, log: Path):
    with log.open("wb") as said:
        process = subprocess.Popen(words, stdout=said, stderr=said, cwd=log.parent)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


def until(what, seconds: float = 60.0):
    end = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def told(hook: HTTPServer) -> set[tuple[str, str | None]]:
    """(alert, node) of everything that Alertmanager has posted."""
    labels = [one["labels"] for post in hook.heard for one in post["alerts"]]
    return {(one["alertname"], one.get("node")) for one in labels}


def asked(port: int, query: str) -> list[dict]:
    url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.request.quote(query)}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)["data"]["result"]
    except OSError:
        return []


@real
def test_prometheus_scrapes_the_textfile_and_alertmanager_tells_who_fails(tmp_path):
    texts = tmp_path / "textfiles"
    texts.mkdir()
    now = datetime.now(UTC)
    given = run(finding("n001", Status.FAIL), at=now)
    write_whole(texts / "nightly.prom", text(given, account(given), Beyond(now.timestamp())))
    exporter, alerts, server = free_port(), free_port(), free_port()
    hook = HTTPServer(("127.0.0.1", 0), Hook)
    hook.heard = []
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "prometheus.yml").write_text(f"""
global: {{scrape_interval: 500ms, evaluation_interval: 500ms}}
rule_files: [rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alerts}']}}]}}]}}
scrape_configs: [{{job_name: textfile, static_configs: [{{targets: ['127.0.0.1:{exporter}']}}]}}]
""")
    (tmp_path / "alerts.yml").write_text(f"""
route: {{receiver: hook, group_by: [alertname], group_wait: 0s, group_interval: 1s}}
receivers:
  - name: hook
    webhook_configs: [{{url: 'http://127.0.0.1:{hook.server_port}/'}}]
""")
    with ExitStack() as running:
        running.callback(hook.shutdown)
        running.enter_context(
            daemon(
                "prometheus-node-exporter", "--collector.disable-defaults", "--collector.textfile",
                f"--collector.textfile.directory={texts}",
                f"--web.listen-address=127.0.0.1:{exporter}",
                log=tmp_path / "exporter.log",
            )
        )  # fmt: skip
        running.enter_context(
            daemon(
                "prometheus-alertmanager", "--config.file=alerts.yml", "--storage.path=am",
                f"--web.listen-address=127.0.0.1:{alerts}", "--cluster.listen-address=",
                log=tmp_path / "alerts.log",
            )
        )  # fmt: skip
        running.enter_context(
            daemon(
                "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb",
                f"--web.listen-address=127.0.0.1:{server}",
                log=tmp_path / "prometheus.log",
            )
        )  # fmt: skip
        fails = ("ClusterctlNodeFails", "n001")
        assert until(lambda: fails in told(hook)), (tmp_path / "prometheus.log").read_text()
        assert told(hook) == {fails}
        for query, value in (
            ('clusterctl_node_status{node="n000",status="pass"}', "1"),
            ("clusterctl:nodes_failing:ratio", "0.5"),
            ("node_textfile_scrape_error", "0"),
        ):
            found = until(partial(asked, server, query))
            assert [one["value"][1] for one in found] == [value], query
        # The next run finds all well, and another playbook's file lies beside.
        calm = run(at=now)
        write_whole(texts / "nightly.prom", text(calm, account(calm), Beyond(now.timestamp())))
        assert until(lambda: not asked(server, 'clusterctl_node_status{status="fail"} == 1'))
        resolved = until(
            lambda: [one for post in hook.heard for one in post["alerts"]
                     if one["status"] == "resolved" and one["labels"].get("node") == "n001"]
        )  # fmt: skip
        assert resolved
