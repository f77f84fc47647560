"""Endpoints as stand-ins answer them: without a database, so without a unit of work."""

from typing import TypeVar

from shared.contracts.endpoint import Endpoint, Query

Request = TypeVar("Request")
Reply = TypeVar("Reply")


def stand_in(endpoint: Endpoint[Request, Reply]) -> Query[Request, Reply]:
    """The same operation, with a handler that gets the context and the request alone."""
    return Query(**{field: getattr(endpoint, field) for field in endpoint.__struct_fields__})
