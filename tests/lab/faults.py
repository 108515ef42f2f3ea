"""What can be wrong with a node, by name.  `clear` undoes all of it.

Each is a function (lab, node, argument); its docstring says what happens.
Nothing is undone piece by piece: `clear` gives the node a new disk and starts it again.
"""

from __future__ import annotations

from collections.abc import Iterable

import faults_host as host
import faults_load as load
import faults_parts as parts
from lab import Lab, LabError


def clear(lab: Lab, node: str, argument: str) -> None:
    """Undo everything: a new disk, started again."""
    clear_all(lab, [node])


def clear_all(lab: Lab, nodes: Iterable[str]) -> None:
    for node in nodes:
        lab.ask_keeper(do="fresh", node=node)
    for node in nodes:
        lab.await_sshd([node])


FAULTS = {
    fault.__name__: fault
    for fault in (
        host.off,
        host.drop,
        host.refuse,
        host.refuse_key,
        host.host_key,
        host.silent,
        host.reboot,
        host.no_python,
        host.smi_hangs,
        host.nvml_hangs,
        host.hostile,
        host.clock_off,
        host.service_failed,
        host.driver_drift,
        parts.gpus,
        parts.gpu_lost,
        parts.gpu_dead,
        parts.gpu_gone,
        parts.ecc,
        parts.remap,
        parts.throttle,
        parts.stranger,
        parts.xid,
        parts.xid79,
        parts.xid13,
        parts.mce,
        parts.pcie_x8,
        parts.half_rate,
        parts.port_down,
        parts.symbol_errors,
        parts.slow_nic,
        parts.loss,
        host.disk_full,
        host.ro_root,
        host.drive_worn,
        load.stressor,
        load.clock_set,
        load.bit_wrong,
        clear,
    )
}


def inject(lab: Lab, node: str, name: str, argument: str = "") -> None:
    """`name` may hold the argument too: gpus=7.  Raises LabError."""
    name, equals, value = name.partition("=")
    if name not in FAULTS:
        raise LabError(f"no fault {name!r}; `fault --list` shows them")
    if node not in lab.addresses:
        raise LabError(f"no node {node!r}; there are {lab.nodes[0]} to {lab.nodes[-1]}")
    FAULTS[name](lab, node, value if equals else argument)


def described() -> str:
    width = max(map(len, FAULTS))
    lines = (f"{name:{width}}  {(fault.__doc__ or '').strip()}" for name, fault in FAULTS.items())
    return "\n".join(lines)
