"""The built-in CUDA engine: needs the driver and nothing else.  All GPUs at once, each watched.

A process for each GPU, so that one that falls off costs its own results.  Rows are named gpuN in
the order of NVML, which is that of PCI addresses.  No file is written: the driver's cache is off.
"""

import os
import time
from ctypes import CDLL

from cuda_copies import Peers, device_copy, host_copies
from cuda_driver import LIBRARY, OUT_OF_MEMORY, CudaError, Driver, Gpu
from cuda_load import gemm, memory
from cuda_workers import Worker, listen
from nvml_meter import Load, watch
from trial import tell, trouble

ENGINE = "built-in CUDA"
SAMPLE_S = (0.1, 1.0)  # at least and at most between two; a load has twenty where it can
LIST_S = 20.0  # NVML without persistence mode starts the GPUs first
SLACK_S = 45.0  # contexts of eight GPUs, compiling the kernels, the checks of the first result
PAIR_S = 1.0  # of a pair's copies beyond their time
PRECISIONS = ("bf16", "fp32", "int8")


def prepare():
    """For this process and its children; before the driver is loaded."""
    os.environ.update(
        CUDA_DEVICE_ORDER="PCI_BUS_ID",
        CUDA_CACHE_DISABLE="1",
        CUDA_MODULE_LOADING="EAGER",  # a kernel loaded late finds no memory left
    )
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)


def installed():
    """Whether a process could load the driver; asked in one of its own."""
    worker = Worker("driver", lambda say: say(bool(CDLL(LIBRARY))))
    found = any(said for _, said in listen([worker], time.monotonic() + LIST_S))
    worker.end()
    return found


def scout(say):
    """The GPUs that CUDA counts, where NVML cannot be asked."""
    try:
        say({"gpus": [{"index": i} for i in range(Driver().count())]})
    except (OSError, CudaError) as error:
        say({"missing": str(error)})


def first_word(worker):
    return next((said for _, said in listen([worker], time.monotonic() + LIST_S)), None)


def roll(seconds):
    """The GPUs, and the worker that watches them while they are loaded; None: nobody can."""
    every_s = max(SAMPLE_S[0], min(SAMPLE_S[1], seconds / 20))
    meter = Worker("meter", lambda say: watch(say, every_s))
    told = first_word(meter) or {"missing": "NVML does not answer"}
    if told.get("gpus"):
        return told["gpus"], meter
    meter.end()
    worker = Worker("scout", scout)
    told = first_word(worker) or {"missing": "the CUDA driver does not answer"}
    worker.end()
    if not told.get("gpus"):
        trouble("missing", told.get("missing") or "CUDA sees no GPU")
    return told.get("gpus") or [], None


def usable(gpus):
    for gpu in gpus:
        if gpu.get("lost"):
            trouble("exit", "no handle: %s" % gpu["lost"], part(gpu))
        elif gpu.get("mig"):
            trouble("exit", "MIG is on: turn it off to burn the whole GPU", part(gpu))
        else:
            yield gpu


def part(gpu):
    return "gpu%d" % gpu["index"]


# ----------------------------------------------------------------------------- one GPU


def be_gpu(gpu, ptx, works, say):
    """In the GPU's own process: each of `works`, (name, function -> rows), in turn.

    The function takes the GPU and what it calls when its load begins: power counts from there.
    """
    if "uuid" in gpu:  # so that another GPU which is lost does not keep the driver from starting
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu["uuid"]
    try:
        card = Gpu(Driver(), 0 if "uuid" in gpu else gpu["index"], ptx)
    except (OSError, CudaError, LookupError) as error:
        say({"trouble": "missing" if isinstance(error, OSError) else "exit", "why": plain(error)})
        return
    stay_near(card.pci)
    for name, work in works:
        say({"began": name})
        try:
            for row in work(card, lambda: say({"began": ""})):
                say({"row": row})
        except (CudaError, LookupError) as error:
            say({"trouble": "exit", "why": "%s: %s%s" % (name, plain(error), free_of(card, error))})


def plain(error):
    return " ".join(str(error).split())


def free_of(card, error):
    """Who is out of memory wants to know how much there was."""
    if getattr(error, "code", None) != OUT_OF_MEMORY:
        return ""
    try:
        free, total = card.room()
    except CudaError:
        return ""
    return ", %d of %d MiB are free: who has the rest?" % (free >> 20, total >> 20)


def stay_near(pci):
    """Pinned memory then comes from the socket of the GPU."""
    try:
        with open("/sys/bus/pci/devices/%s/local_cpulist" % pci) as file:
            spans = [one.partition("-") for one in file.read().strip().split(",")]
        near = {c for a, _, b in spans for c in range(int(a), int(b or a) + 1)}
        os.sched_setaffinity(0, near)
    except (OSError, ValueError):
        pass


# ----------------------------------------------------------------------------- all of them


class Watch:
    """What the meter says, kept by GPU for what is running there."""

    def __init__(self, gpus):
        self.loads = {gpu["index"]: Load() for gpu in gpus}

    def hear(self, said):
        if said and "sample" in said and said["sample"][0] in self.loads:
            self.loads[said["sample"][0]].add(said["sample"])

    def forget(self, index):
        self.loads[index] = Load()

    def row(self, gpu, cells):
        if "gbyte_s" in cells:
            place = cells["part"].replace("gpu", part(gpu))
            tell("copy", **dict(cells, engine=ENGINE, part=place))
            return
        measured, slowed = self.loads[gpu["index"]].cells()
        cells = dict({"part": part(gpu), "engine": ENGINE}, **cells)
        cells["detail"] = (cells["detail"] + slowed)[:900]
        tell("gpu_burn", power_limit_w=gpu.get("limit_w"), **dict(cells, **measured))


def on_all(ptx, works, seconds, slack_s):
    """`works` on every GPU side by side: the GPUs that did them all, and the meter.

    `seconds`: what the works take together; a GPU that needs more than `slack_s` beyond is stuck.
    """
    prepare()
    gpus, meter = roll(seconds)
    gpus = list(usable(gpus))
    workers = {}
    for gpu in gpus:
        worker = Worker(part(gpu), lambda say, gpu=gpu: be_gpu(gpu, ptx, works, say))
        workers[worker] = gpu
    sound = gather(workers, meter, time.monotonic() + seconds + slack_s)
    return [gpu for gpu in gpus if gpu in sound], meter


def gather(workers, meter, until):
    """The rows and troubles as they come; what is returned are the GPUs without trouble."""
    eyes = Watch(workers.values())
    running, sound = list(workers), list(workers.values())
    for one, said in listen(workers, until, aside=[meter] if meter else []):
        if one is meter:
            eyes.hear(said)
            continue
        gpu = workers[one]
        if said is None:
            status = one.end()
            running.remove(one)
            if status:
                trouble("exit", "its process ended early%s" % cause(status), part(gpu))
                sound = [other for other in sound if other is not gpu]
        elif "row" in said:
            eyes.row(gpu, said["row"])
        elif "trouble" in said:
            trouble(said["trouble"], said["why"], part(gpu))
            sound = [other for other in sound if other is not gpu]
        else:
            eyes.forget(gpu["index"])
    for one in running:
        sound.remove(workers[one])
        stuck = one.end() is None
        why = "no result in time%s" % (", and it cannot be killed" if stuck else "")
        trouble("exit", why, part(workers[one]))
    return sound


def cause(status):
    return " by signal %d" % os.WTERMSIG(status) if os.WIFSIGNALED(status) else ""


def burn(ptx, seconds, seed, precision, size, share, modes=("memory", "gemm"), slack_s=SLACK_S):
    """Rows of every GPU: its memory for a quarter of the time, its arithmetic for the rest."""
    if precision not in PRECISIONS and "gemm" in modes:
        trouble("missing", "the built-in CUDA engine knows %s only" % " ".join(PRECISIONS))
        return
    part_s = {"memory": seconds * 0.25, "gemm": seconds * 0.75} if len(modes) > 1 else {}
    doing = {
        "memory": lambda gpu, begun: [
            memory(gpu, part_s.get("memory", seconds), seed, share, begun)
        ],
        "gemm": lambda gpu, begun: [
            gemm(gpu, part_s.get("gemm", seconds), seed, size, begun, precision=precision)
        ],
    }
    _, meter = on_all(ptx, [(mode, doing[mode]) for mode in modes], seconds, slack_s)
    if meter:
        meter.end()


def copy(ptx, seconds, seed, size):
    """Half the time copies of each GPU with its host and itself, half between all pairs in turn."""
    works = [
        ("device copy", lambda gpu, _: [device_copy(gpu, seconds / 8, seed, size)]),
        ("host copies", lambda gpu, _: host_copies(gpu, seconds * 3 / 8, seed, size)),
    ]
    gpus, meter = on_all(ptx, works, seconds / 2, SLACK_S)
    if len(gpus) > 1:
        pairs = Worker("pairs", lambda say: be_pairs(gpus, ptx, seconds / 2, seed, size, say))
        limit = time.monotonic() + seconds / 2 + SLACK_S + PAIR_S * len(gpus) ** 2
        gather_pairs(pairs, limit)
    if meter:
        meter.end()


def be_pairs(gpus, ptx, seconds, seed, size, say):
    """One process that has all GPUs: copies between two need both."""
    try:
        if "uuid" in gpus[0]:
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpu["uuid"] for gpu in gpus)
        driver = Driver()
        cards = [Gpu(driver, at, ptx) for at in range(len(gpus))]
        peers = Peers(cards, size)
    except (OSError, CudaError, LookupError) as error:
        say({"trouble": "exit", "why": "copies between GPUs: %s" % plain(error)})
        return
    order = [(a, b) for a in range(len(gpus)) for b in range(len(gpus)) if a != b]
    for source, target in order:
        name = "%s>%s" % (part(gpus[source]), part(gpus[target]))
        try:
            say({"row": peers.copy(source, target, name, seconds / len(order), seed)})
        except CudaError as error:
            say({"trouble": "exit", "why": plain(error), "part": name})


def gather_pairs(pairs, until):
    ended = False
    for _, said in listen([pairs], until):
        if said is None:
            ended = True
        elif "row" in said:
            tell("copy", engine=ENGINE, **said["row"])
        else:
            trouble(said["trouble"], said["why"], *([said["part"]] if "part" in said else []))
    status = pairs.end()
    if not ended or status:
        trouble("exit", "copies between GPUs: %s" % ("ended early" if ended else "not in time"))
