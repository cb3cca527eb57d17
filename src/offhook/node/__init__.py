"""The workflow's LLM node, and a whole call played over it."""

from offhook.node.answer import Answer
from offhook.node.call import BargeIn, Call, CallTurn
from offhook.node.node import LLMNode
from offhook.node.record import AnswerRecord
from offhook.node.request import ExtendData
from offhook.node.speaker import Pace

__all__ = ["Answer", "AnswerRecord", "BargeIn", "Call", "CallTurn", "ExtendData", "LLMNode", "Pace"]
