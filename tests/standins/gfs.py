"""Objects as GFS publishes them, made of real messages, and the inventories that belong to them.

The messages are those of the files beside the checkout. Their bytes stay as they are but for
the time in section 1 and the step in section 4 (and, where a test needs other weather, the
values of 2 m temperature).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import eccodes
import numpy as np
import numpy.typing as npt

ELEMENTS = {
    (0, 0, 0): "TMP",
    (0, 0, 21): "APTMP",
    (0, 1, 1): "RH",
    (0, 2, 2): "UGRD",
    (0, 2, 3): "VGRD",
    (0, 2, 8): "VVEL",
    (0, 2, 10): "ABSV",
    (0, 3, 1): "PRMSL",
    (0, 3, 5): "HGT",
}
"""The names that inventories have for discipline, category and number; others are spelled out."""

Values = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Library:
    """The real messages.

    Attributes:
        folder: of the GFS files.
    """

    folder: Path

    @cached_property
    def t2m(self) -> bytes:
        """2 m temperature, analysis, 1 degree."""
        return (self.folder / "gfs_1p00_2026061800_anl_TMP_2m.grib2").read_bytes()

    @cached_property
    def apparent(self) -> bytes:
        """Apparent temperature at 2 m, the nearest miss."""
        return (self.folder / "gfs_20210509T06_f000_APTMP.grib").read_bytes()

    @cached_property
    def spread(self) -> bytes:
        """Ensemble spread of 2 m temperature."""
        return (self.folder / "gefs_0p50_2021041600_spr_f006_TMP_2m.grib2").read_bytes()

    @cached_property
    def others(self) -> list[bytes]:
        """Everything in a whole file of 2.5 degrees but its 2 m temperature."""
        whole = (self.folder / "gfs.t12z.pgrbf120.2p5deg.grib2").read_bytes()
        return [m for m in split(whole) if describe(m)[:2] != ("TMP", "2 m above ground")]

    def product(
        self,
        init_time: np.datetime64,
        step_h: int = 0,
        *,
        values: Values | None = None,
        padding: int = 12,
        t2m_last: bool = False,
    ) -> bytes:
        """An object of one run and step.

        Args:
            init_time: start of the run.
            step_h: hours ahead.
            values: 2 m temperature (181, 360), kelvin; None for the real field.
            padding: how many other messages stand around it.
            t2m_last: whether nothing stands behind it.
        """
        t2m = self.t2m if values is None else with_values(self.t2m, values)
        others = [self.others[index % len(self.others)] for index in range(padding)]
        half = len(others) if t2m_last else len(others) // 2
        messages = [*others[:half], self.apparent, t2m, *others[half:]]
        return b"".join(dated(message, init_time, step_h) for message in messages)


class MadeLibrary(Library):
    """Messages of the same kinds made from ecCodes' own sample, for a checkout without files."""

    def __init__(self) -> None:
        super().__init__(Path())

    @cached_property
    def t2m(self) -> bytes:
        """A north-south gradient with a wave around the globe, 1 degree."""
        latitude, longitude = np.arange(90, -91, -1)[:, None], np.arange(360)[None, :]
        return _made(0, 0, 2, 288 - np.abs(latitude) / 2 + 3 * np.sin(np.radians(3 * longitude)))

    @cached_property
    def apparent(self) -> bytes:
        """Apparent temperature at 2 m, the nearest miss."""
        return _made(0, 21, 2, np.full((181, 360), 280.0))

    @cached_property
    def others(self) -> list[bytes]:
        """Wind at 10 m and humidity at 2 m."""
        kinds = [(2, 2, 10), (2, 3, 10), (1, 1, 2)]
        return [_made(*kind, np.full((181, 360), float(kind[1]))) for kind in kinds]


def _made(category: int, number: int, height_m: int, values: Values) -> bytes:
    """A message of edition 2 on the 1-degree grid of GFS, at some metres above ground."""
    handle = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib2")
    header = {
        "centre": "kwbc",
        "Ni": 360,
        "Nj": 181,
        "latitudeOfFirstGridPointInDegrees": 90,
        "latitudeOfLastGridPointInDegrees": -90,
        "longitudeOfFirstGridPointInDegrees": 0,
        "longitudeOfLastGridPointInDegrees": 359,
        "iDirectionIncrementInDegrees": 1,
        "jDirectionIncrementInDegrees": 1,
        "parameterCategory": category,
        "parameterNumber": number,
        "typeOfFirstFixedSurface": 103,
        "scaleFactorOfFirstFixedSurface": 0,
        "scaledValueOfFirstFixedSurface": height_m,
        "bitsPerValue": 16,
    }
    try:
        for name, value in header.items():
            eccodes.codes_set(handle, name, value)
        eccodes.codes_set_values(handle, values.ravel())
        message: bytes = eccodes.codes_get_message(handle)
    finally:
        eccodes.codes_release(handle)
    return message


def split(content: bytes) -> Iterator[bytes]:
    """The messages of edition 2 in some bytes."""
    position = 0
    while position < len(content):
        length = int.from_bytes(content[position + 8 : position + 16])
        yield content[position : position + length]
        position += length


def sections(message: bytes) -> dict[int, int]:
    """Where each section (its first, if repeated) starts."""
    found: dict[int, int] = {}
    position = 16
    while position < len(message) - 4:
        found.setdefault(message[position + 4], position)
        position += int.from_bytes(message[position : position + 4])
    return found


def dated(message: bytes, init_time: np.datetime64, step_h: int) -> bytes:
    """The message as one of another run, and of another step if it is for an instant."""
    time = init_time.astype("datetime64[s]").item()
    content, at = bytearray(message), sections(message)
    clock = [*time.year.to_bytes(2), time.month, time.day, time.hour, time.minute, time.second]
    content[at[1] + 12 : at[1] + 19] = bytes(clock)
    product = at[4]
    if int.from_bytes(content[product + 7 : product + 9]) == 0:
        content[product + 17] = 1  # hours
        content[product + 18 : product + 22] = step_h.to_bytes(4)
    return bytes(content)


def with_values(message: bytes, values: Values) -> bytes:
    """The message with another field, as its own packing keeps it."""
    handle = eccodes.codes_new_from_message(message)
    try:
        eccodes.codes_set_values(handle, np.asarray(values, np.float64).ravel())
        packed: bytes = eccodes.codes_get_message(handle)
    finally:
        eccodes.codes_release(handle)
    return packed


def describe(message: bytes) -> tuple[str, str, str, str]:
    """Element, level, step and kind as an inventory names them."""
    at = sections(message)
    product = at[4]
    category, number = message[product + 9], message[product + 10]
    discipline = message[6]
    element = ELEMENTS.get((discipline, category, number), f"var{discipline}_{category}_{number}")
    surface = message[product + 22]
    scale, value = message[product + 23], int.from_bytes(message[product + 24 : product + 28])
    height = value / 10 ** (scale if scale < 128 else 128 - scale)
    level = {
        1: "surface",
        100: f"{height / 100:g} mb",
        101: "mean sea level",
        103: f"{height:g} m above ground",
    }.get(surface, f"level {surface} {height:g}")
    step = int.from_bytes(message[product + 18 : product + 22])
    is_derived = int.from_bytes(message[product + 7 : product + 9]) in (2, 12)
    spelled = f"{step} hour fcst" if step else "anl"
    return element, level, spelled, "ens spread" if is_derived else ""


def inventory(content: bytes) -> bytes:
    """The ``.idx`` of an object."""
    lines, start = [], 0
    for number, message in enumerate(split(content), start=1):
        clock = sections(message)[1] + 12
        year = int.from_bytes(message[clock : clock + 2])
        date = f"{year:04d}" + "".join(f"{part:02d}" for part in message[clock + 2 : clock + 5])
        lines.append(f"{number}:{start}:d={date}:" + ":".join(describe(message)) + "\n")
        start += len(message)
    return "".join(lines).encode()


def key(init_time: np.datetime64, step_h: int = 0, resolution: str = "1p00") -> str:
    """The name of an object since March 2021."""
    day, hour = np.datetime_as_string(init_time, unit="h").split("T")
    return f"gfs.{day.replace('-', '')}/{hour}/atmos/gfs.t{hour}z.pgrb2.{resolution}.f{step_h:03d}"


def t2m_of(contents: Sequence[bytes]) -> Values:
    """The fields (n, 181, 360) of 2 m temperature in objects, as ecCodes decodes them."""
    fields = []
    for content in contents:
        for message in split(content):
            if describe(message)[:2] == ("TMP", "2 m above ground"):
                handle = eccodes.codes_new_from_message(message)
                fields.append(eccodes.codes_get_values(handle).reshape(181, 360))
                eccodes.codes_release(handle)
    return np.array(fields)
