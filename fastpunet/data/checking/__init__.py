"""Says what files or a data set hold, and what about them would break or falsify work, before anything runs.

`images` looks at what was found, `values` at the pixels of some images, `masks` and `agreement` at the masks of a data
set, `leaks` at what two parts of one share and `for_model` at what a model expects. Each adds facts and findings to a
`Report`.
"""

from fastpunet.data.checking.check import check
from fastpunet.data.checking.report import Report

__all__ = ["Report", "check"]
