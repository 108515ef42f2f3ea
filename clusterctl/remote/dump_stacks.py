"""Where each rank of a job is, several times: Python frames by py-spy, and what the kernel says.

argv: one JSON object: looks, apart_s, native (C frames too, which stops the process for each look),
look_s and tries of one py-spy, refused (words of its by which another try is in vain), later
(machines that are asked again, with py-spy: without it they only say who is there), and whose
processes, as for job_processes.py.  Prints a JSON object a line, `k` says which: node, rank, look,
trouble; last end with their number.

py-spy comes from the PATH, else with the request (PROGRAMS); it then lives in memory, in a file
that never has a name, so nothing stays behind whenever we are killed.  It reads the memory of a
process and does not stop it (--nonblocking), unless native frames are asked for.
"""

import json
import os
import subprocess
import sys
import time

import job_processes

ASKED = json.loads(sys.argv[1])
SILENT = "py-spy gave no answer in {:.0f} s".format(ASKED["look_s"])  # it is not asked again
MOST_BYTES = 16 << 20
MOST_FRAMES = 120
MAIN = "MainThread"
PLACES = ("/dev/shm", "/run", "/tmp", "/var/tmp")  # noqa: S108 - the file there has no name
LINES = []


def say(kind, **told):
    LINES.append(kind)
    print(json.dumps(dict(told, k=kind)), flush=True)  # what is said stands if we are stopped


text = job_processes.read


# ----------------------------------------------------------------------------- py-spy


def installed():
    for place in os.environ.get("PATH", "").split(":"):
        path = os.path.join(place, "py-spy")
        if place.startswith("/") and os.access(path, os.X_OK):
            return path
    return ""


def in_memory(program):
    """A descriptor of a file without a name that can be executed.  Raises OSError."""
    error = OSError("no place to keep a program without a name")
    for make in (by_memfd, *(by_place(name) for name in PLACES)):
        try:
            written = make()
        except OSError as refused:
            error = refused
            continue
        try:
            left = memoryview(program)
            while left:
                left = left[os.write(written, left) :]
            readable = os.open("/proc/self/fd/{}".format(written), os.O_RDONLY)
        except OSError as refused:
            os.close(written)
            error = refused
            continue
        os.close(written)  # what is open for writing cannot be executed
        try:
            run(["/proc/self/fd/{}".format(readable), "--version"], (readable,))
            return readable
        except OSError as refused:  # noexec
            os.close(readable)
            error = refused
    raise error


def by_memfd():
    create = getattr(os, "memfd_create", None)  # of Python 3.8
    if create is None:
        raise OSError("no memfd")
    try:
        return create("py-spy", 0x11)  # MFD_CLOEXEC, MFD_EXEC of Linux 6.3
    except OSError:
        return create("py-spy", 1)


def by_place(folder):
    return lambda: os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o700)


def run(command, keep=()):
    """(exit code, stdout, stderr); raises OSError where it cannot be started."""
    process = begin(command, keep)
    out, err = process.communicate()
    return process.returncode, out, err


def begin(command, keep):
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=keep,
    )


def find_spy():
    """(command, descriptors, where it is from); the command is empty where there is none."""
    path = installed()
    if path:
        return [path], (), path
    programs = globals().get("PROGRAMS") or {}
    if not programs:
        return [], (), ""
    try:
        descriptor = in_memory(next(iter(programs.values())))
    except OSError as error:
        return [], (), "cannot be run here: {}".format(error)
    return ["/proc/self/fd/{}".format(descriptor)], (descriptor,), "sent"


def dumps_of(spy, keep, pids):
    """Of each process its main thread, or the last words of py-spy; all are asked at once.

    What changes while it is read cannot be followed: that is asked again.
    """
    mode = "--native" if ASKED.get("native") else "--nonblocking"
    found, left = {}, list(pids)
    for _ in range(ASKED["tries"]):
        asked = {}
        for pid in left:
            try:
                asked[pid] = begin([*spy, "dump", "--json", mode, "--pid", str(pid)], keep)
            except OSError as error:
                found[pid] = str(error)
        end = time.monotonic() + ASKED["look_s"]
        for pid, process in asked.items():
            found[pid] = heard(process, pid, end)
        left = [pid for pid in asked if isinstance(found[pid], str) and may_change(found[pid])]
        if not left:
            break
    return found


def heard(process, pid, end):
    try:
        out, err = process.communicate(timeout=max(0.1, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        try:
            process.communicate(timeout=1)
        except subprocess.TimeoutExpired:
            pass  # in the kernel, where no signal reaches it
        return SILENT
    if process.returncode == 0 and len(out) < MOST_BYTES:
        try:
            return main_thread(pid, json.loads(out.decode("utf-8", "replace")))
        except (ValueError, KeyError, TypeError) as error:
            return "py-spy's answer cannot be read: {!r}".format(error)[:200]
    words = err.decode("utf-8", "replace").strip().split("\n")
    return " ".join(" ".join(words).split())[:300] or "py-spy: exit {}".format(process.returncode)


def main_thread(pid, threads):
    """The thread that the program began with, where the rank is: {"active", "frames"}.

    Of a process in a container py-spy says the number that its thread has in there.
    """
    numbers = text("/proc/{}/status".format(pid)).partition("\nNSpid:")[2].split("\n")[0].split()
    own = {str(pid), *numbers[-1:]}
    for one in threads:
        if str(one.get("os_thread_id")) in own or one.get("thread_name") == MAIN:
            return {
                "active": one["active"],
                "frames": [
                    [
                        frame["name"][:200],
                        (frame.get("short_filename") or frame["filename"])[-200:],
                        frame["line"],
                    ]
                    for frame in one["frames"][:MOST_FRAMES]
                ],
            }
    return "py-spy shows {} threads, and not the first one".format(len(threads))


def may_change(words):
    return words != SILENT and not any(word in words for word in ASKED["refused"])


# ----------------------------------------------------------------------------- the kernel


def task_of(pid):
    """Of the main thread [state, what it waits in, CPU ticks, kernel frames, how often it slept].

    None: it has ended.
    """
    place = "/proc/{0}/task/{0}/".format(pid)
    cells = text(place + "stat").rpartition(") ")[2].split()
    if len(cells) < 14:
        return None
    lines = [line.split("+")[0].split() for line in text(place + "stack").split("\n")]
    return [
        *(cells[0], text(place + "wchan").strip("0\n"), int(cells[11]) + int(cells[12])),
        [line[-1] for line in lines if line][:12],
        number_of("voluntary_ctxt_switches", text(place + "status")),
    ]


def number_of(name, status):
    """Of a line of /proc/PID/status; None: it has none."""
    for line in status.split("\n"):
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return None


def about_node(spy, came):
    capable = 0
    for line in text("/proc/self/status").split("\n"):
        if line.startswith("CapEff:"):
            capable = int(line.split()[1], 16) >> 19 & 1  # CAP_SYS_PTRACE
    say(
        "node",
        machine=os.uname().machine,
        spy=bool(spy),
        came=came,
        uid=os.geteuid(),
        capable=bool(capable),
        yama=text("/proc/sys/kernel/yama/ptrace_scope").strip(),
    )


def main():
    spy, keep, came = find_spy()
    about_node(spy, came)
    ranks, hidden = job_processes.ranks(ASKED)
    if hidden and os.geteuid():  # of root only those hide that end while it looks
        say("trouble", detail="{} processes hide their environment: not root?".format(hidden))
    for one in ranks:
        say("rank", **{name: one[name] for name in ("pid", "rank", "label", "job", "world")})
    pids = [one["pid"] for one in ranks]
    if os.uname().machine in ASKED.get("later", ()) and not spy:
        ASKED["looks"] = 0
    begun, silent = time.monotonic(), set()
    for look in range(ASKED["looks"]):
        left = begun + look * ASKED["apart_s"] - time.monotonic()
        if left > 0:
            time.sleep(left)
        tasks = {pid: task_of(pid) for pid in pids}
        living = [pid for pid in pids if tasks[pid] and pid not in silent]
        threads = dumps_of(spy, keep, living) if spy else {}
        threads.update(dict.fromkeys(silent, SILENT))
        silent = {pid for pid, seen in threads.items() if seen == SILENT}
        for pid in pids:
            seen = threads.get(pid)
            told = seen if isinstance(seen, dict) else {"why": seen or ""}
            say("look", pid=pid, task=tasks[pid], **told)
    print(json.dumps({"k": "end", "lines": len(LINES)}))


main()
