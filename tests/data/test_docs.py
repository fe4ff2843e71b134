"""The Python of docs/images.md runs, on small files of each kind."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

tifffile = pytest.importorskip("tifffile", reason="keras-seg[tiff] isn't installed")
nibabel = pytest.importorskip("nibabel", reason="nibabel isn't installed")
pydicom = pytest.importorskip("pydicom", reason="pydicom isn't installed")

PAGE = Path(__file__).parent.parent.parent / "docs" / "images.md"
RNG = np.random.default_rng(0)


def write_scan(path, pixels, slope=1.0, intercept=0.0):
    """A DICOM file of 16 bits."""
    scan = pydicom.Dataset()
    scan.file_meta = pydicom.dataset.FileMetaDataset()
    scan.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    scan.file_meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    scan.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    scan.SOPClassUID = pydicom.uid.CTImageStorage
    scan.SOPInstanceUID = scan.file_meta.MediaStorageSOPInstanceUID
    scan.Rows, scan.Columns = pixels.shape
    scan.SamplesPerPixel, scan.PhotometricInterpretation = 1, "MONOCHROME2"
    scan.BitsAllocated = scan.BitsStored = 16
    scan.HighBit, scan.PixelRepresentation = 15, 0
    scan.RescaleSlope, scan.RescaleIntercept = slope, intercept
    scan.PixelData = pixels.astype("<u2").tobytes()
    path.parent.mkdir(exist_ok=True)
    scan.save_as(path, enforce_file_format=True)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Files of each kind; the pixels of some of them by name."""
    monkeypatch.chdir(tmp_path)
    kept = {}
    for folder in ("cells", "scenes"):
        Path(folder, "images").mkdir(parents=True)
        Path(folder, "masks").mkdir()
    for name in ("a", "b"):
        cells = RNG.integers(0, 4096, (40, 50), np.uint16)
        tifffile.imwrite(f"cells/images/{name}.tif", cells)
        tifffile.imwrite(f"cells/masks/{name}.tif", (cells > 2000).astype(np.uint8))
    for name in ("north", "south"):
        scene = RNG.integers(1, 10000, (130, 170, 4), np.uint16)
        scene[:9, :20] = 0
        nodata = [(42113, 2, None, b"0")]
        options = {"photometric": "minisblack", "planarconfig": "contig"}
        tifffile.imwrite(
            f"scenes/images/{name}.tif",
            scene,
            extratags=nodata,
            tile=(32, 32),
            **options,
        )
        water = (scene[..., 0] > 5000).astype(np.uint8)
        tifffile.imwrite(f"scenes/masks/{name}.tif", water, tile=(32, 32))
        kept[name] = scene
    kept["volume"] = RNG.integers(0, 256, (5, 30, 40)).astype(np.uint8)
    kept["labels"] = (kept["volume"] > 99).astype(np.uint8) * 255
    for name in ("volume", "labels"):
        tifffile.imwrite(f"{name}.tif", kept[name], photometric="minisblack")
    for k in range(3):
        kept[f"scan{k}"] = RNG.integers(0, 4000, (20, 24))
        write_scan(Path(f"scans/{k}.dcm"), kept[f"scan{k}"], intercept=-1000.0)
        write_scan(Path(f"labels/{k}.dcm"), kept[f"scan{k}"] > 2000)
    for folder in ("volumes", "segmentations"):
        Path(folder).mkdir()
    for name, depth in (("p1", 3), ("p2", 2)):
        volume = RNG.integers(0, 1200, (16, 18, depth)).astype(np.int16)
        kept[name] = volume
        for folder, array in (("volumes", volume), ("segmentations", volume > 600)):
            image = nibabel.Nifti1Image(array.astype(np.int16), np.eye(4))
            nibabel.save(image, f"{folder}/{name}.nii.gz")
    return kept


@pytest.mark.slow
def test_the_python_of_the_page_runs(files):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 13
    names: dict = {}
    for code in blocks:
        exec(code, names)

    low, high = names["cells"].value_range  # measured by the page
    assert 0 < low[0] < 300
    assert 3800 < high[0] < 4095
    assert names["infrared"].channels == 3
    assert names["three"].num_classes == 3
    assert names["source"].dtype == "uint16"
    assert names["source"].value_range == (0, 4095)
    assert np.array_equal(names["stack"][3][0][..., 0], files["volume"][3])
    assert np.array_equal(names["stack"][3][1], files["labels"][3] // 255)

    tiles = names["tiles"]
    assert list(tiles.names)[:2] == ["north/r0-c0", "north/r0-c48"]
    assert len(tiles) == 2 * 3 * 4
    image, mask = tiles[0]
    assert np.array_equal(image, files["north"][:64, :64])
    assert (mask[:9, :20] == 255).all()
    assert (mask != 255).sum() == 64 * 64 - 9 * 20
    found = tifffile.imread("north_mask.tif")
    assert found.shape == (130, 170)
    assert (found[:9, :20] == 255).all()
    assert (found == 255).sum() == 9 * 20

    ct = names["ct"]
    for k, (image, mask) in enumerate(ct.dataset()):
        assert image.shape == (20, 24, 1)
        assert np.array_equal(image[..., 0], files[f"scan{k}"] - 1000.0)
        assert np.array_equal(mask, files[f"scan{k}"] > 2000)
    mri = names["mri"]
    assert list(mri.names)[2:4] == ["p1.nii.gz/2", "p2.nii.gz/0"]
    for k, (image, mask) in enumerate(mri.dataset()):
        volume = files["p1" if k < 3 else "p2"][..., k if k < 3 else k - 3]
        assert np.array_equal(image[..., 0], volume)
        assert np.array_equal(mask, volume > 600)
    deep, cut = (
        np.stack([np.asarray(Image.open(path)) for path in Path(folder).iterdir()])
        for folder in ("faint/images", "faint/bytes")
    )
    assert (deep.dtype, deep.shape) == (np.uint16, (100, 128, 128))
    assert np.unique(cut).tolist() == [8]
    augment = names["data"].standard_augmentation()
    images, masks = next(iter(mri.batches(2, size=(16, 16), augment=augment)))
    assert images.shape == (2, 16, 16, 1)
    assert images.dtype == "float32"
    assert masks.shape == (2, 16, 16)
