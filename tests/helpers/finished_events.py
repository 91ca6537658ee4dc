"""What stands for the events of a device where there is none."""


class FinishedEvents:
    """Events of a device that has finished before it is asked."""

    def record(self) -> None:
        pass

    def wait(self) -> None:
        pass

    def synchronize(self) -> None:
        pass
