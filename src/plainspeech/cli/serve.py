"""``plainspeech serve``."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from plainspeech.cli.interruption import ended_by_sigterm
from plainspeech.cli.options import (
    DecoderOption,
    DeviceOption,
    FrequencyWarpsOption,
    LanguageModelOption,
    ModelOption,
    PrecisionOption,
    load_recognizer,
    parse_warps,
)
from plainspeech.cli.terminal import needs, stderr
from plainspeech.errors import ConfigurationError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from socket import socket as Socket  # noqa: N812

    from plainspeech.runtime.recognizer import Recognizer
    from plainspeech.serving.served_model import ServedModel
    from plainspeech.serving.server_settings import ServerSettings


def serve(
    model: ModelOption = None,
    decoder: DecoderOption = None,
    language_model: LanguageModelOption = None,
    precision: PrecisionOption = None,
    frequency_warps: FrequencyWarpsOption = None,
    device: DeviceOption = "cpu",
    host: Annotated[
        str,
        typer.Option(help="Address to listen on; 0.0.0.0 accepts connections from other machines."),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen on; 0 picks a free one.", min=0, max=65535)
    ] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="PLAINSPEECH_TOKEN",
            help="Bearer token that clients must send; better set in the environment, since the "
            "command line is visible to other users.",
            show_default=False,
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A host name that clients may use for the server, besides localhost and its "
            "addresses. Can be repeated.",
            show_default=False,
        ),
    ] = None,
    allowed_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="An origin whose web pages may use the server, such as https://example.org. "
            "Can be repeated.",
            show_default=False,
        ),
    ] = None,
    queue: Annotated[
        int,
        typer.Option(
            help="Most uploads in progress at a time, and most live sessions; four times as many "
            "uploads may wait.",
            min=1,
        ),
    ] = 64,
    max_upload_mib: Annotated[float, typer.Option(help="Largest request, in MiB.")] = 200.0,
    max_minutes: Annotated[float, typer.Option(help="Longest recording, in minutes.")] = 240.0,
    timeout: Annotated[float, typer.Option(help="Seconds that a request may take.")] = 1800.0,
    batching: Annotated[
        bool, typer.Option(help="Run the network on the audio of several requests at once.")
    ] = True,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that serve side by side; SIGHUP loads the model again without losing a "
            "request. By default one process that does not reload.",
            min=1,
            show_default=False,
        ),
    ] = None,
    json_logs: Annotated[
        bool, typer.Option("--json-logs", help="Write a line of JSON about each request.")
    ] = False,
) -> None:
    """Serve transcription over HTTP (OpenAI's API) and live over WebSocket."""
    from plainspeech.serving.server_settings import WORKERS_FOLDER, ServerSettings

    if workers is not None and device != "cpu":
        raise ConfigurationError("--workers: a GPU is used by one process; leave the option out")
    limits = {
        "--max-upload-mib": max_upload_mib,
        "--max-minutes": max_minutes,
        "--timeout": timeout,
    }
    for name, value in limits.items():
        if not 0 < value < math.inf:  # or NaN
            raise ConfigurationError(f"{name} is {value:g}; it must be above 0, and finite")

    def load(threads: int | None = None) -> Recognizer:
        return load_recognizer(
            model,
            decoder=decoder,
            language_model=language_model,
            precision=precision,
            frequency_warps=parse_warps(frequency_warps),
            device=device,
            threads=threads,
        )

    with ExitStack() as stack:
        if workers is not None:
            folder = stack.enter_context(TemporaryDirectory(prefix="plainspeech-metrics-"))
            os.environ[WORKERS_FOLDER] = folder
        else:
            os.environ.pop(WORKERS_FOLDER, None)  # another program's
        with needs("serve"):
            from plainspeech.serving.server import open_socket
        socket = stack.enter_context(open_socket(host, port))
        settings = ServerSettings(
            token=token,
            hosts=(*([] if ":" in host else [host]), *(allowed_host or [])),
            origins=tuple(allowed_origin or []),
            queue=queue,
            upload_bytes=int(max_upload_mib * 2**20),
            spool_bytes=10 * int(max_upload_mib * 2**20),
            audio_seconds=60 * max_minutes,
            request_seconds=timeout,
            batching=batching,
            json_logs=json_logs,
        )
        if workers is None:
            _serve(load, settings, socket)
        else:
            _serve_with_workers(load, settings, socket, workers)


def _serve(load: Callable[[], Recognizer], settings: ServerSettings, socket: Socket) -> None:
    """Serve in this process."""
    from plainspeech.serving.app import create_app
    from plainspeech.serving.server import Server

    with ended_by_sigterm():
        app = create_app(load(), settings)
        app.state.engine.warm_up()  # in this thread, so that a signal ends it
        _announce(app.state.engine.name, socket, settings)
        Server(app).run([socket])


def _serve_with_workers(
    load: Callable[[int], Recognizer], settings: ServerSettings, socket: Socket, workers: int
) -> None:
    """Serve in processes of which this one takes care."""
    from plainspeech.cores import available_cores
    from plainspeech.serving.request_log import LOGGER, log_json
    from plainspeech.serving.supervisor import Supervisor
    from plainspeech.serving.workers import keep_workers

    share, threads = settings.share(workers), max(1, available_cores() // workers)
    if settings.json_logs:
        log_json()
    say = LOGGER.warning if settings.json_logs else stderr().print

    def work() -> ServedModel:
        from plainspeech.serving.served_model import ServedModel

        return ServedModel(load(threads), share, socket)

    def keep(parent: Connection) -> None:
        keep_workers(work, workers, parent, say)

    Supervisor(keep, say).run(lambda name: _announce(name, socket, settings))


def _announce(name: str, socket: Socket, settings: ServerSettings) -> None:
    address, number = socket.getsockname()[:2]
    url = f"http://[{address}]:{number}" if ":" in address else f"http://{address}:{number}"
    console = stderr()
    console.print(f"{name} at {url}; press Ctrl+C to stop")
    if settings.token is None and not address.startswith("127.") and address != "::1":
        console.print("warning: without --token, anyone who can reach this address can use it")
