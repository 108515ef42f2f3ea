"""One node's ranks of a collective operation; node 0 hears all of them and reports.

Argument: one order as JSON, see trials/collectives.py.  The nodes meet at node 0, agree on an
engine that all have, and each starts its ranks.  What a rank tells goes to node 0.  A rank or a
node that breaks off ends all the others, who say which one it was.
"""

import json
import select
import signal
import socket
import sys
import time

import collective_engines as engines
from json_lines import Line
from pair_tcp import call, meet, serve
from trial import end, say, tell, trouble

GRACE_S = 1.0  # for the one that broke first to be heard of, behind those that only felt it


# ----------------------------------------------------------------------------- meeting


def meet_all(order):
    """Node 0's lines to the others, by number.  Raises OSError, naming who did not come."""
    server = serve(order["ports"], order["binds"][0])
    numbers = list(range(1, len(order["names"])))
    try:
        peers = meet(server, order["secret"].encode(), numbers, order["meeting_s"])
    except OSError as error:
        absent = [order["names"][number] for number in getattr(error, "absent", ())]
        raise OSError("%s; absent: %s" % (error, ", ".join(absent)) if absent else str(error))
    return {number: Line(peer) for number, peer in zip(numbers, peers)}


def agree(order, offer, lines):
    """The plan that node 0 makes of all offers; everybody has it when this returns."""
    me, finish = order["me"], time.monotonic() + order["meeting_s"] + order["start_s"]
    if me:
        lines[0].say(offer)
        return lines[0].next(finish)
    offers = {0: offer}
    for number, line in lines.items():
        try:
            offers[number] = line.next(finish)
        except (OSError, ValueError) as error:
            offers[number] = {"broken": "%s: %s" % (order["names"][number], error)}
    plan = engines.plan_of(order, [offers[number] for number in sorted(offers)])
    for line in lines.values():
        try:
            line.say(plan)
        except OSError:
            pass  # its silence is heard of below
    return plan


# ----------------------------------------------------------------------------- watching


class Watch:
    """Everything under way: ranks of ours, lines to the other nodes, and what was said."""

    def __init__(self, order, plan, lines, ranks):
        self.order, self.plan, self.lines, self.ranks = order, plan, lines, ranks
        self.told = {}  # size number -> rank -> what it told
        self.at = {}  # rank -> how many sizes it has told of
        self.done = set()  # nodes whose ranks all ended well
        self.suspect = None  # (why, when to believe it)
        self.why = ""
        self.over = False

    def name(self, rank):
        return "rank %d (%s)" % (rank, self.order["names"][self.plan["node_of"][rank]])

    def hear(self, rank, message):
        """At node 0: one rank's times of one size; the row is told when all have."""
        number = self.at.get(rank, 0)
        self.at[rank] = number + 1
        held = self.told.setdefault(number, {})
        held[rank] = message
        if len(held) == self.plan["ranks"]:
            row(self.order, self.plan, self.told.pop(number))

    def failed(self, why, sure):
        """A cause that others only felt waits for a better one."""
        if self.order["me"]:
            self.tell_first({"failed": why, "sure": sure})
        elif sure:
            self.why = self.why or why
        elif self.suspect is None:
            self.suspect = (why, time.monotonic() + GRACE_S)

    def tell_first(self, message):
        try:
            self.lines[0].say(message)
        except OSError:
            pass  # it is gone, which its line says

    def from_rank(self, one):
        lines = one.line.heard()
        for text in lines or ():
            if text.startswith("@"):
                message = json.loads(text[1:])
                if "failed" in message:
                    one.said = message["failed"]
                    one.sure = message["sure"]
                elif self.order["me"]:
                    self.tell_first({"rank": one.rank, "told": message})
                else:
                    self.hear(one.rank, message)
            else:
                one.heard_beside(text)
                if one.rank == 0:
                    used = sorted(one.offload - {"none"}) or sorted(one.offload)
                    self.plan["offload"] = "+".join(used)
        if lines is None:
            self.ranks.remove(one)
            why, sure = one.end()
            if why:
                self.failed("%s: %s" % (self.name(one.rank), why), sure)
            elif not self.ranks:
                if self.order["me"]:
                    self.tell_first({"done": True})
                else:
                    self.done.add(0)

    def from_node(self, number):
        lines = self.lines[number].heard()
        if lines is None:
            name = self.order["names"][number]
            del self.lines[number]
            if not self.over and number not in self.done:
                self.why = self.why or "node %s was lost: its conversation ended" % name
        for text in lines or ():
            message = json.loads(text)
            if "abort" in message:
                self.why = message["abort"]
            elif "over" in message:
                self.over = True
            elif "failed" in message:
                self.failed(message["failed"], message["sure"])
            elif "told" in message:
                self.hear(message["rank"], message["told"])
            elif "done" in message:
                self.done.add(number)

    def complete(self):
        if self.order["me"]:
            return self.over
        return len(self.done) == len(self.order["names"])

    def until_end(self):
        """Why it ended early; empty: all is told."""
        finish = time.monotonic() + self.order["patience_s"]
        while not self.complete():
            now = time.monotonic()
            if self.suspect and now >= self.suspect[1]:
                self.why = self.why or self.suspect[0]
            if now >= finish:
                slow = min(range(self.plan["ranks"]), key=lambda rank: self.at.get(rank, 0))
                self.why = self.why or "not over after %g s; the last to tell is %s" % (
                    *(self.order["patience_s"], self.name(slow)),
                )
            if self.why:
                return self.why
            waits = {one.line.fileno(): one for one in self.ranks}
            nodes = {line.fileno(): number for number, line in self.lines.items()}
            for number in select.select([*waits, *nodes], [], [], 0.2)[0]:
                if number in waits:
                    self.from_rank(waits[number])
                elif nodes[number] in self.lines:
                    self.from_node(nodes[number])
        return ""

    def farewell(self):
        for line in self.lines.values():
            try:
                line.say({"abort": self.why} if self.why else {"over": True})
            except OSError:
                pass


def row(order, plan, told):
    """The slowest rank's time of every round is the round's."""
    rounds = [max(times) for times in zip(*(one["times"] for one in told.values()))]
    wrongs = [one["wrong"] for one in told.values()]
    tell(
        "collective",
        part=order["part"],
        operation=order["operation"],
        engine=plan["name"],
        nodes=" ".join(order["names"]),
        ranks=plan["ranks"],
        size_bytes=told[0]["size"],
        times_s=" ".join("%.6g" % one for one in rounds),
        wrong=None if None in wrongs else sum(wrongs),
        version=plan["version"],
        algorithm=order["ring"],
        offload=plan.get("offload", ""),
    )


# ----------------------------------------------------------------------------- all of it


def take_part(order):
    me = order["me"]
    servers = engines.open_ports(order)
    if me:
        finish = time.monotonic() + order["meeting_s"]
        secret = order["secret"].encode()
        place = order["places"][0][0], order["ports"], secret, me, finish, order["binds"][me]
        lines = {0: Line(call(*place))}
    else:
        lines = meet_all(order)
    for line in lines.values():
        line.file.settimeout(order["stall_s"])
        line.file.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    plan = agree(order, engines.offer(order, servers), lines)
    if plan.get("trouble"):
        trouble("missing" if plan.get("missing") else "exit", plan["trouble"])
        return
    ranks = engines.start(order, plan, servers, lines)
    watch = Watch(order, plan, lines, ranks)
    try:
        why = watch.until_end()
        if not me:
            watch.farewell()
    finally:
        for one in ranks:
            one.kill()
    if why:
        trouble("exit", why)


def main(order):
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    alone = order["engine"] == "auto" and len(order["names"]) == 1 and engines.tool_for(order)
    if alone or order["launcher"] != "ssh" or order["engine"] in engines.TOOLS:
        engines.run_tool(order, say)
    else:
        take_part(order)


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except (OSError, ValueError, KeyError) as error:
        trouble("exit", error if isinstance(error, OSError) else "%r" % error)
    end()
