"""Print the addresses that Ascend NPUs have and those that /etc/hccn.conf gives them.

Argument: seconds for each call.  Rows, tab-separated: conf (a line of the file), refused (errno),
npu (number), ip (number, exit status or timeout, what hccn_tool says), missing (the tool), end
(number of rows).
"""

import errno
import os
import re
import subprocess
import sys

CONF = "/etc/hccn.conf"
PLACES = (os.environ.get("PATH", "") + ":/usr/local/Ascend/driver/tools").split(":")
TOOL = next((p + "/hccn_tool" for p in PLACES if p and os.access(p + "/hccn_tool", os.X_OK)), None)
COUNT = [0]


def row(*cells):
    text = "\t".join(re.sub(r"[\t\r\n]+", " ", str(cell)).strip() for cell in cells) + "\n"
    COUNT[0] += 1
    getattr(sys.stdout, "buffer", sys.stdout).write(text.encode("utf-8", "replace"))
    sys.stdout.flush()


def conf():
    try:
        with open(CONF, "rb") as file:
            lines = file.read(65536).decode("utf-8", "replace").split("\n")
    except (OSError, IOError) as error:
        if error.errno != errno.ENOENT:
            row("refused", errno.errorcode.get(error.errno, str(error.errno)))
        return
    for line in lines:
        if line.strip():
            row("conf", line)


def ask(npu):
    pipe = subprocess.PIPE
    tool = subprocess.Popen([TOOL, "-i", npu, "-ip", "-g"], stdout=pipe, stderr=pipe)
    try:
        said = b"\n".join(tool.communicate(timeout=float(sys.argv[1]))).decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        tool.kill()
        row("ip", npu, "timeout", "")
        return
    row("ip", npu, tool.returncode, said)


row("clusterctl", "hccn", 1)
conf()
found = [re.match(r"davinci([0-9]+)$", name) for name in os.listdir("/dev")]
numbers = sorted({match.group(1) for match in found if match}, key=int)
for number in numbers:
    row("npu", number)
if numbers and not TOOL:
    row("missing", "hccn_tool")
for number in numbers if TOOL else ():
    try:
        ask(number)
    except Exception as error:
        row("ip", number, "error", repr(error))
sys.stdout.write("end\t%d\n" % COUNT[0])
