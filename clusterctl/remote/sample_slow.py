"""Sample what takes its time: power meters and supplies, and the modules in ports.

A process of its own, because an ACPI meter's value is the BMC's answer, which may take seconds, and
a module is read over a slow bus of its own.  Arguments: seconds between looks at power, and between
looks at modules.  A line a look: {"names": […], "values": […]} where names are new, else what
changed, [index, value, …].

    meter.hwmon2.node_w     Linux Documentation/hwmon/acpi_power_meter.rst: the whole node
    psu.hwmon4.in_w, in_v   Documentation/hwmon/pmbus.rst: what a supply labels pin and vin
    optic.eth0.temp_c, rx1_nw, tx1_nw    `ethtool -m`, of each lane
"""

import glob
import json
import os
import re
import subprocess
import sys
import time

HWMON, NET = "/sys/class/hwmon", "/sys/class/net"
CALL_S = 15.0
PLACES = (os.environ.get("PATH", "") + ":/usr/sbin:/sbin").split(":")
LANE = r"\s*(?:\((?:Chan|Channel) ([0-9]{1,2})\))?"
LIGHT = re.compile(
    r"(?:(Receiver signal average optical power|Receiver signal OMA|Rcvr signal avg optical power"
    r"|Laser rx power)|Laser output power|Laser tx power|Transmit avg optical power)" + LANE
)
MILLIWATTS = re.compile(r"([0-9.]{1,12}) mW\b.*")
DEGREES = re.compile(r"(-?[0-9.]{1,12}) degrees C\b.*")


def text(*path):
    """Empty where there is no such file."""
    try:
        with open(os.path.join(*path)) as file:
            return file.read(4096).strip()
    except (OSError, ValueError):
        return ""


def whole(scale, *path):
    """A file's number in another unit; "!" where it says nothing."""
    said = text(*path)
    return int(said) // scale if re.fullmatch(r"-?\d{1,18}", said) else "!"


def power():
    for place in sorted(glob.glob(HWMON + "/hwmon*")):
        chip = os.path.basename(place)
        if text(place, "name") == "power_meter":
            yield "meter.%s.node_w" % chip, whole(1000000, place, "power1_average")
        elif text(place, "power1_label") == "pin":
            yield "psu.%s.in_w" % chip, whole(1000000, place, "power1_input")
            if text(place, "in1_label") == "vin":
                yield "psu.%s.in_v" % chip, whole(1000, place, "in1_input")


def modules():
    tool = next((p + "/ethtool" for p in PLACES if p and os.access(p + "/ethtool", os.X_OK)), None)
    for path in sorted(glob.glob(NET + "/*/device")) if tool else ():
        device = os.path.basename(os.path.dirname(path))
        if not os.path.exists(path + "/physfn"):
            for name, value in module(said_by([tool, "-m", device])):
                yield "optic.%s.%s" % (device, name), value


def said_by(command):
    """Empty where it fails, as it does of copper; one that hangs is left to its driver."""
    pipe, env = subprocess.PIPE, dict(os.environ, LC_ALL="C")
    try:
        tool = subprocess.Popen(command, stdout=pipe, stderr=subprocess.DEVNULL, env=env)
    except OSError:
        return ""
    try:
        out = tool.communicate(timeout=CALL_S)[0]
    except subprocess.TimeoutExpired:
        tool.kill()
        return ""
    return out.decode("utf-8", "replace") if tool.returncode == 0 else ""


def module(said):
    for line in said.split("\n"):
        key, _, value = (cell.strip() for cell in line.partition(":"))
        light, watts = LIGHT.fullmatch(key), MILLIWATTS.fullmatch(value)
        if light and watts:
            way = "rx" if light.group(1) else "tx"
            yield "%s%s_nw" % (way, light.group(2) or "1"), round(float(watts.group(1)) * 1e6)
        elif key == "Module temperature" and DEGREES.fullmatch(value):
            yield "temp_c", round(float(DEGREES.fullmatch(value).group(1)))


def told(before, found):
    """What to say where `before` was said already: both (names, values)."""
    if before is None or before[0] != found[0]:
        return {"names": found[0], "values": found[1]}
    changes = []
    for index, value in enumerate(found[1]):
        if value != before[1][index]:
            changes += [index, value]
    return changes


def main(power_s, modules_s):
    before, light, look_at = None, {}, 0.0
    while True:
        if time.monotonic() >= look_at:
            light, look_at = dict(modules()), time.monotonic() + float(modules_s)
        every = dict(power(), **light)
        found = (list(every), list(every.values()))
        os.write(1, (json.dumps(told(before, found), separators=(",", ":")) + "\n").encode())
        before = found
        time.sleep(float(power_s))


if __name__ == "__main__":
    main(*sys.argv[1:])
