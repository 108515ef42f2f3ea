"""A support bundle: all of one node, none of its secrets, nothing left there."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kin import wait_for

from clusterctl.model import SPARED, Answer, Node, Question
from clusterctl.support.answers import add
from clusterctl.support.archive import Bundle, inside
from clusterctl.support.collectors import COLLECTORS, collected
from clusterctl.support.redact import GONE, Aliases, without_addresses, without_secrets
from clusterctl.transport.local import Local

ROOT = Path(__file__).parent.parent
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
PYENV = sorted((Path.home() / ".pyenv/versions").glob("3.6.*/bin/python3"))
PYTHONS = [sys.executable, *(str(one) for one in PYENV[:1])]
BY_NAME = {one.question.name: one for one in COLLECTORS}

SECRETS = [
    "password=hunter22x",
    r"log {\"password\":\"hunter22x\"}",
    r"log {\\\"api_key\\\" : \\\"hunter22x y\\\"}",
    'db_password: "hunter22x y"',
    "'api_key' = 'hunter22x'",
    "ADMIN_TOKEN=hunter22x",
    "ipmitool -I lanplus --password hunter22x sel",
    "curl --auth-token=hunter22x http://x",
    "Authorization: Bearer hunter22x.abc",
    "authorization = hunter22x and more",
    "proxy http://user:hunter22x@proxy:3128/",
    "snmp-server community hunter22x RO",
    "snmp-agent community read cipher hunter22x",
    "rocommunity hunter22x 10.0.0.0/8",
    "root:$6$hunter22x$aaaaaaaaaaaaaaaa:19000:0",
    "key: -----BEGIN RSA PRIVATE KEY-----\nhunter22x\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter22x and the end is cut",
    "eyJhunter22x.eyJhunter22xhunter22x.hunter22x",
    "AKIA0123456789HUNTER hf_hunter22xhunter22x",
    '{"secret": "hunter22x", "psk":"hunter22x"}',
    "Basic aHVudGVyMjJ4aHVudGVyMjJ4",
    'password="hunter22x and the end is cut',
    'password="a \\" hunter22x"',
    "Set-Cookie: sid=hunter22x",
    "encryption_key: hunter22x",
    "NGC=nvapi-hunter22xhunter22xhunter22x",
    "sudo: COMMAND=/usr/bin/ipmitool -I lanplus -U ADMIN -P hunter22x sel list",
    'type=EXECVE argc=4 a0="ipmitool" a1="-P" a2="hunter22x" a3="sel"',
    "COMMAND=/usr/bin/sshpass -p hunter22x ssh n1",
    "curl -s --user ops:hunter22x https://bmc/redfish",
    "machine bmc login ops password hunter22x",
]
HARMLESS = [
    "PasswordAuthentication yes",
    "NVRM: Xid (PCI:0000:1b:00): 79, pid=1234, GPU has fallen off the bus",
    "0000:1b:00.0 3D controller [0302]: NVIDIA",
    "[12345.678901] mlx5_core 0000:1b:00.0: passed 3 tokens",
    "a password is required",
    "-----BEGIN CERTIFICATE-----",
    "12:00:00 up 3 days",
    "ipmitool -I lanplus -U ADMIN sel list",
    "curl: (7) Failed to connect",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_goes(text):
    clean, gone = without_secrets(text)
    assert "hunter22x" not in clean.lower()
    assert "HUNTER" not in clean
    assert "aHVudGVy" not in clean
    assert GONE in clean
    assert gone


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays(text):
    assert without_secrets(text) == (text, 0)
    assert without_addresses(text, Aliases()) == text


PIECES = (
    "a",
    "password",
    "token=",
    "$6$",
    "-----BEGIN ",
    "community ",
    "a:",
    "://x:",
    "ipmitool -",
    "curl ",
)


@pytest.mark.parametrize("piece", PIECES)
def test_much_on_one_line_is_no_trap(piece):
    text = piece * ((1 << 18) // len(piece))
    without_addresses(without_secrets(text)[0], Aliases())


def test_an_address_has_one_alias_everywhere_and_nobody_s_have_none():
    aliases = Aliases()
    text = "10.1.2.3 > 10.1.2.4, 10.1.2.3; 127.0.0.1 0.0.0.0 255.255.255.0"
    text += " fe80::1 aa:bb:cc:dd:ee:ff ::1"
    first = without_addresses(text, aliases)
    assert first.count("<ip-") == 4
    assert first.split()[0] == first.split()[3].rstrip(";")
    assert "127.0.0.1 0.0.0.0 255.255.255.0" in first
    assert first.endswith(" ::1")
    assert "fe80" not in first
    assert "aa:bb" not in first
    assert without_addresses("10.1.2.4", aliases) == first.split()[2].rstrip(",")
    ends = without_addresses("10.1.2.4. aa:bb:cc:dd:ee:ff. fe80::1.", aliases)
    assert ends.count(">.") == 3
    versions = "driver 550.54.15, 28.39.1002, std::string, 0002:c903:00a1:b2c3"
    assert without_addresses(versions, aliases) == versions


# --------------------------------------------------------------------------- the archive


def written(found: Bundle, path: Path) -> dict[str, bytes]:
    found.write(path, {"node": "n1"}, {})
    with tarfile.open(path) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar}


def bundle(**how: object) -> Bundle:
    return Bundle("n1-x", NOON, **how)  # type: ignore[arg-type]


def test_the_manifest_knows_every_file_and_what_is_not_there_and_why(tmp_path):
    found = bundle()
    found.add_text("a.txt", "a probe", "password=x\n")
    found.lack("nvml", "not installed there", absent=True)
    contents = written(found, tmp_path / "b.tar.gz")
    manifest = json.loads(contents.pop("n1-x/MANIFEST.json"))
    assert {one["name"]: one["sha256"] for one in manifest["entries"]} == {
        name: hashlib.sha256(data).hexdigest() for name, data in contents.items()
    }
    assert manifest["entries"][0]["redacted"] == 1
    assert manifest["entries"][0]["source"] == "a probe"
    assert manifest["missing"] == [{"source": "nvml", "why": "not installed there", "absent": True}]


def test_only_its_owner_may_read_it(tmp_path):
    before = os.umask(0)
    try:
        bundle().write(tmp_path / "b.tar.gz", {}, {})
    finally:
        os.umask(before)
    assert (tmp_path / "b.tar.gz").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../../b", "..", "a\n\x1bb"])
def test_no_name_leads_out_of_the_archive(name):
    place = inside(name)
    assert not place.startswith("/")
    assert ".." not in place.split("/")
    assert place.isprintable()


def test_two_of_one_name_are_both_there(tmp_path):
    found = bundle()
    found.add_text("a", "s", "1")
    found.add_text("a", "s", "2")
    assert set(written(found, tmp_path / "b")) == {"n1-x/MANIFEST.json", "n1-x/a", "n1-x/a.2"}


def packed() -> bytes:
    return tarred(("log", b"token=abcdef\n"), ("../up", b"fine\n"), ("blob", b"\0\1"))


def test_secrets_hide_in_packed_files_too_and_what_cannot_be_read_stays_out(tmp_path):
    found = bundle()
    found.add_file("report.log.gz", "s", gzip.compress(b"password=abcdef\n"))
    found.add_file("all.tgz", "s", packed())
    found.add_file("torn.gz", "s", gzip.compress(b"x" * 1000)[:20])
    contents = written(found, tmp_path / "b")
    assert contents["n1-x/report.log"] == b"password=<redacted>\n"
    assert contents["n1-x/all.tar/log"] == b"token=<redacted>\n"
    assert contents["n1-x/all.tar/up"] == b"fine\n"
    assert not [name for name in contents if "blob" in name or "torn" in name]
    why = [one.why for one in found.missing]
    assert any("blob" in one and "--with-binaries" in one for one in why)
    assert any("torn" in one for one in why)


def test_the_manifest_keeps_no_secret_and_no_address_of_the_inventory(tmp_path):
    found = bundle(aliases=Aliases())
    found.add_text("a.txt", "s", "10.9.8.7 said so")
    found.lack("the node", "unreachable: 10.9.8.7 does not answer")
    labels = {"token": "hunter22x", "note": "password=hunter22x", "bmc": "10.9.8.7", "rack": "r1"}
    found.write(tmp_path / "b", {"node": "n1"}, labels)
    with tarfile.open(tmp_path / "b") as tar:
        told = json.loads(tar.extractfile("n1-x/MANIFEST.json").read())
        text = tar.extractfile("n1-x/a.txt").read().decode()
    alias = text.split()[0]
    assert told["labels"] == {
        "token": GONE, "note": f"password={GONE}", "bmc": alias, "rack": "r1",
    }  # fmt: skip
    assert told["missing"][0]["why"] == f"unreachable: {alias} does not answer"


def tarred(*members: tuple[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return made.getvalue()


def test_what_a_node_calls_its_files_draws_nothing_on_a_terminal():
    found = bundle()
    found.add_file("a.tgz", "s", tarred(("\x1b]0;pwned\x07\x9b31m", b"\0\1")))
    (missing,) = found.missing
    assert "pwned" in missing.why
    assert missing.why.isprintable()


def test_an_archive_that_unpacks_to_more_than_memory_is_named():
    hole = tarfile.TarInfo("hole")
    hole.pax_headers = {
        "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "hole",
        "GNU.sparse.map": "0,0", "GNU.sparse.size": str(1 << 40),
    }  # fmt: skip
    found = bundle()
    found.add_file("a.tar", "s", hole.tobuf(tarfile.PAX_FORMAT) + bytes(10240))
    found.add_file("b.tgz", "s", tarred(*[("same", b"x")] * 10_001))
    assert [one.source for one in found.missing] == ["s", "s"]
    assert all("it unpacks to more than" in one.why for one in found.missing)
    assert len({one.name for one in found.entries}) == len(found.entries) == 10_000


def test_a_blob_is_kept_where_it_is_asked_for(tmp_path):
    found = bundle(binaries=True)
    found.add_file("all.tgz", "s", packed())
    assert written(found, tmp_path / "b")["n1-x/all.tar/blob"] == b"\0\1"


def test_a_full_disk_leaves_no_half_archive(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], check=True)
    try:
        found = bundle(binaries=True)
        found.add_file("x", "s", b"\0" + os.urandom(200_000))
        with pytest.raises(OSError, match="No space"):
            found.write(tmp_path / "b.tar.gz", {}, {})
        assert not list(tmp_path.iterdir())
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


# --------------------------------------------------------------------------- the node's part


@pytest.fixture(params=PYTHONS, ids=lambda way: "-".join(Path(way).parts[-3:-2]))
def python(request) -> str:
    return request.param


def collect(python: str, *argv: str, seconds: str = "10", most: str = "100000") -> Answer:
    asked = Question("c", (seconds, most, *argv), script="collect", timeout_s=20, cap_bytes=1 << 20)
    with Local(30, pythons=python).open(Node("here")) as shell:
        (answer,) = shell.ask([asked])
    return answer


def left_behind() -> list[Path]:
    return list(Path("/tmp").glob("clusterctl-collect-*"))  # noqa: S108 - where it would be


TOOL = "echo said; echo one >here; mkdir d; echo two >d/two; echo three >{}/three; "
TOOL += "touch /tmp/stray$$"


def test_what_a_collector_writes_comes_back_and_nothing_stays(python):
    strays = set(Path("/tmp").glob("stray*"))  # noqa: S108 - the same
    brought = collected(collect(python, "sh", "-c", TOOL))
    assert dict(brought.files) == {"here": b"one\n", "d/two": b"two\n", "three": b"three\n"}
    assert (brought.said, brought.exit_code, brought.whole) == ("said\n", 0, True)
    assert not left_behind()
    if os.geteuid() == 0:
        assert set(Path("/tmp").glob("stray*")) == strays  # noqa: S108 - the same


def test_a_collector_that_hangs_is_ended_and_what_it_wrote_counts(python):
    brought = collected(collect(python, "sh", "-c", "echo x >x; sleep 60", seconds="0.5"))
    assert (dict(brought.files), brought.exit_code) == ({"x": b"x\n"}, None)
    assert not left_behind()


def test_too_much_is_named_and_the_rest_is_kept(python):
    much = "echo a >a; head -c 9999 /dev/zero >b"
    brought = collected(collect(python, "sh", "-c", much, most="5000"))
    assert dict(brought.files) == {"a": b"a\n"}
    assert brought.left == ("b (9999 bytes)",)


def test_one_that_is_not_installed_is_127(python):
    assert collect(python, "no-such-collector").exit_code == 127


def test_killed_in_the_middle_it_leaves_nothing(python):
    program = ROOT / "clusterctl/remote/collect.py"
    words = [python, program, "60", "1000", "sh", "-c", "touch x; sleep 60"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        place = Path(f"/proc/{process.pid}/root/tmp")
        wait_for(lambda: list(place.glob("clusterctl-collect-*/files/x")))
        os.killpg(process.pid, signal.SIGKILL if os.geteuid() == 0 else signal.SIGTERM)
        process.wait()
    for one in children(words[-1]):
        os.kill(one, signal.SIGKILL)
    assert not left_behind()


def children(word: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


CUT = ("", "{", "[]", '{"file": 1}', '{"file": "a", "data": "?"}', '{"end": 3}')


@pytest.mark.parametrize("text", CUT)
def test_an_answer_that_is_cut_is_not_whole(text):
    assert not collected(Answer("c", 0, text, "", 1.0)).whole


def test_every_way_of_not_answering_has_its_line():
    found = bundle()
    add(found, Answer("dmesg", 127, "", "not found: dmesg", 0.1), BY_NAME["dmesg"])
    add(found, Answer("nvidia_topology", SPARED, "", "", 0.0), BY_NAME["nvidia_topology"])
    add(found, Answer("lspci", None, "half", "", 30.0), BY_NAME["lspci"])
    add(found, Answer("nvidia_bug_report", 0, "", "boom", 3.0), BY_NAME["nvidia_bug_report"])
    add(found, Answer("cpu", 0, "words", "warning", 0.1), None)
    assert [(one.source.split(":")[0], one.absent) for one in found.missing] == [
        ("dmesg", True), ("nvidia_topology", False), ("lspci", False), ("nvidia_bug_report", False),
    ]  # fmt: skip
    assert [one.name for one in found.entries] == [
        "n1-x/collected/lspci.txt", "n1-x/collected/nvidia_bug_report/said.txt",
        "n1-x/answers/cpu.txt", "n1-x/answers/cpu.stderr.txt",
    ]  # fmt: skip


def test_a_collector_writes_in_its_own_place_and_may_not_disturb_a_job():
    for one in COLLECTORS:
        assert one.why
        if one.writes_files:
            assert one.question.script == "collect"
            assert one.question.spare
            assert one.question.cap_bytes > 4 / 3 * int(one.question.command[1])


# --------------------------------------------------------------------------- the program


@pytest.fixture
def far_from_tmp() -> Iterator[Path]:
    """A collector has a /tmp of its own, so no tool can lie there."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_one_command_makes_an_archive_with_answers_collectors_and_history(tmp_path, far_from_tmp):
    tools = far_from_tmp
    report = tools / "nvidia-bug-report.sh"
    report.write_text(
        '#!/bin/sh\n[ "$1" = --safe-mode ] || exit 9\necho password=abcdef | gzip >"$3.gz"\n'
    )
    report.chmod(0o755)
    environ = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    local = str(ROOT / "inventories/local.yml")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "clusterctl", *words, "--runs-dir", str(tmp_path / "runs")],
            capture_output=True, text=True, check=False, cwd=tmp_path, env=environ, timeout=120,
        )  # fmt: skip

    (tmp_path / "q.yml").write_text(
        "probes: [cpu]\nchecks: [cpu_count]\nexpect: {cpu_count: {threads: 100000}}\n"
    )
    assert run("sweep", "-i", local, "-p", "q.yml", "--quiet").returncode == 1
    began = time.time()
    done = run("bundle", "localhost", "-i", local, "-o", "b.tar.gz", "--redact-addresses")
    assert done.returncode in {0, 4}, done.stderr
    assert "secrets redacted" in done.stdout
    with tarfile.open(tmp_path / "b.tar.gz") as tar:
        contents = {one.name.partition("/")[2]: tar.extractfile(one).read().decode() for one in tar}
    assert contents["collected/nvidia_bug_report/nvidia-bug-report.log"] == "password=<redacted>\n"
    assert "processor" in contents["answers/cpu.txt"]
    (past,) = (text for name, text in contents.items() if name.startswith("history/"))
    assert json.loads(past)["check"] == "cpu_count"
    assert any(one["check"] == "cpu_count" for one in json.loads(contents["findings.json"]))
    assert "== now cpu" in contents["last_answers.txt"]
    manifest = json.loads(contents["MANIFEST.json"])
    assert manifest["node"] == "localhost"
    assert {one["name"].partition("/")[2] for one in manifest["entries"]} == set(contents) - {
        "MANIFEST.json"
    }
    assert datetime.fromisoformat(manifest["made"]).timestamp() >= began - 1
    assert not left_behind()


def test_a_node_that_is_off_has_a_bundle_that_says_so(tmp_path):
    (tmp_path / "in.yml").write_text("nodes: {off: {address: 127.0.0.1, port: 1}}\n")
    done = subprocess.run(
        [sys.executable, "-m", "clusterctl", "bundle", "off", "-i", "in.yml", "-o", "b.tar.gz"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env=os.environ | {"HOME": str(tmp_path)}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "missing: the node: unreachable" in done.stderr
    assert (tmp_path / "b.tar.gz").is_file()
