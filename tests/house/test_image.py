"""The image holds everything its processes import: what the tests bring along is hidden from them here."""

import subprocess
import sys

from tests.house.test_locks import EVERYTHING, IMAGE, ROOT, pins

SHUT = """
import importlib, importlib.abc, importlib.metadata, pkgutil, sys
from packaging.utils import canonicalize_name

hidden = set(sys.argv[1].split(","))
names = {
    module for module, homes in importlib.metadata.packages_distributions().items()
    if all(canonicalize_name(home) in hidden for home in homes)
}

class Shut(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] in names:
            raise ModuleNotFoundError(f"{fullname} is not in the image", name=fullname)

if "packaging" in hidden:
    [sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "packaging"]
sys.meta_path.insert(0, Shut())

import celeryconfig, policy, worker
for package in (policy, worker):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__") and ".migrations." not in module.name:
            importlib.import_module(module.name)
# what Celery, Flower and SQLAlchemy reach for only when they run
for name in ("kombu.transport.redis", "celery.apps.worker", "celery.beat", "flower.command", "alembic.command", "psycopg"):
    importlib.import_module(name)
print(len(names))
"""


def test_processes_import_only_what_the_image_has() -> None:
    hidden = set(pins(EVERYTHING)) - set(pins(IMAGE))
    assert "pytest" in hidden
    ran = subprocess.run(
        [sys.executable, "-c", SHUT, ",".join(sorted(hidden))], capture_output=True, text=True, cwd=ROOT, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 10
