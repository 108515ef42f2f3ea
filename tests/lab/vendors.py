"""Nodes of other vendors: their cards on the bus, and a tool that prints what it is given."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence

import cards
import image
from lab import Lab

# What it was asked decides what it prints; a call that nobody gave an answer for fails.
TOOL = """\
#!/bin/sh
f=/{state}/tools/{name}/$(printf %s "$*" | md5sum | cut -c1-32)
[ -e "$f" ] || {{ echo "{name}: the lab has no answer to: $*" >&2; exit 64; }}
cat "$f"
[ ! -e "$f.exit" ] || exit "$(cat "$f.exit")"
"""
# As arch/loongarch/kernel/proc.c of Linux writes it, for a Loongson 3C6000.
LOONGSON = """\
system type\t\t: generic-loongson-machine

processor\t\t: {cpu}
package\t\t\t: 0
core\t\t\t: {cpu}
global_id\t\t: {cpu}
CPU Family\t\t: Loongson-64bit
Model Name\t\t: Loongson-3C6000/S
CPU Revision\t\t: 0x00
FPU Revision\t\t: 0x00
CPU MHz\t\t\t: 2200.00
BogoMIPS\t\t: 4400.00
TLB Entries\t\t: 2112
Address Sizes\t\t: 48 bits physical, 48 bits virtual
ISA\t\t\t: loongarch32 loongarch64
Features\t\t: cpucfg lam ual fpu lsx lasx crc32 complex crypto lvz lbt_x86 lbt_arm lbt_mips
Hardware Watchpoint\t: yes, iwatch count: 8, dwatch count: 4

"""
# Of NVIDIA there is nothing on such a node.
STRIP = "; ".join(
    (
        "rm -f /usr/lib/libnvidia-ml.so.1 /usr/lib/libcuda.so.1 /usr/bin/nvidia-smi",
        "rm -rf /sys/module/nvidia /sys/module/nvidia_peermem",
        "umount /proc/driver 2>/dev/null",
        f"sed -i /nvidia-/d /{image.STATE}/services",
    )
)

Answers = Mapping[str, tuple[str, int]]  # arguments -> (output, exit code)


def become(
    lab: Lab,
    node: str,
    *,
    ids: tuple[str, str, str],
    driver: str,
    addresses: Sequence[str],
    tool: str,
    answers: Answers,
) -> None:
    """Its eight GPUs go; cards of `ids` (vendor, device, class) sit at `addresses` instead."""
    gone = " ".join(
        f"/sys/bus/pci/devices/{cards.gpu_card(slot).address}" for slot in range(lab.gpus)
    )
    lab.do(node, "/bin/sh", "-c", f"rm -rf {gone}; {STRIP}")
    place(lab, node, [entry for at in addresses for entry in card(at, ids, driver)])
    place(lab, node, stub(tool, answers))


def place(lab: Lab, node: str, files: Iterable[tuple[str, str]]) -> None:
    """Put files on the node, by their paths below its root."""
    lab.do(node, "/bin/sh", "-c", "base64 -d | tar -C / -xf -", stdin=packed(files))


def card(address: str, ids: tuple[str, str, str], driver: str) -> Iterator[tuple[str, str]]:
    base = f"sys/bus/pci/devices/{address}"
    for name, value in zip(("vendor", "device", "class"), ids, strict=True):
        yield f"{base}/{name}", f"0x{value}\n"
    for which in ("current", "max"):
        yield f"{base}/{which}_link_speed", "32.0 GT/s PCIe\n"
        yield f"{base}/{which}_link_width", "16\n"
    yield f"{base}/driver", f">../../../drivers/{driver}"


def stub(tool: str, answers: Answers) -> Iterator[tuple[str, str]]:
    yield f"usr/local/bin/{tool}", TOOL.format(state=image.STATE, name=tool)
    for arguments, (text, code) in answers.items():
        name = hashlib.md5(arguments.encode(), usedforsecurity=False).hexdigest()
        yield f"{image.STATE}/tools/{tool}/{name}", text
        if code:
            yield f"{image.STATE}/tools/{tool}/{name}.exit", str(code)


def packed(files: Iterable[tuple[str, str]]) -> str:
    """A tar in base64; a text that begins with > is a link's target."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, text in files:
            entry = tarfile.TarInfo(name)
            entry.mode = 0o755
            if text.startswith(">"):
                entry.type, entry.linkname = tarfile.SYMTYPE, text[1:]
                tar.addfile(entry)
                continue
            data = text.encode()
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return base64.b64encode(made.getvalue()).decode()


def loongson(lab: Lab, node: str) -> None:
    """A LoongArch machine whose users speak Chinese, by all that anybody can ask it."""
    cpuinfo = "".join(LOONGSON.format(cpu=cpu) for cpu in range(2))
    lab.append(node, "/etc/cpuinfo", cpuinfo)
    lab.append(node, f"/{image.STATE}/machine", "loongarch64\n")
    lab.append(node, "/etc/ld.so.preload", "/usr/lib/liblabarch.so\n")
    speak = "LANG=zh_CN.UTF-8 LANGUAGE=zh_CN:zh LC_ALL=zh_CN.UTF-8"
    lab.do(
        node,
        "/bin/sh",
        "-c",
        "mount --bind /etc/cpuinfo /proc/cpuinfo && "
        f"sed -i 's/^SetEnv PATH=.*/& {speak}/' /etc/ssh/sshd_config && "
        "kill -HUP $(cat /run/sshd.pid)",
    )
    lab.await_sshd([node])
