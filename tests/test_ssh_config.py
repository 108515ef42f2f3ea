"""ssh configuration, with `ssh -G` as the oracle."""

from __future__ import annotations

import getpass
import shutil
import subprocess
from pathlib import Path

import pytest

from clusterctl.model import Node, UserError
from clusterctl.transport.ssh_config import Surroundings, hop, listed, target

LOGIN = getpass.getuser()
needs_ssh = pytest.mark.skipif(not shutil.which("ssh"), reason="openssh-client is not installed")


@pytest.fixture
def around(tmp_path):
    (tmp_path / ".ssh").mkdir()
    return Surroundings(home=tmp_path, environ={"SITE": "north"}, login=LOGIN, etc=tmp_path / "etc")


def write(around, text):
    (around.home / ".ssh/config").write_text(text)


def aim(around, node):
    node = Node(node) if isinstance(node, str) else node
    return target(node, around.lines(), around)


def oracle(around, name):
    """What ssh makes of the same file: keyword -> values."""
    said = subprocess.run(
        ["ssh", "-G", "-F", around.home / ".ssh/config", name],
        capture_output=True,
        text=True,
        check=True,
    )
    found = {}
    for line in said.stdout.splitlines():
        keyword, _, value = line.partition(" ")
        found.setdefault(keyword, []).append(value)
    return found


CONFIG = """
# comment
Host n0* !n05
    HostName %h.cluster
    Port=2222
    User "ops team"
Host=n05
    Port 2205
Match host n06.cluster
    User matched
Match originalhost n07 localuser {login}
    Port 2207
Match originalhost n08 user nobody
    Port 1
Match !originalhost n*
    Port 2300
Match final exec false
    Port 1
Host jump* n09
    ProxyJump ops@gate:2200,inner
    IdentitiesOnly yes
Host n10
    ProxyCommand nc -X "a b" %h %p
Host n1? other
    UserKnownHostsFile /a/one "/b/two %n"
    HostKeyAlias rack-%n
    StrictHostKeyChecking accept-new
Host *
    HostName ignored-%h
    IdentityFile /keys/%r
    CertificateFile /keys/%r-cert.pub
    IdentityFile /keys/second
    Port 2999
"""
NAMES = [*(f"n{number:02}" for number in range(13)), "jump1", "other", "nobody", "N03", "10.0.0.1"]


@needs_ssh
@pytest.mark.parametrize("name", NAMES)
def test_we_read_a_configuration_as_ssh_does(around, name):
    write(around, CONFIG.format(login=LOGIN))
    ours, theirs = aim(around, name), oracle(around, name)

    assert ours.host.lower() == theirs["hostname"][0]
    assert str(ours.port) == theirs["port"][0]
    assert ours.user == theirs["user"][0]
    assert ours.via == theirs.get("proxyjump", [""])[0]
    if not ours.via:
        assert ours.proxy_command == theirs.get("proxycommand", [""])[0].replace(
            "%h", ours.host
        ).replace("%p", str(ours.port))
    assert ours.identities_only == (theirs["identitiesonly"] == ["yes"])
    assert ours.accept_new == (theirs["stricthostkeychecking"] == ["accept-new"])
    assert [str(path) for path in ours.identities] == [
        value.replace("%r", ours.user) for value in theirs["identityfile"]
    ]
    assert [str(path) for path in ours.certificates] == [
        value.replace("%r", ours.user) for value in theirs["certificatefile"]
    ]


@needs_ssh
@pytest.mark.parametrize("name", ["a1", "b1", "c1", "d1"])
def test_an_include_ends_where_it_began(around, name):
    """A Host line of an included file does not reach beyond it and stays in its outer Host."""
    inner = around.home / "inner"
    inner.write_text("Host b*\n  Port 3\nHost a*\n  User included\n")
    write(around, f"Host a* c*\n  Include {inner} /nowhere/*\n  Port 7\nHost *\n  Port 9\n")
    ours, theirs = aim(around, name), oracle(around, name)

    assert (str(ours.port), ours.user) == (theirs["port"][0], theirs["user"][0])


def test_an_include_of_itself_ends(around):
    write(around, f"Include {around.home}/.ssh/config\nPort 7\n")

    assert aim(around, "n1").port == 7


def test_includes_are_relative_to_the_users_folder(around):
    (around.home / ".ssh/conf.d").mkdir()
    (around.home / ".ssh/conf.d/10-site").write_text("Port 7\n")
    (around.home / ".ssh/conf.d/20-site").write_text("Port 8\n")
    write(around, "Include conf.d/*\n")

    assert aim(around, "n1").port == 7


@needs_ssh
@pytest.mark.parametrize(("pattern", "port"), [("*", "7"), (".*", "8"), ("*/20", "9")])
def test_a_star_of_include_takes_no_hidden_file(around, pattern, port):
    conf = around.home / "conf.d"
    for folder in (conf, conf / "sub", conf / ".hidden"):
        folder.mkdir()
    (conf / "10-site").write_text("Port 7\n")
    (conf / ".10-site.swp").write_text('Port 8\nUser "\n' if pattern == "*" else "Port 8\n")
    (conf / "sub/20").write_text("Port 9\n")
    (conf / ".hidden/20").write_text("Port 8\n")
    write(around, f"Include {conf}/{pattern}\n")

    assert str(aim(around, "n1").port) == port == oracle(around, "n1")["port"][0]


def test_the_users_word_comes_before_the_machines(around):
    around.etc.mkdir()
    (around.etc / "ssh_config").write_text("Port 7\nUser theirs\n")
    write(around, "Port 8\n")

    assert (aim(around, "n1").port, aim(around, "n1").user) == (8, "theirs")


def test_a_given_file_replaces_both(around, tmp_path):
    write(around, "Port 8\n")
    (tmp_path / "mine").write_text("User me\n")
    given = Surroundings(
        home=around.home, environ={}, login=LOGIN, etc=around.etc, config=tmp_path / "mine"
    )

    assert (aim(given, "n1").port, aim(given, "n1").user) == (22, "me")


def test_no_configuration_leaves_the_defaults(around):
    ours = aim(around, "n1")

    assert (ours.host, ours.port, ours.user, ours.via) == ("n1", 22, LOGIN, "")
    assert not ours.chosen
    assert around.home / ".ssh/id_ed25519" in ours.identities
    assert ours.known_hosts[0] == around.home / ".ssh/known_hosts"
    assert around.etc / "ssh_known_hosts" in ours.known_hosts


def test_the_inventory_wins(around):
    write(around, "HostName h\nPort 1\nUser u\nProxyJump j\n")
    ours = aim(around, Node("n1", address="10.0.0.1", port=2, user="me", via="gate"))

    assert (ours.host, ours.port, ours.user, ours.via) == ("10.0.0.1", 2, "me", "gate")


def test_a_jump_host_of_the_inventory_wins_over_a_proxy_command(around):
    write(around, "ProxyCommand nc %h %p\n")

    assert aim(around, Node("n1", via="gate")).proxy_command == ""


@pytest.mark.parametrize("pattern", ["n1", "10.0.0.*"])
def test_a_host_line_may_mean_the_name_or_the_address(around, pattern):
    """People write the one, Ansible connects by the other."""
    write(around, f"Host {pattern}\n  Port 7\n")

    assert aim(around, Node("n1", address="10.0.0.1")).port == 7


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("ProxyJump none", ""),
        ("ProxyJump %r@gate", f"{LOGIN}@gate"),
    ],
)
def test_a_proxy_jump_may_be_none_or_hold_tokens(around, setting, expected):
    write(around, setting)

    assert aim(around, "n1").via == expected


def test_proxy_command_none_means_none(around):
    write(around, "ProxyCommand none\n")

    assert aim(around, "n1").direct


def test_paths_may_hold_tokens_home_and_environment(around):
    write(around, "IdentityFile ~/${SITE}/%r@%h\nUserKnownHostsFile none\n")
    ours = aim(around, "n1")

    assert ours.identities == (around.home / f"north/{LOGIN}@n1",)
    assert ours.known_hosts[0] == around.etc / "ssh_known_hosts"


@pytest.mark.parametrize(
    ("setting", "environ", "expected"),
    [
        ("", {"SSH_AUTH_SOCK": "/s"}, "/s"),
        ("", {}, ""),
        ("IdentityAgent none", {"SSH_AUTH_SOCK": "/s"}, ""),
        ("IdentityAgent SSH_AUTH_SOCK", {"SSH_AUTH_SOCK": "/s"}, "/s"),
        ("IdentityAgent $MINE", {"MINE": "/m"}, "/m"),
        ("IdentityAgent ${MINE}/x", {"MINE": "/m"}, "/m/x"),
        ("IdentityAgent ~/agent", {}, "{home}/agent"),
    ],
)
def test_the_agent_may_be_another(around, setting, environ, expected):
    write(around, setting)
    there = Surroundings(home=around.home, environ=environ, login=LOGIN, etc=around.etc)

    assert aim(there, "n1").agent == expected.format(home=around.home)


@pytest.mark.parametrize("text", ["Port ssh", "Port 0", "Port 65536", 'User "me', "ProxyJump a:b"])
def test_a_bad_line_is_the_operators_mistake_with_file_and_line(around, text):
    write(around, f"# one\n{text}\n")
    with pytest.raises(UserError, match=r"\.ssh/config:2: "):
        around.lines()


@pytest.mark.parametrize(
    ("via", "expected"),
    [
        ("gate", Node("gate")),
        ("ops@gate:2200", Node("gate", user="ops", port=2200)),
        ("a,ops@b", Node("b", user="ops", via="a")),
        ("a,b,c:1", Node("c", port=1, via="a,b")),
        ("[fe80::1]:22", Node("fe80::1", port=22)),
        ("fe80::1", Node("fe80::1")),
        ("ssh://ops@gate:7/", Node("gate", user="ops", port=7)),
        ("ops@corp@gate", Node("gate", user="ops@corp")),
    ],
)
def test_jump_hosts_are_spelled_in_many_ways(via, expected):
    assert hop(via) == expected


@pytest.mark.parametrize("via", ["", "a:b", "gate:99999", "a,", ":22", "ops@"])
def test_a_jump_host_that_cannot_be_read_is_refused(via):
    with pytest.raises(UserError, match="jump host"):
        hop(via)


@pytest.mark.parametrize(
    ("patterns", "held"),
    [
        (("n*", "!n1"), False),
        (("!n1", "n*"), False),
        (("!n2",), False),
        (("n?",), True),
        (("N1",), False),
        (("[n]1",), False),
    ],
)
def test_pattern_lists_follow_ssh(patterns, held):
    assert listed(("n1",), patterns) is held


def test_a_file_that_is_no_text_does_no_harm(around):
    (around.home / ".ssh/config").write_bytes(b"\xff\xfe\x00Port\nPort 7\n\x80\n")

    assert aim(around, "n1").port == 7


def test_a_target_reads_like_what_people_type(around):
    assert str(aim(around, Node("n1", user="ops", port=7))) == "ops@n1:7"
    assert Path("known_hosts").name in {path.name for path in aim(around, "n1").known_hosts}


def test_the_key_that_the_inventory_names_wins_over_the_configuration(around):
    write(around, "IdentityFile ~/.ssh/theirs\n")

    found = aim(around, Node("n1", identity="~/.ssh/lab"))

    assert found.identities == (around.home / ".ssh/lab",)
    assert found.chosen
