"""Pictures as tensors: from files of every common kind, PIL images and arrays.

Every error is one line that names the image and says what is wrong with it.
"""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from captum_ext.choices import EMBEDDED
from captum_ext.value_checks import one_line

if TYPE_CHECKING:
    from torch import Tensor

#: Files of a folder that are images.
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
#: Pillow's names of the formats that are read, as far as it and its plug-ins know them. Of others,
#: some start programs, and some tell their size only when they are decoded.
FORMATS = (
    *("PNG", "JPEG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM"),
    *("JPEG2000", "AVIF", "HEIF"),
)
#: Formats that Pillow hands to other programs.
FORMATS_OF_PROGRAMS = ("EPS", "PDF", "WMF")
#: No larger image is decoded: reading this one, 8192 x 4096, takes about 0.6 GB.
MAX_PIXELS = 2**25
#: White in a 16-bit image.
HIGHEST_16_BIT = 65_535
#: Formats whose mode "I" is 16 bits in a wider integer.
_16_BIT_FORMATS = ("PNG", "PPM")
_MODES_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa")


def read_image(source: str | Path | Image.Image | np.ndarray) -> Tensor:
    """A picture in RGB.

    Args:
        source: what :func:`open_image` takes, or an array ``[H, W]``, ``[H, W, 1]``, ``[H, W, 3]``
            or ``[H, W, 4]`` (the last with alpha) of uint8, or of floats in [0, 1].

    Returns:
        ``[3, H, W]`` in float32 in [0, 1].

    Raises:
        TypeError: the source is none of these.
        ValueError: as :func:`open_image`; an array of another shape, dtype or range.

    Example:
        >>> read_image("chelsea").shape
        torch.Size([3, 300, 451])
        >>> read_image(np.array([[0, 51]], dtype=np.uint8))[:, 0, 1]
        tensor([0.2000, 0.2000, 0.2000])
    """
    if isinstance(source, np.ndarray):
        return _of_array(source)
    picture = open_image(source)
    highest = HIGHEST_16_BIT if picture.mode == "I;16" else 255
    levels = np.asarray(picture)
    del picture
    return _channels_first(levels, highest)


def open_image(source: str | Path | Image.Image) -> Image.Image:
    """A decoded picture: upright, the first of its frames, its transparent parts over white.

    Args:
        source: a path, a name of :data:`EMBEDDED` (a ``Path`` is never a name), or a PIL image.

    Returns:
        An image of mode ``"RGB"``, or of mode ``"I;16"`` if it is gray with 16 bits.

    Raises:
        TypeError: the source is none of these.
        ValueError: nothing is there, or a folder, or an empty file; it is of none of
            :data:`FORMATS`, cannot be decoded, has more than :data:`MAX_PIXELS` pixels, or values
            without a fixed range.

    Example:
        >>> open_image("coffee").size
        (600, 400)
        >>> open_image("tea.png")
        Traceback (most recent call last):
        ...
        ValueError: image 'tea.png' does not exist; give a path or one of astronaut, chelsea,
        coffee, rocket
    """
    if isinstance(source, str) and source in EMBEDDED:
        return Image.fromarray(getattr(import_module("skimage.data"), source)())
    with warnings.catch_warnings():
        # What Pillow warns of is harmless, or an error later on.
        warnings.simplefilter("ignore")
        if isinstance(source, Image.Image):
            return _decoded(source, "image")
        if isinstance(source, (str, os.PathLike)):
            return _of_file(source)
    names = ", ".join(EMBEDDED)
    raise TypeError(
        f"image must be a path, one of {names}, or a PIL image; got {type(source).__name__}"
    )


def find_images(sources: str | Path | Iterable[str | Path]) -> list[str | Path]:
    """The images that files, folders and names stand for, each once.

    Args:
        sources: files, which stay as they are; folders, which become their files that end in one of
            :data:`SUFFIXES`, sorted, without hidden ones and those of inner folders, but with
            broken links, which :func:`open_image` refuses; names of :data:`EMBEDDED`, which stay as
            they are, unless there is a file of that name: it becomes a ``Path``. One of them need
            not be in a list.

    Returns:
        What :func:`open_image` and :func:`read_image` take.

    Raises:
        ValueError: a source that does not exist, a folder without images.

    Example:
        >>> find_images(["rocket", "coffee", "rocket"])
        ['rocket', 'coffee']
    """
    if isinstance(sources, (str, os.PathLike)):
        sources = [sources]
    unique: dict[str | Path, str | Path] = {}
    for source in sources:
        for image in _images_of(source):
            named = isinstance(image, str) and image in EMBEDDED
            unique.setdefault(image if named else os.path.realpath(image), image)
    return list(unique.values())


def _images_of(source: str | Path) -> list[str | Path]:
    if isinstance(source, str) and source in EMBEDDED:
        return [Path(source) if os.path.isfile(source) else source]
    if not os.path.isdir(source):
        if not os.path.exists(source):
            raise _missing(source)
        return [source]
    try:
        files = sorted(
            file
            for file in Path(source).iterdir()
            if file.suffix.lower() in SUFFIXES and file.name[0] != "." and not file.is_dir()
        )
    except OSError as error:
        raise ValueError(f"folder {str(source)!r} cannot be read: {error.strerror}") from error
    if not files:
        raise ValueError(
            f"folder {str(source)!r} must hold image files ({', '.join(SUFFIXES)}); none is"
        )
    return [*files]


def _missing(source: str | Path) -> ValueError:
    if os.path.islink(source):
        return ValueError(f"image {str(source)!r} is a link that leads to no file")
    return ValueError(
        f"image {str(source)!r} does not exist; give a path or one of {', '.join(EMBEDDED)}"
    )


def _unreadable(name: str, error: Exception) -> ValueError:
    return ValueError(f"{name} cannot be read as an image: {one_line(error)}")


def _of_file(source: str | Path) -> Image.Image:
    name = f"image {str(source)!r}"
    with _opened(source, name) as stream:
        try:
            if not stream.peek(1):
                raise ValueError(f"{name} is an empty file")
        except OSError as error:
            raise _unreadable(name, error) from error
        try:
            picture = _with_header(stream)
        except UnidentifiedImageError:
            raise ValueError(
                f"{name} cannot be read as an image: it has a broken header, or is none of "
                f"{', '.join(_formats())}"
            ) from None
        except Exception as error:
            raise _unreadable(name, error) from error
        return _decoded(picture, name)


def _opened(source: str | Path, name: str) -> BufferedReader:
    if os.path.isdir(source):
        raise ValueError(f"{name} is a folder; give a file")
    if os.path.exists(source) and not os.path.isfile(source):
        # To open a pipe would wait for whoever writes into it.
        raise ValueError(f"{name} is no regular file; give a file")
    if os.path.islink(source) and not os.path.exists(source):
        raise _missing(source)
    try:
        return open(source, "rb")
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(source) from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{name} cannot be opened: {getattr(error, 'strerror', error)}") from error


def _formats() -> list[str]:
    """Those of :data:`FORMATS` that this Pillow, with its plug-ins, knows."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _with_header(stream: BufferedReader) -> Image.Image:
    """``Image.open``, also for sizes that Pillow refuses: :func:`_decoded` says what they are."""
    try:
        return Image.open(stream, formats=_formats())
    except Image.DecompressionBombError:
        stream.seek(0)
        prefix = stream.read(16)
        for name in _formats():
            factory, accepts = Image.OPEN[name]
            if accepts is None or accepts(prefix) is True:
                stream.seek(0)
                with suppress(SyntaxError, IndexError, TypeError, struct.error):
                    return factory(stream, "")
        raise


def _decoded(picture: Image.Image, name: str) -> Image.Image:
    width, height = picture.size
    if picture.format in FORMATS_OF_PROGRAMS:
        raise ValueError(
            f"{name} is of the format {picture.format}, which another program would draw; save it "
            "as PNG"
        )
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"{name} has {width} x {height} pixels; at most {MAX_PIXELS / 10**6:.1f} million can "
            "be read; make it smaller"
        )
    if not width * height:
        raise ValueError(f"{name} has {width} x {height} pixels; it must have at least one")
    if picture.mode == "F" or (picture.mode == "I" and picture.format not in _16_BIT_FORMATS):
        raise ValueError(
            f"{name} has pixels of mode {picture.mode!r}, which have no fixed range; save "
            "it with 8 or 16 unsigned bits"
        )
    try:
        picture.load()
        return _plain(_upright(picture))
    except Exception as error:
        raise _unreadable(name, error) from error


def _upright(picture: Image.Image) -> Image.Image:
    """As the camera was held; as it is where its notes of that are broken."""
    with suppress(Exception):
        if picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            return ImageOps.exif_transpose(picture)
    return picture


def _plain(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        # Pillow's own conversion would clip at 255.
        return Image.fromarray(np.asarray(picture).astype("<u2"))
    if picture.mode in _MODES_WITH_ALPHA or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGB", picture.size, "white")
        white.paste(picture, mask=picture)
        return white
    return picture.convert("RGB")


def _of_array(pixels: np.ndarray) -> Tensor:
    shape = pixels.shape
    if len(shape) not in (2, 3) or not pixels.size or (*shape, 1)[2] not in (1, 3, 4):
        raise ValueError(
            f"image must be [H, W], [H, W, 1], [H, W, 3] or [H, W, 4]; got shape {shape}"
        )
    if pixels.dtype == np.uint8:
        return read_image(Image.fromarray(pixels[..., 0] if shape[2:] == (1,) else pixels))
    if not np.issubdtype(pixels.dtype, np.floating):
        raise ValueError(f"image must be of uint8 or of floats in [0, 1]; got {pixels.dtype}")
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= 1):
        raise ValueError(f"image must be of floats in [0, 1]; got {low:g} to {high:g}")
    values = np.array(pixels, dtype=np.float32, order="C")
    if shape[2:] == (4,):
        color, alpha = values[..., :3], values[..., 3:]
        values = color * alpha + (1 - alpha)
    return _channels_first(values)


def _channels_first(pixels: np.ndarray, highest: int = 1) -> Tensor:
    """``[3, H, W]`` of ``[H, W]``, ``[H, W, 1]`` or ``[H, W, 3]``, divided by the highest value."""
    # Here, because files are looked for without it.
    import torch  # noqa: PLC0415

    height, width = pixels.shape[:2]
    planes = np.moveaxis(pixels.reshape(height, width, -1), -1, 0)
    values = torch.empty(3, height, width)
    # Channel by channel, as a large picture would not be in memory twice.
    for channel in range(3):
        plane = planes[channel % len(planes)] / np.float32(highest)
        values[channel] = torch.from_numpy(plane)
    return values
