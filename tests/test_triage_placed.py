"""Where a job runs, by its scheduler: a real Slurm, and an API server that speaks Kubernetes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from clusterctl.model import UserError
from clusterctl.triage.running import placed
from clusterctl.triage.running.ask import Wanted

pytest.importorskip("kubernetes", reason="needs the extra kube")

from clusterctl.act.kubernetes import connect
from clusterctl.transport.kube import pods

LISTED = [
    ("train-0", "0af1-11", "n01", "10.0.0.1", "Running"),
    ("train-1", "0af1-12", "n02", "10.0.0.2", "Running"),
    ("train-2", "0af1-13", "n02", "10.0.0.2", "Running"),
    ("train-3", "0af1-14", None, None, "Pending"),
]


class Server(BaseHTTPRequestHandler):
    """GET /api/v1/namespaces/NAMESPACE/pods, with one namespace and one label."""

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        words = parse_qs(asked.query)
        if asked.path != "/api/v1/namespaces/ml/pods":
            self.answer(403, {"kind": "Status", "status": "Failure", "reason": "Forbidden"})
            return
        label = words.get("labelSelector", [""])[0]
        field = words.get("fieldSelector", [""])[0]
        found = [
            one for one in LISTED if label == "job=train" or field == f"metadata.name={one[0]}"
        ]
        items = [
            {
                "metadata": {"name": name, "uid": uid, "namespace": "ml"},
                "spec": {"nodeName": node, "containers": [{"name": "main"}]},
                "status": {"phase": phase, "hostIP": address},
            }
            for name, uid, node, address, phase in found
        ]
        self.answer(200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    def answer(self, code: int, told: dict[str, object]) -> None:
        body = json.dumps(told).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    path = tmp_path_factory.mktemp("kube") / "config"
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [cluster],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [context],
                "current-context": "x",
            }
        )
    )
    yield path
    server.shutdown()
    server.server_close()


def test_pods_of_a_label_are_asked_on_the_nodes_they_run_on(kubeconfig: Path) -> None:
    found = placed.kube("ml/job=train", pods("ml", "job=train", kubeconfig))
    assert found.wanted == {
        "n01": Wanted(pods=("0af1-11",)),
        "n02": Wanted(pods=("0af1-12", "0af1-13")),
    }
    assert found.addresses == {"n01": "10.0.0.1", "n02": "10.0.0.2"}
    assert found.said == "3 of 4 pods run"


def test_one_pod_may_be_named(kubeconfig: Path) -> None:
    assert list(placed.kube("ml/train-1", pods("ml", "train-1", kubeconfig)).wanted) == ["n02"]


def test_pods_that_do_not_run_are_the_operators_mistake(kubeconfig: Path) -> None:
    with pytest.raises(UserError, match="no pod of it runs: train-3 pending"):
        placed.kube("ml/train-3", pods("ml", "train-3", kubeconfig))
    with pytest.raises(UserError, match="no pod of it runs: there is none"):
        placed.kube("ml/x", pods("ml", "x=y", kubeconfig))


def test_a_server_that_refuses_or_is_not_there_is_told_in_one_line(
    kubeconfig: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"--kube other/x: the API server says 403"):
        pods("other", "x", kubeconfig)
    gone = tmp_path / "config"
    gone.write_text(kubeconfig.read_text().replace("http://127.0.0.1:", "http://127.0.0.1:1/"))
    with pytest.raises(UserError, match="no answer from the API server"):
        pods("ml", "x", gone)
    with pytest.raises(UserError, match="say --kubeconfig FILE"):
        pods("ml", "x", tmp_path / "none")


@pytest.mark.parametrize(
    "text",
    [
        "clusters: [a\n  b: }",
        "- a\n",
        "5",
        "clusters: 5\n",
        "\0",
        "current-context: x\ncontexts: [5]\n",
        "current-context: x\ncontexts: [{name: x, context: 5}]\n",
        (
            "current-context: x\nusers: [{name: u, user: {}}]\n"
            "contexts: [{name: x, context: {cluster: c, user: u}}]\n"
            "clusters: [{name: c, cluster: {server: 'http://[::1'}}]\n"
        ),
    ],
)
def test_a_damaged_kubeconfig_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    config = tmp_path / "config"
    config.write_text(text)
    with pytest.raises(UserError, match=r"\A--kube: [^\n]*config [^\n]*--kubeconfig FILE\Z"):
        pods("ml", "x", config)
    with pytest.raises(UserError, match=r"\Akubeconfig: [^\n]*config [^\n]*\Z"):
        connect("", config)
