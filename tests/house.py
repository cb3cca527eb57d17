"""The laws of the house as functions from a source text to what is wrong with it, one line per fault."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

# Under src/offhook: what does no I/O, never awaits and knows no clock. A folder ends with a slash.
PURE = (
    "errors.py",
    "events.py",
    "wire/",
    "speech/",
    "dialects/",
    "webhooks/",
    "upstream/translate.py",
    "upstream/health.py",
    "tools/schema.py",
    "turns/which.py",
    "turns/state.py",
    "turns/memory.py",
    "turns/repair.py",
    "turns/signs.py",
    "turns/phrases.py",
    "server/quota.py",
    "tools/docstring.py",
    "node/speaker.py",
    "node/hearing.py",
    "node/platforms/",
    "loadgen/plan.py",
    "loadgen/report.py",
)

RANDOM_OR_TIME = frozenset({"time", "random", "uuid", "secrets"})
# Modules that mean I/O, waiting or threads.
IMPURE = frozenset(
    {"asyncio", "socket", "ssl", "select", "selectors", "subprocess", "threading", "concurrent"}
    | {"aiohttp", "uvicorn", "uvloop", "starlette", "sqlite3", "urllib.request", "http.client", "tempfile", "shutil"}
)
FILE_METHODS = frozenset({"open", "read_text", "read_bytes", "write_text", "write_bytes"})
ENVIRONMENT = frozenset({"environ", "environb", "getenv", "putenv", "unsetenv"})
NOW = frozenset({"now", "utcnow", "today"})
Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_pure(path: str) -> bool:
    """Tell whether a path under src/offhook is on the pure list."""
    return any(path.startswith(name) if name.endswith("/") else path == name for name in PURE)


def functions(tree: ast.AST) -> Iterator[Function]:
    """Give every function in a tree, however deep."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Give line and full name of everything imported; ``from a import b`` gives ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def imports_of(tree: ast.AST, modules: frozenset[str]) -> Iterator[str]:
    """Name the imports of these modules or of anything in them."""
    for line, name in imported(tree):
        if any(name == module or name.startswith(module + ".") for module in modules):
            yield f"line {line}: imports {name}"


def long_file(source: str) -> list[str]:
    """Say whether the file is over the limit."""
    count = len(source.splitlines())
    return [f"{count} lines, and the limit is {MAX_FILE_LINES}"] if count > MAX_FILE_LINES else []


def long_functions(source: str) -> list[str]:
    """Name the functions that are over the limit."""
    sizes = ((node, (node.end_lineno or node.lineno) - node.lineno + 1) for node in functions(ast.parse(source)))
    return [
        f"line {node.lineno}: {node.name} has {size} lines, and the limit is {MAX_FUNCTION_LINES}"
        for node, size in sizes
        if size > MAX_FUNCTION_LINES
    ]


def impurities(source: str) -> list[str]:
    """Name what a pure file may not do: await, wait, open, look at the clock or the environment."""
    tree = ast.parse(source)
    found = [*imports_of(tree, IMPURE | RANDOM_OR_TIME), *environment_reads(source), *clock_calls(source)]
    declared = set(declarations(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await) and node not in declared:
            found.append(f"line {node.lineno}: {type(node).__name__}")
        elif isinstance(node, ast.comprehension) and node.is_async:
            found.append(f"line {node.target.lineno}: async comprehension")
        elif isinstance(node, ast.Call) and opens_file(node):
            found.append(f"line {node.lineno}: calls {ast.unparse(node.func)}()")
    return found


def declarations(tree: ast.AST) -> Iterator[ast.stmt]:
    """Give the methods of protocols that have no body: they say what others do and do nothing themselves."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).startswith("Protocol") for base in node.bases):
            for method in node.body:
                if isinstance(method, Function) and all(is_constant(line) for line in method.body):
                    yield method


def is_constant(statement: ast.stmt) -> bool:
    """Tell whether a statement is a docstring or three dots."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def opens_file(call: ast.Call) -> bool:
    """Tell whether this is ``open()`` or a method by which paths read and write files."""
    if isinstance(call.func, ast.Name):
        return call.func.id == "open"
    return isinstance(call.func, ast.Attribute) and call.func.attr in FILE_METHODS


def environment_reads(source: str) -> list[str]:
    """Name the places that touch the process environment."""
    tree = ast.parse(source)
    attributes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in ENVIRONMENT)
    return [
        *imports_of(tree, frozenset(f"os.{name}" for name in ENVIRONMENT)),
        *(f"line {node.lineno}: os.{node.attr}" for node in attributes if ast.unparse(node.value) == "os"),
    ]


def clock_imports(source: str) -> list[str]:
    """Name the imports that bring time or randomness."""
    return list(imports_of(ast.parse(source), RANDOM_OR_TIME | {"os.urandom"}))


def clock_calls(source: str) -> list[str]:
    """Name the calls that read the clock or randomness without an import of their own."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner = ast.unparse(node.func.value)
        reads_date = node.func.attr in NOW and owner.split(".")[-1] in {"datetime", "date"}
        if reads_date or (owner, node.func.attr) == ("os", "urandom"):
            found.append(f"line {node.lineno}: calls {owner}.{node.func.attr}()")
    return found


def missing_sentences(source: str) -> list[str]:
    """Name the test functions whose docstring is not exactly one sentence."""
    tests = (node for node in functions(ast.parse(source)) if node.name.startswith("test_"))
    return [f"line {node.lineno}: {node.name}" for node in tests if not is_sentence(ast.get_docstring(node) or "")]


def is_sentence(text: str) -> bool:
    """Tell whether a text is one sentence: it ends once, at its end."""
    return bool(re.fullmatch(r"\S.*[.?!]", text, re.DOTALL)) and not re.search(r"[.?!]\s+[A-Z]|\n\s*\n", text)


DIRECTIVE = re.compile(r"type:\s*ignore(\[[^\]]*\])?|noqa(:\s*[A-Z]+[0-9]+(,?\s*[A-Z]+[0-9]+)*)?|pragma: no cover")


def unexplained_ignores(source: str) -> list[str]:
    """Name the comments that silence a tool without saying why in words."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    silencers = (token for token in tokens if token.type == tokenize.COMMENT and DIRECTIVE.search(token.string))
    return [f"line {token.start[0]}: {token.string}" for token in silencers if not is_explained(token.string)]


def is_explained(comment: str) -> bool:
    """Tell whether at least two words stand beside the directives of a comment."""
    return len(re.findall(r"[^\W\d_]{2,}", DIRECTIVE.sub("", comment))) >= 2
