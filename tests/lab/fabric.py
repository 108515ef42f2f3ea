"""A two-level fabric under a lab: rails, leaves and spines that really route, every port shaped.

    net = lay(lab)                     # 16 nodes, 2 rails, 4 leaves a rail, 2 spines
    net.harm("nic-tx:n03/1", 0.5)      # components are spelled as localisation spells them
    net.heal()

A leaf is a router of one rail, a spine one of all rails; each is a network name space that ends
with the lab's keeper.  Four leaves a rail and not two: between two leaves, what goes up from one
comes down on the other, so no traffic could tell a bad uplink from a bad downlink.

A node has three addresses a rail.  Leaves forward by destination: to the first by either spine, by
a hash of addresses and ports (ECMP); to the others by spine 0 or 1.  That is what InfiniBand does
with the LIDs of a port whose LMC is above 0.

Every port sends NIC_KBIT, uplinks too: two a leaf for its four nodes, so that a round of two
streams a leaf fills the fabric and more would be in each other's way.  A port serves the nodes that
share it in turn (htb), so that their streams share it alike.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby, product
from pathlib import Path

from lab import Lab, LabError

RAILS, SPINES, LEAF_NODES = 2, 2, 4
NIC_KBIT = 12_000  # all ports together stay far below what two busy cores forward
GATEWAY = "169.254.0.1"  # of every node, on every rail
HASHED = 220  # 10.220.… is reached by any spine, 10.221.… by spine 0, 10.222.… by spine 1
QUEUE_BYTES = 45_000  # 30 ms at NIC_KBIT
SETTLED = "ip_forward=1 conf.all.rp_filter=0 conf.default.rp_filter=0 fib_multipath_hash_policy=1"
FLAP_S = 0.2  # of one up and down
NODELESS = ("leaf", "uplink", "downlink", "spine", "all")
COMPONENT = re.compile(
    r"(?P<kind>nic-tx|nic-rx|nic|host|leaf|uplink|downlink|spine|all)"
    r"(?::(?:(?P<node>[a-z]\w*)(?:/(?P<port>\d+))?|(?P<from>\d+)>(?P<to>\d+)/(?P<at>\d+)"
    r"|(?P<leaf>\d+)/(?P<rail>\d+)(?:>(?P<by>\d+))?|(?P<spine>\d+)))?"
)


@dataclass(frozen=True, slots=True)
class Outlet:
    """The sending side of one port, which is where a rate is set."""

    where: str  # a router or a node
    device: str
    kbit: int  # when healthy


@dataclass(frozen=True, slots=True)
class Net:
    """The fabric of a running lab; all its state is in the kernel."""

    lab: Lab

    @property
    def leaves(self) -> int:
        return -(-len(self.lab.nodes) // LEAF_NODES)

    def leaf_of(self, node: str) -> int:
        return self.lab.nodes.index(node) // LEAF_NODES

    def members(self, leaf: int) -> tuple[str, ...]:
        return self.lab.nodes[leaf * LEAF_NODES : (leaf + 1) * LEAF_NODES]

    def address(self, node: str, rail: int, via: int | None = None) -> str:
        """`via`: the spine that serves it; None: either."""
        plane = HASHED + (0 if via is None else 1 + via)
        return f"10.{plane}.{site(self.leaf_of(node), rail)}.{self.lab.nodes.index(node) + 1}"

    # ------------------------------------------------------------------------- what can be harmed

    def outlets(self, component: str) -> list[Outlet]:
        """What a component sends through.  Raises LabError for one that is not here."""
        found = COMPONENT.fullmatch(component)
        if found is None or not self.has(found):
            raise LabError(f"{component}: no such component; nic-tx:n03/1, leaf:2/0, uplink:2/0>1")
        nodes = [found["node"]] if found["node"] else self.lab.nodes
        rails = [int(found["port"])] if found["port"] else list(range(RAILS))
        ports = [(node, rail) for node in nodes for rail in rails]
        match found["kind"]:
            case "nic-tx" | "nic-rx" | "nic" | "host" | "all" as kind:
                ends = {"nic-tx": (tx,), "nic-rx": (self.rx,)}.get(kind, (tx, self.rx))
                return [end(*port) for port in ports for end in ends]
            case "leaf":
                leaf, rail = int(found["leaf"]), int(found["rail"])
                trunks = [up(leaf, rail, spine) for spine in range(SPINES)]
                return [*trunks, *(self.rx(node, rail) for node in self.members(leaf))]
            case "uplink":
                return [up(int(found["leaf"]), int(found["rail"]), int(found["by"]))]
            case "downlink":
                return [down(int(found["from"]), int(found["to"]), int(found["at"]))]
        sites = [(leaf, rail) for leaf in range(self.leaves) for rail in range(RAILS)]
        return [down(int(found["spine"]), *site) for site in sites]

    def has(self, found: re.Match[str]) -> bool:
        """Whether the words of a component are those that its kind needs, and name what is here."""
        needed = {
            "leaf": ("leaf", "rail"),
            "uplink": ("leaf", "rail", "by"),
            "downlink": ("from", "to", "at"),
            "spine": ("spine",),
            "all": (),
        }.get(found["kind"], ("node",))
        return all(found[word] for word in needed) and (
            found["kind"] in NODELESS or found["node"] in self.lab.nodes
        )

    def rx(self, node: str, rail: int) -> Outlet:
        return Outlet(router(self.leaf_of(node), rail), node, NIC_KBIT)

    def harm(self, component: str, share: float = 0.5) -> None:
        """Let it carry only that share of its rate."""
        self.tc((outlet, limit(outlet, share)) for outlet in self.outlets(component))

    def flap(self, component: str, share: float = 0.1, duty: float = 0.4) -> None:
        """For `duty` of every FLAP_S seconds it carries only that share of its rate."""
        outlets = self.outlets(component)
        turns = ((share, FLAP_S * duty), (1.0, FLAP_S * (1 - duty)))
        script = "".join(
            self.script((outlet, limit(outlet, part)) for outlet in outlets)
            + f"sleep {seconds:.3f}\n"
            for part, seconds in turns
        )
        loop = [*self.into_keeper(), "sh", "-c", f"while :; do\n{script}done"]
        worker = subprocess.Popen(loop, start_new_session=True, stdin=subprocess.DEVNULL)
        (self.lab.folder / f"flap-{worker.pid}").touch()

    def lose(self, component: str, share: float = 0.2) -> None:
        """Let that share of the packets it sends vanish."""
        for outlet in self.outlets(component):
            rule = f"-o {outlet.device} -m statistic --mode random --probability {share} -j DROP"
            add = "iptables -w -t mangle -A POSTROUTING "
            self.sh(f"{shlex.join(self.into(outlet.where))} {add}{rule}\n")

    def heal(self) -> None:
        """Undo every harm."""
        for note in self.lab.folder.glob("flap-*"):
            with suppress(ProcessLookupError):
                os.killpg(int(note.name.removeprefix("flap-")), signal.SIGKILL)
            note.unlink()
        every = [*self.outlets("all"), *self.trunks()]
        places = {outlet.where for outlet in every}
        flush = "iptables -w -t mangle -F POSTROUTING"
        self.sh("".join(f"{shlex.join(self.into(where))} {flush}\n" for where in sorted(places)))
        self.tc((outlet, limit(outlet, 1.0)) for outlet in every)

    def trunks(self) -> list[Outlet]:
        cables = product(range(self.leaves), range(RAILS), range(SPINES))
        return [one for leaf, rail, s in cables for one in (up(leaf, rail, s), down(s, leaf, rail))]

    # ------------------------------------------------------------------------- reaching its parts

    def into_keeper(self) -> list[str]:
        return ["nsenter", "-t", str(self.lab.keeper), "-p", "-m", "-n", "--"]

    def into(self, where: str) -> list[str]:
        """From the keeper's name spaces into the network of a router or a node."""
        if where not in self.lab.addresses:
            return ["ip", "netns", "exec", where]
        return ["nsenter", "-t", str(self.pid(where)), "-n", "--"]

    def pid(self, node: str) -> int:
        """Process 1 of the node, as the keeper counts."""
        status = Path(f"/proc/{self.lab.pid(node)}/status").read_text()
        found = re.search(r"^NSpid:\s+(.*)", status, re.MULTILINE)
        assert found is not None
        return int(found[1].split()[-2])

    def script(self, lines: Iterable[tuple[Outlet, str]]) -> str:
        """One `tc -batch` for each place."""
        told = sorted(((outlet.where, line) for outlet, line in lines), key=lambda one: one[0])
        return "".join(
            f"{shlex.join(self.into(where))} tc -batch - <<'EOF'\n"
            + "".join(line for _, line in few)
            + "EOF\n"
            for where, few in groupby(told, key=lambda one: one[0])
        )

    def tc(self, lines: Iterable[tuple[Outlet, str]]) -> None:
        self.sh(self.script(lines))

    def sh(self, script: str) -> None:
        """Raises LabError."""
        done = subprocess.run(
            [*self.into_keeper(), "sh", "-e"],
            input=script,
            text=True,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise LabError(f"fabric: {done.stderr.strip()}")

    # ------------------------------------------------------------------------- building it

    def plug(self, node: str) -> None:
        """Cables of a node on all rails, its addresses and routes.  A restarted node has none."""
        leaf, pid = self.leaf_of(node), self.pid(node)
        cables, inside, outside = "", "", ""
        for rail in range(RAILS):
            there, card = router(leaf, rail), f"rail{rail}"
            cables += f"link add name {node} netns {there} type veth peer name {card} netns {pid}\n"
            inside += f"link set {card} up\n"
            local = f"address add {GATEWAY}/32 dev {node}\nlink set {node} up\n"
            for via in (None, *range(SPINES)):
                own = self.address(node, rail, via)
                plane = own.split(".")[1]
                inside += f"address add {own}/32 dev {card}\n"
                inside += f"route add 10.{plane}.{site(0, rail)}.0/20 via {GATEWAY} "
                inside += f"dev {card} onlink src {own}\n"
                local += f"route add {own}/32 dev {node}\n"
            outside += batch(f"ip -n {there}", local) + plain(f"ip netns exec {there}", node)
        enter = shlex.join(self.into(node))
        self.sh(
            batch("ip", cables)
            + batch(f"{enter} ip", inside)
            + "".join(plain(enter, f"rail{rail}") for rail in range(RAILS))
            + outside
        )
        ports = [end(node, rail) for rail in range(RAILS) for end in (tx, self.rx)]
        self.tc((outlet, shape(outlet, {})) for outlet in ports)

    def labels(self, node: str) -> str:
        """What the inventory says of it, as one line of YAML."""
        words = [f"leaf: {self.leaf_of(node)}"]
        for name, via in (("rail", None), *((f"via{spine}", spine) for spine in range(SPINES))):
            addresses = " ".join(self.address(node, rail, via) for rail in range(RAILS))
            words.append(f'{name}_addresses: "{addresses}"')
        return f"{{{', '.join(words)}}}"

    def inventory(self) -> Path:
        """An inventory of the lab that knows of the fabric; beside the lab's own."""
        path = self.lab.folder / "fabric.yml"
        path.write_text(
            "nodes:\n"
            + "".join(
                f"  {node}: {{address: {address}, user: root, port: 22, "
                f"labels: {self.labels(node)}}}\n"
                for node, address in self.lab.addresses.items()
            )
        )
        return path

    def plugged(self, node: str) -> bool:
        return self.lab.enter(node, "ip", "link", "show", "rail0").returncode == 0

    def mend(self) -> None:
        """Heal it, and plug in every node that was started again."""
        for node in self.lab.nodes:
            if not self.plugged(node):
                self.plug(node)
        self.heal()

    def wire(self) -> None:
        """Routers, and the cables between them."""
        script = "mount -t tmpfs fabric /run\nmkdir /run/netns\n"
        names = [f"spine{spine}" for spine in range(SPINES)]
        names += [router(leaf, rail) for leaf in range(self.leaves) for rail in range(RAILS)]
        for name in names:
            settle = "".join(f"net.ipv4.{word} " for word in SETTLED.split())
            script += f"ip netns add {name}\nip -n {name} link set lo up\n"
            script += f"ip netns exec {name} sysctl -qw {settle}net.ipv6.conf.all.disable_ipv6=1\n"
        for leaf in range(self.leaves):
            for rail in range(RAILS):
                script += "".join(self.trunk(leaf, rail, spine) for spine in range(SPINES))
        for leaf in range(self.leaves):
            for rail in range(RAILS):
                script += batch(f"ip -n {router(leaf, rail)}", self.upward(leaf, rail))
        self.sh(script)
        self.tc((outlet, shape(outlet, self.sharers(outlet))) for outlet in self.trunks())

    def trunk(self, leaf: int, rail: int, spine: int) -> str:
        """A cable between leaf and spine, its addresses, and the spine's way down."""
        here, there, number = router(leaf, rail), f"spine{spine}", site(leaf, rail)
        a, b = f"up{spine}", f"to{leaf}.{rail}"
        near, far = trunk_ends(leaf, rail, spine)
        routes = "".join(f"route add 10.{HASHED + p}.{number}.0/24 via {near}\n" for p in PLANES)
        return (
            f"ip link add name {a} netns {here} type veth peer name {b} netns {there}\n"
            + batch(f"ip -n {here}", f"address add {near}/31 dev {a}\nlink set {a} up\n")
            + batch(f"ip -n {there}", f"address add {far}/31 dev {b}\nlink set {b} up\n{routes}")
            + plain(f"ip netns exec {here}", a)
            + plain(f"ip netns exec {there}", b)
        )

    def upward(self, leaf: int, rail: int) -> str:
        """The leaf's routes to all other leaves of its rail."""
        ways = [trunk_ends(leaf, rail, spine)[1] for spine in range(SPINES)]
        either = " ".join(f"nexthop via {way}" for way in ways)
        lines = ""
        for other in range(self.leaves):
            if other != leaf:
                number = site(other, rail)
                lines += f"route add 10.{HASHED}.{number}.0/24 {either}\n"
                for plane, way in zip(PLANES[1:], ways, strict=True):
                    lines += f"route add 10.{HASHED + plane}.{number}.0/24 via {way}\n"
        return lines

    def sharers(self, outlet: Outlet) -> dict[int, str]:
        """Whose traffic a trunk serves in turn: the node's number -> where a packet has it."""
        going_up = outlet.device.startswith("up")
        place = outlet.where if going_up else outlet.device
        leaf = int(re.sub(r"\D*(\d+)\..*", r"\1", place))
        at = 15 if going_up else 19  # last byte of the source, or of the destination
        numbers = (self.lab.nodes.index(node) + 1 for node in self.members(leaf))
        return {number: f"match u8 {number} 0xff at {at}" for number in numbers}


PLANES = range(1 + SPINES)


def site(leaf: int, rail: int) -> int:
    """Third byte of its nodes' addresses."""
    return 16 * rail + leaf


def router(leaf: int, rail: int) -> str:
    return f"leaf{leaf}.{rail}"


def tx(node: str, rail: int) -> Outlet:
    return Outlet(node, f"rail{rail}", NIC_KBIT)


def up(leaf: int, rail: int, spine: int) -> Outlet:
    return Outlet(router(leaf, rail), f"up{spine}", NIC_KBIT)


def down(spine: int, leaf: int, rail: int) -> Outlet:
    return Outlet(f"spine{spine}", f"to{leaf}.{rail}", NIC_KBIT)


def trunk_ends(leaf: int, rail: int, spine: int) -> tuple[str, str]:
    return tuple(f"10.230.{site(leaf, rail)}.{2 * spine + end}" for end in (0, 1))  # type: ignore[return-value]


def limit(outlet: Outlet, share: float) -> str:
    rate = max(8, int(outlet.kbit * share))
    return f"class change dev {outlet.device} parent 1: classid 1:1 htb {kbit(rate, rate)}\n"


def shape(outlet: Outlet, sharers: dict[int, str]) -> str:
    """One class for the port; below it, one for each that shares it.

    Theirs have next to nothing of their own, so that the port's rate alone holds.
    """
    device = outlet.device
    lines = f"qdisc replace dev {device} root handle 1: htb default 10\n"
    lines += f"class add dev {device} parent 1: classid 1:1 htb {kbit(outlet.kbit, outlet.kbit)}\n"
    for place, match in enumerate(["", *sharers.values()], 10):
        lines += f"class add dev {device} parent 1:1 classid 1:{place} htb {kbit(8, outlet.kbit)}\n"
        lines += f"qdisc add dev {device} parent 1:{place} bfifo limit {QUEUE_BYTES}\n"
        if match:
            lines += f"filter add dev {device} parent 1: protocol ip u32 {match} flowid 1:{place}\n"
    return lines


def kbit(rate: int, ceiling: int) -> str:
    return f"rate {rate}kbit ceil {ceiling}kbit burst 3k cburst 3k quantum 1514"


def plain(enter: str, device: str) -> str:
    """Packets as they are on a wire: TCP hands over 64 kB at once, which no short queue takes."""
    return f"{enter} ip link set {device} gso_max_segs 1\n"


def batch(tool: str, lines: str) -> str:
    return f"{tool} -batch - <<'EOF'\n{lines}EOF\n"


def lay(lab: Lab) -> Net:
    """Build it under a lab that has none yet.  Raises LabError."""
    net = Net(lab)
    net.wire()
    for node in lab.nodes:
        net.plug(node)
    net.inventory()
    return net


def harm(lab: Lab, component: str, how: str) -> None:
    """For `fault`: "heal", a share of the rate, "flap" or "loss"."""
    net = Net(lab)
    match how or "0.5":
        case "heal":
            net.heal()
        case "flap":
            net.flap(component)
        case "loss":
            net.lose(component)
        case share:
            net.harm(component, float(share))
