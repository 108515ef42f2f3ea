"""Print every file that matches the patterns: path, tab, line.  `!path` is one that cannot be read.

A pattern that ends in "@" prints where a link points instead.
"""

import errno
import glob
import os
import sys

CAP_BYTES = 65536  # per file; sysfs and proc files are smaller


def show(pattern):
    link = pattern.endswith("@")
    pattern = pattern.rstrip("@")
    if not glob.has_magic(pattern):  # most are not: glob looks twice at what is not there
        found = [pattern] if os.path.lexists(pattern) else []
    else:
        found = sorted(glob.glob(pattern))
    for path in found:
        try:
            if link:
                print(path + "@\t" + os.path.basename(os.readlink(path)))
                continue
            if os.path.isdir(path):
                continue
            with open(path, "rb") as file:
                text = file.read(CAP_BYTES).decode("utf-8", "replace")
        except (OSError, IOError) as error:
            print("!" + path + "\t" + errno.errorcode.get(error.errno, str(error.errno)))
            continue
        # Only \n ends a line here; what else str.splitlines() takes for one stays in the text.
        for line in text.rstrip("\n").split("\n"):
            print(path + "\t" + line)


for argument in sys.argv[1:]:
    show(argument)
