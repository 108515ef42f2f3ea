"""Print what /proc/cpuinfo and sysfs say about the processors, each distinct value once.

256 threads fill 400 kB of cpuinfo; what matters of it fits in a few rows.
"""

import glob
import os

CPU = "/sys/devices/system/cpu"
# x86, aarch64, loongarch64 and ppc64 spell these differently
CPUINFO = {
    *(b"processor", b"model name", b"Model Name", b"cpu model", b"cpu", b"microcode"),
    *(b"CPU implementer", b"CPU part", b"CPU variant", b"CPU revision"),
    *(b"cpu MHz", b"CPU MHz", b"clock", b"physical id", b"package"),
}
ROWS = []


def row(*cells):
    ROWS.append("\t".join(str(cell).replace("\t", " ").replace("\n", " ") for cell in cells))


def text(path):
    """None where there is no such file; a refusal is a row of its own."""
    try:
        with open(path) as file:
            return file.read().strip()
    except (OSError, IOError, UnicodeDecodeError) as error:
        if getattr(error, "errno", None) not in (2, 19, 20):
            row("refused", path, error)
        return None


def cpuinfo():
    seen, threads, mhz = [], 0, []
    try:
        with open("/proc/cpuinfo", "rb") as file:
            for line in file:
                key, colon, value = (cell.strip() for cell in line.partition(b":"))
                if not colon or key not in CPUINFO:
                    continue
                key, value = key.decode("utf-8", "replace"), value.decode("utf-8", "replace")
                if key == "processor" and value.isdigit():
                    threads += 1
                elif key.lower() == "cpu mhz" or key == "clock":
                    mhz.append(float(value.replace("MHz", "")))
                elif (key, value) not in seen:
                    seen.append((key, value))
    except (OSError, IOError, ValueError) as error:
        row("refused", "/proc/cpuinfo", error)
    row("processors", threads)
    if mhz:
        row("mhz", sum(mhz) / len(mhz))
    for key, value in seen[:64]:
        row("cpuinfo", key, value)


def topology():
    """Counts of each processor's own files, so that siblings are not counted twice."""
    packages, cores, hot_packages, hot_cores = set(), set(), {}, {}
    for path in glob.glob(CPU + "/cpu[0-9]*"):
        package = text(path + "/topology/physical_package_id")
        if package is None:
            continue
        siblings = text(path + "/topology/thread_siblings_list")
        packages.add(package)
        cores.add(siblings)
        # Every thread of a core shows its core's count, every thread of a package its package's.
        for name, key, counts in (
            ("core", siblings, hot_cores),
            ("package", package, hot_packages),
        ):
            count = text(path + "/thermal_throttle/" + name + "_throttle_count")
            if count is not None:
                counts[key] = max(counts.get(key, 0), int(count))
    if packages:
        row("sockets", len(packages))
        row("cores", len(cores))
    for name, counts in (("core_throttle", hot_cores), ("package_throttle", hot_packages)):
        if counts:
            row(name, sum(counts.values()))


def frequency():
    governors, fastest = set(), set()
    for path in glob.glob(CPU + "/cpufreq/policy*") or glob.glob(CPU + "/cpu0/cpufreq"):
        governors.add(text(path + "/scaling_governor"))
        fastest.add(text(path + "/cpuinfo_max_freq"))
    for value in sorted(governors - {None}):
        row("governor", value)
    for value in sorted(fastest - {None}):
        row("max_khz", value)


def single():
    for name, path in (
        ("online", CPU + "/online"),
        ("present", CPU + "/present"),
        ("numa", "/sys/devices/system/node/online"),
        ("load", "/proc/loadavg"),
    ):
        value = text(path)
        if value is not None:
            row(name, value)
    row("machine", os.uname().machine)


for part in (cpuinfo, single, topology, frequency):
    try:
        part()
    except Exception as error:
        row("refused", part.__name__, repr(error))
print("\n".join([*ROWS, "end\t%d" % len(ROWS)]))
