"""Names of span attributes: those of OpenTelemetry for generative AI, as its own repository has them, and ours.

None of the former is stable. The package that lists them changes them between two minor versions, so they stand here.
"""

from __future__ import annotations

OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
AGENT_NAME = "gen_ai.agent.name"
CONVERSATION_ID = "gen_ai.conversation.id"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons"
USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_CALL_ID = "gen_ai.tool.call.id"
# Of the general conventions, and stable.
ERROR_TYPE = "error.type"

# Values of gen_ai.operation.name.
CHAT = "chat"
INVOKE_AGENT = "invoke_agent"
EXECUTE_TOOL = "execute_tool"
# The value of gen_ai.provider.name for a service that is known by no more than its protocol.
OPENAI = "openai"
FUNCTION = "function"

PLATFORM = "offhook.platform"
REQUEST_ID = "offhook.request.id"
TURN_ID = "offhook.turn.id"
WHICH = "offhook.which"
MEMORY = "offhook.memory"
FIRST_USEFUL = "offhook.first_useful"
GAP = "offhook.gap"
ASIDES = "offhook.asides"
COST = "offhook.cost"
UPSTREAM = "offhook.upstream"
OUTCOME = "offhook.outcome"
NUMBER = "offhook.attempt.number"
ROUND = "offhook.attempt.round"
HEDGE = "offhook.attempt.hedge"
ESTIMATED = "offhook.tokens.estimated"
