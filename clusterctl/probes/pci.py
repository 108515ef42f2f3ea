"""Every accelerator, NIC and NVMe function on the PCI bus, whether or not its driver lives.

Files: https://www.kernel.org/doc/Documentation/ABI/testing/sysfs-bus-pci and
https://www.kernel.org/doc/Documentation/ABI/testing/sysfs-bus-pci-devices-aer
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from clusterctl.model import Fact, Kind, PcieDevice, Probe, Question, Trouble
from clusterctl.spelling import Unreadable, count, pci_address, visible
from clusterctl.sysfs import contents, files

BUS = "/sys/bus/pci/devices"
END = "/proc/sys/kernel/ostype"  # asked for last, there on every kernel: without it we were cut off

# Vendor ids of accelerators, as pci.ids 2026.08.22 has them (https://pci-ids.ucw.cz) unless a line
# says otherwise.
VENDORS = {
    "10de": "nvidia",
    "1002": "amd",
    "8086": "intel",
    "19e5": "huawei",  # Ascend 910A's `npu-smi info -t board` says "PCI Vendor ID : 0x19E5"
    "1d94": "hygon",
    "1ed5": "moorethreads",
    "1e36": "enflame",  # efsmi -q of an S60 says "Vendor ID : 1e36"
    "1d22": "kunlunxin",  # Baidu; device 3684 is "Kunlun AI Accelerator"
    "2057": "kunlunxin",  # not in pci.ids: xpu-smi -q of a P800 says "Device Id : 0x36862057"
    "cabc": "cambricon",
    "1e3e": "iluvatar",
    "9999": "metax",
    "1ded": "thead",  # Alibaba
    # Not in pci.ids: github.com/BirenTechnology/k8s-device-plugin: BirenVendorID
    "1ee0": "biren",
    # Tecorigin: neither pci.ids nor any public source of Tecorigin's says its id, so its cards have
    # no vendor here; teco_smi shows whose they are.
    "1da3": "habana",
    "1e9f": "lynxi",
    "1d95": "graphcore",
    "1de0": "groq",
    "1e60": "hailo",
    "1ed2": "furiosa",
    "0731": "jingjia",
    "1ec6": "vastai",
    "1ecc": "sunrise",
    "1e30": "sophgo",
    "1f1c": "sophgo",
    "1e52": "tenstorrent",
    "1e67": "untether",
    "1eff": "rebellions",
    "1f82": "dmatrix",
    "4c54": "lisuan",
    "6766": "glenfly",
    "8510": "sietium",
}
# Known by name, and no probe asks their cards.
UNASKED = frozenset(
    {
        *("8086", "1da3", "1e9f", "1d95", "1de0", "1e60", "1ed2", "0731", "1ec6", "1ecc"),
        *("1e30", "1f1c", "1e52", "1e67", "1eff", "1f82", "4c54", "6766", "8510"),
    }
)

# https://pci-ids.ucw.cz/read/PD: 3D controller, co-processor, processing accelerator
ACCELERATORS = frozenset({"0302", "0b40", "1200"})
# VGA and other display controllers: a card with a monitor's plug may be an accelerator's as well.
# MI100 (1002:738c), C500 (9999:4001) and Intel's Flex and Max are "Display controller" 0380.
DISPLAYS = frozenset({"0300", "0380"})
# Graphics of BMCs, virtual machines and chipsets, as pci.ids names them.
MONITORS = frozenset(
    {
        *("1a03", "102b", "1050", "126f", "18ca", "1013", "5333", "1039"),  # ASPEED, Matrox, …
        *("1234", "1b36", "1af4", "15ad", "80ee", "1414", "1ab8", "1d0f"),  # QEMU, VMware, …
        *("0014", "1d17", "1db7", "1106"),  # Loongson, Zhaoxin, Phytium, VIA
    }
)
NICS = frozenset({"0200", "0207"})
DRIVES = frozenset({"0108"})

# vendor:class:device that look like accelerators and are none.
NO_ACCELERATOR = re.compile(
    "8086:0b40:.*"  # QuickAssist, four to eight in every Xeon node
    "|8086:0300:.*"  # a CPU's own graphics
    "|19e5:.*:a[12]..|19e5:0300:.*"  # Kunpeng's ZIP, SEC and SDI engines; iBMC's VGA (Hi171x)
    "|1002:0300:(515e|5969|4752)"  # ES1000 and Rage XL: BMC graphics of older servers
    "|0014:0302:7a.5"  # graphics within Loongson's bridges: 7a15 "Vivante GPU"
)

# Speeds as the kernel's pci_speed_string() writes them: "16.0 GT/s PCIe", "16 GT/s" before 5.7
GENERATION = {"2.5": 1, "5": 2, "8": 3, "16": 4, "32": 5, "64": 6}
WIDTH_UNKNOWN = 255  # PCIE_LNK_WIDTH_UNKNOWN
ALL_ONES = 63  # six bits of the link status read as ones: nobody answers at that address


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """One PcieDevice a function.  A cut answer keeps the functions it holds whole."""
    texts, troubles = contents(stdout)
    functions = by_function(texts)
    for trouble in troubles:
        yield replace(trouble, part=part_of(trouble.part))
    if END not in texts:
        yield Trouble(Kind.CUT, "the list of PCI functions ends early")
        functions = whole_functions(stdout, functions)
    elif not any(path.startswith(BUS) for path in texts):
        yield Trouble(Kind.MISSING, f"{BUS} is not there or empty (a container?)")
    for part, found in functions.items():
        yield from function(part, found)


def part_of(path: str) -> str:
    try:
        return pci_address(path.removeprefix(BUS + "/").partition("/")[0])
    except Unreadable:
        return ""


def by_function(texts: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """{address: {file: text}}, in the order of the answer."""
    functions: dict[str, dict[str, str]] = {}
    for path, text in texts.items():
        if path.startswith(BUS + "/") and (part := part_of(path)):
            functions.setdefault(part, {})[path.rpartition("/")[2]] = text
    return functions


def whole_functions(stdout: str, functions: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Without the last one, which may lack files; none, where the answer goes file by file."""
    parts = [part_of(line.partition("\t")[0]) for line in stdout.split("\n")]
    runs = [part for at, part in enumerate(parts) if part and part not in parts[at - 1 : at]]
    if len(runs) != len(set(runs)):
        return {}
    return {part: functions[part] for part in runs[:-1] if part in functions}


def function(part: str, found: Mapping[str, str]) -> Iterator[Fact | Trouble]:
    try:
        vendor_id, device_id = hexadecimal(found, "vendor", 4), hexadecimal(found, "device", 4)
        class_id = hexadecimal(found, "class", 6)
    except Unreadable as error:
        yield Trouble(Kind.UNREADABLE, str(error), part)
        return
    kind = kind_of(vendor_id, device_id, class_id[:4])
    if kind == "other":
        return
    values: dict[str, int | None] = {}
    for name, read in READERS.items():
        try:
            values[name] = read(found)
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, str(error), part)
    for name in ("width", "width_max"):
        # Healthy virtual functions of NICs say 0; an accelerator that says it has lost its link.
        if values.get(name) == 0 and not (kind == "accelerator" and values.get("width_max")):
            values[name] = None
    speed = found.get("current_link_speed", "")
    if kind == "accelerator" and speed.startswith("Unknown") and values.get("width"):
        yield Trouble(Kind.UNREADABLE, f"current_link_speed is {visible(speed, 40)}", part)
    yield PcieDevice(
        part,
        kind,
        vendor_id,
        device_id,
        class_id,
        vendor=VENDORS.get(vendor_id, "") if kind == "accelerator" else "",
        askable=vendor_id not in UNASKED,
        driver=found.get("driver@", ""),
        **values,
    )


def kind_of(vendor_id: str, device_id: str, class_id: str) -> str:
    if class_id in NICS:
        return "nic"
    if class_id in DRIVES:
        return "nvme"
    if NO_ACCELERATOR.fullmatch(f"{vendor_id}:{class_id}:{device_id}"):
        return "other"
    if class_id in ACCELERATORS or (class_id in DISPLAYS and vendor_id not in MONITORS):
        return "accelerator"
    return "other"


def hexadecimal(found: Mapping[str, str], name: str, digits: int) -> str:
    """0x10de without its 0x."""
    text = found.get(name, "")
    if not re.fullmatch(rf"0x[0-9a-f]{{{digits}}}", text):
        raise Unreadable(f"{name} is not {digits} hex digits: {visible(text, 40)!r}")
    return text[2:]


def generation(found: Mapping[str, str], name: str) -> int | None:
    text = found.get(name)
    if text is None or text.startswith("Unknown"):
        return None
    match = re.fullmatch(r"(\d+(?:\.5)?)(?:\.0)? GT/s(?: PCIe)?", text)
    if not match or match[1] not in GENERATION:
        raise Unreadable(f"{name} is no PCIe speed: {visible(text, 40)!r}")
    return GENERATION[match[1]]


def lanes(found: Mapping[str, str], name: str) -> int | None:
    text = found.get(name)
    if text is None:
        return None
    value = count(text)
    if value == ALL_ONES:
        raise Unreadable(f"{name} reads as all ones: the device fell off the bus")
    return None if value == WIDTH_UNKNOWN else value


def numa_node(found: Mapping[str, str]) -> int | None:
    text = found.get("numa_node")
    return None if text in (None, "-1") else count(text)


def aer_total(found: Mapping[str, str], file: str, total: str) -> int | None:
    text = found.get(file)
    if text is None:
        return None
    for line in text.split("\n"):
        name, _, value = line.partition(" ")
        if name == total:
            return count(value)
    raise Unreadable(f"{file} has no {total}")


READERS: dict[str, Callable[[Mapping[str, str]], int | None]] = {
    "gen": lambda found: generation(found, "current_link_speed"),
    "gen_max": lambda found: generation(found, "max_link_speed"),
    "width": lambda found: lanes(found, "current_link_width"),
    "width_max": lambda found: lanes(found, "max_link_width"),
    "numa_node": numa_node,
    "aer_corrected": lambda found: aer_total(found, "aer_dev_correctable", "TOTAL_ERR_COR"),
    "aer_nonfatal": lambda found: aer_total(found, "aer_dev_nonfatal", "TOTAL_ERR_NONFATAL"),
    "aer_fatal": lambda found: aer_total(found, "aer_dev_fatal", "TOTAL_ERR_FATAL"),
}

SHELL_DRIVERS = (
    f'for l in {BUS}/*/driver; do t=$(readlink "$l") && '
    'printf "%s@\\t%s\\n" "$l" "${t##*/}"; done; '
)
SHELL_FILES = files(
    "pci",
    *(
        f"{BUS}/*/{name}"
        for name in (
            *("vendor", "device", "class", "numa_node"),
            *("current_link_speed", "max_link_speed", "current_link_width", "max_link_width"),
            *("aer_dev_correctable", "aer_dev_nonfatal", "aer_dev_fatal"),
        )
    ),
    END,
).without_python[-1]

PROBES = (
    Probe(
        Question(
            "pci",
            command=(*sorted(ACCELERATORS | DISPLAYS | NICS | DRIVES),),
            script="read_pci",
            brief=True,
            without_python=("sh", "-c", SHELL_DRIVERS + SHELL_FILES),
            cap_bytes=4 << 20,  # without Python all functions are listed: 3 kB each with AER
        ),
        parse,
        yields=(PcieDevice,),
        about="accelerators, NICs and NVMe drives on the PCI bus, known vendor or not",
        proven="hardware",
    ),
)
