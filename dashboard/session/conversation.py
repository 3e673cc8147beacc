"""State that the server keeps between the runs of a page: loaded variants, conversations, unfinished answers."""

import gc
import threading
from dataclasses import replace
from typing import Any

import streamlit as st

from dashboard.session.answering import Comparison, Turn
from dashboard.session.browser_tab import Presence
from dashboard.session.state import Conversation, Round, Shelf
from fastglm.hosting.pool import Pool
from fastglm.hosting.protocol import HostKey
from fastglm.messages import Message

PLACES = ("chat", "left", "right")  # places where a tab can have a variant loaded, one at a time in each


class Desk:
    """Resources of all visitors; entries are separated by the id of a browser tab."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.shelf = Shelf()
        self.presence = Presence(self.leave)
        self.turns: dict[str, Turn] = {}
        self.duels: dict[str, Comparison] = {}
        self._keys: dict[str, HostKey] = {}
        self._lock = threading.Lock()

    def conversation(self, tab: str) -> Conversation:
        """The tab's conversation."""
        return self.shelf.get(tab)

    def turn(self, tab: str) -> Turn | None:
        """The tab's unfinished answer, if any."""
        turn = self.turns.get(tab)
        return turn if turn is not None and not turn.ended else None

    def ask(self, tab: str, query: str) -> None:
        """Add a round to the tab's conversation and begin to answer it."""
        conversation = self.conversation(tab)
        conversation.rounds.append(Round(query))
        self.answer_last(tab)

    def answer_last(self, tab: str) -> None:
        """Answer the last question (again) with the present model, variant and settings."""
        conversation = self.conversation(tab)
        if self.turn(tab) is not None or not conversation.rounds:
            return
        last = conversation.rounds[-1] = Round(
            conversation.rounds[-1].query, "", conversation.model, conversation.variant
        )
        self.shelf.save(tab)
        key = HostKey(conversation.model, conversation.variant)
        settings = {**conversation.settings.for_stream(), "owner": tab}  # no other tab's conversation is reused

        def keep(turn: Turn) -> None:
            last.response, last.call = turn.text, turn.call
            last.figures, last.error = turn.figures, turn.error
            self.shelf.save(tab)
            self._after(tab)

        turn = self._turn(tab, "chat", key, last.query, conversation.history(), settings)
        self.turns[tab] = turn.start(keep)

    def stop(self, tab: str) -> None:
        """Stop the tab's answer; its text so far stays."""
        if (turn := self.turn(tab)) is not None:
            turn.cancel()

    def clear(self, tab: str, put: Conversation | None = None) -> None:
        """Begin a new conversation with the present choices, or continue with a loaded one."""
        self.stop(tab)
        self.turns.pop(tab, None)
        self.shelf.put(tab, put or replace(self.conversation(tab), rounds=[]))

    def compare(
        self, tab: str, keys: tuple[HostKey, HostKey], prompt: str, settings: dict[str, Any], race: bool
    ) -> None:
        """Let two variants answer one prompt."""
        if (running := self.duels.get(tab)) is not None:
            running.cancel()
        left, right = (
            self._turn(tab, place, key, prompt, [], settings)
            for place, key in zip(("left", "right"), keys, strict=True)
        )
        self.duels[tab] = Comparison(left, right, race, self.release, lambda: self._after(tab)).start()

    def give_over(self, key: HostKey) -> None:
        """Give back a variant that a server is going to load; answers that run keep it until they end."""
        busy = {tab for tab in [*self.turns] if self.turn(tab)}
        busy |= {tab for tab, duel in [*self.duels.items()] if not duel.ended}
        for user in self.pool.users().get(key, ()):
            if user.rpartition(" ")[0] not in busy:
                self.release(user)

    def release(self, user: str) -> None:
        """Give back a user's variants; the memory is free once no other user has them."""
        with self._lock:
            self._keys.pop(user, None)
        self.pool.release_all(user)

    def leave(self, tab: str) -> None:
        """Handle a closed tab: stop its answers and give back its variants."""
        self.stop(tab)
        if (duel := self.duels.pop(tab, None)) is not None:
            duel.cancel()
        self._give_back(tab)
        if self.turn(tab) is None:
            self._forget(tab)

    def _after(self, tab: str) -> None:
        """Handle the end of an answer, whose variant may have been loading while its tab left."""
        if not self.presence.here(tab):
            self._give_back(tab)
            self._forget(tab)

    def _give_back(self, tab: str) -> None:
        for place in PLACES:
            self.release(f"{tab} {place}")

    def _forget(self, tab: str) -> None:
        self.turns.pop(tab, None)
        self.shelf.forget(tab)

    def _turn(
        self, tab: str, place: str, key: HostKey, prompt: str, history: list[Message], settings: dict[str, Any]
    ) -> Turn:
        user = f"{tab} {place}"
        if self._keys.get(user) != key:
            self.release(user)
        self._keys[user] = key
        return Turn(self.pool, user, key, prompt, history, **settings)


@st.cache_resource(show_spinner=False)
def desk() -> Desk:
    """The one desk of this server."""
    # Streamlit collects garbage after every run of a script or fragment. Objects of the imported libraries never become
    # garbage, and examining them would take longer than the run itself.
    gc.collect()
    gc.freeze()
    return Desk(Pool())
