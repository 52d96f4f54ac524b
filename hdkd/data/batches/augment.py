"""Random changes to a batch of training images, each image with its own draw.

The operations and their ranges are those of the released implementation, which applies
torchvision's transforms to one PIL image at a time: rotation (nearest neighbour on black), flips,
brightness and contrast in random order, sharpness for half of the images, Gaussian blur with a 3×3
kernel. Here they act on floats in batches, so nothing is rounded to bytes in between. The batched
transforms of torchvision and kornia draw inside, from the device's generator; here every image has
its own draws, made on the CPU, so that a GPU changes images as a CPU does.
"""

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from hdkd.config import Augmentation

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LUMA = (0.2989, 0.587, 0.114)
DRAWS = 8


@functools.cache
def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """``values`` as ``(n, 1, 1)`` on ``device``, brought there once."""
    return torch.tensor(values, device=device)[:, None, None]


def normalise(images: Tensor) -> Tensor:
    """Bytes or floats in [0, 1], ``(batch, channels, h, w)``, to ImageNet's mean and deviation.

    Grey images take the mean over ImageNet's three channels.
    """
    if images.dtype == torch.uint8:
        images = images.float() / 255
    mean = constant(IMAGENET_MEAN, images.device)
    std = constant(IMAGENET_STD, images.device)
    if images.shape[1] == 1:
        mean, std = mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
    return (images - mean) / std


def draw(count: int, generator: torch.Generator) -> Tensor:
    """The random numbers for ``count`` images, ``(count, 8)`` in [0, 1), on the CPU.

    They come from there whatever the device, so that a GPU changes images as a CPU does.
    """
    return torch.rand(count, DRAWS, generator=generator)


def augment(images: Tensor, draws: Tensor, settings: Augmentation) -> Tensor:
    """Change floats in [0, 1], ``(batch, 1 or 3, h, w)``, at random; the result stays in [0, 1].

    ``draws`` are rows of :func:`draw` on the device of the images, one an image.
    """
    columns = iter(draws[:, :, None, None, None].unbind(dim=1))

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * next(columns)

    angle = uniform(-settings.rotation, settings.rotation)[:, 0, 0, 0] * math.pi / 180
    flip_x = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)[:, 0, 0, 0]
    flip_y = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)[:, 0, 0, 0]
    images = turn(
        images,
        angle,
        flip_x if settings.horizontal_flip else torch.ones_like(flip_x),
        flip_y if settings.vertical_flip else torch.ones_like(flip_y),
    )
    brightness = uniform(1 - settings.brightness, 1 + settings.brightness)
    contrast = uniform(1 - settings.contrast, 1 + settings.contrast)
    brightness_first = uniform(0, 1) < 0.5
    one = torch.ones_like(brightness)
    images = adjust_brightness(images, torch.where(brightness_first, brightness, one))
    images = adjust_contrast(images, contrast)
    images = adjust_brightness(images, torch.where(brightness_first, one, brightness))
    sharpen = uniform(0, 1) < 0.5
    if settings.sharpness != 1:
        images = adjust_sharpness(images, torch.where(sharpen, settings.sharpness, one))
    if settings.blur is not None:
        images = blur(images, uniform(*settings.blur))
    return images


def turn(images: Tensor, angle: Tensor, flip_x: Tensor, flip_y: Tensor) -> Tensor:
    """Rotate counter-clockwise by ``angle`` ``(batch,)`` radians; mirror where a flip is -1."""
    cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
    # The matrix takes output to input coordinates, so what comes last is applied first.
    matrix = torch.stack(
        [
            torch.stack([cos * flip_x, -sin * flip_y, zero], dim=1),
            torch.stack([sin * flip_x, cos * flip_y, zero], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="nearest", padding_mode="zeros", align_corners=False)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply by ``factor`` ``(batch, 1, 1, 1)`` and clip to [0, 1]."""
    return (images * factor).clamp(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Stretch around each image's mean luminance by ``factor`` ``(batch, 1, 1, 1)``."""
    if images.shape[1] == 1:
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
    else:
        luma = constant(LUMA, images.device)
        mean = (images * luma).sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True)
    return (factor * images + (1 - factor) * mean).clamp(0, 1)


def adjust_sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Move away from a 3×3 smoothed copy by ``factor`` ``(batch, 1, 1, 1)``; borders stay."""
    channels = images.shape[1]
    rim, middle = 1 / 13, 5 / 13
    kernel = constant((rim,) * 4 + (middle,) + (rim,) * 4, images.device).view(1, 1, 3, 3)
    kernel = kernel.expand(channels, 1, 3, 3)
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(images, kernel, groups=channels)
    return (factor * images + (1 - factor) * smooth).clamp(0, 1)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur, 3×3, of ``sigma`` ``(batch, 1, 1, 1)`` pixels; borders are reflected."""
    side = torch.exp(-0.5 / sigma**2)
    middle = 1 / (1 + 2 * side)
    side = side * middle
    padded = F.pad(images, (1, 1, 1, 1), mode="reflect")
    rows = middle * padded[:, :, 1:-1] + side * (padded[:, :, :-2] + padded[:, :, 2:])
    return middle * rows[..., 1:-1] + side * (rows[..., :-2] + rows[..., 2:])
