"""Batched augmentation against torchvision's transforms, one image and one known draw at a time."""

import math

import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as reference

from hdkd.config import Augmentation
from hdkd.data.batches import augment

NOTHING = Augmentation(
    rotation=0.0,
    horizontal_flip=False,
    vertical_flip=False,
    brightness=0.0,
    contrast=0.0,
    sharpness=1.0,
    blur=None,
)
EVERYTHING = Augmentation(
    rotation=180.0,
    horizontal_flip=True,
    vertical_flip=True,
    brightness=0.3,
    contrast=0.3,
    sharpness=2.0,
    blur=(0.1, 2.0),
)


@pytest.fixture(params=[1, 3], ids=["grey", "rgb"])
def images(request) -> torch.Tensor:
    return torch.rand(2, request.param, 16, 16, generator=torch.Generator().manual_seed(1))


def each(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def changed_by(images: torch.Tensor, settings: Augmentation, seed: int = 0) -> torch.Tensor:
    return augment.augment(images, augment.draw(len(images), generator(seed)), settings)


def test_nothing_switched_on_changes_nothing(images):
    assert torch.equal(changed_by(images, NOTHING), images)


def test_the_same_generator_gives_the_same_images(images):
    first, second = (changed_by(images, EVERYTHING, 4) for _ in range(2))
    assert torch.equal(first, second)


def test_images_of_a_batch_are_changed_differently(images):
    twins = images[:1].expand(2, -1, -1, -1)
    changed = changed_by(twins, EVERYTHING)
    assert not torch.equal(changed[0], changed[1])


def test_rotation_is_torchvisions(images):
    degrees = (33.0, -120.0)
    ones = torch.ones(2)
    ours = augment.turn(images, torch.tensor(degrees) * math.pi / 180, ones, ones)
    for image, angle, expected in zip(images, degrees, ours, strict=True):
        theirs = reference.rotate(image, angle, v2.InterpolationMode.NEAREST)
        assert (theirs == expected).float().mean() > 0.99  # ties of nearest neighbours may differ


def test_flips_come_after_the_rotation(images):
    quarter = torch.full((2,), math.pi / 2)
    ours = augment.turn(images, quarter, torch.tensor([-1.0, 1.0]), torch.tensor([1.0, -1.0]))
    turned = torch.rot90(images, 1, dims=(2, 3))
    assert torch.equal(ours[0], turned[0].flip(-1))
    assert torch.equal(ours[1], turned[1].flip(-2))


@pytest.mark.parametrize("factor", [0.7, 1.3])
def test_brightness_is_torchvisions(images, factor):
    ours = augment.adjust_brightness(images, each(factor, factor))
    assert torch.allclose(ours, reference.adjust_brightness(images, factor), atol=1e-6)


@pytest.mark.parametrize("factor", [0.7, 1.3])
def test_contrast_is_torchvisions(images, factor):
    ours = augment.adjust_contrast(images, each(factor, factor))
    assert torch.allclose(ours, reference.adjust_contrast(images, factor), atol=1e-5)


def test_sharpness_is_torchvisions(images):
    ours = augment.adjust_sharpness(images, each(2.0, 1.0))
    assert torch.allclose(ours[0], reference.adjust_sharpness(images[0], 2.0), atol=1e-5)
    assert torch.allclose(ours[1], images[1])


@pytest.mark.parametrize("sigma", [0.1, 0.8, 2.0])
def test_blur_is_torchvisions(images, sigma):
    ours = augment.blur(images, each(sigma, sigma))
    assert torch.allclose(ours, reference.gaussian_blur(images, 3, sigma), atol=1e-5)


def test_results_stay_in_range(images):
    changed = changed_by(images, EVERYTHING)
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_normalising_colour_is_torchvisions():
    image = torch.randint(0, 256, (1, 3, 4, 4), dtype=torch.uint8, generator=generator())
    theirs = reference.normalize(image / 255, augment.IMAGENET_MEAN, augment.IMAGENET_STD)
    assert torch.allclose(augment.normalise(image), theirs, atol=1e-6)


def test_statistics_follow_torchvisions_per_image_transforms():
    images = torch.rand(1, 3, 12, 12, generator=generator()).expand(1500, -1, -1, -1)
    ours = changed_by(images, EVERYTHING, 2)
    transform = v2.Compose(
        [
            v2.RandomRotation(180),
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
            v2.ColorJitter(brightness=0.3, contrast=0.3),
            v2.RandomAdjustSharpness(2.0),
            v2.GaussianBlur(3),
        ]
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        theirs = torch.stack([transform(image) for image in images])
    assert ours.mean() == pytest.approx(theirs.mean().item(), abs=0.01)
    assert ours.std() == pytest.approx(theirs.std().item(), abs=0.01)
    spread = ours.mean(dim=(1, 2, 3)).std().item()
    assert spread == pytest.approx(theirs.mean(dim=(1, 2, 3)).std().item(), abs=0.01)
