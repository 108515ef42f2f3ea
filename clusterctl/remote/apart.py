"""Start a process of its own for sources that travelled here: none of them is written on the node.

It is a fresh interpreter, because /proc/PID/environ shows what a process was started with for as
long as it lives, and the end of a conversation kills all that carry its mark there.
"""

import io
import json
import os
import subprocess
import sys
import threading
import zlib

BOOT = (
    "import sys,zlib,json;"
    "payload=json.loads(zlib.decompress(sys.stdin.buffer.read()).decode());"
    "exec(payload['apart'])"
)
TALK = "CLUSTERCTL_TALK"  # of transport/wire.py
PR_SET_PDEATHSIG, SIGKILL = 1, 9


def source(name):
    """The text of a module that came with the request, or lies beside us."""
    for finder in sys.meta_path:
        spec = finder.find_spec(name, None)
        if spec is not None:
            return spec.loader.get_source(name)
    raise ImportError(name)


def environment(**more):
    """Ours without the conversation's mark, and `more`."""
    kept = {name: text for name, text in os.environ.items() if name != TALK}
    return dict(kept, **more)


def launch(label, *, sources, script="", argv=(), files=None, env, first=None, **pipes):
    """A Popen in a session of its own.  `label`: words that `ps` shows behind the interpreter.

    `script` names the one of `sources` that is its program, with `argv` as arguments; all of them
    can be imported, and `files` are its FILES.  Without `script`, `argv` is a command.  `first`:
    see `settle`.
    """
    payload = {
        "apart": source("apart"),
        "sources": sources,
        "script": script,
        "argv": list(argv),
        "files": files or {},
        "parent": os.getpid(),
        "first": first or {},
    }
    process = subprocess.Popen(
        [sys.executable or os.readlink("/proc/self/exe"), "-ISc", BOOT, "clusterctl", *label],
        stdin=subprocess.PIPE,
        env=env,
        start_new_session=True,
        cwd="/",
        **pipes,
    )
    data = zlib.compress(json.dumps(payload).encode(), 1)
    # A pipe holds 64 kB, and the one who reads takes 20 ms to come up.
    threading.Thread(target=feed, args=(process.stdin, data), daemon=True).start()
    return process


def feed(pipe, data):
    try:
        with pipe:
            pipe.write(data)
    except OSError:
        pass  # whoever waits for the process sees that it died


# ----------------------------------------------------------------------------- on the other side


class Memory:
    """Finds the modules that came along."""

    def __init__(self, sources):
        self.sources = sources

    def find_spec(self, name, path=None, target=None):
        del path, target
        return type(sys.__spec__)(name, self) if name in self.sources else None

    def create_module(self, spec):
        del spec

    def get_source(self, name):
        return self.sources[name]

    def exec_module(self, module):
        name = module.__name__
        exec(compile(self.sources[name], name + ".py", "exec"), module.__dict__)


class Site:
    """Finds what is installed on the node, when first asked: PyTorch, say."""

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
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = io.TextIOWrapper(
            io.BufferedWriter(io.FileIO(number, "w", closefd=False)),
            "utf-8",
            "backslashreplace",
            line_buffering=True,
        )
        setattr(sys, name, stream)


def put(path, text):
    """Best effort: a node without it does the job less tidily."""
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError:
        pass


def settle(first, parent):
    """`first`: die_with_parent, nice, oom_score_adj, cgroups (folders); each of them optional."""
    for folder in first.get("cgroups", ()):
        put(folder + "/cgroup.procs", str(os.getpid()))
    if "oom_score_adj" in first:
        put("/proc/self/oom_score_adj", str(first["oom_score_adj"]))
    if "nice" in first:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, first["nice"])
        except OSError:
            pass  # only root may become less nice than it was started
    if first.get("die_with_parent"):
        try:
            import ctypes

            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
        except Exception:
            pass  # the watcher looks for it too
        if os.getppid() != parent:
            os._exit(1)


def begin(payload):
    """The new process's life."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    settle(payload["first"], payload["parent"])
    name, argv = payload["script"], payload["argv"]
    if not name:
        words = [word.encode("utf-8", "surrogateescape") for word in argv]
        try:
            os.execvp(words[0], words)  # noqa: S606 - no shell is the point
        except OSError as error:
            os.write(2, ("cannot be run: %s: %s\n" % (argv[0], error)).encode())
            os._exit(127)
    open_streams()
    sources = dict(payload["sources"], apart=payload["apart"])
    sys.meta_path.insert(0, Memory(sources))
    sys.meta_path.append(Site())
    sys.argv = [name + ".py", *argv]
    main = type(sys)("__main__")
    main.FILES = payload["files"]
    sys.modules["__main__"] = main
    exec(compile(sources[name], name + ".py", "exec"), main.__dict__)


if "payload" in globals():
    begin(globals()["payload"])
