"""Whether an answer can be right: what one observed run says of a model, and what must hold."""

from captum_ext.soundness.caller_state import keep_caller_state
from captum_ext.soundness.guard import eager, guarded
from captum_ext.soundness.model_facts import ModelFacts, observe

__all__ = ["ModelFacts", "eager", "guarded", "keep_caller_state", "observe"]
