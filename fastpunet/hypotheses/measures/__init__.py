"""Any function of a mask over all hypotheses: built-in measures, their quantiles and probabilities."""

from fastpunet.hypotheses.measures.estimates import Probability, Quantiles
from fastpunet.hypotheses.measures.geometry import Geometry
from fastpunet.hypotheses.measures.measuring import measure
from fastpunet.hypotheses.measures.registry import MEASURES, Measure, applicable, one_by_one
from fastpunet.hypotheses.measures.result import Measures

__all__ = [
    "MEASURES",
    "Geometry",
    "Measure",
    "Measures",
    "Probability",
    "Quantiles",
    "applicable",
    "measure",
    "one_by_one",
]
