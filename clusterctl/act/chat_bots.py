"""Feishu, Lark, DingTalk and WeCom: robots that answer HTTP 200 also when they refuse a message.

apprise 2.2 (2026-08) takes every 200 for success, so a robot that wants a keyword or a signature
would be silent for ever.  Addresses are still read by apprise; here they are called, and heard.

- https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot
- https://open.dingtalk.com/document/orgapp/custom-bot-send-message-type
- https://developer.work.weixin.qq.com/document/path/91770
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from clusterctl.act.notify import Message
from clusterctl.spelling import visible

TIMEOUTS_S = (5.0, 15.0)  # to connect, to answer
MOST_BYTES = {"feishu": 20_000, "lark": 20_000, "dingtalk": 20_000, "wecombot": 2048}
CODES = ("code", "errcode", "StatusCode")
REASONS = ("msg", "errmsg", "StatusMessage")


@dataclass(frozen=True, slots=True)
class Call:
    """What a robot is sent."""

    url: str
    body: Mapping[str, Any]
    params: Mapping[str, str] = field(default_factory=dict)


def feishu(robot: Any, text: str, now_s: float, secret: str) -> Call:
    """The address may end in `?secret=…`, which apprise does not know."""
    url = getattr(robot, "webhook_url", "") or robot.notify_url.format(token=robot.token)
    body = {"msg_type": "text", "content": {"text": text}}
    if secret:
        key = f"{int(now_s)}\n{secret}".encode()
        signed = base64.b64encode(hmac.digest(key, b"", hashlib.sha256)).decode()
        body |= {"timestamp": str(int(now_s)), "sign": signed}
    return Call(url.rstrip("/"), body)


def dingtalk(robot: Any, text: str, now_s: float, _secret: str) -> Call:
    body = {"msgtype": "text", "text": {"content": text}, "at": {"atMobiles": robot.targets}}
    signed = {}
    if robot.secret:
        stamp = str(int(now_s * 1000))
        digest = hmac.digest(robot.secret.encode(), f"{stamp}\n{robot.secret}".encode(), "sha256")
        signed = {"timestamp": stamp, "sign": base64.b64encode(digest).decode()}
    return Call(robot.notify_url.format(token=robot.token), body, signed)


def wecom(robot: Any, text: str, _now_s: float, _secret: str) -> Call:
    return Call(robot.api_url, {"msgtype": "text", "text": {"content": text}})


ROBOTS: Mapping[str, Callable[[Any, str, float, str], Call]] = {
    "feishu": feishu,
    "lark": feishu,
    "dingtalk": dingtalk,
    "wecombot": wecom,
}


def call(robot: Any, message: Message, now_s: float, *, secret: str = "") -> str:
    """Why the robot did not take the message; empty: it did.  `robot`: as apprise understood it."""
    import requests  # noqa: PLC0415 - apprise brings it

    kind = robot.secure_protocol
    asked = ROBOTS[kind](robot, cut(str(message), MOST_BYTES[kind]), now_s, secret)
    try:
        answer = requests.post(asked.url, json=asked.body, params=asked.params, timeout=TIMEOUTS_S)
    except requests.RequestException as error:
        return f"no connection: {type(error).__name__}"
    if not answer.ok:
        return f"HTTP {answer.status_code}"
    try:
        return refusal(answer.json())
    except ValueError:
        return "it answered something that is no JSON"


def refusal(answer: object) -> str:
    """What a robot's answer says is wrong; empty: nothing.  No code at all is wrong, too."""
    told = answer if isinstance(answer, dict) else {}
    code = next((told[name] for name in CODES if name in told), None)
    if code == 0:
        return ""
    reason = next((str(told[name]) for name in REASONS if name in told), "no reason given")
    return f"refused: {visible(reason, 200)} ({code})"


def cut(text: str, most_bytes: int) -> str:
    """Whole characters, and a mark where some are missing."""
    given = text.encode()
    if len(given) <= most_bytes:
        return text
    return given[: most_bytes - len("…".encode())].decode(errors="ignore") + "…"
