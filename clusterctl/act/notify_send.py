"""Sending a message by apprise: mail, chat, webhook.  Failure is an answer, not an exception."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from clusterctl.act.chat_bots import ROBOTS, call
from clusterctl.act.notify import Message
from clusterctl.act.notify_file import Addressee
from clusterctl.fanout import each
from clusterctl.model import UserError
from clusterctl.spelling import visible

TELLS = "apprise"  # its logger: it says there why a message did not go out
SECRET_CHARACTERS = 6  # shorter pieces of an address are words like "https" and "robot"
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Outcome:
    """`why` empty: it was taken."""

    name: str
    why: str = ""


def refuse_unknown(people: Sequence[Addressee]) -> None:
    """Raises UserError for an address that apprise does not understand, without showing it."""
    for one in people:
        with complaints():
            if understood(one) is None:
                raise UserError(
                    f"--notify: {one.name}: apprise does not understand this address; "
                    "https://github.com/caronc/apprise/wiki lists the forms"
                )


def understood(one: Addressee) -> Any:
    """What sends to this address, or None.  Raises UserError where apprise is not installed."""
    try:
        import apprise  # noqa: PLC0415 - an extra, and a slow one
    except ModuleNotFoundError:
        raise UserError("--notify: needs apprise: pip install 'clusterctl[notify]'") from None
    return apprise.Apprise.instantiate(one.url, suppress_exceptions=True)


def send(
    people: Sequence[Addressee], message: Message, *, now_s: float, left_s: Callable[[], float]
) -> list[Outcome]:
    """To all of them at once; who has not taken it when no second is left has failed."""

    def telling(place: int) -> tuple[int, Outcome]:  # not by name: two may be called alike
        return place, tell(people[place], message=message, now_s=now_s)

    heard = dict(each(range(len(people)), telling, at_once=AT_ONCE, left_s=left_s))
    late = "it did not take the message in time"
    return [heard.get(place, Outcome(one.name, late)) for place, one in enumerate(people)]


def tell(one: Addressee, *, message: Message, now_s: float) -> Outcome:
    from apprise import Apprise, NotifyFormat  # noqa: PLC0415 - see understood

    with complaints() as said:
        sender = understood(one)
        if sender is None:
            return Outcome(one.name, "apprise does not understand this address")
        if sender.secure_protocol in ROBOTS:
            secret = "".join(parse_qs(urlsplit(one.url).query).get("secret", ())[:1])
            why = call(sender, message, now_s, secret=secret)
            return Outcome(one.name, without_secrets(why, one.url))
        taken = Apprise(sender).notify(
            title=message.title, body=message.body, body_format=NotifyFormat.TEXT
        )
    why = "" if taken else (said[-1] if said else "it was not taken, and apprise says no more")
    return Outcome(one.name, without_secrets(why, one.url))


@contextmanager
def complaints() -> Iterator[list[str]]:
    """What apprise logs of this message.  It goes nowhere else: there may be addresses in it."""
    logger = logging.getLogger(TELLS)
    logger.propagate = False
    if not any(isinstance(one, Keeper) for one in logger.handlers):
        logger.addHandler(Keeper(logging.WARNING))
    kept: list[str] = []
    token = COMPLAINTS.set(kept)
    try:
        yield kept
    finally:
        COMPLAINTS.reset(token)


COMPLAINTS: ContextVar[list[str] | None] = ContextVar("complaints", default=None)


class Keeper(logging.Handler):
    """Gives what is logged to whoever waits for it; apprise's own threads know their sender's."""

    def emit(self, record: logging.LogRecord) -> None:
        kept = COMPLAINTS.get()
        if kept is not None:
            kept.append(record.getMessage())


def without_secrets(said: str, url: str) -> str:
    """A reason as it may be shown: no piece of the address that could be a token is in it."""
    pieces = {piece for text in (url, unquote(url)) for piece in broken(text)}
    for piece in sorted(pieces, key=len, reverse=True):
        said = said.replace(piece, "…")
    return visible(said)


def broken(url: str) -> Iterator[str]:
    """The pieces of an address behind its scheme."""
    _, _, rest = url.partition("://")
    for mark in "/?&=@:":
        rest = rest.replace(mark, " ")
    yield from (piece for piece in rest.split() if len(piece) >= SECRET_CHARACTERS)
