"""File systems: how full, read-only against fstab's will, not mounted at all, or not answering."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from clusterctl.model import Fact, Filesystem, Kind, Probe, Question, Trouble
from clusterctl.spelling import Unreadable, count, visible
from clusterctl.sysfs import kind_of, rows

# fstab(5), systemd.mount(5): these say themselves that absence is no fault
MAY_BE_ABSENT = frozenset({"noauto", "nofail", "x-systemd.automount"})
ACCESS = {"ro": True, "rw": False}


@dataclass(slots=True)
class Found:
    """The rows of one answer, by mount point as the kernel escapes it."""

    mounts: dict[str, tuple[str, str, bool, bool]] = field(default_factory=dict)
    fstab: dict[str, tuple[str, str, str, str]] = field(default_factory=dict)
    stats: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    found = Found()
    for row in rows(stdout):
        if isinstance(row, Trouble):
            yield row
        elif trouble := take(row, found):
            yield trouble
    if not found.mounts:
        yield Trouble(Kind.UNREADABLE, "no file system in the answer")
        return
    yield from present(found)
    yield from absent(found)


def take(row: tuple[str, ...], found: Found) -> Trouble | None:
    """Files one row, or says what is wrong with it or with what it tells of."""
    match row:
        case ("mount", point, kind, source, access, asked) if access in ACCESS and point:
            found.mounts[point] = (kind, source, ACCESS[access], asked != "listed")
        case ("fstab", source, point, kind, options, *resolved):
            found.fstab[point] = (source, kind, options, (resolved or [point])[0])
        case ("stat", point, size, available, inodes, free):
            try:
                found.stats[point] = (count(size), count(available), count(inodes), count(free))
            except Unreadable as error:
                found.silent.add(point)
                return Trouble(Kind.UNREADABLE, str(error), shown(point))
        case ("refused", point, reason):
            found.silent.add(point)
            return Trouble(kind_of(reason), f"{shown(point)}: {visible(reason)}", shown(point))
        case ("silent", point, seconds):
            found.silent.add(point)
            why = f"statvfs did not return in {visible(seconds, 20)} s: dead server or drive"
            return Trouble(Kind.TIMEOUT, why, shown(point))
        case ("more", number):
            return Trouble(Kind.CUT, f"{visible(number, 20)} more file systems were not asked")
        case _:
            return Trouble(Kind.UNREADABLE, f"not a row: {visible(chr(9).join(row))}")
    return None


def present(found: Found) -> Iterator[Fact | Trouble]:
    wants = {entry[3]: entry[2] for entry in found.fstab.values()} | {
        point: entry[2] for point, entry in found.fstab.items()
    }
    for point, (kind, source, read_only, asked) in found.mounts.items():
        if not asked:
            continue
        if point not in found.stats and point not in found.silent:
            yield Trouble(Kind.UNREADABLE, "no answer about this file system", shown(point))
        size, available, inodes, free = found.stats.get(point, (0, 0, 0, 0))
        yield Filesystem(
            shown(point),
            shown(source),
            visible(kind, 40),
            read_only,
            wanted_read_only=asks_read_only(wants[point]) if point in wants else None,
            # No blocks or no inodes is how statvfs says that this file system does not count them.
            size_bytes=size or None,
            available_bytes=available if size else None,
            inodes=inodes or None,
            inodes_available=free if inodes else None,
        )


def absent(found: Found) -> Iterator[Filesystem]:
    """What fstab asks for and nobody mounted."""
    for point, (source, kind, options, resolved) in found.fstab.items():
        if not point.startswith("/") or kind == "swap" or resolved in found.mounts:
            continue
        if point in found.mounts or not MAY_BE_ABSENT.isdisjoint(options.split(",")):
            continue
        yield Filesystem(
            shown(point),
            shown(source),
            visible(kind, 40),
            read_only=False,
            wanted_read_only=asks_read_only(options),
            mounted=False,
        )


def asks_read_only(options: str) -> bool:
    """The last of ro and rw counts; errors=remount-ro asks for neither."""
    said = [word for word in options.split(",") if word in ACCESS]
    return ACCESS[said[-1]] if said else False


def shown(path: str) -> str:
    r"""The path as people write it: the kernel escapes a blank as \040."""
    return visible(re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path), 300)


# A node without Python tells what is mounted and how full it is by df's own numbers, one file
# system at a time, so that a dead one costs itself.
WITHOUT_PYTHON = r"""
{
  while read -r _ _ device root point options rest; do
    right=${rest##*- }; kind=${right%% *}; right=${right#* }; source=${right%% *}
    asked=asked
    case $kind in
      ext[234]|xfs|btrfs|zfs|f2fs|vfat|nfs|nfs4|lustre|gpfs|ceph|beegfs*|fuse.*|9p|virtiofs) ;;
      *) [ "$point" = / ] || [ "$point" = /dev/shm ] || asked=listed ;;
    esac
    [ "$root" = / ] || [ "$kind" = btrfs ] || [ "$point" = / ] || asked=listed
    access=rw; case ",$options,${right##* }," in *,ro,*) access=ro ;; esac
    printf 'mount\t%s\t%s\t%s\t%s\t%s\n' "$point" "$kind" "$source" "$access" "$asked"
    [ "$asked" = asked ] || continue  # fstab may ask for it: it is there, and that is all
    if set -- $(timeout 4 stat -f -c '%S %b %a %c %d' "$point" 2>/dev/null) && [ $# = 5 ]; then
      printf 'stat\t%s\t%s\t%s\t%s\t%s\n' "$point" $(($1 * $2)) $(($1 * $3)) "$4" "$5"
    else
      printf 'silent\t%s\t4\n' "$point"
    fi
  done </proc/self/mountinfo
  [ ! -r /etc/fstab ] || while read -r source point kind options _; do
    case $source in '#'*|'') continue ;; esac
    printf 'fstab\t%s\t%s\t%s\t%s\n' "$source" "$point" "${kind:-auto}" "${options:-defaults}"
  done </etc/fstab
} | { n=0; while IFS= read -r line; do printf '%s\n' "$line"; n=$((n + 1)); done
      printf 'end\t%s\n' "$n"; }
"""

PROBES = (
    Probe(
        Question(
            "mounts",
            script="ask_mounts",
            brief=True,
            without_python=("sh", "-c", WITHOUT_PYTHON),
            timeout_s=20.0,
        ),
        parse,
        yields=(Filesystem,),
        about="File systems: space, inodes, read-only against fstab, not mounted, not answering",
    ),
)
