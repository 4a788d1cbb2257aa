"""Public fakes, and test suites for implementations of the seams."""

from rlmbox.testing.check_model import check_model
from rlmbox.testing.check_retriever import check_retriever
from rlmbox.testing.check_sandbox import check_sandbox
from rlmbox.testing.check_store import check_store
from rlmbox.testing.dict_retriever import DictRetriever, HashEmbedder
from rlmbox.testing.fault_server import FaultServer
from rlmbox.testing.provider_server import ProviderFault, ProviderServer, RawReply, http_fault
from rlmbox.testing.provider_wire import ProviderReply, ProviderRequest
from rlmbox.testing.quirks import QUIRKS, Quirk, QuirkServer
from rlmbox.testing.scripted import ScriptedModel, ScriptMiss

__all__ = [
    "QUIRKS",
    "DictRetriever",
    "FaultServer",
    "HashEmbedder",
    "ProviderFault",
    "ProviderReply",
    "ProviderRequest",
    "ProviderServer",
    "Quirk",
    "QuirkServer",
    "RawReply",
    "ScriptMiss",
    "ScriptedModel",
    "check_model",
    "check_retriever",
    "check_sandbox",
    "check_store",
    "http_fault",
]
