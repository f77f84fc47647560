"""`python -m services.broker`"""

from services.broker.app import main
from services.broker.settings import Settings
from shared.runtime.lifecycle import serve

if __name__ == "__main__":
    serve("broker", Settings, main)
