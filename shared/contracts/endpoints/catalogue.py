"""What is asked of the archiver: datasets, their files, uploads, datablocks, and the catalogue's jobs."""

from typing import Final

from shared.contracts import catalogue as k
from shared.contracts.endpoint import Change, Command, Query
from shared.contracts.permissions import DATA_READ, DATA_WRITE

ARCHIVER: Final = "archiver"

DATASET_CREATE: Final = Command(
    ARCHIVER, "dataset", "create", k.DatasetCreate, k.Dataset, DATA_WRITE, "Registers a dataset."
)
DATASET_GET: Final = Query(ARCHIVER, "dataset", "get", k.DatasetRef, k.Dataset, DATA_READ, "A dataset.")
DATASET_LIST: Final = Query(
    ARCHIVER, "dataset", "list", k.DatasetList, k.DatasetPage, DATA_READ, "Datasets, newest first."
)
DATASET_LIFECYCLE: Final = Change(
    ARCHIVER,
    "dataset",
    "lifecycle",
    k.LifecycleUpdate,
    k.Dataset,
    DATA_WRITE,
    "Says how far a dataset's archival or retrieval has come.",
)
DATASET_LOCATE: Final = Query(
    ARCHIVER,
    "dataset",
    "locate",
    k.DatasetRef,
    k.Located,
    DATA_READ,
    "Which long-term storages hold a dataset, and how large it is.",
)
DATASET_EXPLAIN: Final = Query(
    ARCHIVER, "dataset", "explain", k.DatasetRef, k.DatasetState, DATA_READ, "Why a dataset is where it is."
)
DATASET_ABANDON: Final = Command(
    ARCHIVER,
    "dataset",
    "abandon",
    k.DatasetAbandon,
    k.Abandoned,
    DATA_WRITE,
    "Gives up a dataset that is not archived: its pid is free again, its bytes are removed.",
)
ORIGDATABLOCK_CREATE: Final = Command(
    ARCHIVER,
    "origdatablock",
    "create",
    k.OrigDatablockCreate,
    k.OrigDatablock,
    DATA_WRITE,
    "Registers files that a dataset has.",
)
DATABLOCK_LIST: Final = Query(
    ARCHIVER, "datablock", "list", k.DatablockQuery, k.DatablockPage, DATA_READ, "The datablocks of a dataset."
)
DATABLOCK_FILES: Final = Query(
    ARCHIVER,
    "datablock",
    "files",
    k.FileQuery,
    k.FilePage,
    DATA_READ,
    "The files of a dataset, and where they lie in its datablocks.",
)
DATABLOCK_REPORT: Final = Change(
    ARCHIVER,
    "datablock",
    "report",
    k.DatablockReport,
    k.Datablock,
    DATA_WRITE,
    "Says how a copy of a datablock was found on long-term storage: whole, or damaged.",
)
UPLOAD_LIST: Final = Query(
    ARCHIVER,
    "upload",
    "list",
    k.UploadQuery,
    k.UploadPage,
    DATA_READ,
    "Registered files, and which of them are uploaded.",
)
UPLOAD_SIGN: Final = Query(
    ARCHIVER,
    "upload",
    "sign",
    k.UploadSign,
    k.UploadUrls,
    DATA_WRITE,
    "Addresses to upload registered files to, one PUT each, with the headers given; valid for 15 minutes at most.",
)
UPLOAD_FINISH: Final = Command(
    ARCHIVER,
    "upload",
    "finish",
    k.DatasetRef,
    k.Dataset,
    DATA_WRITE,
    "Everything is uploaded: datablocks are made of it now.",
)
JOB_CREATE: Final = Command(
    ARCHIVER, "job", "create", k.JobCreate, k.Job, DATA_WRITE, "Archive this dataset, or retrieve it."
)
JOB_GET: Final = Query(ARCHIVER, "job", "get", k.JobRef, k.Job, DATA_READ, "How a job goes.")
JOB_UPDATE: Final = Change(ARCHIVER, "job", "update", k.JobUpdate, k.Job, DATA_WRITE, "Says how far a job has come.")
