"""Print what sysfs and ethtool say about each physical network device.  Changes nothing.

Arguments: seconds for all ethtool calls together, seconds for each, a regex that a driver counter's
name must hold, and one that it must not.  Rows, tab-separated: tool (its version, or missing),
device, sys (device, file, text), refused (device, file, errno), info (device, key, value: -i),
modes (device, supported link modes), stat (device, counter, value: -S), fec (device, key, value:
-I --show-fec, of a port with a carrier), module (device, key, value: -m), failed (device, option,
exit status or timeout or skipped, what it said), end (number of rows).
"""

import errno
import os
import re
import subprocess
import sys
import time

NET = "/sys/class/net"
STOP, CALL_S = time.time() + float(sys.argv[1]), float(sys.argv[2])
WANTED, UNWANTED = sys.argv[3:5]  # re keeps what it compiled; without a device, it need not
FILES = (
    "operstate",
    "carrier",
    "carrier_changes",
    "carrier_up_count",
    "carrier_down_count",
    "speed",
    "duplex",
    "mtu",
    "flags",
    "type",
)
BDF = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
PLACES = (os.environ.get("PATH", "") + ":/usr/sbin:/sbin").split(":")
TOOL = next((p + "/ethtool" for p in PLACES if p and os.access(p + "/ethtool", os.X_OK)), None)
COUNT = [0]


def row(*cells):
    text = "\t".join(re.sub(r"[\t\n\r]", " ", str(cell)) for cell in cells) + "\n"
    COUNT[0] += 1
    getattr(sys.stdout, "buffer", sys.stdout).write(text.encode("utf-8", "replace"))
    sys.stdout.flush()


def text(device, name):
    """None where there is no such file or it has nothing to say."""
    try:
        with open(os.path.join(NET, device, name), "rb") as file:
            return file.read(4096).decode("utf-8", "replace").strip()
    except (OSError, IOError) as error:
        # A port that is down has no speed and no carrier: EINVAL, or EOPNOTSUPP of some drivers.
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.EOPNOTSUPP):
            row("refused", device, name, errno.errorcode.get(error.errno, str(error.errno)))
        return None


def has(device, name):
    return os.path.exists(os.path.join(NET, device, name))


def devices():
    """Those on a bus, but not idle virtual functions; in a container, its end of a veth pair."""
    names = sorted(name for name in os.listdir(NET) if has(name, "ifindex"))
    physical = [name for name in names if has(name, "device")]
    if physical:
        return [
            name
            for name in physical
            if not has(name, "device/physfn") or text(name, "operstate") == "up"
        ]
    return [
        name
        for name in names
        if text(name, "type") == "1"
        and text(name, "iflink") != text(name, "ifindex")
        and "DEVTYPE=" not in (text(name, "uevent") or "")
    ]


def run(*arguments):
    """(exit status, output, what it said on stderr), or None where it had to be stopped.

    A call that hangs in its driver dies later or never; it is not waited for.
    """
    env = dict(os.environ, LC_ALL="C")
    pipe = subprocess.PIPE
    tool = subprocess.Popen([TOOL, *arguments], stdout=pipe, stderr=pipe, env=env)
    try:
        texts = tool.communicate(timeout=CALL_S)
    except subprocess.TimeoutExpired:
        tool.kill()
        return None
    out, said = (text.decode("utf-8", "replace") for text in texts)
    return tool.returncode, out, said.strip()


def ask(device, *option):
    """The tool's lines, or None, having said why."""
    if time.time() > STOP:
        row("failed", device, "".join(option), "skipped", "no time was left for this device")
        return None
    answer = run(*option, device)
    if answer is None:
        row("failed", device, "".join(option), "timeout", "no answer in %g s" % CALL_S)
        return None
    code, out, said = answer
    if code != 0:
        row("failed", device, "".join(option), code, (said or out.strip())[:300])
        return None
    return out.split("\n")


def pairs(lines):
    for line in lines or ():
        key, colon, value = line.partition(":")
        if colon and not line.startswith("#"):
            yield key.strip(), value.strip()


def show_files(device):
    for name in FILES:
        value = text(device, name)
        if value is not None:
            row("sys", device, name, value)
    for name in sorted(os.listdir(os.path.join(NET, device, "statistics"))):
        value = text(device, "statistics/" + name)
        if value is not None:
            row("sys", device, "statistics/" + name, value)
    path = os.path.realpath(os.path.join(NET, device, "device"))
    on_bus = [name for name in path.split("/") if BDF.match(name)]
    if on_bus:
        row("sys", device, "pci", on_bus[-1])
    if has(device, "device/driver"):
        driver = os.path.realpath(os.path.join(NET, device, "device/driver"))
        row("sys", device, "driver", os.path.basename(driver))


def show_tool(device):
    for key, value in pairs(ask(device, "-i")):
        if key in ("driver", "firmware-version", "bus-info"):
            row("info", device, key, value)
    settings = "\n".join(ask(device) or ())
    modes = re.search(r"Supported link modes:([^:]*)(?:\n[^\n:]*:|$)", settings)
    if modes:
        row("modes", device, " ".join(modes.group(1).split()))
    for name, value in pairs(ask(device, "-S")):
        if re.search(WANTED, name) and not re.search(UNWANTED, name):
            row("stat", device, name, value)
    if text(device, "carrier") == "1":  # without one the encoding is "None" and says nothing
        for key, value in pairs(ask(device, "-I", "--show-fec")):
            if key in ("Active FEC encoding", "corrected_blocks", "uncorrectable_blocks"):
                row("fec", device, key, value)
    flags = text(device, "flags") or "0"
    if int(flags, 0) & 1:  # a module behind a port that is switched off may be asleep: let it
        lines = ask(device, "-m")
        if lines and lines[0].startswith("Offset"):  # bytes: too old to know this kind of module
            row("failed", device, "-m", "undecoded", lines[0])
            return
        said = list(pairs(lines))
        # A module without flags of its own is held to the limits that are stored in it.
        flags = any(
            re.search("(alarm|warning)( |$)", key) and "thresh" not in key for key, _ in said
        )
        for key, value in said:
            if not (flags and key.endswith("threshold")):
                row("module", device, key, value)


def show(device):
    row("device", device)
    for part in (show_files, show_tool) if TOOL else (show_files,):
        try:
            part(device)
        except Exception as error:
            row("failed", device, part.__name__, "error", repr(error))


def show_version():
    answer = run("--version") if TOOL else (0, "missing", "")
    if answer is None:
        row("failed", "", "--version", "timeout", "no answer in %g s" % CALL_S)
    else:
        row("tool", answer[1].replace("ethtool version", "").strip())


row("clusterctl", "ethtool", 1)
try:
    show_version()
    for found in devices():
        show(found)
except Exception as error:
    row("failed", "", NET, "error", repr(error))
sys.stdout.write("end\t%d\n" % COUNT[0])
