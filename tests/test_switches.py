"""Switches: read over real SSH from programs that speak as they do; judged with the far ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import NOON
from sshd import USER, keygen, needs_sshd, public, sshd

from clusterctl.catalog import all_checks, named_probes
from clusterctl.judge import NO_PAST, Past, judge
from clusterctl.model import (
    Kind,
    Neighbour,
    Node,
    Observation,
    Optic,
    Playbook,
    Port,
    Probe,
    Question,
    Status,
    Trouble,
    Version,
)
from clusterctl.probes import switch_eos as eos
from clusterctl.probes.switch import COMMANDS
from clusterctl.probes.switch_texts import far_port, lanes, port_of, vrp_interfaces
from clusterctl.spelling import Unreadable

netmiko = pytest.importorskip("netmiko")

from clusterctl.transport import TransportError  # noqa: E402 - after the skip
from clusterctl.transport.switch import (  # noqa: E402 - after the skip
    LOST,
    Session,
    Switches,
    explained,
    templated,
)

SWITCH = named_probes()["switch"]
HERE = Path(__file__).parent / "switches"
TABLE = {platform: tuple(commands) for platform, commands in COMMANDS.items()}
READ_ONLY = ("display ", "show ", "ip -s -s -j link show", "lldpctl ", "nv show ")
INTERFACES = "400GE1/0/1 current state : UP (ifindex: 5)\nSpeed : 400000,\n"
SESSION = ("screen-length", "stty ", "terminal ", "no cli session paging ")
HARMLESS = ("quit", "exit", "enable", "")


class Fakes:
    """Switches that are really there: leaf-1 speaks VRP, leaf-2 SONiC, leaf-3 Onyx."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.key = keygen(folder / "key")
        self.nodes: list[Node] = []
        lines = ""
        for name, platform, program in (
            ("leaf-1", "huawei_vrp", "vrp.py"),
            ("leaf-2", "sonic", "sonic.py"),
            ("leaf-3", "mellanox_mlnxos", "onyx.py"),
        ):
            force = f"{sys.executable} -u {HERE / program} {name} {folder / name}.log"
            server = stack.enter_context(
                sshd(folder / name, public(self.key) + "\n", f"ForceCommand {force}")
            )
            lines += server.known_as()
            labels = {"role": "switch", "platform": platform}
            self.nodes.append(
                Node(name, "127.0.0.1", USER, server.port, labels=labels, identity=str(self.key))
            )
        self.known = folder / "known_hosts"
        self.known.write_text(lines)

    def asked(self) -> list[str]:
        return [
            line
            for node in self.nodes
            for line in (self.folder / f"{node.name}.log").read_text().splitlines()
        ]


@pytest.fixture(scope="module")
def fakes(tmp_path_factory):
    with ExitStack() as stack:
        yield Fakes(tmp_path_factory.mktemp("switches"), stack)


@pytest.fixture(scope="module")
def told(fakes) -> dict[str, str]:
    """What each says, by name."""
    transport = Switches(TABLE, known_hosts=fakes.known)
    said = {}
    for node in fakes.nodes:
        with transport.open(node) as shell:
            (answer,) = shell.ask([SWITCH.question])
        said[node.name] = answer.stdout
    return said


def facts(text: str) -> list[object]:
    return [one for one in SWITCH.parse(text) if not isinstance(one, Trouble)]


def troubles(text: str) -> list[Trouble]:
    return [one for one in SWITCH.parse(text) if isinstance(one, Trouble)]


def port(text: str, part: str) -> Port:
    return next(one for one in facts(text) if isinstance(one, Port) and one.part == part)


@needs_sshd
def test_vrp_tells_ports_errors_light_and_neighbours(told):
    text = told["leaf-1"]
    assert not troubles(text)
    up = port(text, "400GE1/0/1")
    assert (up.state, up.rate_gbit_s, up.enabled) == ("active", 400.0, True)
    assert up.counters["rx_crc_errors_phy"] == 3
    assert (up.counters["rx_discards_phy"], up.counters["port_xmit_discards"]) == (7, 5)
    assert port(text, "400GE1/0/2").enabled is False
    assert port(text, "400GE1/0/3").state == "down"
    assert not any(getattr(one, "part", "") == "Vlanif10" for one in facts(text))
    optic = next(one for one in facts(text) if isinstance(one, Optic))
    assert optic.rx_mw is not None
    assert [round(one, 3) for one in optic.rx_mw] == [0.759, 0.741, 0.071, 0.776]
    assert optic.tx_mw is not None
    assert len(optic.tx_mw) == 4
    assert optic.bias_ma == (6.1, 6.2, 6.3, 6.4)
    assert (optic.serial, optic.temp_c, optic.volt_v) == ("A1", 45.0, 3.3)
    neighbour = next(one for one in facts(text) if isinstance(one, Neighbour))
    assert (neighbour.part, neighbour.system, neighbour.system_port) == (
        "400GE1/0/1",
        "n001",
        "eth0",
    )


@needs_sshd
def test_sonic_tells_ports_errors_pauses_and_neighbours(told):
    text = told["leaf-2"]
    assert not troubles(text)
    up = port(text, "Ethernet0")
    assert (up.state, up.rate_gbit_s) == ("active", 400.0)
    assert up.counters == {
        "port_rcv_errors": 10, "rx_discards_phy": 1000, "rx_pause": 1234, "tx_pause": 56,
        "ecn_marked": 1_032_770,
    }  # fmt: skip
    assert settings_of(text) == {
        "rdma/Ethernet0/pfc": "3,4", "rdma/Ethernet4/pfc": "off"
    }  # fmt: skip
    assert port(text, "Ethernet4").state == "down"
    neighbours = [one for one in facts(text) if isinstance(one, Neighbour)]
    assert [(one.part, one.system, one.system_port) for one in neighbours] == [
        ("Ethernet0", "n002", "eth1")
    ]


@needs_sshd
def test_sonic_tells_the_light_of_each_lane_and_a_dark_one_is_dark(told):
    (optic,) = [one for one in facts(told["leaf-2"]) if isinstance(one, Optic)]
    assert (optic.part, optic.model, optic.serial) == ("Ethernet0", "A400-SR8", "X17")
    assert optic.rx_mw == pytest.approx((0.7586, 0.0), abs=1e-4)
    assert optic.tx_mw == pytest.approx((1.0,))
    assert (optic.temp_c, optic.volt_v, optic.bias_ma) == (48.5, 3.2824, (7.5, 7.4))


@needs_sshd
def test_onyx_tells_ports_light_and_neighbours_once_it_may_show_them(told):
    text = told["leaf-3"]
    assert not troubles(text)
    up = port(text, "Eth1/1")
    assert (up.state, up.rate_gbit_s, up.enabled) == ("active", 200.0, True)
    assert up.counters == {
        "port_rcv_errors": 12, "rx_discards_phy": 3, "rx_crc_errors_phy": 9,
        "rx_symbol_err_phy": 2, "rx_pause": 7, "tx_pause": 6, "port_xmit_discards": 4,
    }  # fmt: skip
    assert (port(text, "Eth1/2").state, port(text, "Eth1/2").enabled) == ("down", False)
    (optic,) = [one for one in facts(text) if isinstance(one, Optic)]
    assert (optic.part, optic.model, optic.serial) == ("Eth1/1", "A200-SR4", "M7")
    assert (optic.rx_mw, optic.tx_mw, optic.bias_ma) == ((0.8, 0.0), (0.92, 0.95), (6.6, 6.7))
    assert (optic.temp_c, optic.volt_v) == (41.0, 3.2579)
    assert optic.alarms == ("ch2 rx power alarm: Low",)
    assert settings_of(text) == {"rdma/Eth1/1/pfc": "3", "rdma/Eth1/2/pfc": "off"}
    neighbours = [one for one in facts(text) if isinstance(one, Neighbour)]
    assert [(one.part, one.system, one.system_port) for one in neighbours] == [
        ("Eth1/1", "n003.dc", "eth3"),
        ("Eth1/2", "02:00:00:00:00:0b", "Eth1/9"),
    ]


@needs_sshd
def test_a_switch_is_sent_nothing_but_what_shows(fakes, told):
    sent = fakes.asked()
    assert {"display interface", "show pfc counters"} <= set(sent)
    assert all(line.startswith((*READ_ONLY, *SESSION)) or line in HARMLESS for line in sent)


def test_every_command_of_the_table_only_shows():
    commands = [command for table in COMMANDS.values() for command in table]
    assert all(command.startswith(READ_ONLY) for command in commands)
    assert not any(char in command for command in commands for char in ";&>`$\n")


@needs_sshd
def test_a_host_key_nobody_knows_is_refused(fakes, tmp_path):
    (tmp_path / "known_hosts").write_text("")
    transport = Switches(TABLE, known_hosts=tmp_path / "known_hosts")
    with pytest.raises(TransportError) as refused, transport.open(fakes.nodes[0]):
        pass
    assert refused.value.kind is Kind.DENIED
    assert "host key" in str(refused.value)


@needs_sshd
def test_a_wrong_key_is_denied_and_a_dead_switch_unreachable(fakes, tmp_path):
    transport = Switches(TABLE, known_hosts=fakes.known)
    other = replace(fakes.nodes[0], identity=str(keygen(tmp_path / "other")))
    with pytest.raises(TransportError) as refused, transport.open(other):
        pass
    assert refused.value.kind is Kind.DENIED
    with pytest.raises(TransportError) as dead, transport.open(replace(other, port=1)):
        pass
    assert dead.value.kind is Kind.UNREACHABLE


def test_a_platform_nobody_reads_is_said():
    with (
        pytest.raises(TransportError, match="platform 'cisco'"),
        Switches(TABLE).open(Node("x", labels={"platform": "cisco"})),
    ):
        pass


@needs_sshd
def test_a_key_of_ones_own_is_tried_where_the_inventory_names_none(fakes, tmp_path, monkeypatch):
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519").write_bytes(fakes.key.read_bytes())
    (tmp_path / ".ssh" / "id_ed25519").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    transport = Switches(TABLE, known_hosts=fakes.known)
    with transport.open(replace(fakes.nodes[1], identity="")) as shell:
        (answer,) = shell.ask([SWITCH.question])
    assert port(answer.stdout, "Ethernet0").state == "active"


class HangsUp:
    """A session of netmiko's that ends after its first answer."""

    def __init__(self, error: Exception) -> None:
        self.said = [INTERFACES]
        self.error = error

    def send_command(self, _command: str, *, read_timeout: float) -> str:
        assert read_timeout > 0
        if not self.said:
            raise self.error
        return self.said.pop()


@pytest.mark.parametrize(
    "error",
    [
        netmiko.exceptions.ReadException("Channel stream closed by remote device."),
        netmiko.exceptions.WriteException("no active channel"),
        EOFError(),
        OSError("Socket is closed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_switch_that_hangs_up_keeps_what_it_said(error):
    commands = ("display interface", "display lldp neighbor")
    (answer,) = Session(HangsUp(error), "huawei_vrp", commands).ask([SWITCH.question])
    assert port(answer.stdout, "400GE1/0/1").state == "active"
    assert ("display lldp neighbor", Kind.CUT) in {
        (one.part, one.kind) for one in troubles(answer.stdout)
    }


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (netmiko.ReadTimeout("Pattern not detected"), Kind.TIMEOUT, "no prompt of a huawei_vrp"),
        (netmiko.exceptions.ReadException("closed"), Kind.UNREACHABLE, "leaf-9: closed"),
        (EOFError(), Kind.UNREACHABLE, "EOFError"),
    ],
)
def test_a_login_that_fails_is_the_switchs_trouble_and_no_bug(error, kind, words):
    assert isinstance(error, LOST)
    told = explained(error, Node("leaf-9", labels={"platform": "huawei_vrp"}))
    assert (told.kind, words in str(told)) == (kind, True)


@pytest.mark.parametrize(
    ("platform", "command"),
    [
        ("huawei_vrp", "display lldp neighbor"),
        ("hp_comware", "display lldp neighbor-information list"),
    ],
)
def test_a_line_that_a_template_does_not_know_is_the_switchs_trouble(platform, command):
    assert templated(platform, command, "garbage line here\nfoo") is None


@pytest.mark.parametrize("platform", ["", "huawei_vrq"])
def test_a_switch_that_nobody_can_talk_to_is_refused_before_anything_is_asked(platform):
    from clusterctl.cli.switching import refuse_strange
    from clusterctl.model import UserError

    with pytest.raises(UserError, match="huawei_vrp"):
        refuse_strange([Node("leaf-9", labels={"platform": platform}, origin="net.yml:3")])


@needs_sshd
def test_the_verb_prints_the_lane_that_receives_too_little(fakes, tmp_path):
    rows = "\n".join(
        f"  {node.name}: {{address: 127.0.0.1, port: {node.port}, user: {USER}, "
        f"identity: {node.identity}, role: switch, platform: {node.labels['platform']}}}"
        for node in fakes.nodes
    )
    (tmp_path / "net.yml").write_text(f"nodes:\n{rows}\n  n001: {{}}\n")
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").write_text(fakes.known.read_text())
    command = [sys.executable, "-m", "clusterctl"]
    env = {**os.environ, "HOME": str(tmp_path), "COLUMNS": "200"}
    done = subprocess.run(
        [*command, "switches", "-i", "net.yml", "--runs-dir", "runs"],
        env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    text = " ".join(done.stdout.split())
    assert done.returncode in {0, 1, 4}, done.stderr
    assert "400GE1/0/1" in text
    assert "lane 3 receives far less light" in text
    assert "3 nodes" in text
    assert "dark: lane 2 of 2" in text
    # A node to no other verb:
    listed = subprocess.run(
        [*command, "sweep", "-i", "net.yml", "--nodes", "leaf-[1-2]", "--runs-dir", "runs"],
        env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert listed.returncode == 3


COMWARE = """\
FourHundredGigE1/0/1
Current state: UP
Line protocol state: UP
400Gbps-speed mode, full-duplex mode
 Input:  4 input errors, 0 runts, 0 giants, 0 throttles
         4 CRC, 0 frame, 2 overruns, 0 aborts
 Output: 0 output errors, 1 underruns, 0 buffer failures
FourHundredGigE1/0/2
Current state: Administratively DOWN
"""
COMWARE_LIGHT = """\
FourHundredGigE1/0/1 transceiver diagnostic information:
  Current diagnostic parameters:
    [module] Temp.(C)  Voltage(V)
             40        3.30
    [channel] Bias(mA)  RX power(dBm)  TX power(dBm)
    1         7.10      -1.00          0.50
    2         7.20      -3.00          0.50
  Alarm thresholds:
          Temp.(C)  Voltage(V)  Bias(mA)  RX power(dBm)  TX power(dBm)
    High  80        3.60        15.00     0.00           0.00
    Low   -15       3.00        0.00      -10.90         -8.30
GigabitEthernet1/0/3 transceiver diagnostic information:
  Current diagnostic parameters:
    Temp(\N{DEGREE SIGN}C)  Voltage(V)  Bias(mA)  RX power(dBm)  TX power(dBm)
    36        3.31        6.13      -35.64          -5.19
  Alarm thresholds:
           Temp(C)   Voltage(V)  Bias(mA)  RX power(dBM)  TX power(dBM)
    High   50         3.55        1.44      -10.00         5.00
    Low    30         3.01        1.01      -30.00         0.00
GigabitEthernet1/0/4 transceiver diagnostic information:
The transceiver is absent.
"""
COMWARE_PAUSES = """\
Interface                        AdminMode  OperMode  Dot1pList   Prio  Recv       Send       Inpps      Outpps
---------------------------------------------------------------------------------------------------------------
FHGE1/0/1                        Enabled    Enabled   3,5-6       3     7          1          0          0
                                                                  5     2          4          0          0
GE1/0/3                          Disabled   Disabled
"""  # noqa: E501 - as it prints
EOS = json.dumps(
    {
        "interfaces": {
            "Ethernet1/1": {
                "interfaceStatus": "connected", "bandwidth": 400000000000,
                "interfaceCounters": {"inputErrorsDetail": {"fcsErrors": 6}, "outDiscards": 2},
            },
            "Ethernet2/1": {"interfaceStatus": "notconnect", "bandwidth": 0},
            "Ethernet3/1": {"interfaceStatus": "errdisabled"},
            "Vlan1": {"interfaceStatus": "connected"},
        }
    }
)  # fmt: skip
EOS_LLDP = json.dumps(
    {"lldpNeighbors": [{"port": "Ethernet1/1", "neighborDevice": "n1", "neighborPort": "eth0"}]}
)
EOS_LIGHT = json.dumps({"interfaces": {"Ethernet1/1": {"rxPower": -30.0, "txPower": 0.0}}})
EOS_LANES = json.dumps(
    {
        "interfaces": {
            "Ethernet1/1": {
                "displayName": "Ethernet1/1", "vendorSn": "XYZ11", "mediaType": "400GBASE-DR4",
                "parameters": {
                    "temperature": {"unit": "C", "channels": {"-": 41.5}},
                    "rxPower": {
                        "unit": "dBm", "channels": {"1": 0.0, "2": -10.0, "3": -30.0, "4": 0.0},
                        "threshold": {"lowAlarm": -12.5},
                    },
                    "txBias": {"unit": "mA", "channels": {"1": 70.0}},
                },
            },
            "Ethernet4/1": {"displayName": "Ethernet4/1"},
            "Ethernet5/1": {"parameters": {"rxPower": {"channels": {"1": 0.0, "2": "N/A"}}}},
        }
    }
)  # fmt: skip
EOS_STUCK = json.dumps(
    {"interfaces": {"Ethernet1/1": {"txQueues": {"3": {"stuckCount": 2, "recoveryCount": 2},
                                                 "4": {"stuckCount": 1, "recoveryCount": 0}}}}}
)  # fmt: skip
CUMULUS = json.dumps(
    [
        {"ifname": "swp1", "operstate": "UP", "flags": ["UP", "LOWER_UP"],
         "stats64": {"rx": {"crc_errors": 9, "dropped": 1}}},
        {"ifname": "swp2", "operstate": "DOWN", "flags": ["BROADCAST"]},
        {"ifname": "lo", "operstate": "UNKNOWN"},
    ]
)  # fmt: skip
NVUE = """\
Interface  Admin Status  Oper Status  Speed  MTU    Type      Remote Host  Summary
---------  ------------  -----------  -----  -----  --------  -----------  ---------------
eth0       up            up           1G     1500   eth                    IP Address:
                                                                           192.0.2.9/24
lo         up            unknown             65536  loopback
swp1       up            up           400G   9216   swp       n001
swp2       down          down                9216   swp
"""
NVUE_LIGHT = """\
swp1:
  cable-type             : Optical module
  diagnostics-status     : Diagnostic Data Available
  vendor-name            : ACME
  vendor-pn              : A400-DR4
  vendor-sn              : C4
  temperature:
    temperature           : 42.50 C
    high-alarm-threshold  : 80.00 C
    alarm                 : Off
  voltage:
    voltage               : 3.2862 V
    alarm                 : Off
  channel:
    channel-1:
      rx-power:
          power                 : 0.8000 mW / -0.97 dBm
          low-alarm-threshold   : -13.31 dBm
          alarm                 : Off
      tx-power:
          power                 : 0.9000 mW / -0.46 dBm
          alarm                 : Off
      tx-bias-current:
          current               : 6.750 mA
          alarm                 : Off
    channel-2:
      rx-power:
          power                 : 0.0000 mW / -inf dBm
          alarm                 : Low Alarm
      tx-power:
          power                 : 0.9500 mW / -0.22 dBm
swp2:
  cable-type             : Copper cable
  diagnostics-status     : No Diagnostic Data Available. Module is not DDMI capable
  vendor-name            : ACME
swp3:
  vendor-name            : ACME
  temperature            : 40.25 degrees C / 104.45 degrees F
  voltage                : 3.3000 V
  ch-1-rx-power          : 1.2500 mW / 0.97 dBm
  ch-1-tx-power          : N/A
  ch-1-tx-bias-current   : 7.000 mA
"""
ONYX = """\
Eth1/1:
  Admin state                      : Enabled
  Operational state                : Up
  Actual speed                     : 200G
  Rx:
    12                   fcs errors
    3                    discard packets
  Tx:
    4                    discard packets
"""
GIVEN = {
    "hp_comware": {
        "display interface": COMWARE,
        "display transceiver diagnosis interface": COMWARE_LIGHT,
        "display lldp neighbor-information list": "",
        "display priority-flow-control interface": COMWARE_PAUSES,
    },
    "huawei_vrp": {
        "display interface": "",
        "display lldp neighbor": "",
        "display interface transceiver verbose": "",
        "display dcb pfc": """\
-----------------------------------------------------------------------------------------
Interface         Queue         Received(Frames)        ReceivedRate(pps)     DeadlockNum
                             Transmitted(Frames)     TransmittedRate(pps)     RecoveryNum
-----------------------------------------------------------------------------------------
100GE1/0/1             3                      10                        0               0
                                               5                        0               0
100GE1/0/1             5                       7                        0               2
                                               0                        0               1
-----------------------------------------------------------------------------------------
""",
    },
    "arista_eos": {
        "show interfaces | json": EOS,
        "show lldp neighbors | json": EOS_LLDP,
        "show interfaces transceiver | json": EOS_LIGHT,
        "show interfaces transceiver dom thresholds | json": '{"interfaces": {}}',
        "show priority-flow-control counters watchdog | json": '{"interfaces": {}}',
    },
    "cumulus_linux": {
        "ip -s -s -j link show": CUMULUS,
        "nv show interface": NVUE,
        "lldpctl -f json": '{"lldp": {}}',
        "nv show platform transceiver detail": NVUE_LIGHT,
    },
    "mellanox_mlnxos": {
        "show interfaces ethernet": ONYX,
        "show interfaces ethernet transceiver": "Port 1/1 state\n\tidentifier : N/A\n",
        "show interfaces ethernet transceiver diagnostics": (
            "Port 1/1 transceiver diagnostic data:\n    No Diagnostic Data Available.\n"
        ),
        "show lldp interfaces ethernet remote": "No lldp remote information.\n",
        "show dcb priority-flow-control": "PFC: disabled\nPriority Enabled List:\n",
    },
}


def answer(platform: str, **more: object) -> str:
    said = {"switch": 1, "platform": platform, "outputs": GIVEN[platform], "rows": {}, "failed": {}}
    return json.dumps({**said, **more})


@pytest.mark.parametrize(
    ("platform", "part", "rate", "counters"),
    [
        ("hp_comware", "FourHundredGigE1/0/1", 400.0, {
            "rx_crc_errors_phy": 4, "port_rcv_errors": 4, "rx_discards_phy": 2,
            "port_xmit_discards": 1, "rx_pause": 9, "tx_pause": 5,
        }),
        ("arista_eos", "Ethernet1/1", 400.0, {"rx_crc_errors_phy": 6, "port_xmit_discards": 2}),
        ("cumulus_linux", "swp1", 400.0, {"rx_crc_errors_phy": 9, "rx_discards_phy": 1}),
        ("mellanox_mlnxos", "Eth1/1", 200.0, {
            "rx_crc_errors_phy": 12, "rx_discards_phy": 3, "port_xmit_discards": 4,
        }),
    ],
)  # fmt: skip
def test_each_platform_tells_its_ports_in_the_same_words(platform, part, rate, counters):
    found = port(answer(platform), part)
    assert (found.state, found.rate_gbit_s, found.counters) == ("active", rate, counters)
    assert not troubles(answer(platform))


@pytest.mark.parametrize("word", ["errdisabled", "ERROR DOWN", "err-disabled"])
def test_a_port_that_the_switch_shut_after_errors_was_shut_by_nobody(word):
    told = port_of("Ethernet3/1", word, None, {})
    assert (told.state, told.enabled, told.phys_state) == ("down", None, word.lower())
    assert port_of("Ethernet3/1", "disabled", None, {}).enabled is False


def test_vrp_says_what_it_shut_a_port_for_and_the_port_is_down():
    line = "400GE1/0/3 current state : ERROR DOWN(crc-statistics) (ifindex: 7)\nSpeed : 400000,\n"
    (told,) = vrp_interfaces(line, [])
    assert isinstance(told, Port)
    assert (told.state, told.enabled, told.phys_state) == (
        "down", None, "error down(crc-statistics)",
    )  # fmt: skip


def test_a_port_in_a_state_nobody_knows_is_neither_up_nor_down():
    assert port(answer("arista_eos"), "Ethernet3/1").state in {"unknown", "down"}
    assert port(answer("arista_eos"), "Ethernet2/1").state == "down"
    assert port(answer("hp_comware"), "FourHundredGigE1/0/2").enabled is False


def test_eos_tells_the_light_of_each_lane_and_its_stuck_queues():
    outputs = {**GIVEN["arista_eos"], eos.LANES: EOS_LANES, eos.STUCK: EOS_STUCK}
    text = answer("arista_eos", outputs=outputs)
    (optic,) = [one for one in facts(text) if isinstance(one, Optic)]
    assert (optic.part, optic.serial, optic.model) == ("Ethernet1/1", "XYZ11", "400GBASE-DR4")
    assert [round(lane, 3) for lane in optic.rx_mw] == [1.0, 0.1, 0.001, 1.0]
    assert (optic.tx_mw, optic.bias_ma, optic.temp_c) == ((1.0,), (70.0,), 41.5)
    assert port(text, "Ethernet1/1").counters["pfc_deadlocks"] == 3
    assert [one.part for one in troubles(text)] == ["Ethernet5/1"]


@pytest.mark.parametrize("gone", [eos.LANES, eos.STUCK])
def test_eos_that_has_no_such_command_is_no_trouble(gone):
    text = answer("arista_eos", failed={gone: {"kind": "exit", "detail": "% Invalid input"}})
    assert not troubles(text)
    assert [one.rx_mw for one in facts(text) if isinstance(one, Optic)] == [(0.001,)]


@pytest.mark.parametrize(
    ("channels", "lanes"),
    [
        ({"2": 1.0, "10": 3.0, "3": 2.0}, None),
        ({"2": 1.0, "3": 2.0}, (1.0, 2.0)),
        ({"-": 4.0}, (4.0,)),
        ({"-": 4.0, "1": 1.0}, None),
        ({"1": float("nan")}, None),
        ({"1": True}, None),
        ([1.0], None),
    ],
)
def test_lanes_of_eos_that_leave_a_gap_are_not_told(channels, lanes):
    assert eos.by_channel(channels) == lanes


def test_cumulus_tells_the_light_of_each_lane_in_both_layouts_of_nvue():
    text = answer("cumulus_linux")
    tree, flat = [one for one in facts(text) if isinstance(one, Optic)]
    assert (tree.part, tree.vendor, tree.model, tree.serial) == ("swp1", "ACME", "A400-DR4", "C4")
    assert (tree.rx_mw, tree.tx_mw, tree.bias_ma) == ((0.8, 0.0), (0.9, 0.95), (6.75,))
    assert (tree.temp_c, tree.volt_v) == (42.5, 3.2862)
    assert tree.alarms == ("channel/channel-2/rx-power: Low Alarm",)
    assert (flat.part, flat.rx_mw, flat.tx_mw, flat.bias_ma) == ("swp3", (1.25,), None, (7.0,))
    assert (flat.temp_c, flat.volt_v) == (40.25, 3.3)
    assert port(text, "swp2").enabled is False


def test_comware_tells_each_lane_now_and_takes_no_limit_for_a_lane():
    many, one = [fact for fact in facts(answer("hp_comware")) if isinstance(fact, Optic)]
    assert many.part == "FourHundredGigE1/0/1"
    assert many.rx_mw == pytest.approx((0.794, 0.501), abs=1e-3)
    assert (many.temp_c, many.volt_v, many.bias_ma) == (40.0, 3.3, (7.1, 7.2))
    assert one.rx_mw == pytest.approx((0.000273,), abs=1e-6)
    assert (one.part, one.temp_c) == ("GigabitEthernet1/0/3", 36.0)


def settings_of(text: str) -> dict[str, str]:
    return {one.part: one.value for one in facts(text) if isinstance(one, Version)}


def test_lossless_priorities_are_spelled_as_a_node_spells_them():
    assert settings_of(answer("hp_comware")) == {
        "rdma/FourHundredGigE1/0/1/pfc": "3,5,6",
        "rdma/GigabitEthernet1/0/3/pfc": "off",
    }


def test_vrp_tells_a_queue_that_stood_still():
    found = port(answer("huawei_vrp"), "100GE1/0/1")
    assert found.counters == {"rx_pause": 17, "tx_pause": 5, "pfc_deadlocks": 2}


def test_a_command_that_this_release_lacks_is_no_trouble_where_nobody_needs_it():
    refused = {"kind": "exit", "detail": "Unrecognized command"}
    text = answer("huawei_vrp", failed={"display dcb pfc": refused})
    assert not any(one.part == "display dcb pfc" for one in troubles(text))
    silent = {"kind": "timeout", "detail": "silent"}
    text = answer("huawei_vrp", failed={"display dcb pfc": silent})
    assert any(one.part == "display dcb pfc" for one in troubles(text))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("-3.07", (-3.07,)),
        ("-1.00|-2.00(Lane0|Lane1) -3.00|-4.00(Lane2|Lane3)", (-1.0, -2.0, -3.0, -4.0)),
        ("-1.00|-2.00|-3.00", (-1.0, -2.0, -3.0)),
        ("-|-(Lane0|Lane1)", None),
        ("", None),
    ],
)
def test_vrp_tells_a_value_a_lane(value, told):
    assert lanes(value) == told


@pytest.mark.parametrize("value", ["-1.00|x(Lane0|Lane1)", "-1.00|-", "nan", "-1.00(Lane0"])
def test_a_lane_of_vrp_that_is_no_number_is_no_lane_that_is_not_there(value):
    with pytest.raises(Unreadable):
        lanes(value)


def test_a_switch_of_copper_alone_is_no_trouble_and_one_whose_words_changed_is():
    copper = "400GE1/0/1 transceiver information:\n  Vendor Name    :ACME\n"
    command = "display interface transceiver verbose"
    said = {**GIVEN["huawei_vrp"], command: copper}
    assert not any(one.part == command for one in troubles(answer("huawei_vrp", outputs=said)))
    said[command] = copper + "  Now RX Power (dBm)   :-1.0\n"
    assert any(one.part == command for one in troubles(answer("huawei_vrp", outputs=said)))


def test_light_that_is_no_number_costs_its_lane_and_says_so():
    given = {**GIVEN["cumulus_linux"]}
    given["nv show platform transceiver detail"] = NVUE_LIGHT.replace("0.8000 mW", "0.8x mW")
    text = answer("cumulus_linux", outputs=given)
    (why,) = troubles(text)
    assert (why.kind, why.part) == (Kind.UNREADABLE, "swp1")
    tree = next(one for one in facts(text) if isinstance(one, Optic))
    assert tree.rx_mw is None
    assert tree.tx_mw == (0.9, 0.95)


@pytest.mark.parametrize(
    ("own", "described", "port_name"),
    [
        ("02:00:00:00:00:0a", "eth3", "eth3"),
        ("0200-0000-000a", "eth3", "eth3"),
        ("02:00:00:00:00:0a", "", "02:00:00:00:00:0a"),
        ("eth3", "to leaf 3", "eth3"),
        ("", "eth3", "eth3"),
    ],
)
def test_a_far_port_that_gives_its_address_goes_by_its_description(own, described, port_name):
    assert far_port(own, described) == port_name


def test_a_command_that_failed_is_a_trouble_and_the_others_stand():
    failed = {"show lldp neighbors | json": {"kind": "timeout", "detail": "silent"}}
    text = answer("arista_eos", failed=failed)
    assert [one.kind for one in troubles(text)] == [Kind.TIMEOUT]
    assert port(text, "Ethernet1/1").state == "active"
    assert troubles(answer("arista_eos", outputs={}))


RICH = {
    **GIVEN,
    "arista_eos": {**GIVEN["arista_eos"], eos.LANES: EOS_LANES, eos.STUCK: EOS_STUCK},
}


@settings(max_examples=80, deadline=None)
@given(
    platform=st.sampled_from(sorted(RICH)),
    cut=st.floats(0, 1),
    edits=st.lists(st.tuples(st.floats(0, 1), st.text(max_size=4)), max_size=4),
)
def test_no_cut_and_no_edit_raises(platform, cut, edits):
    outputs = {}
    for command, whole in RICH[platform].items():
        text = whole[: int(cut * len(whole)) + 1]
        for where, new in edits:
            place = int(where * len(text))
            text = text[:place] + new + text[place + len(new) :]
        outputs[command] = text
    list(SWITCH.parse(answer(platform, outputs=outputs)))
    list(SWITCH.parse(answer(platform)[: int(cut * 500)]))


@pytest.mark.parametrize("text", ["", "\n", "{}", "[]", "7", '{"switch": 1}', "\0", "null"])
def test_rubbish_is_a_trouble(text):
    assert not facts(text)
    assert troubles(text)


LIT = (1.0, 1.0)


def ends(
    near: Port, far: Port, near_optic: Optic, far_optic: Optic, was: tuple[Port, Port] | None = None
):
    """The verdicts of link_ends on one cable, n1 eth0 to leaf-1 p1."""
    probe = Probe(Question("p"), lambda _: (), (Port, Optic, Neighbour), "")
    book = Playbook("t", probes=(probe,), checks=(all_checks()["link_ends"],))
    nodes = [Node("n1"), Node("leaf-1")]

    def seen(one: Port, other: Port, *optics: Optic) -> list[Observation]:
        heard = (Neighbour("eth0", "leaf-1.dc", "p1"), Neighbour("p1", "n1", "eth0"))
        return [
            Observation("n1", "p", NOON, (one, heard[0], *optics[:1])),
            Observation("leaf-1", "p", NOON, (other, heard[1], *optics[1:])),
        ]

    past = Past(seen(*was), 3600.0) if was else NO_PAST
    found = judge(
        book, nodes, seen(near, far, near_optic, far_optic), probes={"p": probe}, past=past
    )
    return [one.verdict for one in found if one.check == "link_ends"]


NEAR, FAR = Port("eth0", "eth0", "active"), Port("p1", "p1", "active")
NEAR_OPTIC = Optic("eth0", tx_mw=LIT, rx_mw=LIT)
FAR_OPTIC = Optic("p1", tx_mw=LIT, rx_mw=LIT)


def only(verdicts):
    told = [one for one in verdicts if one.status is not Status.SKIP]
    assert len(told) == 1, told
    return told[0]


def test_a_link_that_is_well_at_both_ends_passes_once():
    assert only(ends(NEAR, FAR, NEAR_OPTIC, FAR_OPTIC)).status is Status.PASS


def test_an_end_that_cannot_hear_is_judged_by_what_the_other_hears():
    probes = {
        name: Probe(Question(name), lambda _: (), kinds, "")
        for name, kinds in {"p": (Port, Optic), "l": (Neighbour,)}.items()
    }
    book = Playbook("t", probes=(*probes.values(),), checks=(all_checks()["link_ends"],))
    seen = [
        Observation("n1", "p", NOON, (replace(NEAR, state="down"),)),
        Observation("n1", "l", NOON, troubles=(Trouble(Kind.EXIT, "no lldpd"),)),
        Observation("leaf-1", "p", NOON, (replace(FAR, state="down"),)),
        Observation("leaf-1", "l", NOON, (Neighbour("p1", "n1", "eth0"),)),
    ]
    found = judge(book, [Node("n1"), Node("leaf-1")], seen, probes=probes)
    told = {(one.verdict.node, one.verdict.status) for one in found if one.check == "link_ends"}
    assert ("leaf-1", Status.FAIL) in told
    assert ("n1", Status.UNKNOWN) in told


def test_the_end_that_sends_no_light_is_the_bad_one():
    dark = Optic("p1", tx_mw=(1.0, 0.00001), rx_mw=LIT)
    deaf = Optic("eth0", tx_mw=LIT, rx_mw=(1.0, 0.00001))
    said = only(ends(NEAR, FAR, deaf, dark))
    assert (said.node, said.part, said.status) == ("leaf-1", "p1", Status.FAIL)
    assert "n1 eth0 is not to blame" in said.why


def test_light_that_is_lost_on_the_way_is_the_fibre():
    said = only(ends(NEAR, FAR, Optic("eth0", tx_mw=LIT, rx_mw=(0.1, 1.0)), FAR_OPTIC))
    assert (said.node, said.part, said.status) == ("n1", "eth0", Status.FAIL)
    assert "the fibre or a connector" in said.why


def test_packets_broken_at_one_end_are_the_senders():
    was = (Port("eth0", "eth0", "active", counters={"rx_crc_errors_phy": 0}),
           Port("p1", "p1", "active", counters={"rx_crc_errors_phy": 0}))  # fmt: skip
    now = Port("eth0", "eth0", "active", counters={"rx_crc_errors_phy": 50})
    said = only(ends(now, was[1], NEAR_OPTIC, FAR_OPTIC, was))
    assert (said.node, said.status) == ("n1", Status.WARN)
    assert "what leaf-1 p1 sends arrives broken, and not the other way round" in said.why
    assert "swap the module of leaf-1 p1" in said.remedy


def test_a_port_that_somebody_shut_is_said_to_be_shut():
    shut = Port("p1", "p1", "down", enabled=False)
    said = only(ends(Port("eth0", "eth0", "down"), shut, NEAR_OPTIC, FAR_OPTIC))
    assert said.status is Status.FAIL
    assert "leaf-1 p1 is shut by configuration" in said.remedy


def test_a_port_that_the_switch_shut_itself_is_not_said_to_be_configured_so():
    shut = Port("p1", "p1", "down", phys_state="error down(crc-statistics)")
    said = only(ends(Port("eth0", "eth0", "down"), shut, NEAR_OPTIC, FAR_OPTIC))
    assert said.status is Status.FAIL
    assert "leaf-1 p1 was shut by the switch itself (error down(crc-statistics))" in said.remedy


@pytest.mark.parametrize(
    ("near", "far", "role", "status"),
    [
        ("3", "3", "switch", Status.PASS),
        ("3", "3,4", "switch", Status.PASS),  # the node uses fewer
        ("3", "off", "switch", Status.WARN),
        ("5", "3,4", "switch", Status.WARN),
        ("off", "3,4", "switch", Status.PASS),
        ("3", "3,4", "node", Status.WARN),  # two of a kind
        ("", "3,4", "switch", Status.PASS),  # not known
    ],
)
def test_what_a_node_holds_back_its_switch_must_hold_back(near, far, role, status):
    probe = Probe(Question("p"), lambda _: (), (Port, Neighbour, Version), "")
    book = Playbook("t", probes=(probe,), checks=(all_checks()["link_ends"],))
    nodes = [Node("n1"), Node("leaf-1", labels={"role": role})]
    here = [Version("rdma/mlx5_0/pfc", near)] if near else []
    nic = replace(NEAR, part="mlx5_0/1", device="mlx5_0", netdev="eth0")
    seen = [
        Observation("n1", "p", NOON, (nic, Neighbour("eth0", "leaf-1", "p1"), *here)),
        Observation("leaf-1", "p", NOON, (FAR, Version("rdma/p1/pfc", far))),
    ]
    found = judge(book, nodes, seen, probes={"p": probe})
    said = only([one.verdict for one in found if one.check == "link_ends"])
    assert said.status is status
    if status is Status.WARN:
        assert said.actual == f"n1 eth0: {near}; leaf-1 p1: {far}"
