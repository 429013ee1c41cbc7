"""Tools that a model may call in RL: `python`, which is r1kit's box, and functions of your own.

A tool is a Python function, plain or async, with annotated parameters and a docstring that describes each of them under
`Args:`; what it returns is shown to the model as text. An exception that it raises is shown to the model, too, as what
came of its call. A tool that could not do its work, such as a search whose server is down, raises ToolFault: the row
then leaves its group and the loss, as one with a FAULT of a reward does, and is counted.

    def search(query: str) -> str:
        '''Search the documents.

        Args:
            query: Words to search for.
        '''
"""

from r1kit.tools.python_box import python
from r1kit.tools.registry import TOOLS, resolve_environment, resolve_tools
from r1kit.tools.watch import ToolFault

__all__ = ["TOOLS", "ToolFault", "python", "resolve_environment", "resolve_tools"]
