"""What the kernel log's patterns match, and that nothing unread passes for a quiet log."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from clusterctl.model import Boot, KernelEvent, Kind, LogWindow, Trouble
from clusterctl.probes import kernel_log
from clusterctl.probes.kernel_log import PATTERNS, Now, Record, event, parse

HERE = Path(__file__).parent
SCRIPT = HERE.parent / "clusterctl" / "remote" / "read_kernel_log.py"
ANSWER = (HERE / "captured" / "kernel_log" / "answer.txt").read_text()
CAPTURES = HERE.parent.parent / "shared" / "captures"
SAMPLES = [
    pytest.param(pattern, id=f"{pattern.kind}-{pattern.code}-{number}")
    for number, pattern in enumerate(PATTERNS)
]
# Each was seen on a healthy machine.
BANNERS = """\
EDAC MC: Ver: 3.0.0
EDAC MC0: Giving out device to module i10nm_edac controller Intel_10nm Socket#0 IMC#0: DEV
pcieport 0000:00:01.0: AER: enabled with IRQ 26
acpi PNP0A08:00: _OSC: platform does not support [SHPCHotplug AER DPC]
mce: CPU supports 20 MCE banks
MCE: In-kernel MCE decoding enabled.
mce: CPU0: Thermal monitoring enabled (TM1)
RAS: Correctable Errors collector initialized.
ERST: Error Record Serialization Table (ERST) support is initialized.
NVRM: loading NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32 UTC 2023
NVRM: GPU at PCI:0000:9b:00: GPU-509665ad-b600-ac93-3616-d754b23d636d
NVRM: GPU Board Serial Number: 1650124014249
NVRM: GPU4 RPC history (CPU -> GSP):
nvidia-peermem nv_get_p2p_free_callback:127 ERROR detected invalid context, skipping further
nvidia-nvswitch2: open (major=510)
nvme nvme3: Shutdown timeout set to 10 seconds
nvme nvme0: 104/0/0 default/read/poll queues
ata3: SATA link down (SStatus 4 SControl 300)
IPv6: ADDRCONF(NETDEV_CHANGE): eth0: link becomes ready
bond0: (slave eth0): link status definitely up, 25000 Mbps full duplex
pcieport 0000:60:01.0: pciehp: Slot(2): Link Up
pcieport 0000:00:1d.0: AER: Corrected error message received from 0000:00:1d.0
mlx5_core 0000:9c:00.0: 252.048 Gb/s available PCIe bandwidth (16.0 GT/s PCIe x16 link)
mlx5_core 0000:dc:00.0: Port module event: module 0, Cable plugged
mlx5_core 0000:dc:00.0: firmware version: 28.39.1002
EXT4-fs (nvme0n1p2): re-mounted 5d2a r/w. Quota mode: none.
EXT4-fs (nvme0n1p2): mounted filesystem 5d2a ro with ordered data mode. Quota mode: none.
XFS (md127): Mounting V5 Filesystem
nfs: server 10.0.96.201 OK
systemd[1]: Kernel panic - not syncing
amdgpu 0000:c1:00.0: amdgpu: PCIE atomic ops is not supported
python3[4242]: NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.
""".splitlines()


def events(text: str) -> list[KernelEvent]:
    return [found for found in parse(text) if isinstance(found, KernelEvent)]


@pytest.mark.parametrize("pattern", SAMPLES)
def test_a_sample_matches_its_own_pattern_and_no_other(pattern):
    assert any(word in pattern.sample for word in pattern.words)
    assert [one for one in PATTERNS if one.compiled.match(pattern.sample)] == [pattern]
    found = event(Record(pattern.sample), Now())
    assert found
    assert found.kind == pattern.kind
    assert found.code == (pattern.code or found.code)
    assert found.code


@pytest.mark.parametrize("line", BANNERS)
def test_a_banner_is_no_event(line):
    assert event(Record(line), Now()) is None


@pytest.mark.parametrize(
    ("line", "part", "code"),
    [
        ("mlx5_core 0000:9d:00.1 enp157s0f1np1: Link up", "enp157s0f1np1", "up"),
        ("tg3 0000:04:00.0 eno8303: Link is down", "eno8303", "down"),
        ("ixgbe 0000:01:00.0: eth0: NIC Link is Up 10 Gbps, Flow Control: RX/TX", "eth0", "up"),
        ("bnxt_en 0000:c1:00.0 ens3f0np0: NIC Link is Down", "ens3f0np0", "down"),
        ("ionic 0000:b5:00.0 enp181s0: Link up - 100 Gbps", "enp181s0", "up"),
        ("ice 0000:31:00.0 ens1f0: NIC Link is up 100 Gbps Full Duplex", "ens1f0", "up"),
        ("hns3 0000:7d:00.0 eno1: link down", "eno1", "down"),
    ],
)
def test_drivers_spell_a_flap_in_many_ways(line, part, code):
    found = event(Record(line), Now())
    assert found == KernelEvent(part, "link", code, line)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("nvme nvme1: I/O tag 535 (1217) opcode 0x2 (I/O Cmd) QID 10 timeout, aborting", "timeout"),
        ("nvme nvme1: Disabling device after reset failure: -19", "removed"),
        ("pcieport 0000:00:1d.0: AER: PCIe Bus Error: severity=Correctable, type=x", "corrected"),
        ("nvidia 0000:1b:00.0: PCIe Bus Error: severity=Uncorrectable (Fatal), type=x", "fatal"),
        ("I/O error, dev sda, sector 1 op 0x0:(READ)", "io_error"),
        ("print_req_error: critical medium error, dev sda, sector 1", "io_error"),
        ("BTRFS info (device sda1): forced readonly", "read_only"),
        ("XFS (sda1): Filesystem has been shut down due to log error (0x2).", "filesystem_error"),
        ("NVRM: GPU 0000:06:00.0: GPU has fallen off the bus.", "fell_off_bus"),
        ("NVRM: fallen off the bus and is not responding to commands.", "fell_off_bus"),
        ("NVRM: Xid (0000:06:00): 79, GPU has fallen off the bus.", "79"),
    ],
)
def test_older_and_newer_kernels_are_understood(line, code):
    found = event(Record(line), Now())
    assert found
    assert found.code == code


def test_no_cut_of_an_answer_says_that_the_log_was_quiet():
    assert any(isinstance(found, LogWindow) for found in parse(ANSWER))
    for place in range(len(ANSWER)):
        found = list(parse(ANSWER[:place]))
        assert any(isinstance(one, Trouble) for one in found)
        assert not any(isinstance(one, LogWindow) for one in found)


def test_a_garbled_line_leaves_no_window():
    found = list(parse(ANSWER.replace("Link down", "L1nk down")))
    assert [one.kind for one in found if isinstance(one, Trouble)] == [Kind.UNREADABLE]
    assert not any(isinstance(one, LogWindow) for one in found)


def test_a_cut_xid_is_not_another_xid():
    assert not events("[5.0] NVRM: Xid (PCI:0000:38:00): 1")


# ------------------------------------------------------------------ the script, on this machine


def read_here(kmsg: str | None, tmp_path: Path, *, user: int = 0) -> str:
    """The script's answer with this text as /dev/kmsg, in a mount namespace of its own."""
    command = [sys.executable, str(SCRIPT), *kernel_log.PROBES[0].question.command]
    if user:  # who may not read our own environment's folders
        asked = kernel_log.PROBES[0].question.command
        command = ["/usr/bin/python3", "-c", SCRIPT.read_text(), *asked]
        command = ["setpriv", f"--reuid={user}", "--clear-groups", *command]
    if kmsg is not None:
        file = tmp_path / "kmsg"
        file.write_text(kmsg)
        inside = 'mount --bind "$0" /dev/kmsg && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", inside, str(file), *command]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    return done.stdout.decode()


namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare"
)


def uptime_us() -> int:
    return int(float(Path("/proc/uptime").read_text().split()[0]) * 1e6)


@namespaces
def test_a_flood_hides_neither_its_size_nor_what_is_in_it(tmp_path):
    now = uptime_us()
    flood = [
        f"4,{number},{now - 900000 + number},-;NVRM: Xid (PCI:0000:38:00): 13, pid={number}, x"
        for number in range(3000)
    ]
    flood[1500] = "4,1500,7,-;NVRM: Xid (PCI:0000:38:00): 79, GPU has fallen off the bus."
    found = events(read_here("\n SUBSYSTEM=pci\n".join(flood) + "\n", tmp_path))
    assert [one.code for one in found].count("79") == 1
    assert sum(one.count for one in found) == 3000
    assert len(found) == 2 * kernel_log.KEEP + 1


@namespaces
def test_a_ring_that_wrapped_covers_only_what_it_still_holds(tmp_path):
    now = uptime_us()
    text = (
        f"6,40,{now - 300_000_000},-;x\n4,41,{now - 10_000_000},-;Out of memory: Killed process 1\n"
    )
    boot, oom, window = parse(read_here(text, tmp_path))
    assert isinstance(boot, Boot)
    assert oom.seconds_ago == pytest.approx(10, abs=5)
    assert window.lost
    assert window.since_s == pytest.approx(300, abs=5)


@namespaces
def test_a_whole_ring_is_quiet_since_boot_and_not_longer(tmp_path):
    boot, window = parse(read_here("6,0,0,-;Linux version 6.1\n", tmp_path))
    assert not window.lost
    assert window.since_s == pytest.approx(min(boot.uptime_s, kernel_log.WINDOW_S), abs=1)


@namespaces
def test_records_with_line_breaks_tabs_and_other_bytes_keep_their_rows(tmp_path):
    text = (
        "4,0,5,-;NVRM: The NVIDIA GPU 0000:b7:00.0\\x0aNVRM: (PCI ID: 10de:2330)\\x09"
        "has\\x0aNVRM: fallen off the bus \\xff\\xfe\n"
    )
    (found,) = events(read_here(text, tmp_path))
    assert (found.part, found.code) == ("0000:b7:00.0", "fell_off_bus")


@namespaces
@pytest.mark.skipif(
    Path("/proc/sys/kernel/dmesg_restrict").read_text().strip() != "1",
    reason="this kernel lets everyone read its log",
)
def test_a_log_that_may_not_be_read_is_denied_and_not_quiet(tmp_path):
    found = list(parse(read_here(None, tmp_path, user=65534)))
    assert [one.kind for one in found if isinstance(one, Trouble)] == [Kind.DENIED]
    assert not any(isinstance(one, LogWindow) for one in found)


# ------------------------------------------------------------------ real logs, kept elsewhere


captures = pytest.mark.skipif(not CAPTURES.exists(), reason="the captures are not here")


def capture(name: str) -> str:
    return (CAPTURES / "dmesg" / name).read_bytes().decode("utf-8", "replace")


@captures
def test_every_collected_xid_and_sxid_is_read():
    text = capture("nvidia_xid_sxid_lines_collected.txt")
    found = [one.code for one in events(text) if one.kind in {"xid", "sxid"}]
    assert found == re.findall(r"X[iI]d \(PCI:[^)]*\): (\d+),", text)
    assert len(events(text)) == len(text.splitlines())


@captures
def test_lines_known_to_be_harmless_are_at_most_remarks_about_unused_ports_and_power():
    found = events(capture("imbue_known_harmless_lines_normalised.txt"))
    assert {(one.kind, one.code) for one in found} == {("mlx5", "power"), ("mlx5", "unplugged")}


@captures
def test_a_healthy_boot_holds_only_remarks():
    found = events(capture("gpud_decode_iso_1.log"))
    assert {one.kind for one in found} == {"mlx5", "link"}
    assert {one.code for one in found} == {"power", "unplugged", "up", "down"}


@captures
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nvme_timeout_reset_removed.txt", {"timeout", "down", "not_ready", "removed"}),
        ("aer_then_nvme_down.txt", {"corrected", "down"}),
        ("mce_edac_mcelog_syslog.txt", {"logged", "ce"}),
        ("gpud_xid119.log", {"119"}),
        ("gpud_dmesg0.log", {"48", "63", "94"}),
        ("gcm_syslog_line183.txt", {"io_error", "filesystem_error"}),
    ],
)
def test_real_faults_are_named(name, told):
    assert {one.code for one in events(capture(name))} == told


# What a reader counts, line by line.
COUNTED = {
    "aer_multiple_corrected_lines.txt": {"aer corrected": 1},
    "aer_pciehp_mlx5_dgx_spark.txt": {"aer corrected": 2},
    "gcm_syslog_line121.txt": {"xid 31": 1, "xid 48": 1},
    "gcm_syslog_line129.txt": {"xid 31": 1},
    "gpud_decode_iso_0.log": {"xid 13": 629, "xid 43": 7},
    "gpud_nccl_segfault.log": {},  # a program's own fault
    "imbue_doctest_lines.txt": {"xid 94": 1, "xid 64": 1, "mlx5 pcie_limited": 1, "sxid 12028": 1},
    "mlx5_lines_nvsentinel_design048.txt": {
        "mlx5 power": 1, "mlx5 module_error": 1, "mlx5 command_timeout": 1,
        "mlx5 health_compromised": 1, "mlx5 unrecoverable": 1, "mlx5 access_reg": 1,
        "link tx_timeout": 1, "mlx5 unplugged": 1, "mlx5 tx_timeout": 1, "mlx5 rx_timeout": 1,
        "hung soft_lockup": 1,
    },
    "nvme_apst_disappear_ts.txt": {"nvme down": 1, "nvme removed": 1},
}  # fmt: skip


@captures
@pytest.mark.parametrize("name", COUNTED)
def test_a_log_holds_what_a_reader_counts(name):
    found = [one for one in kernel_log.parse(capture(name)) if isinstance(one, KernelEvent)]
    told = Counter[str]()
    for one in found:
        told[f"{one.kind} {one.code}"] += one.count
    assert dict(told) == COUNTED[name]


@captures
@pytest.mark.parametrize("name", ["azure_ib_0flap_syslog.txt", "edac_ghes_hpc_csv_export.txt"])
def test_what_is_no_kernel_log_is_no_quiet_log(name):
    assert [one.kind for one in kernel_log.parse(capture(name))] == [Kind.UNREADABLE]
