"""Files that tell how a job's time went, whatever wrote them, and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from clusterctl.model import UserError
from clusterctl.triage.timeline import kineto, step_logs, trace_files
from clusterctl.triage.timeline.classify import Told, classify
from clusterctl.triage.timeline.operations import Rows, dense

SIZES = ("dp_size", "pp_size")
KEYS = frozenset(
    {
        "trial_name",
        "run_id",
        *SIZES,
        "dsp_size",
        "tp_size",
        "vpp_size",
        "world_size",
        "ranks_per_node",
        "nodes",
    }
)
PARQUET, GZIP = b"PAR1", b"\x1f\x8b"


def triage(files: Sequence[Path], meta: Mapping[str, Any] | None = None) -> Told:
    """Raises UserError: a file that cannot be read as any trace, or files of several kinds."""
    if not files:
        raise UserError("--trace: no file given")
    kinds = {file: kind(file) for file in files}
    if len(set(kinds.values())) > 1:
        first = {found: file for file, found in reversed(kinds.items())}
        told = ", ".join(f"{file.name} is {found}" for found, file in first.items())
        raise UserError(f"--trace: files of one kind at a time; {told}")
    found = next(iter(kinds.values()))
    if found == "a log":
        return Told(step_logs.judge(step_logs.read(files)), None)
    rows = trace_files.read(files) if found == "parquet" else kineto.read(files)
    rows = replace(rows, node={**rows.node, **nodes(rows, meta or {})})
    line = dense(rows)
    given = meta or {}
    return classify(line, (*rows.unseen, *unread_keys(given), *differing(rows, given)))


def kind(file: Path) -> str:
    try:
        with file.open("rb") as raw:
            head = raw.read(64)
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or error}") from None
    if not head:
        raise UserError(f"{file}: empty")
    if head.startswith(PARQUET) or file.suffix == ".parquet":
        return "parquet"
    if head.startswith(GZIP) or (head.lstrip()[:1] in {b"{", b"["} and file.suffix != ".log"):
        return "a JSON trace"
    return "a log"


def nodes(rows: Rows, meta: Mapping[str, Any]) -> dict[int, str]:
    """`nodes`: names in the order of ranks, `ranks_per_node` to each."""
    names, each = meta.get("nodes"), meta.get("ranks_per_node", 8)
    if names is None:
        return {}
    if not isinstance(names, list) or not isinstance(each, int) or each < 1:
        raise UserError("--meta: nodes is a list of names, ranks_per_node a number from 1")
    return {
        rank: str(names[rank // each])
        for rank in set(rows.rank.tolist())
        if rank // each < len(names)
    }


def differing(rows: Rows, meta: Mapping[str, Any]) -> list[str]:
    """Where the trace holds another number of parts than the job is said to have."""
    seen = {"dp_size": len(set(rows.dp.tolist())), "pp_size": len(set(rows.stage.tolist()))}
    return [
        f"{name}: the job has {meta[name]}, the trace {seen[name]}"
        for name in SIZES
        if isinstance(meta.get(name), int) and meta[name] != seen[name]
    ]


def unread_keys(meta: Mapping[str, Any]) -> list[str]:
    """Said, not refused: the file is the job's, with keys for others."""
    odd = sorted(set(map(str, meta)) - KEYS)
    return [f"--meta: {', '.join(odd[:8])}: no key that triage knows"] if odd else []
