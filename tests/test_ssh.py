"""Nodes by SSH, against real sshds on loopback."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from kin import wait_for
from sshd import USER, free_port, keygen, needs_sshd, public, sshd

from clusterctl.fanout import each
from clusterctl.model import Kind, Node, Pace, Question, UserError
from clusterctl.transport import TransportError
from clusterctl.transport.ssh import Ssh, check_limits, files_needed
from clusterctl.transport.ssh_config import Surroundings

pytestmark = needs_sshd

HELLO = Question("hello", ("echo", "hello"), without_python=("echo", "hello"))
SLEEP = Question("sleep", ("sleep", "600"), timeout_s=600)
RNG = Random(7)
PACE = Pace(at_once=16, connect_s=3, auth_s=4, node_s=30)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Key pairs are slow to make and good for all tests."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("id_ed25519", "other", "host", "jump_host"):
        keygen(folder / name)
    keygen(folder / "locked", passphrase="open sesame")
    return folder


@pytest.fixture
def home(tmp_path, keys):
    """A home with one key, which servers know, and an empty known_hosts."""
    path = tmp_path / "home"
    (path / ".ssh").mkdir(parents=True)
    for suffix in ("", ".pub"):
        shutil.copy(keys / f"id_ed25519{suffix}", path / ".ssh" / f"id_ed25519{suffix}")
    (path / ".ssh/known_hosts").touch()
    return path


@pytest.fixture
def server(tmp_path, keys):
    with sshd(tmp_path / "server", public(keys / "id_ed25519")) as running:
        yield running


@pytest.fixture
def known(home, server):
    """The same server, already in the home's known_hosts."""
    know(home, server.known_as())
    return server


def know(home, text):
    with (home / ".ssh/known_hosts").open("a") as file:
        file.write(text)


def client(home, *, pace=PACE, environ=None, **more):
    around = Surroundings(
        home=home, environ=environ or {"PATH": os.environ["PATH"]}, login=USER, etc=home / "etc"
    )
    return Ssh(pace, around=around, rng=RNG, jitter_s=0.0, **more)


def at(server, name="n1", **more):
    return Node(name, address="127.0.0.1", port=server.port, **more)


def ask(ssh, node, *questions):
    with ssh.open(node) as shell:
        return list(shell.ask(questions or (HELLO,)))


def hello(ssh, node):
    return [answer.stdout for answer in ask(ssh, node)] == ["hello\n"]


def refusal(ssh, node, *questions):
    with pytest.raises(TransportError) as caught:
        ask(ssh, node, *questions)
    return caught.value


# --------------------------------------------------------------------------- good days


def test_a_known_node_answers(home, known):
    with client(home) as ssh:
        assert hello(ssh, at(known))


def test_a_node_costs_one_connection_and_one_exec(home, known):
    before = known.log.count("Connection from")
    with client(home) as ssh:
        assert list(ssh.knock([at(known)])) == [(at(known), None)]
        assert len(ask(ssh, at(known), HELLO, replace(HELLO, name="again"))) == 2

    assert known.log.count("Connection from") - before == 1
    assert known.log.count("Starting session") == 1


def test_many_nodes_answer_at_once(home, known):
    nodes = [at(known, f"n{number}") for number in range(30)]
    with client(home) as ssh:
        assert all(each(nodes, lambda node: hello(ssh, node), at_once=16))


def test_an_answer_of_megabytes_comes_whole(home, known):
    big = Question("big", ("seq", "1", "900000"), cap_bytes=1 << 24)
    with client(home) as ssh:
        [answer] = ask(ssh, at(known), big)

    assert answer.stdout.splitlines()[-1] == "900000"


def test_names_are_resolved(home, server):
    know(home, server.known_as(f"[localhost]:{server.port}"))
    with client(home) as ssh:
        assert hello(ssh, Node("localhost", port=server.port))


# --------------------------------------------------------------------------- host keys


def test_an_unknown_key_is_denied_with_file_fingerprint_and_remedy(home, server):
    with client(home) as ssh:
        error = refusal(ssh, at(server))
    listed = subprocess.run(
        ["ssh-keygen", "-lf", server.folder / "host_ed25519.pub"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert error.kind is Kind.DENIED
    for word in (
        listed.stdout.split()[1],
        str(home / ".ssh/known_hosts"),
        f"ssh-keyscan -p {server.port} 127.0.0.1",
        "--accept-new",
    ):
        assert word in str(error)


def test_an_unknown_key_is_not_recorded_unasked(home, server):
    with client(home) as ssh:
        refusal(ssh, at(server))

    assert (home / ".ssh/known_hosts").read_text() == ""


def test_a_changed_key_is_denied_even_with_accept_new(home, server, keys):
    know(home, f"[127.0.0.1]:{server.port} {public(keys / 'other')}\n")
    before = (home / ".ssh/known_hosts").read_text()
    with client(home, accept_new=True) as ssh:
        error = refusal(ssh, at(server))

    assert error.kind is Kind.DENIED
    assert "has changed" in str(error)
    assert "known_hosts:1 holds" in str(error)
    assert f"ssh-keygen -R '[127.0.0.1]:{server.port}'" in str(error)
    assert (home / ".ssh/known_hosts").read_text() == before


def test_accept_new_records_once_and_verifies_from_then_on(home, server, tmp_path, keys):
    file = home / ".ssh/known_hosts"
    file.unlink()
    nodes = [at(server, f"n{number}") for number in range(20)]
    with client(home, accept_new=True) as ssh:
        assert all(each(nodes, lambda node: hello(ssh, node), at_once=10))

    assert file.read_text() == server.known_as()
    assert file.stat().st_mode & 0o777 == 0o600
    with client(home) as ssh:
        assert hello(ssh, at(server))


def test_a_key_recorded_by_us_is_good_for_ssh(home, server):
    with client(home, accept_new=True) as ssh:
        assert hello(ssh, at(server))
    found = subprocess.run(
        [
            "ssh", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
            "-o", f"UserKnownHostsFile={home}/.ssh/known_hosts", "-i", home / ".ssh/id_ed25519",
            "-p", str(server.port), "127.0.0.1", "echo fine",
        ],
        check=False,
        capture_output=True,
        text=True,
    )  # fmt: skip

    assert found.stdout == "fine\n", found.stderr


def test_the_key_we_know_is_the_key_we_ask_for(home, tmp_path, keys):
    with sshd(
        tmp_path / "two", public(keys / "id_ed25519"), host_keys=("ecdsa", "rsa", "ed25519")
    ) as two:
        for kind in ("rsa", "ecdsa", "ed25519"):
            (home / ".ssh/known_hosts").write_text(two.known_as(kind=kind))
            with client(home) as ssh:
                assert hello(ssh, at(two)), kind


def test_another_kind_of_key_than_the_known_is_a_change(home, server, tmp_path):
    keygen(tmp_path / "ecdsa", kind="ecdsa")
    know(home, f"[127.0.0.1]:{server.port} {public(tmp_path / 'ecdsa')}\n")
    with client(home, accept_new=True) as ssh:
        error = refusal(ssh, at(server))

    assert (error.kind, "has changed" in str(error)) == (Kind.DENIED, True)


def test_hashed_known_hosts_are_understood(home, known):
    subprocess.run(
        ["ssh-keygen", "-q", "-H", "-f", home / ".ssh/known_hosts"],
        check=True,
        capture_output=True,
    )
    assert "127.0.0.1" not in (home / ".ssh/known_hosts").read_text()
    with client(home) as ssh:
        assert hello(ssh, at(known))


@pytest.mark.parametrize("strict", ["accept-new", "no"])
def test_accept_new_may_come_from_the_ssh_configuration(home, server, strict):
    (home / ".ssh/config").write_text(f"Host n*\n  StrictHostKeyChecking {strict}\n")
    with client(home) as ssh:
        assert hello(ssh, at(server))


def test_a_revoked_key_is_denied(home, server):
    know(home, server.known_as() + "@revoked * " + public(server.folder / "host_ed25519") + "\n")
    with client(home, accept_new=True) as ssh:
        error = refusal(ssh, at(server))

    assert (error.kind, "revoked" in str(error)) == (Kind.DENIED, True)


def test_a_host_key_alias_is_looked_up_instead_of_the_address(home, server):
    know(home, server.known_as(f"[rack7]:{server.port}"))
    (home / ".ssh/config").write_text("Host n1\n  HostKeyAlias rack7\n")
    with client(home) as ssh:
        assert hello(ssh, at(server))
        assert refusal(ssh, at(server, "n2")).kind is Kind.DENIED


def test_a_known_hosts_file_that_cannot_be_written_denies_a_new_key(home, server):
    (home / ".ssh/config").write_text(f"UserKnownHostsFile {home}/none/\n")
    (home / "none").mkdir()
    with client(home, accept_new=True) as ssh:
        error = refusal(ssh, at(server))

    assert (error.kind, "cannot be recorded" in str(error)) == (Kind.DENIED, True)


# --------------------------------------------------------------------------- our keys


def test_a_refused_key_is_denied_and_named(home, known):
    (known.folder / "authorized_keys").write_text("")
    with client(home) as ssh:
        error = refusal(ssh, at(known))

    assert error.kind is Kind.DENIED
    assert f"refuses {home}/.ssh/id_ed25519" in str(error)
    assert "ssh-copy-id" in str(error)


def test_no_key_at_all_is_said(home, known):
    (home / ".ssh/id_ed25519").unlink()
    (home / ".ssh/id_ed25519.pub").unlink()
    with client(home) as ssh:
        error = refusal(ssh, at(known))

    assert (error.kind, "no key to offer" in str(error)) == (Kind.DENIED, True)


def test_a_named_key_that_is_missing_is_named(home, known):
    (home / ".ssh/config").write_text("IdentityFile ~/.ssh/nothere\n")
    with client(home) as ssh:
        assert "nothere: no such file" in str(refusal(ssh, at(known)))


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
def test_keys_of_all_kinds_are_taken(home, known, tmp_path, kind):
    keygen(tmp_path / kind, kind=kind)
    (known.folder / "authorized_keys").write_text(public(tmp_path / kind))
    (home / ".ssh/config").write_text(f"IdentityFile {tmp_path}/{kind}\n")
    with client(home) as ssh:
        assert hello(ssh, at(known))


def lock(home, keys, server):
    """The only key the server takes is encrypted."""
    (server.folder / "authorized_keys").write_text(public(keys / "locked"))
    (home / ".ssh/config").write_text(f"IdentityFile {keys}/locked\n")


def test_a_passphrase_is_asked_once_for_all_nodes(home, known, keys):
    lock(home, keys, known)
    asked = []

    def passphrase(path):
        asked.append(path)
        return "open sesame"

    nodes = [at(known, f"n{number}") for number in range(12)]
    with client(home, passphrase=passphrase) as ssh:
        assert all(each(nodes, lambda node: hello(ssh, node), at_once=6))
        assert hello(ssh.within(20), at(known))

    assert asked == [str(keys / "locked")]


def test_a_slow_hand_at_the_passphrase_costs_no_node(home, known, keys):
    lock(home, keys, known)
    slow = replace(PACE, auth_s=2)

    def passphrase(_path):
        time.sleep(3)
        return "open sesame"

    with client(home, pace=slow, passphrase=passphrase) as ssh:
        assert hello(ssh, at(known))


@pytest.mark.parametrize(
    ("answer", "words"),
    [(None, "nobody to ask"), ("wrong", "passphrase does not open it")],
    ids=["nobody", "wrong"],
)
def test_a_key_that_stays_locked_is_named_and_its_passphrase_is_not(
    home, known, keys, answer, words
):
    lock(home, keys, known)
    with client(home, passphrase=lambda _path: answer) as ssh:
        error = refusal(ssh, at(known))

    assert error.kind is Kind.DENIED
    assert words in str(error)
    assert "wrong" not in str(error)


@contextmanager
def agent(folder, *keys, **passphrase):
    path = folder / "agent.sock"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        while not path.exists():
            time.sleep(0.01)
        for key in keys:
            subprocess.run(
                ["ssh-add", "-q", key],
                check=True,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "SSH_AUTH_SOCK": str(path), **passphrase},
            )
        yield {"SSH_AUTH_SOCK": str(path), "PATH": os.environ["PATH"]}
    finally:
        process.kill()
        process.wait()


def test_the_agent_is_asked_by_many_threads_at_once(home, known, keys, tmp_path):
    (known.folder / "authorized_keys").write_text(public(keys / "other"))
    (home / ".ssh/id_ed25519").unlink()
    nodes = [at(known, f"n{number}") for number in range(24)]
    with agent(tmp_path, keys / "other") as environ, client(home, environ=environ) as ssh:
        assert all(each(nodes, lambda node: hello(ssh, node), at_once=12))


def test_the_agent_spares_the_passphrase(home, known, keys, tmp_path):
    lock(home, keys, known)
    (tmp_path / "ask").write_text("#!/bin/sh\necho open sesame\n")
    (tmp_path / "ask").chmod(0o700)
    asked = []
    helper = {"SSH_ASKPASS": str(tmp_path / "ask"), "SSH_ASKPASS_REQUIRE": "force"}
    with (
        agent(tmp_path, keys / "locked", **helper) as environ,
        client(home, environ=environ, passphrase=asked.append) as ssh,
    ):
        assert hello(ssh, at(known))

    assert asked == []


def test_identities_only_keeps_other_keys_of_the_agent_back(home, known, keys, tmp_path):
    (known.folder / "authorized_keys").write_text(public(keys / "other"))
    (home / ".ssh/config").write_text(
        "Host strict\n  IdentitiesOnly yes\nHost *\n  IdentityFile ~/.ssh/id_ed25519\n"
    )
    with agent(tmp_path, keys / "other") as environ, client(home, environ=environ) as ssh:
        assert hello(ssh, at(known))
        error = refusal(ssh, at(known, "strict"))

    assert error.kind is Kind.DENIED
    assert "other" not in str(error)


def test_an_agent_that_is_gone_leaves_the_key_files(home, known, tmp_path):
    environ = {"SSH_AUTH_SOCK": str(tmp_path / "gone")}
    with client(home, environ=environ) as ssh:
        assert hello(ssh, at(known))


def test_the_key_that_worked_is_offered_first_next_time(home, tmp_path, keys):
    """Many keys of an agent would end at each node's MaxAuthTries again."""
    more = [keygen(tmp_path / f"more{number}") for number in range(3)]
    with sshd(tmp_path / "server", public(keys / "id_ed25519"), "LogLevel DEBUG1") as server:
        know(home, server.known_as())
        with agent(tmp_path, *more) as environ, client(home, environ=environ) as ssh:
            assert hello(ssh, at(server))
            first = server.log.count("Failed publickey")
            assert hello(ssh, at(server))
            second = server.log.count("Failed publickey") - first

    assert (first, second) == (3, 0)


def test_too_many_keys_are_explained(home, tmp_path, keys):
    more = [keygen(tmp_path / f"more{number}") for number in range(4)]
    with sshd(tmp_path / "server", public(keys / "id_ed25519"), "MaxAuthTries 2") as server:
        know(home, server.known_as())
        with agent(tmp_path, *more) as environ, client(home, environ=environ) as ssh:
            error = refusal(ssh, at(server))

    assert error.kind is Kind.DENIED
    assert "MaxAuthTries" in str(error)
    assert "IdentitiesOnly" in str(error)


def certify(authority, key, folder):
    """Sign a key as ours; returns the certificate's path."""
    subprocess.run(
        ["ssh-keygen", "-q", "-s", authority, "-I", "test", "-n", USER, f"{key}.pub"],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    made = Path(f"{key}-cert.pub")
    folder.mkdir(exist_ok=True)
    return made


@pytest.mark.parametrize("kind", ["rsa", "ed25519", "ecdsa"])
@pytest.mark.parametrize("place", ["beside", "named", "agent"])
def test_a_certificate_opens_the_door(home, tmp_path, kind, place):
    authority, key = keygen(tmp_path / "ca"), keygen(tmp_path / "mine", kind=kind)
    certificate = certify(authority, key, tmp_path)
    config = f"IdentityFile {key}\n"
    if place == "named":
        certificate = certificate.rename(tmp_path / "elsewhere-cert.pub")
        config += f"CertificateFile {certificate}\n"
    (home / ".ssh/config").write_text(config if place != "agent" else "")
    shutil.copy(f"{authority}.pub", tmp_path / "trusted")
    with (
        sshd(tmp_path / "server", "", f"TrustedUserCAKeys {tmp_path}/trusted") as server,
        agent(tmp_path, *([key] if place == "agent" else [])) as environ,
        client(home, environ=environ) as ssh,
    ):
        know(home, server.known_as())
        if place == "agent":
            (home / ".ssh/id_ed25519").unlink()
        assert hello(ssh, at(server))


def test_a_node_that_wants_more_than_a_key_is_denied(home, tmp_path, keys):
    options = ("AuthenticationMethods publickey,password", "PasswordAuthentication yes")
    with sshd(tmp_path / "server", public(keys / "id_ed25519"), *options) as server:
        know(home, server.known_as())
        with client(home) as ssh:
            error = refusal(ssh, at(server))

    assert (error.kind, "also wants password" in str(error)) == (Kind.DENIED, True)


def test_a_node_that_takes_no_keys_is_denied(home, tmp_path):
    options = ("PubkeyAuthentication no", "PasswordAuthentication yes")
    with sshd(tmp_path / "server", "", *options) as server:
        know(home, server.known_as())
        with client(home) as ssh:
            error = refusal(ssh, at(server))

    assert (error.kind, "takes no keys, only password" in str(error)) == (Kind.DENIED, True)


# --------------------------------------------------------------------------- configuration


def test_the_configuration_tells_how_to_reach_a_node(home, tmp_path, keys, server):
    (tmp_path / "hosts").write_text(server.known_as())
    (home / ".ssh/config").write_text("Include extra/*\n")
    (home / ".ssh/extra").mkdir()
    (home / ".ssh/extra/lab").write_text(
        f"Host gpu*\n  HostName 127.0.0.1\n  Port {server.port}\n  User {USER}\n"
        f"  IdentityFile {keys}/id_ed25519\n  UserKnownHostsFile {tmp_path}/hosts\n"
        "Host *\n  User nobody\n"
    )
    with client(home) as ssh:
        assert hello(ssh, Node("gpu01"))


def test_the_inventory_wins_over_the_configuration(home, known):
    (home / ".ssh/config").write_text("HostName 192.0.2.1\nPort 1\nUser nobody\n")
    with client(home) as ssh:
        assert hello(ssh, at(known, user=USER))


def test_a_proxy_command_is_the_connection(home, known):
    script = home / "relay.py"
    script.write_text(
        "import os, select, socket, sys\n"
        "s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
        "while True:\n"
        "    for f in select.select([0, s], [], [])[0]:\n"
        "        data = os.read(0, 65536) if f == 0 else s.recv(65536)\n"
        "        if not data: sys.exit()\n"
        "        s.sendall(data) if f == 0 else os.write(1, data)\n"
    )
    (home / ".ssh/config").write_text(f"ProxyCommand python3 '{script}' %h %p\n")
    with client(home) as ssh:
        assert list(ssh.knock([at(known)])) == [(at(known), None)]
        assert hello(ssh, at(known))


def test_a_proxy_command_that_fails_is_quoted(home, known):
    (home / ".ssh/config").write_text("ProxyCommand echo no gate today >&2; exit 3\n")
    with client(home) as ssh:
        error = refusal(ssh, at(known))

    assert error.kind is Kind.UNREACHABLE
    assert "no gate today" in str(error)


# --------------------------------------------------------------------------- jump hosts


@pytest.fixture
def bastion(tmp_path, keys, home):
    with sshd(tmp_path / "bastion", public(keys / "id_ed25519")) as running:
        know(home, running.known_as())
        yield running


def through(bastion):
    return f"{USER}@127.0.0.1:{bastion.port}"


@pytest.mark.parametrize("where", ["inventory", "configuration"])
def test_nodes_behind_a_jump_host_share_one_connection_to_it(home, known, bastion, where):
    via = through(bastion) if where == "inventory" else ""
    if not via:
        (home / ".ssh/config").write_text(
            f"Host n*\n  ProxyJump gate\n"
            f"Host gate\n  HostName 127.0.0.1\n  Port {bastion.port}\n  HostKeyAlias gatekey\n"
        )
        know(home, bastion.known_as(f"[gatekey]:{bastion.port}"))
    nodes = [at(known, f"n{number}", via=via) for number in range(24)]
    with client(home) as ssh:
        assert [trouble for _, trouble in ssh.knock(nodes)] == [None] * 24
        assert all(each(nodes, lambda node: hello(ssh, node), at_once=6))

    assert bastion.log.count("Accepted publickey") == 1


def test_jump_hosts_chain(home, known, bastion, tmp_path, keys):
    with sshd(tmp_path / "inner", public(keys / "id_ed25519")) as inner:
        know(home, inner.known_as())
        with client(home) as ssh:
            assert hello(ssh, at(known, via=f"{through(bastion)},{through(inner)}"))

        assert inner.log.count("Accepted publickey") == 1
    assert bastion.log.count("Accepted publickey") == 1


def test_the_jump_host_is_verified_too(home, known, bastion):
    (home / ".ssh/known_hosts").write_text(known.known_as())
    with client(home) as ssh:
        error = refusal(ssh, at(known, via=through(bastion)))

    assert error.kind is Kind.DENIED
    assert str(error).startswith("behind jump host")
    assert "is not known" in str(error)


def test_the_node_behind_is_verified(home, server, bastion):
    with client(home) as ssh:
        error = refusal(ssh, at(server, via=through(bastion)))

    assert (error.kind, "is not known" in str(error)) == (Kind.DENIED, True)


def test_a_jump_host_that_does_not_forward_is_denied(home, known, tmp_path, keys):
    with sshd(tmp_path / "b", public(keys / "id_ed25519"), "AllowTcpForwarding no") as closed:
        know(home, closed.known_as())
        with client(home) as ssh:
            error = refusal(ssh, at(known, via=through(closed)))

    assert (error.kind, "AllowTcpForwarding" in str(error)) == (Kind.DENIED, True)


def test_a_dead_node_behind_a_jump_host_is_unreachable(home, bastion):
    dead = Node("dead", address="127.0.0.1", port=free_port(), via=through(bastion))
    with client(home) as ssh:
        error = refusal(ssh, dead)

    assert error.kind is Kind.UNREACHABLE
    assert "cannot be reached from jump host" in str(error)


def test_each_node_behind_a_jump_host_learns_its_own_fate(home, known, bastion):
    """paramiko keeps one exception for all channels of a connection."""
    nodes = [
        at(known, f"n{number}", via=through(bastion))
        if number % 2
        else Node(f"n{number}", address="127.0.0.1", port=free_port(), via=through(bastion))
        for number in range(16)
    ]

    def visit(node):
        try:
            return node.name, hello(ssh, node)
        except TransportError as error:
            return node.name, error.kind

    with client(home) as ssh:
        fates = dict(each(nodes, visit, at_once=16))

    assert fates == {f"n{n}": True if n % 2 else Kind.UNREACHABLE for n in range(16)}


def test_a_dead_jump_host_is_tried_once_and_not_for_each_node(home, silent):
    via = f"{USER}@127.0.0.1:{silent.getsockname()[1]}"
    nodes = [Node(f"n{number}", address="10.0.0.1", via=via) for number in range(8)]
    with client(home, pace=replace(PACE, auth_s=1)) as ssh:
        kinds = list(each(nodes, lambda node: refusal(ssh, node).kind, at_once=2))

    assert kinds == [Kind.TIMEOUT] * 8
    assert connections(silent) == 1


def test_a_lost_jump_host_is_connected_anew(home, known, bastion):
    node = at(known, via=through(bastion))
    with client(home) as ssh:
        assert hello(ssh, node)
        for child in bastion.children():
            os.kill(child, signal.SIGKILL)
        [jump] = ssh.jumps.values()
        assert wait_for(lambda: not jump.line.is_active(), 60)
        assert hello(ssh, node)


def test_a_jump_host_nobody_can_read_is_the_nodes_trouble(home):
    with client(home) as ssh:
        assert refusal(ssh, Node("n1", via="a:b")).kind is Kind.UNREACHABLE


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        ("Host *\n  ProxyJump gate\n", "via gate: gate is behind it"),
        ("Host n*\n  ProxyJump a\nHost a\n  ProxyJump b\nHost b\n  ProxyJump a\n", "via a: b is"),
        ("Host *\n  ProxyJump a,b\n", "via a,b: a is"),
        ("Host *\n  ProxyJump up.%h\n", "via up.up."),  # no loop, and no end
    ],
    ids=["itself", "each other", "a chain", "ever new ones"],
)
def test_a_jump_host_behind_itself_is_refused_and_hangs_nobody(home, text, loop):
    (home / ".ssh/config").write_text(text)
    with client(home) as ssh:
        errors = list(
            each([Node("n1")], lambda node: refusal(ssh, node), at_once=1, left_s=lambda: 60)
        )

    assert [error.kind for error in errors] == [Kind.UNREACHABLE]
    assert f"jump host loop {loop}" in str(errors[0])
    assert "ProxyJump none" in str(errors[0])


# --------------------------------------------------------------------------- bad days


@pytest.fixture
def silent():
    """A port that accepts and then says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server


def connections(server):
    """How many came, whether they have hung up or not."""
    server.setblocking(False)  # noqa: FBT003
    count = 0
    while True:
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


@contextmanager
def speaking(speak):
    """A port where `speak(connection)` runs for every connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        def serve(connection):
            with connection:
                try:
                    speak(connection)
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def loopback(port):
    return Node("n1", address="127.0.0.1", port=port)


def test_a_closed_port_is_unreachable(home):
    with client(home) as ssh:
        error = refusal(ssh, loopback(free_port()))

    assert (error.kind, "refuses" in str(error)) == (Kind.UNREACHABLE, True)


def test_a_name_without_address_is_unreachable(home):
    with client(home) as ssh:
        error = refusal(ssh, Node("no-such-node.invalid"))

    assert (error.kind, "no address for the name" in str(error)) == (Kind.UNREACHABLE, True)


def test_a_port_that_says_nothing_times_out(home, silent):
    port = silent.getsockname()[1]
    with client(home, pace=replace(PACE, connect_s=600, auth_s=1, node_s=600)) as ssh:
        error = refusal(ssh, loopback(port))

    assert error.kind is Kind.TIMEOUT
    said = re.search(r"accepts TCP and then says nothing for (\d+) s", str(error))
    assert int(said[1]) >= 1  # auth_s


def test_a_port_that_speaks_http_is_said_to(home):
    def speak(connection):
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with speaking(speak) as port, client(home) as ssh:
        error = refusal(ssh, loopback(port))

    assert error.kind is Kind.UNREACHABLE
    assert "does not speak SSH" in str(error)


@pytest.mark.parametrize(
    ("garbage", "auth_s", "kind", "words"),
    [
        (os.urandom(4096).replace(b"\n", b"x"), 1, Kind.TIMEOUT, "accepts TCP and then"),
        (b"A" * (1 << 20), 600, Kind.UNREACHABLE, "does not speak SSH"),
        (b"\n" * 4000, 600, Kind.UNREACHABLE, "does not speak SSH"),
        (b"SSH-2.0-x\r\n" + b"\xff" * 9999, 600, Kind.UNREACHABLE, "breaks off the key exchange"),
    ],
    ids=["noise", "one-long-line", "empty-lines", "banner-then-noise"],
)
def test_garbage_is_an_error_without_its_end(home, garbage, auth_s, kind, words):
    """Whoever sent it keeps the line; only what may still become a banner costs `auth_s`."""
    enough = threading.Event()
    ended = []

    def speak(connection):
        connection.sendall(garbage)
        ended.append(enough.wait(600))

    pace = replace(PACE, auth_s=auth_s, node_s=600)
    with speaking(speak) as port, client(home, pace=pace) as ssh:
        error = refusal(ssh, loopback(port))
        assert not ended
        enough.set()

    assert (error.kind, words in str(error)) == (kind, True)
    assert str(error).isprintable()


def test_a_flood_of_garbage_is_not_gathered(home):
    def speak(connection):
        while True:
            connection.sendall(b"A" * 65536)

    with speaking(speak) as port, client(home, pace=replace(PACE, auth_s=2)) as ssh:
        error = refusal(ssh, loopback(port))

    assert "does not speak SSH" in str(error)
    assert len(str(error)) < 400


def test_a_port_that_hangs_up_at_once_is_explained(home):
    with speaking(lambda _connection: None) as port, client(home) as ssh:
        error = refusal(ssh, loopback(port))

    assert (error.kind, "MaxStartups" in str(error)) == (Kind.UNREACHABLE, True)


def listened(ssh, node, *questions, each_time=lambda: None):
    """The names answered, and the error that ended it; `each_time` runs after every answer."""
    names = []
    try:
        with ssh.open(node) as shell:
            for answer in shell.ask(questions):
                names.append(answer.name)
                each_time()
    except TransportError as error:
        return names, error
    raise AssertionError(f"nothing went wrong after {names}")


def test_a_connection_killed_midway_is_cut_and_keeps_its_answers(home, known):
    def kill():
        for child in known.children():
            os.kill(child, signal.SIGKILL)

    with client(home) as ssh:
        names, error = listened(ssh, at(known), HELLO, SLEEP, each_time=kill)

    assert names == ["hello"]
    assert error.kind is Kind.CUT
    assert "lost" in str(error)


def test_a_node_has_its_deadline_and_keeps_its_answers(home, known):
    with client(home, pace=replace(PACE, node_s=3)) as ssh:
        names, error = listened(ssh, at(known), HELLO, SLEEP)

    assert names[0] == "hello"
    assert error.kind is Kind.TIMEOUT
    assert "has not finished within 3 s" in str(error)  # ours; the node has one for itself


def test_a_node_that_trickles_has_its_deadline_too(home, tmp_path, keys):
    """The login script prints a byte now and then, and the program never starts."""
    trickle = "ForceCommand while :; do printf x; sleep 0.1; done"
    with sshd(tmp_path / "server", public(keys / "id_ed25519"), trickle) as server:
        know(home, server.known_as())
        with client(home, pace=replace(PACE, node_s=2)) as ssh:
            error = refusal(ssh, at(server))

    assert error.kind is Kind.TIMEOUT
    assert "has not finished within 2 s" in str(error)


def test_a_stopped_sshd_has_its_deadline_too(home, known):
    """Nothing moves any more, and nothing is closed."""
    with client(home, pace=replace(PACE, node_s=2)) as ssh, ssh.open(at(known)) as shell:
        children = known.children()
        for child in children:
            os.kill(child, signal.SIGSTOP)
        with pytest.raises(TransportError) as caught:
            list(shell.ask((HELLO,)))
        for child in children:
            os.kill(child, signal.SIGCONT)

    assert caught.value.kind is Kind.TIMEOUT
    assert "has not finished within 2 s" in str(caught.value)


def test_a_flood_on_stderr_does_not_block_the_node(home, tmp_path, keys):
    flood = (
        "ForceCommand head -c 5000000 /dev/zero | tr '\\0' 'e' >&2; "
        'exec sh -c "$SSH_ORIGINAL_COMMAND"'
    )
    with sshd(tmp_path / "server", public(keys / "id_ed25519"), flood) as server:
        know(home, server.known_as())
        with client(home) as ssh:
            assert hello(ssh, at(server))


def test_a_node_that_opens_no_session_is_denied(home, tmp_path, keys):
    with sshd(tmp_path / "server", public(keys / "id_ed25519"), "MaxSessions 0") as server:
        know(home, server.known_as())
        with client(home) as ssh:
            error = refusal(ssh, at(server))

    assert (error.kind, "MaxSessions" in str(error)) == (Kind.DENIED, True)


def test_a_program_that_ends_early_is_not_a_lost_connection(home, tmp_path, keys):
    forced = "ForceCommand echo 'This account is currently not available.'; exit 1"
    with sshd(tmp_path / "server", public(keys / "id_ed25519"), forced) as server:
        know(home, server.known_as())
        with client(home) as ssh:
            error = refusal(ssh, at(server))

    assert error.kind is Kind.DENIED
    assert "not available" in str(error)


def running(marker):
    found = subprocess.run(["pgrep", "-f", marker], capture_output=True, check=False)
    return bool(found.stdout.strip())


def test_leaving_a_conversation_kills_its_tools_and_does_not_wait(home, known):
    """A stopped sshd does not hear that we leave, so the tool goes on until it may."""
    marker = f"sleep 600.{os.getpid()}"
    question = Question("sleep", tuple(marker.split()), timeout_s=600)
    with client(home, pace=replace(PACE, node_s=600)) as ssh:
        with ssh.open(at(known)) as shell:
            answers = shell.ask((HELLO, question))
            assert next(answers).name == "hello"
            assert wait_for(lambda: running(marker), 60)
            children = known.children()
            for child in children:
                os.kill(child, signal.SIGSTOP)
        assert running(marker)
        for child in children:
            os.kill(child, signal.SIGCONT)

        assert wait_for(lambda: not running(marker), 60)


def test_nothing_stays_open_afterwards(home, known):
    def files():
        return len(list(Path("/proc/self/fd").iterdir()))

    with client(home) as ssh:
        assert hello(ssh, at(known))
    time.sleep(0.2)
    before = files(), threading.active_count()
    with client(home) as ssh:
        list(ssh.knock([at(known, f"n{number}") for number in range(5)]))
        for _ in range(10):
            assert hello(ssh, at(known))
        refusal(ssh, loopback(free_port()))

    assert wait_for(lambda: files() <= before[0], 60)
    # One more: the watch over deadlines.
    assert wait_for(lambda: threading.active_count() <= before[1] + 1, 60)


def test_paramiko_says_nothing_by_itself(home, server, capfd, caplog):
    with client(home) as ssh:
        refusal(ssh, at(server))

    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""


def test_importing_the_transport_does_not_import_paramiko():
    code = "import sys, clusterctl.transport.ssh; print('paramiko' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout == "False\n"


# --------------------------------------------------------------------------- limits


def test_as_many_at_once_as_files_allow():
    check_limits(100, files_needed(100))
    with pytest.raises(UserError, match=r"--at-once 101 needs .* or --at-once 100$"):
        check_limits(101, files_needed(100))


def test_a_limit_too_low_for_any_node_names_only_ulimit():
    with pytest.raises(UserError, match=r"ulimit -n \d+$"):
        check_limits(1, 64)


def test_the_playbook_default_fits_the_usual_limit():
    check_limits(Pace().at_once, 1024)
