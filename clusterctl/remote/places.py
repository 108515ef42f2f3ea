"""Where a campaign keeps its state on a node, and the lock that makes it the only one there."""

import errno
import fcntl
import json
import os
import re
import socket
import stat

PLACES = ("/var/tmp", "/dev/shm", "/run")  # noqa: S108 - folders of our own, 0700, owner checked
LOCK = "clusterctl.lock"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,47}")  # a socket's path holds 107 bytes
VOLATILE = ("tmpfs", "ramfs")
REPLY_BYTES = 1 << 20


def first_line(path):
    try:
        with open(path) as file:
            return file.readline().strip()
    except OSError:
        return ""


def boot_id():
    return first_line("/proc/sys/kernel/random/boot_id")


def uptime_s():
    words = first_line("/proc/uptime").split()
    return float(words[0]) if words else None


def folder_in(place, campaign):
    return os.path.join(place, "clusterctl-" + campaign)


def ours(path):
    """Whether this is a folder that nobody else can have put there."""
    try:
        seen = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.geteuid()


def find(places, campaign):
    """The campaign's folder, or None."""
    for place in places:
        folder = folder_in(place, campaign)
        if ours(folder):
            return folder
    return None


def make(place, campaign):
    """A new folder that takes a write.  Raises OSError."""
    folder = folder_in(place, campaign)
    os.mkdir(folder, 0o700)
    try:
        probe = os.path.join(folder, "probe")
        with open(probe, "wb") as file:
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
        os.unlink(probe)
    except OSError:
        remove(folder)
        raise
    return folder


def remove(folder):
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    os.rmdir(folder)


def file_system(path):
    """The type of what is mounted there."""
    best = ("", "")
    try:
        with open("/proc/mounts") as file:
            for line in file:
                where, kind = line.split()[1:3]
                if (path + "/").startswith(where.rstrip("/") + "/") and len(where) >= len(best[0]):
                    best = (where, kind)
    except OSError:
        pass
    return best[1]


def volatile(folder):
    """Whether a reboot takes it away."""
    return file_system(folder) in VOLATILE


# ----------------------------------------------------------------------------- one campaign a node


class Held(Exception):
    """Somebody else's campaign has this node; `holder` is what its lock says."""

    def __init__(self, holder):
        super().__init__(holder.get("campaign", "?"))
        self.holder = holder


def open_lock(path, flags):
    """A descriptor.  Readable by all, so that another user's second campaign learns the first's id.

    Where another user left one, O_CREAT is refused in a sticky folder (fs.protected_regular).
    """
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno != errno.ENOENT or not flags & os.O_CREAT:
            raise
    return os.open(path, os.O_RDWR | os.O_NOFOLLOW | flags, 0o644)


def read_lock(descriptor):
    try:
        return json.loads(os.pread(descriptor, 4096, 0).decode())
    except ValueError:
        return {}


def lock(place, *, create, how=fcntl.LOCK_EX):
    """A descriptor that holds the place's lock, or None where there is none.  Raises Held."""
    path = os.path.join(place, LOCK)
    while True:
        try:
            descriptor = open_lock(path, os.O_CREAT if create else 0)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except OSError:
            holder = read_lock(descriptor)
            os.close(descriptor)
            raise Held(holder)
        # Whoever had it may have removed the file before we had the lock on it.
        try:
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except OSError:
            pass
        os.close(descriptor)


def sign(place, words):
    """Say in the lock file, which we hold, who we are."""
    path = os.path.join(place, LOCK)
    writer = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_TRUNC)
    try:
        os.write(writer, json.dumps(words).encode())
    finally:
        os.close(writer)


def holders(places):
    """What the locks say that are held now.  Who looks does not stand in another looker's way."""
    found = []
    for place in places:
        try:
            descriptor = lock(place, create=False, how=fcntl.LOCK_SH)
        except Held as held:
            found.append(held.holder)
        except OSError:
            continue
        else:
            if descriptor is not None:
                os.close(descriptor)
    return found


# ----------------------------------------------------------------------------- talking to it


def ask(folder, request, patience_s):
    """The supervisor's reply, or None where nobody listens.  Raises OSError when it is silent."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as wire:
        wire.settimeout(patience_s)
        try:
            wire.connect(os.path.join(folder, "control"))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
                return None
            raise
        reply = b""
        try:
            # Where SIGPIPE kills, one that just ends would take us along.
            wire.sendall(json.dumps(request).encode() + b"\n", socket.MSG_NOSIGNAL)
            while not reply.endswith(b"\n") and len(reply) < REPLY_BYTES:
                chunk = wire.recv(65536)
                if not chunk:
                    return None  # it ended before it could answer
                reply += chunk
        except (BrokenPipeError, ConnectionResetError):
            return None  # the same
        return json.loads(reply.decode())
