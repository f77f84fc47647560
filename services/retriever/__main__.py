"""`python -m services.retriever`"""

from services.retriever.app import main
from services.retriever.settings import Settings
from shared.runtime.lifecycle import serve

if __name__ == "__main__":
    serve("retriever", Settings, main)
