"""The power of all sockets by the processors' own energy counters (RAPL).

It travels beside scripts that name it.
"""

import os
import time

ZONES = "/sys/class/powercap"


def sockets_uj():
    """(seconds, microjoules) of each socket's counter by its name; empty where none is readable."""
    found = {}
    try:
        names = os.listdir(ZONES)
    except OSError:
        return found
    for name in names:
        if name.count(":") == 1:  # intel-rapl:0 is a socket, intel-rapl:0:1 a part of it
            try:
                with open("%s/%s/energy_uj" % (ZONES, name)) as file:
                    found[name] = (time.monotonic(), int(file.read()))
            except (OSError, ValueError):
                pass
    return found


def sockets_w(before, after):
    """Watts of all sockets between two readings; None where one is missing or has wrapped."""
    total = 0.0
    for name, (then, energy) in before.items():
        if name not in after or after[name][1] < energy or after[name][0] <= then:
            return None
        total += (after[name][1] - energy) / 1e6 / (after[name][0] - then)
    return total if before else None
