"""Control groups of our own, where the node lets us: nothing a step starts can hide from them.

Version 2, and of version 1 the two hierarchies that everything is in: systemd's, whose session
scopes end with the login that they belong to, and the freezer's.  No controller is switched on.
"""

import os
import time


def hierarchies():
    found = []
    try:
        with open("/proc/mounts") as file:
            for line in file:
                _, where, kind, options = line.split()[:4]
                words = options.split(",")
                if kind == "cgroup2" or (
                    kind == "cgroup" and ("name=systemd" in words or "freezer" in words)
                ):
                    found.append(where)
    except OSError:
        pass
    return found


def folders(campaign, part):
    return [os.path.join(where, "clusterctl-" + campaign, part) for where in hierarchies()]


def make(campaign, part):
    """Those that could be made."""
    made = []
    for folder in folders(campaign, part):
        try:
            os.makedirs(folder, exist_ok=True)
            made.append(folder)
        except OSError:
            continue
    return made


def members(campaign, part):
    found = set()
    for folder in folders(campaign, part):
        try:
            with open(folder + "/cgroup.procs") as file:
                found |= {int(word) for word in file.read().split()}
        except OSError:
            continue
    return found - {0}


def leave(campaign, part):
    """Back to the root, so that the folders can go."""
    own = str(os.getpid())
    for where, folder in zip(hierarchies(), folders(campaign, part)):
        try:
            with open(folder + "/cgroup.procs") as file:
                if own not in file.read().split():
                    continue
            with open(where + "/cgroup.procs", "w") as file:
                file.write(own)
        except OSError:
            continue


def remove(campaign, patience_s=2.0):
    """The names of those that stay: somebody in them cannot be killed."""
    end = time.monotonic() + patience_s
    while True:
        left = []
        for where in hierarchies():
            top = os.path.join(where, "clusterctl-" + campaign)
            for folder in (top + "/steps", top + "/supervisor", top):
                try:
                    os.rmdir(folder)
                except FileNotFoundError:
                    continue
                except OSError:
                    left.append(folder)
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.05)
