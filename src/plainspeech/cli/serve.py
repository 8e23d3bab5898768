"""``plainspeech serve``."""

from __future__ import annotations

from typing import Annotated

import typer

from plainspeech.cli.options import (
    DecoderOption,
    LanguageModelOption,
    ModelOption,
    PrecisionOption,
    load_recognizer,
)
from plainspeech.cli.terminal import needs, stderr


def serve(
    model: ModelOption = None,
    decoder: DecoderOption = None,
    language_model: LanguageModelOption = None,
    precision: PrecisionOption = None,
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
            help="A host name that clients may use for the server, besides localhost and its "
            "addresses. Can be repeated.",
            show_default=False,
        ),
    ] = None,
    allowed_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="An origin whose web pages may use the server, such as https://example.org. "
            "Can be repeated.",
            show_default=False,
        ),
    ] = None,
    queue: Annotated[
        int, typer.Option(help="Most requests in progress or waiting at a time.", min=1)
    ] = 64,
    max_upload_mib: Annotated[float, typer.Option(help="Largest request, in MiB.")] = 200.0,
    max_minutes: Annotated[float, typer.Option(help="Longest recording, in minutes.")] = 240.0,
    timeout: Annotated[float, typer.Option(help="Seconds that a request may take.")] = 1800.0,
    batching: Annotated[
        bool, typer.Option(help="Run the network on the audio of several requests at once.")
    ] = True,
) -> None:
    """Serve transcription over HTTP (OpenAI's API) and live over WebSocket."""
    with needs("serve"):
        from plainspeech.serving.app import create_app
        from plainspeech.serving.server import Server, open_socket
    from plainspeech.serving.server_settings import ServerSettings

    console = stderr()
    with open_socket(host, port) as socket:
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
        )
        recognizer = load_recognizer(
            model, decoder=decoder, language_model=language_model, precision=precision
        )
        app = create_app(recognizer, settings)
        address, number = socket.getsockname()[:2]
        url = f"http://[{address}]:{number}" if ":" in address else f"http://{address}:{number}"
        console.print(f"{app.state.engine.name} at {url}; press Ctrl+C to stop")
        if token is None and not address.startswith("127.") and address != "::1":
            console.print("warning: without --token, anyone who can reach this address can use it")
        Server(app).run([socket])
