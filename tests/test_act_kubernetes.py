"""Cordons and taints by the official client, against an API server that speaks HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from acting import drained
from kube_api import Api, serving
from typer.testing import CliRunner

from clusterctl.act.deed import Blind, Outcome
from clusterctl.act.journal import NAME, read
from clusterctl.act.kubernetes import Kubernetes, connect, label_value, node_of
from clusterctl.cli import app
from clusterctl.model import UserError

pytest.importorskip("kubernetes", reason="needs the official client: pip install kubernetes")

GPU = {"key": "nvidia.com/gpu", "effect": "NoSchedule"}
MASTER = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
REASON = "clusterctl r0 xid: gpu3 XID 79"


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    made = Api()
    for place in range(1, 7):
        made.add(f"k{place}", taints=[GPU])
    made.add("m1", taints=[MASTER])
    monkeypatch.setenv("COLUMNS", "250")
    with serving(made, tmp_path):
        yield made


@pytest.fixture
def kube(api: Api, tmp_path: Path) -> Kubernetes:
    return connect("", tmp_path / "kubeconfig")


def test_a_drain_cordons_taints_and_annotates_and_keeps_what_is_not_ours(api, kube):
    state = kube.look().states["k1"]
    told = kube.change("drain", state, drained("k1"))
    assert (told.outcome, told.after.words) == (Outcome.DONE, "Ready,unschedulable,tainted")
    node = api.nodes["k1"]
    assert node["spec"]["taints"] == [
        GPU, {"key": "clusterctl/unhealthy", "value": "xid", "effect": "NoSchedule"}
    ]  # fmt: skip
    assert (node["spec"]["unschedulable"], node["spec"]["podCIDR"]) == (True, "10.0.0.0/24")
    notes = node["metadata"]["annotations"]
    assert {notes[f"clusterctl/{key}"] for key in ("run", "check", "reason")} == {
        "r0",
        "xid",
        REASON,
    }
    assert api.seen[-1] == "PATCH k1 application/merge-patch+json"

    state = kube.look().states["k1"]
    assert (state.reason, state.by, state.usable) == (REASON, "root@c", False)
    assert kube.change("undrain", state, drained("k1", verb="undrain")).outcome is Outcome.DONE
    assert api.nodes["k1"]["spec"] == {"podCIDR": "10.0.0.0/24", "taints": [GPU]}
    assert api.nodes["k1"]["metadata"]["annotations"] == {"theirs": "kept"}


def test_every_page_is_read_and_a_control_plane_is_nobodys_reserve(kube):
    states = kube.look().states
    assert sorted(states) == [*(f"k{place}" for place in range(1, 7)), "m1"]
    assert [name for name, state in states.items() if state.spare] == ["m1"]
    assert states["k1"].pools == ("all nodes", "node.kubernetes.io/instance-type=h100")


def test_a_persons_cordon_in_between_is_left_and_a_heartbeat_is_not_in_the_way(api, kube):
    state = kube.look().states["k1"]
    api.meanwhile = lambda: api.touch("k1", unschedulable=True)
    told = kube.change("drain", state, drained("k1"))
    assert (told.outcome, told.after.held) == (Outcome.CHANGED, ("unschedulable",))
    assert api.nodes["k1"]["spec"]["taints"] == [GPU]

    beats = iter([True, True])
    api.meanwhile = lambda: api.touch("k2") if next(beats, False) else None
    assert kube.change("drain", kube.look().states["k2"], drained("k2")).outcome is Outcome.DONE

    api.meanwhile = lambda: api.touch("k3")
    told = kube.change("drain", kube.look().states["k3"], drained("k3"))
    assert (told.outcome, "unschedulable" in api.nodes["k3"]["spec"]) == (Outcome.REFUSED, False)


@pytest.mark.parametrize(
    ("status", "said"), [(403, "RBAC does not let us"), (401, "does not know who we are")]
)
def test_a_refusal_is_said_plainly(api, kube, status, said):
    state = kube.look().states["k1"]
    api.refuse = {"PATCH": status}
    told = kube.change("drain", state, drained("k1"))
    assert told.outcome is Outcome.REFUSED
    assert said in told.detail
    assert 'User "bot" cannot PATCH' in told.detail
    assert "secret-token" not in told.detail
    api.refuse = {"GET": status}
    with pytest.raises(Blind, match=said):
        kube.look()


def test_a_server_that_fails_in_the_middle_leaves_a_question(api, kube):
    state = kube.look().states["k1"]
    api.refuse = {"PATCH": 500}
    told = kube.change("drain", state, drained("k1"))
    assert (told.outcome, told.silent) == (Outcome.UNKNOWN, True)


def test_nobody_there_is_said_in_a_line(tmp_path):
    with serving(Api(), tmp_path) as path:
        kube = connect("c", path)
    with pytest.raises(Blind, match=r"no answer: .*Connection refused"):
        kube.look()


@pytest.mark.parametrize(
    "garbage",
    [
        {},
        {"metadata": []},
        {"metadata": {"name": 7, "resourceVersion": "1"}},
        {"metadata": {"name": "k"}},
    ],
)
def test_what_is_no_node_is_none(garbage):
    assert node_of(garbage) is None


def test_odd_parts_of_a_node_cost_themselves():
    about = {"name": "k", "resourceVersion": "1", "labels": 7, "annotations": []}
    spec = {"taints": [7, {"key": []}], "unschedulable": "yes"}
    state = node_of({"metadata": about, "spec": spec, "status": {"conditions": 3}})
    assert state is not None
    assert (state.held, state.usable, state.pools) == ((), False, ("all nodes",))


def test_a_taint_holds_only_what_kubernetes_allows():
    assert label_value("gpu_count") == "gpu_count"
    assert label_value("root@vm: a/b") == "root-vm--a-b"
    assert label_value("-" * 80) == "unnamed"
    assert len(label_value("x" * 80)) == 63


def test_by_the_command_line_a_human_and_the_control_plane_are_left(api, tmp_path):
    api.touch("k2", unschedulable=True)
    book = tmp_path / "b.yml"
    book.write_text("name: b\nact: {most_nodes: 6, most_percent: 100}\n")
    config = ["--kubeconfig", str(tmp_path / "kubeconfig"), "--runs-dir", str(tmp_path)]
    words = ["drain", "k1,k2,m1", "--why", "fan", "--by", "kubernetes", "-p", str(book)]
    words += config
    done = CliRunner().invoke(app, words)
    assert "kubectl taint node k1 clusterctl/unhealthy=by-hand:NoSchedule" in done.output
    assert "unschedulable" not in api.nodes["k1"]["spec"]
    done = CliRunner().invoke(app, [*words, "--yes"])
    assert (done.exit_code, done.output.count("left alone")) == (0, 2)
    (made,) = read(tmp_path / NAME).actions.values()
    assert (made.node, made.outcome, made.by) == ("k1", Outcome.DONE, "kubernetes")
    undo = ["undrain", "--undo", made.id, "--yes", *config]
    assert CliRunner().invoke(app, undo).exit_code == 0
    assert "unschedulable" not in api.nodes["k1"]["spec"]
    assert api.nodes["k2"]["spec"]["unschedulable"] is True


def test_a_sweep_that_drains_reaches_a_cluster_as_drain_does(tmp_path):
    words = ["sweep", "--nodes", "k1", "--drain", "--kubeconfig", str(tmp_path / "none")]
    done = CliRunner().invoke(app, [*words, "--hook", "/bin/true", "--runs-dir", str(tmp_path)])
    assert "choose one" in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_a_kubeconfig_that_is_not_there_is_the_operators_mistake(tmp_path):
    with pytest.raises(UserError, match="kubeconfig: "):
        connect("", tmp_path / "none")


def test_the_state_that_a_change_is_decided_on_is_the_one_that_was_seen(kube):
    seen = replace(kube.look().states["k1"], held=("unschedulable",), reason="theirs")
    assert kube.change("undrain", seen, drained("k1", verb="undrain")).outcome is Outcome.CHANGED
