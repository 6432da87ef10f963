"""A file over HTTP from a server that cuts, stalls, changes its mind and lies: the bytes on disk, and what was sent."""

import random
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mirror import Mirror

from clearctl.dataset.remote.checksum import Checksum
from clearctl.dataset.remote.fetch import fetch, is_https_downgrade
from clearctl.dataset.remote.origin import Origin, read_origin, shown, write_origin
from clearctl.dataset.remote.patience import Patience
from clearctl.errors import CapabilityError, DatasetError
from clearctl.progress import Counted, Message

DATA = random.Random(0).randbytes(1_000_000)
QUICK = Patience(retries=2, pause_s=0.0, connect_timeout_s=30.0, read_timeout_s=30.0)
SHORT = replace(QUICK, read_timeout_s=1.0)  # long enough for a server that is there


@pytest.fixture
def mirror():
    with Mirror({"f.zip": DATA}) as serving:
        yield serving


@pytest.fixture
def part(tmp_path):
    return tmp_path / "f.zip.part"


def get(mirror, part, patience=QUICK, url=None):
    """(what fetch returns, the messages that it sent)."""
    reported = []
    received_bytes = fetch(url or f"{mirror.url}/f.zip", part, patience, reported.append)
    return received_bytes, [event.text for event in reported if isinstance(event, Message)]


def refused(mirror, part, *reported, error=CapabilityError, **how):
    with pytest.raises(error) as caught:
        get(mirror, part, **how)
    text = str(caught.value)
    assert len(text.splitlines()) <= 2
    for piece in reported:
        assert piece in text
    return text


def test_a_good_server(mirror, part):
    received_bytes, _ = get(mirror, part)
    assert part.read_bytes() == DATA
    assert received_bytes == len(DATA)
    assert read_origin(part) == Origin(f"{mirror.url}/f.zip", len(DATA), '"v1"', None, ())
    assert mirror.sent == [(None, 200, len(DATA))]
    assert mirror.log[0].accept_encoding == "identity"


@pytest.mark.parametrize("a_look_s", [0.0, 0.03, 1.0])
def test_progress_is_reported_in_mb_ten_times_a_second_and_ends_at_the_total(mirror, part, monkeypatch, a_look_s):
    """By a clock that continues as it is looked at."""
    mirror.files["f.zip"] = data = DATA * 3 + b"more"
    looks = []

    def now() -> float:
        looks.append(len(looks) * a_look_s)
        return looks[-1]

    monkeypatch.setattr("clearctl.progress.time", SimpleNamespace(monotonic=now))
    reported = []
    fetch(f"{mirror.url}/f.zip", part, QUICK, reported.append)
    counts = [event for event in reported if isinstance(event, Counted)]
    assert {(event.work, event.total, event.unit) for event in counts} == {("download f.zip", 4, "MB")}
    assert [event.done for event in counts] == sorted(event.done for event in counts)
    assert (counts[0].done, counts[-1].done) == (0, 4)
    assert len(looks) > len(data) // (1 << 18)  # one for each part that came
    assert len(counts) == len(looks) if a_look_s == 1.0 else len(counts) <= 2 + 10 * looks[-1]
    assert "3.0 MB came in" in reported[-1].text
    assert part.read_bytes() == data


def test_one_cut_is_gone_on_from(mirror, part):
    mirror.cuts = [400_001]
    received_bytes, messages = get(mirror, part)
    assert part.read_bytes() == DATA
    assert received_bytes == len(DATA)
    assert mirror.sent == [(None, 200, 400_001), ("bytes=400001-", 206, 599_999)]
    assert mirror.log[1].if_range == '"v1"'
    assert messages[0] == "f.zip: the connection ended at 400,001 of 1,000,000 bytes; continuing at 1 MB in 0 s"


@settings(deadline=None, max_examples=20)
@given(cuts=st.lists(st.integers(1, 300_000), max_size=6), before=st.integers(0, len(DATA)))
def test_wherever_it_is_cut_the_bytes_are_the_same(tmp_path_factory, cuts, before):
    part = tmp_path_factory.mktemp("cut") / "f.zip.part"
    with Mirror({"f.zip": DATA}, cuts=list(cuts)) as mirror:
        write_origin(part, Origin(f"{mirror.url}/f.zip", len(DATA), '"v1"', None, ()))
        part.write_bytes(DATA[:before])
        received_bytes, _ = get(mirror, part)
    assert part.read_bytes() == DATA
    assert received_bytes == len(DATA) - before == sum(sent for *_, sent in mirror.sent)


def test_many_cuts_are_gone_on_from_while_something_comes(mirror, part):
    mirror.cuts = [50_000] * 19
    get(mirror, part)
    assert part.read_bytes() == DATA
    assert len(mirror.log) == 20


def test_a_server_that_always_cuts_at_the_same_byte_is_given_up(mirror, part):
    mirror.cuts = [300_000, 0, 0, 0, 0]
    refused(
        mirror, part, f"{mirror.url}/f.zip", "300,000 of 1,000,000 bytes", "the 1 downloaded MB are kept", "--url BASE"
    )
    assert len(mirror.log) == 1 + 1 + QUICK.retries
    assert part.read_bytes() == DATA[:300_000]
    mirror.cuts = []
    received_bytes, messages = get(mirror, part)
    assert part.read_bytes() == DATA
    assert received_bytes == 700_000
    assert mirror.sent[-1] == ("bytes=300000-", 206, 700_000)
    assert messages[0] == "f.zip: 1 of 1 MB are already downloaded, continuing"


def test_the_pauses_grow(mirror, part, monkeypatch):
    mirror.cuts = [300_000, 0, 0, 0]
    pauses = []
    monkeypatch.setattr("clearctl.dataset.remote.fetch.time", SimpleNamespace(monotonic=lambda: 0, sleep=pauses.append))
    with pytest.raises(CapabilityError):
        get(mirror, part, Patience(retries=2, pause_s=0.05))
    assert pauses == [0.05, 0.1, 0.2]


def test_a_stall_is_ended_and_gone_on_from(mirror, part):
    mirror.stall_after = 400_000
    _, messages = get(mirror, part, SHORT)
    assert part.read_bytes() == DATA
    assert mirror.sent == [
        (None, 200, 400_000),
        ("bytes=400000-", 206, 400_000),
        ("bytes=800000-", 206, 200_000),
    ]
    assert messages[0] == "f.zip: no answer in time at 400,000 of 1,000,000 bytes; continuing at 1 MB in 0 s"


def test_a_stall_that_stays_is_given_up(mirror, part):
    def stall(event):
        if isinstance(event, Message):
            mirror.stall_after = 0

    mirror.stall_after = 400_000
    with pytest.raises(CapabilityError, match="no answer in time at 400,000 of 1,000,000 bytes"):
        fetch(f"{mirror.url}/f.zip", part, replace(SHORT, retries=1), stall)
    assert len(mirror.log) == 1 + 1 + 1
    assert part.read_bytes() == DATA[:400_000]


def test_a_server_that_ignores_range_means_starting_over(mirror, part):
    mirror.ranges, mirror.cuts = False, [600_000]
    received_bytes, messages = get(mirror, part)
    assert part.read_bytes() == DATA
    assert [status for _, status, _ in mirror.sent] == [200, 200]
    assert received_bytes == 1_600_000
    assert any("cannot continue a download, so the download starts over" in text for text in messages)


def test_a_server_that_ignores_range_and_always_cuts_is_given_up(mirror, part):
    mirror.ranges, mirror.cuts = False, [600_000] * 9
    refused(mirror, part, "600,000 of 1,000,000 bytes")
    assert len(mirror.log) == 1 + 1 + QUICK.retries


@pytest.mark.parametrize("with_etag", [True, False])
def test_a_file_that_changes_between_two_requests(mirror, part, with_etag):
    """The new file whole, never the head of one and the tail of the other."""
    if not with_etag:
        mirror.etag, mirror.last_modified = None, "Wed, 01 Jan 2020 00:00:00 GMT"
    mirror.cuts = [400_000]
    reported = []

    def change(event):
        reported.append(event)
        if isinstance(event, Message) and "continuing" in event.text:
            mirror.files["f.zip"] = bytes(reversed(DATA))
            mirror.etag, mirror.last_modified = ('"v2"', None) if with_etag else (None, "Thu, 02 Jan 2020 00:00:00 GMT")

    fetch(f"{mirror.url}/f.zip", part, QUICK, change)
    assert part.read_bytes() == bytes(reversed(DATA))
    assert "v2" in str(read_origin(part)) or "02 Jan" in str(read_origin(part))
    assert any("the file on the server has changed" in event.text for event in reported if isinstance(event, Message))


def test_a_changed_file_from_a_server_that_does_not_know_if_range(mirror, part):
    """It answers 206 with the tail of the new file: its ETag gives it away."""
    mirror.headers, mirror.cuts = {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, [400_000]

    def change(event):
        if isinstance(event, Message) and "continuing" in event.text:
            mirror.files["f.zip"], mirror.etag = bytes(reversed(DATA)), '"v2"'

    fetch(f"{mirror.url}/f.zip", part, QUICK, change)
    assert part.read_bytes() == bytes(reversed(DATA))
    assert [(asked.status, asked.if_range) for asked in mirror.log] == [(200, None), (206, None), (200, None)]


@pytest.mark.parametrize("content_range", ["bytes 0-999999/1000000", "bytes 400000-999999/1234567", "nonsense"])
def test_a_wrong_content_range_is_not_appended(mirror, part, content_range):
    mirror.cuts, mirror.content_range = [400_000], content_range
    get(mirror, part)
    assert part.read_bytes() == DATA
    assert [status for _, status, _ in mirror.sent] == [200, 206, 200]


def test_a_weak_etag_does_not_guard_but_the_date_does(mirror, part):
    mirror.etag, mirror.last_modified, mirror.cuts = 'W/"v1"', "Wed, 01 Jan 2020 00:00:00 GMT", [400_000]
    get(mirror, part)
    assert part.read_bytes() == DATA
    assert mirror.log[1].if_range == "Wed, 01 Jan 2020 00:00:00 GMT"


def test_without_etag_and_date_it_starts_over(mirror, part):
    mirror.etag, mirror.cuts = None, [400_000]
    _, messages = get(mirror, part)
    assert part.read_bytes() == DATA
    assert [asked.range for asked in mirror.log] == [None, None]
    assert any("no ETag or date to detect a changed file" in text for text in messages)


def test_a_file_that_shrank_below_what_is_here(mirror, part):
    write_origin(part, Origin(f"{mirror.url}/f.zip", len(DATA), '"v1"', None, ()))
    part.write_bytes(DATA[:500_000])
    mirror.files["f.zip"] = DATA[:500_000]  # under the same ETag
    _, messages = get(mirror, part)
    assert part.read_bytes() == DATA[:500_000]
    assert [status for _, status, _ in mirror.sent] == [416, 200]
    assert "sends nothing from byte 500,000, so the download starts over" in messages[0]


def test_a_length_longer_than_the_body_is_never_complete(mirror, part):
    mirror.declared_length = 1_200_000
    refused(mirror, part, "of 1,200,000 bytes")


def test_a_body_longer_than_its_declared_range_is_refused(mirror, part):
    """Without a Content-Length of the part, what it may hold follows from the whole."""
    write_origin(part, Origin(f"{mirror.url}/f.zip", len(DATA), '"v1"', None, ()))
    part.write_bytes(DATA[:400_000])
    mirror.extra, mirror.no_length, mirror.content_range = b"x" * 70_000, True, "bytes 400000-999999/1000000"
    refused(mirror, part, "more than the 1,000,000 bytes")
    assert not part.exists()


def test_no_length_at_all_is_refused(mirror, part):
    mirror.no_length = True
    refused(mirror, part, "does not send its size (no Content-Length)")
    assert not part.exists()


def test_two_lengths_that_differ_are_refused(mirror, part):
    mirror.redirect = (f"http://127.0.0.1:{mirror.port}/cdn", {"X-Linked-Size": "7"})
    refused(mirror, part, "X-Linked-Size 7 but Content-Length 1000000")


def test_what_the_redirect_declares_is_kept(mirror, part):
    digest = "ab" * 32
    headers = {"X-Linked-ETag": f'"{digest}"', "X-Linked-Size": str(len(DATA))}
    mirror.redirect, mirror.cuts = (f"http://127.0.0.1:{mirror.port}/cdn", headers), [400_000]
    get(mirror, part)
    origin = read_origin(part)
    assert part.read_bytes() == DATA
    assert origin.url == f"{mirror.url}/f.zip"
    assert origin.checksums == (Checksum("sha256", digest, "X-Linked-ETag"),)
    # the redirect is asked for again each time, since it may lead to an address with a time limit
    assert [(asked.path, asked.range) for asked in mirror.log] == [
        ("/clear/f.zip", None),
        ("/cdn/f.zip", None),
        ("/clear/f.zip", "bytes=400000-"),
        ("/cdn/f.zip", "bytes=400000-"),
    ]


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/x", "file:///etc/passwd"])
def test_a_redirect_to_another_scheme_is_refused(mirror, part, target):
    mirror.redirect = (target, {})
    refused(mirror, part, "does not follow", target)
    assert not part.exists()


@pytest.mark.parametrize(
    "target",
    ["http://[::1", "http://a..b", "http://" + "a" * 70 + ".org", "https://:x", "http://\xff\xfe.x:99999"],
)
def test_a_redirect_to_what_is_no_address_is_refused(mirror, part, target):
    mirror.redirect = (target, {})
    refused(mirror, part, "cannot be downloaded")
    assert not part.exists()


def test_encryption_that_cannot_be_agreed_on_is_refused(mirror, part):
    refused(mirror, part, "the TLS connection fails", url=mirror.url.replace("http:", "https:") + "/f.zip")


SLOW = replace(QUICK, retries=1, slowest_bytes_s=1e9, slow_for_s=0.01)


def test_a_server_that_sends_a_little_now_and_then_is_given_up(mirror, part):
    """Each connection brings something, and none of them stalls."""
    mirror.pace = lambda sent_bytes: time.sleep(0.02)
    refused(mirror, part, "bytes a second came in the last", "run this again", patience=SLOW)
    assert 0 < part.stat().st_size < len(DATA)
    mirror.pace = lambda sent_bytes: None
    get(mirror, part)
    assert part.read_bytes() == DATA


def test_a_download_has_a_longest_time(mirror, part):
    refused(mirror, part, "it is not complete after 0 hours", patience=replace(QUICK, longest_s=0.0))
    get(mirror, part)
    assert part.read_bytes() == DATA


def test_headers_that_do_not_end_are_not_waited_for(part):
    given_up = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-A: ")
                while not given_up.wait(0.02):
                    connection.sendall(b"a")

        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/f.zip"
        refused(None, part, "no answer in time", patience=replace(QUICK, answer_timeout_s=0.3), url=url)
        given_up.set()
        dripping.join()


def test_a_redirect_in_a_circle_is_refused(mirror, part):
    mirror.redirect = (f"{mirror.url}/../clear", {})
    refused(mirror, part, "does not follow")


def test_a_redirect_may_gain_encryption_but_not_lose_it():
    assert is_https_downgrade(["https://a/x", "http://b/x"])
    assert is_https_downgrade(["http://a/x", "https://b/x", "http://c/x"])
    assert not is_https_downgrade(["http://a/x", "https://b/x", "https://c/x"])
    assert not is_https_downgrade(["http://a/x"])


@pytest.mark.parametrize("status", [400, 403, 404, 500, 503])
def test_an_error_at_first_is_reported_at_once(mirror, part, status):
    mirror.statuses = [status]
    refused(mirror, part, f"{mirror.url}/f.zip", f"the server answers {status}", str(part.with_name("f.zip")))
    assert len(mirror.log) == 1
    assert not part.exists()


def test_an_error_that_passes_is_waited_for(mirror, part):
    mirror.cuts, mirror.statuses = [400_000], [200, 503, 429]
    get(mirror, part)
    assert part.read_bytes() == DATA
    assert [asked.status for asked in mirror.log] == [200, 503, 429, 206]


def test_an_error_that_stays_ends_it_and_keeps_what_came(mirror, part):
    mirror.cuts, mirror.statuses = [400_000], [200, 404]
    refused(mirror, part, "the server answers 404", "the 1 downloaded MB are kept")
    assert part.read_bytes() == DATA[:400_000]


def test_a_port_where_nobody_listens(part):
    with Mirror() as mirror:
        url = f"{mirror.url}/f.zip"
    refused(None, part, url, "Connection refused", "--url BASE", url=url)


def test_a_name_that_does_not_exist(part):
    url = "http://no-such-host.invalid/clear/f.zip"
    refused(None, part, url, url=url)


def test_a_server_that_takes_the_connection_and_says_nothing(part):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/f.zip"
        refused(None, part, "no answer in time", url=url, patience=SHORT)


def test_compressed_though_asked_not_to(mirror, part):
    mirror.headers = {"Content-Encoding": "gzip"}
    refused(mirror, part, "compressed (gzip)")


def test_no_room(mirror, part):
    mirror.declared_length = 10**18
    refused(mirror, part, "1,000,000,000,000 MB are still to download", "MB are free", error=DatasetError)
    assert not part.exists()


def test_another_address_means_starting_over(mirror, part):
    mirror.cuts = [400_000, 0, 0, 0, 0]
    refused(mirror, part)
    mirror.cuts = []
    _, messages = get(mirror, part, url=f"http://127.0.0.1:{mirror.port}/elsewhere/f.zip")
    assert part.read_bytes() == DATA
    assert messages[0] == f"f.zip: the partial file came from {mirror.url}/f.zip, so the download starts over"


@pytest.mark.parametrize("note", ["", "{", "[]", '{"url": 3}', '{"checksums": [{"a": 1}]}', '"text"'])
def test_a_note_that_cannot_be_read_means_starting_over(mirror, part, note):
    part.write_bytes(b"other bytes")
    part.with_name("f.zip.part.json").write_text(note)
    get(mirror, part)
    assert part.read_bytes() == DATA


def test_what_is_whole_is_not_asked_for(mirror, part):
    get(mirror, part)
    received_bytes, messages = get(mirror, part)
    assert (received_bytes, messages, len(mirror.log)) == (0, [], 1)


def test_a_password_is_used_but_not_reported(mirror, part):
    url = mirror.url.replace("//", "//me:secret@") + "/f.zip"
    mirror.cuts = [400_000, 0, 0, 0, 0]
    text = refused(mirror, part, url=url)
    assert "secret" not in text
    assert "secret" not in part.with_name("f.zip.part.json").read_text()
    mirror.cuts = []
    get(mirror, part, url=url)
    assert mirror.sent[-1][0] == "bytes=400000-"
    assert shown("https://u:p@host:8/x?y") == "https://host:8/x?y"
