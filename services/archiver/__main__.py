"""`python -m services.archiver`"""

from services.archiver.app import main
from services.archiver.settings import Settings
from shared.runtime.lifecycle import serve

if __name__ == "__main__":
    serve("archiver", Settings, main)
