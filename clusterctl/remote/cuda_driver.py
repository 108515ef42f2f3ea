"""The CUDA driver by ctypes: what the built-in engine needs of it, its errors by name.

Never to be loaded before a fork: the driver does not survive one.
"""

import ctypes
import struct

LIBRARY = "libcuda.so.1"
OUT_OF_MEMORY = 2
BLOCKING_SYNC = 4  # CU_CTX_SCHED_BLOCKING_SYNC: waiting must not take a core
SHARED_ATTRIBUTE = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
COUNT, MAJOR, MINOR, RANK = 16, 75, 76, 1  # CU_DEVICE_ATTRIBUTE_…, CU_DEVICE_P2P_ATTRIBUTE_…
ERROR_LOG, ERROR_LOG_BYTES = 5, 6  # CU_JIT_ERROR_LOG_BUFFER, …_SIZE_BYTES


class CudaError(Exception):
    def __init__(self, call, code, name):
        super().__init__("%s: %s (%d)" % (call, name, code))
        self.code = code


class Driver:
    """Raises OSError where the driver is not installed, CudaError where it refuses."""

    def __init__(self):
        self.library = ctypes.CDLL(LIBRARY)
        self.call("cuInit", 0)

    def call(self, name, *arguments):
        code = getattr(self.library, name)(*arguments)
        if code:
            text = ctypes.c_char_p()
            self.library.cuGetErrorName(code, ctypes.byref(text))
            raise CudaError(name, code, (text.value or b"unknown error").decode())

    def whole(self, name, *arguments):
        """What a call writes through its first argument, an int."""
        found = ctypes.c_int()
        self.call(name, ctypes.byref(found), *arguments)
        return found.value

    def count(self):
        return self.whole("cuDeviceGetCount")


class Gpu:
    """One device with a context, current since it was made, and our kernels."""

    def __init__(self, driver, ordinal, ptx):
        self.driver = driver
        self.device = driver.whole("cuDeviceGet", ordinal)
        self.processors = driver.whole("cuDeviceGetAttribute", COUNT, self.device)
        self.capability = tuple(
            driver.whole("cuDeviceGetAttribute", which, self.device) for which in (MAJOR, MINOR)
        )
        if self.capability < (8, 0):
            raise LookupError("sm_%d%d: the built-in engine needs sm_80" % self.capability)
        self.name = self.text("cuDeviceGetName")
        self.pci = plain_pci(self.text("cuDeviceGetPCIBusId"))
        self.context = ctypes.c_void_p()
        driver.call("cuCtxCreate_v2", ctypes.byref(self.context), BLOCKING_SYNC, self.device)
        self.module = ctypes.c_void_p()
        self.load(ptx)
        self.functions = {}

    def text(self, name):
        room = ctypes.create_string_buffer(256)
        self.driver.call(name, room, 256, self.device)
        return room.value.decode("utf-8", "replace")

    def load(self, ptx):
        log = ctypes.create_string_buffer(2048)
        names = (ctypes.c_int * 2)(ERROR_LOG, ERROR_LOG_BYTES)
        values = (ctypes.c_void_p * 2)(ctypes.addressof(log), len(log))
        try:
            self.driver.call(
                "cuModuleLoadDataEx", ctypes.byref(self.module), ptx.encode(), 2, names, values
            )
        except CudaError as error:
            said = log.value.decode("utf-8", "replace").strip()
            error.args = (" ".join((str(error), said)),)
            raise

    def use(self):
        """Make it the current one of this thread, where one process has several."""
        self.driver.call("cuCtxSetCurrent", self.context)

    def launch(self, name, grid, block, arguments, shared_bytes=0):
        """`arguments`: ctypes values, in the kernel's order.  Does not wait."""
        if name not in self.functions:
            self.functions[name] = ctypes.c_void_p()
            place = ctypes.byref(self.functions[name])
            self.driver.call("cuModuleGetFunction", place, self.module, name.encode())
            if shared_bytes:
                self.driver.call(
                    "cuFuncSetAttribute", self.functions[name], SHARED_ATTRIBUTE, shared_bytes
                )
        pointers = (ctypes.c_void_p * len(arguments))(*[ctypes.addressof(one) for one in arguments])
        x, y = grid
        self.driver.call(
            "cuLaunchKernel",
            *(self.functions[name], x, y, 1, block, 1, 1, shared_bytes, None, pointers, None),
        )

    def wait(self):
        self.driver.call("cuCtxSynchronize")

    def room(self):
        """Bytes that are free, and all."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self.driver.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value

    def take(self, size):
        """Memory of the device; `free` gives it back."""
        place = ctypes.c_uint64()
        self.driver.call("cuMemAlloc_v2", ctypes.byref(place), ctypes.c_size_t(size))
        return place

    def free(self, place):
        self.driver.call("cuMemFree_v2", place)

    def take_pinned(self, size):
        place = ctypes.c_void_p()
        self.driver.call("cuMemHostAlloc", ctypes.byref(place), ctypes.c_size_t(size), 0)
        return place

    def free_pinned(self, place):
        self.driver.call("cuMemFreeHost", place)

    def fill_bytes(self, place, byte, size):
        self.driver.call("cuMemsetD8_v2", place, ctypes.c_ubyte(byte), ctypes.c_size_t(size))

    def put(self, place, words):
        """64-bit words to the device."""
        data = struct.pack("<%dQ" % len(words), *words)
        self.driver.call("cuMemcpyHtoD_v2", place, data, ctypes.c_size_t(len(data)))

    def get(self, place, count, kind="Q", offset=0):
        """`count` words of the device, as struct's `kind`."""
        size = struct.calcsize("<%d%s" % (count, kind))
        data = ctypes.create_string_buffer(size)
        at = ctypes.c_uint64(place.value + offset)
        self.driver.call("cuMemcpyDtoH_v2", data, at, ctypes.c_size_t(size))
        return struct.unpack("<%d%s" % (count, kind), data.raw)


def plain_pci(text):
    """0000:1b:00.0 of any of 00000000:1B:00.0, 0000:1B:00.0."""
    domain, _, rest = text.lower().partition(":")
    return "%04x:%s" % (int(domain, 16), rest)
