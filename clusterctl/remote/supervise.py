"""Begin, ask, direct, end and clear away a campaign on this node; the work is supervisor.py's.

    start CAMPAIGN PLAN MODULE…  plan: see supervisor.py; goes on with the campaign's old journal;
                                 the modules are what the supervisor is made of
    fetch CAMPAIGN OFFSET MOST   the state, and whole records of the journal from OFFSET on
    tell CAMPAIGN ORDER          order: see supervisor.py; the same id twice is done once
    stop CAMPAIGN [now]          the load stops, then the supervisor; returns when it is gone
    collect CAMPAIGN SIZE        removes everything, if SIZE is as far as the journal goes

CAMPAIGN may be followed by --in=/a:/b, the folders to keep its state in, best first, and by
--leader={…}, the controller that asks, see supervisor.py.
The answer is a line of JSON.  `ok` false: `why` not, and of a second campaign `holder`, the id of
the first; where another controller leads it, `leader`.  `fetch` prints the records behind it, and
`end`, a tab and their bytes.  Exit 0 whenever there is an answer, whatever it says.
"""

import contextlib
import json
import os
import subprocess
import sys
import time

import places

READY_S = 15.0
ASK_S = 10.0
STOP_S, HURRY_S = 45.0, 20.0
MARK = "CLUSTERCTL_CAMPAIGN"


def say(**words):
    print(json.dumps(words, separators=(",", ":")))


class No(Exception):
    """Why it is not done; `words` stand beside it in the answer."""

    def __init__(self, why, **words):
        super().__init__(why)
        self.words = words


# ----------------------------------------------------------------------------- start


def start(campaign, where, leader, plan, *modules):
    plan = json.loads(plan)
    if not float(plan.get("hard_s") or 0) > 0:
        raise No("the plan needs hard_s")
    for holder in places.holders(where):
        if holder.get("campaign") != campaign:
            say(ok=False, why="another campaign has this node", holder=holder.get("campaign"))
            return
        state = running(places.find(where, campaign), leader)
        if state is None:
            raise No("it is just ending")
        say(ok=True, started=False, **state)
        return
    folder, refused = None, []
    for place in where:
        try:
            folder = places.find([place], campaign)
            if folder is None and places.find(where, campaign):
                continue  # it goes on where it was
            folder = folder or places.make(place, campaign)
            lock = patient_lock(place)
            places.sign(place, {"campaign": campaign, "folder": folder, "boot": places.boot_id()})
        except OSError as error:
            refused.append("%s: %s" % (place, error.strerror))
            continue
        except places.Held as held:
            raise No("another start is under way: %s" % held)
        break
    else:
        raise No("no place for its state: " + "; ".join(refused))
    if not os.path.exists(os.path.join(folder, "journal")):
        # Whatever becomes of it, there is a journal to fetch and a size to collect.
        os.close(os.open(os.path.join(folder, "journal"), os.O_CREAT | os.O_WRONLY, 0o600))
    words = {"campaign": campaign, "folder": folder, "plan": plan, "lock": lock, "leader": leader}
    launch(words, modules)
    state = running(folder, leader)
    if state is None:
        raise No("it ended at once; its journal says why")
    say(ok=True, started=True, refused=refused, **state)


def patient_lock(place):
    """Somebody may only be looking whether it is held.  Raises places.Held, OSError."""
    end = time.monotonic() + 2.0
    while True:
        try:
            return places.lock(place, create=True)
        except places.Held:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def launch(words, modules):
    """Returns when it is up.  Raises No."""
    import apart

    campaign = words["campaign"]
    ready, told = os.pipe()
    apart.launch(
        (campaign, "supervisor"),
        sources={name: apart.source(name) for name in modules},
        script="supervisor",
        argv=[json.dumps(dict(words, ready=told))],
        env=apart.environment(**{MARK: campaign}),
        first={"nice": 0},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(words["lock"], told),
    )
    os.close(told)
    with os.fdopen(ready, "rb") as pipe:
        said = pipe.read().decode("utf-8", "replace")
    if said != "ok\n":
        raise No("the supervisor did not come up: " + (said.strip() or "it died"))


# ----------------------------------------------------------------------------- asking


def order(folder, leader, request):
    """The supervisor's reply, or None where nobody is there.  Raises OSError; No if refused."""
    reply = places.ask(folder, dict(request, leader=leader), ASK_S)
    if reply is not None and reply.get("ok") is False:
        reply.pop("ok")
        raise No(reply.pop("why"), **reply)
    return reply


def running(folder, leader):
    """The state by its own word; None: nobody is there.  `alive` None: it does not answer."""
    if folder is None:
        return None
    try:
        return order(folder, leader, {"do": "state"})
    except OSError as error:
        return {"alive": None, "why": "it does not answer: %s" % error, "folder": folder}


def gone(folder):
    """The state where nobody is there: how it ended, and whether the node booted since."""
    import journal

    path = os.path.join(folder, "journal")
    boot = ""
    last = {}
    for _, record in journal.whole(path):
        if record.get("k") == "start":
            boot = record.get("boot", "")
        last = record
    how = {"finish": "ended: %s" % last.get("why"), "orphaned": "killed", "bug": "broke"}
    why = how.get(last.get("k"), "killed")
    if last.get("k") not in how and boot != places.boot_id():
        why = "the node was rebooted"
    space = os.statvfs(folder)
    return {
        "alive": False,
        "why": why,
        "boot": places.boot_id(),
        "boot_then": boot,
        "uptime_s": places.uptime_s(),
        "m": round(time.monotonic(), 3),
        "w": round(time.time(), 3),
        "folder": folder,
        "disk_free_bytes": space.f_bavail * space.f_frsize,
    }


def home(campaign, where):
    folder = places.find(where, campaign)
    if folder is None:
        raise No("no such campaign here")
    return folder


def fetch(campaign, where, leader, offset, most):
    from journal import complete_bytes

    folder, offset, most = home(campaign, where), int(offset), int(most)
    state = running(folder, leader) or gone(folder)
    path = os.path.join(folder, "journal")
    size = complete_bytes(path)
    if offset > size:
        raise No("the journal has %d bytes" % size)
    with open(path, "rb") as file:
        file.seek(offset)
        data = file.read(min(most, size - offset))
    data = data[: data.rfind(b"\n") + 1]
    if not data and offset < size:
        raise No("a record is longer than %d bytes" % most)
    say(ok=True, size=size, next=offset + len(data), **state)
    sys.stdout.flush()
    out = getattr(sys.stdout, "buffer", None)
    out.write(data)
    out.flush()
    print("end\t%d" % len(data))


def tell(campaign, where, leader, words):
    folder = home(campaign, where)
    try:
        reply = order(folder, leader, json.loads(words))
    except OSError as error:
        raise No("it does not answer: %s" % error)
    if reply is None:
        raise No("no supervisor: " + gone(folder)["why"])
    say(**reply)


# ----------------------------------------------------------------------------- the end


def stop(campaign, where, leader, *words):
    """Where it does not go by itself in time, it is killed, and its steps with it."""
    import steps

    folder = home(campaign, where)
    forced = False
    end = time.monotonic() + (HURRY_S if "now" in words else STOP_S)
    with contextlib.suppress(OSError):
        order(folder, leader, {"do": "stop", "now": "now" in words})
    while held(campaign, where):
        if time.monotonic() > end:
            forced = True
            steps.kill(steps.marked(campaign, MARK))
            end = time.monotonic() + READY_S
        time.sleep(0.05)
    left = steps.sweep(campaign)
    say(ok=not left, forced=forced, survivors=sorted(left), **gone(folder))


def held(campaign, where):
    return any(holder.get("campaign") == campaign for holder in places.holders(where))


def collect(campaign, where, _leader, size):
    import cgroups
    import steps
    from journal import complete_bytes

    if held(campaign, where):
        raise No("it is still running")
    folder = places.find(where, campaign)
    if folder is not None:
        there = complete_bytes(os.path.join(folder, "journal"))
        if int(size) != there:
            raise No("the journal has %d bytes, not %s" % (there, size))
    left = steps.sweep(campaign)
    steps.kill(steps.marked(campaign, MARK))
    left_groups = cgroups.remove(campaign)
    if folder is not None:
        places.remove(folder)
    for place in where:
        forget(place, campaign)
    say(ok=not left and not left_groups, absent=folder is None, survivors=sorted(left))


def forget(place, campaign):
    """Remove the lock, unless it is another campaign's."""
    with contextlib.suppress(places.Held, OSError):
        lock = places.lock(place, create=False)
        if lock is not None:
            if places.read_lock(lock).get("campaign") == campaign:
                os.unlink(os.path.join(place, places.LOCK))
            os.close(lock)


def main(verb, campaign, *words):
    where, leader = places.PLACES, None
    if words and words[0].startswith("--in="):
        where, words = tuple(words[0][5:].split(":")), words[1:]
    if words and words[0].startswith("--leader="):
        leader, words = json.loads(words[0][9:]), words[1:]
    verbs = {"start": start, "fetch": fetch, "tell": tell, "stop": stop, "collect": collect}
    try:
        if not places.NAME.fullmatch(campaign):
            raise No("not a campaign's id: %r" % campaign)
        verbs[verb](campaign, where, leader, *words)
    except No as error:
        say(ok=False, why=str(error), **error.words)


if __name__ == "__main__":
    main(*sys.argv[1:])
