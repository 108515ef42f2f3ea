"""Runs all questions of one request side by side on a node and streams their answers.

It arrives over stdin behind a bootstrap line (see transport/wire.py), which has said hello already;
`converse` is called with the request.  What stays open of stdin is the lifeline: its end means that
nobody listens any more, and everything started here is killed.  It keeps no file on the node.
"""

import errno
import io
import os
import select
import sys
import time
import zlib

try:
    import _signal as signal  # signal itself imports enum: 3 ms of the 7 ms an interpreter takes
except ImportError:
    import signal

NONCE = sys.argv[1]
MARK = ("CLUSTERCTL_TALK=" + NONCE).encode()
EXTRA_PATH = (
    "/usr/sbin:/sbin:/usr/local/sbin:/usr/local/bin:/usr/bin:/bin:/usr/local/cuda/bin:/opt/rocm/bin"
    ":/usr/local/Ascend/driver/tools:/usr/local/corex/bin:/opt/mxdriver/bin:/opt/hyhal/bin"
)
SQUEEZE_BYTES = 4096  # below this, compressing costs more than it saves
FLOOD_BYTES = 64 << 20  # reading on, only to throw away, takes the CPU from the node's real work
TERM_S = 1.0  # from SIGTERM to SIGKILL
KILL_S = 1.0  # from SIGKILL to giving up on it: a process in D state does not die
HELD_UP_S = 0.5  # a brief script that waits this long for something holds up its crew
AT_MOST_S = 3.0  # ... and one that is at work may do so this long
LINGER_S = 0.25  # how long a child left in the background may hold the pipes
SPARED = 300  # as clusterctl.model has it: no process ends with this
# Daemons that keep accelerators open and are no jobs, as /proc/PID/comm cuts their names.
NO_JOBS = (
    *("nvidia-persiste", "nvidia-smi", "nv-hostengine", "dcgm-exporter", "dcgmi", "nvtop", "gpud"),
    *("nv-fabricmanage", "nvidia-imex", "nvidia-powerd", "nvidia-device-p", "k8s-device-plug"),
    *("npu-exporter", "npu-smi", "slogd", "log-daemon", "amd-smi", "rocm-smi", "device-metrics-"),
    *("node_exporter", "prometheus-node", "telegraf", "Xorg", "Xwayland", "gnome-shell"),
)
ENDINGS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class Tool:
    """One question: its process, its pipes, and when patience with it ends next."""

    def __init__(self, index, question):
        self.index = index
        (self.argv, self.script, self.modules, self.files) = question[:4]
        (self.timeout_s, self.cap_bytes, self.group, self.brief, self.programs) = question[4:9]
        self.spare, self.asleep, self.lease_s = question[9:]
        self.pid = 0
        self.pipes = {}  # file descriptor -> 0 for stdout, 1 for stderr
        self.chunks = ([], [])
        self.sizes = [0, 0]
        self.started = 0.0
        self.patience = None  # a moment, and what happens then
        self.then = None
        self.late = False
        self.exit_code = None


class Crew:
    """Brief scripts that one child runs in turn: its start and its cold pages cost more than they.

    Before each script the child takes a byte, its permit, out of a pipe.  When it is held up we
    take those that are left: who has a permit runs the script, so nobody runs one twice.
    """

    def __init__(self, tools):
        self.tools = tools  # those it has not reported, in turn
        self.pid = 0
        self.reports = -1  # where it says, a byte each, the exit codes
        self.permits = -1
        self.patience = 0.0


class Talk:
    """Everything under way."""

    def __init__(self, sources):
        self.sources = sources
        self.poll = select.poll()
        self.running = []
        self.by_pipe = {}
        self.crew = None
        self.waiting = {}  # group -> tools that wait for their turn
        self.outbox = []
        self.answered = 0
        self.end = 0.0  # our deadline
        self.lease_s = 0.0
        self.lost = ""
        self.spared = set()  # forms of the device files that some question spares
        self.held = None  # those of them that jobs hold, once somebody has asked
        self.stray = False  # something was killed: look for what got away from its process group


# ----------------------------------------------------------------------------- in the child


class Memory:
    """Finds the modules that came with the request, each compressed, from its place to its end."""

    def __init__(self, packed, places):
        self.packed = packed
        self.places = places

    def find_spec(self, name, path=None, target=None):
        del path, target
        return type(sys.__spec__)(name, self) if name in self.places else None

    def create_module(self, spec):
        del spec

    def get_source(self, name):
        return zlib.decompress(self.packed[self.places[name] :]).decode()

    def exec_module(self, module):
        name = module.__name__
        exec(compile(self.get_source(name), name + ".py", "exec"), module.__dict__)


class Site:
    """Finds what is installed on the node: the interpreter was started without, to save time."""

    def find_spec(self, name, path=None, target=None):
        sys.meta_path.remove(self)
        import site

        site.main()
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                return spec
        return None


def open_streams():
    """With UTF-8 whatever the locale: Python 3.6 takes LC_ALL=C for ASCII and raises."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        file = io.FileIO(number, "w" if number else "r", closefd=False)
        stream = io.TextIOWrapper(
            io.BufferedWriter(file) if number else io.BufferedReader(file),
            "utf-8",
            "backslashreplace" if number else "replace",
            line_buffering=name == "stderr",
        )
        setattr(sys, name, stream)


def run_script(tool, sources):
    """The script's exit code, as the interpreter would have it."""
    name = tool.script + ".py"
    text = sources["scripts"][tool.script]
    sys.argv = [name, *tool.argv]
    wanted = {module: sources["modules"][module] for module in tool.modules}
    sys.meta_path.insert(0, Memory(sources["packed"], wanted))
    sys.meta_path.append(Site())
    main = type(sys)("__main__")
    main.__file__ = name
    places, packed = sources["files"], sources["packed"]
    main.FILES = {path: zlib.decompress(packed[places[path] :]).decode() for path in tool.files}
    places = sources["programs"]
    main.PROGRAMS = {path: zlib.decompress(packed[places[path] :]) for path in tool.programs}
    sys.modules["__main__"] = main
    try:
        exec(sources["code"].get(tool.script) or compile(text, name, "exec"), main.__dict__)
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        sys.stderr.write(str(error.code) + "\n")
        return 1
    except BaseException:
        import linecache
        import traceback

        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        traceback.print_exc()
        return 1
    return 0


def leave_home():
    """What a forked child does first."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (*ENDINGS, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)


def be_script(tool, sources):
    open_streams()
    code = run_script(tool, sources)
    for stream in (sys.stdout, sys.stderr):
        if not stream.closed:
            stream.flush()
    return code


def be_crew(crew, ends, report, sources):
    """The life of a crew's child.  Does not return."""
    code = 1
    try:
        leave_home()
        sink = os.open("/dev/null", os.O_WRONLY)
        low = 3
        for kept in sorted((sink, report, crew.permits, *(end for pair in ends for end in pair))):
            os.closerange(low, kept)
            low = kept + 1
        os.closerange(low, 1024)
        finders = list(sys.meta_path)
        for tool, pair in zip(crew.tools, ends):
            if not os.read(crew.permits, 1):
                break
            for number, end in enumerate(pair):
                os.dup2(end, number + 1)
                os.close(end)
            said = be_script(tool, sources)
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            # What it left unsaid is lost here, and not said in the next one's name.
            sys.stdout = sys.stderr = sys.modules["__main__"] = None
            sys.meta_path[:] = finders
            os.write(report, bytes((said,)))
        code = 0
    except BaseException as error:
        os.write(2, raw("broke: {!r}\n".format(error)))
    finally:
        os._exit(code)


def be_tool(tool, path, out, err, sources):
    """The forked child's life.  Does not return."""
    code = 126
    try:
        leave_home()
        os.dup2(out, 1)
        os.dup2(err, 2)
        if tool.script:
            os.closerange(3, 1024)
            code = be_script(tool, sources)
        else:
            os.execve(path, [raw(word) for word in tool.argv], os.environ)  # noqa: S606 - no shell is the point
    except BaseException as error:
        os.write(2, raw("cannot be run: {}: {}\n".format(tool.script or tool.argv[0], error)))
        code = code or 1
    os._exit(code)


# ----------------------------------------------------------------------------- starting


def raw(text):
    """As bytes: Python 3.6 takes the C locale for ASCII, and some argument will not be."""
    return text.encode("utf-8", "surrogateescape")


def which(name):
    """(path, None), or (None, the exit code a shell would give)."""
    places = [p + b"/" for p in raw(os.environ["PATH"]).split(b":") if p]
    code = 127
    for place in [b""] if b"/" in name else places:
        path = place + name
        if os.path.isfile(path):
            if os.access(path, os.X_OK):
                return path, None
            code = 126
    return None, code


def start(talk, tool):
    tool.started = time.monotonic()
    path = None
    if tool.spare and disturbs(talk, tool):
        refuse(talk, tool, SPARED, "left alone: a job holds an accelerator")
        return
    if not tool.script:
        path, code = which(raw(tool.argv[0]))
        if path is None:
            said = "not found: " if code == 127 else "not executable: "
            refuse(talk, tool, code, said + tool.argv[0])
            return
    ends = ()
    try:
        ends += os.pipe()
        ends += os.pipe()
        tool.pid = os.fork()
    except OSError as error:
        for end in ends:
            os.close(end)
        refuse(talk, tool, 126, "cannot be started: {}".format(error))
        return
    out, out_end, err, err_end = ends
    if tool.pid == 0:
        be_tool(tool, path, out_end, err_end, talk.sources)
    os.close(out_end)
    os.close(err_end)
    tool.patience, tool.then = tool.started + tool.timeout_s, stop
    talk.running.append(tool)
    watch(talk, tool, (out, err))


def disturbs(talk, tool):
    """Whether a job could feel the question: it holds such a device, or would see one start."""
    there = found(tool.spare)
    if not there:
        return False
    if tool.asleep:
        pattern, mark = tool.asleep
        if not any(mark in text_of(path) for path in found([pattern])):
            return False
    if talk.held is None:
        talk.held = held_by_jobs(found(talk.spared))
    return bool(there & talk.held)


def found(patterns):
    import glob

    return {path for pattern in patterns for path in glob.glob(pattern)}


def text_of(path):
    try:
        with open(path, "rb") as file:
            return file.read(65536).decode("utf-8", "replace")
    except OSError:
        return ""


def held_by_jobs(devices):
    """Those that somebody's processes hold open: not ours, nor a daemon's of the vendor."""
    held = set()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        place = "/proc/" + name
        files = set()
        try:
            for number in os.listdir(place + "/fd"):
                files.add(os.readlink(place + "/fd/" + number))
        except OSError:
            pass  # it has ended, or it is none of our business
        files &= devices
        if files <= held or text_of(place + "/comm").strip() in NO_JOBS:
            continue
        if "CLUSTERCTL_TALK=" not in text_of(place + "/environ"):
            held |= files
    return held


def start_each(talk, tools):
    for tool in tools:
        start(talk, tool)


def watch(talk, tool, pipes):
    for number, pipe in enumerate(pipes):
        os.set_blocking(pipe, False)
        tool.pipes[pipe] = number
        talk.by_pipe[pipe] = tool
        talk.poll.register(pipe, select.POLLIN)


def start_crew(talk, tools):
    """One child for all of these; where there is no room for it, one each."""
    crew, pipes = Crew(tools), []
    try:
        while len(pipes) < 2 * len(tools) + 2:
            pipes.append(os.pipe())
        (crew.reports, report), (crew.permits, permit) = pipes[:2]
        os.write(permit, b"." * len(tools))
        crew.pid = os.fork()
    except OSError:
        for pipe in pipes:
            os.close(pipe[0])
            os.close(pipe[1])
        start_each(talk, tools)
        return
    ends = list(zip(pipes[2::2], pipes[3::2]))
    if crew.pid == 0:
        be_crew(crew, [(out[1], err[1]) for out, err in ends], report, talk.sources)
    for _, end in pipes:
        os.close(end)
    os.set_blocking(crew.reports, False)
    talk.poll.register(crew.reports, select.POLLIN)
    talk.crew = crew
    for tool, (out, err) in zip(tools, ends):
        tool.pid = crew.pid
        watch(talk, tool, (out[0], err[0]))
    take_turn(talk, crew)


def take_turn(talk, crew):
    """The first of the crew has begun, or is about to."""
    tool = crew.tools[0]
    tool.started = time.monotonic()
    tool.patience, tool.then = tool.started + tool.timeout_s, stop
    crew.patience = tool.started + HELD_UP_S
    talk.running.append(tool)


def get_ready(sources):
    """Does once what forked children would each do: a cold page costs a node more than a line.

    What several scripts begin to import is imported, and every script is compiled.  What fails
    here fails again in the child, which says so.
    """
    lines = [line for text in sources["scripts"].values() for line in text.split("\n")]
    names = [line[7:] for line in lines if line.startswith("import ")]
    for name in {name for name in names if names.count(name) > 1}:
        try:
            __import__(name)
        except Exception:
            pass
    sources["code"] = {}
    for name, text in sources["scripts"].items():
        try:
            sources["code"][name] = compile(text, name + ".py", "exec")
        except Exception:
            pass


def hear_crew(talk, crew):
    """Its reports: the exit code of each script that has ended.  Their output came before."""
    try:
        codes = os.read(crew.reports, 4096)
    except OSError:
        return
    for code in codes:
        tool = crew.tools.pop(0)
        tool.exit_code, tool.pid = code, 0  # the process is another's now
        if crew.tools:
            take_turn(talk, crew)
    if not codes:
        talk.poll.unregister(crew.reports)
        os.close(crew.reports)
        crew.reports = -1


def release(talk, crew):
    """What the child has not begun gets a child each."""
    left = len(os.read(crew.permits, 4096))
    free = crew.tools[len(crew.tools) - left :]
    del crew.tools[len(crew.tools) - left :]
    for tool in free:
        for pipe in list(tool.pipes):
            drop(talk, tool, pipe)
        if tool in talk.running:
            talk.running.remove(tool)
        if not talk.lost:
            start(talk, tool)


def held_up(crew, now):
    """Whether the child waits for something, or has been at one script for long."""
    if now > crew.tools[0].started + AT_MOST_S:
        return True
    try:
        with open("/proc/{}/stat".format(crew.pid), "rb") as file:
            return file.read().rpartition(b") ")[2][:1] != b"R"
    except OSError:
        return True


def reap_crew(talk, crew):
    """If its child has ended: what it was at ended with it."""
    ended = os.waitid(os.P_PID, crew.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is None:
        return
    if crew.reports >= 0:
        hear_crew(talk, crew)
    release(talk, crew)
    for tool in crew.tools:  # one at most
        tool.exit_code = code_of(ended)
    disband(talk)


def disband(talk):
    """The child has ended, or nobody waits for it any more."""
    crew, talk.crew = talk.crew, None
    if crew.reports >= 0:
        talk.poll.unregister(crew.reports)
        os.close(crew.reports)
    os.close(crew.permits)
    signal_group(crew, signal.SIGKILL)
    if not crew.tools:  # else `finish` does it
        os.waitpid(crew.pid, os.WNOHANG)


def refuse(talk, tool, code, why):
    tool.exit_code = code
    tool.chunks[1].append(raw(why + "\n"))
    answer(talk, tool)


def start_next(talk, group):
    waiting = talk.waiting.get(group)
    if waiting and not talk.lost:
        start(talk, waiting.pop(0))


# ----------------------------------------------------------------------------- ending


def signal_group(tool, number):
    if not tool.pid:  # a crew's, and has ended
        return
    for kill in (os.killpg, os.kill):  # the first fails where the child has not come to setsid yet
        try:
            kill(tool.pid, number)
            return
        except OSError:
            pass


def alone(talk, tool):
    """What happens to this one's process must not happen to the rest of its crew."""
    if talk.crew and tool in talk.crew.tools:
        release(talk, talk.crew)


def stop(talk, tool):
    alone(talk, tool)
    talk.stray = tool.late = True
    signal_group(tool, signal.SIGTERM)
    tool.patience, tool.then = time.monotonic() + TERM_S, kill


def kill(talk, tool):
    alone(talk, tool)
    talk.stray = True
    signal_group(tool, signal.SIGKILL)
    tool.patience, tool.then = time.monotonic() + KILL_S, finish


def reap(talk):
    """Notices who has ended.  They stay zombies until `finish`: their group id stays theirs."""
    if talk.crew:
        reap_crew(talk, talk.crew)
    for tool in list(talk.running):
        if tool.exit_code is None:
            ended = os.waitid(os.P_PID, tool.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                continue
            tool.exit_code = code_of(ended)
        if not tool.pipes:
            finish(talk, tool)
        elif tool.then is not finish_lingering:
            tool.patience, tool.then = time.monotonic() + LINGER_S, finish_lingering


def code_of(ended):
    # CLD_EXITED is 1; else it was a signal
    return ended.si_status if ended.si_code == 1 else -ended.si_status


def finish_lingering(talk, tool):
    """Its children still hold the pipes: they end with it, and what they wrote until now counts."""
    talk.stray = True
    for pipe in list(tool.pipes):
        while pipe in tool.pipes and read(talk, tool, pipe):
            pass
    finish(talk, tool)


def finish(talk, tool):
    talk.running.remove(tool)
    for pipe in list(tool.pipes):
        drop(talk, tool, pipe)
    if talk.crew and tool in talk.crew.tools:  # it does not die: nobody waits for that child
        disband(talk)
    signal_group(tool, signal.SIGKILL)
    try:
        if tool.pid:
            os.waitpid(tool.pid, os.WNOHANG)
    except OSError:
        pass
    answer(talk, tool)


def drop(talk, tool, pipe):
    talk.poll.unregister(pipe)
    os.close(pipe)
    del tool.pipes[pipe], talk.by_pipe[pipe]


def read(talk, tool, pipe):
    """Whether there may be more to read now."""
    try:
        chunk = os.read(pipe, 65536)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            return False
        chunk = b""
    if not chunk:
        drop(talk, tool, pipe)
        return False
    number = tool.pipes[pipe]
    if tool.lease_s and not number:
        send(talk, "{} part {} {}\n".format(NONCE, tool.index, len(chunk)).encode() + chunk)
        return True
    room = tool.cap_bytes - tool.sizes[number]
    if room > 0:
        tool.chunks[number].append(chunk[:room])
    tool.sizes[number] += len(chunk)
    if tool.sizes[number] > tool.cap_bytes + FLOOD_BYTES and tool.then is stop:
        kill(talk, tool)
    return tool.sizes[number] <= tool.cap_bytes + FLOOD_BYTES


def packed(data):
    if len(data) > SQUEEZE_BYTES:
        small = zlib.compress(data, 1)
        if len(small) < len(data):
            return "z", small
    return "r", data


def answer(talk, tool):
    """One header line, then stdout and stderr: `NONCE answer INDEX EXIT MS TRUNCATED zLEN rLEN`."""
    code = "-" if tool.late or tool.exit_code is None else str(tool.exit_code)
    (out_how, out), (err_how, err) = (packed(b"".join(chunks)) for chunks in tool.chunks)
    header = "{} answer {} {} {} {} {}{} {}{}\n".format(
        NONCE,
        tool.index,
        code,
        int((time.monotonic() - tool.started) * 1000),
        int(max(tool.sizes) > tool.cap_bytes),
        out_how,
        len(out),
        err_how,
        len(err),
    )
    send(talk, header.encode() + out + err)
    tool.chunks = ([], [])
    talk.answered += 1
    if tool.group:
        start_next(talk, tool.group)


def kill_marked():
    """Kills whatever carries our mark: tools that left their process group took it along."""
    own = os.getpid()
    seen = set()
    for _ in range(5):  # a tool may fork while we look
        before = len(seen)
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) == own:
                continue
            try:
                with open("/proc/" + name + "/environ", "rb") as file:
                    if MARK in file.read():
                        os.kill(int(name), signal.SIGKILL)
                        seen.add(name)
            except OSError:
                pass
        if len(seen) == before:
            return


# ----------------------------------------------------------------------------- the loop


def send(talk, data):
    if talk.lost:
        return
    if not talk.outbox:
        talk.poll.modify(1, select.POLLOUT)
    talk.outbox.append(data)


def flush(talk):
    while talk.outbox:
        try:
            # Pipes hold 64 kB; slicing a long answer anew for each of them would copy it often.
            sent = os.write(1, memoryview(talk.outbox[0])[: 1 << 18])
        except OSError as error:
            if error.errno != errno.EAGAIN:
                talk.lost = "stdout is closed"
            return
        if sent == len(talk.outbox[0]):
            talk.outbox.pop(0)
        else:
            talk.outbox[0] = memoryview(talk.outbox[0])[sent:]
    talk.poll.modify(1, 0)


def hear(talk):
    """The lifeline: what it says does not matter, that it ends does, and with a lease, when."""
    try:
        alive = os.read(0, 4096)
    except OSError as error:
        alive = error.errno == errno.EAGAIN
    if not alive:
        talk.lost = "stdin has ended"
    elif talk.lease_s:
        talk.end = time.monotonic() + talk.lease_s


def listen(talk, wake, timeout_s):
    """Waits for the next thing to happen, and sees to it."""
    for descriptor, event in talk.poll.poll(max(0, int(timeout_s * 1000) + 1)):
        if descriptor == 0:
            hear(talk)
        elif descriptor == 1:
            if event & (select.POLLERR | select.POLLHUP):
                talk.lost = "stdout is closed"
            else:
                flush(talk)
        elif descriptor == wake:
            os.read(wake, 4096)
        elif talk.crew and descriptor == talk.crew.reports:
            hear_crew(talk, talk.crew)
        elif descriptor in talk.by_pipe:
            read(talk, talk.by_pipe[descriptor], descriptor)
    reap(talk)


def impatient(talk, now):
    crew = talk.crew
    if crew and len(crew.tools) > 1 and crew.patience <= now:
        crew.patience = now + HELD_UP_S
        if held_up(crew, now):
            release(talk, crew)
    for tool in list(talk.running):
        if tool.patience <= now:
            tool.then(talk, tool)


def look_for_signals(talk):
    """The descriptor that becomes readable when a child has ended or somebody wants us gone."""

    def leave(number, frame):
        del frame
        talk.lost = "signal {}".format(number)

    wake, end = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(end, False)
    signal.set_wakeup_fd(end)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # SIG_DFL would not write to `wake`
    for number in ENDINGS:
        signal.signal(number, leave)
    return wake


def abandon(talk, wake):
    """Nobody listens: end everything, gently where that works at once."""
    for tool in list(talk.running):
        stop(talk, tool)
    for descriptor in (0, 1):
        try:
            talk.poll.unregister(descriptor)
        except (KeyError, OSError):
            pass
    while talk.running:
        now = time.monotonic()
        impatient(talk, now)
        if talk.running:
            listen(talk, wake, min(tool.patience for tool in talk.running) - now)
    kill_marked()


def converse(questions, sources):
    """Answers every question, then says how many there were.  Does not return."""
    node_s = float(sys.argv[4])
    talk = Talk(sources)
    talk.end = time.monotonic() + node_s
    talk.lease_s = min([question[11] for question in questions if question[11]], default=0.0)
    try:
        os.nice(int(sys.argv[5]))
    except OSError:
        pass
    known = os.environ.get("PATH", "").split(":")
    known += [place for place in EXTRA_PATH.split(":") if place not in known]
    os.environ.update(PATH=":".join(known), LC_ALL="C", LANG="C", COLUMNS="200", TERM="dumb")
    os.environ["CLUSTERCTL_TALK"] = NONCE
    os.set_blocking(1, False)
    get_ready(sources)
    wake = look_for_signals(talk)
    talk.poll.register(0, select.POLLIN)
    talk.poll.register(1, 0)
    talk.poll.register(wake, select.POLLIN)
    brief = []
    tools = [Tool(index, question) for index, question in enumerate(questions)]
    talk.spared = {pattern for tool in tools for pattern in tool.spare}
    for tool in tools:
        if tool.brief and tool.script and not tool.group and not tool.spare:
            brief.append(tool)
        elif tool.group in talk.waiting:
            talk.waiting[tool.group].append(tool)
        else:
            if tool.group:
                talk.waiting[tool.group] = []
            start(talk, tool)
    if len(brief) > 1:
        start_crew(talk, brief)
    else:
        start_each(talk, brief)
    ended = False
    while not talk.lost and (talk.outbox or not ended):
        if talk.answered == len(questions) and not ended:
            if talk.stray:
                kill_marked()
            send(talk, "{} end {}\n".format(NONCE, talk.answered).encode())
            ended = True
        now = time.monotonic()
        impatient(talk, now)
        if now > talk.end:
            talk.lost = "late"
        patience = [talk.end] + [tool.patience for tool in talk.running]
        if talk.crew and len(talk.crew.tools) > 1:
            patience.append(talk.crew.patience)
        listen(talk, wake, min(patience) - now)
    if talk.lost:
        abandon(talk, wake)
    os._exit({"": 0, "late": 124}.get(talk.lost, 125))


def guard(questions, sources, packed):
    """So that our own bug has an exit code of its own."""
    try:
        sources["packed"] = packed
        converse(questions, sources)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(70)
