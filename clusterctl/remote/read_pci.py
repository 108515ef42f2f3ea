"""Print what sysfs says about the PCI functions of the given classes: path, tab, line.

The classes (four hex digits, as in 0302) are the arguments.  Bridges and chipset functions stay
out: with their AER statistics they are most of what a big node has, a megabyte of it.
The number of all functions and a file that every kernel has come last: where they are missing,
the answer was cut.
"""

import errno
import os
import sys

BUS = "/sys/bus/pci/devices"
END = "/proc/sys/kernel/ostype"
FILES = (
    "vendor",
    "device",
    "class",
    "current_link_speed",
    "max_link_speed",
    "current_link_width",
    "max_link_width",
    "numa_node",
    "aer_dev_correctable",
    "aer_dev_nonfatal",
    "aer_dev_fatal",
)


def read(path):
    with open(path, "rb") as file:
        return file.read(65536).decode("utf-8", "replace").rstrip("\n")


def show(path):
    try:
        text = read(path)
    except (OSError, IOError) as error:
        if error.errno != errno.ENOENT:  # a conventional PCI device has no link, most have no AER
            print("!" + path + "\t" + errno.errorcode.get(error.errno, str(error.errno)))
        return
    for line in text.split("\n"):
        print(path + "\t" + line)


def show_function(folder, classes):
    try:
        if read(folder + "/class")[2:6] not in classes:
            return
    except (OSError, IOError):
        pass  # a function that hides its class is shown, so that its trouble is seen
    for name in FILES:
        show(folder + "/" + name)
    try:
        print(folder + "/driver@\t" + os.path.basename(os.readlink(folder + "/driver")))
    except (OSError, IOError):
        pass  # no driver bound
    sys.stdout.flush()


def main(classes):
    if os.path.isdir(BUS):
        names = sorted(os.listdir(BUS))
        for name in names:
            show_function(BUS + "/" + name, classes)
        print(BUS + "\t%d" % len(names))
    show(END)


main(sys.argv[1:])
