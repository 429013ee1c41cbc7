"""What LeetCode gives a program: names without an import, linked lists and trees as arguments and results.

A test of kind `call` has plain JSON. Where a parameter's annotation names `ListNode` or `TreeNode`, as LeetCode's
signatures do, its argument becomes such a list or tree, and a result of that kind becomes a list again:

    [1, 2, 3]            the linked list 1 -> 2 -> 3
    [1, None, 2, 3]      the tree 1 with the right child 2, whose left child is 3: level by level, None for no child
    3                    beside a tree: its node of that value

A class of its own is tested by a list of its methods and one of their arguments, of which the first make the object:

    ["Counter", "add", "total"], [[], [3], []]      gives [None, None, 3]

What it does NOT cover: `Node` (graphs, n-ary trees, random pointers), which has several meanings on LeetCode.

This file runs inside the box (boot.py).
"""

import sys

PRELUDE = """
import bisect, collections, copy, functools, heapq, itertools, math, operator, random, re, string, sys
from bisect import *; from collections import *; from functools import *; from heapq import *
from itertools import *; from math import *; from operator import *; from typing import *; from builtins import *
"""
NODE_NAMES = frozenset(("ListNode", "TreeNode"))
PACKAGE_NAMES = frozenset(("SortedList", "SortedDict", "SortedSet"))  # of sortedcontainers
LEETCODE_MARK = "class Solution"  # a program with this text has LeetCode's names
MAX_NODES = 10**6  # of a result: a list that leads back to itself has no end


class ListNode:
    """A node of a linked list."""

    def __init__(self, val=0, next=None):
        self.val = val
        self.next = next


class TreeNode:
    """A node of a binary tree."""

    def __init__(self, val=0, left=None, right=None):
        self.val = val
        self.left = left
        self.right = right


ListNode.__module__ = TreeNode.__module__ = "program"  # where objects.py takes a class for the program's own


def add_prelude(prelude, package_names):
    """Give a program LeetCode's names, and `package_names` of sortedcontainers, if the box has it."""
    exec(PRELUDE, prelude)
    prelude.update(ListNode=ListNode, TreeNode=TreeNode, inf=float("inf"))
    if package_names:
        try:
            import sortedcontainers
        except ImportError:
            return
        prelude.update((name, getattr(sortedcontainers, name)) for name in package_names)


def build_arguments(function, args, types, names):
    """Return the arguments of a call, lists and trees as nodes, and the name of the node class of its result, or None.

    `types`: the annotations of the prompt's signature, {"args": [...], "returns": ...}, for a program that has none.
    """
    arg_types, result_type = _annotations(function, len(args))
    docstring = function.__doc__ if isinstance(function.__doc__, str) else ""
    if ":type" in docstring or ":rtype" in docstring:
        arg_types, result_type = _documented_types(docstring, len(args))
    if types:
        prompt_types = [*types["args"], *[""] * len(args)]
        arg_types = [own_type or prompt_types[number] for number, own_type in enumerate(arg_types)]
        result_type = result_type or types["returns"]
    if not any(node_name in text for text in (*arg_types, result_type) for node_name in NODE_NAMES):
        return args, None
    built: list = []
    for argument, text in zip(args, arg_types, strict=True):
        node_name = _node_name(text)
        build = {None: lambda value, node: value, "ListNode": _build_list, "TreeNode": _build_tree}[node_name]
        node_class = names.get(node_name) or getattr(sys.modules[__name__], node_name or "ListNode")
        if node_name == "TreeNode" and isinstance(argument, int | str):
            built.append(_find_node(argument, built))
            continue
        is_many = node_name is not None and _is_list_of_nodes(text)
        built.append([build(item, node_class) for item in argument] if is_many else build(argument, node_class))
    return built, _node_name(result_type)


def are_method_calls(class_name, args):
    """Return whether the arguments of a call are names of methods, the class's own first, and their arguments."""
    if len(args) != 2 or not all(isinstance(argument, list) for argument in args):
        return False
    return len(args[0]) == len(args[1]) and args[0][:1] == [class_name]


def call_methods(tested_class, method_names, args_of_methods):
    """Make an object and call its methods in turn; return their results, after None for the object itself."""
    instance = tested_class(*args_of_methods[0])
    results = [None]
    for name, args in zip(method_names[1:], args_of_methods[1:], strict=True):
        results.append(plain_result(getattr(instance, name)(*args), None))
    return results


def _annotations(function, count):
    """Return the texts of the annotations of a function's first parameters, and of its result; "" for none."""
    plain_function = getattr(function, "__func__", function)
    code = getattr(plain_function, "__code__", None)
    annotations = getattr(plain_function, "__annotations__", {})
    if code is None or not isinstance(annotations, dict):
        return [""] * count, ""
    parameters = code.co_varnames[: code.co_argcount][plain_function is not function :]
    texts = [_annotation_text(annotations.get(name, "")) for name in parameters[:count]]
    return texts + [""] * (count - len(texts)), _annotation_text(annotations.get("return", ""))


def _documented_types(docstring, count):
    """Return the types in a docstring of LeetCode's older form, `:type head: ListNode` and `:rtype: ListNode`."""
    texts, result_type = [], ""
    for line in docstring.splitlines():
        mark, _, text = line.strip().partition(":")[2].partition(":")
        if mark.startswith("type"):
            texts.append(text.strip())
        elif mark == "rtype":
            result_type = text.strip()
    return [*texts, *[""] * count][:count], result_type


def changes_in_place(function, types, result):
    """Return whether a function's answer is its first argument after the call, since its signature returns nothing.

    The prompt's signature decides where there is one; a function's own only if it has returned nothing.
    """
    if types and types["returns"]:
        return types["returns"] == "None"
    plain_function = getattr(function, "__func__", function)
    return result is None and getattr(plain_function, "__annotations__", {}).get("return", "") in (None, "None")


def _annotation_text(annotation):
    return (
        annotation.__name__ if isinstance(annotation, type) and not hasattr(annotation, "__args__") else str(annotation)
    )


def _node_name(text):
    return next((name for name in NODE_NAMES if name in text), None)


def _is_list_of_nodes(text):
    return text.replace("typing.", "").lower().startswith("list[")


def _build_list(values, node_class):
    if not isinstance(values, list):
        return values
    head = None
    for value in reversed(values):
        node = node_class(value)
        node.next = head
        head = node
    return head


def _find_node(value, trees):
    """Return the node of a tree among the arguments that has this value: so LeetCode names a node (`p`, `q`)."""
    level = [tree for tree in trees if type(tree).__name__ == "TreeNode"]
    for node in level:
        if node.val == value:
            return node
        level += [child for child in (node.left, node.right) if child is not None]
    return value


def _build_tree(values, node_class):
    if not isinstance(values, list) or not values or values[0] is None:
        return None
    root = node_class(values[0])
    parents = [root]
    for position in range(1, len(values)):
        parent = parents[(position - 1) // 2]
        if values[position] is None:
            continue
        child = node_class(values[position])
        parents.append(child)
        setattr(parent, "left" if position % 2 else "right", child)
    return root


def plain_result(result, node_name, is_one_value=False):
    """Return a result as plain data: nodes as lists, and the numbers and arrays of numpy as Python's own.

    `is_one_value`: whether the value of a node is expected, not the list or tree that begins there.
    """
    if is_one_value and type(result).__name__ in NODE_NAMES:
        return result.val
    if node_name is not None and result is None:
        return []
    if type(result).__name__ in NODE_NAMES:
        return _list_values(result) if type(result).__name__ == "ListNode" else _tree_values(result)
    if type(result) is list and result and node_name is not None:
        return [plain_result(item, node_name) for item in result]
    if "numpy" in sys.modules:
        return _without_numpy(result, sys.modules["numpy"])
    return result


def _list_values(node):
    values = []
    while node is not None:
        values.append(node.val)
        node = node.next
        if len(values) > MAX_NODES:
            raise ValueError("the list has no end")
    return values


def _tree_values(root):
    values, level = [], [root]
    for node in level:
        values.append(None if node is None else node.val)
        if node is not None:
            level += [node.left, node.right]
        if len(level) > MAX_NODES:
            raise ValueError("the tree has no end")
    while values and values[-1] is None:
        values.pop()
    return values


def _without_numpy(value, numpy):
    if isinstance(value, numpy.ndarray | numpy.generic):
        return value.tolist()
    if type(value) in (list, tuple):
        return type(value)(_without_numpy(item, numpy) for item in value)
    if type(value) is dict:
        return {_without_numpy(key, numpy): _without_numpy(item, numpy) for key, item in value.items()}
    return value
