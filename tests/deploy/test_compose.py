"""What docker-compose.yml asks of its servers, asked of real ones."""

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import make_url

from tests.postgres import start_postgres

SERVICES: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "docker-compose.yml").read_text())["services"]


def test_database_is_called_healthy_once_the_migration_can_reach_it() -> None:
    """The image fills an empty volume under a server that has no address yet; who was sent for then ended, and `up` with it."""
    way, *check = SERVICES["postgres"]["healthcheck"]["test"]
    assert way == "CMD"
    with start_postgres(durable=False) as server:
        here = {
            "PGHOST": str(server.folder),
            "PGPORT": str(make_url(server.url).port),
            "PATH": f"{server.kind}:{os.environ['PATH']}",
        }

        def said(*command: str) -> int:
            return subprocess.run(command, env=here, stdout=subprocess.DEVNULL, timeout=20, check=False).returncode

        def answers_on_its_socket() -> None:
            assert said("pg_isready") == 0

        assert said(*check) == 0
        changed = {
            "listen_addresses=127.0.0.1": "listen_addresses=",
            "unix_socket_directories=": f"unix_socket_directories={server.folder}",
        }
        assert changed.keys() <= {*server.command}
        server.command = [changed.get(word, word) for word in server.command]
        server.answers = answers_on_its_socket
        server.restart()
        assert said(*check) != 0


def test_flower_is_told_where_redis_is_and_nothing_else_of_ours() -> None:
    """Once it had Creem's key and the claim journal, and people look at it with a password of its own."""
    flower = SERVICES["flower"]
    told = {name for name in flower["environment"] if name.startswith("REFUNDS_")}
    assert (told, flower["volumes"]) == ({"REFUNDS_REDIS_URL", "REFUNDS_LOG_LEVEL"}, [])
