"""A rack sheet: CSV with a header line, as data-centre staff keep it, in English or Chinese."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from clusterctl.inventory.draft import LABEL, REACH, SECRET, Draft, Said, refuse
from clusterctl.inventory.spread import along, names_of, spread

# Our key, and the headers that mean it; where a sheet has several, the first of the list is meant
# and the others become labels under their own names.
HEADERS = {
    "name": (
        "hostname", "host", "node", "nodename", "node_name", "host_name", "name", "server",
        "主机名", "主机名称", "节点", "节点名", "节点名称", "服务器名称", "服务器名", "服务器",
        "主机", "名称",
    ),
    "address": (
        "address", "ansible_host", "ssh_ip", "management_ip", "mgmt_ip", "mgmt", "host_ip", "ip",
        "ip_address", "ipaddress", "ipv4", "ip_addr", "管理ip", "管理ip地址", "管理地址",
        "管理网ip", "带内ip", "带内管理ip", "主机ip", "业务ip", "ip地址", "地址", "ipv6",
    ),
    "user": ("user", "username", "ssh_user", "login", "用户", "用户名", "登录用户", "账号"),
    "port": ("port", "ssh_port", "端口", "ssh端口", "端口号"),
    "via": ("via", "jump", "jump_host", "jumphost", "bastion", "proxy_jump", "跳板机", "堡垒机"),
    "become": ("become", "sudo", "提权"),
    "identity": ("identity", "ssh_key"),
    "transport": ("transport", "连接方式"),
    "group": ("group", "groups", "组", "分组", "集群"),
    "rack": ("rack", "rack_id", "cabinet", "机柜", "机柜号", "机架", "机架号", "机柜编号"),
    "unit": ("unit", "u", "ru", "u_position", "position", "u位", "u数", "起始u位", "机位"),
    "room": ("room", "hall", "机房", "房间"),
    "row": ("row", "列", "机列"),
    "site": ("site", "datacenter", "data_center", "dc", "数据中心", "园区", "站点"),
    "pod": ("pod", "su"),
    "leaf": (
        "leaf", "leaf_switch", "switch", "tor", "交换机", "接入交换机", "上联交换机", "leaf交换机",
    ),
    "spine": ("spine", "核心交换机", "spine交换机"),
    "rail": ("rail", "轨道"),
    "sku": ("sku", "型号", "机型", "服务器型号", "规格"),
    "model": ("model", "product"),
    "bmc": (
        "bmc", "bmc_ip", "bmc_address", "ipmi", "ipmi_ip", "ilo", "idrac", "oob", "oob_ip",
        "带外ip", "带外管理ip", "带外地址", "带外", "bmc地址", "ipmi地址",
    ),
    "serial": (
        "serial", "sn", "serial_number", "serialnumber", "s/n", "序列号", "sn号", "设备序列号",
    ),
    "role": ("role", "角色", "用途"),
}  # fmt: skip
PLACE = frozenset(LABEL + key for key in ("rack", "unit", "room", "row", "site", "pod"))
NOTHING = frozenset({"", "-", "--", "/", "n/a", "na", "none", "null", "无", "空", "暂无"})
DELIMITERS = ",;\t|\uff0c"  # the last is the comma of a Chinese keyboard
OURS = "origin"  # `clusterctl nodes --format csv` writes it; the line read now is the origin
TITLE_LINES = 20  # a sheet may open with its title and its date


def read(path: str, text: str) -> list[Draft]:
    """The nodes of one sheet.  Raises UserError."""
    header, delimiter = find_header(text)
    if not header:
        raise refuse(
            path, "has no header line with a column such as hostname, ip, 主机名 or 管理IP"
        )
    drafts: list[Draft] = []
    columns: list[str] = []
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    first = 0
    try:
        for raw in reader:
            origin, first = f"{path}:{first + 1}", reader.line_num
            cells = [cell.strip() for cell in raw]
            if not columns:
                if cells == header:
                    columns = meanings(header, origin)
                continue
            if any(cells) and cells != header and not cells[0].startswith("#"):
                drafts.extend(row(cells, columns, origin))
    except csv.Error as error:
        raise refuse(f"{path}:{first + 1}", f"not CSV: {error}; is a quote left open?") from None
    if not columns:
        raise refuse(path, "has a line break in its header; put each heading on one line")
    if not drafts:
        raise refuse(path, "has a header and no node below it")
    return drafts


def find_header(text: str) -> tuple[list[str], str]:
    """The header's cells and the delimiter that parts them; no cells where there is no header."""
    best: tuple[int, list[str], str] = (0, [], ",")
    for line in text.split("\n", TITLE_LINES)[:TITLE_LINES]:
        for delimiter in DELIMITERS:
            try:
                cells = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
            except csv.Error:
                continue
            keys = {key for key in HEADERS if any(spelt(cell) in HEADERS[key] for cell in cells)}
            if len(cells) > 1 and {"name", "address"} & keys and len(keys) > best[0]:
                best = (len(keys), cells, delimiter)
        if best[1]:
            break
    return best[1], best[2]


def spelt(header: str) -> str:
    """One spelling for "Host Name", "host-name" and "HOST_NAME(必填)"."""
    return re.sub(
        r"[\s\-_]+", "_", re.sub(r"[(\uff08].*?[)\uff09]", "", header).strip().strip("*")
    ).lower()


def meanings(header: list[str], origin: str) -> list[str]:
    """What each column is: a key, a label, or "" for one to leave out."""
    columns = [""] * len(header)
    for key, words in HEADERS.items():
        ranks = [words.index(spelt(cell)) if spelt(cell) in words else None for cell in header]
        present = [rank for rank in ranks if rank is not None]
        if not present:
            continue
        if present.count(min(present)) > 1:
            raise refuse(origin, f"two columns are headed {header[ranks.index(min(present))]!r}")
        meant = ranks.index(min(present))
        columns[meant] = key if key in {"name", *REACH} else LABEL + key
    for index, cell in enumerate(header):
        if not columns[index] and cell and cell != OURS and not SECRET.search(cell):
            label = LABEL + re.sub(r"[\s&|()!=\"',\[\]]+", "_", cell).strip("_")
            if label in columns:
                raise refuse(origin, f"two columns are headed {cell!r}")
            columns[index] = label
    return columns


def row(cells: list[str], columns: list[str], origin: str) -> Iterator[Draft]:
    if any(cells[len(columns) :]):
        raise refuse(
            origin, f"{len(cells)} cells below {len(columns)} headers; quote a cell with commas"
        )
    said = {
        key: Said(cell, origin)
        for key, cell in zip(columns, cells, strict=False)
        if key and cell.lower() not in NOTHING
    }
    name = said.pop("name", None) or said.get("address")
    if not name:
        if set(said) - PLACE:
            shown = ", ".join(
                f"{key.removeprefix(LABEL)} {value.text}" for key, value in said.items()
            )
            raise refuse(
                origin, f"a machine without name and address ({shown}); name it, or put # first"
            )
        return
    if "port" in said:  # spreadsheets like to write 22.0
        said["port"] = Said(said["port"].text.removesuffix(".0"), origin)
    if LABEL + "group" in said:
        words = re.split(r"[,;\uff0c\uff1b\u3001/\s]+", said[LABEL + "group"].text)
        said[LABEL + "group"] = Said(",".join(word for word in words if word), origin)
    names = names_of(name.text, origin)
    each = {key: along(key, value.text, origin, len(names)) for key, value in said.items()}
    yield from spread(names, origin, each)
