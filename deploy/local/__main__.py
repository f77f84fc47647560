"""`python -m deploy.local`: the servers, the services and the workers. Ctrl-C stops everything."""

import sys

from deploy.local import run

if __name__ == "__main__":
    sys.exit(run.main("python -m deploy.local", __doc__ or ""))
