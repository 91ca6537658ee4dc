"""Runs of `fastpunet sample` into an archive: any number of images, each drawn and kept on its own."""
