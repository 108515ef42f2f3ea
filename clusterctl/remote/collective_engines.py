"""What carries out a collective operation: the built-in ring, PyTorch, or a maker's own tests.

It travels beside collective.py.
"""

import glob
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

import ring_tcp
from json_lines import Line
from near_nic import interface_of, rdma_of, read
from other_python import BEGIN, python_with, source
from pair_tcp import serve

TOOLS = ("nccl-tests", "hccl_test")
# all_reduce is all_reduce_perf of NVIDIA's and AMD's tests, all_reduce_test of Huawei's.
STEMS = {"all_to_all": "alltoall", "send_recv": "sendrecv"}
FOLDERS = {
    "nccl-tests": (
        "/opt/nccl-tests/build",
        "/opt/nccl_tests/build",
        "/usr/local/nccl-tests/build",
        "/opt/rccl-tests/build",
        "/opt/rocm/bin",
    ),
    "hccl_test": (
        "/usr/local/Ascend/ascend-toolkit/latest/tools/hccl_test/bin",
        "/usr/local/Ascend/latest/tools/hccl_test/bin",
    ),
}
DEVICES = ("/dev/nvidia[0-9]*", "/dev/davinci[0-9]*")
KFD = "/sys/class/kfd/kfd/topology/nodes/*/gpu_id"
# What NCCL says of itself beside the table, and what tells why there is none.
TELLING = re.compile(
    r"NVLS|SHARP|CollNet|Connected all|version|WARN|[Ff]ail|[Ee]rror|retcode|timeout", re.ASCII
)
VERSION = "import importlib.metadata as m; print(m.version('torch'))"  # of any Python with torch
VERSION_S = 20.0  # a cold interpreter on a network file system
OFFLOADS = (
    ("NVLS", re.compile("Connected NVLS")),
    ("SHARP", re.compile("SHARP|CollNet.*connected")),
    ("none", re.compile("Connected all")),
)
TORCH = ("trial", "torch_devices", "torch_ranks")
# Seen from a rank that only felt that another one went.
FELT = re.compile(
    r"[Cc]onnection (?:closed|reset)|peer|Broken pipe|[Tt]imed? ?out|Socket Timeout|remote process"
)


# ----------------------------------------------------------------------------- what is here


def open_ports(order):
    """A listening socket for each of our ranks of the built-in ring."""
    if order["engine"] not in ("auto", "built-in"):
        return []
    first = order["ports"][0]
    found = []
    for number, _ in enumerate(order["places"][order["me"]]):
        bind = order["binds"][order["me"]] and order["places"][order["me"]][number]
        ports = [20000 + (first + 1 + 97 * number + k) % 10000 for k in range(64)]
        found.append(serve(ports, bind))
    return found


def offer(order, servers):
    """What this node has: data for node 0."""
    told = {"ports": [one.getsockname()[1] for one in servers], "why": ""}
    wanted = order["engine"]
    if wanted == "pytorch" or (wanted == "auto" and devices()):
        told["torch"] = torch_here(order)
        if told["torch"] is None:
            kind = "accelerator" if order["device"] == "auto" else order["device"]
            told["why"] = "no PyTorch with this device: %s" % kind
    return told


def devices():
    """Accelerators that this node's kernel shows, whoever made them."""
    amd = [path for path in glob.glob(KFD) if read(path) not in ("", "0")]  # 0 is a processor
    return sum(len(glob.glob(one)) for one in DEVICES) + len(amd)


def torch_here(order):
    """{"python", "count", "backend", "name", "version"}; None: no PyTorch with such a device."""
    python = python_with("torch", order["python"])
    if python is None:
        return None
    if order["device"] == "cpu":  # importing torch takes seconds, and there is nothing to count
        version = said([python, "-c", VERSION]).partition("+")[0]
        name = "PyTorch %s cpu, gloo" % version
        told = {"count": 1, "backend": "gloo", "name": name, "version": "", "python": python}
        return told if version else None
    run = torch_process(python, {"look": order["device"]})
    try:
        text = run.communicate(timeout=order["start_s"])[0].decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        run.kill()
        run.communicate()
        return None
    lines = [line for line in text.split("\n") if line.startswith("@")]
    return dict(json.loads(lines[-1][1:]), python=python) if lines else None


def said(words):
    try:
        return (
            subprocess.check_output(words, stderr=subprocess.DEVNULL, timeout=20).decode().strip()
        )
    except (OSError, subprocess.SubprocessError):
        return ""


def torch_process(python, order, env=None):
    lines = ["load(%a, %a)\n" % (name, source(name)) for name in TORCH]
    last = "sys.modules['torch_ranks'].main(sys.stdin.read())\n"
    run = subprocess.Popen(
        [python, "-c", BEGIN + "".join(lines) + last],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=env,
    )
    try:
        run.stdin.write(json.dumps(order).encode())  # a secret or an address shows in no list of
        run.stdin.close()  # processes
    except OSError:
        pass  # it died at once, and its exit says so
    run.stdin = None
    return run


# ----------------------------------------------------------------------------- the plan


def plan_of(order, offers):
    """Who is which rank, and by what; or what is in the way."""
    broken = [one["broken"] for one in offers if "broken" in one]
    if broken:
        return {"trouble": "; ".join(broken)}
    with_torch = [one.get("torch") for one in offers]
    lacking = [order["names"][at] for at, one in enumerate(with_torch) if not one]
    if order["engine"] == "pytorch" and lacking:
        why = next(one["why"] for one in offers if one["why"])
        return {"missing": True, "trouble": "%s: %s" % (", ".join(lacking), why)}
    torch = order["engine"] == "pytorch" or (order["engine"] == "auto" and not lacking)
    if torch and len({one["backend"] for one in with_torch}) > 1:
        kinds = ", ".join(sorted({one["backend"] for one in with_torch}))
        return {"trouble": "PyTorch has different devices on these nodes: %s" % kinds}
    each = [
        order["ranks"] or max(one["count"], len(order["places"][at])) if torch else len(places)
        for at, (one, places) in enumerate(zip(with_torch, order["places"]))
    ]
    node_of = [node for node, count in enumerate(each) for _ in range(count)]
    plan = {
        "engine": "pytorch" if torch else "built-in",
        "ranks": len(node_of),
        "node_of": node_of,
        "places": [order["places"][node][at % len(order["places"][node])]
                   for node, count in enumerate(each) for at in range(count)],
        "binds": [order["places"][node][at] if order["binds"][node] and not torch else ""
                  for node, count in enumerate(each) for at in range(count)],
        "ports": [] if torch else [[port] for one in offers for port in one["ports"]],
        "name": with_torch[0]["name"] if torch else "built-in TCP ring",
        "version": with_torch[0]["version"] if torch else "",
    }  # fmt: skip
    if torch:
        plan["python"] = [one["python"] for one in with_torch]
        plan["master"] = (order["places"][0][0], free_port(order["places"][0][0]))
    if plan["ranks"] < 2:
        return {"trouble": "a collective operation needs two ranks, and there is one"}
    return plan


def free_port(address):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as one:
        one.bind(("", 0))
        return one.getsockname()[1]


# ----------------------------------------------------------------------------- ranks


class Rank:
    """One process and the pipe on which it tells."""

    def __init__(self, rank, pid, pipe, line, run=None):
        self.rank, self.pid, self.pipe, self.line, self.run = rank, pid, pipe, line, run
        self.tail, self.said, self.sure = [], "", False
        self.status = None
        self.offload = set()

    def heard_beside(self, text):
        """A line that is not for us; NCCL tells there by what it sums."""
        self.tail = [*self.tail[-4:], text]
        if "NCCL INFO" in text:
            self.offload |= {word for word, told in OFFLOADS if told.search(text)}

    def end(self):
        """(why it was no good end or nothing, whether that is the cause and no echo)."""
        self.wait()
        code = self.status
        if code == 0 and not self.said:
            return "", True
        if code < 0 and not self.said:
            return "killed by signal %d" % -code, True
        why = self.said or " ".join(" ".join(self.tail).split())[-300:] or "exit %d" % code
        return why, self.sure if self.said else not FELT.search(why)

    def wait(self):
        if self.status is None:
            if self.run:
                self.status = self.run.wait()
            else:
                ended = os.waitpid(self.pid, 0)[1]
                self.status = -os.WTERMSIG(ended) if os.WIFSIGNALED(ended) else ended >> 8

    def kill(self):
        if self.status is None:
            try:
                os.kill(self.pid, 9)
            except OSError:
                pass
            self.wait()


def start(order, plan, servers, lines):
    """Our ranks, under way."""
    mine = [rank for rank, node in enumerate(plan["node_of"]) if node == order["me"]]
    if plan["engine"] == "built-in":
        return [
            ring_rank(order, plan, rank, server, servers, lines)
            for rank, server in zip(mine, servers)
        ]
    return [torch_rank(order, plan, rank, local) for local, rank in enumerate(mine)]


def ring_rank(order, plan, rank, server, servers, lines):
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child:
        os.close(writer)
        return Rank(rank, child, reader, Line(reader))
    code = 1
    try:
        os.close(reader)
        for line in lines.values():
            line.file.close()  # when the process that holds it is gone, the others must see it
        for other in servers:
            if other is not server:
                other.close()

        def told(message):
            os.write(writer, ("@%s\n" % json.dumps(message)).encode())

        try:
            ring_tcp.be(rank, order, plan, server, told)
            code = 0
        except Exception as error:
            sure = not isinstance(error, OSError)
            told({"failed": "%s: %s" % (type(error).__name__, error), "sure": sure})
    finally:
        os._exit(code)


def torch_rank(order, plan, rank, local):
    address = plan["places"][rank]
    env = dict(os.environ, NCCL_DEBUG="INFO", NCCL_DEBUG_SUBSYS="INIT")
    name = interface_of(address)
    if name:
        for word in ("GLOO", "NCCL", "HCCL", "TP"):
            env[word + "_SOCKET_IFNAME"] = name
    if order["ring"] == "forced":
        env["NCCL_ALGO"] = "Ring"
    port = rdma_of("", address)
    if order["rail"] >= 0 and port:
        env["NCCL_IB_HCA"] = "=%s:%s" % port
    words = ("operation", "sizes", "seconds", "rounds", "seed", "device", "start_s")
    told = dict({word: order[word] for word in words}, rank=rank, ranks=plan["ranks"])
    told.update(local=max(order["rail"], local), master=plan["master"])
    run = torch_process(plan["python"][order["me"]], told, env)
    return Rank(rank, run.pid, run.stdout, Line(run.stdout), run)


# ----------------------------------------------------------------------------- makers' tests


def tool_of(order, engine):
    """The path of the program for this operation; None: not installed."""
    stem = STEMS.get(order["operation"], order["operation"])
    program = stem + ("_test" if engine == "hccl_test" else "_perf")
    if order["tool"]:
        path = order["tool"]
        path = os.path.join(path, program) if os.path.isdir(path) else path
        return path if os.access(path, os.X_OK) else None
    places = [shutil.which(program), *("%s/%s" % (one, program) for one in FOLDERS[engine])]
    return next((one for one in places if one and os.access(one, os.X_OK)), None)


def tool_for(order):
    """(engine, path) of the tests to run, where they are asked for or the best there is."""
    for engine in TOOLS if order["engine"] == "auto" else (order["engine"],):
        path = tool_of(order, engine) if engine in TOOLS else None
        if path:
            return engine, path
    return None


def command_of(order, engine, path, each):
    """The words that start it, through a launcher where one is asked for."""
    many = order["launcher"] != "ssh"
    sizes = sorted(order["sizes"])
    words = [path, "-b", str(sizes[0]), "-e", str(sizes[-1]), "-f", "2", "-n", str(order["rounds"])]
    words += ["-w", "5", "-c", "1"]
    words += ["-p", str(each)] if engine == "hccl_test" else ["-g", "1" if many else str(each)]
    names, count = order["hosts"], len(order["hosts"]) * each
    if order["launcher"] == "mpirun":
        root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
        hosts = ",".join("%s:%d" % (name, each) for name in names)
        passed = ["-x", "NCCL_ALGO=Ring"] if order["ring"] == "forced" else []
        passed += ["-x", "NCCL_DEBUG=INFO", "-x", "NCCL_DEBUG_SUBSYS=INIT"]
        return ["mpirun", *root, "-np", str(count), "-host", hosts, *passed, *words]
    if order["launcher"] == "srun":
        known = ",".join(order["names"])  # Slurm knows nodes by name
        nodes = ["-N", str(len(names)), "-w", known, "--ntasks-per-node", str(each)]
        return ["srun", *nodes, *words]
    return words


def run_tool(order, say):
    """A row that says what ran, then each of its lines that says something."""
    if order["me"]:
        return
    found = tool_for(order)
    if found is None:
        say("trouble", "missing", "%s: no program for %s" % (order["engine"], order["operation"]))
        return
    engine, path = found
    each = order["ranks"] or devices() or 1
    if len(order["names"]) > 1 and order["launcher"] == "ssh":
        why = "%s on several nodes needs MPI: set launcher to mpirun or srun" % engine
        say("trouble", "exit", why)
        return
    env = dict(os.environ, NCCL_DEBUG="INFO", NCCL_DEBUG_SUBSYS="INIT")
    if order["ring"] == "forced":
        env["NCCL_ALGO"] = "Ring"
    words = command_of(order, engine, path, each)
    began = time.monotonic()
    try:
        run = subprocess.run(
            words,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=order["patience_s"],
            check=False,
        )
        code, text = run.returncode, run.stdout
    except subprocess.TimeoutExpired as late:
        code, text = "none", late.stdout or b""
    except OSError as error:
        say("trouble", "missing", "%s: %s" % (words[0], error))
        return
    count = each * len(order["names"])
    told = order["part"], order["operation"], " ".join(order["names"]), count, order["ring"]
    say("tool", engine, code, "%.3g" % (time.monotonic() - began), *told)
    heard = set()
    for line in text.decode("utf-8", "replace").split("\n"):
        plain = line.strip()
        if "NCCL INFO" in line:
            plain = line.partition("NCCL INFO")[2].strip()
            if not TELLING.search(plain) or plain in heard:
                continue
            heard.add(plain)
        if plain:
            say("line", line)
