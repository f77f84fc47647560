"""`/data/v1`: data management. Datasets and what is in them, where they lie, and retrievals, for people and for sessions."""

from typing import Final

from services.gateway.data import catalogue
from services.gateway.http.route import rpc
from shared.contracts.endpoints.catalogue import DATASET_LOCATE
from shared.contracts.endpoints.retrieval import RETRIEVAL_CREATE, RETRIEVAL_GET, RETRIEVAL_URLS

ROOT: Final = "/data/v1"
RETRIEVAL: Final = f"{ROOT}/retrievals/{{retrieval}}"

ROUTES: Final = [
    *catalogue.routes(ROOT),
    rpc("GET", f"{ROOT}/locate/{{pid}}", DATASET_LOCATE),
    rpc("POST", f"{ROOT}/retrievals", RETRIEVAL_CREATE, status=201),
    rpc("GET", RETRIEVAL, RETRIEVAL_GET),
    rpc("GET", f"{RETRIEVAL}/urls", RETRIEVAL_URLS),
]
