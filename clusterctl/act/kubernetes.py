"""Kubernetes' nodes: cordon, taint and annotate, and back, through the official client.

Every change names the resourceVersion that it was decided on, so that the API server refuses it
where anybody, a person or a controller, changed the node in between.
https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterctl.act.deed import BY_HAND, LABELS, Action, Blind, Outcome, Picture, State, Told
from clusterctl.model import Kind, Trouble, UserError
from clusterctl.spelling import visible
from clusterctl.transport.kube import DAMAGED, damaged

if TYPE_CHECKING:
    from kubernetes.client import CoreV1Api

TAINT = "clusterctl/unhealthy"
NOTES = ("run", "check", "reason", "by", "since", "action")  # annotations, after "clusterctl/"
CORDONED, TAINTED = "unschedulable", "tainted"
POOL_LABELS = ("node.kubernetes.io/instance-type", "topology.kubernetes.io/zone")
EVERY_NODE = "all nodes"
CONTROL = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
MERGE = "application/merge-patch+json"
PAGE, TIMEOUT_S, TRIES = 500, 20.0, 4
REFUSED = {
    401: "it does not know who we are: look at the kubeconfig",
    403: "RBAC does not let us: give that user get, list and patch on nodes",
    404: "it has no such node",
    422: "it takes the change for invalid",
}
CONFLICT = 409


@dataclass(frozen=True, slots=True)
class Kubernetes:
    api: CoreV1Api
    where: str
    by: str = "kubernetes"
    label: str = LABELS["kubernetes"]
    sees: bool = True

    def look(self) -> Picture:
        states: dict[str, State] = {}
        troubles: list[Trouble] = []
        token = ""
        while True:
            more = {"_continue": token} if token else {}
            page, why = call(self.api.list_node, limit=PAGE, **more)
            if page is None:
                raise Blind(f"{self.where}: {why[1]}")
            for item in entries(page.get("items")):
                state = node_of(item)
                if state is None:
                    troubles.append(Trouble(Kind.UNREADABLE, f"not a node: {shown(item)}"))
                else:
                    states[state.called] = state
            token = text(mapping(page.get("metadata")).get("continue"))
            if not token:
                return Picture(states, troubles)

    def says(self, verb: str, state: State, reason: str) -> str:
        if verb == "undrain":
            return f"kubectl uncordon {state.called}; kubectl taint node {state.called} {TAINT}-"
        return (
            f"kubectl cordon {state.called}; kubectl taint node {state.called} "
            f"{TAINT}={taint_value(reason)}:NoSchedule; annotation clusterctl/reason: {reason}"
        )

    def change(self, verb: str, state: State, action: Action) -> Told:
        """Heartbeats change the node too: a conflict is looked at again, a person's change kept."""
        for _ in range(TRIES):
            node, (status, why) = call(self.api.read_node, state.called)
            now = node_of(node) if node else None
            if node is None or now is None:
                told = f"nothing was changed: {why or 'it sent no node'}"
                return Told(Outcome.REFUSED, told, silent=status is None)
            if (now.held, now.reason) != (state.held, state.reason):
                told = "somebody changed it while we looked: it is left"
                return Told(Outcome.CHANGED, told, now)
            body = cordon(node, action) if verb == "drain" else uncordon(node)
            after, (status, why) = call(
                self.api.patch_node, state.called, body, _content_type=MERGE
            )
            if status != CONFLICT:
                return told_of(verb, action, after, status, why)
        return Told(Outcome.REFUSED, f"it changes faster than we can: {TRIES} conflicts")


def told_of(
    verb: str, action: Action, after: Mapping[str, Any] | None, status: int | None, why: str
) -> Told:
    state = node_of(after) if after else None
    if state is not None:
        done = state.reason == action.reason if verb == "drain" else not state.held
        return Told(Outcome.DONE if done else Outcome.REFUSED, "" if done else "not done", state)
    if status is not None and 400 <= status < 500:
        return Told(Outcome.REFUSED, f"nothing was changed: {why}")
    return Told(Outcome.UNKNOWN, why or "it sent no node", silent=True)


# --------------------------------------------------------------------------- what is sent


def cordon(node: Mapping[str, Any], action: Action) -> dict[str, Any]:
    notes = {
        "run": action.run, "check": action.check, "reason": action.reason,
        "by": action.who, "since": action.at.isoformat(), "action": action.id,
    }  # fmt: skip
    ours = {"key": TAINT, "value": taint_value(action.reason), "effect": "NoSchedule"}
    return patch(node, notes, [*others(node), ours], cordoned=True)


def uncordon(node: Mapping[str, Any]) -> dict[str, Any]:
    return patch(node, dict.fromkeys(NOTES), others(node), cordoned=None)


def patch(
    node: Mapping[str, Any],
    notes: Mapping[str, str | None],
    taints: Sequence[Mapping[str, Any]],
    *,
    cordoned: bool | None,
) -> dict[str, Any]:
    """A merge patch, in which null removes."""
    return {
        "metadata": {
            "resourceVersion": node["metadata"]["resourceVersion"],
            "annotations": {f"clusterctl/{key}": value for key, value in notes.items()},
        },
        "spec": {"unschedulable": cordoned, "taints": [*taints] or None},
    }


def others(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Taints that are not ours to touch.

    The one that Kubernetes itself gives a cordoned node goes and comes with the cordon.
    """
    taints = entries(mapping(node.get("spec")).get("taints"))
    return [one for one in taints if one.get("key") != TAINT]


def taint_value(reason: str) -> str:
    """Of `clusterctl RUN CHECK: short` the check, or that an operator said so."""
    _, run, *check = reason.split(": ", 1)[0].split(" ")
    return BY_HAND if run == BY_HAND else label_value(" ".join(check))


def label_value(word: str) -> str:
    """As Kubernetes allows it for a taint: letters, digits, - _ . and at most 63 of them."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", word)[:63].strip("-_.") or "unnamed"


# --------------------------------------------------------------------------- what is heard


def call(
    method: Any, *words: Any, **more: Any
) -> tuple[dict[str, Any] | None, tuple[int | None, str]]:
    """(the object it sent or None, (HTTP status or None for no answer, why not))"""
    from kubernetes.client.exceptions import ApiException  # noqa: PLC0415 - two seconds
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    try:
        answer = method(*words, **more, _preload_content=False, _request_timeout=TIMEOUT_S)
        found = json.loads(answer.data)
    except ApiException as error:
        return None, (error.status or None, refusal(error))
    except (HTTPError, OSError) as error:
        return None, (None, f"no answer: {visible(str(error), 200)}")
    except ValueError:
        return None, (200, "what it sent is no JSON")
    return (found, (200, "")) if isinstance(found, dict) else (None, (200, "it sent no object"))


def refusal(error: Any) -> str:
    """Plainly, with its own words behind ours."""
    try:
        own = text(mapping(json.loads(error.body or "{}")).get("message"))
    except ValueError:
        own = ""
    said = visible(own or str(error.reason or ""), 200)
    known = REFUSED.get(error.status, f"HTTP {error.status}")
    return f"{known} ({said})" if said else known


def node_of(item: Mapping[str, Any]) -> State | None:
    """None: it is no node."""
    about, spec = mapping(item.get("metadata")), mapping(item.get("spec"))
    name, version = text(about.get("name")), text(about.get("resourceVersion"))
    if not name or not version:
        return None
    notes, labels = mapping(about.get("annotations")), mapping(about.get("labels"))
    keys = {text(one.get("key")) for one in entries(spec.get("taints"))}
    held = (CORDONED,) * (spec.get("unschedulable") is True) + (TAINTED,) * (TAINT in keys)
    ready = [one for one in entries(mapping(item.get("status")).get("conditions"))
             if one.get("type") == "Ready"]  # fmt: skip
    up = bool(ready) and ready[0].get("status") == "True"
    pools = [f"{key}={text(labels[key])}" for key in POOL_LABELS if labels.get(key)]
    return State(
        called=name,
        words=",".join(("Ready" if up else "NotReady", *held)),
        held=held,
        reason=visible(text(notes.get("clusterctl/reason")), 300),
        by=visible(text(notes.get("clusterctl/by")), 60),
        since=moment(text(notes.get("clusterctl/since"))),
        pools=(EVERY_NODE, *pools),
        mark=version,
        usable=up and not held,
        spare=any(key in keys or key in labels for key in CONTROL),
    )


def moment(said: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        return None
    return found if found.tzinfo else None


def mapping(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


def entries(found: Any) -> Iterator[Mapping[str, Any]]:
    yield from (one for one in found if isinstance(one, dict)) if isinstance(found, list) else ()


def text(found: Any) -> str:
    return found if isinstance(found, str) else ""


def shown(item: Mapping[str, Any]) -> str:
    return visible(json.dumps(item), 80)


# --------------------------------------------------------------------------- who is asked


def connect(context: str, kubeconfig: Path | None = None) -> Kubernetes:
    """As kubectl would: KUBECONFIG, ~/.kube/config, or the pod we run in.  Raises UserError."""
    try:
        from kubernetes import client, config  # noqa: PLC0415 - two seconds that only this pays
    except ImportError:
        raise UserError(
            "--by kubernetes: needs its client: pip install 'clusterctl[kube]'"
        ) from None
    settings = client.Configuration()
    try:
        config.load_kube_config(
            str(kubeconfig) if kubeconfig else None,
            context=context or None,
            client_configuration=settings,
        )
    except (config.ConfigException, OSError) as error:
        if kubeconfig or context:
            raise UserError(f"kubeconfig: {visible(str(error), 200)}") from None
        try:
            config.load_incluster_config(client_configuration=settings)
        except config.ConfigException:
            raise UserError(f"kubeconfig: {visible(str(error), 200)}") from None
    except DAMAGED as error:
        raise UserError(f"kubeconfig: {damaged(kubeconfig, error)}") from None
    settings.retries = False
    return Kubernetes(client.CoreV1Api(client.ApiClient(settings)), settings.host)
