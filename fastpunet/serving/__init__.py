"""The service behind `fastpunet serve`: images come in over HTTP, answers and report pages go out."""

from fastpunet.optional import needed_for

with needed_for("serving", "serve"):
    import fastapi  # noqa: F401  # the modules of this package import them
    import prometheus_client  # noqa: F401
    import uvicorn  # noqa: F401
