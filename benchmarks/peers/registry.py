"""Every peer."""

from pathlib import Path

from benchmarks.peers.bnb import BitsAndBytes
from benchmarks.peers.chatglm import ChatGLMCpp
from benchmarks.peers.llama import LlamaCpp
from benchmarks.peers.llama_server import LlamaServer
from benchmarks.peers.openvino import OpenVino
from benchmarks.peers.peer import Peer
from benchmarks.peers.published import Published
from benchmarks.peers.server import PeerServer
from benchmarks.peers.torchao import TorchAO
from benchmarks.peers.transformers_serve import TransformersServe


def all_peers(published: Path | None = None, python: str = "") -> dict[str, Peer]:
    """Every peer by name; the published code comes from a folder and runs in the given Python."""
    # Bits per weight include its share of a scale (fp16, for 32 weights); OpenVINO's embedding has 8.
    peers: tuple[Peer, ...] = (
        LlamaCpp("q4_0", 4.5),
        LlamaCpp("q8_0", 8.5),
        ChatGLMCpp("q4_0", 4.5),
        ChatGLMCpp("q8_0", 8.5),
        OpenVino("int4", 5.5),
        OpenVino("int8", 8.1),
        TorchAO("int4"),
        TorchAO("int8"),
        BitsAndBytes("bnb-nf4"),
        BitsAndBytes("bnb-int8"),
        Published(published and published.absolute(), python),
    )
    return {peer.name: peer for peer in peers}


def all_servers() -> dict[str, PeerServer]:
    """Every peer's server by name."""
    servers = (LlamaServer("q4_0", 4.5), LlamaServer("q8_0", 8.5), TransformersServe())
    return {server.name: server for server in servers}
