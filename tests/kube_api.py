"""A small Kubernetes API server over HTTP: nodes, merge patches, resourceVersions, refusals."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

READY = {"conditions": [{"type": "Ready", "status": "True"}]}


class Api:
    """What the server knows.  `refuse`: (method, HTTP status) in place of an answer.

    `meanwhile` is called before each patch is looked at: somebody else's hand.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, dict[str, Any]] = {}
        self.version = 100
        self.refuse: dict[str, int] = {}
        self.meanwhile: Callable[[], None] = lambda: None
        self.seen: list[str] = []

    def add(self, name: str, **spec: Any) -> None:
        labels = {"node.kubernetes.io/instance-type": "h100"}
        self.nodes[name] = {
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": labels, "annotations": {"theirs": "kept"},
                         "resourceVersion": str(self.version)},
            "spec": {"podCIDR": "10.0.0.0/24", **spec}, "status": READY,
        }  # fmt: skip

    def touch(self, name: str, **spec: Any) -> None:
        """Anybody's change: a heartbeat, or a person's `kubectl cordon`."""
        self.version += 1
        self.nodes[name]["spec"] |= spec
        self.nodes[name]["metadata"]["resourceVersion"] = str(self.version)

    def patch(self, name: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.meanwhile()
        node = self.nodes[name]
        asked = body.get("metadata", {}).get("resourceVersion")
        if asked != node["metadata"]["resourceVersion"]:
            return 409, said("the object has been modified; please apply your changes")
        self.nodes[name] = merged(node, body)
        self.touch(name)
        return 200, self.nodes[name]

    def page(self, query: dict[str, list[str]]) -> dict[str, Any]:
        names = sorted(self.nodes)
        start = int(query.get("continue", ["0"])[0])
        end = start + min(int(query["limit"][0]), 3)  # pages small enough to need several
        more = {"continue": str(end)} if end < len(names) else {}
        items = [self.nodes[name] for name in names[start:end]]
        return {"kind": "NodeList", "apiVersion": "v1", "metadata": more, "items": items}


def said(message: str) -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message}


def merged(old: Any, new: Any) -> Any:
    """RFC 7386: null removes, lists are replaced."""
    if not isinstance(new, dict):
        return new
    found = dict(old) if isinstance(old, dict) else {}
    for key, value in new.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


@contextmanager
def serving(api: Api, folder: Path) -> Iterator[Path]:
    """The kubeconfig that leads to it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def go(self) -> None:
            where = urlsplit(self.path)
            name = where.path.removeprefix("/api/v1/nodes").strip("/")
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or "{}")
            api.seen.append(f"{self.command} {name} {self.headers.get('Content-Type')}".strip())
            if status := api.refuse.get(self.command):
                self.answer(status, said(f'nodes is forbidden: User "bot" cannot {self.command}'))
            elif name and name not in api.nodes:
                self.answer(404, said(f'nodes "{name}" not found'))
            elif self.command == "PATCH":
                self.answer(*api.patch(name, body))
            elif name:
                self.answer(200, api.nodes[name])
            else:
                self.answer(200, api.page(parse_qs(where.query)))

        do_GET = do_PATCH = go  # noqa: N815 - http.server's names

        def log_message(self, *_words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    path = folder / "kubeconfig"
    url = f"http://127.0.0.1:{server.server_address[1]}"
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "k", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "secret-token"}}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
    }))  # fmt: skip
    try:
        yield path
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
