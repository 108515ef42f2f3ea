"""Matrix products on every accelerator that PyTorch knows here; every result is compared.

Factors are whole numbers between -127 and 127, shared by 128: every sum of a product is exact in
single precision, in whatever order it is added up.  So all healthy parts give the same bits, of any
maker, and a few rows are checked against the host's double precision.  The factors' bits are as
many as bfloat16 has, and random: as hard on power as other random numbers.

A row's digest is SHA-256 of the result, then the beginning of that of each of TILES by TILES tiles,
row by row, all separated by blanks.  Runs in an interpreter that has torch: see burn_torch.py.
"""

import hashlib
import os
import time

import nvml_meter
from torch_devices import engine_of, found, load_torch, unseen
from trial import crew, end, tell, trouble

PRECISIONS = {
    "fp64": ("float64", "int64"),
    "fp32": ("float32", "int32"),
    "tf32": ("float32", "int32"),
    "bf16": ("bfloat16", "int16"),
    "fp16": ("float16", "int16"),
}
MOST = 127  # 2^14 random products of two such add up to less than 2^24, at any point on the way
SHARE = 128.0
TILES = 4
WARM_UP = 0.1
METER_S = 1.0
NONE = -1  # of a whole number in a worker's row


# ----------------------------------------------------------------------------- one product


def settle(torch, precision):
    """Arithmetic as it was asked for, in every accumulator."""
    backends = getattr(torch.backends, "cuda", None)
    matmul = getattr(backends, "matmul", None)
    for name, value in (
        ("allow_tf32", precision == "tf32"),
        ("allow_fp16_reduced_precision_reduction", False),
        ("allow_bf16_reduced_precision_reduction", False),
    ):
        if hasattr(matmul, name):
            setattr(matmul, name, value)


def factors(torch, seed, size):
    generator = torch.Generator("cpu")
    generator.manual_seed(seed)
    return [
        torch.randint(-MOST, MOST + 1, (size, size), generator=generator, dtype=torch.int8)
        for _ in range(2)
    ]


def product(torch, device, precision, both):
    """(`again()` multiplies once more, the result it writes to, a wait until that is there)."""
    dtype = getattr(torch, PRECISIONS[precision][0])
    # bfloat16 holds every whole number up to 256, and a share of two's power costs no bit.
    left, right = [(one.to(torch.float32) / SHARE).to(dtype).to(device) for one in both]
    result = torch.empty(left.shape, dtype=dtype, device=device)
    wait = getattr(getattr(torch, device.partition(":")[0]), "synchronize", lambda: None)

    def again():
        torch.mm(left, right, out=result)

    return again, result, wait


def rows_to_check(size, seed):
    """One row within each row of tiles."""
    side = size // TILES
    return [tile * side + (seed * 7919 + tile * 104729) % side for tile in range(TILES)]


def wrong_rows(torch, result, both, seed):
    """How many numbers of some rows differ from exact arithmetic; NaN always does."""
    size = result.shape[0]
    rows = rows_to_check(size, seed)
    left, right = both
    given = result[torch.tensor(rows, device=result.device)].cpu()
    bad = 0
    for first in range(0, size, 2048):  # the whole of it would take gigabytes
        columns = slice(first, first + 2048)
        exact = left[rows].double() @ right[:, columns].double() / SHARE / SHARE
        bad += int((given[:, columns] != exact.to(result.dtype)).sum())
    return bad


def tile_of(row, column, size):
    side = size // TILES
    return min(row // side, TILES - 1) * TILES + min(column // side, TILES - 1)


def differing(result, first, word):
    """(numbers that differ, the tile of the first of them)."""
    places = (result.cpu().view(word) != first.cpu().view(word)).nonzero()
    if not len(places):
        return 1, NONE  # the device saw a difference, and in its memory there is none
    return len(places), tile_of(int(places[0][0]), int(places[0][1]), result.shape[0])


def digests(result, word):
    """Of the whole result and of each tile, as numbers."""
    held = result.cpu().view(word)
    size = held.shape[0]
    cuts = [tile * (size // TILES) for tile in range(TILES)] + [size]
    tiles = [
        held[cuts[row] : cuts[row + 1], cuts[column] : cuts[column + 1]].contiguous()
        for row in range(TILES)
        for column in range(TILES)
    ]
    whole = int(hashlib.sha256(memoryview(held.contiguous().numpy())).hexdigest(), 16)
    return [whole] + [
        int(hashlib.sha256(memoryview(tile.numpy())).hexdigest()[:8], 16) for tile in tiles
    ]


def spelt(whole, *tiles):
    return " ".join(["%064x" % whole] + ["%08x" % one for one in tiles])


# ----------------------------------------------------------------------------- one device


def burn(torch, device, seconds, seed, precision, size, threads):
    """A row of whole numbers; see `report`."""
    torch.set_num_threads(threads)
    choose = getattr(getattr(torch, device.partition(":")[0]), "set_device", None)
    if choose is not None:
        choose(torch.device(device))
    settle(torch, precision)
    word = getattr(torch, PRECISIONS[precision][1])
    both = factors(torch, seed, size)
    again, result, wait = product(torch, device, precision, both)
    result.fill_(float("nan"))
    again()
    wait()
    first = result.clone()
    off = wrong_rows(torch, first, both, seed)
    sample, limit = meter_of(torch, device)
    seen, wrong, hit = [], 0, (NONE, 0, NONE)
    done, timed, spent, looked = 1, 0, 0.0, time.monotonic()
    began = looked
    while done == 1 or time.monotonic() < began + seconds:
        result.fill_(float("nan"))  # a product that is not computed must not look like the last
        wait()
        then = time.perf_counter()
        again()
        if sample is not None and time.monotonic() > looked + METER_S:
            looked = time.monotonic()
            seen.append(sample())
            wait()
        else:
            wait()
            if time.monotonic() > began + seconds * WARM_UP or not timed:
                spent += time.perf_counter() - then
                timed += 1
        if not torch.equal(result.view(word), first.view(word)):
            if not wrong:
                hit = (done, *differing(result, first, word))
            wrong += 1
        done += 1
    lasted = time.monotonic() - began
    # Where the first was wrong, those like it are.
    wrong = done - wrong if off else wrong
    each_ns = spent / timed * 1e9
    return [
        *(int(lasted * 1e6), done, int(each_ns), wrong, off, *hit),
        *means(seen),
        NONE if limit is None else int(limit * 1000),
        *digests(first, word),
    ]


def meter_of(torch, device):
    """(`sample()`: index, watts, MHz and °C, the power limit); None where there is no NVML."""
    kind, _, index = device.partition(":")
    if kind != "cuda" or torch.version.hip:
        return None, None
    try:
        meter = nvml_meter.Meter()
        limits = {one["index"]: one.get("limit_w") for one in meter.gpus()}
    except (OSError, AttributeError):
        return None, None
    if int(index) not in meter.handles:
        return None, None
    return lambda: meter.sample(int(index)), limits[int(index)]


def means(seen):
    """Mean milliwatts and clock, the highest temperature."""
    powers, clocks, temps = ([row[at] for row in seen if row[at] is not None] for at in (1, 2, 3))
    return [
        int(sum(powers) / len(powers) * 1000) if powers else NONE,
        int(sum(clocks) / len(clocks)) if clocks else NONE,
        max(temps) if temps else NONE,
    ]


# ----------------------------------------------------------------------------- all of them


def report(part, engine, precision, size, row):
    lasted, done, each_ns, wrong, off, number, count, tile = row[:8]
    power, clock, temp, limit = (None if value == NONE else value for value in row[8:12])
    whole, *tiles = row[12:]
    flop = 2.0 * size**3
    detail = "%d products of %d by %d" % (done, size, size)
    if off:
        detail += "; %d numbers of the first differ from exact arithmetic" % off
    if count:
        where = "" if tile == NONE else ", the first in tile %d of %d" % (tile, TILES * TILES)
        detail += "; product %d: %d numbers differ from the first product%s" % (
            number,
            count,
            where,
        )
    tell(
        "gpu_burn",
        part=part,
        engine=engine,
        seconds=lasted / 1e6,
        amount=done * flop,
        unit="flop",
        rate=flop / each_ns / 1000.0,
        rate_unit="tflop_s",
        errors=wrong,
        covered=None,
        asked=None,
        detail=detail,
        precision=precision,
        power_w=power and power / 1000.0,
        power_limit_w=limit and limit / 1000.0,
        clock_sm_mhz=clock,
        temp_max_c=temp,
        digest=spelt(whole, *tiles),
    )


def main(seconds, seed, precision, size, device, start_s):
    torch = load_torch()
    if torch is not None:
        carry_out(torch, float(seconds), int(seed), precision, int(size), device, float(start_s))
    end()


def carry_out(torch, seconds, seed, precision, size, wanted, start_s):
    try:
        devices, family = found(torch, wanted)
    except Exception as error:
        trouble("exit", "PyTorch does not say what devices there are: %s" % error)
        return
    if not devices:
        trouble("missing", "PyTorch %s sees no accelerator" % torch.__version__)
        return
    engine = engine_of(torch, family)
    threads = max(1, len(os.sched_getaffinity(0)) // len(devices))
    told = crew(
        lambda task: burn(torch, task[0], seconds, seed, precision, size, threads),
        devices,
        patience_s=seconds + start_s,
    )
    for task in devices:
        if task in told:
            report(task[1], engine, precision, size, told[task])
        else:
            trouble("exit", "its process broke, or did not end in time (%s)" % engine, task[1])
    lost = unseen(family, len(devices))
    if lost:
        trouble("exit", "%d more NVIDIA devices have a driver than PyTorch sees" % lost)
