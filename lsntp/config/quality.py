"""The limits of the quality checks, each with the measurement that justifies it.

Measured on every real 2 m temperature file at hand: ERA5 hourly over the British Isles (33 x 49
cells, a month), Cornwall, southern England and Berlin; 3-hourly over Italy (43 x 48) and the
Persian Gulf (three years); 6-hourly over Java; NCEP/NCAR 6-hourly over North America (25 x 53,
16 months); hourly points in Devon (four years) and Quebec (four years). "True fields" below are
all of these; no true field may be rejected, so every limit keeps at least 1.4 times, mostly
twice, the largest true value. A check is switched off by a limit that nothing reaches.
"""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class QualityConfig(BaseModel):
    """Limits beyond which a field is quarantined."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    minimum_k: float = Field(180.0, description="Coldest plausible value (record: 184 K).")
    maximum_k: float = Field(340.0, description="Hottest plausible value (record: 330 K).")
    maximum_step_k: float = Field(
        40.0,
        gt=0,
        description="Largest plausible median change of the cells between two steps. True fields: "
        "9.4 K in 3 h (Persian Gulf), 9.1 K in 1 h (the point in Quebec).",
    )
    maximum_equal_share: float = Field(
        0.5,
        gt=0,
        description="Largest share of cells, of 16 or more, with one and the same value. True "
        "fields in steps of 0.02 K or finer: 0.31 of 16 cells, 0.14 of 64. Coarser ones reach "
        "1.0 over warm sea (ECMWF in steps of 0.03 K): not judged.",
    )
    flat_cells: int = Field(
        4,
        ge=1,
        description="So many cells that equal all their eight neighbours make a filled patch. "
        "True fields in steps of 0.02 K or finer have none; coarser ones are not judged.",
    )
    maximum_unchanged_share: float = Field(
        0.5,
        gt=0,
        description="Largest share of cells, of 16 or more, that may equal the nearest true field "
        "before or after, less than a day away. True fields in steps of 0.02 K or finer: 0.06 one "
        "step apart, 0.04 two to 48 hours apart. For coarser ones at least 0.98 counts: rounded to "
        "0.1 K, hourly Cornwall reaches 0.80 one step apart, 0.66 two, 0.29 a day. From 1.0 on "
        "nothing is a repeat, which noiseless test data that are symmetric in time may need.",
    )
    frozen_steps: int = Field(
        6,
        ge=2,
        description="A cell unchanged for so many steps is frozen. True cells in steps of 0.02 K "
        "or finer: at most 2 steps. Coarser ones get four times as many: rounded to 0.1 K, an "
        "hourly sea cell keeps its value for 21.",
    )
    frozen_share: float = Field(
        0.02,
        gt=0,
        description="Share of frozen cells from which on the field is rejected; 0.1 for data in "
        "steps above 0.02 K. True fields: none at six steps; rounded to 0.1 K, 0.006 at twelve.",
    )
    displacement_ratio: float = Field(
        5.0,
        gt=1,
        description="A field of 16 x 16 cells and more is displaced when moving it by two columns "
        "or more divides its mean square difference from the field before, or from the mean of "
        "its hour of the day, by this and makes it fit. True fields: 1.5 and 1.8 on the whole "
        "domains, 3.4 on boxes cut at random. Found of single rolled fields: over the British "
        "Isles 0.6 at two columns, 0.9 at three, all at four; over North America 0.7 at four, 0.9 "
        "at eight; over Italy 0.8 at four, 0.9 at eight.",
    )
    maximum_departure_k: float = Field(
        26.0,
        gt=0,
        description="Largest median distance of the cells from the range of the days around, same "
        "hour of day, for a point; a domain of L degrees (square root of height times width) gets "
        "10 / (10 + L) of it and never less than 6 K. True fields: 12.9 K at a point, 7.9 at 0.3 "
        "degrees, 2.8 at 6, 1.2 at 11, none at 88. Half a year wrong gives 7.6 K (median over all "
        "seasons) in North America, 11 K in the Persian Gulf.",
    )
    jump_factor: float = Field(
        4.0,
        gt=1,
        description="Largest change, less the usual change at that hour of day (root mean square "
        "over the cells), in units of the largest of the days before. True fields: 2.1.",
    )
    edge_factor: float = Field(
        4.0,
        gt=1,
        description="The same for the largest difference between neighbouring cells of the change, "
        "where that exceeds 6 K. True fields: 2.4 (2.9 where it is below 1 K).",
    )
    maximum_phase_h: float = Field(
        5.0,
        gt=0,
        description="Largest distance of the daily maximum from 14.5 h local solar time, fitted "
        "over three days with an amplitude of 2 K and more that exceeds the rest. True fields of "
        "nine cells and more: 1.9 h.",
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.minimum_k >= self.maximum_k:
            raise ValueError(
                f"expected minimum_k below maximum_k, found {self.minimum_k:g} and "
                f"{self.maximum_k:g}"
            )
        return self
