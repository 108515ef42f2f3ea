"""A run is written once, keeps what was heard whatever happens, and reads back the same."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pandas as pd
import pytest
from scripted import NOON, Scripted, answers, nodes, probe, said

from clusterctl import codec, store
from clusterctl.model import (
    Accelerator,
    Finding,
    Kind,
    Observation,
    Playbook,
    Port,
    Run,
    Status,
    UserError,
    Verdict,
)
from clusterctl.observe import observe
from clusterctl.transport.replay import Heard

BOOK = Playbook("p")
SEEN = (
    Observation("n000", "toy", NOON, (Accelerator("gpu0", model="x", temp_c=41.5),)),
    Observation("n000", "ports", NOON, (Port("mlx5_0/1", "mlx5_0", "active", counters={"a": 2}),)),
    Observation("n001", "toy", NOON, skip="no such card"),
    Observation("n001", "ports", NOON),
)
RUN = Run(
    id="20260101T120000-p-ab12",
    playbook=BOOK,
    nodes=nodes(2, rack="r1"),
    seed=7,
    started=NOON,
    finished=NOON + timedelta(seconds=3),
    observations=SEEN,
    findings=(Finding("cool", Verdict("n000", "gpu0", Status.PASS, "≤ 80 °C", "41.5 °C")),),
    earlier=SEEN[:1],
)


@pytest.fixture
def recorder(tmp_path):
    return store.Recorder(tmp_path, RUN.id)


def test_a_run_reads_back_as_it_was(recorder, tmp_path):
    recorder.begin(store.describe(RUN))
    path = recorder.finish(RUN)

    loaded = store.load(store.find(tmp_path, "last"))
    assert replace(loaded, playbook=replace(loaded.playbook, origin="")) == RUN
    assert path.name == RUN.id
    assert oct(path.stat().st_mode & 0o777) == "0o700"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"ecc_corrected_volatile": 1 << 63}, "ecc_corrected_volatile: too large a number, of 64"),
        ({"power_w": (1 << 53) + 1}, "power_w: too large a number"),
        ({"uuid": "GPU-\ud800"}, "uuid: holds halves"),
        ({"throttle": ("hw_thermal", "\udfff")}, "throttle: holds halves"),
    ],
)
def test_a_value_that_no_table_holds_costs_its_fact_and_not_the_run(
    recorder, tmp_path, fields, why
):
    def told(_text: str) -> Iterator[Accelerator]:
        yield replace(Accelerator("gpu0"), **fields)
        yield Accelerator("gpu1", uuid="GPU-\U0001f600", ecc_corrected_volatile=(1 << 63) - 1)

    odd = replace(probe("odd"), parse=told)
    world = Scripted({"n000": answers(said("odd"))})
    (heard,) = observe(RUN.nodes[0], [odd], world, lambda: NOON)

    (trouble,) = heard.troubles
    assert (trouble.kind, trouble.part) == (Kind.UNREADABLE, "gpu0")
    assert why in trouble.detail
    recorder.finish(replace(RUN, observations=(heard,), earlier=()))
    assert store.load(store.find(tmp_path, "last")).observations == (heard,)


def test_a_run_older_than_a_field_still_reads(recorder, tmp_path):
    path = recorder.finish(RUN) / "observations.parquet"
    pd.read_parquet(path).drop(columns=["serial", "temp_c", "counters"]).to_parquet(path)

    (fact, *_) = store.load(store.find(tmp_path, "last")).observations[0].facts

    assert (fact.part, fact.model, fact.temp_c) == ("gpu0", "x", None)


def test_pandas_reads_it_in_one_line(recorder):
    path = recorder.finish(RUN)

    frame = pd.read_parquet(path / "observations.parquet").query("type == 'Accelerator'")

    assert frame[frame.reading == "now"][["node", "part", "temp_c"]].to_numpy().tolist() == [
        ["n000", "gpu0", 41.5]
    ]


def test_a_run_that_dies_keeps_what_was_heard(recorder, tmp_path):
    recorder.begin(store.describe(RUN))
    recorder.hear("now", Heard("n000", said("toy", "gpu0 41"), None))

    found = store.find(tmp_path, RUN.id)  # nobody called finish or close

    assert not found.complete
    assert [one.node for one in found.heard("now")] == ["n000"]
    assert found.nodes() == RUN.nodes
    with pytest.raises(UserError, match=r"was never finished; `clusterctl judge .*` judges what"):
        store.load(found)
    (found.path / "observations.parquet").write_bytes(b"no table")
    with pytest.raises(UserError, match=r"its observations cannot be read .*; `clusterctl judge"):
        store.load(found)


@pytest.mark.parametrize("lost", [1, 5, 20])
def test_a_torn_recording_gives_what_is_whole(recorder, tmp_path, lost):
    recorder.begin(store.describe(RUN))
    for number in range(50):
        recorder.hear("now", Heard(f"n{number}", said("toy", f"gpu0 {number}"), None))
    recorder.close()
    file = recorder.path / "answers-now.jsonl.gz"
    file.write_bytes(file.read_bytes()[:-lost])

    heard = list(store.find(tmp_path, RUN.id).heard("now"))

    assert 45 <= len(heard) <= 50
    assert heard[0].answer.stdout == "gpu0 0"


@pytest.mark.parametrize("byte", [*range(0, 60, 7), 300, 600])
def test_a_recording_that_is_corrupt_gives_what_is_before_that(recorder, tmp_path, byte):
    recorder.begin(store.describe(RUN))
    for number in range(200):
        text = hashlib.sha256(bytes([number])).hexdigest()
        recorder.hear("now", Heard(f"n{number}", said("toy", text), None))
    recorder.close()
    file = recorder.path / "answers-now.jsonl.gz"
    data = bytearray(file.read_bytes())
    data[byte : byte + 4] = bytes(one ^ 0xFF for one in data[byte : byte + 4])
    file.write_bytes(data)
    heard = list(store.find(tmp_path, RUN.id).heard("now"))
    assert [one.node for one in heard] == [f"n{number}" for number in range(len(heard))]


@pytest.mark.parametrize("line", ["{}", "[]", "1", '{"answer": 1, "trouble": null}'])
def test_a_line_of_another_shape_ends_a_recording(recorder, tmp_path, line):
    recorder.begin(store.describe(RUN))
    with gzip.open(recorder.path / "answers-now.jsonl.gz", "wt") as file:
        file.write(f"{line}\n")
    assert list(store.find(tmp_path, RUN.id).heard("now")) == []


class FullDisk:
    def write(self, _text):
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self):
        """Nothing to lose."""


def test_a_full_disk_ends_no_sweep_and_is_not_called_complete(recorder, tmp_path, caplog):
    recorder.begin(store.describe(RUN))
    recorder.files["now"] = FullDisk()

    recorder.hear("now", Heard("n000", said("toy"), None))
    recorder.hear("now", Heard("n001", said("toy"), None))
    recorder.finish(RUN)

    assert caplog.text.count("No space left") == 1
    assert not store.find(tmp_path, "last").complete


def test_the_newest_run_of_a_playbook_is_complete_and_of_that_name(recorder, tmp_path):
    recorder.finish(RUN)
    other = store.Recorder(tmp_path, "20260102T120000-p-ffff")
    other.begin({**store.describe(RUN), "id": "20260102T120000-p-ffff"})

    assert store.newest(tmp_path, "p", ["n000"]).id == RUN.id
    assert store.newest(tmp_path, "q", ["n000"]) is None
    assert store.newest(tmp_path, "p", ["n999"]) is None


def test_a_later_run_of_one_node_hides_no_past_of_the_others(recorder, tmp_path):
    recorder.finish(RUN)
    alone = replace(RUN, id="20260102T120000-p-ffff", nodes=RUN.nodes[:1])
    store.Recorder(tmp_path, alone.id).finish(alone)

    assert store.newest(tmp_path, "p", ["n000", "n001"]).id == RUN.id
    assert store.newest(tmp_path, "p", ["n000", "n001", "n002"]).id == RUN.id
    assert store.newest(tmp_path, "p", ["n000"]).id == alone.id


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 99}'])
def test_a_broken_run_is_one_line_for_the_operator(tmp_path, content):
    (tmp_path / "r1").mkdir()
    (tmp_path / "r1/run.json").write_text(content)

    with pytest.raises(UserError, match=r"run\.json"):
        store.find(tmp_path, "r1")


def test_an_unknown_run_names_the_newest(recorder, tmp_path):
    recorder.finish(RUN)

    with pytest.raises(UserError, match=RUN.id):
        store.find(tmp_path, "nonsense")


def test_a_place_that_cannot_hold_runs_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(UserError, match="--runs-dir"):
        store.Recorder(tmp_path / "file", "x")


def test_every_field_of_every_fact_has_a_column():
    assert set(codec.columns()) == {name for names in codec.FIELDS.values() for name in names}


def test_facts_survive_json():
    for seen in SEEN:
        for fact in seen.facts:
            assert codec.read(json.loads(json.dumps(codec.spell(fact)))) == fact


@pytest.mark.parametrize("bad", [{}, {"type": "Nothing"}, {"type": "Port"}])
def test_what_is_no_fact_is_refused(bad):
    with pytest.raises(ValueError, match=r".+"):
        codec.read(bad)


def test_a_recorded_sweep_judged_again_says_the_same(tmp_path):
    """The whole flow on a scripted transport, recorded, replayed: equal findings."""
    from clusterctl import catalog
    from clusterctl.rejudge import again
    from clusterctl.run import World, sweep
    from clusterctl.transport.replay import Recording

    clock = probe("clock").question
    book = replace(
        Playbook("nightly"),
        probes=(catalog.all_probes()["clock"],),
        checks=(catalog.all_checks()["clock_offset"],),
    )
    fleet = nodes(3)
    script = {
        "n000": answers(said(clock.name, exit_code=127)),
        "n001": answers(said(clock.name, "rubbish")),
    }
    recorder = store.Recorder(tmp_path, "r")

    def reach(reading, _node_s):
        return Recording(Scripted(script), lambda said: recorder.hear(reading, said))

    run = sweep(book, fleet, World(reach=reach, clock=lambda: NOON, seed=1, run_id="r"))
    recorder.finish(run)

    replayed = again(store.find(tmp_path, "r"), tmp_path, None)

    assert set(replayed.findings) == set(run.findings)
