"""Change one node in Slurm if it is still as it was seen, and say what came of it.

argv[1] is JSON: {"node": "n1", "mark": MARK, "holds": ["DRAIN", …], "update": ["State=DRAIN", …],
"env": {"TZ": "UTC"}}.
The answer is one line of JSON:

    {"before": LINE, "ran": true, "code": 0, "said": "", "after": LINE}

LINE is what `scontrol show node -o` prints.  MARK is its reason, whole, after those of its states
that are in "holds": where it differs now, somebody was faster and nothing is changed.  Slurm has no
conditional update: between this look and the update lie a few milliseconds, not a round trip.
"""

import json
import os
import re
import subprocess
import sys

TOOL_S = 25.0
ORDER = json.loads(sys.argv[1])


def scontrol(*words):
    """(exit code, output, what it complained of)"""
    try:
        tool = subprocess.Popen(
            # Python 3.6 in the C locale encodes nothing but ASCII by itself.
            [word.encode("utf-8") for word in ("scontrol", "-a", *words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(os.environ, **ORDER["env"]),
        )
    except OSError as error:
        return 127, "", "scontrol: %s" % error.strerror
    try:
        said, errors = tool.communicate(timeout=TOOL_S)
    except subprocess.TimeoutExpired:
        tool.kill()
        tool.communicate()
        return None, "", "scontrol said nothing in %g s" % TOOL_S
    text = [one.decode("utf-8", "replace") for one in (said, errors)]
    return tool.returncode, text[0], (text[1].strip() or text[0].strip())[-300:]


def mark(line, holds):
    """As slurm.py spells it."""
    found = re.search(r" State=(\S*)", line)
    states = re.findall("[A-Z_]+", found.group(1)) if found else []
    held = sorted(state for state in states if state in holds)
    return "%s|%s" % ("+".join(held), line.partition(" Reason=")[2].rstrip())


def shown(node):
    code, said, why = scontrol("show", "node", "-o", node)
    return (said, "") if code == 0 and said.startswith("NodeName=%s " % node) else ("", why)


def main():
    node = ORDER["node"]
    answer = {"before": "", "ran": False, "code": None, "said": "", "after": ""}
    answer["before"], answer["said"] = shown(node)
    if answer["before"] and mark(answer["before"], ORDER["holds"]) == ORDER["mark"]:
        answer["ran"] = True
        answer["code"], _, answer["said"] = scontrol(
            "update", "NodeName=%s" % node, *ORDER["update"]
        )
        answer["after"], _ = shown(node)
    print(json.dumps(answer))


main()
