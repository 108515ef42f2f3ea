"""known_hosts, as sshd(8) describes it and ssh-keygen -F finds it."""

from __future__ import annotations

import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from clusterctl.model import Kind
from clusterctl.transport import TransportError
from clusterctl.transport.host_keys import HostKeys, algorithms, entries, fingerprint, verify
from clusterctl.transport.ssh_config import Target

needs_keygen = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="no openssh-client")

# Any base64 will do for all but fingerprints.
KEY, OTHER = "AAAAC3NzaC1lZDI1NTE5AAAAIHpv", "AAAAC3NzaC1lZDI1NTE5AAAAIP9x"
ED, EC, RSA = "ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"


def aim(*names, port=22):
    names = names or ("n1",)
    return Target(name=names[0], host=names[0], port=port, user="root", names=names)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "known_hosts"


def keys(file, text):
    file.write_text(text)
    return HostKeys((file,))


def verdict(known, target, key=KEY, kind=ED, *, accept_new=False):
    """known, or the word of the refusal."""
    try:
        verify(known, target, kind, key, accept_new=accept_new)
    except TransportError as error:
        words = ("revoked", "has changed", "is not known")
        return next(word for word in words if word in str(error) and error.kind is Kind.DENIED)
    return "known"


@pytest.mark.parametrize(
    ("line", "target", "expected"),
    [
        (f"n1 {ED} {KEY}", aim("n1"), "known"),
        (f"n1 {ED} {KEY} a comment", aim("n1"), "known"),
        (f"N1,10.0.0.1 {ED} {KEY}", aim("n1"), "known"),
        (f"n1 {ED} {KEY}", aim("N1"), "known"),
        (f"n2 {ED} {KEY}", aim("n1"), "is not known"),
        (f"n1 {ED} {OTHER}", aim("n1"), "has changed"),
        (f"n1 {EC} {OTHER}", aim("n1"), "has changed"),
        (f"10.0.0.1 {ED} {KEY}", aim("n1", "10.0.0.1"), "known"),
        (f"[n1]:2222 {ED} {KEY}", aim("n1", port=2222), "known"),
        (f"[n1]:2222 {ED} {KEY}", aim("n1"), "is not known"),
        (f"n1 {ED} {KEY}", aim("n1", port=2222), "known"),
        (f"[n1]:2222 {ED} {OTHER}\nn1 {ED} {KEY}", aim("n1", port=2222), "has changed"),
        (f"n* {ED} {KEY}", aim("n1"), "known"),
        (f"n*,!n1 {ED} {KEY}", aim("n1"), "is not known"),
        (f"n? {ED} {OTHER}\nn1 {ED} {KEY}", aim("n1"), "known"),
        (f"@revoked * {ED} {KEY}\nn1 {ED} {KEY}", aim("n1"), "revoked"),
        (f"@revoked n2 {ED} {KEY}\nn1 {ED} {KEY}", aim("n1"), "known"),
        (f"@cert-authority * {ED} {KEY}", aim("n1"), "is not known"),
        (f"# n1 {ED} {KEY}", aim("n1"), "is not known"),
        ("", aim("n1"), "is not known"),
        ("|1|nonsense", aim("n1"), "is not known"),
        (f"|1|!!|?? {ED} {KEY}", aim("n1"), "is not known"),
        (f"|1|one {ED} {KEY}\n\x00\xff\nn1 {ED} {KEY}", aim("n1"), "known"),
    ],
)
def test_only_the_right_key_of_the_right_host_is_known(file, line, target, expected):
    assert verdict(keys(file, line), target) == expected


def test_a_host_authority_that_is_not_used_is_owned_up_to(file):
    known = keys(file, f"@cert-authority * {ED} {KEY}")
    with pytest.raises(TransportError, match="@cert-authority line is not used here"):
        verify(known, aim(), ED, KEY, accept_new=False)


def test_a_missing_file_knows_nobody(file):
    assert verdict(HostKeys((file,)), aim()) == "is not known"


def test_all_files_are_read(tmp_path):
    (tmp_path / "b").write_text(f"n1 {ED} {KEY}\n")

    assert verdict(HostKeys((tmp_path / "a", tmp_path / "b")), aim()) == "known"


@needs_keygen
def test_we_find_hashed_hosts_as_ssh_keygen_does(file):
    names = [*(f"n{number}" for number in range(5)), "[n1]:2222"]
    file.write_text("".join(f"{name} {ED} {KEY}\n" for name in names))
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)
    known = HostKeys((file,))
    for name in [*names, "n9", "[n2]:2222"]:
        found = subprocess.run(
            ["ssh-keygen", "-F", name, "-f", file], check=False, capture_output=True
        )

        assert bool(known.of([name])) == (found.returncode == 0), name


@needs_keygen
def test_the_fingerprint_is_the_one_ssh_prints(tmp_path):
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "k"], check=True
    )
    printed = subprocess.run(
        ["ssh-keygen", "-lf", tmp_path / "k.pub"], check=True, capture_output=True, text=True
    )

    assert fingerprint((tmp_path / "k.pub").read_text().split()[1]) == printed.stdout.split()[1]


def test_accept_new_takes_an_unknown_key_once(file):
    known = keys(file, f"n2 {ED} {KEY}")  # without the last newline
    assert verdict(known, aim("n1", port=2222), accept_new=True) == "known"
    assert verdict(known, aim("n1", port=2222)) == "known"
    assert verdict(known, aim("n1", port=2222), OTHER, accept_new=True) == "has changed"

    assert file.read_text() == f"n2 {ED} {KEY}\n[n1]:2222 {ED} {KEY}\n"


def test_accept_new_does_not_take_a_second_kind_of_key(file):
    known = keys(file, f"n1 {EC} {OTHER}\n")

    assert verdict(known, aim(), accept_new=True) == "has changed"


def test_a_new_file_is_for_its_owner_only(tmp_path):
    file = tmp_path / ".ssh/known_hosts"
    verify(HostKeys((file,)), aim(), ED, KEY, accept_new=True)

    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_many_threads_record_whole_lines_each_once(file):
    known = [HostKeys((file,)) for _ in range(3)]  # as of three programs
    names = [f"n{number}" for number in range(60)]

    def record(mine):
        for name in names:
            verify(mine, aim(name), ED, KEY, accept_new=True)

    threads = [threading.Thread(target=record, args=(mine,)) for mine in known * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = list(entries(file.read_text(), Path("f")))

    assert {entry.hosts for entry in found} == set(names)
    assert all(entry.key == KEY for entry in found)
    assert len(found) <= len(names) * len(known)


def test_without_any_file_a_new_key_is_refused():
    assert verdict(HostKeys(()), aim(), accept_new=True) == "is not known"


@pytest.mark.parametrize(
    ("line", "first"),
    [
        (f"n1 {RSA} {KEY}", ("rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519")),
        (f"n1 {EC} {KEY}", ("ecdsa-sha2-nistp256", "ssh-ed25519")),
        (f"n1 ssh-dss {KEY}", ("ssh-ed25519",)),
        (f"@revoked n1 {EC} {KEY}", ("ssh-ed25519",)),
    ],
)
def test_the_kind_of_key_we_know_is_asked_for_first(file, line, first):
    wanted = algorithms(keys(file, line).known(aim()))

    assert wanted[: len(first)] == first
    assert len(set(wanted)) == len(wanted) == 6
