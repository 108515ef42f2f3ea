"""Do the error counters of a port rise?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from clusterctl.counters import NoRise, Rise, rise
from clusterctl.model import Check, Evidence, Limit, Port, Severity, Status, Verdict
from clusterctl.verdicts import (
    before,
    facts_of,
    passing,
    settled,
    skipping,
    source_of,
    threshold,
    unknown,
)

HOUR, MINUTE, SECOND, RISE = 3600.0, 60.0, 1.0, 0.0
CABLE = "clean and reseat the cable at both ends; swap it; then look at the switch port"
PATH = "look at both ends of this path: a slow or lost peer, its switch ports, its routes"


@dataclass(frozen=True, slots=True)
class Counted:
    """The limit of a counter and the limit's unit of time in seconds; 0: of the rise itself."""

    limit: str
    per_s: float
    status: Status
    why: str
    remedy: str


def fault(limit: str, per_s: float, why: str) -> Counted:
    return Counted(limit, per_s, Status.FAIL, why, CABLE)


def notice(limit: str, per_s: float, why: str, remedy: str = CABLE) -> Counted:
    return Counted(limit, per_s, Status.WARN, why, remedy)


JAM = "look for congestion: a hot receiver, wrong PFC or ECN settings"
COUNTERS = {
    "symbol_error": fault("symbol_error_per_h", HOUR, "the cable or module garbles bits"),
    "excessive_buffer_overrun_errors": fault("fatal_rise", RISE, "the port overran its buffers"),
    "local_link_integrity_errors": fault("fatal_rise", RISE, "the link makes too many bit errors"),
    "rnr_nak_retry_err": Counted(
        "fatal_rise", RISE, Status.FAIL, "a connection gave up on its receiver", PATH
    ),
    "link_error_recovery": notice("link_error_recovery_per_min", MINUTE, "the link retrains"),
    "port_rcv_errors": notice("port_rcv_errors_per_s", SECOND, "broken packets arrive"),
    "port_xmit_discards": notice(
        "port_xmit_discards_per_s", SECOND, "packets are thrown away unsent", JAM
    ),
    "roce_slow_restart": notice("roce_slow_restart_per_s", SECOND, "senders restart slowly", JAM),
    "local_ack_timeout_err": notice(
        "local_ack_timeout_err_per_s", SECOND, "answers from a peer do not arrive", PATH
    ),
    "rx_crc_errors_phy": notice("error_rise", RISE, "the cable or module garbles frames"),
    "rx_crc_errors": notice("error_rise", RISE, "the cable or module garbles frames"),
    "rx_symbol_err_phy": notice("symbol_error_per_h", HOUR, "the cable or module garbles bits"),
    "rx_pcs_symbol_err_phy": notice("symbol_error_per_h", HOUR, "the cable garbles bits"),
    "rx_discards_phy": notice("discards_rise", RISE, "arriving packets are thrown away", JAM),
    "pfc_deadlocks": notice("error_rise", RISE, "a queue stood still by PFC (deadlock)", JAM),
    "rx_fcs_errors": notice("error_rise", RISE, "the cable or module garbles frames"),
    "packet_seq_err": notice("sequence_rise", RISE, "packets were lost on the way", PATH),
    "out_of_sequence": notice("sequence_rise", RISE, "packets were lost or overtaken", PATH),
    "implied_nak_seq_err": notice("sequence_rise", RISE, "packets were lost on the way", PATH),
    # ethtool -I --show-fec: IEEE 802.3's aFECUncorrectableBlocks
    "fec_uncorrectable_blocks": notice("error_rise", RISE, "error correction gave up on blocks"),
    # ethtool -S of bnxt_en, ice, i40e, hinic and ionic
    "rx_fcs_err_frames": notice("error_rise", RISE, "the cable or module garbles frames"),
    "rx_fec_uncorrectable_blocks": notice("error_rise", RISE, "error correction gave up on blocks"),
    "rx_pcs_symbol_err": notice("symbol_error_per_h", HOUR, "the cable or module garbles bits"),
    "rx_stat_discard": notice("discards_rise", RISE, "arriving packets are thrown away", JAM),
    "rx_crc_errors.nic": notice("error_rise", RISE, "the cable or module garbles frames"),
    "illegal_bytes.nic": notice("error_rise", RISE, "the cable or module garbles bytes"),
    "rx_dropped.nic": notice("discards_rise", RISE, "arriving packets are thrown away", JAM),
    "port.rx_crc_errors": notice("error_rise", RISE, "the cable or module garbles frames"),
    "port.rx_dropped": notice("discards_rise", RISE, "arriving packets are thrown away", JAM),
    "mac_rx_sym_err_pkt_num": notice("symbol_error_per_h", HOUR, "the cable garbles bits"),
    "frames_rx_bad_fcs": notice("error_rise", RISE, "the cable or module garbles frames"),
    "rsfec_uncorrectable_word": notice("error_rise", RISE, "error correction gave up on words"),
    "frames_rx_dropped": notice("discards_rise", RISE, "arriving packets are thrown away", JAM),
    # hw_counters of ionic and bnxt_re: what packet_seq_err and its kin are with mlx5
    "req_rx_pkt_seq_err": notice("sequence_rise", RISE, "packets were lost on the way", PATH),
    "seq_err_naks_rcvd": notice("sequence_rise", RISE, "packets were lost on the way", PATH),
    "tx_rdma_ack_timeout": notice(
        "local_ack_timeout_err_per_s", SECOND, "answers from a peer do not arrive", PATH
    ),
    # Huawei hccn_tool -stat
    "mac_rx_fcs_err_pkt_num": notice("error_rise", RISE, "the cable or module garbles frames"),
    "mac_rx_bad_pkt_num": notice("error_rise", RISE, "the cable or module garbles frames"),
    "mac_tx_bad_pkt_num": notice("error_rise", RISE, "the port sends broken frames"),
    "roce_rx_err_pkt_num": notice("error_rise", RISE, "broken packets arrive", PATH),
    "roce_tx_err_pkt_num": notice("error_rise", RISE, "packets could not be sent", PATH),
    "roce_verification_err_num": notice("error_rise", RISE, "broken packets arrive", PATH),
    "roce_qp_status_err_num": notice("error_rise", RISE, "a connection broke", PATH),
    "roce_new_pkt_rty_num": notice("sequence_rise", RISE, "packets were sent again", PATH),
    "roce_out_of_order_num": notice("sequence_rise", RISE, "packets were lost or overtaken", PATH),
    "rp_cnp_handled": notice("congestion_rise", RISE, "congestion, not a fault", JAM),
    "np_cnp_sent": notice("congestion_rise", RISE, "congestion, not a fault", JAM),
    "np_ecn_marked_roce_packets": notice("congestion_rise", RISE, "congestion, no fault", JAM),
}
CONGESTION = ("pause", "pfc", "ecn_mark", "cnp")  # counters every driver names its own way


@lru_cache(maxsize=4096)
def known(name: str) -> Counted | None:
    if name in COUNTERS:
        return COUNTERS[name]
    if any(word in name.lower() for word in CONGESTION):
        return COUNTERS["np_cnp_sent"]
    return None


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        earlier = before(evidence, Port)
        for port in facts_of(evidence, Port):
            yield from settled(errors(evidence, port, earlier.get(port.part)))


def errors(evidence: Evidence, port: Port, then: Port | None) -> Iterator[Verdict]:
    past = then.counters if then else {}
    judged = [(name, counted) for name in port.counters if (counted := known(name))]
    for name in sorted(past.keys() - port.counters.keys()):
        if known(name) and evidence.same_boot:
            yield unknown(
                evidence,
                port.part,
                f"{name} was there at the last reading and is not any more",
                expected=name,
                actual="not there",
                remedy="see why the driver no longer shows it; reload it or reboot",
                source="this port's last reading",
            )
            break
    if not judged:
        yield skipping(evidence, port.part, "this port reports no error counter that we judge")
    for name, counted in judged:
        rose = rise(evidence, name, port.counters[name], past.get(name))
        if isinstance(rose, Rise):
            yield grown(evidence, port, name, counted, rose)
        else:
            yield mute(evidence, port, rose)


def mute(evidence: Evidence, port: Port, found: NoRise) -> Verdict:
    if found.blind:
        return unknown(
            evidence,
            port.part,
            found.why,
            remedy="clear the port's counters (perfquery -R), then sweep again",
        )
    return skipping(evidence, port.part, found.why)


def grown(evidence: Evidence, port: Port, name: str, counted: Counted, rose: Rise) -> Verdict:
    limit = threshold(evidence, counted.limit)
    rated = rose.per_s is not None and counted.per_s
    amount = rose.per_s * counted.per_s if rose.per_s is not None and rated else float(rose.count)
    unit = {HOUR: "/h", MINUTE: "/min", SECOND: "/s"}.get(counted.per_s, "") if rated else ""
    if amount <= limit:
        return passing(evidence, port.part, "no error counter rises too fast", yardstick="past")
    return Verdict(
        evidence.node.name,
        port.part,
        counted.status,
        expected=f"{name} ≤ {limit:g}{unit}" if unit else f"{name} +{limit:g} at most",
        actual=f"{amount:.3g}{unit}" if unit else f"+{rose.count}",
        why=counted.why + (f"; {rose.note}" if rose.note else ""),
        remedy=counted.remedy,
        severity=Severity.ISOLATE if counted.status is Status.FAIL else Severity.OBSERVE,
        source=source_of(evidence, counted.limit),
        yardstick="past",
    )


ADR = "NVSentinel ADR 045-048"
CHECKS = (
    Check(
        name="port_errors",
        asks="Do the error counters of a port rise faster than they may?",
        wants=(Port,),
        judge=judge,
        limits={
            "symbol_error_per_h": Limit(120, f"{ADR}; IBTA bit error rate 1e-12"),
            "fatal_rise": Limit(0, f"{ADR}: fatal at any rise", "between two readings"),
            "link_error_recovery_per_min": Limit(5, ADR),
            "port_rcv_errors_per_s": Limit(10, ADR),
            "port_xmit_discards_per_s": Limit(100, ADR),
            "roce_slow_restart_per_s": Limit(10, ADR),
            "local_ack_timeout_err_per_s": Limit(1, ADR),
            "error_rise": Limit(0, "ROCm/cvs: any rise of an error counter"),
            "sequence_rise": Limit(
                1000, "ROCm/cvs: 1000 before a rise is told", "lossy fabrics reorder all the time"
            ),
            "discards_rise": Limit(100, "oci-dr-hpc-v2: rx discards 100"),
            "congestion_rise": Limit(1000, "ROCm/cvs: CNP or ECN rise above 1000 warns"),
        },
    ),
)
