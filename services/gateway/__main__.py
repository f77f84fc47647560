"""`python -m services.gateway`"""

from services.gateway.app import main
from services.gateway.settings import Settings
from shared.runtime.lifecycle import serve

if __name__ == "__main__":
    serve("gateway", Settings, main)
