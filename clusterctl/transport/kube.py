"""Asking a Kubernetes API server where pods run, with its own Python client (the extra `kube`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from clusterctl.model import UserError
from clusterctl.spelling import visible

WAIT_S = (5, 15)  # to connect, to answer
# What the client raises of a kubeconfig that is no YAML, or not the maps and lists it expects.
DAMAGED = (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError)


@dataclass(frozen=True, slots=True)
class Pod:
    name: str
    uid: str
    node: str
    address: str  # of its node; empty: not told
    phase: str


def pods(namespace: str, selector: str, config: Path | None) -> list[Pod]:
    """Those of a namespace that a label selector, or a pod's own name, chooses.

    `config`: a kubeconfig; None: the usual one, or the pod's own account.  Raises UserError.
    """
    try:
        from kubernetes import client  # noqa: PLC0415 - half a second, and only here
        from kubernetes import config as configs  # noqa: PLC0415
        from urllib3.exceptions import HTTPError  # noqa: PLC0415
    except ImportError:
        raise UserError("--kube: needs its client: pip install 'clusterctl[kube]'") from None
    try:
        if config is None:
            configs.load_config()
        else:
            configs.load_kube_config(str(config))
    except (configs.ConfigException, OSError) as error:
        why = visible(str(error).rstrip("."), 200)
        raise UserError(f"--kube: {why}; say --kubeconfig FILE") from None
    except DAMAGED as error:
        raise UserError(f"--kube: {damaged(config, error)}; say --kubeconfig FILE") from None
    by_name = selector and not any(mark in selector for mark in "=!, ()")
    chosen = {"field_selector": f"metadata.name={selector}"} if by_name else {}
    if selector and not by_name:
        chosen = {"label_selector": selector}
    try:
        told = client.CoreV1Api().list_namespaced_pod(namespace, _request_timeout=WAIT_S, **chosen)
    except client.ApiException as error:
        said = visible(f"{error.status} {error.reason}", 120)
        raise UserError(f"--kube {namespace}/{selector}: the API server says {said}") from None
    except (HTTPError, OSError, ValueError, client.OpenApiException) as error:
        raise UserError(f"--kube: no answer from the API server: {visible(str(error))}") from None
    return [
        Pod(
            one.metadata.name,
            one.metadata.uid,
            one.spec.node_name or "",
            one.status.host_ip or "",
            one.status.phase or "",
        )
        for one in told.items
    ]


def damaged(config: Path | None, error: Exception) -> str:
    where = config or "the kubeconfig (KUBECONFIG, or ~/.kube/config)"
    return f"{where} cannot be read as a kubeconfig: {visible(' '.join(str(error).split()), 200)}"
