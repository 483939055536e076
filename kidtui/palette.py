"""The command palette: every key that can be pressed now, by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from textual.binding import Binding
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.dom import DOMNode

from kidtui import keys


class KeyCommands(Provider):
    """The keys of the table that hold where the user is."""

    async def discover(self) -> Hits:
        for key, action in self._now():
            yield DiscoveryHit(key.label or key.help, action, help=key.help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for key, action in self._now():
            name = key.label or key.help
            # A name that fits comes before a sentence in which the letters are found somewhere.
            score = max(matcher.match(name), matcher.match(key.help) / 2)
            if score > 0:
                yield Hit(score, matcher.highlight(name), action, help=f"{key.help}  {key.id}")

    def _now(self) -> Iterator[tuple[keys.Key, Callable[[], Awaitable[None]]]]:
        active: dict[str, tuple[DOMNode, Binding]] = {
            bound.binding.id: (bound.node, bound.binding)
            for bound in self.screen.active_bindings.values()
            if bound.enabled and bound.binding.id
        }
        for key in keys.KEYS:
            if key.id in active:
                node, binding = active[key.id]
                yield key, self._runner(node, binding)

    def _runner(self, node: DOMNode, binding: Binding) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            await self.app.run_action(binding.action, node)

        return run
