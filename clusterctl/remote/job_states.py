"""What a process does at this moment: it runs, or what it waits in.  Stops and traces nothing."""

import os

import job_processes

# asm/unistd_64.h and asm-generic/unistd.h: what a blocked process waits in
X86 = {
    "file": (0, 1, 17, 18, 19, 20, 74, 75, 217, 257, 262, 295, 332, 4, 5, 6, 2, 21, 73, 326),
    "wire": (7, 23, 43, 44, 45, 46, 47, 232, 270, 271, 281, 288, 299),
    "sleep": (35, 230),
    "lock": (202, 449),
    "child": (61, 247),
    "device": (16,),
}
ARM = {
    "file": (63, 64, 65, 66, 67, 68, 82, 83, 61, 56, 79, 80, 291, 32, 285),
    "wire": (22, 72, 73, 202, 206, 207, 211, 212, 242, 243),
    "sleep": (101, 115),
    "lock": (98, 449),
    "child": (260, 95),
    "device": (29,),
}
CALLS = {
    number: name
    for name, numbers in (ARM if os.uname()[4] == "aarch64" else X86).items()
    for number in numbers
}
# where the kernel does not tell the call: what it waits in, by the function's name
PLACES = (
    ("nanosleep", "sleep"),
    ("futex", "lock"),
    ("ep_poll", "wire"),
    ("poll_schedule", "wire"),
    ("sk_wait", "wire"),
    ("tcp_", "wire"),
    ("pipe_read", "pipe"),
    ("do_wait", "child"),
    ("io_schedule", "file"),
    ("folio", "file"),
    ("rpc_", "file"),
)


def kind_of(pid, descriptor):
    """What a read waits for: a file, a pipe, a connection."""
    try:
        where = os.readlink("/proc/%d/fd/%d" % (pid, descriptor))
    except OSError:
        return "file"
    if where.startswith("socket:"):
        return "wire"
    if where.startswith(("pipe:", "anon_inode:")):
        return "pipe"
    return "device" if where.startswith("/dev/") else "file"


def state(pid):
    """run, sleep, lock, wire, pipe, file, disk, child, device, stopped, other; "" has ended."""
    text = job_processes.read("/proc/%d/stat" % pid, 1024)
    letter = text.rpartition(")")[2].strip()[:1]
    if letter in ("", "Z", "X"):
        return ""
    if letter == "R":
        return "run"
    if letter in ("T", "t"):
        return "stopped"
    words = job_processes.read("/proc/%d/syscall" % pid, 200).split()
    if words and words[0] == "running":
        return "run"
    name = "other"
    if words and words[0].isdigit():
        name = CALLS.get(int(words[0]), "other")
        if name == "file" and len(words) > 1 and int(words[0]) in CALLS:
            first = int(words[1], 16)
            if first < 1 << 20:  # a descriptor, and not the address of a name
                name = kind_of(pid, first)
    else:
        place = job_processes.read("/proc/%d/wchan" % pid, 80)
        name = next((word for part, word in PLACES if part in place), "other")
    if letter == "D":
        return "disk" if name in ("file", "other") else name
    return name
