"""The node side of a campaign: its supervisor, for real, on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from campaigns import Campaign, processes, sleeper, soon

from clusterctl import remote
from clusterctl.campaign.burnt import burnt_s
from clusterctl.campaign.journal import LOST, steps
from clusterctl.campaign.supervision import reply
from clusterctl.model import Answer, Kind, Node, Trouble
from clusterctl.transport.local import Local
from clusterctl.transport.wire import remote_file

REMOTE = Path(remote.__file__).parent
PYENV = Path.home() / ".pyenv" / "versions"
OLD = [str(place) for place in sorted(PYENV.glob("3.6.*/bin/python3"))[:1]]
NEW = [str(place) for place in sorted(PYENV.glob("3.13.*/bin/python3"))[:1]]
NODE = Node("here")
QUIET = {
    "every_s": 0.2,
    "hard_s": 60,
    "nvml": False,
    "files": [],
    "slow_files": [],
    "kernel": "nothing like this",
}

Begin = Callable[..., Campaign]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Starts campaigns that are over, whatever happens, when the test is."""
    begun: list[Campaign] = []

    def beginning(name: str = "", python: str = sys.executable, **plan: Any) -> Campaign:
        local = Local(node_s=90, pythons=python)
        campaign = Campaign(local, NODE, name or f"t-{uuid.uuid4().hex[:8]}", (str(tmp_path),))
        begun.append(campaign)
        told = campaign.start({**QUIET, **plan})
        assert told.ok, told
        return campaign

    yield beginning
    for campaign in begun:
        campaign.clear()


def pid_of(campaign: Campaign, word: str) -> int:
    (found,) = [
        pid
        for pid, command in processes(campaign.name).items()
        if command.rstrip().endswith(f"{campaign.name} {word}")
    ]
    return found


SCRIPT = "import sys, beside\nprint(beside.NAME, sys.argv[1:], FILES['kernel'], 'ü')\nsys.exit(3)\n"


@pytest.mark.parametrize("python", [sys.executable, *OLD, *NEW])
def test_a_script_runs_with_its_modules_and_files_and_nothing_is_left_of_it(
    begin, tmp_path, python
):
    sources = {"asks": SCRIPT, "beside": "NAME = 'both'\n", "kernel": "ptx"}
    campaign = begin(python=python, sources=sources)
    step = {
        "name": "asks", "script": "asks", "modules": ["beside"], "files": ["kernel"],
        "argv": ["a", "b c"], "timeout_s": 20,
    }  # fmt: skip

    assert campaign.tell("run", "one", step=step).ok
    end = campaign.until("end")
    assert (end["step"], end["code"], end["why"]) == ("one", 3, "exit")
    assert (end["out"], end["err"]) == ("both ['a', 'b c'] ptx ü\n", "")

    assert campaign.stop().words["why"] == "ended: told"
    assert campaign.collect().ok
    assert list(tmp_path.iterdir()) == []
    assert processes(campaign.name) == {}
    assert not list(Path("/sys/fs/cgroup").glob(f"*/clusterctl-{campaign.name}"))


def test_a_step_is_the_same_as_the_trial_that_is_asked_in_a_conversation(begin):
    sources = {name: remote_file(f"{name}.py") for name in ("read_files", "trial")}
    campaign = begin(sources=sources)
    step = {"name": "r", "script": "read_files", "argv": ["/proc/version"], "timeout_s": 20}
    campaign.tell("run", step=step)
    campaign.until("end")
    (ran,) = steps(campaign.records())
    assert ran.answer().exit_code == 0
    assert ran.stdout == f"/proc/version\t{Path('/proc/version').read_text()}"


def test_the_end_of_the_conversation_kills_nothing_of_it(begin):
    campaign = begin()
    campaign.tell("run", step=sleeper())
    campaign.until("begin")
    pid = pid_of(campaign, "supervisor")
    environment = Path(f"/proc/{pid}/environ").read_text()
    assert "CLUSTERCTL_TALK" not in environment
    assert os.getsid(pid) == pid
    assert campaign.fetch().words["step"]["name"] == "sleeper"
    assert campaign.fetch().words["pid"] == pid


def test_an_order_that_is_repeated_is_done_once(begin):
    campaign = begin()
    step = {"name": "quick", "argv": ["true"], "timeout_s": 5}
    assert "repeated" not in campaign.tell("run", "same", step=step).words
    assert campaign.tell("run", "same", step=step).words["repeated"] is True
    campaign.tell("run", "other", step=step)
    campaign.until("end", 2)
    assert [cells["step"] for cells in campaign.of("begin")] == ["same", "other"]


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ({"do": "run", "step": {"name": "x", "argv": ["x"]}}, "timeout_s"),
        ({"do": "run", "step": {"name": "x", "timeout_s": 1}}, "script or argv"),
        ({"do": "run", "step": {"name": "x", "script": "y", "timeout_s": 1}}, "no source of y"),
        ({"do": "run", "step": sleeper(wrong=1)}, "no wrong"),
        ({"do": "soak", "on": True}, "needs steps"),
        ({"do": "stop_step"}, "no such step"),
        ({"do": "dance"}, "no such order"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_order_that_cannot_be_followed_is_refused_and_not_journalled(begin, order, why):
    campaign = begin()
    told = campaign.tell(**order)
    assert not told.ok
    assert why in told.words["why"]
    campaign.fetch()
    assert not campaign.of("command")


def test_a_second_campaign_is_refused_with_the_id_of_the_first(begin, tmp_path):
    first = begin("first")
    second = Campaign(first.transport, NODE, "second", first.places)
    told = second.start(QUIET)
    assert (told.ok, told.words["holder"]) == (False, "first")
    assert not (tmp_path / "clusterctl-second").exists()
    again = first.start(QUIET)
    assert (again.ok, again.words["started"]) == (True, False)


def test_a_killed_supervisor_takes_its_steps_along_and_the_next_fetch_says_so(begin):
    campaign = begin()
    away = "setsid sh -c 'trap \"\" TERM; while :; do sleep 0.1; done' & sleep 60"
    campaign.tell("run", step=sleeper(argv=["sh", "-c", away]))
    campaign.until("begin")
    assert soon(lambda: any("while" in text for text in processes(campaign.name).values()))
    os.kill(pid_of(campaign, "supervisor"), signal.SIGKILL)
    assert soon(lambda: not processes(campaign.name)), processes(campaign.name)
    told = campaign.fetch()
    assert (told.words["alive"], told.words["why"]) == (False, "killed")
    assert campaign.until("orphaned")["survivors"] == 0
    (ran,) = steps(campaign.records())
    assert ran.why == LOST


def test_its_lock_is_taken_over_and_the_journal_goes_on(begin):
    campaign = begin()
    campaign.tell("run", "one", step=sleeper())
    campaign.until("sample", 3)
    for pid in processes(campaign.name):
        os.kill(pid, signal.SIGKILL)  # the watcher too: nobody is left to say anything
    assert soon(lambda: not processes(campaign.name))
    burnt_before_s = burnt_s(campaign.records())

    assert campaign.start(QUIET).words["started"] is True
    assert campaign.tell("run", "one", step=sleeper()).words["repeated"] is True
    campaign.until("sample", 6)
    assert campaign.fetch().words["step"] is None
    assert len(campaign.of("start")) == 2
    assert burnt_s(campaign.records()) == pytest.approx(burnt_before_s, abs=1.0)


def test_a_supervisor_that_cannot_come_up_says_why_and_is_cleared_away(begin, tmp_path):
    campaign = Campaign(Local(90), NODE, "broken", (str(tmp_path),))
    told = campaign.start({**QUIET, "kernel": "(no regular expression"})
    assert "unterminated subpattern" in told.words["why"]
    assert soon(lambda: campaign.fetch().words["alive"] is False)
    assert soon(lambda: campaign.collect().ok)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_watcher_is_replaced(begin):
    campaign = begin()
    first = pid_of(campaign, "watcher")
    os.kill(first, signal.SIGKILL)
    assert soon(lambda: watchers(campaign) and watchers(campaign) != [first])


def watchers(campaign: Campaign) -> list[int]:
    return [pid for pid, text in processes(campaign.name).items() if "watcher" in text]


def test_a_segfault_and_a_kill_are_told_apart_from_an_exit(begin):
    campaign = begin()
    crash = {"name": "crash", "argv": ["sh", "-c", "kill -SEGV $$"], "timeout_s": 5}
    campaign.tell("run", step=crash)
    assert campaign.until("end")["code"] == -signal.SIGSEGV
    campaign.tell("run", "killed", step=sleeper())
    campaign.until("begin", 2)
    os.kill(sleeping(campaign), signal.SIGKILL)
    assert campaign.until("end", 2)["code"] == -signal.SIGKILL


def sleeping(campaign: Campaign) -> int:
    def found() -> list[int]:
        return [pid for pid, text in processes(campaign.name).items() if text.startswith("sleep ")]

    assert soon(found)
    return found()[0]


def test_a_hung_step_ends_at_its_time_with_all_it_started(begin):
    campaign = begin()
    deaf = "trap '' TERM; echo before; (setsid sleep 55 &) ; while :; do sleep 0.1; done"
    step = {"name": "deaf", "argv": ["sh", "-c", deaf], "timeout_s": 0.5, "term_s": 0.3}
    campaign.tell("run", step=step)
    end = campaign.until("end")
    assert (end["why"], end["out"]) == ("timeout", "before\n")
    assert end["s"] < 5
    assert not any("sleep 55" in text for text in processes(campaign.name).values())
    (ran,) = steps(campaign.records())
    assert ran.answer().exit_code is None


def test_what_a_step_leaves_in_the_background_ends_with_it(begin):
    campaign = begin()
    campaign.tell("run", step=sleeper(argv=["sh", "-c", "sleep 54 & echo done"]))
    assert campaign.until("end")["out"] == "done\n"
    assert not any("sleep 54" in text for text in processes(campaign.name).values())


def test_output_beyond_the_cap_is_cut_and_said(begin):
    campaign = begin()
    step = {"name": "loud", "argv": ["sh", "-c", "yes | head -c 5000"], "timeout_s": 9}
    campaign.tell("run", step={**step, "cap_bytes": 100})
    end = campaign.until("end")
    assert (len(end["out"]), end["out_bytes"]) == (100, 5000)
    (ran,) = steps(campaign.records())
    assert ran.answer().truncated


def test_the_soak_goes_in_turn_until_it_is_switched_off_and_gives_way_to_a_step(begin):
    campaign = begin()
    one, two = ({"name": n, "argv": ["sleep", "0.1"], "timeout_s": 9} for n in ("a", "b"))
    campaign.tell("soak", "s", on=True, steps=[one, two])
    campaign.until("end", 3)
    campaign.tell("run", "x", step={"name": "between", "argv": ["true"], "timeout_s": 9})
    campaign.until("end", 6)
    names = [cells["name"] for cells in campaign.of("begin")]
    assert names[:3] == ["a", "b", "a"]
    assert "between" in names
    campaign.tell("soak", "off", on=False)
    campaign.tell("drain", "d")
    assert campaign.until("finish")["why"] == "drained"


def test_a_soak_that_crashes_at_once_is_not_started_without_end(begin):
    campaign = begin()
    campaign.tell("soak", "s", on=True, steps=[{"name": "a", "argv": ["false"], "timeout_s": 9}])
    time.sleep(3)
    campaign.fetch()
    assert 1 <= len(campaign.of("begin")) <= 3


@pytest.mark.parametrize(("policy", "stops"), [("stop", True), ("run_on", False)])
def test_a_lost_lease_stops_the_load_or_not_as_was_agreed(begin, policy, stops):
    campaign = begin(lease_s=1.0, policy=policy)
    campaign.tell("run", step=sleeper())
    time.sleep(2.5)
    campaign.fetch()
    assert campaign.until("lease", 2)["held"] is True  # to ask is to renew it
    assert [cells["held"] for cells in campaign.of("lease")] == [False, True]
    assert campaign.of("lease")[0]["after_s"] == pytest.approx(1.0, abs=0.5)
    assert [cells["why"] for cells in campaign.of("end")] == (["lease"] if stops else [])


def test_everything_stops_at_the_deadline(begin):
    campaign = begin(hard_s=1.5)
    deaf = sleeper(argv=["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], term_s=0.5)
    campaign.tell("soak", "s", on=True, steps=[deaf])
    assert campaign.until("finish")["why"] == "deadline"
    assert campaign.until("end")["why"] == "deadline"
    assert soon(lambda: not processes(campaign.name))


def test_a_supervisor_that_hangs_is_ended_by_its_watcher(begin):
    """Stopped is as good as hung."""
    campaign = begin(hard_s=2, late_s=0.5)
    campaign.tell("run", step=sleeper())
    campaign.until("begin")
    os.kill(pid_of(campaign, "supervisor"), signal.SIGSTOP)
    assert soon(lambda: not processes(campaign.name))
    assert campaign.until("orphaned")["why"] == "hung past its deadline"
    assert campaign.fetch().words["alive"] is False


def test_sigterm_is_a_clean_stop(begin):
    campaign = begin()
    campaign.tell("run", step=sleeper())
    campaign.until("begin")
    os.kill(pid_of(campaign, "supervisor"), signal.SIGTERM)
    assert campaign.until("finish")["why"] == "signal 15"
    assert campaign.of("end")[-1]["why"] == "signal 15"
    assert campaign.fetch().words["why"] == "ended: signal 15"


def test_collect_refuses_what_runs_and_what_was_not_fetched(begin, tmp_path):
    campaign = begin()
    size = campaign.fetch().words["size"]
    assert "still running" in campaign.collect(size).words["why"]
    campaign.stop()
    assert f"not {size}" in campaign.collect(size).words["why"]
    assert campaign.collect().ok
    again = campaign.collect(0)
    assert (again.ok, again.words["absent"]) == (True, True)


def test_a_journal_is_fetched_in_pieces_of_whole_records(begin):
    campaign = begin()
    campaign.until("sample", 10)
    campaign.stop()
    whole = campaign.got + campaign.fetch().journal
    campaign.got = b""
    pieces = 0
    while (told := campaign.fetch(most_bytes=1000)).journal:
        assert told.journal.endswith(b"\n")
        assert len(told.journal) <= 1000
        pieces += 1
    assert pieces > 1
    assert campaign.got == whole or campaign.got.startswith(whole)


def test_a_record_larger_than_the_piece_is_said(begin):
    told = begin().fetch(most_bytes=10)
    assert "longer than 10 bytes" in told.words["why"]


def test_a_place_that_cannot_be_written_is_passed_over(begin, tmp_path):
    (tmp_path / "file").write_text("")
    campaign = Campaign(Local(90), NODE, "elsewhere", (str(tmp_path / "file"), str(tmp_path)))
    try:
        told = campaign.start(QUIET)
        assert told.ok
        assert told.words["folder"] == str(tmp_path / "clusterctl-elsewhere")
        assert "file: " in told.words["refused"][0]
    finally:
        campaign.clear()


def test_the_folder_is_for_its_owner_only_and_a_strangers_is_not_used(tmp_path, begin):
    campaign = begin("mine")
    assert (tmp_path / "clusterctl-mine").stat().st_mode & 0o777 == 0o700
    (tmp_path / "there").mkdir()
    (tmp_path / "clusterctl-linked").symlink_to(tmp_path / "there")
    campaign.stop()
    other = Campaign(campaign.transport, NODE, "linked", campaign.places)
    assert other.fetch().words["why"] == "no such campaign here"
    assert "File exists" in other.start(QUIET).words["why"]
    assert not list((tmp_path / "there").iterdir())


def test_one_controller_at_a_time_is_obeyed_while_its_lease_holds(begin):
    campaign = begin(lease_s=2.5)
    rival = Campaign(campaign.transport, NODE, campaign.name, campaign.places)
    campaign.leader = {"id": "a", "host": "h1", "pid": 7, "since": "noon"}
    rival.leader = {"id": "b", "host": "h2", "pid": 8, "since": "later"}
    assert campaign.fetch().ok

    for told in (rival.fetch(), rival.tell("drain"), rival.stop(now=True), rival.start(QUIET)):
        assert not told.ok
        assert told.words["leader"].items() >= campaign.leader.items()
        assert 0 < told.words["leader"]["lapses_s"] <= 2.5
    assert campaign.fetch().words["stopping"] == ""

    rival.leader = {**rival.leader, "take_over": True}
    assert rival.fetch().ok
    assert campaign.fetch().words["leader"]["host"] == "h2"
    assert soon(lambda: campaign.fetch().ok)  # the other's lease lapses: it may lead again
    campaign.until("leader", 2)  # the state answers before the record is on the disk
    changes = [(cells["before"]["id"], cells["now"]["id"]) for cells in campaign.of("leader")]
    assert changes == [("a", "b"), ("b", "a")]


def test_the_wall_clock_is_only_a_label(tmp_path):
    """Stepped back an hour: said, and neither the samples nor the lease mind."""
    folder = tmp_path / "clusterctl-clock"
    folder.mkdir()
    clock = tmp_path / "ahead_s"
    clock.write_text("0")
    driver = (
        "import json, sys, time\n"
        f"sys.path.insert(0, {str(REMOTE)!r})\n"
        "import supervisor\n"
        "def wall():\n"
        f"    return time.time() + float(open({str(clock)!r}).read() or 0)\n"
        "supervisor.main(sys.argv[1], wall)\n"
    )
    ready, told = os.pipe()
    plan = {**QUIET, "hard_s": 4}
    order = {"campaign": "clock", "folder": str(folder), "plan": plan, "lock": told, "ready": told}
    python = OLD[0] if OLD else sys.executable
    with subprocess.Popen(
        [python, "-c", driver, json.dumps(order)], pass_fds=(told,), start_new_session=True
    ):
        os.close(told)
        assert os.read(ready, 100) == b"ok\n"
        time.sleep(1)
        clock.write_text("-3600")
    os.close(ready)
    campaign = Campaign(Local(90), NODE, "clock", (str(tmp_path),))
    campaign.fetch()
    assert [cells["jump_s"] for cells in campaign.of("clock")] == [pytest.approx(-3600, abs=1)]
    moments = [one.at_s for one in campaign.records() if one.kind in {"full", "sample"}]
    assert moments == sorted(moments)
    assert len(moments) > 10
    assert campaign.until("finish")["why"] == "deadline"
    campaign.clear()


HEAD = '{"ok":true,"size":4,"next":4}\n'


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer("fetch", None, "", "", 1.0), Kind.TIMEOUT),
        (Answer("fetch", 1, "", "Traceback\nOSError: x", 1.0), Kind.EXIT),
        (Answer("fetch", 0, "login noise", "", 1.0), Kind.UNREADABLE),
        (Answer("fetch", 0, f"{HEAD}abc\n", "", 1.0), Kind.CUT),
        (Answer("fetch", 0, f"{HEAD}abc\nend\t4\n", "", 1.0, truncated=True), Kind.CUT),
    ],
    ids=["late", "broken", "noise", "cut", "truncated"],
)
def test_an_answer_that_is_not_whole_is_a_trouble(answer, kind):
    told = reply(answer)
    assert isinstance(told, Trouble)
    assert told.kind is kind
