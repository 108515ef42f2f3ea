"""One BMC asked over Redfish, with sushy's connector: everything there is to see of its machine.

Only GET requests are sent, only to /redfish/ of the host that the inventory names.  The password
goes into the request's header and nowhere else.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from sushy import connector, exceptions
from sushy.exceptions import ResourceNotFoundError, SushyError

from clusterctl.model import Answer, Kind
from clusterctl.transport.bmc import NAME, Access

ROOT = "/redfish/v1/"
MOST_MEMBERS = 32  # of one collection: a chassis has its trays, a system its logs
MOST_PAGES = 20
MOST_BYTES = 4 << 20
CONNECT_S, READ_S, ALL_S = 5.0, 20.0, 45.0
LOGS = ("sel", "iml", "eventlog", "log1", "systemlog", "iel")


def ask(access: Access) -> Answer:
    """Everything there is to see of one BMC, as one JSON document; see probes/redfish.py."""
    logging.getLogger("sushy").setLevel(logging.ERROR)
    begun = time.monotonic()
    walk = Walk(begun + ALL_S)
    try:
        conn = connector.Connector(
            access.url,
            verify=access.verify,
            default_request_timeout=READ_S,
            connect_timeout=CONNECT_S,
        )
        conn.set_http_basic_auth(access.user, access.password)
        walk.get = conn.get
        walk.everything()
    except (SushyError, OSError, ValueError) as error:
        walk.failed[ROOT] = said(error)
    text = json.dumps({"redfish": 1, "resources": walk.resources, "failed": walk.failed})
    seconds = time.monotonic() - begun
    return Answer(NAME, 0, text[:MOST_BYTES], "", seconds, truncated=len(text) > MOST_BYTES)


def said(error: Exception) -> dict[str, str]:
    """The trouble's kind and words.  sushy's messages hold the URL and the BMC's own text."""
    kind = Kind.EXIT
    if isinstance(error, exceptions.AccessError):
        kind = Kind.DENIED
    elif isinstance(error, (exceptions.ConnectionError, OSError)):
        kind = Kind.UNREACHABLE
    elif isinstance(error, ValueError):
        kind = Kind.UNREADABLE
    text = " ".join(str(error).split())
    if "CERTIFICATE_VERIFY_FAILED" in text:
        kind = Kind.DENIED
        text = f"its certificate is not trusted: bmc_tls names a CA file, or unverified ({text})"
    return {"kind": str(kind), "detail": text[:400]}


def mapping(found: object) -> dict[str, Any]:
    """Raises ValueError, as JSON that is none does."""
    if not isinstance(found, dict):
        raise ValueError(f"not a JSON object: {str(found)[:80]!r}")  # noqa: TRY004
    return found


class Walk:
    """What was read of one BMC, and what could not be."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.resources: dict[str, Any] = {}
        self.failed: dict[str, dict[str, str]] = {}
        self.get: Callable[..., Any] = lambda _path: None

    def read(self, path: object) -> dict[str, Any]:
        """The resource; empty where it could not be read, which is noted."""
        if not isinstance(path, str) or not path.startswith("/redfish/") or "//" in path:
            return {}
        # A BMC locks the account after a few wrong passwords.
        denied = any(why["kind"] == Kind.DENIED for why in self.failed.values())
        if path in self.resources or denied:
            known: dict[str, Any] = self.resources.get(path, {})
            return known
        if time.monotonic() > self.until:
            self.failed[path] = {"kind": "timeout", "detail": f"no time was left in {ALL_S:g} s"}
            return {}
        try:
            found = mapping(self.get(path).json())
        except ResourceNotFoundError:
            return {}  # a link into the void is no fault of the machine
        except (SushyError, OSError, ValueError) as error:
            self.failed[path] = said(error)
            return {}
        self.resources[path] = found
        return found

    def follow(self, resource: dict[str, Any], *names: str) -> dict[str, Any]:
        """Through links by name; a name that is not there ends it."""
        for name in names:
            link = resource.get(name)
            if not isinstance(link, dict):
                return {}
            resource = self.read(link.get("@odata.id"))
        return resource

    def members(self, collection: dict[str, Any]) -> Iterator[dict[str, Any]]:
        links = collection.get("Members")
        for link in links[:MOST_MEMBERS] if isinstance(links, list) else ():
            if isinstance(link, dict):
                yield self.read(link.get("@odata.id"))

    def pages(self, page: dict[str, Any]) -> None:
        """The pages after this one; where the newest records stand differs from BMC to BMC."""
        for _ in range(MOST_PAGES):
            page = self.read(page.get("Members@odata.nextLink"))

    def everything(self) -> None:
        root = self.read(ROOT)
        owners = []
        for name in ("Systems", "Managers"):
            owners += [one for one in self.members(self.follow(root, name)) if one]
        for chassis in self.members(self.follow(root, "Chassis")):
            old = (self.follow(chassis, "Thermal"), self.follow(chassis, "Power"))
            if not old[0]:
                cooling = self.follow(chassis, "ThermalSubsystem")
                list(self.members(self.follow(cooling, "Fans")))
                self.follow(cooling, "ThermalMetrics")
                list(self.members(self.follow(chassis, "Sensors")))
            if not old[1]:
                list(self.members(self.follow(chassis, "PowerSubsystem", "PowerSupplies")))
                self.follow(chassis, "EnvironmentMetrics")
        for owner in owners:
            for log in self.members(self.follow(owner, "LogServices")):
                if str(log.get("Id", "")).lower() in LOGS or log.get("LogEntryType") == "SEL":
                    self.pages(self.follow(log, "Entries"))
