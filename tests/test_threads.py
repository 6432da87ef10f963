"""torch's threads, kept as a run had them."""

import torch

from clearctl.progress import Event, Message
from clearctl.threads import keep_threads, torch_threads


def test_within_there_are_so_many() -> None:
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_another_number_is_reported_and_kept() -> None:
    said: list[Event] = []
    with torch_threads(2):
        keep_threads(2, "in the run", said.append)
        assert not said
        keep_threads(1, "in the run", said.append)
        assert torch.get_num_threads() == 1
    assert said == [Message("torch uses 1 threads, as in the run, instead of 2")]
