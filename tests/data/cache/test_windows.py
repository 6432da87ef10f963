"""A window has the pixels that the transforms take of the image, with the same random numbers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision import transforms as T

from clearctl.data.cache.windows import Window, draw_window, picks_pixels, window_size


class OwnFlip(T.RandomHorizontalFlip):
    """A subclass, which may do anything."""


SIZES = st.one_of(st.integers(1, 12), st.tuples(st.integers(1, 12), st.integers(1, 12)))
STEPS = st.lists(
    st.one_of(
        st.builds(T.RandomCrop, SIZES),
        st.builds(T.CenterCrop, SIZES),
        st.builds(T.RandomHorizontalFlip, st.sampled_from([0.0, 0.5, 1.0])),
        st.builds(T.RandomVerticalFlip, st.sampled_from([0.0, 0.5, 1.0])),
    ),
    max_size=6,
)


def pixels_of(window: Window, image: torch.Tensor) -> torch.Tensor:
    rows = window.top + window.row_step * torch.arange(window.height)
    columns = window.left + window.column_step * torch.arange(window.width)
    return image[:, rows][:, :, columns]


@given(steps=STEPS, height=st.integers(1, 14), width=st.integers(1, 14), seed=st.integers(0, 99))
def test_pixels_and_random_numbers_are_those_of_the_transforms(
    steps: list[torch.nn.Module], height: int, width: int, seed: int
) -> None:
    assert all(map(picks_pixels, steps))
    image = torch.arange(1, 1 + 3 * height * width).view(3, height, width)
    torch.manual_seed(seed)
    expected: torch.Tensor | str = image
    try:
        for step in steps:
            assert isinstance(expected, torch.Tensor)
            expected = step(expected)
    except ValueError as error:  # a random crop of more than there is
        expected = str(error)
    after = torch.get_rng_state()

    size = window_size(steps, height, width)
    torch.manual_seed(seed)
    if size is None:
        assert any(type(step) is T.CenterCrop for step in steps)
        return
    if isinstance(expected, str):
        with pytest.raises(ValueError, match="Required crop size") as error:
            draw_window(steps, height, width)
        assert str(error.value) == expected
        return
    window = draw_window(steps, height, width)
    assert torch.equal(torch.get_rng_state(), after)
    assert window[:2] == size == tuple(expected.shape[1:])
    assert torch.equal(pixels_of(window, image), expected)


@pytest.mark.parametrize(
    "step",
    [
        T.RandomCrop(8, padding=2),
        T.RandomCrop(8, pad_if_needed=True),
        T.RandomResizedCrop(8),
        T.ColorJitter(0.1),
        T.Resize(8),
        T.Pad(1),
        OwnFlip(),
    ],
)
def test_other_transforms_may_do_more(step: torch.nn.Module) -> None:
    assert not picks_pixels(step)
