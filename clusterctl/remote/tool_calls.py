"""Run a tool's sub-commands in turn and print what each says; a call that hangs costs itself.

== clusterctl calls 1                     first
== call amd-smi metric --json             before each; then its output as it is
== exit 0                                 or a status and what it said on stderr; timeout; skipped
== end 7                                  the number of calls; without it the answer was cut

Travels beside the script that asks.
"""

import glob
import os
import subprocess
import sys
import time


def places(*folders):
    """Folders to look in: PATH, then these; a pattern's last match (the newest) first."""
    found = [folder for folder in os.environ.get("PATH", "").split(":") if folder]
    for folder in folders:
        found += sorted(glob.glob(folder), reverse=True)
    return found


def find(name, folders, ours=bool):
    """The tool's path, or None.  `ours`: whether a path, links followed, is the tool meant."""
    for folder in places(*folders):
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK) and os.path.isfile(path) and ours(os.path.realpath(path)):
            return path
    return None


def write(text):
    getattr(sys.stdout, "buffer", sys.stdout).write(text.encode("utf-8", "replace"))
    sys.stdout.flush()


def one(path, words, call_s):
    """(output, ending): the ending as it stands behind `== exit` or after `== `."""
    env = dict(os.environ, LC_ALL="C", LANG="C", COLUMNS="400", PYTHONIOENCODING="utf-8")
    pipe = subprocess.PIPE
    with open(os.devnull, "rb") as nothing:
        tool = subprocess.Popen([path, *words], stdin=nothing, stdout=pipe, stderr=pipe, env=env)
    try:
        texts = tool.communicate(timeout=call_s)
    except subprocess.TimeoutExpired:
        tool.kill()  # and not waited for: a call that hangs in its driver dies later or never
        return "", "timeout no answer in %g s" % call_s
    out, said = (text.decode("utf-8", "replace") for text in texts)
    shown = " ".join(said.split())[:400] if tool.returncode or not out.strip() else ""
    return out, ("exit %d %s" % (tool.returncode, shown)).rstrip()


def ask(path, calls, call_s, all_s):
    """Every call of the tool, for at most these seconds each and all together."""
    stop, name = time.time() + all_s, os.path.basename(path)
    write("== clusterctl calls 1\n")
    for words in calls:
        write("== call %s\n" % " ".join((name, *words)))
        left = min(call_s, stop - time.time())
        try:
            out, ending = ("", "skipped no time was left") if left <= 0 else one(path, words, left)
        except Exception as error:
            out, ending = "", "failed %r" % error
        write(out if not out or out.endswith("\n") else out + "\n")
        write("== %s\n" % ending)
    write("== end %d\n" % len(calls))
