"""Images without annotations: reads files and folders, and gives an `Input` for each image.

To add a format, write a module beside `pictures`, `nifti_images`, `dicom_images` and `arrays`, let `recognising` know
its first bytes, and list it in `finding.READERS`. `fastpunet.data.writing` does the same for hypotheses.
"""

from fastpunet.data.inputs.finding import find_inputs
from fastpunet.data.inputs.input import Grid, Input

__all__ = ["Grid", "Input", "find_inputs"]
