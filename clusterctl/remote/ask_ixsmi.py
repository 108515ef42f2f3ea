"""Ask Iluvatar's ixsmi about every GPU, and its library for what the tool does not show.

Reading only.  Arguments: seconds for each call and for all.  See tool_calls.py for the answer.
The library is asked in a process of its own: gpu NUMBER UUID health BITS ecc SINGLE DOUBLE, where
a number may be `error CODE`, or `none` where the library is older than that.
"""

import os
import sys
import time

import tool_calls

HOME = "/usr/local/corex"
LIBRARIES = (HOME + "/lib64", HOME + "/lib", os.environ.get("LD_LIBRARY_PATH", ""))
FIELDS = (
    *("index", "name", "uuid", "serial", "pci.bus_id", "temperature.memory"),
    *("pcie.link.gen.current", "pcie.link.gen.max"),
    *("pcie.link.width.current", "pcie.link.width.max"),
    *("clocks.max.sm", "clocks.max.memory", "ecc.mode.current"),
)
CALLS = (
    (),
    ("-q",),
    ("--query-gpu=" + ",".join(FIELDS), "--format=csv"),
    ("--query-gpu=index,uuid,gpu_bus_id,gpu_serial", "--format=csv"),  # of versions that know less
)
# ixml.h of the CoreX SDK: NVML's names, and ixmlDeviceGetHealth and ixmlDeviceGetEccErros (sic).
LIBRARY = """
import ctypes, sys
try:
    library = ctypes.CDLL("libixml.so")
except OSError as error:
    sys.exit("not supported here: %s" % error)

def call(name, *arguments):
    function = getattr(library, name, None)
    return None if function is None else function(*arguments)

def said(code, *values):
    if code is None:
        return "none"
    return " ".join("%d" % value.value for value in values) if code == 0 else "error %d" % code

code = call("nvmlInit_v2")
code = call("nvmlInit") if code is None else code
if code:
    sys.exit("libixml failed to initialize: error %d" % code)
count = ctypes.c_uint()
code = call("nvmlDeviceGetCount_v2", ctypes.byref(count))
if code is None:
    code = call("nvmlDeviceGetCount", ctypes.byref(count))
if code != 0:
    sys.exit("libixml failed to count its devices: error %s" % code)
for index in range(count.value):
    device, uuid = ctypes.c_void_p(), ctypes.create_string_buffer(96)
    code = call("nvmlDeviceGetHandleByIndex_v2", index, ctypes.byref(device))
    if code is None:
        code = call("nvmlDeviceGetHandleByIndex", index, ctypes.byref(device))
    if code != 0:
        print("gpu %d handle error %s" % (index, code))
        continue
    named = call("nvmlDeviceGetUUID", device, uuid, 96)
    health, one, two = ctypes.c_ulonglong(), ctypes.c_uint(), ctypes.c_uint()
    bits = said(call("ixmlDeviceGetHealth", device, ctypes.byref(health)), health)
    errors = said(
        call("ixmlDeviceGetEccErros", device, ctypes.byref(one), ctypes.byref(two)), one, two
    )
    name = uuid.value.decode("ascii", "replace") if named == 0 else "-"
    print("gpu %d %s health %s ecc %s" % (index, name or "-", bits, errors))
"""

found = tool_calls.find("ixsmi", (HOME + "/bin", HOME + "-*/bin"))
if not found:
    sys.stderr.write("ixsmi: not found in PATH and %s/bin\n" % HOME)
    sys.exit(127)
os.environ["LD_LIBRARY_PATH"] = ":".join(filter(None, LIBRARIES))
asked = [("ixsmi " + " ".join(words), found, words) for words in CALLS]
asked.append(("libixml.so", sys.executable, ("-c", LIBRARY)))
stop = time.time() + float(sys.argv[2])
tool_calls.write("== clusterctl calls 1\n")
for name, path, words in asked:
    tool_calls.write("== call %s\n" % name.strip())
    left = min(float(sys.argv[1]), stop - time.time())
    try:
        out, ending = tool_calls.one(path, words, left) if left > 0 else ("", "skipped no time")
    except Exception as error:
        out, ending = "", "failed %r" % error
    tool_calls.write(out if not out or out.endswith("\n") else out + "\n")
    tool_calls.write("== %s\n" % ending)
tool_calls.write("== end %d\n" % len(asked))
