"""The host's probes against this very machine, and against faults made in a mount namespace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clusterctl.catalog import all_probes
from clusterctl.model import Clock, Cpu, Drive, Filesystem, Kind, Memory, Service, Trouble, Version
from clusterctl.probes import clock, drives, mounts, versions
from clusterctl.sysfs import rows

REMOTE = Path(__file__).parent.parent / "clusterctl" / "remote"
CAPTURES = Path(__file__).parent.parent.parent / "shared" / "captures"
HOST = ("cpu", "memory", "drives", "clock", "versions", "mounts")
OLD = sorted(Path.home().glob(".pyenv/versions/3.6.*/bin/python3.6"))  # the oldest we promise
PYTHONS = [sys.executable, *(str(path) for path in OLD[:1])]

needs_captures = pytest.mark.skipif(not CAPTURES.is_dir(), reason="shared/captures is not here")
needs_busybox = pytest.mark.skipif(not shutil.which("busybox"), reason="busybox is absent")
needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode != 0,
    reason="needs root and mount namespaces",
)


def run(argv, **more):
    done = subprocess.run(argv, capture_output=True, check=False, timeout=60, **more)
    return done.stdout.decode("utf-8", "replace")


def script(name, python=sys.executable):
    question = all_probes()[name].question
    return [python, str(REMOTE / f"{question.script}.py"), *question.command]


def ask(name, argv):
    """(facts, troubles) of a command's output on this machine."""
    found = list(all_probes()[name].parse(run(argv)))
    troubles = [item for item in found if isinstance(item, Trouble)]
    return [item for item in found if item not in troubles], troubles


def in_namespace(setup, argv):
    """The command in its own mount namespace, after the shell lines of `setup`."""
    return ["unshare", "-m", "sh", "-e", "-c", f'{setup}\nexec "$@"', "sh", *argv]


# ------------------------------------------------------------------------- this very machine


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", HOST)
def test_every_script_answers_here_with_an_end_mark(name, python):
    text = run(script(name, python))
    assert text
    if name not in ("memory", "versions"):
        assert not [row for row in rows(text) if isinstance(row, Trouble)]


def test_sizes_are_those_of_the_running_kernel():
    facts, troubles = ask("memory", script("memory"))
    whole = next(fact for fact in facts if isinstance(fact, Memory) and fact.part == "memory")
    assert not troubles
    assert whole.total_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_processors_are_those_of_the_running_kernel():
    facts, troubles = ask("cpu", script("cpu"))
    assert not troubles
    (cpu,) = facts
    assert isinstance(cpu, Cpu)
    assert cpu.online == os.sysconf("SC_NPROCESSORS_ONLN")
    assert cpu.model


def test_root_is_as_full_as_statvfs_says():
    facts, troubles = ask("mounts", script("mounts"))
    root = next(fact for fact in facts if fact.part == "/")
    stat = os.statvfs("/")
    assert not troubles
    assert root.size_bytes == stat.f_blocks * stat.f_frsize
    assert abs(root.available_bytes - stat.f_bavail * stat.f_frsize) < 1 << 30


def test_the_kernel_is_always_asked_for_the_clock():
    facts, _ = ask("clock", script("clock"))
    timex = next(fact for fact in facts if isinstance(fact, Clock) and fact.part == "timex")
    assert timex.synchronised is not None


def test_the_kernel_release_is_the_running_one():
    facts, _ = ask("versions", script("versions"))
    assert Version("kernel", os.uname().release) in facts


def test_drives_of_nothing_are_not_drives():
    facts, _ = ask("drives", script("drives"))
    names = {fact.part for fact in facts if isinstance(fact, Drive)}
    assert not [name for name in names if name.startswith(("loop", "ram", "dm-", "zram"))]


@pytest.mark.parametrize("shell", [(), pytest.param(("busybox",), marks=needs_busybox)])
@pytest.mark.parametrize("name", ["memory", "versions", "cpu", "mounts", "drives"])
def test_a_node_without_python_tells_nothing_else(name, shell):
    """Not always as much, but no value of it differs."""
    told = {fact.part: fact for fact in ask(name, script(name))[0]}
    facts, troubles = ask(name, [*shell, *all_probes()[name].question.without_python])
    assert told.keys() & {fact.part for fact in facts}
    assert not troubles
    moving = {"load1", "available_bytes", "swap_free_bytes", "inodes_available", "mhz"}
    for fact in facts:
        if fact.part not in told:  # only sizes the shell cannot tell apart: a bind mount, say
            continue
        for field in set(fact.__slots__) - moving:
            value = getattr(fact, field)
            assert value in (None, "", getattr(told[fact.part], field)), (fact, field)


# ------------------------------------------------------------------------- made faults


DEAD_FILESYSTEM = """
import ctypes, os, sys
# A FUSE server that never answers even INIT: every statfs waits for it, as for a dead NFS server.
descriptor = os.open("/dev/fuse", os.O_RDWR)
os.set_inheritable(descriptor, True)
options = "fd=%d,rootmode=40000,user_id=0,group_id=0" % descriptor
libc = ctypes.CDLL(None, use_errno=True)
for point in sys.argv[1].split(":"):
    done = libc.mount(b"dead", point.encode(), b"fuse.dead", 0, options.encode())
    assert done == 0, os.strerror(ctypes.get_errno())
os.execv(sys.argv[2], sys.argv[2:])
"""


@needs_mounts
@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="no FUSE here")
@pytest.mark.parametrize("python", PYTHONS)
def test_a_dead_file_system_costs_itself_and_not_its_neighbours(tmp_path, python):
    point = tmp_path / "dead"
    point.mkdir()
    argv = [sys.executable, "-c", DEAD_FILESYSTEM, str(point), *script("mounts", python)]
    facts, troubles = ask("mounts", in_namespace(":", argv))
    assert [(trouble.kind, trouble.part) for trouble in troubles] == [(Kind.TIMEOUT, str(point))]
    parts = {fact.part: fact for fact in facts}
    assert parts[str(point)].size_bytes is None
    assert parts["/"].size_bytes


@needs_mounts
def test_fstab_is_held_against_what_is_mounted(tmp_path):
    for name in ("there", "gone", "target", "rofs"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    fstab = tmp_path / "fstab"
    fstab.write_text(
        "# a comment\n"
        f"tmpfs {tmp_path}/there tmpfs defaults 0 0\n"
        f"tmpfs\t{tmp_path}/rofs\ttmpfs\trw,size=1m\n"
        f"tmpfs {tmp_path}/gone tmpfs\n"
        f"tmpfs {tmp_path}/link tmpfs defaults\n"
        f"tmpfs {tmp_path}/other tmpfs noauto\n"
        "/dev/none none swap sw\n"
    )
    setup = (
        f"mount -t tmpfs -o size=1m tmpfs {tmp_path}/there\n"
        f"mount -t tmpfs -o size=1m,ro tmpfs {tmp_path}/rofs\n"
        f"mount -t tmpfs tmpfs {tmp_path}/target\n"
        f"mount --bind {fstab} /etc/fstab\n"
        f"head -c 1048576 /dev/zero > {tmp_path}/there/full || :"
    )
    facts, troubles = ask("mounts", in_namespace(setup, script("mounts")))
    found = {Path(fact.part).name: fact for fact in facts if isinstance(fact, Filesystem)}
    assert not troubles
    assert found["there"].available_bytes == 0
    assert (found["rofs"].read_only, found["rofs"].wanted_read_only) == (True, False)
    assert not found["gone"].mounted
    assert "link" not in found
    assert "other" not in found


NVME = """#!/bin/sh
case "$4" in
  /dev/nvme0) echo '{"critical_warning":0,"temperature":310,"avail_spare":100,
    "spare_thresh":10,"percent_used":2,"media_errors":0}' ;;
  /dev/nvme1) trap '' TERM; exec sleep 60 ;;
  /dev/nvme2) echo 'Failed to open /dev/nvme2: Permission denied' >&2; exit 1 ;;
esac
"""


@needs_mounts
def test_a_drive_that_hangs_costs_its_own_answer(tmp_path):
    tool = tmp_path / "bin" / "nvme"
    tool.parent.mkdir()
    tool.write_text(NVME)
    tool.chmod(0o755)
    for name, transport in (
        ("nvme0", "pcie"),
        ("nvme1", "pcie"),
        ("nvme2", "pcie"),
        ("nvme3", "tcp"),
    ):
        folder = tmp_path / "class" / "nvme" / name
        (folder / f"{name}n1").mkdir(parents=True)
        (folder / f"{name}n1" / "size").write_text("7501476528\n")
        (folder / "transport").write_text(f"{transport}\n")
        (folder / "model").write_text("ACME 3.84TB    \n")
        (folder / "state").write_text("live\n")
    for name in ("loop0", "dm-0", "nvme0n1"):
        (tmp_path / "block" / name / "device").mkdir(parents=True)
    setup = f"mount --bind {tmp_path}/class /sys/class\nmount --bind {tmp_path}/block /sys/block"
    argv = ["env", f"PATH={tool.parent}:{os.environ['PATH']}", *script("drives")]
    facts, troubles = ask("drives", in_namespace(setup, argv))
    kinds = {trouble.part: trouble.kind for trouble in troubles}
    assert kinds == {"nvme1": Kind.TIMEOUT, "nvme2": Kind.DENIED}
    found = {fact.part: fact for fact in facts}
    assert sorted(found) == ["nvme0", "nvme1", "nvme2", "nvme3"]
    assert (found["nvme0"].critical_warning, found["nvme0"].temp_c) == (0, 37)
    assert found["nvme0"].size_bytes == 3840755982336
    for name in ("nvme1", "nvme2", "nvme3"):
        assert found[name].critical_warning is None


SYSTEMCTL = """#!/bin/sh
case "$*" in
  *list-units*) echo 'mnt-data.mount loaded failed failed /mnt/data' ;;
  *show*) echo Id=sshd.service; echo LoadState=loaded; echo ActiveState=active
    echo UnitFileState=enabled ;;
esac
"""


@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="systemd runs here")
def test_where_systemd_does_not_run_there_is_nothing_to_ask():
    probe = all_probes()["services"]
    done = subprocess.run(list(probe.question.command), capture_output=True, check=False)
    assert done.returncode == 127
    assert probe.optional


@needs_mounts
@needs_busybox
@pytest.mark.parametrize("shell", [(), ("busybox",)])
def test_services_are_asked_of_systemd_where_it_runs(tmp_path, shell):
    tool = tmp_path / "systemctl"
    tool.write_text(SYSTEMCTL)
    tool.chmod(0o755)
    setup = "mount -t tmpfs tmpfs /run\nmkdir -p /run/systemd/system"
    command = [*shell, *all_probes()["services"].question.command]
    argv = ["env", f"PATH={tmp_path}:{os.environ['PATH']}", *command]
    facts, troubles = ask("services", in_namespace(setup, argv))
    assert not troubles
    assert facts == [Service("sshd", "active", enabled=True), Service("mnt-data.mount", "failed")]


@needs_mounts
def test_a_systemctl_that_fails_is_trouble(tmp_path):
    tool = tmp_path / "systemctl"
    tool.write_text(
        "#!/bin/sh\necho 'Failed to connect to bus: Connection timed out' >&2\nexit 1\n"
    )
    tool.chmod(0o755)
    setup = "mount -t tmpfs tmpfs /run\nmkdir -p /run/systemd/system"
    command = list(all_probes()["services"].question.command)
    argv = in_namespace(setup, ["env", f"PATH={tmp_path}:{os.environ['PATH']}", *command])
    assert subprocess.run(argv, capture_output=True, check=False).returncode == 1
    assert [item.kind for item in all_probes()["services"].parse(run(argv))] == [Kind.CUT]


# ------------------------------------------------------------------------- parsers


@pytest.mark.parametrize("name", ["cpu", "drives", "clock", "mounts"])
def test_a_lost_row_is_seen(name):
    for case in sorted((Path(__file__).parent / "captured" / name).glob("*.txt")):
        lines = case.read_text().splitlines(keepends=True)
        for index in range(len(lines)):
            text = "".join(lines[:index] + lines[index + 1 :])
            assert any(isinstance(item, Trouble) for item in all_probes()[name].parse(text)), (
                case,
                index,
            )


@needs_captures
@pytest.mark.parametrize(
    ("file", "temp_c", "used"),
    [
        ("v2.11_nvme-smart-log.json", 51, 30),
        ("v2.3_nvme-smart-log-float.json", 37, 2),
        ("v2.3_nvme-smart-log-string.json", 37, 2),
    ],
)
def test_every_version_of_nvme_cli_is_understood(file, temp_c, used):
    log = drives.nvme("0", (CAPTURES / "nvme" / file).read_text().replace("\n", " "))
    assert (log["temp_c"], log["used_percent"], log["spare_percent"]) == (temp_c, used, 100)
    assert (log["critical_warning"], log["media_errors"]) == (0, 0)


@needs_captures
@pytest.mark.parametrize(
    ("file", "synchronised"),
    [
        ("tracking_csv__cheynewallace_pps.txt", True),
        ("tracking_csv__not_synchronised_thirdparty.txt", False),
    ],
)
def test_chrony_as_captured(file, synchronised):
    fact = clock.chrony([(CAPTURES / "chronyc" / file).read_text().strip()])
    assert fact.synchronised is synchronised
    assert (fact.offset_s is not None) is synchronised


def test_a_clock_that_is_not_synchronised_has_no_offset_to_pass():
    (fact,) = clock.parse("timex\t5\t65\t0\t16000000\t16000000\nend\t1\n")
    assert (fact.synchronised, fact.offset_s, fact.uncertainty_s) == (False, None, None)


@pytest.mark.parametrize(
    ("options", "read_only"),
    [
        ("defaults", False),
        ("errors=remount-ro", False),
        ("ro", True),
        ("rw,noatime,ro", True),
        ("ro,rw", False),
        ("roots=1", False),
    ],
)
def test_fstab_asks_for_read_only_in_one_word(options, read_only):
    assert mounts.asks_read_only(options) is read_only


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("BOOT_IMAGE=/boot/x root=UUID=1 ro quiet", ["ro", "quiet"]),
        ('iommu=pt console="ttyS0 115200"', ["iommu=pt", 'console="ttyS0 115200"']),
        ("ipv6.disable=1 rootwait", ["ipv6.disable=1", "rootwait"]),
    ],
)
def test_only_what_every_node_has_of_its_own_leaves_the_command_line(line, kept):
    assert versions.settings(line) == kept


def test_every_setting_asked_for_says_why():
    assert all(len(why) > 5 for why in versions.SYSCTLS.values())


def test_deep_json_is_unreadable_and_not_a_crash():
    text = "health\tnvme0\tnvme\t0\t" + '{"a":' + "[" * 200_000 + "\nend\t1\n"
    troubles = [item for item in drives.parse(text) if isinstance(item, Trouble)]
    assert [trouble.kind for trouble in troubles] == [Kind.UNREADABLE]


def test_a_missing_health_field_is_never_zero():
    log = {"critical_warning": 0, "temperature": 310, "avail_spare": 100, "spare_thresh": 10}
    log |= {"percent_used": 1, "media_errors": 0}
    for name in log:
        text = json.dumps({key: value for key, value in log.items() if key != name})
        found = list(drives.parse(f"health\tnvme0\tnvme\t0\t{text}\nend\t1\n"))
        assert [item.kind for item in found if isinstance(item, Trouble)] == [Kind.UNREADABLE], name
        assert all(item.critical_warning is None for item in found if isinstance(item, Drive))
