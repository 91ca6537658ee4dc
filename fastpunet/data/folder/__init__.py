"""Your own data: a folder of images and a folder of masks for each rater."""

from fastpunet.data.folder.reader import FolderRecords, read

__all__ = ["FolderRecords", "read"]
