"""An endpoint: the one statement of an operation.

Services register their handlers with it, callers ask with it, routes take it. AsyncAPI, OpenAPI, the workers' permissions on the bus and
the tables in docs are made from it. What a handler gets follows from the endpoint's class:

- `Query`: changes nothing. `handler(context, request)`.
- `Change`: runs in one unit of work, once per idempotency key. `handler(unit, context, request)`.
- `Command`: a change that may also be given durably, on `hr.cmd.<user>.…`.
- `Steps`: changes in several units of work of its own, each harmless when repeated. `handler(context, request)`.

The endpoints themselves are data, in `shared/contracts/endpoints`.
"""

from typing import Any, Generic, TypeVar

import msgspec

from shared.contracts import subjects

Request = TypeVar("Request")
Reply = TypeVar("Reply")


class Endpoint(msgspec.Struct, Generic[Request, Reply], frozen=True):
    """`<service>.<noun>.<verb>`: what it takes and gives, and which permission its asker needs.

    request   the Struct of the body; `bytes` for newline-delimited JSON, each line of the type `line`
    reply     the Struct of the answer
    needs     a permission (`shared/contracts/permissions.py`); None: no user's, as the bus's own permissions say who asks
    summary   one sentence that says what it does, for the documents made from it
    at        its subject where that is not `hr.rpc.<service>.<noun>.<verb>`; `{site}` in it varies
    """

    service: str
    noun: str
    verb: str
    request: type[Request]
    reply: type[Reply]
    needs: str | None
    summary: str
    line: Any = None
    at: str = ""

    @property
    def name(self) -> str:
        """`<service>.<noun>.<verb>`."""
        return f"{self.service}.{self.noun}.{self.verb}"

    @property
    def durable(self) -> bool:
        """Whether it may also be given as a durable command."""
        return isinstance(self, Command)

    @property
    def subject(self) -> str:
        """The subject of a request, with what varies in braces."""
        return self.at or subjects.rpc(self.service, self.noun, self.verb)

    def subject_at(self, site: str) -> str:
        """The subject of a request to the broker of one site; that of every other endpoint is the same for all."""
        return self.subject.replace("{site}", site)

    def command(self, user: str) -> str:
        """The subject on which `user` gives it durably."""
        return subjects.command(user, self.service, self.noun, self.verb)


class Query(Endpoint[Request, Reply], frozen=True):
    """Changes nothing: may be asked again at any time."""


class Change(Endpoint[Request, Reply], frozen=True):
    """Runs in one unit of work, once per idempotency key."""


class Command(Change[Request, Reply], frozen=True):
    """A change that may also be given durably, by publishing to `hr.cmd.<user>.<service>.<noun>.<verb>`."""


class Steps(Endpoint[Request, Reply], frozen=True):
    """Changes in several units of work that the handler commits itself, each harmless when repeated."""
