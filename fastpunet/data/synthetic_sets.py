"""The synthetic data sets by name."""

from fastpunet.data.lesion_pairs import SyntheticLesionPairs
from fastpunet.data.lesion_volumes import SyntheticLesionVolumes
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.data.synthetic import SyntheticRecords

SYNTHETIC_SETS: dict[str, type[SyntheticRecords]] = {
    "lesions": SyntheticLesions,
    "lesion-pairs": SyntheticLesionPairs,
    "lesions-3d": SyntheticLesionVolumes,
}
