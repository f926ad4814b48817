"""Pictures of every kind come out as RGB, and what is none is refused in one line."""

import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image, ImageCms

from captum_ext.image_files import (
    EMBEDDED,
    MAX_PIXELS,
    SUFFIXES,
    find_images,
    open_image,
    read_image,
)


@pytest.fixture
def pixels():
    """``[6, 5, 4]``: noise, the last channel opaque or transparent."""
    noise = np.random.default_rng(0).integers(0, 256, (6, 5, 4), dtype=np.uint8)
    noise[..., 3] = np.where(noise[..., 3] < 128, 0, 255)
    return noise


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def as_tensor(array):
    """``[3, H, W]`` in [0, 1] of uint8 ``[H, W, 3]``."""
    return torch.from_numpy(array.astype(np.float32) / 255).movedim(-1, 0)


def over_white(pixels):
    return np.where(pixels[..., 3:] == 255, pixels[..., :3], np.uint8(255))


def png(width, height, depth=8, color=0, data=b""):
    """A PNG of which the header is whole."""

    def chunk(name, content):
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def refusal(source):
    with pytest.raises(ValueError) as caught:
        read_image(source)
    message = str(caught.value)
    assert "\n" not in message
    return message


def refusal_of_file(path):
    message = refusal(path)
    start = f"image {str(path)!r} "
    assert message.startswith(start)
    assert refusal(str(path)) == message
    return message.removeprefix(start)


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_photographs_are_scikit_images(name):
    image = read_image(name)
    assert image.dtype == torch.float32
    assert torch.equal(image, as_tensor(getattr(skimage.data, name)()))


@pytest.mark.parametrize("suffix", ["bmp", "png", "ppm", "tiff", "webp"])
def test_color_is_read_as_it_was_saved(tmp_path, pixels, suffix):
    path = tmp_path / f"color.{suffix}"
    Image.fromarray(pixels[..., :3]).save(path, lossless=True)
    assert torch.equal(read_image(path), as_tensor(pixels[..., :3]))
    assert read_image(str(path)).is_contiguous()


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("1", "png"), ("1", "tif"), ("L", "jpg"), ("L", "png"), ("L", "gif"), ("P", "gif")],
)
def test_gray_has_three_equal_channels(tmp_path, pixels, mode, suffix):
    path = tmp_path / f"gray.{suffix}"
    gray = Image.fromarray(pixels[..., 3]).convert(mode)
    gray.save(path, quality=100)
    expected = torch.from_numpy(pixels[..., 3] / 255).float().expand(3, -1, -1)
    assert torch.allclose(read_image(path), expected, atol=0.02)
    assert set(read_image(path).unique().tolist()) >= {0, 1}


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa"])
@pytest.mark.parametrize("saved", [False, True])
def test_what_is_transparent_is_white(tmp_path, pixels, mode, saved):
    picture = Image.fromarray(pixels).convert("LA").convert("RGBA").convert(mode)
    if saved:
        path = tmp_path / "alpha.png"
        (picture if mode in ("RGBA", "LA") else picture.convert("RGBA")).save(path)
    gray = np.array(Image.fromarray(pixels).convert("L"))[..., None]
    expected = over_white(np.concatenate([gray, gray, gray, pixels[..., 3:]], -1))
    assert torch.equal(read_image(path if saved else picture), as_tensor(expected))


def test_half_transparent_is_half_white():
    picture = Image.new("RGBA", (1, 1), (0, 100, 200, 51))
    assert read_image(picture).flatten().tolist() == pytest.approx(
        [0.8, 0.8 + 0.2 * 100 / 255, 0.8 + 0.2 * 200 / 255], abs=0.5 / 255
    )


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_a_palette_may_have_a_transparent_color(tmp_path, transparent, suffix):
    path = tmp_path / f"palette.{suffix}"
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putpixel((1, 0), 1)
    picture.save(path, **({"transparency": 1} if transparent else {}))
    second = [1, 1, 1] if transparent else [0, 0, 1]
    assert read_image(path)[:, 0].T.tolist() == [[1, 0, 0], second]


def test_a_palette_may_have_an_alpha_for_each_color(tmp_path):
    path = tmp_path / "palette.png"
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putpixel((1, 0), 1)
    picture.save(path, transparency=bytes([255, 0]))
    assert read_image(path)[:, 0].T.tolist() == [[1, 0, 0], [1, 1, 1]]


def test_a_color_that_means_transparent_is_white(tmp_path):
    path = tmp_path / "key.png"
    picture = Image.new("RGB", (2, 1), (10, 20, 30))
    picture.putpixel((1, 0), (0, 255, 0))
    picture.save(path, transparency=(10, 20, 30))
    assert read_image(path)[:, 0].T.tolist() == [[1, 1, 1], [0, 1, 0]]


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_is_ink_on_white(tmp_path, suffix):
    path = tmp_path / f"ink.{suffix}"
    Image.new("CMYK", (8, 8), (255, 0, 0, 0)).save(path)
    assert torch.allclose(read_image(path)[:, 4, 4], torch.tensor([0.0, 1.0, 1.0]), atol=0.02)


def test_other_color_spaces_become_rgb():
    color = Image.new("RGB", (3, 2), (200, 40, 90))
    expected = read_image(color)
    for mode in ("YCbCr", "HSV"):
        assert torch.allclose(read_image(color.convert(mode)), expected, atol=0.02)
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    in_lab = ImageCms.profileToProfile(color, srgb, lab, outputMode="LAB")
    assert torch.allclose(read_image(in_lab), expected, atol=0.02)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm", "jp2"])
def test_16_bits_of_gray_keep_their_precision(tmp_path, suffix):
    path = tmp_path / f"deep.{suffix}"
    levels = np.array([[0, 255, 256], [1000, 1001, 65535]], dtype=np.uint16)
    Image.fromarray(levels).save(path)
    expected = torch.from_numpy(levels.astype(np.float32)) / 65535
    assert torch.equal(read_image(path), expected.expand(3, -1, -1))
    assert open_image(path).mode == "I;16"


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B"])
def test_16_bits_may_be_in_either_order(mode):
    levels = np.array([[1000, 65535]], dtype=">u2" if mode == "I;16B" else "<u2")
    picture = Image.frombytes(mode, (2, 1), levels.tobytes())
    assert read_image(picture)[0].tolist() == [[pytest.approx(1000 / 65535), 1]]


def test_a_png_of_mode_i_has_16_bits():
    # Older versions of Pillow open 16-bit PNG so.
    picture = Image.new("I", (1, 1), 1000)
    picture.format = "PNG"
    assert read_image(picture).flatten().tolist() == [pytest.approx(1000 / 65535)] * 3


def test_16_bits_of_color_are_read(tmp_path):
    path = tmp_path / "deep.png"
    path.write_bytes(png(1, 1, 16, 2, b"\0" + struct.pack(">HHH", 0, 1000, 65535)))
    assert read_image(path).flatten().tolist() == pytest.approx([0, 1000 / 65535, 1], abs=1 / 255)


@pytest.mark.parametrize(("mode", "suffix"), [("F", "tif"), ("I", "tif"), ("F", "pfm")])
def test_pixels_without_a_fixed_range_are_refused(tmp_path, mode, suffix):
    path = tmp_path / f"range.{suffix}"
    Image.new(mode, (2, 2), 7).save(path)
    assert f"mode {mode!r}, which have no fixed range" in refusal_of_file(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_a_turned_camera_is_turned_back(tmp_path, suffix):
    path = tmp_path / f"turned.{suffix}"
    upright = Image.new("RGB", (16, 32))
    upright.paste("white", (0, 0, 16, 16))
    orientation = Image.Exif()
    orientation[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(path, exif=orientation)
    image = read_image(path)
    assert image.shape == (3, 32, 16)
    assert image[:, :12].min() > 0.9 and image[:, 20:].max() < 0.1


@pytest.mark.parametrize("suffix", ["gif", "webp", "tif", "png"])
def test_of_many_frames_the_first_is_read(tmp_path, suffix):
    path = tmp_path / f"frames.{suffix}"
    frames = [Image.new("RGB", (4, 3), color) for color in ("white", "black", "red")]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50)
    assert torch.equal(read_image(path), torch.ones(3, 3, 4))


def test_arrays_are_read_as_pictures_are(pixels):
    for array in (pixels, pixels[..., :3], pixels[..., :1], pixels[..., 0], pixels[::-1, ::2]):
        squeezed = array[..., 0] if array.shape[2:] == (1,) else array
        assert torch.equal(read_image(array), read_image(Image.fromarray(squeezed)))
        for dtype in (np.float16, np.float32, np.float64, ">f8"):
            image = read_image((array / 255).astype(dtype))
            assert image.dtype == torch.float32
            assert torch.allclose(image, read_image(array), atol=1e-3)
    assert read_image(np.array([[[0, 0.5, 1, 0.5]]])).flatten().tolist() == [0.5, 0.75, 1]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 8, 8)), r"image must be \[H, W\], .*; got shape \(3, 8, 8\)"),
        (np.zeros((1, 8, 8, 3)), r"got shape \(1, 8, 8, 3\)"),
        (np.zeros((0, 8, 3)), r"got shape \(0, 8, 3\)"),
        (np.zeros((8, 8), np.int64), "image must be of uint8 or of floats .*; got int64"),
        (np.full((8, 8), 200.0), r"image must be of floats in \[0, 1\]; got 200 to 200"),
        (np.full((8, 8), np.nan), "got nan to nan"),
    ],
)
def test_other_arrays_are_refused(array, message):
    with pytest.raises(ValueError, match=message):
        read_image(array)


def test_another_type_is_refused():
    with pytest.raises(TypeError, match=r"image must be a path, .*; got Tensor"):
        read_image(torch.zeros(3, 8, 8))


def test_what_is_not_there_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ", ".join(EMBEDDED)
    message = f"image 'missing.png' does not exist; give a path or one of {names}"
    assert refusal("missing.png") == refusal(Path("missing.png")) == message
    assert refusal("") == message.replace("missing.png", "")
    assert refusal(Path("coffee")) == message.replace("missing.png", "coffee")
    (tmp_path / "file").write_text("words")
    assert refusal_of_file(tmp_path / "file" / "inner.png").startswith("does not exist")
    assert refusal_of_file(tmp_path) == "is a folder; give a file"
    assert "embedded null byte" in refusal("a\0b.png")
    assert "name too long" in refusal("a" * 300 + ".png")


def test_what_may_not_be_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "private.png"
    Image.new("L", (2, 2)).save(path)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    assert refusal_of_file(path) == "cannot be opened: Permission denied"
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(ValueError, match=r"folder '.*' cannot be read: Permission denied"):
        find_images(tmp_path)


def test_a_file_that_is_no_image_is_refused(tmp_path):
    path = tmp_path / "empty.png"
    path.write_bytes(b"")
    assert refusal_of_file(path) == "is an empty file"
    path = tmp_path / "text.jpg"
    path.write_text("words\nand more words\n")
    assert refusal_of_file(path).startswith("cannot be read as an image: ")


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "tif", "webp", "bmp", "ppm", "jp2"])
def test_torn_files_are_refused_in_one_line(tmp_path, suffix):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole, path = tmp_path / f"whole.{suffix}", tmp_path / f"torn\n.{suffix}"
    Image.fromarray(noise).save(whole)
    content = whole.read_bytes()
    for length in (1, 8, 30, len(content) // 2):
        path.write_bytes(content[:length])
        assert refusal_of_file(path).startswith("cannot be read as an image: ")


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "tif", "webp", "bmp", "ppm", "jp2"])
def test_damaged_files_are_read_or_refused_in_one_line(tmp_path, suffix):
    rng = np.random.default_rng(2)
    path = tmp_path / f"damaged.{suffix}"
    Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    content = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(60):
        damaged = content.copy()
        places = rng.integers(0, min(len(content), 200), 6)
        damaged[places] = rng.integers(0, 256, 6)
        path.write_bytes(damaged.tobytes())
        try:
            image = read_image(path)
        except ValueError as error:
            assert str(error).startswith(f"image {str(path)!r} ") and "\n" not in str(error)
        else:
            assert image.shape[0] == 3 and image.min() >= 0 and image.max() <= 1


# Pillow says nothing of the first, warns of the second and raises at the third.
@pytest.mark.parametrize("side", [6_000, 10_000, 30_000])
def test_enormous_images_are_refused_before_they_are_decoded(tmp_path, monkeypatch, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(side, side))
    message = f"has {side} x {side} pixels; at most 33.6 million can be read; make it smaller"
    monkeypatch.setattr(Image.Image, "load", None)
    assert refusal_of_file(path) == message
    path = tmp_path / "bomb.gif"
    screen, frame = struct.pack("<HHxxx", side, side), struct.pack("<HHHHx", 0, 0, 1, 1)
    path.write_bytes(b"GIF89a" + screen + b"," + frame + b"\x02\0;")
    assert refusal_of_file(path) == message


def test_the_limit_holds_for_pil_images_and_keeps_memory_below_a_gigabyte():
    # Of a pixel: 12 bytes of result, 7 of what it is made from.
    assert MAX_PIXELS * (12 + 7) < 10**9
    assert refusal(Image.new("1", (10_000, 4_000))) == (
        "image has 10000 x 4000 pixels; at most 33.6 million can be read; make it smaller"
    )
    assert refusal(Image.new("1", (0, 5))).startswith("image has 0 x 5 pixels")


@pytest.mark.parametrize("suffix", ["eps", "pdf", "ico", "pcx"])
def test_formats_that_are_not_listed_are_refused_whatever_the_name(tmp_path, suffix):
    Image.new("RGB", (16, 16)).save(tmp_path / f"picture.{suffix}")
    for path in (tmp_path / f"picture.{suffix}", tmp_path / "picture.png"):
        (tmp_path / f"picture.{suffix}").rename(path)
        assert "or is none of PNG, JPEG, GIF" in refusal_of_file(path)
        path.rename(tmp_path / f"picture.{suffix}")


def test_no_program_is_started_for_a_picture(tmp_path, monkeypatch):
    path = tmp_path / "picture.eps"
    Image.new("RGB", (16, 16)).save(path)
    monkeypatch.setattr("subprocess.Popen", None)
    with Image.open(path) as picture:
        assert "is of the format EPS, which another program would draw" in refusal(picture)


@pytest.mark.parametrize("notes", [b"no notes", b"Exif\0\0MM\0*garbage", b"Exif\0\0II*\0\xff"])
def test_broken_notes_of_the_camera_leave_the_picture_as_it_is(tmp_path, notes):
    path = tmp_path / "notes.png"
    Image.new("RGB", (3, 2), "white").save(path, exif=notes)
    assert torch.equal(read_image(path), torch.ones(3, 2, 3))


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert refusal_of_file(tmp_path / "pipe.png") == "is no regular file; give a file"
    assert refusal_of_file(Path("/dev/zero")) == "is no regular file; give a file"


@pytest.mark.parametrize("target", ["loop.png", "missing.png", "folder/of/none.png"])
def test_links_that_lead_nowhere_are_found_in_a_folder_and_refused(tmp_path, target):
    (tmp_path / "loop.png").symlink_to(target)
    (tmp_path / "picture.png").touch()
    assert find_images(tmp_path) == [tmp_path / "loop.png", tmp_path / "picture.png"]
    assert refusal_of_file(tmp_path / "loop.png") == "is a link that leads to no file"


def test_files_are_closed_and_pictures_left_alone(tmp_path):
    path = tmp_path / "color.png"
    Image.new("RGBA", (2, 2)).save(path)
    (tmp_path / "torn.png").write_bytes(path.read_bytes()[:40])
    (tmp_path / "bomb.png").write_bytes(png(30_000, 30_000))
    before = os.listdir("/dev/fd")
    picture = open_image(path)
    refusal(tmp_path / "torn.png")
    refusal(tmp_path / "bomb.png")
    assert os.listdir("/dev/fd") == before
    assert picture.getpixel((0, 0)) == (255, 255, 255)
    given = Image.new("RGBA", (2, 2))
    read_image(given)[:] = 0.5
    assert given.mode == "RGBA" and given.getpixel((0, 0)) == (0, 0, 0, 0)


def test_a_folder_stands_for_its_images(tmp_path):
    for name in ("b.PNG", "a.jpg", "c.tiff", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "folder.png" / "inner.png").touch()
    images = [tmp_path / name for name in ("a.jpg", "b.PNG", "c.tiff")]
    assert find_images([tmp_path]) == find_images(str(tmp_path)) == images


def test_every_image_is_found_once_in_the_order_of_the_sources(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    sources = ["rocket", "b.png", Path("./b.png"), tmp_path, "coffee", "rocket"]
    assert find_images(sources) == ["rocket", "b.png", tmp_path / "a.png", "coffee"]
    assert find_images([]) == []


def test_a_file_wins_against_a_photograph_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (2, 2)).save("coffee", "PNG")
    (tmp_path / "rocket").mkdir()
    found = find_images(["coffee", "rocket"])
    assert found == [Path("coffee"), "rocket"]
    assert [read_image(each).shape[1:] for each in found] == [(2, 2), (427, 640)]


def test_sources_without_images_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"image '.*missing' does not exist; give a path or one"):
        find_images(["coffee", tmp_path / "missing"])
    with pytest.raises(ValueError, match=r"must hold image files \(.*\.webp\); none is") as caught:
        find_images(tmp_path)
    assert all(suffix in str(caught.value) for suffix in SUFFIXES)
