"""The service behind `fastpunet serve`: images come in over HTTP, answers and report pages go out."""
