"""What the built-in engine does to one GPU.  Each function returns the cells of a row."""

import hashlib
import struct
import time
from ctypes import c_uint, c_uint64

from cuda_driver import OUT_OF_MEMORY, CudaError

ROWS, COLUMNS, SHARED_BYTES = 128, 256, 98304  # as in burn.cu
BATCH_S = 0.2  # what is queued at a time: so much later than asked may it end
PLACES = 8  # elements that this computer computes itself
CHUNK, LEAST_CHUNK = 8 << 30, 32 << 20
KEPT = 128  # one part in so many is the driver's, for what it may need while we run
ALL = (1 << 64) - 1
BANDS = 64  # at most, of rows and of columns, that a digest can tell apart
NAMED = 4  # tiles named in words


def element(index, seed):
    """As in burn.cu: a whole number from -127 to 127."""
    h = (index * 0x9E3779B9 + seed) & 0xFFFFFFFF
    h ^= h >> 16
    h = h * 0x85EBCA6B & 0xFFFFFFFF
    h ^= h >> 13
    h = h * 0xC2B2AE35 & 0xFFFFFFFF
    h ^= h >> 16
    return ((h & 0xFFFF) * 255 >> 16) - 127


# ----------------------------------------------------------------------------- arithmetic


class Product:
    """A, B and C on a GPU, and what was found wrong in C."""

    def __init__(self, gpu, size, seed, precision):
        self.gpu, self.size = gpu, size
        self.kernels, element_bytes, self.bits_of = KINDS[precision]
        self.seeds = [int(hashlib.sha256(b"%d %d" % (seed, i)).hexdigest()[:8], 16) for i in (0, 1)]
        self.wide = size // COLUMNS
        self.tiles = size // ROWS * self.wide
        self.taken = []
        self.a, self.b = (self.take(element_bytes * size * size) for _ in self.seeds)
        self.c = self.take(4 * size * size)
        self.bad = self.take(8 * self.tiles)
        self.words = self.take(16 * self.tiles)
        for place, one in zip((self.a, self.b), self.seeds):
            grid = (gpu.processors * 8, 1)
            gpu.launch(
                "burn_fill" + self.kernels, grid, 256, (place, c_uint64(size * size), c_uint(one))
            )
        gpu.fill_bytes(self.bad, 0, 8 * self.tiles)
        gpu.fill_bytes(self.c, 255, 4 * size * size)  # NaN: what was not computed is wrong

    def take(self, size):
        try:
            self.taken.append(self.gpu.take(size))
        except CudaError:
            self.free()
            raise
        return self.taken[-1]

    def free(self):
        for place in self.taken:
            self.gpu.free(place)

    def multiply(self, store):
        arguments = (self.a, self.b, self.c, c_uint(self.size), c_uint(store), self.bad)
        self.gpu.launch("burn_gemm" + self.kernels, (self.tiles, 1), 256, arguments, SHARED_BYTES)

    def exact(self):
        """Every element again by the integer units."""
        arguments = (self.a, self.b, self.c, c_uint(self.size), self.bad)
        grid = (self.size // 64, self.size // 64)
        self.gpu.launch("burn_exact" + self.kernels, grid, 256, arguments)

    def digests(self):
        arguments = (self.c, c_uint(self.size), self.words)
        self.gpu.launch("burn_digest", (self.tiles, 1), 256, arguments)
        self.gpu.wait()
        return self.gpu.get(self.words, 2 * self.tiles)

    def wrong(self):
        """Tile -> elements that differed since this was last asked."""
        self.gpu.wait()
        counts = self.gpu.get(self.bad, self.tiles)
        self.gpu.fill_bytes(self.bad, 0, 8 * self.tiles)
        return {tile: count for tile, count in enumerate(counts) if count}

    def wrong_here(self):
        """Of a few elements, how many are not what this computer gets; tile -> count."""
        found = {}
        for number in range(PLACES):
            at = int(hashlib.sha256(b"%d %d" % (self.seeds[0], number)).hexdigest()[:15], 16)
            row, column = divmod(at % (self.size * self.size), self.size)
            rows = range(self.size)
            total = sum(
                element(row * self.size + k, self.seeds[0])
                * element(column * self.size + k, self.seeds[1])
                for k in rows
            )
            (bits,) = self.gpu.get(self.c, 1, "I", 4 * (row * self.size + column))
            if (0 if bits == 1 << 31 else bits) != self.bits_of(total):
                tile = row // ROWS * self.wide + column // COLUMNS
                found[tile] = found.get(tile, 0) + 1
        return found

    def place(self, tile):
        """Rows and columns of C, first and last."""
        row, column = tile // self.wide * ROWS, tile % self.wide * COLUMNS
        return "rows %d-%d, columns %d-%d" % (row, row + ROWS - 1, column, column + COLUMNS - 1)


def float_bits(total):
    return struct.unpack("<I", struct.pack("<f", float(total)))[0]


# What the kernels are called, bytes of an element, what a sum is in C.
KINDS = {
    "bf16": ("", 2, float_bits),
    "fp32": ("_fp32", 4, float_bits),
    "int8": ("_int8", 1, lambda total: total & 0xFFFFFFFF),
}


def gemm(gpu, seconds, seed, size, begun, pause=lambda _: None, precision="bf16"):
    """Products, every element of every result compared: on the tensor cores, of fp32 without them.

    `begun` is called when the load begins, `pause` where the first result is about to be checked.
    """
    until = time.monotonic() + seconds
    product = Product(gpu, size, seed, precision)
    product.multiply(1)
    gpu.wait()
    pause(product)
    digest = spelled(product.digests(), product.wide, "%s-%d-%d" % (precision, size, seed))
    product.exact()
    wrong = [product.wrong(), product.wrong_here()]
    begun()
    began = time.monotonic()
    launches, batch, spent = 0, 1, 0.0
    while not launches or time.monotonic() + spent * 1.1 < until:
        start = time.monotonic()
        for _ in range(batch):
            product.multiply(0)
        gpu.wait()
        launches += batch
        spent = time.monotonic() - start
        batch = max(1, min(1000, int(batch * BATCH_S / max(spent, 1e-6))))
        spent = max(spent, BATCH_S)
    took = time.monotonic() - began
    wrong.append(product.wrong())
    flop = 2.0 * size**3 * launches
    detail = "size %d, %d times%s" % (size, launches, told(wrong, product))
    product.free()
    return {
        "seconds": took,
        "amount": flop,
        "unit": "flop" if precision != "int8" else "operations",
        "rate": flop / took / (1e12 if precision != "int8" else 1e9),
        "rate_unit": "tflop_s" if precision != "int8" else "gop_s",
        "errors": sum(sum(one.values()) for one in wrong),
        "covered": None,
        "asked": None,
        "precision": precision,
        "digest": digest,
        "detail": detail,
    }


def told(wrong, product):
    ways = ("by the integer units", "by the host", "against the first result")
    words = ""
    for way, tiles in zip(ways, wrong):
        worst = sorted(tiles, key=lambda tile: (-tiles[tile], tile))
        for tile in worst[:NAMED]:
            words += "; %s: %d wrong in %s" % (way, tiles[tile], product.place(tile))
        if len(worst) > NAMED:
            words += " and %d more tiles" % (len(worst) - NAMED)
    return words


def spelled(words, wide, what):
    """what:digest:rows:columns; four digits for each band of tiles say where two results differ."""
    tiles = [struct.pack("<2Q", *words[i : i + 2]) for i in range(0, len(words), 2)]
    tall = len(tiles) // wide
    rows = bands([b"".join(tiles[i * wide : (i + 1) * wide]) for i in range(tall)])
    columns = bands([b"".join(tiles[i::wide]) for i in range(wide)])
    whole = hashlib.sha256(b"".join(tiles)).hexdigest()[:32]
    return "%s:%s:%s:%s" % (what, whole, rows, columns)


def bands(lines):
    each = -(-len(lines) // BANDS)
    grouped = [b"".join(lines[i : i + each]) for i in range(0, len(lines), each)]
    return "".join(hashlib.sha256(group).hexdigest()[:4] for group in grouped)


# ----------------------------------------------------------------------------- memory


class Area:
    """Some memory of a GPU; `first`: the place of its first word of 64 bits among all."""

    def __init__(self, gpu, size, first, found):
        self.gpu, self.size, self.first, self.found = gpu, size, first, found
        self.at = gpu.take(size)

    def launch(self, name, seed, flip, first, *more):
        base = self.first if first is None else first
        words = [c_uint64(word) for word in (self.size // 16, base, seed, ALL if flip else 0)]
        self.gpu.launch(name, (self.gpu.processors * 16, 1), 256, (self.at, *words, *more))

    def write(self, seed, flip):
        self.launch("burn_write", seed, flip, None)

    def compare(self, seed, flip, first=None):
        """Asynchronous; what differs is added to `found`."""
        self.launch("burn_read", seed, flip, first, self.found)


def areas(gpu, found):
    """All the memory there is to have, in as few pieces as possible."""
    taken, size = [], CHUNK
    while size >= LEAST_CHUNK:
        free, total = gpu.room()
        want = min(size, free - total // KEPT) >> 21 << 21
        try:
            if want < LEAST_CHUNK:
                return taken
            taken.append(Area(gpu, want, sum(one.size for one in taken) // 8, found))
        except CudaError as error:
            if error.code != OUT_OF_MEMORY:
                raise
            size = min(size, want) // 2
    return taken


def counters(gpu):
    place = gpu.take(24)
    gpu.put(place, (0, ALL, 0))
    return place


def memory(gpu, seconds, seed, share, begun, pause=lambda _: None):
    """Patterns and their complements over all free memory; both at least once.

    `begun` is called when the load begins, `pause` between writing and reading.
    """
    until = time.monotonic() + seconds
    found = counters(gpu)
    _, total = gpu.room()
    taken = areas(gpu, found)
    size = sum(one.size for one in taken)
    begun()
    began = time.monotonic()
    passes, spent = 0, 0.0
    while size and (passes < 2 or time.monotonic() + spent < until):
        start = time.monotonic()
        for one in taken:
            one.write(seed + passes // 2, passes % 2)
        gpu.wait()
        pause(taken)
        for one in taken:
            one.compare(seed + passes // 2, passes % 2)
        gpu.wait()
        passes += 1
        spent = time.monotonic() - start
    took = time.monotonic() - began
    wrong, first, bits = gpu.get(found, 3)
    for one in taken:
        gpu.free(one.at)
    gpu.free(found)
    if not size:
        raise LookupError("out of memory: no %d MiB are free; who has it?" % (LEAST_CHUNK >> 20))
    detail = "%d MiB of %d MiB, %d passes" % (size >> 20, total >> 20, passes)
    if wrong:
        detail += "; %d words wrong, the first at %#x, bits %#018x" % (wrong, first * 8, bits)
    return {
        "seconds": took,
        "amount": float(2 * size * passes),
        "unit": "bytes",
        "rate": 2 * size * passes / took / 1e9,
        "rate_unit": "hbm_gbyte_s",
        "errors": wrong,
        "covered": size / float(total),
        "asked": share,
        "precision": "",
        "digest": "",
        "detail": detail,
    }
