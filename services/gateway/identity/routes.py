"""The routes of users, groups and tokens."""

from typing import Final

from services.gateway.identity import permissions_routes, tokens_routes, users_routes

ROUTES: Final = [*users_routes.ROUTES, *tokens_routes.ROUTES, *permissions_routes.ROUTES]
