"""The scores as torchmetrics modules: updated batch by batch, synchronised across processes, put into collections.

Needs torchmetrics (the extras `report` and `train` bring it), so it is imported by its own name:
`from fastpunet.metrics.modules import EnergyDistanceMetric`.
"""

from fastpunet.metrics.modules.calibration import PixelCalibrationError, PresenceCalibrationError
from fastpunet.metrics.modules.overlap import (
    BestDice,
    BestIoU,
    CohensKappa,
    CollectiveInsightMetric,
    EnergyDistanceMetric,
    EnergyPartsMetric,
    MatchedDice,
    MatchedIoU,
    NormalVolumeCRPS,
    VolumeCRPS,
)
from fastpunet.metrics.modules.probability import (
    NCC,
    BrierScore,
    ConsensusDice,
    ConsensusIoU,
    ImageLogLikelihood,
    PixelNLL,
    SelectiveRiskMetric,
    SoftDice,
    UncertaintyNCC,
)

__all__ = [
    "NCC",
    "BestDice",
    "BestIoU",
    "BrierScore",
    "CohensKappa",
    "CollectiveInsightMetric",
    "ConsensusDice",
    "ConsensusIoU",
    "EnergyDistanceMetric",
    "EnergyPartsMetric",
    "ImageLogLikelihood",
    "MatchedDice",
    "MatchedIoU",
    "NormalVolumeCRPS",
    "PixelCalibrationError",
    "PixelNLL",
    "PresenceCalibrationError",
    "SelectiveRiskMetric",
    "SoftDice",
    "UncertaintyNCC",
    "VolumeCRPS",
]
