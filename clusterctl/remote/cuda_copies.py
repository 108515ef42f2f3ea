"""Copies between a GPU, the host and other GPUs, timed, and what arrives compared."""

import time
from ctypes import c_size_t

from cuda_driver import RANK, CudaError
from cuda_load import Area, counters

BATCH_S = 0.2
MOST = 200  # samples in a row


def timed(gpu, seconds, copy):
    """`copy` again and again: how often, how long that took, copies a second of each batch."""
    copy()  # the first one pays for what is made once
    gpu.wait()
    began = time.monotonic()
    done, batch, copying_s, paces = 0, 1, 0.0, []
    while not done or time.monotonic() < began + seconds:
        start = time.monotonic()
        for _ in range(batch):
            copy()
        gpu.wait()
        done += batch
        spent = max(time.monotonic() - start, 1e-9)
        copying_s += spent
        paces.append(batch / spent)
        batch = max(1, min(1000, int(batch * BATCH_S / max(spent, 1e-6))))
        batch = min(batch, 1 + int(seconds * done / max(time.monotonic() - began, 1e-6)) // 4)
    return done, copying_s, paces


def host_copies(gpu, seconds, seed, size):
    """To the host and back; the host's memory is pinned and near, where the caller runs near.

    The GPU that all of it is about is called `gpu` here.
    """
    found = counters(gpu)
    area = Area(gpu, size, 0, found)
    host = gpu.take_pinned(size)
    call = gpu.driver.call
    area.write(seed, 0)
    down = timed(
        gpu, seconds / 2, lambda: call("cuMemcpyDtoHAsync_v2", host, area.at, c_size_t(size), None)
    )
    area.write(seed, 1)  # so that nothing that lies there already is taken for what comes
    gpu.wait()
    up = timed(
        gpu, seconds / 2, lambda: call("cuMemcpyHtoDAsync_v2", area.at, host, c_size_t(size), None)
    )
    area.compare(seed, 0)
    gpu.wait()
    wrong = gpu.get(found, 3)
    gpu.free(area.at)
    gpu.free(found)
    gpu.free_pinned(host)
    # Compared after there and back: which of the two garbled is not known.
    return [
        copied("gpu>host", size, down, wrong, "pinned"),
        copied("host>gpu", size, up, wrong, "pinned"),
    ]


def device_copy(gpu, seconds, seed, size):
    found = counters(gpu)
    one, other = Area(gpu, size, 0, found), Area(gpu, size, size // 8, found)
    one.write(seed, 0)
    other.write(seed, 0)
    gpu.wait()
    done = timed(
        gpu,
        seconds,
        lambda: gpu.driver.call("cuMemcpyDtoDAsync_v2", other.at, one.at, c_size_t(size), None),
    )
    other.compare(seed, 0, first=0)
    gpu.wait()
    wrong = gpu.get(found, 3)
    for place in (one.at, other.at, found):
        gpu.free(place)
    return copied("gpu>gpu", size, done, wrong, "within the device")


def copied(part, size, timing, found, way):
    """The cells of a row `copy`, but for the engine."""
    done, took, paces = timing
    wrong, first, bits = found
    detail = "%d times" % done
    if wrong:
        detail += "; %d words wrong, the first at %#x, bits %#018x" % (wrong, first * 8, bits)
    return {
        "part": part,
        "gbyte_s": size * done / took / 1e9,
        "size_bytes": size,
        "seconds": took,
        "samples_gbyte_s": " ".join("%.5g" % (pace * size / 1e9) for pace in paces[:MOST]),
        "wrong": wrong,
        "way": way,
        "detail": detail,
    }


class Peers:
    """Several GPUs in one process, copying to each other."""

    def __init__(self, gpus, size):
        self.gpus, self.size = gpus, size
        self.areas = []
        for gpu in gpus:
            gpu.use()
            found = counters(gpu)
            self.areas.append([Area(gpu, size, at * size // 8, found) for at in (0, 1)])

    def copy(self, source, target, part, seconds, seed):
        """The cells of the row."""
        gpu, other = self.gpus[source], self.gpus[target]
        way = self.join(gpu, other)
        gpu.use()
        mine, theirs = self.areas[source][0], self.areas[target][1]
        mine.write(seed + source, 0)
        gpu.wait()
        other.use()
        theirs.write(seed + source, 1)
        other.wait()
        gpu.use()
        done = timed(
            gpu,
            seconds,
            lambda: gpu.driver.call(
                "cuMemcpyPeerAsync",
                *(theirs.at, other.context, mine.at, gpu.context, c_size_t(self.size), None),
            ),
        )
        other.use()
        other.put(theirs.found, (0, (1 << 64) - 1, 0))
        theirs.compare(seed + source, 0, first=mine.first)
        other.wait()
        wrong = other.get(theirs.found, 3)
        return copied(part, self.size, done, wrong, way)

    def join(self, gpu, other):
        """How two GPUs are joined: "staged" where the driver goes through the host."""
        call = gpu.driver.whole
        gpu.use()
        if not call("cuDeviceCanAccessPeer", gpu.device, other.device):
            return "staged"
        try:
            gpu.driver.call("cuCtxEnablePeerAccess", other.context, 0)
        except CudaError as error:
            if error.code != 704:  # CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED
                raise
        rank = call("cuDeviceGetP2PAttribute", RANK, gpu.device, other.device)
        return "direct, rank %d" % rank
