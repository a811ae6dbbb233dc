"""TEMPORARY until migrations land."""
from worker.store.engine import Store
from worker.store.tables import metadata
def upgrade(store: Store) -> list[str]:
    metadata.create_all(store.engine); return ["0001"]
def head() -> str: return "0001"
def require_current(store: Store) -> None: pass
