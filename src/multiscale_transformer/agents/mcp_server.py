"""The lab's tools as an MCP server, so that other people's agents can use the skills: listing, calling, nothing else.

A call returns the tool's text and, where files would change, the verified diff. Whether that is written was decided by
the person who started the server. The protocol is that of the package `mcp` (modelcontextprotocol.io), an optional extra.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from multiscale_transformer import __version__
from multiscale_transformer.agents.journal import Changes
from multiscale_transformer.agents.results import ToolResult
from multiscale_transformer.agents.tools import LabTools
from multiscale_transformer.errors import AxlError

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

NAME = "axl"
INSTRUCTIONS = (
    "Tools on one project folder. Paths are relative to it. Code runs in a sandbox, on a copy. A change is verified before it "
    "is returned as a diff; it is written only where the server was started with --yes."
)


def build_server(tools: LabTools, begin: Callable[[str], Changes] | None) -> Server[Any]:
    """An MCP server of the tools; `begin` gives what changes are written with, None where none is written.

    Raises AxlError where the package is not installed.
    """
    try:
        import mcp_types as types
        from anyio import CapacityLimiter, to_thread
        from mcp.server.lowlevel import Server
    except ImportError:
        raise AxlError("axl mcp needs the package of the protocol: pip install 'axl[mcp]'") from None
    one_at_a_time = CapacityLimiter(1)  # the tools share a sandbox and a model

    async def list_tools(context: Any, params: Any) -> types.ListToolsResult:
        read_only = types.ToolAnnotations(read_only_hint=begin is None)
        return types.ListToolsResult(
            tools=[
                types.Tool(name=info.name, description=info.description, input_schema=info.parameters, annotations=read_only)
                for info in tools.infos
            ]
        )

    async def call_tool(context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        result = await to_thread.run_sync(_called, tools, begin, params.name, params.arguments or {}, limiter=one_at_a_time)
        return types.CallToolResult(content=[types.TextContent(text=_told(*result))], is_error=not result[0].ok)

    return Server(NAME, version=__version__, instructions=INSTRUCTIONS, on_list_tools=list_tools, on_call_tool=call_tool)


def serve_stdio(server: Server[Any]) -> None:
    """Serve one client on standard input and output until it hangs up."""
    import anyio
    from mcp.server.stdio import stdio_server

    async def run() -> None:
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())

    anyio.run(run)


def _called(
    tools: LabTools, begin: Callable[[str], Changes] | None, name: str, arguments: dict[str, Any]
) -> tuple[ToolResult, bool]:
    """What a tool returns, and whether its changes were written."""
    try:
        result = tools.call(name, arguments)
        if not result.changes or begin is None:
            return result, False
        begin(f"{NAME} mcp: {name}").apply(result.changes)
        return result, True
    except AxlError as error:
        return ToolResult(str(error), ok=False), False


def _told(result: ToolResult, written: bool) -> str:
    """A result as one text: what the tool says, the diff, what verified it, and whether it was written."""
    if not result.changes:
        return result.text
    names = ", ".join(change.name for change in result.changes)
    done = f"Written: {names}" if written else "Not written: the server was started without --yes"
    return f"{result.text}\n\n{result.diff}\nVerified: {result.verified}\n{done}"
