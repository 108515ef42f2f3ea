r"""Print the real file systems, how full they are, and what /etc/fstab asks for.

statvfs() on a dead NFS server or drive never returns, and cannot always be killed: file systems are
asked by children, and a child that does not answer is left behind.
Paths stay as the kernel escapes them (a blank is \\040).
"""

import errno
import os
import re
import select
import signal
import time

PATIENCE_S = 1.0  # with the child that asks all in turn
DEADLINE_S = 4.0
MOST = 200  # file systems asked; more than that is a container host's, and said
SUBVOLUMES = ("btrfs", "bcachefs")  # their mounts have a root of their own and are no bind mounts
REAL = {
    *("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "reiserfs", "bcachefs", "vfat"),
    *("exfat", "ntfs", "ntfs3", "fuseblk", "nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "mmfs"),
    *("ceph", "beegfs", "beegfs_nodev", "wekafs", "panfs", "orangefs", "pvfs2", "glusterfs"),
    *("ocfs2", "gfs2", "9p", "virtiofs", "dpcfs", "curvefs"),
}
# A tmpfs there is work space, elsewhere it is housekeeping.
KEPT = ("/dev/shm", "/tmp", "/var/tmp")  # noqa: S108 - looked at; nothing is written there
ROWS = []


def row(*cells):
    ROWS.append("\t".join(str(cell).replace("\t", " ").replace("\n", " ") for cell in cells))


def plain(path):
    """The path's bytes, without the kernel's escapes."""
    if "\\" in path:
        path = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), path)
    return path.encode("utf-8", "surrogateescape")


def lines(path):
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().split("\n")
    except (OSError, IOError) as error:
        if error.errno != errno.ENOENT or path != "/etc/fstab":
            row("refused", path, errno.errorcode.get(error.errno, str(error)))
        return []


def mounted():
    """{mount point: (device number, root, type, source, ro or rw)}; the last mount hides others."""
    found = {}
    for line in lines("/proc/self/mountinfo"):
        left, dash, right = line.partition(" - ")
        cells, rest = left.split(" "), right.split(" ")
        if dash and len(cells) >= 6 and len(rest) >= 3:
            options = cells[5].split(",") + rest[2].split(",")
            access = "ro" if "ro" in options else "rw"
            found[cells[4]] = (cells[2], cells[3], rest[0], rest[1], access)
    return found


def wanted():
    """[[source, mount point, type, options]] of /etc/fstab."""
    found = []
    for line in lines("/etc/fstab"):
        cells = line.split()[:4]
        if len(cells) >= 2 and not cells[0].startswith("#"):
            found.append(cells + ["auto", "defaults"][len(cells) - 2 :])
    return found


def worth_asking(kind):
    return kind in REAL or kind.startswith("fuse.") or kind in ("tmpfs", "overlay")


def chosen(mounts, asked_for):
    """The mount points to show: all of fstab's, and each real file system once."""
    seen = set()
    for point in sorted(mounts, key=lambda path: (path not in asked_for, len(path), path)):
        device, root, kind, source, _ = mounts[point]
        bind = root != "/" and source.startswith("/dev/") and kind not in SUBVOLUMES
        kept = point == "/" or point in asked_for or (kind == "tmpfs" and point in KEPT)
        if not kept and (bind or device in seen):
            continue
        if kept or kind in REAL or (kind.startswith("fuse.") and kind != "fuse.lxcfs"):
            seen.add(device)
            yield point


def child(questions):
    """(pid, read end) of a child that writes every answer in turn, a NUL behind each.

    It closes what it inherited first: one that hangs in the kernel must not keep our output open.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        return pid, read
    try:
        os.closerange(0, write)
        os.closerange(write + 1, 1024)
        for _, answer in questions:
            try:
                said = "stat\t" + answer()
            except OSError as error:
                said = "refused\t" + errno.errorcode.get(error.errno, str(error.errno))
            os.write(write, said.encode("utf-8", "surrogateescape") + b"\0")
    finally:
        os._exit(0)


def sizes(point):
    stat = os.statvfs(plain(point))
    unit = stat.f_frsize or stat.f_bsize
    cells = (stat.f_blocks * unit, stat.f_bavail * unit, stat.f_files, stat.f_favail)
    return "\t".join(str(cell) for cell in cells)


def gather(questions):
    """{name: what was said about it}; None where nothing was in time.

    One child asks all in turn: on a sound node a fork for each would be most of the work.  Where
    it gets stuck, that question stays its own, and each after it gets a child for itself.
    """
    questions = list(questions)
    if not questions:
        return {}
    pid, read = child(questions)
    text = b""
    while select.select([read], [], [], PATIENCE_S)[0]:
        chunk = os.read(read, 65536)
        if not chunk:
            break
        text += chunk
    answers = [answer.decode("utf-8", "replace") for answer in text.split(b"\0")[:-1]]
    said = {name: answer for (name, _), answer in zip(questions, answers)}
    children = {read: (pid, questions[len(answers) :][:1])}
    for question in questions[len(answers) + 1 :]:
        pid, read = child([question])
        children[read] = (pid, [question])
    said.update(await_each(children))
    return said


def await_each(children):
    """{name: what the child with this one question said}.  Ends all of them."""
    said = {name: None for _, asked in children.values() for name, _ in asked}
    waiting = {read: asked[0][0] for read, (_, asked) in children.items() if asked}
    deadline = time.time() + DEADLINE_S
    while waiting:
        ready, _, _ = select.select(list(waiting), [], [], max(0.0, deadline - time.time()))
        if not ready:
            break
        for read in ready:
            answer, _, _ = os.read(read, 65536).partition(b"\0")
            said[waiting.pop(read)] = answer.decode("utf-8", "replace")
    for read, (pid, _) in children.items():
        os.close(read)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, os.WNOHANG)
    return said


def follow(paths):
    """{path: where it leads}: fstab may name a link, and that may lead to a dead server."""
    said = gather(
        (path, lambda path=path: os.path.realpath(plain(path)).decode("utf-8", "replace"))
        for path in paths
    )
    leads = ((path, (text or "").partition("\t")) for path, text in said.items())
    return {path: target for path, (kind, _, target) in leads if kind == "stat"}


def show():
    mounts, asked_for = mounted(), wanted()
    links = follow(
        {cells[1] for cells in asked_for if cells[1] not in mounts and cells[1].startswith("/")}
    )
    points = list(chosen(mounts, {links.get(cells[1], cells[1]) for cells in asked_for}))
    asked = [point for point in points if worth_asking(mounts[point][2])]
    said = gather((point, lambda point=point: sizes(point)) for point in asked[:MOST])
    for point in points:
        _, _, kind, source, access = mounts[point]
        row("mount", point, kind, source, access, "asked" if point in asked else "listed")
    if len(asked) > MOST:
        row("more", len(asked) - MOST)
    for cells in asked_for:
        row("fstab", *([*cells, links[cells[1]]] if cells[1] in links else cells))
    for point in asked[:MOST]:
        if said[point]:
            kind, _, rest = said[point].partition("\t")
            ROWS.append("%s\t%s\t%s" % (kind, point, rest))
        else:
            row("silent", point, DEADLINE_S)


show()
ROWS.append("end\t%d" % len(ROWS))
print("\n".join(ROWS).encode("utf-8", "replace").decode("utf-8"))
