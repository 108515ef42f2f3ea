"""BMCs over Redfish: sushy-tools' emulator for real, a small server for what it cannot show."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import NOON, Scripted, answers, probe, said
from sshd import free_port

from clusterctl.acceptance import decide, shipped_rules
from clusterctl.campaign.boards import CHECK, Boards
from clusterctl.campaign.folder import prepare
from clusterctl.campaign.lead import Leader, Said
from clusterctl.campaign.silences import Silences
from clusterctl.campaign.told import every_node
from clusterctl.campaign.verdict import SILENT, verdict
from clusterctl.catalog import all_checks, named_probes
from clusterctl.cli.bmc import access_to, mute
from clusterctl.cli.passwords import from_file
from clusterctl.model import (
    Answer,
    Chassis,
    Fan,
    Kind,
    Node,
    Playbook,
    Power,
    Psu,
    Run,
    SelEvent,
    Sensor,
    Status,
    Trouble,
    UserError,
)
from clusterctl.playbook import build
from clusterctl.run import World, sweep
from clusterctl.transport.bmc import Access, WithBmc
from clusterctl.transport.redfish import ask
from clusterctl.transport.replay import Recording, Replay

REDFISH = named_probes()["redfish"]
USER, PASSWORD = "ops", "s3cret-of-bmcs"
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory) -> Iterator[str]:
    """The URL of sushy-tools' emulator, which wants a password and whose machine is off."""
    bcrypt = pytest.importorskip("bcrypt")
    folder, port = tmp_path_factory.mktemp("bmc"), free_port()
    secret = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (folder / "htpasswd").write_text(f"{USER}:{secret}\n")
    (folder / "conf").write_text(f'SUSHY_EMULATOR_AUTH_FILE = "{folder}/htpasswd"\n')
    tool = Path(sys.executable).parent / "sushy-emulator"
    if not tool.exists():
        pytest.skip("sushy-tools is not installed")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [tool, "--fake", "-i", HOST, "-p", str(port)],
            env={**os.environ, "SUSHY_EMULATOR_CONFIG": f"{folder}/conf"},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder,
        )  # fmt: skip
    url = f"http://{HOST}:{port}"
    try:
        for _ in range(300):
            try:
                socket.create_connection((HOST, port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait()


def facts(text: str) -> list[object]:
    return [one for one in REDFISH.parse(text) if not isinstance(one, Trouble)]


def troubles(text: str) -> list[Trouble]:
    return [one for one in REDFISH.parse(text) if isinstance(one, Trouble)]


def test_the_emulator_tells_power_fans_and_inlet(emulator):
    text = ask(Access(emulator, USER, PASSWORD)).stdout
    assert not troubles(text)
    chassis = next(one for one in facts(text) if isinstance(one, Chassis))
    assert chassis.power == "off"
    assert next(one for one in facts(text) if isinstance(one, Fan)).rpm == 2100
    inlet = next(one for one in facts(text) if isinstance(one, Sensor) and one.kind == "inlet")
    assert (inlet.measured, inlet.high_critical) == (25.0, 40.0)


def test_a_wrong_password_is_tried_once_and_denied(emulator):
    text = ask(Access(emulator, USER, "another")).stdout
    assert [one.kind for one in troubles(text)] == [Kind.DENIED]
    assert not facts(text)
    assert "another" not in text


def test_a_bmc_that_is_not_there_is_unreachable():
    text = ask(Access(f"http://{HOST}:{free_port()}", USER, PASSWORD)).stdout
    assert [one.kind for one in troubles(text)] == [Kind.UNREACHABLE]
    assert PASSWORD not in text


def swept(nodes, transport):
    book = Playbook(
        "test",
        probes=(probe("toy"), REDFISH),
        checks=tuple(all_checks()[name] for name in ("psu", "fan", "inlet_temperature", "sel")),
    )
    world = World(reach=lambda _name, _s: transport, clock=lambda: NOON, seed=1, run_id="r")
    return sweep(book, nodes, world)


def reason(run, node: str):
    return next(
        one.verdict for one in run.findings if one.check == "reachable" and one.verdict.node == node
    )


def test_a_silent_node_is_explained_by_its_bmc_and_a_replay_says_the_same(emulator):
    nodes = (
        Node("n1", labels={"bmc": "x"}),
        Node("n2"),
        Node("n3", labels={"bmc": "x"}),
        Node("n4"),
    )
    there = Scripted({"n1": answers(said("toy", "gpu0 41\n")), "n2": {}})
    heard = []

    def access(node: Node) -> Access | None:
        return Access(emulator, USER, PASSWORD) if node.labels else None

    run = swept(nodes, Recording(WithBmc(there, access, ask), heard.append))
    again = swept(nodes, Replay(heard))
    for one in (run, again):
        assert reason(one, "n1").status is Status.PASS
        lost = reason(one, "n3")
        assert lost.status is Status.UNKNOWN
        assert lost.why.startswith("power is off, says its BMC")
        assert "no route to host" in lost.why
        assert "switch it on" in lost.remedy
        assert "BMC" not in reason(one, "n4").why
        fans = {
            (one.verdict.node, one.verdict.status) for one in one.findings if one.check == "fan"
        }
        assert fans == {("n1", "pass"), ("n2", "skip"), ("n3", "pass"), ("n4", "unknown")}
    assert PASSWORD not in repr(heard)


def test_a_node_that_falls_silent_under_load_is_explained_by_its_bmc(emulator, tmp_path):
    """At the gate, then when it answers no more; asked once, though it is visited again."""
    asked = []

    def bmc(node):
        asked.append(node.name)
        return ask(Access(emulator, USER, PASSWORD))

    prepare(tmp_path)
    book = build("t", {"name": "t", "probes": ["redfish"], "checks": ["psu"],
                       "soak": {"hours": 1, "load": ["cpu_burn"]}})  # fmt: skip
    opening = Run("r", book, (Node("n1"),), 1, NOON, NOON, (), (), verb="burnin")
    leader = Leader(tmp_path, opening, reach=lambda _s: Scripted({}), clock=lambda: NOON, skus=(),
                    bmc=bmc)  # fmt: skip
    case = leader.cases["n1"]
    for decision in ({"do": "gate"}, {"do": "start", "base": 0}):
        leader.note(case, decision)
    for _ in range(3):
        leader.absorb(leader.visit("n1"))
    assert asked == ["n1"]
    assert case.trouble.startswith("unreachable: n1: no route to host; power is off, says its BMC")
    leader.give_up(0.0, only_stopped=False)
    assert "given up: unreachable" in case.why
    assert "power is off" in case.why
    run = verdict(opening, every_node(tmp_path, book, opening.nodes, NOON), (), NOON)
    (found,) = [one.verdict for one in run.findings if one.check == SILENT]
    assert (found.status, found.actual[:12]) == (Status.WARN, "power is off")
    assert str(decide(run, shipped_rules())[0].decision) == "INCOMPLETE"


def test_a_node_without_a_bmc_is_silent_and_nothing_more(tmp_path):
    silences = Silences(lambda _node: None, lambda: NOON, lambda: 0.0)
    assert silences.why(Node("n1")) == ""


def test_a_bmc_is_asked_anew_when_its_node_is_still_silent_or_silent_again():
    now, asked = [0.0], []

    def bmc(node):
        asked.append(now[0])
        return mute(Access("", USER, ""))

    silences = Silences(bmc, lambda: NOON, lambda: now[0])
    for now[0] in (0.0, 60.0, 599.0, 601.0):
        assert silences.why(Node("n1")).startswith("its BMC could not be asked: denied")
    silences.over("n1")
    silences.why(Node("n1"))
    assert asked == [0.0, 601.0, 601.0]


def test_a_campaign_asks_bmcs_as_a_sweep_does_and_never_keeps_their_password(emulator, tmp_path):
    book = "probes: [cpu, ipmitool]\nchecks: [psu, fan]\nsoak: {hours: 0.001, load: [cpu_burn]}\n"
    (tmp_path / "book.yml").write_text(f"name: t\n{book}")
    (tmp_path / "nodes.yml").write_text(
        f"nodes:\n  n001: {{address: {HOST}, port: {free_port()}, bmc: '{emulator}', "
        f"bmc_user: {USER}}}\n"
    )
    words = [sys.executable, "-m", "clusterctl", "burnin", "-i", "nodes.yml", "-p", "book.yml"]

    def burnin(*more: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*words, "--runs-dir", "runs", *more], env={**os.environ, **environ}, cwd=tmp_path,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    refused = burnin("--detach")
    assert refused.returncode == 2
    assert "CLUSTERCTL_BMC_PASSWORD" in refused.stderr, refused.stderr
    done = burnin(CLUSTERCTL_BMC_PASSWORD=PASSWORD, COLUMNS="200")
    assert done.returncode == 4, done.stderr
    kept = [path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert any(b"PowerState" in data for data in kept)
    assert not any(PASSWORD.encode() in data for data in kept)


def test_a_bmc_that_is_silent_too_says_so():
    nowhere = Access(f"http://{HOST}:{free_port()}", USER, PASSWORD)
    run = swept((Node("n1"),), WithBmc(Scripted({}), lambda _: nowhere, ask))
    assert "its BMC does not answer either" in reason(run, "n1").why
    assert "feed" in reason(run, "n1").remedy


LOG = "/redfish/v1/Systems/1/LogServices"
HEALTHY = {"State": "Enabled", "Health": "OK"}
DGX = {
    "/redfish/v1/": {
        "Systems": {"@odata.id": "/redfish/v1/Systems"},
        "Chassis": {"@odata.id": "/redfish/v1/Chassis"},
        "Managers": {"@odata.id": "/redfish/v1/Managers"},
    },
    "/redfish/v1/Systems": {
        "Members": [
            {"@odata.id": "/redfish/v1/Systems/1"},
            {"@odata.id": "http://127.0.0.9/redfish/v1/Systems/9"},
            {"@odata.id": "//127.0.0.9/redfish/v1/Systems/9"},
            7,
        ]
    },
    "/redfish/v1/Systems/1": {
        "@odata.type": "#ComputerSystem.v1_17_0.ComputerSystem",
        "PowerState": "On", "Status": {"Health": "OK", "HealthRollup": "Warning"},
        "BootProgress": {"LastState": "OSBootStarted"}, "Model": "X", "SerialNumber": "S1",
        "LogServices": {"@odata.id": LOG},
    },
    LOG: {"Members": [{"@odata.id": f"{LOG}/SEL"}, {"@odata.id": f"{LOG}/Dump"}]},
    f"{LOG}/SEL": {"Id": "SEL", "Entries": {"@odata.id": f"{LOG}/SEL/Entries"}},
    f"{LOG}/Dump": {"Id": "Dump", "Entries": {"@odata.id": f"{LOG}/Dump/Entries"}},
    f"{LOG}/SEL/Entries": {
        "@odata.type": "#LogEntryCollection.LogEntryCollection",
        "Members": [{"Id": "6", "Severity": "OK", "Message": "Log cleared"}],
        "Members@odata.nextLink": f"{LOG}/SEL/Entries?$skip=1",
    },
    f"{LOG}/SEL/Entries?$skip=1": {
        "@odata.type": "#LogEntryCollection.LogEntryCollection",
        "Members": [
            {"Id": "7", "Created": "2026-03-02T09:59:00+00:00", "Severity": "Critical",
             "Message": "OS Critical Stop: Run-time stop", "SensorType": "OS Stop/Shutdown"},
        ],
    },
    "/redfish/v1/Managers": {"Members": [{"@odata.id": "/redfish/v1/Managers/1"}]},
    "/redfish/v1/Managers/1": {
        "@odata.type": "#Manager.v1_15_0.Manager", "FirmwareVersion": "24.1",
        "DateTime": "2026-03-02T10:00:00+00:00",
    },
    "/redfish/v1/Chassis": {"Members": [{"@odata.id": "/redfish/v1/Chassis/1"}]},
    "/redfish/v1/Chassis/1": {
        "ThermalSubsystem": {"@odata.id": "/redfish/v1/Chassis/1/ThermalSubsystem"},
        "PowerSubsystem": {"@odata.id": "/redfish/v1/Chassis/1/PowerSubsystem"},
        "EnvironmentMetrics": {"@odata.id": "/redfish/v1/Chassis/1/EnvironmentMetrics"},
        "Sensors": {"@odata.id": "/redfish/v1/Chassis/1/Sensors"},
    },
    "/redfish/v1/Chassis/1/EnvironmentMetrics": {
        "@odata.type": "#EnvironmentMetrics.v1_3_0.EnvironmentMetrics",
        "PowerWatts": {"Reading": 6100},
    },
    "/redfish/v1/Chassis/1/ThermalSubsystem": {
        "Fans": {"@odata.id": "/redfish/v1/Chassis/1/ThermalSubsystem/Fans"}
    },
    "/redfish/v1/Chassis/1/ThermalSubsystem/Fans": {
        "Members": [{"@odata.id": "/redfish/v1/Chassis/1/ThermalSubsystem/Fans/1"}]
    },
    "/redfish/v1/Chassis/1/ThermalSubsystem/Fans/1": {
        "@odata.type": "#Fan.v1_4_0.Fan", "Name": "Fan 1",
        "SpeedPercent": {"Reading": 41.5, "SpeedRPM": 8100}, "Status": HEALTHY,
    },
    "/redfish/v1/Chassis/1/Sensors": {
        "Members": [{"@odata.id": f"/redfish/v1/Chassis/1/Sensors/{name}"} for name in "ab"]
    },
    "/redfish/v1/Chassis/1/Sensors/a": {
        "@odata.type": "#Sensor.v1_7_0.Sensor", "Name": "Loop in", "ReadingUnits": "Cel",
        "Reading": 44.0, "PhysicalContext": "LiquidInlet", "Status": HEALTHY,
        "Thresholds": {"UpperCritical": {"Reading": 42.0}},
    },
    "/redfish/v1/Chassis/1/Sensors/b": {
        "@odata.type": "#Sensor.v1_7_0.Sensor", "Name": "Loop flow", "ReadingUnits": "L/min",
        "Reading": 38.0, "Status": HEALTHY,
    },
    "/redfish/v1/Chassis/1/PowerSubsystem": {
        "PowerSupplies": {"@odata.id": "/redfish/v1/Chassis/1/PowerSubsystem/PowerSupplies"}
    },
    "/redfish/v1/Chassis/1/PowerSubsystem/PowerSupplies": {
        "Members": [{"@odata.id": "/redfish/v1/Chassis/1/PowerSubsystem/PowerSupplies/PSU3"}]
    },
    "/redfish/v1/Chassis/1/PowerSubsystem/PowerSupplies/PSU3": {
        "@odata.type": "#PowerSupply.v1_5_0.PowerSupply", "Id": "PSU3", "Name": "PSU3",
        "LineInputStatus": "LossOfInput", "Status": {"State": "UnavailableOffline",
        "Health": "Critical"}, "PowerCapacityWatts": 3300, "SerialNumber": "P3",
    },
}  # fmt: skip


class Machine(BaseHTTPRequestHandler):
    """Serves DGX; remembers what was asked of it."""

    asked: list[tuple[str, str]] = []  # noqa: RUF012 - one server in this file

    def do_GET(self) -> None:
        self.asked.append(("GET", self.path))
        found = DGX.get(self.path) or DGX.get(f"{self.path}/")
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(json.dumps({"@odata.id": self.path, **found} if found else {}).encode())

    def do_POST(self) -> None:
        self.asked.append((self.command, self.path))
        self.send_error(405)

    do_PATCH = do_DELETE = do_PUT = do_POST  # noqa: N815 - http.server's own spelling

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def machine() -> Iterator[str]:
    server = ThreadingHTTPServer((HOST, 0), Machine)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def newer() -> str:
    with machine() as url:
        return ask(Access(url, USER, PASSWORD)).stdout


def test_the_newer_layout_tells_supplies_coolant_power_and_the_log(newer):
    found = facts(newer)
    assert not troubles(newer)
    by_type = {type(one): one for one in found}
    assert by_type[Psu].part == "psu3"
    assert by_type[Psu].health == "critical"
    assert by_type[Fan].rpm == 8100
    assert by_type[Power].power_w == 6100
    coolant = next(one for one in found if isinstance(one, Sensor) and one.kind == "coolant_in")
    assert (coolant.measured, coolant.high_critical) == (44.0, 42.0)
    assert by_type[SelEvent].seconds_ago == 60
    assert by_type[Chassis].boot == "osbootstarted"
    assert by_type[Chassis].health == "warning"


def test_only_gets_of_this_machine_are_sent(newer):
    assert {method for method, _ in Machine.asked} == {"GET"}
    assert all(path.startswith("/redfish/") for _, path in Machine.asked)
    assert "127.0.0.9" not in " ".join(json.loads(newer)["resources"])
    assert not any("Dump" in path and "Entries" in path for _, path in Machine.asked)


def test_a_supply_that_loses_its_feed_in_a_soak_is_a_finding_though_it_came_back(newer, tmp_path):
    now, asked = [0.0], []

    def bmc(node):
        asked.append(now[0])
        return Answer("redfish", 0, newer, "", 0.1)

    boards = Boards(bmc, lambda: NOON, lambda: now[0])
    told = [boards.ill(Node("n1")) for now[0] in (0.0, 599.0, 600.0, 700.0, 1200.0)]
    assert asked == [600.0, 1200.0]
    assert [[one["part"] for one in few] for few in told] == [[], [], ["psu3"], [], ["psu3"]]

    prepare(tmp_path)
    book = build("t", {"name": "t", "probes": ["redfish"], "checks": ["psu"],
                       "soak": {"hours": 1, "load": ["cpu_burn"]}})  # fmt: skip
    opening = Run("r", book, (Node("n1"),), 1, NOON, NOON, (), (), verb="burnin")
    leader = Leader(tmp_path, opening, reach=lambda _s: Scripted({}), clock=lambda: NOON, skus=())
    for decision in ({"do": "gate"}, {"do": "start", "base": 0}):
        leader.note(leader.cases["n1"], decision)
    for _ in range(2):
        leader.absorb(Said("n1", ill=told[2]))
    assert len(leader.cases["n1"].boards) == 1
    run = verdict(opening, every_node(tmp_path, book, opening.nodes, NOON), (), NOON)
    (found,) = [one.verdict for one in run.findings if one.check == CHECK]
    assert (found.part, found.status, found.why) == (
        "psu3", Status.FAIL, "the supply has no feed"
    )  # fmt: skip


def test_its_faults_are_named_on_a_silent_node(newer):
    from clusterctl.transport.bmc import NAME

    said_so = WithBmc(Scripted({}), lambda _: Access("x", "y", "z"), lambda _: said(NAME, newer))
    run = swept((Node("n1"),), said_so)
    assert "the system stopped, says its BMC: OS Critical Stop" in reason(run, "n1").why
    bad = {(one.check, one.verdict.part, one.verdict.status) for one in run.findings}
    assert ("psu", "psu3", "fail") in bad
    assert ("inlet_temperature", "Loop in", "fail") in bad
    assert ("sel", "sel:OS Stop/Shutdown", "fail") in bad


@settings(max_examples=60, deadline=None)
@given(cut=st.floats(0, 1), edits=st.lists(st.tuples(st.floats(0, 1), st.text(max_size=4))))
def test_no_cut_and_no_edit_raises(newer, cut, edits):
    text = newer
    for where, new in edits[:4]:
        place = int(where * len(text))
        text = text[:place] + new + text[place + len(new) :]
    for one in (text, newer[: int(cut * len(newer))], newer.replace("8100", "NaN")):
        list(REDFISH.parse(one))


SWAPS = ({}, [], "x", None, 7, True, float("inf"), {"@odata.type": "#Fan.Fan"})


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_value_in_any_place_raises(newer, data):
    document = json.loads(newer)
    place = document["resources"]
    for _ in range(6):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        at = data.draw(st.sampled_from(keys))
        if not isinstance(place[at], dict | list) or data.draw(st.booleans()):
            place[at] = data.draw(st.sampled_from(SWAPS))
            break
        place = place[at]
    list(REDFISH.parse(json.dumps(document)))


@pytest.mark.parametrize("text", ["", "\n", "{}", "[]", "7", "null", "\0", '{"redfish": 1}'])
def test_rubbish_is_a_trouble(text):
    assert not facts(text)
    assert troubles(text)


@pytest.mark.parametrize(
    "labels",
    [
        {"bmc": "10.0.0.1; rm", "bmc_user": "a"},
        {"bmc": "http://u:p@host", "bmc_user": "a"},
        {"bmc": "10.0.0.1", "bmc_user": "a", "bmc_tls": "/not/there"},
    ],
)
def test_an_inventory_that_cannot_be_meant_is_refused(labels):
    with pytest.raises(UserError):
        access_to(Node("n1", labels=labels, origin="f:1"), "x")


def test_a_bmc_without_a_user_is_only_a_label():
    assert access_to(Node("n1", labels={"bmc": "10.0.0.1"}), "x") is None
    assert access_to(Node("n1", labels={"bmc": "10.0.0.1", "bmc_user": "a"}), "x") == Access(
        "https://10.0.0.1", "a", "x"
    )
    assert "secret" not in repr(Access("https://10.0.0.1", "a", "secret"))


def test_a_password_file_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "password"
    path.write_text("x\n")
    path.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        from_file(path, "X_FILE")
    path.chmod(0o600)
    assert from_file(path, "X_FILE") == "x"


def test_a_whole_sweep_names_the_reason_and_keeps_the_password_to_itself(emulator, tmp_path):
    (tmp_path / "nodes.yml").write_text(
        f"nodes:\n  n001: {{address: {HOST}, port: {free_port()}, bmc: '{emulator}', "
        f"bmc_user: {USER}}}\n"
    )
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    done = subprocess.run(
        [sys.executable, "-m", "clusterctl", "sweep", "-i", "nodes.yml", "--runs-dir", "runs"],
        env={**os.environ, "CLUSTERCTL_BMC_PASSWORD_FILE": str(secret), "COLUMNS": "200"},
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "power is off" in " ".join(done.stdout.split())
    kept = [path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert kept
    assert not any(PASSWORD.encode() in data for data in kept)
    assert PASSWORD not in done.stdout + done.stderr
