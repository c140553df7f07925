from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import botocore.exceptions
import pytest
import sqlalchemy as sa
from kombu.connection import Connection
from kombu.exceptions import ChannelError

from tests import servers
from tests.nursery import Nursery
from tests.system.processes import Api, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OWNER = """
import sys
from pathlib import Path
from tests import servers

with servers.server_folder() as folder:
    broker, postgres = servers.Broker(folder), servers.Postgres(folder)
    broker.start()
    postgres.start()
    print(folder, flush=True)
    sys.stdin.read()
"""


def wait_until(condition: Callable[[], bool], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether a process still runs: one that has ended but was not waited for yet (Z) does not."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


@contextlib.contextmanager
def engine_for(url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(url)
    yield engine
    engine.dispose()


@contextlib.contextmanager
def doorbells(broker_url: str) -> Iterator[Any]:
    with Connection(broker_url) as connection, connection.SimpleQueue("doorbells") as queue:  # type: ignore[no-untyped-call]
        yield queue


@pytest.mark.parametrize("attempt", [1, 2])
def test_each_test_gets_a_database_of_its_own(postgres_url: str, attempt: int) -> None:
    with engine_for(postgres_url) as engine, engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE only_here (id int)"))


def test_a_database_is_a_copy_of_its_template(postgres_server: servers.Postgres) -> None:
    template = postgres_server.create_database()
    with engine_for(postgres_server.url(template)) as engine, engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE photos AS SELECT 7 AS id"))
    copy = postgres_server.create_database(template=template)
    with engine_for(postgres_server.url(copy)) as engine, engine.begin() as connection:
        assert connection.scalar(sa.text("SELECT id FROM photos")) == 7
    for database in (copy, template):
        postgres_server.drop_database(database)


def test_postgres_comes_back_with_its_data_after_a_crash(servers_folder: Path) -> None:
    with servers.Postgres(servers_folder) as postgres, engine_for(postgres.url("postgres")) as engine:
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE photos AS SELECT 7 AS id"))
        postgres.kill()
        assert not postgres.running
        postgres.start()
        engine.dispose()
        with engine.begin() as connection:
            assert connection.scalar(sa.text("SELECT id FROM photos")) == 7


def test_the_broker_speaks_celerys_url(broker_url: str) -> None:
    with doorbells(broker_url) as queue:
        queue.put({"ring": 1})
        assert queue.get(timeout=30).payload == {"ring": 1}
        queue.clear()


def test_a_killed_broker_comes_back_empty(servers_folder: Path) -> None:
    with servers.Broker(servers_folder) as broker:
        with doorbells(broker.url) as queue:
            queue.put({"ring": 1})
            assert len(queue) == 1
        broker.kill()
        broker.start()
        with doorbells(broker.url) as queue, pytest.raises(ChannelError, match="no queue"):
            len(queue)


def test_s3_keeps_what_is_stored_and_refuses_a_wrong_signature(s3_server: servers.S3) -> None:
    bucket = s3_server.make_bucket()
    with contextlib.closing(s3_server.client()) as client:
        client.put_object(Bucket=bucket, Key="a.jpg", Body=b"photo")
        assert client.get_object(Bucket=bucket, Key="a.jpg")["Body"].read() == b"photo"
        client._request_signer._credentials.secret_key = "wrong"
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            client.get_object(Bucket=bucket, Key="a.jpg")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_what_tests_write_lies_in_memory_only_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "MEMORY", tmp_path)
    monkeypatch.setattr(servers, "ROOM_BYTES", 1)
    assert servers.in_memory() == tmp_path
    monkeypatch.setattr(servers, "ROOM_BYTES", 1 << 60)
    assert servers.in_memory() is None
    monkeypatch.setattr(servers, "ROOM_BYTES", 1)
    monkeypatch.setattr(servers, "MEMORY", tmp_path / "nowhere")
    assert servers.in_memory() is None


def test_no_server_and_no_file_outlives_a_killed_owner() -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    with owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().decode().strip())
        pids = [int(each.read_text()) for each in folder.glob("*.pid")]
        owner.send_signal(signal.SIGKILL)
    assert len(pids) == 2
    wait_until(lambda: not folder.exists())
    assert not [pid for pid in pids if is_alive(pid)]


class Refusing(servers.Server):
    name: ClassVar[str] = "refusing"

    def command(self) -> list[str]:
        return ["/bin/sh", "-c", "echo the disk is full; exit 3"]

    def probe(self) -> None:
        raise ConnectionError("nobody listens")


def test_a_server_that_does_not_start_says_why(servers_folder: Path) -> None:
    with pytest.raises(servers.ServerError, match=r"ended with status 3[\s\S]*the disk is full"):
        Refusing(servers_folder).start()


def test_a_program_of_a_nursery_can_be_started_again(servers_folder: Path, nursery: Nursery, sqlite_url: str) -> None:
    settings = Settings(
        database_url=sqlite_url,
        broker_url=f"redis+socket://{servers_folder}/nobody?virtual_host=0",
        storage_url=f"file://{servers_folder}/storage",
        allowed_prefixes=f"file://{servers_folder}/",
        extra={},
    )
    api = Api(servers_folder, settings, nursery)
    with contextlib.closing(api.client):
        for _ in range(2):
            api.start()
            assert api.running
            process = api._process
            assert process is not None
            api.kill()
            assert process.returncode == -signal.SIGKILL
