"""A plain-file /sys of an eight-GPU machine: what the kernel would show of hardware not here.

Values as a DGX H100 shows them: H100 SXM5 (10de:2330), ConnectX-7 (15b3:1021), PM9A3 drives.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from cards import (
    DRIVE_BUSES,
    NIC_BUSES,
    card_and_bridge,
    drive_card,
    ethernet_card,
    gpu_card,
    nic_card,
)
from tree import LINK, Entry

DRIVER_VERSION = "550.90.07"

IB_COUNTERS = (
    "VL15_dropped excessive_buffer_overrun_errors link_downed link_error_recovery "
    "local_link_integrity_errors multicast_rcv_packets multicast_xmit_packets "
    "port_rcv_constraint_errors port_rcv_data port_rcv_errors port_rcv_packets "
    "port_rcv_remote_physical_errors port_rcv_switch_relay_errors port_xmit_constraint_errors "
    "port_xmit_data port_xmit_discards port_xmit_packets port_xmit_wait symbol_error "
    "unicast_rcv_packets unicast_xmit_packets"
)
IB_HW_COUNTERS = (
    "duplicate_request implied_nak_seq_err lifespan local_ack_timeout_err np_cnp_sent "
    "np_ecn_marked_roce_packets out_of_buffer out_of_sequence packet_seq_err "
    "req_cqe_error req_cqe_flush_error req_remote_access_errors req_remote_invalid_request "
    "resp_cqe_error resp_cqe_flush_error resp_local_length_error resp_remote_access_errors "
    "rnr_nak_retry_err roce_adp_retrans roce_adp_retrans_to roce_slow_restart "
    "rp_cnp_handled rp_cnp_ignored rx_atomic_requests rx_icrc_encapsulated rx_read_requests "
    "rx_write_requests"
)
TRAFFIC = {
    "port_rcv_data": "81234567890",
    "port_xmit_data": "81230000000",
    "port_rcv_packets": "151234567",
    "port_xmit_packets": "151230000",
    "lifespan": "10",
}
NET_STATISTICS = (
    "collisions multicast rx_bytes rx_compressed rx_crc_errors rx_dropped rx_errors "
    "rx_fifo_errors rx_frame_errors rx_length_errors rx_missed_errors rx_over_errors rx_packets "
    "tx_aborted_errors tx_bytes tx_carrier_errors tx_compressed tx_dropped tx_errors "
    "tx_fifo_errors tx_heartbeat_errors tx_packets tx_window_errors"
)


def gpu(index: int) -> Iterator[Entry]:
    yield from card_and_bridge(gpu_card(index))


def port(base: str) -> Iterator[Entry]:
    yield f"{base}/state", "4: ACTIVE"
    yield f"{base}/phys_state", "5: LinkUp"
    yield f"{base}/rate", "400 Gb/sec (4X NDR)"
    yield f"{base}/link_layer", "InfiniBand"
    yield f"{base}/lid", "0x2a"
    yield f"{base}/lid_mask_count", "0"
    yield f"{base}/sm_lid", "0x1"
    yield f"{base}/sm_sl", "0"
    yield f"{base}/cap_mask", "0xa651e848"
    yield f"{base}/pkeys/0", "0xffff"
    for name in IB_COUNTERS.split():
        yield f"{base}/counters/{name}", TRAFFIC.get(name, "0")
    for name in IB_HW_COUNTERS.split():
        yield f"{base}/hw_counters/{name}", TRAFFIC.get(name, "0")


def nic(index: int) -> Iterator[Entry]:
    card = nic_card(index)
    yield from card_and_bridge(card)
    base = f"{card.folder}/infiniband/mlx5_{index}"
    yield f"{base}/device", f"{LINK}../../../{card.address}"
    yield f"{base}/node_type", "1: CA"
    yield f"{base}/fw_ver", "28.39.1002"
    yield f"{base}/hca_type", "MT4129"
    yield f"{base}/hw_rev", "0"
    yield f"{base}/board_id", "MT_0000000838"
    yield from port(f"{base}/ports/1")
    yield f"class/infiniband/mlx5_{index}", f"{LINK}../../{base}"


def drive(index: int) -> Iterator[Entry]:
    card = drive_card(index)
    yield from card_and_bridge(card)
    base = f"{card.folder}/nvme/nvme{index}"
    yield f"{base}/device", f"{LINK}../../../{card.address}"
    yield f"{base}/model", "SAMSUNG MZQL23T8HCLS-00A07              "
    yield f"{base}/firmware_rev", "GDC5902Q"
    yield f"{base}/state", "live"
    yield f"{base}/transport", "pcie"
    yield f"{base}/address", card.address
    yield f"{base}/cntlid", "6"
    block = f"{base}/nvme{index}n1"
    yield f"{block}/size", "7501476528"
    yield f"{block}/ro", "0"
    yield f"{block}/removable", "0"
    yield f"{block}/queue/rotational", "0"
    yield f"{block}/queue/logical_block_size", "512"
    yield f"{block}/device", f"{LINK}../../nvme{index}"
    yield f"class/nvme/nvme{index}", f"{LINK}../../{base}"
    yield f"class/block/nvme{index}n1", f"{LINK}../../{block}"
    yield f"block/nvme{index}n1", f"{LINK}../{block}"


def interface(base: str, name: str, *, kind: int, flags: str, speed: str) -> Iterator[Entry]:
    yield f"{base}/operstate", "up" if speed else "unknown"
    yield f"{base}/carrier", "1"
    yield f"{base}/carrier_changes", "1"
    yield f"{base}/carrier_up_count", "1"
    yield f"{base}/carrier_down_count", "0"
    yield f"{base}/mtu", "1500" if speed else "65536"
    yield f"{base}/type", str(kind)
    yield f"{base}/flags", flags
    yield f"{base}/dev_port", "0"
    if speed:
        yield f"{base}/speed", speed
        yield f"{base}/duplex", "full"
    for counter in NET_STATISTICS.split():
        yield f"{base}/statistics/{counter}", "0"
    yield f"class/net/{name}", f"{LINK}../../{base}"


def networks() -> Iterator[Entry]:
    """The two interfaces a lab node really has; eth0 sits on a card, so that it counts as one."""
    card = ethernet_card()
    yield from interface("devices/virtual/net/lo", "lo", kind=772, flags="0x9", speed="")
    yield from card_and_bridge(card)
    base = f"{card.folder}/net/eth0"
    yield from interface(base, "eth0", kind=1, flags="0x1003", speed="10000")
    yield f"{base}/device", f"{LINK}../../../{card.address}"


def processors() -> Iterator[Entry]:
    """As many as /proc/cpuinfo shows, which is the real machine's."""
    count = os.cpu_count() or 1
    everyone = f"0-{count - 1}" if count > 1 else "0"
    for name in ("online", "possible", "present"):
        yield f"devices/system/cpu/{name}", everyone
    for cpu in range(count):
        base = f"devices/system/cpu/cpu{cpu}"
        yield f"{base}/online", "1"
        yield f"{base}/topology/physical_package_id", "0"
        yield f"{base}/topology/core_id", str(cpu)
        yield f"{base}/topology/thread_siblings_list", str(cpu)
        yield f"{base}/topology/core_cpus_list", str(cpu)
        yield f"{base}/cpufreq/scaling_governor", "performance"
        yield f"{base}/cpufreq/cpuinfo_max_freq", "3800000"
        yield f"{base}/cpufreq/scaling_cur_freq", "3000000"
        yield f"{base}/thermal_throttle/core_throttle_count", "0"
        yield f"{base}/thermal_throttle/package_throttle_count", "0"
        yield f"{base}/microcode/version", "0x2b000590"
    total_kb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024
    yield "devices/system/node/online", "0"
    yield "devices/system/node/possible", "0"
    yield "devices/system/node/node0/cpulist", everyone
    yield "devices/system/node/node0/distance", "10"
    lines = (
        f"Node 0 MemTotal:       {total_kb} kB",
        f"Node 0 MemFree:        {total_kb // 2} kB",
        f"Node 0 MemUsed:        {total_kb - total_kb // 2} kB",
    )
    yield "devices/system/node/node0/meminfo", "\n".join(lines)


def memory_controllers() -> Iterator[Entry]:
    for controller in range(2):
        base = f"devices/system/edac/mc/mc{controller}"
        yield f"{base}/mc_name", f"Intel_10nm Socket#{controller} IMC#0"
        yield f"{base}/size_mb", "524288"
        yield f"{base}/seconds_since_reset", "259200"
        for name in ("ce_count", "ue_count", "ce_noinfo_count", "ue_noinfo_count"):
            yield f"{base}/{name}", "0"
        for dimm in range(4):
            place = f"{base}/dimm{dimm}"
            yield f"{place}/dimm_label", f"CPU_SrcID#{controller}_MC#0_Chan#{dimm}_DIMM#0"
            yield f"{place}/dimm_location", f"channel {dimm} slot 0"
            yield f"{place}/dimm_mem_type", "Registered-DDR5"
            yield f"{place}/size", "65536"
            yield f"{place}/dimm_ce_count", "0"
            yield f"{place}/dimm_ue_count", "0"


def board() -> Iterator[Entry]:
    base = "devices/virtual/dmi/id"
    yield f"{base}/sys_vendor", "NVIDIA"
    yield f"{base}/product_name", "DGXH100"
    yield f"{base}/product_version", "v1.0"
    yield f"{base}/board_vendor", "NVIDIA"
    yield f"{base}/board_name", "DGXH100"
    yield f"{base}/bios_vendor", "American Megatrends International, LLC."
    yield f"{base}/bios_version", "1.01.03"
    yield f"{base}/bios_date", "09/04/2023"
    yield "class/dmi/id", f"{LINK}../../{base}"
    yield "kernel/mm/transparent_hugepage/enabled", "always [madvise] never"
    yield "fs/cgroup/cgroup.controllers", ""


def modules() -> Iterator[Entry]:
    yield "module/nvidia/version", DRIVER_VERSION
    yield "module/nvidia_peermem/version", DRIVER_VERSION
    yield "module/mlx5_core/version", "24.01-0.3.3"
    yield "module/ib_core/version", "24.01-0.3.3"


def bare() -> Iterator[Entry]:
    """What any machine has."""
    yield from networks()
    yield from processors()
    yield from board()


def machine(gpus: int) -> Iterator[Entry]:
    """Every (path below /sys, content) of a healthy node; content after ">" is a link's target."""
    yield from bare()
    for index in range(gpus):
        yield from gpu(index)
    for index in range(len(NIC_BUSES)):
        yield from nic(index)
    for index in range(len(DRIVE_BUSES)):
        yield from drive(index)
    yield from memory_controllers()
    yield from modules()


def own(name: str, number: int, mac: str) -> Iterator[Entry]:
    """What differs from node to node."""
    yield "devices/virtual/dmi/id/product_serial", f"LAB{number:06d}"
    yield "devices/virtual/dmi/id/product_uuid", f"00000000-0000-4000-8000-{number:012x}"
    yield f"{ethernet_card().folder}/net/eth0/address", mac
    for index in range(len(DRIVE_BUSES)):
        base = f"{drive_card(index).folder}/nvme/nvme{index}"
        yield f"{base}/serial", f"S64HNE0R{number:04d}{index:02d}      "
    for index in range(len(NIC_BUSES)):
        base = f"{nic_card(index).folder}/infiniband/mlx5_{index}"
        guid = f"a088:c203:00{number & 0xFF:02x}:{number >> 8:02x}{index:02x}"
        yield f"{base}/node_guid", guid
        yield f"{base}/sys_image_guid", guid
        yield f"{base}/node_desc", f"{name} mlx5_{index}"
        yield f"{base}/ports/1/gids/0", f"fe80:0000:0000:0000:{guid}"
