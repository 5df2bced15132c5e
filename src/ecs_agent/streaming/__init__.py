"""Sans-IO streaming: bytes in, values out."""

from ecs_agent.streaming.coalesce import CoalescedStream, coalesce
from ecs_agent.streaming.decoder import DecoderPhase, StreamDecoder
from ecs_agent.streaming.events import (
    CitationReceived,
    EventTranslator,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    StreamEvent,
    TextDelta,
    ToolCallCompleted,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from ecs_agent.streaming.fold import Fold, fold, merge
from ecs_agent.streaming.sse import ServerSentEvent, SSEDecoder
from ecs_agent.streaming.stream import CompletionStream, DeltaSource, StreamTap
from ecs_agent.streaming.tool_calls import ToolCallLog

__all__ = [
    "CitationReceived",
    "CoalescedStream",
    "CompletionStream",
    "DecoderPhase",
    "DeltaSource",
    "EventTranslator",
    "Finished",
    "Fold",
    "ReasoningDelta",
    "RefusalDelta",
    "SSEDecoder",
    "ServerSentEvent",
    "StreamDecoder",
    "StreamEvent",
    "StreamTap",
    "TextDelta",
    "ToolCallCompleted",
    "ToolCallDelta",
    "ToolCallLog",
    "ToolCallStarted",
    "UsageReported",
    "coalesce",
    "fold",
    "merge",
]
