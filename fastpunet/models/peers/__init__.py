"""State dicts of other people's networks: one module for each peer, which knows its names and its structure."""

from fastpunet.models.peers.found import Found
from fastpunet.models.peers.networks import choose, networks
from fastpunet.models.peers.recognise import recognise

__all__ = ["Found", "choose", "networks", "recognise"]
