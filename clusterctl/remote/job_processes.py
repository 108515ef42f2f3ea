"""Which processes of this node are ranks of a job, and what the kernel counts of each.

Of a process's environment only the names below leave the node: the rest may hold secrets.
"""

import os
import re

# Who starts ranks says it in the environment: torchrun and DeepSpeed, Open MPI, MPICH and Intel
# MPI, MVAPICH, Slurm; the first that is there is believed, as torchrun under srun sets its own.
RANK = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "MV2_COMM_WORLD_RANK")
WORLD = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_NTASKS")
LOCAL = ("LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID")
VISIBLE = (
    "CUDA_VISIBLE_DEVICES",
    "ASCEND_RT_VISIBLE_DEVICES",
    "ASCEND_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "MUSA_VISIBLE_DEVICES",
    "MLU_VISIBLE_DEVICES",
)
OTHERS = (
    "MASTER_ADDR",
    "MASTER_PORT",
    "SLURM_JOB_ID",
    "SLURM_PROCID",
    "PMIX_NAMESPACE",
    "NCCL_DEBUG_FILE",
)
# Of a command line only these words leave the node, and only with a number: how the job divides
# itself.  megatron/training/arguments.py (Megatron-DeepSpeed, MindSpeed and NeMo's dotted names
# too); torchtitan/config/job_config.py.
PARALLEL = {
    "pipeline-model-parallel-size": "pipeline",
    "pipeline-parallel-size": "pipeline",  # DeepSpeedExamples/training/pipeline_parallelism
    "tensor-model-parallel-size": "tensor",
    "context-parallel-size": "context",
    "expert-model-parallel-size": "expert",
    "expert-tensor-parallel-size": "expert_tensor",
    "use-tp-pp-dp-mapping": "stages_inside",
    "parallelism.pipeline-parallel-degree": "pipeline",
    "parallelism.tensor-parallel-degree": "tensor",
    "parallelism.context-parallel-degree": "context",
}
WANTED = frozenset(RANK + WORLD + LOCAL + VISIBLE + OTHERS)
DEVICE = re.compile(
    r"/dev/((?:nvidia|davinci|cambricon_dev|mthreads|iluvatar)\d+|kfd|dri/render.*)"
)
SOCKET = re.compile(r"socket:\[(\d+)\]")
ENVIRONMENT_BYTES = 1 << 20
COMMAND_BYTES = 1 << 17
NUMBER = re.compile(r"\d{1,9}")


def read(path, most=1 << 16):
    """Its text; "" where it cannot be read: processes end while we look."""
    try:
        with open(path, "rb") as file:
            return file.read(most).decode("utf-8", "replace")
    except OSError:
        return ""


def everybody():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def environment(pid):
    found = {}
    for word in read("/proc/%d/environ" % pid, ENVIRONMENT_BYTES).split("\0"):
        name, _, value = word.partition("=")
        if name in WANTED:
            found[name] = value[:200]
    return found


def first(environ, names):
    for name in names:
        if NUMBER.fullmatch(environ.get(name, "")):
            return int(environ[name])
    return None


def parallel(pid):
    """{"pipeline": 4, …}: the sizes that its command line tells, as --name N, --name=N, name=N."""
    words = read("/proc/%d/cmdline" % pid, COMMAND_BYTES).split("\0")
    found = {}
    for word, following in zip(words, [*words[1:], ""]):
        name, equals, value = word.partition("=")
        name = name.lstrip("-").replace("_", "-").lower()
        kind = PARALLEL.get(name) or PARALLEL.get(name.rpartition(".")[2])
        if kind == "stages_inside":
            found[kind] = int(not equals or value.lower() in ("1", "true"))
        elif kind and NUMBER.fullmatch(value if equals else following):
            found[kind] = int(value if equals else following)
    return found


def stat_of(pid):
    """(command, fields from the state on), or None."""
    text = read("/proc/%d/stat" % pid, 4096)
    name, bracket, rest = text.partition("(")[2].rpartition(")")
    return (name, rest.split()) if bracket and len(rest.split()) > 39 else None


def belongs(pid, environ, wanted, parents):
    """Whether a process is of the job that was asked for."""
    if wanted.get("pids"):
        while pid > 1:
            if pid in wanted["pids"]:
                return True
            pid = parents.get(pid, 0)
        return False
    if wanted.get("slurm"):
        if environ.get("SLURM_JOB_ID") == wanted["slurm"]:
            return True
        slurm = re.escape(wanted["slurm"])
        return bool(re.search(r"/job_%s(?:/|$)" % slurm, groups(pid), re.MULTILINE))
    if wanted.get("pods"):
        text = groups(pid).replace("_", "-")
        return any(pod in text for pod in wanted["pods"])
    return True


def groups(pid):
    return read("/proc/%d/cgroup" % pid)


def ranks(wanted):
    """[{"pid", "rank", …, "crew": its other processes}], and what could not be looked at.

    The process of a rank is the one that holds an accelerator, or else was told its place on the
    node, or else talks to other nodes; the topmost of them: data loaders are its children and
    inherit all that, its shell and a launcher lack some.  With `pids`, processes without a rank of
    their own are taken in the order given.
    """
    stats = {pid: stat for pid, stat in ((pid, stat_of(pid)) for pid in everybody()) if stat}
    parents = {pid: int(stat[1][1]) for pid, stat in stats.items()}
    teams, hidden = {}, 0
    for pid in sorted(stats):
        environ = environment(pid)
        path = "/proc/%d/environ" % pid
        if not environ and os.path.exists(path) and not os.access(path, os.R_OK):
            hidden += 1
        if not belongs(pid, environ, wanted, parents):
            continue
        number = first(environ, RANK)
        if number is None and "SLURM_PROCID" in environ and wanted.get("slurm"):
            number = first(environ, ("SLURM_PROCID",))
            if number is not None:
                number = "task %d" % number  # of srun: only where nothing below it has a rank
        if number is None and pid in wanted.get("pids", ()):
            number = "pid %d" % pid
        if number is None:
            continue
        store = "%s:%s" % (environ.get("MASTER_ADDR", ""), environ.get("MASTER_PORT", ""))
        job = environ.get("SLURM_JOB_ID") or environ.get("PMIX_NAMESPACE") or store
        teams.setdefault((job, number), []).append((pid, environ))
    if any(isinstance(number, int) for _, number in teams):
        teams = {key: team for key, team in teams.items() if isinstance(key[1], int)}
    above = launchers(teams, parents)
    teams = {
        key: [member for member in team if member[0] not in above] for key, team in teams.items()
    }
    return [
        one(job, number, team, parents)
        for (job, number), team in sorted(teams.items(), key=str)
        if team
    ], hidden


def launchers(teams, parents):
    """Those above a process of another rank: torchrun and its shell, where they were given a RANK.

    Not one that holds an accelerator: a rank may start a job of its own.
    """
    owner = {pid: key for key, team in teams.items() for pid, _ in team if isinstance(key[1], int)}
    found = set()
    for pid, key in owner.items():
        above = parents.get(pid, 0)
        while above > 1:
            if owner.get(above, key) != key:
                found.add(above)
            above = parents.get(above, 0)
    return {pid for pid in found if not holds(pid)["devices"]}


def one(job, number, team, parents):
    pids = {pid for pid, _ in team}

    def fitness(member):
        held, depth, pid = holds(member[0]), 0, member[0]
        while parents.get(pid, 0) in pids:
            pid, depth = parents[pid], depth + 1
        named = LOCAL[0] not in member[1], first(member[1], LOCAL) is None
        return (not held["devices"], *named, not held["inodes"], depth)

    pid, environ = min(team, key=fitness)
    held = holds(pid)
    return {
        "pid": pid,
        "rank": number if isinstance(number, int) else None,
        "label": number if isinstance(number, str) else "",
        "job": job,
        "world": first(environ, WORLD),
        "local": first(environ, LOCAL),
        "parallel": parallel(pid),
        "master": "%s:%s" % (environ.get("MASTER_ADDR", ""), environ.get("MASTER_PORT", "")),
        "visible": next((environ[name] for name in VISIBLE if name in environ), None),
        "log": environ.get("NCCL_DEBUG_FILE", ""),
        "devices": sorted(held["devices"])[:64],
        "inodes": sorted(held["inodes"]),
        "crew": sorted(pids - {pid}),
        "name": (stat_of(pid) or ("?",))[0],
        "cgroup": groups(pid),
    }


def holds(pid):
    """Which accelerators and sockets a process has open."""
    folder = "/proc/%d/fd" % pid
    devices, inodes = set(), set()
    try:
        names = os.listdir(folder)
    except OSError:
        names = ()
    for name in names:
        try:
            where = os.readlink(folder + "/" + name)
        except OSError:
            continue
        if where.startswith("socket:"):
            inodes.add(int(SOCKET.match(where).group(1)))
        elif where.startswith("/dev/") and DEVICE.match(where):
            devices.add(DEVICE.match(where).group(1))
    return {"devices": devices, "inodes": inodes}


def counted(pid):
    """What only ever grows, of all threads together; None where it has ended.

    `run_ns` on a processor, `ready_ns` able to run and not let; `start` tells one process from a
    later one of the same number.
    """
    stat = stat_of(pid)
    if stat is None:
        return None
    sums = {"start": int(stat[1][19]), "run_ns": 0, "ready_ns": 0}
    try:
        threads = os.listdir("/proc/%d/task" % pid)
    except OSError:
        return None
    for thread in threads:
        words = read("/proc/%d/task/%s/schedstat" % (pid, thread), 200).split()
        if len(words) == 3:
            sums["run_ns"] += int(words[0])
            sums["ready_ns"] += int(words[1])
            if thread == str(pid):
                sums["main_run_ns"], sums["main_ready_ns"] = int(words[0]), int(words[1])
    for line in read("/proc/%d/io" % pid, 4096).splitlines():
        name, _, value = line.partition(":")
        if name in ("rchar", "wchar", "read_bytes", "write_bytes"):
            sums[name] = int(value)
    return sums
