"""The one preprocessing of digits: whatever the picture, uint8 (28, 28), white on black, 0..255."""

import numpy as np
from PIL import Image, ImageOps, ImageStat

from digits.errors import DataError
from digits.shape import SIZE

Arrays = tuple[np.ndarray, np.ndarray]  # images uint8 (n, 28, 28) white on black, labels uint8 (n,)


def standardise(image: Image.Image | np.ndarray) -> np.ndarray:
    """The one preprocessing of foreign images: greyscale, white on black, LANCZOS to uint8 (28, 28), never dithered.

    Takes a PIL image of any mode, or an array (h, w) or (h, w, 3 or 4) with values in 0..255. A picture whose border is
    mostly bright is taken for dark ink on paper and inverted, the paper's shade becoming black; one that is not square
    is padded with black. Raises DataError for pixels that are no bytes, or no picture at all.
    """
    if not isinstance(image, Image.Image):
        shape = np.shape(image)
        if not (len(shape) == 2 or (len(shape) == 3 and shape[2] in (3, 4))):
            raise DataError(f"the image: an array of shape {shape} is not a picture; expected (h, w) or (h, w, 3)")
        image = Image.fromarray(_bytes(np.asarray(image), "the image"))
    if 0 in image.size:
        raise DataError("the image: has no pixels")
    grey = _grey(image)
    grey = Image.fromarray(_white_on_black(np.asarray(grey)[None])[0])
    return np.array(ImageOps.pad(grey, (SIZE, SIZE), method=Image.Resampling.LANCZOS, color=0))


def standardise_all(images: np.ndarray, labels: np.ndarray, where: str) -> Arrays:
    """The same for a whole set: images (n, h, w), (n, h, w, 1) or (n, h*h) and labels (n,), checked together.

    `where` begins the DataError raised for wrong shapes, counts, labels or pixel ranges.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim == 2 and (side := round(images.shape[1] ** 0.5)) ** 2 == images.shape[1]:
        images = images.reshape(len(images), side, side)
    if images.ndim != 3 or 0 in images.shape[1:]:
        raise DataError(f"{where}: images of shape {images.shape}; expected (n, 28, 28) or (n, 784)")
    if labels.ndim != 1:
        raise DataError(f"{where}: labels of shape {labels.shape}; expected one number from 0 to 9 for each image")
    if len(images) != len(labels):
        raise DataError(f"{where}: {len(images):,} images but {len(labels):,} labels; they must pair up")
    if len(images) == 0:
        raise DataError(f"{where}: holds no images; name a file or folder that does")
    if labels.dtype.kind not in "iuf" or not np.isin(labels, np.arange(10)).all():
        wrong = next((label for label in labels.tolist() if label not in range(10)), labels.dtype.name)
        raise DataError(f"{where}: a label is {wrong!r}; expected whole numbers from 0 to 9")
    pixels = _bytes(images, where)
    if pixels.max() <= 1:
        raise DataError(f"{where}: no pixel is above 1; expected 0..255, so multiply by 255")
    if pixels.shape[1:] == (SIZE, SIZE):
        pixels = _white_on_black(pixels)
    else:
        pixels = np.stack([standardise(image) for image in pixels])
    return pixels, labels.astype(np.uint8)


def _bytes(pixels: np.ndarray, where: str) -> np.ndarray:
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind not in "iuf":
        raise DataError(f"{where}: pixels are {pixels.dtype}, not numbers; expected 0..255")
    low, high = (float(pixels.min()), float(pixels.max())) if pixels.size else (0.0, 0.0)
    if not (low >= 0 and high <= 255):  # also when either is NaN
        raise DataError(f"{where}: pixels from {low:g} to {high:g}; expected 0..255")
    if pixels.dtype.kind == "f" and 0 < high <= 1:
        raise DataError(f"{where}: pixels between 0 and 1; expected 0..255, so multiply by 255")
    return np.rint(pixels).astype(np.uint8)


def _white_on_black(images: np.ndarray) -> np.ndarray:
    """Images uint8 (n, h, w), those with a mostly bright border inverted.

    Paper is seldom white: its own shade, the border's median, becomes black, and ink is what is darker than it.
    """
    border = [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]]
    paper = np.median(np.concatenate(border, axis=1), axis=1)[:, None, None]
    return np.where(paper > 127, (paper - images).clip(0, 255), images).astype(np.uint8)


def _grey(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel
        return Image.fromarray((np.asarray(image).clip(0, 65535) / 257).astype(np.uint8))
    if image.mode == "F":
        return Image.fromarray(_bytes(np.asarray(image), "the image"))
    if image.has_transparency_data:  # ink on nothing: put behind it what shows it
        image = image.convert("LA")
        ink, alpha = image.split()
        opaque = alpha.point(lambda a: 255 * (a > 127))
        dark = opaque.getbbox() is not None and ImageStat.Stat(ink, opaque).mean[0] < 128
        return Image.composite(ink, Image.new("L", image.size, 255 if dark else 0), alpha)
    return image.convert("L")
