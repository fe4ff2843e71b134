"""`keras-seg predict`."""

import io
import json
import os
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import keras_seg
from keras_seg.cli import main
from keras_seg.inference import nets
from keras_seg.inference.files import predict_files

PALETTE = [(10, 20, 30), (200, 0, 0), (0, 150, 250)]
RNG = np.random.default_rng(0)


def make_run(folder, channels):
    """A run of the smallest net that sees neighbours, which wasn't trained."""
    keras.utils.set_random_seed(1)
    image = keras.Input((None, None, channels))
    scaled = keras.layers.Rescaling(1 / 255)(image)
    logits = keras.layers.Conv2D(3, 3, padding="same", name="logits")(scaled)
    folder.mkdir()
    keras.Model(image, logits).save(folder / "model.keras")
    described = {"palette": PALETTE, "class_names": ["land", "cat", "dog"]}
    (folder / "run.json").write_text(json.dumps(described))
    return folder


@pytest.fixture(scope="module")
def color_run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "color", 3)


@pytest.fixture(scope="module")
def grey_run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "grey", 1)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Photos of three sizes, two of one name, in folders; the folder to be in."""
    monkeypatch.chdir(tmp_path)
    for name, size in {
        "photos/a.png": (30, 41),
        "photos/b.PNG": (30, 41),
        "photos/cats/a.png": (41, 30),
        "photos/cats/big/c.png": (9, 5),
        "photos/.cache/d.png": (9, 5),
    }.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (*size, 3), np.uint8)).save(path)
    Path("photos/notes.txt").write_text("from the zoo")
    return tmp_path


def predict(run, *images, out="out"):
    """Predict; of two --out the last one counts."""
    return main(["predict", str(run), "--out", str(out), *map(str, images)])


def files_in(folder):
    return sorted(
        str(path.relative_to(folder))
        for path in Path(folder).rglob("*")
        if path.is_file()
    )


def mask_of(path):
    with Image.open(path) as image:
        assert image.mode == "P"
        return np.asarray(image)


def as_jpeg(pixels):
    """What a JPEG makes of a picture."""
    file = io.BytesIO()
    Image.fromarray(np.rint(pixels).astype(np.uint8)).save(file, "JPEG", quality=90)
    return np.asarray(Image.open(file)).astype(int)


def model_of(run):
    return keras.models.load_model(run / "model.keras")


def test_masks_are_those_of_predict_mask_with_the_colors_of_the_run(color_run, photos):
    assert predict(color_run, "photos") == 0
    model = model_of(color_run)
    for name in ("a", "b", "cats/a", "cats/big/c"):
        path = Path(f"photos/{name}.{'PNG' if name == 'b' else 'png'}")
        image = np.asarray(Image.open(path))
        expected = keras_seg.predict_mask(model, image)
        assert np.array_equal(mask_of(f"out/{name}.png"), expected)
        assert len(np.unique(expected)) > 1
        shown = np.asarray(Image.open(f"out/{name}.png").convert("RGB"))
        assert np.array_equal(shown, np.array(PALETTE)[expected])


def test_an_overlay_is_the_photo_under_the_written_mask_but_for_class_0(
    color_run, photos
):
    assert predict(color_run, "photos") == 0
    for name in ("a", "cats/a"):
        photo = np.asarray(Image.open(f"photos/{name}.png"))
        mask = mask_of(f"out/{name}.png")[..., None]
        assert 0 < (mask == 0).mean() < 1
        half = (photo.astype(int) + np.array(PALETTE)[mask[..., 0]]) / 2
        shown = np.asarray(Image.open(f"out/{name}_overlay.jpg"))
        expected = np.where(mask == 0, photo, half)
        assert np.array_equal(shown, as_jpeg(expected))


def test_images_of_one_size_in_a_batch_are_as_one_by_one(
    color_run, photos, monkeypatch
):
    for k in range(7):
        Image.new("RGB", (20, 16), (30 * k, 255 - 30 * k, 7)).save(f"photos/{k}.png")
    together = []
    predict_on_batch = nets.predict_on_batch

    def look(model, images):
        together.append(len(images))
        return predict_on_batch(model, images)

    monkeypatch.setattr(nets, "predict_on_batch", look)
    # Seven images of one size, two of another, and two more.
    for size, batches in (("1", [1] * 11), ("3", [1, 1, 1, 2, 3, 3])):
        together.clear()
        arguments = ["predict", str(color_run), "photos", "--batch-size", size]
        assert main([*arguments, "--out", size]) == 0
        assert sorted(together) == batches
    assert files_in("1") == files_in("3")
    for name in files_in("1"):
        assert Path("1", name).read_bytes() == Path("3", name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        (["photos/cats"], ["a", "big/c"]),
        (["photos/cats/a.png"], ["a"]),
        (["photos/a.png", "photos/cats/a.png"], ["a", "cats/a"]),
        (["photos/a.png", "photos"], ["a", "b", "cats/a", "cats/big/c"]),
        (["photos/cats/*.png"], ["a"]),
        (["photos/**/a.png"], ["a", "cats/a"]),
        (["photos/cats", "photos/[ab].*"], ["a", "b", "cats/a", "cats/big/c"]),
    ],
)
def test_files_folders_and_patterns_keep_names_of_images_apart(
    color_run, photos, arguments, written
):
    assert predict(color_run, *arguments) == 0
    expected = [f"{name}{end}" for name in written for end in (".png", "_overlay.jpg")]
    assert files_in("out") == sorted(expected)


def test_a_second_run_into_a_folder_among_the_photos_takes_no_masks_for_photos(
    color_run, photos
):
    for _ in range(2):
        assert predict(color_run, "photos", out="photos/masks") == 0
        assert len(files_in("photos/masks")) == 8


def test_bad_images_are_named_and_counted_and_the_others_done(
    color_run, photos, capsys
):
    whole = Path("photos/a.png").read_bytes()
    Path("photos/cut.png").write_bytes(whole[: len(whole) // 2])
    Path("photos/empty.jpg").write_bytes(b"")
    Path("photos/text.png").write_text("no image")
    Image.new("RGB", (9, 9)).save("photos/bitmap.jpg", format="BMP")
    assert predict(color_run, "photos") == 1
    said = capsys.readouterr()
    assert "4 of 8 images" in said.out
    lines = said.err.splitlines()
    assert len(lines) == 4
    for name in ("bitmap.jpg", "cut.png", "empty.jpg", "text.png"):
        (line,) = (line for line in lines if f"photos/{name}" in line)
        assert line.count(name) == 1
    assert "a BMP" in said.err
    assert len(files_in("out")) == 8


@pytest.mark.filterwarnings("default")  # as users have it: notes
@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "RGB", "1"])
@pytest.mark.parametrize("which", ["color", "grey"])
def test_images_of_any_kind_are_made_what_the_model_takes(
    which, mode, color_run, grey_run, photos
):
    run = {"color": color_run, "grey": grey_run}[which]
    pixels = RNG.integers(0, 256, (12, 17, 4), np.uint8)
    image = Image.fromarray(pixels[..., :3]).convert(mode)
    color = image.convert("RGB")
    grey = color.convert("L")
    image.save("x.png")
    assert predict(run, "x.png") == 0
    seen = grey if which == "grey" else color.convert("RGB")
    shown = np.asarray(seen).reshape(12, 17, -1).astype(int)
    mask = mask_of("out/x.png")[..., None]
    half = (shown + np.array(PALETTE)[mask[..., 0]]) / 2
    expected = np.where(mask == 0, shown, half)
    laid = np.asarray(Image.open("out/x_overlay.jpg"))
    expected = as_jpeg(np.broadcast_to(expected, laid.shape))
    assert np.abs(laid - expected).mean() <= 3  # rounding to grey, in a JPEG


@pytest.mark.filterwarnings("default")  # as users have it: notes
@pytest.mark.parametrize(
    ("which", "mode", "told"),
    [
        ("color", "L", "is grey: the model, which takes RGB"),
        ("color", "LA", "is grey: the model, which takes RGB"),
        ("color", "RGBA", "has a fourth channel, which is left out"),
        ("color", "RGB", None),
        ("color", "P", None),
        ("grey", "RGB", "has colours: the model, which takes one channel"),
        ("grey", "L", None),
    ],
)
def test_images_that_are_changed_are_noted_once(
    which, mode, told, color_run, grey_run, photos, capsys
):
    pixels = RNG.integers(0, 256, (12, 17, 4), np.uint8)
    Path("in").mkdir()
    for name in ("x", "y", "z"):
        Image.fromarray(pixels[..., :3]).convert(mode).save(f"in/{name}.png")
    run = {"color": color_run, "grey": grey_run}[which]
    assert predict(run, "in") == 0
    notes = [
        line for line in capsys.readouterr().err.splitlines() if line[:5] == "Note:"
    ]
    assert len(notes) == (told is not None)
    if told:
        assert re.match(rf"Note: in/[xyz]\.png {re.escape(told)}", notes[0])


@pytest.mark.filterwarnings("default")  # as users have it: notes
def test_a_photo_that_exif_turns_is_noted_once_and_its_mask_lies_on_its_stored_pixels(
    color_run, photos, capsys
):
    exif = Image.Exif()
    exif[274] = 6  # to be turned by a quarter
    image = Image.fromarray(RNG.integers(0, 256, (12, 17, 3), np.uint8))
    for name in ("a", "b"):
        image.save(f"photos/{name}.jpg", exif=exif)
    image.save("photos/c.jpg")
    assert predict(color_run, "photos/c.jpg") == 0
    assert "Note" not in capsys.readouterr().err
    assert predict(color_run, "photos/*.jpg", out="turned") == 0
    assert capsys.readouterr().err.count("by its EXIF orientation") == 1
    stored = mask_of("out/c.png")
    assert stored.shape == (12, 17)
    assert np.array_equal(mask_of("turned/a.png"), stored)


def test_16_bits_are_no_image_for_a_model_of_8(grey_run, photos, capsys):
    levels = RNG.integers(0, 4096, (12, 17), np.uint16)
    Image.fromarray(levels).save("deep.png")
    assert predict(grey_run, "deep.png") == 1
    told = rf"deep.png: Expected an image in 0\.\.255.*uint16 in \d+\.\.{levels.max()}"
    said = capsys.readouterr()
    assert re.search(told, said.err)
    assert "0 of 1 images" in said.out
    assert "Next:" not in said.out  # of a model that did nothing here


def test_channels_that_cannot_be_made_are_told(photos, capsys):
    run = make_run(photos / "run", 4)
    Image.new("RGBA", (9, 7)).save("photos/whole.png")
    assert predict(run, "photos/whole.png", "photos/a.png") == 1
    said = capsys.readouterr()
    assert "1 of 2 images" in said.out
    assert "photos/a.png: Expected an image of 4 channels" in said.err
    assert files_in("out") == ["whole.png", "whole_overlay.jpg"]


def test_a_run_takes_its_bands_of_each_image(color_run, photos, capsys):
    run = photos / "run"
    shutil.copytree(color_run, run)
    described = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(described | {"bands": "3,0,1"}))
    pixels = RNG.integers(0, 256, (20, 23, 4), np.uint8)
    Image.fromarray(pixels).save("four.png")
    Image.fromarray(pixels[..., [3, 0, 1]]).save("picked.png")
    assert predict(run, "four.png") == 0
    assert predict(color_run, "picked.png") == 0
    np.testing.assert_array_equal(mask_of("out/four.png"), mask_of("out/picked.png"))
    capsys.readouterr()
    assert predict(run, "picked.png", out="other") == 1
    assert "picked.png: Expected an image with channel 3" in capsys.readouterr().err


def test_bands_are_as_many_as_the_model_takes(color_run):
    model = keras.models.load_model(color_run / "model.keras")
    with pytest.raises(ValueError, match=r"model of 3 channels. Received: 2 \(1, 0\)"):
        next(predict_files(model, ["a.png"], print, bands=(1, 0)))


def test_the_model_file_of_a_run_stands_for_the_run(color_run, photos):
    assert predict(color_run / "model.keras", "photos/a.png") == 0
    assert files_in("out") == ["a.png", "a_overlay.jpg"]


def test_a_model_that_gives_nan_is_an_error(color_run, photos, capsys):
    run = photos / "run"
    shutil.copytree(color_run, run)
    model = model_of(run)
    model.set_weights([w * np.nan for w in model.get_weights()])
    model.save(run / "model.keras")
    assert predict(run, "photos") == 1
    assert capsys.readouterr().err.count("NaN") == 4
    assert files_in("out") == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["photos/missing.png", "photos/a.png"], "photos/missing.png"),
        (["photos/*.tif"], "photos/*.tif"),
        (["empty"], "in empty. Received: none whose name ends in .jpg, "),
        (["photos", "--out", "photos"], "--out"),
        (["twins"], "twins/x.jpg and twins/x.png"),
        (["twins/x.png", "--out", "twins"], "written over"),
        (["photos", "--out", "twins/x.png"], "x.png is a file. Choose another --out."),
        (["photos", "--out", "twins/x.png/masks"], "twins/x.png is a file"),
    ],
)
def test_arguments_that_would_go_wrong_are_refused_before_anything_is_written(
    color_run, photos, arguments, says, capsys
):
    Path("empty").mkdir()
    for name in ("twins/x.jpg", "twins/x.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4), "red").save(name)
    before = files_in(".")
    assert predict(color_run, *arguments) == 1
    error = capsys.readouterr().err
    assert error.count("keras-seg: error: ") == 1
    assert says in error
    assert files_in(".") == before


def test_a_full_disk_leaves_earlier_masks_as_they_were(
    color_run, photos, capsys, monkeypatch
):
    assert predict(color_run, "photos/a.png") == 0
    before = {name: Path("out", name).read_bytes() for name in files_in("out")}

    def half_a_file(image, path, *_, **__):
        Path(path).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Image.Image, "save", half_a_file)
    assert predict(color_run, "photos/a.png") == 1
    assert "No space left" in capsys.readouterr().err
    assert {name: Path("out", name).read_bytes() for name in files_in("out")} == before


def test_an_image_whose_name_is_not_utf_8_is_predicted(color_run, photos):
    os.makedirs(b"odd")
    shutil.copy(b"photos/a.png", b"odd/caf\xe9.png")
    assert predict(color_run, "odd") == 0
    assert sorted(os.listdir(b"out")) == [b"caf\xe9.png", b"caf\xe9_overlay.jpg"]


def test_files_are_written_that_are_asked_for(color_run, photos, capsys):
    more = ["--no-overlays", "--probabilities"]
    assert predict(color_run, "photos/a.png", "photos/cats/a.png", *more) == 0
    assert "Wrote masks and probabilities of 2 of 2 images" in capsys.readouterr().out
    assert files_in("out") == [
        *("a.png", "a_probabilities.npz"),
        *("cats/a.png", "cats/a_probabilities.npz"),
    ]
    model = model_of(color_run)
    for name in ("a", "cats/a"):
        image = np.asarray(Image.open(f"photos/{name}.png"))
        with np.load(f"out/{name}_probabilities.npz") as file:
            assert file["class_names"].tolist() == ["land", "cat", "dog"]
            found = file["probabilities"]
        assert found.dtype == np.float16
        expected = keras_seg.predict(model, image)
        np.testing.assert_allclose(found, expected, atol=1e-3)
        assert np.array_equal(mask_of(f"out/{name}.png"), expected.argmax(-1))


def test_tiles_flips_and_scales_are_those_of_predict_mask(color_run, photos):
    words = ["--tile", "16", "--overlap", "0", "--flips", "--scales", "0.5,1"]
    assert predict(color_run, "photos", *words) == 0
    options = {"tile": 16, "overlap": 0.0, "flips": True, "scales": (0.5, 1.0)}
    model = model_of(color_run)
    for name in ("a", "cats/a"):
        image = np.asarray(Image.open(f"photos/{name}.png"))
        expected = keras_seg.predict_mask(model, image, **options)
        assert np.array_equal(mask_of(f"out/{name}.png"), expected)
        assert not np.array_equal(expected, keras_seg.predict_mask(model, image))


def test_continue_does_what_is_missing(color_run, photos, capsys):
    whole = Path("photos/a.png").read_bytes()
    Path("photos/a.png").write_bytes(whole[:100])
    assert predict(color_run, "photos") == 1
    Path("photos/a.png").write_bytes(whole)
    os.remove("out/cats/a_overlay.jpg")
    before = {name: os.stat(Path("out", name)).st_mtime_ns for name in files_in("out")}
    capsys.readouterr()
    assert predict(color_run, "photos", "--continue") == 0
    said = capsys.readouterr().out
    assert "of 2 of 4 images" in said
    assert "2 of them were there already" in said
    after = {name: os.stat(Path("out", name)).st_mtime_ns for name in files_in("out")}
    new = {"a.png", "a_overlay.jpg", "cats/a.png", "cats/a_overlay.jpg"}
    assert {name for name in after if after[name] != before.get(name)} == new
    # With other files to write, all images are missing; then none is.
    assert predict(color_run, "photos", "--continue", "--probabilities") == 0
    assert "of 4 of 4 images" in capsys.readouterr().out
    assert predict(color_run, "photos", "--continue", "--probabilities") == 0
    assert "of 0 of 4 images" in capsys.readouterr().out


def test_a_line_says_how_long_it_takes(color_run, photos, capsys, monkeypatch):
    monkeypatch.setattr("keras_seg.training.progress._SECONDS", 0.0)
    assert predict(color_run, "photos") == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"1 of 4 images, [\d.]+ a second, \d+ s left", lines[0])
    assert re.fullmatch(r"4 of 4 images, [\d.]+ a second, 0 s left", lines[3])


def test_a_tile_too_small_for_the_net_is_one_error(photos, capsys):
    run = make_run(photos / "run", 3)
    unpadded = keras_seg.unet(3, widths=(2, 3, 4), padding="valid")
    unpadded.save(run / "model.keras")
    assert predict(run, "photos", "--tile", "43") == 1
    error = capsys.readouterr().err
    assert error.count("keras-seg: error: Expected --tile to be 44 or more") == 1
    assert predict(run, "photos", "--tile", "60") == 0
    assert mask_of("out/a.png").shape == (30, 41)


@pytest.mark.parametrize(
    "words",
    [
        *(["--tile", x] for x in ("0", "-1", "1.5", "nan", "big")),
        *(["--overlap", x] for x in ("1", "-0.1", "nan", "inf", "half")),
        *(["--scales", x] for x in ("0", "", "1,", "nan", "1e30", "1;2")),
        *(["--batch-size", x] for x in ("0", "nan")),
    ],
)
def test_options_out_of_range_are_usage_errors(color_run, photos, words, capsys):
    with pytest.raises(SystemExit) as caught:
        predict(color_run, "photos", *words)
    assert caught.value.code == 2
    assert words[0] in capsys.readouterr().err


@pytest.fixture
def scenes(tmp_path, monkeypatch):
    """A georeferenced TIFF, one of many pixels, an ordinary one, and a photo."""
    tifffile = pytest.importorskip("tifffile", reason="keras-seg[tiff]")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("keras_seg.inference.scene_file._LARGE", 30 * 41)
    Path("in/north").mkdir(parents=True)
    place = [
        (33550, 12, 3, (10.0, 10.0, 0.0)),
        (33922, 12, 6, (0.0, 0.0, 0.0, 300000.0, 5100000.0, 0.0)),
    ]
    pixels = RNG.integers(0, 256, (30, 41, 3), np.uint8)
    more = np.vstack([pixels, pixels])
    options = {"photometric": "rgb", "compression": "zlib"}
    tifffile.imwrite("in/north/geo.tif", pixels, extratags=place, **options)
    tifffile.imwrite("in/large.TIFF", more, **options)
    tifffile.imwrite("in/small.tif", pixels, **options)
    Image.fromarray(pixels).save("in/photo.png")
    return pixels, more


def test_scenes_get_a_geotiff_and_small_tiffs_a_png(color_run, scenes, capsys):
    tifffile = pytest.importorskip("tifffile", reason="keras-seg[tiff]")
    pixels, more = scenes
    arguments = ["predict", str(color_run), "in", "--out", "out", "--json"]
    assert main(arguments) == 0
    found = {str(p.relative_to("out")) for p in Path("out").rglob("*") if p.is_file()}
    ordinary = {
        f"{stem}{end}"
        for stem in ("small", "photo")
        for end in (
            ".png",
            "_overlay.jpg",
        )
    }
    assert found == {"north/geo.tif", "large.tif"} | ordinary
    model = keras.saving.load_model(color_run / "model.keras")
    expected = keras_seg.predict_mask(model, pixels)
    assert np.array_equal(tifffile.imread("out/north/geo.tif"), expected)
    large = keras_seg.predict_mask(model, more)
    assert np.array_equal(tifffile.imread("out/large.tif"), large)
    assert np.array_equal(np.asarray(Image.open("out/small.png")), expected)
    assert np.array_equal(np.asarray(Image.open("out/photo.png")), expected)
    with tifffile.TiffFile("out/north/geo.tif") as file:
        tags = file.pages[0].tags
        assert tags[33922].value == (0, 0, 0, 300000, 5100000, 0)
        assert (file.pages[0].colormap.T[:3] == np.array(PALETTE) * 257).all()
    assert json.loads(capsys.readouterr().out)["written"] == 4

    Path("out/large.tif").unlink()
    assert main([*arguments, "--continue"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["written"], said["there_already"]) == (1, 3)
    assert np.array_equal(tifffile.imread("out/large.tif"), large)


def test_scenes_go_through_the_model_as_the_options_say(color_run, scenes):
    tifffile = pytest.importorskip("tifffile", reason="keras-seg[tiff]")
    pixels, _ = scenes
    words = ["--tile", "16", "--overlap", "0", "--flips", "--scales", "0.5,1"]
    assert predict(color_run, "in/north", *words) == 0
    found = tifffile.imread("out/geo.tif")
    options = {"tile": 16, "overlap": 0.0, "flips": True, "scales": (0.5, 1.0)}
    model = model_of(color_run)
    assert np.array_equal(found, keras_seg.predict_mask(model, pixels, **options))
    for name in options:
        others = {k: v for k, v in options.items() if k != name}
        mask = keras_seg.predict_mask(model, pixels, **others)
        assert not np.array_equal(found, mask)


def test_bands_and_no_data_of_a_run_are_those_of_scenes_and_photos(color_run, scenes):
    tifffile = pytest.importorskip("tifffile", reason="keras-seg[tiff]")
    run = shutil.copytree(color_run, "run")
    described = json.loads(Path(run, "run.json").read_text())
    described |= {"bands": "3,0,1", "nodata": 7}
    Path(run, "run.json").write_text(json.dumps(described))
    place = [(33550, 12, 3, (10.0, 10.0, 0.0)), (33922, 12, 6, (0.0,) * 6)]
    pixels = RNG.integers(0, 256, (30, 41, 4), np.uint8)
    pixels[5:9, 20:] = 7
    for name, tags in (("scene", place), ("photo", [])):
        tifffile.imwrite(
            f"in/north/{name}.tif", pixels, photometric="rgb", extratags=tags
        )
        Path("in/north/geo.tif").unlink(missing_ok=True)
    assert predict(run, "in/north") == 0
    seen = pixels[..., [3, 0, 1]].copy()
    seen[5:9, 20:] = 0
    expected = keras_seg.predict_mask(model_of(Path(run)), seen)
    expected[5:9, 20:] = 255
    assert np.array_equal(tifffile.imread("out/scene.tif"), expected)
    assert np.array_equal(mask_of("out/photo.png"), expected)


def test_a_scene_that_is_broken_is_left_out_by_name(color_run, scenes, capsys):
    contents = Path("in/north/geo.tif").read_bytes()
    Path("in/north/geo.tif").write_bytes(contents[:-40])
    assert main(["predict", str(color_run), "in", "--out", "out"]) == 1
    said = capsys.readouterr()
    assert "3 of 4 images" in said.out
    assert "left out: in/north/geo.tif: Expected strips or tiles" in said.err
    assert not Path("out/north/geo.tif").exists()


def test_of_scenes_masks_alone_are_reported(color_run, scenes, capsys):
    for images, said in (
        ("in/north", "Wrote masks of 1 of 1 images to out"),
        ("in", "4 of 4 images to out2\n2 of them are scenes, which have a mask only"),
    ):
        out = "out" if images == "in/north" else "out2"
        assert main(["predict", str(color_run), images, "--out", out]) == 0
        assert said in capsys.readouterr().out


def test_a_scene_is_not_written_over(color_run, scenes, capsys):
    before = Path("in/north/geo.tif").read_bytes()
    out = ["--out", "in/north"]
    assert main(["predict", str(color_run), "in/north/geo.tif", *out]) == 1
    assert "would be written over" in capsys.readouterr().err
    assert Path("in/north/geo.tif").read_bytes() == before


def test_each_page_of_a_stack_has_a_mask(grey_run, tmp_path, monkeypatch, capsys):
    tifffile = pytest.importorskip("tifffile", reason="keras-seg[tiff]")
    monkeypatch.chdir(tmp_path)
    stack = RNG.integers(0, 256, (11, 20, 30), np.uint8)
    tifffile.imwrite("volume.tif", stack, photometric="minisblack")
    assert main(["predict", str(grey_run), "volume.tif", "--out", "out"]) == 0
    assert "11 of 11 images" in capsys.readouterr().out
    assert len(os.listdir("out")) == 22
    model = keras.saving.load_model(grey_run / "model.keras")
    for k in (0, 7, 10):
        expected = keras_seg.predict_mask(model, stack[k][..., None])
        found = np.asarray(Image.open(f"out/volume_{k:02}.png"))
        assert np.array_equal(found, expected)

    # A run that was trained on one page of each file takes that page.
    run = Path(shutil.copytree(grey_run, "run"))
    described = json.loads((run / "run.json").read_text()) | {"page": 7}
    (run / "run.json").write_text(json.dumps(described))
    assert predict(run, "volume.tif", out="one") == 0
    assert files_in("one") == ["volume.png", "volume_overlay.jpg"]
    expected = keras_seg.predict_mask(model, stack[7][..., None])
    assert np.array_equal(mask_of("one/volume.png"), expected)
