"""The HTTP layer: connections and their bounds, requests, replies, routes, errors, the OpenAPI document. It knows no domain."""
