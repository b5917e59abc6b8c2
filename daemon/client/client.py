"""The client, put together."""

from __future__ import annotations

from types import TracebackType

from daemon.client.changing import Changing
from daemon.client.jobs import Jobs
from daemon.client.reading import Reading
from daemon.client.transport import Transport


class Client(Reading, Changing, Jobs):
    """One daemon, by HTTP. Not for several threads at once: give each its own.

    ``base_url``: ``http://``, ``https://`` or ``unix:///run/sweepd/sweepd.sock``. ``token``: else that of SWEEPD_TOKEN.
    ``timeout``: seconds to connect, and to wait for an answer that needs no work; ``work_timeout``: for one that does
    (None: for ever). ``language`` of messages: en or zh. ``verify``: False, or the file of the authorities to trust.
    ``retries``: of what is safe to repeat. Raises BadSetting if one of them cannot be.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        *,
        timeout: float = 30.0,
        work_timeout: float | None = 3600.0,
        language: str = "en",
        verify: bool | str = True,
        retries: int = 3,
    ) -> None:
        super().__init__(
            Transport(
                base_url,
                token,
                timeout=timeout,
                work_timeout=work_timeout,
                language=language,
                verify=verify,
                retries=retries,
            )
        )

    def close(self) -> None:
        """Close its connections."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
