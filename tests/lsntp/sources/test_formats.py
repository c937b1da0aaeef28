import gzip
import logging
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from lsntp.errors import SourceDataError
from lsntp.sources import formats
from lsntp.sources.formats import FilePart

Write = Callable[..., Path]


def open_parts(path: Path, unpack_into: Path) -> Sequence[FilePart]:
    return formats.open_parts(path, unpack_into, str(path))


def pack(target: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target


def test_the_first_bytes_decide_and_not_the_name(
    make_message: Callable[..., bytes],
    make_fields: Callable[..., np.ndarray],
    make_dataset: Callable[..., xr.Dataset],
    write: Write,
    tmp_path: Path,
) -> None:
    grib = write(make_message(make_fields()[0]), "a.nc")
    netcdf = write(make_dataset([0, 1]), "b.grib")
    zipped = pack(tmp_path / "c.nc", {"data_0.nc": netcdf.read_bytes()})
    counts = [open_parts(path, tmp_path)[0].times.size for path in (grib, netcdf, zipped)]
    assert counts == [1, 2, 2]


def test_members_without_2_m_temperature_are_passed_over(
    make_dataset: Callable[..., xr.Dataset],
    make_message: Callable[..., bytes],
    make_fields: Callable[..., np.ndarray],
    write: Write,
    tmp_path: Path,
) -> None:
    dataset = make_dataset()
    members = {
        "accum.nc": write(dataset.rename(t2m="sshf"), "b.nc").read_bytes(),
        "instant.nc": write(dataset, "a.nc").read_bytes(),
        "more.grib": make_message(make_fields()[0]),
        "licence.txt": b"CC-BY 4.0",
    }
    path = pack(tmp_path / "c.zip", members)
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    labels = [part.label for part in open_parts(path, unpacked)]
    assert labels == [f"{path}::instant.nc", f"{path}::more.grib"]
    assert len(list(unpacked.iterdir())) == 2


def test_a_member_that_points_outside_stays_inside(
    make_dataset: Callable[..., xr.Dataset], write: Write, tmp_path: Path
) -> None:
    content = write(make_dataset()).read_bytes()
    path = pack(tmp_path / "c.zip", {"../../escaped.nc": content, "/absolute.nc": content})
    inside = tmp_path / "x" / "y"
    inside.mkdir(parents=True)
    assert len(open_parts(path, inside)) == 2
    assert not (tmp_path / "escaped.nc").exists()
    assert len(list(inside.iterdir())) == 2


def test_an_archive_that_unpacks_to_too_much_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "MAX_UNPACKED_BYTES", 1000)
    path = pack(tmp_path / "bomb.zip", {"a.nc": bytes(5000)})
    with pytest.raises(SourceDataError, match="at most 100 members"):
        open_parts(path, tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["bomb.zip"]


def test_an_archive_of_archives_is_refused(tmp_path: Path) -> None:
    inner = pack(tmp_path / "inner.zip", {"a.txt": b"text"}).read_bytes()
    with pytest.raises(SourceDataError, match=r"found none: .*outer\.zip::inner\.zip"):
        open_parts(pack(tmp_path / "outer.zip", {"inner.zip": inner}), tmp_path)


def test_a_zip_cut_short_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"a.nc": np.random.default_rng(0).bytes(5000)})
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(SourceDataError, match="whole ZIP"):
        open_parts(path, tmp_path)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html><body>502 Bad Gateway", "an HTML page"),
        (b"\n<html>", "an HTML page"),
        (b"580:418789296:d=2023110400:TMP", "text inventory"),
        (bytes(300), "bytes that begin with"),
        (b"\x89HDF\r\n\x1a\n" + bytes(500), "cannot be decoded"),
        (b"CDF\x01" + b"\xff" * 200, "cut short or damaged"),
        (b"GRIB", "neither edition 1 nor 2"),
        (b"<html>GRIB\x00\x00\x00\x01", "an HTML page"),
        (b"No GRIB file of this hour", "text that begins with 'No GRIB file of this hour'"),
    ],
)
def test_garbage_is_refused_saying_what_it_looks_like(
    content: bytes, match: str, write: Write, tmp_path: Path
) -> None:
    with pytest.raises(SourceDataError, match=match):
        open_parts(write(content), tmp_path)


def test_a_folder_that_is_no_zarr_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceDataError, match=r"folder without zarr\.json"):
        open_parts(tmp_path, tmp_path)


def test_a_missing_or_closed_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SourceDataError, match=r"absent\.nc, found No such file"):
        open_parts(tmp_path / "absent.nc", tmp_path)


def test_a_packed_file_is_refused_though_its_header_says_grib(
    make_message: Callable[..., bytes], make_fields: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "era5.GRIB.gz"
    with path.open("wb") as file, gzip.GzipFile("era5.GRIB", "wb", fileobj=file) as packed:
        packed.write(make_message(make_fields()[0]))
    assert b"GRIB" in path.read_bytes()[:128]
    with pytest.raises(SourceDataError, match=r"compressed with gzip; unpack it first \(gunzip\)"):
        open_parts(path, tmp_path)


def test_a_bulletin_header_before_the_first_message_is_passed_over(
    make_message: Callable[..., bytes],
    make_fields: Callable[..., np.ndarray],
    write: Write,
    tmp_path: Path,
) -> None:
    path = write(b"\x01\r\r\n001 \r\r\nHTXA99 EGRR 010000\r\r\n" + make_message(make_fields()[0]))
    assert open_parts(path, tmp_path)[0].times.size == 1


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.nc")
    with pytest.raises(SourceDataError, match=r"a\.nc, found a pipe"):
        open_parts(tmp_path / "a.nc", tmp_path)


@pytest.mark.parametrize(
    ("target", "reason"),
    [("a.nc", "Too many levels of symbolic links"), ("gone.nc", "No such file")],
)
def test_a_link_that_leads_nowhere_is_told_from_a_missing_file(
    target: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "a.nc").symlink_to(target)
    with pytest.raises(SourceDataError, match=rf"symbolic link to {target} .*followed \({reason}"):
        open_parts(tmp_path / "a.nc", tmp_path)


def test_a_member_that_is_no_analysis_is_left_out_with_a_warning(
    make_dataset: Callable[..., xr.Dataset],
    write: Write,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    dataset = make_dataset()
    members = {
        "oper.nc": write(dataset, "a.nc").read_bytes(),
        "accum.nc": write(dataset.rename(t2m="sshf"), "b.nc").read_bytes(),
        "enda.nc": write(dataset.expand_dims(number=[0, 1]), "c.nc").read_bytes(),
    }
    with caplog.at_level(logging.WARNING):
        assert len(open_parts(pack(tmp_path / "c.zip", members), tmp_path)) == 1
    assert len(caplog.records) == 1
    assert "enda.nc" in caplog.text
    assert "select one level and one member" in caplog.text


def test_a_zip_of_many_useless_members_is_refused_in_few_words(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {f"{i}.txt": b"CC-BY 4.0" for i in range(90)})
    with pytest.raises(SourceDataError, match="So for 87 more members") as refusal:
        open_parts(path, tmp_path)
    assert len(str(refusal.value)) < 1000


def test_an_empty_zip_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {})
    with pytest.raises(SourceDataError, match=r"a\.zip"):
        open_parts(path, tmp_path)
