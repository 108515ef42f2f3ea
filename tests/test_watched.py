"""What samples add up to: counters that wrap, fall and reboot; what is news, and what it means."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import asdict

import pytest
from scripted import NOON

from clusterctl.campaign.journal import Corrupt, Record, Stretch, laid_out, named
from clusterctl.campaign.sampled import Known, failing, findings
from clusterctl.campaign.watched import Watched
from clusterctl.catalog import all_checks
from clusterctl.counters import risen
from clusterctl.model import (
    Accelerator,
    Dimm,
    Node,
    Observation,
    Optic,
    PcieDevice,
    Playbook,
    Port,
    Status,
)
from clusterctl.remote import sampler

SYMBOLS = "/sys/class/infiniband/mlx5_3/ports/1/counters/symbol_error"
CORRECTABLE = "/sys/bus/pci/devices/0000:1b:00.0/aer_dev_correctable"
BOOK = Playbook("test", checks=tuple(all_checks().values()))
CARD = Accelerator(
    "gpu3", vendor="nvidia", model="H100", uuid="u", temp_c=60, throttle=("idle",),
    ecc_uncorrected_volatile=0, ecc_uncorrected_aggregate=2, ecc_corrected_volatile=0,
    remapped_corrected=0, remapped_uncorrected=0, remap_pending=False, remap_failed=False,
    throttle_thermal_us=0, pcie_replays=0,
)  # fmt: skip
PORT = Port("mlx5_3/1", "mlx5_3", "active", "infiniband", counters={"symbol_error": 7})
BEFORE = (
    Observation("n1", "nvml", NOON, (CARD,)),
    Observation("n1", "sysfs_rdma", NOON, (PORT,)),
    Observation("n1", "pci", NOON, (
        PcieDevice("0000:1b:00.0", "nic", "15b3", "1021", "020700", vendor="mellanox",
                   driver="mlx5_core", aer_corrected=0, aer_nonfatal=0, aer_fatal=0),
    )),
    Observation("n1", "memory", NOON, (Dimm("mc0", corrected=0, uncorrected=0),)),
    Observation("n1", "ethtool", NOON, (Optic("eth0", temp_c=48, rx_mw=(0.7, 0.71)),)),
)  # fmt: skip


def of(name: str, *values: object) -> Watched:
    """One value after the other of one name; None between two: a reboot."""
    watched = Watched()
    for at, value in enumerate(values):
        if value is None:
            watched.learn(Record(at, "start", 0.0, {"boot": str(at)}))
        else:
            watched.learn(Record(at, "full", at, {"groups": [["", [name], [value]]]}))
    return watched


@pytest.mark.parametrize(
    ("values", "rose"),
    [
        ((5, 5, 5), 0),
        ((5, 9), 4),
        ((2**32 - 3, 4), 7),
        ((2**64 - 3, 4), 7),
        ((200, 0, 0), 0),
        ((200, 0, 3), 3),
        ((200, 12), 12),
        ((40, None, 0), 0),
        ((40, None, 2, 5), 5),
        ((40, None, 41), 1),
        ((2**32 - 3, None, 0), 0),
    ],
)
def test_a_counter_that_wraps_is_reset_or_reboots_never_falls_and_its_rise_is_seen(values, rose):
    watched = of(SYMBOLS, *values)
    assert watched.rose.get(SYMBOLS, 0) == rose
    watched.news = False
    watched.learn(Record(9, "start", 0.0, {}))
    watched.learn(Record(10, "full", 1.0, {"groups": [["", [SYMBOLS], [values[-1]]]]}))
    assert (watched.rose.get(SYMBOLS, 0), watched.news) == (rose, False)


def test_no_step_of_a_counter_is_negative():
    edges = [0, 1, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1]
    assert all(risen(now, then)[0] >= 0 for now in edges for then in edges)


def test_a_stretch_without_news_is_not_looked_into():
    watched = of(SYMBOLS, 5)
    watched.learn(Stretch(1, [1.0], [b"[0,9]"]))
    assert not watched.rose
    watched.learn(Stretch(2, [2.0], [b"[0,9]"], news=True))
    assert watched.rose == {SYMBOLS: 4}


def cards(*uuids: str, errors: tuple[int, ...]) -> Record:
    """What NVML counts, and the errors of each card's life."""
    groups: list[object] = [["", ["nvml"], ["ok"]]]
    for index, (uuid, count) in enumerate(zip(uuids, errors, strict=True)):
        names = ["handle", "uuid", "ecc_uncorrected_aggregate"]
        groups.append([f"gpu{index}", names, ["ok", uuid, count]])
    return Record(0, "full", 0.0, {"groups": groups})


def test_a_card_that_is_counted_no_more_is_named_and_no_other_takes_its_blame():
    watched = Watched()
    watched.learn(cards("a", "b", "c", errors=(0, 1, 9)))
    watched.learn(cards("a", "c", errors=(0, 9)))  # NVML counts c as gpu1 now
    assert watched.gone == {"gpu1": "not counted any more"}
    assert not watched.rose
    watched.learn(Record(0, "full", 0.0, {"groups": [["", ["nvml"], ["timeout"]]]}))
    assert list(watched.gone) == ["gpu1"]  # a silent NVML is blindness, and no card is lost by it


# ----------------------------------------------------------------------------- the node's side

NAMES = {
    "gpu0": ("temp_c", "power_w", "throttle_mask", "ecc_uncorrected_volatile", "handle"),
    "/sys/class/infiniband/mlx5_0/ports/1/counters": ("port_xmit_data", "symbol_error"),
    "/sys/class/thermal/thermal_zone0": ("temp",),
    "psu": ("hwmon4.in_w", "hwmon4.in_v"),
    "optic": ("eth0.rx1_nw", "eth0.temp_c"),
    "": ("slow",),
    "meter": ("hwmon2.node_w",),
}


@pytest.mark.parametrize(
    ("changes", "is_news"),
    [
        ([[0, 61], [1, 700], [2, 4], [5, 999999], [7, 40000]], False),
        ([[0, 79]], False),
        ([[0, 85]], True),
        ([[0, 85], [0, 85]], True),
        ([[2, 0x40]], True),
        ([[2, 0x44]], True),
        ([[3, 1]], True),
        ([[6, 1]], True),
        ([[1, "!GpuIsLost"]], True),
        ([[1, None]], False),
        ([[8, 12], [9, 231], [10, 650000], [11, 69]], False),
        ([[9, 0]], True),
        ([[9, "!"]], True),
        ([[10, 90]], True),
        ([[11, 70]], True),
        ([[12, "late"]], True),
        ([[13, 6100]], False),
        ([[13, "!"]], True),
    ],
)
def test_a_sample_says_whether_somebody_has_to_look(changes, is_news):
    news = sampler.News()
    news.learn([[folder, list(names), [0] * len(names)] for folder, names in NAMES.items()])
    assert any([news.holds(change) for change in changes]) is is_news  # noqa: C419 - all are told


def test_a_temperature_is_news_only_where_it_is_the_highest_yet():
    news = sampler.News()
    news.learn([["gpu0", ["temp_c"], [50]]])
    assert [news.holds([0, c]) for c in (70, 80, 80, 79, 83, 82, 84)] == [
        False, True, False, False, True, False, True,
    ]  # fmt: skip


def test_every_name_that_is_judged_is_news_when_it_changes():
    """Who reads skips what the node does not call news."""
    names = [
        *(f"gpu0.{name}" for name in ("ecc_corrected_volatile", "remapped", "pcie_replays")),
        *(f"gpu0.{name}" for name in ("hw_thermal_ns", "sw_thermal_ns", "nvlink_crc_flit_errors")),
        *(SYMBOLS, CORRECTABLE, "/sys/devices/system/edac/mc/mc0/ue_count", "nvml"),
        *("/sys/class/net/eth0/carrier_changes", "/sys/class/infiniband/mlx5_0/ports/1/state"),
        *("/sys/class/hwmon/hwmon1/fan2_fault", "/sys/class/nvme/nvme0/state"),
    ]
    news = sampler.News()
    news.learn([["", names, [0] * len(names)]])
    assert all(news.holds([index, 1]) for index in range(len(names)))


def test_files_that_are_too_many_to_be_read_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(sampler, "FILES_AT_MOST", 2)
    for number in range(5):
        (tmp_path / f"c{number}").write_text("0")
    files = sampler.Files((f"{tmp_path}/c0",), (f"{tmp_path}/*",))
    files.look()
    assert (len(files.paths), files.left_out) == (2, 3)


# ----------------------------------------------------------------------------- what it means

LINK = "/sys/class/infiniband/mlx5_3/ports/1"
XID = "NVRM: Xid (PCI:0000:43:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."


def said(watched: Watched, *, hours: float = 1.0) -> set[tuple[str, str, str]]:
    known = [Known(Node("n1"), BEFORE, watched)]
    found = findings(known, BOOK, (), NOON, spans={"n1": hours * 3600})
    return {(one.check, one.verdict.part, str(one.verdict.status)) for one in found}


@pytest.mark.parametrize(
    ("name", "values", "check", "part", "status"),
    [
        ("gpu3.ecc_uncorrected_volatile", (0, 1), "ecc", "gpu3", "fail"),
        ("gpu3.ecc_uncorrected_aggregate", (2, 3), "ecc", "gpu3", "fail"),
        ("gpu3.throttle_mask", (4, 0x48, 4), "throttle", "gpu3", "fail"),
        ("gpu3.hw_thermal_ns", (0, 2 * 10**9), "throttle", "gpu3", "warn"),
        ("gpu3.temp_c", (60, 96, 60), "temperature", "gpu3", "fail"),
        ("gpu3.remapped", ("0 0 0 0", "0 0 0 1"), "row_remap", "gpu3", "fail"),
        ("gpu3.handle", ("ok", "!GpuIsLost"), "accelerator_lost", "gpu3", "fail"),
        ("gpu3.pcie_replays", (2**32 - 5, 100), "pcie_errors", "gpu3", "warn"),
        (SYMBOLS, (7, 20, 0, 150), "port_errors", "mlx5_3/1", "fail"),
        (f"{LINK}/counters/link_downed", (0, 1), "", "", ""),  # the reading knew no such counter
        (f"{LINK}/state", ("4: ACTIVE", "1: DOWN"), "port_lost", "mlx5_3/1", "fail"),
        (CORRECTABLE, ("RxErr 0\nTOTAL_ERR_COR 0", "RxErr 9\nTOTAL_ERR_COR 9999"),
         "pcie_errors", "0000:1b:00.0", "warn"),
        ("/sys/devices/system/edac/mc/mc0/ue_count", (0, 1), "memory_errors", "mc0", "fail"),
        ("/sys/class/hwmon/hwmon1/fan2_fault", (0, 1), "fan", "hwmon1/fan2", "fail"),
        ("psu.hwmon4.in_v", (230, 0, 231), "psu", "hwmon4", "fail"),
        ("psu.hwmon4.in_v", (0, 0), "", "", ""),  # it had no cord before
        ("optic.eth0.rx2_nw", (700_000, 90, 700_000), "optics", "eth0", "fail"),
        ("optic.eth0.temp_c", (50, 74, 50), "optics", "eth0", "warn"),
    ],
)  # fmt: skip
def test_what_moves_under_load_is_judged_by_the_same_checks(name, values, check, part, status):
    found = said(of(name, *values))
    assert found >= {(check, part, status)} if check else found == set()
    assert said(of(name, values[0], values[0])) == set()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (SYMBOLS, (65000, 0, 0)),
        (SYMBOLS, (65000, None, 0)),
        ("gpu3.ecc_uncorrected_volatile", (5, 0)),
        ("gpu3.ecc_uncorrected_volatile", (5, None, 0)),
        ("gpu3.pcie_replays", (2**32 - 5, 3)),
        ("gpu3.pcie_replays", (2**32 - 5, None, 0)),
        ("gpu3.throttle_mask", (1, 4, 1)),
    ],
)
def test_a_counter_that_falls_or_wraps_is_no_fault(name, values):
    assert said(of(name, *values)) == set()


def test_a_line_of_the_kernel_is_a_finding_and_the_old_log_is_none():
    watched = Watched()
    watched.learn(Record(0, "kernel", 1.0, {"lines": [[1.0, XID], [1.0, XID], "garbage", [3]]}))
    assert {(check, status) for check, _, status in said(watched)} == {("xid", "fail")}
    assert watched.news


def test_a_node_fails_early_on_what_no_hour_would_excuse():
    def early(watched: Watched) -> str:
        return failing(Known(Node("n1"), BEFORE, watched), BOOK, (), NOON, seconds=30)

    assert early(of("gpu3.ecc_uncorrected_volatile", 0, 1)).startswith("ecc: gpu3")
    assert early(of(SYMBOLS, 7, 17)) == ""  # ten in half a minute are no rate of an hour
    assert early(of(SYMBOLS, 7, 207)).startswith("port_errors")
    assert early(of("gpu3.pcie_replays", 0, 500)) == ""  # a warning returns nobody


def test_what_the_reading_before_said_already_is_not_said_again():
    hot = Accelerator("gpu3", model="H100", temp_c=97, throttle=("idle",))
    known = [Known(Node("n1"), (Observation("n1", "nvml", NOON, (hot,)),), of("gpu3.temp_c", 97))]
    assert list(findings(known, BOOK, (), NOON, spans={})) == []


ROWS = {
    "nvml": ("ok", "ok", "ok", "timeout"),
    **{f"gpu{number}.{name}": values for number in range(3) for name, values in {
        "uuid": ("a", "b", "c"), "handle": ("ok", "ok", "!GpuIsLost"), "temp_c": (60, 79, 85, 91),
        "ecc_uncorrected_volatile": (0, 1, 2, 7), "throttle_mask": (4, 4, 0x48),
        "remapped": ("0 0 0 0", "1 0 0 0", "1 2 1 0", "!NotSupported")}.items()},
    SYMBOLS: (0, 1, 5, 2**32 - 3),
    "/sys/class/infiniband/mlx5_3/ports/1/state": ("4: ACTIVE", "1: DOWN"),
    CORRECTABLE: ("RxErr 0\nTOTAL_ERR_COR 0", "RxErr 2\nTOTAL_ERR_COR 2"),
    "/sys/class/hwmon/hwmon1/fan2_fault": (0, 1),
    "/sys/class/nvme/nvme0/state": ("live", "dead"),
}  # fmt: skip


KINDS = ("full", "full", "delta", "delta", "delta", "delta", "quiet") * 9 + (
    "start",
    "bad",
    "parts",
)


def told(chance: random.Random) -> Iterator[Record | Stretch | Corrupt]:
    """Full samples, deltas, reboots, damage; cards that change places; sometimes other devices."""
    names = list(ROWS)
    now = {name: ROWS[name][0] for name in names}
    for number in range(300):
        match chance.choice(KINDS):
            case "start":
                yield Record(number, "start", 0.0, {"boot": chance.choice("ab")})
            case "bad":
                yield Corrupt(0, "damaged")
            case "parts" if len(names) == len(ROWS):
                names.remove(chance.choice(names))
            case "delta" | "quiet" as kind:
                at = chance.randrange(len(names))
                now[names[at]] = chance.choice(ROWS[names[at]])
                delta = json.dumps([at, now[names[at]]]).encode()
                yield Stretch(number, [1.0], [delta if kind == "delta" else b"[]"], news=True)
            case _:
                if chance.random() < 0.5:
                    name = chance.choice(names)
                    now[name] = chance.choice(ROWS[name])
                groups = [["", names[:5], [now[name] for name in names[:5]]],
                          ["", names[5:], [now[name] for name in names[5:]]]]  # fmt: skip
                yield Record(number, "full", 0.0, {"groups": groups})


@pytest.mark.parametrize("seed", range(15))
def test_looking_at_what_changed_learns_what_looking_at_everything_does(seed):
    quick, whole = Watched(), Watched()
    for one in told(random.Random(seed)):
        if isinstance(one, Record) and one.kind == "full":
            whole.names = None  # so everything is looked at
        for watched in (quick, whole):
            watched.learn(one)
        found = [{**asdict(one), "swapped": None} for one in (quick, whole)]
        assert found[0] == found[1], one


def test_names_are_spelled_once_for_all_nodes_of_like_hardware():
    def groups(*values: int) -> list[object]:
        return [["gpu0", ["temp_c", "power_w"], list(values[:2])], ["/sys/x", ["a"], [values[2]]]]

    names, values = laid_out(groups(1, 2, 3), None)
    assert names.every == ("gpu0.temp_c", "gpu0.power_w", "/sys/x/a")
    assert laid_out(groups(4, 5, 6), None)[0] is names
    assert (laid_out(groups(7, 8, 9), names), values) == ((names, [7, 8, 9]), [1, 2, 3])


@pytest.mark.parametrize(
    "groups",
    [
        None, 3, [], [3], [["gpu0"]], [["gpu0", ["temp_c"], 5]], [["gpu0", ["temp_c"], [1, 2]]],
        [["gpu0", ["temp_c"], []]], [["gpu0", ["temp_c", "temp_c"], [1, 2]]],
        [["gpu0", [7], [1]]], [["gpu1", ["temp_c"], [1]]], [[["gpu0"], ["temp_c"], [1]]],
        [["gpu0", ["temp_c"], [1]], ["gpu0", ["temp_c"], [2]]],
    ],
)  # fmt: skip
def test_a_full_record_that_nobody_would_write_is_laid_out_as_its_pairs(groups):
    known, _ = laid_out([["gpu0", ["temp_c"], [50]]], None)
    odd, _ = laid_out(groups, None)
    for before in (None, known, odd):
        names, values = laid_out(groups, before)
        assert dict(zip(names.every, values, strict=True)) == dict(named(groups))


def test_garbage_in_samples_never_raises():
    watched = Watched()
    for cells in (
        {},
        {"groups": 3},
        {"groups": [["", ["gpu3.remapped", SYMBOLS], ["x y", "!EIO"]]]},
    ):
        watched.learn(Record(0, "full", 0.0, cells))
    for text in (b"[", b"[0]", b"[9,9]", b"[0,[1]]", b'{"a":1}', b"null"):
        watched.learn(Record(0, "full", 0.0, {"groups": [["", ["gpu3.temp_c"], [50]]]}))
        watched.learn(Stretch(1, [1.0], [text], news=True))
    assert {status for _, _, status in said(watched)} <= {str(Status.WARN)}
