"""Several load scripts at once, each in a process of its own; every one's rows come out.

Arguments: 1 or 0 for each script, whether it is for nodes with an accelerator only; then the
scripts with their arguments, "--" between them.
"""

import os
import select
import sys

from other_python import source
from trial import end, say, trouble

# PCI class: 3D controller, processing accelerator (pci.ids 0302, 1200)
ACCELERATORS = ("0x0302", "0x1200")
BESIDE = ", beside others"
DEVICES = "/sys/bus/pci/devices"


def has_accelerator():
    try:
        for name in os.listdir(DEVICES):
            with open("%s/%s/class" % (DEVICES, name)) as file:
                if file.read().startswith(ACCELERATORS):
                    return True
    except OSError:
        pass
    return False


def begin(script, words):
    """(process id, the end of the pipe where its rows come out)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        return child, reader
    code = 1
    try:
        os.dup2(writer, 1)
        os.closerange(3, 256)
        sys.argv = [script + ".py", *words]
        main = type(sys)("__main__")
        main.FILES = globals().get("FILES", {})  # what came along for any of them
        sys.modules["__main__"] = main
        exec(compile(source(script), script + ".py", "exec"), main.__dict__)
        sys.stdout.flush()
        code = 0
    except BaseException as error:
        sys.stderr.write("%s: %s: %s\n" % (script, type(error).__name__, error))
        sys.stderr.flush()
    finally:
        os._exit(code)


def relay(script, text, status):
    """Its rows as ours, if they are whole.  Who burned beside others is no peer of who did not."""
    rows = [line.split("\t") for line in text.split("\n") if line]
    whole = rows and rows[-1] == ["end", str(len(rows) - 1)]
    for row in rows[:-1] if whole else []:
        say(*(cell + BESIDE if cell.startswith("engine=") else cell for cell in row))
    if not whole or status:
        trouble("exit", "%s did not come to its end (status %s)" % (script, status))


def main(words):
    wanted, *words = words
    loads = [[]]
    for word in words:
        if word == "--":
            loads.append([])
        else:
            loads[-1].append(word)
    here = has_accelerator()
    loads = [load for load, only in zip(loads, wanted) if only == "0" or here]
    running = {}
    for script, *rest in loads:
        child, reader = begin(script, rest)
        running[reader] = (script, child, [])
    while running:
        for reader in select.select(list(running), [], [])[0]:
            script, child, parts = running[reader]
            part = os.read(reader, 65536)
            parts.append(part)
            if not part:
                os.close(reader)
                del running[reader]
                status = os.waitpid(child, 0)[1]
                relay(script, b"".join(parts).decode("utf-8", "replace"), status)


if __name__ == "__main__":
    main(sys.argv[1:])
    end()
