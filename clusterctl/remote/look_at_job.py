"""Look at a job's processes, their TCP connections and the node twice, and lightly in between.

Argument: a JSON object: seconds between the readings, every (seconds between looks), share (of one
processor that looking may take), start (wall clock; 0: now), and whose processes: pids, slurm,
pods; none of these: everybody that has a rank.

Prints a JSON object a line, `k` says which: node, rank (one a process, with `before`, `after` and
`looks`), link (one a connection), counters, foreign, cost, trouble; last end with their number.
A look is [number of the moment, state, ms since data went, ms since data came, bytes that came and
were not read, bytes that wait to be acknowledged, ms by which we came after the moment].  Moments
are the same on every node whose clock is right.  Nothing is stopped, traced or written.
"""

import json
import os
import sys
import time

import job_processes
import job_sockets
import job_states
import nic_stats
import node_counters

CLOCK_S = 15.0  # a start that is further away is not ours to wait for: some clock is wrong
MARKS = 4  # moments from one count of segments to the next
STRIDES = 16  # times `every` may lie between looks, however much one costs
CREW_TURNS = 5
CREW_AT_MOST = 64
LINKS_AT_MOST = 2000
SPREAD = 2654435761  # Knuth's multiplier: moments that keep no step with the job's own
COUNT = [0]


def say(kind, **cells):
    COUNT[0] += 1
    print(json.dumps(dict(cells, k=kind), separators=(",", ":")))


class Job:
    """The ranks of this node, and what was seen of them."""

    def __init__(self, ranks):
        self.ranks = ranks
        self.inodes = {inode: one["pid"] for one in ranks for inode in one["inodes"]}
        self.looks = {one["pid"]: [] for one in ranks}
        self.crews = {one["pid"]: {} for one in ranks}
        self.links = {}  # inode -> [cells first, cells last, sums, marks]
        self.turn = 0
        self.trouble = ""

    def sockets(self, moment):
        """{pid: [ms since data went, ms since it came, unread, unsent]}, by the job's links."""
        found = {}
        if not self.inodes:
            return found
        try:
            seen = job_sockets.connections(self.inodes)
        except OSError as error:
            self.trouble = str(error)
            return found
        quiet = {one["pid"]: one["master"].rpartition(":")[2] for one in self.ranks}
        for inode, cells in seen.items():
            pid = self.inodes[inode]
            self.keep(inode, cells, moment)
            ports = cells["near"].split()[1], cells["far"].split()[1]
            if quiet[pid] and quiet[pid] in ports:
                continue  # the store where ranks meet, which has a pulse of its own
            one = found.setdefault(pid, [None, None, 0, 0])
            for place, name in ((0, "sent_ms"), (1, "come_ms")):
                if name in cells and (one[place] is None or cells[name] < one[place]):
                    one[place] = cells[name]
            one[2] += cells["unread"]
            one[3] += cells["unsent"]
        return found

    def keep(self, inode, cells, moment):
        """Counts a connection; of very many, only the first ones."""
        link = self.links.get(inode)
        if link is None:
            if len(self.links) >= LINKS_AT_MOST:
                self.trouble = "more than %d connections: only so many are counted" % LINKS_AT_MOST
                return
            link = self.links[inode] = [cells, cells, [0, 0, 0, 0], []]
        link[1] = cells
        if moment % MARKS == 0 and "segments_in" in cells:
            names = ("segments_out", "segments_in", "acked", "received")
            link[3].append([moment, *(cells[name] for name in names)])
        sums = link[2]
        sums[0] += 1
        sums[1] += cells.get("rtt_us", 0)
        sums[2] += bool(cells["unsent"])
        sums[3] += bool(cells["unread"])

    def look(self, moment, when):
        behind_ms = round((time.time() - when) * 1000)
        sockets = self.sockets(moment)
        self.turn += 1
        for one in self.ranks:
            pid = one["pid"]
            now = job_states.state(pid)
            self.looks[pid].append([moment, now, *sockets.get(pid, [None, None, 0, 0]), behind_ms])
            if self.turn % CREW_TURNS == 1:
                for other in one["crew"][:CREW_AT_MOST]:
                    its = job_states.state(other)
                    self.crews[pid][its] = self.crews[pid].get(its, 0) + 1


def reading(job):
    spent = {one["pid"]: job_processes.counted(one["pid"]) for one in job.ranks}
    crews = {}
    for one in job.ranks:
        told = [job_processes.counted(pid) for pid in one["crew"][:CREW_AT_MOST]]
        crews[one["pid"]] = [cells for cells in told if cells]
    return spent, crews


def counted(job):
    found = node_counters.counters(job.ranks[0]["pid"])
    found.update(nic_stats.counters())
    return found


def sum_of(crew, name):
    return sum(cells.get(name, 0) for cells in crew)


def limits(job, places):
    return {
        one["pid"]: node_counters.throttled(node_counters.limits(one["cgroup"], places))
        for one in job.ranks
    }


def moments(every, stride, begin, seconds):
    """(number, wall clock) of every look: one in each stretch of `every` seconds, or fewer.

    A number means the same moment on every node, whatever its stride.
    """
    number = int(begin / every) + 1
    while number * every < begin + seconds:
        if number % stride == 0:
            yield number, (number + 0.8 * (number * SPREAD % (1 << 32)) / (1 << 32)) * every
        number += 1


def paced(job, wanted):
    """One look in so many: that they take no more than their share of a processor."""
    job.look(1, 0)  # the first one pays for what the others find in the cache
    plain = spent_by(job)
    job.turn = CREW_TURNS  # the next one looks at the crew, too
    cost = plain + (spent_by(job) - plain) / CREW_TURNS
    for looks in job.looks.values():
        looks.clear()
    for crew in job.crews.values():
        crew.clear()
    job.links.clear()
    stride = 1
    while stride < STRIDES and cost > wanted["share"] * wanted["every"] * stride:
        stride *= 2
    return stride


def spent_by(job):
    began = time.process_time()
    job.look(1, 0)
    return time.process_time() - began


def wait_for(start):
    """Until everybody begins; "" or why not."""
    ahead = start - time.time()
    if not start:
        return ""
    if abs(ahead) > CLOCK_S:
        return "its clock and the controller's are %.0f s apart: nothing was begun together" % abs(
            ahead
        )
    time.sleep(max(0.0, ahead))
    return ""


def main():
    wanted = json.loads(sys.argv[1])
    try:
        os.nice(19 - os.nice(0))
    except OSError:
        pass
    ranks, hidden = job_processes.ranks(wanted)
    if hidden:
        say(
            "trouble",
            what="processes",
            detail="%d processes may not be looked at; root, or become: true, may" % hidden,
        )
    if not ranks:
        say("node", name=os.uname()[1], cpus=os.cpu_count() or 1, ranks=0)
        return
    places = node_counters.mounts()
    job = Job(ranks)
    stride = paced(job, wanted)
    clock = wait_for(wanted["start"])
    if clock:
        say("trouble", what="clock", detail=clock)
    watch(job, places, wanted["every"], stride, wanted["seconds"])


def watch(job, places, every, stride, seconds):
    began, begin = time.monotonic(), time.time()
    spent, crews = reading(job)
    counters, everybody = counted(job), node_counters.spent_by_all()
    held, middle = limits(job, places), None
    for moment, when in moments(every, stride, begin, seconds):
        time.sleep(max(0.0, when - time.time()))
        if middle is None and time.monotonic() - began > seconds / 2:
            middle = {one["pid"]: job_processes.counted(one["pid"]) for one in job.ranks}
        job.look(moment, when)
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    passed = time.monotonic() - began
    spent_after, crews_after = reading(job)
    counters_after, everybody_after = counted(job), node_counters.spent_by_all()
    held_after = limits(job, places)
    say(
        "node",
        name=os.uname()[1],
        cpus=os.cpu_count() or 1,
        ranks=len(job.ranks),
        seconds=passed,
        every=every * stride,
        ticks=os.sysconf("SC_CLK_TCK"),
    )
    say("counters", before=counters, after=counters_after)
    own = {one["pid"] for one in job.ranks} | {pid for one in job.ranks for pid in one["crew"]}
    own.add(os.getpid())
    say("foreign", most=node_counters.foreigners(everybody, everybody_after, own))
    for one in job.ranks:
        pid = one["pid"]
        told = {
            name: value for name, value in one.items() if name not in ("inodes", "crew", "cgroup")
        }
        crew = crews[pid], crews_after[pid]
        names = ("run_ns", "ready_ns", "read_bytes", "rchar")
        say(
            "rank",
            before=spent[pid],
            middle=(middle or {}).get(pid),
            after=spent_after[pid],
            crew=len(one["crew"]),
            crew_before={name: sum_of(crew[0], name) for name in names},
            crew_after={name: sum_of(crew[1], name) for name in names},
            crew_looks=job.crews[pid],
            looks=job.looks[pid],
            limit_before=held[pid],
            limit_after=held_after[pid],
            **told,
        )
    for inode, (early, late, sums, marks) in sorted(job.links.items()):
        say(
            "link",
            pid=job.inodes[inode],
            before=early,
            after=late,
            marks=marks,
            looks=sums[0],
            rtt_us=sums[1] / max(1, sums[0]),
            unsent=sums[2] / max(1, sums[0]),
            unread=sums[3] / max(1, sums[0]),
        )
    if job.trouble:
        say("trouble", what="connections", detail=job.trouble)
    say("cost", cpu_s=time.process_time(), looks=job.turn)


main()
print(json.dumps({"k": "end", "rows": COUNT[0]}))
