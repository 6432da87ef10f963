"""Downloads a file over HTTP; after any interruption the next call continues where it stopped.

The rest is requested with Range, guarded by If-Range: a file that has changed since, or a server that cannot continue,
means starting over. Where the server declares a checksum, If-Range is left out, as Hugging Face's own client does:
the checksum guards better, and not every server behind a redirect knows the header. Nothing here is taken as the whole
file before it has exactly the size that was declared.
"""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, IncompleteRead

from clearctl.dataset.remote.checksum import declared_checksums
from clearctl.dataset.remote.origin import Origin, read_origin, remove_origin, shown, size_of, write_origin
from clearctl.dataset.remote.patience import BrokenError, Patience, RateLimit, SlowError, call_with_timeout
from clearctl.errors import CapabilityError, DatasetError
from clearctl.progress import Counted, Listener, Message, rate_limited
from clearctl.units import megabytes
from clearctl.wording import in_one_line

_CHUNK_BYTES = 1 << 18
_LONGEST_PAUSE_S = 60.0
# For an address, or where a server redirects to: all that requests, urllib3 and Python raise for one are ValueErrors.
_BAD_ADDRESS = (requests.TooManyRedirects, ValueError)


class NotFoundError(CapabilityError):
    """The server has no such file."""


def fetch(url: str, part: Path, patience: Patience, listener: Listener) -> int:
    """Download the file at `url` into `part`, from where an earlier call stopped; returns the number of bytes received.

    Raises CapabilityError if the server cannot be reached, refuses, is too slow, or breaks off too often (what has
    come stays),
    NotFoundError if it has no such file; DatasetError if the disk has no room. OSError if `part` cannot be
    written.
    """
    farthest, failures, started = size_of(part), 0, time.monotonic()
    transfer = _Transfer(url, part, patience, listener, started + patience.longest_s)
    with requests.Session() as session:
        while True:
            try:
                transfer.attempt(session)
                if transfer.received_bytes:
                    transfer.report_rate(time.monotonic() - started)
                return transfer.received_bytes
            except BrokenError as error:
                reached = size_of(part)
                failures = 0 if reached > farthest and not isinstance(error, SlowError) else failures + 1
                farthest = max(reached, farthest)
                # Before the first byte the cause is rather a wrong address than a bad connection: raised at once.
                if not transfer.received_bytes or failures > patience.retries:
                    raise transfer.failed(str(error)) from None
                pause_s = min(patience.pause_s * 2**failures, _LONGEST_PAUSE_S)
                where = f"at {megabytes(reached):,} MB" if reached else "from the start"
                listener(Message(f"{transfer.name}: {error}; continuing {where} in {pause_s:.0f} s", warning=True))
                time.sleep(pause_s)


def is_https_downgrade(urls: Sequence[str]) -> bool:
    """Whether a chain of redirects goes from https to anything else."""
    schemes = [urlsplit(url).scheme for url in urls]
    return any(before == "https" != after for before, after in pairwise(schemes))


@dataclass
class _Transfer:
    url: str
    part: Path
    patience: Patience
    listener: Listener
    deadline_s: float
    received_bytes: int = 0
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.part.name.removesuffix(".part")

    def attempt(self, session: requests.Session) -> None:
        """One connection. Raises BrokenError if it ends too early."""
        origin = self._usable_origin()
        offset = size_of(self.part) if origin else 0
        if origin and offset == origin.size_bytes:
            return
        with self._get(session, origin, offset) as response:
            if origin and (reason := _cannot_continue(response, origin, offset)):
                self._start_over(reason)
                if response.status_code != 200:
                    self.attempt(session)
                    return
                origin, offset = None, 0
            self._check_answer(response, offset)
            known, origin = origin is not None, origin or self._origin_of(response)
            self._check_room(origin.size_bytes - offset)
            if not known:
                write_origin(self.part, origin)
            elif not self.received_bytes:
                here = f"{megabytes(offset):,} of {megabytes(origin.size_bytes):,} MB"
                self.listener(Message(f"{self.name}: {here} are already downloaded, continuing"))
            try:
                self._receive(response, origin, offset)
            except OSError:
                self._check_room(origin.size_bytes - size_of(self.part))
                raise

    def report_rate(self, seconds: float) -> None:
        """Report the speed of the download."""
        received_mb = self.received_bytes / 1e6
        rate = received_mb / max(seconds, 1e-9)
        self.listener(Message(f"{self.name}: {received_mb:,.1f} MB came in {seconds:,.1f} s, {rate:,.1f} MB/s"))

    def failed(self, reason: str) -> CapabilityError:
        """The error of a failed download, with what to do about it."""
        kept = size_of(self.part)
        stays = f"the {megabytes(kept):,} downloaded MB are kept for the next run; " if kept else ""
        by_hand = self.part.with_name(self.name)
        return CapabilityError(
            f"{shown(self.url)} cannot be downloaded: {reason}\n"
            f"{stays}run this again, use a mirror with --url BASE, or put the file at {by_hand} and run this again"
        )

    def _usable_origin(self) -> Origin | None:
        """The origin of the earlier part, None if that could not be resumed and was removed."""
        origin = read_origin(self.part)
        if origin is None or not size_of(self.part):
            remove_origin(self.part)
            return None
        if origin.url != shown(self.url):
            self._start_over(f"the partial file came from {origin.url}")
        elif size_of(self.part) > origin.size_bytes:
            self._start_over("the partial file is longer than the file")
        elif size_of(self.part) < origin.size_bytes and not (origin.validator or origin.checksums):
            self._start_over("the server sends no ETag or date to detect a changed file")
        else:
            return origin
        return None

    def _start_over(self, reason: str) -> None:
        self.listener(Message(f"{self.name}: {reason}, so the download starts over", warning=True))
        remove_origin(self.part)

    def _get(self, session: requests.Session, origin: Origin | None, offset: int) -> requests.Response:
        # By default, requests asks for gzip, of which neither the length nor a part is that of the file.
        headers = {"Accept-Encoding": "identity"}
        if origin:
            headers["Range"] = f"bytes={offset}-"
            if origin.validator and not origin.checksums:
                headers["If-Range"] = origin.validator
        timeout = (self.patience.connect_timeout_s, self.patience.read_timeout_s)
        try:
            response = call_with_timeout(
                self.patience.answer_timeout_s,
                lambda: session.get(self.url, headers=headers, stream=True, timeout=timeout),
            )
        except _BAD_ADDRESS as error:
            raise self.failed(
                f"its address redirects to one that clearctl does not follow ({in_one_line(error)})"
            ) from None
        except requests.exceptions.SSLError as error:
            raise self.failed(f"the TLS connection fails: {_reason(error)}") from None
        except (requests.RequestException, HTTPError, TimeoutError) as error:
            raise BrokenError(_reason(error)) from None
        if is_https_downgrade([step.url for step in (*response.history, response)]):
            response.close()
            raise self.failed(f"it redirects from https to plain http ({shown(response.url)})")
        return response

    def _check_answer(self, response: requests.Response, offset: int) -> None:
        """Raise unless the body is to be written at `offset`."""
        status, encoding = response.status_code, response.headers.get("Content-Encoding", "identity")
        if status in (429, 500, 502, 503, 504):
            raise BrokenError(f"the server answers {status} {response.reason}")
        if status in (404, 410):
            raise NotFoundError(str(self.failed(f"the server answers {status} {response.reason}")))
        if status != (206 if offset else 200):
            raise self.failed(f"the server answers {status} {response.reason}")
        if encoding != "identity":
            raise self.failed(f"the server sends it compressed ({encoding}), although not requested")

    def _origin_of(self, response: requests.Response) -> Origin:
        """The origin stated by the answer with the whole file."""
        headers = [step.headers for step in (*response.history, response)]
        where = [*((of, "X-Linked-Size") for of in headers), (response.headers, "Content-Length")]
        declared = {name: of[name] for of, name in where if name in of}
        sizes = {int(size) if size.isascii() and size.isdecimal() else -1 for size in declared.values()}
        if len(sizes) != 1 or -1 in sizes:
            found = " but ".join(f"{name} {size}" for name, size in declared.items()) or "no Content-Length"
            raise self.failed(f"the server does not send its size ({found})")
        return Origin(
            shown(self.url),
            sizes.pop(),
            response.headers.get("ETag"),
            response.headers.get("Last-Modified"),
            tuple(declared_checksums(headers)),
        )

    def _check_room(self, needed_bytes: int) -> None:
        free = shutil.disk_usage(self.part.parent).free
        if needed_bytes > free:
            raise DatasetError(
                f"no room for {self.name}: {megabytes(needed_bytes):,} MB are still to download, "
                f"{megabytes(free):,} MB are free at {self.part.parent}\n"
                "free some space and run this again (the download continues), or choose another --dataset-root"
            )

    def _receive(self, response: requests.Response, origin: Origin, offset: int) -> None:
        """Append the body. Raises BrokenError if it ends before the file does."""
        position, broken = offset, "the connection ended"
        listener, limit = rate_limited(self.listener), RateLimit(self.patience, offset)
        with self.part.open("ab") as file:
            while True:
                self._count(listener, position, origin)
                try:
                    # read1 returns the bytes received so far: a whole chunk would be lost if the connection broke
                    chunk: bytes = response.raw.read1(_CHUNK_BYTES, decode_content=False)
                except HTTPError as error:
                    chunk, broken = b"", _reason(error)
                if not chunk:
                    break
                position += len(chunk)
                self.received_bytes += len(chunk)
                if position > origin.size_bytes:
                    break
                file.write(chunk)
                if position < origin.size_bytes:
                    limit.check(position)
                    self._check_deadline()
        if position > origin.size_bytes:
            remove_origin(self.part)
            raise self.failed(f"the server sends more than the {origin.size_bytes:,} bytes that it declared")
        if position < origin.size_bytes:
            raise BrokenError(f"{broken} at {position:,} of {origin.size_bytes:,} bytes")

    def _check_deadline(self) -> None:
        if time.monotonic() > self.deadline_s:
            raise self.failed(f"it is not complete after {self.patience.longest_s / 3600:.3g} hours")

    def _count(self, listener: Listener, position: int, origin: Origin) -> None:
        total = megabytes(origin.size_bytes)
        done = total if position >= origin.size_bytes else position // 1_000_000
        listener(Counted(f"download {self.name}", done, total, "MB"))


def _cannot_continue(response: requests.Response, origin: Origin, offset: int) -> str | None:
    """The reason why the answer to a Range request cannot be appended; None if it can, or is not an answer at all."""
    headers = response.headers
    validators = {headers[name] for name in ("ETag", "Last-Modified") if name in headers}
    same = origin.validator in validators
    if response.status_code == 200:
        return "the server cannot continue a download" if same else "the file on the server has changed"
    if response.status_code == 416:
        return f"the server sends nothing from byte {offset:,}"
    if response.status_code == 206:
        start, _, rest = headers.get("Content-Range", "").partition("-")
        if start != f"bytes {offset}" or rest.partition("/")[2] != str(origin.size_bytes):
            return "the server sends another part than requested"
        if validators and origin.validator and not same:
            return "the file on the server has changed"
    return None


def _reason(error: BaseException) -> str:
    """The innermost cause in an exception of requests, whose own text is a nest of object names."""
    while (deeper := error.__cause__ or error.__context__) is not None:
        error = deeper
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, IncompleteRead):
        return "the connection ended"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
