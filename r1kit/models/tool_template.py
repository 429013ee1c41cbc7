"""`plain-tools`: a chat template with tools in plain text, for base models that have none.

Its marks need no tokens of their own, so that any tokenizer writes and reads it:

    Tools:
    python(code): Run a Python program and return what it prints.

    Q: What is 47 * 86?
    A:<tool>python {"code": "print(47 * 86)"}</tool><|end|>
    Tool: 4042
    A:<answer> 4042</answer><|end|>

Each turn of the assistant ends with the model's own end token, here `<|end|>`. The `response_template` of a tokenizer
says how transformers reads the calls of tools from a completion; it is saved with the tokenizer.
"""

import re
from typing import Any

PLAIN_TOOLS = "plain-tools"

PLAIN_TOOLS_TEMPLATE = """\
{{- bos_token -}}
{%- if tools -%}
    {{- 'Tools:\\n' -}}
    {%- for tool in tools -%}
        {%- set function = tool['function'] if 'function' in tool else tool -%}
        {{- function['name'] + '(' + (function['parameters']['properties'] | join(', ')) + ')' -}}
        {%- if function['description'] -%}{{- ': ' + function['description'].split('\\n')[0] -}}{%- endif -%}
        {{- '\\n' -}}
    {%- endfor -%}
    {{- '\\n' -}}
{%- endif -%}
{%- for message in messages -%}
    {%- if message['role'] == 'system' -%}
        {{- message['content'] + '\\n\\n' -}}
    {%- elif message['role'] == 'user' -%}
        {%- if not loop.first and messages[loop.index0 - 1]['role'] != 'system' -%}{{- '\\n' -}}{%- endif -%}
        {{- 'Q: ' + message['content'] -}}
    {%- elif message['role'] == 'assistant' -%}
        {{- '\\nA:' -}}
        {%- generation -%}
        {{- message['content'] -}}
        {%- for call in message['tool_calls'] or [] -%}
            {%- set function = call['function'] if 'function' in call else call -%}
            {%- set arguments = function['arguments'] -%}
            {{- '<tool>' + function['name'] + ' ' -}}
            {{- (arguments if arguments is string else arguments | tojson) + '</tool>' -}}
        {%- endfor -%}
        {{- eos_token -}}
        {%- endgeneration -%}
    {%- elif message['role'] == 'tool' -%}
        {{- '\\nTool: ' + message['content'] -}}
    {%- else -%}
        {{- raise_exception('plain-tools has no form for messages of the role ' + message['role']) -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '\\nA:' -}}{%- endif -%}
"""


def make_response_template(end_token: str) -> dict[str, Any]:
    """Return transformers' `response_template` of a tokenizer with the template `plain-tools`.

    `end_token` ends the assistant's turns, such as `<|end|>`. The thinking stays in the content, in its tags.
    """
    return {
        "defaults": {"role": "assistant"},
        "start_anchor": "\nA:",
        "fields": {
            "tool_calls": {
                "open_pattern": r"<tool>(?P<name>\w+)\s*",
                "close_pattern": r"</tool>\s*",
                "repeats": True,
                "content": "json",
                "transform": {"type": "function", "function": {"name": "{name}", "arguments": "{content}"}},
            },
            "content": {"close_pattern": rf"{re.escape(end_token)}\s*", "content": "text"},
        },
    }
