"""The definitions a reader may ask for."""

NOTES = (
    "Pooled: for each lead the root of the mean squared error over all forecasts and cells; "
    "then the mean over leads.",
    "Per image: the root of the mean squared error of each forecast field; then the mean over "
    "fields and leads.",
    "Per cell: for each cell and lead the root of the mean squared error over forecasts; then "
    "the mean over the map and leads. Probably the one printed in the LS-NTP paper.",
    "From PSNR: the RMSE that the mean PSNR stands for, the geometric mean over fields of each "
    "field’s RMSE.",
    "As published: PSNR with data_range 255 and SSIM with data_range 2, both on kelvin, as in "
    "the authors’ evaluation. They compare with the paper’s table and with nothing else.",
)

BASELINES = {
    "persistence": "The last observed field, held.",
    "diurnal-persistence": "The field observed at the same time of day, most recently.",
    "climatology": "The mean field for the time of day (and of year, given two years or more) "
    "over the training period.",
    "persistence-climatological-increment": "The last field plus the climatological change from "
    "then to the valid time.",
    "persistence-diurnal-increment": "The last field plus the change observed over the same "
    "hours of the day before.",
    "ridge": "Climatology plus the last anomaly plus a linear prediction of its change: one "
    "L2-regularised regression per lead, pooled over all cells and initial times, on the "
    "anomalies of the 5 × 5 neighbourhood and the cell’s own past, all from the mean field for the "
    "time of day.",
    "gfs": "The forecast of the Global Forecast System itself, from the same initial time, on the "
    "domain’s grid.",
    "gfs-bias-corrected": "The same less its mean error over the training period, a value per lead "
    "and cell.",
}

METRICS = {
    "MAE, bias": "Mean of |forecast − analysis|, and of forecast − analysis.",
    "RMSE": "Root mean square error in the four definitions above.",
    "ACC": "Anomaly correlation: Σ f′a′ / √(Σ f′² Σ a′²), anomalies from the climatology of the "
    "training period; undefined for the climatology itself.",
    "SSIM, PSNR": "Structural similarity (7 × 7 window) and peak signal-to-noise ratio; the "
    "range of the data is that of the training period.",
    "Skill": "1 − MAE of the model / MAE of the best baseline: 0 is as good, 1 is perfect, below "
    "0 is worse. The interval is the central 95 % of a paired bootstrap that draws blocks of whole "
    "days.",
    "Averages": "The mean over leads is the mean of the leads’ scores. Whether cells count equally "
    "or by area is stated under “Compared”; SSIM and PSNR are never weighted.",
}
