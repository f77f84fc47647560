"""`python -m deploy.demo`: the servers, the services, the workers, and the main job. Ctrl-C stops everything."""

import sys

from deploy.demo.job import job
from deploy.local import run

APP = "deploy.demo.functions:app"
"""The functions that the workers of `make run` know."""

if __name__ == "__main__":
    sys.exit(run.main("python -m deploy.demo", __doc__ or "", app=APP, job=job.main))
