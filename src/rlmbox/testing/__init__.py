"""Public fakes, and suites that any implementation of a seam can run."""

from rlmbox.testing.check_model import check_model
from rlmbox.testing.check_sandbox import check_sandbox
from rlmbox.testing.fault_server import FaultServer
from rlmbox.testing.provider_server import ProviderFault, ProviderServer, http_fault
from rlmbox.testing.provider_wire import ProviderReply, ProviderRequest
from rlmbox.testing.scripted import ScriptedModel, ScriptMiss

__all__ = [
    "FaultServer",
    "ProviderFault",
    "ProviderReply",
    "ProviderRequest",
    "ProviderServer",
    "ScriptMiss",
    "ScriptedModel",
    "check_model",
    "check_sandbox",
    "http_fault",
]
