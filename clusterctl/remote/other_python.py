"""Going on in another Python of the node: PyTorch mostly lives in an environment of its own.

It travels beside a script that names it in its question's `modules`.
"""

import os
import shutil
import subprocess
import sys

HAS = "import importlib.util as u, sys; sys.exit(not u.find_spec(%r))"
PLACES = (
    "python3",
    "python",
    "/opt/conda/bin/python3",
    "/opt/miniconda3/bin/python3",
    "/opt/venv/bin/python3",
    "/usr/local/bin/python3",
)
LOOK_S = 20.0  # a cold interpreter on a network file system
# The working directory is no place to import from.
BEGIN = """import sys
sys.path[:] = [place for place in sys.path if place]
def load(name, text):
    module = sys.modules[name] = type(sys)(name)
    exec(compile(text, name + ".py", "exec"), module.__dict__)
"""


def python_with(package, wanted):
    """The interpreter `wanted`, else the first one we find that has this package; None: none."""
    for name in [wanted] if wanted else [sys.executable, *PLACES]:
        path = shutil.which(name) if name else None
        if path and has(path, package):
            return path
    return None


def has(python, package):
    try:
        return not subprocess.call(
            [python, "-c", HAS % package], stderr=subprocess.DEVNULL, timeout=LOOK_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def source(name):
    """The text of a module that came along, or of the one with this name that is installed."""
    import importlib.util

    return importlib.util.find_spec(name).loader.get_source(name)


def go_on(python, modules, words):
    """Does not return: this process becomes `main(*words)` of the last of these modules."""
    # In ASCII: Python 3.6 takes the C locale for it, on either side.
    lines = ["load(%a, %a)\n" % (name, source(name)) for name in modules]
    last = "sys.modules[%r].main(*sys.argv[1:])\n" % modules[-1]
    sys.stdout.flush()
    program = [python, "-c", BEGIN + "".join(lines) + last, *words]
    os.execv(python, [word.encode() for word in program])  # noqa: S606 - no shell is the point
