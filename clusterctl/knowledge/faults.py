"""What a device's own fault code asks of a person, whoever made the device."""

from __future__ import annotations

from dataclasses import dataclass

from clusterctl.knowledge import amd, ascend
from clusterctl.model import Severity, Status


@dataclass(frozen=True, slots=True)
class Fault:
    code: str
    status: Status
    severity: Severity
    what: str
    first: str
    then: str
    source: str


def fault(vendor: str, code: str) -> Fault:
    """A code of a vendor of whose codes nobody has a table is to be looked up."""
    known: amd.Meaning | ascend.Meaning | None = None
    if vendor == "huawei":
        known = ascend.meaning(code)
    elif vendor == "amd":
        known = amd.about(code)
    if known:
        return Fault(
            known.code,
            known.status,
            known.severity,
            known.what.en,
            known.first.en,
            known.then.en,
            known.source,
        )
    return Fault(
        code,
        Status.WARN,
        Severity.OBSERVE,
        "not in our table",
        f"look this code up in the guides of {vendor or 'its maker'}",
        "",
        "the device's own word",
    )
