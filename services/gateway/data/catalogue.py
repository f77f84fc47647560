"""`/catalogue/api/v3`: datasets, their files, datablocks and jobs, under SciCat's names. A pid's slash is written %2F."""

from services.gateway.http.route import rpc
from services.gateway.identity.auth import DATA_READ, DATA_WRITE
from shared.contracts import catalogue as k

ROOT = "/catalogue/api/v3"
DATASET = f"{ROOT}/datasets/{{pid}}"
SERVICE = "archiver"

ROUTES = [
    rpc(
        "POST",
        f"{ROOT}/datasets",
        DATA_WRITE,
        "dataset.create",
        k.DatasetCreate,
        k.Dataset,
        "Registers a dataset.",
        status=201,
        service=SERVICE,
    ),
    rpc(
        "GET",
        f"{ROOT}/datasets",
        DATA_READ,
        "dataset.list",
        k.DatasetList,
        k.DatasetPage,
        "Datasets, newest first.",
        service=SERVICE,
    ),
    rpc("GET", DATASET, DATA_READ, "dataset.get", k.DatasetRef, k.Dataset, "A dataset.", service=SERVICE),
    rpc(
        "GET",
        f"{DATASET}/datablocks",
        DATA_READ,
        "datablock.list",
        k.DatablockQuery,
        k.DatablockPage,
        "Its datablocks.",
        service=SERVICE,
    ),
    rpc(
        "GET",
        f"{DATASET}/files",
        DATA_READ,
        "datablock.files",
        k.FileQuery,
        k.FilePage,
        "Its files, and where they lie in the datablocks.",
        service=SERVICE,
    ),
    rpc(
        "POST",
        f"{ROOT}/origdatablocks",
        DATA_WRITE,
        "origdatablock.create",
        k.OrigDatablockCreate,
        k.OrigDatablock,
        "Registers files that a dataset has.",
        status=201,
        service=SERVICE,
    ),
    rpc(
        "POST",
        f"{ROOT}/jobs",
        DATA_WRITE,
        "job.create",
        k.JobCreate,
        k.Job,
        "Archive this dataset, or retrieve it.",
        status=201,
        service=SERVICE,
    ),
    rpc("GET", f"{ROOT}/jobs/{{job}}", DATA_READ, "job.get", k.JobRef, k.Job, "How a job goes.", service=SERVICE),
]
