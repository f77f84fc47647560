"""`python -m services.scheduler`"""

from services.scheduler.app import main
from services.scheduler.settings import Settings
from shared.runtime.lifecycle import serve

if __name__ == "__main__":
    serve("scheduler", Settings, main)
