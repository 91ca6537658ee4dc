"""Ways to have many images drawn into one archive: by threads of this process, or by a cluster."""
