"""Messages: what they say, to whom they go, and that a failure is never silent."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import inf
from pathlib import Path

import pytest

from clusterctl.act import chat_bots, notify_file, notify_log, notify_send
from clusterctl.act.notify import About, Message, message
from clusterctl.act.notify_file import Addressee, Settings
from clusterctl.act.notify_log import Sent
from clusterctl.cli.language import Language
from clusterctl.cli.outlets import Hearers, Outlets, gone_out, news
from clusterctl.knowledge import chinese
from clusterctl.memory.acks import Page, applied
from clusterctl.memory.life import NOTHING, Stage
from clusterctl.memory.one_night import step
from clusterctl.model import (
    Finding,
    Node,
    Playbook,
    Run,
    Severity,
    Status,
    UserError,
    Verdict,
)
from clusterctl.report.accounts import account
from clusterctl.report.folding import rows
from clusterctl.report.morning import Change

ROOT = Path(__file__).parent.parent
NIGHT = datetime(2026, 11, 22, 2, tzinfo=UTC)
TOKEN = "abcd1234efgh5678"  # noqa: S105 - of nothing


def finding(node: str, status: Status = Status.FAIL, **how: object) -> Finding:
    words = {"expected": "0", "actual": "7", "why": "so", "remedy": "reseat or return the card"}
    words |= {"severity": Severity.ISOLATE, **how}
    return Finding("ecc", Verdict(node, "gpu3", status, **words))  # type: ignore[arg-type]


def about(**how: object) -> About:
    line = "1 pass · 1 fail of 2 nodes; 16 of 16 accelerators seen"
    return About("R1", "nightly", line, "head1:/runs/R1", **how)  # type: ignore[arg-type]


def say(text: str) -> str:
    return text


# --------------------------------------------------------------------------- what it says


def test_a_message_has_the_verdict_what_changed_what_to_do_and_where_the_run_is():
    (row,) = rows([finding("n007")])
    other = finding("n009")
    told = message(
        about(changes=[Change(Stage.NEW, "", "2026-11-22", row)], notes=["one note"]),
        [finding("n007"), replace(other, verdict=replace(other.verdict, part="gpu4"))],
        least=Severity.NONE, top=10, say=say,
    )  # fmt: skip
    assert (
        told.title == "clusterctl nightly: 1 pass · 1 fail of 2 nodes; 16 of 16 accelerators seen"
    )
    assert told.body.splitlines() == [
        "what changed:",
        "- new: FAIL n007 ecc gpu3: 7: so (expected 0)",
        "  reseat or return the card",
        "",
        "as before, worst first:",
        "- FAIL n009 ecc gpu4: 7: so (expected 0)",
        "  reseat or return the card",
        "",
        "one note",
        "head1:/runs/R1",
        "clusterctl show R1",
    ]


def test_however_much_was_found_it_is_one_message_and_says_how_much_more():
    many = [finding(f"n{i:03}", actual=str(i)) for i in range(500)]
    told = message(about(), many, least=Severity.NONE, top=3, say=say)
    assert told.body.count("- FAIL") == 3
    assert "and 497 more" in told.body


def test_what_is_mild_is_left_out_where_only_the_grave_is_wanted():
    found = [finding("n1", severity=Severity.OBSERVE), finding("n2")]
    told = message(about(), found, least=Severity.ISOLATE, top=9, say=say)
    assert "n2" in told.body
    assert "n1 " not in told.body


def test_what_a_node_says_rings_nobody_and_draws_nothing():
    evil = finding("n1", actual="@all [click](http://evil) <b>\x1b[2J\nFAIL n2")
    body = message(about(), [evil], least=Severity.NONE, top=9, say=say).body
    for mark in ("@", "](", "<", "\x1b"):
        assert mark not in body
    assert not [line for line in body.splitlines() if line.startswith("FAIL")]


def test_in_chinese_all_that_is_ours_is_chinese():
    known = "the card fell off the bus"
    found = [finding("n007", why=known, remedy="run the tool by hand on the node")]
    (row,) = rows(found)
    told = message(
        about(changes=[Change(Stage.NEW, "", "2026-11-22", row)], notes=list(
            Sent((), 2, "feishu: refused", "R0").notes()
        )),
        [*found, replace(finding("n008"), check="xid")],
        least=Severity.NONE, top=10, say=chinese.of,
    )  # fmt: skip
    for english in (
        "what changed",
        "to act on",
        "as before",
        "expected",
        "FAIL",
        "kept back",
        "did not go out",
    ):
        assert english not in str(told), str(told)


# --------------------------------------------------------------------------- whom and how often


@pytest.fixture
def addressed(tmp_path):
    """A file of addresses, and a way to write notify.yml."""

    def write(text: str, url: str = f"json://127.0.0.1/{TOKEN}", mode: int = 0o600) -> Path:
        (tmp_path / "urls").write_text(f"# who\n{url}\n")
        (tmp_path / "urls").chmod(mode)
        (tmp_path / "notify.yml").write_text(text)
        return tmp_path / "notify.yml"

    return write


def test_addresses_come_from_files_and_the_environment(addressed):
    to = "to: [{file: urls}, {env: HOOK, name: on call}]"
    path = addressed(f"{to}\nmin_severity: isolate\nper: 12h\nlang: zh\n")
    settings = notify_file.load(path, {"HOOK": "json://x/a\njson://y/b"})
    assert [one.name for one in settings.to] == ["urls", "on call (1)", "on call (2)"]
    assert settings.to[0].url == f"json://127.0.0.1/{TOKEN}"
    assert (settings.least, settings.per_s, settings.lang) == (Severity.ISOLATE, 43200, "zh")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("to: []", "to: expected a list"),
        ("to: [json://127.0.0.1/x]", "to: 1: expected {file"),
        ("to: [{url: json://x}]", "unknown key 'url'"),
        ("to: [{file: urls, env: X}]", "either file or env"),
        ("to: [{env: NOTHING}]", "NOTHING: holds no address"),
        ("to: [{file: none}]", "none: No such file"),
        ("to: [{file: urls}]\nmin_severity: isolated", "did you mean 'isolate'"),
        ("to: [{file: urls}]\nat_most: 0", "at_most: expected a whole number from 1"),
        ("to: [{file: urls}]\nper: 24", "per: not a time span"),
        ("to: [{file: urls}]\nlang: de", "lang: unknown 'de'"),
        ("to: [{file: urls}]\ntop: yes", "top: expected a whole number"),
        ("too: [{file: urls}]", "did you mean 'to'"),
    ],
)
def test_a_mistake_names_file_and_key_and_no_address(addressed, text, named):
    path = addressed(text)
    with pytest.raises(UserError) as refused:
        notify_file.load(path, {})
    assert str(refused.value).startswith(str(path))
    assert named in str(refused.value)
    assert TOKEN not in str(refused.value)


def test_a_file_of_addresses_that_others_may_read_is_refused(addressed):
    with pytest.raises(UserError, match="chmod 600"):
        notify_file.load(addressed("to: [{file: urls}]", mode=0o644), {})


def test_an_address_that_apprise_does_not_understand_is_refused_and_not_shown():
    with pytest.raises(UserError) as refused:
        notify_send.refuse_unknown([Addressee("on call", f"feishuu://{TOKEN}")])
    assert TOKEN not in str(refused.value)
    assert "on call" in str(refused.value)


def test_the_rate_limit_counts_what_went_out_and_tells_what_was_kept_back():
    sent = Sent()
    for hour in range(2):
        assert not sent.full(NIGHT + timedelta(hours=hour), 2, 86400)
        sent = sent.went(NIGHT + timedelta(hours=hour), "R", "", anybody=True)
    assert sent.full(NIGHT + timedelta(hours=3), 2, 86400)
    sent = sent.held().held()
    assert list(sent.notes()) == ["2 messages before this one were kept back by the rate limit"]
    assert not sent.full(NIGHT + timedelta(hours=25), 2, 86400)
    assert not list(sent.went(NIGHT, "R", "", anybody=True).notes())


def test_what_reached_nobody_is_told_next_time_and_does_not_count(tmp_path):
    failed = Sent(held_back=1).went(NIGHT, "R1", "hook: HTTP 500", anybody=False)
    notify_log.save(tmp_path, failed)
    kept = notify_log.load(tmp_path)
    assert kept == failed
    assert next(iter(kept.notes())) == "the message about R1 did not go out: hook: HTTP 500"
    assert not kept.full(NIGHT, 1, 86400)
    assert kept.held_back == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"at": 3}', "\x00"])
def test_a_memory_that_cannot_be_read_is_said_and_costs_nothing(tmp_path, caplog, text):
    (tmp_path / notify_log.NAME).write_text(text)
    assert notify_log.load(tmp_path) == Sent()
    assert "counted afresh" in caplog.text


# --------------------------------------------------------------------------- out it goes


class Listener(BaseHTTPRequestHandler):
    """Keeps (path, body) in its server's `heard` and answers as its server's `answer` says."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.path, json.loads(body)))  # type: ignore[attr-defined]
        code, said = self.server.answer  # type: ignore[attr-defined]
        self.send_response(code)
        self.end_headers()
        self.wfile.write(said.encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def listening(code: int = 200, said: str = "{}") -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    server.heard, server.answer = [], (code, said)  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def sending(*urls: str) -> list[notify_send.Outcome]:
    people = [Addressee(f"to {number}", url) for number, url in enumerate(urls)]
    return notify_send.send(people, Message("title", "body"), now_s=1.0, left_s=lambda: inf)


def test_a_webhook_hears_the_message():
    with listening() as hook:
        (outcome,) = sending(f"json://127.0.0.1:{hook.server_port}/{TOKEN}")
    assert outcome.why == ""
    ((path, body),) = hook.heard
    assert path == f"/{TOKEN}"
    assert (body["title"], body["message"]) == ("title", "body")


def test_one_that_fails_fails_alone_and_no_secret_is_in_the_reason(caplog, capfd):
    with listening() as well, listening(500) as ill, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        outcomes = sending(
            f"json://user:{TOKEN}@127.0.0.1:{ill.server_port}/{TOKEN}?x={TOKEN}",
            f"json://127.0.0.1:{well.server_port}/",
            f"json://user:{TOKEN}@127.0.0.1:{closed.getsockname()[1]}/",
        )
    assert [bool(one.why) for one in outcomes] == [True, False, True]
    assert "500" in outcomes[0].why
    assert len(well.heard) == 1
    shown = caplog.text + "".join(capfd.readouterr()) + str(outcomes)
    assert TOKEN not in shown


def test_of_two_with_one_name_neither_hides_that_the_other_failed():
    with listening() as well, listening(500) as ill:
        servers = (ill, well, ill)
        people = [Addressee("url", f"json://127.0.0.1:{one.server_port}/") for one in servers]
        message = Message("title", "body")
        outcomes = notify_send.send(people, message, now_s=1.0, left_s=lambda: inf)
    assert [bool(one.why) for one in outcomes] == [True, False, True]


def test_beyond_the_limit_nothing_goes_out_and_it_is_counted(capsys):
    run = Run("r1", Playbook("nightly"), (), 1, NIGHT, NIGHT, (), ())
    with listening() as hook:
        people = (Addressee("hook", f"json://127.0.0.1:{hook.server_port}/"),)
        settings = Settings(people, at_most=1)
        first = gone_out(run, Message("one", "b"), settings, Sent())
        second = gone_out(run, Message("two", "b"), settings, first)
    assert [body["title"] for _, body in hook.heard] == ["one"]
    assert (first.held_back, second.held_back) == (0, 1)
    assert "this one is kept back" in capsys.readouterr().err


def test_one_that_never_answers_is_not_waited_for():
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        left = iter([0.0])
        people = [Addressee("deaf", f"json://127.0.0.1:{deaf.getsockname()[1]}/")]
        (outcome,) = notify_send.send(
            people, Message("a", "b"), now_s=1.0, left_s=lambda: next(left)
        )
    assert outcome.why == "it did not take the message in time"


# --------------------------------------------------------------------------- chat robots


@pytest.fixture(scope="module")
def chats(tmp_path_factory) -> Iterator[Chats]:
    folder = tmp_path_factory.mktemp("chats")
    with chats_in(folder) as running:
        yield running


class Chats:
    """A proxy that answers in the name of every chat, behind a certificate of our own."""

    def __init__(self, folder: Path, port: int, heard: list, answers: dict) -> None:
        self.folder, self.port, self.heard, self.answers = folder, port, heard, answers

    def environ(self) -> dict[str, str]:
        proxy = f"http://127.0.0.1:{self.port}"
        return {"HTTPS_PROXY": proxy, "REQUESTS_CA_BUNDLE": str(self.folder / "ca.pem"),
                "NO_PROXY": ""}  # fmt: skip


HOSTS = ("open.feishu.cn", "open.larksuite.com", "oapi.dingtalk.com", "qyapi.weixin.qq.com")


@contextmanager
def chats_in(folder: Path) -> Iterator[Chats]:
    names = ",".join(f"DNS:{host}" for host in HOSTS)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=chats", "-addext", f"subjectAltName={names}", "-keyout", folder / "key.pem",
         "-out", folder / "ca.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    heard: list = []
    answers: dict = {}

    class Proxy(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            host = self.path.partition(":")[0]
            self.send_response(200)
            self.end_headers()
            with context.wrap_socket(self.connection, server_side=True) as inner:
                stream = inner.makefile("rwb")
                line = stream.readline().decode().split()
                size = 0
                while header := stream.readline().strip():
                    name, _, value = header.decode().partition(":")
                    size = int(value) if name.lower() == "content-length" else size
                heard.append((host, line[1], json.loads(stream.read(size))))
                said = json.dumps(answers.get(host, {})).encode()
                stream.write(
                    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
                    % (len(said), said)
                )
                stream.flush()
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Chats(folder, server.server_port, heard, answers)
    finally:
        server.shutdown()
        server.server_close()


FINE = {
    "open.feishu.cn": {"code": 0, "data": {}, "msg": "success"},
    "open.larksuite.com": {"StatusCode": 0, "StatusMessage": "success"},
    "oapi.dingtalk.com": {"errcode": 0, "errmsg": "ok"},
    "qyapi.weixin.qq.com": {"errcode": 0, "errmsg": "ok"},
}
URLS = (
    f"feishu://{TOKEN}?secret=s3cr3ts3cr3t",
    f"lark://{TOKEN}",
    f"dingtalk://SEC0123456789@{TOKEN}/13800000000",
    f"wecombot://{TOKEN}",
)


def test_every_chat_gets_the_form_it_documents(chats, monkeypatch):
    for name, value in chats.environ().items():
        monkeypatch.setenv(name, value)
    chats.answers.update(FINE)
    chats.heard.clear()
    assert [one.why for one in sending(*URLS)] == [""] * 4
    heard = {host: (path, body) for host, path, body in chats.heard}
    text = "title\n\nbody"

    path, body = heard["open.feishu.cn"]
    assert path == f"/open-apis/bot/v2/hook/{TOKEN}"
    signed = hmac.digest(b"1\ns3cr3ts3cr3t", b"", hashlib.sha256)
    assert body == {
        "msg_type": "text", "content": {"text": text},
        "timestamp": "1", "sign": base64.b64encode(signed).decode(),
    }  # fmt: skip
    path, body = heard["open.larksuite.com"]
    assert (path, body) == (
        f"/open-apis/bot/v2/hook/{TOKEN}", {"msg_type": "text", "content": {"text": text}}
    )  # fmt: skip
    path, body = heard["oapi.dingtalk.com"]
    where, _, query = path.partition("?")
    given = dict(urllib.parse.parse_qsl(query))
    signed = hmac.digest(b"SEC0123456789", b"1000\nSEC0123456789", hashlib.sha256)
    assert where == "/robot/send"
    assert given == {
        "access_token": TOKEN, "timestamp": "1000", "sign": base64.b64encode(signed).decode(),
    }  # fmt: skip
    assert body["text"] == {"content": text}
    assert body["at"]["atMobiles"] == ["13800000000"]
    path, body = heard["qyapi.weixin.qq.com"]
    assert (path, body) == (
        f"/cgi-bin/webhook/send?key={TOKEN}", {"msgtype": "text", "text": {"content": text}}
    )  # fmt: skip


REFUSALS = {
    "open.feishu.cn": {"code": 19024, "msg": "Key Words Not Found"},
    "open.larksuite.com": {},
    "oapi.dingtalk.com": {"errcode": 310000, "errmsg": f"sign not match, token {TOKEN}"},
    "qyapi.weixin.qq.com": {"errcode": 93000, "errmsg": "invalid webhook url"},
}


def test_a_robot_that_says_200_and_refuses_has_failed(chats, monkeypatch):
    for name, value in chats.environ().items():
        monkeypatch.setenv(name, value)
    chats.answers.update(REFUSALS)
    outcomes = sending(*URLS)
    assert "Key Words Not Found (19024)" in outcomes[0].why
    assert "refused" in outcomes[1].why
    assert "310000" in outcomes[2].why
    assert "93000" in outcomes[3].why
    assert TOKEN not in str(outcomes)


def test_a_chat_s_limit_cuts_between_characters():
    assert chat_bots.cut("故障" * 2000, 2048).endswith("…")
    assert len(chat_bots.cut("故障" * 2000, 2048).encode()) <= 2048
    assert chat_bots.cut("short", 2048) == "short"


# --------------------------------------------------------------------------- the program


@pytest.fixture
def swept(tmp_path):
    """Sweeps this machine, which lacks processors, and tells a hook."""
    (tmp_path / "quick.yml").write_text(
        "probes: [cpu]\nchecks: [cpu_count]\nexpect: {cpu_count: {threads: 100000}}\n"
    )
    (tmp_path / "notify.yml").write_text("to: [{file: urls, name: the hook}]\n")

    def run(url: str, *words: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "urls").write_text(url)
        (tmp_path / "urls").chmod(0o600)
        return subprocess.run(
            [sys.executable, "-m", "clusterctl", "sweep", "-i", str(ROOT / "inventories/local.yml"),
             "-p", str(tmp_path / "quick.yml"), "--runs-dir", str(tmp_path / "runs"), "--quiet",
             "--notify", str(tmp_path / "notify.yml"), *words],
            capture_output=True, text=True, check=False, timeout=60, env=os.environ,
        )  # fmt: skip

    return run


def test_failure_to_tell_fails_no_sweep_is_seen_and_is_told_next_time(swept, tmp_path):
    metrics = tmp_path / "n.prom"
    with listening(500) as ill:
        done = swept(f"json://127.0.0.1:{ill.server_port}/{TOKEN}", "--prometheus", str(metrics))
    assert done.returncode == 1
    assert "cpu_count" in done.stdout
    assert "--notify: not everybody was told: the hook: " in done.stderr
    assert 'clusterctl_notify_failed{playbook="quick"} 1.0' in metrics.read_text()
    with listening() as well:  # nothing is new, and still somebody has to hear of it
        done = swept(f"json://127.0.0.1:{well.server_port}/{TOKEN}", "--prometheus", str(metrics))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    ((_, body),) = well.heard
    assert "did not go out: the hook: " in body["message"]
    assert "cpu_count" in body["message"]
    assert 'clusterctl_notify_failed{playbook="quick"} 0.0' in metrics.read_text()
    everything = "".join(
        one.read_bytes().decode(errors="replace") for one in (tmp_path / "runs").rglob("*.json")
    )
    assert TOKEN not in everything + done.stderr


def test_a_dry_run_shows_the_message_and_sends_nothing(swept, tmp_path):
    with listening() as hook:
        done = swept(f"json://127.0.0.1:{hook.server_port}/{TOKEN}", "--notify-dry-run")
    assert not hook.heard
    assert "this would go to the hook" in done.stderr
    assert "cpu_count" in done.stderr
    assert TOKEN not in done.stderr
    assert not (tmp_path / "runs" / notify_log.NAME).exists()


# --------------------------------------------------------------------------- when there is news


def nights(*findings: list[Finding]) -> list[Page]:
    """What each night remembers of those before it."""
    memory, pages = NOTHING, []
    for number, found in enumerate(findings):
        at = NIGHT + timedelta(days=number)
        page = applied(step(memory, found, at, {}), [], at)
        pages.append(replace(page, before=f"R{number - 1}" if number else ""))
        memory = page.memory
    return pages


def heard_of(night: Page, found: list[Finding], before: Sent, tmp_path: Path) -> str:
    book = Playbook("nightly")
    run = Run("R", book, (Node("n1"), Node("n2")), 1, NIGHT, NIGHT, (), tuple(found))
    settings = Settings((Addressee("x", "y"),), least=Severity.ISOLATE)
    hearers = Hearers(Outlets(tmp_path, lang=Language.EN), settings, before)
    return str(news(run, account(run), night, hearers) or "")


def test_what_is_known_is_told_once_and_a_mild_change_wakes_nobody(tmp_path):
    old = finding("n1")
    mild = [old, finding("n2", severity=Severity.OBSERVE)]
    grave = [old, replace(finding("n2"), check="xid")]
    first, same, slightly = nights([old], [old], mild)
    told = [
        heard_of(page, found, Sent(), tmp_path)
        for page, found in ((first, [old]), (same, [old]), (slightly, mild))
    ]
    assert "to act on, worst first:\n- FAIL n1 ecc" in told[0]
    assert told[1:] == ["", ""]
    worse = heard_of(nights([old], grave)[1], grave, Sent(), tmp_path)
    assert "what changed:\n- new: FAIL n2 xid" in worse
    assert "as before, worst first:\n- FAIL n1 ecc" in worse


def test_what_is_owed_is_told_though_nothing_is_new(tmp_path):
    old = finding("n1")
    same = nights([old], [old])[1]
    lately = (datetime.now(UTC).isoformat(),) * 4
    assert heard_of(same, [old], Sent(lately, held_back=1), tmp_path) == ""
    assert "kept back" in heard_of(same, [old], Sent(held_back=1), tmp_path)
    assert "did not go out" in heard_of(same, [old], Sent(failed="x: y", failed_run="Q"), tmp_path)
