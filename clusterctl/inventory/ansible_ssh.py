"""What ssh arguments in an Ansible inventory say of the way to a node."""

from __future__ import annotations

import re
import shlex

from clusterctl.inventory.draft import refuse


def jump(name: str, text: str, origin: str) -> str:
    """The jump host among ssh's arguments: -J, -o ProxyJump=, or ProxyCommand with ssh -W.

    Empty where they hold none.  Raises UserError for a way round that is more than one jump.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise refuse(origin, f"{name}: {error}: {text!r}") from None
    for index, found in enumerate(words):
        following = words[index + 1] if index + 1 < len(words) else ""
        if found.startswith("-J"):
            return found[2:] or following
        option = following if found == "-o" else found[2:] if found.startswith("-o") else ""
        key, _, value = (
            part.strip() for part in re.sub(r"[\s=]+", "=", option, count=1).partition("=")
        )
        if key.lower() == "proxyjump" and value.lower() != "none":
            return value
        if key.lower() == "proxycommand" and value.lower() != "none":
            return through(value, name, origin)
    return ""


def through(command: str, name: str, origin: str) -> str:
    """The jump host of `ssh -W %h:%p -q -p 2222 ops@bastion`, the usual ProxyCommand."""
    words = command.split()
    port = user = host = ""
    index, simple = (
        1,
        bool(words)
        and words[0].rpartition("/")[2] == "ssh"
        and re.search(r"-\w*W", command) is not None,
    )
    while simple and index < len(words):
        word = words[index]
        takes = re.match(r"-[q4TxCaknN]*([WplioF])(.*)", word)
        if takes:
            value = takes[2] or (words[index + 1] if index + 1 < len(words) else "")
            index += not takes[2]
            port = value if takes[1] == "p" else port
            user = value if takes[1] == "l" else user
            simple = takes[1] not in "iF"
        elif not re.fullmatch(r"-[q4TxCaknN]+", word):
            simple, host = simple and not host, word
        index += 1
    if not (simple and host):
        raise refuse(
            origin,
            f"{name}: {command!r} is more than a jump; make it a ProxyCommand in ~/.ssh/config",
        )
    return (f"{user}@" if user and "@" not in host else "") + host + (f":{port}" if port else "")
