"""Tables of the checks about what a BMC tells."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from rows import row

from clusterctl.model import Chassis, Fan, Psu, SelEvent, Sensor

PSU = Psu("psu1", present=True, health="ok", words=("Presence detected",))
LOST = replace(PSU, health="critical", words=("Presence detected", "Power Supply AC lost"))
SPARE = Sensor("PS Redundancy", "redundancy", health="ok", words=("Fully Redundant",))
PSUS = (
    row("a supply that is well", PSU, expect={"psu1": "pass"}),
    row("a supply without its feed", LOST, expect={"psu1": "fail"}, says="no feed"),
    row(
        "a supply that foresees its end",
        replace(PSU, health="warning", words=("Predictive failure",)),
        expect={"psu1": "warn"},
        says="reseat",
    ),
    row("an empty bay", Psu("psu6", present=False), expect={"psu6": "skip"}),
    row("a supply of which nothing is said", Psu("psu1"), expect={"psu1": "skip"}),
    row(
        "no spare left",
        PSU,
        replace(SPARE, health="critical", words=("Redundancy Lost",)),
        expect={"psu1": "pass", "PS Redundancy": "warn"},
    ),
    row("a spare", PSU, SPARE, expect={"PS Redundancy": "pass"}),
    row(
        "words about the spare that nobody knows",
        PSU,
        replace(SPARE, health=None, words=("State 7",)),
        expect={"PS Redundancy": "unknown"},
    ),
)

FAN = Fan("Fan 1", rpm=5040.0, health="ok", low_critical_rpm=1000.0)
FANS = (
    row("a fan that turns", FAN, expect={"Fan 1": "pass"}),
    row("a fan by its share", Fan("Fan 1", percent=40.0), expect={"Fan 1": "pass"}),
    row("a fan that stands", Fan("Fan 1", rpm=0.0), expect={"Fan 1": "fail"}, says="stands still"),
    row(
        "a fan that the board lets stand",
        Fan("Fan 1", rpm=0.0, health="ok"),
        expect={"Fan 1": "skip"},
    ),
    row("a fan below its threshold", replace(FAN, rpm=900.0), expect={"Fan 1": "fail"}),
    row("a fan called critical", Fan("Fan 1", health="critical"), expect={"Fan 1": "fail"}),
    row("a fan called slow", replace(FAN, rpm=1200.0, health="warning"), expect={"Fan 1": "warn"}),
    row("a place without a fan", Fan("Fan 9", present=False), expect={"Fan 9": "skip"}),
    row("a fan that says nothing", Fan("Fan 1"), expect={"Fan 1": "skip"}),
    row(
        "a fan that went silent",
        Fan("Fan 1"),
        reported=frozenset({("Fan", "", "rpm")}),
        expect={"Fan 1": "unknown"},
    ),
)

INLET = Sensor("Inlet Temp", "inlet", measured=25.0, unit="c", health="ok")
COOLANT = Sensor("Coolant In", "coolant_in", measured=45.0, unit="c")
INLETS = (
    row("cool air", INLET, expect={"Inlet Temp": "pass"}),
    row("warm air", replace(INLET, measured=33.0), expect={"Inlet Temp": "warn"}),
    row("hot air", replace(INLET, measured=36.0), expect={"Inlet Temp": "fail"}, says="aisle"),
    row("at the limit", replace(INLET, measured=32.0), expect={"Inlet Temp": "pass"}),
    row(
        "hot by the board's own limit",
        replace(INLET, measured=31.0, high_critical=30.0),
        expect={"Inlet Temp": "fail"},
        says="≤ 30 °C",
    ),
    row("no reading", replace(INLET, measured=None), expect={"Inlet Temp": "skip"}),
    row("coolant without a limit", COOLANT, expect={"Coolant In": "skip"}),
    row(
        "coolant within its limit",
        replace(COOLANT, high_critical=50.0),
        expect={"Coolant In": "pass"},
    ),
    row(
        "hot coolant",
        replace(COOLANT, high_critical=44.0),
        expect={"Coolant In": "fail"},
        says="distribution",
    ),
)

VR = Sensor("VR Temp", "temperature", measured=60.0, unit="c", health="ok")
BMC = Chassis("bmc", power="on", health="ok")
BOARD = (
    row("well", VR, BMC, expect={"VR Temp": "pass", "bmc": "pass"}),
    row(
        "a hot regulator",
        replace(VR, health="critical", measured=110.0, high_critical=105.0),
        expect={"VR Temp": "fail"},
        says="≤ 105 c",
    ),
    row("a warm one", replace(VR, health="warning"), expect={"VR Temp": "warn"}),
    row("not judged by the board", replace(VR, health=None), expect={"VR Temp": "skip"}),
    row("inlets are another's", INLET, BMC, expect={"bmc": "pass"}),
    row(
        "a main power fault",
        replace(BMC, faults=("main power fault",)),
        expect={"bmc": "fail"},
        says="main power fault",
    ),
    row("a machine that warns", replace(BMC, health="warning"), expect={"bmc": "warn"}),
    row("nothing said", Chassis("bmc"), expect={"bmc": "skip"}),
)

DAY = datetime(2026, 1, 1, 12, tzinfo=UTC)
ECC = SelEvent(
    "Mmry ECC",
    "2cd",
    "Uncorrectable ECC",
    asserted=True,
    sensor_type="Memory",
    at=DAY,
    seconds_ago=60.0,
    source="x",
)
COLD = SelEvent(
    "SSB Temp",
    "2be",
    "Lower Critical going low",
    asserted=True,
    sensor_type="Temperature",
    at=DAY,
    source="x",
    seconds_ago=50.0,
)
BACK = replace(COLD, record="2bf", asserted=False, at=DAY + timedelta(seconds=1))
FEED = SelEvent(
    "PS1 Status",
    "2e6",
    "Power Supply AC lost",
    asserted=True,
    sensor_type="Power Supply",
    at=DAY,
    source="x",
    seconds_ago=40.0,
)
FED = replace(FEED, record="2e8", asserted=False, at=DAY + timedelta(seconds=7))
SEL = (
    row("an empty log", BMC, expect={"sel": "pass"}),
    row("an old fault seen before", BMC, ECC, earlier=(BMC, ECC), expect={"sel": "pass"}),
    row("a new fault", BMC, ECC, earlier=(BMC,), expect={"sel:Mmry ECC": "fail"}),
    row("a fault of today at a first reading", BMC, ECC, expect={"sel:Mmry ECC": "fail"}),
    row(
        "a fault of last week at a first reading",
        BMC,
        replace(ECC, seconds_ago=7 * 86400.0),
        expect={"sel": "pass"},
    ),
    row(
        "records without age at a first reading",
        BMC,
        replace(ECC, seconds_ago=None),
        expect={"sel": "skip"},
    ),
    row("a reading that was back at once", BMC, COLD, BACK, earlier=(BMC,), expect={"sel": "pass"}),
    row(
        "a feed that came back",
        BMC,
        FEED,
        FED,
        earlier=(BMC,),
        expect={"sel:PS1 Status": "warn"},
        says="ended after 7 s",
    ),
    row("a feed that did not", BMC, FEED, earlier=(BMC,), expect={"sel:PS1 Status": "fail"}),
    row(
        "read by another tool before",
        BMC,
        ECC,
        earlier=(BMC, replace(FEED, source="y")),
        expect={"sel:Mmry ECC": "fail"},
    ),
    row(
        "a button",
        BMC,
        SelEvent(
            "Button", "1", "Power Button pressed", asserted=True, sensor_type="Button", source="x"
        ),
        earlier=(BMC,),
        expect={"sel": "pass"},
    ),
    row(
        "words that nobody knows",
        BMC,
        SelEvent("Thing", "1", "OEM 0xab", asserted=True, sensor_type="OEM", source="x"),
        earlier=(BMC,),
        expect={"sel:Thing": "warn"},
    ),
    row(
        "what the BMC itself grades",
        BMC,
        SelEvent("Thing", "1", "something", severity="critical", source="x"),
        earlier=(BMC,),
        expect={"sel:Thing": "fail"},
    ),
)

TABLES = {
    "psu": PSUS,
    "fan": FANS,
    "inlet_temperature": INLETS,
    "board_sensors": BOARD,
    "sel": SEL,
}
