"""A loaded model, ready to be served by any number of forks of this process."""

from __future__ import annotations

import socket
from multiprocessing.connection import Connection

from prometheus_client.multiprocess import mark_process_dead

from plainspeech.runtime.recognizer import Recognizer
from plainspeech.serving.app import create_app
from plainspeech.serving.server import Server
from plainspeech.serving.server_settings import ServerSettings


class ServedModel:
    """What a worker does, see `plainspeech.serving.workers.Work`.

    Args:
        recognizer: the model, with the threads that a worker may have.
        settings: of a worker.
        listening: the socket from which all workers accept.
    """

    def __init__(
        self, recognizer: Recognizer, settings: ServerSettings, listening: socket.socket
    ) -> None:
        self._app = create_app(recognizer, settings)
        self._app.state.engine.warm_up()  # here, so that the workers share what it brings in
        self._listening = listening

    @property
    def name(self) -> str:
        """Of the model."""
        return str(self._app.state.engine.name)

    def serve(self, pipe: Connection) -> None:
        """Serve until told to end."""
        Server(self._app, pipe).run([self._listening])

    def forget(self, pid: int) -> None:
        """Take what a dead worker was doing out of the metrics; what it has counted stays."""
        mark_process_dead(pid)  # type: ignore[no-untyped-call]
