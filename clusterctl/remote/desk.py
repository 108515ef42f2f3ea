"""The socket at which a supervisor is told what to do: one order a connection, a line of JSON."""

import json
import os
import select
import socket
import time

from orders import Refused

REQUEST_BYTES = 8 << 20
CLIENT_S = 30.0


class Client:
    """A connection.  `durable`: it is answered when this record is on disk."""

    def __init__(self, wire, until):
        self.wire, self.until = wire, until
        self.heard = b""
        self.reply = self.durable = None


class Desk:
    """`answer(order)` gives (reply, the record to wait for or None), or raises Refused."""

    def __init__(self, path, poll, journal, answer):
        self.path, self.poll, self.journal, self.answer = path, poll, journal, answer
        self.clients = {}
        if os.path.exists(path):
            os.unlink(path)  # a supervisor before us was killed
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(16)
        self.listener.settimeout(0)
        self.poll.register(self.listener, select.POLLIN)

    def close(self):
        os.unlink(self.path)
        self.listener.close()

    def hear(self, descriptor):
        """Whether this was for us."""
        if descriptor == self.listener.fileno():
            self.welcome()
        elif descriptor in self.clients:
            self.listen(self.clients[descriptor])
        else:
            return False
        return True

    def welcome(self):
        try:
            wire, _ = self.listener.accept()
        except OSError:
            return
        wire.settimeout(0)
        self.clients[wire.fileno()] = Client(wire, time.monotonic() + CLIENT_S)
        self.poll.register(wire, select.POLLIN)

    def listen(self, client):
        try:
            chunk = client.wire.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        client.heard += chunk
        if not chunk or len(client.heard) > REQUEST_BYTES:
            self.part(client)
        elif client.heard.endswith(b"\n") and client.reply is None:
            try:
                client.reply, client.durable = self.answer(json.loads(client.heard.decode()))
            except Refused as error:
                client.reply = dict(error.words, ok=False, why=str(error))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                client.reply = {"ok": False, "why": str(error) or repr(error)}

    def tick(self, now):
        for client in list(self.clients.values()):
            if client.reply is not None:
                self.reply(client)
            elif now > client.until:
                self.part(client)

    def reply(self, client):
        if client.durable is not None and client.durable >= self.journal.durable:
            trouble = self.journal.trouble
            if not trouble:
                return
            client.reply = {"ok": False, "why": "the journal cannot be written: " + trouble}
        try:
            client.wire.send(json.dumps(client.reply).encode() + b"\n")
        except OSError:
            pass
        self.part(client)

    def part(self, client):
        self.poll.unregister(client.wire)
        del self.clients[client.wire.fileno()]
        client.wire.close()
